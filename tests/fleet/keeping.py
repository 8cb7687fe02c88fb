"""A city's store without anything around it, and messages for it: what the tests of keeper, rollup, queries and export stand on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from fleet import store
from fleet.city import City
from fleet.keeper import Keeper
from fleet.received import Received
from fleet.rows import Batch, EventRow, RawRow

NOON = 1_790_164_800  # 2026-09-23 12:00:00 UTC
BOOT, OTHER = "b1946ac92492d234", "0123456789abcdef"


def city_of(folder: Path) -> City:
    """Make the directory of a city that has a store and nothing else."""
    (folder / "store").mkdir(parents=True)
    return City(folder, "malang")


def report(seq: int, ts: int | None = None, *, ap: int = 1, boot: str = BOOT, uptime: float | None = None, span: float = 60.0, **more: object) -> RawRow:
    """Make a report; by default minute `seq` of a boot at noon, with a clock that is good when `ts` is given."""
    values = {"from_seq": None, "late": 0, "up": 1, "clock": "none" if ts is None else "ntp"} | more
    return RawRow(ts, ap, boot, seq, span_s=span, uptime_s=60.0 * seq if uptime is None else uptime, **values)  # type: ignore[arg-type]


def event(seq: int, ts: int | None = None, *, ap: int = 1, boot: str = BOOT, kind: str = "boot") -> EventRow:
    """Make an event."""
    return EventRow(ts, ap, boot, seq, kind, "{}", 60.0 * seq, "none" if ts is None else "ntp")


def batch(now: float, *rows: RawRow | EventRow, **more: object) -> Batch:
    """Make a batch of reports and events."""
    made = Batch.empty(now)._replace(**more)  # type: ignore[arg-type]
    for row in rows:
        (made.raw if isinstance(row, RawRow) else made.events).append(row)  # type: ignore[arg-type]
    return made


def enrol(city: City, number: int, kelurahan: str = "Jatimulyo", provider: str = "Awinet", name: str | None = None, tags: str = "") -> None:
    """Put an access point into the inventory."""
    db = store.open_city(city)
    row = (
        name or f"rw-{number:04d}",
        number,
        f"{kelurahan}/{number:02d}",
        kelurahan,
        "Lowokwaru",
        provider,
        50.0,
        500_000,
        None,
        None,
        tags,
        NOON - 86_400,
        None,
    )
    db.execute(f"INSERT INTO inventory VALUES ({', '.join('?' * 13)})", row)
    db.close()


def stored(keeper: Keeper) -> Counter[tuple[int, str, int]]:
    """Count how often each (ap, boot, seq) is in the store, as the boot's row names it."""
    boots = {number: (ap, boot) for number, ap, boot in keeper.live.execute("SELECT number, ap, boot FROM boots")}
    found: Counter[tuple[int, str, int]] = Counter()
    for path in keeper.months.files():
        for boot, first, seq in keeper.months.at(path).execute("SELECT boot, coalesce(from_seq, seq), seq FROM raw"):
            found.update((*boots[boot], number) for number in range(first, seq + 1))
    for boot, seq in keeper.live.execute("SELECT boot, seq FROM events"):
        found[(*boots[boot], seq)] += 1
    return found


def received(keeper: Keeper) -> set[tuple[int, str, int]]:
    """Give all that the received sets name."""
    boots = keeper.live.execute("SELECT ap, boot FROM boots").fetchall()
    sets = [(ap, boot, keeper.received(ap, boot) or Received()) for ap, boot in boots]
    return {(ap, boot, seq) for ap, boot, numbers in sets for first, last in numbers.ranges() for seq in range(first, last + 1)}


def times(keeper: Keeper) -> dict[tuple[int, int], int]:
    """Give the time of each report by (ap, seq)."""
    return {(ap, seq): ts for path in keeper.months.files() for ts, ap, seq in keeper.months.at(path).execute("SELECT ts, ap, seq FROM raw")}
