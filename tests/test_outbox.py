"""The outbox: nothing is lost silently, the live goes first, and the city's acks rule what is kept."""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.outbox import Entry, Outbox
from agent.wire import messages, schemas, shapes
from tests.ram import tmpfs
from tests.reports import BOOT, event, report

# A loaded machine is no fault of what is tested.
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

ROOM = 524_288
DAY_S = 86_400


def _open(directory: Path | str, max_bytes: int = ROOM, boot: str = BOOT) -> Outbox:
    return Outbox(str(directory), boot, max_bytes)


def _put(outbox: Outbox, uptime_s: float, *, is_event: bool = False, clock: str = "ntp") -> int:
    seq = outbox.next_seq()
    if is_event:
        outbox.put("event", event(seq, uptime_s))
    else:
        outbox.put("report", report(seq, uptime_s, clock=clock))
    return seq


def _send(outbox: Outbox, uptime: float, token: int | None = None) -> int | None:
    """Send what is due, if anything; give its seq, which is also its token unless another is given."""
    entry = outbox.due(uptime)
    if entry is None:
        return None
    outbox.sent(entry, entry.seq if token is None else token, uptime)
    return entry.seq


def _send_all(outbox: Outbox, uptime: float) -> list[int]:
    sent = []
    while (seq := _send(outbox, uptime)) is not None:
        sent.append(seq)
    return sent


def _seqs(outbox: Outbox) -> set[int]:
    return {seq for entry in outbox.held() for seq in range(entry.from_seq, entry.seq + 1)}


def _render(outbox: Outbox, entry: Entry | None, uptime: float, wall: float | None = None) -> dict[str, Any]:
    assert entry is not None
    message = json.loads(outbox.render(entry, uptime=uptime, wall=wall, interval_s=60))
    assert isinstance(message, dict)
    return message


# Numbers and messages.


def test_seq_counts_reports_and_events_together(tmp_path: Path) -> None:
    """The first message is 1, and each next one, of either kind, one more."""
    outbox = _open(tmp_path)
    assert [_put(outbox, 60.0 * n, is_event=n % 2 == 0) for n in range(1, 5)] == [1, 2, 3, 4]


@pytest.mark.parametrize("wrong", [{"seq": 2}, {"seq": 0}, {"boot": "0" * 16}])
def test_only_the_next_message_of_this_boot_is_taken(wrong: dict[str, Any], tmp_path: Path) -> None:
    """Another number or another boot is refused, with both."""
    with pytest.raises(ValueError, match="expected"):
        _open(tmp_path).put("report", report(1, 60.0) | wrong)


def test_message_goes_out_as_it_was_put(tmp_path: Path) -> None:
    """A message that is in time and has a time is sent byte for byte."""
    outbox = _open(tmp_path)
    _put(outbox, 60.0)
    entry = outbox.due(61.0)
    assert entry is not None
    assert outbox.render(entry, uptime=61.0, wall=2_000_000_000.0, interval_s=60) == messages.encode(report(1, 60.0))


def test_given_encoding_is_what_goes_out(tmp_path: Path) -> None:
    """The JSON that came with the message is what is sent."""
    outbox = _open(tmp_path)
    text = json.dumps(report(1, 60.0), indent=1).encode()
    outbox.put("report", report(1, 60.0), text)
    entry = outbox.due(60.0)
    assert entry is not None
    assert outbox.render(entry, uptime=60.0, wall=None, interval_s=60) == text


def test_oversize_message_is_lost_with_its_number(tmp_path: Path) -> None:
    """A message no broker would take is counted as dropped and holds nothing up."""
    outbox = _open(tmp_path)
    outbox.put("event", event(1, 60.0) | {"data": {"x": "y" * messages.MAX_REPORT_BYTES}})
    assert (outbox.next_seq(), outbox.figures().count, outbox.figures().dropped) == (2, 0, 1)


def test_empty_outbox_names_the_next_as_oldest(tmp_path: Path) -> None:
    """With nothing held, the oldest seq held is the next one."""
    outbox = _open(tmp_path)
    _put(outbox, 60.0)
    _send(outbox, 60.0)
    outbox.published(1)
    assert outbox.figures() == (0, 0, 2, 0, 0, 0)


# Order and pace.


