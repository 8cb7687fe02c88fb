"""The device behind which the public network lies, and whether this box can say who answers the questions for names that come from there. Used by root only.

Only what this box routes can be sent elsewhere: a flat access point, whose uplink is a port of the same bridge, never has those questions in its hands.
"""

from __future__ import annotations

import os

from agent.change import Tree
from agent.dns import is_device
from agent.router.addresses import parse_routes, parse_routes6
from agent.router.text import printable, read_bytes

NEEDED = {"nft": "nftables", "ip": "iproute2"}
ASKERS = ("nslookup", "busybox")  # the second has the first in it


def of_network(tree: Tree, name: str) -> str:
    """Name the device of one of netifd's networks as UCI has it; "" where it names none, or more than one."""
    network = tree.get("network", {}).get(name)
    if network is None:
        return ""
    if network.value("type") == "bridge":
        return f"br-{name}"  # as it was written before `device` sections
    words = (network.value("device") or network.value("ifname") or "").split()
    if len(words) != 1:
        return ""
    # "@lan": whatever device that network has.
    return of_network({"network": {other: one for other, one in tree["network"].items() if other != name}}, words[0][1:]) if words[0][:1] == "@" else words[0]


def problem(device: str, uplink: str, search: str, interfaces: str = "/sys/class/net", proc_net: str = "/proc/net") -> str:
    """Say why the questions behind a device cannot be sent elsewhere, "" when they can; `uplink`: the device of the way out, as far as it is known."""
    if not is_device(device):
        return f'the public network has no single device of its own that nft would know ("{printable(device)}")'
    for program, package in NEEDED.items():
        if not _is_there(program, search):
            return f"this box has no {program} (package {package})"
    if not any(_is_there(program, search) for program in ASKERS):
        return "this box has no nslookup, by which a resolver is tried (package bind9-dnsutils or busybox)"
    out = {route.device for route in (*parse_routes(_read(proc_net, "route")), *parse_routes6(_read(proc_net, "ipv6_route")))} | {uplink}
    if device in out or out & _ports(interfaces, device):
        return f"{device} leads to the uplink itself: this access point is flat, and its devices ask past it"
    return ""


def problem_of_network(tree: Tree, name: str, uplink: str, search: str, interfaces: str = "/sys/class/net") -> str:
    """Say the same of one of netifd's networks, by its name."""
    if not name:
        return "router.public_network is not set"
    network = tree.get("network", {}).get(name)
    if network is None or network.value("proto") != "static":
        return f'network "{printable(name)}" has no address of this box, which so does not route for it'
    return problem(of_network(tree, name), uplink, search, interfaces)


def has_address(device: str, proc_net: str = "/proc/net") -> bool:
    """Say whether this box is in a device's IPv4 network, so that it can route for it: then the kernel has that network on the device, without a gateway."""
    rows = [line.split() for line in _read(proc_net, "route").decode("ascii", "replace").split("\n")[1:]]
    return any(len(row) > 7 and row[0] == device and row[2] == "00000000" and row[7] != "00000000" for row in rows)


def _is_there(program: str, search: str) -> bool:
    return any(os.access(os.path.join(directory, program), os.X_OK) for directory in search.split(":"))


def _ports(interfaces: str, device: str) -> set[str]:
    try:
        return set(os.listdir(os.path.join(interfaces, device, "brif")))
    except OSError:
        return set()


def _read(proc_net: str, name: str) -> bytes:
    try:
        return read_bytes(os.path.join(proc_net, name))
    except OSError:
        return b""
