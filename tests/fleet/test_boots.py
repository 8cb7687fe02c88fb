"""A boot is read as it was written, and what is kept in memory is bounded."""

from __future__ import annotations

from pathlib import Path

from fleet import boots, store
from fleet.boots import Boot, Boots
from tests.fleet.keeping import BOOT, NOON, city_of


def test_a_boot_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Every column both ways; a copy shares nothing."""
    live = store.open_live(city_of(tmp_path / "malang"), is_writer=True)
    made = Boot(3, 7, BOOT, NOON)
    made.received.add(1, 5)
    made.gone_below, made.base, made.is_sure, made.last_at, made.from_ts, made.to_ts = 2, 17.5, True, NOON + 9, NOON - 60, NOON
    live.execute(boots.WRITE, made.row())
    known = Boots(live)
    read = known.get(7, BOOT)
    assert read is not None and read.row() == made.row() and known.next_number == 4
    copy = read.copy()
    copy.received.add(6, 6)
    assert copy.row() != read.row() == made.row()
    assert known.get(8, BOOT) is None
    live.close()


def test_boots_are_counted_and_found_by_time(tmp_path: Path) -> None:
    """How many are new of an access point, and when the next one's reports begin."""
    live = store.open_live(city_of(tmp_path / "malang"), is_writer=True)
    for number in range(1, 4):
        made = Boot(number, 1, f"{number:016x}", NOON + number)
        made.from_ts = made.to_ts = NOON + 100 * number
        live.execute(boots.WRITE, made.row())
    known = Boots(live)
    assert (known.begun_since(1, NOON + 1), known.begun_since(2, 0)) == (2, 0)
    assert (known.next_begin(1, NOON + 100), known.next_begin(1, NOON + 300)) == (NOON + 200, None)
    live.close()


def test_memory_is_bounded(tmp_path: Path) -> None:
    """The oldest are read again when they are asked for."""
    live = store.open_live(city_of(tmp_path / "malang"), is_writer=True)
    known = Boots(live)
    known.adopt(Boot(number, number, BOOT, NOON) for number in range(1, boots.MOST_KEPT + 2))
    assert len(known._kept) <= boots.MOST_KEPT
    assert known.get(boots.MOST_KEPT + 1, BOOT) is not None and known.get(1, BOOT) is None
    live.close()
