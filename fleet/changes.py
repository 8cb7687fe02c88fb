"""What the store knows of config: each push as a change, the layer in force of each node, and each access point's revisions.

Writes only what it is told to, inside the caller's transaction; documents have names where keys stood.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import NamedTuple

from agent.wire import claims
from fleet.layers import Document, Layer
from fleet.selector import Node

NEWEST = "revision = (SELECT max(newest.revision) FROM revisions AS newest WHERE newest.ap = revisions.ap)"


class Change(NamedTuple):
    """One push or revert, as an operator did it."""

    number: int
    at: int
    author: str
    kind: str
    node: Node
    document: Document
    note: str


class Revision(NamedTuple):
    """What one access point was told. `ap` is its number; `published_at` None: the broker has not taken it."""

    ap: int
    revision: int
    change: int
    at: int
    author: str
    hash: str
    document: Document
    confirm_within_s: int
    is_below_contract: bool
    jws: bytes | None = None
    published_at: int | None = None


def changes(connection: sqlite3.Connection, node: Node | None = None) -> list[Change]:
    """Give the changes, of one node or of all, the oldest first."""
    where, values = ("", ()) if node is None else (" WHERE level = ? AND name = ?", tuple(node))
    rows = connection.execute(f"SELECT number, at, author, kind, level, name, document, note FROM changes{where} ORDER BY number", values)
    return [Change(number, at, author, kind, Node(level, name), json.loads(text), note) for number, at, author, kind, level, name, text, note in rows]


def in_force(connection: sqlite3.Connection) -> dict[Node, Layer]:
    """Give the layer in force of each node that has one."""
    newest = "number IN (SELECT max(number) FROM changes GROUP BY level, name)"
    rows = connection.execute(f"SELECT level, name, number, document FROM changes WHERE {newest}")
    return {Node(level, name): Layer(level, name, number, json.loads(text)) for level, name, number, text in rows}


def newest(connection: sqlite3.Connection) -> dict[int, Revision]:
    """Give the last revision of each access point that has one, by its number."""
    return {found.ap: found for found in _revisions(connection, NEWEST)}


def of(connection: sqlite3.Connection, ap: int) -> list[Revision]:
    """Give one access point's revisions, the oldest first."""
    return _revisions(connection, "ap = ?", ap)


def waiting(connection: sqlite3.Connection) -> dict[str, Revision]:
    """Give by id what the broker is still to take: the last revision of those that are not revoked, if it was never published."""
    ids = dict(connection.execute("SELECT number, id FROM inventory WHERE revoked_at IS NULL"))
    return {ids[found.ap]: found for found in _revisions(connection, f"published_at IS NULL AND {NEWEST}") if found.ap in ids}


def next_number(connection: sqlite3.Connection) -> int:
    """Give the number of the next change."""
    (number,) = connection.execute("SELECT coalesce(max(number), 0) + 1 FROM changes").fetchone()
    return int(number)


def add_change(connection: sqlite3.Connection, change: Change) -> None:
    """Write a change down."""
    row = (*change[:4], *change.node, encoded(change.document), change.note)
    connection.execute("INSERT INTO changes (number, at, author, kind, level, name, document, note) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)


def add_revision(connection: sqlite3.Connection, revision: Revision) -> None:
    """Write a revision down that is still to be signed."""
    row = (*revision[:6], encoded(revision.document), revision.confirm_within_s, revision.is_below_contract)
    columns = "ap, revision, change, at, author, hash, document, confirm_within_s, below_contract"
    connection.execute(f"INSERT INTO revisions ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)


def put_jws(connection: sqlite3.Connection, revision: Revision, jws: bytes) -> None:
    """Keep what was signed."""
    connection.execute("UPDATE revisions SET jws = ? WHERE ap = ? AND revision = ?", (jws, revision.ap, revision.revision))


def put_published(connection: sqlite3.Connection, revision: Revision, at: int) -> None:
    """Note that the broker took it, and forget what was signed before it."""
    connection.execute("UPDATE revisions SET published_at = ? WHERE ap = ? AND revision = ?", (at, revision.ap, revision.revision))
    connection.execute("UPDATE revisions SET jws = NULL WHERE ap = ? AND revision < ? AND jws IS NOT NULL", (revision.ap, revision.revision))


def encoded(document: Mapping[str, object]) -> str:
    """Write a document as the store has it: the same for the same content."""
    return claims.canonical(document).decode()


def _revisions(connection: sqlite3.Connection, where: str, *values: object) -> list[Revision]:
    columns = "ap, revision, change, at, author, hash, document, confirm_within_s, below_contract, jws, published_at"
    rows = connection.execute(f"SELECT {columns} FROM revisions WHERE {where} ORDER BY ap, revision", values)
    return [Revision(*row)._replace(document=json.loads(row[6]), is_below_contract=bool(row[8])) for row in rows]
