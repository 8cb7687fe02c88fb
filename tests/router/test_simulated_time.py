"""What root's half knows of a simulated box's boot and uptime."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.router import simulated_time
from agent.router.bell import Bell
from agent.router.simulated import SimulatedRouter
from agent.router.simulated_clock import SimulatedClock


def test_what_is_left_is_found_and_goes_on(tmp_path: Path) -> None:
    simulated_time.leave(str(tmp_path / "new"), "b1946ac92492d234", 5000.0, 1.0, 1_790_000_000.0)
    found = simulated_time.found(str(tmp_path / "new"))
    assert found is not None and (found.boot, found.booted) == ("b1946ac92492d234", 1_790_000_000.0)
    first = found.uptime()
    assert 5000.0 <= first < found.uptime() < 5060


def test_a_box_whose_time_stands_has_one_uptime(tmp_path: Path) -> None:
    simulated_time.leave(str(tmp_path), "b1946ac92492d234", 7.5, 0.0, 0.0)
    found = simulated_time.found(str(tmp_path))
    assert found is not None and found.uptime() == 7.5


@pytest.mark.parametrize("content", [None, "", "[1, 2]", "{", '{"boot": "x"}', "\x00"])
def test_what_is_no_note_is_none(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / simulated_time.FILE).write_text(content)
    assert simulated_time.found(str(tmp_path)) is None


def test_the_box_leaves_one_when_it_rings_for_a_push_or_a_command(tmp_path: Path) -> None:
    """Not for stations that came: that starts nothing here."""
    router = SimulatedRouter(
        b"1/rw-0501", "rw-0501", SimulatedClock(0, 1_790_000_000, 1_789_999_000, False), 16, 50.0, frozenset(), Bell(()), str(tmp_path / "wireless")
    )
    router.ring("stations")
    assert (simulated_time.found(str(tmp_path)), router.rings_total) == (None, 0)
    router.ring()
    found = simulated_time.found(str(tmp_path))
    assert found is not None and (found.boot, found.uptime(), found.booted, router.rings_total) == (router.boot(), 1000.0, 1_789_999_000, 1)


def test_the_directories_it_makes_are_nobody_elses(tmp_path: Path) -> None:
    """The daemon may come before root's half, which believes no state directory that others may look into."""
    simulated_time.leave(str(tmp_path / "state/simulated"), "b0" * 8, 5.0, 1.0, 0.0)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("state", "state/simulated")] == [0o700, 0o700]
