"""The networks as netifd knows them: which interface leads out, its device and its resolvers, and the subnets of each.

`parse_dump` takes any answer of `network.interface dump`; one that is down has no device, no address and no route in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

MOST_INTERFACES = 64
MOST_NAMESERVERS = 4
WAN = "wan"
_ANYWHERE = ("0.0.0.0", "::")


class Logical(NamedTuple):
    """One interface of netifd's ("wan"). `device` is the one packets pass (pppoe-wan), `lower` the one it stands on (eth1); both as the system names them.

    `gateways` are the next hops of its default routes, IPv4 first; None stands for a route that needs none (PPP).
    `subnets` are its own IPv4 addresses, each with the length of its mask.
    """

    name: str
    is_up: bool
    device: str | None
    lower: str | None
    addresses: tuple[str, ...]
    gateways: tuple[str | None, ...]
    metric: int
    nameservers: tuple[str, ...]
    subnets: tuple[tuple[str, int], ...]


def parse_dump(answer: Mapping[str, object]) -> list[Logical]:
    """Read every interface; what is missing or of the wrong type is left out."""
    return [_logical(row) for row in _rows(answer.get("interface"))[:MOST_INTERFACES] if isinstance(row.get("interface"), str)]


def _logical(row: Mapping[str, object]) -> Logical:
    routes = [route for route in _rows(row.get("route")) if route.get("target") in _ANYWHERE and route.get("mask") == 0]
    routes.sort(key=lambda route: route["target"] != _ANYWHERE[0])
    metric = row.get("metric")
    addresses = [address for kind in ("ipv4-address", "ipv6-address") for address in _texts(one.get("address") for one in _rows(row.get(kind)))]
    lower = _text(row.get("device"))
    return Logical(
        name=str(row["interface"]),
        is_up=row.get("up") is True,
        # An alias ("@wan") names an interface, not a device.
        device=_text(row.get("l3_device")),
        lower=None if lower and lower.startswith("@") else lower,
        addresses=tuple(addresses),
        gateways=tuple(None if _text(route.get("nexthop")) in (None, *_ANYWHERE) else _text(route.get("nexthop")) for route in routes),
        metric=metric if isinstance(metric, int) else 0,
        nameservers=tuple(_texts(_list(row.get("dns-server")))[:MOST_NAMESERVERS]),
        subnets=tuple(subnet for one in _rows(row.get("ipv4-address")) if (subnet := _subnet(one))),
    )


def uplink_of(known: Iterable[Logical], wanted: str) -> Logical | None:
    """Choose what leads out. `wanted`: an interface or a device by name, or "auto": wan while it leads out or nothing else does."""
    by_name = {one.name: one for one in known}
    if wanted != "auto":
        return by_name.get(wanted) or next((one for one in by_name.values() if wanted in (one.device, one.lower)), None)
    leading = sorted((one for one in by_name.values() if one.is_up and one.gateways and one.device), key=lambda one: (one.name != WAN, one.metric))
    return leading[0] if leading else by_name.get(WAN)


def nameservers_by(known: Iterable[Logical], uplink: Logical) -> tuple[str, ...]:
    """Give the resolvers of the uplink, and of the interfaces over the same device (wan6 beside wan), each once."""
    same = [uplink, *(one for one in known if one.name != uplink.name and one.device and one.device == uplink.device)]
    return tuple(dict.fromkeys(server for one in same for server in one.nameservers))[:MOST_NAMESERVERS]


def _subnet(row: Mapping[str, object]) -> tuple[str, int] | None:
    address, mask = _text(row.get("address")), row.get("mask")
    # A mask of 0 would hold everybody's leases.
    return (address, mask) if address and isinstance(mask, int) and not isinstance(mask, bool) and 0 < mask <= 32 else None


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _rows(value: object) -> list[Mapping[str, object]]:
    return [row for row in _list(value) if isinstance(row, Mapping)]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _texts(values: Iterable[object]) -> list[str]:
    return [value for value in values if isinstance(value, str) and value]
