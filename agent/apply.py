"""rwagent-apply, the only program that changes the router: takes a signed push from the inbox, tries it, and keeps it or takes it back.

Runs as root, opens no network socket, and trusts nothing of the daemon but its word that the broker still hears it.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Literal

from agent import commanding, following, plan, revisions, settings, settling, signature, trial, verdicts, verifying, wall
from agent.alone import held, locked
from agent.change import Plan, Tree
from agent.confirm import Clock, system_clock, tended
from agent.desk import Desk, sha256
from agent.errors import Rejected, Unavailable
from agent.flash import Flash
from agent.guard import Scripts
from agent.limits import Limits
from agent.revisions import Memory
from agent.router.clock import boot
from agent.router.hands import Hands
from agent.router.store import Store
from agent.router.stores import open_store
from agent.settings import Faults, Settings
from agent.settling import Places
from agent.trial import Box, Push, Stop, stop
from agent.wire import claims as wire_claims
from agent.wire.claims import ConfigClaims
from agent.wire.jws import Refused
from agent.wire.messages import Payload

LOG = logging.getLogger(__name__)

DONE, FAILED, BAD_INPUT = 0, 1, 2
MARK_BYTES = 64
Mode = Literal["once", "settle", "watch"]


class Applier:
    """One run's work, under the lock."""

    def __init__(self, chosen: Settings, store: Store, limits: Limits, scripts: Scripts, clock: Clock, alone: threading.Lock | None = None) -> None:
        paths = chosen.paths
        self._alone = alone or threading.Lock()
        self._settings = chosen
        self._limits = limits
        self._clock = clock = tended(clock, self.tend)
        self._desk = Desk(chosen, store.sections, clock)
        self._box = Box(store, Flash(), Places(paths.state_dir, paths.apply_dir), scripts, clock, wall.Inbox(paths.run_dir), self._desk)
        self._gate = verifying.Gate(paths.apply_dir, clock, verifying.Spacing(*limits[:3]))
        seen = self._desk.reported.get("revision")
        self._memory = revisions.load(self._box.flash, paths.state_dir, seen if isinstance(seen, int) else 0)
        self._follow_at = 0.0

    def settle(self) -> bool:
        """Finish what an earlier run left, and say how things stand; say whether a new push may begin."""
        box, desk = self._box, self._desk
        self._hear_floor()
        outcome = settling.settle(box.flash, box.places, box.scripts, box.clock, self._memory)
        if outcome is not None and not outcome.is_ended:
            return False
        if outcome is not None:
            self._take(outcome)
        elif not desk.reported or desk.known != _name(self._memory):
            # A run that died between its last write to flash and its word: the flash knows better, and which file it was about is judged again.
            self._take(settling.Outcome(self._memory, "", True))
        self._tidy()
        self._publish()
        return outcome is None or outcome.is_durable

    def drain(self) -> bool:
        """Work through the inbox until nothing new is in it; `desired` first, and of each always the newest. Say whether another push may begin."""
        while True:
            self._hear_floor()
            if (raw := self._box.inbox.read("desired")) is not None and self._desk.is_new(raw, self._mark("desired")):
                if not self._judge(raw):
                    return False
            elif (raw := self._box.inbox.read("plan")) is not None and self._desk.is_new_plan(raw, self._mark("plan")):
                self._answer(raw)
            else:
                return True
            self._clock.sleep(self._limits.poll_s)  # whoever floods the inbox does not get a whole core

    def tend(self) -> None:
        """Have carried out what nobody tells of: a BSS made anew, stations that came."""
        self._box.store.tend(self._box.inbox.read("stations", MARK_BYTES))

    def follow(self, tree: Tree | None = None) -> None:
        """See now and then (at once, where the tree was read anyway), while no push is under way, whether the derived files still are what it asks for."""
        now = self._clock.uptime()
        if self._memory.config is None or (tree is None and now < self._follow_at):
            return
        self._follow_at = now + self._limits.follow_s
        try:
            following.follow(self._box.store, self._box.flash, self._box.store.tree() if tree is None else tree)
        except (OSError, Unavailable) as error:
            LOG.warning("it is looked again whether the derived files fit: %s", error)

    def _mark(self, name: str) -> bytes | None:
        return self._box.inbox.read(f"{name}.again", MARK_BYTES)

    def _hear_floor(self) -> None:
        """See whether the person who was asked to has written state_dir/floor: then what was refused for want of it is judged again."""
        if self._memory.is_lost:
            self._memory = revisions.load(self._box.flash, self._box.places.state_dir)
            if not self._memory.is_lost:
                self._desk.handled = ""

    def _take(self, outcome: settling.Outcome) -> None:
        self._memory = outcome.memory
        self._desk.handled = outcome.handled
        self._desk.reported = self._memory.reported or {}
        self._desk.retry_at = revisions.retry_at(self._memory, self._clock.boot)

    def _end(self, raw: bytes, reported: Payload, retry_at: float | None = None) -> None:
        """Say a refusal; the box was not touched, so it is not read again."""
        self._desk.handled, self._desk.reported, self._desk.retry_at = sha256(raw), reported, retry_at
        self._say()

    def _publish(self) -> None:
        self._desk.knobs, self._desk.drift = self._look()
        self._say()

    def _say(self) -> None:
        desk = self._desk
        desk.memory_retry_at, desk.is_held = revisions.retry_at(self._memory, self._clock.boot), revisions.is_held(self._memory)
        desk.refusals, desk.history, desk.known = self._gate.refusals, self._memory.history, _name(self._memory)
        desk.publish()

    def _look(self) -> tuple[dict[str, int], Payload]:
        """Read the knobs in force, and where the box is no longer as the config in force says."""
        config = self._memory.config
        try:
            tree = self._box.store.tree()
            if config is None:
                return verdicts.knobs(tree), {}
            self.follow(tree)
            facts = self._box.store.facts(tree)
        except (OSError, Unavailable) as error:
            LOG.warning("the configuration cannot be read: %s", error)
            return {}, {}
        # It was meant when it was pushed.
        facts = facts._replace(is_below_meant=True)
        drift = {} if plan.check(config, facts, tree) else verdicts.drift(plan.make(config, tree, facts))
        return verdicts.knobs(tree), drift

    def _judge(self, raw: bytes) -> bool:
        """Bring one push to its verdict; say whether another may begin."""
        try:
            raw, claims = self._verified("desired", raw)
        except _Unverified as refused:
            self._hold_up()
            passing = self._clock.uptime() + self._limits.busy_s if refused.error.code in ("unsupported", "busy") else None
            self._end(refused.raw, verdicts.refused(refused.error, refused.revision, refused.is_verified, self._memory.current), passing)
            return True
        try:
            outcome = self._carry_out(raw, claims)
        except Stop as stopped:
            LOG.warning("push %s: revision=%d reason=%s %s", stopped.state, claims.revision, stopped.reason, stopped)
            retry_at = self._clock.uptime() + self._limits.busy_s if stopped.is_passing else None
            moment = verdicts.at(self._clock.wall())
            said = verdicts.of_push(stopped.state, claims, self._memory.current, reason=stopped.reason, errors=stopped.faults, at=moment)
            self._end(raw, said, retry_at)
            return True
        if not outcome.is_ended:
            return False
        self._take(outcome)
        reported = self._desk.reported
        LOG.info("push ended: revision=%d state=%s reason=%s", claims.revision, reported.get("state"), reported.get("reason", "-"))
        self._desk.handled = sha256(raw)
        self._publish()
        self._tidy()  # the ballast that a rollback freed
        return outcome.is_durable

    def _hold_up(self) -> None:
        """Keep refusals apart that cost whoever asks for them nothing, across runs too."""
        since, every = self._clock.uptime() - (self._desk.refused_at or 0.0), self._limits.refuse_every_s
        if 0 <= since < every:
            self._clock.sleep(every - since)
        self._desk.refused_at = self._clock.uptime()

    def _tidy(self) -> None:
        try:
            files = list(self._box.store.paths().values())
        except (OSError, Unavailable) as error:
            LOG.warning("nothing is tidied: %s", error)
        else:
            settling.tidy(self._box.flash, self._box.places, files, self._clock.uptime())

    def _carry_out(self, raw: bytes, claims: ConfigClaims) -> settling.Outcome:
        digest = wire_claims.digest(claims.config)
        rule = revisions.rule(self._memory, claims.revision, digest, self._clock.boot, self._clock.uptime())
        LOG.info("push: revision=%d author=%s rule=%s", claims.revision, json.dumps(claims.author), rule)
        if rule in ("repeat", "held"):
            return settling.Outcome(self._memory, sha256(raw), True)
        if rule not in ("fresh", "retry"):
            raise stop("rejected", rule, revisions.sentence(rule, self._memory, claims.revision))
        self._desk.on_the_way(raw, verdicts.of_push("received", claims, self._memory.current))
        try:
            # Before the tree: what somebody changes from here on is seen before it would be written over.
            before = trial.read_all(self._box.store)
        except (OSError, Unavailable) as error:
            raise stop("rejected", "busy", f"the configuration cannot be read now: {error}", is_passing=True) from None
        tree, made = self._plan(claims)
        if not made.changes and not trial.differing(made, before):
            return self._unchanged(raw, claims, digest)
        push = Push(raw, claims, digest, made, tree, before, self._memory.attempts if rule == "retry" else 0)
        # A command that sets up anew what a push would change ends before; it cannot take longer than its own limit.
        with held(self._alone, self._limits.alone_s) as is_ours:
            if not is_ours:
                raise stop("rejected", "busy", "nothing was changed: a command that sets the Wi-Fi up anew does not come to its end", is_passing=True)
            return trial.carry_out(self._box, push, self._memory, self._limits.live_gap_s, self._limits.poll_s)

    def _unchanged(self, raw: bytes, claims: ConfigClaims, digest: str) -> settling.Outcome:
        """Remember a revision that asks for what is there already."""
        reported = verdicts.of_push("unchanged", claims, claims.revision, previous=self._memory.current, at=verdicts.at(self._clock.wall()))
        memory = self._memory._replace(
            revision=claims.revision, digest=digest, run="", attempts=0, current=claims.revision, config=dict(claims.config), reported=reported
        )
        memory = memory._replace(history=revisions.remembered(memory, verdicts.entry(reported, claims.author, claims.issued_at)))
        try:
            revisions.save(self._box.flash, self._box.places.state_dir, memory)
        except OSError as error:
            raise stop("rejected", "busy", f"nothing was changed: {error}", is_passing=True) from None
        return settling.Outcome(memory, sha256(raw), True)

    def _plan(self, claims: ConfigClaims) -> tuple[Tree, Plan]:
        """Check the whole document and plan it; Stop with all its faults."""
        try:
            tree = self._box.store.tree()
            facts = self._box.store.facts(tree)._replace(is_below_meant=claims.below_contract)
        except Unavailable as error:
            raise stop("rejected", "busy", f"the configuration cannot be read now: {error}", is_passing=True) from None
        if faults := plan.check(claims.config, facts, tree):
            # Nothing wrong with the document: this box has no means for it.
            reason = "unsupported" if all(fault.code == "unsupported" for fault in faults) else "invalid"
            raise Stop("rejected", reason, verdicts.errors(faults))
        return tree, plan.make(claims.config, tree, facts)

    def _answer(self, raw: bytes) -> None:
        """Plan a push and change nothing."""
        try:
            raw, claims = self._verified("plan", raw)
        except _Unverified as refused:
            self._hold_up()
            faults = [("", refused.error.code, str(refused.error))]
            self._desk.put_plan(refused.raw, verdicts.planned(refused.revision, refused.error.code, faults))
            return
        public = wire_claims.public_hash(claims.config)
        try:
            _, made = self._plan(claims)
        except Stop as stopped:
            self._desk.put_plan(raw, verdicts.planned(claims.revision, stopped.reason, stopped.faults, public=public))
        else:
            self._desk.put_plan(raw, verdicts.planned(claims.revision, made=made, public=public))

    def _verified(self, name: str, raw: bytes) -> tuple[bytes, ConfigClaims]:
        """Give the newest push of that name with its claims, once a trusted key vouches for it; _Unverified with what was refused."""
        while True:
            revision: int | None = None
            is_verified = False
            try:
                keys = signature.load(self._settings.push.keys_dir)
                found = verifying.read(raw, keys)
                if (wait_s := self._gate.wait_s()) > 0:
                    self._clock.sleep(wait_s)
                    newest = self._box.inbox.read(name)
                    if newest is not None and newest != raw:
                        raw = newest
                        continue
                verifying.check(found, keys, self._gate, self._box.places.apply_dir)
                is_verified, revision = True, wire_claims.revision_of(found.payload)
                kinds = wire_claims.KINDS if name == "plan" else (wire_claims.KIND,)
                return raw, wire_claims.parse(found.payload, self._settings.city, self._settings.id, kinds)
            except Refused as error:
                LOG.warning("push rejected: reason=%s %s", error.code, error)
                raise _Unverified(raw, error, revision, is_verified) from None


