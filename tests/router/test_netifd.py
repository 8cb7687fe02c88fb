"""netifd's dump becomes the way out: which interface, its device, its resolvers."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent.router.netifd import nameservers_by, parse_dump, uplink_of


def row(name: str, **more: Any) -> dict[str, Any]:
    """An interface as netifd shows it while it is up."""
    return {"interface": name, "up": True, "l3_device": f"dev-{name}", "device": f"dev-{name}", "metric": 0, "route": [], "dns-server": []} | more


def default(nexthop: str = "192.0.2.1", target: str = "0.0.0.0") -> dict[str, Any]:
    """A default route."""
    return {"target": target, "mask": 0, "nexthop": nexthop, "source": "192.0.2.19/32"}


def chosen(*rows: dict[str, Any], wanted: str = "auto") -> str | None:
    """Name the interface that leads out."""
    uplink = uplink_of(parse_dump({"interface": list(rows)}), wanted)
    return uplink.name if uplink else None


def test_an_interface_that_is_up_is_read_whole() -> None:
    """Device, address, gateway and resolvers come from where netifd has them."""
    address = [{"address": "192.0.2.19", "mask": 24}]
    (wan,) = parse_dump(
        {"interface": [row("wan", l3_device="pppoe-wan", device="eth1", route=[default()], **{"ipv4-address": address, "dns-server": ["192.0.2.21"]})]}
    )
    assert (wan.device, wan.lower, wan.addresses, wan.gateways, wan.nameservers) == ("pppoe-wan", "eth1", ("192.0.2.19",), ("192.0.2.1",), ("192.0.2.21",))


def test_an_interface_that_is_down_has_a_device_to_be_named_by_and_nothing_else() -> None:
    """While it is down netifd leaves out l3_device, addresses and routes."""
    (wan,) = parse_dump({"interface": [{"interface": "wan", "up": False, "pending": False, "proto": "dhcp", "device": "eth1", "data": {}}]})
    assert (wan.is_up, wan.device, wan.lower, wan.addresses, wan.gateways) == (False, None, "eth1", (), ())


def test_wan_leads_out_before_any_other_with_a_default_route() -> None:
    """A second way out with a smaller metric does not take wan's place while wan works."""
    assert chosen(row("wwan", route=[default()]), row("wan", route=[default()], metric=10)) == "wan"


def test_another_way_out_takes_over_while_wan_is_down() -> None:
    """The mobile modem is the uplink when the cable is pulled."""
    assert chosen(row("wan", up=False), row("wwan", route=[default()])) == "wwan"


def test_wan_is_missed_when_nothing_leads_out() -> None:
    """Without any default route the uplink is still wan, as down."""
    assert chosen(row("lan"), row("wan", up=False)) == "wan"


def test_a_flat_access_point_goes_out_by_its_lan() -> None:
    """A box without wan, behind the provider's router."""
    assert chosen(row("loopback"), row("lan", route=[default()])) == "lan"


def test_nothing_leads_out_of_a_box_without_routes() -> None:
    """No wan and no default route: no uplink."""
    assert chosen(row("lan"), row("loopback")) is None


def test_the_settings_may_name_the_interface_or_its_device() -> None:
    """router.uplink speaks netifd's names and the kernel's."""
    rows = (row("wan", route=[default()]), row("hotspot", device="eth9", l3_device="eth9.5"))
    assert [chosen(*rows, wanted=name) for name in ("hotspot", "eth9", "eth9.5", "nosuch")] == ["hotspot", "hotspot", "hotspot", None]


def test_the_resolvers_of_wan6_count_when_it_stands_on_the_same_device() -> None:
    """Both families' resolvers, each once, and not those of another line."""
    known = parse_dump(
        {
            "interface": [
                row("wan", l3_device="eth1", route=[default()], **{"dns-server": ["192.0.2.21"]}),
                row("wan6", l3_device="eth1", **{"dns-server": ["2001:db8::53", "192.0.2.21"]}),
                row("vpn", l3_device="tun0", **{"dns-server": ["198.51.100.1"]}),
            ]
        }
    )
    uplink = uplink_of(known, "auto")
    assert uplink is not None
    assert nameservers_by(known, uplink) == ("192.0.2.21", "2001:db8::53")


def test_a_route_that_needs_no_next_hop_leads_out_too() -> None:
    """A point-to-point link's default route."""
    (wan,) = parse_dump({"interface": [row("wan", route=[default("0.0.0.0")])]})
    assert (chosen(row("wan", route=[default("0.0.0.0")])), wan.gateways) == ("wan", (None,))


def test_an_ipv4_gateway_comes_first() -> None:
    """An interface with both families is known by its IPv4 gateway."""
    (wan,) = parse_dump({"interface": [row("wan", route=[default("fe80::1", "::"), default()])]})
    assert wan.gateways == ("192.0.2.1", "fe80::1")


def test_an_alias_is_no_device() -> None:
    """wan6 over "@wan" names an interface."""
    (wan6,) = parse_dump({"interface": [row("wan6", device="@wan")]})
    assert wan6.lower is None


def test_each_network_has_its_own_subnets() -> None:
    """Every IPv4 address with its mask; what is none is left out, above all a mask that holds everybody."""
    masks: list[Any] = [24, 0, 33, -1, True, None, "24"]
    told = [{"address": "10.0.0.1", "mask": mask} for mask in masks] + [{"mask": 24}, {"address": "203.0.113.4", "mask": 32}]
    (lan,) = parse_dump({"interface": [row("lan", **{"ipv4-address": told, "ipv6-address": [{"address": "fd00::1", "mask": 24}]})]})
    assert lan.subnets == (("10.0.0.1", 24), ("203.0.113.4", 32))


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ("interface", "up", "l3_device", "device", "metric", "route", "target", "mask", "nexthop", "dns-server", "ipv4-address", "address")
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=30,
)


@given(st.dictionaries(st.just("interface"), json_like))
def test_whatever_netifd_says_is_survived(answer: dict[str, Any]) -> None:
    """Any shape of answer is read without an exception, and a choice is made of what is left."""
    known = parse_dump(answer)
    uplink = uplink_of(known, "auto")
    assert uplink is None or uplink in known
