"""The daemon of a router that somebody has taken over: a process of the daemon's own user that calls whatever it is told to.

Started as root it gives up everything but that user at once, for good; what it then may do, the kernel alone says.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import pickle
import random
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# Nobody's: a user needs no entry in /etc/passwd.
USER = 61_234
PATIENCE_S = 60.0
_LIBC = ctypes.CDLL(None, use_errno=True)
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD, RENAME_EXCHANGE


class Daemon:
    """One such process; calling it calls a function there, with its arguments, and gives what that gives or raises."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", "from tests.stories import hostile; hostile.live()"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self._process.pid
        self._expects = 0
        assert self(os.getresuid) == (USER, USER, USER)

    def __call__(self, act: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        self.begin(act, *arguments, **named)
        return self.end()

    def begin(self, act: Callable[..., Any], *arguments: Any, **named: Any) -> None:
        """Let it begin, and do not wait."""
        assert self._process.stdin is not None
        pickle.dump((act, arguments, named), self._process.stdin)
        self._process.stdin.flush()

    def end(self) -> Any:
        """Wait for what it began."""
        assert self._process.stdout is not None
        is_good, result = pickle.load(self._process.stdout)
        if not is_good:
            raise result
        return result

    def stop(self) -> None:
        """Stop it where it is."""
        os.kill(self.pid, signal.SIGSTOP)

    def kill(self) -> None:
        """End it where it is."""
        self._process.kill()
        self._process.wait(PATIENCE_S)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def live() -> None:
    """Be the daemon until nobody tells it anything any more."""
    os.setgroups([])
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)
    os.chdir("/")
    while True:
        try:
            act, arguments, named = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = True, act(*arguments, **named)
        except OSError as error:
            answer = False, error
        pickle.dump(answer, sys.stdout.buffer)
        sys.stdout.buffer.flush()


# What it does, beside the plain calls of `os`.


def write(path: str, content: bytes, size: int | None = None) -> None:
    """Write a file; `size`: as large as that, with nothing behind the content."""
    with open(path, "wb") as file:
        file.write(content)
        if size is not None:
            file.truncate(size)


def put(run_dir: str, name: str, content: bytes) -> None:
    """Put a file into the inbox as the real daemon does."""
    new = f"{run_dir}/inbox/.new-{name}"
    write(new, content)
    os.rename(new, f"{run_dir}/inbox/{name}")


def read(path: str) -> bytes:
    """Read a file."""
    with open(path, "rb") as file:
        return file.read()


def readable(paths: Sequence[str]) -> list[str]:
    """Name those it may read, list or write to."""
    return [path for path in paths if any(os.access(path, way) for way in (os.R_OK, os.W_OK)) or (os.path.isdir(path) and os.access(path, os.X_OK))]


def clear(run_dir: str) -> None:
    """Make away with everything in its directory that it can, and make an inbox anew."""
    os.chmod(run_dir, 0o750)
    for number, name in enumerate(os.listdir(run_dir)):
        path = f"{run_dir}/{name}"
        if name != "status":
            _remove(path)
        elif not os.path.islink(path) and os.path.isdir(path) and os.stat(path).st_uid == 0:
            continue
        else:
            _remove(path)
        with contextlib.suppress(OSError):
            os.rename(path, f"{run_dir}/old-{number}")
    os.mkdir(f"{run_dir}/inbox", 0o700)


def _remove(path: str) -> None:
    if os.path.islink(path) or not os.path.isdir(path):
        os.unlink(path)
        return
    for name in os.listdir(path):
        with contextlib.suppress(OSError):
            _remove(f"{path}/{name}")
    with contextlib.suppress(OSError):
        os.rmdir(path)


def hold_fifo(path: str, content: bytes) -> None:
    """Make a FIFO, hold both its ends, and let something lie in it."""
    os.mkfifo(path)
    os.write(os.open(path, os.O_RDWR | os.O_NONBLOCK), content)


def lease(path: str) -> None:
    """Hold a file so that whoever opens it waits until the kernel's patience ends (45 s), unless he will not wait."""
    fd = os.open(path, os.O_RDWR)
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)


