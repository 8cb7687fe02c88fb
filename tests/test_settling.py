"""A journal that was left behind: whatever its marks say becomes one verdict, also when settling itself is cut or the flash fails."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from agent import guard, revisions, settling
from agent.flash import Flash
from agent.pending import File, Journal, Pending
from agent.revisions import Memory
from agent.settling import Outcome, Places
from tests.pushes import Jump, Place, place

pytestmark = pytest.mark.needs("busybox")
SIX = Memory(revision=6, digest="sha256:6", run="6" * 16, current=6, config={}, reported={"v": 1, "state": "confirmed"})
PUSH = {
    **{"revision": 7, "digest": "sha256:7", "handled": "ff", "author": "siti", "issued_at": 5, "attempts": 0, "config": {"system": {}}},
    "reported": {"v": 1, "state": "applying", "revision": 7, "previous": 6, "current": 6, "hash": "h", "changes": [{"path": "a"}]},
}


@pytest.fixture
def there(tmp_path: Path) -> Place:
    """A simulated access point that remembers revision 6."""
    there = place(tmp_path)
    revisions.save(Flash(), str(tmp_path / "state"), SIX)
    return there


def leave(there: Place, jump: Jump, *marks: str, boot: str = "", **push: object) -> None:
    """Leave a journal of revision 7, its one file in place, with these marks."""
    file = there.folder / "file"
    file.write_bytes(b"before")
    noted = PUSH | {"began": jump.uptime - 12.5} | push
    journal = Journal("7" * 16, boot or jump.clock.boot, 2**31, "simulated", {"wireless": str(file)}, noted)
    Pending(Flash(), str(there.folder / "state")).write(journal, [File("wireless", str(file), b"before", b"after", b"")])
    file.write_bytes(b"after")
    for mark in marks:
        (there.pending / mark).write_text({"keep": "9100\n", "undone": "not_on_air\nforeign_edit\n", "failed": "not_on_air\n\n"}[mark])


def settle(there: Place, jump: Jump, flash: Flash | None = None) -> Outcome | None:
    """Settle as the next run does."""
    state = str(there.folder / "state")
    flash = flash or Flash()
    return settling.settle(flash, Places(state, str(there.folder / "apply")), there.scripts, jump.clock, revisions.load(flash, state))


def test_nothing_left_is_nothing_to_do(there: Place) -> None:
    """As at every ordinary run."""
    assert settle(there, Jump()) is None


def test_a_kept_push_is_booked(there: Place) -> None:
    """In force, with its document; the journal goes."""
    jump = Jump()
    leave(there, jump, "keep")
    outcome = settle(there, jump)
    assert outcome is not None and outcome.handled == "ff" and outcome.is_durable and not there.pending.exists()
    memory = revisions.load(Flash(), str(there.folder / "state"))
    assert memory == outcome.memory and (memory.revision, memory.current, memory.config, memory.attempts) == (7, 7, {"system": {}}, 0)
    assert memory.reported is not None and (memory.reported["state"], memory.reported["took_ms"], memory.reported["current"]) == ("confirmed", 9100, 7)
    assert memory.history[0]["author"] == "siti" and (there.folder / "file").read_bytes() == b"after"


def test_an_undone_push_is_booked(there: Place) -> None:
    """What was in force stays so; reason and foreign edit are the rollback's."""
    jump = Jump()
    leave(there, jump, "undone")
    outcome = settle(there, jump)
    assert outcome is not None and (outcome.memory.revision, outcome.memory.current, outcome.memory.config) == (7, 6, {})
    reported = outcome.memory.reported or {}
    assert (reported["state"], reported["reason"], reported["foreign_edit"], reported["took_ms"]) == ("rolled_back", "not_on_air", True, 12500)


def test_a_push_whose_applier_died_is_taken_back(there: Place) -> None:
    """Nobody watches any more: it is done here."""
    jump = Jump()
    leave(there, jump)
    outcome = settle(there, jump)
    assert outcome is not None and (outcome.memory.reported or {})["reason"] == "applier_died" and (there.folder / "file").read_bytes() == b"before"


def test_a_push_of_another_boot_is_taken_back_for_the_reboot(there: Place) -> None:
    """Where recover did not run; it may be tried again, so the attempt counts."""
    jump = Jump()
    leave(there, jump, boot="c" * 16)
    outcome = settle(there, jump)
    assert outcome is not None and (outcome.memory.reported or {})["reason"] == "reboot" and outcome.memory.attempts == 1
    assert "took_ms" not in (outcome.memory.reported or {})


