"""`system`: the access point's host name and time zone. Other options of the system are left alone, and what was there before returns when it is not named.

The platform does not look at either: a time zone that it cannot read silently becomes UTC.
"""

from __future__ import annotations

import re

from agent.change import Change, Edit, Facts, Fault, Tree
from agent.checked import fault, kind, members, shown
from agent.owned import Place, original, put, sections, value_at

NAME = "system"
_HOSTNAME = re.compile(r"(?=.{1,63}\Z)[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*", re.ASCII)
# POSIX.1-2017, 8.3, with the hours of a rule from -167 to 167 as in RFC 9636. A zone with summer time must say when: the platform would guess.
_ZONE = r"(?:[A-Za-z]{3,6}|<[A-Za-z0-9+-]{3,6}>)"
_CLOCK = r"(?::[0-5]?[0-9](?::[0-5]?[0-9])?)?"
_OFFSET = rf"[+-]?(?:2[0-4]|[01]?[0-9]){_CLOCK}"
_DAY = r"(?:M(?:1[0-2]|0?[1-9])\.[1-5]\.[0-6]|J(?:36[0-5]|3[0-5][0-9]|[12][0-9]{2}|[1-9][0-9]?)|(?:36[0-5]|3[0-5][0-9]|[12][0-9]{2}|[1-9]?[0-9]))"
_RULE = rf",{_DAY}(?:/[+-]?(?:16[0-7]|1[0-5][0-9]|[0-9]{{1,2}}){_CLOCK})?"
_TIMEZONE = re.compile(rf"{_ZONE}{_OFFSET}(?:{_ZONE}(?:{_OFFSET})?{_RULE}{_RULE})?", re.ASCII)
MOST_TIMEZONE = 64


def check(part: object, facts: Facts) -> list[Fault]:
    """Give everything that is wrong with this part of a document."""
    return [] if part is None else members(NAME, part, {"hostname": _hostname, "timezone": _timezone})


def changes(part: object, tree: Tree, facts: Facts) -> list[Change]:
    """Give what it takes to make the system as this part, which has passed the check, says."""
    section = next(iter(sections(tree, "system", "system")), None)
    if section is None:
        return []
    found = []
    for option in ("hostname", "timezone"):
        place = Place("system", section, option)
        before, was = value_at(tree, place), original(tree, place)
        after = str(part[option]) if isinstance(part, dict) and option in part else was
        edits = put(tree, place, after) + (_zonename(tree, section, is_ours=after != was) if option == "timezone" else ())
        if edits:
            found.append(Change(f"{NAME}.{option}", before, after, "live", edits))
    return found


def current(tree: Tree, facts: Facts) -> dict[str, object]:
    """Give the system as a document would say it."""
    section = next(iter(sections(tree, "system", "system").values()), None)
    values = {option: section.value(option) for option in ("hostname", "timezone")} if section is not None else {}
    return {option: value for option, value in values.items() if value is not None}


def _zonename(tree: Tree, section: str, is_ours: bool) -> tuple[Edit, ...]:
    # Where the zone's file is installed, /etc/init.d/system takes the zone by its name and ignores the time zone.
    place = Place("system", section, "zonename")
    return put(tree, place, None if is_ours else original(tree, place))


def _hostname(path: str, value: object) -> list[Fault]:
    if isinstance(value, str) and _HOSTNAME.fullmatch(value) and all(len(label) <= 63 for label in value.split(".")):
        return []
    allowed = "a host name of 1 to 63 characters: letters, digits and -, no - at either end of a label (RFC 1123)"
    return [fault(path, "characters", shown(value), allowed) if isinstance(value, str) else fault(path, "type", kind(value), allowed)]


def _timezone(path: str, value: object) -> list[Fault]:
    if isinstance(value, str) and len(value) <= MOST_TIMEZONE and _TIMEZONE.fullmatch(value):
        return []
    allowed = "a POSIX time zone such as WIB-7 or CET-1CEST,M3.5.0,M10.5.0/3, not the name of a place"
    return [fault(path, "characters", shown(value), allowed) if isinstance(value, str) else fault(path, "type", kind(value), allowed)]
