"""What a document would do to this access point: what is wrong with it, else every change, what each costs, and what must be on air afterwards.

Pure: takes the tree as it is and gives edits; touches nothing, and changes nothing that is not ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from agent.change import IMPACTS, Change, Edit, Facts, Fault, OnAir, Plan, Tree, edited
from agent.checked import fault, kind, shown, unknown
from agent.derived import made as derived_from
from agent.owned import CLAIMS, ORIGINALS, PACKAGE, PUSHED, informed, sections
from agent.sections import SECTIONS, radios

MOST_FAULTS = 100  # in one answer; a document has room for thousands
# Parts of a document of this version that no access point carries out yet: known, so that nobody looks for a misspelling.
KNOWN = (*SECTIONS, "below_contract")
WHO_NOTICES = {
    "live": "nobody notices",
    "bss": "the stations of this network reconnect",
    "radio": "all stations of the radio reconnect",
    "network": "everybody behind this access point",
}
WIDEST = 60  # of a value in the table for people
_BARE = re.compile(r"[A-Za-z0-9.:/+*-]{1,40}", re.ASCII)


def check(document: object, facts: Facts, tree: Tree | None = None) -> list[Fault]:
    """Give everything that is wrong with a document, in its order; with the tree also what only shows beside what is there now."""
    if not isinstance(document, dict):
        return [fault("", "type", kind(document), f"a table of {', '.join(facts.sections)}")]
    facts = facts if tree is None else informed(facts, tree)
    # Whether a radio is on is for another part of the same document to say.
    facts = radios.switched(document.get(radios.NAME), facts)
    faults: list[Fault] = []
    for name, part in document.items():
        if name not in KNOWN:
            faults.append(unknown("", name, facts.sections))
        elif name not in facts.sections or name not in SECTIONS:
            faults.append(Fault(name, "unsupported", f"{name} is not supported by this access point, expected one of {', '.join(facts.sections)}"))
        elif part is None:
            faults.append(fault(name, "type", kind(part), "a table, or the part left out"))
        else:
            faults += SECTIONS[name].check(part, facts)
    if len(faults) <= MOST_FAULTS:
        return faults
    return [*faults[:MOST_FAULTS], Fault("", "more", f"{len(faults) - MOST_FAULTS} more faults are not listed")]


def make(document: Mapping[str, object], tree: Tree, facts: Facts) -> Plan:
    """Give what a document that has passed the check would do; no changes when all is as it says."""
    facts = informed(facts, tree)
    told = (change for name, section in SECTIONS.items() if name in facts.sections for change in section.changes(document.get(name), tree, facts))
    changes = [change._replace(before=_plain(change.before), after=_plain(change.after)) for change in told]
    edits = [edit for change in changes for edit in change.edits]
    edits += _swept(edited(tree, edits)) if edits else []
    after = edited(tree, edits)
    impact = max((change.impact for change in changes), key=IMPACTS.index, default=None)
    touched = _touched(edits, tree, after)
    on_air = [network for network in _networks(after) if network.radio in touched]
    names = {network.ifname for network in _networks(after)}
    return Plan(
        changes=tuple(changes),
        edits=tuple(edits),
        packages=tuple(dict.fromkeys(edit.package for edit in edits)),
        impact=impact,
        expect=tuple(_expected(network) for network in on_air if network.ifname),
        gone=tuple(network.ifname for network in _networks(tree) if network.ifname and network.ifname not in names) if touched else (),
        somewhere=tuple(_expected(network) for network in on_air if not network.ifname),
        derived=derived_from(after, facts),
    )


def drift(document: Mapping[str, object], tree: Tree, facts: Facts) -> list[dict[str, object]]:
    """Give where the access point is not as the document in force says."""
    return [{"path": change.path, "expected": change.after, "found": change.before} for change in make(document, tree, facts).changes]


def current(tree: Tree, facts: Facts) -> dict[str, object]:
    """Give what is so now as a document would say it, keys as stars."""
    facts = informed(facts, tree)
    return {name: _plain(section.current(tree, facts)) for name, section in SECTIONS.items() if name in facts.sections}


def as_json(change: Change) -> dict[str, object]:
    """Give a change as the wire has it."""
    return {"path": change.path, "from": change.before, "to": change.after, "impact": change.impact}


def rendered(found: Plan) -> str:
    """Give a plan for people: a line for each change with what it costs, then the worst of it."""
    if not found.changes:
        return "nothing would change"
    rows = [(change.path, _short(change.before), _short(change.after), WHO_NOTICES[change.impact]) for change in found.changes]
    width = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [f"{path:{width[0]}}  {before:>{width[1]}} -> {after:{width[2]}}  {who}" for path, before, after, who in rows]
    count = f"{len(rows)} change{'s' if len(rows) > 1 else ''}"
    gone = f"\nno longer on air: {', '.join(map(_word, found.gone))}" if found.gone else ""
    return "\n".join(lines) + f"\n{count}; at worst {WHO_NOTICES[found.impact or 'live']}{gone}"


class _Network(NamedTuple):
    ifname: str
    ssid: str
    radio: str
    channel: int | None


def _networks(tree: Tree) -> list[_Network]:
    """Give the networks of an access point that are set up and on, each on a radio that is; `ifname` "" where only the box knows it."""
    wireless = tree.get("wireless", {})
    found = []
    for section in sections(tree, "wireless", "wifi-iface").values():
        radio, ssid = wireless.get(section.value("device") or ""), section.value("ssid")
        if radio is None or radio.type != "wifi-device" or radio.is_on("disabled") or section.is_on("disabled"):
            continue
        channel = radio.value("channel") or ""
        # 0 is UCI's older word for auto.
        known = int(channel) if channel.isascii() and channel.isdigit() and len(channel) < 5 else 0
        if section.value("mode") in (None, "ap") and ssid is not None:
            found.append(_Network(section.value("ifname") or "", ssid, radio.name, known or None))
    return found


def _touched(edits: Iterable[Edit], *trees: Tree) -> set[str]:
    """Name the radios whose networks the edits set up anew."""
    names = {edit.section for edit in edits if edit.package == "wireless"}
    there = [section for tree in trees for name, section in tree.get("wireless", {}).items() if name in names]
    return {section.name if section.type == "wifi-device" else section.value("device") or "" for section in there}


def _expected(network: _Network) -> OnAir:
    return OnAir(network.ifname, network.ssid, network.channel, "enabled")


def _swept(tree: Tree) -> list[Edit]:
    """Delete the sections in which we remember things and that are empty now."""
    ours = tree.get(PACKAGE, {})
    return [Edit(PACKAGE, name) for name in (ORIGINALS, CLAIMS, PUSHED) if name in ours and not ours[name].options]


def _plain(value: object) -> object:
    """Give a value that UTF-8 can say; what it cannot stands escaped."""
    if isinstance(value, dict):
        return {_plain(name): _plain(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(member) for member in value]
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _short(value: object) -> str:
    text = _word(value)
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"


def _word(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_word(member)}" for name, member in value.items())
    if isinstance(value, list | tuple):
        return "+".join(map(_word, value))
    return value if isinstance(value, str) and _BARE.fullmatch(value) else shown(value)
