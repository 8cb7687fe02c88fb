"""`rwctl command` at the command line; what it does then is told in test_commanding.py, and with real agents in the stories."""

from __future__ import annotations

import io
import sys

import pytest

from fleet import cli
from fleet.commands import COMMANDS
from tests.fleet.pushed_city import Town


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Town:
    """A city that no test here changes."""
    return Town(tmp_path_factory.mktemp("town"))


@pytest.fixture
def town(founded: Town, monkeypatch: pytest.MonkeyPatch) -> Town:
    monkeypatch.setenv("RWCTL_DIR", str(founded.city.folder))
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return founded


def test_its_help_lists_every_command_with_what_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["command", "--help"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    for name, command in COMMANDS.items():
        assert f"{name} {command.text}" in out
    assert "rwctl command locate --to rw-0501 --seconds 60" in out


@pytest.mark.parametrize("name", COMMANDS)
def test_each_has_its_help_with_its_arguments_and_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["command", name, "--help"]) == 0
    out = capsys.readouterr().out
    assert all(argument.option in out for argument in COMMANDS[name].arguments)
    assert f"rwctl command {name} --to " in out
    assert ("--yes" in out) == bool(COMMANDS[name].costs)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_example_is_typed_right(name: str, town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    """This city has nobody of that id, and no certificate for a broker."""
    words = COMMANDS[name].example.split()
    told = "ca.pem: is not there" if "kelurahan=Jatimulyo" in words else "'rw-0501', which matches no access point"
    assert cli.main(["command", name, *words]) in (1, 2)
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["lokate", "--to", "city"], "'lokate' is no command; did you mean locate?"),
        (["restart", "--to", "city"], "did you mean restart-agent?"),
        (["xyzzy"], "expected one of locate, stations"),
        (["locate"], "Missing option '--to'"),
        (["locate", "--to", "rw-9999"], "matches no access point"),
        (["locate", "--to", "city", "--seconds", "0"], "1<=x<=600"),
        (["locate", "--to", "city", "--timeout", "3001"], "1<=x<=3000"),
        (["locate", "--to", "city", "--secnds", "3"], "No such option: --secnds Did you mean --seconds?"),
        (["scan", "--to", "city", "--band", "3g"], "'2g', '5g', '6g'"),
        (["kick", "--to", "city"], "Missing option '--station'"),
        (["kick", "--to", "city", "--station", "02:00:00:00:00:01"], "addresses never leave the access point"),
        (["logs", "--to", "city", "--match", "x" * 65], "--match is 'xx"),
        (["reboot", "--to", "city"], "reboot for 4 access points: it is off the air for a minute or two; if that is meant, say --yes"),
        (["reload-wifi", "--to", "kelurahan=Lowokwaru"], "all of its stations reconnect; if that is meant, say --yes"),
    ],
)
def test_what_is_typed_wrong_is_exit_2_and_says_what_is_right(town: Town, capsys: pytest.CaptureFixture[str], words: list[str], told: str) -> None:
    assert cli.main(["command", *words]) == 2
    assert told in " ".join(capsys.readouterr().err.split())
    assert town.audit() == []


def test_what_is_meant_goes_on(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    """To the broker, which is not there: exit 1, and nothing on record."""
    assert cli.main(["command", "reboot", "--to", "city", "--yes"]) == 1
    assert cli.main(["command", "reboot", "--to", "rw-0001"]) == 1
    assert capsys.readouterr().err.startswith("rwctl command: ")
    assert town.audit() == []


def test_on_a_terminal_it_asks(town: Town, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    assert cli.main(["command", "reboot", "--to", "city"]) == 1
    captured = capsys.readouterr()
    assert "Is that meant? [y/N]" in captured.err + captured.out
    assert town.audit() == []


def test_completion_knows_commands_arguments_and_nodes(town: Town) -> None:
    from click.shell_completion import ShellComplete

    def offers(words: list[str], begun: str) -> list[str]:
        return [item.value for item in ShellComplete(cli.rwctl, {}, "rwctl", "_RWCTL_COMPLETE").get_completions(words, begun)]

    assert offers(["command"], "re") == ["report", "reload-wifi", "restart-agent", "reboot"]
    assert {"--station", "--ban-s", "--yes"} <= set(offers(["command", "kick"], "--"))
    assert offers(["command", "scan", "--band"], "") == ["2g", "5g", "6g"]
    assert "rw-0001" in offers(["command", "locate", "--to"], "rw")


def test_the_directory_may_stand_behind_the_command(town: Town, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("RWCTL_DIR")
    assert cli.main(["command", "locate", "--to", "rw-9999", "--dir", str(town.city.folder)]) == 2
    assert "matches no access point" in capsys.readouterr().err