def _name(memory: Memory) -> str:
    """Tell one verdict on flash from another."""
    return f"{memory.revision} {memory.run} {memory.attempts} {memory.floor}"


class _Unverified(Exception):
    """A push that is not for us to act on; `is_verified`: its signature was good all the same."""

    def __init__(self, raw: bytes, error: Refused, revision: int | None, is_verified: bool) -> None:
        super().__init__(str(error))
        self.raw = raw
        self.error = error
        self.revision = revision
        self.is_verified = is_verified


def run(chosen: Settings, store: Store, limits: Limits, scripts: Scripts, clock: Clock, mode: Mode = "once", hands: Callable[[], Hands] | None = None) -> int:
    """Do one run's work; give the exit code. Rejected when a directory is not root's own. `hands`: what commands use, by default the box's."""
    with locked(chosen.paths.apply_dir, 0.0 if mode == "once" else limits.lock_s) as is_ours:
        if not is_ours:
            # The one that runs looks at the inbox once more before it ends, and the daemon rings again until it is answered.
            LOG.info("another rwagent-apply is at work")
            return DONE if mode == "once" else FAILED
        alone = threading.Lock()
        commander = commanding.Commander(chosen, commanding.time_of(chosen, clock), limits.commands, alone, hands)
        with commander.serving() if mode != "settle" else nullcontext():
            return _work(chosen, store, limits, clock, mode, lambda: Applier(chosen, store, limits, scripts, clock, alone), commander)


