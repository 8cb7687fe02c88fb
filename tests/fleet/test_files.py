"""What fleet/files.py promises: files whole, with their mode, never through a link, and new ones never over old ones."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from fleet import files
from fleet.errors import Refused


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """With the mode that is asked for, whatever the umask, and nothing beside it."""
    before = os.umask(0)
    try:
        files.put(tmp_path / "a", b"old")
        files.put(tmp_path / "a", b"new", files.PRIVATE)
    finally:
        os.umask(before)
    assert ((tmp_path / "a").read_bytes(), mode(tmp_path / "a"), os.listdir(tmp_path)) == (b"new", 0o600, ["a"])


def test_a_new_file_never_replaces_one(tmp_path: Path) -> None:
    """What is there stays, and nothing is left beside it."""
    files.put_new(tmp_path / "a", b"first", files.PRIVATE)
    with pytest.raises(Refused, match="is there already"):
        files.put_new(tmp_path / "a", b"second", files.PRIVATE)
    assert ((tmp_path / "a").read_bytes(), os.listdir(tmp_path)) == (b"first", ["a"])


@pytest.mark.parametrize("put", [files.put, files.put_new])
def test_what_a_killed_run_left_is_no_obstacle(put: object, tmp_path: Path) -> None:
    """Not even a link that somebody put there: it is not followed."""
    (tmp_path / ".a.new").symlink_to(tmp_path / "elsewhere")
    put(tmp_path / "a", b"text")  # type: ignore[operator]
    assert (sorted(os.listdir(tmp_path)), (tmp_path / "a").read_bytes()) == (["a"], b"text")


def test_a_directory_that_is_missing_is_told(tmp_path: Path) -> None:
    """With the path and the reason."""
    with pytest.raises(Refused, match=r"/no/a: cannot be written \(No such file"):
        files.put(tmp_path / "no/a", b"")


def test_a_secret_that_others_may_read_is_not_read(tmp_path: Path) -> None:
    """The text says the chmod."""
    files.put(tmp_path / "a", b"secret", 0o640)
    with pytest.raises(Refused, match=f"mode 640.*chmod 600 {tmp_path}/a"):
        files.read_private(tmp_path / "a")
    files.put(tmp_path / "a", b"secret", files.PRIVATE)
    assert files.read_private(tmp_path / "a") == b"secret"


@pytest.mark.needs("root")
def test_what_root_puts_into_anothers_folder_is_the_others(tmp_path: Path) -> None:
    """Else mosquitto could not read its own files."""
    os.chown(tmp_path, 12345, 54321)
    assert files.owner_of(tmp_path) == (12345, 54321)
    files.put(tmp_path / "a", b"")
    assert (tmp_path / "a").stat().st_uid == 12345
    os.chown(tmp_path, 0, 0)
    assert files.owner_of(tmp_path) is None


def test_what_cannot_be_put_in_place_leaves_nothing_beside_it(tmp_path: Path) -> None:
    """A key may be in it."""
    (tmp_path / "a").mkdir()
    with pytest.raises(Refused, match="a: cannot be written"):
        files.put(tmp_path / "a", b"secret", files.PRIVATE)
    assert os.listdir(tmp_path) == ["a"]
