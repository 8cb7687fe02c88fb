"""One access point's card has all that the store knows, and the sums in it are right."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet import card, store
from fleet.card import Availability
from fleet.city import City
from fleet.errors import Refused
from tests.fleet import cities
from tests.fleet.cities import NOW

ZONE = "Asia/Jakarta"


@pytest.fixture
def city(tmp_path: Path) -> City:
    """A city in which rw-0010 has everything."""
    city = cities.make_city(tmp_path / "malang")
    cities.listen(city)
    cities.enroll(city, 10)
    cities.hear(city, 10)
    cities.enrich(city, 10)
    return city


@pytest.fixture
def live(city: City) -> Iterator[sqlite3.Connection]:
    """Its live.db, to be read."""
    with contextlib.closing(store.open_live(city)) as connection:
        yield connection


def test_the_card_has_everything(live: sqlite3.Connection) -> None:
    """Alerts with since, certificate, boots, lost messages, events, documents."""
    found = card.card_of(live, "rw-0010", ZONE, NOW)
    assert [(alert.code, alert.since, alert.data) for alert in found.alerts] == [("flash-full", NOW - 4000, {"free_bytes": 1024})]
    assert (found.certificate_ends_at, found.boots, found.lost) == (NOW + 86_400 * 3650, 2, 3)
    assert [event.kind for event in found.events] == ["uplink", "boot"]
    assert found.report["ap"] == "rw-0010" and found.info["os"] == "OpenWrt 25.12.1" and found.reported["revision"] == 7


def test_availability_begins_at_the_citys_midnight(live: sqlite3.Connection) -> None:
    """Today is the city's day, the week the last 168 hours."""
    found = card.card_of(live, "rw-0010", ZONE, NOW)
    assert found.today == Availability(3600, 0, 0)
    assert found.week == Availability(3600 + 1800, 900, 900)
    assert found.week.ratio == pytest.approx(5400 / 6300) and Availability(0, 0, 9).ratio is None


@pytest.mark.parametrize(
    ("received", "gone_below", "lost"), [("", 1, 0), ("1-41", 42, 0), ("1-9,12-41", 42, 2), ("1-9,12-41", 11, 1), ("5-9", 5, 4), ("", 4, 3)]
)
def test_lost_is_what_will_never_come(received: str, gone_below: int, lost: int) -> None:
    """Below what the access point still has, and not received."""
    assert card.lost_of(received, gone_below) == lost


def test_a_certificate_that_was_revoked_does_not_count(city: City, live: sqlite3.Connection) -> None:
    """Only what opens the door has an end."""
    cities.write(city, "city.certificates", {"serial": "0a", "ap": "rw-0010", "made_at": NOW, "expires_at": NOW + 86_400 * 3650, "revoked_at": NOW})
    assert card.card_of(live, "rw-0010", ZONE, NOW).certificate_ends_at is None


def test_a_pending_one_has_a_card(city: City, live: sqlite3.Connection) -> None:
    """Who is heard without being enrolled can be looked at."""
    cities.write(city, "pending", {"ap": "rw-9999", "first_at": NOW - 60, "last_at": NOW - 5, "messages": 3})
    found = card.card_of(live, "rw-9999", ZONE, NOW)
    assert (found.point.state, found.messages) == ("pending", 3)
    assert card.as_json(found) == {"id": "rw-9999", "state": "pending", "since_at": NOW - 60, "report_at": NOW - 5, "age_s": 5.0, "messages": 3}


def test_an_unknown_one_is_refused_with_what_is_close(live: sqlite3.Connection) -> None:
    """A slip in a name is told."""
    with pytest.raises(Refused, match=r"did you mean rw-0010\?"):
        card.card_of(live, "rw-010", ZONE, NOW)


def test_the_members_of_json_are_a_promise(city: City, live: sqlite3.Connection) -> None:
    """Whoever reads --json finds these names; what is not known is absent."""
    found = card.as_json(card.card_of(live, "rw-0010", ZONE, NOW))
    assert set(found) == {
        *("id", "rw", "kelurahan", "kecamatan", "provider", "contract_mbps", "rupiah_month", "tags", "state", "since_at", "report_at", "age_s", "boot", "seq"),
        *("agent", "model", "clients", "down_bps", "up_bps", "uplink", "uplink_ms", "alerts", "not_measured", "clock", "outbox", "ssids", "cpu_ratio"),
        *("memory_free_ratio", "config", "revision_in_force", "drift", "enrolled_at", "certificate_ends_at", "reported_at", "open_alerts", "events", "boots"),
        *("lost", "availability", "report", "info", "reported"),
    }
    cities.enroll(city, 11)
    never = card.point_as_json(card.card_of(live, "rw-0011", ZONE, NOW).point)
    assert never["state"] == "never" and not {"clients", "age_s", "report_at", "config", "uplink"} & set(never)
    json.dumps(found)
