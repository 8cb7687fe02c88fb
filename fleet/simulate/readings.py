"""What simulated access points read: one simulated router for a family of them, read and understood once for each moment.

The router and the collectors are the agent's own; only who is asked, and how often, is decided here.
"""

from __future__ import annotations

import time
from functools import partial
from types import ModuleType
from typing import NamedTuple

from agent.collectors import COLLECTORS
from agent.records import Knobs, Path, Reach
from agent.report import Part, own_figures
from agent.router.bell import Bell
from agent.router.simulated import SimulatedRouter
from agent.router.simulated_clock import SimulatedClock
from agent.sensing import attempt

FIGURES_S = 1.0
UPTIME_S = 3600  # a router that has been up for long would have to walk through all its hours first
BOX_PING_MS = 0.1
UPLINK = "uplink"
CUT = Reach("gateway", None, None, None, 1, 1)


class Box(NamedTuple):
    """What kind of access point: its name, the dice's seed, the stations of its busiest hour, its contract, what a push configured ("" for nothing)."""

    ap: str
    seed: int
    stations_peak: int
    contract_mbps: float
    wireless_file: str = ""


def make_router(box: Box, at: float, booted: float) -> SimulatedRouter:
    """Make a box whose clock stands at `at` until it is moved on (Unix seconds, as `booted`)."""
    clock = SimulatedClock(0, at, booted, False)
    key = f"{box.seed}/{box.ap}".encode()
    return SimulatedRouter(key, box.ap, clock, box.stations_peak, box.contract_mbps, frozenset(), Bell(()), box.wireless_file)


class _Part:
    """Stands for a collector's span: its part was made by the source, once for all who ask."""

    def __init__(self, source: Source, name: str) -> None:
        self._source, self._name = source, name

    def add(self, _at: float, _reading: object) -> None:
        """Do nothing: the source has taken the sample."""

    def part(self, _at: float) -> Part:
        """Give the part of the span that ended with the moment read last."""
        return self._source.parts[self._name]


class Source:
    """One box that is read and understood once for each moment, for all the access points that report at that moment; later moments only.

    The uplink alone is each access point's own: whether it is cut.
    """

    def __init__(self, box: Box, at: float) -> None:
        self._router = make_router(box, at, at - UPTIME_S)
        self._knobs = Knobs(box.contract_mbps, False, 0)
        self._spans = {name: collector.Span(self._knobs) for name, collector in COLLECTORS.items() if name != UPLINK}
        self._read_at = float("-inf")
        self.parts: dict[str, Part] = {name: {} for name in self._spans}
        self.path: Path | None = None
        self.reach = CUT

    def shelf(self) -> dict[str, ModuleType]:
        """Give what a Reporter takes for the shelf of collectors."""
        shelf = {name: ModuleType(name) for name in self._spans} | {UPLINK: COLLECTORS[UPLINK]}
        for name in self._spans:
            vars(shelf[name])["Span"] = partial(self._span, name)
        return {name: shelf[name] for name in COLLECTORS}

    def read(self, at: float) -> None:
        """Read the box at `at` (Unix seconds): `parts`, `path` and `reach` are of this moment then."""
        if at <= self._read_at:
            return
        clock, errors = self._router.clock, dict[str, str]()
        clock.real_seconds(at - clock.now())
        self._read_at, now = at, clock.monotonic()
        for name, span in self._spans.items():
            reading = attempt(name, errors, COLLECTORS[name].collect, self._router)
            if reading is not None:
                span.add(now, reading)
            self.parts[name] = attempt(name, errors, span.part, now) or {}
        self.path = self._router.path()
        self.reach = self._router.probe(self.path, "", (("192.0.2.1", 443),), now).advance(now) or CUT

    def _span(self, name: str, _knobs: Knobs) -> _Part:
        return _Part(self, name)


class Figures:
    """What the process knows of itself, asked at most once a second for all the access points in it."""

    def __init__(self) -> None:
        self._asked_at = float("-inf")
        self._figures: Part = {}

    def now(self) -> Part:
        """Give `own_figures`, at most a second old."""
        now = time.monotonic()
        if now > self._asked_at + FIGURES_S:
            self._asked_at, self._figures = now, own_figures()
        return self._figures
