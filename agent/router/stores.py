"""Which store the settings name; only that one is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.router.store import Store

if TYPE_CHECKING:
    from agent.settings import Settings


def open_store(settings: Settings) -> Store:
    """Open the configuration of the box that `settings` name; Unavailable when this box has none of that kind."""
    backend = settings.router.backend
    # One of them is ever used by a process.
    if backend == "simulated":
        from agent.router import store_simulated

        return store_simulated.open_store(settings)
    if backend == "openwrt":
        from agent.router import store_openwrt

        return store_openwrt.open_store(settings)
    from agent.router import store_linux

    return store_linux.open_store(settings)
