"""The radios and networks of an OpenWrt box: hostapd's objects say what is on air, root's facts what should be, iw the rest.

A network that should be on air and has no object is down, whatever netifd says. Without facts what was on air stays wanted, until its
radio is seen without it. One reading serves all collectors of a sample.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import NamedTuple

from agent.errors import Unavailable
from agent.records import Band, Radio, Station
from agent.router import facts as facts_door
from agent.router import hostapd_ubus
from agent.router.facts import Facts, RadioFacts
from agent.router.iw import band_of
from agent.router.iw_turns import IwTurns, Tuned
from agent.router.text import printable, read_line

SYS_CLASS = "/sys/class"
SHARED_S = 0.5
FORGET_S = 7 * 86400.0
MOST_NETWORKS = 64
_BANDS: dict[str | None, Band] = {"2g": "2g", "5g": "5g", "6g": "6g"}


class Network(NamedTuple):
    """One BSS that is or should be on air; `ifname` as the system names it, or its UCI section while it never had one."""

    ifname: str
    radio: str
    band: Band | None
    ssid: str | None
    bssid: str | None
    up: bool
    pair: str | None


class _View(NamedTuple):
    objects: dict[str, hostapd_ubus.Network]
    facts: Facts
    phys: list[str]
    phy_of: dict[str, str | None]
    radio_of_phy: dict[str, str]
    networks: list[Network]


class FactsFile:
    """root's facts, read again when their file is another one."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: tuple[int, int, int] | None = None
        self._facts: Facts | None = None

    def get(self) -> Facts | None:
        """Give the facts; None when root wrote none."""
        try:
            found = os.stat(self._path)
            file = (found.st_ino, found.st_mtime_ns, found.st_size)
        except OSError:
            file = None
        if file != self._file:
            # In this order: what is interrupted between the two is read again.
            self._facts = facts_door.read(self._path) if file else None
            self._file = file
        return self._facts


