"""Torn, cut off, behind or damaged: the store is made whole or refused with what to do, and nothing is lost silently."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from fleet import store
from fleet.city import City
from fleet.errors import Refused
from fleet.keeper import Keeper
from fleet.rollup import Rollup
from fleet.rows import StateChange
from tests.fleet.keeping import BOOT, NOON, batch, city_of, enrol, event, received, report, stored, times

HOUR = 3600


def left_by_a_crash(folder: Path, batches: int = 6, per_batch: int = 5) -> City:
    """Make a store as a power failure leaves it: all that was written, with the WALs as they were."""
    city = city_of(folder / "running")
    enrol(city, 1)
    keeper = Keeper(city)
    for number in range(batches):
        first = 1 + number * per_batch
        reports = [report(seq, NOON + 60 * seq) for seq in range(first, first + per_batch)]
        keeper.commit(
            batch(NOON + 60 * (first + per_batch), *reports, states=[StateChange(1, "report", (BOOT, first, NOON, 60.0, "{}"))], listening_since=NOON)
        )
    shutil.copytree(city.folder, folder / "crashed")
    keeper.close()
    return City(folder / "crashed", "malang")


def torn(path: Path, keep: float) -> None:
    """Cut a WAL off in the middle."""
    wal = path.with_name(f"{path.name}-wal")
    assert wal.stat().st_size > 10_000
    os.truncate(wal, int(wal.stat().st_size * keep))


def test_what_a_crash_leaves_is_whole(tmp_path: Path) -> None:
    """WALs that are whole need no repair."""
    keeper = Keeper(left_by_a_crash(tmp_path))
    assert keeper.repaired == []
    assert stored(keeper) == {(1, BOOT, seq): 1 for seq in range(1, 31)}
    keeper.close()


@pytest.mark.parametrize("keep", [0.99, 0.9, 0.7, 0.5, 0.3, 0.1])
def test_a_torn_wal_of_live_db_loses_no_report(tmp_path: Path, keep: float) -> None:
    """What the months' files have is taken over, said, and known as received; sent again it is no second time there; its hours are rolled up."""
    city = left_by_a_crash(tmp_path)
    torn(city.store / "live.db", keep)
    keeper = Keeper(city)
    assert len(keeper.repaired) == 1 and ("made anew from" in keeper.repaired[0] or "taken over" in keeper.repaired[0])
    assert received(keeper) == set(stored(keeper)) == {(1, BOOT, seq) for seq in range(1, 31)}
    assert keeper.commit(batch(NOON + HOUR, *[report(seq, NOON + 60 * seq) for seq in range(1, 31)])).duplicates == 30
    Rollup(keeper).finish(NOON + 9 * HOUR)
    assert keeper.live.execute("SELECT up_s, reports FROM hours WHERE hr = ? AND ap = 1", (NOON,)).fetchone() == (1800, 30)
    keeper.close()
    again = Keeper(city)
    assert again.repaired == []
    again.close()


def test_a_live_db_that_is_gone_is_made_anew(tmp_path: Path) -> None:
    """Boots, their time and what was received come from the months' files."""
    city = left_by_a_crash(tmp_path)
    for name in ("live.db", "live.db-wal", "live.db-shm"):
        (city.store / name).unlink()
    keeper = Keeper(city)
    assert "knew of batches up to 0" in keeper.repaired[0] and "made anew from their 30 reports" in keeper.repaired[0]
    assert keeper.live.execute("SELECT number, ap, boot, received, base, base_is_sure, from_ts, to_ts FROM boots").fetchall() == [
        (1, 1, BOOT, "1-30", float(NOON), 1, NOON, NOON + 1800)
    ]
    keeper.commit(batch(NOON + HOUR, report(1, NOON + HOUR, ap=2)))
    assert len(stored(keeper)) == 31
    keeper.close()


def test_a_torn_wal_of_a_month_is_told(tmp_path: Path) -> None:
    """Rows that are gone are not pretended: which batches, of which file; once."""
    city = left_by_a_crash(tmp_path)
    torn(city.store / "raw-2026-09.db", 0.6)
    keeper = Keeper(city)
    assert len(keeper.repaired) == 1
    assert keeper.repaired[0].startswith("raw-2026-09.db: lost its batches after ") and "up to 6" in keeper.repaired[0]
    keeper.commit(batch(NOON + HOUR, report(31, NOON + 1860)))
    keeper.close()
    again = Keeper(city)
    assert again.repaired == []
    again.close()


def test_a_batch_that_moved_rows_and_was_cut_off_is_undone(tmp_path: Path) -> None:
    """Rows that had left their old place are back there."""
    city = city_of(tmp_path / "running")
    keeper = Keeper(city)
    keeper.commit(batch(NOON, report(1), event(2)))
    before = times(keeper)
    keeper.commit(batch(NOON + 60, report(3, NOON - 9 * HOUR)))
    assert times(keeper)[1, 1] != before[1, 1]
    keeper.live.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    keeper.live.execute("UPDATE meta SET value = '1' WHERE name = 'batch'")
    keeper.live.execute("UPDATE boots SET received = '1-2', base = ?, base_is_sure = 0", (float(NOON - 60),))
    keeper.close()
    again = Keeper(city)
    assert "are undone" in again.repaired[0] and times(again) == before
    assert received(again) == set(stored(again)) == {(1, BOOT, 1), (1, BOOT, 2)}
    again.close()


@pytest.mark.parametrize("name", ["live.db", "raw-2026-09.db"])
@pytest.mark.parametrize("kind", ["no database", "holes"])
def test_a_damaged_file_is_refused_with_what_to_do(tmp_path: Path, name: str, kind: str) -> None:
    """Which file, that nothing was changed, and what is lost by moving it away."""
    city = left_by_a_crash(tmp_path, batches=40)
    Keeper(city).close()
    path = city.store / name
    content = bytearray(path.read_bytes())
    if kind == "holes":
        content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(bytes(content) if kind == "holes" else b"\xff" * len(content))
    with pytest.raises(Refused) as refused:
        Keeper(city)
    said = str(refused.value)
    assert str(path) in said and f"copy {city.store} first, then move {name}, {name}-wal and {name}-shm out of it and start again; " in said
    for moved in city.store.glob(f"{name}*"):
        moved.unlink()
    keeper = Keeper(city)
    keeper.commit(batch(NOON + 9 * HOUR, report(1000, NOON + 9 * HOUR)))
    keeper.close()


def test_an_hour_before_the_oldest_file_stays_as_it_was(tmp_path: Path) -> None:
    """Its raw rows were dropped: a span that reaches into it must not have it rolled up from nothing."""
    city = city_of(tmp_path / "malang")
    keeper = Keeper(city)
    midnight = store.month_begin(NOON + 20 * 86_400)
    keeper.commit(batch(midnight + 200, report(1, midnight + 100, span=300.0)))
    keeper.live.execute("DELETE FROM dirty")
    keeper.live.execute("DELETE FROM meta")
    keeper.live.execute("INSERT INTO meta VALUES ('batch', '0')")
    keeper.close()
    keeper = Keeper(city)
    assert "taken over" in keeper.repaired[0]
    assert keeper.live.execute("SELECT hr FROM dirty").fetchall() == [(midnight,)]
    keeper.close()
