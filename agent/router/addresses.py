"""The way out: default route, addresses, resolvers, neighbours; netifaces' only door, with a way that needs no package.

The routing table is read from /proc either way: netifaces 0.11 misses a default route without a gateway (PPP) and takes
0.0.0.0/1 for a default. Where /proc/net/route cannot be read, netifaces has the word.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from functools import lru_cache
from typing import NamedTuple

from agent.records import Path
from agent.router.text import Kept, printable, read_bytes

try:
    import netifaces
except ImportError:  # OpenWrt 25.12 has no such package
    netifaces = None  # type: ignore[assignment]  # absent is one of its two states

RESOLV_FILES = ("/tmp/resolv.conf.d/resolv.conf.auto", "/run/systemd/resolve/resolv.conf", "/etc/resolv.conf")
MOST_NAMESERVERS = 4
_SIOCGIFADDR = 0x8915
_RTF_UP, _RTF_REJECT = 0x1, 0x200
_ATF_COMPLETE = 0x2
_ROUTES = Kept("/proc/net/route")


class Route(NamedTuple):
    """One default route; `gateway` None on a point-to-point link, an IPv6 link-local one without its scope."""

    device: str
    gateway: str | None
    metric: int


@lru_cache(maxsize=1)  # asked twice a sample, and hardly ever another table
def parse_routes(raw: bytes) -> tuple[Route, ...]:
    """Read the default routes of /proc/net/route, the preferred one first."""
    found: list[Route] = []
    for line in raw.split(b"\n")[1:]:
        fields = [field.strip(b" ") for field in line.split(b"\t")]
        try:
            name, (target, gateway, flags), metric, mask = fields[0], (int(field, 16) for field in fields[1:4]), int(fields[6]), int(fields[7], 16)
        except (ValueError, IndexError):
            continue
        if target or mask or not flags & _RTF_UP or flags & _RTF_REJECT or name in (b"*", b"") or gateway >> 32:
            continue
        # The kernel prints the address as a number of its own byte order.
        shown = socket.inet_ntoa(gateway.to_bytes(4, sys.byteorder)) if gateway > 0 else None
        found.append(Route(os.fsdecode(name), shown, metric))
    return tuple(sorted(found, key=lambda route: route.metric))


def parse_routes6(raw: bytes) -> tuple[Route, ...]:
    """Read the default routes of /proc/net/ipv6_route, the preferred one first."""
    found: list[Route] = []
    for line in raw.split(b"\n"):
        fields = line.split()
        if len(fields) != 10 or fields[0].strip(b"0") or fields[1] != b"00" or fields[9] == b"lo":
            continue
        try:
            gateway, metric, flags = bytes.fromhex(fields[4].decode()), int(fields[5], 16), int(fields[8], 16)
        except ValueError:
            continue
        if len(gateway) == 16 and flags & _RTF_UP and not flags & _RTF_REJECT:
            found.append(Route(os.fsdecode(fields[9]), socket.inet_ntop(socket.AF_INET6, gateway) if any(gateway) else None, metric))
    return tuple(sorted(found, key=lambda route: route.metric))


def parse_addresses6(raw: bytes, device: str) -> list[str]:
    """Read one device's addresses from /proc/net/if_inet6."""
    found: list[str] = []
    for line in raw.split(b"\n"):
        fields = line.split()
        if len(fields) == 6 and fields[5] == os.fsencode(device) and len(fields[0]) == 32:
            try:
                found.append(socket.inet_ntop(socket.AF_INET6, bytes.fromhex(fields[0].decode())))
            except ValueError:
                continue
    return found


def parse_neighbour(raw: bytes, gateway: str, device: str) -> bool | None:
    """Read from /proc/net/arp what the kernel knows of `gateway`: True answered, False did not, None not asked yet."""
    fields = _neighbour(raw, gateway, device)
    try:
        return bool(int(fields[2], 16) & _ATF_COMPLETE) if fields else None
    except ValueError:
        return None


def parse_neighbour_mac(raw: bytes, gateway: str, device: str) -> bytes | None:
    """Read from /proc/net/arp the 6 bytes by which `gateway` answered; None when it did not."""
    fields = _neighbour(raw, gateway, device)
    if not fields or not parse_neighbour(raw, gateway, device):
        return None
    try:
        found = bytes.fromhex(fields[3].replace(b":", b"").decode())
    except ValueError:
        return None
    return found if len(found) == 6 else None


def _neighbour(raw: bytes, gateway: str, device: str) -> list[bytes] | None:
    for line in raw.split(b"\n")[1:]:
        fields = line.split()
        if len(fields) == 6 and fields[0] == gateway.encode() and fields[5] == os.fsencode(device):
            return fields
    return None


