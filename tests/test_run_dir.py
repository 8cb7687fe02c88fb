"""The directory in RAM: one agent holds it, nobody else may write there, and its state file is replaced as a whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.errors import Rejected
from agent.run_dir import STATE_FILE, StateFile, hold, is_held


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
