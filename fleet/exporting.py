"""Telemetry and inventory as plain records, one at a time, and as lines of JSON or CSV.

Bounded in memory however long the time asked for; an hour of raw rows is the most that is read at once. Promises that no record has an address of a
station or a secret, and that no cell of a CSV is taken for a formula.
"""

from __future__ import annotations

import csv
import datetime
import functools
import json
import re
import sqlite3
import zoneinfo
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TextIO

from fleet import quarantine, store
from fleet.city import City
from fleet.errors import BadInput

HOUR_S = 3600
NO_DATA = "{}"
_encoded = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
UNITS = {"m": 60, "h": HOUR_S, "d": 86_400, "w": 604_800}
AGO = re.compile(r"([0-9]{1,6})([mhdw])")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
PLACE = ("ap", "rw", "kelurahan", "kecamatan", "provider")

Value = str | int | float | bool | None
Record = dict[str, Value]
Places = Mapping[int, tuple[str, str, str, str, str]]  # by number: the values of PLACE


class Asked(NamedTuple):
    """What is to be exported: of which access points, since..until (Unix seconds; the end is not in it)."""

    live: sqlite3.Connection  # with city.db attached as `city`
    city: City
    places: Places
    since: int
    until: int


_REPORT = (
    *("boot", "seq", "from_seq", "span_s", "uptime_s", "clock", "late", "up", "stations", "stations_max", "weak_ratio", "rx_bps", "tx_bps", "rx_peak_bps"),
    *("tx_peak_bps", "latency_ms", "loss_ratio", "airtime_ratio", "cpu_ratio", "memory_free_ratio", "alerts"),
)
_HOUR = (
    *("up_s", "down_s", "unknown_s", "reports", "stations_mean", "stations_max", "rx_bytes", "tx_bytes", "rx_peak_bps", "tx_peak_bps"),
    *("loss_ratio", "latency_ms"),
)
_HOURS = """
    SELECT hr, ap, up_s, down_s, unknown_s, reports, CASE WHEN covered_s > 0 THEN round(stations_s / covered_s, 2) END, stations_max,
      round(rx_bytes), round(tx_bytes), rx_peak_bps, tx_peak_bps,
      CASE WHEN probed_s > 0 THEN round(loss_s / probed_s, 4) END, CASE WHEN answered_s > 0 THEN round(latency_s / answered_s, 1) END
    FROM hours WHERE hr >= ? AND hr < ? ORDER BY hr, ap"""
_EVENT = ("boot", "seq", "kind", "uptime_s", "clock", "data")
_AVAILABILITY = ("from_time", "from_at", "to_time", "to_at", "up_s", "down_s", "unknown_s", "up_ratio")
_INVENTORY = ("contract_mbps", "rupiah_month", "lat", "lon", "tags", "enrolled_time", "enrolled_at", "revoked_time", "revoked_at")
TIMED = ("time", "at", *PLACE)


def places_of(live: sqlite3.Connection) -> dict[int, tuple[str, str, str, str, str]]:
    """Give all access points that were ever enrolled, by number."""
    return {row[0]: row[1:] for row in live.execute("SELECT number, id, rw, kelurahan, kecamatan, provider FROM city.inventory ORDER BY id")}


def reports(asked: Asked) -> Iterator[Record]:
    """Give each report that ended in the time asked for, oldest first."""
    boots = _Boots(asked.live)
    for path in sorted(asked.city.store.glob("raw-????-??.db")):
        first, last = store.raw_path(asked.city, asked.since), store.raw_path(asked.city, max(asked.since, asked.until - 1))
        if not first.name <= path.name <= last.name:
            continue
        db = store.open_raw(path)
        try:
            yield from _rows_of(db, asked, boots)
        finally:
            db.close()


def _rows_of(db: sqlite3.Connection, asked: Asked, boots: _Boots) -> Iterator[Record]:
    lowest, highest = db.execute("SELECT min(ts), max(ts) FROM raw").fetchone()
    if lowest is None:
        return
    # An hour at a time, so that the writer's WAL need not wait for a slow reader.
    for since in range(max(asked.since, lowest), min(asked.until, highest + 1), HOUR_S):
        until = min(since + HOUR_S, asked.until)
        for row in db.execute("SELECT * FROM raw WHERE ts >= ? AND ts < ? ORDER BY ts, ap, boot, seq", (since, until)).fetchall():
            ts, ap, boot, seq, from_seq, span_s, uptime_s, clock, late, up, *figures = row
            if ap in asked.places:
                values = (boots.name(boot), seq, from_seq, span_s, uptime_s, clock, bool(late), None if up is None else bool(up), *figures)
                yield _timed(ts, asked.places[ap]) | dict(zip(_REPORT, values, strict=True))


def hours(asked: Asked) -> Iterator[Record]:
    """Give each hour of each access point, oldest first."""
    for hr, ap, *values in _paged(asked.live, _HOURS, asked):
        if ap in asked.places:
            yield _timed(hr, asked.places[ap]) | dict(zip(_HOUR, values, strict=True))


def events(asked: Asked) -> Iterator[Record]:
    """Give each event, oldest first."""
    boots = _Boots(asked.live)
    text = "SELECT ts, ap, boot, seq, kind, uptime_s, clock, data FROM events WHERE ts >= ? AND ts < ? ORDER BY ts, ap, boot, seq"
    for ts, ap, boot, seq, kind, uptime_s, clock, data in _paged(asked.live, text, asked):
        if ap in asked.places:
            values = (boots.name(boot), seq, kind, uptime_s, clock, _cleaned(data))
            yield _timed(ts, asked.places[ap]) | dict(zip(_EVENT, values, strict=True))


