"""Counters to rates: the one place that decides what is a reset and what is garbage."""

from __future__ import annotations

from typing import NamedTuple

UNKNOWN_LINK_BPS = 10_000_000_000
PLAUSIBLE_LINK_FACTOR = 1.25


class Count(NamedTuple):
    """A counter's value at a moment of the monotonic clock, in seconds."""

    at: float
    value: int


def delta(before: int | None, after: int | None) -> int | None:
    """Give how far a counter moved; None when it went back or one reading is missing, because then nobody knows."""
    return None if before is None or after is None or after < before else after - before


def throughput_bps(before: Count, after: Count, link_mbps: int | None) -> float | None:
    """Give bits per second between two readings of a byte counter.

    None means reset: the counter went back, no time has passed, or it moved faster than 1.25 x the
    link (10 Gbit/s where the speed is unknown), which no traffic can do.
    """
    seconds = after.at - before.at
    moved = delta(before.value, after.value)
    if moved is None or seconds <= 0:
        return None
    ceiling = link_mbps * 1_000_000 if link_mbps else UNKNOWN_LINK_BPS
    bps = moved * 8 / seconds
    return bps if bps <= ceiling * PLAUSIBLE_LINK_FACTOR else None
