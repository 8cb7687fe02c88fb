"""What is known of each boot of an access point: what was received of it, when it began, which time its reports cover.

Read from live.db when asked for, and the latest ones kept in memory. Promises never to change what it keeps before the batch is written.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from fleet.received import Received

MOST_KEPT = 40_000
MOST_BOOTS_A_DAY = 64
DAY_S = 86_400
COLUMNS = "number, ap, boot, received, gone_below, base, base_is_sure, first_at, last_at, from_ts, to_ts"
_CHANGING = ("received", "gone_below", "base", "base_is_sure", "first_at", "last_at", "from_ts", "to_ts")
WRITE = (
    f"INSERT INTO boots ({COLUMNS}) VALUES ({', '.join('?' * 11)})"
    f" ON CONFLICT (number) DO UPDATE SET {', '.join(f'{column} = excluded.{column}' for column in _CHANGING)}"
)

Row = tuple[int, int, str, str, int, float | None, int, int, int, int | None, int | None]


class Boot:
    """One row of `boots`."""

    __slots__ = ("ap", "base", "boot", "first_at", "from_ts", "gone_below", "is_sure", "last_at", "number", "received", "to_ts")

    def __init__(self, number: int, ap: int, boot: str, now: int) -> None:
        """Begin a boot that was never heard of."""
        self.number, self.ap, self.boot = number, ap, boot
        self.received, self.gone_below = Received(), 1
        self.base: float | None = None
        self.is_sure = False
        self.first_at = self.last_at = now
        self.from_ts: int | None = None
        self.to_ts: int | None = None

    @classmethod
    def read(cls, row: Row) -> Boot:
        """Take a row of the table."""
        made = cls(row[0], row[1], row[2], row[7])
        made.received, made.gone_below, made.base, made.is_sure = Received(row[3]), row[4], row[5], bool(row[6])
        made.last_at, made.from_ts, made.to_ts = row[8], row[9], row[10]
        return made

    def row(self) -> Row:
        """Give the row of the table."""
        return (
            self.number, self.ap, self.boot, str(self.received), self.gone_below, self.base, int(self.is_sure),
            self.first_at, self.last_at, self.from_ts, self.to_ts,
        )  # fmt: skip

    def copy(self) -> Boot:
        """Give another one with the same values."""
        made = Boot(self.number, self.ap, self.boot, self.first_at)
        made.received, made.gone_below, made.base, made.is_sure = self.received.copy(), self.gone_below, self.base, self.is_sure
        made.last_at, made.from_ts, made.to_ts = self.last_at, self.from_ts, self.to_ts
        return made


class Boots:
    """All boots, the latest MOST_KEPT of those asked for in memory."""

    def __init__(self, live: sqlite3.Connection) -> None:
        self._live = live
        self._kept: dict[tuple[int, str], Boot] = {}
        self.next_number: int = live.execute("SELECT coalesce(max(number), 0) + 1 FROM boots").fetchone()[0]

    def get(self, ap: int, boot: str) -> Boot | None:
        """Give a boot to read; None when nothing of it was committed."""
        found = self._kept.get((ap, boot))
        if found is None:
            row = self._live.execute(f"SELECT {COLUMNS} FROM boots WHERE ap = ? AND boot = ?", (ap, boot)).fetchone()
            if row is not None:
                found = Boot.read(row)
                self._keep(found)
        return found

    def begun_since(self, ap: int, since: float) -> int:
        """Count the boots of an access point that were first heard of after a moment."""
        count: int = self._live.execute("SELECT count(*) FROM boots WHERE ap = ? AND first_at > ?", (ap, since)).fetchone()[0]
        return count

    def next_begin(self, ap: int, ts: int) -> int | None:
        """Give when the reports of the next boot after a moment begin; None when there is none."""
        begin: int | None = self._live.execute("SELECT min(from_ts) FROM boots WHERE ap = ? AND from_ts > ?", (ap, ts)).fetchone()[0]
        return begin

    def adopt(self, written: Iterable[Boot]) -> None:
        """Take over what a batch wrote."""
        for boot in written:
            self._keep(boot)
            self.next_number = max(self.next_number, boot.number + 1)

    def forget(self) -> None:
        """Read everything anew when asked."""
        self._kept.clear()

    def _keep(self, boot: Boot) -> None:
        self._kept[boot.ap, boot.boot] = boot
        if len(self._kept) > MOST_KEPT:
            for key in list(self._kept)[: MOST_KEPT // 4]:
                del self._kept[key]
