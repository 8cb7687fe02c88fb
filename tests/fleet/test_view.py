"""Each access point's state follows from what the store has and from whether this end listened; what nobody listened to is unknown."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet import store, view
from fleet.city import City
from fleet.errors import BadInput
from fleet.keeper import Keeper
from fleet.status import NOTHING
from fleet.view import Documents, Ear, Heard, Point
from tests.fleet import cities
from tests.fleet.cities import NOW

LIMIT = 151.0  # 2.5 spans of 60 s and one second
HEARING = Ear(True, NOW - 86_400, NOW)
DEAF = Ear(False, NOW - 86_400, NOW - 3600)
FRESH = Ear(True, NOW - 10, NOW)


@pytest.fixture
def city(tmp_path: Path) -> City:
    """A city with an empty store."""
    return cities.make_city(tmp_path / "malang")


@pytest.fixture
def live(city: City) -> Iterator[sqlite3.Connection]:
    """Its live.db, to be read."""
    with contextlib.closing(store.open_live(city)) as connection:
        yield connection


def heard(presence: str | None, presence_ago: int | None, report_ago: int | None) -> Heard:
    return Heard(presence, *(None if ago is None else NOW - ago for ago in (presence_ago, report_ago)), LIMIT)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "ear", "state", "was"),
    [
        (heard("online", 9000, 5), HEARING, "online", None),
        (heard("online", 9000, 151), HEARING, "online", None),
        (heard("online", 9000, 152), HEARING, "late", None),
        (heard("lost", 60, 90), HEARING, "lost", None),
        (heard("offline", 60, 90), HEARING, "offline", None),
        (heard("lost", 60, 60), HEARING, "lost", None),
        (heard("lost", 60, 59), HEARING, "online", None),
        (heard("lost", 9000, 400), HEARING, "late", None),
        (heard("online", 5, 9000), HEARING, "online", None),
        (heard("online", 9000, None), HEARING, "late", None),
        (heard("online", 100, None), HEARING, "online", None),
        (heard(None, None, 5), HEARING, "online", None),
        (heard(None, None, None), HEARING, "never", None),
        (heard(None, None, None), DEAF, "never", None),
        (heard(None, None, None), Ear(False), "never", None),
        (heard("online", 9000, 3605), DEAF, "unknown", "online"),
        (heard("online", 9000, 3900), DEAF, "unknown", "late"),
        (heard("lost", 9000, 9005), DEAF, "unknown", "lost"),
        (heard("online", 9000, 3605), FRESH, "unknown", None),
        (heard("online", 9000, 5), FRESH, "online", None),
        (heard("lost", 9000, 9005), FRESH, "lost", None),
        (heard("safe-mode", 9000, 9100), HEARING, "safe-mode", None),
        (heard("safe-mode", 9000, 5), HEARING, "safe-mode", None),
        (heard("safe-mode", 9000, 9100), DEAF, "unknown", "safe-mode"),
    ],
)
def test_the_state(said: Heard, ear: Ear, state: str, was: str | None) -> None:
    """Lost and offline by presence unless a newer report came; late after 2.5 intervals of silence we listened to; else unknown; safe mode till a birth."""
    assert view.state_of(said, ear, NOW) == (state, was)


def test_silence_counts_only_while_this_end_listens() -> None:
    """After a pause of ours nobody is called late before it had 2.5 intervals to be heard."""
    said = heard("online", 9000, 5000)
    assert [view.state_of(said, Ear(True, NOW - ago, NOW), NOW)[0] for ago in (151, 152)] == ["unknown", "late"]


def test_this_end_listens_while_serve_says_so(city: City, live: sqlite3.Connection) -> None:
    """The newest row of `listening` counts, and for 15 s."""
    assert view.ear_of(live, NOW) == Ear(False)
    cities.listen(city, NOW - 9000, NOW - 5000)
    cities.listen(city, NOW - 4000, NOW)
    assert view.ear_of(live, NOW + 15) == Ear(True, NOW - 4000, NOW)
    assert not view.ear_of(live, NOW + 16).is_listening


def test_a_row_has_inventory_and_newest_figures(city: City, live: sqlite3.Connection) -> None:
    """One look gives what the table, --where and --json need."""
    cities.listen(city)
    cities.enroll(city, 10, contract_mbps=30.0)
    cities.hear(city, 10, ago_s=7)
    told = {"ap": 10, "revision": 9, "change": 1, "at": NOW, "author": "a", "hash": "h", "document": "{}"}
    cities.write(city, "city.revisions", told)
    (point,) = view.rows_of(live, NOW)
    assert (point.id, point.kelurahan, point.kecamatan, point.provider, point.tags) == ("rw-0010", "Jatimulyo", "Lowokwaru", "Indibiz", ("market", "school"))
    assert (point.state, point.age_s, point.contract_mbps, point.agent, point.model) == ("online", 7.0, 30.0, "0.1.0", "Xiaomi AX3000T")
    assert (point.told, point.said.current, point.said.config and point.said.config.state) == (9, 7, "confirmed")
    assert point.figures.stations is not None and point.row().kelurahan == "Jatimulyo"
    assert point.values()["down_mbps"] == pytest.approx((point.figures.down_bps or 0) / 1e6)


def test_the_worst_come_first_and_the_revoked_not_at_all(city: City, live: sqlite3.Connection) -> None:
    """Lost, late, offline, unknown, never, online with problems, online; then by name. A revoked one is no longer counted."""
    cities.listen(city)
    for number in range(1, 9):
        cities.enroll(city, number, revoked_at=NOW if number == 8 else None)
    cities.hear(city, 1)
    cities.hear(city, 2)
    cities.hear(city, 3, report=json.dumps({"alerts": ["flash-full"]}))
    cities.hear(city, 5, presence="offline", presence_at=NOW)
    cities.hear(city, 6, report_at=NOW - 400)
    cities.hear(city, 7, presence="lost", presence_at=NOW)
    cities.hear(city, 8)
    assert [point.id[-1] for point in view.rows_of(live, NOW)] == ["7", "6", "5", "4", "3", "1", "2"]


def test_pending_ones_stand_apart(city: City, live: sqlite3.Connection) -> None:
    """A certificate without a row is listed as pending; once enrolled it is not; a revoked one is, but not for its last words; the broker check's is not."""
    cities.enroll(city, 1)
    cities.enroll(city, 2, revoked_at=NOW - 100)
    cities.enroll(city, 3, revoked_at=NOW - 10)
    for ap in ("rw-0001", "rw-0002", "rw-0003", "rw-9999", "rwctl-check-1a2b3c4d"):
        cities.write(city, "pending", {"ap": ap, "first_at": NOW - 60, "last_at": NOW - 5, "messages": 3})
    seen = view.overview(live, NOW)
    assert [point.id for point in seen.pending()] == ["rw-0002", "rw-9999"]
    assert [point.id for point in seen.enrolled()] == ["rw-0001"]
    assert seen.counts() == {"lost": 0, "late": 0, "safe-mode": 0, "offline": 0, "unknown": 0, "never": 1, "online": 0, "pending": 2}


