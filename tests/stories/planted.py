"""Planted station MACs and secrets, looked for in everything that a city keeps: in files' bytes, in databases' values, and through what wraps them."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import urllib.parse
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.stories.test_secrets import find as find_plain

SQLITE = b"SQLite format 3\x00"
_UTF16_LE, _UTF16_BE = re.compile(rb"(?:[\x20-\x7e]\x00){6,}"), re.compile(rb"(?:\x00[\x20-\x7e]){6,}")
_ESCAPE = re.compile(rb"\\u00([0-9a-fA-F]{2})")
_DEFLATED = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]")
_TOKEN = re.compile(rb"[A-Za-z0-9_-]{16,}")
_JWS = re.compile(rb"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{86}")
_WINDOW = 16
MOST_BYTES = 50_000_000


def find(data: bytes, planted: set[str]) -> set[str]:
    """Give which planted texts stand in the bytes: plain, in base64, hex, deflate, gzip, UTF-16, behind JSON's and URLs' escapes; one in the other too."""
    found: set[str] = set()
    for once in unwrapped(data):
        for twice in unwrapped(once):
            found |= find_plain(twice, planted - found)
    return found


def unwrapped(data: bytes) -> Iterator[bytes]:
    """Give the bytes, and what they are behind one wrapping that the earlier search does not open in every place; equal ones once."""
    seen = {data}
    yield data
    for made in (_without_escapes(data), _without_percents(data), *_texts_of_utf16(data), *_inflated(data)):
        if made not in seen:
            seen.add(made)
            yield made


def _without_escapes(data: bytes) -> bytes:
    if b"\\" not in data:
        return data
    return re.sub(rb'\\(["\\/])', rb"\1", _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), data))


def _without_percents(data: bytes) -> bytes:
    return urllib.parse.unquote_to_bytes(data) if re.search(rb"%[0-9a-fA-F]{2}", data) else data


def _texts_of_utf16(data: bytes) -> Iterator[bytes]:
    for pattern, first in ((_UTF16_LE, 0), (_UTF16_BE, 1)):
        if found := b"\n".join(match.group()[first::2] for match in pattern.finditer(data)):
            yield found


def _inflated(data: bytes) -> Iterator[bytes]:
    for match in _DEFLATED.finditer(data):
        with contextlib.suppress(zlib.error):
            # 47: a gzip or a zlib header, whichever stands there.
            yield zlib.decompressobj(47).decompress(data[match.start() :], MOST_BYTES)


def without_pushes(data: bytes, pushes: Iterable[bytes]) -> bytes:
    """Blot out the signed pushes, which carry keys, readable: whole ones, and the pieces of known ones that a database spreads over its pages."""
    known: set[bytes] = set()
    for push in pushes:
        known |= {push[at : at + _WINDOW] for at in range(len(push) - _WINDOW + 1)}

    def blotted(match: re.Match[bytes]) -> bytes:
        run = bytearray(match.group())
        original = bytes(run)
        for at in range(len(original) - _WINDOW + 1):
            if original[at : at + _WINDOW] in known:
                run[at : at + _WINDOW] = b"." * _WINDOW
        return bytes(run)

    return _TOKEN.sub(blotted, _JWS.sub(b".", data))


def values(file: Path) -> Iterator[tuple[str, bytes]]:
    """Give every value of every table of a SQLite file, with where it stands: a long one lies in pieces in the file."""
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
            cursor = connection.execute(f'SELECT * FROM "{table}"')
            names = [column[0] for column in cursor.description]
            for row in cursor:
                for name, value in zip(names, row, strict=True):
                    if isinstance(value, (str, bytes)):
                        yield f"{file.name} {table}.{name}", value.encode() if isinstance(value, str) else value


def everything(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Give all that lies below a folder: each file's name and bytes (pages, WAL and free pages alike), and a database's values."""
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not file.is_symlink():
            data = file.read_bytes()
            yield str(file.relative_to(folder)), str(file.name).encode() + b"\n" + data
            if data.startswith(SQLITE):
                yield from values(file)
