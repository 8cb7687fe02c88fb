"""What `rwctl init` says and leaves with: each step, the next commands, exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet import city
from fleet.cli import main


def init(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main(["init", *map(str, words)])
    return code, *capsys.readouterr()


def test_each_step_and_the_next_commands_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ready to be typed, with the directory as it was named."""
    code, out, error = init(capsys, tmp_path / "malang", "--name", "malang", "--interval", 30, "--access-points", 551)
    lines = out.splitlines()
    assert (code, error) == (0, "") and "made    the authority for access points" in lines and "made    city.toml" in lines
    assert lines[-4:] == [f"  rwctl --dir {tmp_path}/malang {words}" for words in ("broker run", "enroll --csv points.csv", "serve", "status")]
    assert city.load(tmp_path / "malang").report.interval_s == 30


def test_a_second_run_says_what_was_kept_and_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the reason; quiet says the mended only."""
    init(capsys, tmp_path / "malang", "--name", "malang")
    (tmp_path / "malang/ca/ca.key").chmod(0o644)
    _, out, _ = init(capsys, tmp_path / "malang")
    assert "mended  ca/ca.key: others could get at it (mode 644), now 600" in out.splitlines() and out.count("kept    ") > 15
    (tmp_path / "malang/ca/ca.key").chmod(0o644)
    _, out, _ = init(capsys, tmp_path / "malang", "--quiet")
    assert out.startswith("mended  ca/ca.key") and "kept" not in out and "made" not in out


def test_a_foreign_broker_is_checked_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The next command is the check."""
    code, out, _ = init(capsys, tmp_path / "malang", "--name", "malang", "--no-own-broker", "--host", "mqtt.example")
    assert code == 0 and f"rwctl --dir {tmp_path}/malang broker check" in out and "broker run" not in out


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--name", "Kota Malang"), 2, "--name is 'Kota Malang', expected 1 to 48 of a-z, 0-9 and -"),
        ((), 2, "say its name"),
        (("--name", "malang", "--port", "99999"), 2, "99999"),
        (("--name", "malang", "--zone", "Asia/Nowhere"), 2, "city.zone is 'Asia/Nowhere'"),
        (("--name", "malang", "--passphrase-file", "/nowhere/phrase"), 1, "/nowhere/phrase: cannot be read"),
    ],
)
def test_what_is_wrong_is_told(words: tuple[str, ...], code: int, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In one text, with the exit code of its kind."""
    ended, _, error = init(capsys, tmp_path / "malang", *words)
    assert (ended, text in error, "Traceback" in error) == (code, True, False)


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    """Ready to be typed."""
    _, out, _ = init(capsys, "--help")
    assert "rwctl init malang --name malang --host mqtt.malang.example\n" in out
