"""DHCP leases in use and the size of the pool. Reads counts only: no host name and no MAC address comes this way.

`leases` and `pool` are the last sample's; `pool` is absent where it is not known, all of it where this box serves no DHCP.
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
        return {"dhcp": {"leases": last.leases} if last.pool is None else {"leases": last.leases, "pool": last.pool}}
