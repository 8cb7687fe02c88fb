"""The city's part of scripts/bench: how fast reports are taken in, and how long its questions take over a month of 551 access points."""

from __future__ import annotations

import gc
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from agent.wire import messages
from fleet import queries, store
from fleet.city import City
from fleet.gathering import Gathering
from fleet.keeper import Keeper
from fleet.mqtt import Heard
from fleet.rollup import Rollup
from fleet.roster import Roster
from fleet.server_clock import ServerClock
from fleet.serving import calm_collector
from scripts import city_data
from scripts.city_data import BEGIN, DAY_S, HOUR_S, POINTS

ROOT = Path(__file__).resolve().parent.parent
DAYS = 30
BATCH = 2000
END = BEGIN + DAYS * DAY_S
WEEK, LAST_DAY = END - 7 * DAY_S, END - DAY_S

# The same four over DuckDB's raw rows, by its own means.
RAW = {
    "last": "SELECT ap, max(ts), arg_max(seq, ts), arg_max(stations, ts) FROM raw WHERE ts > ? - 86400 GROUP BY ap ORDER BY ap",
    "p95": """
        SELECT (ts - 1) - (ts - 1) % 3600 AS hr, kelurahan, quantile_disc(stations, 0.95), count(*) FROM raw JOIN points USING (ap)
        WHERE ts > ? AND ts <= ? GROUP BY ALL ORDER BY ALL""",
    "availability": """
        SELECT provider, sum(CASE WHEN up = 1 THEN span_s ELSE 0 END) FROM raw JOIN points USING (ap)
        WHERE ts > ? AND ts <= ? GROUP BY provider ORDER BY provider""",
    "unhealthy": """
        SELECT ap, 86400 - sum(CASE WHEN up = 1 THEN span_s ELSE 0 END) AS missing, sum(loss_ratio * span_s) AS loss FROM raw WHERE ts > ? AND ts <= ?
        GROUP BY ap ORDER BY missing + loss DESC LIMIT 20""",
}


class Line(NamedTuple):
    """One line of the table."""

    what: str
    budget: str
    value: str
    within: bool | None
    beside: str = ""

    def text(self) -> str:
        """Give it as Markdown."""
        return f"| {self.what} | {self.budget} | {self.value} | {'' if self.within is None else 'yes' if self.within else '**no**'} | {self.beside} |"


def bench(is_full: bool) -> str:
    """Measure everything and give the table."""
    span_s = 60 if is_full else 600
    with tempfile.TemporaryDirectory(prefix="rw-bench-city-") as directory:
        folder = Path(directory)
        lines = [*_ingest(folder / "ingest", 60_000 if is_full else 20_000)]
        began = time.monotonic()
        for done in city_data.make(folder / "month", DAYS, span_s):
            if sys.stderr.isatty():
                print(f"\r{done}   ", end="", file=sys.stderr)
        took = time.monotonic() - began
        city = City(folder / "month", "malang")
        raw = store.raw_path(city, BEGIN)
        (rows,) = store.open_raw(raw).execute("SELECT count(*) FROM raw").fetchone()
        lines.append(
            Line(
                f"{rows / 1e6:.1f} M rows of {POINTS} access points in {DAYS} days made", "", f"{took:.0f} s, {raw.stat().st_size / rows:.0f} bytes a row", None
            )
        )
        lines += _asked(city, folder, span_s)
        lines += _rolled(city)
    head = "| what | budget | measured | within | raw rows in DuckDB, same run |\n|---|---|---|---|---|\n"
    note = "" if is_full else " A tenth of the rows: a report each 10 minutes instead of each minute; as many hours and histograms as with all."
    return (
        f"{head}{chr(10).join(line.text() for line in lines)}\n\n{note.strip()}{' ' if note else ''}Best of 5; CPU seconds of one core for what is taken in.\n"
    )


# Taking in.


def _ingest(folder: Path, count: int) -> Iterator[Line]:
    """Reports with every field, of 551 access points in turn, through understanding, duplicate test and commit."""
    city = City(folder, "malang")
    city.store.mkdir(parents=True)
    city_data.make_inventory(city, POINTS)
    keeper = Keeper(city)
    roster = Roster(keeper.live, city.name)
    roster.refresh(0.0)
    gathering = Gathering(roster, ServerClock(), [])
    cpu_s = wall_s = 0.0
    thresholds = gc.get_threshold()
    calm_collector()  # as `rwctl serve` does
    for first in range(0, count, BATCH):
        heard = _reports(first, BATCH)
        cpu, wall = time.process_time(), time.monotonic()
        for one in heard:
            gathering.take(one, BEGIN + first / 10)
        stored = keeper.commit(gathering.batch(BEGIN + first / 10, BEGIN))
        gathering.begin()
        cpu_s += time.process_time() - cpu
        wall_s += time.monotonic() - wall
        assert stored.reports == BATCH, stored
    keeper.close()
    gc.set_threshold(*thresholds)
    gc.unfreeze()
    rate = count / cpu_s
    size = len(_reports(0, 1)[0].payload)
    yield Line(
        f"reports of {size:,} bytes taken in, {BATCH:,} a batch",
        ">= 12,000 a CPU second",
        f"{rate:,.0f}; {count / wall_s:,.0f} a second of the clock",
        rate >= 12_000,
    )


