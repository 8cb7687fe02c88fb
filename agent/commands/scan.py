"""`scan`: which networks are in the air, their addresses as pseudonyms. A radio that listens elsewhere leaves its stations waiting for seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from agent import arguments, checked

if TYPE_CHECKING:
    from agent.change import Fault
    from agent.router.hands import Hands, Heard

NAME, BY, CLASS = "scan", "root", "ask"
EVERY_S, LIMIT_S, ALONE = 10.0, 40.0, False


def check(args: Mapping[str, object]) -> list[Fault]:
    """Name what is wrong: `band` limits it to one."""
    return arguments.some(args, {"band": checked.choice("2g", "5g", "6g")})


def run(args: Mapping[str, object], hands: Hands) -> dict[str, object]:
    """Listen once; give the strongest networks, how many were left out, and which bands could not be listened to, with the reason."""
    band = args.get("band")
    heard = hands.scan(band if isinstance(band, str) else None)
    output: dict[str, object] = {"networks": [_row(one) for one in heard.networks], "left_out": heard.left_out}
    return output | {"silent": dict(heard.silent)} if heard.silent else output


def _row(one: Heard) -> dict[str, object]:
    return {name: value for name, value in one._asdict().items() if value is not None}
