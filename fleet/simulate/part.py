"""One process of a simulated fleet: its share of the points in one loop. Says once a second on standard output how it stands, and ends with its last word.

On standard input the parent says when the city's time begins, and by its end that it is gone.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from types import FrameType
from typing import NamedTuple

from agent.lean import logging
from fleet.errors import Refused
from fleet.simulate import origins, sent, world
from fleet.simulate.appliers import Appliers
from fleet.simulate.loop import Loop
from fleet.simulate.orders import Orders
from fleet.simulate.point import Common, Life, Point
from fleet.simulate.readings import Box, Figures, Source
from fleet.simulate.tally import Tally

SAY_EVERY_S = 1.0
BEHIND_S = 0.5
MADE_AT_ONCE_S = 0.05
GOODBYE_S, GOODBYES_S = 0.3, 5.0
FDS_A_POINT, OTHER_FDS = 12, 256
STATIONS_PEAK = (16, 24, 32, 40, 56)


class Word(NamedTuple):
    """How a process stands: counts of points and messages, how late reports were (a Tally's), CPU seconds, the city's time.

    `is_ready`: all points are made and have been connected; `lost`: what is known to be gone for good; `held`: not acknowledged yet.
    """

    points: int
    connected: int
    is_ready: bool
    reports: int
    sent: int
    held: int
    lost: int
    reconnects: int
    lags: list[int]
    most_late_ms: float
    cpu_s: float
    rss_bytes: int
    now: float
    is_over: bool


class Part:
    """The share of one process, from its points' making to their goodbyes."""

    def __init__(self, orders: Orders, number: int) -> None:
        if orders.folder is None or not orders.points or not orders.processes:
            raise Refused("a part is started by scripts/simulate_fleet only")
        self._orders = orders
        self._folder = orders.folder / f"part-{number}"
        self._time = world.Time(orders.start, orders.speed)
        if orders.began:
            self._time.begin(orders.began)
        self._lags = Tally()
        self._appliers = Appliers(orders.appliers)
        self._loop = Loop(orders.dials, self._appliers.ask)
        self._points: list[Point] = []
        self._receipts = None if orders.receipts is None else os.open(orders.receipts, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._common = Common(Figures(), self._lags, None if self._receipts is None else self._note)
        self._coming = self._make(number)
        self._are_all_made = self._is_ready = self._is_ended = False
        self._parent = select.poll()
        self._parent.register(0, select.POLLIN)

    def run(self) -> None:
        """Turn until the end: of the reports, of the time, by a signal, or with the parent."""
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's business
        say_at = 0.0
        try:
            while not self._is_ended:
                self._add_some()
                self._loop.turn(0.0 if not self._are_all_made else 0.1)
                # A fast day goes as fast as it can be lived through, so that what is done to the city meets the same hour on every machine.
                if self._orders.hours is not None and (behind_s := self._loop.behind_s()) > BEHIND_S:
                    self._time.hold_back(behind_s - BEHIND_S)
                for point in self._appliers.advance():
                    point.look()
                    self._loop.wake(point)
                self._hear_parent()
                if time.monotonic() >= say_at:
                    say_at = time.monotonic() + SAY_EVERY_S
                    self._is_ended = self._is_ended or self._is_over()
                    self._tell(is_over=False)
        finally:
            self._close()

    def _make(self, number: int) -> Iterator[Point]:
        """Make the points one by one; those of a family share the box that is read, and the moment of their reports."""
        orders = self._orders
        everyone = origins.of_city(orders.city, orders.points, orders.but) if orders.city is not None else origins.plain(orders.points or 0)
        happenings = world.day(orders.seed, orders.start, orders.lasts_s, {origin.ap: origin.provider for origin in everyone}, orders.moods)
        wanted = origins.Wanted(self._folder, orders.interval_s, len(everyone) > origins.MANY, orders.port, orders.seed)
        source, box, family = None, None, -1
        for place, origin in origins.share(everyone, number, orders.processes):
            peak = STATIONS_PEAK[place // orders.shared % len(STATIONS_PEAK)]
            settings = origins.settings_of(origin, wanted, peak)
            if source is None or box is None or place // orders.shared != family:
                family = place // orders.shared
                box = Box(origin.ap, orders.seed, peak, settings.router.contract_mbps)
                source = Source(box, self._time.now())
            first_at = self._first_at(settings.report.interval_s, family * orders.shared / len(everyone))
            yield Point(settings, box._replace(ap=origin.ap), source, self._common, Life(self._time, first_at, orders.until, happenings[origin.ap]))

    def _first_at(self, interval_s: float, ratio: float) -> float:
        """Spread the first reports over one interval from the start; in a run without a fixed number of them those that are over are left out."""
        first = self._orders.start + interval_s * (1.0 - ratio)
        missed = max(0.0, self._time.now() - first) if self._orders.hours is None else 0.0
        return first + -(-missed // interval_s) * interval_s

    def _add_some(self) -> None:
        until = time.monotonic() + MADE_AT_ONCE_S
        while not self._are_all_made and time.monotonic() < until:
            point = next(self._coming, None)
            if point is None:
                self._are_all_made = True
                gc.freeze()  # they live as long as the process, and need not be looked through again and again
            else:
                self._points.append(point)
                self._loop.add(point)

    def _hear_parent(self) -> None:
        if not self._parent.poll(0):
            return
        said = os.read(0, 64)
        if not said:
            self._is_ended = True
            return
        self._time.begin(float(said))
        for point in self._points:
            self._loop.wake(point)

    def _is_over(self) -> bool:
        orders, now = self._orders, time.monotonic()
        if orders.seconds is not None and now > self._time.began + orders.seconds:
            return True
        if self._time.now() < orders.until or not self._are_all_made:
            return False
        return all(point.is_finished for point in self._points) or now > self._time.real(orders.until) + orders.drain_s

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self._is_ended = True

    def _close(self) -> None:
        """Say how it stands, let all say goodbye, as far as there is time for that, and remove the working files."""
        self._appliers.close()
        last = self._word(is_over=True)
        until = time.monotonic() + GOODBYES_S
        for point in self._points:
            point.stop(max(0.0, min(GOODBYE_S, until - time.monotonic())))
        self._loop.close()
        if self._orders.sent is not None:
            sent.write(self._orders.sent, (boot for point in self._points for boot in point.boots))
        if self._receipts is not None:
            os.close(self._receipts)
        shutil.rmtree(self._folder, ignore_errors=True)
        _say(last)

    def _note(self, ap: str, topic: str) -> None:
        if self._receipts is not None:
            os.write(self._receipts, f"{time.monotonic():.6f} {ap} {topic}\n".encode())

    def _tell(self, is_over: bool) -> None:
        word = self._word(is_over)
        self._is_ready = word.is_ready
        _say(word)

    def _word(self, is_over: bool) -> Word:
        """Count everything; walks through all points."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        tallies = [point.tally() for point in self._points]
        reports, made, held, lost, reconnects = (sum(column) for column in zip(*tallies, strict=True)) if tallies else (0,) * 5
        connected = self._loop.counts().connected
        is_ready = self._is_ready or (self._are_all_made and connected == len(self._points))
        figures = self._common.figures.now().get("rss_bytes", 0)
        lags = (self._lags.counts, round(self._lags.most_ms, 1))
        cpu_s = round(used.ru_utime + used.ru_stime, 2)
        rss = figures if isinstance(figures, int) else 0
        return Word(len(self._points), connected, is_ready, reports, made, held, lost, reconnects, *lags, cpu_s, rss, self._time.now(), is_over)


def _say(word: Word) -> None:
    try:
        os.write(1, json.dumps(word._asdict()).encode() + b"\n")
    except BrokenPipeError:
        return  # the parent is gone, and so is whoever would want to know


def run(orders: Orders, number: int) -> int:
    """Run one process's share."""
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OTHER_FDS + FDS_A_POINT * -(-(orders.points or 0) // max(1, orders.processes))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(wanted, hard), max(wanted, hard)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    Part(orders, number).run()
    return 0
