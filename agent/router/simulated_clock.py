"""The simulated box's time, and what may be wrong with it."""

from __future__ import annotations

import time

from agent.records import ClockState


class SimulatedClock:
    """The simulated box's time: `speed` times the world's, or with speed 0 only ever moved on by `real_seconds`.

    `trust` and `step` are for tests: what `state` says, and a wrong wall clock. Neither touches the world around the
    access point, whose moment is `now`.
    """

    def __init__(self, speed: float, start: float, booted: float, is_live: bool) -> None:
        self.trust: ClockState = "ntp"
        self.speed = speed
        self._start = start
        self._is_live = is_live
        self._began = time.monotonic()
        self._moved = 0.0
        self._step = 0.0
        self._first_boot = booted
        self._reboot: float | None = None

    def now(self) -> float:
        """Give the true Unix seconds of the simulated world."""
        return self._start + (self._moved if self.speed == 0 else (time.monotonic() - self._began) * self.speed)

    def booted(self) -> float:
        """Give the moment of the latest boot, in true Unix seconds."""
        return self._reboot if self._reboot is not None and self.now() >= self._reboot else self._first_boot

    def monotonic(self) -> float:
        """Give seconds since the first boot."""
        return self.now() - self._first_boot

    def uptime(self) -> float:
        """Give seconds since the latest boot."""
        return self.now() - self.booted()

    def wall(self) -> float:
        """Give Unix seconds as the box believes them; in real time they are the world's own."""
        return (time.time() if self._is_live else self.now()) + self._step

    def state(self) -> ClockState:
        """Say whether `wall` may be trusted, as last set in `trust`."""
        return self.trust

    def real_seconds(self, seconds: float) -> float:
        """Say how long to wait in the world for `seconds` of this clock; with speed 0 move on by them and say 0."""
        if self.speed:
            return seconds / self.speed
        self._moved += max(0.0, seconds)
        return 0.0

    def step(self, seconds: float) -> None:
        """Set the wall clock on or back by `seconds`."""
        self._step += seconds

    def reboot_at(self, at: float) -> None:
        """Let the box boot anew at `at` (true Unix seconds)."""
        self._reboot = at
