"""Leases this box's DHCP server has given, from dnsmasq's lease file. Counts them; names and MAC addresses are not kept."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping

from agent.errors import Unavailable
from agent.records import Dhcp
from agent.router.text import read_bytes, whole

FILE_BYTES = 4 << 20
# Before this a number is no date: dnsmasq built for boxes without a clock writes durations, and a lease given
# before the clock was set ends in 1970; its holder still has it.
FIRST_DATE = 1_000_000_000


def parse_leases(text: str, wall: float, is_clock_good: bool) -> set[str]:
    """Give the IPv4 addresses in use at `wall` (Unix seconds); with an unsure clock every lease on file counts. Other lines are skipped."""
    found: set[str] = set()
    for line in text.split("\n"):
        fields = line.split(" ")
        if fields[0] == "duid":
            break  # the IPv6 leases follow
        expiry = whole(fields[0])
        if expiry is None or len(fields) < 4:
            continue
        if is_clock_good and FIRST_DATE <= expiry <= wall:
            continue
        try:
            found.add(socket.inet_ntoa(socket.inet_pton(socket.AF_INET, fields[2])))
        except (OSError, ValueError):
            continue
    return found


def read_leases(files: tuple[str, ...], wall: float, is_clock_good: bool) -> Dhcp:
    """Count the leases in use over all of `files` that exist; Unavailable when none does. The pool is not in them."""
    return Dhcp(len(read_addresses(files, wall, is_clock_good)), None)


def read_addresses(files: tuple[str, ...], wall: float, is_clock_good: bool) -> set[str]:
    """Give the IPv4 addresses in use over all of `files` that exist; Unavailable when none does."""
    used: set[str] = set()
    is_server = False
    for path in files:
        try:
            raw = read_bytes(path, FILE_BYTES)
        except OSError:
            continue
        is_server = True
        used |= parse_leases(raw.decode("utf-8", "replace"), wall, is_clock_good)
    if not is_server:
        raise Unavailable(f"no lease file ({', '.join(files)}): this box serves no DHCP by dnsmasq")
    return used


def fullest_ratio(used: Iterable[str], pools: Mapping[str, int | None], subnets: Mapping[str, Iterable[tuple[str, int]]]) -> float | None:
    """Give the leases of the fullest pool over its limit; None where no pool has both a limit and a network that is known.

    `pools` are limits and `subnets` own addresses with the length of their masks, both by the network's name. An address outside all
    of a network's subnets is none of its leases.
    """
    numbers = [number for address in used if (number := _number(address)) is not None]
    ratios = []
    for name, limit in pools.items():
        # Two addresses are of one network where they differ in the bits behind the mask only.
        nets = [(own, 32 - bits) for address, bits in subnets.get(name, ()) if (own := _number(address)) is not None]
        if limit and nets:
            ratios.append(sum(any((number ^ own) >> rest == 0 for own, rest in nets) for number in numbers) / limit)
    return max(ratios, default=None)


def _number(address: str) -> int | None:
    try:
        return int.from_bytes(socket.inet_pton(socket.AF_INET, address), "big")
    except (OSError, ValueError):
        return None
