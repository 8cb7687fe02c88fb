"""`ssids`: the networks on air. Ours are sections that we named, and those that the settings let a push take over, which return to what they were.

The platform checks nothing: a misspelt encryption is an open network, a line break in an SSID a line of hostapd's file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from agent.bss import HALF_SUFFIX, KEYED, PAIRED, SECURITY, entry_of, slots, standing
from agent.bss_changes import changes_of
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
_KEY = re.compile(r"[ -~]{8,63}", re.ASCII)
KEY = "a key of 8 to 63 printable ASCII characters"
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
    return {name: entry_of(found) for name, found in standing(tree).items()}


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
        "key": lambda at, value: _key(at, value, table),
        "key_ref": lambda at, value: _key_ref(at, value, table, facts.secrets),
    }
    # Known, so that nobody looks for a misspelling; not among those that a table may have.
    caps = [fault(f"{path}.cap", "unsupported", kind(table["cap"]), "none: caps are not supported by this access point")] if "cap" in table else []
    faults = caps + members(path, {name: value for name, value in table.items() if name != "cap"} if table else entry, checks, REQUIRED)
    if _word(table) in KEYED and "key" not in table and "key_ref" not in table:
        faults.append(Fault(f"{path}.key", "required", f"{path}.key is missing, expected {KEY}, or key_ref, with security {_word(table)}"))
    return faults


def _word(entry: Mapping[str, object]) -> str | None:
    """Give an entry's security, None when it is none of the closed list."""
    word = entry.get("security")
    return word if isinstance(word, str) and word in SECURITY else None


def _ssid(path: str, value: object, entry: Mapping[str, object]) -> list[Fault]:
    if not isinstance(value, str):
        return [fault(path, "type", kind(value), REQUIRED["ssid"])]
    if UNPRINTABLE.search(value):
        return [fault(path, "characters", shown(value), "no control characters, line breaks, halves of characters or marks of direction")]
    most, size = SSID_BYTES - len(HALF_SUFFIX) * (_word(entry) == PAIRED), len(value.encode())
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
        elif band == "6g" and _word(entry) not in (None, *ONLY_6G):
            faults.append(fault(at, "conflict", f'"6g" with security {_word(entry)}', f"{' or '.join(ONLY_6G)} there"))
        elif entry.get("enabled", True) is True and not any(radio.is_enabled for radio in facts.radios if radio.band == band):
            radios = ", ".join(radio.name for radio in facts.radios if radio.band == band)
            faults.append(fault(at, "off", f"{shown(band)}, where {radios} is switched off", f'another band, or radios.{band} with "enabled": true'))
    return faults + ([fault(path, "length", f"a list of {len(value)}", f"at most {len(BANDS)}")] if len(value) > MOST else [])


def _key(path: str, value: object, entry: Mapping[str, object]) -> list[Fault]:
    """Check a key without saying anything of it but its length."""
    if _word(entry) not in (None, *KEYED):
        return [fault(path, "conflict", "set", f"none with security {_word(entry)}")]
    if not isinstance(value, str):
        return [fault(path, "type", "no text", KEY)]
    if _KEY.fullmatch(value):
        return []
    return [fault(path, "length" if not 8 <= len(value) <= 63 else "characters", f"a text of {len(value)} characters", KEY)]


def _key_ref(path: str, value: object, entry: Mapping[str, object], secrets: Mapping[str, str]) -> list[Fault]:
    """Check what names a key. It is not said: it may be the key itself, in the wrong place."""
    if "key" in entry:
        return [fault(path, "conflict", "set beside key", "one of the two")]
    if _word(entry) not in (None, *KEYED):
        return [fault(path, "conflict", "set", f"none with security {_word(entry)}")]
    if not isinstance(value, str) or value not in secrets:
        return [fault(path, "secret", "no name of a secret on this access point", "a file's name in its secrets_dir")]
    return [] if _KEY.fullmatch(secrets[value]) else [fault(path, "secret", "the name of a secret that is no key", f"one that holds {KEY}")]


def _crowded(part: Mapping[object, object]) -> list[Fault]:
    """Find bands with more networks than a radio sends."""
    tables = [entry for entry in part.values() if isinstance(entry, dict) and isinstance(entry.get("bands"), list)]
    sums = {band: sum(1 + (_word(entry) == PAIRED) for entry in tables if band in entry["bands"][:MOST]) for band in BANDS}
    crowded = [band for band in BANDS if sums[band] > MOST_ON_A_BAND]
    return [fault(NAME, "range", f"{sums[band]} networks on {band} (a pair is two)", f"at most {MOST_ON_A_BAND}") for band in crowded]


def _homeless(part: Mapping[object, object], facts: Facts) -> list[Fault]:
    """Find the networks that would have to be made where none may be attached."""
    problem = facts.public_problem if facts.public_network else facts.public_problem or "router.public_network is not set"
    entries = {name: entry for name, entry in part.items() if isinstance(name, str) and _NAME.fullmatch(name) and isinstance(entry, dict)}
    bands = {name: [band for band in BANDS if isinstance(entry.get("bands"), list) and band in entry["bands"][:MOST]] for name, entry in entries.items()}
    there = {name for radio in facts.radios for name in radio.owned}
    made = dict.fromkeys(slot.name.ssid for slot in slots(bands, facts.radios) if slot.adopted is None and slot.section not in there)
    return [Fault(f"{NAME}.{name}", "public_network", f"{NAME}.{name} cannot be made: {problem}") for name in made] if problem else []
