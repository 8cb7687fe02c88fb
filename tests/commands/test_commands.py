"""Each command does what it says with the hands it is given, and gives no more than it may."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent import commands
from agent.commands import logs
from agent.commands.stations import MOST
from agent.errors import Unavailable
from agent.router.hands import Client, Heard, Log, Scan


class Noted:
    """Hands that write down what they were asked for."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[tuple[object, ...]] = []

    def __getattr__(self, name: str) -> Any:
        def do(*arguments: object) -> Any:
            self.asked.append((name, *arguments))
            answer = self.answers.get(name)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return do


def run(command: str, args: dict[str, object], **answers: Any) -> tuple[dict[str, Any], list[tuple[object, ...]]]:
    hands = Noted(**answers)
    assert commands.load(command).check(args) == []
    return commands.load(command).run(args, hands), hands.asked


@pytest.mark.parametrize("name", sorted(commands.COMMANDS))
def test_a_file_says_of_itself_what_the_table_says(name: str) -> None:
    """Its name and class; who runs it; how often and how long."""
    module = commands.load(name)
    assert (name, commands.COMMANDS[name]) == (module.NAME, module.CLASS)
    assert module.BY in ("root", "agent")
    assert module.EVERY_S <= 60 and 5 <= module.LIMIT_S <= 60
    assert isinstance(module.ALONE, bool)


def test_every_file_of_the_shelf_is_in_the_table() -> None:
    """None is forgotten."""
    files = {path.stem.replace("_", "-") for path in Path(commands.__path__[0]).glob("*.py")} - {"--init--"}
    assert files == set(commands.COMMANDS)


def test_only_what_sets_the_box_up_anew_runs_alone() -> None:
    """A push under way keeps these two waiting, and they it."""
    assert {name for name in commands.COMMANDS if commands.load(name).ALONE} == {"reload-wifi", "reboot"}


def test_how_often_each_may_be_asked_for() -> None:
    """What costs stations or the box something has the longer pauses."""
    assert {name: commands.load(name).EVERY_S for name in commands.COMMANDS} == {
        **{"report": 2.0, "stations": 2.0, "scan": 10.0, "logs": 5.0, "kick": 1.0},
        **{"locate": 1.0, "reload-wifi": 30.0, "restart-agent": 60.0, "reboot": 60.0},
    }


def test_report() -> None:
    """Says which one it was."""
    assert run("report", {}, report=41)[0] == {"seq": 41}


def test_restart_agent() -> None:
    """Has the daemon begin anew."""
    assert run("restart-agent", {}) == ({}, [("restart",)])


CLIENTS = [
    Client("aaaaaaaaaaaa", "Malang RW 05", "2g", -80, 6.5, None, 12),
    Client("bbbbbbbbbbbb", "Kantor RW 05", "2g", None, None, None, None),
    Client("cccccccccccc", "Malang RW 05", "5g", -40, 300.0, 585.0, 3600),
]


def test_stations_the_strongest_first_and_without_what_is_not_known() -> None:
    """A value that the box cannot give is absent."""
    assert run("stations", {}, stations=CLIENTS)[0] == {
        "stations": [
            {"station": "c" * 12, "ssid": "Malang RW 05", "band": "5g", "signal_dbm": -40, "rx_rate_mbps": 300.0, "tx_rate_mbps": 585.0, "connected_s": 3600},
            {"station": "a" * 12, "ssid": "Malang RW 05", "band": "2g", "signal_dbm": -80, "rx_rate_mbps": 6.5, "connected_s": 12},
            {"station": "b" * 12, "ssid": "Kantor RW 05", "band": "2g"},
        ],
        "left_out": 0,
    }


def test_stations_of_one_network() -> None:
    """By its SSID."""
    assert [row["station"] for row in run("stations", {"ssid": "Kantor RW 05"}, stations=CLIENTS)[0]["stations"]] == ["b" * 12]


