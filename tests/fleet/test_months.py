"""A month's file takes a batch whole, gives it back whole, and is found by its time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.months import COLUMNS, Change, Months, RawTuple
from fleet.store import transaction
from tests.fleet.keeping import NOON, city_of

MONTH_S = 31 * 86_400


def row(ts: int, seq: int, boot: int = 1) -> RawTuple:
    return (ts, 1, boot, seq, None, 60.0, 60.0, "none", 0, *[None] * 14)


@pytest.fixture
def months(tmp_path: Path) -> Iterator[Months]:
    made = Months(city_of(tmp_path / "malang"))
    yield made
    made.close()


def changed(added: list[RawTuple], removed: list[RawTuple] = []) -> Change:  # noqa: B006  # never changed
    made = Change()
    made.added, made.removed, made.boots = added, removed, {1: (1, 1, "b" * 16)}
    return made


def found(months: Months) -> list[RawTuple]:
    return [each for path in months.files() for each in months.at(path).execute(f"SELECT {COLUMNS} FROM raw ORDER BY ts")]


def test_a_batch_is_undone_as_if_it_had_never_been(months: Months) -> None:
    """What it added goes, what it removed is back, the boots it named are forgotten; an older one stays."""
    path = months.path(NOON)
    months.write(path, 6, changed([row(NOON, 1)]))
    months.write(path, 7, changed([row(NOON + 60, 2), row(NOON + 5, 1)], [row(NOON, 1)]))
    assert months.undo(path, 7) == 0 and [each[0] for each in found(months)] == [NOON + 5, NOON + 60]
    assert months.undo(path, 6) == 2
    assert found(months) == [row(NOON, 1)] and months.number(path) == 6
    assert months.at(path).execute("SELECT number FROM boots").fetchall() == [(1,)]


def test_a_batch_that_fails_leaves_nothing(months: Months) -> None:
    """Not even its number."""
    path = months.path(NOON)
    with pytest.raises(sqlite3.Error):
        months.write(path, 1, changed([row(NOON, 1), ("soon", *row(NOON, 2)[1:])]))
    assert found(months) == [] and months.number(path) == 0


def test_a_time_has_its_months(months: Months) -> None:
    """Only those with a file."""
    for place in (0, 2):
        months.write(months.path(NOON + place * MONTH_S), 1, changed([row(NOON + place * MONTH_S, 1)]))
    counts = [len(months.between(NOON + first * MONTH_S, NOON + last * MONTH_S)) for first, last in ((0, 0), (0, 2), (1, 1), (2, 5))]
    assert counts == [1, 2, 0, 1]


def test_other_files_are_no_months(months: Months, tmp_path: Path) -> None:
    """A copy that somebody made is left alone."""
    months.write(months.path(NOON), 1, changed([row(NOON, 1)]))
    (tmp_path / "malang/store/raw-old.db").write_text("x")
    (tmp_path / "malang/store/raw-2026-09.db.bak").write_text("x")
    assert [path.name for path in months.files()] == ["raw-2026-09.db"]


def test_a_transaction_ends_whatever_happens(months: Months) -> None:
    """An error of any kind rolls it back."""
    db = months.at(months.path(NOON))
    with pytest.raises(KeyError), transaction(db):
        db.execute("INSERT INTO boots VALUES (5, 5, 'x')")
        raise KeyError
    assert not db.in_transaction and db.execute("SELECT count(*) FROM boots").fetchone() == (0,)
