"""The door to the flash: whole or not at all, durable, with the owner and mode of before, counted."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.flash import Flash, read, temporary_of
from tests.ram import tmpfs


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB, and an end to it."""
    with tmpfs(tmp_path / "tiny", 64) as folder:
        yield Path(folder)


def test_a_file_is_put_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    """After a put there is the new content, and no temporary file."""
    file = tmp_path / "wireless"
    file.write_bytes(b"old")
    Flash().put(str(file), b"new")
    assert file.read_bytes() == b"new" and os.listdir(tmp_path) == ["wireless"]


def test_a_file_keeps_its_mode(tmp_path: Path) -> None:
    """Who could read the file before can read it after, and nobody else."""
    file = tmp_path / "wireless"
    file.write_bytes(b"old")
    file.chmod(0o644)
    Flash().put(str(file), b"new")
    assert file.stat().st_mode & 0o777 == 0o644


@pytest.mark.needs("root")
def test_a_file_keeps_its_owner(tmp_path: Path) -> None:
    """A file of another user stays his."""
    file = tmp_path / "wireless"
    file.write_bytes(b"old")
    os.chown(file, 1234, 4321)
    Flash().put(str(file), b"new")
    assert (file.stat().st_uid, file.stat().st_gid) == (1234, 4321)


@pytest.mark.needs("root")
def test_a_file_gets_the_group_that_is_asked_for(tmp_path: Path) -> None:
    """Before it has its name: nobody finds it without."""
    file = tmp_path / "client.key"
    Flash().put(str(file), b"new", 0o640, group=1234)
    assert (file.stat().st_uid, file.stat().st_gid, file.stat().st_mode & 0o777) == (0, 1234, 0o640)


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    """A file that was not there may hold keys: nobody else reads it."""
    Flash().put(str(tmp_path / "rwagent"), b"new")
    assert (tmp_path / "rwagent").stat().st_mode & 0o777 == 0o600


def test_a_link_in_the_temporary_files_place_is_not_followed(tmp_path: Path) -> None:
    """What lies under the temporary name is never written through."""
    (tmp_path / "other").write_bytes(b"precious")
    os.symlink(tmp_path / "other", temporary_of(str(tmp_path / "wireless")))
    with pytest.raises(OSError):
        Flash().put(str(tmp_path / "wireless"), b"new")
    assert (tmp_path / "other").read_bytes() == b"precious"


@pytest.mark.needs("root", "mount")
def test_a_full_flash_leaves_the_old_file(tiny: Path) -> None:
    """A put that finds no room raises; the old file is whole and the half-written one gone."""
    (tiny / "wireless").write_bytes(b"old" * 1000)
    (tiny / "fill").write_bytes(b"x" * 45_000)
    with pytest.raises(OSError):
        Flash().put(str(tiny / "wireless"), b"new" * 10_000)
    assert (tiny / "wireless").read_bytes() == b"old" * 1000 and sorted(os.listdir(tiny)) == ["fill", "wireless"]


@pytest.mark.needs("root", "mount")
def test_a_read_only_flash_leaves_the_old_file(tiny: Path) -> None:
    """A put on a flash that went read-only raises and changes nothing."""
    (tiny / "wireless").write_bytes(b"old")
    subprocess.run(["mount", "-o", "remount,ro", tiny], check=True, timeout=10)
    with pytest.raises(OSError):
        Flash().put(str(tiny / "wireless"), b"new")
    assert (tiny / "wireless").read_bytes() == b"old"


@pytest.mark.needs("strace")
def test_every_step_is_durable_before_the_next(tmp_path: Path) -> None:
    """The content is synced before the rename, and the directory after it; the same for what is removed and made."""
    code = (
        "import sys; from agent.flash import Flash; flash = Flash(); root = sys.argv[1]\n"
        "flash.make_directory(root + '/pending'); flash.put(root + '/pending/ready', b'x'); flash.put(root + '/pending/keep', b'y')\n"
        "flash.remove_directory(root + '/pending', first=('ready',))\n"
    )
    command = ["strace", "-f", "-y", "-e", "trace=mkdir,rename,fsync,unlink,rmdir", sys.executable, "-B", "-c", code, str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    seen = [line for line in run.stderr.splitlines() if str(tmp_path) in line and "ENOENT" not in line]
    names = [line.split("(")[0] + ":" + line.split(str(tmp_path))[-1].split(">")[0].split('"')[0] for line in seen]
    assert names == [
        "mkdir:/pending",
        "fsync:",
        "fsync:/pending/.ready.rwagent-new",
        "rename:/pending/ready",
        "fsync:/pending",
        "fsync:/pending/.keep.rwagent-new",
        "rename:/pending/keep",
        "fsync:/pending",
        "unlink:/pending/ready",
        "fsync:/pending",
        "unlink:/pending/keep",
        "rmdir:/pending",
        "fsync:",
    ]


def test_what_is_there_already_costs_no_write(tmp_path: Path) -> None:
    """A directory that is there and a file that is not cost nothing; everything else is counted."""
    flash = Flash()
    flash.make_directory(str(tmp_path))
    flash.remove(str(tmp_path / "nothing"))
    flash.remove_directory(str(tmp_path / "nothing"))
    assert flash.writes_total == 0
    flash.put(str(tmp_path / "some"), b"")
    flash.remove(str(tmp_path / "some"))
    assert flash.writes_total == 2


def test_directories_above_are_made_too(tmp_path: Path) -> None:
    """The directory itself is its owner's alone."""
    Flash().make_directory(str(tmp_path / "a/b"))
    assert (tmp_path / "a/b").stat().st_mode & 0o777 == 0o700


def test_a_directory_takes_anothers_place(tmp_path: Path) -> None:
    """What lay under the new name is gone."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_bytes(b"")
    Flash().move_directory(str(tmp_path / "new"), str(tmp_path / "old"))
    assert os.listdir(tmp_path) == ["old"] and os.listdir(tmp_path / "old") == ["new"]


def test_reading_tells_missing_from_unreadable(tmp_path: Path) -> None:
    """No file is None; a directory, a FIFO, a link and too much are errors, and nothing blocks."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "long").write_bytes(b"x" * 11)
    os.symlink(tmp_path / "long", tmp_path / "link")
    assert read(str(tmp_path / "missing")) is None and read(str(tmp_path / "long"), 11) == b"x" * 11
    for name, most in (("fifo", 10), ("long", 10), ("link", 100), (".", 10)):
        with pytest.raises(OSError):
            read(str(tmp_path / name), most)
