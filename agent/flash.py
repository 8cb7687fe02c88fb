"""The one door for every durable file operation of Python: each is on the flash when it returns, or it never happened.

A power cut during any of them leaves the old file or the new one, whole. Nothing else in the way of a push renames, unlinks or
syncs what survives a reboot; the rollback script (agent/ash/rollback) keeps the same order in shell.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterable

LOG = logging.getLogger(__name__)

MOST_BYTES = 1 << 20
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW


class Flash:
    """What is written to flash, counted: `writes_total` is one for each operation that costs the chip a write."""

    def __init__(self) -> None:
        self.writes_total = 0

    def put(self, path: str, content: bytes, mode: int | None = None, like: str | None = None, group: int | None = None) -> None:
        """Put a whole file there; `mode` None: with owner and mode of the one that is there, or of the file `like`; 0600 when there is none.

        `group`: the group that it gets besides; None: whatever group new files have.
        """
        temporary = temporary_of(path)
        LOG.info("cp %s %s", temporary, path)
        self.writes_total += 1
        try:
            fd = os.open(temporary, _WRITE, 0o600)
            try:
                if group is not None:
                    os.fchown(fd, -1, group)
                _dress(fd, like or path, mode)
                _write_all(fd, content)
                os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(temporary, path)
        except OSError:
            self._drop(temporary)
            raise
        self.sync(os.path.dirname(path))

    def remove(self, path: str) -> None:
        """Remove one file; one that is not there is no fault."""
        if not os.path.lexists(path):
            return
        LOG.info("rm %s", path)
        self.writes_total += 1
        os.unlink(path)
        self.sync(os.path.dirname(path))

    def make_directory(self, path: str, mode: int = 0o700) -> None:
        """Make a directory and those above it; one that is there is no fault, and keeps its mode."""
        if os.path.isdir(path):
            return
        self.make_directory(os.path.dirname(path), 0o755)
        LOG.info("mkdir -m %o %s", mode, path)
        self.writes_total += 1
        os.mkdir(path, mode)
        self.sync(os.path.dirname(path))

    def remove_directory(self, path: str, first: Iterable[str] = ()) -> None:
        """Remove a directory and the files in it: those named `first` are durably gone before any other."""
        if not os.path.isdir(path):
            return
        for name in first:
            self.remove(os.path.join(path, name))
        LOG.info("rm -r %s", path)
        self.writes_total += 1
        for name in sorted(os.listdir(path)):
            os.unlink(os.path.join(path, name))
        os.rmdir(path)
        self.sync(os.path.dirname(path))

    def move_directory(self, path: str, to: str) -> None:
        """Give a directory another name, in the place of an older one of that name."""
        self.remove_directory(to)
        LOG.info("mv %s %s", path, to)
        self.writes_total += 1
        os.rename(path, to)
        self.sync(os.path.dirname(path))

    def sync(self, directory: str) -> None:
        """Make the names in a directory durable."""
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _drop(self, temporary: str) -> None:
        try:
            os.unlink(temporary)
        except OSError:
            pass  # a read-only flash: the next `put` of the same file writes over it


def temporary_of(path: str) -> str:
    """Give the name under which a new file lies beside the one it will replace; the rollback script knows it too."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.rwagent-new")


def is_temporary(name: str) -> bool:
    """Say whether a file is one that a cut left under its temporary name."""
    return name.startswith(".") and name.endswith(".rwagent-new")


def read(path: str, most: int = MOST_BYTES) -> bytes | None:
    """Give a regular file's content, None when there is none; OSError for anything else, and for more than `most` bytes."""
    try:
        fd = os.open(path, _READ)
    except FileNotFoundError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(0, f"{path} is not a regular file")
        with open(fd, "rb", closefd=False) as file:
            content = file.read(most + 1)
    finally:
        os.close(fd)
    if len(content) > most:
        raise OSError(0, f"{path} has more than {most} bytes")
    return content


def _dress(fd: int, path: str, mode: int | None) -> None:
    """Give the new file its mode, or owner and mode of another, so that who could read that still can."""
    if mode is not None:
        os.fchmod(fd, mode)
        return
    try:
        there = os.lstat(path)
    except FileNotFoundError:
        return
    if (there.st_uid, there.st_gid) != (os.geteuid(), os.getegid()):
        os.fchown(fd, there.st_uid, there.st_gid)
    os.fchmod(fd, stat.S_IMODE(there.st_mode))


def _write_all(fd: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
