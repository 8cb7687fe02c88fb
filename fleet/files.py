"""Writing the city's files: whole or not at all, with their mode and their folder's owner from the first byte on.

Promises that `put_new` never replaces a file, and that no temporary file follows a link.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from fleet.errors import Refused

LOOK_EVERY_S = 0.02

PRIVATE, PUBLIC, FOLDER = 0o600, 0o644, 0o700
Owner = tuple[int, int]


def put(path: Path, text: bytes, mode: int = PUBLIC) -> None:
    """Write a file, over an older one if there is one; the old or the new is there whole, whenever power fails."""
    with _told(path):
        temporary = _written(path, text, mode)
        try:
            os.replace(temporary, path)
        except OSError:
            os.unlink(temporary)
            raise
        sync(path.parent)


def put_new(path: Path, text: bytes, mode: int = PUBLIC) -> None:
    """Write a file that must not be there yet: Refused when it is, and it stays as it was."""
    with _told(path):
        temporary = _written(path, text, mode)
        try:
            os.link(temporary, path)  # unlike a rename, this fails when the name is taken
        except FileExistsError:
            raise Refused(f"{path}: is there already, and is never replaced") from None
        finally:
            os.unlink(temporary)
        sync(path.parent)


def read(path: Path) -> bytes:
    """Read a file; Refused with the reason when that cannot be done."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise Refused(f"{path}: cannot be read ({error.strerror})") from None


def read_private(path: Path) -> bytes:
    """Read a file that is its owner's alone; Refused, with the chmod to run, when others may read it too."""
    try:
        with path.open("rb") as file:
            mode, text = os.fstat(file.fileno()).st_mode, file.read()
    except OSError as error:
        raise Refused(f"{path}: cannot be read ({error.strerror})") from None
    if mode & 0o077:
        raise Refused(f"{path}: others may read it (mode {stat.S_IMODE(mode):o}); run: chmod 600 {path}")
    return text


def owner_of(folder: Path) -> Owner | None:
    """Give the owner that root gives to what it puts into a folder; None where we are not root, or the folder is root's."""
    facts = folder.stat()
    return (facts.st_uid, facts.st_gid) if os.geteuid() == 0 and facts.st_uid != 0 else None


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other `rwctl` out of a folder for the while; they wait."""
    with _told(folder):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def is_taken(fd: int, within_s: float) -> bool:
    """Take an open file's lock, waiting for whoever has it; False when that one does not end in time. It goes when the file is closed."""
    until = time.monotonic() + within_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(LOOK_EVERY_S)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Refused(f"{path}: cannot be written ({error.strerror})") from None


def _written(path: Path, text: bytes, mode: int) -> Path:
    # One name for each file: what a killed run left behind is replaced by the next, not gathered. Callers hold the folder's lock.
    temporary = path.with_name(f".{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE)
    try:
        with open(fd, "wb") as file:
            # What root does in a city of somebody else's, its owner goes on with.
            if (owner := owner_of(path.parent)) is not None:
                os.fchown(fd, *owner)
            os.fchmod(fd, mode)
            file.write(text)
            file.flush()
            os.fsync(fd)
    except OSError:
        os.unlink(temporary)
        raise
    return temporary


def sync(folder: Path) -> None:
    """Have a folder's names on the disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
