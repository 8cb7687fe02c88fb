"""The machine's clocks, and how far they are trusted."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from agent.router.clock import SystemClock, is_synchronised, parse_marker


def test_uptime_equals_proc_uptime() -> None:
    """Seconds since boot, as /proc has them."""
    assert SystemClock().uptime() == pytest.approx(float(Path("/proc/uptime").read_text().split()[0]), abs=1)


def test_wall_and_monotonic_are_the_systems() -> None:
    """Both are the system's own."""
    clock = SystemClock()
    assert clock.wall() == pytest.approx(time.time(), abs=1)
    assert clock.monotonic() == pytest.approx(time.monotonic(), abs=1)


def test_real_seconds_are_seconds() -> None:
    """A real box's clock runs with the world."""
    assert SystemClock().real_seconds(7.5) == 7.5


def test_timesyncd_says_ntp(tmp_path: Path) -> None:
    """systemd's mark of a synchronised clock is believed at once."""
    mark = tmp_path / "synchronized"
    clock = SystemClock(timesync=str(mark))
    clock.state()
    mark.touch()
    assert clock.state() == "ntp"


@pytest.mark.parametrize("word", ["ntp", "floor", "none"])
def test_marker_overrides(tmp_path: Path, word: str) -> None:
    """What root's hook wrote counts more than what we would find out."""
    marker = tmp_path / "clock"
    marker.write_text(word + "\n")
    (tmp_path / "synchronized").touch()
    assert SystemClock(str(marker), str(tmp_path / "synchronized")).state() == word


def test_unknown_marker_is_ignored(tmp_path: Path) -> None:
    """A marker that is absent, empty or says something else leaves the finding out to us."""
    (tmp_path / "synchronized").touch()
    (tmp_path / "clock").write_text("perhaps")
    for marker in ("clock", "absent"):
        assert SystemClock(str(tmp_path / marker), str(tmp_path / "synchronized")).state() == "ntp"
    assert parse_marker("") is None


def test_a_python_without_ctypes_cannot_ask_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenWrt's python3-light has no ctypes: the clock counts as not synchronised, and nothing is raised."""
    monkeypatch.setitem(sys.modules, "ctypes", None)
    assert SystemClock(timesync=str(tmp_path / "absent")).state() == "floor"


def test_without_any_mark_the_kernel_is_asked(tmp_path: Path) -> None:
    """No marker, no timesyncd: ntp when the kernel's clock is disciplined, else the floor (this machine's date is past our build)."""
    assert SystemClock(timesync=str(tmp_path / "absent")).state() == ("ntp" if is_synchronised() else "floor")