def test_the_third_try_is_held(there: Place) -> None:
    """Said in the verdict."""
    jump = Jump()
    leave(there, jump, boot="c" * 16, attempts=2)
    outcome = settle(there, jump)
    assert outcome is not None and (outcome.memory.reported or {})["held"] is True and outcome.memory.attempts == 3


def test_a_guard_that_watches_has_its_way(there: Place) -> None:
    """It is waited for; its reason counts."""
    jump = Jump()
    leave(there, jump)
    sleeper = subprocess.Popen(["sleep", "600"])
    (there.folder / "apply/guard").write_text(f"{sleeper.pid} {guard.started(sleeper.pid)}\n")

    def act() -> None:
        (there.folder / "file").write_bytes(b"before")
        (there.pending / "undone").write_text("reload_failed\n\n")

    jump.then = act
    try:
        outcome = settle(there, jump)
    finally:
        sleeper.kill()
        sleeper.wait()
    assert outcome is not None and (outcome.memory.reported or {})["reason"] == "reload_failed"


def test_a_guard_that_hangs_is_not_waited_for_for_ever(there: Place) -> None:
    """After a minute it is done here."""
    jump = Jump()
    leave(there, jump)
    sleeper = subprocess.Popen(["sleep", "600"])
    (there.folder / "apply/guard").write_text(f"{sleeper.pid} {guard.started(sleeper.pid)}\n")
    try:
        outcome = settle(there, jump)
    finally:
        sleeper.kill()
        sleeper.wait()
    assert outcome is not None and (there.folder / "file").read_bytes() == b"before" and 59 < jump.slept_s < 62


def test_a_journal_that_was_never_ready_has_no_verdict(there: Place) -> None:
    """The push is judged again."""
    jump = Jump()
    leave(there, jump, "keep")
    (there.pending / "ready").unlink()
    assert settle(there, jump) is None and not there.pending.exists()


def test_a_failed_rollback_is_tried_again_and_else_needs_a_person(there: Place) -> None:
    """What still cannot be put back is kept aside, out of the way of the push that mends it."""
    jump = Jump()
    leave(there, jump, "failed")
    outcome = settle(there, jump)
    assert outcome is not None and (outcome.memory.reported or {})["state"] == "rolled_back"
    revisions.save(Flash(), str(there.folder / "state"), SIX)
    leave(there, jump, "failed")
    (there.folder / "file").unlink()
    (there.folder / "file").mkdir()
    (there.folder / "file/in-the-way").write_bytes(b"")
    outcome = settle(there, jump)
    reported = (outcome.memory.reported if outcome else None) or {}
    assert (reported["state"], reported["reason"], reported["current"]) == ("failed", "could_not_restore", 6)
    assert (there.folder / "state/unrestored/verdict").exists() and not there.pending.exists()


def test_settling_cut_after_the_memory_books_nothing_twice(there: Place) -> None:
    """The run's name tells: one verdict, one line in the history."""
    jump = Jump()
    leave(there, jump, "keep")
    copy = {path.name: path.read_bytes() for path in there.pending.iterdir()}
    first = settle(there, jump)
    there.pending.mkdir()
    for name, content in copy.items():
        (there.pending / name).write_bytes(content)
    before = (there.folder / "state/revisions.json").stat().st_ino
    second = settle(there, jump)
    assert first is not None and second is not None and second.memory == first.memory and len(second.memory.history) == 1
    assert (there.folder / "state/revisions.json").stat().st_ino == before


class Failing(Flash):
    """A flash on which some writes fail."""

    def __init__(self, *fails: str) -> None:
        super().__init__()
        self.fails = list(fails)

    def put(self, path: str, content: bytes, mode: int | None = None, like: str | None = None) -> None:
        """Fail for the names given, once for each time they are."""
        if os.path.basename(path) in self.fails:
            self.fails.remove(os.path.basename(path))
            raise OSError(28, "No space left on device")
        super().put(path, content, mode, like)


def test_on_a_full_flash_the_ballast_makes_room_for_the_memory(there: Place) -> None:
    """The verdict is worth more."""
    jump = Jump()
    leave(there, jump, "keep")
    (there.folder / "state/ballast").write_bytes(b"b")
    outcome = settle(there, jump, Failing("revisions.json"))
    assert outcome is not None and outcome.is_durable and not (there.folder / "state/ballast").exists()


def test_a_verdict_that_cannot_be_written_is_still_said(there: Place) -> None:
    """From RAM, and the journal stays for the next run, which writes it."""
    jump = Jump()
    leave(there, jump, "keep")
    outcome = settle(there, jump, Failing("revisions.json", "revisions.json"))
    assert outcome is not None and not outcome.is_durable and (outcome.memory.reported or {})["state"] == "confirmed"
    assert there.pending.exists() and revisions.load(Flash(), str(there.folder / "state")) == SIX
    again = settle(there, jump)
    assert again is not None and again.is_durable and not there.pending.exists()


