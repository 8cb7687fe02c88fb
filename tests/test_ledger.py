"""What is held survives a restart, damage costs what it hit, and the files stay within their bound."""

from __future__ import annotations

import logging
import os
import random
import tempfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent import journal
from agent.entry import EVENT, Entry
from agent.ledger import Ledger
from agent.wire import messages
from tests.ram import tmpfs
from tests.reports import BOOT, event, report

# A loaded machine is no fault of what is tested.
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

MAX_BYTES = 262_144


def _open(directory: Path | str, boot: str = BOOT, max_bytes: int = MAX_BYTES) -> Ledger:
    return Ledger(str(directory), boot, max_bytes)


def _hold(ledger: Ledger, *, is_event: bool = False) -> Entry:
    seq = ledger.totals.next_seq
    made = event(seq, 60.0 * seq) if is_event else report(seq, 60.0 * seq)
    entry = Entry(seq, seq, 60.0 * seq, EVENT if is_event else 0)
    ledger.totals = ledger.totals._replace(next_seq=seq + 1)
    ledger.hold(entry, messages.encode(made))
    return entry


def _texts(ledger: Ledger) -> dict[int, bytes | None]:
    return {seq: ledger.text(entry) for seq, entry in ledger.entries.items()}


def _bytes_of(directory: Path | str) -> int:
    return sum(file.stat().st_size for file in Path(directory).iterdir())


def test_text_comes_back_as_it_was(tmp_path: Path) -> None:
    """Each message is read again byte for byte, by this process and the next."""
    ledger = _open(tmp_path)
    expected = {}
    for number in range(1, 200):
        entry = _hold(ledger, is_event=number % 7 == 0)
        expected[number] = messages.encode(event(number, 60.0 * number) if entry.kind == "event" else report(number, 60.0 * number))
    assert _texts(ledger) == expected
    assert _texts(_open(tmp_path)) == expected


def test_payload_is_held_once(tmp_path: Path) -> None:
    """What the journal has taken is not on the heap too."""
    ledger = _open(tmp_path)
    for _ in range(50):
        _hold(ledger)
    assert all(entry.payload is None for entry in ledger.entries.values())


def test_reports_share_a_dictionary(tmp_path: Path) -> None:
    """After the first report the next ones take less than half of its room."""
    ledger = _open(tmp_path)
    sizes = [_hold(ledger).size for _ in range(10)]
    first = len(messages.encode(report(1, 60.0)))
    assert max(sizes) < first / 4


def test_dictionary_is_learnt_anew_only_when_empty(tmp_path: Path) -> None:
    """However long it runs, everything held can be read, and the files follow what is held."""
    ledger = _open(tmp_path)
    for _ in range(500):
        entry = _hold(ledger)
        assert ledger.text(entry) == messages.encode(report(entry.seq, 60.0 * entry.seq))
        ledger.release([entry])
        ledger.compact()
    assert _bytes_of(tmp_path) < 2 * MAX_BYTES // 8
    assert len(list(tmp_path.iterdir())) <= 2


def test_totals_survive(tmp_path: Path) -> None:
    """Counts of what was lost and the next number are the same after a restart, also when all files but the last are gone."""
    ledger = _open(tmp_path)
    for _ in range(300):
        ledger.release([_hold(ledger)], is_lost=True)
        ledger.compact()
    assert _open(tmp_path).totals == ledger.totals
    assert ledger.totals.dropped == 300


def test_merged_entry_replaces_its_parts(tmp_path: Path) -> None:
    """After a replacement, and after a restart, only the whole is there."""
    ledger = _open(tmp_path)
    parts = [_hold(ledger) for _ in range(5)]
    text = messages.encode(report(5, 300.0) | {"from_seq": 1})
    ledger.replace(parts, Entry(1, 5, 300.0, 0), text)
    assert _texts(ledger) == {5: text} == _texts(_open(tmp_path))
    assert ledger.totals.thinned == 4


def test_other_boots_are_discarded(tmp_path: Path) -> None:
    """Messages of another boot are counted, deleted and logged."""
    ledger = _open(tmp_path)
    for _ in range(5):
        _hold(ledger)
    other = _open(tmp_path, "0" * 16)
    assert (other.discarded, other.entries, list(tmp_path.iterdir())) == (5, {}, [])


def test_message_of_another_kind_is_none(tmp_path: Path) -> None:
    """A payload that is not the message its entry names is not given as one."""
    ledger = _open(tmp_path)
    for text in (b"[1]", b"nonsense", b'{"seq":1}', messages.encode(report(8, 1.0))):
        entry = Entry(1, 1, 60.0, 0)
        ledger.entries.clear()
        ledger.hold(entry, text)
        assert ledger.message(entry) is None


