"""What waits for the city: every report and event of this boot until it is surely there, and which of them goes next.

Bounded, in RAM, and back after a restart of the agent. Promises to lose nothing silently: what has to go is counted, and the oldest
seq still held is told. Touches no network.
"""

from __future__ import annotations

import logging
import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Literal, NamedTuple

from agent import thinning
from agent.entry import EVENT, KEPT, LATE, SENT, TRUSTED, Entry, Totals
from agent.ledger import MAX_MESSAGE_BYTES, Ledger
from agent.wire import messages

__all__ = ("Entry", "Figures", "Outbox")

LOG = logging.getLogger(__name__)

BACKLOG_PER_S = 4.0
BACKLOG_BURST = 4.0
ONE_MESSAGE = 1.0 - 1e-6  # what is there of one after a wait as long as wait() said
THIN_AFTER_S = 7200.0
BUCKET_S = 300.0
PAUSE_S = 10.0
PAUSE_MAX_S = 600.0
# An index entry takes about 350 bytes of the heap: with one to 256 bytes of room a flood of tiny events stays bounded too.
ROOM_PER_ENTRY_BYTES = 256
# Merging this many at a time bounds what is decoded at once: 300 reports of one second would take megabytes.
MERGE_AT_ONCE = 10
# The city may be ahead of us only by what a lost state had numbered; further is nonsense.
MAX_JUMP = 1 << 32


class Figures(NamedTuple):
    """What the outbox holds: messages, bytes, the oldest seq (the next one when empty), seqs lost, reports merged away, messages kept for an ack."""

    count: int  # type: ignore[assignment]  # tuple's method of this name is of no use here
    bytes: int
    oldest_seq: int
    dropped: int
    thinned: int
    kept: int


