"""Samples to one report: asks each collector's span for its part and puts the envelope around it.

Touches neither the router nor the network. A part that cannot be made or is not JSON is left out and
named in `agent.collectors`; the rest of the report goes out.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Set
from types import ModuleType
from typing import NamedTuple, Protocol

from agent.records import ClockState, Knobs, Reach
from agent.router.contract import Clock
from agent.sensing import Sample, attempt, sentence
from agent.wire import messages

Part = dict[str, object]

# Under these names of a part stand texts and truths, under all others numbers; what a row must have to be one.
TEXTS = frozenset(("ifname", "radio", "phy", "band", "ssid", "bssid", "pair", "name", "role", "duplex", "state", "address", "gateway"))
FLAGS = frozenset(("up", "wanted", "reset", "standing", "bypassed"))
LISTS = frozenset(("missing",))  # of texts
ROWS = {"bss": ("ifname", "up"), "radios": ("radio", "up"), "interfaces": ("name", "role", "up")}
NAMED = TEXTS | FLAGS | LISTS | ROWS.keys()
LONGEST_TEXT = 256
BEYOND_COUNTERS = 2**64
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Span(Protocol):
    """What a shelf file of `collectors` offers to be understood."""

    def add(self, at: float, reading: object, /) -> None:
        """Take one sample's reading."""

    def part(self, at: float, /) -> Part:
        """Give the top-level parts of the span that ends now."""


class Moment(NamedTuple):
    """When a report ends: the monotonic clock, the uptime, and the wall clock with its trust (wall None: unknown)."""

    monotonic: float
    uptime_s: float
    wall: float | None
    clock: ClockState


def moment_of(clock: Clock) -> Moment:
    """Read the clock once, for a report or an event."""
    state = clock.state()
    return Moment(clock.monotonic(), clock.uptime(), None if state == "none" else clock.wall(), state)


def own_figures() -> Part:
    """What the process knows of itself: RAM present in bytes, CPU used in seconds."""
    fd = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    try:
        resident_pages = int(os.read(fd, 256).split()[1])
    finally:
        os.close(fd)
    return {"rss_bytes": resident_pages * PAGE_BYTES, "cpu_s": round(time.process_time(), 2)}


class Reporter:
    """The spans under way, from one report to the next."""

    def __init__(self, shelf: Mapping[str, ModuleType], knobs: Knobs, now: float) -> None:
        self.spans: dict[str, Span] = {name: module.Span(knobs) for name, module in shelf.items()}
        self._began = now
        self._owners: dict[str, str] = {}
        self._milliseconds: dict[str, float] = {}
        self._errors: dict[str, str] = {}

    def add(self, sample: Sample) -> None:
        """Hand each reading of a sample to its span."""
        for name, milliseconds in sample.milliseconds.items():
            self._milliseconds[name] = max(milliseconds, self._milliseconds.get(name, 0.0))
        self._errors.update(sample.errors)
        for name, reading in sample.readings.items():
            attempt(name, self._errors, self.spans[name].add, sample.moments[name], reading)

    def reach(self, at: float, reach: Reach) -> None:
        """Hand the outcome of an uplink probe to the uplink's span."""
        span = self.spans.get("uplink")
        if span is not None:
            span.reach(at, reach)  # type: ignore[attr-defined]  # only the uplink's span has it

    def build(self, ap: str, boot: str, seq: int, moment: Moment, agent: Part) -> Part:
        """Make the report of the span that ends at `moment`; `alerts` is still empty, `agent` is completed."""
        report: Part = {"v": 1, "ap": ap, "boot": boot, "seq": seq}
        if moment.wall is not None:
            report["at"] = int(moment.wall)
        report |= {
            "uptime_s": round(moment.uptime_s, 1),
            "clock": moment.clock,
            "span_s": round(moment.monotonic - self._began, 1),
            "late": False,
        }
        for name, span in self.spans.items():
            part = attempt(name, self._errors, _part, span, moment.monotonic, report.keys()) or {}
            self._owners |= dict.fromkeys(part, name)
            report |= part
        report["alerts"] = []
        report["agent"] = agent | {"collectors": self._collectors()}
        self._began = moment.monotonic
        return report

    def encode(self, report: Part) -> bytes:
        """Give the report as JSON; a part that cannot be JSON (NaN, bytes) is taken out of `report` and named in it."""
        try:
            return messages.encode(report)
        except (TypeError, ValueError):
            for key in [key for key in report if key in self._owners]:
                try:
                    messages.encode({key: report[key]})
                except (TypeError, ValueError) as error:
                    del report[key]
                    report["agent"]["collectors"].setdefault(self._owners[key], {})["error"] = sentence(error)  # type: ignore[index]  # build() made it
            return messages.encode(report)

    def _collectors(self) -> Part:
        rows: Part = {}
        for name in self.spans:
            row: Part = {}
            if name in self._milliseconds:
                row["ms"] = self._milliseconds[name]
            if name in self._errors:
                row["error"] = self._errors[name]
            if row:
                rows[name] = row
        self._milliseconds, self._errors = {}, {}
        return rows


def _part(span: Span, at: float, taken: Set[str]) -> Part:
    """Give a span's part; ValueError when it is nonsense, for what a collector misread must not make the report unreadable."""
    part = span.part(at)
    for key, value in part.items():
        if key in taken:
            raise ValueError(f"{key} stands in the report already")
        _check(key, value)
    return part


def _check(name: str, value: object) -> None:
    """Raise ValueError for a value that its name does not promise; the value itself is never quoted."""
    if isinstance(value, dict) and name not in LISTS:
        for key, each in value.items():
            # Most are sound numbers, and are passed without a call.
            if key in NAMED or type(each) not in (int, float) or not -BEYOND_COUNTERS < each < BEYOND_COUNTERS:
                _check(key, each)
    elif name in ROWS:
        for row in value if isinstance(value, list) else [value]:
            if not isinstance(row, dict) or not all(map(row.__contains__, ROWS[name])):
                raise ValueError(f"{name} has a row that is none, expected {', '.join(ROWS[name])}")
            _check(name, row)
    elif name in LISTS:
        if not isinstance(value, list) or not all(isinstance(text, str) and len(text) <= LONGEST_TEXT for text in value):
            raise ValueError(f"{name} is no list of texts of at most {LONGEST_TEXT} characters")
    elif not _is_sound(name, value):
        expected = f"a text of at most {LONGEST_TEXT} characters" if name in TEXTS else "true or false" if name in FLAGS else "a number"
        raise ValueError(f"{name} is no sound {type(value).__name__}, expected {expected}")


def _is_sound(name: str, value: object) -> bool:
    if name in TEXTS:
        return isinstance(value, str) and len(value) <= LONGEST_TEXT
    if name in FLAGS:
        return isinstance(value, bool)
    # NaN and the infinities fail the comparison.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -BEYOND_COUNTERS < value < BEYOND_COUNTERS
