"""The radios and networks of a Linux box, put together from iw, hostapd and /sys. Starts no process where there is no Wi-Fi.

`iw dev` runs again only when something changed (/sys, hostapd) or grew old, the survey on a slow tier, and `station dump`
once for each call of `stations`. A network that was on air stays wanted, as down, until its radio is seen without it. A radio
is wanted on air when hostapd leads it or it carries, or carried, a network: but not while it listens for radar before it may send.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from agent.errors import Unavailable
from agent.records import Radio, Station, changed
from agent.router.hostapd import Hostapd, Status
from agent.router.iw import NO_SURVEY, Iw, Survey, Wlan, band_of
from agent.router.networks import Network, operstate
from agent.router.text import listed, mac, printable, read_line, whole

SYS_CLASS = "/sys/class"
SURVEY_S = 20.0
VIEW_S = 60.0
VIEW_WITHOUT_HOSTAPD_S = 10.0
SHARED_S = 0.5  # hostapd's answers serve all who ask within one sample
FORGET_S = 7 * 86400.0
NONE_S = 10.0  # how long a box without Wi-Fi is believed to have none
MOST_NETWORKS = 64
_NO_ADDRESS = "00:00:00:00:00:00"
_NOT_RUNNING = ("down", "lowerlayerdown", "notpresent")


class _View(NamedTuple):
    phys: dict[int, str]
    wlans: list[Wlan]
    statuses: dict[str, Status | None]
    networks: list[Network]


NOTHING = _View({}, [], {}, [])


class Wireless:
    """What is known of this box's Wi-Fi; `monotonic` is its clock."""

    def __init__(self, iw: Iw, hostapd: Hostapd, monotonic: Callable[[], float], sys_class: str = SYS_CLASS) -> None:
        self._iw = iw
        self._hostapd = hostapd
        self._monotonic = monotonic
        self._sys = sys_class
        self._key: object = None
        self._fresh_until = 0.0
        self._wlans: list[Wlan] = []
        self._seen: dict[str, Network] = {}
        self._there: dict[str, float] = {}
        self._addresses: dict[str, str | None] = {}
        self._statuses: tuple[float, dict[str, Status | None]] = (0.0, {})
        self._surveys: dict[str, tuple[float, int | None, Survey]] = {}
        self._none_until = float("-inf")

    def networks(self) -> list[Network]:
        """Give every BSS that is or should be on air; Unavailable when neither iw nor hostapd answers."""
        return self._look().networks

    def names(self) -> frozenset[str]:
        """Name the interfaces last known as BSSs; asks only when nobody asked before."""
        if self._key is None:
            with suppress(Unavailable):
                self._look()
        return frozenset(self._seen)

    def radios(self) -> list[Radio]:
        """Give every radio; one that carried a network and is gone is given as down, for a week or until it comes back under another name."""
        view = self._look()
        self._surveys = {name: survey for name, survey in self._surveys.items() if name in view.phys.values()}
        present = [self._radio(index, name, view) for index, name in sorted(view.phys.items())]
        lost = {network.radio: network.band for network in view.networks if network.radio and network.radio not in view.phys.values()}
        return present + [Radio(name, name, band, None, None, None, None, None, None, None, False) for name, band in sorted(lost.items())]

    def stations(self, ifname: str) -> list[Station]:
        """Give every station entry of one BSS, by iw (which has the retries), else by hostapd; none when the interface is gone."""
        if not os.path.exists(os.path.join(self._sys, "net", ifname)):
            return []
        try:
            return self._iw.stations(ifname)
        except Unavailable as error:
            try:
                return self._hostapd.stations(ifname)
            except Unavailable as other:
                raise Unavailable(f"{error}; {other}") from None

    def _look(self) -> _View:
        if self._monotonic() < self._none_until:
            return NOTHING
        names = listed(self._sys, "ieee80211")
        if not names and not self._seen:
            self._none_until = self._monotonic() + NONE_S
            return NOTHING
        statuses = self._ask_hostapd()
        devices = [name for name in listed(self._sys, "net") if os.path.exists(os.path.join(self._sys, "net", name, "phy80211"))]
        key = (names, [(name, operstate(self._sys, name)) for name in devices], statuses)
        now = self._monotonic()
        if key != self._key or now >= self._fresh_until:
            self._wlans = self._ask_iw(names, statuses)
            self._key = key
            is_told = any(statuses.values())
            self._fresh_until = now + (VIEW_S if is_told else VIEW_WITHOUT_HOSTAPD_S)
        phys = {index: printable(name) for name in names if (index := whole(self._of_phy(name, "index"))) is not None}
        self._meet({printable(name): mac(self._of_phy(name, "macaddress")) for name in names}, now)
        return _View(phys, self._wlans, statuses, self._networks(phys, self._wlans, statuses))

    def _of_phy(self, name: str, fact: str) -> str:
        return read_line(os.path.join(self._sys, "ieee80211", name, fact)) or ""

    def _ask_hostapd(self) -> dict[str, Status | None]:
        now = self._monotonic()
        until, statuses = self._statuses
        if now >= until:
            statuses = self._hostapd.statuses()
            self._statuses = (now + SHARED_S, statuses)
        return statuses

    def _meet(self, present: dict[str, str | None], now: float) -> None:
        """Note who is there, by name and address; one that comes back under another name takes along what it carried, as a replugged USB radio does."""
        for name, address in present.items():
            if name in self._addresses or address in (None, _NO_ADDRESS):
                continue
            former = [old for old, known in self._addresses.items() if known == address and old not in present]
            self._seen = {ifname: net._replace(radio=name) if net.radio in former else net for ifname, net in self._seen.items()}
            self._addresses = {old: known for old, known in self._addresses.items() if old not in former}
        self._there = {name: at for name, at in self._there.items() if now - at < FORGET_S} | dict.fromkeys(present, now)
        self._addresses = {name: address for name, address in self._addresses.items() if name in self._there} | present

    def _ask_iw(self, names: list[str], statuses: dict[str, Status | None]) -> list[Wlan]:
        """Run `iw dev`; without iw, hostapd's answers must do: they lack the width and the power."""
        if not names:
            return []
        try:
            return self._iw.interfaces()
        except Unavailable:
            told = [status for status in statuses.values() if status]
            if not told:
                raise
            return [
                Wlan(net.ifname, self._phy_index(net.ifname), "AP", net.bssid, net.ssid, status.frequency_mhz, status.channel, None, None)
                for status in told
                for net in status.networks
            ]

    def _phy_index(self, ifname: str) -> int | None:
        return whole(read_line(os.path.join(self._sys, "net", ifname, "phy80211", "index")) or "")

    def _networks(self, phys: dict[int, str], wlans: list[Wlan], statuses: dict[str, Status | None]) -> list[Network]:
        told = {net.ifname: (status, net) for status in statuses.values() if status for net in status.networks}
        found: dict[str, Network] = {}
        for wlan in wlans:
            if wlan.kind != "AP":
                continue
            status, wanted = told.pop(wlan.ifname, (None, None))
            radio = phys.get(-1 if wlan.phy is None else wlan.phy) or self._radio_of(wlan.ifname, status, phys)
            # A control socket with nobody behind it: the kernel may still send beacons, but no station can join any more.
            is_led = status.is_enabled if status else statuses.get(wlan.ifname, True) is not None
            up = is_led and wlan.frequency_mhz is not None and operstate(self._sys, wlan.ifname) not in _NOT_RUNNING
            ssid, bssid = (wanted.ssid, wanted.bssid) if wanted else (wlan.ssid, wlan.bssid)
            found[wlan.ifname] = Network(wlan.ifname, radio, band_of(wlan.frequency_mhz), ssid, bssid or wlan.bssid, up)
        for ifname, (status, wanted) in told.items():
            found[ifname] = Network(ifname, self._radio_of(ifname, status, phys), band_of(status.frequency_mhz), wanted.ssid, wanted.bssid, False)
        self._remember(found, [status.phy for status in statuses.values() if status and status.phy])
        return list(self._seen.values())

    def _radio_of(self, ifname: str, status: Status | None, phys: dict[int, str]) -> str:
        linked = self._phy_index(ifname)
        if linked is not None and linked in phys:
            return phys[linked]
        if status and status.phy:
            return status.phy
        return self._seen[ifname].radio if ifname in self._seen else ""

    def _remember(self, found: dict[str, Network], led_phys: list[str]) -> None:
        """Keep what was on air and is gone as down, unless its radio is led, or carries others, without it, or is forgotten."""
        busy = {network.radio for network in found.values()} | set(led_phys)
        self._there |= dict.fromkeys(busy, self._monotonic())
        missed = self._there.keys() - busy
        lost = [changed(net, up=False) for name, net in self._seen.items() if name not in found and net.radio in missed]
        band = {name: net.band for name, net in self._seen.items()}
        kept = [net if net.band else changed(net, band=band.get(net.ifname)) for net in found.values()]
        self._seen = {net.ifname: net for net in sorted([*kept, *lost], key=lambda net: (net.radio, net.ifname))[:MOST_NETWORKS]}

    def _radio(self, index: int, name: str, view: _View) -> Radio:
        networks = [network for network in view.networks if network.radio == name]
        here = sorted((wlan for wlan in view.wlans if wlan.phy == index and wlan.frequency_mhz), key=lambda wlan: wlan.kind != "AP")
        running = [wlan for wlan in here if operstate(self._sys, wlan.ifname) not in _NOT_RUNNING]
        up = any(network.up for network in networks) if networks else bool(running)
        if not up or not running:
            band = next((network.band for network in networks if network.band), None)
            leaders = [status for ifname, status in view.statuses.items() if (status and status.phy == name) or self._phy_index(ifname) == index]
            # A hostapd that died (None) leads it still: nobody switched that radio off.
            wanted = bool(networks or leaders) and not any(status and status.is_radar_check for status in leaders)
            return Radio(name, name, band, None, None, None, None, None, None, None, False, wanted)
        wlan = running[0]
        survey = self._survey(name, wlan)
        band = band_of(wlan.frequency_mhz)
        return Radio(
            name, name, band, wlan.channel, wlan.width_mhz, wlan.tx_power_dbm,
            survey.noise_dbm, survey.active_ms_total, survey.busy_ms_total, survey.tx_ms_total, True,
        )  # fmt: skip

    def _survey(self, radio: str, wlan: Wlan) -> Survey:
        now = self._monotonic()
        until, frequency, survey = self._surveys.get(radio, (0.0, None, NO_SURVEY))
        if now < until and frequency == wlan.frequency_mhz:
            return survey
        try:
            survey = self._iw.survey(wlan.ifname, wlan.frequency_mhz)
        except Unavailable:
            survey = NO_SURVEY
        self._surveys[radio] = (now + SURVEY_S, wlan.frequency_mhz, survey)
        return survey
