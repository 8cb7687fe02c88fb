"""What `--to` means: a node of the city's levels, and the access points below it. Revoked ones are below none."""

from __future__ import annotations

import difflib
import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fleet.errors import BadInput
from fleet.layers import LEVELS

CITY, RW, TAG, AP = "city", "rw", "tag", "ap"
EXPECTED = "city, kecamatan=NAME, kelurahan=NAME, rw=KELURAHAN/NUMBER, tag=NAME or an access point's id"
LISTED = 8  # names in an error


class Point(NamedTuple):
    """One access point of the inventory, as far as its config goes."""

    id: str
    number: int
    rw: str
    kelurahan: str
    kecamatan: str
    contract_mbps: float
    tags: tuple[str, ...] = ()

    def nodes(self) -> list[Node]:
        """Give the nodes that it is below, the outermost first."""
        places = [Node(CITY, ""), Node("kecamatan", self.kecamatan), Node("kelurahan", self.kelurahan), Node(RW, f"{self.kelurahan}/{self.rw}")]
        return [*places, *(Node(TAG, tag) for tag in self.tags), Node(AP, self.id)]


class Node(NamedTuple):
    """One node: its level, and its name as the inventory has it ("" for the city)."""

    level: str
    name: str

    def __str__(self) -> str:
        return f"{self.level}={self.name}" if self.name else self.level


def points(connection: sqlite3.Connection, are_all: bool = False) -> list[Point]:
    """Give the access points that are not revoked, or really all, by id."""
    which = "" if are_all else " WHERE revoked_at IS NULL"
    rows = connection.execute(f"SELECT id, number, rw, kelurahan, kecamatan, contract_mbps, tags FROM inventory{which} ORDER BY id")
    return [Point(*row)._replace(tags=tuple(row[6].split())) for row in rows]


def resolve(text: str, among: Sequence[Point]) -> tuple[Node, list[Point]]:
    """Find the node that a text means and the access points below it; BadInput, with what is close, when there are none."""
    below: dict[Node, list[Point]] = {}
    for point in among:
        for node in point.nodes():
            below.setdefault(node, []).append(point)
    node = _node(text.strip(), below)
    return node, below[node]


def one(ap: str, among: Sequence[Point]) -> Point:
    """Find an access point by its id; BadInput, with what is close, when there is none."""
    for point in among:
        if point.id == ap.strip():
            return point
    raise BadInput(f"there is no access point {ap!r}{_near(ap, [point.id for point in among]) or '; see all:  rwctl status'}")


def _node(text: str, below: dict[Node, list[Point]]) -> Node:
    level, is_pair, name = (part.strip() for part in text.partition("="))
    if not below:
        raise BadInput("there is no access point yet; enrol some:  rwctl enroll --csv FILE")
    if not is_pair:
        level, name = (CITY, "") if text.lower() == CITY else (AP, text)
    elif level.lower() not in LEVELS[1:]:
        raise BadInput(f"--to is {text!r}, expected {EXPECTED}{_near(level, LEVELS[1:])}")
    level = level.lower()
    for node in below:
        if node.level == level and _folded(level, node.name) == _folded(level, name):
            return node
    raise BadInput(f"--to is {text!r}, which matches no access point{_instead(level, name, below) if is_pair else _any(name, below)}")


def _folded(level: str, name: str) -> str:
    """A name without what people write in many ways: letters' case, blanks, the zeros of an RW."""
    name = " ".join(name.split()).casefold()
    if level != RW:
        return name
    kelurahan, _, number = name.partition("/")
    return f"{kelurahan.strip()}/{number.strip().removeprefix('rw').strip().lstrip('0')}"


def _instead(level: str, name: str, below: Iterable[Node]) -> str:
    names = [node.name for node in below if node.level == level]
    if not names:
        return f": none has a {level}"
    return _near(name, names) or (f"; there is {', '.join(names)}" if len(names) <= LISTED else f"; there are {len(names)}, such as {names[0]}")


def _any(name: str, below: Iterable[Node]) -> str:
    """Somebody wrote no level: it may be an id, or a place without its level."""
    for node in below:
        if name and node.level != AP and node.name.casefold() == name.casefold():
            return f", did you mean {node}?"
    return _near(name, [node.name for node in below if node.level == AP]) or f"; expected {EXPECTED}"


def _near(name: str, names: Iterable[str]) -> str:
    originals = {one.casefold(): one for one in names}
    found = difflib.get_close_matches(name[:64].casefold(), originals, 3, 0.6)
    return f", did you mean {' or '.join(originals[one] for one in found)}?" if found else ""
