"""Entries and totals as records: there and back, and any records give a consistent state."""

from __future__ import annotations

import math

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent import entry as records
from agent.entry import EVENT, KEPT, LATE, SENT, TRUSTED, Entry, Totals
from agent.journal import Place, Segment

# A loaded machine is no fault of what is tested.
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

SEQS = st.one_of(st.integers(0, 12), st.integers(0, 2**64 - 1))
FLOATS = st.one_of(st.floats(), st.floats(0, 1e6))


def _place() -> Place:
    return Segment("", 1, -1, 0), 0, 0


def _replay(*bodies: bytes) -> records.Past:
    return records.replay((_place(), body) for body in bodies)


def _put(from_seq: int, seq: int, flags: int = 0) -> bytes:
    return records.pack_put(Entry(from_seq, seq, 60.0 * seq, flags), b"payload")


def test_entry_comes_back() -> None:
    """All that is known of an entry is read again."""
    entry = Entry(3, 7, 420.5, TRUSTED | LATE | SENT, 1_790_000_000.0)
    found = _replay(records.pack_put(entry, b"x")).entries[7]
    assert (found.from_seq, found.seq, found.uptime_s, found.flags, found.at) == (3, 7, 420.5, TRUSTED | LATE | SENT, 1_790_000_000.0)
    assert records.payload_of(records.pack_put(entry, b"x")) == b"x"


def test_kind_follows_the_flag() -> None:
    """An entry knows its topic."""
    assert (Entry(1, 1, 0.0, EVENT).kind, Entry(1, 1, 0.0, 0).kind) == ("event", "report")


def test_mark_changes_flags() -> None:
    """What was marked sent or kept is so after a restart."""
    entry = Entry(1, 1, 60.0, 0)
    put = records.pack_put(entry, b"x")
    entry.flags, entry.at = SENT | KEPT, 5.0
    found = _replay(put, records.pack_mark(entry)).entries[1]
    assert (found.flags, found.at) == (SENT | KEPT, 5.0)


def test_release_takes_back() -> None:
    """Released entries are gone and the totals are those of the release."""
    totals = Totals(9, 2, 1, True)
    past = _replay(_put(1, 1), _put(2, 2), _put(3, 3), records.pack_release(totals, [1, 3]))
    assert (list(past.entries), past.totals) == ([2], totals)


def test_merged_replaces_its_parts() -> None:
    """A merged entry takes the place of all it stands for."""
    past = _replay(*(_put(seq, seq) for seq in range(1, 8)), _put(2, 5))
    assert [(entry.from_seq, entry.seq) for entry in past.entries.values()] == [(1, 1), (2, 5), (6, 6), (7, 7)]


def test_released_merged_takes_its_parts_along() -> None:
    """The parts of a merged entry do not come back when it is released."""
    past = _replay(*(_put(seq, seq) for seq in range(1, 6)), _put(1, 5), records.pack_release(Totals(6, 0, 4, False), [5]))
    assert past.entries == {}


def test_entry_written_twice_is_one() -> None:
    """An entry that was moved counts once, as last written."""
    past = _replay(_put(1, 1), _put(2, 2), _put(1, 1, SENT))
    assert [(entry.seq, entry.flags) for entry in past.entries.values()] == [(1, SENT), (2, 0)]


def test_numbers_go_on() -> None:
    """The next number is beyond every one that was ever given, released or not."""
    assert _replay(_put(1, 1), _put(2, 2), records.pack_release(Totals(3, 0, 0, False), [1, 2])).totals.next_seq == 3
    assert _replay(_put(4, 4)).totals.next_seq == 5


def test_dictionary_comes_back() -> None:
    """The last dictionary is the one that counts."""
    assert _replay(records.pack_dictionary(b"one"), records.pack_dictionary(b"two")).dictionary == b"two"


BODIES = st.one_of(
    st.binary(max_size=60),
    st.builds(lambda tag, rest: tag + rest, st.sampled_from((b"P", b"M", b"R", b"D")), st.binary(max_size=60)),
    st.builds(lambda low, high, uptime, flags, at: records.pack_put(Entry(low, high, uptime, flags, at), b""), SEQS, SEQS, FLOATS, st.integers(0, 255), FLOATS),
    st.builds(lambda seq, flags, at: records.pack_mark(Entry(seq, seq, 0.0, flags, at)), SEQS, st.integers(0, 255), FLOATS),
    st.builds(lambda a, b, c, d, seqs: records.pack_release(Totals(a, b, c, d), seqs), SEQS, SEQS, SEQS, st.booleans(), st.lists(SEQS, max_size=4)),
)


@UNTIMED
@given(st.lists(BODIES, max_size=25))
def test_any_records_give_a_consistent_state(bodies: list[bytes]) -> None:
    """Whatever the records say: entries are disjoint, rising, below the next number, and their numbers are usable."""
    past = _replay(*bodies)
    before = 0
    for seq, entry in past.entries.items():
        assert before < entry.from_seq <= entry.seq == seq < past.totals.next_seq
        assert math.isfinite(entry.uptime_s)
        assert math.isnan(entry.at) or entry.at >= 0
        before = seq
    assert records.pack_totals(past.totals)