def test_live_goes_before_the_backlog(tmp_path: Path) -> None:
    """After an outage the newest report is first, then the backlog from its oldest on."""
    outbox = _open(tmp_path)
    for number in range(1, 11):
        _put(outbox, 60.0 * number)
    assert _send_all(outbox, 600.0) == [10, 1, 2, 3, 4]


def test_newest_of_the_live_goes_first(tmp_path: Path) -> None:
    """An event made after the report is live too, and goes before it."""
    outbox = _open(tmp_path)
    for is_event in (False, False, True):
        _put(outbox, 60.0, is_event=is_event)
    assert _send_all(outbox, 60.0) == [3, 2, 1]


def test_missing_goes_between_live_and_backlog(tmp_path: Path) -> None:
    """What the city misses is sent before the backlog, after the live."""
    outbox = _open(tmp_path)
    _put(outbox, 60.0)
    outbox.ack(BOOT, 0, [])
    _send(outbox, 60.0)
    outbox.published(1)
    for number in (2, 3):
        _put(outbox, 60.0 * number)
    outbox.ack(BOOT, 1, [(1, 1)])
    assert _send_all(outbox, 180.0) == [3, 1, 2]


def test_backlog_trickles(tmp_path: Path) -> None:
    """Four of the backlog at once, then four a second."""
    outbox = _open(tmp_path)
    for number in range(1, 41):
        _put(outbox, float(number))
    assert len(_send_all(outbox, 50.0)) == 1 + 4
    assert [len(_send_all(outbox, 50.0 + 0.25 * step)) for step in range(1, 9)] == [1] * 8
    assert len(_send_all(outbox, 100.0)) == 4


@UNTIMED
@given(st.lists(st.floats(0.001, 3), min_size=1, max_size=30))
def test_wait_says_when_something_is_due(steps: list[float]) -> None:
    """Nothing is due before the wait is over, and something is when it is."""
    with tempfile.TemporaryDirectory() as directory:
        outbox, uptime = _open(directory), 100.0
        for number in range(1, 60):
            _put(outbox, float(number))
        for step in steps:
            wait = outbox.wait(uptime)
            assert wait is not None
            if step < wait:
                assert outbox.due(uptime + step * 0.99) is None
            uptime += wait
            assert _send(outbox, uptime) is not None
        outbox.close()


def test_nothing_waits_when_all_is_under_way(tmp_path: Path) -> None:
    """What is in flight, or kept for an ack, is not due."""
    outbox = _open(tmp_path)
    outbox.ack(BOOT, 0, [])
    for number in (1, 2):
        _put(outbox, 60.0 * number)
    _send_all(outbox, 120.0)
    outbox.published(1)
    assert outbox.due(1e6) is None
    assert outbox.wait(1e6) is None


def test_lost_connection_lets_all_wait_again(tmp_path: Path) -> None:
    """What had no PUBACK is sent again."""
    outbox = _open(tmp_path)
    for number in (1, 2, 3):
        _put(outbox, 60.0 * number)
    _send_all(outbox, 180.0)
    outbox.published(2)
    outbox.disconnected()
    assert _send_all(outbox, 200.0) == [1, 3]


def test_late_puback_of_a_former_connection_is_nothing(tmp_path: Path) -> None:
    """A token of before the disconnect releases nothing."""
    outbox = _open(tmp_path)
    _put(outbox, 60.0)
    _send(outbox, 60.0, token=7)
    outbox.disconnected()
    outbox.published(7)
    outbox.refused(7)
    assert _seqs(outbox) == {1}


def test_refused_waits_longer_each_time(tmp_path: Path) -> None:
    """A refused message is tried again after 10 s, 20 s and so on, at most 10 minutes, and holds up no other."""
    outbox, uptime, pauses = _open(tmp_path), 60.0, []
    _put(outbox, uptime)
    for _ in range(9):
        assert _send(outbox, uptime) == 1
        outbox.refused(1)
        wait = outbox.wait(uptime)
        assert wait is not None
        pauses.append(wait)
        uptime += wait
    assert pauses == [10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 600.0, 600.0, 600.0]
    _send(outbox, uptime)
    outbox.refused(1)
    _put(outbox, uptime)
    assert _send(outbox, uptime) == 2


# Acks.


