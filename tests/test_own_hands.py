"""What the daemon does of itself: each ending, in words that quote nobody."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from agent.errors import Unavailable
from agent.own_hands import OwnHands
from agent.sensing import Overrun
from tests.fakes.router import FakeRouter


def done(run: Callable[[dict[str, Any], OwnHands], object]) -> dict[str, object]:
    """Run a command of this content, and give how it ended."""
    module = ModuleType("x")
    module.__dict__.update(NAME="x", run=run)
    names: Any = SimpleNamespace(name=lambda mac: "0123456789ab")
    router: Any = FakeRouter()
    told = OwnHands(router, names, lambda: 41, lambda call: call()).run("id", module, {"a": 1})
    assert told["id"] == "id" and isinstance(told["took_ms"], int)
    return told


def fault(error: BaseException) -> Callable[[dict[str, Any], OwnHands], object]:
    """Make a command that raises."""

    def run(args: dict[str, Any], hands: OwnHands) -> object:
        raise error

    return run


def test_what_it_gives_is_told() -> None:
    """With its arguments and hands."""
    told = done(lambda args, hands: {"seq": hands.report(), **args})
    assert (told["state"], told["output"]) == ("succeeded", {"seq": 41, "a": 1})


@pytest.mark.parametrize(
    ("error", "state", "code"),
    [
        (Unavailable("no radio at de:ad:be:ef:00:01"), "failed", "unavailable"),
        (KeyError("de:ad:be:ef:00:01"), "failed", "internal"),
        (Overrun(), "timed_out", "timed_out"),
    ],
)
def test_what_it_cannot_give_is_told(error: BaseException, state: str, code: str) -> None:
    """By code, and without an address."""
    told = done(fault(error))
    assert (told["state"], told["code"]) == (state, code) and "de:ad" not in str(told)


def test_stations_have_pseudonyms() -> None:
    """None where there is no Wi-Fi."""
    assert done(lambda args, hands: {"stations": hands.stations()})["output"] == {"stations": []}
