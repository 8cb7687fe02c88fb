"""What `rwctl serve` did so far, and how long messages waited: the figures of its log and of store/serve.json. Pure."""

from __future__ import annotations

import math
from collections import Counter, deque

OVER_S = 60
STEPS = 8  # buckets for each doubling: a percentile is at most 9 % too high
LOWEST_S = 0.0005


class Lags:
    """How long messages waited for their commit, over the last minute."""

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, Counter[int]]] = deque()

    def add(self, mono: float, lag_s: float) -> None:
        """Note one message that was committed at `mono`."""
        second = int(mono)
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append((second, Counter()))
            self._drop(mono)
        self._seconds[-1][1][0 if lag_s <= LOWEST_S else math.ceil(math.log2(lag_s / LOWEST_S) * STEPS)] += 1

    def percentile_ms(self, share: float, mono: float) -> float | None:
        """Give the lag that this share of the messages did not exceed; None when there was none."""
        self._drop(mono)
        counts: Counter[int] = Counter()
        for _, some in self._seconds:
            counts.update(some)
        wanted = share * counts.total()
        for bucket in sorted(counts):
            wanted -= counts[bucket]
            if wanted <= 1e-9:
                return float(f"{1000 * LOWEST_S * 2 ** (bucket / STEPS):.3g}")
        return None

    def _drop(self, mono: float) -> None:
        while self._seconds and self._seconds[0][0] <= mono - OVER_S:
            self._seconds.popleft()
