"""What of a router's configuration is ours: how our sections and interfaces are called, and what stood there before us where we changed another's.

Pure: reads trees and gives edits. What we changed of others is remembered in package `rwagent`, so that it can return to what it was.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from agent.change import Edit, Facts, RadioFact, Section, Tree

PACKAGE = "rwagent"
ORIGINALS, CLAIMS, PUSHED = "originals", "claims", "pushed"
BANDS = ("2g", "5g", "6g")
FIRST = "first"  # in our memory, the first section of `system`: without a name of its own it is called by its place, and that moves
MOST_RADIOS = 9  # of one band: a further one would need two digits, and an interface's name has no room

_OURS = re.compile(r"rw_([a-z0-9]{1,8})_(2g|5g|6g)(?:_([2-9]))?(_owe)?", re.ASCII)
_IFNAME = re.compile(r"[A-Za-z0-9_.-]{1,15}", re.ASCII)
_CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\ud800-\\udfff]")
# How the standard was written before `band`.
_HWMODES = {"11a": "5g", "11b": "2g", "11g": "2g"}


class Name(NamedTuple):
    """What the name of one of our sections says: the document's ssid, the band, which of the band's radios (from 1), and whether it is a pair's hidden half."""

    ssid: str
    band: str
    nth: int
    is_half: bool

    @property
    def section(self) -> str:
        """The section: rw_public_5g, rw_public_5g_2 on the band's second radio, and with _owe at its end the hidden half."""
        return f"rw_{self.claim}{'_owe' if self.is_half else ''}"

    @property
    def claim(self) -> str:
        """The option of `claims` that names the section taken over for it: public_5g, public_5g_2."""
        return f"{self.ssid}_{self.band}{'' if self.nth == 1 else f'_{self.nth}'}"

    @property
    def ifname(self) -> str:
        """The interface, at most 15 characters: rw-public-5g and its half rw-public-5go; on the second radio rw-public-5g2 and rw-public-5o2."""
        number = "" if self.nth == 1 else str(self.nth)
        if self.is_half:
            return f"rw-{self.ssid}-{self.band[0]}o{number}" if number else f"rw-{self.ssid}-{self.band}o"
        return f"rw-{self.ssid}-{self.band}{number}"


def is_ifname(name: str) -> bool:
    """Say whether a name is one that an interface of ours, or one that a cap is for, may have; those that caps are made of are none."""
    return _IFNAME.fullmatch(name) is not None and name not in (".", "..") and not name.startswith(("rwd-", "rwu-"))


def named(section: str) -> Name | None:
    """Read a section's name; None when it is not one of ours."""
    found = _OURS.fullmatch(section)
    return Name(found[1], found[2], int(found[3] or 1), found[4] is not None) if found else None


class Place(NamedTuple):
    """One option of one section."""

    package: str
    section: str
    option: str

    @property
    def memory(self) -> str:
        """The option of `originals` that remembers it."""
        return "__".join((self.package, FIRST if self.package == "system" else self.section, self.option))


def value_at(tree: Tree, place: Place) -> str | None:
    """Give an option as it is; None when it is not set, or there is no such section."""
    section = tree.get(place.package, {}).get(place.section)
    return None if section is None else section.value(place.option)


def remembered(tree: Tree) -> dict[Place, str | None]:
    """Give what stood where we changed another's options; None where nothing was set."""
    found: dict[Place, str | None] = {}
    for memory, values in _own(tree, ORIGINALS).items():
        package, _, rest = memory.partition("__")
        # From the end: a section's name may hold two underscores, an option's never does.
        section, _, option = rest.rpartition("__")
        if (package, section) == ("system", FIRST):
            section = next(iter(sections(tree, "system", "system")), FIRST)
        text = " ".join(values)
        found[Place(package, section, option)] = text[1:] if text.startswith("=") else None
    return found


def original(tree: Tree, place: Place) -> str | None:
    """Give an option as it was before us."""
    memory = remembered(tree)
    return memory[place] if place in memory else value_at(tree, place)


