"""The door to the store: SQLite files opened with what keeps them whole, and nothing read or written but through it.

`open_city` is for everybody; `open_live` reads for everybody and writes for `rwctl serve`. Readers never wait for the writer (WAL).
"""

from __future__ import annotations

import contextlib
import datetime
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from fleet import schema
from fleet.city import City
from fleet.errors import Refused

BUSY_MS = 10_000


def open_city(city: City) -> sqlite3.Connection:
    """Open city.db to read and write, made when missing. Each write is its own transaction unless `with connection:` joins them."""
    return _opened(city.store / "city.db", schema.CITY)


def open_live(city: City, is_writer: bool = False) -> sqlite3.Connection:
    """Open live.db with city.db attached as `city` (tables are `city.inventory` and so on); only `rwctl serve` is its writer."""
    open_city(city).close()
    live = _opened(city.store / "live.db", schema.LIVE)
    live.execute("PRAGMA main.cache_size = -16384")  # KiB: the states of 2,000 access points with their reports, asked for again and again
    live.execute("ATTACH DATABASE ? AS city", (str(city.store / "city.db"),))
    if not is_writer:
        live.execute("PRAGMA query_only = 1")
    return live


def raw_path(city: City, ts: float) -> Path:
    """Give the file of the month (UTC) that a moment lies in."""
    return city.store / f"raw-{datetime.datetime.fromtimestamp(ts, datetime.timezone.utc):%Y-%m}.db"


def month_begin(ts: float) -> int:
    """Give the first second of the month (UTC) that a moment lies in."""
    moment = datetime.datetime.fromtimestamp(ts, datetime.timezone.utc)
    return int(moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp())


def open_raw(path: Path) -> sqlite3.Connection:
    """Open one month's raw rows, made when missing."""
    return _opened(path, schema.RAW)


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Do all of it or nothing, alone."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        # SQLite rolls back by itself for some errors, and not for others (sqlite.org/lang_transaction.html).
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _opened(path: Path, tables: str) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.executescript(tables)
    except sqlite3.Error as error:
        # Operational is what passes (full, locked, no rights); any other means that the file itself is damaged.
        remedy = "" if isinstance(error, sqlite3.OperationalError) else "; bring it back from the backup"
        raise Refused(f"{path}: cannot be opened ({error}){remedy}") from None
    return connection
