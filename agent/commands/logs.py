"""`logs`: the newest lines of the access point's log, without addresses, host names, keys or what anybody looked up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from agent import arguments, checked

if TYPE_CHECKING:
    from agent.change import Fault
    from agent.router.hands import Hands

NAME, BY, CLASS = "logs", "root", "ask"
EVERY_S, LIMIT_S, ALONE = 5.0, 15.0, False
LINES = 100
MOST_BYTES = 32 * 1024  # of all lines together, as they travel


def check(args: Mapping[str, object]) -> list[Fault]:
    """Name what is wrong: `lines` is 1 to 500, `match` plain text that a line must hold."""
    return arguments.some(args, {"lines": checked.whole(1, 500), "match": arguments.text(64, "plain text of 1 to 64 bytes that prints")})


def run(args: Mapping[str, object], hands: Hands) -> dict[str, object]:
    """Give the lines, oldest first; `left_out`: how many more matched and had no room, or are nobody's to see."""
    found = hands.log(arguments.number(args, "lines", LINES), str(args.get("match", "")))
    lines = fitting(found.lines)
    return {"lines": lines, "left_out": found.left_out + len(found.lines) - len(lines)}


def fitting(lines: tuple[str, ...]) -> list[str]:
    """Give the newest that fit into `MOST_BYTES`, as JSON writes them at worst."""
    kept: list[str] = []
    room = MOST_BYTES
    for line in reversed(lines):
        # Quotes, a comma, and an escape for each of these two.
        room -= len(line.encode()) + 4 + line.count('"') + line.count("\\")
        if room < 0:
            break
        kept.append(line)
    return kept[::-1]
