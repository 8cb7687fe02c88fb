"""All that Python writes to flash in the way of a push goes through one door, agent/flash.py: what the kernel saw is what the door was asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cuts import boxes, cutting, trace, worker
from tests.cuts.boxes import FIRST, SECOND, Box, Yard

pytestmark = pytest.mark.needs("strace", "busybox")

# Python's names for what the kernel calls otherwise. What only opens a file is no change yet.
KERNEL = {"fchmod": "chmod", "remove": "unlink", "replace": "rename", "ftruncate": "truncate"}
CHANGES = {"write", "fsync", "rename", "unlink", "mkdir", "rmdir", "chmod", "link"}
DOOR = str(worker.ROOT / "agent/flash.py")


@pytest.fixture
def yard() -> Iterator[Yard]:
    """Room for boxes."""
    with boxes.yard() as made:
        yield made


def _watched(yard: Yard, box: Box, words: list[str], confirms: bool) -> tuple[list[str], list[trace.Op]]:
    """Push; give what the applier asked the door for, in order, and what all processes of the push did on the flash."""
    model = yard.disk(box)
    box.deliver("desired", boxes.push(2, SECOND))
    log = Path(yard.folder, "door.log")
    command = trace.under_strace([sys.executable, worker.__file__, "watch", box.config, *words], log)
    process = subprocess.Popen(command, env=cutting.environment(), cwd="/", stderr=subprocess.PIPE, text=True)
    said = cutting.attended(process, lambda: not confirms or box.confirm())
    asked = [KERNEL.get(name, name) for name, file in json.loads(box.read("ram/asked") or b"[]") if file == DOOR]
    assert asked, said
    return asked, [op for op in trace.read(log, "/", cutting.umask()).ops if op.kind == "exec" or (op.kind != "position" and model.is_flash(op.path))]


@pytest.mark.parametrize(("words", "verdict"), [([], "confirmed"), (["hurried"], "rolled_back")], ids=["confirmed", "rolled-back"])
def test_what_the_kernel_saw_on_flash_is_what_the_door_was_asked_for(yard: Yard, words: list[str], verdict: str) -> None:
    """The same changes, as many, in the same order: nobody writes past the door. All else on flash is done by the scripts."""
    box = cutting.prepared(yard, FIRST)
    asked, ops = _watched(yard, box, words, verdict == "confirmed")
    assert box.verdict(2) == verdict
    applier = ops[0].pid
    assert [op.kind for op in ops if op.pid == applier and op.kind in CHANGES] == asked
    programs = {op.pid: op.data for op in ops}
    others = {op.pid for op in ops if op.pid != applier and op.kind in CHANGES | {"create", "truncate", "copy", "unknown"}}
    started = [op.other for op in ops if op.kind == "exec"]
    assert bool(others) == (verdict == "rolled_back"), programs
    assert any("/agent/ash/rollback" in line for line in started) == (verdict == "rolled_back")
    assert not [line for line in started if line.split(" ")[0] == sys.executable and worker.__file__ not in line]


def test_somebody_who_writes_past_the_door_is_seen(yard: Yard) -> None:
    """The comparison proves itself: one more write on flash, and the two lists differ."""
    box = cutting.prepared(yard, FIRST)
    model = yard.disk(box)
    log = Path(yard.folder, "past.log")
    text = f"open({box.state_dir + '/past'!r}, 'w').write('x')"
    trace.record([sys.executable, "-S", "-E", "-c", text], log, cutting.environment())
    assert [op.kind for op in trace.read(log, "/", cutting.umask()).ops if model.is_flash(op.path) and op.kind in CHANGES] == ["write"]
