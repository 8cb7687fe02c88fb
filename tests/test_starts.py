"""Crashes are counted by the uptime, in RAM, at each start: five within ten minutes are too many, what ends in order counts for nothing."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent import starts
from agent.run_dir import MARK, note_crash, take_mark
from agent.starts import RULES, Record, Start, begin, decide, read

BOOT = "b1946ac92492d234"
RESPAWN_S = 30.0  # what the service waits before it starts it again


class Box:
    """A run_dir, and an uptime that only the test moves."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now = folder, 1000.0

    def start(self, after_s: float = 0.0) -> Start:
        self.now += after_s
        return begin(str(self.folder), BOOT, self.now)

    def crash(self, times: int, each_s: float = RESPAWN_S) -> Start:
        """Start, and crash so often, with so many seconds between two starts; give the start after the last."""
        start = self.start()
        for _ in range(times):
            start = self.start(each_s)
        return start

    def end(self) -> None:
        take_mark(str(self.folder))


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def test_five_crashes_are_too_many(box: Box) -> None:
    """After four it runs as ever, after the fifth in safe mode for half an hour."""
    assert not box.crash(4).record.is_safe
    record = box.start(RESPAWN_S).record
    assert record.is_safe
    assert (record.crashes, record.safe_since, record.safe_until) == (5, box.now, box.now + 1800)


@pytest.mark.parametrize(("span_s", "is_safe"), [(599.0, True), (600.0, True), (601.0, False)])
def test_five_must_lie_within_ten_minutes(box: Box, span_s: float, is_safe: bool) -> None:
    """From the first to the fifth: 9:59 is within, 10:01 is not."""
    assert box.crash(5, span_s / 4).record.is_safe is is_safe


@pytest.mark.parametrize(("ran_s", "is_safe"), [(0.5, True), (90.0, True), (119.0, True), (121.0, False)])
def test_five_fit_although_the_service_waits_before_each_start(box: Box, ran_s: float, is_safe: bool) -> None:
    """With the 30 s of OpenWrt's respawn: whatever crashes in less than two minutes gets there."""
    assert box.crash(5, ran_s + RESPAWN_S).record.is_safe is is_safe


def test_a_run_of_ten_minutes_forgets(box: Box) -> None:
    """Four crashes, a long run that crashes, three more: not five within ten minutes."""
    box.crash(4)
    box.start(600.0 + RESPAWN_S)
    for _ in range(3):
        assert not box.start(RESPAWN_S).record.is_safe
    assert box.start(RESPAWN_S).record.is_safe


def test_what_ends_in_order_is_no_crash(box: Box) -> None:
    """However often it is stopped, and also between two crashes."""
    for number in range(12):
        assert not box.start(1.0).record.is_safe
        if number % 3:
            box.end()
    assert len(box.start(1.0).record.moments) == 4


def test_nothing_is_written_where_nothing_crashed(box: Box) -> None:
    """A start in order costs sixteen bytes."""
    box.start()
    box.end()
    box.start()
    assert [path.name for path in box.folder.iterdir()] == [MARK]
    assert (box.folder / MARK).read_text() == BOOT


def test_the_last_crash_is_named(box: Box) -> None:
    """By what it left; one that was killed leaves nothing."""
    box.start()
    note_crash(str(box.folder), "ValueError at agent.report:41")
    assert box.start(1.0).record.last_crash == "ValueError at agent.report:41"
    assert box.start(1.0).record.last_crash == ""


def test_safe_mode_that_crashes_goes_on_and_lasts_no_longer(box: Box) -> None:
    """It neither ends by that nor begins anew; when its time is over, the normal agent is tried all the same."""
    record = box.crash(5).record
    for _ in range(20):
        assert box.start(RESPAWN_S).record == record
    over = box.start(1800.0)
    assert not over.record.is_safe
    assert over.safe_mode_for_s == 1800.0 + 20 * RESPAWN_S


def test_safe_mode_that_is_ended_in_order_is_over(box: Box) -> None:
    """By its time, by a push, or by who restarts the service; the normal agent is told how long it was, once."""
    box.crash(5)
    box.end()
    start = box.start(90.0)
    assert (start.record.is_safe, start.safe_mode_for_s, start.record.crashes) == (False, 90.0, 5)
    assert starts.handed(start) == ["--safe-mode-for", "90", "--crashes", "5"]
    box.end()
    assert starts.handed(box.start(1.0)) == []


