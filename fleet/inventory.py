"""The inventory: which access points there are, where each is, who provides its uplink and what that costs.

Takes a CSV file or one row's words apart, finding everything that is wrong in all of it, and keeps rows in city.db. A number, once given, is never given again.
"""

from __future__ import annotations

import csv
import difflib
import math
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from agent.wire import topics
from fleet.city import THROWN_AWAY
from fleet.errors import BadInput
from fleet.places import Fault, Places

COLUMNS = ("id", "rw", "kelurahan", "kecamatan", "provider", "contract_mbps", "rupiah_month", "lat", "lon", "tags")
MAX_FILE_BYTES = 64 << 20
LONGEST_PROVIDER, MOST_TAGS, LONGEST_CELL = 64, 16, 1000
SHOWN = 60
TAG = re.compile(r"[a-z0-9_-]{1,48}")
COMMA = re.compile(r"-?[0-9]+,[0-9]+")
T = TypeVar("T")
DOTTED = re.compile(r"[0-9]{1,3}(\.[0-9]{3})+|[0-9]{1,3}(,[0-9]{3})+")


class Row(NamedTuple):
    """One access point's row. `rw` has two digits or three; `tags` are sorted; `lat` and `lon` are both there or both None."""

    id: str
    rw: str
    kelurahan: str
    kecamatan: str
    provider: str
    contract_mbps: float
    rupiah_month: int
    lat: float | None = None
    lon: float | None = None
    tags: tuple[str, ...] = ()


class BadLine(NamedTuple):
    """One thing wrong in a file: the line (1 is the header, 0 what was typed), the column ("" for the line as a whole), the value, and what is allowed."""

    line: int
    column: str
    value: str
    allowed: str

    def sentence(self) -> str:
        """Say it in one line."""
        what = f"{self.column} is {_shown(self.value)}" if self.column else self.value
        return f"{f'line {self.line}: ' if self.line else ''}{what}, expected {self.allowed}"


class Known(NamedTuple):
    """A row of the store: the access point's number, and when it was revoked (None: it is not)."""

    row: Row
    number: int
    revoked_at: int | None


class Read(NamedTuple):
    """What a file says: its rows with their lines, and all that is wrong with it."""

    rows: list[tuple[int, Row]]
    faults: list[BadLine]


def read_csv(path: Path, places: Places) -> Read:
    """Read a CSV file as one whole; BadInput when it is none at all, else every fault there is stands in the result."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from None
    if len(raw) > MAX_FILE_BYTES:
        raise BadInput(f"{path}: has more than {MAX_FILE_BYTES} bytes, expected one line for each access point")
    found = _rows(path, raw.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"), places)
    if not any(found):
        found.faults.append(BadLine(1, "", "there is only a header", "a line for each access point"))
    return found


def _rows(path: Path, lines: list[bytes], places: Places) -> Read:
    delimiter = ";" if b";" in lines[0] and b"," not in lines[0] else ","
    rows: list[tuple[int, Row]] = []
    faults: list[BadLine] = []
    header = _cells(1, lines[0], delimiter, faults)
    columns = _header(path, [cell.strip() for cell in header] if header else [], faults)
    firsts: dict[str, int] = {}
    for number, line in enumerate(lines[1:], 2):
        cells = _cells(number, line, delimiter, faults)
        if not cells or not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(columns):
            hint = "; a value with a comma in it stands in quotes, and a number has a decimal point" if len(cells) > len(columns) else ""
            faults.append(BadLine(number, "", f"there are {len(cells)} values", f"{len(columns)}, as the header has{hint}"))
            continue
        values = dict(zip(columns, cells, strict=True))
        row, found = row_of(values, places)
        faults += [BadLine(number, *fault) for fault in found]
        ap = values["id"].strip()
        if topics.is_name(ap) and (first := firsts.setdefault(ap, number)) != number:
            faults.append(BadLine(number, "id", ap, f"an id that no other line has; line {first} has it"))
        elif row:
            rows.append((number, row))
    return Read(rows, faults)


def _cells(number: int, line: bytes, delimiter: str, faults: list[BadLine]) -> list[str] | None:
    """Take one line apart. Each by itself, because no value may have a line break: a quote left open costs its own line only."""
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        value = f"byte {error.start + 1} is 0x{line[error.start]:02x}"
        faults.append(BadLine(number, "", value, "UTF-8; in a spreadsheet: save as CSV UTF-8"))
        return None
    if "\0" in text:
        faults.append(BadLine(number, "", "there is a NUL byte", "text; in a spreadsheet: save as CSV UTF-8"))
        return None
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        faults.append(BadLine(number, "", f"the quotes are wrong ({error})", 'each quote that is opened to be closed in its line, and "" for one inside'))
        return None


def _header(path: Path, found: list[str], faults: list[BadLine]) -> list[str]:
    """Give the columns in the file's order; BadInput when they are not the ten, because no row can be understood then."""
    wrong = [fault.sentence() for fault in faults]
    for name in dict.fromkeys(found):
        if name not in COLUMNS:
            near = difflib.get_close_matches(name.lower(), COLUMNS, 1)
            wrong.append(f"line 1: column {_shown(name)} is not known" + (f", did you mean {near[0]}?" if near else ""))
        elif found.count(name) > 1:
            wrong.append(f"line 1: column {name} stands there twice")
    wrong += [f"line 1: column {name} is missing" for name in COLUMNS if name not in found]
    if wrong:
        raise BadInput("\n".join(f"{path}: {one}" for one in wrong) + f"\n{path}: the header must be {','.join(COLUMNS)}, in any order")
    return found


