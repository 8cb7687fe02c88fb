"""The one rollback, under BusyBox ash with nothing but its applets: byte for byte, however often it is cut, on a full flash too."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from agent.flash import Flash
from agent.guard import DIRECTORY
from agent.pending import File, Journal, Pending
from tests.pushes import busybox
from tests.ram import tmpfs

pytestmark = pytest.mark.needs("busybox")


class Box(NamedTuple):
    """One box: a configuration directory, root's state, and a journal of a push in it."""

    folder: Path
    backend: str = "simulated"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def pending(self) -> Path:
        return self.folder / "state/pending"

    def file(self, package: str) -> Path:
        """Name a package's file."""
        return self.folder / "config" / package

    def journal(self, **files: tuple[bytes | None, bytes, bytes]) -> None:
        """Write a ready journal over files given as before, after and undo; they are all in place already."""
        for folder in ("config", "state", "apply"):
            (self.folder / folder).mkdir(exist_ok=True)
        rows = []
        for package, (before, after, undo) in files.items():
            path = self.file(package)
            if before is not None:
                path.write_bytes(before)
                path.chmod(0o640)
            rows.append(File(package, str(path), before, after, undo))
        journal = Journal("0" * 16, "b" * 16, 2**31, self.backend, {row.package: row.path for row in rows}, {"revision": 7, "digest": "d"})
        Pending(Flash(), str(self.state)).write(journal, rows)
        (self.state / "ballast").write_bytes(b"b" * 1000)
        for row in rows:
            Flash().put(row.path, row.after)

    def command(self, mode: str = "live", reason: str = "not_on_air") -> list[str]:
        """Give the call."""
        return [f"{busybox(self.folder)}/sh", f"{DIRECTORY}/rollback", str(self.state), str(self.folder / "apply"), mode, reason]

    def environment(self) -> dict[str, str]:
        """Give nothing but the applets, and before them what a test puts into bin/."""
        return {"PATH": f"{self.folder}/bin:{busybox(self.folder)}"}

    def run(self, mode: str = "live", reason: str = "not_on_air", before: str = "") -> subprocess.CompletedProcess[str]:
        """Roll back; `before`: functions that stand in for programs, because BusyBox prefers its own applets to what PATH names."""
        command = self.command(mode, reason)
        if before:
            script = Path(command[1]).read_text().replace("/var/run/rpcd", f"{self.folder}/rpcd")
            (self.folder / "rollback").write_text(f"log={self.folder}/log\n{before}\n{script}")
            command[1] = str(self.folder / "rollback")
        return subprocess.run(command, env=self.environment(), capture_output=True, text=True, timeout=60, check=False)

    def program(self, name: str, text: str) -> Path:
        """Give the box a program, and the log that it may write to."""
        (self.folder / "bin").mkdir(exist_ok=True)
        (self.folder / "bin" / name).write_text(f"#!{busybox(self.folder)}/sh\nlog={self.folder}/log\n{text}\n")
        (self.folder / "bin" / name).chmod(0o755)
        return self.folder / "log"


@pytest.fixture
def box(tmp_path: Path) -> Box:
    """A box with a push of one old and one new file."""
    box = Box(tmp_path)
    box.journal(wireless=(b"before\0\xff\n", b"after\n", b""), rwagent=(None, b"new\n", b""))
    return box


def test_every_byte_is_put_back_and_the_new_file_is_gone(box: Box) -> None:
    """With its mode, and no trace beside it; the ballast is freed first."""
    assert box.run().returncode == 0
    assert box.file("wireless").read_bytes() == b"before\0\xff\n" and box.file("wireless").stat().st_mode & 0o777 == 0o640
    assert os.listdir(box.folder / "config") == ["wireless"] and not (box.state / "ballast").exists()
    assert (box.pending / "undone").read_text() == "not_on_air\n\n"


def test_a_push_that_is_kept_is_left_alone(box: Box) -> None:
    """Whoever calls."""
    (box.pending / "keep").write_bytes(b"1\n")
    assert box.run().returncode == 0
    assert box.file("wireless").read_bytes() == b"after\n" and not (box.pending / "undone").exists()


