"""What root remembers of pushes: the highest revision with its verdict, the config in force, the last twenty; and what may come next.

Only revisions that reached the router's files, or proved equal to them, are remembered on flash. A refused document is not: it changed
nothing and is judged again by the same rules after a reboot, so its verdict needs no flash write, and a missing secret that is put
there later lets the very same push pass. An old one cannot sneak in that way: it is lower than what was applied since.
"""

from __future__ import annotations

import json
import os
import re
from typing import Literal, NamedTuple

from agent.flash import Flash, read

VERSION = 1
MOST_JUMP = 1_000_000
MOST_HISTORY = 20
MOST_REVISION = 2**53 - 1
RETRY_AFTER_S = (600.0, 3600.0)
RETRIED = ("broker_unreachable", "reboot", "busy")
# How the file begins: with the two numbers that no other in it exceeds. What is behind them may be torn.
_BEGINNING = re.compile(rb'\{"v":1,"floor":([0-9]{1,16}),"revision":([0-9]{1,16}),')

Rule = Literal["fresh", "repeat", "stale", "conflict", "jump", "retry", "held"]


class Memory(NamedTuple):
    """All that is remembered. `revision` None: no push was ever applied; `config`: the confirmed document with its keys, `current` its revision.

    `is_lost`: the file could not be read and named no number, so nothing tells an old push from a new one. `reported`: the verdict as published.
    `attempts`: how often this revision was rolled back for a reason that may pass; `boot` and `uptime_s` say when the last time was.
    """

    floor: int = 0
    revision: int | None = None
    digest: str = ""
    run: str = ""
    attempts: int = 0
    boot: str = ""
    uptime_s: float = 0.0
    current: int | None = None
    config: dict[str, object] | None = None
    reported: dict[str, object] | None = None
    history: tuple[dict[str, object], ...] = ()
    is_lost: bool = False


def rule(memory: Memory, revision: int, digest: str, boot: str, uptime_s: float) -> Rule:
    """Say what a signed revision is to this access point."""
    highest = max(memory.floor, memory.revision or 0)
    if revision > highest and not memory.is_lost:
        return "jump" if revision - highest > MOST_JUMP else "fresh"
    if revision != memory.revision or memory.is_lost:
        return "stale"
    if digest != memory.digest:
        return "conflict"
    if not _may_pass(memory):
        return "repeat"
    due = retry_at(memory, boot)
    return "held" if due is None else "retry" if uptime_s >= due else "repeat"


def sentence(found: Rule, memory: Memory, revision: int) -> str:
    """Say why a revision is refused, and what would be taken."""
    highest = max(memory.floor, memory.revision or 0)
    if memory.is_lost:
        return "which revisions came before is not known any more; write the highest one into state_dir/floor"
    if found == "conflict":
        return f"revision {revision} came with other content before; expected a higher revision"
    return f"the revision is {revision}, expected {highest + 1} to {highest + MOST_JUMP}"


def retry_at(memory: Memory, boot: str) -> float | None:
    """Say at which uptime the revision may be tried again; None when it may not."""
    if not _may_pass(memory) or not 0 < memory.attempts <= len(RETRY_AFTER_S):
        return None
    # The uptime of another boot says nothing: the wait begins anew with the boot.
    began = memory.uptime_s if memory.boot == boot else 0.0
    return began + RETRY_AFTER_S[memory.attempts - 1]


def is_held(memory: Memory) -> bool:
    """Say whether the revision was tried as often as it may be, so that only a higher one helps."""
    return _may_pass(memory) and memory.attempts > len(RETRY_AFTER_S)


def remembered(memory: Memory, entry: dict[str, object]) -> tuple[dict[str, object], ...]:
    """Give the history with one more entry, the newest first."""
    return (entry, *memory.history)[:MOST_HISTORY]


def load(flash: Flash, state_dir: str, also_seen: int = 0) -> Memory:
    """Read the memory. A file that is none is set aside, and the highest number in it becomes the floor, so that no old push is taken again.

    Without that number all is refused until a person writes it into state_dir/floor. `also_seen`: a revision known from elsewhere.
    """
    path = os.path.join(state_dir, "revisions.json")
    raw = read(path)
    memory = Memory() if raw is None else decode(raw)
    if memory is None:
        assert raw is not None
        # A cut in the middle of the two writes finds the aside copy and the bad file again: the same follows once more.
        flash.put(f"{path}.bad", raw, 0o600)
        begins = _BEGINNING.match(raw)
        floor = min(max(int(begins[1]), int(begins[2]), also_seen), MOST_REVISION) if begins else 0
        memory = Memory(floor=floor, is_lost=not floor, reported=_lost(floor))
        save(flash, state_dir, memory)
    floor = max(memory.floor, _floor(state_dir))
    return memory._replace(floor=floor, is_lost=memory.is_lost and not floor)


def save(flash: Flash, state_dir: str, memory: Memory) -> None:
    """Write the memory, durable when it returns."""
    members = {name: value for name, value in memory._asdict().items() if value not in (None, "", ()) or name == "floor"}
    text = json.dumps({"v": VERSION, **members}, separators=(",", ":"))
    flash.put(os.path.join(state_dir, "revisions.json"), text.encode(), 0o600)


def decode(raw: bytes) -> Memory | None:
    """Read the memory's bytes; None when it is not one that this version wrote."""
    try:
        found = json.loads(raw)
        if not isinstance(found, dict) or found.pop("v", None) != VERSION:
            return None
        found["history"] = tuple(found.get("history", ()))
        memory = Memory(**found)
    except (ValueError, TypeError, RecursionError):
        return None
    return memory if _is_sound(memory) else None


def _is_sound(memory: Memory) -> bool:
    default, optional = Memory(), {"revision": int, "current": int, "config": dict, "reported": dict}
    for name, value in memory._asdict().items():
        kinds: type | tuple[type, ...] = optional.get(name) or ((int, float) if name == "uptime_s" else type(getattr(default, name)))
        if not (value is None and name in optional) and (not isinstance(value, kinds) or (isinstance(value, bool) and name != "is_lost")):
            return False
    numbers = (memory.floor, memory.revision or 0, memory.current or 0, memory.attempts)
    return all(0 <= number <= MOST_REVISION for number in numbers) and all(isinstance(entry, dict) for entry in memory.history)


def _may_pass(memory: Memory) -> bool:
    reported = memory.reported or {}
    return memory.attempts > 0 and reported.get("state") == "rolled_back" and reported.get("reason") in RETRIED


def _floor(state_dir: str) -> int:
    """Read what enrolment put there: the highest revision that this access point's name has ever had."""
    text = (read(os.path.join(state_dir, "floor"), 64) or b"").strip()
    return min(int(text), MOST_REVISION) if text.isdigit() else 0


def _lost(floor: int) -> dict[str, object]:
    return {"v": 1, "state": "failed", "reason": "state_lost"} | ({"revision": floor} if floor else {})