def _work(chosen: Settings, store: Store, limits: Limits, clock: Clock, mode: Mode, make: Callable[[], Applier], commander: commanding.Commander) -> int:
    """Settle, and look at the inbox: once, or each second for ever; the watcher outlives whatever fails for a moment."""
    applier, may_begin, is_checked, told = None, False, False, ""
    while not trial.is_withdrawn(chosen.paths.apply_dir):
        try:
            applier = applier or make()
            may_begin = may_begin or applier.settle()
            if may_begin:
                applier.follow()
            applier.tend()
            if not is_checked:
                # Only now: whatever becomes of our words, what was left half done is taken back.
                wall.StatusFolder(chosen.paths.run_dir).check()
                is_checked = True
            if mode == "settle":
                commander.publish()
            if may_begin and mode != "settle":
                may_begin = applier.drain() or applier.settle()
                applier.tend()
            told = ""
        except (OSError, Unavailable) as error:
            if mode != "watch":
                raise Rejected(f"{chosen.paths.state_dir} cannot be used: {error}") from None
            may_begin = False
            if told != str(error):
                told = str(error)
                LOG.error("it is tried again: %s", error)
            # Whatever becomes of the flash, what stands on it is carried out.
            store.tend()
        if mode != "watch":
            # Beside a command that runs pushes are taken, too; one that may not begin would only fail again.
            if mode == "once" and not commander.rest(limits.poll_s if may_begin else limits.alone_s) and may_begin:
                continue
            return DONE if may_begin else FAILED
        if commander.is_lost:
            LOG.error("commands are taken no more, to be started anew")
            return FAILED
        clock.sleep(limits.watch_s if may_begin else limits.again_s)
    LOG.error("%s", trial.WITHDRAWN)
    return FAILED


