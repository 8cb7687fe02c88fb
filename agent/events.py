"""What happened between two reports: uplink and radios going and coming, and the clock being set.

Pure: compares the parts of two reports. Promises to tell a change once.
"""

from __future__ import annotations

from typing import NamedTuple

from agent.records import ClockState

CLOCK_STEP_S = 2.0


class Event(NamedTuple):
    """One event as the wire has it: kind and data."""

    kind: str
    data: dict[str, object]


class Watch:
    """Remembers the last state of each thing that can change; the first sight of one is no event."""

    def __init__(self) -> None:
        self._uplink: str | None = None
        self._uplink_since = 0.0
        self._radios: dict[str, bool] = {}
        self._clock: ClockState | None = None
        self._offset: float | None = None

    def uplink(self, state: str, uptime_s: float) -> list[Event]:
        """Tell a change of the uplink's state, and how long the former one lasted."""
        former, self._uplink = self._uplink, state
        if former is None or former == state:
            self._uplink_since = self._uplink_since or uptime_s
            return []
        lasted = uptime_s - self._uplink_since
        self._uplink_since = uptime_s
        return [Event("uplink", {"from": former, "to": state, "for_s": round(lasted, 1)})]

    def radios(self, radios: list[tuple[str, bool]]) -> list[Event]:
        """Tell each radio that went down or came up; `radios` are (name, is up)."""
        changed = [Event("radio", {"radio": name, "up": up}) for name, up in radios if self._radios.get(name, up) != up]
        self._radios = dict(radios)
        return changed

    def clock(self, state: ClockState, wall: float, uptime_s: float) -> list[Event]:
        """Tell a change of trust in the clock, and any step of it against the uptime."""
        former, self._clock = self._clock, state
        offset, self._offset = self._offset, wall - uptime_s
        step = 0.0 if offset is None else self._offset - offset
        if former is None or (former == state and abs(step) < CLOCK_STEP_S):
            return []
        return [Event("clock", {"from": former, "to": state, "step_s": round(step, 1)})]
