"""Whose messages count."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet import store
from fleet.city import City
from fleet.roster import Roster, Stranger
from fleet.understand import Who
from tests.fleet.cities import enroll, make_city


@pytest.fixture
def city(tmp_path: Path) -> City:
    return make_city(tmp_path / "malang")


@pytest.fixture
def roster(city: City) -> Iterator[Roster]:
    enroll(city, 1, "rw-0501")
    with contextlib.closing(store.open_live(city)) as live:
        roster = Roster(live, "malang")
        roster.refresh(0.0)
        yield roster


def test_a_topic_is_its_access_points(roster: Roster) -> None:
    """An enrolled access point's topic gives its number, another's the id alone, a foreign one nothing."""
    assert roster.whose("wifi/v1/malang/rw-0501/report") == (Who("rw-0501", 1), "report")
    found = roster.whose("wifi/v1/malang/rw-0999/config/reported")
    assert found == ("rw-0999", "config/reported") and isinstance(found[0], Stranger)
    assert roster.whose("wifi/v1/batu/rw-0501/report") is None
    assert roster.whose("wifi/v1/malang/RW/report") is None
    assert roster.whose("") is None


def test_who_is_enrolled_while_it_runs_counts(city: City, roster: Roster) -> None:
    """Somebody else writes city.db: the next look sees it, and what was remembered of topics is gone."""
    assert isinstance((roster.whose("wifi/v1/malang/rw-0502/report") or ("",))[0], Stranger)
    enroll(city, 2, "rw-0502")
    roster.refresh(0.1)
    assert roster.changes == 1, "not looked at again so soon"
    roster.refresh(1.0)
    assert roster.whose("wifi/v1/malang/rw-0502/report") == (Who("rw-0502", 2), "report")
    assert roster.numbers == {"rw-0501": 1, "rw-0502": 2}


def test_who_is_revoked_is_a_stranger(city: City, roster: Roster) -> None:
    """A revoked access point's messages are nobody's."""
    enroll(city, 1, "rw-0501", revoked_at=5)
    roster.refresh(1.0)
    assert isinstance((roster.whose("wifi/v1/malang/rw-0501/report") or ("",))[0], Stranger)


def test_nothing_is_read_while_nothing_changed(roster: Roster) -> None:
    """A look costs no more than a look."""
    roster.refresh(5.0)
    assert roster.changes == 1
