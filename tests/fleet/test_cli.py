"""rwctl finds its verbs, tells what went wrong in one text, and ends with 0, 1 or 2."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

from fleet import cli
from fleet.errors import BadInput, Refused

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BaseException]]:
    """A verb `tail` that raises what is put into the list."""
    errors: list[BaseException] = []

    @click.command("tail")
    @click.pass_obj
    def command(folder: Path) -> None:
        for error in errors:
            raise error
        click.echo(str(folder))

    module = ModuleType("fleet.verbs.tail")
    module.command = command  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fleet.verbs.tail", module)
    monkeypatch.delenv("RWCTL_DIR", raising=False)
    yield errors


def test_the_help_names_every_verb_under_a_heading(capsys: pytest.CaptureFixture[str]) -> None:
    """All verbs of DESIGN.md 3.6 that stand, grouped, each with a line; and an example."""
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {verb} " in text for verbs in cli.VERBS.values() for verb in verbs)
    assert all(f"\n{heading}:\n" in text for heading in cli.VERBS)
    assert "rwctl init malang --name malang" in text


@pytest.mark.parametrize("verb", [verb for verbs in cli.VERBS.values() for verb in verbs])
def test_each_verb_loads_and_its_help_has_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The module is there, its command is named as the verb, and its help shows how it is typed."""
    command = cli.rwctl.get_command(click.Context(cli.rwctl), verb)
    assert command is not None and command.name == verb
    assert cli.main([verb, "--help"]) == 0
    text = capsys.readouterr().out
    below = [f"{verb} {name}" for name in command.commands] if isinstance(command, click.Group) else []
    for words in below:
        assert cli.main([*words.split(), "--help"]) == 0
        text += capsys.readouterr().out
    assert "Example" in text and f"{verb}" in text.partition("Example")[2]


def test_the_help_loads_no_verb() -> None:
    """Completion asks at every press of the key: what a verb needs is loaded with the verb."""
    heavy = ("fleet.verbs.status", "rich", "cryptography", "paho", "jsonschema", "bcrypt")
    program = f"import sys; from fleet import cli; cli.main(['--help']); print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (Refused("the broker refused"), 1, "rwctl tail: the broker refused\n"),
        (BadInput("a is 1\nb is 2"), 2, "rwctl tail: a is 1\nb is 2\n"),
        (PermissionError(13, "Permission denied", "/x/city.toml"), 1, "rwctl tail: /x/city.toml: Permission denied\n"),
        (OSError(28, "No space left on device"), 1, "rwctl tail: No space left on device\n"),
        (sqlite3.OperationalError("database or disk is full"), 1, "rwctl tail: the store in .: database or disk is full\n"),
        (KeyboardInterrupt(), 1, "\n"),
        (BrokenPipeError(32, "Broken pipe"), 1, ""),
        (SystemExit(1), 1, ""),
        (click.exceptions.Exit(1), 1, ""),
        (click.Abort(), 1, ""),
    ],
)
def test_what_goes_wrong_is_a_text_and_a_code(
    error: BaseException, code: int, text: str, raising: list[BaseException], capfd: pytest.CaptureFixture[str]
) -> None:
    """1: it failed, 2: bad input; the text says which verb, and there is no traceback."""
    raising.append(error)
    assert cli.main(["tail"]) == code
    assert capfd.readouterr().err == text


def test_a_bug_stays_a_bug(raising: list[BaseException]) -> None:
    """What nobody refused is not dressed up as a refusal."""
    raising.append(ValueError("a bug"))
    with pytest.raises(ValueError, match="a bug"):
        cli.main(["tail"])


@pytest.mark.parametrize(
    ("arguments", "environment", "folder"),
    [
        (["tail"], None, "."),
        (["tail"], "/x", "/x"),
        (["--dir", "/y", "tail"], "/x", "/y"),
        (["tail", "--dir", "/z"], "/x", "/z"),
        (["--dir", "/y", "tail", "--dir", "/z"], None, "/z"),
    ],
)
def test_the_directory(
    arguments: list[str],
    environment: str | None,
    folder: str,
    raising: list[BaseException],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """--dir before or behind the verb, else $RWCTL_DIR, else where one is."""
    if environment is not None:
        monkeypatch.setenv("RWCTL_DIR", environment)
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out == f"{folder}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["stauts"], "did you mean status?"),
        (["xyz"], "'xyz' is no verb of rwctl"),
        (["--frobnicate"], "No such option"),
        (["tail", "x"], "unexpected extra argument"),
    ],
)
def test_bad_usage_is_2(arguments: list[str], says: str, raising: list[BaseException], capsys: pytest.CaptureFixture[str]) -> None:
    """A slip is told with how it is meant, and never looks like a failure."""
    assert cli.main(arguments) == 2
    assert says in capsys.readouterr().err


def test_without_a_verb_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """It is bad usage all the same: a script that forgot the verb must notice."""
    assert cli.main([]) == 2
    assert "Usage: rwctl" in capsys.readouterr().out


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    """For whoever reports a fault."""
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("rwctl ")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Who installed the agent alone learns what is missing."""
    monkeypatch.setitem(sys.modules, "rich.console", None)
    for name in [name for name in sys.modules if name.startswith("fleet.verbs.watch")]:
        monkeypatch.delitem(sys.modules, name)
    assert cli.main(["watch"]) == 1
    assert "needs the package rich" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    """`rwctl … | head -1` ends without a word on stderr."""
    program = "import sys; from fleet import cli; sys.exit(cli.main(['--help']))"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writing)
    assert (done.stderr, done.returncode) == (b"", 1)


def test_a_directory_that_is_none_is_told_with_the_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who stands in the wrong place learns what to type."""
    assert cli.main(["--dir", str(tmp_path), "status"]) == 1
    assert "is no city's directory" in (text := capsys.readouterr().err) and "rwctl init" in text
