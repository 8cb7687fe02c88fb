"""The real daemon on a router whose clock obeys lines on stdin or runs fast, with collectors that misbehave: a process for stories.

    python -m tests.stories.driver --settings-fd N --config FILE [--bad NAME:WAY,NAME:WAY] [--first LINE;LINE] [--fast TIMES]

Lines: `trust ntp|floor|none`, `step SECONDS`, `wall UNIX_SECONDS`. Nothing of the daemon is replaced.
"""

from __future__ import annotations

import logging
import os
import sys
import threading

from agent import settings as settings_door
from agent.collectors import COLLECTORS
from agent.daemon import Daemon
from agent.router import backends, openwrt
from agent.router.child import Program
from agent.router.clock import SystemClock
from agent.router.contract import Clock, Router
from agent.router.iw import Iw
from agent.router.simulated import SimulatedClock
from agent.router.ubus import Ubus
from agent.run_dir import hold
from agent.settings import Settings
from tests.stories.misbehaving import bad


class FastClock:
    """A router's clock, so many times as fast; a collector's budget stays in the world's seconds."""

    def __init__(self, clock: Clock, times: float) -> None:
        self._clock, self._times = clock, times
        self._booted = clock.wall() - clock.uptime() * times
        self.state = clock.state

    def monotonic(self) -> float:
        return self._clock.monotonic() * self._times

    def uptime(self) -> float:
        return self._clock.uptime() * self._times

    def wall(self) -> float:
        return self._booted + self.uptime()

    def real_seconds(self, seconds: float) -> float:
        return self._clock.real_seconds(seconds / self._times)


def open_fast(settings: Settings, times: float) -> Router:
    """Open the settings' router on a clock that runs fast; OpenWrt's parts keep the clock they are made with."""
    if settings.router.backend != "openwrt":
        router = backends.open_router(settings)
        router.clock = FastClock(router.clock, times)
        return router
    status = os.path.join(settings.paths.run_dir, "status")
    clock = FastClock(SystemClock(os.path.join(status, "clock")), times)
    ubus, iw, facts = Ubus(settings.router.ubus_socket, monotonic=clock.monotonic), Iw(Program("iw")), os.path.join(status, "wireless.json")
    period_s = max(openwrt.PERIOD_S, settings.report.interval_s)
    return openwrt.OpenwrtRouter(settings.router.uplink, settings.router.lease_file, clock, ubus, iw, facts, period_s)  # type: ignore[arg-type]  # a clock


def obey(clock: SimulatedClock, line: str) -> None:
    """Do to the clock what a line says."""
    word, value = line.split()
    if word == "trust":
        clock.trust = value  # type: ignore[assignment]  # the story says only what a clock may say
    elif word == "step":
        clock.step(float(value))
    elif word == "wall":
        clock.step(float(value) - clock.wall())


def main(arguments: list[str]) -> int:
    """Run the daemon until SIGTERM."""
    words = dict(zip(arguments[::2], arguments[1::2], strict=True))
    settings = settings_door.restore(settings_door.read_fd(int(words["--settings-fd"])))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s.%(msecs)03d %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    lock = hold(settings.paths.run_dir)
    router = open_fast(settings, float(words["--fast"])) if "--fast" in words else backends.open_router(settings)
    ways = (pair.split(":") for pair in words.get("--bad", "").split(",") if pair)
    collectors = COLLECTORS | {name: bad(name, way) for name, way in ways}
    for line in words.get("--first", "").split(";"):
        if line:
            obey(router.clock, line)  # type: ignore[arg-type]  # only simulated routers are driven

    def listen() -> None:
        for line in sys.stdin:
            obey(router.clock, line)  # type: ignore[arg-type]  # as above

    threading.Thread(target=listen, daemon=True).start()
    Daemon(settings, router, collectors).run()
    return 0 if lock else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
