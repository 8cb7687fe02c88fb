"""The one writer of the store: batches, all or nothing over live.db and the months' files, each message exactly once.

A batch goes into the months' files first and then, with its number, into live.db. So live.db alone says what is whole: what a file holds of a
younger batch is undone by the next commit before it writes anything, or taken over at the next start (mending.py).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

from agent.wire import messages
from fleet import boots, mending, store
from fleet.boots import DAY_S, MOST_BOOTS_A_DAY, Boot, Boots
from fleet.city import City
from fleet.errors import Refused
from fleet.months import Months
from fleet.received import Received
from fleet.reckoning import HOUR_S, Reckoning
from fleet.rows import PARTS, SAFE_MODE, Batch, Part, StateChange, Stored
from fleet.store import transaction

LOCK = "serve.lock"
MOST_QUARANTINED = 1000
NO_DATA = "{}"
DROPPED_BEFORE = "dropped_before"  # the name in live.db's meta: hours before it have no raw rows any more, and stay as they were rolled up

_STATE = {
    part: f"INSERT INTO state (ap, {', '.join(columns)}) VALUES ({', '.join('?' * (len(columns) + 1))})"
    f" ON CONFLICT (ap) DO UPDATE SET {', '.join(f'{column} = excluded.{column}' for column in columns)}"
    for part, columns in PARTS.items()
}
_ALERT = "INSERT INTO alerts VALUES (?, ?, ?, ?) ON CONFLICT (ap, code) DO UPDATE SET since = excluded.since, data = excluded.data"
_PENDING = """
    INSERT INTO pending VALUES (?, ?, ?, ?)
    ON CONFLICT (ap) DO UPDATE SET last_at = max(last_at, excluded.last_at), messages = messages + excluded.messages"""
_LISTENING = "INSERT INTO listening VALUES (?, ?) ON CONFLICT (began_at) DO UPDATE SET ended_at = max(ended_at, excluded.ended_at)"
_DIRTY = "INSERT INTO dirty VALUES (?, ?) ON CONFLICT (hr) DO UPDATE SET batch = excluded.batch"
INTERVAL_S = "interval_s"  # the name in live.db's meta: what the bundles say of it
_META = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
_DROP_BOOTS = """
    DELETE FROM boots WHERE last_at < ?
    AND EXISTS (SELECT 1 FROM boots AS later WHERE later.ap = boots.ap AND later.number > boots.number AND later.last_at < ?)"""
_MOVE_EVENTS = """
    UPDATE events SET ts = CAST(? + uptime_s AS INTEGER)
    WHERE boot = ? AND clock <> 'ntp' AND CAST(? + uptime_s AS INTEGER) BETWEEN ? AND ?"""


class Keeper:
    """The store opened for writing. One thread only."""

    def __init__(self, city: City) -> None:
        """Take the store for this process and make it whole.

        Refused when another `serve` has it (the text names its pid) or a file is damaged (the text says which and what to do).
        """
        self._city = city
        city.store.mkdir(mode=0o700, exist_ok=True)
        self._lock = _locked(city.store / LOCK)
        try:
            self.months = Months(city)
            self.live = mending.opened(city)
            self.repaired = mending.mend(self.live, self.months)  # what had to be repaired, for the log: one line each
        except BaseException:
            os.close(self._lock)
            raise
        self.batch = mending.batch_of(self.live)  # number of the last whole batch
        self._is_stale = False
        self._half: set[Path] = set()  # files that may hold a part of a batch that is not whole
        self._boots = Boots(self.live)
        self._newest: dict[int, tuple[int, int]] = {}  # by access point: boot number and seq of its newest report
        self._presence: dict[int, tuple[object, object]] = {}
        self._alerts: dict[int, frozenset[str]] = {}
        self._hour = 0  # the last one that was marked because it ran
        self._dropped_before = 0
        self._read()
        self._tell(city.report.interval_s)

    def close(self) -> None:
        """Close the files and let the store go."""
        self.months.close()
        self.live.close()
        os.close(self._lock)

    def _tell(self, interval_s: int) -> None:
        """Leave for those who only read at what interval the access points report: their first span after a start is a short one."""
        said = INTERVAL_S, str(interval_s)
        if self.live.execute("SELECT value FROM meta WHERE name = ?", said[:1]).fetchone() != said[1:]:
            self.live.execute(_META, said)

    # What was committed.

    def has(self, ap: int, boot: str, seq: int, from_seq: int | None = None) -> bool:
        """Say whether all of from_seq..seq was committed before (what the batch at hand holds is not counted)."""
        found = self._boots.get(ap, boot)
        return found is not None and found.received.covers(from_seq or seq, seq)

    def received(self, ap: int, boot: str) -> Received | None:
        """Give what was committed of a boot, None when nothing was. Read it; do not change it."""
        found = self._boots.get(ap, boot)
        return None if found is None else found.received

    def ack(self, ap: int, boot: str) -> tuple[int, list[tuple[int, int]]] | None:
        """Give `through` and `missing` of the boot's `ack`: without what is gone for good, at most messages.MAX_MISSING ranges. None: nothing received."""
        found = self._boots.get(ap, boot)
        return None if found is None else found.received.missing(found.gone_below, messages.MAX_MISSING)

    def has_room(self, ap: int, boot: str, now: float) -> bool:
        """Say whether a boot is known, or may be taken as a new one: at most MOST_BOOTS_A_DAY new ones of one access point in 24 hours.

        A commit leaves out what there is no room for, and counts it.
        """
        return self._boots.get(ap, boot) is not None or self._boots.begun_since(ap, now - DAY_S) < MOST_BOOTS_A_DAY

    # A batch.

    def commit(self, batch: Batch) -> Stored:
        """Write a batch, all of it or nothing. Reports and events received before are left out.

        sqlite3.OperationalError (disk full, I/O): nothing of it is there, and the same batch may be tried again at once or later.
        sqlite3.DatabaseError otherwise: a file is damaged.
        """
        if self._is_stale:
            self._read()
        self._undo_half()
        reckoned = Reckoning(self._boots, self.months, batch, self.oldest_ts(batch.now))
        number = self.batch + 1
        self._is_stale = True  # until all of it is written
        # Files that lose rows first: with a part of the others alone the mending could not tell a row that moved from one that is new.
        for path, change in sorted(reckoned.changes.items(), key=lambda item: (not item[1].removed, item[0])):
            self._half.add(path)
            self.months.write(path, number, change)
        self._write(batch, reckoned, number)
        self._is_stale = False
        self._half.clear()
        self.batch = number
        self._boots.adopt(reckoned.touched.values())
        return Stored(reckoned.reports, len(reckoned.events), reckoned.duplicates, reckoned.restamped, reckoned.refused)

    def oldest_ts(self, now: float) -> int:
        """Give the first moment of the kept months; a clock that went back brings none back that was dropped."""
        return max(self._dropped_before, _month_begin(int(now), self._city.limits.raw_months))

    def drop_old(self, now: float) -> list[str]:
        """Drop whole months and hours that are older than city.toml keeps them; give the names of dropped files. Cheap; call it each hour."""
        oldest_raw, oldest_hour = self.oldest_ts(now), _month_begin(int(now), self._city.limits.hours_months)
        with transaction(self.live):
            self.live.execute("DELETE FROM dirty WHERE hr < ?", (oldest_raw,))
            for table, column in (("hours", "hr"), ("clients", "hr"), ("events", "ts"), ("stops", "at"), ("listening", "ended_at")):
                self.live.execute(f"DELETE FROM {table} WHERE {column} < ?", (oldest_hour,))
            # The last boot before the kept months stays: what followed it was an outage, not the time before the first word.
            self.live.execute(_DROP_BOOTS, (oldest_raw, oldest_raw))
            self.live.execute(_META, (DROPPED_BEFORE, str(oldest_raw)))
            self.live.execute("DELETE FROM meta WHERE name LIKE 'raw-%' AND name < ?", (self.months.path(oldest_raw).name,))
        self._dropped_before = oldest_raw
        self._boots.forget()
        # The files last: an hour that is still marked must never be rolled up without its rows.
        return self.months.drop(self.months.path(oldest_raw))

    def _undo_half(self) -> None:
        for path in sorted(self._half):
            self.months.undo(path, self.batch)
            self._half.discard(path)

    def _write(self, batch: Batch, reckoned: Reckoning, number: int) -> None:
        """Write live.db's part."""
        live = self.live
        with transaction(live):
            live.executemany(boots.WRITE, [boot.row() for boot in reckoned.touched.values()])
            self._write_states(batch.states, reckoned)
            self._write_alerts(batch, reckoned)
            for base, lowest, highest, boot in reckoned.moved:
                live.execute(_MOVE_EVENTS, (base, boot, base, lowest, highest))
            live.executemany("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", reckoned.events)
            live.executemany(_PENDING, [(seen.ap, seen.at, seen.at, seen.messages) for seen in batch.pending])
            if batch.quarantined:
                live.executemany("INSERT INTO quarantine (at, topic, reason, bytes, sha256, beginning) VALUES (?, ?, ?, ?, ?, ?)", batch.quarantined)
                live.execute("DELETE FROM quarantine WHERE number <= (SELECT max(number) FROM quarantine) - ?", (MOST_QUARANTINED,))
            self._write_listening(batch, reckoned)
            oldest = self.oldest_ts(batch.now)
            live.executemany(_DIRTY, [(hr, number) for hr in reckoned.dirty if hr >= oldest])
            live.executemany(_META, [(path.name, str(number)) for path in reckoned.changes])
            live.execute(_META, (mending.BATCH, str(number)))

    def _write_states(self, states: Iterable[StateChange], reckoned: Reckoning) -> None:
        wanted: dict[Part, dict[int, tuple[object, ...]]] = {part: {} for part in PARTS}
        stops: list[tuple[int, object]] = []
        for ap, part, values in states:
            if part == "report":
                key = self._order(ap, str(values[0]), int(values[1] or 0), reckoned)
                if key is None or key <= self._newest.get(ap, (0, 0)):
                    continue
                self._newest[ap] = key
            elif part == "presence":
                if self._presence.get(ap) == (values[0], values[1]):
                    continue
                self._presence[ap] = (values[0], values[1])
                if values[0] in ("offline", SAFE_MODE) and values[2] is not None:
                    stops.append((ap, values[2]))
                    reckoned.dirty.add(int(values[2]) - int(values[2]) % HOUR_S)
            wanted[part][ap] = (ap, *values)
        for part, rows in wanted.items():
            self.live.executemany(_STATE[part], rows.values())
        self.live.executemany("INSERT OR IGNORE INTO stops VALUES (?, ?)", stops)

    def _order(self, ap: int, boot: str, seq: int, reckoned: Reckoning) -> tuple[int, int] | None:
        """Give a report's place in the order of an access point's reports; None when its boot is none of ours."""
        found: Boot | None = reckoned.touched.get((ap, boot)) or self._boots.get(ap, boot)
        return None if found is None else (found.number, seq)

    def _write_alerts(self, batch: Batch, reckoned: Reckoning) -> None:
        """The newest report's list is the truth; what was said of single alerts since comes after it."""
        for ap, (boot, seq, text) in reckoned.newest.items():
            had, has = self._alerts.get(ap, frozenset()), frozenset(text.split()) if text else frozenset()
            if had == has or (boot, seq) < self._newest.get(ap, (0, 0)):
                continue
            self.live.executemany("DELETE FROM alerts WHERE ap = ? AND code = ?", [(ap, code) for code in had - has])
            self.live.executemany("INSERT OR IGNORE INTO alerts VALUES (?, ?, NULL, ?)", [(ap, code, NO_DATA) for code in has - had])
            self._alerts[ap] = has
        for ap, code, since, data in batch.alerts:
            if data is None:
                self.live.execute("DELETE FROM alerts WHERE ap = ? AND code = ?", (ap, code))
                self._alerts[ap] = self._alerts.get(ap, frozenset()) - {code}
            else:
                self.live.execute(_ALERT, (ap, code, since, data))
                self._alerts[ap] = self._alerts.get(ap, frozenset()) | {code}

    def _write_listening(self, batch: Batch, reckoned: Reckoning) -> None:
        if batch.listening_since is None:
            return
        began, now = int(batch.listening_since), int(batch.now)
        hour = now - now % HOUR_S
        if hour != self._hour:  # every hour is rolled up once at least, also those in which nobody listened
            # What ended later than now is of a clock that was ahead.
            (ended,) = self.live.execute("SELECT max(ended_at) FROM listening WHERE ended_at <= ?", (now,)).fetchone()
            first = max(hour if ended is None else ended - ended % HOUR_S, self.oldest_ts(now))
            reckoned.dirty.update(range(min(first, hour), hour + 1, HOUR_S))
            self._hour = hour
        self.live.execute(_LISTENING, (began, max(began, now)))

    def _read(self) -> None:
        """Read what is kept in memory of live.db: at the start, and after a batch that failed half-way."""
        live = self.live
        self._hour = 0
        self._is_stale = False
        row = live.execute("SELECT value FROM meta WHERE name = ?", (DROPPED_BEFORE,)).fetchone()
        self._dropped_before = 0 if row is None else int(row[0])
        self._newest = {ap: (boot, seq) for ap, boot, seq in live.execute("SELECT ap, b.number, seq FROM state JOIN boots AS b USING (ap, boot)")}
        self._presence = {ap: (presence, session) for ap, presence, session in live.execute("SELECT ap, presence, session FROM state")}
        codes: dict[int, set[str]] = {}
        for ap, code in live.execute("SELECT ap, code FROM alerts"):
            codes.setdefault(ap, set()).add(code)
        self._alerts = {ap: frozenset(of_ap) for ap, of_ap in codes.items()}


def _month_begin(now: int, months_back: int) -> int:
    """Give the first second (UTC) of the month that lies so many months before a moment's."""
    first = now
    for _ in range(months_back + 1):
        first = store.month_begin(first) - 1
    return first + 1


def _locked(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        pid = os.read(fd, 20).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        raise Refused(f"{path}: another `rwctl serve` keeps this store, process {pid}; stop it first, or let it go on") from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd
