"""The stations: how many, who came and went, how well they are heard, per BSS and in all. Reads each BSS's station list.

A MAC address tells stations apart between two samples; it enters no part of the report and no error. `stations` counts the
authorised, each once over all BSSs; `bss` has a row per network, rates and `tx_retry_ratio` over the span, signals of the last
sample. A BSS that cannot be read keeps its stations until the span ends, its row goes without; a span unread is unknown.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from agent.errors import Unavailable
from agent.rates import Count, delta, throughput_bps
from agent.records import Bss, Knobs, Station

if TYPE_CHECKING:
    from agent.router.contract import Router

NAME = "stations"
WEAK_BELOW_DBM = -75
NETWORKS_MAX = 64  # rows the report may have
STATIONS_MAX = 2007  # association ids a BSS can give (IEEE 802.11-2020, 9.4.1.8)
AS_READ = ("ifname", "radio", "band", "ssid", "bssid", "up", "pair")
Reading = tuple[tuple[Bss, ...], dict[str, "list[Station] | None"]]


def collect(router: Router) -> Reading:
    """Read every BSS and its stations; None stands for stations that cannot be read now."""
    networks = tuple(router.bss()[:NETWORKS_MAX])
    stations: dict[str, list[Station] | None] = dict.fromkeys(bss.ifname for bss in networks)
    for ifname in stations:
        with suppress(Unavailable):
            stations[ifname] = router.stations(ifname)
    return networks, stations


class _Track:
    """One BSS's way through a span. `macs` are those believed there (None: nobody knows), `present` what the last sample read."""

    def __init__(self, at: float, bss: Bss, macs: frozenset[str] | None) -> None:
        self.macs = macs
        self.present: dict[str, Station] | None = None
        self.last = (at, bss)
        self.begin()

    def begin(self) -> None:
        """Start the next span from the last reading."""
        self.base, self.first, self.most = self.present, self.last, 0
        self.is_reset = self.was_read = False

    def add(self, at: float, bss: Bss, stations: list[Station] | None) -> None:
        """Take a sample; a BSS that is not on air has no stations, whatever can be read of it."""
        if at > self.last[0]:
            self.is_reset = self.is_reset or _bps(self.last, (at, bss)) is None
        self.last = (at, bss)
        known = stations if bss.up else []
        self.present = None if known is None else {one.mac: one for one in known[:STATIONS_MAX] if one.authorized}
        if self.present is not None:
            self.macs, self.was_read = frozenset(self.present), True
            self.most = max(self.most, len(self.macs))
            self.base = self.present if self.base is None else self.base

    def row(self) -> dict[str, object]:
        """Give the BSS as the report has it."""
        row: dict[str, object] = {name: getattr(self.last[1], name) for name in AS_READ}
        if self.present is not None:
            signals = sorted(one.signal_dbm for one in self.present.values() if one.signal_dbm is not None)
            row |= {"stations": len(self.present), "stations_max": self.most}
            row |= {"signal_p50_dbm": _percentile(signals, 50), "signal_p10_dbm": _percentile(signals, 10)}
        row |= (None if self.is_reset else _bps(self.first, self.last)) or {}
        row["tx_retry_ratio"] = _retry_ratio(self.base or {}, self.present or {})
        return {name: value for name, value in row.items() if value is not None}


class Span:
    """Every BSS's track, and the comings and goings between samples."""

    def __init__(self, knobs: Knobs) -> None:
        self._tracks: dict[str, _Track] = {}
        self._now: frozenset[str] | None = None
        self._has_wifi = self._is_sampled = False
        self._max = self._joins = self._leaves = 0

    def add(self, at: float, reading: Reading) -> None:
        """Take one sample; stations of a BSS whose former ones nobody knows have not joined now."""
        networks, stations = reading
        before, unknown = self._now, None if self._now is None else frozenset[str]()
        self._tracks = {bss.ifname: self._tracks.get(bss.ifname) or _Track(at, bss, unknown) for bss in networks}
        new = [track for track in self._tracks.values() if track.macs is None]
        for bss in networks:
            self._tracks[bss.ifname].add(at, bss, stations.get(bss.ifname))
        self._now = now = self._everyone()
        self._joins += len(now.difference(before or (), *(track.macs or () for track in new)))
        self._leaves += len((before or frozenset()) - now)
        self._max = max(self._max, len(now))
        self._is_sampled, self._has_wifi = True, self._has_wifi or bool(networks)

    def part(self, at: float) -> dict[str, object]:
        """Give `stations` and `bss`, or nothing when the span had no sample or the box never had Wi-Fi."""
        if not self._is_sampled or not self._has_wifi:
            return {}
        totals: dict[str, object] = {"stations": self._totals()} if all(track.was_read for track in self._tracks.values()) else {}
        part = totals | {"bss": [track.row() for track in self._tracks.values()]}
        for track in self._tracks.values():
            track.macs = track.macs if track.was_read else None  # now unknown, so none of them leaves or joins
            track.begin()
        self._now = self._everyone()
        self._max = self._joins = self._leaves = 0
        self._is_sampled = False
        return part

    def _everyone(self) -> frozenset[str]:
        return frozenset[str]().union(*[track.macs or () for track in self._tracks.values()])

    def _totals(self) -> dict[str, object]:
        now = self._now or frozenset()
        present = [one for track in self._tracks.values() for one in (track.present or {}).values()]
        # Of a station that lingers in a second BSS the strongest signal counts: it stands last.
        heard = dict(sorted((one.mac, one.signal_dbm) for one in present if one.signal_dbm is not None))
        totals: dict[str, object] = {"now": len(now), "max": self._max, "joins": self._joins, "leaves": self._leaves}
        if heard:  # the share of nobody is no 0
            totals["weak_ratio"] = round(sum(dbm < WEAK_BELOW_DBM for dbm in heard.values()) / len(heard), 3)
        return totals


def _percentile(ordered: list[int], percent: int) -> int | None:
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else None  # nearest rank


def _bps(before: tuple[float, Bss], after: tuple[float, Bss]) -> dict[str, object] | None:
    """Give rx and tx in bits per second; None when the counters are not there, were reset or are another device's."""
    ways: dict[str, float | None] = {}
    is_same = before[1].ifindex == after[1].ifindex
    for way in ("rx", "tx"):
        old, new = (getattr(bss, way + "_bytes_total") for _, bss in (before, after))
        ways[way + "_bps"] = None if not is_same or old is None or new is None else throughput_bps(Count(before[0], old), Count(after[0], new), None)
    return None if None in ways.values() else {name: round(bps or 0) for name, bps in ways.items()}


def _retry_ratio(base: dict[str, Station], present: dict[str, Station]) -> float | None:
    """Give retries over all transmissions of the stations there at both ends; None when nothing was sent."""
    packets = retries = 0
    for mac in base.keys() & present.keys():
        sent = delta(base[mac].tx_packets_total, present[mac].tx_packets_total)
        again = delta(base[mac].tx_retries_total, present[mac].tx_retries_total)
        if sent is not None and again is not None:
            packets, retries = packets + sent, retries + again
    return round(retries / (packets + retries), 3) if packets + retries else None
