"""A loop that stands still ends the process, whatever it stands in; one that turns never does."""

from __future__ import annotations

import subprocess
import sys

DRIVER = """
import sys, threading, time
from agent.watchdog import Watchdog
dog = Watchdog(0.4, 0.05, lambda: sys.stderr.write("the last word"))
dog.start()
for _ in range(int(sys.argv[1])):
    dog.pet()
    time.sleep(0.1)
if sys.argv[2] == "stop":
    dog.stop()
    time.sleep(0.8)
if sys.argv[2] == "hang":
    threading.Lock().acquire() and threading.Event().wait(30)
"""


def run(turns: int, then: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", DRIVER, str(turns), then], capture_output=True, text=True, timeout=60, check=False)


def test_a_standstill_ends_the_process_with_a_traceback() -> None:
    """The supervisor sees an exit status of 1, the log where it stood."""
    done = run(1, "hang")
    assert done.returncode == 1
    assert "stands still" in done.stderr
    assert "the last word" in done.stderr
    assert "in wait" in done.stderr


def test_a_loop_that_turns_lives() -> None:
    """Turning for longer than the limit is no standstill, and the thread does not hold up the end."""
    done = run(8, "end")
    assert (done.returncode, done.stderr) == (0, "")


def test_one_that_was_stopped_watches_no_more() -> None:
    """A process that goes on after the loop has ended in order is left alone."""
    assert run(1, "stop").returncode == 0
