"""What time it is in the city: the server's clock, unless the access points whose clocks are set agree that it is wrong.

Pure: it is told the server's clock (Unix seconds) and the monotonic one. Times of access points are kept against the monotonic
clock, so a server clock that jumps is known to be wrong at once.
"""

from __future__ import annotations

import statistics
from collections import OrderedDict
from typing import NamedTuple

MOST_ASKED = 101
FEWEST_ASKED = 5  # of fewer access points one alone could move the city's time
WRONG_S, RIGHT_AGAIN_S = 60.0, 30.0
JUMP_S = 1.5  # between two looks; a clock that is slewed moves 0.5 ms a second
LIVE_RATIO = 0.5  # of the time between two reports: when the second comes so much sooner, the first was kept waiting somewhere,
LIVE_S = 30.0  # and when it comes so much later, itself
FORGOTTEN_S = 3600.0


class Look(NamedTuple):
    """One look at the clocks: the city's time, and how far it and the server's clock jumped since the look before (0: they did not)."""

    now: float
    jumped_s: float
    server_jumped_s: float


class ServerClock:
    """Compares the server's clock with what the access points say."""

    def __init__(self) -> None:
        self.is_wrong = False
        self._before: dict[int, tuple[float, float]] = {}  # the report before, by access point: its time, when it came
        self._said: OrderedDict[int, tuple[float, float]] = OrderedDict()  # Unix seconds of monotonic 0, and when that was heard
        self._fleet: float | None = None  # their median
        self._server: float | None = None
        self._city: float | None = None

    def note(self, ap: int, at: float, mono: float) -> None:
        """Take the time of a report whose clock is set, come at `mono`. Backlog is no clock: only what comes as it is made counts."""
        before = self._before.get(ap)
        if before is not None and mono - before[1] > FORGOTTEN_S:
            before = None  # also of one whose clock was ahead then
        if before is not None and at <= before[0]:
            return
        self._before[ap] = (at, mono)
        if before is None or not LIVE_RATIO * (at - before[0]) <= mono - before[1] <= at - before[0] + LIVE_S:
            return
        self._said[ap] = (at - mono, mono)
        self._said.move_to_end(ap)
        while len(self._said) > MOST_ASKED:
            self._said.popitem(last=False)
        self._fleet = None

    def forget(self, is_known: frozenset[int] | set[int]) -> None:
        """Keep nothing of access points that are not in the inventory any more."""
        for ap in [ap for ap in self._before if ap not in is_known]:
            del self._before[ap]
            if self._said.pop(ap, None) is not None:
                self._fleet = None

    def off_s(self, wall: float, mono: float) -> float | None:
        """Say how far the server's clock is behind the access points' (negative: ahead); None while too few are known."""
        while self._said and mono - next(iter(self._said.values()))[1] > FORGOTTEN_S:
            self._said.popitem(last=False)
            self._fleet = None
        if len(self._said) < FEWEST_ASKED:
            return None
        if self._fleet is None:
            self._fleet = statistics.median(base for base, _ in self._said.values())
        return self._fleet - (wall - mono)

    def look(self, wall: float, mono: float) -> Look:
        """Give the city's time now, and what jumped."""
        off_s = self.off_s(wall, mono)
        if off_s is None:
            self.is_wrong = False
        else:
            self.is_wrong = abs(off_s) > (RIGHT_AGAIN_S if self.is_wrong else WRONG_S)
        server = wall - mono
        city = server + (off_s if self.is_wrong and off_s is not None else 0.0)
        jumps = [0.0 if before is None or abs(now - before) < JUMP_S else now - before for now, before in ((city, self._city), (server, self._server))]
        self._server, self._city = server, city
        return Look(city + mono, *jumps)
