"""Root's half of commands, inside rwagent-apply: takes signed commands from the inbox, does each once, and says how it ended.

A push waits and takes minutes, so this goes on beside it in a thread of its own: neither keeps the other waiting, except that what sets
the Wi-Fi or the box up anew and a push never run together. Trusts nothing of the daemon.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Literal, NamedTuple

from agent import commands, pseudonyms, signature, trial, verifying, wall
from agent.confirm import Clock
from agent.desk import sha256
from agent.errors import Rejected, Unavailable
from agent.results import Results
from agent.router.hands import Hands, open_hands
from agent.settings import Settings
from agent.wire import claims as wire_claims
from agent.wire import command
from agent.wire.claims import CommandClaims
from agent.wire.jws import Refused
from agent.wire.messages import Payload, encode

LOG = logging.getLogger(__name__)

FILE = "command.json"
FOLDER = "commands"
# A libc may give a thread less than hostile JSON takes until Python's own limit of depth stops it.
STACK_BYTES = 2 * 1024 * 1024
ENDING_S = 2.0


class Limits(NamedTuple):
    """All that waits or repeats, in seconds; `burst`: commands that may come one right after the other."""

    verify_every_s: float = 2.0
    quiet_every_s: float = 60.0
    quiet_s: float = 600.0
    burst: int = 5
    refuse_every_s: float = 2.0
    poll_s: float = 1.0
    soon_s: float = 0.1


class Verdict(Exception):
    """A verified command is not done: the state and code to say, and why."""

    def __init__(self, code: str, sentence: str, state: Literal["rejected", "expired"] = "rejected") -> None:
        super().__init__(sentence)
        self.code = code
        self.state = state


class Commander:
    """The commands of one run. `alone`: held by a push that changes the box, and by a command that must not run beside one."""

    def __init__(
        self,
        chosen: Settings,
        clock: Clock,
        limits: Limits,
        alone: threading.Lock,
        hands: Callable[[], Hands] | None = None,
        load: Callable[[str], ModuleType] = commands.load,
    ) -> None:
        paths = chosen.paths
        self._settings, self._clock, self._limits, self._alone = chosen, clock, limits, alone
        self._directory = os.path.join(paths.apply_dir, FOLDER)
        self._pending = os.path.join(paths.state_dir, "pending")
        self._inbox, self._status = wall.Inbox(paths.run_dir), wall.StatusFolder(paths.run_dir)
        self._spacing = verifying.Spacing(limits.verify_every_s, limits.quiet_every_s, limits.quiet_s, limits.burst)
        self._gate = verifying.Gate(self._directory, clock, self._spacing)
        self._results = Results(paths.apply_dir, clock.boot, clock.uptime())
        # Anew for each command: stations have other pseudonyms tomorrow.
        self._open = hands or (lambda: open_hands(chosen, pseudonyms.namer(paths.run_dir)))
        self._jobs: dict[str, _Job] = {}
        self._load = load
        self._possible: list[str] | None = None
        self._said = b""
        self._stirred = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_ending = False

    # What the applier asks.

    @property
    def is_busy(self) -> bool:
        """Say whether a command runs, or one lies there that was not judged yet."""
        # In this order: what is judged meanwhile has become a job by the time that it counts as read.
        return any(self._unread(name) is not None for name in commands.CLASSES) or any(job.is_running for job in list(self._jobs.values()))

    @property
    def is_lost(self) -> bool:
        """Say whether a bug has ended the thread: then this process is of no use for commands any more."""
        return self._thread is not None and not self._thread.is_alive()

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Take commands, in a thread of its own, while entered."""
        self._thread = _thread(self._serve, "commands")
        try:
            yield
        finally:
            self._is_ending = True
            self._stirred.set()
            self._thread.join(ENDING_S)

    def turn(self) -> bool:
        """Do what can be done without waiting; say whether there was anything."""
        found = [self._collect(name) for name in commands.CLASSES] + [self._look(name) for name in commands.CLASSES]
        if any(found):
            self._save()
            self._possible = None
        self.publish()
        return any(found)

    def rest(self, seconds: float) -> bool:
        """Wait until nothing is left to be done, at most so long in the world; say whether that is so."""
        until = time.monotonic() + seconds
        while self.is_busy and not self.is_lost:
            if time.monotonic() >= until:
                return False
            time.sleep(self._limits.soon_s)
        return True

    def publish(self) -> None:
        """Say how things stand."""
        results = self._results
        if self._possible is None:
            self._possible = self._able()
        said = {"v": 1, "handled": results.handled, "results": results.told(), "todo": results.todo, "commands": self._possible}
        # As UTF-8 and not as escapes, which could be longer than what the daemon reads.
        content = encode(said | {"refusals": self._gate.refusals})
        if content != self._said:
            self._status.put(FILE, content)
            self._said = content

    # One turn.

    def _serve(self) -> None:
        told = ""
        while not self._is_ending:
            try:
                self.turn()
                told = ""
            except (OSError, Rejected, Unavailable) as error:
                if told != str(error):
                    LOG.error("no command is taken, it is tried again: %s", error)
                told = str(error)
            self._stirred.wait(self._limits.soon_s if not told and any(job.is_running for job in self._jobs.values()) else self._limits.poll_s)
            self._stirred.clear()

    def _unread(self, name: str) -> bytes | None:
        raw = self._inbox.read(f"command.{name}")
        return None if raw is None or sha256(raw) == self._results.handled.get(name) else raw

    def _look(self, name: str) -> bool:
        """Judge what lies there of one class; False when there is nothing new, or when its time has not come."""
        job, raw = self._jobs.get(name), self._unread(name)
        if raw is None or (job is not None and job.is_running and not job.is_told):
            return False
        of = sha256(raw)
        try:
            claims = self._verified(raw)
        except _Unverified as refused:
            LOG.warning("command rejected: code=%s %s", refused.error.code, refused.error)
            told = command.result("rejected", refused.id, refused.error.code, str(refused.error), verified=refused.is_verified)
            self._results.refuse(of, told, None)
            self._results.refused_at = self._clock.uptime()
        else:
            if claims is None:
                return False
            self._judge(claims, of)
        self._results.handled[name] = of
        return True

    def _verified(self, raw: bytes) -> CommandClaims | None:
        """Give the claims, once a trusted key vouches for them; None when it is too soon to look, _Unverified when they are refused."""
        own_id, is_verified = None, False
        now = self._clock.uptime()
        if 0 <= now - self._results.refused_at < self._limits.refuse_every_s:
            return None
        try:
            keys = signature.load(self._settings.push.keys_dir)
            found = verifying.read(raw, keys)
            own_id = wire_claims.id_of(found.payload)
            if self._gate.wait_s() > 0:
                return None
            # Not where pushes are checked: both may be at it at the same time, with files of the same names.
            os.makedirs(self._directory, 0o700, exist_ok=True)
            verifying.check(found, keys, self._gate, self._directory)
            is_verified = True
            return wire_claims.parse_command(found.payload, self._settings.city, self._settings.id)
        except Refused as error:
            raise _Unverified(error, own_id, is_verified) from None

    def _judge(self, claims: CommandClaims, of: str) -> None:
        """Do a verified command, or say why not. In any other boot, and after its time, it is dead; an id of this boot gets its first result again."""
        results, now = self._results, self._clock.uptime()
        first = results.first(claims.id) if claims.boot == self._clock.boot else None
        if first is not None:
            results.again(claims.id, of, first, claims.name)
            return
        try:
            self._expect_now(claims, now)
        except Verdict as verdict:
            self._log(claims, verdict.state, str(verdict))
            results.refuse(of, command.result(verdict.state, claims.id, verdict.code, str(verdict)), claims.name)
            return
        try:
            module = self._expect_possible(claims, now)
        except Verdict as verdict:
            self._log(claims, verdict.state, str(verdict))
            results.begin(claims, of, command.result(verdict.state, claims.id, verdict.code, str(verdict)))
            return
        self._begin(claims, of, module, now)

    def _expect_now(self, claims: CommandClaims, now: float) -> None:
        """Verdict on what is not of this moment; nothing of it needs to be remembered, for it can only stay so."""
        if claims.boot != self._clock.boot:
            raise Verdict("wrong_boot", f"the command is for boot {claims.boot}, this is boot {self._clock.boot}; send a new one")
        if now > claims.until_uptime_s:
            raise Verdict("expired", f"the command was good until an uptime of {claims.until_uptime_s} s, it is {now:.0f} s; send a new one", "expired")
        if claims.until_uptime_s - now > command.LONGEST_AHEAD_S:
            most = f"at most {command.LONGEST_AHEAD_S} s ahead"
            raise Verdict("jump", f"the command is good until an uptime of {claims.until_uptime_s} s, it is {now:.0f} s, expected {most}")
        if self._results.is_full(now):
            raise Verdict("busy", "too many commands came within the hour to tell a new one from a repeated one; send it later")

    def _expect_possible(self, claims: CommandClaims, now: float) -> ModuleType:
        name = claims.name
        if name not in commands.COMMANDS:
            raise Verdict("unknown_command", f"{name} is no command, expected one of {', '.join(commands.COMMANDS)}")
        if why := self._lacking(name):
            raise Verdict("unsupported", f"{name} cannot be done here: {why}")
        module = self._load(name)
        if faults := module.check(claims.args):
            raise Verdict("bad_arguments", "; ".join(fault.message for fault in faults))
        since = now - self._results.begun.get(name, -1e9)
        if since < module.EVERY_S:
            raise Verdict("too_soon", f"{name} was begun {since:.1f} s ago, expected at least {module.EVERY_S:g} s between two; send it later")
        job = self._jobs.get(commands.COMMANDS[name])
        if job is not None and job.is_running:
            raise Verdict("busy", f"{job.name} does not come to its end; if that lasts, the box must be looked at")
        return module

    def _begin(self, claims: CommandClaims, of: str, module: ModuleType, now: float) -> None:
        results = self._results
        is_alone = bool(module.ALONE) and module.BY == "root"
        # A journal that is there is a push under way, or one that a former run has not brought to its end.
        is_held = os.path.lexists(self._pending) or trial.is_withdrawn(self._settings.paths.apply_dir)
        if is_alone and (is_held or not self._alone.acquire(blocking=False)):
            self._log(claims, "rejected", "a push is under way")
            message = f"a push or an upgrade is under way; send {claims.name} when it has ended"
            results.begin(claims, of, command.result("rejected", claims.id, "busy", message))
            return
        results.begun[claims.name] = now
        try:
            results.begin(claims, of, command.result("accepted" if module.BY == "agent" else "running", claims.id))
            results.save()  # before it is begun or passed on: whatever happens to us, it is not begun again
            if module.BY == "agent":
                results.pass_on(claims, now)
                self._log(claims, "accepted", "for the daemon to do")
                return
            hands, job = self._open(), _Job(claims.name, claims.id, is_alone, float(module.LIMIT_S))
            self._log(claims, "running", "")
            job.thread = _thread(lambda: self._run(job, module, claims.args, hands), f"command-{claims.name}")
        except (OSError, Unavailable, RuntimeError) as error:  # also: no thread can be started
            results.end(claims.id, command.result("failed", claims.id, "unavailable", f"{claims.name} was not begun: {error}"))
            if is_alone:
                self._alone.release()
            return
        self._jobs[commands.COMMANDS[claims.name]] = job

    def _run(self, job: _Job, module: ModuleType, args: Payload, hands: Hands) -> None:
        try:
            output = module.run(args, hands)
        except Unavailable as error:
            job.ending = command.result("failed", job.id, "unavailable", str(command.starred(str(error))), took_ms=job.took_ms)
        except Exception as error:  # boundary: a command's bug costs its own result only
            LOG.exception("command %s failed by a bug of its own", job.name)
            job.ending = command.result("failed", job.id, "internal", f"{job.name} ended with {type(error).__name__}", took_ms=job.took_ms)
        else:
            job.ending = command.ended(job.id, output, job.took_ms)
        self._stirred.set()

    def _collect(self, name: str) -> bool:
        """Take the ending of a class's command, or say that it did not come in time."""
        job = self._jobs.get(name)
        if job is None or job.is_told:
            return False
        told = job.ending
        if told is None:
            if job.took_ms < job.limit_s * 1000:
                return False
            told = command.result("timed_out", job.id, "timed_out", f"{job.name} did not end within {job.limit_s:g} s", took_ms=job.took_ms)
        self._results.end(job.id, told)
        job.is_told = True
        if job.is_alone:
            self._alone.release()
        LOG.info("command ended: name=%s id=%s state=%s took_ms=%s", job.name, job.id, told["state"], told.get("took_ms"))
        return True

    # What this box can do.

    def _able(self) -> list[str]:
        """Name the commands that this box can do; its hands are opened once for all of them."""
        try:
            hands = self._open()
        except (OSError, Unavailable):
            return []
        return [name for name in commands.COMMANDS if not _lacking(hands, name)]

    def _lacking(self, name: str) -> str:
        """Say why this box cannot do a command; "" when it can."""
        try:
            return _lacking(self._open(), name)
        except (OSError, Unavailable) as error:
            return str(error)

    def _save(self) -> None:
        try:
            self._results.save()
        except OSError as error:
            LOG.warning("how commands ended cannot be remembered: %s", error.strerror)

    def _log(self, claims: CommandClaims, state: str, why: str) -> None:
        LOG.info("command: name=%s id=%s state=%s%s", claims.name, claims.id, state, f" {why}" if why else "")