def test_no_ack_ever_puback_releases(tmp_path: Path) -> None:
    """With a broker and no city, a PUBACK is enough."""
    outbox = _open(tmp_path)
    for number in range(1, 50):
        _put(outbox, 60.0 * number)
        outbox.published(_send(outbox, 60.0 * number) or 0)
    assert outbox.figures().count == 0


def test_first_ack_changes_what_a_puback_means(tmp_path: Path) -> None:
    """From the first ack of this boot on, a message is kept until an ack covers it."""
    outbox = _open(tmp_path)
    for number in (1, 2):
        _put(outbox, 60.0 * number)
        _send(outbox, 60.0 * number)
    outbox.published(1)
    outbox.ack(BOOT, 1, [])
    outbox.published(2)
    assert (_seqs(outbox), outbox.figures().kept) == ({2}, 1)
    outbox.ack(BOOT, 2, [])
    assert _seqs(outbox) == set()


def test_missing_is_sent_again(tmp_path: Path) -> None:
    """What an ack names missing is kept and sent again; the rest of what it covers is released."""
    outbox = _acked(tmp_path, 41)
    outbox.ack(BOOT, 41, [[30, 32]])
    assert _seqs(outbox) == {30, 31, 32}
    assert _send_all(outbox, 5000.0) == [30, 31, 32]


def test_missing_again_is_not_a_storm(tmp_path: Path) -> None:
    """A city that names the same one missing with every ack gets it again after 10 s, then 20 s, not each time."""
    outbox = _acked(tmp_path, 1)
    times = []
    for second in range(120):
        outbox.ack(BOOT, 1, [(1, 1)])
        if (seq := _send(outbox, 1000.0 + second)) is not None:
            times.append(second)
            outbox.published(seq)
    assert times == [0, 10, 30, 70]


def test_ack_of_another_boot_is_ignored(tmp_path: Path) -> None:
    """An ack of another boot releases nothing and does not change what a PUBACK means."""
    outbox = _open(tmp_path)
    for number in (1, 2):
        _put(outbox, 60.0 * number)
        _send(outbox, 60.0 * number)
    outbox.ack("0" * 16, 2, [])
    assert (_seqs(outbox), outbox.ignored_acks) == ({1, 2}, 1)
    outbox.published(1)
    assert _seqs(outbox) == {2}


_NONSENSE: list[tuple[Any, Any]] = [
    (-1, []),
    ("3", []),
    (True, []),
    (3.0, []),
    (None, []),
    (2**60, []),
    (3, None),
    (3, [1]),
    (3, [[2, 1]]),
    (3, [[0, 1]]),
    (3, [[1, 2, 3]]),
    (3, [["1", 2]]),
    (3, [[1, 2**60]]),
    (3, [[1, True]]),
    (3, [[1, 1]] * 5000),
]


@pytest.mark.parametrize(("through", "missing"), _NONSENSE)
def test_nonsense_releases_nothing(through: Any, missing: Any, tmp_path: Path) -> None:
    """An ack of which any part makes no sense is ignored whole, and counted."""
    outbox = _acked(tmp_path, 5)
    outbox.ack(BOOT, through, missing)
    assert (_seqs(outbox), outbox.ignored_acks) == ({1, 2, 3, 4, 5}, 1)


def test_huge_range_is_cheap(tmp_path: Path) -> None:
    """A range as wide as all numbers is compared, not counted out."""
    outbox = _acked(tmp_path, 5)
    outbox.ack(BOOT, 5, [(3, 2**53 - 1), (3, 4), (4, 4)])
    assert _seqs(outbox) == {3, 4, 5}


def test_ack_ahead_moves_the_numbers_on(tmp_path: Path) -> None:
    """When the city has more of this boot than we ever numbered, our state was lost: what we hold gets numbers it has not seen."""
    outbox = _open(tmp_path)
    _put(outbox, 60.0, is_event=True)
    _put(outbox, 60.0)
    _send_all(outbox, 60.0)
    outbox.ack(BOOT, 41, [])
    assert outbox.next_seq() == 44
    sent = {}
    while (entry := outbox.due(61.0)) is not None:
        sent[entry.seq] = _render(outbox, entry, 61.0)
        outbox.sent(entry, entry.seq, 61.0)
    assert sent == {42: event(42, 60.0), 43: report(2, 60.0) | {"seq": 43}}
    outbox.published(1)
    assert _seqs(outbox) == {42, 43}
    assert _seqs(_open(tmp_path)) == {42, 43}


