"""SIGKILL without a reboot, at every change of a file that the applier makes: the guard, or the next run, brings the push to its one verdict."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agent import guard
from tests.cuts import boxes, cutting, worker
from tests.cuts.boxes import BOOT, FIRST, SECOND, Box, Yard
from tests.cuts.cutting import Boot, Recording
from tests.replayed import counted

pytestmark = pytest.mark.needs("busybox")

AT_ONCE = 12
GUARD_S = 30


@pytest.fixture
def yard() -> Iterator[Yard]:
    """Room for boxes."""
    with boxes.yard() as made:
        yield made


def _killed(yard: Yard, before: dict[str, Any] | None, numbers: list[int]) -> list[tuple[Box, int]]:
    """Run a push in one box for each number, killed before its so many-th change of a file; give the boxes after their guards are gone."""
    first = cutting.prepared(yard, before)
    state = yard.disk(first).now()
    jobs = []
    for number in numbers:
        box = yard.with_flash(state)
        box.deliver("desired", boxes.push(2 if before else 1, SECOND))
        jobs.append((box, number))
    lines = "".join(json.dumps([box.base, number]) + "\n" for box, number in jobs)
    command = [sys.executable, worker.__file__, "kills", str(AT_ONCE)]
    run = subprocess.run(command, input=lines, env=cutting.environment(), capture_output=True, text=True, timeout=300, check=False)
    assert len(run.stdout.splitlines()) == len(jobs), run.stderr[-2000:]
    for box, _ in jobs:
        _ended(box)
    return jobs


def _ended(box: Box) -> None:
    """Wait until a box's guard has done its work."""
    ends = time.monotonic() + GUARD_S
    while guard.is_alive(f"{box.base}/ram/apply", "guard"):
        assert time.monotonic() < ends, "the guard does not end"
        time.sleep(0.05)


def _found(before: dict[str, Any] | None, old: dict[str, bytes | None], new: dict[str, bytes | None]) -> Recording:
    return Recording(2 if before else 1, SECOND, 1 if before else None, old, new, [], [], {})


@pytest.mark.parametrize("before", [None, FIRST], ids=["first-push", "later-push"])
def test_an_applier_killed_at_any_change_of_a_file_leaves_one_verdict(
    yard: Yard, before: dict[str, Any] | None, record_property: Callable[[str, object], None]
) -> None:
    """At each write, fsync, rename, unlink, mkdir and rmdir it makes, in RAM or on flash, from its first to its last."""
    ((whole, _),) = _killed(yard, before, [0])
    new, count = whole.files(), int(whole.read("ram/count") or b"0")
    assert whole.verdict(2 if before else 1) == "confirmed"
    old = cutting.prepared(yard, before).files()
    found, faults, verdicts = _found(before, old, new), [], set()
    for box, number in _killed(yard, before, list(range(1, count + 1))):
        has_guard = box.read("ram/apply/guard") is not None
        is_ready = os.path.exists(f"{box.state_dir}/pending/ready")
        marks = [mark for mark in ("keep", "undone", "failed") if os.path.exists(f"{box.state_dir}/pending/{mark}")]
        if has_guard and is_ready and not marks:
            faults.append(f"killed at {number}: the guard did nothing")
        code = worker.run(box.config, BOOT, "settle")
        memory = box.memory()
        if fault := cutting.wrong(found, Boot((), box, [code], 0, set(), (), [])):
            faults.append(f"killed at {number}: {fault}")
        reported = memory.reported or {}
        verdict = reported.get("state") if memory.revision == found.revision else None
        verdicts.add(verdict)
        if verdict == "rolled_back" and reported.get("reason") != "applier_died":
            faults.append(f"killed at {number}: the reason is {reported.get('reason')}")
    assert not faults, f"{len(faults)} of {count}:\n" + "\n".join(faults[:5])
    assert verdicts == {None, "rolled_back", "confirmed"}
    record_property(counted("moments of a push at which the applier was killed"), count)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["dead-but-not-reaped", "stopped-past-the-deadline"])
def test_the_guard_ends_what_no_longer_moves(yard: Yard, number: signal.Signals) -> None:
    """A dead applier whose parent does not look after it is dead all the same; one that stands still is killed after the deadline."""
    box = cutting.prepared(yard, FIRST)
    old = box.files()
    box.deliver("desired", boxes.push(2, SECOND))
    words = [] if number == signal.SIGKILL else ["behind"]
    applier = subprocess.Popen([sys.executable, worker.__file__, "push", box.config, BOOT, *words], env=cutting.environment(), stderr=subprocess.PIPE)
    try:
        ends = time.monotonic() + 60
        while not cutting.signalled(box, number):
            assert time.monotonic() < ends and applier.returncode is None, "the push never waited to be confirmed"
            time.sleep(0.02)
        # Not asked how it is (poll): that would reap it.
        while box.verdict(2) != "rolled_back":
            assert time.monotonic() < ends, box.status()
            time.sleep(0.05)
    finally:
        applier.kill()
        applier.communicate()
    assert box.files() == old
    assert box.status()["reported"]["reason"] == ("applier_died" if number == signal.SIGKILL else "broker_unreachable")
    assert [entry["state"] for entry in box.memory().history] == ["rolled_back", "confirmed"]
    _ended(box)
    assert not os.path.exists(f"{box.state_dir}/pending")
