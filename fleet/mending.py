"""What the keeper does before anything else: look whether the files are whole, and make them so.

live.db says which batch is the last whole one. Where a month's file is ahead, its rows are taken over: they are there, and whoever sends them again is told
so by the received sets. One ahead is a process that was killed between the two files; more is a live.db that lost what it had (a torn WAL, an older copy).
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from fleet import boots, store
from fleet.boots import Boot, Boots
from fleet.city import City
from fleet.errors import Refused
from fleet.months import Months
from fleet.store import transaction

LIVE = "live.db"
BATCH = "batch"  # the name in live.db's meta
CHECKED = ("meta", "boots", "state", "alerts", "events", "dirty", "listening", "stops")
HOUR_S = 3600

Taken = tuple[int, int, int, int | None, float, float, str]  # boot, ts, seq, from_seq, span_s, uptime_s, clock
_KEY = "SELECT " + ", ".join(f"json_extract(value, '$[{place}]')" for place in range(4)) + " FROM json_each(?)"
_TAKEN = "SELECT boot, ts, seq, from_seq, span_s, uptime_s, clock FROM raw"


def opened(city: City) -> sqlite3.Connection:
    """Open live.db to write; Refused when it is damaged."""
    path = city.store / LIVE
    loss = "what reports said is then made anew from the months' files; events are lost, states come again"
    try:
        live = store.open_live(city, is_writer=True)
    except Refused as error:
        raise _damaged(path, error, loss) from None
    try:
        for table in CHECKED:
            found = live.execute(f"PRAGMA quick_check('{table}')").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(found)
    except sqlite3.DatabaseError as error:
        live.close()
        raise _damaged(path, error, loss) from None
    return live


def batch_of(live: sqlite3.Connection) -> int:
    """Give the number of the last whole batch."""
    row = live.execute("SELECT value FROM meta WHERE name = ?", (BATCH,)).fetchone()
    return 0 if row is None else int(row[0])


def mend(live: sqlite3.Connection, months: Months) -> list[str]:
    """Make the store whole; say what had to be repaired, one line each."""
    whole = batch_of(live)
    numbers = {path: _number(months, path) for path in months.files()}
    ahead = [path for path, number in numbers.items() if number > whole]
    said = [_fallen_behind(live, path, number) for path, number in numbers.items()]
    last = max(numbers.values(), default=0)
    if last > whole + 1:
        count = _take_over(live, months, list(numbers), _all_rows(months, list(numbers)), last)
        said.append(
            f"live.db: knew of batches up to {whole}, the months' files of {last} (a torn WAL, an older copy?); made anew from their {count} reports."
            " Events and states of between are lost; every hour of those months is rolled up again"
        )
    elif ahead and any(months.last(path)["removed"] for path in ahead):
        count = sum(months.undo(path, whole) for path in ahead)
        said.append(f"batch {whole + 1}: was cut off before it was whole; its {count} rows are undone, the broker sends them again")
    elif ahead:
        count = _take_over(live, months, ahead, _last_rows(months, ahead), whole + 1)
        said.append(f"batch {whole + 1}: was cut off before it was whole; its {count} reports are there and taken over, the broker sends the rest again")
    return [line for line in said if line]


def _number(months: Months, path: Path) -> int:
    try:
        months.at(path).execute("SELECT max(ts) FROM raw").fetchone()  # the edge of the tree: what was written last
        return months.number(path)
    except sqlite3.DatabaseError as error:
        raise _damaged(path, error, "its reports are lost, its hours stay as they were rolled up") from None


def _damaged(path: Path, error: Exception, loss: str) -> Refused:
    return Refused(
        f"{path}: cannot be used ({error}); nothing was changed. If it is damaged: copy {path.parent} first, then move {path.name}, {path.name}-wal and"
        f" {path.name}-shm out of it and start again; {loss}"
    )


def _fallen_behind(live: sqlite3.Connection, path: Path, number: int) -> str:
    """Say what a month's file has lost that live.db knows of; empty when nothing."""
    row = live.execute("SELECT value FROM meta WHERE name = ?", (path.name,)).fetchone()
    if row is None or number >= int(row[0]):
        return ""
    with transaction(live):
        live.execute("UPDATE meta SET value = ? WHERE name = ?", (str(number), path.name))
    return f"{path.name}: lost its batches after {number} up to {row[0]} (a torn WAL, an older copy?); their reports are lost, and unknown when rolled up again"


def _all_rows(months: Months, files: list[Path]) -> Iterator[Taken]:
    for path in files:
        yield from months.at(path).execute(_TAKEN)


def _last_rows(months: Months, files: list[Path]) -> Iterator[Taken]:
    for path in files:
        keys = json.dumps(months.last(path)["added"])
        yield from months.at(path).execute(f"{_TAKEN} WHERE (ts, ap, boot, seq) IN ({_KEY})", (keys,))


def _take_over(live: sqlite3.Connection, months: Months, files: list[Path], rows: Iterator[Taken], number: int) -> int:
    """Give live.db what rows say: received sets, boots, the hours to be rolled up. Say how many there were."""
    known, made, hours, count = Boots(live), dict[int, Boot](), set[int](), 0
    for path in files:
        for boot, ap, name in months.at(path).execute("SELECT number, ap, boot FROM boots"):
            if boot not in made:
                found = known.get(ap, name)
                made[boot] = Boot(boot, ap, name, 0) if found is None else found.copy()
    taken: set[int] = set()
    lowest = months.begin(min(months.files()))  # an hour before it has no rows any more, and stays as it was rolled up
    for boot, ts, seq, from_seq, span_s, uptime_s, clock in rows:
        since, until = _take(made[boot], ts, from_seq or seq, seq, span_s, uptime_s, clock == "ntp")
        hours.update(range(max(since - since % HOUR_S, lowest), until + 1, HOUR_S))
        taken.add(boot)
        count += 1
    with transaction(live):
        live.executemany(boots.WRITE, [made[boot].row() for boot in taken])
        live.executemany("INSERT OR REPLACE INTO dirty VALUES (?, ?)", [(hr, number) for hr in hours])
        numbers = [(path.name, str(months.number(path))) for path in files]
        live.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", [(BATCH, str(number)), *numbers])
    return count


def _take(boot: Boot, ts: int, first: int, last: int, span_s: float, uptime_s: float, is_own_time: bool) -> tuple[int, int]:
    """Put one row into its boot; give the time that it changes."""
    boot.received.add(first, last)
    begin = ts - max(0, math.ceil(span_s))
    since, until = min(begin, ts if boot.to_ts is None else boot.to_ts), ts
    boot.from_ts = begin if boot.from_ts is None else min(boot.from_ts, begin)
    boot.to_ts = ts if boot.to_ts is None else max(boot.to_ts, ts)
    boot.first_at = min(boot.first_at or boot.from_ts, boot.from_ts)
    boot.last_at = max(boot.last_at, ts)
    if boot.base is None or (is_own_time and not boot.is_sure):
        boot.base, boot.is_sure = ts - uptime_s, is_own_time
    return since, until
