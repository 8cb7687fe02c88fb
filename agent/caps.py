"""Bandwidth caps: from a document's words to package `rwagent` and back, and the file `caps` that the script agent/ash/caps carries out.

Pure. The file is made of the tree alone (and the name of the way out), so that whatever places, rolls back or boots a tree has the caps that belong to it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from agent.bss import standing
from agent.change import Edit, Fault, Section, Tree
from agent.checked import Check, fault, members, shown
from agent.owned import PACKAGE, is_ifname

SECTION = "cap"  # the type of its sections, and what their names begin with
UPLINK = "uplink"  # what the way out is called among them, so that no SSID of that name can have a cap
VERSION = "1"
MOST_LINES = 64
LEAST_MBPS, MOST_MBPS = 0.25, 10_000
RATE = f"a number of Mbps from {LEAST_MBPS} to {MOST_MBPS}"
RATES = ("down_mbps", "up_mbps")
PER_STATION = "per_station"
# A section's options; what they are called in a document; in status/caps.json they are called like the options.
DOWN, UP, STATION_DOWN, STATION_UP = OPTIONS = ("down_kbit", "up_kbit", "station_down_kbit", "station_up_kbit")
_KBIT = re.compile(r"[1-9][0-9]{0,7}", re.ASCII)
_NAME = re.compile(r"[a-z0-9]{1,8}", re.ASCII)


class SsidCap(NamedTuple):
    """What one SSID may take over all its BSSs together: `rates` in kbit/s by OPTIONS, where one is set."""

    name: str
    rates: dict[str, int]
    ifnames: tuple[str, ...]


class UplinkCap(NamedTuple):
    """What may pass the way out."""

    device: str
    rates: dict[str, int]


def check(path: str, value: object, may_have_stations: bool) -> list[Fault]:
    """Give everything that is wrong with a cap in a document; `may_have_stations`: what each station may have can stand in it too."""
    checks: dict[str, Check] = dict.fromkeys(RATES, _rate)
    if may_have_stations:
        checks[PER_STATION] = lambda at, part: members(at, part, dict.fromkeys(RATES, _rate)) + _empty(at, part, RATES)
    found = members(path, value, checks) + _empty(path, value, (*checks,))
    return found or _across(path, value)


def seen(tree: Tree, name: str) -> dict[str, object] | None:
    """Give the cap of an SSID (or of UPLINK) as a document would say it; None when it has none."""
    rates = _rates(tree, name)
    stations = {_word(option): _mbps(rates[option]) for option in (STATION_DOWN, STATION_UP) if option in rates}
    found: dict[str, object] = {_word(option): _mbps(rates[option]) for option in (DOWN, UP) if option in rates}
    return found | ({PER_STATION: stations} if stations else {}) or None


def edits(tree: Tree, name: str, cap: object) -> list[Edit]:
    """Give what it takes that an SSID (or UPLINK) has this cap of a document, which has passed the check; None: that it has none."""
    section, want = f"{SECTION}_{name}", _kbits(cap)
    there = tree.get(PACKAGE, {}).get(section)
    if not want:
        return [] if there is None else [Edit(PACKAGE, section)]
    found: list[Edit] = []
    if there is None or there.type != SECTION:
        found += [] if there is None else [Edit(PACKAGE, section)]
        found.append(Edit(PACKAGE, section, type=SECTION))
        there = Section(SECTION, section, {})
    options = dict.fromkeys((*OPTIONS, *there.options))
    return found + [Edit(PACKAGE, section, option, want.get(option)) for option in options if there.value(option) != want.get(option)]


def owners(tree: Tree) -> list[str]:
    """Name the SSIDs that a cap's section stands for."""
    names = [name.removeprefix(f"{SECTION}_") for name in tree.get(PACKAGE, {}) if name.startswith(f"{SECTION}_")]
    return [name for name in names if _NAME.fullmatch(name) and name != UPLINK]


def text(tree: Tree, uplink: str) -> bytes:
    """Give the file that a tree asks for, b"" when it has no cap (no file at all means the same); `uplink` is the device of the way out."""
    lines: list[str] = []
    taken: set[str] = set()  # a device in two places would have the whole file refused
    for name, found in standing(tree).items():
        rates = _rates(tree, name) if name != UPLINK else {}
        ifnames = dict.fromkeys(ifname for _, section in found if is_ifname(ifname := section.value("ifname") or "") and ifname not in taken)
        if rates and ifnames:
            taken.update(ifnames)
            lines.append(" ".join(("ssid", name, *(str(rates.get(option, "-")) for option in OPTIONS), *ifnames)))
    rates = _rates(tree, UPLINK)
    if (DOWN in rates or UP in rates) and is_ifname(uplink) and uplink not in taken:
        lines.append(f"uplink {rates.get(DOWN, '-')} {rates.get(UP, '-')} {uplink}")
    return "".join(f"{line}\n" for line in (f"v {VERSION}", *lines)).encode() if lines else b""


