"""`kick`: send one station away, named by the pseudonym that `stations` gave it, and keep it away for a while."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from agent import arguments, checked

if TYPE_CHECKING:
    from agent.change import Fault
    from agent.router.hands import Hands

NAME, BY, CLASS = "kick", "root", "act"
EVERY_S, LIMIT_S, ALONE = 1.0, 10.0, False
_STATION = "a pseudonym of 12 hex digits as `stations` gives it"


def check(args: Mapping[str, object]) -> list[Fault]:
    """Name what is wrong: `station` must be there, `ban_s` is 0 to 3600 seconds."""
    return arguments.some(args, {"station": arguments.hexadecimal(12, _STATION), "ban_s": checked.whole(0, 3600)}, {"station": _STATION})


def run(args: Mapping[str, object], hands: Hands) -> dict[str, object]:
    """Send it away; give the networks that it was on."""
    ban_s = arguments.number(args, "ban_s", 0)
    return {"ssids": hands.kick(str(args["station"]), ban_s), "ban_s": ban_s}
