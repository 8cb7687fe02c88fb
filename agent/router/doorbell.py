"""What safe mode knows of a box: its time, which boot it is in, and how root is rung for. Reads nothing else of it, for that may be what crashed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from agent.router import clock

if TYPE_CHECKING:
    from agent.router.contract import Clock, Errand
    from agent.router.ubus import Ubus
    from agent.settings import Settings


class Doorbell(Protocol):
    """What pushes and commands ask of a box: its time, which boot it is in, and that root is rung for. Every router is one; safe mode has no more."""

    @property
    def clock(self) -> Clock:
        """The box's time."""

    def boot(self) -> str:
        """The first 16 hex digits of the kernel's boot_id."""

    def ring(self, errand: Errand = "push") -> None:
        """Tell root what there is to do, as `Router` says."""


def open_doorbell(settings: Settings, applier: Sequence[str] = ()) -> Doorbell:
    """Open what there is at the box of `settings`; `applier` as in agent/router/backends.py. A simulated box is whole, for there is nothing to it."""
    status = os.path.join(settings.paths.run_dir, "status")
    if settings.router.backend == "simulated":
        from agent.router import backends

        return backends.open_router(settings, applier)
    if settings.router.backend == "openwrt":
        from agent.router.ubus import CALLS, Ubus

        return RealDoorbell(os.path.join(status, "clock"), Ubus(settings.router.ubus_socket, allowed=CALLS))
    return RealDoorbell(os.path.join(status, "clock"), None)


class RealDoorbell:
    """A real box's; `ubus` None where root looks by itself, on plain Linux."""

    def __init__(self, marker: str, ubus: Ubus | None) -> None:
        self.clock = clock.SystemClock(marker)
        self._ubus = ubus

    def boot(self) -> str:
        """The first 16 hex digits of the kernel's boot_id."""
        return clock.boot()

    def ring(self, errand: Errand = "push") -> None:
        """Tell procd that something lies in the inbox; Unavailable when it cannot be told."""
        if self._ubus is not None:
            self._ubus.call("service", "event", {"type": f"rwagent.{errand}", "data": {}})
