"""The city's questions to its store, each one text that SQLite, PostgreSQL, DuckDB and ClickHouse run alike.

So they keep to CTE, CASE, ROW_NUMBER() OVER and `ts - ts % 3600`: no percentile function, no `/` between whole numbers, no sum of truths.
Parameters stand as `?`, in the order that is said beside each. The tables are live.db's, with city.db's as `city.…`.
"""

from __future__ import annotations

import sqlite3

DAY_S, WEEK_S = 86_400, 604_800
MOST_UNHEALTHY = 20
GOOD_PERCENT = 98

# No parameters. One row for each access point of the inventory, whether it was heard of or not.
LAST_STATE = """
SELECT i.id, i.rw, i.kelurahan, i.kecamatan, i.provider, s.presence, s.presence_at, s.report_at, s.boot, s.seq, s.span_s
FROM city.inventory AS i LEFT JOIN state AS s ON s.ap = i.number
WHERE i.revoked_at IS NULL
ORDER BY i.id
"""

# since, until. The lowest number of clients that at least 95 of 100 samples of an hour in a kelurahan do not exceed (nearest rank).
CLIENTS_P95 = """
SELECT hr, kelurahan, MIN(stations) AS p95, MAX(total) AS samples
FROM clients WHERE hr >= ? AND hr < ? AND so_far * 100 >= total * 95
GROUP BY hr, kelurahan
ORDER BY hr, kelurahan
"""

# since, until. Seconds of all its access points, and how many of them were up for less than GOOD_PERCENT of the time that is known.
AVAILABILITY = f"""
WITH point AS (
  SELECT ap, SUM(up_s) AS up_s, SUM(down_s) AS down_s, SUM(unknown_s) AS unknown_s
  FROM hours WHERE hr >= ? AND hr < ? GROUP BY ap)
SELECT i.provider, COUNT(*) AS points, SUM(p.up_s) AS up_s, SUM(p.down_s) AS down_s, SUM(p.unknown_s) AS unknown_s,
  CASE WHEN SUM(p.up_s) + SUM(p.down_s) > 0 THEN 1.0 * SUM(p.up_s) / (SUM(p.up_s) + SUM(p.down_s)) END AS up_ratio,
  SUM(CASE WHEN p.up_s * 100 < (p.up_s + p.down_s) * {GOOD_PERCENT} THEN 1 ELSE 0 END) AS below
FROM point AS p JOIN city.inventory AS i ON i.number = p.ap
GROUP BY i.provider
ORDER BY i.provider
"""

# since, until, and both again. Worst first: by the seconds that its clients were without, which are those it was down and the lost share of those
# in which it was probed.
UNHEALTHY = f"""
WITH ill AS (
  SELECT ap, SUM(down_s + loss_s) AS without_s FROM hours WHERE hr >= ? AND hr < ? AND down_s + loss_s > 0 GROUP BY ap),
ranked AS (
  SELECT ap, ROUND(without_s, 3) AS without_s, ROW_NUMBER() OVER (ORDER BY ROUND(without_s, 3) DESC, ap) AS place FROM ill),
worst AS (
  SELECT ap, without_s, place FROM ranked WHERE place <= {MOST_UNHEALTHY}),
seen AS (
  SELECT ap, SUM(up_s) AS up_s, SUM(down_s) AS down_s, SUM(unknown_s) AS unknown_s,
    CASE WHEN SUM(probed_s) > 0 THEN ROUND(SUM(loss_s) / SUM(probed_s), 6) END AS loss_ratio,
    CASE WHEN SUM(answered_s) > 0 THEN ROUND(SUM(latency_s) / SUM(answered_s), 3) END AS latency_ms
  FROM hours WHERE hr >= ? AND hr < ? AND ap IN (SELECT ap FROM worst) GROUP BY ap)
SELECT w.place, i.id, i.kelurahan, i.provider, w.without_s, s.up_s, s.down_s, s.unknown_s, s.loss_ratio, s.latency_ms
FROM worst AS w JOIN seen AS s ON s.ap = w.ap JOIN city.inventory AS i ON i.number = w.ap
ORDER BY w.place
"""

Rows = list[tuple[str | int | float | None, ...]]


def last_state(live: sqlite3.Connection) -> Rows:
    """Give the newest of each access point."""
    return live.execute(LAST_STATE).fetchall()


def clients_p95(live: sqlite3.Connection, since: int, until: int) -> Rows:
    """Give hour, kelurahan, the 95th percentile of the clients at its access points, and how many samples that is of."""
    return live.execute(CLIENTS_P95, (since, until)).fetchall()


def availability(live: sqlite3.Connection, since: int, until: int) -> Rows:
    """Give for each provider: access points, seconds up, down and unknown, the share of up in what is known, and how many are below GOOD_PERCENT."""
    return live.execute(AVAILABILITY, (since, until)).fetchall()


def unhealthy(live: sqlite3.Connection, since: int, until: int) -> Rows:
    """Give the access points that do worst, at most MOST_UNHEALTHY, worst first."""
    return live.execute(UNHEALTHY, (since, until, since, until)).fetchall()
