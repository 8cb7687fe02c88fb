"""Ends what `./scripts/run` leaves behind: `python -m fleet.demo_end FOLDER` waits until its standard input is closed, by whatever death of the demo.

Appliers and their guards must outlive the agents they work for, so they do not die with them. Touches only processes that name the demo's own folder.
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
    """Number every other process whose command line names something in the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{folder}/".encode() in (process / "cmdline").read_bytes() and int(process.name) != os.getpid():
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