def row_of(values: Mapping[str, str], places: Places) -> tuple[Row | None, list[Fault]]:
    """Make a row of one text for each column; None with every fault when something is wrong."""
    faults: list[Fault] = []
    taken: dict[str, Any] = {}
    for column, (allowed, take) in _RULES.items():
        text = values.get(column, "").strip()
        try:
            taken[column] = take(text if len(text) <= LONGEST_CELL else "\0")
        except ValueError as error:
            faults.append(Fault(column, text, str(error) or allowed))
    if not faults and (taken["lat"] is None) != (taken["lon"] is None):
        missing = "lat" if taken["lat"] is None else "lon"
        faults.append(Fault(missing, "", "a number where the other of lat and lon is given; or leave both empty"))
    place, wrong = places.check(values.get("kelurahan", "")[:LONGEST_CELL], values.get("kecamatan", "")[:LONGEST_CELL])
    faults += wrong
    if faults:
        return None, sorted(faults, key=lambda fault: COLUMNS.index(fault.column))
    taken |= place._asdict()
    return Row._make(taken[column] for column in COLUMNS), []


def _name(text: str) -> str:
    if text.startswith(THROWN_AWAY):
        raise ValueError(f"one that does not begin with {THROWN_AWAY}, as the city's throw-away ones do")
    return _must(text, topics.is_name(text))


def _rw(text: str) -> str:
    """Give an RW its two digits back, which spreadsheets take away: 5 is 05."""
    return f"{int(_must(text, text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= 999)):02d}"


def _provider(text: str) -> str:
    text = " ".join(text.split())
    return _must(text, 0 < len(text) <= LONGEST_PROVIDER and text.isprintable())


def _number(low: float, high: float) -> Callable[[str], float]:
    def take(text: str) -> float:
        if COMMA.fullmatch(text):
            raise ValueError(f"a decimal point: {text.replace(',', '.')}")
        try:
            value = float(text) if text.isascii() and "_" not in text else math.nan
        except ValueError:
            value = math.nan
        _must(text, low <= value <= high)  # NaN is neither
        return value

    return take


def _maybe(take: Callable[[str], float]) -> Callable[[str], float | None]:
    return lambda text: take(text) if text else None


def _rupiah(text: str) -> int:
    if DOTTED.fullmatch(text):
        raise ValueError(f"no separators: {text.replace('.', '').replace(',', '')}")
    return int(_must(text, text.isascii() and text.isdigit() and len(text) <= 10))


def _tags(text: str) -> tuple[str, ...]:
    tags = tuple(sorted(set(text.lower().replace(";", " ").split())))
    return _must(tags, len(tags) <= MOST_TAGS and all(TAG.fullmatch(tag) for tag in tags))


def _must(value: T, is_allowed: bool) -> T:
    if not is_allowed:
        raise ValueError
    return value


_RULES: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "id": (f"1 to {topics.LONGEST_NAME} of a-z, 0-9 and -", _name),
    "rw": ("the number of the RW, 1 to 999", _rw),
    "provider": (f"1 to {LONGEST_PROVIDER} characters without control characters", _provider),
    "contract_mbps": ("a number from 0.25 to 100000", _number(0.25, 100_000)),
    "rupiah_month": ("a whole number of rupiah, 0 to 9999999999", _rupiah),
    "lat": ("degrees from -90 to 90, or nothing", _maybe(_number(-90, 90))),
    "lon": ("degrees from -180 to 180, or nothing", _maybe(_number(-180, 180))),
    "tags": (f"at most {MOST_TAGS} words of a-z, 0-9, _ and -, with blanks or semicolons between", _tags),
}


def known(connection: sqlite3.Connection) -> dict[str, Known]:
    """Read the whole inventory, the revoked too, by id."""
    found = connection.execute(f"SELECT {', '.join(COLUMNS)}, number, revoked_at FROM inventory ORDER BY id")
    return {one[0]: Known(Row._make((*one[:9], tuple(one[9].split()))), one[10], one[11]) for one in found}


def keep(connection: sqlite3.Connection, rows: Iterable[Row], now: int) -> None:
    """Write rows: a new id gets the next number, one that is there keeps its own, and is revoked no more. To be called inside a transaction."""
    (highest,) = connection.execute("SELECT coalesce(max(number), 0) FROM inventory").fetchone()
    there = dict(connection.execute("SELECT id, number FROM inventory"))
    for row in rows:
        if row.id not in there:
            highest += 1
            there[row.id] = highest
        tags = f" {' '.join(row.tags)} " if row.tags else ""
        connection.execute(
            f"INSERT INTO inventory ({', '.join(COLUMNS)}, number, enrolled_at) VALUES ({', '.join('?' * len(COLUMNS))}, ?, ?) "
            f"ON CONFLICT (id) DO UPDATE SET revoked_at = NULL, {', '.join(f'{name} = excluded.{name}' for name in COLUMNS[1:])}",
            (*row[:9], tags, there[row.id], now),
        )


def changes(old: Row, new: Row) -> Iterator[str]:
    """Say what differs between two rows, column by column."""
    for column, before, after in zip(COLUMNS, old, new, strict=True):
        if before != after:
            yield f"{column} {_said(before)} -> {_said(after)}"


def close_to(text: str, ids: Iterable[str]) -> str:
    """Say which ids are close to one that is not there."""
    near = difflib.get_close_matches(text, list(ids), 3, 0.6)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _said(value: object) -> str:
    return "nothing" if value in (None, ()) else " ".join(value) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)


def _shown(text: str) -> str:
    """Give a value for a sentence: shortened, on one line."""
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")
