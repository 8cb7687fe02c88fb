"""The months' files of raw rows: opened when needed, written one batch at a time, undone batch by batch, dropped whole.

Each file remembers the rows of its last batch, so that what never got whole in live.db leaves no trace.
"""

from __future__ import annotations

import datetime
import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fleet import store
from fleet.city import City
from fleet.errors import Refused
from fleet.store import transaction

FILE = re.compile(r"raw-([0-9]{4})-([0-9]{2})\.db")
DAY_S = 86_400
COLUMNS = (
    "ts, ap, boot, seq, from_seq, span_s, uptime_s, clock, late, up, stations, stations_max, weak_ratio, rx_bps, tx_bps, rx_peak_bps, tx_peak_bps,"
    " latency_ms, loss_ratio, airtime_ratio, cpu_ratio, memory_ratio, alerts"
)
UPTIME, CLOCK = 6, 7  # of the columns
_ADD = f"INSERT OR REPLACE INTO raw ({COLUMNS}) VALUES ({', '.join('?' * 23)})"
_REMOVE = "DELETE FROM raw WHERE ts = ? AND ap = ? AND boot = ? AND seq = ?"

NOTHING = '{"added":[],"removed":[],"boots":[]}'

RawTuple = tuple[Any, ...]  # a row of `raw`, in the order of COLUMNS


class Change:
    """What one batch does to one month."""

    __slots__ = ("added", "boots", "removed")

    def __init__(self) -> None:
        self.added: list[RawTuple] = []
        self.removed: list[RawTuple] = []
        self.boots: dict[int, tuple[int, int, str]] = {}  # by number: whose rows these are


class Months:
    """The files of one city, for their one writer."""

    def __init__(self, city: City) -> None:
        self._city = city
        self._opened: dict[Path, sqlite3.Connection] = {}
        self._paths: dict[int, Path] = {}
        self._known: dict[Path, set[int]] = {}  # boots whose row a file surely has

    def files(self) -> list[Path]:
        """Give the files that are there, oldest first."""
        return sorted(path for path in self._city.store.glob("raw-*.db") if FILE.fullmatch(path.name))

    def path(self, ts: int) -> Path:
        """Give the file of the month that a moment lies in."""
        day = ts // DAY_S
        found = self._paths.get(day)
        if found is None:
            if len(self._paths) > 10_000:
                self._paths.clear()
            found = self._paths[day] = store.raw_path(self._city, ts)
        return found

    def begin(self, path: Path) -> int:
        """Give the first second (UTC) of a file's month."""
        return int(datetime.datetime.strptime(f"{path.name}+0000", "raw-%Y-%m.db%z").timestamp())

    def at(self, path: Path) -> sqlite3.Connection:
        """Open a month's file, made when missing; sqlite3.OperationalError when that fails."""
        found = self._opened.get(path)
        if found is None:
            try:
                found = self._opened[path] = store.open_raw(path)
            except Refused as error:
                raise sqlite3.OperationalError(str(error)) from None
        return found

    def between(self, since: int, until: int) -> list[sqlite3.Connection]:
        """Open the months that have moments of since..until, both included; those without a file are left out."""
        first, last = self.path(since).name, self.path(until).name
        return [self.at(path) for path in self.files() if first <= path.name <= last]

    def unsure(self, boot: int, since: int, until: int) -> Iterator[RawTuple]:
        """Give the rows of a boot in since..until whose time is ours."""
        for db in self.between(since, until):
            yield from db.execute(f"SELECT {COLUMNS} FROM raw WHERE ts BETWEEN ? AND ? AND boot = ? AND clock <> 'ntp'", (since, until, boot))

    def number(self, path: Path) -> int:
        """Give the number of the last batch that changed a file; 0 when there was none."""
        return int(self.at(path).execute("SELECT coalesce(max(number), 0) FROM batch").fetchone()[0])

    def last(self, path: Path) -> dict[str, list[Any]]:
        """Give what a file's last batch did: keys of the rows `added`, whole rows `removed`, numbers of the `boots` it first named."""
        row = self.at(path).execute("SELECT rows FROM batch ORDER BY number DESC LIMIT 1").fetchone()
        return json.loads(NOTHING if row is None else row[0])  # type: ignore[no-any-return]

    def write(self, path: Path, number: int, change: Change) -> None:
        """Write what a batch does to one month, all or nothing."""
        db = self.at(path)
        known = self._known.setdefault(path, set())
        boots = [row for number, row in change.boots.items() if number not in known]
        done = {"added": [row[:4] for row in change.added], "removed": change.removed, "boots": [row[0] for row in boots]}
        rows = json.dumps(done, separators=(",", ":"))
        with transaction(db):
            db.execute("DELETE FROM batch")
            db.execute("INSERT INTO batch VALUES (?, ?)", (number, rows))
            db.executemany("INSERT OR REPLACE INTO boots VALUES (?, ?, ?)", boots)
            db.executemany(_REMOVE, [row[:4] for row in change.removed])
            db.executemany(_ADD, change.added)
        known.update(row[0] for row in boots)

    def undo(self, path: Path, whole: int) -> int:
        """Take back the last batch of a file when it is younger than the last whole one; give how many rows went."""
        if self.number(path) <= whole:
            return 0
        db, rows = self.at(path), self.last(path)
        with transaction(db):
            db.executemany(_REMOVE, rows["added"])
            db.executemany(_ADD, rows["removed"])
            db.executemany("DELETE FROM boots WHERE number = ?", [(number,) for number in rows["boots"]])
            db.execute("UPDATE batch SET number = ?, rows = ?", (whole, NOTHING))
        self._known.pop(path, None)
        return len(rows["added"])

    def drop(self, before: Path) -> list[str]:
        """Delete the files of the months before `before`'s; give their names."""
        old = [path for path in self.files() if path.name < before.name]
        for path in old:
            opened = self._opened.pop(path, None)
            if opened is not None:
                opened.close()
            for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
                path.with_name(name).unlink(missing_ok=True)
        return [path.name for path in old]

    def close(self) -> None:
        """Close all files."""
        for db in self._opened.values():
            db.close()
        self._opened.clear()
