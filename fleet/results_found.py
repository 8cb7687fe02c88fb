"""What an access point found when it was told to: its lists as tables or lines, the rest in words, whatever members it has.

Pure. Text from access points is shown without anything that does not print.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from rich import box
from rich.cells import cell_len
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from agent.wire.messages import Payload
from fleet.verdicts import plain
from fleet.words import named, number, several, span

MOST_COLUMNS = 16
LONGEST_CELL = 200
SHORTEST_FOLD = 12  # columns of terminal that a text keeps in which it is folded; what people copy, and figures, are never folded
GAP, INDENT = 2, (0, 0, 0, 2)
SECONDS = "s"
LEFT_OUT, LINES = "left_out", "lines"
LONGEST_INLINE = 60


def found(output: Payload, width: int, most: int) -> Iterator[RenderableType]:
    """Draw the lists of what one access point found, at most so many rows of each on a terminal so wide: lines as they are, anything else as a table."""
    left_out = int(number(output.get(LEFT_OUT)) or 0)
    if left_out > 0 and LINES in output:
        yield Text(f"  {several(left_out, 'line')} left out there: older ones, and what is nobody's to see")
    for name, value in lists(output):
        if not value:
            yield Text(f"  no {named(plain(name))[0]}")
        elif all(isinstance(each, dict) for each in value):
            yield from _things([each for each in value if isinstance(each, dict)][:most], width)
        else:
            yield Text("\n".join(f"  {plain(each)}" for each in value[-most:]))
        if len(value) > most:
            yield Text(f"  and {len(value) - most} more (--json tells all)")
    if left_out > 0 and LINES not in output:
        yield Text(f"  and {left_out} more, left out there")


def said(name: str, value: object) -> str:
    """Say one member of what was found in some words."""
    words, unit = named(plain(name))
    if isinstance(value, dict):
        return "; ".join(f"{inner}: {_cell(each)}" for inner, each in value.items())
    if isinstance(value, list):
        return f"{words} {', '.join(map(str, value))}" if _is_short(name, value) else several(len(value), words.rstrip("s"))
    return f"{words} {_cell(value)} {unit}".rstrip()


class _Column(NamedTuple):
    """A column of what was found: its heading's lines, its cells, the least room it takes."""

    heading: str
    cells: list[str]
    least: int
    is_figure: bool
    folds: bool


def _things(rows: Sequence[Payload], width: int) -> Iterator[RenderableType]:
    """Draw rows of what was found: as a table where it has room, else each in words, for a pseudonym that is folded cannot be copied."""
    names = list(dict.fromkeys(name for row in rows for name in row))[:MOST_COLUMNS]
    columns = [_column(name, [row.get(name) for row in rows]) for name in names]
    if sum(column.least + GAP for column in columns) > width:
        yield from (Padding(Text(_in_words(row, names)), INDENT, expand=False) for row in rows)
        return
    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
    for column in columns:
        justify: Literal["left", "right"] = "right" if column.is_figure else "left"
        drawn.add_column(Text(column.heading), justify=justify, overflow="fold", no_wrap=not column.folds, min_width=column.least)
    for cells in zip(*(column.cells for column in columns), strict=True):
        drawn.add_row(*map(Text, cells))
    yield Padding(drawn, INDENT, expand=False)


def _column(name: str, values: Sequence[object]) -> _Column:
    words, unit = named(plain(name))
    heading = words if unit in ("", SECONDS) else f"{words}\n{unit}"
    cells = [_in_its_unit(name, value) for value in values]
    is_text = all(isinstance(value, str) for value in values if value is not None)
    # What is of one length and has no blank is somebody's name for a machine.
    folds = is_text and (len(set(map(len, cells))) > 1 or any(" " in cell for cell in cells))
    widest = max(map(cell_len, cells))
    least = max(min(widest, SHORTEST_FOLD) if folds else widest, *map(cell_len, heading.split("\n")))
    return _Column(heading, cells, least, all(value is None or number(value) is not None for value in values), folds)


def _in_words(row: Payload, names: Sequence[str]) -> str:
    """Say a row in a sentence, its first value as what it is about."""
    words = [f"{named(plain(name))[0]} {_in_its_unit(name, row[name])}" + _unit(name) for name in names[1:] if name in row]
    return f"{_in_its_unit(names[0], row.get(names[0]))}: {', '.join(words)}"


def _unit(name: str) -> str:
    unit = named(name)[1]
    return "" if unit in ("", SECONDS) else f" {unit}"


def _in_its_unit(name: str, value: object) -> str:
    return _span(value) if named(name)[1] == SECONDS else _cell(value)


def _span(value: object) -> str:
    seconds = number(value)
    return _cell(value) if seconds is None else span(seconds)


def _cell(value: object) -> str:
    return "–" if value is None else plain(value if isinstance(value, (str, int, float)) else json.dumps(value))[:LONGEST_CELL]


def _is_short(name: str, value: list[object]) -> bool:
    """Say whether a list has room in a line: some words, but nothing that is lines itself."""
    return name != LINES and bool(value) and all(isinstance(each, str) for each in value) and sum(len(str(each)) + 2 for each in value) <= LONGEST_INLINE


def lists(output: Payload) -> Iterator[tuple[str, list[object]]]:
    """Give the lists that take lines of their own."""
    return ((name, value) for name, value in output.items() if isinstance(value, list) and not _is_short(name, value))
