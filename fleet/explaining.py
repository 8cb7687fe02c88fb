"""Where each value of an access point's document comes from, in rows, as a table or as JSON. Keys are stars; only draws what it is given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from agent.wire.messages import Payload
from fleet import layers
from fleet.layers import Origin, Path, dotted
from fleet.verdicts import Screen, names, said, starred

if TYPE_CHECKING:
    from fleet.draft import Target


class Explained(NamedTuple):
    """Where one value of an access point's document comes from; `change` 0: from what is not pushed yet."""

    path: Path
    value: object
    level: str
    name: str
    change: int


def explained(document: Mapping[str, object], origins: Mapping[Path, Origin]) -> list[Explained]:
    """Give each value of a document with its origin, by path."""
    return [Explained(path, starred(path, value), *origins[path]) for path, value in sorted(layers.leaves(document).items())]


def alike(targets: Iterable[Target]) -> list[tuple[list[str], list[Explained]]]:
    """Put together the access points whose values come from the same places, the largest group first."""
    found: dict[str, tuple[list[str], list[Explained]]] = {}
    for target in targets:
        rows = explained(target.document, target.origins)
        found.setdefault(repr(rows), ([], rows))[0].append(target.point.id)
    return sorted(found.values(), key=lambda group: -len(group[0]))


def show(targets: Iterable[Target], screen: Screen) -> None:
    """Show it, once for all access points of which the same is true."""
    for ids, rows in alike(targets):
        if screen.is_json:
            screen.line("", event="explain", access_points=ids, values=as_json(rows))
        else:
            screen.line(f"{len(ids)} × {names(ids)}")
            screen.console.print(table(rows))


def as_json(rows: Iterable[Explained]) -> list[Payload]:
    """Give rows for programs."""
    return [{"path": dotted(row.path), "value": row.value, "level": row.level, "name": row.name, "change": row.change} for row in rows]


def table(rows: list[Explained]) -> RenderableType:
    """Draw rows."""
    if not rows:
        return Text("nothing is set for it by any level")
    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in ("path", "value", "level", "change"):
        drawn.add_column(heading, overflow="fold", justify="right" if heading == "change" else "left")
    for row in rows:
        level = f"{row.level}={row.name}" if row.name else row.level
        drawn.add_row(Text(dotted(row.path)), Text(said(row.value)), Text(level), Text(str(row.change) if row.change else "this one"))
    return drawn
