"""`ssids`: the networks on air. Ours are sections that we named, and those that the settings let a push take over, which return to what they were.

The platform checks nothing: a misspelt encryption is an open network, a line break in an SSID a line of hostapd's file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from agent import caps, wifi_key
from agent.bss import HALF_SUFFIX, KEYED, PAIRED, SECURITY, security_of, slots, standing
from agent.bss_changes import changes_of, entry_with_cap
from agent.change import Change, Facts, Fault, Tree
from agent.checked import UNPRINTABLE, Check, below, choice, fault, kind, members, shown, whole, yes_no
from agent.owned import BANDS, informed

NAME = "ssids"
MOST = 8
MOST_ON_A_BAND = 8  # networks; a pair is two. What simple radios can send at once.
SSID_BYTES = 32
MOST_STATIONS = 2007  # association ids of one network (IEEE 802.11, 9.4.1.8)
ONLY_6G = ("owe", "sae")  # what the 6 GHz band is open to
_NAME = re.compile(r"[a-z0-9]{1,8}", re.ASCII)
REQUIRED = {"ssid": "1 to 32 bytes of UTF-8", "security": f"one of {', '.join(SECURITY)}", "bands": f"a list of {', '.join(BANDS)}"}


def check(part: object, facts: Facts) -> list[Fault]:
    """Give everything that is wrong with this part of a document."""
    if part is None:
        return []
    if not isinstance(part, dict):
        return [fault(NAME, "type", kind(part), "a table of networks by name")]
    faults = [] if len(part) <= MOST else [fault(NAME, "range", f"{len(part)} networks", f"at most {MOST}")]
    for name, entry in list(part.items())[: 4 * MOST]:
        path = below(NAME, name)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            faults.append(Fault(path, "name", f"{path} is no name of a network, expected 1 to 8 of a-z and 0-9"))
        faults += _entry(path, entry, facts)
    return faults + _crowded(part) + _homeless(part, facts)


def changes(part: object, tree: Tree, facts: Facts) -> list[Change]:
    """Give what it takes to make the networks as this part, which has passed the check, says."""
    entries = part if isinstance(part, dict) else {}
    keys = {name: facts.secrets[entry["key_ref"]] if "key_ref" in entry else entry.get("key") for name, entry in entries.items()}
    return changes_of(entries, keys, tree, informed(facts, tree))


def current(tree: Tree, facts: Facts) -> dict[str, object]:
    """Give our networks as a document would say them, their keys as stars."""
    return {name: entry_with_cap(name, found, tree) for name, found in standing(tree).items()}


def _entry(path: str, entry: object, facts: Facts) -> list[Fault]:
    table = entry if isinstance(entry, dict) else {}
    checks: dict[str, Check] = {
        "ssid": lambda at, value: _ssid(at, value, table),
        "security": choice(*SECURITY),
        "bands": lambda at, value: _bands(at, value, table, facts),
        "enabled": yes_no,
        "hidden": yes_no,
        "isolate": yes_no,
        "max_stations": whole(1, MOST_STATIONS),
        "key": lambda at, value: wifi_key.check(at, value, table),
        "key_ref": lambda at, value: wifi_key.check_ref(at, value, table, facts.secrets),
        "cap": lambda at, value: _cap(at, value, path, facts),
    }
    faults = members(path, entry, checks, REQUIRED)
    if security_of(table) in KEYED and "key" not in table and "key_ref" not in table:
        faults.append(Fault(f"{path}.key", "required", f"{path}.key is missing, expected {wifi_key.KEY}, or key_ref, with security {security_of(table)}"))
    return faults


def _cap(path: str, value: object, owner: str, facts: Facts) -> list[Fault]:
    if facts.caps_problem:
        return [Fault(path, "unsupported", f"{path} cannot be carried out: {facts.caps_problem}")]
    if owner == f"{NAME}.{caps.UPLINK}":
        return [fault(path, "conflict", kind(value), f"none for a network that is called {caps.UPLINK}, as the way out is: give it another name")]
    return caps.check(path, value, may_have_stations=True)


def _ssid(path: str, value: object, entry: Mapping[str, object]) -> list[Fault]:
    if not isinstance(value, str):
        return [fault(path, "type", kind(value), REQUIRED["ssid"])]
    if UNPRINTABLE.search(value):
        return [fault(path, "characters", shown(value), "no control characters, line breaks, halves of characters or marks of direction")]
    most, size = SSID_BYTES - len(HALF_SUFFIX) * (security_of(entry) == PAIRED), len(value.encode())
    why = f', for the hidden half\'s "{HALF_SUFFIX}"' if most < SSID_BYTES else ""
    return [] if 1 <= size <= most else [fault(path, "length", f"{shown(value)}, {size} bytes", f"1 to {most} bytes of UTF-8{why}")]


def _bands(path: str, value: object, entry: Mapping[str, object], facts: Facts) -> list[Fault]:
    if not isinstance(value, list) or not value:
        return [fault(path, "type", "an empty list" if value == [] else kind(value), REQUIRED["bands"])]
    has = [band for band in BANDS if any(radio.band == band for radio in facts.radios)]
    faults = []
    for index, band in enumerate(value[:MOST]):
        at = f"{path}[{index}]"
        if not isinstance(band, str) or band not in has:
            faults.append(fault(at, "choice", shown(band), f"one of {', '.join(has)}" if has else "none: this access point has no radio"))
        elif band in value[:index]:
            faults.append(fault(at, "duplicate", shown(band), "each band once"))
        elif band == "6g" and security_of(entry) not in (None, *ONLY_6G):
            faults.append(fault(at, "conflict", f'"6g" with security {security_of(entry)}', f"{' or '.join(ONLY_6G)} there"))
        elif entry.get("enabled", True) is True and not any(radio.is_enabled for radio in facts.radios if radio.band == band):
            radios = ", ".join(radio.name for radio in facts.radios if radio.band == band)
            faults.append(fault(at, "off", f"{shown(band)}, where {radios} is switched off", f'another band, or radios.{band} with "enabled": true'))
    return faults + ([fault(path, "length", f"a list of {len(value)}", f"at most {len(BANDS)}")] if len(value) > MOST else [])


def _crowded(part: Mapping[object, object]) -> list[Fault]:
    """Find bands with more networks than a radio sends."""
    tables = [entry for entry in part.values() if isinstance(entry, dict) and isinstance(entry.get("bands"), list)]
    sums = {band: sum(1 + (security_of(entry) == PAIRED) for entry in tables if band in entry["bands"][:MOST]) for band in BANDS}
    crowded = [band for band in BANDS if sums[band] > MOST_ON_A_BAND]
    return [fault(NAME, "range", f"{sums[band]} networks on {band} (a pair is two)", f"at most {MOST_ON_A_BAND}") for band in crowded]


def _homeless(part: Mapping[object, object], facts: Facts) -> list[Fault]:
    """Find the networks that would have to be made where none may be attached."""
    problem = facts.public_problem or ("" if facts.public_network else "router.public_network is not set")
    if not problem:
        return []
    entries = {name: entry for name, entry in part.items() if isinstance(name, str) and _NAME.fullmatch(name) and isinstance(entry, dict)}
    bands = {name: [band for band in BANDS if isinstance(entry.get("bands"), list) and band in entry["bands"][:MOST]] for name, entry in entries.items()}
    there = {name for radio in facts.radios for name in radio.owned}
    made = dict.fromkeys(slot.name.ssid for slot in slots(bands, facts.radios) if slot.adopted is None and slot.section not in there)
    return [Fault(f"{NAME}.{name}", "public_network", f"{NAME}.{name} cannot be made: {problem}") for name in made]