def test_ack_ahead_of_a_restart_covers_what_was_there(tmp_path: Path) -> None:
    """Messages that a former process put under their numbers are released by an ack that is ahead."""
    _acked(tmp_path, 5)
    outbox = _open(tmp_path)
    outbox.ack(BOOT, 9, [(2, 3)])
    assert (_seqs(outbox), outbox.next_seq()) == ({2, 3}, 10)


def _acked(directory: Path, count: int) -> Outbox:
    """An outbox whose messages all have their PUBACK and wait for an ack."""
    outbox = _open(directory)
    outbox.ack(BOOT, 0, [])
    for number in range(1, count + 1):
        _put(outbox, 60.0 * number)
        outbox.published(_send(outbox, 60.0 * number) or 0)
    assert outbox.figures().kept == count
    return outbox


# Time.


def test_unknown_time_is_filled_when_the_clock_is_good(tmp_path: Path) -> None:
    """A report made without a clock gets the end of its span from the uptime."""
    outbox = _open(tmp_path)
    _put(outbox, 60.0, clock="none")
    message = _render(outbox, outbox.due(100.0), 100.0, wall=1_790_000_100.0)
    assert message == report(1, 60.0, clock="ntp", at=1_790_000_060)


def test_untrusted_time_is_corrected(tmp_path: Path) -> None:
    """A report made with a clock set from a file's date gets the true time."""
    outbox = _open(tmp_path)
    _put(outbox, 60.0, clock="floor")
    message = _render(outbox, outbox.due(60.0), 60.0, wall=1_800_000_000.0)
    assert (message["at"], message["clock"]) == (1_800_000_000, "ntp")


def test_event_without_time_is_filled(tmp_path: Path) -> None:
    """An event has no clock of its own: one without a time was made without a clock."""
    outbox = _open(tmp_path)
    made = event(1, 60.0)
    del made["at"]
    outbox.put("event", made)
    assert _render(outbox, outbox.due(60.0), 70.0, wall=1_790_000_010.0) == made | {"at": 1_790_000_000}


def test_trusted_time_stays(tmp_path: Path) -> None:
    """A time of a good clock is not touched, whatever the clock says later."""
    outbox = _open(tmp_path)
    _put(outbox, 60.0)
    assert _render(outbox, outbox.due(60.0), 60.0, wall=1_000_000_000.0)["at"] == report(1, 60.0)["at"]


def test_without_a_good_clock_nothing_is_filled(tmp_path: Path) -> None:
    """No clock, no time."""
    outbox = _open(tmp_path)
    _put(outbox, 60.0, clock="none")
    assert "at" not in _render(outbox, outbox.due(60.0), 60.0, wall=None)


@pytest.mark.parametrize("restarts", [False, True])
def test_what_was_sent_once_stays_the_same(restarts: bool, tmp_path: Path) -> None:
    """Late or not, with which time: a message is the same at every sending, also by the next process."""
    outbox = _open(tmp_path)
    first = []
    for clock in ("none", "floor", "ntp"):
        _put(outbox, 60.0, clock=clock)
        entry = outbox.due(60.0)
        first.append(_render(outbox, entry, 60.0, wall=1_790_000_000.0))
        assert entry is not None
        outbox.sent(entry, entry.seq, 60.0)
    outbox.disconnected()
    if restarts:
        outbox.close()
        outbox = _open(tmp_path)
    again = []
    while (entry := outbox.due(9000.0)) is not None:
        again.append(_render(outbox, entry, 9000.0, wall=1_999_999_999.0))
        outbox.sent(entry, entry.seq, 9000.0)
    assert again == first


@pytest.mark.parametrize(("uptime", "late"), [(60.0, False), (180.0, False), (180.5, True)])
def test_late_is_more_than_two_intervals(uptime: float, late: bool, tmp_path: Path) -> None:
    """A report first sent more than two intervals after its end is late."""
    outbox = _open(tmp_path)
    _put(outbox, 60.0)
    assert _render(outbox, outbox.due(uptime), uptime)["late"] is late


def test_events_are_never_late(tmp_path: Path) -> None:
    """An event has no `late`."""
    outbox = _open(tmp_path)
    _put(outbox, 60.0, is_event=True)
    assert "late" not in _render(outbox, outbox.due(9999.0), 9999.0)


