"""What happens later, all of it on one thread: the loops of procd, netifd and rpcd in the stand-in."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
import traceback
from collections.abc import Callable


class Timers:
    """Functions to be called at their time; what one of them raises is kept in `broken`."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._turn = threading.Condition()
        self._is_over = self._is_busy = False
        self.broken: list[str] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def after(self, seconds: float, function: Callable[[], None]) -> Callable[[], None]:
        """Call a function in so many seconds; what is given back takes that back."""
        entry = (time.monotonic() + seconds, next(self._count), function)
        with self._turn:
            heapq.heappush(self._heap, entry)
            self._turn.notify_all()

        def forget() -> None:
            with self._turn:
                if entry in self._heap:
                    self._heap.remove(entry)
                    heapq.heapify(self._heap)

        return forget

    def is_idle(self) -> bool:
        """Say whether nothing is under way or to come."""
        with self._turn:
            return not self._heap and not self._is_busy

    def close(self) -> None:
        """Forget what was to come."""
        with self._turn:
            self._is_over = True
            self._turn.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(10)

    def _serve(self) -> None:
        while True:
            with self._turn:
                self._is_busy = False
                while not self._is_over and (not self._heap or self._heap[0][0] > time.monotonic()):
                    self._turn.wait(self._heap[0][0] - time.monotonic() if self._heap else None)
                if self._is_over:
                    return
                function = heapq.heappop(self._heap)[2]
                self._is_busy = True
            try:
                function()
            except Exception:
                self.broken.append(traceback.format_exc())
