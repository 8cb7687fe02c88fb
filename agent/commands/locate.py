"""`locate`: the access point blinks, so that whoever stands before five white boxes knows which one is meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from agent import arguments, checked

if TYPE_CHECKING:
    from agent.change import Fault
    from agent.router.hands import Hands

NAME, BY, CLASS = "locate", "root", "act"
EVERY_S, LIMIT_S, ALONE = 1.0, 10.0, False
SECONDS = 30


def check(args: Mapping[str, object]) -> list[Fault]:
    """Name what is wrong: `seconds` is 1 to 600."""
    return arguments.some(args, {"seconds": checked.whole(1, 600)})


def run(args: Mapping[str, object], hands: Hands) -> dict[str, object]:
    """Begin to blink; give the LEDs that do, and for how long."""
    seconds = arguments.number(args, "seconds", SECONDS)
    return {"leds": hands.blink(seconds), "seconds": seconds}