@pytest.mark.parametrize("mark", ["undone", "unready"])
def test_there_is_nothing_to_do_twice_or_without_a_journal(mark: str, box: Box) -> None:
    """What is undone stays so; what was never ready changed nothing."""
    if mark == "undone":
        (box.pending / "undone").write_text("reboot\n\n")
    else:
        (box.pending / "ready").unlink()
    assert box.run().returncode == 0 and box.file("wireless").read_bytes() == b"after\n"


def test_a_push_cut_before_all_files_were_in_place_is_taken_back(box: Box) -> None:
    """The first file is new, the second not there yet, and a half-written one beside it."""
    box.file("rwagent").unlink()
    (box.folder / "config/.rwagent.rwagent-new").write_bytes(b"ne")
    assert box.run().returncode == 0
    assert os.listdir(box.folder / "config") == ["wireless"] and (box.pending / "undone").read_text() == "not_on_air\n\n"


def test_it_may_be_killed_anywhere_and_run_again(tmp_path: Path) -> None:
    """After each call of sync, mv, cp or rm: ended there, a second run finishes, and nothing is lost."""
    cuts = 0
    for number in range(1, 40):
        box = Box(tmp_path / str(number))
        box.folder.mkdir()
        box.journal(wireless=(b"before\n", b"after\n", b""), rwagent=(None, b"new\n", b""), system=(b"s\n", b"t\n", b""))
        cut = f'cut() {{ n=$((${{n:-0}} + 1)); [ $n -ne {number} ] || kill -9 $$; }}\n'
        first = box.run(reason="reboot", before=cut + "\n".join(f'{name}() {{ cut; command {name} "$@"; }}' for name in ("sync", "mv", "cp", "rm")))
        assert box.run(reason="reboot").returncode == 0
        assert sorted(os.listdir(box.folder / "config")) == ["system", "wireless"]
        assert box.file("wireless").read_bytes() == b"before\n" and box.file("system").read_bytes() == b"s\n"
        assert (box.pending / "undone").read_text() == "reboot\n\n"
        if first.returncode == 0:
            break
        cuts += 1
    assert cuts >= 10


# Somebody else edited a file in the window.


def test_a_foreign_edit_is_kept_for_its_author_and_told(box: Box) -> None:
    """Where nothing can tell ours from his, the file is restored whole, and root's state has his version: beside the file UCI would take it for a package."""
    box.file("wireless").write_bytes(b"his\n")
    assert box.run().returncode == 0
    assert box.file("wireless").read_bytes() == b"before\0\xff\n" and (box.state / "foreign.wireless").read_bytes() == b"his\n"
    assert os.listdir(box.folder / "config") == ["wireless"] and (box.state / "foreign.wireless").stat().st_mode & 0o777 == 0o600
    assert (box.pending / "undone").read_text() == "not_on_air\nforeign_edit\n"


def test_a_foreign_edit_is_told_also_by_the_second_run(box: Box) -> None:
    """The first was cut after it had restored the file."""
    box.file("wireless").write_bytes(b"his\n")
    assert box.run().returncode == 0
    (box.pending / "undone").unlink()
    assert box.run().returncode == 0 and (box.pending / "undone").read_text() == "not_on_air\nforeign_edit\n"


def test_a_foreign_edit_of_the_new_file_is_told(box: Box) -> None:
    """It goes, and is kept."""
    box.file("rwagent").write_bytes(b"his\n")
    assert box.run().returncode == 0
    assert not box.file("rwagent").exists() and (box.state / "foreign.rwagent").read_bytes() == b"his\n"
    assert (box.pending / "undone").read_text() == "not_on_air\nforeign_edit\n"


def test_a_file_somebody_removed_comes_back(box: Box) -> None:
    """That is an edit too."""
    box.file("wireless").unlink()
    assert box.run().returncode == 0
    assert box.file("wireless").read_bytes() == b"before\0\xff\n" and (box.pending / "undone").read_text() == "not_on_air\nforeign_edit\n"