def fill(folder: str) -> int:
    """Fill the file system to its last byte; give how many fitted."""
    written = 0
    fd = os.open(f"{folder}/full", os.O_WRONLY | os.O_CREAT, 0o600)
    for size in (65536, 4096, 1):
        try:
            while True:
                written += os.write(fd, b"x" * size)
        except OSError:
            continue
    os.close(fd)
    return written


def throng(folder: str, count: int) -> None:
    """Make thousands of files, some with names that break lines."""
    for number in range(count):
        write(f"{folder}/desired\n{number}", b"x")


def flood(run_dir: str, contents: Sequence[bytes], seconds: float, confirms: bool = False) -> int:
    """Put one after the other into the inbox, as fast as it can; `confirms`: each test that root speaks of too. Give how many."""
    until = time.monotonic() + seconds
    count = 0
    while time.monotonic() < until:
        put(run_dir, "desired", contents[count % len(contents)])
        if confirms and count % 64 == 0:
            with contextlib.suppress(OSError):
                put(run_dir, "confirm", _nonce(run_dir))
        count += 1
    return count


def flood_files(run_dir: str, names: Sequence[str], contents: Sequence[bytes], seconds: float) -> int:
    """Put one after the other into the inbox under each of these names, as fast as it can; give how many."""
    until = time.monotonic() + seconds
    count = 0
    while time.monotonic() < until:
        for name in names:
            put(run_dir, name, contents[count % len(contents)])
            count += 1
    return count


def flood_confirm(run_dir: str, nonces: Sequence[bytes], seconds: float) -> int:
    """Confirm with one nonce after the other, also with ones made up."""
    until = time.monotonic() + seconds
    count = 0
    while time.monotonic() < until:
        put(run_dir, "confirm", nonces[count % len(nonces)] if count % 2 else random.randbytes(16).hex().encode())
        count += 1
    return count


def _nonce(run_dir: str) -> bytes:
    said = read(f"{run_dir}/status/config.json")
    return said.partition(b'"nonce":"')[2].partition(b'"')[0]


def turn(path: str, others: Sequence[str], seconds: float) -> int:
    """Let one thing after the other change places with what lies at `path`, and back, as fast as it can; give how often."""
    until = time.monotonic() + seconds
    count = 0
    while time.monotonic() < until:
        other = others[count // 64 % len(others)]
        for _ in range(2):
            # Both names are there at every moment: Linux, renameat2(2).
            if _LIBC.renameat2(_HERE, path.encode(), _HERE, other.encode(), _EXCHANGE):
                raise OSError(ctypes.get_errno(), "renameat2", path)
        count += 1
    return count


def rewrite(path: str, contents: Sequence[bytes], seconds: float) -> int:
    """Write over a file of its own in its place while it is read."""
    until = time.monotonic() + seconds
    fd, count = -1, 0
    while fd < 0 and time.monotonic() < until:
        # Something else may lie there at this moment.
        with contextlib.suppress(OSError):
            fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                os.close(fd)
                fd = -1
    while time.monotonic() < until:
        content = contents[count % len(contents)]
        os.pwrite(fd, content, 0)
        os.ftruncate(fd, len(content))
        count += 1
    os.close(fd)
    return count


def flood_any(new: str, folder: str, contents: Sequence[bytes], seconds: float) -> int:
    """Put one file after the other into a directory that may be another one, or none, at any moment; give how many."""
    until = time.monotonic() + seconds
    count = 0
    while time.monotonic() < until:
        write(new, contents[count % len(contents)])
        with contextlib.suppress(OSError):
            os.rename(new, f"{folder}/desired")
        count += 1
    return count


def spy(seconds: float) -> list[bytes]:
    """Collect what /proc shows of every other user's processes."""
    seen: set[bytes] = set()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for pid in filter(str.isdigit, os.listdir("/proc")):
            for name in ("cmdline", "environ"):
                with contextlib.suppress(OSError):
                    if os.stat(f"/proc/{pid}").st_uid != USER:
                        seen.add(read(f"/proc/{pid}/{name}"))
    return list(seen)
