"""All by which a run of rwagent-apply waits or repeats, in seconds."""

from __future__ import annotations

from typing import NamedTuple

from agent import commanding


class Limits(NamedTuple):
    """What holds on a router; a test waits less.

    `follow_s`: how long a watcher leaves the derived files unlooked at.
    """

    verify_every_s: float = 10.0
    quiet_every_s: float = 60.0
    quiet_s: float = 600.0
    live_gap_s: float = 5.0
    poll_s: float = 0.5
    busy_s: float = 60.0
    watch_s: float = 1.0
    lock_s: float = 120.0
    again_s: float = 10.0
    refuse_every_s: float = 2.0
    alone_s: float = 90.0
    follow_s: float = 300.0
    commands: commanding.Limits = commanding.Limits()
