"""The simulated clock: as fast as told, wrong only where told, and anew at each boot."""

from __future__ import annotations

from agent.router.simulated_clock import SimulatedClock


def clock(speed: float = 0) -> SimulatedClock:
    """Give one that booted 100 s before it was opened."""
    return SimulatedClock(speed, 1000.0, 900.0, False)


def test_without_speed_it_moves_only_when_waited_for() -> None:
    """And nobody waits in the world for it."""
    one = clock()
    assert (one.now(), one.uptime()) == (1000.0, 100.0)
    assert one.real_seconds(5) == 0 and one.real_seconds(-5) == 0 and one.now() == 1005.0


def test_with_speed_the_world_waits_less() -> None:
    """Ten times as fast is a tenth."""
    assert clock(10).real_seconds(5) == 0.5


def test_a_wrong_wall_clock_moves_nothing_else() -> None:
    """A step back of an hour."""
    one = clock()
    one.step(-3600)
    assert (one.wall(), one.now(), one.monotonic()) == (1000.0 - 3600, 1000.0, 100.0)


def test_a_boot_begins_the_uptime_anew() -> None:
    """From its moment on, and not before."""
    one = clock()
    one.reboot_at(1010.0)
    assert one.uptime() == 100.0
    one.real_seconds(15)
    assert (one.uptime(), one.monotonic(), one.booted()) == (5.0, 115.0, 1010.0)


def test_trust_is_what_was_set() -> None:
    """Good unless told otherwise."""
    one = clock()
    assert one.state() == "ntp"
    one.trust = "floor"
    assert one.state() == "floor"
