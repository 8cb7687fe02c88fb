"""A program that is started when it is rung for, as procd starts rwagent-apply on OpenWrt: for a box where nobody else would.

One at a time; it inherits nothing of ours but the log, outlives us, and is never left a zombie.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence

from agent.errors import Unavailable

STACK_BYTES = 64 * 1024


class Bell:
    """The program with its arguments, its path first; no arguments at all: ringing starts nothing."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._waiter: threading.Thread | None = None

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
        self._waiter = threading.Thread(target=os.waitpid, args=(pid, 0), name="bell", daemon=True)
        before = threading.stack_size(STACK_BYTES)
        try:
            self._waiter.start()
        finally:
            threading.stack_size(before)