def put(tree: Tree, place: Place, value: str | None) -> tuple[Edit, ...]:
    """Give the edits that set another's option, remembering what it was; or, with the original as the value, that return and forget it."""
    memory = remembered(tree)
    current = value_at(tree, place)
    edits: list[Edit] = []
    if place in memory and (value == memory[place] or place.section not in tree.get(place.package, {})):
        edits.append(Edit(PACKAGE, ORIGINALS, place.memory))
    elif place not in memory and value != current:
        # What is no line of UCI is better lost than written back.
        kept = "-" if current is None or _CONTROL.search(current) else f"={current}"
        edits += [Edit(PACKAGE, ORIGINALS, type=ORIGINALS), Edit(PACKAGE, ORIGINALS, place.memory, kept)]
    if value != current and place.section in tree.get(place.package, {}):
        edits.append(Edit(*place, value))
    return tuple(edits)


def claims(tree: Tree) -> dict[str, str]:
    """Give the sections of others that ssids have taken over, by `Name.claim`."""
    return {claim: " ".join(values) for claim, values in _own(tree, CLAIMS).items()}


def claimed(claim: str) -> Name | None:
    """Read what `claims` calls a claim; None when it is not one."""
    return named(f"rw_{claim}")


def pushed(tree: Tree) -> dict[str, str]:
    """Give the agent's own knobs as they were pushed."""
    return {option: " ".join(values) for option, values in _own(tree, PUSHED).items()}


def sections(tree: Tree, package: str, kind: str) -> dict[str, Section]:
    """Give the sections of one type, in the file's order."""
    return {name: section for name, section in tree.get(package, {}).items() if section.type == kind}


def informed(facts: Facts, tree: Tree) -> Facts:
    """Add to the facts what the tree tells of the radios: as they were before us, so that the same document means the same whatever was pushed before it."""
    radios = sections(tree, "wireless", "wifi-device")
    known = [_with_tree(fact, tree, facts.adopt) if fact.name in radios else fact for fact in facts.radios]
    # A document's `system` is the first section of that type; without one there is nothing to set.
    able = facts.sections if sections(tree, "system", "system") else tuple(name for name in facts.sections if name != "system")
    return facts._replace(radios=tuple(known), sections=able)


def band_of(radio: Section) -> str | None:
    """Give a radio's band; None when it is none that a document can name."""
    band = radio.value("band") or _HWMODES.get(radio.value("hwmode") or "")
    return band if band in BANDS else None


def is_adoptable(section: Section, tree: Tree) -> bool:
    """Say whether a section can be taken over: a network of an access point, not ours, with nothing in it that could not be put back."""
    was = (original(tree, Place("wireless", section.name, option)) for option in section.options)
    return (
        section.type == "wifi-iface"
        and section.value("mode") in (None, "ap")
        and named(section.name) is None
        and not any(_CONTROL.search(value) for value in was if value is not None)
    )


def _with_tree(fact: RadioFact, tree: Tree, adopt: Sequence[str]) -> RadioFact:
    wireless = tree["wireless"]
    radio = wireless[fact.name]
    disabled = original(tree, Place("wireless", fact.name, "disabled"))
    on_it = [name for name, section in wireless.items() if section.value("device") == fact.name]
    return fact._replace(
        band=fact.band or band_of(radio),
        is_enabled=not Section("", "", {"disabled": (disabled or "0",)}).is_on("disabled"),
        htmode=original(tree, Place("wireless", fact.name, "htmode")),
        adopt=tuple(name for name in dict.fromkeys(adopt) if name in on_it and is_adoptable(wireless[name], tree)),
        owned=tuple(name for name in on_it if named(name) is not None and wireless[name].type == "wifi-iface"),
    )


def _own(tree: Tree, name: str) -> dict[str, tuple[str, ...]]:
    section = tree.get(PACKAGE, {}).get(name)
    return section.options if section is not None else {}
