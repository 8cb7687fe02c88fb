"""The port by which a bridge leads out: a bridge's own counters do not see what it forwards, so on a flat access point they say nothing of the uplink.

Reads /sys and /proc, and only while the uplink is a bridge; runs no program.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from agent.router import addresses
from agent.router.text import read_bytes, read_line

CHOICE_S = 15.0
_ENTRY_BYTES = 16


class _Choice(NamedTuple):
    until: float
    bridge: str
    port: str
    is_up: bool | None


def parse_forwarding(raw: bytes, address: bytes) -> int | None:
    """Read from a bridge's `brforward` the number of the port behind which `address` (6 bytes) was seen; None when it was not.

    Entries are the kernel's struct __fdb_entry: address, number's low byte, whether it is the port's own address, age (4), number's high byte, padding (3).
    """
    for start in range(0, len(raw) - _ENTRY_BYTES + 1, _ENTRY_BYTES):
        if raw[start : start + 6] == address and not raw[start + 7]:
            return raw[start + 6] | raw[start + 12] << 8
    return None


class WayOut:
    """What was chosen last, for 15 s; `gateway_mac` gives the address of the gateway behind a device."""

    def __init__(self, monotonic: Callable[[], float], sys_class_net: str, gateway_mac: Callable[[str], bytes | None] = addresses.gateway_mac) -> None:
        self._monotonic = monotonic
        self._sys = sys_class_net
        self._gateway_mac = gateway_mac
        self._last = _Choice(float("-inf"), "", "", None)

    def through(self, bridge: str, up: Mapping[str, bool], bss: Collection[str]) -> str:
        """Name the port by which `bridge` leads out, or the bridge itself while that is not known; `up`: every device, and whether it has its carrier."""
        now, last = self._monotonic(), self._last
        if last.bridge == bridge and now < last.until and up.get(last.port) == last.is_up:
            return last.port
        port = self._choose(bridge, up, bss, last.port if last.bridge == bridge else bridge)
        self._last = _Choice(now + CHOICE_S, bridge, port, up.get(port))
        return port

    def _choose(self, bridge: str, up: Mapping[str, bool], bss: Collection[str], last: str) -> str:
        wired = [port for port in self._ports(bridge) if port in up and port not in bss and not os.path.exists(os.path.join(self._sys, port, "phy80211"))]
        living = [port for port in wired if up[port]]
        # Where the port that led out lost its carrier, the only one left may be a guest's computer: then the gateway must have been seen behind it.
        if len(living) == 1 and (last not in wired or last in living):
            return living[0]
        return (self._port_of_gateway(bridge, living) if living else None) or (last if last in wired else bridge)

    def _ports(self, bridge: str) -> list[str]:
        try:
            return os.listdir(os.path.join(self._sys, bridge, "brif"))
        except OSError:
            return []

    def _port_of_gateway(self, bridge: str, ports: list[str]) -> str | None:
        address = self._gateway_mac(bridge)
        if address is None:
            return None
        try:
            number = parse_forwarding(read_bytes(os.path.join(self._sys, bridge, "brforward")), address)
        except OSError:
            return None
        return next((port for port in ports if number is not None and self._number(bridge, port) == number), None)

    def _number(self, bridge: str, port: str) -> int | None:
        try:
            return int(read_line(os.path.join(self._sys, bridge, "brif", port, "port_no")) or "", 16)
        except ValueError:
            return None
