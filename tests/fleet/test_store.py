"""The door opens files that stay whole, and a reader writes nothing."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from fleet import store
from fleet.errors import Refused
from tests.fleet.keeping import NOON, city_of


def test_files_are_kept_whole(tmp_path: Path) -> None:
    """WAL, and a commit is on the disk."""
    city = city_of(tmp_path / "malang")
    for db in (store.open_city(city), store.open_live(city), store.open_raw(store.raw_path(city, NOON))):
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",) and db.execute("PRAGMA synchronous").fetchone() == (2,)
        db.close()


def test_a_reader_writes_nothing(tmp_path: Path) -> None:
    """Not into live.db, and not into city.db through it."""
    live = store.open_live(city_of(tmp_path / "malang"))
    for table in ("boots", "city.inventory"):
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            live.execute(f"DELETE FROM {table}")
    live.close()


def test_a_month_is_utc(tmp_path: Path) -> None:
    """Its first second and its file, whatever the machine's zone."""
    midnight = 1_790_812_800  # 2026-10-01 00:00:00 UTC
    city = city_of(tmp_path / "malang")
    assert (store.raw_path(city, midnight - 1).name, store.raw_path(city, midnight).name) == ("raw-2026-09.db", "raw-2026-10.db")
    assert store.month_begin(midnight) == store.month_begin(midnight + 2_000_000) == midnight


def test_what_cannot_be_opened_is_told(tmp_path: Path) -> None:
    """With its path and the reason."""
    with pytest.raises(Refused, match=r"x\.db: cannot be opened \(unable to open database file\)$"):
        store.open_raw(tmp_path / "none" / "x.db")
    (tmp_path / "x.db").write_bytes(b"no database " * 100)
    with pytest.raises(Refused, match=r"x\.db: cannot be opened \(file is not a database\); bring it back from the backup"):
        store.open_raw(tmp_path / "x.db")