# Room.


@pytest.mark.once
def test_day_without_a_broker_fits(tmp_path: Path) -> None:
    """1440 reports and an event each hour: all there, valid, none dropped, in 512 KiB, with the files in their bound."""
    outbox = _open(tmp_path)
    uptime = 0.0
    while uptime < DAY_S:
        uptime += 60.0
        _put(outbox, uptime)
        if uptime % 3600 == 0:
            _put(outbox, uptime, is_event=True)
        outbox.thin(uptime)
    figures = outbox.figures()
    assert (figures.dropped, figures.oldest_seq) == (0, 1)
    assert figures.bytes <= ROOM
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= ROOM * 5 // 4 + ROOM // 8
    assert _seqs(outbox) == set(range(1, outbox.next_seq()))
    validator = jsonschema.Draft202012Validator(shapes.strict(schemas.published("report")))
    for entry in outbox.held():
        message = json.loads(outbox.render(entry, uptime=uptime, wall=None, interval_s=60))
        assert (message.get("from_seq", entry.seq), message["seq"]) == (entry.from_seq, entry.seq)
        if entry.kind == "report":
            validator.validate(message)
            assert message["span_s"] == 60 * (entry.seq - entry.from_seq + 1)
    again = _open(tmp_path)
    assert again.figures() == figures
    assert [(entry.from_seq, entry.seq) for entry in again.held()] == [(entry.from_seq, entry.seq) for entry in outbox.held()]


def test_merged_are_five_minutes_each(tmp_path: Path) -> None:
    """What is older than two hours stands in fives, what is younger singly."""
    outbox = _open(tmp_path)
    for number in range(1, 181):
        _put(outbox, 60.0 * number)
    outbox.thin(180 * 60.0)
    widths = [entry.seq - entry.from_seq + 1 for entry in outbox.held()]
    assert widths == [5] * 12 + [1] * 120
    assert outbox.figures().thinned == 48


def test_thinning_twice_changes_nothing(tmp_path: Path) -> None:
    """A minute later there is nothing more to merge."""
    outbox = _open(tmp_path)
    for number in range(1, 181):
        _put(outbox, 60.0 * number)
    outbox.thin(180 * 60.0)
    before = outbox.figures()
    outbox.thin(180 * 60.0)
    assert outbox.figures() == before


def test_events_stay_events(tmp_path: Path) -> None:
    """An event breaks a run: no merged report covers its number."""
    outbox = _open(tmp_path)
    for number in range(1, 6):
        _put(outbox, 60.0 * number, is_event=number == 3)
    outbox.thin(1e5)
    _put(outbox, 1e5)
    outbox.thin(2e5)
    assert [(entry.from_seq, entry.seq) for entry in outbox.held()] == [(1, 2), (3, 3), (4, 5), (6, 6)]


def test_what_was_sent_is_not_merged(tmp_path: Path) -> None:
    """A report that may have arrived keeps its own number for ever."""
    outbox = _open(tmp_path)
    for number in range(1, 6):
        _put(outbox, 60.0 * number)
        if number == 2:
            _send(outbox, 120.0)
    outbox.disconnected()
    outbox.thin(1e5)
    assert [(entry.from_seq, entry.seq) for entry in outbox.held()] == [(1, 1), (2, 2), (3, 4), (5, 5)]


def test_kept_go_first_when_full(tmp_path: Path) -> None:
    """Room is made from what the broker has, oldest first, and that is not counted as lost."""
    outbox = _open(tmp_path, 65_536)
    outbox.ack(BOOT, 0, [])
    for number in range(1, 61):
        _put(outbox, 600.0 * number)
        if number > 5:
            outbox.published(_send(outbox, 600.0 * number) or 0)
    for number in range(61, 150):
        _put(outbox, 600.0 * number)
    held = _seqs(outbox)
    assert held >= {1, 2, 3, 4, 5}
    assert outbox.figures().dropped == 0
    kept = sorted(held & set(range(6, 61)))
    assert kept == list(range(61 - len(kept), 61))
    assert len(kept) < 55


