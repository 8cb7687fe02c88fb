"""router.public_network: the network that pushed SSIDs are attached to must be one of this box's, and lead strangers neither to it nor to its LAN."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from agent.checks import openwrt
from agent.errors import Unavailable
from agent.finding import Case, Finding
from agent.router import firewall, netifd
from agent.router.firewall import LOOPBACK
from agent.router.text import printable
from agent.router.uci import Absent, Section, Uci

NAME = "public_network"
_CLOSE = (
    "give it a zone of its own: input REJECT, forward REJECT, one forwarding to wan, and rules for DHCP (udp 67) and DNS (53) only; "
    "see uci show firewall and, by name, uci show network"
)


def check(case: Case, uci: Uci | None = None) -> list[Finding]:
    """Look for the network by root's facts and by netifd; as root, look at its firewall zone as the applier does. `uci`: None for this box's."""
    wanted = case.settings.router.public_network
    if not wanted:
        return [Finding(NAME, "ok", "router.public_network is not set: no push may add an SSID")]
    facts = openwrt.facts(case)
    of_uci = facts.networks if facts else None
    of_netifd = _of_netifd(case)
    if of_uci is None and of_netifd is None:
        return [Finding(NAME, "skipped", f'whether there is a network "{wanted}" is not known: neither root\'s facts nor netifd say')]
    known = sorted({printable(name) for name in (*(of_uci or ()), *(of_netifd or ()))} - {LOOPBACK})
    if wanted in known:
        if reason := _opening(wanted, uci or Uci()):
            return [Finding(NAME, "bad", f"{reason}: every push that adds an SSID will be refused", _CLOSE)]
        return [Finding(NAME, "ok", f'pushed SSIDs are attached to network "{wanted}"')]
    what = f'this box has no network "{wanted}", only {", ".join(known) or "loopback"}: every push that adds an SSID will be refused'
    return [Finding(NAME, "bad", what, _remedy(wanted, known))]


def _opening(wanted: str, uci: Uci) -> str:
    """Say why strangers may not be let into the network; "" when they may, or nobody but root can tell."""
    tree: dict[str, dict[str, Section]] = {}
    for package in ("network", "firewall"):
        try:
            tree[package] = uci.show(package)
        except Absent:
            if package == "network":
                return ""
        except Unavailable:
            return ""
    return firewall.problem(tree, wanted)


def _of_netifd(case: Case) -> list[str] | None:
    bus = openwrt.connect(case)
    try:
        return [logical.name for logical in netifd.parse_dump(bus.call("network.interface", "dump"))]
    except Unavailable:
        return None
    finally:
        bus.close()


def _remedy(wanted: str, known: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(wanted, known, 1, 0.5)
    correct = f'set router.public_network = "{nearest[0]}" in agent.toml' if nearest else "name one of them in agent.toml's router.public_network"
    return f"{correct}, or make the network: uci set network.{wanted}=interface, with its addresses, DHCP and firewall zone"
