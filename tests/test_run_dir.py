"""The directory in RAM: one agent holds it, nobody else may write there, and its state file is replaced as a whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.errors import Rejected
from agent.run_dir import MARK, STATE_FILE, StateFile, crash_of, hold, is_held, note_crash, take_mark


def test_it_is_made_and_held(tmp_path: Path) -> None:
    """A second agent with the same directory is refused, with what to do; after the first ended it may."""
    run_dir = str(tmp_path / "run")
    lock = hold(run_dir)
    with pytest.raises(Rejected, match="another rwagent runs with it; stop that one"):
        hold(run_dir)
    os.close(lock)
    os.close(hold(run_dir))


def test_one_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    """Whoever may write there could plant links."""
    tmp_path.chmod(0o777)
    with pytest.raises(Rejected, match="mode drwxrwxrwx; make it a directory of the user"):
        hold(str(tmp_path))


@pytest.mark.needs("root")
def test_one_of_another_user_is_refused(tmp_path: Path) -> None:
    """Root does not trust a directory of nobody's."""
    os.chown(tmp_path, 65534, 65534)
    with pytest.raises(Rejected, match="owner 65534"):
        hold(str(tmp_path))


def test_a_link_in_place_of_the_directory_or_the_lock_is_refused(tmp_path: Path) -> None:
    """Links are not followed, wherever they lead."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(Rejected, match=r"paths\.run_dir is"):
        hold(str(tmp_path / "link"))
    (tmp_path / "real" / "lock").symlink_to("/nowhere")
    with pytest.raises(Rejected, match=r"paths\.run_dir is"):
        hold(str(tmp_path / "real"))


def test_a_planted_link_is_not_written_through(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The state goes nowhere rather than into somebody's file, and that is said once."""
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / f"{STATE_FILE}.new").symlink_to(target)
    state = StateFile(str(tmp_path))
    state.write(b"{}")
    state.write(b"{}")
    assert target.read_text() == "precious"
    assert len(caplog.records) == 1


def test_it_is_replaced_whole_and_for_few_eyes(tmp_path: Path) -> None:
    """No reader sees half a file, no stranger sees any."""
    state = StateFile(str(tmp_path))
    assert state.is_due()
    state.write(b'{"v":1}')
    assert not state.is_due()
    assert (tmp_path / STATE_FILE).read_bytes() == b'{"v":1}'
    assert (tmp_path / STATE_FILE).stat().st_mode & 0o777 & ~0o640 == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == [STATE_FILE]


def test_only_writes_to_flash_are_counted(tmp_path: Path) -> None:
    """In RAM none is; on a disk each."""
    state = StateFile("/dev/shm")
    assert state.flash_writes == 0
    on_disk = StateFile(str(tmp_path))
    on_disk.write(b"{}")
    assert on_disk.flash_writes == (0 if str(tmp_path).startswith("/dev/shm") else 1)


def test_who_only_looks_sees_whether_it_is_held(tmp_path: Path) -> None:
    """Looking neither takes the lock nor makes one."""
    assert not is_held(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    lock = hold(str(tmp_path))
    assert is_held(str(tmp_path))
    os.close(lock)
    assert not is_held(str(tmp_path))


def test_who_only_looks_does_not_wait_for_a_fifo(tmp_path: Path) -> None:
    """`rwagent status` is root's, and the directory is not."""
    os.mkfifo(tmp_path / "lock")
    code = "import sys; from agent.run_dir import is_held; print(is_held(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=10, check=True)
    assert done.stdout == "False\n"


def test_it_is_held_by_what_the_image_before_handed_over(tmp_path: Path) -> None:
    """No second one comes between two images; the programs we start do not get it."""
    lock = hold(str(tmp_path))
    os.set_inheritable(lock, True)
    assert hold(str(tmp_path), str(lock)) == lock
    assert not os.get_inheritable(lock)
    os.close(lock)


def test_a_crash_is_noted_in_the_mark_that_is_there(tmp_path: Path) -> None:
    """Behind what stands in it; without a mark, or through a link, nothing is written."""
    note_crash(str(tmp_path), "early")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / MARK).write_text("0123456789abcdef")
    note_crash(str(tmp_path), "ValueError at agent.report:41\u2028")
    assert (tmp_path / MARK).read_text() == "0123456789abcdefValueError at agent.report:41?"
    take_mark(str(tmp_path))
    take_mark(str(tmp_path))
    (tmp_path / MARK).symlink_to(tmp_path / "target")
    (tmp_path / "target").touch()
    note_crash(str(tmp_path), "late")
    assert (tmp_path / "target").read_text() == ""


def test_a_crash_is_named_by_type_and_last_place_of_ours() -> None:
    """Not by its text, which may hold a secret."""
    try:
        hold("\0")
    except ValueError as error:
        named = crash_of(error, error.__traceback__)
    assert named.startswith("ValueError at agent.run_dir:") and named.rpartition(":")[2].isdigit()
    assert crash_of(ValueError("secret"), None) == "ValueError at ?"


def test_what_ends_the_process_is_noted_and_still_told(tmp_path: Path) -> None:
    """Also while modules are imported; the traceback goes where it always goes, and who was told no run_dir notes nothing."""
    (tmp_path / MARK).touch()
    code = "import sys; from agent import run_dir; run_dir.tell_crashes(sys.argv); import agent.nothing_of_the_kind"
    for words in ([], ["--run-dir"], ["--run-dir", str(tmp_path)]):
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1 and "No module named" in done.stderr
    assert (tmp_path / MARK).read_text() == "ModuleNotFoundError at ?"
