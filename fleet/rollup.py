"""Raw rows to hours: availability and means of each access point, and how many clients each kelurahan had.

Rolls the hours that changed, a little at a time between commits: late rows and rows that are stamped anew make their hours new, and an hour is
made whole from what is there, so that doing it again changes nothing. A span across two hours counts in each with its part, a report in the hour
in which it ends (at the full hour: the one before).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import ceil

from fleet.availability import Facts, Interval, availability, overdue_at
from fleet.keeper import Keeper
from fleet.reckoning import LONGEST_SPAN_S
from fleet.store import transaction

HOUR_S = 3600
SLICE_S = 300  # what is read at once
AGAIN_S, RUNNING_AGAIN_S = 10.0, 60.0  # an hour is not rolled up again sooner
AHEAD_S = 86_400  # a report's own time is believed up to a day ahead of ours
POINTS_AT_ONCE = 200
MOST_REMEMBERED = 10_000
SHARE = 20  # nor the running one sooner than so many times as long as it took

_ROWS = """
    SELECT ap, ts, seq - coalesce(from_seq, seq) + 1, span_s, up, stations, coalesce(stations_max, stations), rx_bps, tx_bps,
      coalesce(rx_peak_bps, rx_bps), coalesce(tx_peak_bps, tx_bps), loss_ratio, latency_ms
    FROM raw WHERE ts > :since AND ts <= :until AND (ts <= :end OR ts - span_s < :end)"""
_SEEN = "SELECT ap, min(from_ts), max(to_ts) FROM boots WHERE to_ts IS NOT NULL GROUP BY ap"
_STOPS = "SELECT ap, max(at) FROM stops WHERE at <= ? GROUP BY ap UNION ALL SELECT ap, at FROM stops WHERE at > ? AND at < ?"
_INVENTORY = "SELECT number, kelurahan, enrolled_at, revoked_at FROM city.inventory ORDER BY number"
_LISTENING = "SELECT began_at, ended_at FROM listening WHERE began_at < ? AND ended_at > ? ORDER BY began_at"
_HOUR = f"INSERT INTO hours VALUES ({', '.join('?' * 17)})"

NEVER = Facts(())


class Rollup:
    """The hours of one store, over its keeper; one thread with it."""

    def __init__(self, keeper: Keeper, clock: Callable[[], float] = time.monotonic) -> None:
        self._keeper, self._clock = keeper, clock
        self._rolled: dict[int, float] = {}
        self._cost_s = 0.0
        self._going: Iterator[None] | None = None

    def step(self, now: float, budget_s: float = 0.05) -> bool:
        """Go on with what is to be rolled up for about `budget_s`; `now` is the city's time. Say whether there is more at once."""
        ends = self._clock() + budget_s
        while self._clock() < ends:
            if self._going is None:
                hr = self._due(now)
                if hr is None:
                    return False
                self._going = self._roll(hr, int(now))
            if next(self._going, self) is self:
                self._going = None
        return True

    def finish(self, now: float) -> int:
        """Roll up everything that changed, however long it takes; say how many hours that were."""
        hours = [hr for (hr,) in self._keeper.live.execute("SELECT hr FROM dirty ORDER BY hr")]
        self._going = None
        for hr in hours:
            for _ in self._roll(hr, int(now)):
                pass
        return len(hours)

    def _due(self, now: float) -> int | None:
        """Choose an hour, the newest first; none that was rolled up just now."""
        at = self._clock()
        wait = max(RUNNING_AGAIN_S, SHARE * self._cost_s)
        for (hr,) in self._keeper.live.execute("SELECT hr FROM dirty WHERE hr <= ? ORDER BY hr DESC", (now,)).fetchall():
            is_running = hr + HOUR_S + LONGEST_SPAN_S > now
            if hr not in self._rolled or at - self._rolled[hr] >= (wait if is_running else AGAIN_S):
                return int(hr)
        return None

    def _roll(self, hr: int, now: int) -> Iterator[None]:
        """Make one hour anew, with a pause after each slice."""
        live, began = self._keeper.live, self._clock()
        row = live.execute("SELECT batch FROM dirty WHERE hr = ?", (hr,)).fetchone()
        read = _Read()
        for since, until in _slices(hr, now):
            for db in self._keeper.months.between(since + 1, until):
                read.take(db, hr, since, until)
            yield
        point: Mapping[int, tuple[str, int, int | None]]
        point = {ap: (kelurahan, enrolled, revoked) for ap, kelurahan, enrolled, revoked in live.execute(_INVENTORY)}
        listening = live.execute(_LISTENING, (hr + HOUR_S, hr)).fetchall()
        facts = _facts(live, hr, now, read.spans)
        hours = []
        for ap, (_, enrolled, revoked) in point.items():
            known = facts.get(ap, NEVER)
            if min(enrolled, enrolled if known.seen_from is None else known.seen_from) < hr + HOUR_S and (revoked is None or revoked > hr):
                hours.append((hr, ap, *availability(known, listening, hr, min(hr + HOUR_S, now)), *read.sums.get(ap, NOTHING).row()))
                if len(hours) % POINTS_AT_ONCE == 0:
                    yield
        is_open = hr + HOUR_S > now or any(known.open_from < hr + HOUR_S and known.open_until > hr for known in facts.values())
        self._write(hr, hours, read.histogram({ap: kelurahan for ap, (kelurahan, _, _) in point.items()}), None if is_open or row is None else row[0])
        self._rolled[hr] = self._clock()
        self._cost_s = self._rolled[hr] - began
        if len(self._rolled) > MOST_REMEMBERED:
            del self._rolled[next(iter(self._rolled))]

    def _write(self, hr: int, hours: list[tuple[float | None, ...]], clients: list[tuple[str, int, int, int, int]], batch: int | None) -> None:
        """Write one hour; it is clean when it is over (`batch`) and nothing of it changed meanwhile."""
        live = self._keeper.live
        with transaction(live):
            if live.execute("SELECT 1 FROM dirty WHERE hr = ?", (hr,)).fetchone() is None:
                return  # its month was dropped while it was read: it stays as it was
            live.execute("DELETE FROM hours WHERE hr = ?", (hr,))
            live.executemany(_HOUR, hours)
            live.execute("DELETE FROM clients WHERE hr = ?", (hr,))
            live.executemany("INSERT INTO clients VALUES (?, ?, ?, ?, ?, ?)", [(hr, *row) for row in clients])
            live.execute("DELETE FROM dirty WHERE hr = ? AND batch = ?", (hr, batch))


