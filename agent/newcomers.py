"""Stations that came to a network whose stations are capped one by one: root is told, so that each gets a queue of its own.

Only tells, at most once in RING_EVERY_S, and starts nothing; who is not known yet is under the station's cap all the same.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.records import Bss, Caps, Station

Reading = tuple[tuple[Bss, ...], Mapping[str, "list[Station] | None"]]

# Root's script looks at most once in 5 s: a ring that comes sooner would only have another shell wait there.
RING_EVERY_S = 6.0


class Newcomers:
    """Who was there at the last sample. A MAC address tells stations apart and goes nowhere."""

    def __init__(self) -> None:
        self._known: frozenset[tuple[str, str]] = frozenset()
        self._made_at = 0
        self._is_awaited = False
        self._ring_at = float("-inf")

    def came(self, at: float, caps: Caps, reading: Reading) -> bool:
        """Take a sample of moment `at`; say whether root is to be told now. A network that could not be read keeps who was there.

        After root was at work on the caps everybody is new to it, also who was there before.
        """
        if caps.made_at != self._made_at:
            self._made_at, self._known = caps.made_at, frozenset()
        now: set[tuple[str, str]] = set()
        for ifname in caps.per_station:
            found = reading[1].get(ifname)
            if found is None:
                now |= {one for one in self._known if one[0] == ifname}
            else:
                now |= {(ifname, one.mac) for one in found if one.authorized}
        self._is_awaited = (self._is_awaited and bool(now)) or not now <= self._known
        self._known = frozenset(now)
        if not self._is_awaited or at < self._ring_at:
            return False
        self._is_awaited, self._ring_at = False, at + RING_EVERY_S
        return True

    def ask_again(self) -> None:
        """Take note that root could not be told."""
        self._is_awaited = True
