"""What `iw` says of radios, networks and stations: the door to nl80211 where there is no ubus.

The `parse_` functions take any text and touch nothing: a line they do not know is skipped.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from agent.records import Association, Band, Station
from agent.router.child import Program
from agent.router.text import dbm, mac, printable, unescape, whole

_CHANNEL = re.compile(r"([0-9]{1,3}) \(([0-9]{4,5})(?:\.[0-9]+)? MHz\)(?:, width: ([0-9]{1,3}) MHz)?")
_FREQUENCY = re.compile(r"([0-9]{4,5})(?:\.[0-9]+)? MHz")
_POWER = re.compile(r"(-?[0-9]{1,2}(?:\.[0-9]{1,2})?) dBm")
_BANDS: tuple[tuple[int, int, Band], ...] = ((2400, 2500, "2g"), (5150, 5895, "5g"), (5925, 7125, "6g"))
_RATE = re.compile(r"([0-9]{1,6}(?:\.[0-9])?) MBit/s")
_STATION = re.compile(r"Station ([0-9A-Fa-f:]{17}) \(on ")
_SURVEY_KEYS = {"noise": "noise", "channel active time": "active", "channel busy time": "busy", "channel transmit time": "tx"}


class Wlan(NamedTuple):
    """One wireless interface; `ifname` as the system names it, `phy` the wiphy's number, `ssid` None while it has none."""

    ifname: str
    phy: int | None
    kind: str
    bssid: str | None
    ssid: str | None
    frequency_mhz: int | None
    channel: int | None
    width_mhz: int | None
    tx_power_dbm: float | None


class Survey(NamedTuple):
    """What the radio heard on its channel; the three `_ms_total` only ever grow."""

    noise_dbm: int | None
    active_ms_total: int | None
    busy_ms_total: int | None
    tx_ms_total: int | None


NO_SURVEY = Survey(None, None, None, None)


def band_of(frequency_mhz: int | None) -> Band | None:
    """Name the band of a frequency; None outside the three."""
    for low, high, band in _BANDS:
        if frequency_mhz is not None and low <= frequency_mhz <= high:
            return band
    return None


def parse_interfaces(text: str) -> list[Wlan]:
    """Read `iw dev`: every wireless interface, each once."""
    found: dict[str, Wlan] = {}
    phy: int | None = None
    name: str | None = None
    facts: dict[str, str] = {}
    # Only "\n" ends a line here: an interface's name may hold other control characters, splitlines would cut it.
    for line in (*text.split("\n"), "phy#"):
        if line.startswith(("phy#", "\tInterface ", "\tUnnamed")):
            if name:
                found[name] = _wlan(name, phy, facts)
            name, facts = (line[11:] if line.startswith("\tInterface ") else None), {}
            if line.startswith("phy#"):
                phy = whole(line[4:])
        elif line.startswith("\t\t"):
            key, _, value = line.lstrip("\t").partition(" ")
            facts.setdefault(key, value)
    return list(found.values())


def _wlan(name: str, phy: int | None, facts: dict[str, str]) -> Wlan:
    tuned = _CHANNEL.match(facts.get("channel", ""))
    power = _POWER.match(facts.get("txpower", ""))
    return Wlan(
        ifname=name,
        phy=phy,
        kind=facts.get("type", ""),
        bssid=mac(facts.get("addr", "")),
        ssid=unescape(facts["ssid"]) if "ssid" in facts else None,
        frequency_mhz=int(tuned[2]) if tuned else None,
        channel=int(tuned[1]) if tuned else None,
        width_mhz=int(tuned[3]) if tuned and tuned[3] else None,
        tx_power_dbm=float(power[1]) if power else None,
    )


def parse_stations(text: str, ifname: str) -> list[Station]:
    """Read `iw dev X station dump`: every entry, each station once (the last entry wins).

    An entry without an `authorized` line comes from a driver that keeps no such flag (mwifiex): associated is all there is to know.
    """
    return [_station(address, ifname, facts) for address, facts in _entries(text).items()]


def parse_associations(text: str) -> dict[str, Association]:
    """Read of the same how each station is connected."""
    return {
        address: Association(_rate(facts.get("rx bitrate", "")), _rate(facts.get("tx bitrate", "")), whole(facts.get("connected time", "")))
        for address, facts in _entries(text).items()
    }


def _entries(text: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    address: str | None = None
    facts: dict[str, str] = {}
    for line in (*text.split("\n"), "Station"):
        if line.startswith("Station"):
            if address:
                found[address] = facts
            header = _STATION.match(line)
            address, facts = (mac(header[1]) if header else None), {}
        elif line.startswith("\t"):
            key, _, value = line.strip("\t ").partition(":")
            facts.setdefault(key, value.strip("\t "))
    return found


def _rate(text: str) -> float | None:
    rate = _RATE.match(text)
    return float(rate[1]) if rate else None


def _station(address: str, ifname: str, facts: dict[str, str]) -> Station:
    return Station(
        mac=address,
        ifname=ifname,
        authorized=facts.get("authorized", "yes") == "yes",
        signal_dbm=dbm(facts.get("signal", "")),
        tx_packets_total=whole(facts.get("tx packets", "")),
        tx_retries_total=whole(facts.get("tx retries", "")),
    )


def parse_survey(text: str, frequency_mhz: int | None) -> Survey:
    """Read `iw dev X survey dump`: the channel in use on `frequency_mhz`, for a wiphy of several radios has several in use; some drivers mark none."""
    ours: dict[str, str] | None = None
    in_use: dict[str, str] | None = None
    same: dict[str, str] | None = None
    facts: dict[str, str] = {}
    for line in text.split("\n"):
        if line.startswith("Survey data"):
            facts = {}
            continue
        key, _, value = line.strip("\t ").partition(":")
        value = value.strip("\t ")
        if key == "frequency":
            tuned = _FREQUENCY.match(value)
            is_same = tuned is not None and int(tuned[1]) == frequency_mhz
            if value.endswith("[in use]"):
                in_use = facts if in_use is None else in_use
                ours = facts if ours is None and is_same else ours
            elif same is None and is_same:
                same = facts
        elif key in _SURVEY_KEYS:
            facts.setdefault(_SURVEY_KEYS[key], value)
    chosen = ours or in_use or same or {}
    return Survey(dbm(chosen.get("noise", "")), *(whole(chosen.get(key, "")) for key in ("active", "busy", "tx")))


class Iw:
    """The program `iw`; every method is one run of it, and raises Unavailable when that fails."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def interfaces(self) -> list[Wlan]:
        """Give every wireless interface."""
        return parse_interfaces(self._program.run("dev"))

    def stations(self, ifname: str) -> list[Station]:
        """Give every station entry of one interface."""
        return parse_stations(self._program.run("dev", ifname, "station", "dump"), printable(ifname))

    def associations(self, ifname: str) -> dict[str, Association]:
        """Give how each station of one interface is connected."""
        return parse_associations(self._program.run("dev", ifname, "station", "dump"))

    def survey(self, ifname: str, frequency_mhz: int | None) -> Survey:
        """Give what was heard on the channel in use."""
        return parse_survey(self._program.run("dev", ifname, "survey", "dump"), frequency_mhz)