@pytest.mark.once
def test_files_are_bounded(tmp_path: Path) -> None:
    """One entry that stays for ever does not keep everything after it: waste is cleared away, at every moment."""
    ledger = _open(tmp_path)
    old = _hold(ledger)
    text = ledger.text(old)
    waiting: list[Entry] = []
    rng = random.Random(1)
    for _ in range(4000):
        waiting.append(_hold(ledger))
        while ledger.bytes > MAX_BYTES * 3 // 4:
            ledger.release([waiting.pop(rng.randrange(len(waiting)))])
        ledger.compact()
        assert _bytes_of(tmp_path) <= MAX_BYTES * 5 // 4 + MAX_BYTES // 8
    assert ledger.text(old) == text
    assert {entry.seq for entry in _open(tmp_path).entries.values()} == {old.seq} | {entry.seq for entry in waiting}


def test_damage_is_logged_once_and_healed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One flipped byte: one message less, one line in the log, and nothing more to say at the next start."""
    ledger = _open(tmp_path)
    for _ in range(20):
        _hold(ledger)
    (file,) = tmp_path.iterdir()
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        again = _open(tmp_path)
    assert len(again.entries) == 19
    assert len(caplog.records) == 1
    caplog.clear()
    assert _open(tmp_path).totals == again.totals
    assert not caplog.records


def test_damaged_dictionary_costs_nothing(tmp_path: Path) -> None:
    """What all messages of a file need to be read stands there twice."""
    ledger = _open(tmp_path)
    expected = {entry.seq: ledger.text(entry) for entry in [_hold(ledger) for _ in range(20)]}
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for offset, body in list(journal.records(whole)):
        if body[:1] == b"D":
            data = bytearray(whole)
            data[offset + journal.HEAD.size + 9] ^= 1
            for former in tmp_path.iterdir():
                former.unlink()
            file.write_bytes(data)
            assert _texts(_open(tmp_path)) == expected


def test_lost_number_is_not_given_again(tmp_path: Path) -> None:
    """A damaged record at the end may have carried the newest number, so it is passed over."""
    ledger = _open(tmp_path)
    for _ in range(5):
        _hold(ledger)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-3])
    assert _open(tmp_path).totals.next_seq > 5


def test_payload_that_went_bad_is_dropped_and_counted(tmp_path: Path) -> None:
    """A file that is changed under a running process costs what was in it, not the process."""
    ledger = _open(tmp_path)
    entries = [_hold(ledger) for _ in range(5)]
    for file in tmp_path.iterdir():
        os.truncate(file, 0)
    assert ledger.text(entries[0]) is None
    ledger.drop_unreadable(entries[0])
    assert (ledger.totals.dropped, len(ledger.entries)) == (1, 4)


@cache
def _written() -> dict[str, bytes]:
    """The files of a ledger that has seen holds, marks, releases, merging and a few files."""
    with tempfile.TemporaryDirectory() as directory:
        ledger = _open(directory, max_bytes=65_536)
        entries = [_hold(ledger, is_event=number % 9 == 0) for number in range(1, 80)]
        for entry in entries[::3]:
            ledger.mark(entry)
        ledger.release(entries[::5])
        ledger.replace(entries[36:39], Entry(37, 39, 60.0 * 39, 0), messages.encode(report(39, 60.0 * 39) | {"from_seq": 37}))
        ledger.close()
        return {file.name: file.read_bytes() for file in Path(directory).iterdir()}


def _restore(files: dict[str, bytes], directory: str) -> Ledger:
    for name, data in files.items():
        (Path(directory) / name).write_bytes(data)
    return _open(directory, max_bytes=65_536)


@UNTIMED
@given(st.data())
def test_one_flipped_bit_costs_one_message(data: st.DataObject) -> None:
    """Wherever one byte is changed, at most one message is missing and all others are as they were, if need be before they were merged."""
    written = _written()
    name = data.draw(st.sampled_from(sorted(written)))
    at = data.draw(st.integers(0, len(written[name]) - 1))
    damaged = bytearray(written[name])
    damaged[at] ^= data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as directory:
        whole = _restore(written, directory)
        expected = _texts(whole)
        whole.close()
    with tempfile.TemporaryDirectory() as directory:
        ledger = _restore(written | {name: bytes(damaged)}, directory)
        found = _texts(ledger)
        assert len(expected.keys() - found.keys()) <= 1
        assert all(found[seq] in (text, messages.encode(report(seq, 60.0 * seq))) for seq, text in expected.items() if seq in found)
        assert None not in found.values()
        assert ledger.totals.next_seq >= 80
        ledger.close()


_CHANGES = st.lists(
    st.tuples(
        st.sampled_from(("flip", "cut", "insert", "drop", "double", "swap", "zero")), st.integers(0, 2**20), st.integers(0, 2**12), st.binary(max_size=30)
    ),
    min_size=1,
    max_size=6,
)


@UNTIMED
@given(st.lists(st.integers(0, 10), min_size=1, max_size=6), _CHANGES)
def test_any_damage_is_survived(places: list[int], changes: list[tuple[str, int, int, bytes]]) -> None:
    """After any mix of damage it opens, what it gives is what was put, it takes new messages, and the next start agrees."""
    files = {name: bytearray(data) for name, data in _written().items()}
    names = sorted(files)
    for place, (how, at, length, chunk) in zip(places, changes, strict=False):
        data = files[names[place % len(names)]]
        at %= len(data) + 1
        if how == "flip":
            data[at : at + 1] = bytes(255 - byte for byte in data[at : at + 1])
        elif how == "cut":
            del data[at:]
        elif how == "insert":
            data[at:at] = chunk
        elif how == "drop":
            del data[at : at + length]
        elif how == "double":
            data += data[at : at + length]
        elif how == "swap":
            data[:] = data[at:] + data[:at]
        else:
            data[at : at + length] = bytes(len(data[at : at + length]))
    with tempfile.TemporaryDirectory() as directory:
        ledger = _restore({name: bytes(data) for name, data in files.items()}, directory)
        for seq, entry in list(ledger.entries.items()):
            if (text := ledger.text(entry)) is None:
                ledger.drop_unreadable(entry)
            elif entry.from_seq == seq:
                assert text == messages.encode(event(seq, 60.0 * seq) if entry.kind == "event" else report(seq, 60.0 * seq))
        new = _hold(ledger)
        assert ledger.text(new) is not None
        again = _open(directory, max_bytes=65_536)
        assert _texts(again) == _texts(ledger)
        assert again.totals.next_seq >= ledger.totals.next_seq
        ledger.close()
        again.close()


@UNTIMED
@given(
    st.dictionaries(st.sampled_from((f"{BOOT}.000001.journal", f"{BOOT}.000009.journal", f"{'0' * 16}.000001.journal", "x.1.journal")), st.binary(max_size=200))
)
def test_any_files_are_survived(files: dict[str, bytes]) -> None:
    """Files of any bytes under our names never stop the agent."""
    with tempfile.TemporaryDirectory() as directory:
        ledger = _restore(files, directory)
        assert ledger.text(_hold(ledger)) is not None
        ledger.close()


def test_without_directory_it_is_held_on_the_heap(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where nothing can be written messages are held all the same, and the log says once what that means."""
    (tmp_path / "file").touch()
    ledger = _open(tmp_path / "file")
    with caplog.at_level(logging.WARNING):
        entries = [_hold(ledger) for _ in range(5)]
    assert [ledger.text(entry) for entry in entries] == [messages.encode(report(seq, 60.0 * seq)) for seq in range(1, 6)]
    assert len(caplog.records) == 1
    ledger.release(entries[:2])
    (tmp_path / "file").unlink()
    ledger.settle()
    assert sorted(_open(tmp_path / "file").entries) == [3, 4, 5]


@pytest.mark.needs("root")
def test_full_tmpfs_loses_nothing(tmp_path: Path) -> None:
    """On a full tmpfs messages stay on the heap, and go to the journal once there is room."""
    with tmpfs(tmp_path / "ram", 64) as directory:
        filler = Path(directory) / "filler"
        filler.write_bytes(bytes(40_000))
        ledger = _open(directory)
        entries = [_hold(ledger) for _ in range(200)]
        assert [ledger.text(entry) for entry in entries] == [messages.encode(report(entry.seq, 60.0 * entry.seq)) for entry in entries]
        assert any(entry.payload is not None for entry in entries)
        ledger.release(entries[:120])
        filler.unlink()
        ledger.compact()
        ledger.settle()
        assert sorted(_open(directory).entries) == list(range(121, 201))
        ledger.close()


def test_number_that_no_message_carries_survives(tmp_path: Path) -> None:
    """Numbers skipped because the city was ahead are skipped after a restart too, though no message tells of them."""
    ledger = _open(tmp_path)
    _hold(ledger)
    ledger.note(ledger.totals._replace(next_seq=500))
    ledger.close()
    assert _open(tmp_path).totals.next_seq == 500
