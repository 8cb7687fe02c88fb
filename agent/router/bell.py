"""A program that is started when it is rung for, as procd starts rwagent-apply on OpenWrt: for a box where nobody else would.

One at a time; it inherits nothing of ours but the log, outlives us, and is never left a zombie, also not of the image before a reload.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence

from agent.errors import Unavailable

STACK_BYTES = 64 * 1024
RUNG = "RWAGENT_RUNG_PID"  # which of our children runs: a process image that takes our place has the child, but not the thread that waits for it
LEFT = os.environ.get(RUNG, "")


class Bell:
    """The program with its arguments, its path first; no arguments at all: ringing starts nothing."""

    def __init__(self, command: Sequence[str], left: str = LEFT) -> None:
        """`left`: the number of what the image before this one started, "" for nothing."""
        self._command = list(command)
        self._waiter: threading.Thread | None = None
        if left.isdecimal():
            self._await(int(left))

    def ring(self) -> None:
        """Start the program unless it runs; Unavailable when it cannot be started."""
        if not self._command or (self._waiter is not None and self._waiter.is_alive()):
            return
        actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, 2, 1)]
        # Handlers end with exec, but what we ignore would stay ignored.
        defaults = [signal.SIGPIPE, signal.SIGHUP, signal.SIGINT]
        path = self._command[0]
        try:
            # A session of its own: what ends the daemon must not end what it changes.
            pid = os.posix_spawn(path, self._command, os.environ, file_actions=actions, setsid=True, setsigmask=[], setsigdef=defaults)
        except OSError as error:
            raise Unavailable(f"{path}: cannot be started: {error.strerror}") from None
        os.environ[RUNG] = str(pid)
        self._await(pid)

    def _await(self, pid: int) -> None:
        self._waiter = threading.Thread(target=_reap, args=(pid,), name="bell", daemon=True)
        before = threading.stack_size(STACK_BYTES)
        try:
            self._waiter.start()
        finally:
            threading.stack_size(before)


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass  # somebody else's: the number came with an environment that was handed on
    if os.environ.get(RUNG) == str(pid):
        del os.environ[RUNG]
