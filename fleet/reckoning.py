"""What a batch will change, worked out before anything is written: what is new, when it was, which hours it touches.

Reads the store, and changes nothing in it nor in what is kept in memory. Everything in a batch is hostile: a time beyond the kept months becomes the
time of arrival.
"""

from __future__ import annotations

from math import ceil
from pathlib import Path

from fleet.boots import DAY_S, MOST_BOOTS_A_DAY, Boot, Boots
from fleet.months import CLOCK, UPTIME, Change, Months
from fleet.rows import Batch, EventRow, RawRow

HOUR_S = 3600
LONGEST_SPAN_S = 7200.0  # an agent reports once an hour at least; the rollup reads no further behind an hour
BETTER_S = 1.0  # a base that moves less is not worth moving rows
SPAN = 5  # of the columns of raw

EventTuple = tuple[int, int, int, int, str, str, float, str]


class Reckoning:
    """One batch, worked out."""

    def __init__(self, boots: Boots, months: Months, batch: Batch, oldest_ts: int) -> None:
        """Work a batch out; nothing may be stamped older than `oldest_ts`."""
        self._boots, self._months = boots, months
        self._now, self._lowest, self._highest = int(batch.now), oldest_ts, int(batch.now) + DAY_S
        self._hour = self._now - self._now % HOUR_S
        self._next_number = boots.next_number
        self._begun: dict[int, int] = {}
        self._moving: set[int] = set()  # numbers of boots whose base moved
        self.touched: dict[tuple[int, str], Boot] = {}
        self.changes: dict[Path, Change] = {}
        self._by_day: dict[int, Change] = {}
        self.events: list[EventTuple] = []
        self.moved: list[tuple[float, int, int, int]] = []  # base, bounds and boot number whose events are stamped anew
        self.dirty: set[int] = set()
        self.newest: dict[int, tuple[int, int, str | None]] = {}  # by access point: boot number, seq, alerts of its newest report
        self.duplicates = self.refused = self.restamped = 0
        raw = self._new_rows(batch.raw, batch.now)
        events = self._new_events(batch.events, batch.now)
        self.reports = len(raw)
        self._note_oldest(batch.oldest)
        for boot in self.touched.values():
            boot.last_at = max(boot.last_at, self._now)
            if boot.number in self._moving:
                self._restamp(boot)
        for boot, row in raw:
            self._place(boot, row)
        for boot, event in events:
            ts, clock = self._stamp(boot, event.ts, event.uptime_s, event.clock or "none")
            self.events.append((ts, event.ap, boot.number, event.seq, event.kind, event.data, event.uptime_s, clock))

    # What is new.

    def _touch(self, ap: int, boot: str, may_begin: bool = True) -> Boot | None:
        found = self._boots.get(ap, boot)
        if found is not None:
            made = found.copy()
        elif may_begin and self._has_room(ap):
            made = Boot(self._next_number, ap, boot, self._now)
            self._next_number += 1
            self._begun[ap] = self._begun.get(ap, 0) + 1
        else:
            return None
        self.touched[ap, boot] = made
        return made

    def _has_room(self, ap: int) -> bool:
        return self._boots.begun_since(ap, self._now - DAY_S) + self._begun.get(ap, 0) < MOST_BOOTS_A_DAY

    def _new_rows(self, rows: list[RawRow], now: float) -> list[tuple[Boot, RawRow]]:
        new: list[tuple[Boot, RawRow]] = []
        touched = self.touched
        for row in rows:
            seq, first = row.seq, row.from_seq or row.seq
            boot = touched.get((row.ap, row.boot)) or self._touch(row.ap, row.boot)
            if boot is None:
                self.refused += 1
                continue
            newest = self.newest.get(row.ap)
            if newest is None or (boot.number, seq) > newest[:2]:
                self.newest[row.ap] = (boot.number, seq, row.alerts)
            part = boot.received.new_of(first, seq)
            if part is None:
                self.duplicates += 1
                continue
            boot.received.add(first, seq)
            if part != (first, seq):  # no honest agent merges what it sent; each seq counts once all the same
                row = row._replace(from_seq=part[0], seq=part[1])
            if row.span_s > LONGEST_SPAN_S:
                row = row._replace(span_s=LONGEST_SPAN_S)
            self._learn_base(boot, row.ts, row.uptime_s, now)
            new.append((boot, row))
        return new

    def _new_events(self, events: list[EventRow], now: float) -> list[tuple[Boot, EventRow]]:
        new: list[tuple[Boot, EventRow]] = []
        for event in events:
            boot = self.touched.get((event.ap, event.boot)) or self._touch(event.ap, event.boot)
            if boot is None:
                self.refused += 1
            elif event.seq in boot.received:
                self.duplicates += 1
            else:
                boot.received.add(event.seq, event.seq)
                self._learn_base(boot, event.ts, event.uptime_s, now)
                new.append((boot, event))
        return new

    def _note_oldest(self, oldest: dict[tuple[int, str], int]) -> None:
        for key, seq in oldest.items():
            boot = self.touched.get(key) or self._touch(*key, may_begin=False)
            if boot is not None:
                boot.gone_below = max(boot.gone_below, seq)

    # When it was.

    def _learn_base(self, boot: Boot, ts: int | None, uptime_s: float, now: float) -> None:
        if boot.is_sure:
            return
        base = (now if ts is None else ts) - uptime_s
        if boot.base is None:
            boot.base = base
        elif ts is not None or (base < boot.base - BETTER_S and (boot.to_ts or 0) - (boot.from_ts or 0) < DAY_S):
            # While unsure only a young boot's: whoever invents uptimes must not have us move a month of rows with each report.
            self._moving.add(boot.number)
            boot.base = base
        boot.is_sure = ts is not None

    def _stamp(self, boot: Boot, ts: int | None, uptime_s: float, clock: str) -> tuple[int, str]:
        """Give the time of a message and the trust in it as stored: `ntp` only for its own."""
        if ts is not None and self._lowest <= ts <= self._highest:
            return ts, "ntp"
        ours = int((boot.base or 0.0) + uptime_s)
        return ours if self._lowest <= ours <= self._highest else self._now, "floor" if clock == "ntp" else clock

    def _place(self, boot: Boot, row: RawRow) -> None:
        ts, clock = self._stamp(boot, row.ts, row.uptime_s, row.clock)
        made = (ts, row.ap, boot.number, *row[3:]) if clock == row.clock else (ts, row.ap, boot.number, *row[3:CLOCK], clock, *row[CLOCK + 1 :])
        self._change(ts, boot).added.append(made)
        begin = ts - max(0, ceil(row.span_s))
        if ts < self._hour and (boot.to_ts is None or ts > boot.to_ts):
            # Late: whether what followed was an outage (before the first word, after a stop) is known only now.
            self._touch_hours(ts, self._boots.next_begin(boot.ap, ts) or self._now)
        if boot.from_ts is None or boot.to_ts is None:
            boot.from_ts, boot.to_ts = begin, ts
            self._touch_hours(begin, ts)
            return
        # The time between a boot's reports is known to be no outage: those hours change with both ends.
        self._touch_hours(boot.to_ts if boot.to_ts < begin else begin, boot.from_ts if ts < boot.from_ts else ts)
        if begin < boot.from_ts:
            boot.from_ts = begin
        if ts > boot.to_ts:
            boot.to_ts = ts

    def _change(self, ts: int, boot: Boot) -> Change:
        change = self._by_day.get(ts // DAY_S)
        if change is None:
            change = self._by_day[ts // DAY_S] = self.changes.setdefault(self._months.path(ts), Change())
        if boot.number not in change.boots:
            change.boots[boot.number] = (boot.number, boot.ap, boot.boot)
        return change

    def _touch_hours(self, since: int, until: int) -> None:
        first, last = since - since % HOUR_S, until - until % HOUR_S
        self.dirty.add(last)
        if first != last:
            self.dirty.update(range(max(first, self._lowest), last, HOUR_S))  # the lowest is a month's first second

    def _restamp(self, boot: Boot) -> None:
        """Move the stored rows of a boot to where its base now says they were."""
        base = boot.base or 0.0
        self.moved.append((base, self._lowest, self._highest, boot.number))
        if boot.from_ts is None or boot.to_ts is None:
            return
        rows = list(self._months.unsure(boot.number, boot.from_ts, boot.to_ts))
        if not rows:
            return
        begins, ends = [boot.from_ts], [boot.to_ts]  # where they were
        for row in rows:
            ts = int(base + row[UPTIME])
            ts = ts if self._lowest <= ts <= self._highest else row[0]
            begins.append(ts - max(0, ceil(row[SPAN])))
            ends.append(ts)
            if ts != row[0]:
                self._change(row[0], boot).removed.append(row)
                self._change(ts, boot).added.append((ts, *row[1:]))
                self.restamped += 1
        boot.from_ts, boot.to_ts = min(begins[1:]), max(ends[1:])
        # Where they were and where they are, what lies between, and what lies behind: it may be after the first word now, or no more.
        self._touch_hours(min(begins), max(ends))
        self._touch_hours(min(begins), self._boots.next_begin(boot.ap, max(ends)) or self._now)
