"""The box reboots when its time has come, never in the midst of a push, and by force where it does not go. No real reboot can be reached here."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.guard import DIRECTORY

PROGRAMS = ("sleep", "sync")


class Box:
    """A PATH with nothing on it but a `reboot` that only writes down that it was asked."""

    def __init__(self, folder: Path) -> None:
        self.bin, self.state, self.calls = folder / "bin", folder / "state", folder / "calls"
        self.bin.mkdir()
        self.state.mkdir()
        for name in (*PROGRAMS, "reboot"):
            (self.bin / name).write_text(f'#!/bin/sh\necho "{name} $*" >>"{self.calls}"\n')
            (self.bin / name).chmod(0o755)
        self.began: subprocess.Popen[bytes] | None = None

    def write(self, program: str, text: str) -> None:
        (self.bin / program).write_text(f'#!/bin/sh\necho "{program} $*" >>"{self.calls}"\n{text}\n')

    def run(self, seconds: str) -> int:
        self.begin(seconds)
        assert self.began is not None
        return self.began.wait(60)

    def begin(self, seconds: str) -> None:
        # dash and not BusyBox, whose own applets come before the PATH: that `reboot` would be a real one.
        command = ["/bin/dash", os.path.join(DIRECTORY, "reboot"), str(self.state), seconds]
        self.began = subprocess.Popen(command, env={"PATH": str(self.bin)}, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end, self.asked()
            time.sleep(0.02)

    def asked(self) -> list[str]:
        return [line.strip() for line in self.calls.read_text().splitlines()] if self.calls.exists() else []


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    made = Box(tmp_path)
    yield made
    if made.began is not None:
        if made.began.poll() is None:
            made.began.kill()
        made.began.wait()
        assert made.began.stderr is not None
        made.began.stderr.close()


def test_it_waits_syncs_and_reboots(box: Box) -> None:
    """After the seconds; and when the box is still there a minute later, by force."""
    box.run("5")
    assert [line for line in box.asked() if line != "sync"] == ["sleep 5", "sleep 2", "reboot", "sleep 60", "reboot -f"]
    # Nobody waits for it.
    box.until(lambda: "sync" in box.asked())


def test_a_flash_that_does_not_answer_does_not_keep_it(box: Box) -> None:
    """`sync` that never ends is not waited for."""
    box.write("sync", "exec /bin/sleep 30")
    box.run("0")
    assert "reboot" in box.asked()


@pytest.mark.parametrize("end", ["keep", "undone", "failed"])
def test_a_push_that_has_come_to_its_end_is_not_waited_for(box: Box, end: str) -> None:
    """Nor is one that could not be taken back, where a reboot may be what is left to try."""
    pending = box.state / "pending"
    pending.mkdir()
    for name in ("ready", end):
        (pending / name).touch()
    box.run("0")
    assert [line for line in box.asked() if line != "sync"][:3] == ["sleep 0", "sleep 2", "reboot"]


def test_a_push_under_way_comes_to_its_end_first(box: Box) -> None:
    """Not before it is kept or taken back."""
    pending = box.state / "pending"
    pending.mkdir()
    (pending / "ready").touch()
    box.write("sleep", "exec /bin/sleep 0.05")
    box.begin("0")
    box.until(lambda: box.asked().count("sleep 1") >= 5)
    assert "reboot" not in box.asked()
    (pending / "keep").touch()
    assert box.began is not None
    box.began.wait(60)
    assert "reboot" in box.asked()


@pytest.mark.parametrize("seconds", ["", "-1", "5; touch hurt", "$(id)", "9999"])
def test_a_delay_that_is_none_is_refused(box: Box, seconds: str) -> None:
    """Nothing is begun."""
    assert box.run(seconds) == 2
    assert box.asked() == []


def test_the_end_of_a_session_does_not_keep_it(box: Box) -> None:
    """SIGHUP is for others."""
    box.write("sleep", "exec /bin/sleep 0.3")
    box.begin("1")
    assert box.began is not None
    box.until(lambda: bool(box.asked()))
    box.began.send_signal(signal.SIGHUP)
    box.began.wait(60)
    assert "reboot" in box.asked()
