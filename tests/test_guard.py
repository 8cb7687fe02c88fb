"""The scripts beside Python, started: the guard outlives its applier and signs in, the rollback ends."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from agent import guard
from agent.errors import Unavailable
from agent.flash import Flash
from agent.pending import File, Journal, Pending
from tests.pushes import Place, place

pytestmark = pytest.mark.needs("busybox")


@pytest.fixture
def there(tmp_path: Path) -> Place:
    """A simulated access point with one file of an open push put in place."""
    there = place(tmp_path)
    file = there.folder / "wireless"
    file.write_bytes(b"before")
    journal = Journal("0" * 16, "b" * 16, 2**31, "simulated", {"wireless": str(file)}, {"revision": 7, "digest": "d"})
    Pending(Flash(), str(there.folder / "state")).write(journal, [File("wireless", str(file), b"before", b"after", b"")])
    file.write_bytes(b"after")
    return there


def gone(pid: int) -> bool:
    """Wait for a process to end."""
    until = time.monotonic() + 10
    while guard.started(pid) is not None and time.monotonic() < until:
        time.sleep(0.02)
    return guard.started(pid) is None


def test_the_guard_signs_in_and_is_nobodys_child(there: Place) -> None:
    """In a session of its own, so that what ends the applier does not end it; it goes when the journal does."""
    apply_dir = str(there.folder / "apply")
    guard.sign_in(apply_dir)
    guard.start(there.scripts, str(there.folder / "state"), apply_dir)
    pid = int((there.folder / "apply/guard").read_text().split()[0])
    assert guard.is_alive(apply_dir, "guard") and os.getsid(pid) != os.getsid(0)
    assert Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1] != str(os.getpid())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(pid, number)
    (there.pending / "ready").unlink()
    assert gone(pid) and (there.folder / "wireless").read_bytes() == b"after"


def test_a_guard_that_does_not_start_is_told(there: Place) -> None:
    """No push goes on without one."""
    (there.folder / "empty").mkdir()
    (there.folder / "empty/guard").write_text("exit 1\n")
    scripts = there.scripts._replace(shell=("/nonexistent/sh",))
    with pytest.raises(Unavailable, match="guard"):
        guard.start(scripts, str(there.folder / "state"), str(there.folder / "apply"))


def test_the_rollback_puts_back(there: Place) -> None:
    """And says so."""
    assert guard.roll_back(there.scripts, str(there.folder / "state"), str(there.folder / "apply"), "not_on_air")
    assert (there.folder / "wireless").read_bytes() == b"before" and (there.pending / "undone").read_text() == "not_on_air\n\n"


def test_a_rollback_that_cannot_run_is_no_success(there: Place) -> None:
    """Without a shell nothing was put back."""
    scripts = there.scripts._replace(shell=("/nonexistent/sh",))
    assert not guard.roll_back(scripts, str(there.folder / "state"), str(there.folder / "apply"), "not_on_air")


def test_a_process_is_known_by_its_beginning(tmp_path: Path) -> None:
    """Its number alone may be another's by now; a zombie has ended."""
    guard.sign_in(str(tmp_path))
    assert guard.is_alive(str(tmp_path), "applier")
    (tmp_path / "applier").write_text(f"{os.getpid()} 1\n")
    assert not guard.is_alive(str(tmp_path), "applier") and not guard.is_alive(str(tmp_path), "nobody")
    child = subprocess.Popen(["sleep", "0"])
    until = time.monotonic() + 10
    while guard.started(child.pid) is not None and time.monotonic() < until:
        time.sleep(0.01)
    assert guard.started(child.pid) is None
    child.wait()


def test_a_step_names_what_it_means_to_find_it_there(tmp_path: Path) -> None:
    """One line for the guard: the step, the reason when the applier is gone, and when it is late."""
    guard.step(str(tmp_path), "reloading", if_late="reload_failed")
    assert (tmp_path / "step").read_text() == "reloading applier_died reload_failed\n"


def test_a_step_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    """RAM is full, and a push must be taken back."""
    (tmp_path / "step.new").mkdir()
    guard.step(str(tmp_path), "rolling_back")
    assert not (tmp_path / "step").exists()


def test_this_process_knows_itself(tmp_path: Path) -> None:
    """By its number; another, or garbage, it is not."""
    guard.sign_in(str(tmp_path))
    (tmp_path / "guard").write_text("1 5\n")
    assert guard.is_us(str(tmp_path), "applier") and not guard.is_us(str(tmp_path), "guard") and not guard.is_us(str(tmp_path), "nobody")
