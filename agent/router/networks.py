"""One BSS that is or should be on air, whichever backend found it, and what /sys and /proc say of its network device."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from agent.records import Band, Bss
from agent.router.netdev import Netdev
from agent.router.text import printable, read_line, whole


class Network(NamedTuple):
    """One BSS that is or should be on air; `ifname` as the system names it, or its UCI section while it never had one."""

    ifname: str
    radio: str
    band: Band | None
    ssid: str | None
    bssid: str | None
    up: bool
    pair: str | None = None


def rows(networks: Sequence[Network], netdev: Netdev, sys_class: str) -> list[Bss]:
    """Give each network with the number and the counters of its device, in the same order; its name as text for people."""
    # Asked before the counters: those of a device made anew in between must not pass for the former one's.
    numbers = [whole(read_line(os.path.join(sys_class, "net", network.ifname, "ifindex")) or "") for network in networks]
    counters = netdev.counters() if networks else {}
    found = []
    for network, number in zip(networks, numbers, strict=True):
        moved = counters.get(network.ifname)
        rx, tx = (moved.rx_bytes_total, moved.tx_bytes_total) if moved else (None, None)
        shown = printable(network.ifname)
        found.append(Bss(shown, network.radio, network.band, network.ssid, network.bssid, network.up, rx, tx, network.pair, number))
    return found


def operstate(sys_class: str, ifname: str) -> str:
    """Give the kernel's word for a device's state; "notpresent" when there is none of that name."""
    return read_line(os.path.join(sys_class, "net", ifname, "operstate")) or "notpresent"
