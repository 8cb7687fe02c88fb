"""The secrets that lie on the router only, one file for each: what a push may name (`key_ref`) and never carries. Only reads.

A file that is not exactly as it must be is left out, as if it were not there: no key is ever shortened, guessed or shown.
"""

from __future__ import annotations

import os
import re
import stat

MOST_FILES = 256
MOST_BYTES = 4096
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_KEY = re.compile(rb"[ -~]{8,63}")  # WPA's passphrase (IEEE 802.11-2020, J.4.1)
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def read(directory: str) -> dict[str, str]:
    """Give the secrets by name: the first line of each regular file, 8 to 63 printable ASCII, that is ours alone (mode 0600); {} without a directory."""
    try:
        # All that follows goes by this descriptor: the directory that was looked at is the one that is read.
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return {}
    try:
        names = sorted(name for name in os.listdir(folder) if _NAME.fullmatch(name))[:MOST_FILES]
        found = {name: _key(folder, name) for name in names} if _is_ours(os.fstat(folder), stat.S_IWGRP | stat.S_IWOTH) else {}
        return {name: key for name, key in found.items() if key is not None}
    finally:
        os.close(folder)


def _key(folder: int, name: str) -> str | None:
    try:
        fd = os.open(name, _OPEN, dir_fd=folder)
    except OSError:
        return None
    try:
        seen = os.fstat(fd)
        if not stat.S_ISREG(seen.st_mode) or not _is_ours(seen, 0o177):
            return None
        line = os.read(fd, MOST_BYTES).partition(b"\n")[0].removesuffix(b"\r")
    finally:
        os.close(fd)
    return line.decode("ascii") if _KEY.fullmatch(line) else None


def _is_ours(seen: os.stat_result, forbidden: int) -> bool:
    return seen.st_uid == os.geteuid() and not seen.st_mode & forbidden
