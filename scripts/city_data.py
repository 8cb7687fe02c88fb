"""A month of a city of 551 access points, made by SQL alone: the same rows in SQLite and in DuckDB, and SQLite's hours as rollup.py makes them.

Each access point has a boot a day. Some days begin with an hour of power failure (down), some have an hour lost at noon (unknown), and some reports
say that the uplink fails. Nothing is random: each value is made of `ts` and `ap`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from fleet import schema, store
from fleet.city import City

BEGIN = 1_788_220_800  # 2026-09-01 00:00:00 UTC: a month that lies in one file
POINTS, KELURAHAN, PROVIDERS = 551, 57, ("Awinet", "Bintang", "Citra")
HOUR_S, DAY_S = 3600, 86_400

# Needs a table `moments` (ts) and `points` (ap). The text is SQLite's and DuckDB's.
ROWS = """
SELECT ts, ap, ap * 100 + (ts - 1 - {begin}) // {day} AS boot, (ts - 1 - {begin}) % {day} // {span} + 1 AS seq, NULL AS from_seq,
  {span}.0 AS span_s, (ts - 1 - {begin}) % {day} + 1.0 AS uptime_s, 'ntp' AS clock, 0 AS late,
  CASE WHEN (ts // {span} * 7919 + ap * 104729) % 199 = 0 THEN 0 ELSE 1 END AS up,
  (ts // {span} * 31 + ap * 17) % (3 + ap % 9 + ts % {day} // 7200) AS stations,
  (ts // {span} * 31 + ap * 17) % (3 + ap % 9 + ts % {day} // 7200) + ts // {span} % 3 AS stations_max, 0.25 AS weak_ratio,
  (ts // {span} * 7907 + ap * 31) % 40000 * 1000.0 AS rx_bps, (ts // {span} * 104723 + ap * 31) % 9000 * 1000.0 AS tx_bps,
  (ts // {span} * 7907 + ap * 31) % 40000 * 1250.0 AS rx_peak_bps, NULL AS tx_peak_bps,
  5.0 + (ts // {span} * 13 + ap) % 64 AS latency_ms,
  CASE WHEN (ts // {span} + ap * 3) % 41 = 0 THEN (ap % 8 + 1) * 0.125 ELSE 0.0 END AS loss_ratio,
  0.5 AS airtime_ratio, 0.125 AS cpu_ratio, 0.75 AS memory_ratio, NULL AS alerts
FROM moments CROSS JOIN points
WHERE NOT ((ap * 7 + ts // {day} * 13) % 23 = 0 AND (ts - 1 - {begin}) % {day} < {hour} AND ts > {begin} + {day})
  AND NOT ((ap * 11 + ts // {day} * 5) % 29 = 0 AND (ts - 1 - {begin}) % {day} // {hour} = 12)
"""
# In the order of the columns of `hours`; all spans lie within their hours.
_HOURS = """
INSERT INTO hours
SELECT :hr, p.ap, coalesce(r.up_s, 0), coalesce(r.down_s, 0) + CASE WHEN (:hr - :begin) % 86400 = 0 THEN 3600 - coalesce(r.said_s, 0) ELSE 0 END,
  CASE WHEN (:hr - :begin) % 86400 = 0 THEN 0 ELSE 3600 - coalesce(r.said_s, 0) END, coalesce(r.n, 0), coalesce(r.stations_s, 0), coalesce(r.said_s, 0),
  r.most, coalesce(r.rx, 0), coalesce(r.tx, 0), r.rx_peak, r.tx_peak, coalesce(r.loss, 0), coalesce(r.said_s, 0), coalesce(r.latency, 0), coalesce(r.said_s, 0)
FROM points AS p LEFT JOIN (
  SELECT ap, count(*) AS n, sum(span_s) AS said_s, sum(CASE WHEN up = 1 THEN span_s ELSE 0 END) AS up_s, sum(CASE WHEN up = 0 THEN span_s ELSE 0 END) AS down_s,
    sum(stations * span_s) AS stations_s, max(stations_max) AS most, sum(rx_bps * span_s) / 8 AS rx, sum(tx_bps * span_s) / 8 AS tx,
    max(rx_peak_bps) AS rx_peak, max(coalesce(tx_peak_bps, tx_bps)) AS tx_peak, sum(loss_ratio * span_s) AS loss, sum(latency_ms * span_s) AS latency
  FROM raw.raw WHERE ts > :hr AND ts <= :hr + 3600 GROUP BY ap) AS r ON r.ap = p.ap"""
_CLIENTS = """
INSERT INTO clients
SELECT :hr, kelurahan, stations, n, sum(n) OVER (PARTITION BY kelurahan ORDER BY stations), sum(n) OVER (PARTITION BY kelurahan) FROM (
  SELECT kelurahan, stations, count(*) AS n
  FROM raw.raw JOIN city.inventory ON number = ap WHERE ts > :hr AND ts <= :hr + 3600 GROUP BY kelurahan, stations)"""
_BOOTS = """
INSERT INTO boots
SELECT boot, ap, printf('%016x', boot), '1-' || max(seq), 1, :begin + (boot - ap * 100) * 86400, 1, min(ts), max(ts), min(ts) - :span, max(ts)
FROM raw.raw GROUP BY boot, ap"""


def kelurahan_of(number: int) -> str:
    """Give the kelurahan of an access point."""
    return f"Kelurahan {number % KELURAHAN:02d}"


def rows_text(span_s: int) -> str:
    """Give the SELECT that makes all rows."""
    return ROWS.format(begin=BEGIN, day=DAY_S, hour=HOUR_S, span=span_s)


def make(folder: Path, days: int, span_s: int, points: int = POINTS) -> Iterator[str]:
    """Make the store of a city; say what is done between."""
    city = City(folder, "malang")
    city.store.mkdir(parents=True, exist_ok=True)
    make_inventory(city, points)
    live = _fast(store.open_live(city, is_writer=True))
    raw = store.raw_path(city, BEGIN)
    store.open_raw(raw).close()
    live.execute("ATTACH DATABASE ? AS raw", (str(raw),))
    live.execute("PRAGMA raw.synchronous = OFF")
    live.execute("CREATE TEMP TABLE points AS SELECT number AS ap FROM city.inventory ORDER BY number")
    live.execute("CREATE TEMP TABLE moments (ts INTEGER)")
    for day in range(days):
        since = BEGIN + day * DAY_S
        live.execute("DELETE FROM moments")
        live.executemany("INSERT INTO moments VALUES (?)", ((ts,) for ts in range(since + span_s, since + DAY_S + 1, span_s)))
        with live:
            live.execute("BEGIN")
            live.execute(f"INSERT INTO raw.raw {rows_text(span_s).replace('//', '/')}")
        yield f"day {day + 1} of {days}"
    with live:
        live.execute("BEGIN")
        live.execute(_BOOTS, {"begin": BEGIN, "span": span_s})
        for hr in range(BEGIN, BEGIN + days * DAY_S, HOUR_S):
            live.execute(_HOURS, {"hr": hr, "begin": BEGIN})
            live.execute(_CLIENTS, {"hr": hr})
        live.execute("INSERT INTO listening VALUES (?, ?)", (BEGIN, BEGIN + days * DAY_S + HOUR_S))
        _make_states(live, BEGIN + days * DAY_S)
    live.close()
    yield "hours"


def _fast(live: sqlite3.Connection) -> sqlite3.Connection:
    live.execute("PRAGMA synchronous = OFF")
    live.execute("PRAGMA cache_size = -65536")
    return live


def make_inventory(city: City, points: int) -> None:
    """Enrol so many access points."""
    db = store.open_city(city)
    db.executescript(schema.CITY)
    with db:
        db.execute("BEGIN")
        db.executemany(
            f"INSERT INTO inventory VALUES ({', '.join('?' * 13)})",
            [
                (
                    f"rw-{ap:04d}",
                    ap,
                    f"{kelurahan_of(ap)}/{ap:03d}",
                    kelurahan_of(ap),
                    f"Kecamatan {ap % 5}",
                    PROVIDERS[ap % 57 % 3],
                    50.0,
                    500_000,
                    None,
                    None,
                    "",
                    BEGIN,
                    None,
                )
                for ap in range(1, points + 1)
            ],
        )
    db.close()


def _make_states(live: sqlite3.Connection, now: int) -> None:
    """Make the newest state of each access point, with a report of a usual size."""
    report = '{"v":1,"filler":"' + "x" * 2400 + '"}'
    live.execute(
        """
        INSERT INTO state (ap, presence, session, presence_at, boot, seq, report_at, span_s, report)
        SELECT ap, 'online', '0123456789abcdef', from_ts, boot, CAST(substr(received, 3) AS INTEGER), ?, 60.0, ?
        FROM boots WHERE to_ts > ? - 86400""",
        (now, report, now),
    )
