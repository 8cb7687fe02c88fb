"""Run the collectors, each isolated and timed, and interrupt the one that does not return.

A collector that raises, blocks or spins costs its own part of the sample only. Promises not to
interpret what was read.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Mapping
from types import FrameType, ModuleType
from typing import NamedTuple, TypeVar

from agent.errors import Unavailable
from agent.router.contract import Router

LONGEST_PAUSE_S = 60.0
REPEAT_RATIO = 0.25
MESSAGE_CHARACTERS = 120

_T = TypeVar("_T")
_MAC = re.compile(r"[0-9A-Fa-f]{2}(?:[:-]?[0-9A-Fa-f]{2}){5}")


class Overrun(BaseException):
    """Raised by the interval timer inside a collector that is over its time; not an Exception, so that no collector swallows it."""


class Sample(NamedTuple):
    """What one round of collectors read, when each began (monotonic seconds), how long it took, and what went wrong with whom."""

    readings: dict[str, object]
    moments: dict[str, float]
    milliseconds: dict[str, float]
    errors: dict[str, str]


class _Pause(NamedTuple):
    until: float
    seconds: float
    error: str


def sentence(error: BaseException) -> str:
    """Give an error as a short text fit for a report: no line breaks, bounded."""
    text = str(error) if isinstance(error, (Unavailable, OSError)) else f"{type(error).__name__}: {error}"
    # A bug's text may quote what it stumbled over, such as a station's key. Found before anything is cut off.
    text = _MAC.sub("(a MAC address)", text[: 10 * MESSAGE_CHARACTERS])[:MESSAGE_CHARACTERS]
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def attempt(name: str, errors: dict[str, str], call: Callable[..., _T], *arguments: object) -> _T | None:
    """Call something of a collector's; what it raises becomes its entry in `errors`, and None the answer."""
    try:
        return call(*arguments)
    except Exception as error:  # noqa: BLE001  # boundary: a collector's failure or bug costs its own part only
        errors[name] = sentence(error)
        return None


class Sensing:
    """The rounds of collecting; lives in the main thread, whose SIGALRM it owns."""

    def __init__(self, collectors: Mapping[str, ModuleType], budget_s: float) -> None:
        self._collectors = collectors
        self.budget_s = budget_s
        self._is_guarding = False
        self._pauses: dict[str, _Pause] = {}
        signal.signal(signal.SIGALRM, self._interrupt)

    def sample(self, router: Router, is_last: bool = True) -> Sample:
        """Run every collector that is not pausing after an overrun; those of once a report only at the `is_last` sample before it."""
        sample = Sample({}, {}, {}, {})
        for name, collector in self._collectors.items():
            if not is_last and getattr(collector, "IS_ONCE_A_REPORT", False):
                continue
            # Each at its own moment: a slow collector before it must not bend a rate.
            at = router.clock.monotonic()
            pause = self._pauses.get(name)
            if pause is not None and at < pause.until:
                sample.errors[name] = pause.error
                continue
            began = time.perf_counter()
            try:
                reading = attempt(name, sample.errors, self.guard, collector.collect, router)
            except Overrun:
                sample.errors[name] = self._set_aside(name, at, pause)
            else:
                self._pauses.pop(name, None)
                if reading is not None:
                    sample.readings[name], sample.moments[name] = reading, at
                else:
                    sample.errors.setdefault(name, "gave no reading")
            sample.milliseconds[name] = round((time.perf_counter() - began) * 1000, 1)
        return sample

    def guard(self, collect: Callable[[Router], _T], router: Router) -> _T:
        """Call `collect` with the interval timer running; raise Overrun when it takes longer than the budget."""
        try:
            # The timer repeats: an Overrun swallowed by a destructor or a finally is followed by another.
            signal.setitimer(signal.ITIMER_REAL, self.budget_s, self.budget_s * REPEAT_RATIO)
            self._is_guarding = True
            try:
                return collect(router)
            finally:
                self._is_guarding = False
                signal.setitimer(signal.ITIMER_REAL, 0)
        except Overrun:
            # The alarm may also have struck inside the finally above, before the timer was off.
            self._is_guarding = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if self._is_guarding:
            raise Overrun

    def _set_aside(self, name: str, at: float, former: _Pause | None) -> str:
        """Let a collector that hung rest, twice as long each time: the others must stay on time."""
        seconds = min(LONGEST_PAUSE_S, former.seconds * 2 if former else self.budget_s * 10)
        error = f"gave no answer within {self.budget_s:g} s"
        self._pauses[name] = _Pause(at + seconds, seconds, error)
        return error
