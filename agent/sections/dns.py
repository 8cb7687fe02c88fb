"""`dns`: who answers the names that devices of the public network ask for: a family filter of a closed list, or given resolvers.

Whomever a device asks by port 53, these answer; those of one family share the questions. Of the list each address is as its operator publishes it,
and all four stand together in AdGuard's "Known DNS Providers" (adguard-dns.io/kb/general/dns-providers):
  cloudflare-family       1.1.1.1 for Families, malware and adult content   developers.cloudflare.com/1.1.1.1/ip-addresses
  cleanbrowsing-family    Family Filter                                     cleanbrowsing.org/filters
  adguard-family          Family protection                                 adguard-dns.io/en/public-dns.html
  opendns-familyshield    FamilyShield                                      opendns.com/setupguide/#familyshield
"""

from __future__ import annotations

import ipaddress

from agent.change import Change, Edit, Facts, Fault, Tree
from agent.checked import Check, choice, fault, kind, members, shown
from agent.owned import PACKAGE

NAME = "dns"
FILTERS = {
    "cloudflare-family": ("1.1.1.3", "1.0.0.3", "2606:4700:4700::1113", "2606:4700:4700::1003"),
    "cleanbrowsing-family": ("185.228.168.168", "185.228.169.168", "2a0d:2a00:1::", "2a0d:2a00:2::"),
    "adguard-family": ("94.140.14.15", "94.140.15.16", "2a10:50c0::bad1:ff", "2a10:50c0::bad2:ff"),
    "opendns-familyshield": ("208.67.222.123", "208.67.220.123", "2620:119:35::123", "2620:119:53::123"),
}
MOST = 4
# What is routed at all: global unicast and unique local addresses (RFC 4291, RFC 4193). All else of IPv6 is one box's, one link's, a group's or nobody's.
ROUTED6 = (ipaddress.IPv6Network("2000::/3"), ipaddress.IPv6Network("fc00::/7"))
LONGEST = 45  # characters of an address
ADDRESS = "the address of a resolver, such as 1.1.1.3 or 2606:4700:4700::1113"


def check(part: object, facts: Facts) -> list[Fault]:
    """Give everything that is wrong with this part of a document."""
    if part is None:
        return []
    if facts.dns_problem:
        return [Fault(NAME, "unsupported", f"{NAME} cannot be carried out by this access point: {facts.dns_problem}")]
    checks: dict[str, Check] = {"filter": choice(*FILTERS), "servers": _servers}
    faults = members(NAME, part, checks)
    if isinstance(part, dict) and not part.keys() & checks.keys():
        faults.append(Fault(f"{NAME}.filter", "required", f"{NAME}.filter is missing, expected one of {', '.join(FILTERS)}, or {NAME}.servers"))
    elif isinstance(part, dict) and checks.keys() <= part.keys():
        faults.append(fault(f"{NAME}.servers", "conflict", f"set beside {NAME}.filter", "one of the two"))
    return faults


def changes(part: object, tree: Tree, facts: Facts) -> list[Change]:
    """Give what it takes to have names answered as this part, which has passed the check, says."""
    there, wanted = tree.get(PACKAGE, {}).get(NAME), _wanted(part)
    stands, edits = _standing(tree), []
    if there is not None and (not wanted or there.type != NAME):
        edits.append(Edit(PACKAGE, NAME))
    if wanted and (there is None or there.type != NAME):
        edits.append(Edit(PACKAGE, NAME, type=NAME))
    kept = stands if there is not None and there.type == NAME else {}
    edits += [Edit(PACKAGE, NAME, option, wanted.get(option)) for option in (kept | wanted if wanted else ()) if kept.get(option) != wanted.get(option)]
    before, after = _said(stands), _said(wanted)
    rows = [(f"{NAME}.{member}", before.get(member), after.get(member)) for member in ("filter", "servers") if before.get(member) != after.get(member)]
    # The same filter under other addresses than when it was pushed: the list has changed with the agent.
    rows = rows or [(f"{NAME}.servers", stands.get("servers", "").split(), wanted.get("servers", "").split())]
    # One step: half of it would be another resolver.
    return [Change(path, was, will, "live", () if number else tuple(edits)) for number, (path, was, will) in enumerate(rows)] if edits else []


def current(tree: Tree, facts: Facts) -> dict[str, object]:
    """Give who answers, as a document would say it."""
    return _said(_standing(tree))


def _standing(tree: Tree) -> dict[str, str]:
    section = tree.get(PACKAGE, {}).get(NAME)
    return {option: " ".join(values) for option, values in section.options.items()} if section is not None else {}


def _wanted(part: object) -> dict[str, str]:
    if not isinstance(part, dict):
        return {}
    if "filter" in part:
        return {"filter": part["filter"], "servers": " ".join(FILTERS[part["filter"]])}
    return {"servers": " ".join(str(ipaddress.ip_address(address)) for address in part["servers"])}


def _said(options: dict[str, str]) -> dict[str, object]:
    if "filter" in options:
        return {"filter": options["filter"]}
    return {"servers": options["servers"].split()} if "servers" in options else {}


def _servers(path: str, value: object) -> list[Fault]:
    if not isinstance(value, list) or not 1 <= len(value) <= MOST:
        said = f"a list of {len(value)}" if isinstance(value, list) else kind(value)
        return [fault(path, "length" if isinstance(value, list) else "type", said, f"a list of 1 to {MOST} addresses")]
    faults, seen = [], set()
    for number, text in enumerate(value):
        at = f"{path}[{number}]"
        faults += _address(at, text)
        address = _parsed(text)
        if address is not None and address in seen:
            faults.append(fault(at, "duplicate", shown(text), "each address once"))
        seen.add(address)
    return faults


def _address(path: str, text: object) -> list[Fault]:
    address = _parsed(text)
    if address is None:
        return [fault(path, "address" if isinstance(text, str) else "type", shown(text), ADDRESS)]
    # Private ones may be the city's own. What cannot be routed to from the public network never answers there.
    if isinstance(address, ipaddress.IPv6Address):
        is_elsewhere = not any(address in network for network in ROUTED6)
    else:
        is_elsewhere = address.is_loopback or address.is_link_local or address.is_multicast or address.is_reserved or address.packed[0] == 0
    return [fault(path, "address", shown(text), f"{ADDRESS}, that a router can reach")] if is_elsewhere else []


def _parsed(text: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    if not isinstance(text, str) or len(text) > LONGEST or not text.isascii() or "%" in text:
        return None
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