def test_more_stations_than_fit_are_counted() -> None:
    """The worst rows fit into what is told of one command."""
    many = [Client(f"{number:012x}", "\\xff" * 32, "5g", -100, 1000.5, 1000.5, 86400 * 365) for number in range(MOST + 9)]
    told = run("stations", {}, stations=many)[0]
    assert (len(told["stations"]), told["left_out"]) == (MOST, 9)
    assert len(json.dumps(told).encode()) < 40_000


def test_kick() -> None:
    """By pseudonym, with a ban of none unless asked for."""
    assert run("kick", {"station": "0123456789ab"}, kick=["A"]) == ({"ssids": ["A"], "ban_s": 0}, [("kick", "0123456789ab", 0)])
    assert run("kick", {"station": "0123456789ab", "ban_s": 60}, kick=["A"])[1] == [("kick", "0123456789ab", 60)]


def test_scan() -> None:
    """What was heard, how much was left out, and who could not listen."""
    heard = Scan((Heard("0" * 12, None, 6, None), Heard("1" * 12, "x", None, -50)), 3, {})
    assert run("scan", {"band": "2g"}, scan=heard) == (
        {"networks": [{"bssid": "0" * 12, "channel": 6}, {"bssid": "1" * 12, "ssid": "x", "signal_dbm": -50}], "left_out": 3},
        [("scan", "2g")],
    )
    assert run("scan", {}, scan=Scan((), 0, {"5g": "busy"})) == ({"networks": [], "left_out": 0, "silent": {"5g": "busy"}}, [("scan", None)])


def test_locate() -> None:
    """Thirty seconds unless asked for more."""
    assert run("locate", {}, blink=["green"]) == ({"leds": ["green"], "seconds": 30}, [("blink", 30)])
    assert run("locate", {"seconds": 600}, blink=["green"])[1] == [("blink", 600)]


def test_logs() -> None:
    """A hundred lines of everything unless asked for else."""
    assert run("logs", {}, log=Log(("a", "b"), 4)) == ({"lines": ["a", "b"], "left_out": 4}, [("log", 100, "")])
    assert run("logs", {"lines": 5, "match": "x"}, log=Log((), 0))[1] == [("log", 5, "x")]


def test_the_newest_of_a_long_log_are_what_fits() -> None:
    """At most 32 KiB as they travel, quotes and backslashes counted; the others are counted."""
    lines = tuple('\\"é' * 100 + f"{number:03d}" for number in range(200))
    told = run("logs", {"lines": 500}, log=Log(lines, 1))[0]
    assert len(json.dumps(told["lines"], ensure_ascii=False, separators=(",", ":")).encode()) <= logs.MOST_BYTES
    assert told["lines"] == list(lines[-len(told["lines"]) :]) and 40 < len(told["lines"]) < 200
    assert told["left_out"] == 201 - len(told["lines"])


def test_reload_wifi() -> None:
    """Says what is on air then."""
    assert run("reload-wifi", {}, reload_wifi=["A"]) == ({"on_air": ["A"]}, [("reload_wifi",)])


@pytest.mark.parametrize(("args", "delay_s"), [({}, 5), ({"delay_s": 0}, 3), ({"delay_s": 300}, 300)])
def test_reboot_never_before_it_was_said(args: dict[str, object], delay_s: int) -> None:
    """The result has at least three seconds to get out."""
    assert run("reboot", args) == ({"delay_s": delay_s}, [("reboot", delay_s)])


@pytest.mark.parametrize("name", ["report", "stations", "scan", "locate", "logs", "reload-wifi", "reboot", "restart-agent"])
def test_what_the_box_cannot_is_not_hidden(name: str) -> None:
    """Its sentence comes through."""
    answers = dict.fromkeys(("report", "stations", "scan", "blink", "log", "reload_wifi", "reboot", "restart"), Unavailable("no"))
    with pytest.raises(Unavailable, match="no"):
        run(name, {}, **answers)
