"""The crash model itself: what it says of small programs whose fate at a power cut is known."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cuts import disk, trace

pytestmark = pytest.mark.needs("strace", "busybox")

OLD, NEW = b"the old configuration\n", b"the new configuration, longer\n"
BEGIN = "import os, sys; os.chdir(sys.argv[1] + '/flash'); name = lambda flags, path: os.open(path, flags, 0o600)\n"
PUT = "fd = os.open('new', os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600); os.write(fd, b'the new configuration, longer\\n')\n"
SYNC = "os.fsync(fd)\n"
RENAME = "os.close(fd); os.rename('new', 'config')\n"
SYNC_DIRECTORY = "fd = os.open('.', os.O_RDONLY | os.O_DIRECTORY); os.fsync(fd)\n"


def _box(folder: Path) -> Path:
    (folder / "flash").mkdir()
    (folder / "ram").mkdir()
    (folder / "flash/config").write_bytes(OLD)
    (folder / "flash/config").chmod(0o600)
    return folder


def _run(folder: Path, command: list[str]) -> tuple[disk.Disk, list[disk.Cut]]:
    """Run a command under strace; give the model after it, and its cut points."""
    model = disk.Disk(str(folder))
    log = folder.parent / f"{folder.name}.log"
    run = trace.record(command, log, {"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}, str(folder))
    assert run.returncode == 0, run.stderr
    found = list(disk.cuts(model, trace.read(log, str(folder), _umask()).ops))
    assert model.now() == _on_disk(folder), "the model does not have what the program left"
    return model, found


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _on_disk(folder: Path) -> disk.State:
    return disk.Disk(str(folder)).now()


def _python(folder: Path, text: str) -> tuple[disk.Disk, list[disk.Cut]]:
    return _run(folder, [sys.executable, "-S", "-E", "-c", BEGIN + text, str(folder)])


def _ash(folder: Path, text: str) -> tuple[disk.Disk, list[disk.Cut]]:
    return _run(folder, [shutil.which("busybox") or "busybox", "ash", "-ec", text, "ash", str(folder / "flash")])


def _files(state: disk.State) -> dict[str, bytes]:
    return {path.removeprefix("flash/"): data for path, _, data in state if data is not None}


def _left(cuts: list[disk.Cut], name: str = "config") -> set[bytes | None]:
    """All that may be left of one file, over all cut points."""
    return {_files(state).get(name) for cut in cuts for state in cut.states}


def test_a_file_replaced_by_the_book_is_the_old_or_the_new_one_whole(tmp_path: Path) -> None:
    """Temporary file, fsync, rename, fsync of the directory: no cut leaves anything else, and after the end only the new one."""
    _, cuts = _python(_box(tmp_path), PUT + SYNC + RENAME + SYNC_DIRECTORY)
    assert _left(cuts) == {OLD, NEW}
    assert {_files(state)["config"] for state in cuts[-1].states} == {NEW}


def test_a_file_that_is_not_synced_may_be_lost_empty_half_or_zeros(tmp_path: Path) -> None:
    """A rename without fsync of the file gives a name without its bytes, whatever became of the directory."""
    _, cuts = _python(_box(tmp_path), PUT + RENAME + SYNC_DIRECTORY)
    assert _left(cuts) == {OLD, NEW, b"", NEW[: len(NEW) // 2], bytes(len(NEW))}


def test_a_name_is_lost_when_its_directory_is_not_synced(tmp_path: Path) -> None:
    """A file written, synced and renamed may still be the old one long after."""
    _, cuts = _python(_box(tmp_path), PUT + SYNC + RENAME)
    assert {_files(state)["config"] for state in cuts[-1].states} == {OLD, NEW}


def test_a_new_file_is_lost_with_its_directory(tmp_path: Path) -> None:
    """A directory that is synced, but not the one above it, may be gone with all that is in it."""
    text = "os.mkdir('d'); fd = os.open('d/x', os.O_WRONLY | os.O_CREAT, 0o600); os.write(fd, b'x'); os.fsync(fd); os.fsync(os.open('d', os.O_RDONLY))\n"
    (tmp_path / "one").mkdir()
    _, cuts = _python(_box(tmp_path / "one"), text)
    assert _left(cuts[-1:], "d/x") == {b"x", None}
    (tmp_path / "another").mkdir()
    _, cuts = _python(_box(tmp_path / "another"), text + SYNC_DIRECTORY)
    assert _left(cuts[-1:], "d/x") == {b"x"}


def test_a_rename_may_leave_both_names_and_never_none(tmp_path: Path) -> None:
    """As jffs2 does: the new name is written before the old one goes."""
    _, cuts = _python(_box(tmp_path), PUT + SYNC + SYNC_DIRECTORY + "os.rename('new', 'config')\n")
    kept = {frozenset(_files(state).items()) for state in cuts[-1].states}
    assert kept == {frozenset({("config", OLD), ("new", NEW)}), frozenset({("config", NEW), ("new", NEW)}), frozenset({("config", NEW)})}


def test_a_rename_between_directories_is_durable_with_either_in_order(tmp_path: Path) -> None:
    """Syncing the directory a file left makes its new name durable too: a file is never in neither."""
    text = "os.mkdir('a'); os.mkdir('b'); os.rename('config', 'a/x'); os.sync(); os.rename('a/x', 'b/x'); fd = os.open('a', os.O_RDONLY); os.fsync(fd)\n"
    _, cuts = _python(_box(tmp_path), text)
    for cut in cuts:
        for state in cut.states:
            assert OLD in _files(state).values()
    assert _left(cuts[-1:], "b/x") == {OLD}


def test_a_file_written_in_place_is_torn(tmp_path: Path) -> None:
    """Without a temporary file every cut from the truncation on may cost the file."""
    _, cuts = _python(_box(tmp_path), "fd = os.open('config', os.O_WRONLY | os.O_TRUNC); os.write(fd, b'new'); os.fsync(fd)\n")
    assert {OLD, b"", b"n", b"new"} <= _left(cuts)
    assert _left(cuts[-1:]) == {b"new"}


def test_a_removal_comes_back_until_its_directory_is_synced(tmp_path: Path) -> None:
    """An unlink may be undone by a power cut."""
    _, cuts = _python(_box(tmp_path), "os.unlink('config')\n" + SYNC_DIRECTORY)
    assert _left([cut for cut in cuts if cut.op.kind == "unlink"]) == {OLD, None}
    assert _left(cuts[-1:]) == {None}


def test_names_come_through_in_any_order(tmp_path: Path) -> None:
    """Of two files made one after the other the second may be there without the first."""
    _, cuts = _python(_box(tmp_path), "".join(f"fd = os.open('{name}', os.O_WRONLY | os.O_CREAT); os.fsync(fd)\n" for name in "ab"))
    names = {tuple(sorted(_files(state))) for state in cuts[-1].states}
    assert names == {("config",), ("a", "config"), ("b", "config"), ("a", "b", "config")}


def test_modes_are_durable_with_their_file(tmp_path: Path) -> None:
    """A chmod without fsync may be lost."""
    _, cuts = _python(_box(tmp_path), "os.chmod('config', 0o640); fd = os.open('config', os.O_RDONLY)\n")
    assert {mode for state in cuts[-1].states for path, mode, _ in state if path == "flash/config"} == {0o600, 0o640}


def test_what_lies_in_ram_is_no_cut_point(tmp_path: Path) -> None:
    """Files beside the flash are followed, so that copies of them are known, but no cut point and in no state."""
    _, cuts = _python(_box(tmp_path), "open('../ram/x', 'wb').write(b'xx'); os.system(\"busybox cp ../ram/x y\")\n")
    assert [cut.op.kind for cut in cuts if cut.op.kind != "exec"] == ["create", "copy"]
    assert _files(max(cuts[-1].states))["y"] == b"xx"
    assert all("x" not in path for cut in cuts for state in cut.states for path, _, _ in state)


def test_busybox_cp_mv_and_sync_are_understood(tmp_path: Path) -> None:
    """A copy by an ash script, made durable by `sync`, is as good as the book's; without it, it is torn."""
    _, cuts = _ash(_box(tmp_path), 'cd "$1"; cp -p config copy; sync; mv copy config; echo more >>config; sync')
    assert _left(cuts, "config") == {OLD, OLD + b"more\n", b"", bytes(len(OLD + b"more\n")), (OLD + b"more\n")[: len(OLD + b"more\n") // 2]}
    assert _left(cuts[-1:], "config") == {OLD + b"more\n"}
    assert b"" in _left(cuts, "copy")


def test_every_operation_is_a_cut_point(tmp_path: Path) -> None:
    """Making, writing, syncing, renaming and each program started: none is left out, in the order in which it was done."""
    _, cuts = _python(_box(tmp_path), PUT + SYNC + RENAME + SYNC_DIRECTORY)
    assert [cut.op.kind for cut in cuts] == ["exec", "create", "write", "fsync", "rename", "fsync"]
    assert [cut.number for cut in cuts] == list(range(6))


@pytest.mark.parametrize("text", ["os.symlink('config', 's')", "os.mkfifo('p')", "os.setxattr('config', 'user.x', b'1')"])
def test_what_the_model_does_not_know_is_an_error(tmp_path: Path, text: str) -> None:
    """A way to change files that nobody taught the model must not pass unseen."""
    with pytest.raises(trace.Unmodelled):
        _python(_box(tmp_path), text + "\n")


def test_a_state_is_made_into_files_again(tmp_path: Path) -> None:
    """What is put on disk reads back as the same state, modes too."""
    _, cuts = _python(_box(tmp_path), "os.mkdir('d', 0o700); " + PUT)
    for number, state in enumerate(sorted({state for cut in cuts for state in cut.states})):
        again = tmp_path / f"again{number}"
        again.mkdir()
        disk.put(state, str(again))
        assert _on_disk(again) == state


def test_the_recording_is_of_all_processes(tmp_path: Path) -> None:
    """A program started by a program that a shell started is seen, and its directory and umask are known."""
    inner = f"{sys.executable} -S -E -c \"import os; os.umask(0o077); os.mkdir('d'); open('d/x', 'w').write('deep')\""
    (tmp_path / "run").write_text(f'cd "$1" && ( {inner} ) & wait\n')
    folder = tmp_path / "box"
    folder.mkdir()
    model, _ = _run(_box(folder), [shutil.which("busybox") or "busybox", "ash", str(tmp_path / "run"), str(folder / "flash")])
    assert ("flash/d/x", 0o600, b"deep") in model.now()
    assert subprocess.run(["ls", "-ld", folder / "flash/d"], capture_output=True, text=True, check=True).stdout.startswith("drwx------")
