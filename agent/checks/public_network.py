"""router.public_network: the network that pushed SSIDs are attached to must be one of this box's."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from agent.checks import openwrt
from agent.errors import Unavailable
from agent.finding import Case, Finding
from agent.router import netifd
from agent.router.text import printable

NAME = "public_network"
LOOPBACK = "loopback"


def check(case: Case) -> list[Finding]:
    """Look for the network among UCI's, by root's facts, and among netifd's."""
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
        return [Finding(NAME, "ok", f'pushed SSIDs are attached to network "{wanted}"')]
    what = f'this box has no network "{wanted}", only {", ".join(known) or "loopback"}: every push that adds an SSID will be refused'
    return [Finding(NAME, "bad", what, _remedy(wanted, known))]


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
