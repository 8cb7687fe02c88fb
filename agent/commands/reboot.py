"""`reboot`: the access point starts anew a few seconds after it said so, and never in the midst of a push."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from agent import arguments, checked

if TYPE_CHECKING:
    from agent.change import Fault
    from agent.router.hands import Hands

NAME, BY, CLASS = "reboot", "root", "act"
EVERY_S, LIMIT_S, ALONE = 60.0, 10.0, True
DELAY_S = 5
SAYING_S = 3  # what the result needs to get out: the daemon looks for it each second


def check(args: Mapping[str, object]) -> list[Fault]:
    """Name what is wrong: `delay_s` is 0 to 300."""
    return arguments.some(args, {"delay_s": checked.whole(0, 300)})


def run(args: Mapping[str, object], hands: Hands) -> dict[str, object]:
    """Begin it; give the seconds until it happens, which are enough for this to be heard."""
    delay_s = max(SAYING_S, arguments.number(args, "delay_s", DELAY_S))
    hands.reboot(delay_s)
    return {"delay_s": delay_s}
