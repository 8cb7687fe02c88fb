"""The secrets that only the router has: which files count."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.router import secret_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "secrets"
    made.mkdir(0o700)
    return made


def put(folder: Path, name: str, content: bytes, mode: int = 0o600) -> None:
    (folder / name).write_bytes(content)
    (folder / name).chmod(mode)


def test_a_key_is_the_first_line(folder: Path) -> None:
    """Whatever an editor put behind it, and whichever line break."""
    put(folder, "staff", b"correct horse\n# of the office\n")
    put(folder, "guest", b"battery staple\r\n")
    put(folder, "bare", b"no line break")
    assert secret_files.read(str(folder)) == {"bare": "no line break", "guest": "battery staple", "staff": "correct horse"}


@pytest.mark.parametrize("key", [b"", b"1234567", b"x" * 64, "pass wörd".encode(), b"pass\tword", b"\npassword", b"pass\x00word", b" " * 7])
def test_what_can_be_no_key_is_left_out(folder: Path, key: bytes) -> None:
    """8 to 63 printable ASCII, never shortened or guessed."""
    put(folder, "key", key)
    assert secret_files.read(str(folder)) == {}


@pytest.mark.parametrize("key", [b"12345678", b"x" * 63, b"a 'b\" \\$()c~"])
def test_the_longest_and_the_shortest_key_count(folder: Path, key: bytes) -> None:
    """Both ends of what WPA takes, and every printable character."""
    put(folder, "key", key)
    assert secret_files.read(str(folder)) == {"key": key.decode()}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o700, 0o644])
def test_a_file_others_may_touch_is_left_out(folder: Path, mode: int) -> None:
    """A key that somebody else may read is no secret."""
    put(folder, "key", b"correct horse\n", mode)
    assert secret_files.read(str(folder)) == {}


@pytest.mark.needs("root")
def test_a_file_of_another_user_is_left_out(folder: Path) -> None:
    """Also when only he may read it."""
    put(folder, "key", b"correct horse\n")
    os.chown(folder / "key", 65534, 65534)
    assert secret_files.read(str(folder)) == {}


def test_only_regular_files_count(folder: Path, tmp_path: Path) -> None:
    """Neither a link to a fine file nor a FIFO, on which nobody may wait."""
    put(tmp_path, "elsewhere", b"correct horse\n")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(folder / "fifo", 0o600)
    (folder / "directory").mkdir(0o700)
    assert secret_files.read(str(folder)) == {}


def test_a_directory_others_may_write_to_holds_no_secrets(folder: Path) -> None:
    """Whoever may rename there chooses which key a name means."""
    put(folder, "key", b"correct horse\n")
    folder.chmod(0o770)
    assert secret_files.read(str(folder)) == {}


def test_odd_names_are_left_out(folder: Path) -> None:
    """An editor's copies, and what no document can name."""
    for name in (".key.swp", "a b", "x" * 65, "-rf"):
        put(folder, name, b"correct horse\n")
    put(folder, "key", b"correct horse\n")
    assert list(secret_files.read(str(folder))) == ["key"]


def test_no_directory_is_no_secret(tmp_path: Path) -> None:
    """The usual box."""
    assert secret_files.read(str(tmp_path / "none")) == {}
    (tmp_path / "link").symlink_to(tmp_path)
    assert secret_files.read(str(tmp_path / "link")) == {}
