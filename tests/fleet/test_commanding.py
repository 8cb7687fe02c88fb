"""One command from the command line to its last result: who is asked, what is signed, what is on record, how it ends."""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from agent.wire import claims, jws, topics
from agent.wire.command import LONGEST_AHEAD_S
from agent.wire.messages import encode
from fleet import commanding, remarks, store
from fleet.commanding import LATE_S, LONGEST_TIMEOUT_S, Known, Options, why_not
from fleet.commands import Order
from fleet.errors import BadInput, Refused
from fleet.results_drawn import Screen
from tests.fleet.pushed_city import KEY, Heard, Town

BOOT, OTHER = "b1946ac92492d234", "0123456789abcdef"
UPTIME_S = 5000.0
LOCATE = Order("locate", {"seconds": 3})
ALL = ("rw-0001", "rw-0002", "rw-0006", "rw-0010")


class Air:
    """The broker and behind it access points that do what they are told at once. `answers`: what one says; `boots`: who is there, by its boot."""

    def __init__(self) -> None:
        self.boots = dict.fromkeys(ALL, BOOT)
        self.answers: dict[str, list[dict[str, Any]]] = {}
        self.lost: set[str] = set()
        self.sent: dict[str, tuple[str, dict[str, Any]]] = {}
        self.is_closed = False
        self.connects = 1
        self._mids: dict[int, str] = {}
        self._queue: list[Heard] = []

    def subscribe(self, _filters: Iterable[str]) -> None:
        self._queue += [Heard(f"wifi/v1/malang/{ap}/presence", encode({"v": 1, "state": "online", "boot": boot}), True) for ap, boot in self.boots.items()]

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, qos: int = 1) -> int:
        assert (retain, qos) == (False, 1)
        _, ap, below = topics.parse(topic) or ("", "", "")
        self._mids[len(self._mids) + 1] = ap
        if ap not in self.lost:
            said = jws.parse(payload).payload
            self.sent[ap] = (below, said)
            for answer in self.answers.get(ap, [{"state": "accepted"}, {"state": "succeeded", "output": {"seconds": 3}}]):
                self._queue.append(Heard(f"{topic}/result", encode({"v": 1, "id": said["id"]} | answer), False))
        return len(self._mids)

    def wait_published(self, mids: Iterable[int], _within_s: float) -> set[int]:
        return {mid for mid in mids if self._mids[mid] in self.lost}

    def messages(self, most: int, _within_s: float) -> list[Heard]:
        found, self._queue[:most] = self._queue[:most], []
        return found

    def close(self) -> None:
        self.is_closed = True


class Desk:
    """A city whose four access points reported 100 s ago, with `rwctl command` and what it prints."""

    def __init__(self, folder: Path) -> None:
        self.town, self.air, self.out = Town(folder), Air(), io.StringIO()
        for number in (1, 2, 6, 10):
            self.heard(number)

    def heard(self, number: int, *, boot: str | None = BOOT, ago_s: float = 100, uptime_s: object = UPTIME_S, info: dict[str, Any] | None = None) -> None:
        """Let `rwctl serve` have heard a report, and an info."""
        row = (number, boot, int(time.time() - ago_s), json.dumps({"uptime_s": uptime_s}), None if info is None else json.dumps(info))
        with contextlib.closing(store.open_live(self.town.city, is_writer=True)) as live:
            live.execute("INSERT OR REPLACE INTO state (ap, boot, report_at, report, info) VALUES (?, ?, ?, ?, ?)", row)

    def run(self, to: str = "city", order: Order = LOCATE, timeout_s: float = 0.2, connect: Any = None) -> int:
        self.out = io.StringIO()
        screen = Screen(False, Console(file=self.out, width=200, highlight=False, markup=False))
        node, points = commanding.targets(self.town.city, to)
        return commanding.run(self.town.city, node, points, order, Options(None, timeout_s), connect or (lambda: self.air), screen)

    @property
    def text(self) -> str:
        return self.out.getvalue()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_all_succeeded_is_exit_0(desk: Desk) -> None:
    assert desk.run() == 0
    assert "locate seconds=3: sent to 4\n" in desk.text and "succeeded 4" in desk.text
    assert desk.air.is_closed


def test_each_is_signed_for_its_own_boot_and_uptime_with_an_id_of_its_own(desk: Desk) -> None:
    desk.heard(2, boot=OTHER, uptime_s=12.5, ago_s=7)
    desk.air.boots["rw-0002"] = OTHER
    assert desk.run(timeout_s=9) == 0
    assert {below for below, _ in desk.air.sent.values()} == {"command/locate"}
    said = {ap: claims.parse_command(payload, "malang", ap, "locate") for ap, (_, payload) in desk.air.sent.items()}
    assert set(said) == set(ALL)
    assert (said["rw-0001"].boot, said["rw-0002"].boot) == (BOOT, OTHER)
    assert said["rw-0001"].until_uptime_s - (UPTIME_S + 100 + 9 + LATE_S) in (-1, 0, 1, 2)
    assert said["rw-0002"].until_uptime_s - (12.5 + 7 + 9 + LATE_S) == pytest.approx(0, abs=2)
    assert len({one.id for one in said.values()}) == 4
    assert said["rw-0001"].args == {"seconds": 3}


