"""agent/sections/dns.py: add, change, remove, no change; which resolvers a document may name, and what becomes of everything else."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.change import Change, Edit, Section, Tree, edited
from agent.sections import dns
from tests.documents import BOARDS, facts_of, tree_of, with_section

TREE = tree_of("rig-x86")
FACTS = facts_of(TREE)
CLOUDFLARE = " ".join(dns.FILTERS["cloudflare-family"])


def after(part: object, tree: Tree = TREE) -> dict[str, dict[str, Section]]:
    return edited(tree, [edit for change in dns.changes(part, tree, FACTS) for edit in change.edits])


def rows(changes: list[Change]) -> list[tuple[object, ...]]:
    return [change[:4] for change in changes]


def test_add() -> None:
    """A filter is written down with its addresses, so that what the box does never hangs on a list elsewhere."""
    (change,) = dns.changes({"filter": "cloudflare-family"}, TREE, FACTS)
    assert change[:4] == ("dns.filter", None, "cloudflare-family", "live")
    assert change.edits == (
        Edit("rwagent", "dns", type="dns"),
        Edit("rwagent", "dns", "filter", "cloudflare-family"),
        Edit("rwagent", "dns", "servers", CLOUDFLARE),
    )


def test_change() -> None:
    """Another filter takes the place of the first; given resolvers take its name away too."""
    tree = after({"filter": "cloudflare-family"})
    assert rows(dns.changes({"filter": "adguard-family"}, tree, FACTS)) == [("dns.filter", "cloudflare-family", "adguard-family", "live")]
    given_ones = {"servers": ["10.9.0.53", "FD00:0::53"]}
    assert rows(dns.changes(given_ones, tree, FACTS)) == [
        ("dns.filter", "cloudflare-family", None, "live"),
        ("dns.servers", None, ["10.9.0.53", "fd00::53"], "live"),
    ]
    assert after(given_ones, tree)["rwagent"]["dns"].options == {"servers": ("10.9.0.53 fd00::53",)}


def test_remove() -> None:
    """What is no longer named is gone as if it had never been."""
    tree = after({"filter": "cloudflare-family"})
    assert rows(dns.changes(None, tree, FACTS)) == [("dns.filter", "cloudflare-family", None, "live")]
    assert "dns" not in after(None, tree)["rwagent"]


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("part", [None, {"filter": "opendns-familyshield"}, {"servers": ["10.9.0.53", "FD00:0::53"]}])
def test_no_change(board: str, part: object) -> None:
    """What is so already changes nothing, however an address is written."""
    tree = tree_of(board)
    tree = edited(tree, [edit for change in dns.changes(part, tree, FACTS) for edit in change.edits])
    assert dns.changes(part, tree, FACTS) == []
    assert dns.changes(dns.current(tree, FACTS) or None, tree, FACTS) == []


def test_current_says_what_a_document_would() -> None:
    """A filter is told by its name, given resolvers by their addresses."""
    assert dns.current(TREE, FACTS) == {}
    assert dns.current(after({"filter": "adguard-family"}), FACTS) == {"filter": "adguard-family"}
    assert dns.current(after({"servers": ["10.9.0.53"]}), FACTS) == {"servers": ["10.9.0.53"]}


def test_a_filter_whose_addresses_have_changed_since_is_told_by_them() -> None:
    """The same filter under other addresses than when it was pushed is a change, and is told as one of addresses."""
    tree = with_section(TREE, "rwagent", "dns", "dns", filter="cloudflare-family", servers="1.1.1.99")
    (change,) = dns.changes({"filter": "cloudflare-family"}, tree, FACTS)
    assert change[:3] == ("dns.servers", ["1.1.1.99"], CLOUDFLARE.split())
    assert edited(tree, change.edits)["rwagent"]["dns"].value("servers") == CLOUDFLARE


@pytest.mark.parametrize("options", [{}, {"filter": "cloudflare-family"}, {"servers": "1.1.1.3", "more": "x"}])
def test_what_somebody_made_of_our_section_is_put_right(options: dict[str, str]) -> None:
    """Whatever stands in the section, the document is what is so afterwards, with or without resolvers."""
    tree = with_section(TREE, "rwagent", "dns", "dns", **options)
    part = {"filter": "cloudflare-family"}
    assert dns.changes(part, after(part, tree), FACTS) == []
    assert "dns" not in after(None, tree)["rwagent"]


@pytest.mark.parametrize("name", dns.FILTERS)
def test_each_filter_has_two_addresses_of_each_family(name: str) -> None:
    """Devices with IPv4 and with IPv6 find a resolver of every filter, and each could be given by its addresses too."""
    addresses = [ipaddress.ip_address(address) for address in dns.FILTERS[name]]
    assert [address.version for address in addresses] == [4, 4, 6, 6]
    assert [str(address) for address in addresses] == list(dns.FILTERS[name])
    assert dns.check({"servers": list(dns.FILTERS[name])}, FACTS) == []


@pytest.mark.parametrize("part", [{"filter": "adguard-family"}, {"servers": ["10.9.0.53"]}, {"servers": ["2001:db8::53", "192.168.1.1"]}, None])
def test_right(part: object) -> None:
    """A filter of the list, or up to four addresses, also the city's own private ones."""
    assert dns.check(part, FACTS) == []


