"""What counts as an access point's answer to a command, and when nobody need wait any more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.wire.messages import encode
from fleet.city import City
from fleet.results import Hearing, Results, Row
from tests.fleet.pushed_city import Heard

BELOW = "command/locate/result"


def results(**apart: str) -> Results:
    return Results("locate", {"rw-0001": "one", "rw-0002": "two"}, {name.replace("_", "-"): why for name, why in apart.items()})


def states(found: list[Row]) -> dict[str, str]:
    return {row.ap: row.state for row in found}


def test_each_is_on_its_way_until_it_says_something_and_silent_in_the_end() -> None:
    found = results(rw_0003="offline")
    assert states(found.rows) == {"rw-0001": "sent", "rw-0002": "sent", "rw-0003": "offline"}
    found.take("rw-0001", BELOW, {"id": "one", "state": "running"})
    assert states(found.ended()) == {"rw-0001": "silent", "rw-0002": "silent", "rw-0003": "offline"}
    assert not found.is_over


@pytest.mark.parametrize("state", ["succeeded", "failed", "rejected", "timed_out", "expired"])
def test_it_is_over_when_all_who_were_asked_have_ended(state: str) -> None:
    found = results(rw_0003="offline")
    found.take("rw-0001", BELOW, {"id": "one", "state": "succeeded"})
    assert not found.is_over
    found.take("rw-0002", BELOW, {"id": "two", "state": state})
    assert found.is_over
    assert states(found.ended())["rw-0002"] == state


@pytest.mark.parametrize(
    ("ap", "below", "message"),
    [
        ("rw-0001", BELOW, {"id": "two", "state": "succeeded"}),
        ("rw-0001", "command/scan/result", {"id": "one", "state": "succeeded"}),
        ("rw-0001", BELOW, {"id": "one", "state": "splendid"}),
        ("rw-0001", BELOW, {"id": "one"}),
        ("rw-0001", BELOW, {"id": None, "state": "succeeded"}),
        ("rw-0001", BELOW, {"state": "rejected", "code": "retained"}),
        ("rw-0009", BELOW, {"id": "one", "state": "succeeded"}),
    ],
)
def test_what_is_about_another_command_or_nobody_of_ours_is_none(ap: str, below: str, message: dict[str, Any]) -> None:
    found = results()
    found.take(ap, below, message)
    assert states(found.rows) == {"rw-0001": "sent", "rw-0002": "sent"}


def test_the_first_ending_stays() -> None:
    """A result that comes again, or a late `running`, changes nothing."""
    found = results()
    for state in ("succeeded", "running", "failed"):
        found.take("rw-0001", BELOW, {"id": "one", "state": state})
    assert states(found.rows)["rw-0001"] == "succeeded"


def test_who_the_broker_did_not_take_it_for_is_not_waited_for() -> None:
    found = results()
    found.not_taken(["rw-0001"])
    found.take("rw-0002", BELOW, {"id": "two", "state": "succeeded"})
    assert found.is_over
    assert states(found.ended())["rw-0001"] == "not sent"


def test_values_of_the_wrong_kind_are_not_there() -> None:
    row = Row("rw-0001", "failed", {"code": 7, "message": ["x"], "output": [1], "took_ms": True})
    assert (row.code, row.said, row.output, row.took_ms) == ("", "", {}, None)


class Wire:
    """A broker's side that gives what it is told to."""

    def __init__(self) -> None:
        self.filters: list[str] = []
        self.coming: list[Heard] = []

    def subscribe(self, filters: Any) -> None:
        self.filters += filters

    def messages(self, _most: int, _within_s: float) -> list[Heard]:
        found, self.coming = self.coming, []
        return found


def hearing(count: int = 2) -> tuple[Wire, Hearing]:
    wire = Wire()
    return wire, Hearing(City(Path("."), "malang"), wire, [f"rw-{number:04d}" for number in range(1, count + 1)], "locate")


def test_it_listens_to_presence_and_the_results_of_this_command_only() -> None:
    wire, _ = hearing(1)
    assert sorted(wire.filters) == ["wifi/v1/malang/rw-0001/command/locate/result", "wifi/v1/malang/rw-0001/presence"]
    assert "wifi/v1/malang/+/command/locate/result" in hearing(101)[0].filters


def test_who_is_online_is_known_with_the_boot_of_its_birth() -> None:
    wire, ear = hearing()
    root = "wifi/v1/malang/rw-000"
    wire.coming = [
        Heard(f"{root}1/presence", encode({"v": 1, "state": "online", "boot": "b" * 16}), True),
        Heard(f"{root}2/presence", encode({"v": 1, "state": "online", "boot": "c" * 16}), True),
        Heard(f"{root}2/presence", encode({"v": 1, "state": "lost"}), False),
        Heard(f"{root}9/presence", encode({"v": 1, "state": "online"}), True),
        Heard(f"{root}1/command/locate/result", b"\xff{", False),
        Heard(f"{root}1/command/locate/result", encode({"id": "one", "state": "succeeded"}), False),
    ]
    found = results()
    ear.listen(0, found)
    assert ear.online == {"rw-0001": "b" * 16}
    assert states(found.rows) == {"rw-0001": "succeeded", "rw-0002": "sent"}
