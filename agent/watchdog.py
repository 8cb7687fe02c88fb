"""Ends the process when the loop stands still where no signal reaches it: the supervisor starts it again, the outbox is in RAM.

Not `faulthandler.dump_traceback_later`: on musl it waits by the wall clock, and the first NTP step after a boot
would end a healthy daemon.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable

LOOK_EVERY_S = 30.0
STACK_BYTES = 256 * 1024


class Watchdog:
    """A thread that only sleeps and looks at one number; `pet` is called at every turn of the loop, `last_word` just before the end."""

    def __init__(self, standstill_s: float, look_every_s: float = LOOK_EVERY_S, last_word: Callable[[], object] = lambda: None) -> None:
        self._last_word = last_word
        self._standstill_s = standstill_s
        self._look_every_s = look_every_s
        self._petted_at = time.monotonic()
        self._is_over = False

    def start(self) -> None:
        """Begin to watch, in a thread that holds nothing up when the process ends."""
        before = threading.stack_size(STACK_BYTES)
        try:
            threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        finally:
            threading.stack_size(before)

    def pet(self) -> None:
        """Say that the loop turns."""
        self._petted_at = time.monotonic()

    def stop(self) -> None:
        """Watch no more: the loop has ended in order."""
        self._is_over = True

    def _watch(self) -> None:
        while time.monotonic() - self._petted_at < self._standstill_s:
            if self._is_over:
                return
            time.sleep(self._look_every_s)
        if self._is_over:
            return
        sys.stderr.write(f"rwagent: the loop stands still for more than {self._standstill_s:g} s, ending\n")
        self._last_word()
        faulthandler.dump_traceback(all_threads=True)
        os._exit(1)
