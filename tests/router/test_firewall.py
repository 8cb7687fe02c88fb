"""Whether strangers may be let into a network: fw4's rules, one opening at a time, on the firewall that OpenWrt's own guide makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.change import Section
from agent.router import firewall
from agent.router.uci import parse
from tests.fakes.openwrt.board import BOARDS, DEVICES

Made = dict[str, dict[str, Section]]


def section(kind: str, name: str, /, **options: str | tuple[str, ...]) -> Section:
    return Section(kind, name, {option: (value,) if isinstance(value, str) else value for option, value in options.items()})


def guide() -> Made:
    """The guest network of OpenWrt's guide beside its defaults: closed to the router but for DHCP and DNS, and forwarded to wan."""
    network = [
        section("interface", "loopback", device="lo", proto="static"),
        section("interface", "lan", device="br-lan", proto="static"),
        section("interface", "wan", device="eth1", proto="dhcp"),
        section("interface", "guest", device="br-guest", proto="static"),
    ]
    rules = [
        section("defaults", "cfg01", input="REJECT", output="ACCEPT", forward="REJECT"),
        section("zone", "cfg02", name="lan", network="lan", input="ACCEPT", output="ACCEPT", forward="ACCEPT"),
        section("zone", "cfg03", name="wan", network=("wan", "wan6"), input="REJECT", output="ACCEPT", forward="REJECT", masq="1"),
        section("forwarding", "cfg04", src="lan", dest="wan"),
        section("rule", "cfg05", name="Allow-Ping", src="wan", proto="icmp", target="ACCEPT"),
        section("zone", "guest", name="guest", network="guest", input="REJECT", output="ACCEPT", forward="REJECT"),
        section("forwarding", "guest_wan", src="guest", dest="wan"),
        section("rule", "guest_dns", name="Allow-DNS-Guest", src="guest", dest_port="53", proto="tcp udp", target="ACCEPT"),
        section("rule", "guest_dhcp", name="Allow-DHCP-Guest", src="guest", dest_port="67", proto="udp", family="ipv4", target="ACCEPT"),
    ]
    return {"network": {one.name: one for one in network}, "firewall": {one.name: one for one in rules}}


def with_(package: str, name: str, /, **options: str | tuple[str, ...] | None) -> Made:
    """The guide's, with options of one section changed (None: not set)."""
    tree = guide()
    was = tree[package][name]
    kept = {option: values for option, values in was.options.items() if option not in options}
    tree[package][name] = section(was.type, name, **kept, **{option: value for option, value in options.items() if value is not None})
    return tree


def and_(kind: str, /, **options: str | tuple[str, ...]) -> Made:
    """The guide's, with one more section of the firewall's."""
    tree = guide()
    tree["firewall"]["more"] = section(kind, "more", **options)
    return tree


def test_the_guides_guest_network_is_safe() -> None:
    """It has what a station needs, and nothing else."""
    assert firewall.problem(guide(), "guest") == ""


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "router.public_network is not set"),
        ("gest", 'this box has no network "gest"'),
        ("loopback", 'this box has no network "loopback"'),
        ("lan", 'network "lan" is on the same device as "lan": who is in the one is in the other'),
    ],
)
def test_a_name_that_is_no_network_for_strangers_is_said(name: str, reason: str) -> None:
    """Not set, mistyped, or the LAN itself."""
    assert firewall.problem(guide(), name) == reason


OPEN: list[tuple[str, Callable[[], Made]]] = [
    ("accepts all input to the router", lambda: with_("firewall", "guest", input="ACCEPT")),
    ("accepts all input to the router", lambda: with_("firewall", "guest", input="a")),
    ("is in no zone", lambda: with_("firewall", "guest", network="other", device="eth7")),
    ("is in no zone", lambda: with_("firewall", "guest", enabled="0")),
    ("for one family only", lambda: with_("firewall", "cfg01", input="ACCEPT") | {"firewall": _family()}),
    ("the firewall's defaults forward", lambda: with_("firewall", "cfg01", forward="ACCEPT")),
    ('holds "lan" too', lambda: with_("firewall", "guest", network=("guest", "lan"), forward="ACCEPT")),
    ("forwards to", lambda: and_("forwarding", src="guest", dest="lan")),
    ("forwards to", lambda: and_("forwarding", src="*", dest="lan")),
    ("forwards to", lambda: and_("forwarding", src="guest", dest="*")),
    ("forwards to", lambda: and_("rule", src="guest", dest="lan", proto="tcp", dest_port="9100", dest_ip="192.168.1.9", target="ACCEPT")),
    ("forwards to", lambda: and_("rule", src="*", dest="*", target="ACCEPT", name="all")),
    ("beyond DHCP and DNS", lambda: and_("rule", src="guest", dest_port="22", proto="tcp", target="ACCEPT")),
    ("beyond DHCP and DNS", lambda: and_("rule", src="guest", dest_port="53-80", proto="tcp", target="ACCEPT")),
    ("beyond DHCP and DNS", lambda: and_("rule", src="guest", dest_port="53 443", target="ACCEPT")),
    ("beyond DHCP and DNS", lambda: and_("rule", src="guest", dest_port=("53", "443"), target="ACCEPT")),
    ("beyond DHCP and DNS", lambda: and_("rule", src="guest", dest_port="!53", target="ACCEPT")),
    ("beyond DHCP and DNS", lambda: and_("rule", src="guest", proto="all", target="ACCEPT")),
    ("beyond DHCP and DNS", lambda: and_("rule", src="guest", proto="udp", target="ACCEPT")),
    ("beyond DHCP and DNS", lambda: and_("rule", src="guest", proto="icmp tcp", dest_port="80", target="accept")),
    ("beyond DHCP and DNS", lambda: and_("rule", src="guest", proto="!udp", dest_port="53", target="ACCEPT")),
    ("beyond DHCP and DNS", lambda: and_("rule", src="*", src_ip="10.0.0.1", start_time="01:00:00", dest_port="22", target="ACCEPT")),
    ("which may be in", lambda: and_("redirect", src="guest", dest_ip="192.168.1.2", src_dport="80")),
    ("which may be in", lambda: and_("redirect", src="guest", dest="lan", dest_ip="192.168.1.2", src_dport="80", target="DNAT")),
    ("opens a port of the router", lambda: and_("redirect", src="guest", src_dport="80", dest_port="8080", target="DNAT")),
    ("same device", lambda: with_("network", "guest", device="br-lan")),
    ("same device", lambda: with_("network", "guest", device="@lan")),
    ("switched off", lambda: with_("network", "guest", disabled="1")),
    ("no firewall", lambda: guide() | {"firewall": {}}),
]