class OpenwrtWireless:
    """What is known of this box's Wi-Fi; `monotonic` is its clock."""

    def __init__(
        self, hostapd: hostapd_ubus.HostapdObjects, turns: IwTurns, facts: FactsFile, monotonic: Callable[[], float], sys_class: str = SYS_CLASS
    ) -> None:
        self._hostapd = hostapd
        self._turns = turns
        self._facts = facts
        self._monotonic = monotonic
        self._sys = sys_class
        self._view: tuple[float, _View] | None = None
        self._seen: dict[str, tuple[float, Network]] = {}
        self._ifnames: dict[str, str] = {}

    def networks(self) -> list[Network]:
        """Give every BSS that is or should be on air; Unavailable when ubus cannot tell."""
        return self._look().networks

    def names(self) -> frozenset[str]:
        """Name the interfaces last known as BSSs; asks only when nobody asked before."""
        if self._view is None:
            with suppress(Unavailable):
                self._look()
        return frozenset(self._seen)

    def radios(self) -> list[Radio]:
        """Give every radio that root's facts or the kernel know, and those that carried a network and are gone; may run iw."""
        view = self._look()
        # Here and not where stations are counted: an iw that hangs must cost no more than this part.
        self._turns.step(self._tuned(view))
        known = {radio.name: radio for radio in view.facts.radios}
        # A radio whose phy root could not tell is one of the nameless ones: it must not stand in the list twice.
        phys = [] if any(radio.phy is None and name not in view.radio_of_phy.values() for name, radio in known.items()) else view.phys
        names = dict.fromkeys([*known, *(view.radio_of_phy.get(phy, phy) for phy in phys), *(network.radio for network in view.networks)])
        return [self._radio(name, known.get(name), view) for name in names if name]

    def stations(self, ifname: str) -> list[Station]:
        """Give every station entry of one BSS, by hostapd; packets and retries are those of iw's last dump."""
        network = self._look().objects.get(ifname)
        if network is None:
            return []
        if network.stations is None:
            raise Unavailable(f"hostapd of {printable(ifname)} does not tell its stations")
        counts = self._turns.counts(ifname)
        return [_counted(station, counts.get(station.mac)) for station in network.stations]

    def _look(self) -> _View:
        now = self._monotonic()
        if self._view is not None and now < self._view[0]:
            return self._view[1]
        phys = self._names("ieee80211")
        facts = self._facts.get() or facts_door.EMPTY
        has_wifi = bool(phys or facts.radios or self._seen)
        view = self._ask(phys, facts, now) if has_wifi else _View({}, facts, [], {}, {}, [])
        self._view = (now + SHARED_S, view)
        return view

    def _ask(self, phys: list[str], facts: Facts, now: float) -> _View:
        objects = self._hostapd.read()
        phy_of = {ifname: network.phy or self._phy_by_sys(ifname) for ifname, network in objects.items()}
        radio_of_phy = {radio.phy: radio.name for radio in facts.radios if radio.phy}
        # Root's hook may have looked before a radio had its interface: what hostapd runs under a known name settles it.
        section_of = {network.ifname: radio.name for radio in facts.radios for network in radio.networks if network.ifname}
        for ifname, phy in phy_of.items():
            if phy and ifname in section_of:
                radio_of_phy.setdefault(phy, section_of[ifname])
        view = _View(objects, facts, phys, phy_of, radio_of_phy, [])
        found = self._on_air(view)
        missing = self._wanted(view, found) if facts.radios else self._remembered(view, found, now)
        for network in found.values():
            self._seen[network.ifname] = (now, network)
        kept = {network.ifname for network in missing} | found.keys()
        self._seen = {name: seen for name, seen in self._seen.items() if name in kept}
        networks = sorted([*found.values(), *missing], key=lambda network: (network.radio, network.ifname))
        return view._replace(networks=networks[:MOST_NETWORKS])

    def _on_air(self, view: _View) -> dict[str, Network]:
        pairs = {network.ifname: network.pair for radio in view.facts.radios for network in radio.networks if network.ifname}
        found: dict[str, Network] = {}
        for ifname, told in view.objects.items():
            phy = view.phy_of[ifname]
            radio = view.radio_of_phy.get(phy, phy) if phy else self._seen[ifname][1].radio if ifname in self._seen else ""
            found[ifname] = Network(ifname, radio, band_of(told.frequency_mhz), told.ssid, told.bssid, told.is_enabled, pairs.get(ifname))
        return found

    def _wanted(self, view: _View, found: dict[str, Network]) -> list[Network]:
        """Give what root's facts want on air and hostapd does not run."""
        missing: list[Network] = []
        sections: dict[str, str] = {}
        for radio in view.facts.radios:
            if radio.is_disabled:
                continue
            for network in radio.networks:
                if network.is_disabled or network.mode not in (None, "ap"):
                    continue
                key = network.section or network.ifname or ""
                # netifd names no interface while there is none; what it was called before it is still.
                ifname = network.ifname or self._ifnames.get(key) or key
                if network.ifname and network.section:
                    sections[network.section] = network.ifname
                if ifname and ifname not in found:
                    missing.append(Network(ifname, radio.name, _BANDS.get(radio.band), network.ssid, None, False, network.pair))
        self._ifnames |= sections
        self._ifnames = dict(list(self._ifnames.items())[-MOST_NETWORKS:])
        return missing

    def _remembered(self, view: _View, found: dict[str, Network], now: float) -> list[Network]:
        """Give what was on air and is gone, unless its radio carries others without it, or it is forgotten."""
        busy = {network.radio for network in found.values()}
        return [
            network._replace(up=False)
            for name, (at, network) in self._seen.items()
            if name not in found and network.radio not in busy and now - at < FORGET_S
        ]

    def _radio(self, name: str, wanted: RadioFacts | None, view: _View) -> Radio:
        networks = [network for network in view.networks if network.radio == name]
        told = [view.objects[network.ifname] for network in networks if network.ifname in view.objects]
        running = next((one for one in told if one.is_enabled), None)
        phy = next((phy for phy in (view.phy_of[one.ifname] for one in told) if phy), None) or (wanted.phy if wanted else None) or name
        if running is None:
            # A radio nobody set up, one that is switched off, and one that must listen for radar first are not missed.
            is_missed = bool(networks) and not (wanted and wanted.is_disabled) and not any(one.is_radar_check for one in told)
            band = next((network.band for network in networks if network.band), None) or (_BANDS.get(wanted.band) if wanted else None)
            return Radio(name, phy, band, None, None, None, None, None, None, None, False, is_missed)
        survey = self._turns.survey(name)
        wlan = self._turns.wlan([one.ifname for one in told], running.frequency_mhz)
        return Radio(
            name, phy, band_of(running.frequency_mhz), running.channel, (wlan.width_mhz if wlan else None) or running.width_mhz,
            wlan.tx_power_dbm if wlan else None, survey.noise_dbm, survey.active_ms_total, survey.busy_ms_total, survey.tx_ms_total, True,
        )  # fmt: skip

    @staticmethod
    def _tuned(view: _View) -> dict[str, Tuned]:
        """Give the radios on air with what iw needs to know of them."""
        tuned: dict[str, Tuned] = {}
        for network in view.networks:
            if network.up and network.radio:
                one, told = tuned.get(network.radio, Tuned((), None, False)), view.objects[network.ifname]
                tuned[network.radio] = Tuned(
                    (*one.ifnames, network.ifname), one.frequency_mhz or told.frequency_mhz, one.has_stations or _is_anyone(told.stations)
                )
        return tuned

    def _phy_by_sys(self, ifname: str) -> str | None:
        name = read_line(os.path.join(self._sys, "net", ifname, "phy80211", "name"))
        return printable(name) if name else None

    def _names(self, kind: str) -> list[str]:
        try:
            return sorted(map(printable, os.listdir(os.path.join(self._sys, kind))))
        except OSError:
            return []


def _counted(station: Station, dumped: Station | None) -> Station:
    return station._replace(tx_packets_total=dumped.tx_packets_total, tx_retries_total=dumped.tx_retries_total) if dumped else station


def _is_anyone(stations: Iterable[Station] | None) -> bool:
    return any(station.authorized for station in stations or ())
