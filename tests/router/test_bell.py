"""The bell: one program at a time, with nothing of ours but the log, reaped as soon as it ends."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.errors import Unavailable
from agent.router.bell import Bell

SHOW = """
import os, signal, sys, time
fds = sorted(int(name) for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}"))
text = f"{fds} {os.readlink('/proc/self/fd/0')} {os.getsid(0) == os.getpid()} {signal.getsignal(signal.SIGHUP) == signal.SIG_DFL}"
open(sys.argv[1] + ".new", "a").write(text + "\\n")
os.rename(sys.argv[1] + ".new", sys.argv[1])
while os.path.exists(sys.argv[2]): time.sleep(0.01)
"""


def until(claim: Callable[[], object]) -> None:
    ends = time.monotonic() + 10
    while not claim():
        assert time.monotonic() < ends
        time.sleep(0.005)


def children() -> list[str]:
    """Name the state of every child of this process."""
    found = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in found if Path(f"/proc/{pid}/stat").exists()]


def test_one_at_a_time_and_never_a_zombie(tmp_path: Path) -> None:
    """Rung for while it runs: no second one; once it ended it is reaped without another ring, and the next ring starts it anew."""
    hold, shown = tmp_path / "hold", tmp_path / "shown"
    hold.touch()
    bell = Bell([sys.executable, "-c", SHOW, str(shown), str(hold)])
    for _ in range(3):
        bell.ring()
    until(shown.exists)
    assert len(children()) == 1
    hold.unlink()
    until(lambda: not children())
    shown.unlink()

    def rung() -> bool:
        bell.ring()
        return shown.exists()

    until(rung)


def test_it_inherits_nothing_but_the_log(tmp_path: Path) -> None:
    """No descriptor beyond 0 to 2, standard input from nowhere, a session of its own, and no signal ignored that we ignore."""
    shown = tmp_path / "shown"
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with open(os.devnull) as kept:
            Bell([sys.executable, "-c", SHOW, str(shown), "/nowhere"]).ring()
            until(shown.exists)
            assert kept.fileno() > 2
    finally:
        signal.signal(signal.SIGHUP, former)
    assert shown.read_text() == "[0, 1, 2] /dev/null True True\n"
    until(lambda: not children())


def test_no_program_is_no_ring() -> None:
    """Where there is none to start, ringing does nothing; one that is missing is said."""
    Bell([]).ring()
    with pytest.raises(Unavailable, match="/nowhere/python: cannot be started: No such file"):
        Bell(["/nowhere/python"]).ring()
