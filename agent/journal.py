"""Append-only records in segment files in RAM: what a restarted process finds again, each record whole or not at all.

A marker, the length and a CRC-32 frame every record, so damage costs only the record it hit. Segments die oldest first, so that
a record never outlives the one that takes it back. Nothing is ever fsynced: a reboot is meant to forget.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from errno import ENOSPC
from stat import S_ISREG

MARKER = b"\xa5RW\x01"
HEAD = struct.Struct(">4sII")
SUFFIX = ".journal"
# One record never passes 1 MiB; reading more than a segment and one record of a file would serve nobody but an attacker.
MAX_BODY_BYTES = 1 << 20
_ESCAPES = (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\"))


class Segment:
    """One file: where it is, how long it is and how many records in it are still wanted."""

    __slots__ = ("fd", "live", "number", "path", "size")

    def __init__(self, path: str, number: int, fd: int, size: int) -> None:
        self.path, self.number, self.fd, self.size, self.live = path, number, fd, size, 0


Place = tuple[Segment, int, int]  # the segment, the record's offset in it, its body's length


def frame(body: bytes) -> bytes:
    """Frame a body as one record."""
    return HEAD.pack(MARKER, len(body), zlib.crc32(body)) + body


def body_at(data: bytes, offset: int) -> bytes | None:
    """Give the body of the record that begins at `offset`; None when no whole, undamaged record does."""
    start = offset + HEAD.size
    if start > len(data):
        return None
    marker, length, crc = HEAD.unpack_from(data, offset)
    if marker != MARKER or length > len(data) - start:
        return None
    body = data[start : start + length]
    return body if zlib.crc32(body) == crc else None


def records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Find every undamaged record, as offset and body, whatever lies between."""
    offset = 0
    while (offset := data.find(MARKER, offset)) >= 0:
        body = body_at(data, offset)
        if body is None:
            offset += 1
            continue
        yield offset, body
        offset += HEAD.size + len(body)


def is_in_ram(directory: str, mounts: str) -> bool:
    """Say whether a directory lies on tmpfs or ramfs; `mounts` is the text of /proc/mounts. When in doubt: no."""
    path, longest, in_ram = os.path.realpath(directory) + "/", 0, False
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = fields[1]
        for escape, character in _ESCAPES:
            point = point.replace(escape, character)
        point = point.rstrip("/") + "/"
        if path.startswith(point) and len(point) >= longest:  # of two mounts on one point the later one lies on top
            longest, in_ram = len(point), fields[2] in ("tmpfs", "ramfs")
    return in_ram


def names(directory: str) -> set[str]:
    """Name the journals that have segments in a directory."""
    with suppress(OSError):
        return {name.rsplit(".", 2)[0] for name in os.listdir(directory) if _number(name) is not None} - {""}
    return set()


def _number(filename: str) -> int | None:
    parts = filename.rsplit(".", 2)
    is_ours = len(parts) == 3 and "." not in parts[0] and "." + parts[2] == SUFFIX and parts[1].isascii() and parts[1].isdigit() and len(parts[1]) <= 18
    return int(parts[1]) if is_ours else None


