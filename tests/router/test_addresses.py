"""The way out, with netifaces and without, beside `ip`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.router.addresses import (
    Route,
    nameservers,
    parse_addresses6,
    parse_nameservers,
    parse_neighbour,
    parse_neighbour_mac,
    parse_routes,
    parse_routes6,
)
from tests.fakes.netns import Netns

READ = """
import json
from agent.router import addresses
route = addresses.default_route({device!r})
device = route.device if route else {device!r}
print(json.dumps([addresses.read_path(device, True, has)._asdict() for has in (True, False)]))
"""


def both(space: Netns, device: str | None = None) -> dict[str, Any]:
    """Read the way out both ways, which must agree."""
    with_netifaces, without = space.python(READ.format(device=device))
    assert with_netifaces == without
    answer: dict[str, Any] = without
    return answer


def make_link(space: Netns, name: str, *addresses: str) -> None:
    """Make one end of a cable with addresses."""
    space.ip("link", "add", name, "type", "veth", "peer", "name", f"{name}far")
    space.ip("link", "set", name, "up")
    space.ip("link", "set", f"{name}far", "up")
    for address in addresses:
        space.ip("addr", "add", address, "dev", name, *(["nodad"] if ":" in address else []))


@pytest.mark.needs("netns")
def test_path_equals_ip() -> None:
    """Device, gateway and address as `ip -j route` and `ip -j addr` have them; the lower metric wins."""
    with Netns() as space:
        make_link(space, "wan", "10.9.0.2/24", "10.9.0.3/24", "10.7.0.2/24")
        make_link(space, "lte", "10.8.0.2/24")
        space.ip("route", "add", "default", "via", "10.8.0.1", "metric", "20")
        space.ip("route", "add", "default", "via", "10.9.0.1", "metric", "10")
        found = both(space)
        route = min(space.ip_json("route", "show", "default"), key=lambda entry: entry["metric"])
        address = space.ip_json("-4", "addr", "show", "dev", "wan")[0]["addr_info"][0]["local"]
        assert (found["device"], found["gateway"], found["address"]) == (route["dev"], route["gateway"], address)


@pytest.mark.needs("netns")
def test_named_device_has_its_own_gateway() -> None:
    """A named uplink is read even when another one is preferred."""
    with Netns() as space:
        make_link(space, "wan", "10.9.0.2/24")
        make_link(space, "lte", "10.8.0.2/24")
        space.ip("route", "add", "default", "via", "10.9.0.1", "metric", "10")
        space.ip("route", "add", "default", "via", "10.8.0.1", "metric", "20")
        assert both(space, "lte")["gateway"] == "10.8.0.1"


@pytest.mark.needs("netns")
def test_point_to_point_uplink_has_no_gateway() -> None:
    """PPPoE and LTE: a default route through a device alone."""
    with Netns() as space:
        make_link(space, "ppp", "10.6.0.2/32")
        space.ip("route", "add", "default", "dev", "ppp")
        found = both(space)
        assert (found["device"], found["gateway"], found["address"]) == ("ppp", None, "10.6.0.2")


@pytest.mark.needs("netns")
def test_half_the_internet_is_no_default_route() -> None:
    """A VPN's 0.0.0.0/1 does not make the tunnel the uplink."""
    with Netns() as space:
        make_link(space, "tun", "10.5.0.2/24")
        make_link(space, "wan", "10.9.0.2/24")
        space.ip("route", "add", "0.0.0.0/1", "via", "10.5.0.1")
        space.ip("route", "add", "default", "via", "10.9.0.1", "metric", "9")
        assert both(space)["device"] == "wan"


@pytest.mark.needs("netns")
def test_blackholed_default_is_none() -> None:
    """A route that refuses leads nowhere."""
    with Netns() as space:
        space.ip("link", "set", "lo", "up")
        space.ip("route", "add", "blackhole", "default")
        assert space.python("from agent.router import addresses; print('null' if addresses.default_route() is None else 1)") is None


@pytest.mark.needs("netns")
def test_ipv6_only_uplink() -> None:
    """A link-local gateway carries its scope, the address is the global one before the unique local."""
    with Netns() as space:
        make_link(space, "wan", "fd01::2/64", "2001:db8::9/64", "2001:db8::5/64")
        space.ip("-6", "route", "add", "default", "via", "fe80::1", "dev", "wan")
        found = both(space)
        assert (found["device"], found["gateway"], found["address"], found["has_neighbour"]) == ("wan", "fe80::1%wan", "2001:db8::5", None)


@pytest.mark.needs("netns")
def test_gateway_in_the_neighbour_table() -> None:
    """True when it answered, False when it did not, None before it was asked."""
    with Netns() as space:
        make_link(space, "wan", "10.9.0.2/24")
        space.ip("route", "add", "default", "via", "10.9.0.1")
        assert both(space)["has_neighbour"] is None
        space.ip("neigh", "add", "10.9.0.1", "lladdr", "02:00:00:00:00:01", "dev", "wan", "nud", "reachable")
        assert both(space)["has_neighbour"] is True
        space.ip("neigh", "replace", "10.9.0.1", "dev", "wan", "nud", "failed")
        assert both(space)["has_neighbour"] in (False, None)


