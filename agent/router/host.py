"""The box's own health; psutil's only door. What cannot be read is None, and one missing figure costs no other."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from agent.lean import LateTuples, Without
from agent.records import Host
from agent.router.text import listed, read_line, whole

# Of psutil only two readings of /proc are used: no processes of others, no files, no times of day, and two of its named tuples (7.2 has 33).
with Without(subprocess={}, datetime={}, glob={}, pwd={}, resource={}, base64=None), LateTuples():
    import psutil

SENSORS_S = 600.0
# What moves slowly is read anew at every sample of 10 s, but not at every one of 1 s: together it costs more than all else here.
SLOW_S = 5.0
# Listing /proc costs more than everything else here together.
PROCESSES_S = 30.0
MOST_SENSORS = 16
HOTTEST_PLAUSIBLE_C = 120.0
_CONNTRACK = "/proc/sys/net/netfilter/nf_conntrack_"


def parse_millidegrees(text: str) -> float | None:
    """Read a sensor's file: thousandths of a degree; None outside 0 to 120 degrees, where a sensor is absent or lies."""
    number = whole(text.strip())
    celsius = number / 1000 if number is not None else None
    return celsius if celsius is not None and 0 < celsius <= HOTTEST_PLAUSIBLE_C else None


def _cpu() -> tuple[float | None, float | None, float | None]:
    """Give busy, softirq and all CPU seconds."""
    try:
        times = psutil.cpu_times()
    except (OSError, ValueError):
        return None, None, None
    # guest and guest_nice are left out: the kernel counts them in user and nice already.
    total = times.user + times.nice + times.system + times.idle + times.iowait + times.irq + times.softirq + times.steal
    return total - times.idle - times.iowait, times.softirq, total


def _memory() -> tuple[int | None, int | None]:
    try:
        memory = psutil.virtual_memory()
    except (OSError, ValueError, KeyError):
        return None, None
    return memory.total, memory.available


def _room(*paths: str) -> tuple[int | None, int | None]:
    """Give free (for others than root) and all bytes of the first of `paths` there is."""
    for path in paths:
        try:
            room = os.statvfs(path)
        except OSError:
            continue
        if room.f_blocks:
            return room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize
    return None, None


def _processes() -> int | None:
    if os.getpid() == 1:
        return None  # in a jail, whose /proc shows nobody else
    # psutil.pids() does the same and sorts it; threads are not listed here.
    try:
        return sum(map(str.isdigit, os.listdir("/proc")))
    except OSError:
        return None


class Health:
    """The readings that make a Host, all but the CPU's up to 5 s old; `monotonic` is the clock of what is remembered."""

    def __init__(self, monotonic: Callable[[], float], sys_class: str = "/sys/class") -> None:
        self._monotonic = monotonic
        self._sys = sys_class
        self._sensors: list[str] = []
        self._look_again_at = float("-inf")
        self._processes: int | None = None
        self._count_again_at = float("-inf")
        self._slow: partial[Host] | None = None  # lacks only what is read each time
        self._slow_again_at = float("-inf")

    def read(self) -> Host:
        """Read everything once."""
        now = self._monotonic()
        busy, softirq, total = _cpu()
        slow = self._slow
        if slow is None or now >= self._slow_again_at:
            slow = self._slow = self._read_slow(now)
            self._slow_again_at = now + SLOW_S
        return slow(cpu_busy_s_total=busy, cpu_softirq_s_total=softirq, cpu_s_total=total, processes=self._count_processes(now))

    def _read_slow(self, now: float) -> partial[Host]:
        """Read all but the CPU and the processes."""
        memory_total, memory_available = _memory()
        # On OpenWrt what can be written lies in /overlay.
        flash_free, flash_total = _room("/overlay", "/")
        return partial(
            Host,
            load1=_load1(),
            memory_total_bytes=memory_total,
            memory_available_bytes=memory_available,
            flash_free_bytes=flash_free,
            flash_total_bytes=flash_total,
            tmp_free_bytes=_room("/tmp")[0],
            temperature_c=self._temperature(now),
            conntrack=whole(read_line(_CONNTRACK + "count") or ""),
            conntrack_max=whole(read_line(_CONNTRACK + "max") or ""),
        )

    def _count_processes(self, now: float) -> int | None:
        if now >= self._count_again_at:
            self._processes = _processes()
            self._count_again_at = now + PROCESSES_S
        return self._processes

    def _temperature(self, now: float) -> float | None:
        """Give the hottest plausible sensor. psutil.sensors_temperatures searches all of /sys each time, so the paths are kept."""
        if now >= self._look_again_at:
            self._sensors = self._find_sensors()
            self._look_again_at = now + SENSORS_S
        readings = (parse_millidegrees(read_line(path) or "") for path in self._sensors)
        return max((celsius for celsius in readings if celsius is not None), default=None)

    def _find_sensors(self) -> list[str]:
        found: list[str] = []
        for kind in ("thermal", "hwmon"):
            for device in listed(self._sys, kind):
                found += [
                    os.path.join(self._sys, kind, device, name)
                    for name in listed(self._sys, kind, device)
                    if name == "temp" or (name.startswith("temp") and name.endswith("_input"))
                ]
        return found[:MOST_SENSORS]


def _load1() -> float | None:
    try:
        return os.getloadavg()[0]
    except OSError:
        return None
