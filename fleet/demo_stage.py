"""Everything that runs for `./scripts/run`, and the temporary folder it lives in: started here, ended here, whatever becomes of us."""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

LEAVING_WITHIN_S, KILLED_WITHIN_S = 12.0, 3.0
CALLED_WITHIN_S = 120.0
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


class CannotStart(Exception):
    """The demo cannot be shown; the text says why."""


class Child(NamedTuple):
    """One process of ours and its log."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def last(self, count: int) -> list[str]:
        """Give the last lines that it wrote."""
        return self.log.read_text(encoding="utf-8", errors="backslashreplace").splitlines()[-count:]


class Stage:
    """The folder, in RAM where there is some, and the processes; the first one is the broker."""

    def __init__(self) -> None:
        # Others may look into the folder: the broker gives up being root before it reads its settings. The city in it is ours alone.
        self.folder = Path(tempfile.mkdtemp(prefix="rwagent-demo-", dir=_place()))
        self.folder.chmod(0o755)
        self.city = self.folder / "city"
        self.children: list[Child] = []
        # Ends what is left should this process be killed outright: its standard input ends with us.
        command = [sys.executable, "-m", "fleet.demo_end", str(self.folder)]
        self._heir = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)

    def command(self, *words: str) -> list[str]:
        """Give the command line of one of rwctl's commands for the city; `init` names the directory itself."""
        where = [] if words[0] == "init" else ["--dir", str(self.city)]
        return [sys.executable, "-m", "fleet.cli", *where, *words]

    def call(self, *words: str) -> str:
        """Run one of rwctl's commands to its end and give what it printed; CannotStart when it fails."""
        return self.check(self.command(*words))

    def check(self, command: Sequence[str]) -> str:
        """Run a program to its end and give what it printed; CannotStart when it fails."""
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=CALLED_WITHIN_S, check=False, preexec_fn=_die_with_parent
        )
        if done.returncode:
            raise CannotStart(f"{' '.join(command[1:])}: exit status {done.returncode}\n{(done.stderr or done.stdout).strip()}")
        return done.stdout

    def rwctl(self, name: str, *words: str) -> Child:
        """Start one of rwctl's commands."""
        return self.start(name, self.command(*words))

    def start(self, name: str, command: Sequence[str], user: str | None = None, is_told: bool = True) -> Child:
        """Start a process in a session of its own, so that Ctrl-C reaches only us; its output goes to a log. Unless `is_told` its end is nobody's concern."""
        log = self.folder / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if is_told else subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=_die_with_parent,
                user=user,
                group=None if user is None else pwd.getpwnam(user).pw_gid,
                extra_groups=None if user is None else [],
            )
        child = Child(name, process, log)
        if is_told:
            self.children.append(child)
        return child

    def stop(self) -> None:
        """End all: what talks to the broker first, so that it can say goodbye, then the broker; by force what does not go."""
        for children, seconds in ((self.children[1:], LEAVING_WITHIN_S), (self.children[:1], KILLED_WITHIN_S)):
            for child in children:
                child.process.terminate()
            deadline = time.monotonic() + seconds
            for child in children:
                try:
                    child.process.wait(max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    child.process.kill()
                    child.process.wait()
        self.children = []
        self._heir.communicate()

    def dead(self) -> list[Child]:
        """Every process that ended without being asked."""
        return [child for child in self.children if child.process.poll() is not None]


def _place() -> str | None:
    """RAM where there is some to write to: an agent's run_dir is no place for a disk."""
    return next((place for place in ("/dev/shm", "/run") if os.access(place, os.W_OK | os.X_OK)), None)


def _die_with_parent() -> None:
    """Runs in the child: even a demo that is killed outright leaves nothing running."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
