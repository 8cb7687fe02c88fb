"""What stations and neighbours are called outside: a keyed hash of their address, under a key that lives for a day and in RAM.

The daemon makes the key in run_dir; root reads it there, to know whom a pseudonym means. It never leaves the box and never lies on flash.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from agent.errors import Unavailable
from agent.inbox import sha256

FILE = "pseudonyms"
KEY_BYTES = 32
DAY_S = 86400.0
LENGTH = 12
_BLOCK = 64  # SHA-256's, in bytes
_INNER, _OUTER = bytes(each ^ 0x36 for each in range(256)), bytes(each ^ 0x5C for each in range(256))
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def name_of(key: bytes, mac: str) -> str:
    """Give the pseudonym of an address (in any case): the first 12 hex digits of HMAC-SHA256 (RFC 2104) under the key."""
    padded = key.ljust(_BLOCK, b"\0")
    inner = sha256(padded.translate(_INNER) + mac.lower().encode())
    return sha256(padded.translate(_OUTER) + bytes.fromhex(inner))[:LENGTH]


class Pseudonyms:
    """The daemon's: the key of the day, made when it is first needed. One that an earlier daemon of this boot made today is taken on."""

    def __init__(self, run_dir: str, boot: str, uptime: Callable[[], float]) -> None:
        self._run_dir = run_dir
        self._boot = boot
        self._uptime = uptime
        self._stamp = b""
        self._key = b""

    def renew(self) -> None:
        """See to it that there is a key of today, which root can read; call it before root is rung for a command."""
        stamp = f" {self._boot} {int(self._uptime() // DAY_S)}".encode()
        if stamp == self._stamp:
            return
        found = _content(self._run_dir)
        if found is None or found[KEY_BYTES:] != stamp:
            found = os.urandom(KEY_BYTES) + stamp
            self._put(found)
        self._key, self._stamp = found[:KEY_BYTES], stamp

    def name(self, mac: str) -> str:
        """Give today's pseudonym of an address."""
        self.renew()
        return name_of(self._key, mac)

    def _put(self, content: bytes) -> None:
        path = os.path.join(self._run_dir, FILE)
        new = f"{path}.new"
        try:
            if os.path.lexists(new):
                os.unlink(new)
            with open(os.open(new, _NEW, 0o600), "wb") as file:
                file.write(content)
            os.replace(new, path)
        except OSError as error:
            raise Unavailable(f"{path} cannot be written: {error.strerror}; stations have no names without it") from None


class _Read:
    """Root's: the key as the daemon left it, read anew when it is another file."""

    def __init__(self, run_dir: str) -> None:
        self._run_dir = run_dir
        self._held: tuple[tuple[int, int] | None, bytes] = None, os.urandom(KEY_BYTES)

    def name(self, mac: str) -> str:
        seen = self._seen()
        if seen is not None and seen != self._held[0] and (found := _content(self._run_dir)) is not None:
            self._held = seen, found[:KEY_BYTES]
        return name_of(self._held[1], mac)

    def _seen(self) -> tuple[int, int] | None:
        try:
            found = os.lstat(os.path.join(self._run_dir, FILE))
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns


def namer(run_dir: str) -> Callable[[str], str]:
    """Give root's way from an address to today's pseudonym. Where the daemon left no key it is one of its own, under which nobody was named yet."""
    return _Read(run_dir).name


def _content(run_dir: str) -> bytes | None:
    """Read the file: no link, no FIFO, and only one that is run_dir's own user's alone; None when there is none such."""
    try:
        folder = os.open(run_dir, _DIRECTORY)
    except OSError:
        return None
    try:
        fd = os.open(FILE, _READ, dir_fd=folder)
        try:
            seen = os.fstat(fd)
            is_theirs = stat.S_ISREG(seen.st_mode) and seen.st_uid == os.fstat(folder).st_uid and not seen.st_mode & 0o077
            content = os.read(fd, 256) if is_theirs else b""
        finally:
            os.close(fd)
    except OSError:
        return None
    finally:
        os.close(folder)
    return content if len(content) > KEY_BYTES else None
