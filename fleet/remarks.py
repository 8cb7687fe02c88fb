"""What an operator must know before believing a table: how old it is, whose clock is wrong, who waits for enrolment, what was not understood.

Reads only.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import NamedTuple

from fleet.city import City
from fleet.view import Overview, document
from fleet.words import Clock, number, several, span

FILE = "serve.json"
MOST_NAMED = 3


class Serving(NamedTuple):
    """What `rwctl serve` says of itself; `clock_off_s`: what the city's time is ahead of the server's clock, 0 while that one is right.

    `trouble`: why it cannot store what it hears; `has_ended`: it left a word of itself and is gone.
    """

    is_running: bool = False
    is_connected: bool = False
    clock_off_s: float = 0.0
    messages_per_s: float | None = None
    trouble: str = ""
    has_ended: bool = False


def serving_of(city: City) -> Serving:
    """Read what `rwctl serve` says of itself; one that is gone says nothing."""
    try:
        told = document((city.store / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Serving()
    pid, off_s, trouble = told.get("pid"), number(told.get("clock_off_s")) or 0.0, told.get("trouble")
    if not isinstance(pid, int) or not _is_alive(pid):
        return Serving(clock_off_s=off_s, has_ended=bool(told))
    return Serving(True, told.get("connected") is True, off_s, number(told.get("messages_per_s")), trouble if isinstance(trouble, str) else "")


def remarks_on(city: City, seen: Overview, serving: Serving) -> list[str]:
    """Give a line for each, what matters most first."""
    clock = Clock(city.zone, seen.now)
    return [line for line in (_deaf(city, seen, serving, clock), _clock(serving), _pending(city, seen), _poison(city, seen)) if line]


def typed(city: City, words: str) -> str:
    """Give a command as it is to be typed here."""
    return f"rwctl {words}" if city.folder == Path(".") else f"rwctl --dir {shlex.quote(str(city.folder))} {words}"


def _deaf(city: City, seen: Overview, serving: Serving, clock: Clock) -> str:
    if seen.ear.is_listening and not serving.has_ended:
        return ""
    ended_at = seen.ear.ended_at
    old = "nothing was ever heard" if ended_at is None else f"what follows is as it was {clock.ago(ended_at)}"
    if serving.trouble:
        return f"rwctl serve cannot store what it hears ({serving.trouble}): {old}"
    if serving.is_connected:
        return f"rwctl serve has not heard anything yet: {old}"
    if serving.is_running:
        return f"rwctl serve has no connection to the broker: {old}; look at:  {typed(city, 'broker check')}"
    return f"rwctl serve is not running: {old}; start it:  {typed(city, 'serve')}"


def _clock(serving: Serving) -> str:
    off = serving.clock_off_s
    if not off:
        return ""
    return f"this server's clock is {span(abs(off))} {'behind' if off > 0 else 'ahead'}, as the access points say; theirs is used; set it (timedatectl)"


def _pending(city: City, seen: Overview) -> str:
    found = seen.pending()
    if not found:
        return ""
    names = ", ".join(point.id for point in found[:MOST_NAMED]) + (" …" if len(found) > MOST_NAMED else "")
    what = "1 certificate has no row in the inventory and gets" if len(found) == 1 else f"{len(found)} certificates have no row in the inventory and get"
    return f"{what} nothing: {names}; enrol {'it' if len(found) == 1 else 'them'}:  {typed(city, f'enroll {found[0].id} …')}"


def _poison(city: City, seen: Overview) -> str:
    if not seen.quarantined:
        return ""
    return f"{several(seen.quarantined, 'message')} could not be understood; see them:  {typed(city, 'status --quarantine')}"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
