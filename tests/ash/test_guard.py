"""The guard acts when the applier is gone or late, on nobody else, with the true reason; and settles afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent import guard
from agent.guard import DIRECTORY
from tests.ash.test_rollback import Box
from tests.pushes import busybox

pytestmark = pytest.mark.needs("busybox")


class Watch:
    """A guard over one box, and the process it takes for the applier."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.applier = subprocess.Popen(["sleep", "600"])
        self.guard: subprocess.Popen[bytes] | None = None
        self.sign("applier", self.applier.pid)
        self.step("placing applier_died write_failed")

    def sign(self, name: str, pid: int, began: str | None = None) -> None:
        """Write down who the applier is."""
        (self.box.folder / "apply" / name).write_text(f"{pid} {began or guard.started(pid)}\n")

    def step(self, text: str) -> None:
        """Write down what it does."""
        (self.box.folder / "apply/step").write_text(f"{text}\n")

    def deadline(self, in_s: int) -> None:
        """Set the deadline so many seconds from now."""
        manifest = self.box.pending / "manifest"
        now = int(time.clock_gettime(time.CLOCK_BOOTTIME))
        lines = [f"deadline {now + in_s}" if line.startswith("deadline") else line for line in manifest.read_text().splitlines()]
        manifest.write_text("\n".join(lines) + "\n")

    def start(self, directory: str = DIRECTORY, user: int | None = None) -> None:
        """Start the guard; settling is a line in the log."""
        settle = self.box.program("settle", "echo settled >>$log")
        command = [f"{busybox(self.box.folder)}/sh", f"{directory}/guard", str(self.box.state), str(self.box.folder / "apply"), "--", "settle"]
        self.log = settle
        self.guard = subprocess.Popen(
            command, env=self.box.environment(), stderr=subprocess.DEVNULL, user=user, group=user, extra_groups=None if user is None else []
        )

    def wait(self, timeout_s: float = 30.0) -> int:
        """Wait for the guard's end."""
        assert self.guard is not None
        return self.guard.wait(timeout=timeout_s)

    def close(self) -> None:
        """End both."""
        for process in (self.guard, self.applier):
            if process is not None:
                process.kill()
                process.wait()


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    """A push on trial with its applier at work."""
    box = Box(tmp_path)
    box.journal(wireless=(b"before\n", b"after\n", b""))
    watch = Watch(box)
    yield watch
    watch.close()


def test_an_applier_that_is_gone_is_followed_up_at_once(watch: Watch) -> None:
    """Long before the deadline: rolled back and settled."""
    watch.start()
    watch.applier.kill()
    watch.applier.wait()
    assert watch.wait() == 0
    assert watch.box.file("wireless").read_bytes() == b"before\n" and (watch.box.pending / "undone").read_text() == "applier_died\n\n"
    assert watch.log.read_text() == "settled\n"


def test_a_late_applier_is_killed_and_the_push_taken_back(watch: Watch) -> None:
    """3 s after the deadline, with the reason of the step in which it hangs."""
    watch.step("reloading applier_died reload_failed")
    watch.deadline(in_s=-3)
    watch.start()
    assert watch.wait() == 0 and watch.applier.wait(timeout=10) == -9
    assert (watch.box.pending / "undone").read_text() == "reload_failed\n\n" and watch.log.read_text() == "settled\n"


def test_an_applier_in_time_is_left_alone(watch: Watch) -> None:
    """Also in the three seconds after the deadline, which are its own."""
    watch.deadline(in_s=0)
    watch.start()
    time.sleep(1.5)
    assert watch.applier.poll() is None and watch.box.file("wireless").read_bytes() == b"after\n"


@pytest.mark.parametrize(("late_s", "is_killed"), [(10, False), (60, True)])
def test_an_applier_that_rolls_back_itself_is_given_a_minute(watch: Watch, late_s: int, is_killed: bool) -> None:
    """Cutting its rollback and beginning again would keep the push on air for longer; one that hangs there is ended all the same."""
    watch.step("rolling_back broker_unreachable broker_unreachable")
    watch.deadline(in_s=-late_s)
    watch.start()
    try:
        watch.wait(timeout_s=30.0 if is_killed else 3.0)
    except subprocess.TimeoutExpired:
        assert not is_killed
    assert (watch.applier.poll() is not None) is is_killed


