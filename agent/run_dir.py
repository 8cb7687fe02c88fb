"""The daemon's directory in RAM: who holds it, the mark of a run that has not ended in order, and the file there that `rwagent status` reads."""

from __future__ import annotations

import fcntl
import os
import stat
import sys
import time
from contextlib import suppress
from types import TracebackType

from agent.errors import Rejected
from agent.journal import is_in_ram, mounts

STATE_FILE = "daemon.json"
MARK = "running"
SAVE_EVERY_S = 5.0
SAVE_CALMLY_S = 15.0  # while the session stands: the city sees more than this file tells


def hold(run_dir: str, held_fd: str = "") -> int:
    """Make `run_dir` and hold its lock, so that no second agent shares it; give the lock's file descriptor.

    `held_fd`: the descriptor that the process image before this one holds it by, "" for none.
    """
    if held_fd:
        os.set_inheritable(int(held_fd), False)
        return int(held_fd)
    remedy = "make it a directory of the user that runs rwagent, which nobody else may write to"
    try:
        os.makedirs(run_dir, mode=0o750, exist_ok=True)
        seen = os.lstat(run_dir)
        # Whoever may write there could plant links that we would follow.
        if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.geteuid() or seen.st_mode & 0o022:
            raise Rejected(f"paths.run_dir is {run_dir!r}: owner {seen.st_uid}, mode {stat.filemode(seen.st_mode)}; {remedy}")
        lock = os.open(os.path.join(run_dir, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Rejected(f"paths.run_dir is {run_dir!r}: another rwagent runs with it; stop that one or give this one its own run_dir") from None
    except OSError as error:
        raise Rejected(f"paths.run_dir is {run_dir!r}: {error.strerror}; {remedy}") from None
    return lock


def is_held(run_dir: str) -> bool:
    """Say whether an agent holds the directory; also when this user may not look."""
    try:
        # Root looks too, and whoever holds it may have put a FIFO there.
        lock = os.open(os.path.join(run_dir, "lock"), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def take_mark(run_dir: str) -> None:
    """Say that this run ends in order: its mark, which `rwagent run` put there (agent/starts.py), goes."""
    with suppress(OSError):
        os.unlink(os.path.join(run_dir, MARK))


def note_crash(run_dir: str, text: str) -> None:
    """Leave why this run crashes in its mark; who has none ("" for `run_dir`, too), or no room, leaves nothing."""
    if not run_dir:
        return
    with suppress(OSError):
        fd = os.open(os.path.join(run_dir, MARK), os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "ab") as file:
            file.write(text.encode("ascii", "replace"))


def crash_of(error: BaseException, trace: TracebackType | None) -> str:
    """Give an exception's type and the last place of ours that it came through: never its text, which may hold what nobody is to see."""
    place = "?"
    while trace is not None:
        names = trace.tb_frame.f_globals
        module = str(getattr(names.get("__spec__"), "name", None) or names.get("__name__"))
        if module.partition(".")[0] == "agent":
            place = f"{module}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__} at {place}"


def tell_crashes(arguments: list[str]) -> None:
    """Have what ends this process unexpectedly leave its word in the run_dir that the arguments name, where they do."""
    run_dir = arguments[arguments.index("--run-dir") + 1] if "--run-dir" in arguments[:-1] else ""

    def tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        note_crash(run_dir, crash_of(error, trace))
        sys.__excepthook__(kind, error, trace)

    sys.excepthook = tell


class StateFile:
    """What the daemon says of itself, replaced as a whole; `flash_writes` counts only where the directory is not in RAM."""

    def __init__(self, run_dir: str) -> None:
        self.flash_writes = 0
        self._path = os.path.join(run_dir, STATE_FILE)
        self._is_in_ram = is_in_ram(run_dir, mounts())
        self._written_at = float("-inf")
        self._has_told = False

    def is_due(self, every_s: float = SAVE_EVERY_S) -> bool:
        """Say whether the last writing is old enough for another that nothing urgent asks for."""
        return time.monotonic() >= self._written_at + every_s

    def write(self, text: bytes) -> None:
        """Replace the file; what cannot be written is told once."""
        self._written_at = time.monotonic()
        new = self._path + ".new"
        try:
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640), "wb") as file:
                file.write(text)
            os.replace(new, self._path)
        except OSError as error:
            if not self._has_told:
                import logging  # there already in the daemon; who only holds the directory starts the quicker without

                logging.getLogger(__name__).warning("state not written, `rwagent status` knows nothing: file=%s reason=%s", self._path, error.strerror)
            self._has_told = True
        else:
            self.flash_writes += not self._is_in_ram
