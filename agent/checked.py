"""How the parts of a document are checked, and how what is wrong with them is said. Takes any value at all and never raises.

Nothing of a value that could be a secret is said; whatever is said prints on one line.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping

from agent.change import Fault

Check = Callable[[str, object], list[Fault]]

MOST_SHOWN = 40  # characters of a value
MOST_UNKNOWN = 32  # members, each with its own fault; a document has room for thousands
_SEGMENT = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
# C0, DEL and C1; line and paragraph separator; lone surrogates, which no UTF-8 has; and what turns the direction of the text on a screen.
UNPRINTABLE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ud800-\\udfff]")


def shown(value: object) -> str:
    """Give a value for a sentence, shortened and without anything that does not print."""
    if isinstance(value, str):
        text = "".join(_escaped(character) for character in value[:MOST_SHOWN])
        return f'"{text}"' if len(value) <= MOST_SHOWN else f'"{text}…" ({len(value)} characters)'
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        # More digits than a sentence has room for are more than Python may be willing to print.
        return str(value) if abs(value) < 10**20 else "a number of more than 20 digits"
    return repr(value) if isinstance(value, float) else kind(value)


def kind(value: object) -> str:
    """Say what sort of value it is and nothing more."""
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, str):
        return "text"
    if value is None or isinstance(value, bool):
        return shown(value)
    return "a number" if isinstance(value, int | float) else "something else"


def below(path: str, name: object) -> str:
    """Give the path of a member, whatever its name is."""
    segment = name if isinstance(name, str) and _SEGMENT.fullmatch(name) else shown(name)
    return f"{path}.{segment}" if path else segment


def fault(path: str, code: str, value: str, allowed: str) -> Fault:
    """Make a fault in the words that all of them have: what is there, and what is allowed."""
    return Fault(path, code, f"{path or 'the document'} is {value}, expected {allowed}")


def unknown(path: str, name: object, known: Iterable[str]) -> Fault:
    """Make the fault of a name that is not known, with the nearest one that is."""
    names = list(known)
    near = difflib.get_close_matches(name, names, 1, 0.6) if isinstance(name, str) and len(name) <= 64 else []
    hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(names)}"
    return Fault(below(path, name), "unknown", f"{below(path, name)} is not known, {hint}")


def members(path: str, value: object, checks: Mapping[str, Check], required: Mapping[str, str] | None = None) -> list[Fault]:
    """Check a table's members, each by its own check, in the document's order; `required` says of what must be there what is allowed."""
    if not isinstance(value, dict):
        return [fault(path, "type", kind(value), f"a table of {', '.join(checks)}")]
    faults: list[Fault] = []
    strangers = 0
    for name, member in value.items():
        check = checks.get(name) if isinstance(name, str) else None
        if check is not None:
            # A word of ours needs no look at what it is made of.
            faults += check(f"{path}.{name}" if path else name, member)
            continue
        strangers += 1
        if strangers <= MOST_UNKNOWN:
            faults.append(unknown(path, name, checks))
    if strangers > MOST_UNKNOWN:
        faults.append(fault(path, "unknown", f"a table with {strangers} members that are not known", f"only {', '.join(checks)}"))
    missing = [(name, allowed) for name, allowed in (required or {}).items() if name not in value]
    return faults + [Fault(below(path, name), "required", f"{below(path, name)} is missing, expected {allowed}") for name, allowed in missing]


def number(value: object) -> int | None:
    """Give a whole number as such, also when it is written 60.0; None for anything else. True is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if isinstance(value, int) or value.is_integer() else None


def whole(low: int, high: int) -> Check:
    """Make the check for a whole number of a range."""

    def check(path: str, value: object) -> list[Fault]:
        found = number(value)
        if found is None:
            return [fault(path, "type", shown(value), f"a whole number from {low} to {high}")]
        return [] if low <= found <= high else [fault(path, "range", shown(value), f"{low} to {high}")]

    return check


def yes_no(path: str, value: object) -> list[Fault]:
    """Check for true or false, which 0 and 1 are not."""
    return [] if isinstance(value, bool) else [fault(path, "type", shown(value), "true or false")]


def choice(*words: str) -> Check:
    """Make the check for one of a closed list of words, the nearest of which is named."""

    def check(path: str, value: object) -> list[Fault]:
        if isinstance(value, str) and value in words:
            return []
        near = difflib.get_close_matches(value, words, 1, 0.6) if isinstance(value, str) and len(value) <= 64 else []
        hint = f" (did you mean {near[0]}?)" if near else ""
        return [fault(path, "choice" if isinstance(value, str) else "type", shown(value), f"one of {', '.join(words)}{hint}")]

    return check


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