def test_no_timeout_makes_a_command_that_no_access_point_would_take() -> None:
    assert LONGEST_TIMEOUT_S + LATE_S < LONGEST_AHEAD_S


def test_uptimes_are_reckoned_by_the_citys_time_not_by_a_wrong_server_clock(desk: Desk) -> None:
    """`rwctl serve` stamps what comes by the time that the fleet agrees on."""
    off_s = 7200.0
    desk.heard(1, ago_s=100 - off_s)
    (desk.town.city.store / remarks.FILE).write_text(json.dumps({"clock_off_s": off_s}))
    there = commanding.known(desk.town.city, commanding.targets(desk.town.city, "rw-0001")[1])
    assert there["rw-0001"].uptime_s == pytest.approx(UPTIME_S + 100, abs=3)


@pytest.mark.parametrize("state", ["failed", "rejected", "timed_out", "expired"])
def test_one_that_went_wrong_is_exit_1_with_its_reason(desk: Desk, state: str) -> None:
    desk.air.answers["rw-0002"] = [{"state": state, "code": "busy", "message": "a push is under way"}]
    assert desk.run() == 1
    assert f"{state} 1, succeeded 3" in desk.text and "busy; a push is under way" in desk.text


def test_who_is_asked_and_says_nothing_is_silent_and_exit_1(desk: Desk) -> None:
    desk.air.answers["rw-0002"] = [{"state": "running"}]
    assert desk.run() == 1
    assert "silent 1, succeeded 3" in desk.text and "whether it was done is not known" in desk.text


def test_who_is_not_there_is_told_apart_and_never_asked(desk: Desk) -> None:
    """A command waits for nobody: what is retained or queued could be done tomorrow."""
    del desk.air.boots["rw-0006"]
    assert desk.run() == 1
    assert set(desk.air.sent) == set(ALL) - {"rw-0006"}
    assert "sent to 3 of 4" in desk.text and "offline 1, succeeded 3" in desk.text


def test_when_nobody_is_there_nothing_is_signed_and_nothing_recorded(desk: Desk) -> None:
    desk.air.boots = {}
    assert desk.run() == 1
    assert (desk.air.sent, desk.town.audit()) == ({}, [])
    assert "offline 4" in desk.text


def test_who_booted_anew_since_its_last_report_is_not_asked(desk: Desk) -> None:
    """It would refuse what is signed for the boot before."""
    desk.air.boots["rw-0001"] = OTHER
    assert desk.run() == 1
    assert "rw-0001" not in desk.air.sent and "unheard 1, succeeded 3" in desk.text and "try again after its next one" in desk.text


@pytest.mark.parametrize(
    ("there", "online", "why"),
    [
        (Known(BOOT, 1.0, ("locate",)), BOOT, ""),
        (Known(BOOT, 1.0, None), BOOT, ""),
        (Known(BOOT, 1.0, ("locate",)), "", ""),
        (Known(BOOT, 1.0, ("reboot",)), BOOT, "unsupported"),
        (Known(BOOT, 1.0, ()), BOOT, "unsupported"),
        (Known(BOOT, 1.0, ("locate",)), OTHER, "unheard"),
        (None, BOOT, "unheard"),
        (Known(BOOT, 1.0, ("locate",)), None, "offline"),
        (None, None, "offline"),
    ],
)
def test_who_is_not_asked_and_why(there: Known | None, online: str | None, why: str) -> None:
    assert why_not(LOCATE, there, online) == why


@pytest.mark.parametrize(
    ("info", "commands"),
    [(None, None), ({"agent": "0.1.0"}, None), ({"commands": []}, None), ({"commands": ["locate", 7]}, ("locate",)), ({"commands": "locate"}, None)],
)
def test_what_an_access_point_says_that_it_takes(desk: Desk, info: dict[str, Any] | None, commands: tuple[str, ...] | None) -> None:
    """Where it names none, nobody knows, and it is asked: its root's half tells them once it was started."""
    desk.heard(1, info=info)
    assert commanding.known(desk.town.city, commanding.targets(desk.town.city, "rw-0001")[1])["rw-0001"].commands == commands


