"""Power cuts carried out: a push recorded as it happens, every state a cut could leave of it, and each of them booted for real.

A boot is recorded too, so that the power can fail in it again: what that leaves is booted as well, until nothing new comes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from agent import revisions
from agent.wire import claims as wire_claims
from tests.cuts import boxes, disk, trace, worker
from tests.cuts.boxes import BOOT, Box, Yard

PATIENCE_S = 90
MOST_STATES = 200  # at one moment; the widest, the removal of a journal, has some forty
BATCH = 100  # boots recorded in one go: process numbers must not come round
REASONS = ("reboot", "applier_died", "broker_unreachable")
LEFT_OVER = {"state", "state/ballast", "state/revisions.json", "state/simulated"}


class Recording(NamedTuple):
    """One push: its revision and content, the configuration before and after, and each moment at which the power may fail."""

    revision: int
    config: dict[str, object]
    previous: int | None
    old: dict[str, bytes | None]
    new: dict[str, bytes | None]
    cuts: list[disk.Cut]
    ops: list[trace.Op]
    announced: dict[disk.State, set[str]]  # what the city may have heard before the power failed

    @property
    def states(self) -> set[disk.State]:
        """All that may be left, each once."""
        return {state for cut in self.cuts for state in cut.states}


class Boot(NamedTuple):
    """One boot of what a cut left: what its flash was, the box afterwards, how each boot ended, and all that may lie there when the power fails in the first.

    `moments`: at how many it could have. `again`: what a second boot did to the flash; it is made once for all that ended with the same flash.
    """

    state: disk.State
    box: Box
    codes: list[int]
    moments: int
    states: set[disk.State]
    end: disk.State
    again: list[trace.Op]


def environment() -> dict[str, str]:
    """Give what our processes need of ours."""
    keep = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return keep | {"PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"}


def umask() -> int:
    """Read this process's umask."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def prepared(yard: Yard, config: dict[str, object] | None) -> Box:
    """Make a box that has confirmed revision 1 with this content; None: one that never had a push."""
    box = yard.box()
    if config is not None:
        box.deliver("desired", boxes.push(1, config))
        command = [sys.executable, worker.__file__, "push", box.config, "b9" * 8]
        said = attended(subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True), box.confirm)
        assert box.verdict(1) == "confirmed", said
    else:
        worker.run(box.config, "b9" * 8, "settle")  # the ballast; a box has run before its first push
    box.power_up()
    return box


def attended(process: subprocess.Popen[str], act: Callable[[], bool]) -> str:
    """Wait for a process, doing `act` until it says it is done; give what the process said."""
    ends, is_done = time.monotonic() + PATIENCE_S, False
    while process.poll() is None:
        is_done = is_done or act()
        assert time.monotonic() < ends, "the push did not end"
        time.sleep(0.01)
    return process.communicate()[1]


def record(yard: Yard, box: Box, config: dict[str, object], act: Callable[[Box], bool], words: list[str]) -> Recording:
    """Push a config to a box under strace, `act` playing the daemon (or worse); `words` are the worker's."""
    memory, old = box.memory(), box.files()
    revision = (memory.revision or 0) + 1
    model = yard.disk(box)
    box.deliver("desired", boxes.push(revision, config, 60))
    log = Path(f"{yard.folder}/push.log")
    command = trace.under_strace([sys.executable, worker.__file__, "push", box.config, BOOT, *words], log)
    said = attended(subprocess.Popen(command, env=environment(), cwd="/", stderr=subprocess.PIPE, text=True), lambda: act(box))
    ops = trace.read(log, "/", umask()).ops
    states = frozenset(model.states())
    cuts: list[disk.Cut] = []
    announced: dict[disk.State, set[str]] = {}
    heard, new = "", None
    for op in ops:
        if not model.apply(op):
            if op.kind == "rename" and op.path.endswith("/status/config.json"):
                reported = json.loads(model.read(op.path) or b"{}").get("reported", {})
                heard = reported.get("state", "") if reported.get("revision") == revision else ""
            continue
        states = states if op.kind == "exec" else frozenset(model.states())
        assert len(states) <= MOST_STATES, f"{len(states)} states at {op.kind} of {op.path}: so much waits to be durable that somebody forgot to sync"
        cuts.append(disk.Cut(len(cuts), op, states))
        for state in states:
            announced.setdefault(state, set()).add(heard)
        if model.read(f"{box.state_dir}/pending/ready") is not None and new is None:
            after = {name: model.read(f"{box.state_dir}/pending/after.{name}") for name in boxes.PACKAGES}
            new = {name: old[name] if content is None else content for name, content in after.items()}
    assert model.now() == yard.disk(box).now(), "the model does not have what the push left"
    assert new is not None, f"the push never began: {said}"
    assert new != old
    return Recording(revision, config, memory.current, old, new, cuts, ops, announced)


def booted(yard: Yard, states: Iterable[disk.State], is_cut_again: bool, ended: set[disk.State] | None = None) -> Iterator[Boot]:
    """Boot boxes with these states on their flash; the box is gone after its turn. `is_cut_again`: work out what a further cut may leave.

    A boot knows nothing but its flash, so what ended as another did is not booted a second time; `ended`: with what earlier ones ended.
    """
    waiting, known = list(states), set[disk.State]() if ended is None else ended
    for start in range(0, len(waiting), BATCH):
        yield from _batch(yard, waiting[start : start + BATCH], is_cut_again, known)


