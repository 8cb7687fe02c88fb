"""The shelf of commands: one file each, and the table that names them with the class each belongs to.

Loads a command's file only when it is asked for: the daemon carries none of root's. A file `<name with _ for ->.py` has

    NAME, CLASS        as in the table
    BY                 "root" (run inside rwagent-apply) or "agent" (verified by root, run by the daemon)
    EVERY_S            least seconds between two of it (root's count, of this boot)
    LIMIT_S            seconds after which it is told `timed_out`, whatever becomes of it
    ALONE              True: refused `busy` while a push is under way, and no push begins while it runs
    check(args) -> list[Fault]          all that is wrong with its arguments (agent.change.Fault); pure, takes any dict
    run(args, hands) -> dict            does it and gives `output`; Unavailable with a sentence: `failed`

`hands` of root's commands is the box's (agent/router/hands.py), of the daemon's is agent.command.OwnHands.
"""

from __future__ import annotations

import importlib
from types import ModuleType

ASK, ACT = "ask", "act"
CLASSES = (ASK, ACT)
# One at a time of each class: what only reads does not wait for what changes something.
COMMANDS: dict[str, str] = {
    "report": ASK,
    "stations": ASK,
    "scan": ASK,
    "logs": ASK,
    "kick": ACT,
    "locate": ACT,
    "reload-wifi": ACT,
    "restart-agent": ACT,
    "reboot": ACT,
}


def load(name: str) -> ModuleType:
    """Load a command of the table; KeyError when it has none of that name."""
    if name not in COMMANDS:
        raise KeyError(name)
    return importlib.import_module(f"agent.commands.{name.replace('-', '_')}")