def test_oldest_merged_goes_first_among_the_lost(tmp_path: Path) -> None:
    """When all else is young, the oldest merged report goes, and counts as all it stands for."""
    outbox = _open(tmp_path, 65_536)
    uptime = 0.0
    while outbox.figures().dropped == 0 and uptime < DAY_S:
        uptime += 240.0  # most fives have one report, every fifth two: little to merge
        _put(outbox, uptime)
        outbox.thin(uptime)
    first = next(entry for entry in outbox.held() if entry.is_merged)
    assert outbox.figures().dropped == 2
    assert _seqs(outbox) == set(range(1, outbox.next_seq())) - {4, 5}
    assert first.from_seq > 5


def test_full_outbox_merges_early(tmp_path: Path) -> None:
    """Reports of each second are merged before any is given up, however young."""
    outbox = _open(tmp_path, 65_536)
    for second in range(1, 2000):
        _put(outbox, float(second))
    assert outbox.figures().dropped == 0
    assert _seqs(outbox) == set(range(1, 2000))


def test_events_go_last(tmp_path: Path) -> None:
    """Reports that cannot be merged are given up before events."""
    outbox = _open(tmp_path, 65_536)
    events = {_put(outbox, float(number), is_event=True) for number in range(1, 20)}
    for number in range(1, 400):
        _put(outbox, 600.0 * number)
    figures = outbox.figures()
    assert figures.dropped > 0
    assert _seqs(outbox) >= events
    assert len(_seqs(outbox)) + figures.dropped == outbox.next_seq() - 1


def test_flood_of_events_is_bounded(tmp_path: Path) -> None:
    """Not only the bytes of messages but their number is bounded, as each takes heap too."""
    outbox = _open(tmp_path, 65_536)
    for number in range(1, 3000):
        _put(outbox, float(number), is_event=True)
    figures = outbox.figures()
    assert figures.count <= 65_536 // 256
    assert (figures.bytes <= 65_536, figures.count + figures.dropped) == (True, 2999)


def test_newest_is_never_given_up_for_older(tmp_path: Path) -> None:
    """The message just made stays, whatever has to go for it."""
    outbox = _open(tmp_path, 65_536)
    for number in range(1, 400):
        seq = _put(outbox, 600.0 * number, is_event=number % 2 == 0)
        assert outbox.held()[-1].seq == seq


@pytest.mark.once
def test_ten_thousand_reports_leave_nothing(tmp_path: Path) -> None:
    """10,000 reports, sent and acked, some of them missing at first: files and index stay small, and none is left."""
    outbox = _open(tmp_path)
    outbox.ack(BOOT, 0, [])
    rng = random.Random(2)
    missing: list[int] = []
    for number in range(1, 10_001):
        uptime = 60.0 * number
        _put(outbox, uptime)
        for seq in _send_all(outbox, uptime):
            outbox.published(seq)
        again = [number - 1] if rng.random() < 0.1 and number > 1 else []
        outbox.ack(BOOT, number - 1, [(seq, seq) for seq in again])
        missing += again
        assert outbox.figures().count <= 3
    assert len(missing) > 500
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < ROOM // 4
    assert len(list(tmp_path.iterdir())) <= 3
    assert outbox.figures().dropped == 0


@pytest.mark.needs("root")
def test_full_tmpfs_is_no_loss(tmp_path: Path) -> None:
    """When the tmpfs takes no more, messages are held and sent all the same."""
    with tmpfs(tmp_path / "ram", 32) as directory:
        outbox = _open(directory)
        for number in range(1, 120):
            _put(outbox, 600.0 * number)
        assert outbox.flash_writes == 0
        sent = []
        for step in range(200):
            for seq in _send_all(outbox, 1e6 + step):
                outbox.published(seq)
                sent.append(seq)
        assert sorted(sent) == list(range(1, 120))
        outbox.close()


# Restarts.


def test_restart_goes_on(tmp_path: Path) -> None:
    """The next process holds the same, and numbers on."""
    outbox = _open(tmp_path)
    for number in range(1, 21):
        _put(outbox, 60.0 * number, is_event=number % 5 == 0)
    again = _open(tmp_path)
    assert (again.next_seq(), again.figures()) == (21, outbox.figures())
    assert _put(again, 1300.0) == 21