def parse_nameservers(text: str) -> tuple[str, ...]:
    """Read the resolvers of a resolv.conf, each once; what is no address is skipped."""
    found: list[str] = []
    for line in text.split("\n"):
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver" and words[1] not in found and _is_address(words[1].partition("%")[0]):
            found.append(words[1])
    return tuple(found[:MOST_NAMESERVERS])


def _is_address(text: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
        return True
    return False


def _read(path: str) -> bytes:
    try:
        return read_bytes(path)
    except OSError:
        return b""


def routes_as_they_are() -> bytes:
    """Give the IPv4 routing table unread: while it is the same, so are the ways out and the addresses behind them."""
    try:
        return _ROUTES.read()
    except OSError:
        return b""


def default_route(device: str | None = None) -> Route | None:
    """Give the preferred default route, of `device` where one is named; IPv4 before IPv6, None when there is none."""
    for route in parse_routes(routes_as_they_are()):
        if device in (None, route.device):
            return route
    for route in parse_routes6(_read("/proc/net/ipv6_route")):
        if device in (None, route.device):
            return route
    if netifaces and not os.access("/proc/net/route", os.R_OK):
        return _netifaces_route(device)
    return None


def gateway_mac(device: str) -> bytes | None:
    """Give the address, 6 bytes, of the gateway behind `device`; None while it did not answer, and where the only one is an IPv6 one."""
    route = default_route(device)
    return parse_neighbour_mac(_read("/proc/net/arp"), route.gateway, device) if route and route.gateway else None


def _netifaces_route(device: str | None) -> Route | None:
    known = netifaces.gateways().get("default", {})
    for family in (socket.AF_INET, socket.AF_INET6):
        if family in known and device in (None, known[family][1]):
            return Route(known[family][1], known[family][0], 0)
    return None


def addresses(device: str, family: socket.AddressFamily, has_netifaces: bool = netifaces is not None) -> list[str]:
    """Give one device's addresses of one family, the kernel's first one first; IPv6 ones without their scope."""
    if has_netifaces:
        try:
            entries = netifaces.ifaddresses(device).get(family, [])
        except ValueError:
            return []  # no such device
        return [entry["addr"].partition("%")[0] for entry in entries if "addr" in entry]
    if family == socket.AF_INET6:
        return parse_addresses6(_read("/proc/net/if_inet6"), device)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        try:
            answer: bytes = fcntl.ioctl(asker, _SIOCGIFADDR, os.fsencode(device)[:15].ljust(40, b"\0"))
        except OSError:
            return []
    return [socket.inet_ntoa(answer[20:24])]


def own_address(device: str, is_ipv6: bool, has_netifaces: bool = netifaces is not None) -> str | None:
    """Give the address a device is known by: the first IPv4 one; for IPv6 the lowest, global before unique local, never link-local."""
    if not is_ipv6:
        return next(iter(addresses(device, socket.AF_INET, has_netifaces)), None)
    packed = [socket.inet_pton(socket.AF_INET6, text) for text in addresses(device, socket.AF_INET6, has_netifaces)]
    routable = [address for address in packed if not (address[0] == 0xFE and address[1] & 0xC0 == 0x80)]
    best = min(routable, key=lambda address: (address[0] >> 5 != 1, address), default=None)
    return socket.inet_ntop(socket.AF_INET6, best) if best else None


def nameservers(files: tuple[str, ...] = RESOLV_FILES) -> tuple[str, ...]:
    """Give the uplink's resolvers: of the first file that names one beyond this box itself, else whatever there is."""
    local: tuple[str, ...] = ()
    for path in files:
        found = parse_nameservers(_read(path).decode("utf-8", "replace"))
        beyond = tuple(server for server in found if not server.startswith("127.") and server != "::1")
        if beyond:
            return beyond
        local = local or found
    return local


def read_path(device: str | None, up: bool, has_netifaces: bool = netifaces is not None) -> Path:
    """Read the way out through `device` as it is now."""
    if device is None:
        return Path(None, False, None, None, nameservers(), None)
    route = default_route(device)
    gateway = route.gateway if route else None
    is_ipv6 = gateway is not None and ":" in gateway
    address = own_address(device, is_ipv6, has_netifaces) or own_address(device, not is_ipv6, has_netifaces)
    known = parse_neighbour(_read("/proc/net/arp"), gateway, device) if gateway and not is_ipv6 else None
    shown = printable(device)
    scoped = f"{gateway}%{shown}" if gateway and gateway.startswith("fe80:") else gateway
    return Path(shown, up, address, scoped, nameservers(), known)
