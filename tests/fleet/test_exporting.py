"""What leaves the store is plain, complete and harmless."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet import exporting, store
from fleet.city import City
from fleet.errors import BadInput
from fleet.exporting import Asked, Record, moment
from fleet.keeper import Keeper
from fleet.rollup import Rollup
from tests.fleet.keeping import BOOT, NOON, batch, city_of, enrol, event, report

HOUR = 3600
OCTOBER = 1_790_812_800


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    city = city_of(tmp_path / "malang")
    enrol(city, 1, name="rw-a", tags=" market school ")
    enrol(city, 2, "Tulusrejo", "Bintang", name="rw-b")
    made = Keeper(city)
    yield made
    made.close()


def asked(keeper: Keeper, since: int = 0, until: int = 1 << 31, *numbers: int) -> Asked:
    places = exporting.places_of(keeper.live)
    return Asked(keeper.live, keeper._city, {number: place for number, place in places.items() if number in (numbers or places)}, since, until)


def test_reports_come_in_order_over_months_with_units_and_places(keeper: Keeper) -> None:
    """Everything a report said under the name of its unit, and whose it is."""
    keeper.commit(batch(NOON, report(1, NOON, stations=5, memory_ratio=0.5, alerts="flash-full"), report(1, NOON - 60, ap=2, up=None, boot="0" * 16)))
    keeper.commit(batch(OCTOBER + 60, report(2, OCTOBER + 60, from_seq=2, late=1, up=0)))
    first, second, third = exporting.reports(asked(keeper))
    assert second == dict.fromkeys(exporting.WHAT["reports"][1]) | {
        **{
            "time": "2026-09-23T12:00:00Z",
            "at": NOON,
            "ap": "rw-a",
            "rw": "Jatimulyo/01",
            "kelurahan": "Jatimulyo",
            "kecamatan": "Lowokwaru",
            "provider": "Awinet",
        },
        **{"boot": BOOT, "seq": 1, "span_s": 60.0, "uptime_s": 60.0, "clock": "ntp", "late": False, "up": True, "stations": 5, "memory_free_ratio": 0.5},
        **{"alerts": "flash-full"},
    }
    assert (first["ap"], first["up"], first["boot"]) == ("rw-b", None, "0" * 16)
    assert (third["at"], third["late"], third["up"], third["from_seq"]) == (OCTOBER + 60, True, False, 2)


def test_only_what_was_asked_for(keeper: Keeper) -> None:
    """The first second is in it, the last is not; other access points are not."""
    keeper.commit(batch(NOON + 200, *[report(n, NOON + 60 * n) for n in range(4)[1:]], report(1, NOON + 60, ap=2)))
    assert [record["at"] for record in exporting.reports(asked(keeper, NOON + 60, NOON + 180, 1))] == [NOON + 60, NOON + 120]
    assert [record["ap"] for record in exporting.reports(asked(keeper, 0, 1 << 31, 2))] == ["rw-b"]


def test_hours_are_means_and_sums(keeper: Keeper) -> None:
    """What the rollup keeps as sums is given as people read it."""
    keeper.commit(batch(NOON + 2 * HOUR, report(1, NOON + 60, stations=4, loss_ratio=0.5, latency_ms=9.0, rx_bps=8e3), report(2, NOON + 120, stations=5)))
    Rollup(keeper).finish(NOON + 2 * HOUR)
    found = {record["ap"]: record for record in exporting.hours(asked(keeper, NOON, NOON + HOUR))}
    ours = found["rw-a"]
    assert (ours["time"], ours["up_s"], ours["unknown_s"], ours["reports"]) == ("2026-09-23T12:00:00Z", 120, 3480, 2)
    assert (ours["stations_mean"], ours["stations_max"], ours["loss_ratio"], ours["latency_ms"], ours["rx_bytes"]) == (4.5, 5, 0.5, 9.0, 60_000)
    assert found["rw-b"]["stations_mean"] is None


def test_availability_is_one_record_each(keeper: Keeper) -> None:
    """Over the whole hours of the time asked for; a share of what is known."""
    for hr, up, down, unknown in ((NOON, 3600, 0, 0), (NOON + HOUR, 600, 1200, 1800), (NOON + 2 * HOUR, 0, 3600, 0)):
        keeper.live.execute(f"INSERT INTO hours VALUES (?, 1, ?, ?, ?{', 0' * 12})", (hr, up, down, unknown))
    (record,) = exporting.availability(asked(keeper, NOON, NOON + 2 * HOUR))
    assert (record["from_time"], record["to_at"]) == ("2026-09-23T12:00:00Z", NOON + 2 * HOUR)
    assert (record["up_s"], record["down_s"], record["unknown_s"], record["up_ratio"]) == (4200, 1200, 1800, round(4200 / 5400, 6))


def test_the_inventory_has_also_who_was_revoked(keeper: Keeper) -> None:
    """By id, with times both ways."""
    db = store.open_city(keeper._city)
    db.execute("UPDATE inventory SET revoked_at = ? WHERE number = 2", (NOON,))
    db.close()
    first, second = exporting.inventory(asked(keeper))
    assert (first["ap"], first["tags"], first["contract_mbps"], first["rupiah_month"], first["revoked_at"]) == ("rw-a", "market school", 50.0, 500_000, None)
    assert (second["revoked_time"], second["revoked_at"], second["enrolled_time"]) == ("2026-09-23T12:00:00Z", NOON, "2026-09-22T12:00:00Z")


def test_no_address_leaves_with_an_event(keeper: Keeper) -> None:
    """Whatever got into the store."""
    keeper.commit(batch(NOON, event(1, NOON)._replace(data='{"who":"02:11:22:33:44:55","n":3}')))
    (record,) = exporting.events(asked(keeper))
    assert "02:11" not in str(record["data"]) and '"n":3' in str(record["data"])
    assert (record["kind"], record["boot"], record["seq"], record["ap"]) == ("boot", BOOT, 1, "rw-a")


def lines(records: list[Record]) -> str:
    file = io.StringIO()
    assert exporting.write_jsonl(iter(records), (), file) == len(records)
    return file.getvalue()


def test_json_leaves_out_what_is_not_known() -> None:
    """Absent is not null; an event's data is an object again."""
    assert lines([{"a": None, "b": "ü", "c": False}, {"data": '{"x":1}'}]) == '{"b":"ü","c":false}\n{"data":{"x":1}}\n'


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\r=x"])
def test_no_cell_of_a_csv_is_a_formula(text: str) -> None:
    """A text that a spreadsheet would compute gets a quote mark in front; numbers stay what they are."""
    file = io.StringIO(newline="")
    exporting.write_csv(iter([{"a": text, "b": -5, "c": 'x "y", z\nw', "d": None, "e": True}]), ("a", "b", "c", "d", "e"), file)
    head, row = csv.reader(io.StringIO(file.getvalue(), newline=""))
    assert head == ["a", "b", "c", "d", "e"]
    assert row == [f"'{text}", "-5", 'x "y", z\nw', "", "1"]


