"""What `iw dev X scan` heard in the air: its text read, and the program run within its time. Every byte of it was sent by strangers."""

from __future__ import annotations

import re
from typing import NamedTuple

from agent.errors import Unavailable
from agent.records import Band
from agent.router.child import SEARCH, Failed, Program
from agent.router.hands import MOST_NETWORKS, Heard, Name, Scan
from agent.router.iw import Wlan, band_of, parse_interfaces
from agent.router.log_lines import without_addresses
from agent.router.text import dbm, mac, unescape

SCAN_S = 12.0  # all of 5 GHz, most of which may only be listened to
_BSS = re.compile(r"BSS ([0-9A-Fa-f:]{17})(?:\(on |$| )")
_FREQUENCY = re.compile(r"([0-9]{4,5})(?:\.[0-9]+)?")
_CHANNEL = re.compile(r"channel ([0-9]{1,3})")


class Neighbour(NamedTuple):
    """One BSS that was heard; `mac` never leaves root's process. `ssid` None where it hides its name."""

    mac: str
    ssid: str | None
    frequency_mhz: int | None
    channel: int | None
    signal_dbm: int | None


def parse(text: str) -> list[Neighbour]:
    """Read what was printed; each address once, as it was heard last."""
    found: dict[str, Neighbour] = {}
    address: str | None = None
    facts: dict[str, str] = {}
    # Only "\n" ends a line: iw escapes what else an SSID may hold.
    for line in (*text.split("\n"), "BSS"):
        if line.startswith("BSS"):
            if address:
                found[address] = _neighbour(address, facts)
            header = _BSS.match(line)
            address, facts = (mac(header[1]) if header else None), {}
        elif line.startswith("\t") and not line.startswith("\t\t"):
            # The last one tells of a probe's answer, where a beacon before it hid the name.
            key, _, value = line[1:].partition(":")
            if key not in facts or not facts[key].strip(" "):
                facts[key] = value[1:] if value.startswith(" ") else value
    return list(found.values())


def _neighbour(address: str, facts: dict[str, str]) -> Neighbour:
    tuned = _FREQUENCY.match(facts.get("freq", ""))
    frequency = int(tuned[1]) if tuned else None
    said = _CHANNEL.match(facts.get("DS Parameter set", ""))
    ssid = facts.get("SSID", "")
    is_hidden = not ssid.replace("\\x00", "")
    return Neighbour(
        address, None if is_hidden else unescape(ssid), frequency, int(said[1]) if said else channel_of(frequency), _signal(facts.get("signal", ""))
    )


def _signal(text: str) -> int | None:
    """Read "-40.00 dBm"; some old drivers give "55.00/100", which is none."""
    level, point, rest = text.partition(".")
    return dbm(level) if not point or rest.endswith("dBm") else None


def channel_of(frequency_mhz: int | None) -> int | None:
    """Number the channel of a frequency (IEEE 802.11-2020, annex E); None outside the three bands."""
    band = band_of(frequency_mhz)
    if frequency_mhz is None or band is None:
        return None
    if frequency_mhz == 2484:
        return 14
    return (frequency_mhz - {"2g": 2407, "5g": 5000, "6g": 5950}[band]) // 5


class Scanner:
    """The program, for one scan of each radio."""

    def __init__(self, search: str = SEARCH, scan_s: float = SCAN_S) -> None:
        self._quick = Program("iw", search)
        self._slow = Program("iw", search, scan_s)

    def is_there(self) -> bool:
        """Say whether there is such a program."""
        return self._quick.is_there()

    def ears(self, band: str | None) -> dict[Band, Wlan]:
        """Give one network for each band that is on air, or for the one asked for; Unavailable when there is none to listen with."""
        found: dict[Band, Wlan] = {}
        for wlan in parse_interfaces(self._quick.run("dev")):
            on = band_of(wlan.frequency_mhz)
            if wlan.kind == "AP" and on is not None and band in (None, on):
                found.setdefault(on, wlan)
        if not found:
            raise Unavailable(f"no radio is on air{f' on {band}' if band else ''}, so none can listen; `rwctl status` shows why")
        return found

    def listen(self, wlan: Wlan) -> list[Neighbour]:
        """Let one radio listen on all channels; Unavailable when its driver does not, or something else has it."""
        try:
            # An access point's radio only listens elsewhere when it is told that it may (NL80211_SCAN_FLAG_AP).
            return parse(self._slow.run("dev", wlan.ifname, "scan", "ap-force"))
        except Failed as error:
            why = {240: "busy", 161: "cannot scan while it is an access point", 243: "not allowed"}.get(error.code, "refused")
            raise Unavailable(f"iw scan: {why} (exit status {error.code}); try again in a minute") from None


def scan(scanner: Scanner, name: Name, band: str | None) -> Scan:
    """Let one radio of each band listen, one after the other, and give what they heard; Unavailable when none could."""
    heard: dict[str, Neighbour] = {}
    silent: dict[str, str] = {}
    for on, wlan in scanner.ears(band).items():
        try:
            heard |= {one.mac: one for one in scanner.listen(wlan)}
        except Unavailable as error:
            silent[on] = str(error)
    if silent and not heard:
        raise Unavailable("; ".join(f"{on}: {why}" for on, why in silent.items()))
    loudest = sorted(heard.values(), key=lambda one: (one.signal_dbm is None, -(one.signal_dbm or 0), one.mac))
    # Somebody's own address may be the name of his network.
    networks = [Heard(name(one.mac), one.ssid and without_addresses(one.ssid), one.channel, one.signal_dbm) for one in loudest[:MOST_NETWORKS]]
    return Scan(tuple(networks), max(0, len(loudest) - MOST_NETWORKS), silent)
