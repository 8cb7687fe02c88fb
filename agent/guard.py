"""The shell scripts beside Python (agent/ash), run: the guard of one push, started before the first file is replaced, and the rollback."""

from __future__ import annotations

import logging
import os
import subprocess
import time
from contextlib import suppress
from typing import NamedTuple

from agent.errors import Unavailable
from agent.router.child import SCRIPTS, SEARCH

LOG = logging.getLogger(__name__)

DIRECTORY = SCRIPTS
START_S = 5.0
ROLLBACK_S = 180.0


class Scripts(NamedTuple):
    """How the scripts are run: the shell, where programs are looked for, and what writes the verdict down after the guard acted."""

    settle: tuple[str, ...]
    shell: tuple[str, ...] = ("/bin/sh",)
    search: str = SEARCH
    directory: str = DIRECTORY


def write_plain(directory: str, name: str, text: str) -> None:
    """Replace a small file of apply_dir, in RAM, whole."""
    path = os.path.join(directory, name)
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(f"{path}.new", path)


def started(pid: int) -> str | None:
    """Say when a process began, in the kernel's ticks; None when it is gone or only its number is left."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(") ")[2].split()
    except OSError:
        return None
    return fields[19] if len(fields) > 19 and fields[0] not in "ZX" else None


def is_alive(apply_dir: str, name: str) -> bool:
    """Say whether the process that put its number and its beginning into a file still runs."""
    try:
        with open(os.path.join(apply_dir, name), encoding="utf-8") as file:
            pid, began = file.read().split()
        return started(int(pid)) == began
    except (OSError, ValueError):
        return False


def is_us(apply_dir: str, name: str) -> bool:
    """Say whether the process of that file is this one: a guard that has ended its applier becomes the settle command."""
    try:
        with open(os.path.join(apply_dir, name), encoding="utf-8") as file:
            return file.read().split()[:1] == [str(os.getpid())]
    except (OSError, ValueError):
        return False


def sign_in(apply_dir: str) -> None:
    """Write down that this process is the applier, for the guard."""
    write_plain(apply_dir, "applier", f"{os.getpid()} {started(os.getpid())}\n")


def step(apply_dir: str, name: str, if_gone: str = "applier_died", if_late: str = "applier_died") -> None:
    """Write down what is being done, and the reason to give when the guard finds us gone there, or past the deadline."""
    with suppress(OSError):  # a full RAM must not stop a rollback: only the reason is then less exact
        write_plain(apply_dir, "step", f"{name} {if_gone} {if_late}\n")


def start(scripts: Scripts, state_dir: str, apply_dir: str) -> None:
    """Start the guard, in a session of its own and nobody's child; Unavailable when it does not sign in."""
    command = [os.path.join(scripts.directory, "guard"), state_dir, apply_dir, "--", *scripts.settle]
    LOG.info("%s &", " ".join(command))
    _remove(os.path.join(apply_dir, "guard"))
    apart = [*scripts.shell, "-c", '"$@" </dev/null >/dev/null 2>&1 &', "sh", *scripts.shell, *command]
    try:
        subprocess.run(apart, stdin=subprocess.DEVNULL, start_new_session=True, env=_environment(scripts), timeout=START_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"the guard cannot be started: {type(error).__name__}") from None
    until = time.monotonic() + START_S
    while not is_alive(apply_dir, "guard"):
        if time.monotonic() >= until:
            raise Unavailable("the guard did not start")
        time.sleep(0.02)


def roll_back(scripts: Scripts, state_dir: str, apply_dir: str, reason: str) -> bool:
    """Put back what the push replaced and tell the daemons; say whether that succeeded."""
    command = [*scripts.shell, os.path.join(scripts.directory, "rollback"), state_dir, apply_dir, "live", reason]
    LOG.info("%s", " ".join(command[len(scripts.shell) :]))
    try:
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, env=_environment(scripts), timeout=ROLLBACK_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        LOG.error("the rollback did not end: %s", type(error).__name__)
        return False
    return ended.returncode == 0


def _environment(scripts: Scripts) -> dict[str, str]:
    return {"PATH": scripts.search, "LC_ALL": "C"}


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
