"""`restart-agent`: the daemon begins anew, after the result was sent. The network is not touched, and what was not sent yet stays in the outbox."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.change import Fault
    from agent.router.hands import OwnHands

NAME, BY, CLASS = "restart-agent", "agent", "act"
EVERY_S, LIMIT_S, ALONE = 60.0, 10.0, False


def check(args: Mapping[str, object]) -> list[Fault]:
    """Find nothing wrong with no arguments."""
    # Only root checks: the daemon, which runs it, never carries the rules.
    from agent import arguments

    return arguments.none(NAME, args)


def run(args: Mapping[str, object], hands: OwnHands) -> dict[str, object]:
    """Have the daemon begin anew."""
    hands.restart()
    return {}
