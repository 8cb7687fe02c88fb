"""The bell: one program at a time, with nothing of ours but the log, reaped as soon as it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.errors import Unavailable
from agent.router.bell import RUNG, Bell

REPO = Path(__file__).parents[2]

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
    states = []
    for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        try:
            states.append(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0])
        except (FileNotFoundError, ProcessLookupError):
            pass  # reaped meanwhile
    return states


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


IMAGE = """
import os, sys, time
from agent.router.bell import Bell
program = "import os, sys, time\\nopen(sys.argv[1], 'a').write('x')\\nwhile os.path.exists(sys.argv[2]): time.sleep(0.01)"
bell = Bell([sys.executable, "-c", program, *sys.argv[1:3]])
if len(sys.argv) == 3:
    bell.ring()
    while not os.path.exists(sys.argv[1]): time.sleep(0.01)
    os.execv(sys.executable, [sys.executable, __file__, *sys.argv[1:], "anew"])
bell.ring()
os.unlink(sys.argv[2])
until = time.monotonic() + 10
try:
    while time.monotonic() < until and os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None: time.sleep(0.01)
    time.sleep(0.2)
    os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
except ChildProcessError:
    sys.exit(0 if open(sys.argv[1]).read() == "x" else "started twice")
sys.exit("a child is left")
"""


def test_the_image_after_a_reload_waits_for_what_the_one_before_started(tmp_path: Path) -> None:
    """Rung for, then another program in the same process: what runs is not started twice, and no zombie is left of it."""
    hold, shown, image = tmp_path / "hold", tmp_path / "shown", tmp_path / "image.py"
    hold.touch()
    image.write_text(IMAGE)
    environment = {name: value for name, value in os.environ.items() if name != RUNG} | {"PYTHONPATH": str(REPO)}
    done = subprocess.run([sys.executable, image, shown, hold], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_number_that_is_no_child_of_ours_does_no_harm(tmp_path: Path) -> None:
    """It came with an environment that somebody handed on: what is rung for is started all the same."""
    shown = tmp_path / "shown"
    bell = Bell([sys.executable, "-c", SHOW, str(shown), "/nowhere"], left="1")

    def rung() -> bool:
        bell.ring()
        return shown.exists()

    until(rung)


def test_no_program_is_no_ring() -> None:
    """Where there is none to start, ringing does nothing; one that is missing is said."""
    Bell([]).ring()
    with pytest.raises(Unavailable, match="/nowhere/python: cannot be started: No such file"):
        Bell(["/nowhere/python"]).ring()