def test_a_kept_push_is_not_touched_and_booked_for_the_dead(watch: Watch) -> None:
    """Only the bookkeeping is left to do."""
    (watch.box.pending / "keep").write_bytes(b"1\n")
    watch.applier.kill()
    watch.applier.wait()
    watch.start()
    assert watch.wait() == 0 and watch.log.read_text() == "settled\n"
    assert watch.box.file("wireless").read_bytes() == b"after\n" and not (watch.box.pending / "undone").exists()


def test_a_keep_made_while_it_was_being_killed_counts(watch: Watch) -> None:
    """It looks again when the applier is dead: what it had done by then stands."""
    watch.deadline(in_s=-3)
    kept = f'kill() {{ echo 1 >{watch.box.pending}/keep; command kill "$@"; }}\n'
    (watch.box.folder / "shell").write_text(kept + Path(f"{DIRECTORY}/guard").read_text())
    settle = watch.box.program("settle", "echo settled >>$log")
    command = [f"{busybox(watch.box.folder)}/sh", str(watch.box.folder / "shell"), str(watch.box.state), str(watch.box.folder / "apply"), "--", "settle"]
    assert subprocess.run(command, env=watch.box.environment(), timeout=30, check=False).returncode == 0
    assert watch.box.file("wireless").read_bytes() == b"after\n" and settle.read_text() == "settled\n"


def test_it_goes_when_the_push_is_booked(watch: Watch) -> None:
    """A journal that is removed ends its work, without settling."""
    watch.start()
    (watch.box.pending / "ready").unlink()
    assert watch.wait() == 0 and not watch.log.exists()


def test_it_goes_when_the_journal_is_another_pushs(watch: Watch) -> None:
    """The next push has its own guard."""
    watch.start()
    until = time.monotonic() + 10
    while not guard.is_alive(str(watch.box.folder / "apply"), "guard") and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.3)
    manifest = watch.box.pending / "manifest"
    manifest.write_text(manifest.read_text().replace("run " + "0" * 16, "run " + "1" * 16))
    assert watch.wait() == 0 and watch.applier.poll() is None


def test_another_process_with_the_appliers_number_is_not_killed(watch: Watch) -> None:
    """The applier is its number and its beginning; it counts as gone."""
    watch.sign("applier", watch.applier.pid, began="1")
    watch.start()
    assert watch.wait() == 0 and watch.applier.poll() is None
    assert (watch.box.pending / "undone").read_text() == "applier_died\n\n"


def test_bookkeeping_that_hangs_is_ended_and_done_again(watch: Watch) -> None:
    """A minute after the deadline."""
    (watch.box.pending / "keep").write_bytes(b"1\n")
    watch.deadline(in_s=-60)
    watch.start()
    assert watch.wait() == 0 and watch.applier.wait(timeout=10) == -9 and watch.log.read_text() == "settled\n"
    assert watch.box.file("wireless").read_bytes() == b"after\n"


def test_without_any_word_of_the_applier_the_push_is_taken_back(watch: Watch) -> None:
    """No step, no number: nobody is at work."""
    for name in ("applier", "step"):
        (watch.box.folder / "apply" / name).unlink()
    watch.start()
    assert watch.wait() == 0 and (watch.box.pending / "undone").read_text() == "applier_died\n\n"


# Where no process can be started any more.

NOBODY = 65534


def wait_for(claim: Callable[[], bool], timeout_s: float = 20.0) -> bool:
    """Say whether it came true in time."""
    until = time.monotonic() + timeout_s
    while not claim() and time.monotonic() < until:
        time.sleep(0.05)
    return claim()


@pytest.fixture
def starved() -> Iterator[Watch]:
    """The same as a user whose number of processes can be limited, which root's cannot."""
    folder = Path(tempfile.mkdtemp(prefix="guard-"))
    box = Box(folder)
    box.journal(wireless=(b"before\n", b"after\n", b""))
    busybox(folder)
    shutil.copytree(DIRECTORY, folder / "ash")
    watch = Watch(box)
    (box.folder / "log").touch()
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    yield watch
    watch.close()
    shutil.rmtree(folder)