class Outbox:
    """The messages of one boot, from being made to being committed by the city."""

    def __init__(self, directory: str, boot: str, max_bytes: int) -> None:
        """Open what a former process of this boot left in `directory`, which lies in RAM; what other boots left there is discarded."""
        self.boot = boot
        self._max_bytes = max_bytes
        self._ledger = Ledger(directory, boot, max_bytes)
        for entry in self._ledger.entries.values():
            entry.state = "kept" if entry.flags & KEPT else "waiting"
        self._first_own_seq = self._ledger.totals.next_seq
        self._flying: dict[int, tuple[Entry, float]] = {}
        self._opened: tuple[Entry, bytes] | None = None
        self._allowance, self._allowed_at = BACKLOG_BURST, 0.0
        self.ignored_acks = 0
        self._make_room(None)

    @property
    def flash_writes(self) -> int:
        """Writes that went to a directory that is not in RAM."""
        return self._ledger.flash_writes

    @property
    def discarded(self) -> int:
        """Messages of other boots found at the start and discarded."""
        return self._ledger.discarded

    def next_seq(self) -> int:
        """The number the next message must carry, from 1."""
        return self._ledger.totals.next_seq

    def figures(self) -> Figures:
        """Count what is held and what is gone."""
        entries, totals = self._ledger.entries, self._ledger.totals
        oldest = next(iter(entries.values()), None)
        kept = sum(entry.state == "kept" for entry in entries.values())
        return Figures(len(entries), self._ledger.bytes, totals.next_seq if oldest is None else oldest.from_seq, totals.dropped, totals.thinned, kept)

    def held(self) -> list[Entry]:
        """Everything held, oldest first."""
        return list(self._ledger.entries.values())

    def close(self) -> None:
        """Close the files; what they hold waits for the next process."""
        self._ledger.close()

    # A message comes.

    def put(self, kind: Literal["report", "event"], message: messages.Payload, encoded: bytes | None = None) -> None:
        """Take a message of this boot that carries `next_seq()`; `encoded` is the same as JSON, where that is at hand."""
        seq, uptime, totals = message["seq"], message["uptime_s"], self._ledger.totals
        if seq != totals.next_seq or message["boot"] != self.boot or not isinstance(uptime, (int, float)):
            raise ValueError(f"message has boot {message['boot']} seq {seq} uptime_s {uptime}, expected {self.boot} {totals.next_seq} and seconds")
        is_trusted = message["clock"] == "ntp" if "clock" in message else "at" in message
        flags = (EVENT if kind == "event" else 0) | (TRUSTED if is_trusted else 0)
        text = messages.encode(message) if encoded is None else encoded
        if kind == "report":
            for former in self._ledger.entries.values():
                former.state = "waiting" if former.state == "live" else former.state
        entry = Entry(totals.next_seq, totals.next_seq, float(uptime), flags)
        entry.state = "live"
        self._ledger.totals = Totals(entry.seq + 1, totals.dropped, totals.thinned, totals.is_acked)
        if len(text) > MAX_MESSAGE_BYTES:
            LOG.warning("message dropped: seq=%d bytes=%d acceptable=%d", entry.seq, len(text), MAX_MESSAGE_BYTES)
            self._ledger.note(self._ledger.totals._replace(dropped=totals.dropped + 1))
            return
        self._ledger.hold(entry, text)
        self._opened = (entry, text)  # most go out at once, and need not be read back
        self._make_room(entry)

    # A message goes.

    def due(self, uptime: float) -> Entry | None:
        """Give what to publish next, or None: the live first (newest first), then what the city misses, then the backlog, oldest first and trickled."""
        while (entry := self._next(uptime)) is not None:
            if self._opened is not None and self._opened[0] is entry:
                return entry
            text = self._ledger.text(entry)
            if text is not None:
                self._opened = (entry, text)
                return entry
            self._ledger.drop_unreadable(entry)
        return None

    def wait(self, uptime: float) -> float | None:
        """Seconds until `due` may give something; None while nothing waits."""
        self._refill(uptime)
        allowed_at = uptime + max(0.0, 1.0 - self._allowance) / BACKLOG_PER_S
        moments = [_ready_at(entry, allowed_at) for entry in self._ledger.entries.values() if entry.state not in ("flying", "kept")]
        return max(0.0, min(moments) - uptime) if moments else None

    def render(self, entry: Entry, *, uptime: float, wall: float | None, interval_s: float) -> bytes:
        """Give the JSON to send: `late` as of the first sending, and `at` where it was made without a good clock (`wall`: Unix seconds, None: still none).

        What was sent once is the same ever after. ValueError for an entry that is not held.
        """
        if not entry.flags & SENT:
            is_late = not entry.flags & EVENT and uptime - entry.uptime_s > 2 * interval_s
            entry.flags = entry.flags | LATE if is_late else entry.flags & ~LATE
            entry.at = math.nan if wall is None or entry.flags & TRUSTED else float(int(wall - (uptime - entry.uptime_s)))
        is_opened = self._opened is not None and self._opened[0] is entry
        text = self._opened[1] if is_opened and self._opened is not None else self._ledger.text(entry)
        if text is None:
            raise ValueError(f"seq {entry.seq} cannot be read, expected an entry that due() gave")
        if not entry.flags & LATE and math.isnan(entry.at):
            return text
        message = self._ledger.message(entry)
        if message is None:
            return text
        if entry.flags & LATE:
            message["late"] = True
        if not math.isnan(entry.at):
            message |= {"at": int(entry.at)} | ({"clock": "ntp"} if "clock" in message else {})
        return messages.encode(message)

    def sent(self, entry: Entry, token: int, uptime: float) -> None:
        """Note that an entry went out as `token` (of the MQTT session) at `uptime`."""
        if not self._ledger.has(entry):
            return
        self._opened = None
        if token in self._flying:
            self._flying.pop(token)[0].state = "waiting"
        if entry.state == "missing":
            _pause(entry, uptime)
        elif entry.state == "waiting":
            self._refill(uptime)
            self._allowance = max(0.0, self._allowance - 1.0)
        entry.state = "flying"
        self._flying[token] = (entry, uptime)
        if not entry.flags & SENT:
            entry.flags |= SENT
            self._ledger.mark(entry)

    def published(self, token: int) -> None:
        """Note a PUBACK: before this boot's first ack it releases the message, later the message is kept until an ack covers it."""
        entry, _ = self._flying.pop(token, (None, 0.0))
        if entry is None or not self._ledger.has(entry):
            return
        if not self._ledger.totals.is_acked:
            self._ledger.release([entry])
            return
        entry.state = "kept"
        entry.flags |= KEPT
        self._ledger.mark(entry)

    def refused(self, token: int) -> None:
        """Note that the broker refused a message: it waits again, longer each time, at most ten minutes."""
        entry, sent_at = self._flying.pop(token, (None, 0.0))
        if entry is not None:
            entry.state = "waiting"
            _pause(entry, sent_at)

    def disconnected(self) -> None:
        """Let everything in flight wait again."""
        for entry, _ in self._flying.values():
            entry.state = "waiting"
        self._flying.clear()

    def ack(self, boot: str, through: int, missing: Sequence[Sequence[int]]) -> None:
        """Release what the city has committed and send again what it misses. An ack of another boot, or one that makes no sense, changes nothing."""
        gaps = _gaps(through, missing)
        totals = self._ledger.totals
        if boot != self.boot or gaps is None or through >= totals.next_seq + MAX_JUMP:
            self.ignored_acks += 1
            return
        is_ahead = through >= totals.next_seq
        covered, twice = [], []
        for entry in self._ledger.entries.values():
            place = bisect_right(gaps.starts, entry.seq)
            if is_ahead and entry.seq >= self._first_own_seq:
                twice.append(entry)
            elif place and gaps.ends[place - 1] >= entry.from_seq:
                _send_again(entry)
            elif entry.seq <= through:
                covered.append(entry)
        if is_ahead or not totals.is_acked:
            self._ledger.note(totals._replace(is_acked=True, next_seq=max(totals.next_seq, through + 1)))
        self._ledger.release(covered)
        if is_ahead:
            LOG.warning("the city is ahead of the outbox, whose state was lost: through=%d renumbered=%d", through, len(twice))
            self._renumber(twice)

    # Room.

    def thin(self, uptime: float) -> None:
        """Merge reports that were never sent and are older than two hours to five minutes each; cheap enough for every minute."""
        self._merge_buckets(uptime - THIN_AFTER_S)
        self._ledger.settle()

    def _make_room(self, newest: Entry | None) -> None:
        entries = self._ledger.entries
        while entries and (self._ledger.bytes > self._max_bytes or len(entries) > self._max_bytes // ROOM_PER_ENTRY_BYTES):
            victim = min(entries.values(), key=lambda entry: (entry is newest, *_worth(entry)))
            # Merging early loses no seq. While the unmerged fill most of the room it gains more than giving up the oldest merged would.
            unmerged = sum(entry.size for entry in entries.values() if entry.is_mergeable and not entry.is_merged)
            is_worth_merging = victim.state != "kept" and (not victim.is_merged or unmerged > self._max_bytes // 2)
            if not is_worth_merging or not self._merge_buckets(math.inf):
                self._ledger.release([victim], is_lost=victim.state != "kept")
            entries = self._ledger.entries
        self._ledger.compact()

    def _merge_buckets(self, until: float) -> bool:
        """Merge every run of unsent reports whose five minutes ended before `until` (uptime); say whether there was any."""
        runs = list(self._runs(until))
        for run in runs:
            self._merge_run(run)
        if runs:
            self._ledger.compact()
        return bool(runs)

    def _runs(self, until: float) -> Iterator[list[Entry]]:
        run: list[Entry] = []
        for entry in self._ledger.entries.values():
            bucket = math.ceil(entry.uptime_s / BUCKET_S)
            is_fit = entry.is_mergeable and bucket * BUCKET_S <= until
            if run and not (is_fit and entry.from_seq == run[-1].seq + 1 and bucket == math.ceil(run[-1].uptime_s / BUCKET_S)):
                if len(run) > 1:
                    yield run
                run = []
            if is_fit:
                run.append(entry)
        if len(run) > 1:
            yield run

    def _merge_run(self, run: list[Entry]) -> None:
        reports: list[thinning.Report] = []
        for entry in run:
            report = self._ledger.message(entry)
            if report is None:  # what is left of the run is merged the next time
                self._ledger.drop_unreadable(entry)
                return
            reports.append(report)
            if len(reports) == MERGE_AT_ONCE:
                reports = [thinning.merge(reports)]
        last = run[-1]
        self._ledger.replace(run, Entry(run[0].from_seq, last.seq, last.uptime_s, last.flags), messages.encode(thinning.merge(reports)))

    def _renumber(self, entries: list[Entry]) -> None:
        """Give messages new numbers where the city has committed others under theirs and would take them for repetitions."""
        for entry in entries:
            message = self._ledger.message(entry)
            if message is None:
                self._ledger.drop_unreadable(entry)
                continue
            from_seq = self.next_seq()
            anew = Entry(from_seq, from_seq + entry.seq - entry.from_seq, entry.uptime_s, entry.flags & (EVENT | TRUSTED))
            message |= {"seq": anew.seq} | ({"from_seq": from_seq} if entry.is_merged else {})
            self._ledger.totals = self._ledger.totals._replace(next_seq=anew.seq + 1)
            self._ledger.hold(anew, messages.encode(message))
            self._ledger.release([entry])

    # What is due.

    def _next(self, uptime: float) -> Entry | None:
        live = missing = backlog = None
        for entry in self._ledger.entries.values():
            if entry.state == "live":
                live = entry
            elif entry.not_before <= uptime and entry.state == "missing":
                missing = missing or entry
            elif entry.not_before <= uptime and entry.state == "waiting":
                backlog = backlog or entry
        self._refill(uptime)
        return live or missing or (backlog if self._allowance >= ONE_MESSAGE else None)

    def _refill(self, uptime: float) -> None:
        self._allowance = min(BACKLOG_BURST, self._allowance + max(0.0, uptime - self._allowed_at) * BACKLOG_PER_S)
        self._allowed_at = uptime


class _Gaps(NamedTuple):
    """What an ack names missing: where each range starts, rising, and the furthest end of the ranges up to it."""

    starts: list[int]
    ends: list[int]


def _gaps(through: object, missing: object) -> _Gaps | None:
    """Check an ack; None when any of it makes no sense, because then nobody knows what it covers."""
    if not _is_seq(through, 0) or not isinstance(missing, (list, tuple)) or len(missing) > messages.MAX_MISSING:
        return None
    ranges: list[tuple[int, int]] = []
    for pair in missing:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not _is_seq(pair[0], 1) or not _is_seq(pair[1], pair[0]):
            return None
        ranges.append((pair[0], pair[1]))
    ranges.sort()
    return _Gaps([first for first, _ in ranges], list(accumulate((last for _, last in ranges), max)))


def _is_seq(value: object, lowest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= messages.MAX_INTEGER


def _send_again(entry: Entry) -> None:
    if entry.state in ("kept", "waiting"):
        entry.state = "missing"
        entry.flags &= ~KEPT


def _pause(entry: Entry, uptime: float) -> None:
    """Hold an entry back, longer each time: neither a broker that refuses nor a city that asks again with each ack makes a storm."""
    entry.not_before = uptime + min(PAUSE_MAX_S, PAUSE_S * 2.0 ** min(entry.pauses, 10))
    entry.pauses += 1


def _ready_at(entry: Entry, allowed_at: float) -> float:
    if entry.state == "live":
        return -math.inf
    return entry.not_before if entry.state == "missing" else max(entry.not_before, allowed_at)


def _worth(entry: Entry) -> tuple[int, int]:
    """Rank what may go when room is needed: what the broker has, the merged, reports, events, and last what is on its way; the oldest first."""
    if entry.state in ("kept", "flying"):
        return (0 if entry.state == "kept" else 4), entry.seq
    if entry.flags & EVENT:
        return 3, entry.seq
    return (1 if entry.is_merged else 2), entry.seq