def _lacking(hands: Hands, name: str) -> str:
    try:
        return hands.lacks(name)
    except (OSError, Unavailable) as error:
        return str(error)


def time_of(chosen: Settings, clock: Clock) -> Clock:
    """Give the boot and uptime that commands are signed for: this machine's, but where the box is simulated its own."""
    if chosen.router.backend != "simulated":
        return clock
    from agent.router import simulated_time  # no real box needs it

    found = simulated_time.found(os.path.join(chosen.paths.state_dir, "simulated"))
    return clock if found is None else clock._replace(boot=found.boot, uptime=found.uptime)


class _Job:
    """One command that runs in a thread; `ending` is set once, by that thread."""

    def __init__(self, name: str, id: str, is_alone: bool, limit_s: float) -> None:
        self.name, self.id, self.is_alone, self.limit_s = name, id, is_alone, limit_s
        self.thread: threading.Thread | None = None
        self.ending: Payload | None = None
        self.is_told = False
        self._began = time.monotonic()

    @property
    def is_running(self) -> bool:
        """Say whether its thread has not ended, or its ending was not taken yet."""
        return not self.is_told or (self.ending is None and self.thread is not None and self.thread.is_alive())

    @property
    def took_ms(self) -> int:
        """Give how long it has taken so far."""
        return round((time.monotonic() - self._began) * 1000)


class _Unverified(Exception):
    """A command that is not for us to do; `is_verified`: its signature was good all the same."""

    def __init__(self, error: Refused, id: str | None, is_verified: bool) -> None:
        super().__init__(str(error))
        self.error = error
        self.id = id
        self.is_verified = is_verified


def _thread(target: Callable[[], None], name: str) -> threading.Thread:
    """Start a thread that does not keep the process from its end."""
    thread = threading.Thread(target=target, name=name, daemon=True)
    before = threading.stack_size(STACK_BYTES)
    try:
        thread.start()
    finally:
        threading.stack_size(before)
    return thread
