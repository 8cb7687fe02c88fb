"""What may be kept of a message: at every depth only the members that the contract names, each of its kind, without a station's address or a key.

The schemas of agent/wire become functions once; what is kept of reports is pruned thousands of times a second.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from agent.wire.shapes import Schema
from fleet import quarantine

Prune = Callable[[Any], Any]

ABSENT: Any = object()  # in place of a value that may not be kept
LONGEST_WORD = 64  # where a schema names no length
MOST_NAMES = 1_000  # of an object whose members have names of their own
MOST_REMEMBERED, LONGEST_REMEMBERED = 16_384, 128
_NUMBERS: frozenset[type] = frozenset((int, float))
_TYPES: dict[str, frozenset[type]] = {"number": _NUMBERS, "integer": _NUMBERS, "boolean": frozenset((bool,))}
# What looks like an address and is none of a station: the access point's own, as its topic and its radios have it.
_OWN = frozenset(("ap", "bssid"))


def pruner(schema: Schema) -> Prune:
    """Make the function that gives what may be kept of a value (ABSENT: nothing). It never raises, whatever JSON it is given."""
    return _made("", schema)


def _made(name: str, schema: Schema) -> Prune:
    kind = schema.get("type", "string" if "anyOf" in schema else "")
    if kind in _TYPES:
        return _plain(_TYPES[kind])
    if kind == "string":
        return _text(name, schema)
    if kind == "array":
        return _listed(_made(name, schema["items"]), schema["maxItems"])
    if "properties" in schema:
        return _table(schema["properties"])
    return _named(schema) if "additionalProperties" in schema else quarantine.starred


def _table(members: dict[str, Schema]) -> Prune:
    """An object whose members the contract names. The texts that passed are remembered: they come over and over."""
    types = {name: _TYPES[schema["type"]] for name, schema in members.items() if schema.get("type") in _TYPES}
    others = {name: _made(name, schema) for name, schema in members.items() if name not in types}
    numbers = frozenset(name for name, allowed in types.items() if allowed is _NUMBERS)
    passed: dict[str, set[str]] = {name: set() for name in others}
    no_types, no_texts = frozenset[type](), frozenset[str]()

    def prune(value: Any) -> Any:
        if type(value) is not dict:
            return ABSENT
        if numbers.issuperset(value) and _NUMBERS.issuperset(map(type, value.values())):
            return value
        kept = {}
        for name, inner in value.items():
            kind = type(inner)
            if kind in types.get(name, no_types) or (kind is str and inner in passed.get(name, no_texts)):
                kept[name] = inner
            elif name in others and (left := others[name](inner)) is not ABSENT:
                kept[name] = left
                if kind is str and left == inner and len(inner) <= LONGEST_REMEMBERED:
                    _remember(passed[name], inner)
        return kept

    return prune


def _remember(texts: set[str], text: str) -> None:
    if len(texts) >= MOST_REMEMBERED:
        texts.clear()
    texts.add(text)


def _named(schema: Schema) -> Prune:
    """An object whose members have names of their own, and all the same shape."""
    inside = _made("", schema["additionalProperties"])
    fits = re.compile(schema.get("propertyNames", {}).get("pattern", "")).search
    passed: set[str] = set()

    def may_stay(name: str) -> bool:
        if not fits(name) or len(name) > LONGEST_REMEMBERED or quarantine.clean(name) != name:
            return False
        _remember(passed, name)
        return True

    def prune(value: Any) -> Any:
        if type(value) is not dict:
            return ABSENT
        pruned = ((name, inside(inner)) for name, inner in list(value.items())[:MOST_NAMES] if name in passed or may_stay(name))
        return {name: inner for name, inner in pruned if inner is not ABSENT}

    return prune


def _listed(inside: Prune, most: int) -> Prune:
    def prune(value: Any) -> Any:
        if type(value) is not list:
            return ABSENT
        return [inner for inner in map(inside, value[:most]) if inner is not ABSENT]

    return prune


def _text(name: str, schema: Schema) -> Prune:
    longest: int = schema.get("maxLength", LONGEST_WORD)
    fits = re.compile(schema.get("pattern", "")).search
    clean = str if name in _OWN else quarantine.clean_ssid if name == "ssid" else quarantine.clean

    def prune(value: Any) -> Any:
        return clean(value)[:longest] if type(value) is str and fits(value) else ABSENT

    return prune


def _plain(types: frozenset[type]) -> Prune:
    def prune(value: Any) -> Any:
        return value if type(value) in types else ABSENT

    return prune
