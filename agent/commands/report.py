"""`report`: a report now, out of its turn. It goes the way of every other; the result says which one it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.change import Fault
    from agent.router.hands import OwnHands

NAME, BY, CLASS = "report", "agent", "ask"
EVERY_S, LIMIT_S, ALONE = 2.0, 10.0, False


def check(args: Mapping[str, object]) -> list[Fault]:
    """Find nothing wrong with no arguments."""
    # Only root checks: the daemon, which runs it, never carries the rules.
    from agent import arguments

    return arguments.none(NAME, args)


def run(args: Mapping[str, object], hands: OwnHands) -> dict[str, object]:
    """Have a report made; give its `seq`."""
    return {"seq": hands.report()}
