"""What an ssid of a document is in UCI's words, and back: which sections on which radios, and what stands in each.

Pure. Which section an ssid gets depends on the document and on the access point alone, never on what was pushed before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from agent.change import MASK, RadioFact, Section, Tree
from agent.checked import number
from agent.owned import BANDS, MOST_RADIOS, Name, Place, claimed, claims, is_ifname, named, original

# A document's word, UCI's, and whether management frames are protected (required by sae and owe, possible with both generations).
SECURITY = {
    "open": ("none", None),
    "owe": ("owe", "2"),
    "owe-transition": ("none", None),
    "psk2": ("psk2", None),
    "psk2-sae": ("sae-mixed", "1"),
    "sae": ("sae", "2"),
}
KEYED = ("psk2", "psk2-sae", "sae")
PAIRED = "owe-transition"
ENCRYPTIONS = frozenset(encryption for encryption, _ in SECURITY.values())
HALF_SUFFIX = "OWE"  # of the hidden half's SSID, for which an SSID has 3 bytes less
DEFAULTS: dict[str, object] = {"enabled": True, "hidden": False, "isolate": True}
# What an ssid sets in a section, also in one that is taken over, and the document's member that says it.
OPTIONS = {
    "ssid": "ssid",
    "encryption": "security",
    "ieee80211w": "security",
    "owe_transition": "security",
    "owe_transition_ssid": "security",
    "owe_transition_bssid": "security",
    "owe_transition_ifname": "security",
    "key": "key",
    "hidden": "hidden",
    "isolate": "isolate",
    "maxassoc": "max_stations",
    "disabled": "enabled",
}
FLAGS = ("hidden", "isolate", "disabled", "owe_transition")
# Where a section of ours stands; one that is taken over stays where it is, but for the name that a pair or a cap needs.
PLACED = ("device", "mode", "network", "ifname")


class Slot(NamedTuple):
    """One ssid on one radio: its name there, and the section that is taken over for it, None when it has one of its own."""

    name: Name
    radio: str
    adopted: str | None

    @property
    def section(self) -> str:
        """The section it lives in."""
        return self.adopted or self.name.section


class Wanted(NamedTuple):
    """What must stand in one section; None: that option is not set. Options it does not name are not ours."""

    slot: Slot
    section: str
    options: dict[str, str | None]
    is_half: bool


def security_of(entry: Mapping[str, object]) -> str | None:
    """Give the security that an ssid of a document asks for, None when it is none of the closed list."""
    word = entry.get("security")
    return word if isinstance(word, str) and word in SECURITY else None


def slots(ssids: Mapping[str, Sequence[str]], radios: Sequence[RadioFact]) -> Iterator[Slot]:
    """Give the sections that ssids (bands by name) live in: each on every radio of its bands, by name; the first of them get the sections to take over."""
    free = {radio.name: list(radio.adopt) for radio in radios}
    for ssid in sorted(ssids):
        for band in (band for band in BANDS if band in ssids[ssid]):
            of_band = [radio for radio in radios if radio.band == band][:MOST_RADIOS]
            for index, radio in enumerate(of_band, 1):
                yield Slot(Name(ssid, band, index, False), radio.name, free[radio.name].pop(0) if free[radio.name] else None)


def wanted(entry: Mapping[str, object], key: str | None, slot: Slot, tree: Tree, network: str) -> Iterator[Wanted]:
    """Give what must stand in an ssid's section, and in that of the hidden half when it is a pair; `entry` has passed the check."""
    encryption, protected = SECURITY[str(entry["security"])]
    is_pair, half = entry["security"] == PAIRED, slot.name._replace(is_half=True)
    ifname, attached = slot.name.ifname, network
    if slot.adopted is not None:
        own = original(tree, Place("wireless", slot.adopted, "ifname"))
        ifname = own if own is not None and is_ifname(own) else ifname
        attached = tree["wireless"][slot.adopted].value("network") or network
    most = entry.get("max_stations")
    shared: dict[str, str | None] = dict.fromkeys(OPTIONS) | {
        "isolate": _flag(entry.get("isolate", DEFAULTS["isolate"])),
        "maxassoc": None if most is None else str(number(most)),
        "disabled": _flag(not entry.get("enabled", DEFAULTS["enabled"])),
    }
    options: dict[str, str | None] = shared | {
        "ssid": str(entry["ssid"]),
        "encryption": encryption,
        "ieee80211w": protected,
        "key": key,
        "hidden": _flag(entry.get("hidden", DEFAULTS["hidden"])),
        "owe_transition_ifname": half.ifname if is_pair else None,
    }
    if slot.adopted is None:
        options |= {"device": slot.radio, "mode": "ap", "network": network, "ifname": ifname}
    elif is_pair or "cap" in entry:
        # The other half, or the cap, must know it.
        options["ifname"] = ifname
    yield Wanted(slot, slot.section, options, False)
    if is_pair:
        place: dict[str, str | None] = {"device": slot.radio, "mode": "ap", "network": attached, "ifname": half.ifname}
        said = shared | {"ssid": f"{entry['ssid']}{HALF_SUFFIX}", "encryption": "owe", "ieee80211w": "2", "hidden": "1"}
        yield Wanted(slot, half.section, said | place | {"owe_transition_ifname": ifname}, True)


