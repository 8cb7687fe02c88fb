"""The levels of a city's config, merged into the one document of an access point, and for each value where it comes from.

Pure: touches neither store nor file. Tables merge, everything else replaces; among tags no order counts, so what two of them say differently is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from fleet.errors import BadInput

LEVELS = ("city", "kecamatan", "kelurahan", "rw", "tag", "ap")
TAG = "tag"
REMOVE = "remove"  # in a layer: what outer levels set and this one takes out
Path = tuple[str, ...]
Document = dict[str, object]


class Layer(NamedTuple):
    """What one node says: the city, a place, a tag or an access point. `change`: the push that said it, 0 for one that is not made yet."""

    level: str
    name: str
    change: int
    document: Mapping[str, object]


class Origin(NamedTuple):
    """Where a value comes from."""

    level: str
    name: str
    change: int

    def __str__(self) -> str:
        return f"{self.level} {self.name}".strip()


class Difference(NamedTuple):
    """One value that is another; None: not there."""

    path: Path
    before: object
    after: object


def dotted(path: Path) -> str:
    """Write a path as people do: ssids.public.ssid."""
    return ".".join(path)


def effective(layers: Iterable[Layer]) -> tuple[Document, dict[Path, Origin]]:
    """Merge the layers of one access point; give the document, and the origin of each of its leaves. BadInput names two tags that disagree."""
    # Tags by name, so that of two that say the same always the same one is named.
    ordered = sorted(layers, key=lambda layer: (LEVELS.index(layer.level), layer.name))
    _refuse_conflicts([layer for layer in ordered if layer.level == TAG])
    document: Document = {}
    origins: dict[Path, Origin] = {}
    for level in LEVELS:
        of_level = [layer for layer in ordered if layer.level == level]
        # All of a level's removals before all that it sets: otherwise the order of tags would count.
        for layer in of_level:
            for path in removals(layer.document):
                _take_out(document, origins, path)
        for layer in of_level:
            _put(document, origins, content(layer.document), Origin(layer.level, layer.name, layer.change))
    return document, origins


def leaves(document: Mapping[str, object], above: Path = ()) -> dict[Path, object]:
    """Give each value that is no table, and each empty table, by its path."""
    found: dict[Path, object] = {}
    for name, value in document.items():
        path = (*above, name)
        if isinstance(value, Mapping) and value:
            found |= leaves(value, path)
        else:
            found[path] = value
    return found


def content(document: Mapping[str, object]) -> Document:
    """Give what a layer sets."""
    return {name: value for name, value in document.items() if name != REMOVE}


def removals(document: Mapping[str, object]) -> list[Path]:
    """Give what a layer takes out of outer levels."""
    found = document.get(REMOVE, [])
    return [tuple(path.split(".")) for path in found if isinstance(path, str)] if isinstance(found, Sequence) and not isinstance(found, str) else []


def has(document: Mapping[str, object], path: Path) -> bool:
    """Say whether something stands at a path."""
    value: object = document
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return False
        value = value[name]
    return True


def differences(before: Mapping[str, object], after: Mapping[str, object]) -> list[Difference]:
    """Give the leaves in which two documents differ, by path."""
    old, new = leaves(before), leaves(after)
    paths = [path for path in (old | new) if path not in old or path not in new or not _is_same(old[path], new[path])]
    return [Difference(path, old.get(path), new.get(path)) for path in sorted(paths)]


def _put(document: Document, origins: dict[Path, Origin], layer: Mapping[str, object], origin: Origin, above: Path = ()) -> None:
    for name, value in layer.items():
        path, there = (*above, name), document.get(name)
        if not isinstance(value, Mapping):
            _forget(origins, path)
            document[name], origins[path] = value, origin
            continue
        if not isinstance(there, dict):
            _forget(origins, path)
            document[name] = there = {}
            origins[path] = origin
        if value:
            _put(there, origins, value, origin, path)
            origins.pop(path, None)  # no leaf any more


def _take_out(document: Document, origins: dict[Path, Origin], path: Path) -> None:
    """Take out a path, and the tables that nothing is left in."""
    if not has(document, path):
        return
    tables = [document]
    for name in path[:-1]:
        table = tables[-1][name]
        if not isinstance(table, dict):
            return
        tables.append(table)
    _forget(origins, path)
    del tables[-1][path[-1]]
    for depth in range(len(tables) - 1, 0, -1):
        if not tables[depth]:
            del tables[depth - 1][path[depth - 1]]


def _forget(origins: dict[Path, Origin], path: Path) -> None:
    for found in [found for found in origins if found[: len(path)] == path]:
        del origins[found]


def _refuse_conflicts(tags: Sequence[Layer]) -> None:
    for number, first in enumerate(tags):
        for second in tags[number + 1 :]:
            path = _conflict(first.document, second.document) or _conflict(second.document, first.document)
            if path:
                one, other = (f"tag {tag.name} ({f'change {tag.change}' if tag.change else 'this one'})" for tag in (first, second))
                raise BadInput(
                    f"{dotted(path)} is set differently by {one} and {other}, and no tag counts more than another: "
                    f"take it out of one of them, or out of both and set it for the access point itself"
                )


def _conflict(first: Mapping[str, object], second: Mapping[str, object]) -> Path | None:
    """The path at which two tags cannot both have their way."""
    mine, others = leaves(content(first)), leaves(content(second))
    taken = removals(second)
    for path, value in mine.items():
        for depth in range(1, len(path) + 1):
            above = path[:depth]
            # What is a leaf there and a table here, or another value; a table that is empty there merges.
            if above in others and not _is_same(others[above], value if depth == len(path) else {}):
                return above
        if any(path[: len(one)] == one or (one[: len(path)] == path and value != {}) for one in taken):
            return path
    return None


def _is_same(one: object, other: object) -> bool:
    """1 and true are two values, and so are 1 and 1.0 in what is signed."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_is_same(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return type(one) is type(other) and one == other
