"""The radios and networks of an OpenWrt box: hostapd's objects say what is on air, root's facts what should be, iw the rest.

A network that should be on air and has no object is down, whatever netifd says. Without facts what was on air stays wanted, until its
radio is seen without it. One reading serves all collectors of a sample.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

from agent.errors import Unavailable
from agent.records import Band, Radio, Station, changed
from agent.router import facts as facts_door
from agent.router import hostapd_ubus
from agent.router.facts import Facts, RadioFacts
from agent.router.iw import band_of
from agent.router.iw_turns import IwTurns, Tuned
from agent.router.networks import Network, operstate
from agent.router.text import listed, printable, read_line

SYS_CLASS = "/sys/class"
SHARED_S = 0.5
FORGET_S = 7 * 86400.0
MOST_NETWORKS = 64
_BANDS: dict[str | None, Band] = {"2g": "2g", "5g": "5g", "6g": "6g"}


class _View(NamedTuple):
    objects: dict[str, hostapd_ubus.Network]
    facts: Facts
    phys: list[str]
    phy_of: dict[str, str | None]
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
        self._failure: tuple[float, str] | None = None
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
        told = {network.radio for network in view.networks}
        claimed = {phy for phy in (*view.phy_of.values(), *(radio.phy for radio in known.values())) if phy}
        # A radio whose phy root could not tell is one of those nobody claims: it must not stand in the list twice.
        has_lost = any(radio.phy is None and not _is_anything_on(name, view) for name, radio in known.items())
        unclaimed = [phy for phy in view.phys if phy not in claimed and not any(_is_part(one, phy) for one in claimed)]
        names = dict.fromkeys([*known, *([] if has_lost else unclaimed), *sorted(told)])
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
        if self._failure is not None and now < self._failure[0]:
            raise Unavailable(self._failure[1])
        phys = sorted(map(printable, listed(self._sys, "ieee80211")))
        facts = self._facts.get() or facts_door.EMPTY
        has_wifi = bool(phys or facts.radios or self._seen)
        try:
            view = self._ask(phys, facts, now) if has_wifi else _View({}, facts, [], {}, [])
        except Unavailable as error:
            # Shared like an answer: a hostapd that hangs must not cost each collector of a sample its time.
            # Its sentence, not itself: kept, and raised again and again, it would keep every sample that it ended in.
            self._failure = (self._monotonic() + SHARED_S, str(error))
            raise
        # Counted from when it came: on a slow box with many stations it takes longer than it is shared.
        self._view = (self._monotonic() + SHARED_S, view)
        return view

    def _ask(self, phys: list[str], facts: Facts, now: float) -> _View:
        expected = [network.ifname for radio in facts.radios for network in radio.networks if network.ifname and facts_door.is_wanted(radio, network)]
        objects = self._hostapd.read(expected or self._seen)
        phy_of = {ifname: network.phy or self._phy_by_sys(ifname) for ifname, network in objects.items()}
        view = _View(objects, facts, phys, phy_of, [])
        found = self._on_air(view)
        missing = self._wanted(view, found) if facts.radios else self._remembered(found, now)
        for network in found.values():
            self._seen[network.ifname] = (now, network)
        kept = {network.ifname for network in missing} | found.keys()
        self._seen = {name: seen for name, seen in self._seen.items() if name in kept}
        networks = sorted([*found.values(), *missing], key=lambda network: (network.radio, network.ifname))
        return _View(objects, facts, phys, phy_of, networks[:MOST_NETWORKS])

    def _on_air(self, view: _View) -> dict[str, Network]:
        configured = {network.ifname: (radio.name, network.pair) for radio in view.facts.radios for network in radio.networks if network.ifname}
        section_of = {ifname: radio for ifname, (radio, _) in configured.items()}
        found: dict[str, Network] = {}
        for ifname, told in view.objects.items():
            band = band_of(told.frequency_mhz)
            radio, pair = self._radio_of(ifname, band, view, section_of), configured.get(ifname, ("", None))[1]
            found[ifname] = Network(ifname, radio, band, told.ssid, told.bssid, told.is_enabled, pair)
        return found

    def _radio_of(self, ifname: str, band: Band | None, view: _View, section_of: Mapping[str, str]) -> str:
        """Name the radio of a BSS: by root's facts of it, of its phy, or of a sibling on its phy; else by the phy itself."""
        phy = view.phy_of[ifname]
        if ifname in section_of:
            return section_of[ifname]
        if phy is None:
            return self._seen[ifname][1].radio if ifname in self._seen else ""
        # A wiphy of several radios has one name in /sys, and may have more in hostapd (phy0.1): then the band tells them apart.
        on_phy = [radio for radio in view.facts.radios if radio.phy and (radio.phy == phy or _is_part(radio.phy, phy) or _is_part(phy, radio.phy))]
        on_band = [radio for radio in on_phy if radio.band == band] if len(on_phy) > 1 else on_phy
        siblings = {section_of[other] for other, its in view.phy_of.items() if its == phy and other in section_of}
        names = [radio.name for radio in on_band] or list(siblings)
        return names[0] if len(names) == 1 else phy

    def _wanted(self, view: _View, found: dict[str, Network]) -> list[Network]:
        """Give what root's facts want on air and hostapd does not run; what it runs under a name root did not know is put right in `found`."""
        missing: list[Network] = []
        wanted = [(radio, network) for radio in view.facts.radios for network in radio.networks if facts_door.is_wanted(radio, network)]
        claimed = {network.ifname for _, network in wanted if network.ifname}
        spare = [network for network in found.values() if network.ifname not in claimed]
        for radio, network in wanted:
            key = network.section or network.ifname or ""
            if network.ifname is None:
                # Root looked before it had its interface, or netifd tells nobody (the open half of an OWE pair): the SSID must do.
                its = next((one for one in spare if one.ssid == network.ssid and _may_be_on(one, radio, view)), None)
                if its is not None:
                    spare.remove(its)
                    found[its.ifname] = changed(its, radio=radio.name, pair=network.pair)
                    continue
            # netifd names no interface while there is none; what it was called before it is still, unless another is called so now.
            former = self._ifnames.get(key)
            ifname = network.ifname or (former if former not in found and former not in claimed else None) or key
            if network.ifname and network.section:
                self._ifnames = dict(list((self._ifnames | {network.section: network.ifname}).items())[-MOST_NETWORKS:])
            if ifname and ifname not in found:
                missing.append(Network(ifname, radio.name, _BANDS.get(radio.band), network.ssid, None, False, network.pair))
        return missing

    def _remembered(self, found: dict[str, Network], now: float) -> list[Network]:
        """Give what was on air and is gone, unless its radio carries others without it, or it is forgotten."""
        busy = {network.radio for network in found.values()}
        return [
            changed(network, up=False) for name, (at, network) in self._seen.items() if name not in found and network.radio not in busy and now - at < FORGET_S
        ]

    def _radio(self, name: str, wanted: RadioFacts | None, view: _View) -> Radio:
        networks = [network for network in view.networks if network.radio == name]
        told = [view.objects[network.ifname] for network in networks if network.ifname in view.objects]
        running = next((one for one in told if one.is_enabled), None)
        phy = next((phy for phy in (view.phy_of[one.ifname] for one in told) if phy), None) or (wanted.phy if wanted else None) or name
        if running is None and wanted is not None and (link := self._link_of(wanted, view)) is not None:
            return self._linked(name, phy, wanted, link)
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

    def _link_of(self, radio: RadioFacts, view: _View) -> str | None:
        """Name what this radio carries beside BSSs of its own, and that is up: a mesh or a client's link, or a network over several radios (MLO)."""
        for network in radio.networks:
            if network.ifname and not network.is_disabled and not radio.is_disabled:
                told = view.objects.get(network.ifname)
                if told.is_enabled if told else network.mode not in (None, "ap") and operstate(self._sys, network.ifname) == "up":
                    return network.ifname
        return None

    def _linked(self, name: str, phy: str, wanted: RadioFacts, link: str) -> Radio:
        """Give a radio of which hostapd says nothing of its own: iw's word is all there is, once it had its turn."""
        wlan, survey = self._turns.wlan([link], None), self._turns.survey(name)
        known = (wlan.channel, wlan.width_mhz, wlan.tx_power_dbm) if wlan else (None, None, None)
        counters = survey.active_ms_total, survey.busy_ms_total, survey.tx_ms_total
        return Radio(name, phy, _BANDS.get(wanted.band), *known, survey.noise_dbm, *counters, True)

    def _tuned(self, view: _View) -> dict[str, Tuned]:
        """Give the radios on air with what iw needs to know of them."""
        tuned: dict[str, Tuned] = {}
        for network in view.networks:
            if network.up and network.radio:
                one, told = tuned.get(network.radio, Tuned((), None, False)), view.objects[network.ifname]
                tuned[network.radio] = Tuned(
                    (*one.ifnames, network.ifname), one.frequency_mhz or told.frequency_mhz, one.has_stations or _is_anyone(told.stations)
                )
        for radio in view.facts.radios:
            link = None if radio.name in tuned else self._link_of(radio, view)
            if link is not None and link not in view.objects:
                tuned[radio.name] = Tuned((link,), None, False)
        return tuned

    def _phy_by_sys(self, ifname: str) -> str | None:
        name = read_line(os.path.join(self._sys, "net", ifname, "phy80211", "name"))
        return printable(name) if name else None


def _is_part(part: str, phy: str) -> bool:
    """Say whether this is one radio of a wiphy with several: phy0.1 of phy0."""
    return part.startswith(phy + ".")


def _may_be_on(network: Network, radio: RadioFacts, view: _View) -> bool:
    """Say whether a BSS whose interface root did not know can be on this radio."""
    if network.band and _BANDS.get(radio.band) and network.band != radio.band:
        return False
    if network.radio in [one.name for one in view.facts.radios]:
        return network.radio == radio.name
    phy = view.phy_of[network.ifname]
    return radio.phy is None or phy is None or phy == radio.phy or _is_part(phy, radio.phy)


def _is_anything_on(radio: str, view: _View) -> bool:
    return any(network.radio == radio and network.ifname in view.objects for network in view.networks)


def _counted(station: Station, dumped: Station | None) -> Station:
    return changed(station, tx_packets_total=dumped.tx_packets_total, tx_retries_total=dumped.tx_retries_total) if dumped else station


def _is_anyone(stations: Iterable[Station] | None) -> bool:
    return any(station.authorized for station in stations or ())