def standing(tree: Tree) -> dict[str, list[tuple[Name, Section]]]:
    """Give by ssid the sections in which a push put it, ours and those taken over, the halves of pairs first."""
    wireless = tree.get("wireless", {})
    found = [(name, section) for section in wireless.values() if section.type == "wifi-iface" and (name := named(section.name)) is not None]
    for claim, taken in claims(tree).items():
        name = claimed(claim)
        if name is not None and taken in wireless and named(taken) is None:
            found.append((name, wireless[taken]))
    by_ssid: dict[str, list[tuple[Name, Section]]] = {}
    for name, section in sorted(found, key=lambda one: (one[0].ssid, not one[0].is_half, BANDS.index(one[0].band), one[0].nth)):
        by_ssid.setdefault(name.ssid, []).append((name, section))
    return by_ssid


def entry_of(found: Collection[tuple[Name, Section]]) -> dict[str, object]:
    """Give an ssid as a document would say it, from the first of its sections that is no hidden half; the key as stars."""
    whole = [(name, section) for name, section in found if not name.is_half] or list(found)
    first = seen(whole[0][1], whole[0][0].is_half)
    bands = [band for band in BANDS if any(name.band == band for name, _ in whole)]
    return {"ssid": first["ssid"], "security": first["security"], "bands": bands} | first


def seen(section: Section, is_half: bool = False) -> dict[str, object]:
    """Give what one section says of its ssid, in a document's words; UCI's own where the document has none."""
    encryption, ssid, most = section.value("encryption"), section.value("ssid"), section.value("maxassoc")
    words = {uci: word for word, (uci, _) in SECURITY.items() if word != PAIRED}
    is_pair = is_half or (encryption in (None, "none") and section.value("owe_transition_ifname") is not None)
    found: dict[str, object] = {
        "ssid": ssid.removesuffix(HALF_SUFFIX) if ssid is not None and is_half else ssid,
        "security": PAIRED if is_pair else words.get(encryption or "none", encryption),
        "enabled": not section.is_on("disabled"),
        "hidden": section.is_on("hidden") and not is_half,
        "isolate": section.is_on("isolate"),
    }
    if most is not None:
        found["max_stations"] = int(most) if most.isascii() and most.isdigit() and len(most) < 9 else most
    if section.value("key") is not None:
        found["key"] = MASK
    return found


def is_same(option: str, one: str | None, other: str | None) -> bool:
    """Say whether two values of an option mean the same to OpenWrt."""
    if option in FLAGS:
        return Section("", "", {option: (one or "",)}).is_on(option) == Section("", "", {option: (other or "",)}).is_on(option)
    return one == other


def _flag(value: object) -> str | None:
    return "1" if value else None