@pytest.mark.parametrize(
    ("part", "path", "code"),
    [
        ([], "dns", "type"),
        ({}, "dns.filter", "required"),
        ({"filter": "cloudflare-familiy"}, "dns.filter", "choice"),
        ({"filter": ["cloudflare-family"]}, "dns.filter", "type"),
        ({"filter": "adguard-family", "servers": ["1.1.1.3"]}, "dns.servers", "conflict"),
        ({"servers": []}, "dns.servers", "length"),
        ({"servers": ["10.9.0.53", "10.9.0.54", "10.9.0.55", "10.9.0.56", "10.9.0.57"]}, "dns.servers", "length"),
        ({"servers": "1.1.1.3"}, "dns.servers", "type"),
        ({"servers": [16843011]}, "dns.servers[0]", "type"),
        ({"servers": ["1.1.1.3", "1.1.1.3"]}, "dns.servers[1]", "duplicate"),
        ({"servers": ["fd00::53", "FD00:0::53"]}, "dns.servers[1]", "duplicate"),
        ({"upstream": "1.1.1.3"}, "dns.upstream", "unknown"),
    ],
)
def test_wrong(part: object, path: str, code: str) -> None:
    """What is wrong is said where it stands."""
    assert (path, code) in [(fault.path, fault.code) for fault in dns.check(part, FACTS)]


@pytest.mark.parametrize(
    "address",
    [
        *("", "1.1.1", "1.1.1.256", "01.1.1.3", "1.1.1.3 ", "1.1.1.3\n", "1.1.1.3/32", "one.one.one.one", "fe80::1%br-lan", "::ffff:1.1.1.3"),
        *("0.0.0.0", "0.1.2.3", "127.0.0.1", "169.254.1.1", "224.0.0.251", "255.255.255.255", "240.0.0.1", "::", "::1", "fe80::1", "fec0::1", "ff02::fb"),
        *("::1.1.1.3", "64:ff9b::101:103", "4000::1"),
        *("1.1.1.3; add rule", 'server 1.1.1.3" drop', "$(reboot)", "\u0661.1.1.3", "1" * 5000, "\ud800"),
    ],
)
def test_what_is_no_resolver_of_a_router_is_refused(address: str) -> None:
    """No name, no range, no address that leads nowhere from the public network, and nothing that only looks like one."""
    (found,) = dns.check({"servers": [address]}, FACTS)
    assert (found.path, found.code) == ("dns.servers[0]", "address")
    assert found.message.isprintable() and len(found.message) < 300


def test_a_box_that_cannot_carry_it_out_says_why() -> None:
    """Whatever the part says, a box that cannot do it refuses with its reason; without the part there is nothing to refuse."""
    facts = FACTS._replace(dns_problem="br-lan is the way out itself")
    (found,) = dns.check({"filter": "adguard-family"}, facts)
    assert (found.path, found.code) == ("dns", "unsupported") and "br-lan is the way out itself" in found.message
    assert dns.check(None, facts) == []


JSON = st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20), lambda inner: st.lists(inner, max_size=3), max_leaves=6)


@given(st.one_of(JSON, st.dictionaries(st.sampled_from(("filter", "servers", "x")), JSON), st.fixed_dictionaries({"servers": st.lists(st.text(max_size=50))})))
def test_any_value_is_checked_and_what_passes_is_carried_out(part: object) -> None:
    """The check raises for nothing, and whatever it lets through becomes addresses and nothing else."""
    if dns.check(part, FACTS) == [] and part is not None:
        servers = after(part)["rwagent"]["dns"].value("servers") or ""
        assert servers and all(ipaddress.ip_address(server) for server in servers.split())
