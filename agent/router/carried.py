"""What the derived files (agent/derived.py) ask of a box's kernel: carried out by the script of each name (agent/ash), and read back. Used by root only.

Who runs the script when nobody is told of a change, as on plain Linux, is `tend`, each second; it starts nothing while nothing has changed.
"""

from __future__ import annotations

import logging
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from agent import caps
from agent.errors import Rejected, Unavailable
from agent.router import ruleset, traffic_control
from agent.router.caps import UPLINK, Cap
from agent.router.child import SCRIPTS, SEARCH
from agent.router.text import printable, read_line
from agent.wall import StatusFolder

LOG = logging.getLogger(__name__)

APPLY_S = 40.0
AGAIN_S = 10.0  # after a script that could not; after each more for the same reason twice as long, at most
MOST_AGAIN_S = 80.0
SEAT_S = 6.0  # the script gives stations their queues at most once in 5 s: a word that comes sooner waits
CHECK_S = 300.0  # between two looks at the kernel, whether it still has what is asked for: somebody else may have been at it
MOST_BYTES = 65_536
CAPS, DNS = "caps", "dns"


class Places(NamedTuple):
    """Where things lie: each derived file by its name, root's directory in RAM (one below it for each script), the scripts.

    `run_dir`: where the daemon reads what is wanted, "" when somebody else writes that down.
    """

    files: Mapping[str, str]
    apply_dir: str
    run_dir: str = ""
    scripts: str = SCRIPTS
    interfaces: str = "/sys/class/net"
    search: str = SEARCH


class Seen(NamedTuple):
    """What one look began with: the file as it was, and the kernel's number of each device that a cap is for."""

    stamp: object
    numbers: Mapping[str, str]


class Failure(NamedTuple):
    """Why a file could not be carried out, when what (file and devices), and when it is tried again."""

    reason: str
    seen: Seen
    wait_s: float
    again_at: float


