"""Which backend the settings name; only that one is loaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from agent.router.contract import Router

if TYPE_CHECKING:
    from agent.settings import Settings


def open_router(settings: Settings, applier: Sequence[str] = ()) -> Router:
    """Open the router of `settings`; Unavailable when this box cannot be read by that backend.

    `applier`: the program that a simulated one starts when rung for, its path first; a real box has its own way to start it.
    """
    router = settings.router
    # The imports stand here because one backend is ever used: the other would be dead weight in the daemon's memory.
    if router.backend == "simulated":
        from agent.router import simulated

        chosen = settings.simulated
        start = float(chosen.start) if chosen.start else None
        wireless = os.path.join(settings.paths.state_dir, "simulated", "wireless")
        options = (settings.id, chosen.seed, chosen.speed, chosen.stations_peak, router.contract_mbps, start)
        return simulated.open_router(*options, applier=applier, wireless_file=wireless)
    if router.backend == "openwrt":
        from agent.router import openwrt

        report = settings.report
        return openwrt.open_router(router.uplink, router.lease_file, report.interval_s, settings.paths.run_dir, router.ubus_socket, report.sample_s)
    from agent.router import linux

    leases = (router.lease_file,) if router.lease_file else linux.LEASE_FILES
    marker = os.path.join(settings.paths.run_dir, "status", "clock")
    return linux.open_router(router.uplink, router.hostapd_dir, leases, marker, settings.paths.run_dir, settings.paths.state_dir)