class _Sums:
    """What the reports of one access point measured in an hour: each rate and gauge x the seconds it was so, and over how many seconds."""

    __slots__ = (
        *("reports", "stations_s", "covered_s", "stations_max", "rx_bits", "tx_bits", "rx_peak", "tx_peak"),
        *("loss_s", "probed_s", "latency_s", "answered_s"),
    )

    def __init__(self) -> None:
        self.reports = 0
        self.stations_s = self.covered_s = self.rx_bits = self.tx_bits = self.loss_s = self.probed_s = self.latency_s = self.answered_s = 0.0
        self.stations_max: int | None = None
        self.rx_peak: float | None = None
        self.tx_peak: float | None = None

    def row(self) -> tuple[float | None, ...]:
        """Give reports and what follows it in `hours`."""
        return (
            self.reports, self.stations_s, self.covered_s, self.stations_max, self.rx_bits / 8, self.tx_bits / 8, self.rx_peak, self.tx_peak,
            self.loss_s, self.probed_s, self.latency_s, self.answered_s,
        )  # fmt: skip


NOTHING = _Sums()


class _Read:
    """What was read of one hour."""

    def __init__(self) -> None:
        self.sums: dict[int, _Sums] = {}
        self.spans: dict[int, list[tuple[int, int, bool]]] = {}
        self._clients: dict[tuple[int, int], int] = {}

    def take(self, db: sqlite3.Connection, hr: int, since: int, until: int) -> None:
        """Read what one file has of a slice: each row once, which is less work than having SQLite sort it by access point."""
        end, clients = hr + HOUR_S, self._clients
        about = {"end": end, "since": since, "until": until}
        for ap, ts, n, span_s, up, stations, most, rx_bps, tx_bps, rx_peak, tx_peak, loss, latency in db.execute(_ROWS, about):
            if ap not in self.sums:
                self.sums[ap], self.spans[ap] = _Sums(), []
            of, begin = self.sums[ap], ts - span_s
            seconds = (ts if ts < end else end) - (begin if begin > hr else hr)
            _cover(self.spans[ap], ts - ceil(span_s), ts, up != 0)
            if ts <= end:
                of.reports += n
            if stations is not None:
                of.stations_s += stations * seconds
                of.covered_s += seconds
                if ts <= end:
                    clients[ap, stations] = clients.get((ap, stations), 0) + n
            _measure(of, seconds, most, rx_bps, tx_bps, rx_peak, tx_peak)
            if loss is not None:
                of.loss_s += loss * seconds
                of.probed_s += seconds
            if latency is not None:
                of.latency_s += latency * seconds
                of.answered_s += seconds

    def histogram(self, kelurahan: Mapping[int, str]) -> list[tuple[str, int, int, int, int]]:
        """Give each kelurahan's numbers of clients: how often each was seen, how often at most so many, how often any."""
        made: dict[tuple[str, int], int] = {}
        for (ap, stations), n in self._clients.items():
            if ap in kelurahan:
                key = (kelurahan[ap], stations)
                made[key] = made.get(key, 0) + n
        total: dict[str, int] = {}
        rising = []
        for (name, stations), n in sorted(made.items()):
            total[name] = total.get(name, 0) + n
            rising.append((name, stations, n, total[name]))
        return [(*row, total[row[0]]) for row in rising]


