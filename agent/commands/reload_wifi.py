"""`reload-wifi`: the radios are set up anew as they are configured, which may send stations away for seconds. Changes no configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from agent import arguments

if TYPE_CHECKING:
    from agent.change import Fault
    from agent.router.hands import Hands

NAME, BY, CLASS = "reload-wifi", "root", "act"
EVERY_S, LIMIT_S, ALONE = 30.0, 60.0, True


def check(args: Mapping[str, object]) -> list[Fault]:
    """Find nothing wrong with no arguments."""
    return arguments.none(NAME, args)


def run(args: Mapping[str, object], hands: Hands) -> dict[str, object]:
    """Set them up; give the networks that are on air after it."""
    return {"on_air": hands.reload_wifi()}
