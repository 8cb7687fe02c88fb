"""The box's clocks, and whether the wall clock may be trusted: routers have no battery for it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from agent.errors import Unavailable
from agent.router.text import read_line

if TYPE_CHECKING:
    from agent.records import ClockState

# A wall clock before this was never set: this software is younger.
BUILD_DATE = 1_767_225_600  # 2026-01-01
TIMESYNC = "/run/systemd/timesync/synchronized"
ASK_AGAIN_S = 60.0
_TIME_ERROR = 5
_STATES: dict[str, ClockState] = {"ntp": "ntp", "floor": "floor", "none": "none"}


def boot() -> str:
    """Name this boot: the first 16 hex digits of the kernel's boot_id."""
    boot_id = read_line("/proc/sys/kernel/random/boot_id")
    if boot_id is None:
        raise Unavailable("/proc/sys/kernel/random/boot_id cannot be read")
    return boot_id.replace("-", "")[:16]


def parse_marker(text: str | None) -> ClockState | None:
    """Read the marker that root's NTP hook writes; None when it says nothing we know."""
    return _STATES.get((text or "").strip())


def is_synchronised() -> bool:
    """Ask the kernel whether an NTP daemon keeps the clock: adjtimex(2) answers TIME_ERROR while none does."""
    # Imported here: only a box with neither marker nor systemd-timesyncd needs it, and it costs the others memory.
    try:
        import ctypes
    except ImportError:
        return False  # OpenWrt's python3-light is without it, and nobody else can ask

    # All zero asks and sets nothing. struct timex has 128 to 208 bytes, depending on libc; only the return value is read.
    # pythonapi looks in the whole process, the C library included, and is made once; a CDLL of our own would be new each time.
    question = ctypes.create_string_buffer(1024)
    try:
        state = int(ctypes.pythonapi.adjtimex(question))
    except (AttributeError, OSError):
        return False
    return 0 <= state < _TIME_ERROR


class SystemClock:
    """This machine's time. `marker`: a file whose word (ntp, floor, none) overrides what we would find out ourselves."""

    def __init__(self, marker: str | None = None, timesync: str = TIMESYNC) -> None:
        self._marker = marker
        self._timesync = timesync
        self._is_synchronised = False
        self._ask_again_at = float("-inf")

    def monotonic(self) -> float:
        """Seconds of a clock that never jumps."""
        return time.monotonic()

    def uptime(self) -> float:
        """Seconds since boot, suspend included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> float:
        """Unix seconds."""
        return time.time()

    def state(self) -> ClockState:
        """Say whether `wall` may be trusted; what the kernel says is asked at most once a minute."""
        told = parse_marker(read_line(self._marker)) if self._marker else None
        if told:
            return told
        if os.path.exists(self._timesync):
            return "ntp"
        now = time.monotonic()
        if now >= self._ask_again_at:
            self._is_synchronised = is_synchronised()
            self._ask_again_at = now + ASK_AGAIN_S
        if self._is_synchronised:
            return "ntp"
        return "floor" if time.time() >= BUILD_DATE else "none"

    def real_seconds(self, seconds: float) -> float:
        """The world's seconds are this clock's."""
        return seconds