def read(content: bytes) -> list[SsidCap | UplinkCap]:
    """Read such a file; ValueError, which names the line, for what the script would refuse."""
    lines = content.decode("ascii", "replace").split("\n")
    if not content:
        return []
    if lines[-1] or lines[0] != f"v {VERSION}":
        raise ValueError(f"line {1 if lines[0] != f'v {VERSION}' else len(lines)} of the caps is not of version {VERSION}, or cut")
    found = []
    taken: set[str] = set()
    for number, line in enumerate(lines[1:-1], 2):
        cap = _cap(line.split(" "))
        named = [] if cap is None else [f"{cap.name}:", *cap.ifnames] if isinstance(cap, SsidCap) else [f"{UPLINK}:", cap.device]
        if cap is None or number > MOST_LINES or taken.intersection(named) or len(set(named)) < len(named):
            raise ValueError(f"line {number} of the caps is none that was made here")
        taken.update(named)
        found.append(cap)
    return found


def wanted(content: bytes) -> list[dict[str, object]]:
    """Give of a file the member `wanted` of status/caps.json: what must stand in the kernel."""
    rows: list[dict[str, object]] = []
    for cap in read(content):
        whose: dict[str, object] = {"ssid": cap.name} if isinstance(cap, SsidCap) else {"uplink": cap.device}
        rows.append(whose | cap.rates | ({"ifnames": list(cap.ifnames)} if isinstance(cap, SsidCap) else {}))
    return rows


def _cap(words: list[str]) -> SsidCap | UplinkCap | None:
    if words[0] == "ssid" and len(words) > 6 and _NAME.fullmatch(words[1]) and words[1] != UPLINK:
        rates = _numbers(OPTIONS, words[2:6])
        return SsidCap(words[1], rates, tuple(words[6:])) if rates and all(map(is_ifname, words[6:])) else None
    if words[0] == "uplink" and len(words) == 4:
        rates = _numbers((DOWN, UP), words[1:3])
        return UplinkCap(words[3], rates) if rates and is_ifname(words[3]) else None
    return None


def _numbers(options: tuple[str, ...], words: list[str]) -> dict[str, int] | None:
    if not all(word == "-" or _KBIT.fullmatch(word) for word in words):
        return None
    return {option: int(word) for option, word in zip(options, words, strict=True) if word != "-"}


def _rates(tree: Tree, name: str) -> dict[str, int]:
    section = tree.get(PACKAGE, {}).get(f"{SECTION}_{name}")
    if section is None or section.type != SECTION:
        return {}
    values = {option: section.value(option) or "" for option in OPTIONS}
    return {option: int(value) for option, value in values.items() if _KBIT.fullmatch(value)}


def _kbits(cap: object) -> dict[str, str]:
    """Give a cap of a document in UCI's words; it is a table, or None."""
    whole = cap if isinstance(cap, Mapping) else {}
    of_each = whole.get(PER_STATION)
    stations = of_each if isinstance(of_each, Mapping) else {}
    told = {DOWN: whole.get("down_mbps"), UP: whole.get("up_mbps"), STATION_DOWN: stations.get("down_mbps"), STATION_UP: stations.get("up_mbps")}
    return {option: str(round(mbps * 1000)) for option, mbps in told.items() if isinstance(mbps, int | float)}


def _mbps(kbit: int) -> int | float:
    return kbit // 1000 if kbit % 1000 == 0 else kbit / 1000


def _word(option: str) -> str:
    return RATES[option in (UP, STATION_UP)]


def _rate(path: str, value: object) -> list[Fault]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return [fault(path, "type", shown(value), RATE)]
    # Neither is true of NaN.
    return [] if LEAST_MBPS <= value <= MOST_MBPS else [fault(path, "range", shown(value), f"{LEAST_MBPS} to {MOST_MBPS}")]


def _empty(path: str, value: object, expected: tuple[str, ...]) -> list[Fault]:
    return [fault(path, "required", "an empty table", f"at least one of {', '.join(expected)}, or none of it")] if value == {} else []


def _across(path: str, value: object) -> list[Fault]:
    """Find stations that may have more than all of them together; the value is well formed."""
    whole = value if isinstance(value, dict) else {}
    stations = whole.get(PER_STATION, {})
    above = [rate for rate in RATES if rate in whole and rate in stations and stations[rate] > whole[rate]]
    return [fault(f"{path}.{PER_STATION}.{rate}", "conflict", shown(stations[rate]), f"at most {path}.{rate}, which is {shown(whole[rate])}") for rate in above]