def mounts() -> str:
    with suppress(OSError), open("/proc/mounts", encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
    return ""


class Journal:
    """The segments of one name in one directory. `first_records` gives the bodies that every new segment opens with."""

    def __init__(self, directory: str, name: str, segment_bytes: int, first_records: Callable[[], list[bytes]]) -> None:
        if not name or "/" in name or "." in name:
            raise ValueError(f"journal name is {name!r}, expected text without '/' and '.'")
        self._directory, self._name, self._segment_bytes, self._first_records = directory, name, segment_bytes, first_records
        self._is_in_ram = is_in_ram(directory, mounts())
        self._segments: list[Segment] = []
        self.last_number = 0
        self._is_sealed = False
        self.flash_writes = 0
        self.damaged_bytes = 0
        self.trouble: OSError | None = None

    def total_bytes(self) -> int:
        """All bytes of all segments."""
        return sum(segment.size for segment in self._segments)

    def scan(self) -> Iterator[tuple[Place, bytes]]:
        """Open the segments that a former process left and give their records, oldest first; call it once, before anything else."""
        for number, path in sorted(self._left_behind()):
            self.last_number = number
            segment = self._open(path, number, os.O_RDWR)
            if segment is None:
                continue
            if segment.size == 0:  # its maker died before the first record
                self._delete(segment)
                continue
            data = os.pread(segment.fd, min(segment.size, self._segment_bytes + 2 * MAX_BODY_BYTES), 0)
            self._segments.append(segment)
            good = end = 0
            for offset, body in records(data):
                end = offset + HEAD.size + len(body)
                good += end - offset
                yield (segment, offset, len(body)), body
            self.damaged_bytes += segment.size - good
            self._cut(segment, end)

    def append(self, body: bytes, *, is_held: bool = False) -> Place | None:
        """Write one record; None when the directory cannot take it (`trouble` says why). A held record keeps its segment alive until freed."""
        record = frame(body)
        segment = self._segments[-1] if self._segments else None
        if segment is None or self._is_sealed or segment.size + len(record) > self._segment_bytes:
            segment = self._begin() or (None if self._is_sealed else segment)
        if segment is None or not self._write(segment, record):
            return None
        place = (segment, segment.size - len(record), len(body))
        if is_held:
            self.hold(place)
        self.trouble = None
        return place

    def seal(self) -> None:
        """Let the next record begin a new segment, or not be written at all."""
        self._is_sealed = True

    def read(self, place: Place) -> bytes | None:
        """Give a record's body again; None when it is damaged or gone."""
        segment, offset, length = place
        with suppress(OSError):
            return body_at(os.pread(segment.fd, HEAD.size + length, offset), 0)
        return None

    def hold(self, place: Place) -> None:
        """Keep a record's segment alive."""
        place[0].live += 1

    def free(self, place: Place) -> None:
        """Let a held record go."""
        place[0].live -= 1

    def trim(self) -> None:
        """Delete the oldest segments as long as nothing in them is held; never the one being written."""
        while len(self._segments) > 1 and self._segments[0].live <= 0:
            self._delete(self._segments.pop(0))

    def oldest(self) -> Segment | None:
        """The segment that dies next; None when only the one being written is left."""
        return self._segments[0] if len(self._segments) > 1 else None

    def discard(self) -> None:
        """Delete every segment."""
        while self._segments:
            self._delete(self._segments.pop(0))

    def close(self) -> None:
        """Close the files; what they hold stays."""
        for segment in self._segments:
            os.close(segment.fd)
        self._segments.clear()

    def _left_behind(self) -> Iterator[tuple[int, str]]:
        with suppress(OSError):
            for filename in os.listdir(self._directory):
                number = _number(filename)
                if number is not None and filename.rsplit(".", 2)[0] == self._name:
                    yield number, os.path.join(self._directory, filename)

    def _begin(self) -> Segment | None:
        self.last_number += 1
        path = os.path.join(self._directory, f"{self._name}.{self.last_number:06d}{SUFFIX}")
        try:
            os.makedirs(self._directory, 0o700, exist_ok=True)
        except OSError as error:
            self.trouble = error
            return None
        segment = self._open(path, self.last_number, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        if segment is None:
            return None
        self._count_write()
        if not self._write(segment, b"".join(frame(body) for body in self._first_records())):
            self._delete(segment)
            return None
        self._segments.append(segment)
        self._is_sealed = False
        return segment

    def _open(self, path: str, number: int, flags: int) -> Segment | None:
        try:
            fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
            status = os.fstat(fd)
        except OSError as error:
            self.trouble = error
            return None
        if not S_ISREG(status.st_mode):
            os.close(fd)
            return None
        return Segment(path, number, fd, status.st_size)

    def _write(self, segment: Segment, record: bytes) -> bool:
        self._count_write()
        try:
            written = os.pwrite(segment.fd, record, segment.size)
        except OSError as error:
            self.trouble = error
            return False
        if written < len(record):  # a full tmpfs takes what fits
            self.trouble = OSError(ENOSPC, os.strerror(ENOSPC))
            self._cut(segment, segment.size)
            return False
        segment.size += written
        return True

    def _delete(self, segment: Segment) -> None:
        self._count_write()
        os.close(segment.fd)
        with suppress(OSError):
            os.unlink(segment.path)

    def _cut(self, segment: Segment, size: int) -> None:
        with suppress(OSError):  # garbage that stays behind the last record is passed over by the next scan
            os.ftruncate(segment.fd, size)
        segment.size = size

    def _count_write(self) -> None:
        self.flash_writes += 0 if self._is_in_ram else 1