def _cleaned(data: str) -> str:
    """Give an event's data without what must not leave, should the store have it after all."""
    try:
        return _encoded(quarantine.starred(json.loads(data)))
    except ValueError:
        return NO_DATA


def availability(asked: Asked) -> Iterator[Record]:
    """Give one record for each access point: its seconds in the whole hours of the time asked for."""
    text = "SELECT ap, min(hr), max(hr), sum(up_s), sum(down_s), sum(unknown_s) FROM hours WHERE hr >= ? AND hr < ? GROUP BY ap"
    found = {row[0]: row[1:] for row in asked.live.execute(text, (asked.since, asked.until))}
    for ap, place in asked.places.items():
        if ap in found:
            first, last, up_s, down_s, unknown_s = found[ap]
            ratio = round(up_s / (up_s + down_s), 6) if up_s + down_s else None
            values = (spelled(first), first, spelled(last + HOUR_S), last + HOUR_S, up_s, down_s, unknown_s, ratio)
            yield dict(zip(PLACE, place, strict=True)) | dict(zip(_AVAILABILITY, values, strict=True))


def inventory(asked: Asked) -> Iterator[Record]:
    """Give one record for each access point, by id."""
    text = "SELECT number, contract_mbps, rupiah_month, lat, lon, tags, enrolled_at, revoked_at FROM city.inventory ORDER BY id"
    for ap, mbps, rupiah, lat, lon, tags, enrolled, revoked in asked.live.execute(text).fetchall():
        if ap in asked.places:
            values = (mbps, rupiah, lat, lon, tags.strip(), spelled(enrolled), enrolled, None if revoked is None else spelled(revoked), revoked)
            yield dict(zip(PLACE, asked.places[ap], strict=True)) | dict(zip(_INVENTORY, values, strict=True))


# What there is to export, and its columns.
WHAT: dict[str, tuple[Callable[[Asked], Iterator[Record]], tuple[str, ...]]] = {
    "reports": (reports, (*TIMED, *_REPORT)),
    "hours": (hours, (*TIMED, *_HOUR)),
    "events": (events, (*TIMED, *_EVENT)),
    "availability": (availability, (*PLACE, *_AVAILABILITY)),
    "inventory": (inventory, (*PLACE, *_INVENTORY)),
}


class _Boots:
    """The names of boots by number, asked for one at a time and kept."""

    def __init__(self, live: sqlite3.Connection) -> None:
        self._live = live
        self._names: dict[int, str | None] = {}

    def name(self, number: int) -> str | None:
        if number not in self._names:
            if len(self._names) > 50_000:
                self._names.clear()
            row = self._live.execute("SELECT boot FROM boots WHERE number = ?", (number,)).fetchone()
            self._names[number] = None if row is None else row[0]
        return self._names[number]


def _paged(live: sqlite3.Connection, text: str, asked: Asked) -> Iterator[tuple[Any, ...]]:
    """Ask a day at a time."""
    table = "hours" if "FROM hours" in text else "events"
    column = "hr" if table == "hours" else "ts"
    lowest, highest = live.execute(f"SELECT min({column}), max({column}) FROM {table}").fetchone()
    if lowest is None:
        return
    for since in range(max(asked.since, lowest), min(asked.until, highest + 1), UNITS["d"]):
        yield from live.execute(text, (since, min(since + UNITS["d"], asked.until))).fetchall()


def _timed(at: int, place: tuple[str, ...]) -> Record:
    made: Record = {"time": spelled(at), "at": at}
    made.update(zip(PLACE, place, strict=True))
    return made


@functools.lru_cache(maxsize=1024)  # records come in the order of time, many to a moment
def spelled(at: int) -> str:
    """Give a moment in UTC as ISO 8601."""
    return datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str, zone: str, now: float) -> int:
    """Read a moment: ISO 8601 (without a zone of its own: the city's), Unix seconds, or how long ago (30m, 24h, 7d, 4w); else BadInput."""
    ago = AGO.fullmatch(text)
    if ago is not None:
        return int(now) - int(ago[1]) * UNITS[ago[2]]
    if re.fullmatch(r"[0-9]{9,10}", text):
        return int(text)
    try:
        # Python 3.10 does not know the Z.
        found = datetime.datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
        return int((found if found.tzinfo else found.replace(tzinfo=zoneinfo.ZoneInfo(zone))).timestamp())
    except (ValueError, OverflowError):
        raise BadInput(f"the time is {text!r}, expected 2026-09-01, 2026-09-01T08:00, 2026-09-01T01:00Z, Unix seconds, or how long ago: 24h, 7d") from None


def write_jsonl(records: Iterator[Record], _columns: tuple[str, ...], file: TextIO) -> int:
    """Write a line of JSON for each record, without what is not known; give how many."""
    count = 0
    for record in records:
        known = {name: value for name, value in record.items() if value is not None}
        if "data" in known:
            known["data"] = json.loads(str(known["data"]))
        file.write(_encoded(known) + "\n")
        count += 1
    return count


def write_csv(records: Iterator[Record], columns: tuple[str, ...], file: TextIO) -> int:
    """Write a head and a row for each record (RFC 4180); give how many."""
    writer = csv.writer(file)
    writer.writerow(columns)
    count = 0
    for record in records:
        writer.writerow([_cell(record[name]) for name in columns])
        count += 1
    return count


def _cell(value: Value) -> Value:
    """Give a text that a spreadsheet would compute a quote mark in front (OWASP: CSV injection); numbers stay numbers."""
    if isinstance(value, bool):
        return int(value)
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


FORMATS = {"jsonl": write_jsonl, "csv": write_csv}
