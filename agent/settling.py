"""What a journal that was left behind says, carried to its end: rolled back when nobody did yet, remembered, removed. Can be cut and repeated anywhere."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from typing import NamedTuple

from agent import guard, revisions, verdicts
from agent.confirm import Clock
from agent.errors import Unavailable
from agent.flash import Flash, is_temporary, temporary_of
from agent.guard import Scripts
from agent.pending import Ending, Journal, Pending
from agent.revisions import Memory

LOG = logging.getLogger(__name__)

GUARD_S = 60.0
ROUNDS, ROUND_S = 3, 5.0
BALLAST_AGAIN_S = 3600.0
BALLAST_BYTES = 16384


class Places(NamedTuple):
    """Where root's own things lie."""

    state_dir: str
    apply_dir: str


class Outcome(NamedTuple):
    """What a journal came to: the memory with its verdict, and the desired file it was about.

    `is_durable` False: the flash did not take it. `is_ended` False: there is no verdict yet, because not all could be put back so far.
    """

    memory: Memory
    handled: str
    is_durable: bool
    is_ended: bool = True


def settle(flash: Flash, places: Places, scripts: Scripts, clock: Clock, memory: Memory) -> Outcome | None:
    """Finish the journal that is there, whoever left it and wherever it stopped; None when there is none."""
    pending = Pending(flash, places.state_dir)
    try:
        if pending.state() == "unready":
            pending.clear()  # nothing was replaced: the push is simply judged again
        if pending.state() == "none":
            return None
        journal = pending.read()
    except OSError as error:
        LOG.error("%s cannot be removed: %s", pending.path, error)
        return None
    except Unavailable as error:
        LOG.error("%s", error)
        return _unreadable(flash, pending, places, scripts, clock, memory)
    if pending.state() in ("ready", "failed"):
        _roll_back(pending, places, scripts, clock, journal.boot)
    return book(flash, pending, places, clock, memory, journal)


def roll_back(scripts: Scripts, places: Places, clock: Clock, reason: str) -> bool:
    """Run the rollback as often as the guard would; say whether it succeeded."""
    for number in range(ROUNDS):
        if number:
            clock.sleep(ROUND_S)
        if guard.roll_back(scripts, places.state_dir, places.apply_dir, reason):
            return True
    return False


def _roll_back(pending: Pending, places: Places, scripts: Scripts, clock: Clock, boot: str) -> None:
    """Let the guard that still watches have its way, else do it ourselves: its applier is gone, for we hold the lock.

    Or we are its applier still (--watch), or the guard itself, which has become the settle command: neither is waited for.
    """
    apply_dir = places.apply_dir
    if boot == clock.boot and not guard.is_us(apply_dir, "guard") and not guard.is_us(apply_dir, "applier"):
        until = clock.uptime() + GUARD_S
        while pending.state() == "ready" and guard.is_alive(apply_dir, "guard") and clock.uptime() < until:
            clock.sleep(0.2)
    if pending.state() == "failed":
        roll_back(scripts, places, clock, pending.ending().reason)
    elif pending.state() == "ready":
        roll_back(scripts, places, clock, "applier_died" if boot == clock.boot else "reboot")


def _unreadable(flash: Flash, pending: Pending, places: Places, scripts: Scripts, clock: Clock, memory: Memory) -> Outcome | None:
    """Put back what a journal names of which not all can be read (the script needs the manifest alone), and keep it for a person."""
    if pending.state() not in ("ready", "failed"):
        pending.set_aside()
        return None
    _roll_back(pending, places, scripts, clock, clock.boot)
    if pending.state() == "ready":
        return Outcome(memory, "", False, is_ended=False)
    said = verdicts.ended({}, "failed", reason="could_not_restore", current=memory.current, is_foreign=False, is_held=False, took_ms=None, at=None)
    booked = memory._replace(reported=said)
    _save(flash, places, booked)
    pending.set_aside()
    return Outcome(booked, "", True)