@pytest.mark.needs("netns")
def test_hostile_device_name() -> None:
    """An uplink of foreign bytes is found, and named by escapes."""
    with Netns() as space:
        space.ip("link", "add", "name", b"w\xff\"'", "type", "bridge")
        space.ip("link", "set", "dev", b"w\xff\"'", "up")
        space.ip("addr", "add", "10.9.0.2/24", "dev", b"w\xff\"'")
        space.ip("route", "add", "default", "via", "10.9.0.1", "dev", b"w\xff\"'")
        device = os.fsdecode(b"w\xff\"'")
        source = READ.format(device=device).replace("(True, False)", "(False,)")
        found = space.python(source)[0]
        assert (found["device"], found["address"], found["gateway"]) == ("w\\xff\"'", "10.9.0.2", "10.9.0.1")


@pytest.mark.needs("netns")
def test_no_address_no_route() -> None:
    """A device with nothing has nothing; no device at all is no error either."""
    with Netns() as space:
        make_link(space, "wan")
        found = both(space, "wan")
        assert (found["address"], found["gateway"]) == (None, None)
        assert both(space, "nosuch")["address"] is None


def test_route_table_is_read_in_the_machines_byte_order() -> None:
    """/proc/net/route prints addresses as host integers."""
    word = int.from_bytes(bytes((192, 0, 2, 1)), sys.byteorder)
    text = f"Iface\tDestination\nwan\t00000000\t{word:08X}\t0003\t0\t0\t7\t00000000\t0\t0\t0   \n".encode()
    assert parse_routes(text) == (Route("wan", "192.0.2.1", 7),)


def test_arp_flags() -> None:
    """0x2 is complete, 0x0 is failed, another device's entry is none."""
    table = b"IP address HW\n192.0.2.1 0x1 0x2 02:00:00:00:00:01 * wan\n192.0.2.2 0x1 0x0 00:00:00:00:00:00 * wan\n"
    assert [parse_neighbour(table, g, d) for g, d in (("192.0.2.1", "wan"), ("192.0.2.2", "wan"), ("192.0.2.1", "lan"))] == [True, False, None]


def test_address_of_the_gateway_that_answered() -> None:
    """Six bytes; of one that did not answer, of another device and of one that is no Ethernet address there is none."""
    table = b"IP address HW\n192.0.2.1 0x1 0x2 02:00:00:00:00:01 * wan\n192.0.2.2 0x1 0x0 00:00:00:00:00:00 * wan\n192.0.2.3 0x18 0x2 02:00:zz * wan\n"
    assert parse_neighbour_mac(table, "192.0.2.1", "wan") == bytes.fromhex("020000000001")
    assert [parse_neighbour_mac(table, g, d) for g, d in (("192.0.2.2", "wan"), ("192.0.2.3", "wan"), ("192.0.2.1", "lan"))] == [None, None, None]


def test_resolv_conf() -> None:
    """Addresses of both families, each once, at most four; everything else is skipped."""
    text = "# Interface wan\nnameserver 192.0.2.53\nnameserver 192.0.2.53\nnameserver evil;id\nsearch lan\n"
    text += "nameserver 2001:db8::1\noptions x\n nameserver fe80::1%wan # ours\nnameserver 1\n"
    assert parse_nameservers(text) == ("192.0.2.53", "2001:db8::1", "fe80::1%wan")


def test_resolver_of_the_uplink_before_the_box_itself(tmp_path: Path) -> None:
    """A box that resolves for itself names 127.0.0.1 in one file and the uplink's resolver in another."""
    own, uplink = tmp_path / "resolv.conf", tmp_path / "resolv.conf.auto"
    own.write_text("nameserver 127.0.0.1\nnameserver ::1\n")
    assert nameservers((str(uplink), str(own))) == ("127.0.0.1", "::1")
    uplink.write_text("nameserver 192.0.2.53\n")
    assert nameservers((str(own), str(uplink))) == ("192.0.2.53",)


@given(st.binary(max_size=300) | st.text(alphabet="wan\t 01Ff_-:x\n", max_size=300).map(str.encode))
def test_no_table_breaks_a_parser(raw: bytes) -> None:
    """Whatever /proc holds, plain values come back."""
    parse_routes(b"\n" + raw)
    parse_routes6(raw)
    parse_addresses6(raw, "wan")
    parse_neighbour(b"\n" + raw, "192.0.2.1", "wan")


@given(st.text())
def test_no_resolv_conf_breaks_the_parser(text: str) -> None:
    """Whatever stands in the file, at most four addresses come back."""
    assert len(parse_nameservers(text)) <= 4


FORMS = st.lists(st.sampled_from(["wan", "00000000", "0102A8C0", "FFFFFFFFFFFF", "-1", "0003", "0", "x", "", "\u00e9"]), min_size=6, max_size=12)


@given(FORMS)
def test_no_route_line_breaks_the_parser(fields: list[str]) -> None:
    """Lines of the right form with wrong figures are skipped or read."""
    parse_routes(b"\n" + "\t".join(fields).encode())
    parse_routes6(" ".join(fields).encode())
