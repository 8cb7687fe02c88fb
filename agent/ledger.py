"""The messages held and where each lies: an index on the heap, the deflated payloads in the journal in RAM, totals beside them.

A restarted process finds the same state. Promises to bound the files and never to hold a payload twice; decides nothing about which
message goes when.
"""

from __future__ import annotations

import logging
import zlib

from agent import entry as records
from agent.entry import EVENT, Entry, Totals
from agent.journal import MAX_BODY_BYTES, Journal, names
from agent.wire import messages

LOG = logging.getLogger(__name__)

SEGMENTS = 8
SMALLEST_SEGMENT_BYTES = 16_384
RELEARN_AFTER = 64
WINDOW_BYTES = 8192
MAX_MESSAGE_BYTES = messages.MAX_REPORT_BYTES


class Ledger:
    """The entries of one boot by their last seq, in rising order, and the totals."""

    def __init__(self, directory: str, boot: str, max_bytes: int) -> None:
        """Read what a former process of this boot left in `directory`; what other boots left there is discarded."""
        self._boot = boot
        self._file_bytes = max_bytes + max_bytes // 4
        self._has_trouble = False
        self._owed: list[int] = []
        self.discarded = sum(_discard(directory, name) for name in names(directory) if name != boot)
        self._segment_bytes = max(max_bytes // SEGMENTS, SMALLEST_SEGMENT_BYTES)
        self._journal = Journal(directory, boot, self._segment_bytes, self._opening)
        self.entries: dict[int, Entry]
        self.totals: Totals
        self.entries, self.totals, deflated = records.replay(self._journal.scan())
        self._dictionary = _inflate(deflated, b"") or b""
        self._relearn_seq = self.totals.next_seq + RELEARN_AFTER
        self.bytes = sum(entry.size for entry in self.entries.values())
        for entry in self.entries.values():
            if entry.place is not None:
                self._journal.hold(entry.place)
        if self._journal.damaged_bytes:
            self._heal(self._journal.damaged_bytes)

    @property
    def flash_writes(self) -> int:
        """Writes that went to a directory that is not in RAM."""
        return self._journal.flash_writes

    def close(self) -> None:
        """Close the files; what they hold waits for the next process."""
        self._journal.close()

    def hold(self, entry: Entry, text: bytes) -> None:
        """Take an entry with its JSON; on the heap when the journal cannot take it."""
        if not self._dictionary or (not self.entries and entry.seq >= self._relearn_seq):
            self._learn(entry, text)
        payload = _deflate(text, self._dictionary)
        self.entries[entry.seq] = entry
        entry.size = records.size_of(payload)
        self.bytes += entry.size
        if not self._write(entry, payload):
            entry.payload = payload

    def replace(self, former: list[Entry], entry: Entry, text: bytes) -> None:
        """Let one entry stand for several, all of whose seqs it covers; its record replaces theirs, so there is no moment with neither."""
        for each in former:
            self._forget(each)
        self.hold(entry, text)
        self.entries = dict(sorted(self.entries.items()))
        self.note(self.totals._replace(thinned=self.totals.thinned + len(former) - 1))

    def release(self, entries: list[Entry], is_lost: bool = False) -> None:
        """Let entries go; lost ones are counted, each with all it stands for."""
        if not entries:
            return
        for entry in entries:
            self._forget(entry)
        if is_lost:
            lost = sum(entry.seq - entry.from_seq + 1 for entry in entries)
            self.totals = self.totals._replace(dropped=self.totals.dropped + lost)
        self._owed += [entry.seq for entry in entries if entry.place is not None]
        self._write_owed()
        self._journal.trim()

    def drop_unreadable(self, entry: Entry) -> None:
        """Let an entry go whose payload is damaged."""
        LOG.warning("message dropped, it cannot be read any more: seq=%d", entry.seq)
        self.release([entry], is_lost=True)

    def mark(self, entry: Entry) -> None:
        """Write an entry's flags down."""
        self._journal.append(records.pack_mark(entry))

    def note(self, totals: Totals) -> None:
        """Write the totals down."""
        self.totals = totals
        self._journal.append(records.pack_totals(totals))

    def has(self, entry: Entry) -> bool:
        """Say whether an entry is still held."""
        return self.entries.get(entry.seq) is entry

    def text(self, entry: Entry) -> bytes | None:
        """Give an entry's JSON as it was put; None when it is damaged or no longer held."""
        payload = self._payload(entry)
        return None if payload is None else _inflate(payload, self._dictionary)

    def message(self, entry: Entry) -> messages.Payload | None:
        """Give an entry's message; None when it is damaged or not what the index says."""
        text = self.text(entry)
        try:
            message = None if text is None else messages.decode_report(text)
        except messages.Malformed:
            return None
        if message is None or (message.get("boot"), message.get("seq")) != (self._boot, entry.seq):
            return None
        return message if message.get("from_seq", entry.seq) == entry.from_seq else None

    def settle(self) -> None:
        """Write what the journal could not take, now that it may have room again."""
        if self._owed:
            self._write_owed()
        for entry in self.entries.values():
            if entry.payload is not None and not self._write(entry, entry.payload):
                return

    def compact(self) -> None:
        """Delete the oldest files; move what is wanted out of them while a third of all is waste, or all is a quarter more than it may be."""
        self._journal.trim()
        bound = min(self._file_bytes, self.bytes * 3 // 2 + 2 * self._segment_bytes)
        last = self._journal.last_number  # each file at most once, whatever that gains
        while self._journal.total_bytes() > bound and (segment := self._journal.oldest()) is not None and segment.number <= last:
            for entry in [entry for entry in self.entries.values() if entry.place is not None and entry.place[0] is segment]:
                if not self._move(entry):
                    return
            self._journal.trim()

    def _learn(self, entry: Entry, text: bytes) -> None:
        """Make a report the dictionary of those to come: they differ in little but numbers, so each takes half the room or less."""
        if not entry.flags & EVENT:
            self._dictionary = text[-WINDOW_BYTES:]
            self._relearn_seq = entry.seq + RELEARN_AFTER
            self._journal.seal()

    def _opening(self) -> list[bytes]:
        """What each file begins with: the totals, and the dictionary twice, so that no single damage takes it away."""
        dictionary = records.pack_dictionary(_deflate(self._dictionary, b""))
        return [records.pack_totals(self.totals), *([dictionary] * 2 if self._dictionary else [])]

    def _heal(self, damaged_bytes: int) -> None:
        """Leave the damaged files behind, once for all; whatever number a damaged record carried must not be given to another message."""
        LOG.warning("the outbox was damaged, whole messages are kept: damaged_bytes=%d kept=%d", damaged_bytes, len(self.entries))
        self._journal.seal()
        self.note(self.totals._replace(next_seq=self.totals.next_seq + 1 + damaged_bytes // records.SMALLEST_PUT))
        for entry in list(self.entries.values()):
            self._move(entry)
            self._journal.trim()

    def _move(self, entry: Entry) -> bool:
        """Write an entry anew behind all others, or drop it when it cannot be read; False when the journal cannot take it."""
        payload = self._payload(entry)
        if payload is None:
            self.drop_unreadable(entry)
        return payload is None or self._write(entry, payload)

    def _write(self, entry: Entry, payload: bytes) -> bool:
        """Write an entry to the journal; when that cannot take it the entry stays as and where it is."""
        place = self._journal.append(records.pack_put(entry, payload), is_held=True)
        has_trouble = place is None
        if has_trouble and not self._has_trouble:
            LOG.warning("the outbox cannot write, a restart would lose what it takes from now on: %s", self._journal.trouble)
        self._has_trouble = has_trouble
        if place is None:
            return False
        if entry.place is not None:
            self._journal.free(entry.place)
        entry.place, entry.payload = place, None
        return True

    def _write_owed(self) -> None:
        """Write down which entries are gone; what a full tmpfs does not take now is written with the next."""
        if self._journal.append(records.pack_release(self.totals, self._owed)) is not None:
            self._owed = []

    def _forget(self, entry: Entry) -> None:
        del self.entries[entry.seq]
        self.bytes -= entry.size
        if entry.place is not None:
            self._journal.free(entry.place)

    def _payload(self, entry: Entry) -> bytes | None:
        if not self.has(entry):
            return None
        if entry.payload is not None or entry.place is None:
            return entry.payload
        put = self._journal.read(entry.place)
        return None if put is None else records.payload_of(put)


def _deflate(text: bytes, dictionary: bytes) -> bytes:
    """Compress with a window of 8 KiB: it spans a report and its dictionary, and takes two thirds of the full window's time."""
    stream = zlib.compressobj(6, zlib.DEFLATED, 13, 6, zlib.Z_DEFAULT_STRATEGY, dictionary)
    return stream.compress(text) + stream.flush()


def _inflate(payload: bytes, dictionary: bytes) -> bytes | None:
    """Give the text; None when it is damaged, or was deflated with another dictionary (RFC 1950, 2.2: the stream names its own)."""
    stream = zlib.decompressobj(zdict=dictionary)
    try:
        text = stream.decompress(payload, MAX_MESSAGE_BYTES)
    except zlib.error:
        return None
    return text if stream.eof else None


def _discard(directory: str, boot: str) -> int:
    """Delete what another boot left; give how many messages that were."""
    left = Journal(directory, boot, MAX_BODY_BYTES, list)
    count = len(records.replay(left.scan()).entries)
    left.discard()
    LOG.warning("the outbox of another boot is discarded: boot=%s messages=%d", boot, count)
    return count