def test_one_crash_after_it_is_enough_and_lasts_twice_as_long(box: Box) -> None:
    """Half an hour, an hour, ..., at most six; each crash is counted."""
    box.crash(5)
    stays = []
    for _ in range(6):
        box.end()
        box.start(10.0)
        record = box.start(RESPAWN_S).record
        assert record.is_safe and record.safe_since is not None and record.safe_until is not None
        stays.append(record.safe_until - record.safe_since)
    assert stays == [3600, 7200, 14400, 21600, 21600, 21600]
    assert record.crashes == 11


@pytest.mark.parametrize(("ran_s", "is_safe"), [(3599.0, True), (3600.0, False)])
@pytest.mark.parametrize("has_restarted", [False, True])
def test_an_hour_of_normal_running_forgets(box: Box, ran_s: float, is_safe: bool, has_restarted: bool) -> None:
    """Then it takes five again; being made to read the settings again meanwhile changes nothing."""
    box.crash(5)
    box.end()
    box.start()
    if has_restarted:
        box.now += ran_s / 2
        box.end()
        box.start()
        ran_s /= 2
    assert box.start(ran_s).record.is_safe is is_safe


@pytest.mark.parametrize("name", [starts.FILE, MARK])
def test_where_nothing_can_be_noted_it_runs_as_it_would(box: Box, name: str) -> None:
    """RAM that is full makes a run no normal one where safe mode is due; that nothing is counted is said."""
    box.crash(4)
    (box.folder / f"{name}.new").mkdir()
    for _ in range(3):
        start = box.start(RESPAWN_S)
        assert start.record.is_safe and isinstance(start.unnoted, OSError)
    (box.folder / f"{name}.new").rmdir()
    assert box.start(RESPAWN_S).unnoted is None


def test_another_boot_forgets(box: Box) -> None:
    """A power cut is no crash, wherever run_dir lies."""
    box.crash(4)
    start = begin(str(box.folder), "0" * 16, 20.0)
    assert start.record == Record("0" * 16)


def test_the_wall_clock_plays_no_part(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set back and on by years between two crashes."""
    for number in range(6):
        os.utime(box.folder, (number * 1e8, number * 1e8))
        if (box.folder / starts.FILE).exists():
            os.utime(box.folder / starts.FILE, (2e9 - number * 1e8,) * 2)
        start = box.start(RESPAWN_S)
    assert start.record.is_safe and time.time() > 0


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\x00", b'{"boot":"b1946ac92492d234","moments":[1e999]}', b"[" * 10_000, b"x" * 300_000])
def test_a_torn_file_counts_for_nothing(box: Box, content: bytes) -> None:
    """It is as if no crash had been before, and the next one is counted."""
    box.crash(4)
    (box.folder / starts.FILE).write_bytes(content)
    start = box.start(RESPAWN_S)
    assert start.record == Record(BOOT, (box.now,))
    assert read(str(box.folder), BOOT, box.now) == start.record


@pytest.mark.parametrize("name", [starts.FILE, f"{starts.FILE}.new", MARK, f"{MARK}.new"])
@pytest.mark.parametrize("kind", ["directory", "pipe", "link"])
def test_a_planted_thing_is_not_counted_and_not_followed(box: Box, tmp_path: Path, name: str, kind: str) -> None:
    """No crash is made of it, or the start says that it cannot be noted; nothing waits, and nobody's file is written."""
    target = tmp_path / "target"
    target.write_text("precious")
    box.folder = tmp_path / "run"
    box.folder.mkdir()
    {"directory": os.mkdir, "pipe": os.mkfifo, "link": lambda path: os.symlink(target, path)}[kind](box.folder / name)
    with contextlib.suppress(OSError):
        assert box.start(1.0).record == Record(BOOT)
    assert target.read_text() == "precious"


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(("boot", *Record._fields)),
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.lists(st.floats(), max_size=8)),
    )
)
def test_whatever_stands_there_is_bounded(tmp_path: Path, members: dict[str, object]) -> None:
    """No crash, and no safe mode that lasts longer than the longest."""
    (tmp_path / starts.FILE).write_text(json.dumps({"boot": BOOT, "moments": []} | members))
    record = read(str(tmp_path), BOOT, 5000.0)
    start = decide(record, 5000.0, "", RULES)
    assert (start.record.safe_until or 0.0) <= 5000.0 + RULES.longest_stay_s
    assert len(start.record.moments) <= RULES.crashes
    assert len(start.record.last_crash) <= 120 and start.record.last_crash.isascii()
