"""Before an upgrade or a removal, a push on trial is taken back."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from agent.guard import DIRECTORY
from tests.ash.test_guard import Watch
from tests.ash.test_rollback import Box
from tests.pushes import busybox

pytestmark = pytest.mark.needs("busybox")


def withdraw(box: Box) -> int:
    """Take it back."""
    command = [f"{busybox(box.folder)}/sh", f"{DIRECTORY}/withdraw", str(box.state), str(box.folder / "apply")]
    return subprocess.run(command, env=box.environment(), timeout=60, check=False).returncode


def test_a_push_on_trial_is_taken_back_with_its_guard(tmp_path: Path) -> None:
    """The applier ends, and the reason is the true one, whoever of the two was first."""
    box = Box(tmp_path)
    box.journal(wireless=(b"before\n", b"after\n", b""))
    watch = Watch(box)
    try:
        watch.start()
        assert withdraw(box) == 0
        assert watch.applier.wait(timeout=10) == -9 and watch.wait() == 0
        assert box.file("wireless").read_bytes() == b"before\n" and (box.pending / "undone").read_text() == "superseded\n\n"
    finally:
        watch.close()


@pytest.mark.parametrize("mark", ["none", "keep", "undone", "unready"])
def test_there_is_nothing_to_take_back(mark: str, tmp_path: Path) -> None:
    """No push, or one with a verdict."""
    box = Box(tmp_path)
    if mark != "none":
        box.journal(wireless=(b"before\n", b"after\n", b""))
        (box.pending / mark).write_bytes(b"\n\n")
    if mark == "unready":
        (box.pending / "ready").unlink()
    assert withdraw(box) == 0
    assert mark == "none" or box.file("wireless").read_bytes() == b"after\n"


@pytest.mark.parametrize("mark", ["keep", "undone", "unready"])
def test_a_living_applier_is_ended_whatever_the_journal_says(mark: str, tmp_path: Path) -> None:
    """One that still writes the journal would go on to replace files when all has been said to be well."""
    box = Box(tmp_path)
    box.journal(wireless=(b"before\n", b"after\n", b""))
    (box.pending / mark).write_bytes(b"\n\n")
    if mark == "unready":
        (box.pending / "ready").unlink()
    watch = Watch(box)
    try:
        assert withdraw(box) == 0 and watch.applier.wait(timeout=10) == -9
        assert box.file("wireless").read_bytes() == b"after\n"
    finally:
        watch.close()


def test_no_applier_begins_before_the_next_boot(tmp_path: Path) -> None:
    """The mark lies in RAM, in a directory that is root's alone, also where there was none yet."""
    (tmp_path / "state").mkdir()
    assert withdraw(Box(tmp_path)) == 0
    assert (tmp_path / "apply/withdrawn").exists() and (tmp_path / "apply").stat().st_mode & 0o777 == 0o700
