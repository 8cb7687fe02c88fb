"""The box's health beside /proc read independently."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.router.host import SENSORS_S, SLOW_S, Health, parse_millidegrees


def health() -> Health:
    """The machine's own."""
    return Health(time.monotonic)


def test_memory_equals_proc_meminfo() -> None:
    """Total exactly; available within what moves meanwhile."""
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    read = health().read()
    assert read.memory_total_bytes == int(lines["MemTotal"].split()[0]) * 1024
    assert read.memory_available_bytes == pytest.approx(int(lines["MemAvailable"].split()[0]) * 1024, rel=0.2)


def test_cpu_seconds_equal_proc_stat() -> None:
    """Busy is all but idle and iowait; guest time is counted once."""

    def stat() -> tuple[float, float, float]:
        figures = [int(word) / os.sysconf("SC_CLK_TCK") for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return sum(figures) - figures[3] - figures[4], figures[6], sum(figures)

    before, read, after = stat(), health().read(), stat()
    for low, figure, high in zip(before, (read.cpu_busy_s_total, read.cpu_softirq_s_total, read.cpu_s_total), after, strict=True):
        assert figure is not None
        assert low - 0.02 <= figure <= high + 0.02


def test_room_equals_statvfs() -> None:
    """Free is what an ordinary user may write."""
    room = os.statvfs("/overlay" if Path("/overlay").exists() else "/")
    read = health().read()
    assert read.flash_total_bytes == room.f_blocks * room.f_frsize
    assert read.flash_free_bytes == pytest.approx(room.f_bavail * room.f_frsize, rel=0.05)
    assert read.tmp_free_bytes is not None


def test_processes_are_processes_not_threads() -> None:
    """As psutil counts them, give or take those that come and go."""
    assert health().read().processes == pytest.approx(len(psutil.pids()), abs=10)


def test_conntrack_equals_proc() -> None:
    """Count and ceiling of the connection table where the kernel has one, else unknown."""
    ceiling = Path("/proc/sys/net/netfilter/nf_conntrack_max")
    assert health().read().conntrack_max == (int(ceiling.read_text()) if ceiling.exists() else None)


def make_sensor(root: Path, name: str, text: str) -> None:
    """Write one sensor's file below a /sys/class of the test's own."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_hottest_plausible_sensor_is_given(tmp_path: Path) -> None:
    """Absent sensors read as 0, -127 or 255 degrees; none of them is the temperature."""
    readings = {"thermal/thermal_zone0/temp": "51000", "hwmon/hwmon0/temp1_input": "63500", "hwmon/hwmon0/temp2_input": "255000"}
    readings |= {"hwmon/hwmon1/temp1_input": "-127000", "hwmon/hwmon1/temp2_input": "0", "hwmon/hwmon1/temp1_crit": "100000", "thermal/cooling0/type": "fan"}
    for name, text in readings.items():
        make_sensor(tmp_path, name, text + "\n")
    assert Health(time.monotonic, str(tmp_path)).read().temperature_c == 63.5


def test_sensor_plugged_in_later_is_found(tmp_path: Path) -> None:
    """The search is repeated, seldom."""
    now = [0.0]
    door = Health(lambda: now[0], str(tmp_path))
    assert door.read().temperature_c is None
    make_sensor(tmp_path, "thermal/thermal_zone0/temp", "40000\n")
    assert door.read().temperature_c is None
    now[0] = SENSORS_S
    assert door.read().temperature_c == 40.0


def test_slow_figures_are_read_again(tmp_path: Path) -> None:
    """What moves slowly stands for a few seconds, and a sample ten seconds later sees it anew."""
    now = [0.0]
    door = Health(lambda: now[0], str(tmp_path))
    make_sensor(tmp_path, "thermal/thermal_zone0/temp", "40000\n")
    assert door.read().temperature_c == 40.0
    make_sensor(tmp_path, "thermal/thermal_zone0/temp", "50000\n")
    now[0] = SLOW_S / 2
    assert door.read().temperature_c == 40.0
    now[0] = 10.0
    assert door.read().temperature_c == 50.0


@given(st.text())
def test_no_sensor_text_breaks_the_parser(text: str) -> None:
    """A figure from 0 to 120, or None."""
    celsius = parse_millidegrees(text)
    assert celsius is None or 0 < celsius <= 120


@pytest.mark.needs("root", "unshare")
def test_in_a_jail_nobody_knows_how_many_processes_there_are() -> None:
    """Its /proc has only its own, of whom the agent is the first: an absent figure, not 1."""
    code = "from agent.router.host import Health; import time; read = Health(time.monotonic).read(); print(read.processes, read.memory_total_bytes > 0)"
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout == "None True\n"
