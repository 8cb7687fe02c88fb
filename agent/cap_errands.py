"""What root is rung for on behalf of the bandwidth caps: stations that came, and caps that do not stand, which its script sets again.

Only tells, and seldom: what root cannot set is asked for again after MEND_EVERY_S, for somebody may have installed what it lacked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from agent.newcomers import Newcomers, Reading
from agent.records import Caps

if TYPE_CHECKING:
    from agent.router.contract import Errand

# A network made anew may be without its caps for a moment, and root's own work is seen half done: two readings so far apart, as for the alert.
MEND_AFTER_S = 10.0
MEND_EVERY_S = 300.0


class CapErrands:
    """What the last readings said."""

    def __init__(self) -> None:
        self._newcomers = Newcomers()
        self._caps = Caps()
        self._missing_since: float | None = None
        self._mend_at = float("-inf")

    def next(self, at: float, caps: object, stations: object) -> Errand | None:
        """Take a sample of moment `at`, each reading None where there was none; say what root is to be told now, None for nothing."""
        is_mending = isinstance(caps, Caps) and self._is_to_be_mended(at, caps)
        if isinstance(caps, Caps):
            self._caps = caps
        has_come = stations is not None and self._newcomers.came(at, self._caps, cast(Reading, stations))
        if not is_mending:
            return "stations" if has_come else None
        if has_come:
            # Root knows nobody after it: they are told of when it is through.
            self._newcomers.ask_again()
        self._mend_at = at + MEND_EVERY_S
        return "caps"

    def ask_again(self, errand: Errand) -> None:
        """Take note that root could not be told."""
        if errand == "caps":
            self._mend_at = float("-inf")
        else:
            self._newcomers.ask_again()

    def _is_to_be_mended(self, at: float, caps: Caps) -> bool:
        if not caps.missing:
            self._missing_since = None
            return False
        if self._missing_since is None:
            self._missing_since = at
        return at - self._missing_since >= MEND_AFTER_S and at >= self._mend_at