@pytest.fixture
def openwrt(tmp_path: Path) -> Box:
    """A box whose uci takes lines away that stand in the undo script, and whose ubus can be told."""
    box = Box(tmp_path, "openwrt")
    box.journal(wireless=(b"a\n", b"a\nours\n", b"ours\n"))
    shows = '[ "$6" = batch ] || { ! grep -q torn "$3/rwundo"; exit; }\n'
    box.program("uci", shows + 'echo "uci $*" >>$log\nwhile read -r line; do sed -i "/^$line\\$/d" "$3/rwundo"; done')
    box.program("ubus", 'echo "ubus $*" >>$log')
    return box


def test_where_the_box_can_only_our_edits_are_taken_back(openwrt: Box) -> None:
    """What somebody else changed in the window stays, without a uci commit on flash."""
    openwrt.file("wireless").write_bytes(b"a\nours\nhis\n")
    assert openwrt.run().returncode == 0
    assert openwrt.file("wireless").read_bytes() == b"a\nhis\n" and (openwrt.pending / "undone").read_text() == "not_on_air\nforeign_edit\n"
    assert (openwrt.folder / "log").read_text().splitlines()[0] == f"uci -q -c {openwrt.folder}/apply/undo -t {openwrt.folder}/apply/undo/delta batch"


def test_without_uci_the_file_is_restored_whole(openwrt: Box) -> None:
    """Better his edit in root's state than ours in force."""
    openwrt.program("uci", "rm -f $3/rwundo")
    openwrt.file("wireless").write_bytes(b"a\nours\nhis\n")
    assert openwrt.run().returncode == 0
    assert openwrt.file("wireless").read_bytes() == b"a\n" and (openwrt.state / "foreign.wireless").read_bytes() == b"a\nours\nhis\n"


@pytest.mark.parametrize("torn", [b"", b"a\noption key 'torn\n"])
def test_a_file_that_uci_cannot_read_is_restored_whole(torn: bytes, openwrt: Box) -> None:
    """An editor's that a power cut tore: the batch would say that all is well, and leave less."""
    openwrt.program("uci", '[ "$6" = batch ] || { ! grep -q torn "$3/rwundo"; exit; }\necho half >"$3/rwundo"')
    openwrt.file("wireless").write_bytes(torn)
    assert openwrt.run("boot", "reboot").returncode == 0
    assert openwrt.file("wireless").read_bytes() == b"a\n" and (openwrt.state / "foreign.wireless").read_bytes() == torn
    assert (openwrt.pending / "undone").read_text() == "reboot\nforeign_edit\n"


def test_a_file_that_uci_cannot_read_afterwards_is_restored_whole(openwrt: Box) -> None:
    """The batch was cut, or wrote what it should not."""
    openwrt.program("uci", "[ $6 = batch ] || { ! grep -q torn $3/rwundo; exit; }\necho torn >>$3/rwundo")
    openwrt.file("wireless").write_bytes(b"a\nours\nhis\n")
    assert openwrt.run().returncode == 0 and openwrt.file("wireless").read_bytes() == b"a\n"


@pytest.mark.parametrize(
    ("taken", "left"),
    [(b"a\nours\n", b"a\n"), (b"a\nours\nhis\n", b"a\nhis\n"), (b"a\n", b"a\n"), (b"a\nours\ntorn\n", b"a\n")],
)
def test_what_luci_would_put_back_has_none_of_ours(taken: bytes, left: bytes, openwrt: Box) -> None:
    """rpcd's snapshot of an apply in the window holds our file: its own rollback comes later, and must not bring the push back."""
    snapshots = openwrt.folder / "rpcd/snapshot-files"
    snapshots.mkdir(parents=True)
    (snapshots / "wireless").write_bytes(taken)
    for _ in range(2):
        assert openwrt.run(before=":").returncode == 0
        assert (snapshots / "wireless").read_bytes() == left and os.listdir(snapshots) == ["wireless"]
        (openwrt.pending / "undone").unlink()


