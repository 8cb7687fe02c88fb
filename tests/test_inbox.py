"""The letter box: whole files, the newest wins, nobody else looks in."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest

from agent.inbox import DESIRED, PLAN, Inbox, sha256


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(str(tmp_path))


def test_what_is_put_lies_there_whole(inbox: Inbox, tmp_path: Path) -> None:
    """The newest replaces the one before, by rename, and nothing else is left."""
    inbox.put(DESIRED, b"first and longer")
    before = os.stat(tmp_path / "inbox/desired").st_ino
    inbox.put(DESIRED, b"second")
    assert (tmp_path / "inbox/desired").read_bytes() == b"second"
    assert os.stat(tmp_path / "inbox/desired").st_ino != before
    assert os.listdir(tmp_path / "inbox") == ["desired"]


def test_nobody_else_may_look_in(inbox: Inbox, tmp_path: Path) -> None:
    """A push may carry a Wi-Fi key: the directory is the daemon's alone, whatever the umask and whatever it was before."""
    (tmp_path / "inbox").mkdir(0o755)
    former = os.umask(0)
    try:
        inbox.put(PLAN, b"x")
    finally:
        os.umask(former)
    assert stat.S_IMODE(os.stat(tmp_path / "inbox").st_mode) == 0o700
    assert stat.S_IMODE(os.stat(tmp_path / "inbox/plan").st_mode) == 0o600


def test_what_lies_there_is_known_by_its_sha256(inbox: Inbox, tmp_path: Path) -> None:
    """Also to the next process; nothing, too much and what is no file is none."""
    assert inbox.lying(DESIRED) == ""
    inbox.put(DESIRED, b"push")
    assert Inbox(str(tmp_path)).lying(DESIRED) == hashlib.sha256(b"push").hexdigest()
    inbox.put(DESIRED, b"x" * 60_001)
    assert inbox.lying(DESIRED) == ""
    (tmp_path / "inbox/plan").mkdir()
    assert inbox.lying(PLAN) == ""


def test_sha256_is_the_known_one() -> None:
    """FIPS 180-2, B.1."""
    assert sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_no_room_is_said(inbox: Inbox, tmp_path: Path) -> None:
    """Where no directory can be made the caller hears of it."""
    (tmp_path / "inbox").write_text("a file")
    with pytest.raises(OSError, match="Not a directory"):
        inbox.put(DESIRED, b"x")


def test_a_mark_is_another_each_time(inbox: Inbox, tmp_path: Path) -> None:
    """Beside the file that is to be looked at again, short enough for root to read it whole."""
    marks = set()
    for _ in range(3):
        inbox.ask_again(DESIRED)
        marks.add((tmp_path / "inbox/desired.again").read_bytes())
    assert len(marks) == 3
    assert {len(mark) for mark in marks} == {16}
