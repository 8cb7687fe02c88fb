"""`rwctl completion` prints what makes a shell complete verbs, options, access points and places."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fleet import cli
from fleet.city import City
from tests.fleet import cities

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    """A city of twelve."""
    city = cities.make_city(tmp_path_factory.mktemp("completion") / "malang")
    for number in range(1, 13):
        cities.enroll(city, number)
    return city


@pytest.mark.parametrize(
    ("shell", "words"), [("bash", "complete -o nosort -F _rwctl_completion rwctl"), ("zsh", "#compdef rwctl"), ("fish", "complete --no-files --command rwctl")]
)
def test_each_shell_has_its_script(shell: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Which asks rwctl itself."""
    assert cli.main(["completion", shell]) == 0
    out = capsys.readouterr().out
    assert words in out and f"_RWCTL_COMPLETE={shell}_complete" in out


def test_the_shell_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """$SHELL unless one is named; another one is told which there are."""
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert cli.main(["completion"]) == 0 and "--command rwctl" in capsys.readouterr().out
    monkeypatch.setenv("SHELL", "/bin/dash")
    assert cli.main(["completion"]) == 2 and "bash, zsh, fish" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "offers"),
    [
        ("rwctl st", ["status"]),
        ("rwctl --dir {city} status rw-001", ["rw-0010", "rw-0011", "rw-0012"]),
        ("rwctl status --dir {city} rw-001", ["rw-0010", "rw-0011", "rw-0012"]),
        ("rwctl --dir {city} revoke rw-0009", ["rw-0009"]),
        ("rwctl --dir {city} tail rw-0009", ["rw-0009"]),
        ("rwctl --dir {city} enroll --kelurahan Oro", [r"Oro-oro\ Dowo"]),
        ("rwctl --dir {city} status --where kelurahan=oro", [r"\'Oro-oro\ Dowo\'"]),
        ('rwctl --dir {city} status --where "kelurahan=oro', ["kelurahan='Oro-oro Dowo'"]),
        ("rwctl --dir {city} status --where 'kelurahan=oro", ['kelurahan="Oro-oro Dowo"']),
        ('rwctl --dir {city} status --where "state=lost and prov', ["state=lost and provider"]),
        ("rwctl --dir {city} push --to kelurahan=L", ["Lowokwaru"]),
        ("rwctl --dir {city} push --to ap=rw-000", [f"rw-000{number}" for number in range(1, 10)]),
        ("rwctl status --sort cl", ["clients"]),
        ("rwctl --dir /nowhere status rw-", []),
        ("rwctl status --li", ["--limit"]),
    ],
)
def test_bash_gets_what_it_puts_into_the_line(line: str, offers: list[str], city: City) -> None:
    """bash replaces only what stands behind the last = or :, and takes blanks as they come."""
    line = line.format(city=city.folder)
    program = "import sys; from fleet import cli; sys.exit(cli.main([]))"
    environment = {**os.environ, "COMP_LINE": line, "_RWCTL_COMPLETE": "bash_complete"}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ([answer for answer in done.stdout.splitlines() if answer], done.stderr) == ([f"plain,{offer}" for offer in offers], "")


@pytest.mark.parametrize(("shell", "words"), [("zsh", "plain\nrw-0009\n_\n"), ("fish", "plain,rw-0009\n")])
def test_the_other_shells_are_clicks(shell: str, words: str, city: City) -> None:
    """They hand over whole words and quote by themselves."""
    program = "import sys; from fleet import cli; sys.exit(cli.main([]))"
    told = {"COMP_WORDS": f"rwctl --dir {city.folder} status rw-0009", "COMP_CWORD": "4" if shell == "zsh" else "rw-0009"}
    environment = {**os.environ, **told, "_RWCTL_COMPLETE": f"{shell}_complete"}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == (words, "")


@pytest.mark.needs("bash")
def test_a_real_bash_completes(city: City, tmp_path: Path) -> None:
    """A tab behind `--where kelurahan=Oro` and one behind an ID, in an interactive shell."""
    program = tmp_path / "rwctl"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m fleet.cli "$@"\n')
    program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path), "TERM": "dumb", "RWCTL_DIR": str(city.folder), "PS1": "$ "}
    leader, follower = pty.openpty()
    child = subprocess.Popen(
        ["bash", "--norc", "--noprofile", "-i"], stdin=follower, stdout=follower, stderr=follower, env=environment, cwd=tmp_path, start_new_session=True
    )
    os.close(follower)
    try:
        say(leader, "bind 'set enable-bracketed-paste off'; source <(rwctl completion bash); echo re''ady\n", "ready\r\n")
        say(leader, "echo rwctl status --where state!=; rwctl status --where kelurahan=Oro\t", "kelurahan=\\'Oro-oro\\ Dowo\\'")
        say(leader, "\x15", "")
        say(leader, "rwctl status rw-0009\t# it''s done", "rw-0009 # it")
    finally:
        child.kill()
        child.wait()
        os.close(leader)


def say(leader: int, typed: str, expected: str) -> None:
    """Type something and wait for what the terminal shows."""
    os.write(leader, typed.encode())
    seen, deadline = "", time.monotonic() + 30
    while expected not in seen:
        assert time.monotonic() < deadline, f"{expected!r} was not shown: {seen!r}"
        if select.select([leader], [], [], 0.2)[0]:
            seen += os.read(leader, 65536).decode(errors="replace")