class Carried:
    """The derived files of one box, and what `tend` saw last."""

    def __init__(self, places: Places, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._places = places
        self._monotonic = monotonic
        self._stamps: dict[str, object] = {}
        self._numbers: dict[str, str] = {}
        self._asked: bytes | None = None
        self._failures: dict[str, Failure] = {}
        self._check_at = monotonic() + CHECK_S
        self._seat_at = float("-inf")
        self._generation: int | None = None
        self._rules_at = float("-inf")

    def caps_problem(self) -> str:
        """Say why this box cannot carry out any cap, "" when it can; tried once a boot, on a device of its own."""
        mark = os.path.join(self._places.apply_dir, "able")
        if os.path.exists(mark):
            return ""
        try:
            self._run(CAPS, "able", self._places.apply_dir)
            with open(mark, "wb"):
                pass
        except (Unavailable, OSError) as error:
            return str(error)
        return ""

    def apply(self, name: str) -> None:
        """Have the kernel made as the file says; Unavailable with the script's reason."""
        # Both before: what changes meanwhile is seen at the next look.
        self._stamps[name] = _stamp(self._places.files[name])
        if name == CAPS:
            self._numbers = self._indexes()
        self._carry_out(name, "apply")

    def tend(self, asked: bytes | None = None) -> None:
        """Carry out what changed since the last look: a file, a network made anew, or stations that came (`asked`, the inbox's word, is another one)."""
        for name, path in self._places.files.items():
            failure = self._failures.get(name)
            # Before it is tried: what changes meanwhile is another.
            seen = Seen(_stamp(path), self._indexes() if name == CAPS else {})
            if failure and self._monotonic() < failure.again_at and failure.seen == seen:
                continue
            try:
                self._look(name, seen, asked)
            except Unavailable as error:
                self._stamps.pop(name, None)
                self._fail(name, str(error), seen)
            else:
                self._failures.pop(name, None)

    def standing(self, name: str) -> str | None:
        """Say what a file asks for and the kernel does not have; None when all of it is so."""
        try:
            if name == CAPS:
                missing = traffic_control.standing([_cap(row) for row in caps.read(self._content(name))], self._places.interfaces)
                return "; ".join(missing) or None
            self._run(name, "test", self._places.files[name])
        except (Unavailable, ValueError) as error:
            return str(error)
        return None

    def _fail(self, name: str, reason: str, seen: Seen) -> None:
        """Remember a failure; what went wrong is said once, until something else does: a kernel may lack what is asked for, for ever."""
        last, wait_s = self._failures.get(name), AGAIN_S
        if last and last.reason == reason:
            wait_s = min(2 * last.wait_s, MOST_AGAIN_S)
        else:
            LOG.error("it is tried again: %s", reason)
        self._failures[name] = Failure(reason, seen, wait_s, self._monotonic() + wait_s)

    def _look(self, name: str, seen: Seen, asked: bytes | None) -> None:
        if seen.stamp != self._stamps.get(name):
            is_ours = os.path.isdir(self._ram(name))
            if not self._content(name) and not is_ours:
                # Nothing is wanted, and nothing of ours can stand.
                self._stamps[name] = seen.stamp
                return
            self.apply(name)
        elif name == CAPS and self._content(name):
            new = [ifname for ifname, number in seen.numbers.items() if number and number != self._numbers.get(ifname)]
            self._numbers = dict(seen.numbers)
            if len(new) > 1:
                # Several at once, as when Wi-Fi starts anew: one look at all is sooner done than one at each, and none is capped before its turn.
                self._carry_out(CAPS, "apply")
            elif new:
                self._carry_out(CAPS, "hotplug", new[0])
            if asked is not None and asked != self._asked and self._monotonic() >= self._seat_at:
                self._asked, self._seat_at = asked, self._monotonic() + SEAT_S
                self._carry_out(CAPS, "stations")
            self._check()
        elif name == DNS and self._content(name):
            self._restore_rules()

    def _restore_rules(self) -> None:
        """Make the rules for names anew where somebody flushed them, as a restart of nftables does on many a box; looked at when any rules have changed."""
        now = self._monotonic()
        if now < self._rules_at:
            return
        self._rules_at = now + AGAIN_S
        seen = ruleset.generation()
        if seen == self._generation:
            return
        self._generation = seen
        try:
            self._run(DNS, "standing", self._places.files[DNS])
        except Unavailable as problem:
            LOG.warning("the rules for names do not stand, they are made anew: %s", problem)
            self._carry_out(DNS, "apply")

    def _check(self) -> None:
        """Set the caps anew where the kernel lost them, seldom: who takes them away again and again is not fought over them."""
        now = self._monotonic()
        if now < self._check_at:
            return
        self._check_at = now + CHECK_S
        if problem := self.standing(CAPS):
            LOG.warning("the caps do not stand, they are set anew: %s", problem)
            self._carry_out(CAPS, "apply")

    def _indexes(self) -> dict[str, str]:
        """Give the kernel's number of each device that a cap is for, "" while there is none of that name."""
        found: list[str] = []
        with suppress(ValueError, Unavailable):
            for cap in caps.read(self._content(CAPS)):
                found += cap.ifnames if isinstance(cap, caps.SsidCap) else (cap.device,)
        return {ifname: read_line(os.path.join(self._places.interfaces, ifname, "ifindex")) or "" for ifname in found}

    def _content(self, name: str) -> bytes:
        try:
            with open(self._places.files[name], "rb") as file:
                return file.read(MOST_BYTES)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise Unavailable(f"{self._places.files[name]}: {error.strerror}") from None

    def _ram(self, name: str) -> str:
        return os.path.join(self._places.apply_dir, name)

    def _carry_out(self, name: str, verb: str, *more: str) -> None:
        """Have a script change the kernel, and tell the daemon what is wanted now, whatever came of it."""
        try:
            os.mkdir(self._ram(name), 0o700)
        except FileExistsError:
            pass
        except OSError as error:
            raise Unavailable(f"{self._ram(name)} cannot be made: {error.strerror}") from None
        said = os.path.join(self._ram(name), f"{name}.json")
        before = _stamp(said)
        try:
            self._run(name, verb, self._places.files[name], self._ram(name), *more)
        finally:
            # A file written anew means to the daemon that no station is known any more: not after each look at them.
            if _stamp(said) != before:
                self._tell(name)

    def _tell(self, name: str) -> None:
        """Hand on what the script wrote down. Not by itself: in the daemon's directory a name may lead anywhere."""
        if not self._places.run_dir:
            return
        try:
            with open(os.path.join(self._ram(name), f"{name}.json"), "rb") as file:
                StatusFolder(self._places.run_dir).put(f"{name}.json", file.read(MOST_BYTES))
        except FileNotFoundError:
            pass
        except (OSError, Rejected) as error:
            LOG.error("the daemon cannot be told: %s", error)

    def _run(self, name: str, *words: str) -> None:
        """Run a script to its end; Unavailable with what it said when it could not do it."""
        places = self._places
        command = [os.path.join(places.scripts, name), *words]
        shown = " ".join(command)
        LOG.info("%s", shown)
        environment = {"PATH": places.search, "LC_ALL": "C", "STATUS": self._ram(name)}
        try:
            ended = subprocess.run(["/bin/sh", *command], env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=APPLY_S, check=False)
        except (OSError, subprocess.SubprocessError) as error:
            raise Unavailable(f"{os.path.basename(command[0])} {words[0]}: {type(error).__name__}") from None
        if ended.returncode:
            said = printable(ended.stderr.decode("utf-8", "replace").strip()[-300:]) or f"exit status {ended.returncode}"
            raise Unavailable(said)


def _stamp(path: str) -> object:
    try:
        seen = os.stat(path)
    except OSError:
        return ()
    return seen.st_ino, seen.st_mtime_ns, seen.st_size


def _cap(row: caps.SsidCap | caps.UplinkCap) -> Cap:
    down, up, station_down, station_up = (row.rates.get(option) for option in caps.OPTIONS)
    if isinstance(row, caps.UplinkCap):
        return Cap(UPLINK, down, up, None, None, (row.device,))
    return Cap(row.name, down, up, station_down, station_up, row.ifnames)
