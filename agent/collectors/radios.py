"""The radios: channel, power, noise, and how busy the air is. Reads the survey's counters, one radio after the other.

`airtime_busy_ratio` and `airtime_tx_ratio` are shares of the time the radio listened within the span; `channel`,
`width_mhz`, `tx_power_dbm`, `noise_dbm` and `up` are the last sample's. A dead radio stands in the list
with `up` false; only then has its row `wanted`: whether it is missed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.rates import delta
from agent.records import Knobs, Radio

if TYPE_CHECKING:
    from agent.router.contract import Router

NAME = "radios"
RADIOS_MAX = 16  # rows the report may have


def collect(router: Router) -> list[Radio]:
    """Read every radio, dead ones too."""
    return router.radios()[:RADIOS_MAX]


class Span:
    """Each radio's survey from the first reading of one channel to the last."""

    def __init__(self, knobs: Knobs) -> None:
        self._first: dict[str, Radio] = {}
        self._last: dict[str, Radio] = {}
        self._is_sampled = False
        self._has_radios = False

    def add(self, at: float, reading: list[Radio]) -> None:
        """Take one sample."""
        last = {radio.name: radio for radio in reading}
        self._first = {name: self._base(name, radio) for name, radio in last.items()}
        self._last = last
        self._is_sampled = True
        self._has_radios = self._has_radios or bool(reading)

    def part(self, at: float) -> dict[str, object]:
        """Give `radios`, or nothing when the span had no sample or the box never had a radio."""
        if not self._is_sampled or not self._has_radios:
            return {}
        rows = [_row(self._first[name], radio) for name, radio in self._last.items()]
        self._first = dict(self._last)
        self._is_sampled = False
        return {"radios": rows}

    def _base(self, name: str, radio: Radio) -> Radio:
        """Choose the reading the ratios start from: another channel, or a counter that went back, begins anew."""
        first, before = self._first.get(name, radio), self._last.get(name, radio)
        is_same_survey = before.channel == radio.channel and delta(before.active_ms_total, radio.active_ms_total) is not None
        return first if is_same_survey else radio


def _row(first: Radio, last: Radio) -> dict[str, object]:
    power = last.tx_power_dbm
    row: dict[str, object] = {
        "radio": last.name,
        "phy": last.phy,
        "band": last.band,
        "channel": last.channel,
        "width_mhz": last.width_mhz,
        "tx_power_dbm": None if power is None else int(power) if power == int(power) else round(power, 1),
        "noise_dbm": last.noise_dbm,
        "airtime_busy_ratio": _ratio(delta(first.busy_ms_total, last.busy_ms_total), first, last),
        "airtime_tx_ratio": _ratio(delta(first.tx_ms_total, last.tx_ms_total), first, last),
        "up": last.up,
        "wanted": None if last.up else last.wanted,
    }
    return {name: value for name, value in row.items() if value is not None}


def _ratio(moved: int | None, first: Radio, last: Radio) -> float | None:
    """Give the share of the time listened; None when the survey stood still, went back or is not there."""
    listened = delta(first.active_ms_total, last.active_ms_total)
    return round(min(1.0, moved / listened), 3) if moved is not None and listened else None