def limit(watch: Watch, number: int) -> None:
    """Let the guard's user have so many processes; by that user, because root in a container may not."""
    assert watch.guard is not None
    command = ["prlimit", "--pid", str(watch.guard.pid), f"--nproc={number}:"]
    subprocess.run(command, check=True, timeout=10, user=NOBODY, group=NOBODY, extra_groups=[])


def spent_s(watch: Watch) -> float:
    """Give the processor time of the guard."""
    assert watch.guard is not None
    fields = Path(f"/proc/{watch.guard.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.needs("root", "prlimit")
def test_a_guard_that_cannot_fork_goes_on_until_it_can(starved: Watch) -> None:
    """As the same process, without a busy loop, with the reason that it had found; then the push is taken back and settled."""
    starved.step("reloading not_on_air reload_failed")
    starved.start(f"{starved.box.folder}/ash", NOBODY)
    apply_dir = str(starved.box.folder / "apply")
    assert wait_for(lambda: guard.is_alive(apply_dir, "guard"))
    limit(starved, 1)
    starved.applier.kill()
    starved.applier.wait()
    assert starved.guard is not None
    command_line = Path(f"/proc/{starved.guard.pid}/cmdline")
    assert wait_for(lambda: b"not_on_air" in command_line.read_bytes())  # it has ended for want of a process, and begun again
    before_s = spent_s(starved)
    starved.step("placing applier_died write_failed")
    time.sleep(3)
    assert starved.guard.poll() is None and spent_s(starved) - before_s < 1
    assert starved.box.file("wireless").read_bytes() == b"after\n" and guard.is_alive(apply_dir, "guard")
    limit(starved, 5000)
    assert starved.wait() == 0 and starved.box.file("wireless").read_bytes() == b"before\n"
    assert (starved.box.pending / "undone").read_text() == "not_on_air\n\n" and starved.log.read_text() == "settled\n"


@pytest.mark.needs("root", "prlimit")
def test_watching_starts_no_process(starved: Watch) -> None:
    """So that a box that is short of them for a while does not even notice."""
    starved.start(f"{starved.box.folder}/ash", NOBODY)
    assert wait_for(lambda: guard.is_alive(str(starved.box.folder / "apply"), "guard"))
    assert starved.guard is not None
    limit(starved, 1)
    time.sleep(2.5)
    command_line = Path(f"/proc/{starved.guard.pid}/cmdline").read_bytes()
    assert starved.guard.poll() is None and b"\0--\0settle" in command_line


@pytest.mark.parametrize("status", [2, 137])
def test_a_rollback_that_died_is_begun_again_until_it_has_an_answer(status: int, watch: Watch) -> None:
    """More often than one that says that it failed: nobody else is there to take the push back."""
    scripts = watch.box.folder / "scripts"
    shutil.copytree(DIRECTORY, scripts)
    dying = f"echo x >>{watch.box.folder}/tries\n[ $(wc -l <{watch.box.folder}/tries) -gt 4 ] || exit {status}\n"
    (scripts / "rollback").write_text(dying + Path(f"{DIRECTORY}/rollback").read_text())
    (scripts / "guard").write_text(Path(f"{DIRECTORY}/guard").read_text().replace("pause 5", "pause 1"))
    watch.start(str(scripts))
    watch.applier.kill()
    watch.applier.wait()
    assert watch.wait() == 0 and watch.box.file("wireless").read_bytes() == b"before\n" and watch.log.read_text() == "settled\n"


def test_a_rollback_that_says_it_failed_is_tried_three_times(watch: Watch) -> None:
    """Then it is settled as what it is."""
    scripts = watch.box.folder / "scripts"
    shutil.copytree(DIRECTORY, scripts)
    (scripts / "rollback").write_text(f"echo x >>{watch.box.folder}/tries\nexit 1\n")
    (scripts / "guard").write_text(Path(f"{DIRECTORY}/guard").read_text().replace("pause 5", "pause 1"))
    watch.start(str(scripts))
    watch.applier.kill()
    watch.applier.wait()
    assert watch.wait() == 0 and (watch.box.folder / "tries").read_text() == "x\n" * 3 and watch.log.read_text() == "settled\n"
