"""Counts how late things were, in few numbers that several processes can add up."""

from __future__ import annotations

from collections.abc import Sequence

BOUNDS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000, 3_600_000)


class Tally:
    """A histogram of milliseconds; the highest value exactly."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_MS) + 1)
        self.most_ms = 0.0

    def add(self, seconds: float) -> None:
        """Count one value."""
        milliseconds = seconds * 1000
        self.most_ms = max(self.most_ms, milliseconds)
        for place, bound in enumerate(BOUNDS_MS):
            if milliseconds <= bound:
                self.counts[place] += 1
                return
        self.counts[-1] += 1

    def merge(self, counts: Sequence[int], most_ms: float) -> None:
        """Add another's counts."""
        self.counts = [own + other for own, other in zip(self.counts, counts, strict=True)]
        self.most_ms = max(self.most_ms, most_ms)

    def percentile_ms(self, ratio: float) -> float:
        """Give the bound below which so many of the values lie, never more than the highest value; 0 without any."""
        wanted, seen = ratio * sum(self.counts), 0
        for bound, count in zip((*BOUNDS_MS, self.most_ms), self.counts, strict=True):
            seen += count
            if count and seen >= wanted:
                return round(min(float(bound), self.most_ms), 1)
        return 0.0
