"""The audit log: one line for each act, each line holding the hash of the one before, none ever changed.

The store knows the last line's number and hash, so that lines missing at the end are noticed too. Holds no secret.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from fleet import files, store
from fleet.city import City
from fleet.errors import Refused
from fleet.who import login

STARS = "***"
SECRET_NAMES = frozenset(("key", "password", "passphrase"))
HEAD, COMING = "audit_head", "audit_coming"  # in city.db's meta: the last line's number and hash; the line that is being written
FIRST = "0" * 64  # what the first line has for the hash of the one before
LOCK_WITHIN_S = 10.0
MEMBERS = ("n", "at", "who", "what", "data", "prev", "hash")
REPAIRED = "audit repaired"


class Head(NamedTuple):
    """The last line that the store knows of; none yet: number 0."""

    number: int = 0
    hash: str = FIRST


class Verified(NamedTuple):
    """What a look at the whole log found: how many lines hold, and the first fault (None: none).

    `is_unfinished`: the last act was cut short while it was being written down; the next act writes it again.
    """

    lines: int
    fault: str | None = None
    is_unfinished: bool = False


def record(city: City, what: str, data: Mapping[str, object]) -> None:
    """Write an act down, on disk when this returns; Refused when it cannot be, and then the act is not to be done.

    Not to be called inside a transaction of city.db: the log's head is written there.
    """
    with _locked(city) as fd, contextlib.closing(store.open_city(city)) as connection:
        try:
            torn = _finish(fd, connection)
            if torn:
                _append(fd, connection, REPAIRED, {"torn_bytes": torn})
            _append(fd, connection, what, data)
        except (OSError, sqlite3.Error) as error:
            raise Refused(f"{city.audit}: {what} cannot be written down ({error}), so it is not done; make room or repair the disk, then try again") from None


def verify(city: City) -> Verified:
    """Look at every line, and whether the last one is the one that the store knows of."""
    if not city.audit.exists() and not city.store.exists():
        return Verified(0)
    with _locked(city) as fd, contextlib.closing(store.open_city(city)) as connection:
        head, coming = _head(connection), _coming(connection)
        found, last, number = Head(), b"", 0
        with open(os.dup(fd), "rb") as file:
            file.seek(0)
            for number, line in enumerate(file, 1):
                last = line
                if not line.endswith(b"\n"):
                    break
                fault, found = _fault(line, found)
                if fault:
                    return Verified(number - 1, f"line {number}: {fault}")
        torn = b"" if last.endswith(b"\n") else last
    return _ending(head, found, coming, torn)


def entries(city: City) -> Iterator[dict[str, Any]]:
    """Give the log's lines, the oldest first; what is none is left to `verify`."""
    try:
        with open(city.audit, "rb") as file:
            for line in file:
                try:
                    entry = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(entry, dict) and line.endswith(b"\n"):
                    yield entry
    except FileNotFoundError:
        return
    except OSError as error:
        raise Refused(f"{city.audit}: cannot be read ({error.strerror})") from None


