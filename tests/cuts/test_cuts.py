"""Power cuts at every step of a push, in the boot after it, and in the boot after that: the router always comes back whole.

A push is recorded with strace, as all the processes of it did it; `disk` says what a power cut leaves after each thing done, and each of
these states is booted: recover under BusyBox's ash, then the applier's --settle.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from tests.cuts import boxes, cutting, disk, worker
from tests.cuts.boxes import FIRST, SECOND, Box, Yard
from tests.replayed import counted

pytestmark = pytest.mark.needs("strace", "busybox")


class Scenario(NamedTuple):
    """A push: what the box confirmed before, what is done to it on the way, by which clock it goes, and how it ends when the power stays."""

    before: dict[str, Any] | None
    act: Callable[[Box], bool]
    words: list[str]
    verdict: str
    reason: str | None


SCENARIOS = {
    "first-confirmed": Scenario(None, Box.confirm, [], "confirmed", None),
    "later-confirmed": Scenario(FIRST, Box.confirm, [], "confirmed", None),
    "applier-takes-back": Scenario(FIRST, lambda box: True, ["hurried"], "rolled_back", "broker_unreachable"),
    "guard-takes-back": Scenario(FIRST, lambda box: cutting.signalled(box, signal.SIGKILL), [], "rolled_back", "applier_died"),
    # Whoever made a mark may have died before it was durable; who builds on it must see to that first.
    "dead-before-keep-is-durable": Scenario(FIRST, Box.confirm, ["unsynced"], "confirmed", None),
    "guard-takes-back-the-first": Scenario(None, lambda box: cutting.signalled(box, signal.SIGKILL), [], "rolled_back", "applier_died"),
}
EACH = pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=list(SCENARIOS))


@pytest.fixture
def yard() -> Iterator[Yard]:
    """Room for boxes."""
    with boxes.yard() as made:
        yield made


def recorded(yard: Yard, scenario: Scenario) -> cutting.Recording:
    """Record a scenario, and see that it went as it should while the power stayed."""
    box = cutting.prepared(yard, scenario.before)
    found = cutting.record(yard, box, SECOND, scenario.act, scenario.words)
    assert box.verdict(found.revision) == scenario.verdict
    assert box.status()["reported"].get("reason") == scenario.reason
    assert box.files() == (found.new if scenario.verdict == "confirmed" else found.old)
    assert sum(old != new for old, new in zip(found.old.values(), found.new.values(), strict=True)) == len(boxes.PACKAGES), "the push spares a file"
    return found


@EACH
def test_a_power_cut_at_any_step_leaves_the_old_or_the_new_configuration_and_one_verdict(
    yard: Yard, scenario: Scenario, record_property: Callable[[str, object], None]
) -> None:
    """After every single thing that a process of the push does, and with all that the flash may hold then."""
    found = recorded(yard, scenario)
    faults, ends, tried = [], {}, set()
    for boot in cutting.booted(yard, sorted(found.states, key=repr), is_cut_again=False):
        if fault := cutting.wrong(found, boot):
            faults.append(fault)
        # `test_any_number_of_cuts_in_a_row` leaves out what a boot cannot tell apart; here nothing is left out.
        ends.setdefault(cutting.shape(boot.state), set()).add(boot.end)
        if (verdict := boot.box.verdict(found.revision)) not in tried and not faults:
            tried.add(verdict)
            _comes_again(found, boot.box, verdict)
    assert not faults, f"{len(faults)} of {len(found.states)}:\n" + "\n".join(faults[:5])
    assert {len(same) for same in ends.values()} == {1}
    record_property(counted("moments of a push at which the power was cut"), len(found.cuts))
    record_property(counted("states of a flash that were booted"), len(found.states))


def _comes_again(found: cutting.Recording, box: Box, verdict: str | None) -> None:
    """The broker has kept the push and delivers it again: what has a verdict repeats it, the rest is tried as if for the first time."""
    box.power_up()
    box.deliver("desired", boxes.push(found.revision, found.config))
    history = box.memory().history
    # What the reboot took back is due again only when the box has been up for ten minutes, as this machine may be.
    command = [sys.executable, worker.__file__, "push", box.config, "b2" * 8, *(["standing"] if verdict else [])]
    said = cutting.attended(subprocess.Popen(command, env=cutting.environment(), stderr=subprocess.PIPE, text=True), box.confirm)
    assert box.verdict(found.revision) == (verdict or "confirmed"), said
    assert box.files() == (found.old if verdict == "rolled_back" else found.new)
    assert len(box.memory().history) == len(history) + (verdict is None)


@EACH
def test_any_number_of_cuts_in_a_row(yard: Yard, scenario: Scenario, record_property: Callable[[str, object], None]) -> None:
    """The power fails again in the boot after the cut (in recover, in the rollback, in the bookkeeping), and again in the next, until nothing new comes of it.

    Of states that differ only in bytes that nobody reads one is followed: the torn content of a file under a temporary name, and a journal
    that never became valid. That they end alike the test above shows for all that a first cut leaves.
    """
    found = recorded(yard, scenario)
    seen = {cutting.shape(state): state for state in sorted(found.states, key=repr)}
    waiting, faults, moments = list(seen.values()), [], 0
    ended: set[disk.State] = set()
    while waiting:
        new = {}
        for boot in cutting.booted(yard, waiting, is_cut_again=True, ended=ended):
            if fault := cutting.wrong(found, boot):
                faults.append(fault)
            moments += boot.moments
            new |= {shape: state for state in boot.states if (shape := cutting.shape(state)) not in seen}
        assert not faults, f"{len(faults)} of {len(waiting)}:\n" + "\n".join(faults[:5])
        seen |= new
        waiting = sorted(new.values(), key=repr)
    record_property(counted("moments of a boot at which the power was cut again"), moments)
    record_property(counted("states of a flash that were booted"), len(seen))


@pytest.mark.parametrize("mark", ["unready", "ready", "keep"])
def test_the_very_program_and_the_system_shell_bring_it_to_the_same_end(yard: Yard, mark: str) -> None:
    """What the boots above do with short waits in a process of ours, `python -m agent.apply --settle` does by itself, and recover under /bin/sh."""
    found = recorded(yard, SCENARIOS["later-confirmed"])
    wanted = {"unready": set[str](), "ready": {"ready"}, "keep": {"ready", "keep"}}[mark]
    state = next(state for state in sorted(found.states, key=repr) if (left := cutting.marks(state)) and left & {"ready", "keep"} == wanted)
    box = yard.with_flash(state)
    subprocess.run(["/bin/sh", str(worker.ASH / "recover"), box.state_dir, f"{box.base}/ram/apply"], check=True, capture_output=True, timeout=60)
    command = [sys.executable, "-I", "-m", "agent.apply", "--config", box.config, "--settle"]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stderr
    assert cutting.wrong(found, cutting.Boot(state, box, [], 0, set(), (), [])) is None, said