def test_a_file_that_was_not_there_is_not_brought_back_by_luci(tmp_path: Path) -> None:
    """Its snapshot goes."""
    box = Box(tmp_path, "openwrt")
    box.journal(rwagent=(None, b"new\n", b""))
    box.program("ubus", "exit 0")
    (tmp_path / "rpcd/snapshot-files").mkdir(parents=True)
    (tmp_path / "rpcd/snapshot-files/rwagent").write_bytes(b"new\n")
    assert box.run(before=":").returncode == 0 and os.listdir(tmp_path / "rpcd/snapshot-files") == []


def test_live_the_daemons_are_told_of_each_package(openwrt: Box) -> None:
    """One config.change; at boot nobody is there to be told."""
    assert openwrt.run().returncode == 0
    told = 'ubus -t 5 call service event {"type":"config.change","data":{"package":"wireless"}}\n'
    assert (openwrt.folder / "log").read_text() == told
    (openwrt.pending / "undone").unlink()
    assert openwrt.run("boot", "reboot").returncode == 0 and (openwrt.folder / "log").read_text() == told


def test_daemons_that_cannot_be_told_need_a_person(openwrt: Box) -> None:
    """The files are back, what runs is not: after three tries that is no success."""
    openwrt.program("ubus", "echo x >>$log; exit 7")
    assert openwrt.run().returncode == 1
    assert openwrt.file("wireless").read_bytes() == b"a\n" and (openwrt.folder / "log").read_text() == "x\nx\nx\n"
    assert (openwrt.pending / "failed").exists() and not (openwrt.pending / "undone").exists()
    openwrt.program("ubus", "exit 0")
    assert openwrt.run().returncode == 0 and (openwrt.pending / "undone").exists() and not (openwrt.pending / "failed").exists()


def test_linux_runs_its_own_script_for_each_of_hostapds_files(tmp_path: Path) -> None:
    """With what hostapd had last; the agent's own package is none of them."""
    box = Box(tmp_path, "linux")
    box.journal(wireless=(b"a\n", b"b\n", b""), rwagent=(None, b"new\n", b""))
    scripts = tmp_path / "scripts"
    shutil.copytree(DIRECTORY, scripts)
    (scripts / "reload_linux").write_text(f'echo "$*" >>{tmp_path}/log\n')
    command = [box.command()[0], f"{scripts}/rollback", *box.command()[2:]]
    assert subprocess.run(command, env=box.environment(), timeout=60, check=False).returncode == 0
    assert (tmp_path / "log").read_text() == f"{tmp_path}/apply {box.pending}/after.wireless {box.file('wireless')}\n"


def test_linux_carries_out_what_is_derived_again(tmp_path: Path) -> None:
    """By its own script, after hostapd, with the file that is back; one that fails is for the watcher to try again, and no reason to call a person."""
    box = Box(tmp_path, "linux")
    box.journal(wireless=(b"a\n", b"b\n", b""), caps=(b"v 1\n", b"v 2\n", b""), dns=(None, b"v 1\n", b""))
    scripts = tmp_path / "scripts"
    shutil.copytree(DIRECTORY, scripts)
    for name in ("reload_linux", "caps", "dns"):
        (scripts / name).write_text(f'echo "{name} $*" >>{tmp_path}/log; exit {int(name == "dns")}\n')
    command = [box.command()[0], f"{scripts}/rollback", *box.command()[2:]]
    assert subprocess.run(command, env=box.environment(), timeout=60, check=False).returncode == 0
    _, *told = (tmp_path / "log").read_text().splitlines()
    assert told == [f"{name} apply {box.file(name)} {tmp_path}/apply/{name}" for name in ("caps", "dns")]
    assert box.file("caps").read_bytes() == b"v 1\n" and not box.file("dns").exists() and (tmp_path / "apply/caps").is_dir()