def test_restart_forgets_no_ack(tmp_path: Path) -> None:
    """What was PUBACKed is not sent again by the next process, and it still waits for acks."""
    _acked(tmp_path, 5)
    again = _open(tmp_path)
    assert again.figures().kept == 5
    assert _send_all(again, 1e5) == []
    _put(again, 1e5)
    again.published(_send(again, 1e5) or 0)
    assert again.figures().kept == 6


def test_numbers_go_on_with_nothing_held(tmp_path: Path) -> None:
    """A restart with an empty outbox does not begin at 1 again."""
    outbox = _open(tmp_path)
    for number in range(1, 200):
        _put(outbox, 60.0 * number)
        outbox.published(_send(outbox, 60.0 * number) or 0)
    assert _open(tmp_path).next_seq() == 200


def test_new_boot_begins_at_one(tmp_path: Path) -> None:
    """What another boot left is discarded and counted, and numbering begins anew."""
    outbox = _open(tmp_path)
    for number in range(1, 6):
        _put(outbox, 60.0 * number)
    again = _open(tmp_path, boot="0" * 16)
    assert (again.next_seq(), again.discarded, again.figures().count) == (1, 5, 0)


_CHILD = """
import sys
from agent.outbox import Outbox
from tests.reports import BOOT, report

outbox = Outbox(sys.argv[1], BOOT, 131072)
uptime = 60.0 * outbox.next_seq()
sys.stdout.write(f"opened {outbox.next_seq()} {' '.join(str(entry.seq) for entry in outbox.held())}\\n")
sys.stdout.flush()
while True:
    seq = outbox.next_seq()
    uptime += 600
    outbox.put("report", report(seq, uptime))
    sys.stdout.write(f"put {seq}\\n")
    sys.stdout.flush()
    while (entry := outbox.due(uptime)) is not None:
        outbox.sent(entry, entry.seq, uptime)
        if entry.seq % 3:
            sys.stdout.write(f"gone {entry.seq}\\n")
            sys.stdout.flush()
            outbox.published(entry.seq)
"""