def book(flash: Flash, pending: Pending, places: Places, clock: Clock, memory: Memory, journal: Journal) -> Outcome:
    """Remember how a journal ended, and remove it."""
    state = pending.state()
    handled = str(journal.push.get("handled", ""))
    if state == "ready":
        LOG.error("revision %s is not taken back yet", journal.push.get("revision"))
        if not os.access(pending.path, os.W_OK):
            # The flash is read-only, or gone: nobody can end it now, and a person must hear that. Said, not remembered.
            reported = after(memory, journal, state, Ending("could_not_restore", False, clock.wall(), None), clock).reported
            return Outcome(memory._replace(reported=reported), handled, False)
        # The guard or the next run ends it: a verdict said now would be followed by another.
        return Outcome(memory, handled, False, is_ended=False)
    booked = memory if memory.run == journal.run else after(memory, journal, state, pending.ending(), clock)
    try:
        pending.sync()
        if booked is not memory:
            _save(flash, places, booked)
        if state == "failed":
            pending.set_aside()
        else:
            pending.clear()
    except OSError as error:
        LOG.error("the verdict on revision %s is not on the flash yet: %s", booked.revision, error.strerror)
        return Outcome(booked, handled, False)
    return Outcome(booked, handled, True)


def after(memory: Memory, journal: Journal, state: str, ending: Ending, clock: Clock) -> Memory:
    """Give the memory with this push's verdict."""
    push = journal.push
    verdict = {"keep": "confirmed", "undone": "rolled_back"}.get(state, "failed")
    revision, tries = _whole(push.get("revision")), _whole(push.get("attempts"))
    attempts = tries + 1 if verdict == "rolled_back" and ending.reason in revisions.RETRIED else 0
    is_kept = verdict == "confirmed"
    config = push.get("config")
    took_ms = ending.took_ms
    if took_ms is None and journal.boot == clock.boot and isinstance(began := push.get("began"), (int, float)):
        took_ms = round((clock.uptime() - began) * 1000)
    booked = memory._replace(
        revision=revision,
        digest=str(push.get("digest", "")),
        run=journal.run,
        attempts=attempts,
        boot=clock.boot,
        uptime_s=float(int(clock.uptime())),
        current=revision if is_kept else memory.current,
        config=config if is_kept and isinstance(config, dict) else memory.config,
    )
    base = push.get("reported")
    reported = verdicts.ended(
        base if isinstance(base, dict) else {},
        verdict,
        reason={"confirmed": None, "failed": "could_not_restore"}.get(verdict, ending.reason),
        current=booked.current,
        is_foreign=ending.is_foreign,
        is_held=attempts > len(revisions.RETRY_AFTER_S),
        took_ms=took_ms,
        at=verdicts.at(ending.at),
    )
    issued_at = push.get("issued_at")
    entry = verdicts.entry(reported, str(push.get("author", "")), issued_at if isinstance(issued_at, int) else 0)
    return booked._replace(reported=reported, history=revisions.remembered(booked, entry))


def _save(flash: Flash, places: Places, memory: Memory) -> None:
    try:
        revisions.save(flash, places.state_dir, memory)
    except OSError:
        # A full flash: what the ballast takes is there for this.
        flash.remove(os.path.join(places.state_dir, "ballast"))
        revisions.save(flash, places.state_dir, memory)


def tidy(flash: Flash, places: Places, files: list[str], uptime_s: float) -> None:
    """Make what a push must find: the ballast, and no half-written file beside the box's own."""
    ballast = os.path.join(places.state_dir, "ballast")
    try:
        for path in map(temporary_of, files):
            flash.remove(path)
        for name in os.listdir(places.state_dir):
            if is_temporary(name):
                flash.remove(os.path.join(places.state_dir, name))
        if not os.path.exists(ballast) and _may_try(places.apply_dir, uptime_s):
            # Random, because a compressing flash stores zeros in no room at all.
            flash.put(ballast, os.urandom(BALLAST_BYTES), 0o600)
    except OSError as error:
        LOG.warning("no ballast for a full flash: %s", error.strerror)
        with suppress(OSError):
            guard.write_plain(places.apply_dir, "ballast", f"{int(uptime_s)}\n")


def _may_try(apply_dir: str, uptime_s: float) -> bool:
    """Say whether the last try on a full flash is an hour ago: each costs the chip, and there may be one at every ring."""
    try:
        with open(os.path.join(apply_dir, "ballast"), encoding="utf-8") as file:
            since_s = uptime_s - float(file.read())
    except (OSError, ValueError):
        return True
    return not 0 <= since_s < BALLAST_AGAIN_S


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
