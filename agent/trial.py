"""One push that may change the router, from its plan to its verdict: journal, guard, files in place, reload, trial, keep or roll back."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from typing import NamedTuple

from agent import guard, settling, verdicts
from agent.change import Plan, Tree, edited
from agent.confirm import Clock, Confirm, Reason, required
from agent.derived import DERIVED
from agent.desk import Desk, sha256
from agent.errors import Rejected, Unavailable
from agent.flash import Flash, read
from agent.guard import Scripts
from agent.pending import File, Journal, Pending
from agent.revisions import Memory
from agent.router.store import Store
from agent.settling import Outcome, Places
from agent.wall import Inbox
from agent.wire.claims import ConfigClaims

LOG = logging.getLogger(__name__)

RUN_BYTES = 8
WITHDRAWN = "this access point is being upgraded, or the package removed; nothing is changed until it has booted again"


class Stop(Exception):
    """A push ends before the first file is replaced: with its state, the reason and the faults that say more.

    `is_passing`: what is in the way goes by itself, so that the same push is worth another try soon.
    """

    def __init__(self, state: str, reason: str, faults: list[tuple[str, str, str]], is_passing: bool = False) -> None:
        super().__init__("; ".join(sentence for _, _, sentence in faults))
        self.state = state
        self.reason = reason
        self.faults = faults
        self.is_passing = is_passing


def stop(state: str, reason: str, sentence: str, is_passing: bool = False) -> Stop:
    """Make a Stop of one sentence."""
    return Stop(state, reason, [("", reason, sentence)], is_passing)


class Push(NamedTuple):
    """A verified push and what it would do here.

    `before`: all files as they were before the tree was read; `attempts`: how often the push was rolled back for a reason that may pass.
    """

    raw: bytes
    claims: ConfigClaims
    digest: str
    plan: Plan
    tree: Tree
    before: Mapping[str, bytes | None]
    attempts: int


class Box(NamedTuple):
    """All that a trial touches."""

    store: Store
    flash: Flash
    places: Places
    scripts: Scripts
    clock: Clock
    inbox: Inbox
    desk: Desk


class _Failed(Exception):
    """The push must be taken back, for the reason given."""


def carry_out(box: Box, push: Push, memory: Memory, live_gap_s: float, poll_s: float) -> Outcome:
    """Try a push; Stop while nothing has been replaced, afterwards always an outcome (which `is_ended` only when all could be put back)."""
    began = box.clock.uptime()
    if why := box.store.busy():
        raise stop("rejected", "busy", f"nothing may be changed now: {why}", is_passing=True)
    pending = Pending(box.flash, box.places.state_dir)
    if pending.state() not in ("none", "unready"):
        raise stop("rejected", "busy", "an earlier push is not at its end yet", is_passing=True)
    files = _make(box, push)
    journal = _journal(box, push, memory, files, began)
    apply_dir = box.places.apply_dir
    guard.step(apply_dir, "journal")
    try:
        guard.sign_in(apply_dir)
        pending.write(journal, files)
        guard.start(box.scripts, box.places.state_dir, apply_dir)
        # After `ready`: whoever withdraws us sees that, or is seen here.
        if is_withdrawn(apply_dir):
            raise Unavailable(WITHDRAWN)
    except (OSError, Unavailable) as error:
        _withdraw(pending)
        raise stop("rejected", "busy", f"nothing was changed: {error}", is_passing=True) from None
    try:
        base = {**journal.push["reported"], "run": journal.run}  # type: ignore[dict-item]  # made below
        _try(box, push, journal, files, base, live_gap_s, poll_s)
        took_ms = round((box.clock.uptime() - began) * 1000)
        pending.keep(took_ms)
    except _Failed as failed:
        _take_back(box, str(failed))
    except (OSError, Unavailable) as error:
        LOG.error("the flash fails: %s", error)
        _take_back(box, "write_failed")
    if pending.state() == "failed":
        # Settling tries once more before a person is called.
        return Outcome(memory, sha256(push.raw), False, is_ended=False)
    return settling.book(box.flash, pending, box.places, box.clock, memory, journal)


def is_withdrawn(apply_dir: str) -> bool:
    """Say whether the system is about to be replaced, or the package to go (agent/ash/withdraw): until the reboot nothing may be changed."""
    return os.path.lexists(os.path.join(apply_dir, "withdrawn"))


def differing(plan: Plan, before: Mapping[str, bytes | None]) -> dict[str, bytes]:
    """Give the derived files that this box has and that are not as the plan's tree asks for them, whoever is to blame."""
    return {name: content for name, content in plan.derived if name in before and content != (before[name] or b"")}


def read_all(store: Store) -> dict[str, bytes | None]:
    """Read the files of every package as they are now."""
    return {package: read(path) for package, path in store.paths().items()}


