"""One program of the box, run to its end: an argument list, bounded in time and output, never a shell.

Promises that no child outlives the call, also when a signal handler raises out of it.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from functools import partial

from agent.errors import Unavailable

OUTPUT_BYTES = 1 << 20
TIMEOUT_S = 2.0
KILL_WAIT_S = 0.2
# Our own scripts, which need no Python.
SCRIPTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "ash")
SEARCH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"


class Failed(Unavailable):
    """The program ran and ended with this exit status (below zero: by that signal)."""

    def __init__(self, shown: str, code: int) -> None:
        super().__init__(f"{shown}: exit status {code}")
        self.code = code


class Program:
    """A program by name, looked for where a system keeps its tools; runs one child at a time."""

    def __init__(self, name: str, search: str = SEARCH, timeout_s: float = TIMEOUT_S, output_bytes: int = OUTPUT_BYTES) -> None:
        self._name = name
        self._search = search
        self._timeout_s = timeout_s
        self._output_bytes = output_bytes
        self._children: list[int] = []

    def is_there(self) -> bool:
        """Say whether there is such a program."""
        return self._place() is not None

    def run(self, *arguments: str) -> str:
        """Run it and give what it wrote to its standard output; Unavailable when absent, failing (Failed), too slow or too talkative."""
        path = self._place()
        if path is None:
            raise Unavailable(f"{self._name}: no such program")
        self._sweep()
        if self._children:
            raise Unavailable(f"{self._name}: an earlier one cannot be ended")
        shown = " ".join((self._name, *arguments))
        try:
            return self._run(path, arguments, shown)
        except OSError as error:  # no such format, no memory, no process or descriptor left
            raise Unavailable(f"{shown}: cannot be run: {error.strerror}") from None

    def _run(self, path: str, arguments: tuple[str, ...], shown: str) -> str:
        until = time.monotonic() + self._timeout_s
        # A socket pair and not a pipe: a socket object closes itself when an interrupted call drops it.
        ours, theirs = socket.socketpair()
        with ours, theirs:
            try:
                self._spawn(path, arguments, theirs.fileno())
                theirs.close()
                output = self._read(ours, until, shown)
                self._expect_success(until, shown)
            finally:
                self._sweep()
        return os.fsdecode(output)

    def _place(self) -> str | None:
        paths = (os.path.join(directory, self._name) for directory in self._search.split(":"))
        return next((path for path in paths if os.access(path, os.X_OK)), None)

    def _spawn(self, path: str, arguments: tuple[str, ...], output_fd: int) -> None:
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, output_fd, 1),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ]
        # Python ignores SIGPIPE, and an ignored signal stays ignored over exec.
        spawn = partial(os.posix_spawn, path, file_actions=actions, setsigmask=[], setsigdef=[signal.SIGPIPE])
        # map and extend, because the pid must be in the list before a signal handler can run: it may raise right after a call.
        self._children.extend(map(spawn, [[path, *arguments]], [{"PATH": self._search, "LC_ALL": "C"}]))

    def _read(self, source: socket.socket, until: float, shown: str) -> bytes:
        output = b""
        while True:
            left = until - time.monotonic()
            if left <= 0:
                raise Unavailable(f"{shown}: no answer within {self._timeout_s:g} s")
            source.settimeout(left)
            try:
                chunk = source.recv(65536)
            except TimeoutError:
                continue
            if not chunk:
                return output
            output += chunk
            if len(output) > self._output_bytes:
                raise Unavailable(f"{shown}: more than {self._output_bytes} bytes of output")

    def _expect_success(self, until: float, shown: str) -> None:
        while True:
            pid, status = os.waitpid(self._children[-1], os.WNOHANG)
            if pid:
                break
            if time.monotonic() >= until:
                raise Unavailable(f"{shown}: did not end within {self._timeout_s:g} s")
            time.sleep(0.0005)
        code = os.waitstatus_to_exitcode(status)
        if code:
            raise Failed(shown, code)

    def _sweep(self) -> None:
        """End and reap whatever an interrupted call left; what the kernel will not end yet stays for the next sweep."""
        until = time.monotonic() + KILL_WAIT_S
        while self._children:
            # As long as waitpid knows it, the number is our child's: it cannot have been given to another process.
            try:
                is_running = os.waitpid(self._children[-1], os.WNOHANG)[0] == 0
            except ChildProcessError:
                is_running = False
            if not is_running:
                self._children.pop()
                continue
            if time.monotonic() >= until:
                return
            os.kill(self._children[-1], signal.SIGKILL)
            time.sleep(0.0005)