@pytest.mark.parametrize("what", list(exporting.WHAT))
def test_every_record_has_the_columns_of_its_kind(keeper: Keeper, what: str) -> None:
    """In their order: CSV needs no look-ahead."""
    keeper.commit(batch(NOON, report(1, NOON), event(2, NOON)))
    Rollup(keeper).finish(NOON + 1)
    make, columns = exporting.WHAT[what]
    records = list(make(asked(keeper)))
    assert records and all(tuple(record) == columns for record in records)


def test_memory_is_bounded(keeper: Keeper) -> None:
    """Records come as they are read, not when all are."""
    keeper.commit(batch(NOON + 4 * HOUR, *[report(n, NOON + 60 * n) for n in range(1, 200)]))
    made = exporting.reports(asked(keeper))
    next(made)
    keeper.commit(batch(NOON + 4 * HOUR, report(500, NOON + 3 * HOUR)))
    assert len(list(made)) == 199


MOMENTS: list[tuple[str, Any]] = [
    ("2026-09-23T12:00:00Z", NOON),
    ("2026-09-23T19:00", NOON),
    ("2026-09-23", NOON - 19 * HOUR),
    ("2026-09-23T12:00:00+02:00", NOON - 2 * HOUR),
    (str(NOON), NOON),
    ("24h", NOON - 86_400 + 50),
    ("7d", NOON - 7 * 86_400 + 50),
]


@pytest.mark.parametrize(("text", "at"), MOMENTS)
def test_a_moment_may_be_said_in_many_ways(text: str, at: int) -> None:
    """Without a zone of its own it is the city's."""
    assert moment(text, "Asia/Jakarta", NOON + 50) == at


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "5", "24 h", "9999999d9"])
def test_a_moment_that_is_none_is_refused(text: str) -> None:
    """With what would be one."""
    with pytest.raises(BadInput, match="expected 2026-09-01"):
        moment(text, "Asia/Jakarta", NOON)


def test_a_city_without_telemetry_has_none(tmp_path: Path) -> None:
    """Nothing is written, nothing fails."""
    city = City(tmp_path, "malang")
    city.store.mkdir()
    live = store.open_live(city)
    for what, (make, _) in exporting.WHAT.items():
        assert list(make(Asked(live, city, {}, 0, 1 << 31))) == [], what
    live.close()