def _make(box: Box, push: Push) -> list[File]:
    """Make the new files in RAM, read back; with what is there now beside them."""
    stage = os.path.join(box.places.apply_dir, "stage")
    shutil.rmtree(stage, ignore_errors=True)
    try:
        os.mkdir(stage, 0o700)
        made = (box.store.stage(push.plan.edits, stage) if push.plan.edits else {}) | differing(push.plan, push.before)
        after = edited(push.tree, push.plan.edits)
        paths = box.store.paths()
        changed = {package: content for package, content in made.items() if content != push.before.get(package)}
        files = [
            File(name, paths[name], push.before.get(name), content, b"" if name in DERIVED else box.store.undo(name, push.tree, after))
            for name, content in changed.items()
        ]
        if read_all(box.store) != push.before:
            raise stop("rejected", "busy", "somebody else is changing the configuration", is_passing=True)
    except Rejected as error:
        raise stop("rejected", "unsupported", str(error)) from None
    except Unavailable as error:
        # The box's own tool made something else of it, or nothing.
        raise stop("rolled_back", "read_back", f"nothing was changed: {error}") from None
    except OSError as error:
        raise stop("rejected", "busy", f"nothing was changed: {error}", is_passing=True) from None
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    if not files:
        raise stop("rejected", "unsupported", "the configuration would be the same files as now")
    return files


def _journal(box: Box, push: Push, memory: Memory, files: list[File], began: float) -> Journal:
    claims = push.claims
    reported = verdicts.of_push("applying", claims, memory.current, changes=verdicts.rows(push.plan.changes))
    noted: dict[str, object] = {
        "revision": claims.revision,
        "digest": push.digest,
        "handled": sha256(push.raw),
        "author": claims.author,
        "issued_at": claims.issued_at,
        "attempts": push.attempts,
        "began": round(began, 3),
        "config": claims.config,
        "reported": reported,
    }
    deadline = int(box.clock.uptime() + claims.confirm_within_s)
    named = {one.package: one.path for one in files}
    return Journal(secrets.token_hex(RUN_BYTES), box.clock.boot, deadline, box.store.backend, named, noted)


def _withdraw(pending: Pending) -> None:
    try:
        pending.clear()
    except OSError as error:
        LOG.error("the journal cannot be removed: %s", error)


def _try(box: Box, push: Push, journal: Journal, files: list[File], base: Mapping[str, object], live_gap_s: float, poll_s: float) -> None:
    """Put the files in place and wait for all that must be so; _Failed with the reason otherwise."""
    apply_dir = box.places.apply_dir
    box.desk.on_the_way(push.raw, {**base, "state": "applying"})
    wanted, stands = _required(box.store, push), _standing(box.store, _must_stand(box.store, push, files), box.clock)
    guard.step(apply_dir, "placing", if_late="write_failed")
    for one in files:
        _place(box, one)
    guard.step(apply_dir, "reloading", if_late="reload_failed")
    try:
        box.store.reload([one.package for one in files])
    except Unavailable as error:
        LOG.error("the daemons could not be told: %s", error)
        raise _Failed("reload_failed") from None
    guard.step(apply_dir, "testing", if_late="not_on_air")
    confirm = Confirm(box.store, box.inbox, wanted, journal.deadline, box.clock, live_gap_s, poll_s, stands)
    if reason := confirm.test_live():
        raise _Failed(reason)
    guard.step(apply_dir, "confirming", if_late="broker_unreachable")
    test = {"run": journal.run, "nonce": confirm.nonce, "until_uptime_s": journal.deadline}
    box.desk.on_the_way(push.raw, {**base, "state": "testing"}, test)
    if reason := confirm.wait():
        raise _Failed(reason)
    guard.step(apply_dir, "keeping")


def _required(store: Store, push: Push) -> Plan:
    try:
        return required(push.plan, push.tree, store.on_air())
    except Unavailable:
        return push.plan


def _must_stand(store: Store, push: Push, files: list[File]) -> list[str]:
    """Name the derived files that must be carried out: those that the push changes, and those that are now; for what was amiss before no push is to blame."""
    changed = {one.package for one in files}
    kept = [name for name, content in push.plan.derived if name in changed or (content and DERIVED[name].patience_s is None)]
    return [name for name in kept if name in changed or (name in push.before and store.standing(name) is None)]


def _standing(store: Store, names: list[str], clock: Clock) -> Callable[[], Reason | None]:
    """Make the question whether all that these files ask for is so."""
    told: dict[str, str] = {}
    since: dict[str, float] = {}

    def look() -> Reason | None:
        store.tend()
        for name in names:
            if (problem := store.standing(name)) is None:
                since.pop(name, None)
                continue
            if told.get(name) != problem:
                LOG.info("%s: not so yet: %s", name, problem)
                told[name] = problem
            patience_s = DERIVED[name].patience_s
            if patience_s is not None and clock.uptime() - since.setdefault(name, clock.uptime()) >= patience_s:
                raise _Failed(DERIVED[name].reason)
            return DERIVED[name].reason
        return None

    return look


def _place(box: Box, one: File) -> None:
    if read(one.path) != one.before:
        raise _Failed("busy")
    box.flash.make_directory(os.path.dirname(one.path))
    # In the agent's own package lie the originals, with them maybe a key.
    box.flash.put(one.path, one.after, 0o600 if one.package == "rwagent" else None)
    if read(one.path) != one.after:
        raise _Failed("read_back")


def _take_back(box: Box, reason: str) -> None:
    LOG.warning("rolling back: reason=%s", reason)
    guard.step(box.places.apply_dir, "rolling_back", reason, reason)
    settling.roll_back(box.scripts, box.places, box.clock, reason)