def test_a_journal_that_cannot_be_read_is_set_aside(there: Place) -> None:
    """A person sees it; the way is free."""
    jump = Jump()
    leave(there, jump, "keep")
    (there.pending / "verdict").write_bytes(b"\0")
    assert settle(there, jump) is None and (there.folder / "state/unrestored").exists() and not there.pending.exists()


def test_what_a_cut_left_half_written_is_swept(there: Place) -> None:
    """Beside the box's files and in the state directory; the ballast is there again, and is not compressible."""
    state = there.folder / "state"
    for path in (state / ".revisions.json.rwagent-new", state / ".ballast.rwagent-new", there.folder / ".file.rwagent-new"):
        path.write_bytes(b"x")
    settling.tidy(Flash(), Places(str(state), ""), [str(there.folder / "file")], 0.0)
    assert sorted(os.listdir(state)) == ["ballast", "revisions.json"] and not (there.folder / ".file.rwagent-new").exists()
    assert len(set((state / "ballast").read_bytes())) > 200 and (state / "ballast").stat().st_size == 16384


def test_a_second_tidying_writes_nothing(there: Place) -> None:
    """Promise 4: no flash write in steady state."""
    flash = Flash()
    settling.tidy(Flash(), Places(str(there.folder / "state"), ""), [str(there.folder / "file")], 0.0)
    settling.tidy(flash, Places(str(there.folder / "state"), ""), [str(there.folder / "file")], 0.0)
    assert flash.writes_total == 0


def test_a_full_flash_is_tried_for_the_ballast_once_an_hour(there: Place) -> None:
    """Each try costs the chip, and there is one at every ring."""
    places, full = Places(str(there.folder / "state"), str(there.folder / "apply")), Failing(*["ballast"] * 9)
    for uptime_s in (100.9, 100.9, 3000.0, 3699.0, 3700.0, 3800.0):
        settling.tidy(full, places, [], uptime_s)
    assert full.fails == ["ballast"] * 7


@pytest.mark.parametrize("mark", [(), ("failed",)])
def test_an_unreadable_journal_is_taken_back_before_it_is_set_aside(mark: tuple[str, ...], there: Place) -> None:
    """The script needs its manifest only; a person is told."""
    jump = Jump()
    leave(there, jump, *mark)
    (there.pending / "verdict").write_bytes(b'{"rev')
    outcome = settle(there, jump)
    assert outcome is not None and (outcome.memory.reported or {})["state"] == "failed" and outcome.memory.revision == 6
    assert (there.folder / "file").read_bytes() == b"before" and (there.folder / "state/unrestored").exists()
    assert revisions.load(Flash(), str(there.folder / "state")) == outcome.memory


def without_rollback(there: Place) -> Place:
    """A place whose rollback cannot run, and writes no mark."""
    (there.folder / "ash").mkdir()
    (there.folder / "ash/rollback").write_text(f"echo >>{there.folder}/tried\nexit 1\n")
    return there._replace(scripts=there.scripts._replace(directory=str(there.folder / "ash")))


@pytest.mark.parametrize("is_torn", [False, True])
def test_a_push_that_cannot_be_taken_back_yet_has_no_verdict(is_torn: bool, there: Place) -> None:
    """Its journal stays; three tries with pauses; what is remembered is as before."""
    jump = Jump()
    leave(there, jump)
    if is_torn:
        (there.pending / "verdict").write_bytes(b"")
    outcome = settle(without_rollback(there), jump)
    assert outcome is not None and not outcome.is_ended and not outcome.is_durable and outcome.memory == SIX
    assert (there.pending / "before.wireless").exists() and (there.folder / "tried").read_text() == "\n" * 3 and jump.slept_s == 10


@pytest.mark.parametrize("name", ["guard", "applier"])
def test_nobody_waits_for_himself(name: str, there: Place) -> None:
    """The guard has become the settle command, or the watcher is the applier that its guard waits for."""
    jump = Jump()
    leave(there, jump)
    sleeper = subprocess.Popen(["sleep", "600"])
    (there.folder / "apply/guard").write_text(f"{sleeper.pid} {guard.started(sleeper.pid)}\n")
    (there.folder / "apply" / name).write_text(f"{os.getpid()} {guard.started(os.getpid())}\n")
    try:
        outcome = settle(there, jump)
    finally:
        sleeper.kill()
        sleeper.wait()
    assert outcome is not None and outcome.is_durable and jump.slept_s == 0
