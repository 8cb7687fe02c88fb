"""The network devices: counters as read, and rates made here from the monotonic clock. Promises no spike and no negative.

`*_bps` are means over the span, `*_peak_bps` the highest 1-second rate (only when the daemon sampled each second); `reset`:
within the span a counter went back, moved faster than the link, or the device was created anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.rates import Count, delta, throughput_bps
from agent.records import Interface, Knobs

if TYPE_CHECKING:
    from agent.router.contract import Router

NAME = "traffic"
INTERFACES_MAX = 128  # rows the report may have; the uplink comes first
PEAK_ABOVE_CONTRACT_RATIO = 0.3
SECOND_MIN, SECOND_MAX = 0.5, 2.0  # drivers refresh counters in steps: over less than this a step looks like a burst
KNOWN_MAX = 256  # names of devices that came and went; containers make new ones without end
AS_READ = ("name", "role", "up", "link_mbps", "duplex", "rx_bytes_total", "tx_bytes_total")
ERRORS = ("rx_errors_total", "rx_dropped_total", "tx_errors_total", "tx_dropped_total")


def collect(router: Router) -> list[Interface]:
    """Read the network devices' counters."""
    return router.interfaces()[:INTERFACES_MAX]


class _Track:
    """One device's way through a span; rates are pairs of rx and tx."""

    def __init__(self, at: float, interface: Interface, is_reset: bool) -> None:
        self.first = self.last = self.second = (at, interface)
        self.begin()
        self.is_reset = is_reset

    def begin(self) -> None:
        """Start the next span from the last reading."""
        self.first = self.last
        self.fastest = (0.0, 0.0)
        self.is_reset = self.has_seconds = False

    def add(self, at: float, interface: Interface) -> float:
        """Take a sample; give the mean of the faster way since the one before, in bits per second."""
        rates = _rates(self.last, (at, interface))
        self.last = (at, interface)
        if at - self.second[0] >= SECOND_MIN:
            self.second = self.last
        if rates is None:
            self.is_reset = True
            return 0.0
        self._rise(rates)
        return max(rates)

    def add_second(self, at: float, interface: Interface) -> None:
        """Take a reading for the peaks: a counter that went back is a reset, garbage is left to the next sample."""
        passed = at - self.second[0]
        if passed < SECOND_MIN:
            return
        before, self.second = self.second, (at, interface)
        if _went_back(before[1], interface):
            self.is_reset = True
        elif passed <= SECOND_MAX:
            rates = _rates(before, self.second)
            if rates is not None:
                self.has_seconds = True
                self._rise(rates)

    def row(self) -> dict[str, object]:
        """Give the device as the report has it; what is not known is absent."""
        (since, before), (until, after) = self.first, self.last
        row = {name: getattr(after, name) for name in AS_READ}
        if not self.is_reset and until > since:
            # Every step between the two was plausible, so the whole is; the link's speed may have changed on the way.
            row["rx_bps"] = round((after.rx_bytes_total - before.rx_bytes_total) * 8 / (until - since))
            row["tx_bps"] = round((after.tx_bytes_total - before.tx_bytes_total) * 8 / (until - since))
            if self.has_seconds:
                row |= {"rx_peak_bps": round(self.fastest[0]), "tx_peak_bps": round(self.fastest[1])}
        row |= {name: getattr(after, name) for name in ERRORS}
        return {name: value for name, value in row.items() if value is not None} | {"reset": self.is_reset}

    def _rise(self, rates: tuple[float, float]) -> None:
        self.fastest = (max(self.fastest[0], rates[0]), max(self.fastest[1], rates[1]))


class Span:
    """Every device's track."""

    def __init__(self, knobs: Knobs) -> None:
        self._knobs = knobs
        self._tracks: dict[str, _Track] = {}
        self._known: set[str] = set()
        self._is_sampled = False
        self._uplink_bps = 0.0

    @property
    def is_peaking(self) -> bool:
        """Say whether the daemon shall read each second: always when so set, else while the uplink is busy."""
        return self._knobs.peaks or self._uplink_bps > self._knobs.contract_mbps * 1_000_000 * PEAK_ABOVE_CONTRACT_RATIO

    def add(self, at: float, reading: list[Interface]) -> None:
        """Take one sample; a device that is gone is left out, and begins anew with a reset when it comes back."""
        if self.is_peaking:
            self.peak(at, reading)
        tracks: dict[str, _Track] = {}
        uplink_bps = 0.0
        for interface in reading:
            track = self._tracks.get(interface.name) or _Track(at, interface, interface.name in self._known)
            bps = track.add(at, interface) if at > track.last[0] else 0.0
            if interface.role == "uplink":
                uplink_bps = max(uplink_bps, bps)
            tracks[interface.name] = track
        self._tracks, self._uplink_bps = tracks, uplink_bps
        self._known = self._known.union(self._tracks) if len(self._known) < KNOWN_MAX else set(self._tracks)
        self._is_sampled = True

    def peak(self, at: float, interfaces: list[Interface]) -> None:
        """Take a 1-second reading; the daemon brings one each second while `is_peaking`."""
        for interface in interfaces:
            track = self._tracks.get(interface.name)
            if track is not None:
                track.add_second(at, interface)

    def part(self, at: float) -> dict[str, object]:
        """Give `interfaces`, or nothing when the span had no sample."""
        if not self._is_sampled:
            return {}
        rows = [track.row() for track in self._tracks.values()]
        for track in self._tracks.values():
            track.begin()
        self._is_sampled = False
        return {"interfaces": rows}


def _went_back(before: Interface, after: Interface) -> bool:
    moved = delta(before.rx_bytes_total, after.rx_bytes_total), delta(before.tx_bytes_total, after.tx_bytes_total)
    return before.ifindex != after.ifindex or None in moved


def _rates(before: tuple[float, Interface], after: tuple[float, Interface]) -> tuple[float, float] | None:
    (since, old), (until, new) = before, after
    if old.ifindex != new.ifindex:
        return None
    # A link that fell from 1000 to 100 within the interval carried most of it at the higher speed.
    link_mbps = max(old.link_mbps, new.link_mbps) if old.link_mbps and new.link_mbps else None
    rx = throughput_bps(Count(since, old.rx_bytes_total), Count(until, new.rx_bytes_total), link_mbps)
    tx = throughput_bps(Count(since, old.tx_bytes_total), Count(until, new.tx_bytes_total), link_mbps)
    return None if rx is None or tx is None else (rx, tx)  # None: reset
