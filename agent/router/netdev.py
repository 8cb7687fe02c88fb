"""Network devices and their counters: one read of /proc/net/dev, an ioctl for the flags, /sys for what seldom changes."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from collections.abc import Callable, Collection
from typing import Literal, NamedTuple

from agent.records import Interface, Role
from agent.router.text import printable, read_bytes, read_line, whole

MOST_INTERFACES = 32
LINK_S = 15.0
_ROLE_ORDER: dict[Role, int] = {"uplink": 0, "bss": 1, "lan": 2, "other": 3}
_SIOCGIFFLAGS = 0x8913
_SIOCGIFINDEX = 0x8933
_IFF_UP_AND_RUNNING = 0x41
_HEADER_LINES = 2
_FIELDS = 16
_COLUMNS = (0, 2, 3, 8, 10, 11)
_DIGITS_OF_64_BITS = 20


class Counters(NamedTuple):
    """One device's counters since it was created; `rx_dropped_total` includes what the hardware missed."""

    rx_bytes_total: int
    rx_errors_total: int
    rx_dropped_total: int
    tx_bytes_total: int
    tx_errors_total: int
    tx_dropped_total: int


class _Link(NamedTuple):
    until: float
    ifindex: int
    up: bool
    is_bridge: bool
    is_physical: bool
    mbps: int | None
    duplex: Literal["full", "half"] | None


def parse_netdev(raw: bytes) -> dict[str, Counters]:
    """Read /proc/net/dev: the counters by the device's name as the system gives it; a line that is none is skipped.

    Bytes, because a name may hold any but blanks, colons and slashes: text methods would cut it at other control characters.
    """
    found: dict[str, Counters] = {}
    for line in raw.split(b"\n")[_HEADER_LINES:]:
        name, colon, rest = line.rpartition(b":")
        fields = rest.split()
        if not colon or len(fields) < _FIELDS:
            continue
        wanted = [fields[column] for column in _COLUMNS]
        # Checked together: this runs for every device at every sample.
        if b"".join(wanted).isdigit() and max(map(len, wanted)) <= _DIGITS_OF_64_BITS:
            found[os.fsdecode(name.strip(b" "))] = Counters(*map(int, wanted))
    return {name: moved for name, moved in found.items() if max(moved) < 1 << 64}


def _asker() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def _ask(asker: socket.socket, question: int, name: str, size: int) -> int | None:
    try:
        answer: bytes = fcntl.ioctl(asker, question, os.fsencode(name)[:15].ljust(40, b"\0"))
    except OSError:
        return None  # the device went away
    return int.from_bytes(answer[16 : 16 + size], sys.byteorder)


def _is_up(asker: socket.socket, name: str) -> bool:
    flags = _ask(asker, _SIOCGIFFLAGS, name, 2) or 0
    return flags & _IFF_UP_AND_RUNNING == _IFF_UP_AND_RUNNING


class Netdev:
    """The network devices of this network namespace; `monotonic` is the clock of what is remembered."""

    def __init__(self, monotonic: Callable[[], float], sys_class_net: str = "/sys/class/net") -> None:
        self._monotonic = monotonic
        self._sys = sys_class_net
        self._links: dict[str, _Link] = {}

    def counters(self) -> dict[str, Counters]:
        """Give every device's counters."""
        return parse_netdev(read_bytes("/proc/net/dev"))

    def is_up(self, name: str) -> bool:
        """Say whether a device is switched on and has its carrier."""
        with _asker() as asker:
            return _is_up(asker, name)

    def interfaces(self, uplink: str | None, bss: Collection[str]) -> list[Interface]:
        """Give the devices worth reporting, uplink first, at most 32.

        Left out: loopback, and a device that is down, never moved a byte and is neither the uplink, nor a BSS, nor hardware (an unused tunnel or ifb).
        """
        counters = self.counters()
        found: list[Interface] = []
        links: dict[str, _Link] = {}
        with _asker() as asker:
            for name in counters:
                # Not socket.if_nameindex(): it asks for every device's every attribute.
                ifindex = None if name == "lo" else _ask(asker, _SIOCGIFINDEX, name, 4)
                if ifindex is not None:
                    links[name] = self._link(name, ifindex, _is_up(asker, name))
        for name, link in links.items():
            moved = counters[name]
            is_idle = not link.up and not moved.rx_bytes_total and not moved.tx_bytes_total
            if is_idle and not link.is_physical and name != uplink and name not in bss:
                continue
            role: Role = "uplink" if name == uplink else "bss" if name in bss else "lan" if link.is_bridge else "other"
            found.append(_interface(name, role, link, moved))
        self._links = links
        return sorted(found, key=lambda interface: (_ROLE_ORDER[interface.role], interface.ifindex))[:MOST_INTERFACES]

    def _link(self, name: str, ifindex: int, up: bool) -> _Link:
        """Read what seldom changes again when the device is new, its carrier changed, or the last reading is old."""
        now = self._monotonic()
        last = self._links.get(name)
        is_same = last is not None and last.ifindex == ifindex
        if last and is_same and last.up == up and now < last.until:
            return last
        directory = os.path.join(self._sys, name)
        is_bridge = last.is_bridge if last and is_same else os.path.exists(os.path.join(directory, "bridge"))
        is_physical = last.is_physical if last and is_same else os.path.exists(os.path.join(directory, "device"))
        # "-1" and "unknown" where the driver does not know, EINVAL where the device is down or has no such thing.
        mbps = whole(read_line(os.path.join(directory, "speed")) or "") if up else None
        duplex = read_line(os.path.join(directory, "duplex")) if up else None
        known: Literal["full", "half"] | None = "full" if duplex == "full" else "half" if duplex == "half" else None
        return _Link(now + LINK_S, ifindex, up, is_bridge, is_physical, mbps if mbps and mbps < 1 << 31 else None, known)


def _interface(name: str, role: Role, link: _Link, moved: Counters) -> Interface:
    return Interface(
        name=printable(name),
        ifindex=link.ifindex,
        role=role,
        up=link.up,
        link_mbps=link.mbps,
        duplex=link.duplex,
        rx_bytes_total=moved.rx_bytes_total,
        tx_bytes_total=moved.tx_bytes_total,
        rx_errors_total=moved.rx_errors_total,
        tx_errors_total=moved.tx_errors_total,
        rx_dropped_total=moved.rx_dropped_total,
        tx_dropped_total=moved.tx_dropped_total,
    )
