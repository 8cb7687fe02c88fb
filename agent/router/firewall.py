"""Whether strangers may be let into one of the router's networks, by UCI's `network` and `firewall`. Pure; reads nothing and changes nothing.

The rules are fw4's (openwrt/firewall4 root/usr/share/ucode/fw4.uc, templates/ruleset.uc), and whatever is in doubt counts as open: a rule
narrowed down to some addresses or hours opens the router all the same. What scripts include into fw4 is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from agent.change import Section, Tree
from agent.router.text import printable

LAN = "lan"
LOOPBACK = "loopback"
ANY = "*"
_NO = ("0", "off", "false", "no")
_PORTS = re.compile(r"([0-9]{1,5})(?:[-:]([0-9]{1,5}))?")
# DNS, DHCP, DHCPv6: what a station needs of the router.
_SERVED = frozenset((53, 67, 68, 546, 547))
_BY_PORT = frozenset(("tcp", "udp", "tcpudp", "6", "17"))
# IPv6 does not work without them, and there is nothing behind them.
_HARMLESS = frozenset(("icmp", "icmpv6", "ipv6-icmp", "1", "58"))


def problem(tree: Tree, name: str) -> str:
    """Say why no SSID for strangers may attach to the network of this name; "" when one may."""
    if not name:
        return "router.public_network is not set"
    shown = printable(name)
    network = tree.get("network", {}).get(name)
    if network is None or network.type != "interface" or name == LOOPBACK:
        return f'this box has no network "{shown}"'
    if network.is_on("disabled"):
        return f'network "{shown}" is switched off'
    if name == LAN or _shares_its_device(tree, name):
        return f'network "{shown}" is on the same device as "{LAN}": who is in the one is in the other'
    firewall = _Firewall(tree)
    if not firewall.sections:
        return f'this box has no firewall: whoever is in network "{shown}" reaches all that listens on the router'
    zones = firewall.zones_of(name)
    if not zones:
        return f'network "{shown}" is in no zone of the firewall'
    return next((reason for zone in zones for reason in firewall.openings(zone)), "")


class _Firewall:
    """The sections that are in force."""

    def __init__(self, tree: Tree) -> None:
        self.sections = [one for one in tree.get("firewall", {}).values() if one.value("enabled") not in _NO]
        self._network = tree.get("network", {})
        self._defaults = next(iter(self._of_type("defaults")), Section("defaults", "", {}))

    def zones_of(self, name: str) -> list[Section]:
        """Give every zone that a network's packets may come by: the zones that list it, or its device."""
        network = self._network[name]
        devices = set(_words(network, "device") + _words(network, "ifname")) | {f"br-{name}"}
        return [zone for zone in self._of_type("zone") if name in _words(zone, "network") or any(_fits(device, devices) for device in _words(zone, "device"))]

    def openings(self, zone: Section) -> Iterator[str]:
        """Say each way by which this zone is open to the router or to the LAN."""
        name = zone.value("name") or ""
        shown = f'the firewall\'s zone "{printable(name)}"'
        if self._policy(zone, "input") == "accept":
            yield f"{shown} accepts all input to the router"
        # A zone of one family leaves the other to the defaults.
        if (zone.value("family") or "any") not in ("any", "all", ANY) and self._policy(self._defaults, "input") == "accept":
            yield f"{shown} is for one family only, and the firewall's defaults accept all input to the router"
        # A zone's own policy is for packets between its networks; what leaves for another zone falls through to the defaults.
        if self._policy(self._defaults, "forward") == "accept":
            yield f'the firewall\'s defaults forward what {shown} does not, also to "{LAN}"'
        if LAN in _words(zone, "network") and self._policy(zone, "forward") == "accept":
            yield f'{shown} holds "{LAN}" too, and forwards between its networks'
        into_lan = {one.value("name") for one in self._of_type("zone") if one.value("name") == LAN or LAN in _words(one, "network")} | {LAN, ANY}
        for kind in ("forwarding", "rule", "redirect"):
            for one in self._of_type(kind):
                if one.value("src") in (name, ANY) and (what := _opening(one, into_lan)):
                    called = one.value("name")
                    yield f"{shown}: {kind}{f' {printable(called)!r}' if called else ''} {what}"

    def _of_type(self, kind: str) -> list[Section]:
        return [one for one in self.sections if one.type == kind]

    def _policy(self, section: Section, direction: str) -> str:
        """Give a zone's policy, or the defaults' where it has none; fw4 takes a word's beginning for the word."""
        value = (section.value(direction) or self._defaults.value(direction) or "drop").lower()
        return next((policy for policy in ("accept", "reject", "drop") if policy.startswith(value)), "drop")


def _opening(section: Section, into_lan: set[str | None]) -> str:
    """Say what a forwarding, rule or redirect from the zone opens; "" when that is nothing, or what a station needs."""
    dest = section.value("dest")
    if section.type == "forwarding":
        return f'forwards to "{printable(dest or "")}"' if dest in into_lan else ""
    if section.type == "redirect":
        if (section.value("target") or "dnat").lower().startswith("s"):
            return ""
        # Without a zone, an address may be any zone's; without an address, it is the router itself.
        if section.value("dest_ip") is not None:
            return f'forwards to {printable(section.value("dest_ip") or "")}, which may be in "{LAN}"' if dest is None or dest in into_lan else ""
        return "" if _is_served(section, section.value("dest_port") or section.value("src_dport")) else "opens a port of the router beyond DHCP and DNS"
    if not (section.value("target") or "-").lower().startswith("a"):
        return ""
    if dest is not None:
        return f'forwards to "{printable(dest)}"' if dest in into_lan else ""
    return "" if _is_served(section, section.value("dest_port")) else "accepts input to the router beyond DHCP and DNS"


def _is_served(section: Section, ports: str | None) -> bool:
    """Say whether a rule is for DHCP, DNS or ICMP alone."""
    protocols = {word.lower() for word in _words(section, "proto")} or {"tcpudp"}
    if protocols <= _HARMLESS:
        return True
    if not protocols <= _BY_PORT or not ports:
        return False
    for word in ports.split():
        found = _PORTS.fullmatch(word)
        if found is None or not set(range(int(found[1]), int(found[2] or found[1]) + 1)) <= _SERVED:
            return False
    return True


def _shares_its_device(tree: Tree, name: str) -> bool:
    networks = tree["network"]
    ours, lan = networks[name], networks.get(LAN)
    devices = _words(ours, "device") + _words(ours, "ifname")
    of_lan = [] if lan is None else [*_words(lan, "device"), *_words(lan, "ifname"), f"@{LAN}"]
    return any(device in of_lan for device in devices)


def _fits(pattern: str, devices: set[str]) -> bool:
    """Say whether a zone's device is one of these; it may end in a plus for all names that begin so, and be negated."""
    if pattern.startswith("!"):
        return pattern[1:] not in devices
    return pattern in devices or (pattern.endswith("+") and any(device.startswith(pattern[:-1]) for device in devices))


def _words(section: Section, option: str) -> list[str]:
    return (section.value(option) or "").split()