def _family() -> dict[str, Section]:
    rules = with_("firewall", "guest", family="ipv4")["firewall"]
    return rules | {"cfg01": section("defaults", "cfg01", input="ACCEPT", forward="REJECT")}


@pytest.mark.parametrize(("reason", "made"), OPEN, ids=[f"{number}-{reason.replace(' ', '-')}" for number, (reason, _) in enumerate(OPEN)])
def test_each_opening_is_found(reason: str, made: Callable[[], Made]) -> None:
    """To the router beyond DHCP and DNS, or to the LAN, by whichever section."""
    assert reason in firewall.problem(made(), "guest")


@pytest.mark.parametrize(
    "made",
    [
        lambda: with_("firewall", "guest", input="drop", forward=None),
        lambda: with_("firewall", "guest", network=None, device="br-guest"),
        lambda: with_("firewall", "guest", network=None, device="br-g+"),
        lambda: and_("forwarding", src="guest", dest="lan", enabled="0"),
        lambda: and_("forwarding", src="lan", dest="guest"),
        lambda: and_("rule", src="guest", dest_port="22", target="REJECT"),
        lambda: and_("rule", src="guest", dest_port="22"),
        lambda: and_("rule", src="lan", dest_port="22", target="ACCEPT"),
        lambda: and_("rule", dest="lan", target="ACCEPT"),
        lambda: and_("rule", src="guest", proto="icmp", icmp_type="echo-request", target="ACCEPT"),
        lambda: and_("rule", src="guest", proto=("icmp", "ipv6-icmp"), family="ipv6", target="ACCEPT"),
        lambda: and_("rule", src="guest", proto="udp", dest_port="67-68 547", target="ACCEPT"),
        lambda: and_("rule", src="guest", dest="wan", proto="all", target="ACCEPT"),
        lambda: and_("redirect", src="guest", src_dport="53", proto="tcp udp", target="DNAT"),
        lambda: and_("redirect", src="wan", dest="lan", dest_ip="192.168.1.2", src_dport="80", target="DNAT"),
        lambda: and_("redirect", src="guest", dest="wan", src_dip="1.2.3.4", target="SNAT"),
    ],
)
def test_what_opens_nothing_is_no_fault(made: Callable[[], Made]) -> None:
    """Stricter than the guide, another zone's matter, switched off, or what stations need."""
    assert firewall.problem(made(), "guest") == ""


def test_a_zone_without_policies_has_the_defaults() -> None:
    """As fw4 takes it; without a defaults section everything is dropped."""
    assert "accepts all input" in firewall.problem(with_("firewall", "cfg01", input="ACCEPT") | {"firewall": _silent("ACCEPT")}, "guest")
    assert firewall.problem(guide() | {"firewall": _silent("REJECT")}, "guest") == ""


def _silent(policy: str) -> dict[str, Section]:
    rules = with_("firewall", "guest", input=None)["firewall"]
    return rules | {"cfg01": section("defaults", "cfg01", input=policy, forward="REJECT")}


def test_every_zone_of_a_network_counts() -> None:
    """The first of two decides at fw4: neither may be open."""
    assert "accepts all input" in firewall.problem(and_("zone", name="second", network="guest", input="ACCEPT", forward="REJECT"), "guest")


def test_the_name_of_a_rule_stays_in_its_line() -> None:
    """Whatever a technician called it."""
    reason = firewall.problem(and_("rule", name="a\nb\x1b[2J", src="guest", dest_port="22", target="ACCEPT"), "guest")
    assert reason.isprintable()


@pytest.mark.parametrize("board", BOARDS)
def test_no_captured_board_offers_its_lan_or_wan(board: str) -> None:
    """The boards of the devices, as their owners set them up."""
    tree = {package: parse((DEVICES / board / "uci" / f"{package}.txt").read_text()) for package in ("network", "firewall") if _has(board, package)}
    assert firewall.problem(tree, "lan") != ""


def _has(board: str, package: str) -> bool:
    return Path(DEVICES / board / "uci" / f"{package}.txt").exists()


def test_the_guest_network_of_a_captured_board_is_safe() -> None:
    """mt7621-dsa, 24.10: a zone of its own."""
    tree = {package: parse((DEVICES / "mt7621-dsa-24.10/uci" / f"{package}.txt").read_text()) for package in ("network", "firewall")}
    assert firewall.problem(tree, "guest") == ""
