"""One text on two engines, the same answers; and the bench's month is what the rollup would have made of it."""

from __future__ import annotations

import csv
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet import queries, store
from fleet.city import City
from fleet.keeper import Keeper
from fleet.rollup import Rollup
from scripts import city_data
from scripts.city_data import BEGIN, DAY_S, HOUR_S, kelurahan_of
from tests.fleet.keeping import BOOT, NOON, batch, city_of, enrol, report

DAYS, POINTS, SPAN_S = 2, 70, 600


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> City:
    folder = tmp_path_factory.mktemp("bench") / "malang"
    list(city_data.make(folder, DAYS, SPAN_S, POINTS))
    return City(folder, "malang")


@pytest.fixture
def live(made: City) -> Iterator[sqlite3.Connection]:
    found = store.open_live(made)
    yield found
    found.close()


def in_duckdb(live: sqlite3.Connection, folder: Path) -> Any:
    """Copy the tables that the queries read into a DuckDB."""
    duckdb = pytest.importorskip("duckdb")
    db = duckdb.connect()
    db.execute("CREATE SCHEMA city")
    types = {"INTEGER": "BIGINT", "REAL": "DOUBLE", "TEXT": "VARCHAR"}
    for schema, table in (("city", "inventory"), ("main", "state"), ("main", "hours"), ("main", "clients")):
        columns = [(name, types[kind]) for _, name, kind, *_ in live.execute(f"PRAGMA {schema}.table_info({table})")]
        db.execute(f"CREATE TABLE {schema}.{table} ({', '.join(f'{name} {kind}' for name, kind in columns)})")
        with (folder / f"{table}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["NULL" if value is None else value for value in row] for row in live.execute(f"SELECT * FROM {schema}.{table}")])
        db.execute(f"COPY {schema}.{table} FROM '{file.name}' (HEADER false, NULLSTR 'NULL')")
    return db


def same(rows: list[Any]) -> list[tuple[object, ...]]:
    """Give rows with their floats to nine digits: two engines add in different orders."""
    return [tuple(float(f"{value:.9g}") if isinstance(value, float) else value for value in row) for row in rows]


def test_the_same_text_gives_the_same_on_duckdb(live: sqlite3.Connection, tmp_path: Path) -> None:
    """All four questions, without a change."""
    other = in_duckdb(live, tmp_path)
    week, day = (BEGIN, BEGIN + DAYS * DAY_S), (BEGIN + (DAYS - 1) * DAY_S, BEGIN + DAYS * DAY_S)
    for text, parameters, least in (
        (queries.LAST_STATE, (), POINTS),
        (queries.CLIENTS_P95, week, 2700),
        (queries.AVAILABILITY, week, 3),
        (queries.UNHEALTHY, day * 2, 20),
    ):
        ours = live.execute(text, parameters).fetchall()
        assert same(other.execute(text, parameters).fetchall()) == same(ours)
        assert len(ours) >= least, text


def test_p95_is_that_of_the_raw_rows(made: City, live: sqlite3.Connection) -> None:
    """Exact, from the histogram: the nearest rank of all samples."""
    raw = store.open_raw(store.raw_path(made, BEGIN))
    hr = BEGIN + 30 * HOUR_S
    p95 = {(hour, kelurahan): (value, samples) for hour, kelurahan, value, samples in queries.clients_p95(live, hr, hr + HOUR_S)}
    seen: dict[str, list[int]] = {}
    for ap, stations in raw.execute("SELECT ap, stations FROM raw WHERE ts > ? AND ts <= ?", (hr, hr + HOUR_S)):
        seen.setdefault(kelurahan_of(ap), []).append(stations)
    raw.close()
    assert p95 == {(hr, kelurahan): (sorted(all_of)[-(-len(all_of) * 95 // 100) - 1], len(all_of)) for kelurahan, all_of in seen.items()}


def test_the_month_of_the_bench_is_what_the_rollup_makes(made: City, tmp_path: Path) -> None:
    """Made by SQL alone, and the same hours and histograms as rollup.py's."""
    shutil.copytree(made.folder, tmp_path / "malang")
    keeper = Keeper(City(tmp_path / "malang", "malang"))
    hours = [BEGIN, BEGIN + DAY_S - HOUR_S, BEGIN + DAY_S, BEGIN + DAY_S + HOUR_S, BEGIN + DAY_S + 12 * HOUR_S]
    wanted = [keeper.live.execute(f"SELECT * FROM {table} WHERE hr IN (?, ?, ?, ?, ?) ORDER BY 1, 2, 3", hours).fetchall() for table in ("hours", "clients")]
    keeper.live.executemany("INSERT INTO dirty VALUES (?, 1)", [(hr,) for hr in hours])
    keeper.live.execute("DELETE FROM hours")
    keeper.live.execute("DELETE FROM clients")
    Rollup(keeper).finish(BEGIN + DAYS * DAY_S + 7 * HOUR_S)
    assert [same(keeper.live.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3").fetchall()) for table in ("hours", "clients")] == [
        same(rows) for rows in wanted
    ]
    assert {row[3] > 0 for row in wanted[0]} == {True, False} and {row[4] > 0 for row in wanted[0]} == {True, False}
    keeper.close()


def test_availability_is_a_share_of_what_is_known(tmp_path: Path) -> None:
    """Unknown seconds make no provider worse or better."""
    city = city_of(tmp_path / "malang")
    enrol(city, 1), enrol(city, 2), enrol(city, 3, provider="Bintang"), enrol(city, 4, provider="Citra")
    keeper = Keeper(city)
    for ap, up, down, unknown in ((1, 3600, 0, 0), (2, 900, 900, 1800), (3, 3530, 70, 0), (4, 0, 0, 3600)):
        keeper.live.execute(f"INSERT INTO hours VALUES (?, ?, ?, ?, ?{', 0' * 12})", (NOON, ap, up, down, unknown))
        keeper.live.execute(f"INSERT INTO hours VALUES (?, ?, 0, 3600, 0{', 0' * 12})", (NOON + HOUR_S, ap))
    assert queries.availability(keeper.live, NOON, NOON + HOUR_S) == [
        ("Awinet", 2, 4500, 900, 1800, 4500 / 5400, 1),
        ("Bintang", 1, 3530, 70, 0, 3530 / 3600, 0),
        ("Citra", 1, 0, 0, 3600, None, 0),
    ]
    keeper.close()


def test_the_unhealthy_are_worst_first_and_nobody_healthy_is_among_them(tmp_path: Path) -> None:
    """By what was down and lost; who is merely unknown is not named."""
    city = city_of(tmp_path / "malang")
    keeper = Keeper(city)
    for ap, down, unknown, loss in ((1, 0, 0, 0), (2, 360, 0, 0), (3, 0, 0, 720), (4, 0, 3600, 0)):
        enrol(city, ap)
        keeper.live.execute(
            "INSERT INTO hours VALUES (?, ?, ?, ?, ?, 0, 0, 0, 0, 0, 0, 0, 0, ?, 3600, 36000, 3600)", (NOON, ap, 3600 - down - unknown, down, unknown, loss)
        )
    assert queries.unhealthy(keeper.live, NOON, NOON + HOUR_S) == [
        (1, "rw-0003", "Jatimulyo", "Awinet", 720.0, 3600, 0, 0, 0.2, 10.0),
        (2, "rw-0002", "Jatimulyo", "Awinet", 360.0, 3240, 360, 0, 0.0, 10.0),
    ]
    keeper.close()


def test_the_last_state_has_everybody(tmp_path: Path) -> None:
    """Also who was never heard of; not who was revoked."""
    city = city_of(tmp_path / "malang")
    enrol(city, 1), enrol(city, 2), enrol(city, 3)
    db = store.open_city(city)
    db.execute("UPDATE inventory SET revoked_at = 1 WHERE number = 3")
    db.close()
    keeper = Keeper(city)
    keeper.commit(batch(NOON, report(7, NOON)))
    keeper.live.execute("INSERT INTO state (ap, presence, boot, seq) VALUES (1, 'online', ?, 7)", (BOOT,))
    assert [(row[0], row[5], row[9]) for row in queries.last_state(keeper.live)] == [("rw-0001", "online", 7), ("rw-0002", None, None)]
    keeper.close()
