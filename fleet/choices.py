"""What may be typed here: access points, nodes and `--where`, for the shell's completion. Silent about everything that goes wrong.

Nothing but the standard library is loaded until the city's store is really asked: the shell waits at every press of the key.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

MOST = 2_000
NODES = ("kecamatan", "kelurahan", "rw", "tag", "ap")


def access_points(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Offer the IDs of the inventory."""
    return _beginning(incomplete, (row[0] for row in _ask(ctx, "SELECT id FROM inventory WHERE revoked_at IS NULL ORDER BY id")))


def kelurahan(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Offer the kelurahan that have an access point."""
    return _beginning(incomplete, _values(ctx, "kelurahan"))


def nodes(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Offer what may stand behind `--to`: the levels, then the names of one, and the IDs."""
    level, equals, _ = incomplete.partition("=")
    if not equals:
        return _beginning(incomplete, ["city", *(f"{level}=" for level in NODES)]) + access_points(ctx, _parameter, incomplete)
    if level not in NODES:
        return []
    return _beginning(incomplete, (f"{level}={name}" for name in _names(ctx, level)))


def expression(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Offer how a `--where` goes on: a field, the values of one that has few, and what joins two comparisons."""
    from fleet.where import CLOSED, FIELDS, OPERATORS, WORDS  # only for a --where

    word = incomplete[max(incomplete.rfind(mark) for mark in " (\t") + 1 :]
    head = incomplete[: len(incomplete) - len(word)]
    for sign in sorted(OPERATORS, key=len, reverse=True):
        field, found, begun = word.partition(sign)
        if found and field.casefold() in FIELDS:
            values = CLOSED.get(field.casefold()) or _values(ctx, field.casefold())
            return [f"{head}{field}{sign}{_quoted(value)}" for value in _beginning(begun.lstrip("\"'"), values)]
    before = head.split()
    is_between = bool(before) and before[-1].casefold() not in WORDS and not before[-1].endswith("(")
    return [head + offer for offer in _beginning(word, ["and ", "or "] if is_between else [*FIELDS, "not "])]


def _quoted(value: str) -> str:
    return f"'{value}'" if " " in value else value


def _names(ctx: click.Context, level: str) -> list[str]:
    if level == "rw":
        return [f"{kelurahan}/{rw}" for kelurahan, rw in _ask(ctx, "SELECT DISTINCT kelurahan, rw FROM inventory WHERE revoked_at IS NULL ORDER BY 1, 2")]
    return _values(ctx, {"tag": "tags", "ap": "id"}.get(level, level))


def _values(ctx: click.Context, field: str) -> list[str]:
    """Give what a column of the inventory has, each once."""
    if field == "tags":
        return sorted({tag for (tags,) in _ask(ctx, "SELECT DISTINCT tags FROM inventory WHERE revoked_at IS NULL") for tag in tags.split()})
    if field not in ("id", "rw", "kelurahan", "kecamatan", "provider"):
        return []
    return [name for (name,) in _ask(ctx, f"SELECT DISTINCT {field} FROM inventory WHERE revoked_at IS NULL ORDER BY 1")]


def _ask(ctx: click.Context, question: str) -> list[tuple[str, ...]]:
    import sqlite3

    # The shell has not expanded what it asks to complete.
    folder = os.path.expanduser(os.path.expandvars(ctx.obj if isinstance(ctx.obj, Path) else "."))
    path = os.path.abspath(os.path.join(folder, "store", "city.db"))
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=0.5)
        try:
            return connection.execute(question).fetchall()
        finally:
            connection.close()
    except sqlite3.Error:
        return []


def _beginning(incomplete: str, offers: Iterable[str]) -> list[str]:
    """Keep what begins so, also in other letters' case."""
    begun = incomplete.casefold()
    return [offer for offer in offers if offer.casefold().startswith(begun)][:MOST]
