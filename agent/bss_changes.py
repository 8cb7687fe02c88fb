"""From the sections that stand to those that the ssids of a document want: the changes, by the document's paths.

Pure. A section of ours is made, set and deleted; one that was taken over keeps what no ssid sets, and gets back what was there before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from agent import caps
from agent.bss import DEFAULTS, OPTIONS, Wanted, entry_of, is_same, seen, slots, standing, wanted
from agent.change import MASK, Change, Edit, Facts, Impact, Section, Tree
from agent.owned import CLAIMS, PACKAGE, Name, Place, claimed, claims, named, original, put, remembered, sections

WIRELESS = "wireless"
ROOT = "ssids"


class Step(NamedTuple):
    """Some edits, and the path of the document that they belong to; `owner` is the ssid, None for what is left of nobody's."""

    owner: str | None
    path: str
    before: object
    after: object
    edits: tuple[Edit, ...]


class Turn(NamedTuple):
    """One turn from what stands to what is wanted."""

    tree: Tree
    entries: Mapping[str, Mapping[str, object]]
    had: Mapping[str, dict[str, object]]
    wanted: tuple[Wanted, ...]

    def step(self, owner: str | None, member: str, edits: Sequence[Edit], before: object = None, after: object = None) -> Step:
        """Make a step; an ssid that comes or goes is one change as a whole."""
        if owner is None:
            return Step(None, ROOT, None, None, tuple(edits))
        entry, had = self.entries.get(owner), self.had.get(owner)
        if entry is None or had is None:
            return Step(owner, f"{ROOT}.{owner}", had, None if entry is None else said(entry), tuple(edits))
        if member == "bands":
            before, after = had.get("bands"), entry["bands"]
        return Step(owner, f"{ROOT}.{owner}.{member}", before, after, tuple(edits))


def changes_of(entries: Mapping[str, Mapping[str, object]], keys: Mapping[str, str | None], tree: Tree, facts: Facts) -> list[Change]:
    """Give the changes that make the networks as these entries of a document, which have passed the check, with the key of each."""
    found = slots({name: [str(band) for band in _list(entry["bands"])] for name, entry in entries.items()}, facts.radios)
    want = tuple(one for slot in found for one in wanted(entries[slot.name.ssid], keys[slot.name.ssid], slot, tree, facts.public_network))
    turn = Turn(tree, entries, {name: entry_with_cap(name, standing_in, tree) for name, standing_in in standing(tree).items()}, want)
    # What unlinks the halves of a pair comes before what deletes one.
    steps = [*_settled(turn), *_deleted(turn), *_released(turn), *_claims(turn), *_capped(turn)]
    by_path: dict[str, list[Step]] = {}
    for step in sorted(steps, key=lambda one: one.owner or ""):
        by_path.setdefault(step.path, []).append(step)
    return [_change(path, of_path, tree) for path, of_path in by_path.items()]


def entry_with_cap(name: str, found: Collection[tuple[Name, Section]], tree: Tree) -> dict[str, object]:
    """Give an ssid as a document would say it, with its cap."""
    cap = caps.seen(tree, name)
    return entry_of(found) | ({} if cap is None else {"cap": cap})


def said(entry: Mapping[str, object]) -> dict[str, object]:
    """Give an entry with its defaults and without its key."""
    first = {member: entry[member] for member in ("ssid", "security", "bands")}
    return first | DEFAULTS | dict(entry) | ({"key": MASK} if "key" in entry else {})


def _settled(turn: Turn) -> Iterator[Step]:
    for want in turn.wanted:
        section = turn.tree.get(WIRELESS, {}).get(want.section)
        if want.section != want.slot.adopted and (section is None or section.type != "wifi-iface"):
            edits = [] if section is None else [Edit(WIRELESS, want.section)]
            edits.append(Edit(WIRELESS, want.section, type="wifi-iface"))
            edits += [Edit(WIRELESS, want.section, option, value) for option, value in want.options.items() if value is not None]
            yield turn.step(want.slot.name.ssid, "security" if want.is_half and _has_main(turn, want) else "bands", edits, *_security(turn, want))
        elif section is not None:
            yield from _set(turn, want, section)


def _set(turn: Turn, want: Wanted, section: Section) -> Iterator[Step]:
    """Set the options of a section that is there."""
    owner = want.slot.name.ssid
    is_taken_now = want.section == want.slot.adopted and claims(turn.tree).get(want.slot.name.claim) != want.section
    for option, value in want.options.items():
        place = Place(WIRELESS, want.section, option)
        if want.section == want.slot.adopted:
            was = original(turn.tree, place)
            edits = put(turn.tree, place, was if is_same(option, value, was) else value)
        else:
            edits = () if is_same(option, section.value(option), value) else (Edit(*place, value),)
        if edits:
            member, before, after = _member(turn, want, section, option, value)
            yield turn.step(owner, "bands" if is_taken_now else member, edits, before, after)


