"""The probe of the way out, one at a time: begun when its time has come, turned while it runs, given up when the way is another one.

Waits for nothing; what it found is handed back.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from agent.errors import Unavailable

if TYPE_CHECKING:
    from agent.records import Path, Reach
    from agent.router.contract import Probe, Router
    from agent.settings import ProbeSettings

LOG = logging.getLogger(__name__)


class Probing:
    """The probes of the daemon's life. Moments are monotonic seconds of the box."""

    def __init__(self, router: Router, settings: ProbeSettings) -> None:
        self._router = router
        self._settings = settings
        self._probe: Probe | None = None
        self._way: tuple[object, ...] | None = None

    def is_another(self, path: Path) -> bool:
        """Say whether this is not the way that was probed last, and give up a probe that would tell of one that is no longer ours."""
        if _way(path) == self._way:
            return False
        self._end()
        return True

    def begin(self, path: Path | None, now: float) -> None:
        """Begin a probe of this way, unless one is under way, or there is none."""
        if self._probe is not None or path is None:
            return
        self._way = _way(path)
        if path.device is None or not path.address:
            return
        try:
            self._probe = self._router.probe(path, self._settings.dns_name, self._settings.internet, now)
        except Unavailable as error:
            LOG.debug("uplink probe not started: %s", error)

    def advance(self, now: float) -> Reach | None:
        """Do what can be done without waiting; give the outcome once it is known."""
        reach = self._probe.advance(now) if self._probe is not None else None
        if reach is not None:
            self._end()
        return reach

    def fds(self) -> dict[int, int]:
        """File descriptors to poll, each with its poll(2) event mask."""
        return {} if self._probe is None else self._probe.fds()

    def deadlines(self) -> list[float]:
        """Give the moment by which `advance` must be called again, if any."""
        return [] if self._probe is None else [self._probe.deadline()]

    def _end(self) -> None:
        if self._probe is not None:
            self._probe.close()
            self._probe = None


def _way(path: Path) -> tuple[object, ...]:
    return path.device, path.up, path.address, path.gateway
