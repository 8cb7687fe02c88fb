"""From the box's bytes to text and figures, for all the doors alike. Whatever does not fit gives None, never an exception."""

from __future__ import annotations

import os
import re

READ_BYTES = 262144
# Most files of /proc and /sys fit; room for far more would be mapped and unmapped by the allocator at each reading.
FIRST_BYTES = 4096
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|[nrte\"\\])")
_LETTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"e": b"\x1b", b'"': b'"', b"\\": b"\\"}
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_DIGITS_OF_64_BITS = 20


def read_bytes(path: str, limit: int = READ_BYTES) -> bytes:
    """Read a file of /proc or /sys from its beginning, at most `limit` bytes; OSError when it cannot be read."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _read_on(fd, limit)
    finally:
        os.close(fd)


class Kept:
    """A file of /proc that is read at every sample: opened at its first reading, and read from its beginning each time."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def read(self) -> bytes:
        """Give what stands in it now; OSError when it cannot be read."""
        if self._fd < 0:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        return _read_on(self._fd, READ_BYTES)


def _read_on(fd: int, limit: int) -> bytes:
    """Read from the file's beginning. The place is named at each read: one that was interrupted leaves nothing behind for the next."""
    whole_text = os.pread(fd, min(limit, FIRST_BYTES), 0)
    # A seq_file gives about a page at each read, however much is asked for.
    while len(whole_text) < limit and (more := os.pread(fd, min(limit - len(whole_text), FIRST_BYTES + len(whole_text)), len(whole_text))):
        whole_text += more
    return whole_text


def read_line(path: str) -> str | None:
    """Read a one-line file as text; None when there is none or it is empty."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # The kernel gives such a file with the first read.
        raw = os.read(fd, FIRST_BYTES)
    except OSError:
        return None
    finally:
        os.close(fd)
    return raw.replace(b"\0", b" ").decode("utf-8", "backslashreplace").strip() or None


def listed(*parts: str) -> list[str]:
    """Name what the directory at these parts of a path holds, in order; [] when it cannot be read."""
    try:
        return sorted(os.listdir(os.path.join(*parts)))
    except OSError:
        return []


def printable(name: str) -> str:
    """Turn a name as the operating system gives it into text for people.

    Bytes that are not UTF-8, and characters that do not print (control, line breaks, invisible marks of direction), become backslash escapes.
    """
    return _spell_out(name if name.isascii() else os.fsencode(name).decode("utf-8", "backslashreplace"))


def unescape(text: str) -> str:
    """Undo the escapes with which iw and hostapd print an SSID, and give its bytes as text for people, as `printable` does."""

    def byte(match: re.Match[bytes]) -> bytes:
        escape = match[1]
        return bytes.fromhex(escape[1:].decode()) if escape[:1] == b"x" else _LETTERS[escape]

    return _spell_out(_ESCAPE.sub(byte, text.encode("utf-8", "surrogateescape")).decode("utf-8", "backslashreplace"))


def _spell_out(text: str) -> str:
    """Replace what would move a terminal's cursor or turn its text around; everything else stays as it is."""
    return text if text.isprintable() else "".join(one if one.isprintable() else _escape(ord(one)) for one in text)


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def whole(text: str) -> int | None:
    """Give the counter that `text` begins with; None when there is none or it does not fit 64 bits."""
    digits = text.partition(" ")[0]
    if not digits.isascii() or not digits.isdigit() or len(digits) > _DIGITS_OF_64_BITS:
        return None
    number = int(digits)
    return number if number < 1 << 64 else None


def dbm(text: str) -> int | None:
    """Give the level in dBm that `text` begins with; None when it is none.

    Drivers pass a signed byte, and some tools print it unsigned (170 is -86); 0 means "not measured".
    """
    digits = text.partition(" ")[0]
    level = whole(digits.removeprefix("-"))
    if level is None:
        return None
    if digits.startswith("-"):
        level = -level
    elif 128 <= level <= 255:
        level -= 256
    return level if -128 < level < 0 else None


def mac(text: str) -> str | None:
    """Give a MAC address in lower case; None when `text` is none."""
    lower = text.lower()
    return lower if _MAC.fullmatch(lower) else None