EPILOG = """examples:
  rwagent-apply                                    judge what the daemon put into the inbox, and end
  rwagent-apply --settle                           only finish what was cut short, and say how things stand (at boot, after the guard)
  rwagent-apply --watch                            look at the inbox each second, for ever (a Linux access point without procd)

exit codes: 0 done, 1 it may not run or could not finish, 2 bad usage or settings"""


def main(arguments: list[str] | None = None) -> int:
    """Run as a program; give the exit code."""
    import argparse  # nothing of the daemon imports this module

    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="rwagent-apply", description="Apply signed pushes to this access point.", epilog=EPILOG, formatter_class=raw)
    parser.add_argument("--config", metavar="FILE", default=settings.DEFAULT_FILE, help=f"the agent's settings (default: {settings.DEFAULT_FILE})")
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--settle", dest="mode", action="store_const", const="settle", default="once", help="only finish what was cut short")
    ways.add_argument("--watch", dest="mode", action="store_const", const="watch", help="look at the inbox each second, for ever")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    config = os.path.abspath(options.config)
    try:
        chosen = settings.load(config)
        wall.check_settings(config)
        wall.prepare(chosen)
        if faults := wall.faults(chosen, config):
            return _complain("\n".join(f"rwagent-apply: {fault}" for fault in faults), FAILED)
        scripts = Scripts((*settings.interpreter(), "-m", "agent.apply", "--config", config, "--settle"))
        return run(chosen, open_store(chosen), Limits(), scripts, system_clock(boot()), options.mode)
    except Faults as error:
        return _complain(str(error), BAD_INPUT)
    except (Rejected, Unavailable) as error:
        return _complain(f"rwagent-apply: {error}", FAILED)


def _complain(text: str, code: int) -> int:
    sys.stderr.write(text + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
