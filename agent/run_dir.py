"""The daemon's directory in RAM: who holds it, and the file there that `rwagent status` reads."""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import time

from agent.errors import Rejected
from agent.journal import is_in_ram, mounts

LOG = logging.getLogger(__name__)

STATE_FILE = "daemon.json"
SAVE_EVERY_S = 5.0
SAVE_CALMLY_S = 15.0  # while the session stands: the city sees more than this file tells


def hold(run_dir: str) -> int:
    """Make `run_dir` and hold its lock, so that no second agent shares it; give the lock's file descriptor."""
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
        lock = os.open(os.path.join(run_dir, "lock"), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
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
                LOG.warning("state not written, `rwagent status` knows nothing: file=%s reason=%s", self._path, error.strerror)
            self._has_told = True
        else:
            self.flash_writes += not self._is_in_ram