def test_a_pushed_interval_makes_nobody_late(city: City, live: sqlite3.Connection) -> None:
    """A confirmed push says how long the next report may take; one that was taken back does not."""
    cities.listen(city)
    change = {"path": "agent.report_interval_s", "from": 60, "to": 3600}
    for number, state in ((1, "confirmed"), (2, "rolled_back")):
        cities.enroll(city, number)
        cities.hear(city, number, ago_s=1000, reported=json.dumps({"state": state, "revision": 8, "changes": [change]}))
    assert {point.id: point.state for point in view.rows_of(live, NOW)} == {"rw-0001": "online", "rw-0002": "late"}


@pytest.mark.parametrize(
    "text", ["", "[1]", "{", "nonsense", '{"uplink":[],"stations":"x","interfaces":{"a":1},"alerts":{"b":2}}', '{"state":7,"changes":"x"}']
)
def test_a_stored_document_of_any_shape_is_shown(text: str, city: City, live: sqlite3.Connection) -> None:
    """What is not what it should be is as good as absent."""
    cities.listen(city)
    cities.enroll(city, 1)
    cities.hear(city, 1, report=text, info=text, reported=text)
    (point,) = view.rows_of(live, NOW)
    assert (point.figures, point.said.config, point.agent) == (NOTHING, None, None)


def test_a_document_is_understood_once(city: City, live: sqlite3.Connection) -> None:
    """What did not change is not decoded again, and what did is."""
    documents = Documents()
    cities.listen(city)
    cities.enroll(city, 1)
    cities.hear(city, 1)
    first, second = (view.rows_of(live, NOW, documents)[0] for _ in range(2))
    assert first.figures is second.figures
    cities.hear(city, 1, report=json.dumps({"stations": {"now": 99}}))
    assert view.rows_of(live, NOW, documents)[0].figures.stations == 99