def test_killed_process_loses_nothing(tmp_path: Path) -> None:
    """Killed at any moment, five times: what a put came back from is held by the next process, and no number is given twice."""
    put: set[int] = set()
    gone: set[int] = set()
    rng = random.Random(3)
    for _ in range(5):
        child = subprocess.Popen([sys.executable, "-c", _CHILD, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path(__file__).parent.parent)
        try:
            said = _listen(child, rng.randint(50, 400))
        finally:
            child.kill()
            assert child.stdout is not None
            rest = child.stdout.read()
            child.stdout.close()
            child.wait()
        lines = [line.split() for line in (said + rest).decode().splitlines()]
        assert put - gone <= {int(seq) for seq in lines[0][2:]}
        new = [int(words[1]) for words in lines if words[0] == "put"]
        assert len(set(new)) == len(new)
        assert not put & set(new)
        put |= set(new)
        gone |= {int(words[1]) for words in lines if words[0] == "gone"}
    outbox = _open(tmp_path, 131_072)
    assert outbox.figures().dropped == 0
    assert put - gone <= _seqs(outbox)


def _listen(child: subprocess.Popen[bytes], lines: int) -> bytes:
    assert child.stdout is not None
    said, deadline = b"", time.monotonic() + 120
    while said.count(b"\n") < lines and time.monotonic() < deadline:
        if select.select([child.stdout], [], [], 1)[0]:
            said += os.read(child.stdout.fileno(), 4096)
    assert said.count(b"\n") >= lines
    return said


class Life(RuleBasedStateMachine):
    """Any life of an outbox: at each moment every number ever given is released, held or counted as dropped."""

    room = ROOM

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.mkdtemp()
        self.outbox = _open(self.directory, self.room)
        self.uptime = 0.0
        self.tokens: dict[int, Entry] = {}
        self.token = 0
        self.has_ack = False
        self.put: set[int] = set()
        self.released: set[int] = set()
        self.kept: set[int] = set()
        self.sent: dict[int, bytes] = {}

    def teardown(self) -> None:
        self.outbox.close()
        shutil.rmtree(self.directory)

    @rule(count=st.integers(1, 40), step=st.sampled_from((1.0, 60.0, 600.0)), is_event=st.booleans(), clock=st.sampled_from(("ntp", "floor", "none")))
    def put_some(self, count: int, step: float, is_event: bool, clock: str) -> None:
        for _ in range(count):
            self.uptime += step
            self.put.add(_put(self.outbox, self.uptime, is_event=is_event, clock=clock))

    @rule(count=st.integers(1, 16), wall=st.none() | st.just(1_790_000_000.0))
    def send(self, count: int, wall: float | None) -> None:
        for _ in range(count):
            entry = self.outbox.due(self.uptime)
            if entry is None:
                return
            assert entry not in self.tokens.values()
            text = self.outbox.render(entry, uptime=self.uptime, wall=wall, interval_s=60)
            assert self.sent.setdefault(entry.seq, text) == text
            message = json.loads(text)
            assert (message["seq"], message.get("from_seq", entry.seq)) == (entry.seq, entry.from_seq)
            self.token += 1
            self.outbox.sent(entry, self.token, self.uptime)
            self.tokens[self.token] = entry

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def published(self, data: st.DataObject) -> None:
        token = data.draw(st.sampled_from(sorted(self.tokens)))
        entry = self.tokens.pop(token)
        seqs = set(range(entry.from_seq, entry.seq + 1))
        if seqs <= _seqs(self.outbox):
            if self.has_ack:
                self.kept |= seqs
            else:
                self.released |= seqs
        self.outbox.published(token)

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def refused(self, data: st.DataObject) -> None:
        token = data.draw(st.sampled_from(sorted(self.tokens)))
        del self.tokens[token]
        self.outbox.refused(token)

    @rule()
    def disconnected(self) -> None:
        self.tokens.clear()
        self.outbox.disconnected()

    @rule(data=st.data())
    def ack(self, data: st.DataObject) -> None:
        through = data.draw(st.integers(0, max(self.put, default=0)))
        missing = data.draw(
            st.lists(st.tuples(st.integers(1, through), st.integers(1, through)).map(lambda pair: (min(pair), max(pair))), max_size=3)
            if through
            else st.just([])
        )
        before = self.outbox.held()
        self.outbox.ack(BOOT, through, missing)
        self.has_ack = True
        for entry in before:
            if entry.seq <= through and not any(first <= entry.seq and last >= entry.from_seq for first, last in missing):
                self.released |= set(range(entry.from_seq, entry.seq + 1))
                self.kept -= set(range(entry.from_seq, entry.seq + 1))
                self.tokens = {token: other for token, other in self.tokens.items() if other is not entry}

    @rule(through=st.integers(0, 100))
    def ack_of_another_boot(self, through: int) -> None:
        self.outbox.ack("0" * 16, through, [])

    @rule(seconds=st.sampled_from((0.25, 60.0, 7200.0)))
    def pass_time(self, seconds: float) -> None:
        self.uptime += seconds
        self.outbox.thin(self.uptime)

    @rule()
    def restart(self) -> None:
        before, held, number = self.outbox.figures(), [(entry.from_seq, entry.seq) for entry in self.outbox.held()], self.outbox.next_seq()
        former = self.outbox
        self.outbox = _open(self.directory, self.room)
        former.close()
        self.tokens.clear()
        assert [(entry.from_seq, entry.seq) for entry in self.outbox.held()] == held
        assert self.outbox.next_seq() == number
        assert self.outbox.figures()[:5] == before[:5]

    @invariant()
    def every_number_is_accounted_for(self) -> None:
        figures, held = self.outbox.figures(), _seqs(self.outbox)
        assert sum(entry.seq - entry.from_seq + 1 for entry in self.outbox.held()) == len(held)
        assert held <= self.put
        assert not held & self.released
        assert len(self.put - held - self.released - self.kept) <= figures.dropped <= len(self.put - held - self.released)

    @invariant()
    def room_is_kept(self) -> None:
        figures = self.outbox.figures()
        assert figures.bytes <= self.room
        assert sum(file.stat().st_size for file in Path(self.directory).iterdir()) <= self.room * 5 // 4 + max(self.room // 8, 16_384)


class CrampedLife(Life):
    """The same with so little room that messages have to go all the time."""

    room = 24_576


TestLife = Life.TestCase
TestLife.settings = settings(UNTIMED, max_examples=25, stateful_step_count=30)
TestCrampedLife = CrampedLife.TestCase
TestCrampedLife.settings = settings(UNTIMED, max_examples=25, stateful_step_count=30)