def _reports(first: int, count: int) -> list[Heard]:
    chance = random.Random(first)
    made = []
    for number in range(first, first + count):
        ap, seq = number % POINTS + 1, number // POINTS + 1
        report = json.loads(_GOLDEN)
        report |= {"ap": f"rw-{ap:04d}", "boot": f"{ap:016x}", "seq": seq, "at": BEGIN + 60 * seq, "uptime_s": 60.0 * seq}
        report["stations"]["now"] = chance.randrange(40)
        report["agent"]["oldest_seq"] = seq
        made.append(Heard(float(number), f"wifi/v1/malang/rw-{ap:04d}/report", messages.encode(report), False, number % 65_535 + 1, 1))
    return made


_GOLDEN = (ROOT / "tests/golden/report_full.json").read_text(encoding="utf-8")


# Asking.


def _asked(city: City, folder: Path, span_s: int) -> Iterator[Line]:
    live = store.open_live(city)
    duck = _duckdb(city, folder, span_s)
    asked: tuple[tuple[str, float, str, Callable[[], list[Any]], tuple[int, ...]], ...] = (
        ("last state of all", 5, "last", lambda: queries.last_state(live), (END,)),
        ("p95 of clients per hour and kelurahan, a week", 600, "p95", lambda: queries.clients_p95(live, WEEK, END), (WEEK, END)),
        ("availability per provider, a month", 500, "availability", lambda: queries.availability(live, BEGIN, END), (BEGIN, END)),
        ("top 20 unhealthy, 24 hours", 20, "unhealthy", lambda: queries.unhealthy(live, LAST_DAY, END), (LAST_DAY, END)),
    )
    for what, budget_ms, name, ask, parameters in asked:
        ours_ms, ours = _best(ask)
        beside = "not installed"
        if duck is not None:
            theirs_ms, theirs = _best(lambda name=name, parameters=parameters: duck.execute(RAW[name], parameters).fetchall())  # type: ignore[misc]
            beside = f"{theirs_ms:,.1f} ms"
            _compare(name, ours, theirs)
        yield Line(f"{what} ({len(ours):,} rows)", f"< {budget_ms} ms", f"{ours_ms:,.1f} ms", ours_ms < budget_ms, beside)
    live.close()
    if duck is not None:
        duck.close()


def _best(ask: Callable[[], list[Any]]) -> tuple[float, list[Any]]:
    times = []
    for _ in range(5):
        began = time.perf_counter()
        rows = ask()
        times.append((time.perf_counter() - began) * 1000)
    return min(times), rows


def _compare(name: str, ours: list[Any], theirs: list[Any]) -> None:
    """The two must say the same, or the comparison is none."""
    if name == "p95" and [tuple(row) for row in theirs] != [tuple(row) for row in ours]:
        sys.exit("bench: the p95 of the histograms is not that of the raw rows")
    if name == "availability" and [(row[0], row[2]) for row in ours] != [(provider, int(up)) for provider, up in theirs]:
        sys.exit("bench: the hours' up seconds are not those of the raw rows")


def _duckdb(city: City, folder: Path, span_s: int) -> Any:
    """Make the same rows in a DuckDB; None where it is not installed."""
    try:
        import duckdb  # an extra of the tests
    except ImportError:
        return None
    db = duckdb.connect(str(folder / "raw.duckdb"))
    db.execute("SET memory_limit = '2GB'")
    db.execute("CREATE TABLE points (ap BIGINT, kelurahan VARCHAR, provider VARCHAR)")
    inventory = store.open_city(city).execute("SELECT number, kelurahan, provider FROM inventory").fetchall()
    db.executemany("INSERT INTO points VALUES (?, ?, ?)", inventory)
    db.execute("CREATE TABLE moments (ts BIGINT)")
    for day in range(DAYS):
        since = BEGIN + day * DAY_S
        db.execute("DELETE FROM moments")
        db.execute(f"INSERT INTO moments SELECT unnest(range({since + span_s}, {since + DAY_S + 1}, {span_s}))")
        made = f"SELECT * REPLACE (rx_bps::DOUBLE AS rx_bps) FROM ({city_data.rows_text(span_s)}) ORDER BY ts, ap"
        db.execute(f"INSERT INTO raw {made}" if day else f"CREATE TABLE raw AS {made}")
    return db


# Rolling up.


def _rolled(city: City) -> Iterator[Line]:
    keeper = Keeper(city)
    took = []
    for hr in range(END - 12 * HOUR_S, END - HOUR_S, HOUR_S):
        keeper.live.execute("INSERT OR REPLACE INTO dirty VALUES (?, 1)", (hr,))
        began = time.process_time()
        Rollup(keeper).finish(END + 3 * HOUR_S)
        took.append((time.process_time() - began) * 1000)
    keeper.close()
    size = sum(os.path.getsize(city.store / name) for name in ("live.db",))
    yield Line("one closed hour rolled up, median", "", f"{statistics.median(took):.0f} ms CPU; hours and histograms of a month {size / 1e6:.0f} MB", None)
