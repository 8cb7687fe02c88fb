"""At boot: what has no verdict is taken back before the network comes up; everything else is left alone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from agent.guard import DIRECTORY
from tests.ash.test_rollback import Box
from tests.pushes import busybox

pytestmark = pytest.mark.needs("busybox")


@pytest.fixture
def box(tmp_path: Path) -> Box:
    """A box that lost power while a push was on trial."""
    box = Box(tmp_path, "openwrt")
    box.journal(wireless=(b"before\n", b"after\n", b""))
    return box


def recover(box: Box) -> int:
    """Boot."""
    command = [f"{busybox(box.folder)}/sh", f"{DIRECTORY}/recover", str(box.state), str(box.folder / "apply")]
    return subprocess.run(command, env=box.environment(), timeout=60, check=False).returncode


def test_a_push_without_a_verdict_is_taken_back(box: Box) -> None:
    """For the reason that it was cut short; apply_dir, in RAM, is not there yet, and nobody is told."""
    (box.folder / "apply").rmdir()
    assert recover(box) == 0
    assert box.file("wireless").read_bytes() == b"before\n" and (box.pending / "undone").read_text() == "reboot\n\n"


@pytest.mark.parametrize("mark", ["keep", "undone"])
def test_a_push_with_a_verdict_is_left_for_bookkeeping(mark: str, box: Box) -> None:
    """Kept is kept."""
    (box.pending / mark).write_bytes(b"\n\n")
    assert recover(box) == 0
    assert box.file("wireless").read_bytes() == b"after\n" and sorted(os.listdir(box.pending))[-1] == "verdict"


def test_a_failed_rollback_is_tried_again(box: Box) -> None:
    """What could not be written before the reboot may be now."""
    (box.pending / "failed").write_text("not_on_air\n\n")
    assert recover(box) == 0 and box.file("wireless").read_bytes() == b"before\n" and not (box.pending / "failed").exists()


def test_a_journal_that_was_never_ready_is_removed(box: Box) -> None:
    """Nothing was replaced by it, whatever lies in it."""
    (box.pending / "ready").unlink()
    assert recover(box) == 0 and not box.pending.exists() and box.file("wireless").read_bytes() == b"after\n"


def test_without_a_journal_it_does_nothing(tmp_path: Path) -> None:
    """As at every ordinary boot: no state, no write."""
    (tmp_path / "state").mkdir()
    assert recover(Box(tmp_path)) == 0 and os.listdir(tmp_path / "state") == []


def test_the_directory_it_makes_is_roots_alone(box: Box) -> None:
    """Anything else and the applier refuses to run until the next boot; what is put back keeps the mode it had."""
    (box.folder / "apply").rmdir()
    assert recover(box) == 0
    assert (box.folder / "apply").stat().st_mode & 0o777 == 0o700 and box.file("wireless").stat().st_mode & 0o777 == 0o640
