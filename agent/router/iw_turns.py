"""What only iw can tell of an OpenWrt radio, within a budget: at most one process per radio and period.

Each radio has its turns. Most go to the survey (noise, airtime), each fifth to the stations of one of its networks (retries), and one
to `iw dev` (width and power of all) when that is missing, out of date or old. What was read stays until its next turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from agent.errors import Unavailable
from agent.records import Station
from agent.router.iw import NO_SURVEY, Iw, Survey, Wlan

STATIONS_EACH = 5
WLANS_S = 600.0
RETRY_PERIODS = 2  # after an `iw dev` that failed
EARLY_S = 1.0  # samples come a few milliseconds early or late
MOST_RADIOS = 16
SLOW_S = 0.5


class Tuned(NamedTuple):
    """One radio on air: the networks on it (as the system names them), its frequency, and whether any station is there."""

    ifnames: tuple[str, ...]
    frequency_mhz: int | None
    has_stations: bool


class IwTurns:
    """The turns of one box's radios; `period_s` is the time between two turns of the same radio."""

    def __init__(self, iw: Iw, monotonic: Callable[[], float], period_s: float) -> None:
        self._iw = iw
        self._monotonic = monotonic
        self._period_s = period_s
        self._next_at: dict[str, float] = {}
        self._turns: dict[str, int] = {}
        self._surveys: dict[str, tuple[int | None, Survey]] = {}
        self._wlans: dict[str, Wlan] = {}
        self._wlans_for: dict[str, tuple[tuple[str, ...], int | None]] = {}
        self._wlans_until = float("-inf")
        self._counts: dict[str, dict[str, Station]] = {}

    def pace(self, period_s: float) -> None:
        """Take another period; no turn is later than one of it from now."""
        self._period_s = period_s
        latest = self._monotonic() + period_s
        self._next_at = {radio: min(at, latest) for radio, at in self._next_at.items()}

    def step(self, radios: Mapping[str, Tuned]) -> None:
        """Give every radio on air its turn if that is due; one that fails leaves what it would have read unknown."""
        now = self._monotonic()
        present = dict(list(radios.items())[:MOST_RADIOS])
        ifnames = {ifname for tuned in present.values() for ifname in tuned.ifnames}
        self._counts = {ifname: counts for ifname, counts in self._counts.items() if ifname in ifnames}
        self._surveys = {radio: survey for radio, survey in self._surveys.items() if radio in present and survey[0] == present[radio].frequency_mhz}
        # A radio that went off air and came back has not earned a turn by that; names of long ago are dropped.
        self._next_at = {radio: at for radio, at in self._next_at.items() if radio in present or now < at}
        self._turns = {radio: turn for radio, turn in self._turns.items() if radio in self._next_at}
        for radio, tuned in present.items():
            if self._monotonic() - now > SLOW_S:
                break  # the others have their turn with the next sample
            at = self._next_at.get(radio, now)
            if now >= at - EARLY_S and tuned.ifnames:
                # Noted before it is run: one that hangs and is interrupted must not be run again at once.
                self._next_at[radio] = at + self._period_s if now - at < self._period_s else now + self._period_s
                turn = self._turns[radio] = self._turns.get(radio, -1) + 1
                with suppress(Unavailable):
                    self._take(turn, radio, tuned, present)

    def survey(self, radio: str) -> Survey:
        """Give what a radio heard by its last survey on this channel."""
        return self._surveys.get(radio, (None, NO_SURVEY))[1]

    def wlan(self, ifnames: Sequence[str], frequency_mhz: int | None) -> Wlan | None:
        """Give what `iw dev` said of the first of these networks it knew on this frequency; None: on any."""
        return next((wlan for name in ifnames if (wlan := self._wlans.get(name)) and frequency_mhz in (None, wlan.frequency_mhz)), None)

    def counts(self, ifname: str) -> Mapping[str, Station]:
        """Give the stations of the last dump of one network by their addresses, for their packets and retries."""
        return self._counts.get(ifname, {})

    def _take(self, turn: int, radio: str, tuned: Tuned, radios: Mapping[str, Tuned]) -> None:
        key = {name: (one.ifnames, one.frequency_mhz) for name, one in radios.items()}
        # By each radio's own change, so that one that flaps does not take the others' surveys from them.
        if turn and (key[radio] != self._wlans_for.get(radio) or self._monotonic() >= self._wlans_until):
            self._wlans_for, self._wlans_until = key, self._monotonic() + RETRY_PERIODS * self._period_s
            self._wlans = {}
            self._wlans = {wlan.ifname: wlan for wlan in self._iw.interfaces()}
            self._wlans_until = self._monotonic() + WLANS_S
        elif turn % STATIONS_EACH == STATIONS_EACH - 1 and tuned.has_stations:
            ifname = tuned.ifnames[turn // STATIONS_EACH % len(tuned.ifnames)]
            self._counts.pop(ifname, None)
            self._counts[ifname] = {station.mac: station for station in self._iw.stations(ifname)}
        else:
            self._surveys.pop(radio, None)
            self._surveys[radio] = (tuned.frequency_mhz, self._iw.survey(tuned.ifnames[0], tuned.frequency_mhz))
