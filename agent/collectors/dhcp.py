"""DHCP leases in use and the size of the pool. Reads counts only: no host name and no MAC address comes this way.

All are the last sample's: `leases` and `pool` over all networks served, `fullest_ratio` of the fullest pool alone. `pool` and `fullest_ratio`
are absent where they are not known, all of it where this box serves no DHCP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.records import Dhcp, Knobs

if TYPE_CHECKING:
    from agent.router.contract import Router

NAME = "dhcp"


def collect(router: Router) -> Dhcp:
    """Count the leases; Unavailable where this box serves no DHCP."""
    return router.dhcp()


class Span:
    """The last reading of the span."""

    def __init__(self, knobs: Knobs) -> None:
        self._last: Dhcp | None = None

    def add(self, at: float, reading: Dhcp) -> None:
        """Take one sample."""
        self._last = reading

    def part(self, at: float) -> dict[str, object]:
        """Give `dhcp`, or nothing when the span had no sample."""
        last, self._last = self._last, None
        if last is None:
            return {}
        part: dict[str, object] = {"leases": last.leases}
        if last.pool is not None:
            part["pool"] = last.pool
        if last.fullest_ratio is not None:
            part["fullest_ratio"] = round(last.fullest_ratio, 3)
        return {"dhcp": part}
