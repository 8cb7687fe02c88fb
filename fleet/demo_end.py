"""Ends what `./scripts/run` leaves behind: `python -m fleet.demo_end FOLDER` waits until its standard input is closed, by whatever death of the demo.

Appliers and their guards must outlive the agents they work for, and a mosquitto that gave up being root has forgotten its parent, so they do not die
with us. Touches only processes that name the demo's own folder, or work in it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

WITHIN_S = 5.0
LOOK_S = 0.1


def working_in(folder: str) -> list[int]:
    """Number every other process whose command line names something in the folder, or that works there."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_there = f"{folder}/".encode() in (process / "cmdline").read_bytes() or f"{(process / 'cwd').readlink()}/".startswith(f"{folder}/")
            if is_there and int(process.name) != os.getpid():
                found.append(int(process.name))
        except OSError:
            continue  # it ended meanwhile
    return found


def end_all(folder: str) -> None:
    """End them by force: what they work on goes too."""
    deadline = time.monotonic() + WITHIN_S
    while (left := working_in(folder)) and time.monotonic() < deadline:
        for number in left:
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(LOOK_S)


def main(folder: str) -> int:
    """Wait for the end of standard input, then end what is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 512):
        continue
    end_all(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
