"""Whether the bandwidth caps stand in the kernel, read back from it once per report. `missing` says what does not, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.records import Caps, Knobs

if TYPE_CHECKING:
    from agent.router.contract import Router

NAME = "caps"
IS_ONCE_A_REPORT = True  # what stands changes seldom, and the kernel lists a class for each station


def collect(router: Router) -> Caps:
    """Read which caps are wanted and what the kernel has of them."""
    return router.caps()


class Span:
    """The last reading."""

    def __init__(self, knobs: Knobs) -> None:
        self._last: Caps | None = None

    def add(self, at: float, reading: Caps) -> None:
        """Take one sample."""
        self._last = reading

    def part(self, at: float) -> dict[str, object]:
        """Give `caps`, or nothing when none is wanted or the span had no sample; `bypassed` only when they are."""
        last, self._last = self._last, None
        if last is None or not last.is_wanted:
            return {}
        part: dict[str, object] = {"standing": not last.missing, "missing": list(last.missing)}
        return {"caps": part | ({"bypassed": True} if last.is_bypassed else {})}
