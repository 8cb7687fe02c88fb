"""The words the schemas are written in: each makes one small JSON Schema that opens with what the value means.

Pure; knows no payload.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.wire.messages import MAX_INTEGER
from agent.wire.topics import NAME_PATTERN

Schema = dict[str, Any]

EXTENSION = "extension: DESIGN.md does not show this member"
YEAR_2100 = 4_102_444_800
KID_PATTERN = "^[0-9a-f]{16}$"


def of(kind: str, meaning: str, **limits: object) -> Schema:
    """Describe a value of one JSON type."""
    return {"type": kind, "description": meaning, **limits}


def text(meaning: str, longest: int, **limits: object) -> Schema:
    """Describe a text of at most `longest` characters."""
    return of("string", meaning, maxLength=longest, **limits)


def one_of(values: Sequence[str], meaning: str) -> Schema:
    """Describe a text of a closed list."""
    return of("string", meaning, enum=list(values))


def known(values: Sequence[str], meaning: str, pattern: str = NAME_PATTERN) -> Schema:
    """Describe a text of a list that may grow within version 1: the closed form is `anyOf`'s first branch."""
    return {"description": meaning, "anyOf": [{"enum": list(values)}, {"type": "string", "pattern": pattern}]}


def anything(meaning: str) -> Schema:
    """Describe a value of any JSON type but null."""
    return {"description": meaning, "not": {"type": "null"}}


def flag(meaning: str) -> Schema:
    """Describe a truth."""
    return of("boolean", meaning)


def gauge(meaning: str, lowest: float = 0, **limits: object) -> Schema:
    """Describe a number that goes up and down; a mean in a merged report, so not always whole."""
    return of("number", meaning, minimum=lowest, **limits)


def ratio(meaning: str) -> Schema:
    """Describe a share, 0 to 1."""
    return gauge(f"{meaning} Ratio, 0 to 1.", maximum=1)


def whole(meaning: str, lowest: int = 0, highest: int = MAX_INTEGER) -> Schema:
    """Describe a whole number."""
    return of("integer", meaning, minimum=lowest, maximum=highest)


def dbm(meaning: str, lowest: int, highest: int) -> Schema:
    """Describe a power or a level."""
    return gauge(f"{meaning} dBm.", lowest, maximum=highest)


def array(meaning: str, items: Schema, most: int) -> Schema:
    """Describe a list of at most `most` items."""
    return of("array", meaning, items=items, maxItems=most)


def record(meaning: str, members: dict[str, Schema], required: Sequence[str] = ()) -> Schema:
    """Describe an object of named members."""
    schema = of("object", meaning, properties=members)
    return schema | {"required": list(required)} if required else schema


def extra(schema: Schema) -> Schema:
    """Mark a member that DESIGN.md does not show."""
    return schema | {"$comment": EXTENSION}


def moment(meaning: str) -> Schema:
    """Describe a moment in Unix seconds."""
    return gauge(f"{meaning} Unix seconds, UTC.", maximum=YEAR_2100)


def strict(schema: Schema) -> Schema:
    """Close a schema: no member it does not name, no value of a growing list it does not know."""
    closed = {word: _strict(value) for word, value in schema.items()}
    if "anyOf" in closed:
        closed["anyOf"] = schema["anyOf"][:1]
    if closed.get("type") == "object" and "properties" in closed:
        closed["additionalProperties"] = False
    return closed


def _strict(value: object) -> object:
    if isinstance(value, dict):
        return strict(value)
    return [_strict(each) for each in value] if isinstance(value, list) else value


# What more than one payload has.
V = of("integer", "Version of the contract.", const=1)
AP = text("The access point: its MQTT client id and its certificate's CN.", 48, pattern=NAME_PATTERN)
AT = moment("End of the span, or moment of the event; absent while the clock is unknown.")
BOOT = text("Which boot of the router: the first 16 hex digits of the kernel's boot_id.", 16, pattern="^[0-9a-f]{16}$")
SESSION = text("Which MQTT connection; new with each.", 16, pattern="^[0-9a-f]{16}$")
