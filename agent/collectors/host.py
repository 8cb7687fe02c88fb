"""The box's own health: CPU, load, memory, flash, temperature, connection tracking. Reads the router once per sample.

`cpu_ratio` and `softirq_ratio` are shares of all cores over the span; `load1`, the `_bytes`, `temperature_c`,
`conntrack`, `conntrack_max` and `processes` are the last sample's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.records import Host, Knobs

if TYPE_CHECKING:
    from agent.router.contract import Router

NAME = "host"
GAUGES = (
    "memory_total_bytes",
    "memory_available_bytes",
    "flash_free_bytes",
    "flash_total_bytes",
    "tmp_free_bytes",
    "conntrack",
    "conntrack_max",
    "processes",
)


def collect(router: Router) -> Host:
    """Read the box's health."""
    return router.host()


class Span:
    """The CPU's counters from one end of a span to the other."""

    def __init__(self, knobs: Knobs) -> None:
        self._first: Host | None = None
        self._last: Host | None = None

    def add(self, at: float, reading: Host) -> None:
        """Take one sample."""
        self._first = self._first or reading
        self._last = reading

    def part(self, at: float) -> dict[str, object]:
        """Give `host`, or nothing when the span had no sample."""
        first, last = self._first, self._last
        self._first, self._last = last or first, None
        if first is None or last is None:
            return {}
        part: dict[str, object] = {
            "cpu_ratio": _share(first.cpu_busy_s_total, last.cpu_busy_s_total, first, last),
            "softirq_ratio": _share(first.cpu_softirq_s_total, last.cpu_softirq_s_total, first, last),
            "load1": None if last.load1 is None else round(last.load1, 2),
            "temperature_c": None if last.temperature_c is None else round(last.temperature_c, 1),
        } | {name: getattr(last, name) for name in GAUGES}
        return {"host": {name: value for name, value in part.items() if value is not None}}


def _share(before: float | None, after: float | None, first: Host, last: Host) -> float | None:
    """Give the share of CPU time; None when a counter is missing, went back, or no time has passed."""
    if before is None or after is None or first.cpu_s_total is None or last.cpu_s_total is None:
        return None
    moved, passed = after - before, last.cpu_s_total - first.cpu_s_total
    if moved < 0 or passed <= 0:
        return None
    return round(min(1.0, moved / passed), 3)