@pytest.mark.parametrize("hole", [{"boot": None}, {"uptime_s": "long"}, {"uptime_s": None}])
def test_a_report_that_says_too_little_is_none(desk: Desk, hole: dict[str, Any]) -> None:
    desk.heard(1, **hole)
    assert commanding.known(desk.town.city, commanding.targets(desk.town.city, "rw-0001")[1]) == {}


def test_it_is_on_record_before_anything_leaves(desk: Desk) -> None:
    """Who asked what of whom, under which ids, with which key."""
    seen: list[int] = []
    real = desk.air.publish

    def publish(*words: Any, **more: Any) -> int:
        seen.append(len(desk.town.audit()))
        return real(*words, **more)

    desk.air.publish = publish  # type: ignore[method-assign]  # to look at the log at that moment
    desk.run("tag=market")
    assert seen == [1]
    ((what, entry),) = desk.town.audit()
    assert (what, entry["to"], entry["name"], entry["args"], entry["kid"]) == ("command", "tag=market", "locate", {"seconds": 3}, KEY.kid)
    assert entry["ids"] == {"rw-0010": desk.air.sent["rw-0010"][1]["id"]}


def test_what_the_broker_did_not_take_is_said_and_not_waited_for(desk: Desk) -> None:
    desk.air.lost = {"rw-0001"}
    assert desk.run(timeout_s=60) == 1
    assert "sent to 3 of 4" in desk.text and "not sent 1" in desk.text


def test_a_locked_key_is_told_before_the_broker_is_asked(desk: Desk) -> None:
    desk.town.city.signing_key.unlink()

    def connect() -> Air:
        raise AssertionError("it connected")

    with pytest.raises(Refused, match="cannot be read"):
        desk.run(connect=connect)


def test_interrupted_it_says_that_what_was_sent_goes_on(desk: Desk) -> None:
    desk.air.answers = {ap: [] for ap in ALL}
    real = desk.air.messages

    def interrupted(most: int, _within_s: float) -> list[Heard]:
        if desk.air.sent:
            raise KeyboardInterrupt
        return real(most, _within_s)

    desk.air.messages = interrupted  # type: ignore[method-assign]  # Ctrl-C while waiting
    assert desk.run() == 1
    assert "what was sent goes on" in desk.text and "silent 4" in desk.text


def test_interrupted_while_it_is_sent_it_says_so_too(desk: Desk) -> None:
    """It is on record, and some of it may be on its way."""

    def wait_published(mids: Iterable[int], _within_s: float) -> set[int]:
        raise KeyboardInterrupt

    desk.air.wait_published = wait_published  # type: ignore[method-assign]  # Ctrl-C while sending
    assert desk.run() == 1
    assert "what was sent goes on" in desk.text and "silent 4" in desk.text


def test_after_the_connection_was_away_those_of_whom_nothing_came_are_told_the_very_same_again(desk: Desk) -> None:
    """A result is told once, perhaps to nobody: for its id told again the first one comes again, and nothing is done twice."""
    desk.air.answers = {ap: [] for ap in ALL[1:]}
    first: dict[str, tuple[str, dict[str, Any]]] = {}
    real = desk.air.messages

    def messages(most: int, _within_s: float) -> list[Heard]:
        if len(desk.air.sent) == len(ALL) and not first:
            first.update(desk.air.sent)
            desk.air.sent, desk.air.answers = {}, {}
            desk.air.connects = 2
        return real(most, _within_s)

    desk.air.messages = messages  # type: ignore[method-assign]  # the broker began anew
    assert desk.run(timeout_s=20) == 0
    assert desk.air.sent == {ap: first[ap] for ap in ALL[1:]}


def test_of_who_is_silent_and_named_no_command_it_is_said_that_nobody_may_be_there_to_answer(desk: Desk) -> None:
    desk.heard(1, info={"commands": []})
    desk.heard(2, info={"commands": ["locate"]})
    desk.air.answers = {"rw-0001": [], "rw-0002": []}
    assert desk.run() == 1
    lines = {line.split()[0]: line for line in desk.text.splitlines() if line.startswith("rw-")}
    assert "does rwagent-apply run there?" in lines["rw-0001"] and "does rwagent-apply" not in lines["rw-0002"]


def test_a_node_that_nobody_is_below_is_told_with_what_is_close(desk: Desk) -> None:
    with pytest.raises(BadInput, match=r"did you mean .*rw-0001"):
        desk.run("rw-001")


@pytest.mark.parametrize(
    ("name", "count", "is_asked"), [("reboot", 1, False), ("reboot", 2, True), ("reload-wifi", 2, True), ("kick", 2, True), ("locate", 551, False)]
)
def test_only_what_costs_somebody_something_must_be_meant_for_many(name: str, count: int, is_asked: bool) -> None:
    assert bool(commanding.cost(Order(name, {}), count)) == is_asked