def _member(turn: Turn, want: Wanted, section: Section, option: str, value: str | None) -> tuple[str, object, object]:
    """Say an option's change in a document's words, and in UCI's where the document would see none."""
    entry, member = turn.entries[want.slot.name.ssid], OPTIONS.get(option)
    if member == "key":
        member = "key_ref" if "key_ref" in entry else "key"
        return member, None if section.value("key") is None else MASK, None if value is None else said(entry)[member]
    before, after = seen(section, want.is_half).get(member or ""), said(entry).get(member or "")
    return (option, section.value(option), value) if member is None or before == after else (member, before, after)


def _has_main(turn: Turn, want: Wanted) -> bool:
    main = turn.tree.get(WIRELESS, {}).get(want.slot.section)
    return main is not None and (want.slot.adopted is None or claims(turn.tree).get(want.slot.name.claim) == want.slot.adopted)


def _security(turn: Turn, want: Wanted) -> tuple[object, object]:
    owner = want.slot.name.ssid
    return turn.had.get(owner, {}).get("security"), turn.entries[owner]["security"]


def _deleted(turn: Turn) -> Iterator[Step]:
    """Delete what is ours and no longer wanted, a pair's hidden half before the section that it belongs to."""
    keep = {want.section for want in turn.wanted}
    for owner, found in standing(turn.tree).items():
        for name, section in found:
            if named(section.name) is None or section.name in keep:
                continue
            member = "security" if name.is_half and any(want.slot.name == name._replace(is_half=False) for want in turn.wanted) else "bands"
            entry = turn.entries.get(owner, {})
            yield turn.step(owner, member, [Edit(WIRELESS, section.name)], turn.had[owner].get("security"), entry.get("security"))


def _released(turn: Turn) -> Iterator[Step]:
    """Give back what was in sections that are no longer taken over, or that an ssid no longer sets; forget what is gone altogether."""
    set_now = {(want.section, option) for want in turn.wanted for option in want.options}
    owners = {section: claimed(claim) for claim, section in claims(turn.tree).items()}
    owners |= {want.section: want.slot.name for want in turn.wanted}
    wireless = turn.tree.get(WIRELESS, {})
    for place, was in remembered(turn.tree).items():
        section = wireless.get(place.section)
        if place.package != WIRELESS or (place.section, place.option) in set_now or (section is not None and section.type != "wifi-iface"):
            continue
        owner, current = owners.get(place.section), section.value(place.option) if section is not None else None
        before, after = (value and MASK if place.option == "key" else value for value in (current, was))
        yield turn.step(owner.ssid if owner else None, place.option, put(turn.tree, place, was), before, after)


def _claims(turn: Turn) -> Iterator[Step]:
    """Write down which sections are taken over now."""
    had = claims(turn.tree)
    now = {want.slot.name.claim: want.section for want in turn.wanted if want.section == want.slot.adopted}
    for claim in sorted({*had, *now}):
        if had.get(claim) == now.get(claim):
            continue
        make = [Edit(PACKAGE, CLAIMS, type=CLAIMS)] if claim in now else []
        owner = claimed(claim)
        yield turn.step(owner.ssid if owner else None, "bands", [*make, Edit(PACKAGE, CLAIMS, claim, now.get(claim))])


def _capped(turn: Turn) -> Iterator[Step]:
    """Set the caps, one change for each; a cap of nobody's goes."""
    for owner in dict.fromkeys((*turn.entries, *caps.owners(turn.tree))):
        cap = turn.entries.get(owner, {}).get("cap")
        if made := caps.edits(turn.tree, owner, cap):
            yield turn.step(owner, "cap", made, caps.seen(turn.tree, owner), cap)


def _change(path: str, steps: Sequence[Step], tree: Tree) -> Change:
    edits = tuple(edit for step in steps for edit in step.edits)
    return Change(path, steps[0].before, steps[0].after, _impact(edits, tree), edits)


def _impact(edits: Sequence[Edit], tree: Tree) -> Impact:
    on_air = [edit for edit in edits if edit.package == WIRELESS]
    if any(_renames_others(edit, tree) for edit in on_air):
        return "radio"
    return "bss" if on_air else "live"


def _renames_others(edit: Edit, tree: Tree) -> bool:
    """Say whether an interface that has its name from its place (phy0-ap1) gets another: OpenWrt counts those that are on and have no name of their own."""
    section = tree.get(WIRELESS, {}).get(edit.section)
    if section is None or edit.option not in ("ifname", "disabled") or (edit.option == "disabled" and section.value("ifname") is not None):
        return False
    others = (other for name, other in sections(tree, WIRELESS, "wifi-iface").items() if name != edit.section)
    return any(other.value("device") == section.value("device") and other.value("ifname") is None and not other.is_on("disabled") for other in others)


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()
