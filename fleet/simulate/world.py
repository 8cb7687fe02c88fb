"""The simulated city's time, and what happens in it: outages of providers, late returns, reboots, wrong clocks, misbehaving access points.

Pure but for the clock it reads. All of it follows from a seed, so that two runs of one city have the same day.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

Kind = Literal["cut", "reboot", "power-cut", "clock", "duplicates", "garbage", "flood"]

HOUR = 3600.0
DAY = 24 * HOUR
# What may be switched on, each by its name; ORDINARY loses nothing for good, which "power-cuts" do.
MOODS = ("outages", "returns", "reboots", "power-cuts", "clocks", "duplicates", "garbage", "floods")
ORDINARY = tuple(mood for mood in MOODS if mood != "power-cuts")

OUTAGES_A_DAY = 1.5
OUTAGE_S = (600.0, 2400.0)
BACK_WITHIN_S = 300.0  # after a provider is back, its access points find out one after the other
LATE_RATIO, LATE_S = 0.05, (1800.0, 5400.0)
REBOOTS: tuple[tuple[str, Kind, float], ...] = (("reboots", "reboot", 0.15), ("power-cuts", "power-cut", 0.1))  # mood, kind, how many a day
MISBEHAVIOURS: tuple[tuple[str, Kind, float], ...] = (("duplicates", "duplicates", 0.03), ("garbage", "garbage", 0.02))  # mood, kind, share of all
CLOCK_RATIO, FLOOD_RATIO = 0.06, 0.005
CLOCKS = ("none", "floor", "1970", "future", "ntp-1970", "ntp-future")
CLOCK_S = (1 * HOUR, 12 * HOUR)
FLOOD_MESSAGES = 200


class Time:
    """The city's time: it stands at `start` (Unix seconds) until it begins, and runs `speed` times as fast as the world from then on, or slower."""

    def __init__(self, start: float, speed: float) -> None:
        self.start, self.speed = start, speed
        self.began = float("inf")

    def begin(self, at: float) -> None:
        """Let it run from a monotonic second of this machine on."""
        self.began = at

    def hold_back(self, seconds: float) -> None:
        """Let it stand still for so many seconds of the world, the last ones: whoever could not keep up is not late then."""
        self.began += seconds

    def now(self) -> float:
        """Give the moment in the city."""
        return self.start + max(0.0, time.monotonic() - self.began) * self.speed

    def real(self, at: float) -> float:
        """Give the monotonic second at which a moment of the city comes; infinite before its time has begun."""
        return self.began + (at - self.start) / self.speed


class Happening(NamedTuple):
    """Something that happens to one access point from `at` until `until` (Unix seconds of the city); `word` says which of its kind."""

    at: float
    until: float
    kind: Kind
    word: str = ""


def unknown(moods: Sequence[str]) -> list[str]:
    """Give the moods that are none."""
    return [mood for mood in moods if mood not in MOODS]


def day(seed: int, start: float, seconds: float, providers: Mapping[str, str], moods: Sequence[str]) -> dict[str, list[Happening]]:
    """Say what happens to each access point (`providers`: its name to its provider's) within `seconds` from `start`, earliest first."""
    outages = {name: _outages(seed, name, start, seconds) for name in sorted(set(providers.values()))} if "outages" in moods else {}
    found = {}
    for ap, provider in providers.items():
        # Two pairs of dice: how many outages there are must not change what else happens.
        cuts = _cuts(random.Random(f"{seed}/{ap}/cuts"), outages.get(provider, []), "returns" in moods)
        own = [*cuts, *_troubles(random.Random(f"{seed}/{ap}"), start, seconds, moods)]
        found[ap] = sorted(own)
    return found


def _outages(seed: int, provider: str, start: float, seconds: float) -> list[tuple[float, float]]:
    """Give a provider's outages, which do not overlap: at least one a day."""
    dice = random.Random(f"{seed}/provider {provider}")
    count = max(1, round(dice.uniform(0.67, 1.33) * OUTAGES_A_DAY * seconds / DAY)) if seconds >= HOUR else 0
    share = seconds / max(1, count)
    found = []
    for number in range(count):
        lasts = min(dice.uniform(*OUTAGE_S), share / 3)
        at = start + share * number + dice.uniform(0.1, 0.6) * share
        found.append((at, at + lasts))
    return found


def _cuts(dice: random.Random, outages: Sequence[tuple[float, float]], has_late: bool) -> list[Happening]:
    cuts = []
    for at, until in outages:
        late = dice.random() < LATE_RATIO
        more = dice.uniform(*LATE_S) if late and has_late else dice.uniform(0.0, BACK_WITHIN_S)
        cuts.append(Happening(at, until + more, "cut"))
    return cuts


def _troubles(dice: random.Random, start: float, seconds: float, moods: Sequence[str]) -> list[Happening]:
    """Give what is this access point's own. Every die is thrown whatever the moods, so that one mood does not change what another does."""
    chance, word, lasts = dice.random(), dice.choice(CLOCKS), min(dice.uniform(*CLOCK_S), seconds / 2)
    has_clock = "clocks" in moods and chance < CLOCK_RATIO
    found = [Happening(start, start + lasts, "clock", word)] if has_clock else []
    for mood, kind, a_day in REBOOTS:
        chance, ratio = dice.random(), dice.uniform(0.05, 0.95)
        # A boot whose clock was never right keeps its guessed times for good: the clock comes right first.
        first = (lasts if has_clock else 0.0) + ratio * (seconds - (lasts if has_clock else 0.0))
        if mood in moods and chance < a_day * seconds / DAY:
            found.append(Happening(start + first, start + first, kind))
    for mood, kind, share in MISBEHAVIOURS:
        if dice.random() < share and mood in moods:
            found.append(Happening(start, start + seconds, kind))
    chance, at = dice.random(), start + dice.uniform(0.1, 0.9) * seconds
    if "floods" in moods and chance < FLOOD_RATIO:
        found.append(Happening(at, at + HOUR / 2, "flood"))
    return found
