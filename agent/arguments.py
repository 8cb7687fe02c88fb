"""How a command's arguments are checked: as the parts of a document are, below the word `args`. Pure; takes any table and never raises."""

from __future__ import annotations

from collections.abc import Mapping

from agent import checked
from agent.change import Fault
from agent.checked import Check

PATH = "args"


def none(name: str, args: Mapping[str, object]) -> list[Fault]:
    """Check that a command which takes no arguments got none."""
    return [Fault(PATH, "unknown", f"{PATH} has {len(args)} members, expected none: `{name}` takes no arguments")] if args else []


def some(args: Mapping[str, object], checks: Mapping[str, Check], required: Mapping[str, str] | None = None) -> list[Fault]:
    """Check each argument by its own check; `required` says of what must be there what is allowed."""
    return checked.members(PATH, dict(args), checks, required)


def text(most: int, allowed: str) -> Check:
    """Make the check for a text of 1 to `most` bytes of UTF-8 in which everything prints."""

    def check(path: str, value: object) -> list[Fault]:
        if not isinstance(value, str):
            return [checked.fault(path, "type", checked.shown(value), allowed)]
        if not value or checked.UNPRINTABLE.search(value) or len(value.encode()) > most:
            return [checked.fault(path, "range", checked.shown(value), allowed)]
        return []

    return check


def hexadecimal(digits: int, allowed: str) -> Check:
    """Make the check for a text of exactly so many hex digits in lower case."""

    def check(path: str, value: object) -> list[Fault]:
        if isinstance(value, str) and len(value) == digits and not value.strip("0123456789abcdef"):
            return []
        return [checked.fault(path, "type", checked.shown(value), allowed)]

    return check


def number(args: Mapping[str, object], name: str, default: int) -> int:
    """Give a whole number that was checked, as such; `default` where it is not named."""
    found = checked.number(args.get(name, default))
    return default if found is None else found
