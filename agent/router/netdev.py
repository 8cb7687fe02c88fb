"""Network devices and their counters: one read of /proc/net/dev, an ioctl for the flags, /sys for what seldom changes."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import sys
from collections.abc import Callable, Collection
from typing import Literal, NamedTuple

from agent.records import Interface, Role
from agent.router.bridge import WayOut
from agent.router.text import Kept, printable, read_line, whole

MOST_INTERFACES = 32
LINK_S = 15.0
_ROLE_ORDER: dict[Role, int] = {"uplink": 0, "bss": 1, "lan": 2, "other": 3}
_SIOCGIFFLAGS = 0x8913
_SIOCGIFINDEX = 0x8933
_IFF_UP_AND_RUNNING = 0x41
_HEADER_LINES = 2
# The name, then eight columns of what was received and eight of what was sent: bytes, packets, errors, drops and others.
_LINE = re.compile(rb"(.*):\s*(\d{1,20})\s+\S+\s+(\d{1,20})\s+(\d{1,20})(?:\s+\S+){4}\s+(\d{1,20})\s+\S+\s+(\d{1,20})\s+(\d{1,20})(?:\s+\S+){4}")
_BEYOND_64_BITS = 1 << 64


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
    request: bytes
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
        match = _LINE.match(line)
        if match is not None:
            name, *figures = match.groups()
            moved = Counters(*[int(figure) for figure in figures])
            if max(moved) < _BEYOND_64_BITS:
                found[os.fsdecode(name.strip(b" "))] = moved
    return found


class _Asker:
    """The socket that the kernel is asked through, kept for the next sample; it is bound to nothing."""

    def __init__(self) -> None:
        self._fd = -1

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def ask(self, question: int, request: bytes, size: int) -> int | None:
        """Give the answer's first `size` bytes as a number; None when the device went away."""
        if self._fd < 0:
            self._fd = socket.socket(socket.AF_INET, socket.SOCK_DGRAM).detach()
        try:
            answer: bytes = fcntl.ioctl(self._fd, question, request)
        except OSError:
            return None
        return int.from_bytes(answer[16 : 16 + size], sys.byteorder)

    def is_up(self, request: bytes) -> bool:
        """Say whether a device is switched on and has its carrier."""
        flags = self.ask(_SIOCGIFFLAGS, request, 2) or 0
        return flags & _IFF_UP_AND_RUNNING == _IFF_UP_AND_RUNNING


def _request(name: str) -> bytes:
    return os.fsencode(name)[:15].ljust(40, b"\0")


class Netdev:
    """The network devices of this network namespace; `monotonic` is the clock of what is remembered."""

    def __init__(self, monotonic: Callable[[], float], sys_class_net: str = "/sys/class/net") -> None:
        self._monotonic = monotonic
        self._sys = sys_class_net
        self._links: dict[str, _Link] = {}
        self._counters = Kept("/proc/net/dev")
        self._asker = _Asker()
        self._way_out = WayOut(monotonic, sys_class_net)

    def counters(self) -> dict[str, Counters]:
        """Give every device's counters."""
        return parse_netdev(self._counters.read())

    def is_up(self, name: str) -> bool:
        """Say whether a device is switched on and has its carrier."""
        return self._asker.is_up(_request(name))

    def interfaces(self, uplink: str | None, bss: Collection[str]) -> list[Interface]:
        """Give the devices worth reporting, uplink first, at most 32; where `uplink` is a bridge, the port by which it leads out is the one that counts.

        Left out: loopback, and a device that is down, never moved a byte and is neither the uplink, nor a BSS, nor hardware (an unused tunnel or ifb).
        """
        counters = self.counters()
        found: list[Interface] = []
        links: dict[str, _Link] = {}
        now = self._monotonic()
        for name in counters:
            if name == "lo":
                continue
            last = self._links.get(name)
            request = last.request if last else _request(name)
            # Not socket.if_nameindex(): it asks for every device's every attribute.
            ifindex = self._asker.ask(_SIOCGIFINDEX, request, 4)
            if ifindex is not None:
                up = self._asker.is_up(request)
                is_known = last is not None and last.ifindex == ifindex and last.up == up and now < last.until
                links[name] = last if last and is_known else self._link(name, request, ifindex, up, now)
        leading = uplink
        if uplink in links and links[uplink].is_bridge:
            leading = self._way_out.through(uplink, {name: link.up for name, link in links.items()}, bss)
        for name, link in links.items():
            moved = counters[name]
            is_idle = not link.up and not moved.rx_bytes_total and not moved.tx_bytes_total
            if is_idle and not link.is_physical and name not in (uplink, leading) and name not in bss:
                continue
            role: Role = "uplink" if name == leading else "bss" if name in bss else "lan" if link.is_bridge else "other"
            found.append(_interface(name, role, link, moved))
        self._links = links
        return sorted(found, key=lambda interface: (_ROLE_ORDER[interface.role], interface.ifindex))[:MOST_INTERFACES]

    def _link(self, name: str, request: bytes, ifindex: int, up: bool, now: float) -> _Link:
        """Read what seldom changes: the device is new, its carrier changed, or the last reading is old."""
        last = self._links.get(name)
        is_same = last is not None and last.ifindex == ifindex
        directory = os.path.join(self._sys, name)
        is_bridge = last.is_bridge if last and is_same else os.path.exists(os.path.join(directory, "bridge"))
        is_physical = last.is_physical if last and is_same else os.path.exists(os.path.join(directory, "device"))
        # "-1" and "unknown" where the driver does not know, EINVAL where the device is down or has no such thing.
        mbps = whole(read_line(os.path.join(directory, "speed")) or "") if up else None
        duplex = read_line(os.path.join(directory, "duplex")) if up else None
        known: Literal["full", "half"] | None = "full" if duplex == "full" else "half" if duplex == "half" else None
        return _Link(now + LINK_S, request, ifindex, up, is_bridge, is_physical, mbps if mbps and mbps < 1 << 31 else None, known)


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
