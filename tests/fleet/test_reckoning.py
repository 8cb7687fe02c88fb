"""Working a batch out changes nothing: it may be done twice, and the second says the same."""

from __future__ import annotations

from pathlib import Path

from fleet.boots import Boots
from fleet.keeper import Keeper
from fleet.reckoning import LONGEST_SPAN_S, SPAN, Reckoning
from fleet.rows import Batch
from tests.fleet.keeping import BOOT, NOON, batch, city_of, event, report, times


def said(keeper: Keeper, boots: Boots, wanted: Batch) -> tuple[object, ...]:
    """Give all that a reckoning says."""
    made = Reckoning(boots, keeper.months, wanted, keeper.oldest_ts(wanted.now))
    changes = {path.name: (change.added, change.removed, change.boots) for path, change in made.changes.items()}
    return changes, made.events, made.dirty, made.newest, made.duplicates, made.restamped, [boot.row() for boot in made.touched.values()]


def test_it_changes_nothing(tmp_path: Path) -> None:
    """Neither in the store nor in what is kept in memory, also where rows move."""
    keeper = Keeper(city_of(tmp_path / "malang"))
    keeper.commit(batch(NOON, report(1), event(2)))
    before, boots = times(keeper), Boots(keeper.live)
    wanted = batch(NOON + 60, report(3, NOON - 900), report(1), event(4, NOON), report(1, NOON, ap=2), oldest={(1, BOOT): 2})
    first = said(keeper, boots, wanted)
    assert said(keeper, boots, wanted) == first and first[5] == 1
    assert times(keeper) == before
    keeper.close()


def test_no_span_is_longer_than_the_rollup_reads(tmp_path: Path) -> None:
    """Whoever invents one is cut."""
    keeper = Keeper(city_of(tmp_path / "malang"))
    made = Reckoning(Boots(keeper.live), keeper.months, batch(NOON, report(1, NOON, span=1e6)), keeper.oldest_ts(NOON))
    ((_, change),) = made.changes.items()
    assert change.added[0][SPAN] == LONGEST_SPAN_S
    keeper.close()