def _cover(spans: list[tuple[int, int, bool]], begin: int, end: int, is_up: bool) -> None:
    """Put a report's span behind the others; one that goes on where the last ended is one with it."""
    if spans and spans[-1][1] == begin and spans[-1][2] == is_up:
        begin = spans.pop()[0]
    spans.append((begin, end, is_up))


def _measure(of: _Sums, seconds: float, most: int | None, rx_bps: float | None, tx_bps: float | None, rx_peak: float | None, tx_peak: float | None) -> None:
    if most is not None and (of.stations_max is None or most > of.stations_max):
        of.stations_max = most
    if rx_bps is not None:
        of.rx_bits += rx_bps * seconds
    if tx_bps is not None:
        of.tx_bits += tx_bps * seconds
    if rx_peak is not None and (of.rx_peak is None or rx_peak > of.rx_peak):
        of.rx_peak = rx_peak
    if tx_peak is not None and (of.tx_peak is None or tx_peak > of.tx_peak):
        of.tx_peak = tx_peak


def _slices(hr: int, now: int) -> Iterator[tuple[int, int]]:
    """Give the times to read: the hour, and behind it whatever may end a span that begins in it."""
    end = hr + HOUR_S
    for since in range(hr, end, SLICE_S):
        yield since, since + SLICE_S
    for since in range(end, min(end + int(LONGEST_SPAN_S), now + AHEAD_S), HOUR_S // 2):
        yield since, since + HOUR_S // 2


def _facts(live: sqlite3.Connection, hr: int, now: int, spans: Mapping[int, Sequence[tuple[int, int, bool]]]) -> dict[int, Facts]:
    """Give what is known of each access point that was ever heard of."""
    end = hr + HOUR_S
    boots: dict[int, list[Interval]] = {}
    for ap, begin, to in live.execute("SELECT ap, from_ts, to_ts FROM boots WHERE from_ts < ? AND to_ts > ?", (end, hr)):
        boots.setdefault(ap, []).append((begin, to))
    stops: dict[int, list[int]] = {}
    for ap, at in live.execute(_STOPS, (hr, hr, end)):
        if at > hr or not any(begin <= hr for begin, _ in boots.get(ap, ())):  # else it went on since
            stops.setdefault(ap, []).append(at)
    for ap in stops:
        boots[ap] = live.execute("SELECT from_ts, to_ts FROM boots WHERE ap = ? AND to_ts IS NOT NULL", (ap,)).fetchall()
    span_s = dict(live.execute("SELECT ap, span_s FROM state"))
    made = {}
    for ap, seen_from, latest in live.execute(_SEEN):
        overdue = overdue_at(latest, span_s.get(ap) or 0)
        is_open = latest <= now < overdue
        made[ap] = Facts(spans.get(ap, ()), boots.get(ap, ()), stops.get(ap, ()), seen_from, latest if is_open else 0, overdue if is_open else 0)
    return made