def test_where_keeps_what_is_meant(city: City, live: sqlite3.Connection) -> None:
    """The issue's own example, over the store."""
    cities.listen(city)
    cities.fill(city, 120)
    points = view.rows_of(live, NOW)
    found = view.chosen(points, "kelurahan=Lowokwaru and provider=Awinet and state!=online")
    expected = [point for point in points if (point.kelurahan, point.provider) == ("Lowokwaru", "Awinet") and point.state != "online"]
    assert found == expected and view.chosen(points, None) == points


@pytest.mark.parametrize(
    ("expression", "meant"),
    [
        ("kelurahan=Lowokwru", "did you mean Lowokwaru?"),
        ("state=online and provider=indibis", "did you mean Indibiz?"),
    ],
)
def test_a_name_that_nobody_has_is_a_slip(expression: str, meant: str, city: City, live: sqlite3.Connection) -> None:
    """An empty table never hides a typing error in a place or a provider."""
    for number in range(1, 11):
        cities.enroll(city, number)
    with pytest.raises(BadInput, match=meant.replace("?", r"\?")):
        view.chosen(view.rows_of(live, NOW), expression)


def test_nothing_found_is_no_slip_when_the_names_are_right(city: City, live: sqlite3.Connection) -> None:
    """That nobody is lost in Jatimulyo is good news."""
    cities.enroll(city, 10)
    assert view.chosen(view.rows_of(live, NOW), "kelurahan=Jatimulyo and state=lost") == []


def test_every_field_of_where_has_a_value(city: City, live: sqlite3.Connection) -> None:
    """--where can ask for nothing that a point does not give."""
    from fleet.where import FIELDS

    cities.enroll(city, 10)
    (point,) = view.rows_of(live, NOW)
    assert set(point.values()) == set(FIELDS)


def test_one_is_found_even_if_revoked(city: City, live: sqlite3.Connection) -> None:
    """Whoever asks by name gets an answer."""
    cities.enroll(city, 1, revoked_at=NOW)
    found = view.point_of(live, "rw-0001", NOW)
    assert isinstance(found, Point) and view.point_of(live, "rw-0002", NOW) is None


@pytest.mark.parametrize(
    ("reported", "told", "state"),
    [
        ({"revision": 7, "state": "confirmed"}, 8, "waiting"),
        ({"revision": 8, "state": "confirmed"}, 8, "confirmed"),
        ({"revision": 9, "state": "confirmed"}, 8, "confirmed"),
        ({"state": "rejected", "reason": "unknown_key", "verified": False}, 8, "rejected"),
        ({}, 8, "waiting"),
        ({}, None, None),
        ({"revision": 7, "state": "confirmed"}, None, "confirmed"),
    ],
)
def test_who_does_not_have_the_newest_push_is_not_called_confirmed(
    reported: dict[str, object], told: int | None, state: str | None, city: City, live: sqlite3.Connection
) -> None:
    """In the table, for --where and as JSON alike: an access point that is away waits for it."""
    cities.enroll(city, 1)
    cities.hear(city, 1, reported=json.dumps({"v": 1} | reported))
    if told is not None:
        cities.write(city, "city.revisions", {"ap": 1, "revision": told, "change": 1, "document": "{}", "published_at": 1})
    (point,) = view.rows_of(live, NOW)
    assert point.values()["config"] == state
    assert (None if (drawn := point.row().config) is None else drawn.state) == state


def test_a_name_like_none_is_an_empty_answer_with_a_hint(city: City, live: sqlite3.Connection) -> None:
    """A provider whose contract has ended, a kelurahan without an access point: nobody, and a word on it. Lowokwaru is a kecamatan too."""
    cities.enroll(city, 10)
    points = view.rows_of(live, NOW)
    for expression, hint in (
        ("kelurahan=Lowokwaru", "no access point has kelurahan 'Lowokwaru'; did you mean kecamatan=Lowokwaru?"),
        ("tags=zzz and state=lost", "no access point has tags 'zzz'"),
    ):
        assert view.chosen(points, expression) == []
        assert view.strange(points, expression) == [hint]
    assert view.strange(points, "kecamatan=lowokwaru and state=lost") == []


def test_nobody_is_late_after_its_short_first_report(city: City, live: sqlite3.Connection) -> None:
    """The first span after a start is a sample's; the next report comes an interval later, as `serve` says all have it."""
    cities.enroll(city, 1)
    cities.listen(city)
    cities.hear(city, 1, presence="online", presence_at=NOW - 60, report_at=NOW - 50, span_s=10.0)
    assert view.rows_of(live, NOW)[0].state == "late"
    Keeper(city).close()
    assert view.rows_of(live, NOW)[0].state == "online"
    assert view.rows_of(live, NOW + 120)[0].state != "online"