def _batch(yard: Yard, states: list[disk.State], is_cut_again: bool, ended: set[disk.State]) -> Iterator[Boot]:
    placed = {(box := yard.with_flash(state)).base: (state, box, yard.disk(box)) for state in states}
    boots: list[Boot] = []
    second: list[tuple[int, disk.Disk]] = []
    for base, (code, ops) in _powered(yard, list(placed)).items():
        state, box, model = placed[base]
        moments, left = disk.run(model, ops, is_cut_again)
        end = model.now()
        assert end == yard.disk(box).now(), "the model does not have what the boot left"
        if end not in ended:
            ended.add(end)
            box.power_up()
            second.append((len(boots), yard.disk(box)))
        boots.append(Boot(state, box, [code], moments, left, end, []))
    again = _powered(yard, [boots[at].box.base for at, _ in second])
    for at, model in second:
        code, ops = again[boots[at].box.base]
        boots[at] = boots[at]._replace(codes=[*boots[at].codes, code], again=[op for op in ops if model.apply(op)])
        assert model.now() == yard.disk(boots[at].box).now(), "the model does not have what the second boot left"
    for boot in boots:
        yield boot
        yard.remove(boot.box)


def _powered(yard: Yard, bases: list[str]) -> dict[str, tuple[int, list[trace.Op]]]:
    """Boot boxes one after the other; give how each boot ended, and what it did."""
    log = Path(f"{yard.folder}/boots.log")
    command = trace.under_strace([sys.executable, worker.__file__, "boots"], log)
    lines = "".join(f"{base}\n" for base in bases)
    run = subprocess.run(command, input=lines, env=environment(), cwd="/", capture_output=True, text=True, timeout=300, check=False)
    results = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(results) == len(bases), run.stderr[-4000:]
    families = trace.read(log, "/", umask()).families(pid for _, pid, _ in results)
    log.unlink()
    return {base: (code, families[pid]) for base, pid, code in results}


def marks(state: disk.State) -> set[str]:
    """Name what lies in a state's journal."""
    return {path.rpartition("/")[2] for path, _, _ in state if path.startswith("flash/state/pending/")}


def wrong(found: Recording, boot: Boot) -> str | None:
    """Say what is wrong with a box after its boot; None when all is as it must be."""
    box, memory = boot.box, boot.box.memory()
    files, names, left = box.files(), box.names(), marks(boot.state)
    verdict = (memory.reported or {}).get("state") if memory.revision == found.revision else None
    heard = found.announced.get(boot.state, set()) & {"confirmed", "rolled_back", "failed"}
    is_new = files == found.new
    others = [entry["revision"] for entry in memory.history if entry["revision"] != found.revision]
    digest = wire_claims.digest(found.config)
    claims: list[tuple[str, bool]] = [
        ("each boot ends well", not any(boot.codes)),
        ("the configuration is the old or the new one, whole", is_new or files == found.old),
        ("nothing is left over", names <= LEFT_OVER and {"state", "state/ballast"} <= names),
        ("what is in force is what was confirmed", (verdict == "confirmed") == is_new),
        ("the verdict is one of a push", verdict in (None, "confirmed", "rolled_back")),
        ("the reason is a true one", verdict != "rolled_back" or (memory.reported or {}).get("reason") in REASONS),
        ("current is the revision in force", memory.current == (found.revision if is_new else found.previous)),
        ("a confirmed document is remembered", not is_new or memory.config == found.config),
        ("a digest is remembered with its revision", verdict is None or memory.digest == digest),
        ("there is exactly one verdict", [entry["revision"] for entry in memory.history].count(found.revision) == (verdict is not None)),
        ("older verdicts stay", others == ([found.previous] if found.previous else [])),
        ("what was kept stays kept", not {"ready", "keep"} <= left or verdict == "confirmed"),
        ("what was undone stays undone", not {"ready", "undone"} <= left or verdict == "rolled_back"),
        ("what was neither is undone", "ready" not in left or bool({"keep", "undone"} & left) or verdict == "rolled_back"),
        ("the city hears the same as before", not heard or heard == {verdict}),
        ("nobody else edited a file", "foreign_edit" not in (memory.reported or {})),
        ("root says so", box.verdict(found.revision) == verdict),
        ("a push of which nothing is left may come again", verdict is not None or revisions.rule(memory, found.revision, digest, boxes.LATER, 0) == "fresh"),
        ("the second boot changes nothing", all(op.kind in ("exec", "fsync", "sync") for op in boot.again)),
    ]
    broken = [f"not so: {claim}" for claim, is_so in claims if not is_so]
    if not broken:
        return None
    seen = f"journal {sorted(left)}, verdict {verdict}, heard {sorted(heard)}, new {is_new}, left over {sorted(names - LEFT_OVER)}, ended {boot.codes}"
    return f"{'; '.join(broken)}: {seen}"


def shape(state: disk.State) -> disk.State:
    """Reduce a state to what a boot can tell apart: of files under a temporary name only that they are there, of a journal that never became valid nothing."""
    journal = "flash/state/pending/"
    names = {path for path, _, _ in state}
    is_valid = journal + "ready" in names
    return tuple((path, mode, b"" if path.endswith(".rwagent-new") else data) for path, mode, data in state if is_valid or not path.startswith(journal))


def signalled(box: Box, number: signal.Signals) -> bool:
    """Send the applier a signal once its push waits to be confirmed; say whether it was."""
    if not box.status().get("test"):
        return False
    os.kill(int((box.read("ram/apply/applier") or b"").split()[0]), number)
    return True
