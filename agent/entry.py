"""A message held, and how it and the totals are written down as journal records and read back.

Pure. Promises that any sequence of records, in any order and with any content, gives a consistent state.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from typing import Literal, NamedTuple

from agent.journal import HEAD, Place
from agent.wire.messages import MAX_INTEGER

# Flags of an entry: an event (else a report), made with a good clock, sent at least once, said to be late, PUBACKed and kept for an ack.
EVENT, TRUSTED, SENT, LATE, KEPT = 1, 2, 4, 8, 16

# live: made just now; waiting: the backlog; flying: sent, no PUBACK yet; kept: PUBACKed, no ack yet; missing: the city asked for it again.
State = Literal["live", "waiting", "flying", "kept", "missing"]

_TOTALS = struct.Struct(">c?QQQ")
_PUT = struct.Struct(">cBQQdd")
_MARK = struct.Struct(">cBQd")
SMALLEST_PUT = HEAD.size + _PUT.size + 8


class Totals(NamedTuple):
    """The outbox beyond its entries: the next number, seqs lost, reports merged away, whether this boot has had an ack."""

    next_seq: int
    dropped: int
    thinned: int
    is_acked: bool


class Entry:
    """One message held: what is known of it without reading it, and where it lies (`payload`: here, as the journal could not take it)."""

    __slots__ = ("at", "flags", "from_seq", "not_before", "pauses", "payload", "place", "seq", "size", "state", "uptime_s")

    def __init__(self, from_seq: int, seq: int, uptime_s: float, flags: int, at: float = math.nan) -> None:
        self.from_seq, self.seq, self.uptime_s, self.flags = from_seq, seq, uptime_s, flags
        self.at = at  # the `at` it was first sent with in place of its own, NaN for its own
        self.state: State = "waiting"
        self.place: Place | None = None
        self.payload: bytes | None = None
        self.size = 0
        self.not_before = 0.0  # uptime
        self.pauses = 0

    @property
    def kind(self) -> Literal["report", "event"]:
        """The topic it belongs on."""
        return "event" if self.flags & EVENT else "report"

    @property
    def lacks_time(self) -> bool:
        """Whether it was made without a good clock and can still be given one: what was sent once stays as it is."""
        return not self.flags & (TRUSTED | SENT)

    @property
    def is_merged(self) -> bool:
        """Whether it stands for several reports."""
        return self.from_seq < self.seq

    @property
    def is_mergeable(self) -> bool:
        """Whether it is a report that nobody has seen yet."""
        return self.state == "waiting" and not self.flags & (EVENT | SENT)


class Past(NamedTuple):
    """What a journal says: the entries by their seq, the totals, and the deflated dictionary (b"": none)."""

    entries: dict[int, Entry]
    totals: Totals
    dictionary: bytes


def pack_put(entry: Entry, payload: bytes) -> bytes:
    """Write down an entry; it takes the place of every entry it overlaps."""
    return _PUT.pack(b"P", entry.flags, entry.from_seq, entry.seq, entry.uptime_s, entry.at) + payload


def payload_of(put: bytes) -> bytes:
    """Give the payload of what `pack_put` made."""
    return put[_PUT.size :]


def size_of(payload: bytes) -> int:
    """The bytes an entry with this payload takes in the journal."""
    return HEAD.size + _PUT.size + len(payload)


def pack_mark(entry: Entry) -> bytes:
    """Write down an entry's flags and the `at` it was sent with."""
    return _MARK.pack(b"M", entry.flags, entry.seq, entry.at)


def pack_release(totals: Totals, seqs: Iterable[int]) -> bytes:
    """Write down that entries are gone, and the totals after that."""
    numbers = list(seqs)
    return _TOTALS.pack(b"R", totals.is_acked, *totals[:3]) + struct.pack(f">{len(numbers)}Q", *numbers)


def pack_totals(totals: Totals) -> bytes:
    """Write down the totals."""
    return pack_release(totals, ())


def pack_dictionary(deflated: bytes) -> bytes:
    """Write down the dictionary that payloads were deflated with."""
    return b"D" + deflated


def replay(found: Iterable[tuple[Place, bytes]]) -> Past:
    """Give the state after all records; one that makes no sense is passed over."""
    entries: dict[int, Entry] = {}
    totals, dictionary = Totals(1, 0, 0, False), b""
    for place, body in found:
        if body[:1] == b"D":
            dictionary = body[1:]
            continue
        try:
            entry, now = _ACTIONS[body[:1]](entries, body)
        except (KeyError, struct.error):
            continue
        if entry is not None:
            entry.place, entry.size = place, HEAD.size + len(body)
        if now is not None:
            totals = now._replace(next_seq=max(totals.next_seq, now.next_seq), is_acked=totals.is_acked or now.is_acked)
        totals = totals._replace(next_seq=max(totals.next_seq, entry.seq + 1 if entry is not None else 1))
    return Past({entry.seq: entry for entry in _disjoint(entries)}, totals, dictionary)


def _disjoint(entries: dict[int, Entry]) -> list[Entry]:
    """Sort by seq; of two that overlap, which only damage can bring about, the longer one stays."""
    kept: list[Entry] = []
    for _, entry in sorted(entries.items()):
        while kept and kept[-1].seq >= entry.from_seq:
            kept.pop()
        kept.append(entry)
    return kept


def _put(entries: dict[int, Entry], body: bytes) -> tuple[Entry | None, None]:
    _, flags, from_seq, seq, uptime_s, at = _PUT.unpack_from(body)
    if not 1 <= from_seq <= seq < MAX_INTEGER or not 0 <= uptime_s <= MAX_INTEGER:
        return None, None
    if from_seq < seq:
        for key in [key for key, other in entries.items() if other.from_seq <= seq and key >= from_seq]:
            del entries[key]
    entries[seq] = Entry(from_seq, seq, uptime_s, flags, at if 0 <= at <= MAX_INTEGER else math.nan)
    return entries[seq], None


def _mark(entries: dict[int, Entry], body: bytes) -> tuple[None, Totals | None]:
    _, flags, seq, at = _MARK.unpack(body)
    if seq in entries:
        entries[seq].flags, entries[seq].at = flags, at if 0 <= at <= MAX_INTEGER else math.nan
    return None, None


def _release(entries: dict[int, Entry], body: bytes) -> tuple[None, Totals | None]:
    _, is_acked, next_seq, dropped, thinned = _TOTALS.unpack_from(body)
    for (seq,) in struct.iter_unpack(">Q", body[_TOTALS.size :]):
        entries.pop(seq, None)
    return None, Totals(next_seq, dropped, thinned, is_acked) if 1 <= next_seq <= MAX_INTEGER and max(dropped, thinned) <= MAX_INTEGER else None


_ACTIONS = {b"P": _put, b"M": _mark, b"R": _release}