def starred(value: object) -> object:
    """Give the value with stars for whatever is called as a secret is, at any depth."""
    if isinstance(value, Mapping):
        return {str(name): STARS if str(name).lower() in SECRET_NAMES else starred(inner) for name, inner in value.items()}
    return [starred(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _append(fd: int, connection: sqlite3.Connection, what: str, data: Mapping[str, object]) -> None:
    """The store takes the line first: what a power cut leaves half-written in the file is whole there."""
    before = _head(connection)
    entry = {"n": before.number + 1, "at": int(time.time()), "who": login(), "what": what, "data": starred(data), "prev": before.hash}
    entry["hash"] = _hash(entry)
    line = _line(entry)
    _set(connection, {HEAD: json.dumps([entry["n"], entry["hash"]]), COMING: line.decode()})
    try:
        _write(fd, line)
    except OSError:
        _set(connection, {HEAD: json.dumps(list(before)), COMING: None})
        raise
    _set(connection, {COMING: None})


def _write(fd: int, line: bytes) -> None:
    """All of it on disk, or as before."""
    end = os.fstat(fd).st_size
    try:
        written = os.write(fd, line)
        if written < len(line):
            os.write(fd, line[written:])
        os.fsync(fd)
    except OSError:
        os.ftruncate(fd, end)
        raise


def _finish(fd: int, connection: sqlite3.Connection) -> int:
    """Bring what was cut short to its end; give how many bytes of a torn line were taken off."""
    coming = _coming(connection)
    tail = _tail(fd, max(len(coming), 1))
    if coming and tail != coming:
        torn = _torn(fd, coming)
        os.ftruncate(fd, os.fstat(fd).st_size - torn)
        _write(fd, coming)
    else:
        torn = 0
        if not tail.endswith(b"\n") and tail:
            # No act of ours left this: it stays as a line that `verify` names.
            _write(fd, b"\n")
    if coming:
        _set(connection, {COMING: None})
    return torn


def _torn(fd: int, coming: bytes) -> int:
    """How much of the coming line's beginning stands at the file's end, without its newline."""
    tail = _tail(fd, len(coming) - 1)
    fragment = tail[tail.rfind(b"\n") + 1 :]
    return len(fragment) if fragment and coming.startswith(fragment) else 0


def _tail(fd: int, most: int) -> bytes:
    size = os.fstat(fd).st_size
    return os.pread(fd, most, max(0, size - most))


def _fault(line: bytes, before: Head) -> tuple[str | None, Head]:
    """What is wrong with a line after that one, and which it is."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        entry = None
    if not isinstance(entry, dict) or tuple(entry) != MEMBERS:
        return "is no entry of the log", before
    if entry["n"] != before.number + 1:
        return f"has number {entry['n']}, expected {before.number + 1}: lines are missing, doubled or not ours", before
    if entry["prev"] != before.hash:
        return "does not follow from the line before: that one was changed or replaced", before
    if entry["hash"] != _hash(entry) or line != _line(entry):
        return f"was changed after it was written ({entry['what']} of {entry['who']})", before
    return None, Head(entry["n"], entry["hash"])


def _ending(head: Head, found: Head, coming: bytes, torn: bytes) -> Verified:
    if coming and found.number == head.number - 1 and coming.startswith(torn):
        return Verified(found.number, None, True)
    if torn:
        return Verified(found.number, f"line {found.number + 1}: is cut off, and no act of ours was under way")
    if found == head:
        return Verified(found.number)
    if found.number < head.number:
        return Verified(found.number, f"line {found.number + 1}: is missing, the store knows of {head.number} lines: the end was cut off")
    if found.number == head.number:
        return Verified(found.number - 1, f"line {found.number}: is another one than the store knows: lines were written anew, or the store is older")
    return Verified(found.number, f"line {head.number + 1}: the store knows of {head.number} lines only: somebody else added this, or the store is older")


def _hash(entry: Mapping[str, object]) -> str:
    """The hash of a line's content but for the hash itself, its members in the order of their names."""
    content = {name: value for name, value in entry.items() if name != "hash"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()).hexdigest()


def _line(entry: Mapping[str, object]) -> bytes:
    return json.dumps({name: entry[name] for name in MEMBERS}, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _head(connection: sqlite3.Connection) -> Head:
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (HEAD,)).fetchone()
    return Head(*json.loads(row[0])) if row else Head()


def _coming(connection: sqlite3.Connection) -> bytes:
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (COMING,)).fetchone()
    return row[0].encode() if row else b""


def _set(connection: sqlite3.Connection, values: Mapping[str, str | None]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for name, value in values.items():
            if value is None:
                connection.execute("DELETE FROM meta WHERE name = ?", (name,))
            else:
                connection.execute("INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (name, value))
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def _locked(city: City) -> Iterator[int]:
    """The log's file, made when missing, for one at a time."""
    try:
        is_new = not city.audit.exists()
        fd = os.open(city.audit, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if is_new:
            files.sync(city.folder)
    except OSError as error:
        raise Refused(f"{city.audit}: cannot be opened ({error.strerror})") from None
    try:
        if not files.is_taken(fd, LOCK_WITHIN_S):
            raise Refused(f"{city.audit}: another rwctl has held it for {LOCK_WITHIN_S:.0f} s; end that one, or wait")
        yield fd
    finally:
        os.close(fd)
