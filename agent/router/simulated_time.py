"""Which boot a simulated box is in and how long it is up, for root's half, which is another process: the note stands for what /proc says of a real one.

Left where the simulated configuration lies, each time that root is rung for.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import NamedTuple

FILE = "time"


class BoxTime(NamedTuple):
    """A box's boot, its uptime in seconds from now on, and when it booted: Unix seconds of its own world, which need not be this one's."""

    boot: str
    uptime: Callable[[], float]
    booted: float


def leave(folder: str, boot: str, uptime_s: float, speed: float, booted: float) -> None:
    """Write down how it is at this moment, how many of the box's seconds go by in one of the world's, and when it booted; OSError when that cannot be."""
    # One after the other: of several the mode would be the last one's only, and root refuses a state directory that others may look into.
    for each in (os.path.dirname(folder), folder):
        os.makedirs(each, 0o700, exist_ok=True)
    path = os.path.join(folder, FILE)
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        file.write(json.dumps([boot, uptime_s, speed, _now(), booted]))
    os.replace(f"{path}.new", path)


def found(folder: str) -> BoxTime | None:
    """Read what was left; None when nothing was."""
    try:
        with open(os.path.join(folder, FILE), encoding="utf-8") as file:
            boot, uptime_s, speed, at, booted = json.loads(file.read())
    except (OSError, ValueError):
        return None
    return BoxTime(str(boot), lambda: float(uptime_s) + (_now() - float(at)) * float(speed), float(booted))


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