def test_a_package_of_others_with_such_a_name_is_left_to_luci(tmp_path: Path) -> None:
    """rpcd's snapshot of it is none of a file that only we have."""
    box = Box(tmp_path, "openwrt")
    box.journal(caps=(None, b"v 1\n", b""))
    box.program("ubus", "exit 0")
    (tmp_path / "rpcd/snapshot-files").mkdir(parents=True)
    (tmp_path / "rpcd/snapshot-files/caps").write_bytes(b"theirs\n")
    assert box.run(before=":").returncode == 0 and (tmp_path / "rpcd/snapshot-files/caps").read_bytes() == b"theirs\n"


# A flash that is full or read-only.


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A flash of 256 KiB."""
    with tmpfs(tmp_path / "tiny", 256) as folder:
        yield Path(folder)


def fill(folder: Path) -> None:
    """Leave no room at all."""
    with pytest.raises(OSError), open(folder / "fill", "wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


@pytest.mark.needs("root", "mount")
def test_on_a_full_flash_the_journals_own_copy_goes_into_place(tiny: Path) -> None:
    """A rename needs no room; a second run is content with it."""
    box = Box(tiny)
    box.journal(wireless=(b"before\n" * 5000, b"after\n" * 5000, b""))
    (box.state / "ballast").unlink()
    fill(tiny)
    assert box.run().returncode == 0
    assert box.file("wireless").read_bytes() == b"before\n" * 5000 and box.file("wireless").stat().st_mode & 0o777 == 0o640
    assert (box.pending / "undone").read_text() == "not_on_air\n\n"
    (box.pending / "undone").unlink()
    assert box.run().returncode == 0 and box.file("wireless").read_bytes() == b"before\n" * 5000


@pytest.mark.needs("root", "mount")
def test_on_a_read_only_flash_it_says_that_it_failed(tiny: Path) -> None:
    """And when the flash can be written again, it succeeds."""
    box = Box(tiny)
    box.journal(wireless=(b"before\n", b"after\n", b""))
    busybox(tiny)
    subprocess.run(["mount", "-o", "remount,ro", tiny], check=True, timeout=10)
    ended = box.run()
    assert ended.returncode == 1 and "a person is needed" in ended.stderr
    subprocess.run(["mount", "-o", "remount,rw", tiny], check=True, timeout=10)
    assert box.run().returncode == 0 and box.file("wireless").read_bytes() == b"before\n"


# One at a time.

SLOW = 'cp() {{ echo x >>{}/log; sleep 2; command cp "$@"; }}\n'


def test_two_at_once_take_turns(box: Box) -> None:
    """The second waits for the first and finds the work done."""
    (box.folder / "rollback").write_text(SLOW.format(box.folder) + Path(box.command()[1]).read_text())
    command = [box.command()[0], str(box.folder / "rollback"), *box.command()[2:]]
    both = [subprocess.Popen(command, env=box.environment(), stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [one.wait(timeout=60) for one in both] == [0, 0]
    assert (box.folder / "log").read_text() == "x\n" and box.file("wireless").read_bytes() == b"before\0\xff\n"


def test_a_turn_of_the_dead_is_taken_over(box: Box) -> None:
    """By whoever comes next, though the number of the dead may be another's now."""
    rolling = box.folder / "apply/rolling"
    rolling.mkdir()
    (rolling / "holder").write_text(f"{os.getpid()} 1\n")
    assert box.run().returncode == 0 and not rolling.exists()


def test_nothing_but_kill_ends_it(box: Box) -> None:
    """Not the hang-up of a technician's terminal, nor the end of its caller."""
    (box.folder / "rollback").write_text(SLOW.format(box.folder) + Path(box.command()[1]).read_text())
    command = [box.command()[0], str(box.folder / "rollback"), *box.command()[2:]]
    running = subprocess.Popen(command, env=box.environment(), stderr=subprocess.PIPE)
    until = time.monotonic() + 20
    while not (box.folder / "log").exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert running.stderr is not None
    running.stderr.close()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        running.send_signal(number)
    assert running.wait(timeout=60) == 0 and (box.pending / "undone").exists()
