"""The journal: valid only when all of it is durable, its marks say how it ended, and shell reads it as Python does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.errors import Unavailable
from agent.flash import Flash
from agent.pending import File, Journal, Pending


def make(folder: Path, **changed: object) -> tuple[Pending, Journal, list[File]]:
    """Give a journal of two files, one of them new."""
    (folder / "config").mkdir(exist_ok=True)
    wireless = folder / "config/wireless"
    wireless.write_bytes(b"before\n")
    wireless.chmod(0o640)
    files = [File("wireless", str(wireless), b"before\n", b"after\n", b"undo"), File("rwagent", str(folder / "config/rwagent"), None, b"new\n", b"")]
    push: dict[str, object] = {"revision": 7, "digest": "sha256:00", "handled": "ff"}
    journal = Journal("0" * 16, "b" * 16, 4711, "openwrt", {one.package: one.path for one in files}, push)
    return Pending(Flash(), str(folder)), journal._replace(**changed), files  # type: ignore[arg-type]


def test_it_reads_what_it_wrote(tmp_path: Path) -> None:
    """A journal comes back as it was, and is ready."""
    pending, journal, files = make(tmp_path)
    assert pending.state() == "none"
    pending.write(journal, files)
    assert pending.state() == "ready" and pending.read() == journal


def test_the_manifest_is_plain_lines(tmp_path: Path) -> None:
    """Shell finds key and value on each line, and each file with its package."""
    pending, journal, files = make(tmp_path)
    pending.write(journal, files)
    lines = (tmp_path / "pending/manifest").read_text().splitlines()
    assert lines[:7] == ["v 1", "backend openwrt", "revision 7", "digest sha256:00", f"run {'0' * 16}", f"boot {'b' * 16}", "deadline 4711"]
    assert lines[7:] == [f"file wireless {tmp_path}/config/wireless", f"file rwagent {tmp_path}/config/rwagent"]


def test_the_copies_are_what_the_rollback_needs(tmp_path: Path) -> None:
    """Before, after and undo of each file; a file that was not there is marked so; the copy has the mode of the original, to become it."""
    pending, journal, files = make(tmp_path)
    pending.write(journal, files)
    folder = tmp_path / "pending"
    copies = ["absent.rwagent", "after.rwagent", "after.wireless", "before.wireless"]
    assert sorted(os.listdir(folder)) == [*copies, "manifest", "ready", "undo.wireless", "verdict"]
    assert (folder / "before.wireless").read_bytes() == b"before\n" and (folder / "before.wireless").stat().st_mode & 0o777 == 0o640
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("path", ["/etc/config/a b", "/etc/config/a\nready 1", "etc/config/wireless", ""])
def test_a_path_that_shell_would_misread_is_refused(path: str, tmp_path: Path) -> None:
    """No line of the manifest can be forged by a file's name; nothing valid is left."""
    pending, journal, files = make(tmp_path)
    with pytest.raises(OSError):
        pending.write(journal._replace(files={"wireless": path}), files)
    assert pending.state() == "unready"


def test_what_an_older_journal_left_is_gone_first(tmp_path: Path) -> None:
    """No file of an unfinished journal gets into the next one."""
    pending, journal, files = make(tmp_path)
    (tmp_path / "pending").mkdir()
    (tmp_path / "pending/keep").write_bytes(b"")
    (tmp_path / "pending/undo.rwagent").write_bytes(b"delete wireless.radio0")
    pending.write(journal, files)
    assert pending.state() == "ready" and not (tmp_path / "pending/undo.rwagent").exists()


@pytest.mark.parametrize(
    ("marks", "state"),
    [([], "ready"), (["keep"], "keep"), (["undone"], "undone"), (["failed"], "failed"), (["failed", "undone"], "undone"), (["keep", "undone"], "undone")],
)
def test_the_marks_say_how_it_ended(marks: list[str], state: str, tmp_path: Path) -> None:
    """A rollback that succeeded after all is one, and a keep beside it came from a process that hung too long."""
    pending, journal, files = make(tmp_path)
    pending.write(journal, files)
    for mark in marks:
        (tmp_path / "pending" / mark).write_bytes(b"reboot\n\n")
    assert pending.state() == state


def test_marks_without_ready_mean_nothing(tmp_path: Path) -> None:
    """A journal that never became valid, or is being removed, is no push."""
    pending, journal, files = make(tmp_path)
    pending.write(journal, files)
    pending.keep(12)
    (tmp_path / "pending/ready").unlink()
    assert pending.state() == "unready"


def test_keep_tells_how_long_it_took(tmp_path: Path) -> None:
    """The commit point carries the time, for whoever finishes the bookkeeping."""
    pending, journal, files = make(tmp_path)
    pending.write(journal, files)
    pending.keep(9100)
    assert pending.ending().took_ms == 9100 and pending.ending().reason == ""


@pytest.mark.parametrize(
    ("text", "reason", "is_foreign"),
    [("not_on_air\n\n", "not_on_air", False), ("reboot\nforeign_edit\n", "reboot", True), ("", "applier_died", False), ('{"a":1}\n', "applier_died", False)],
)
def test_the_rollbacks_word_is_read(text: str, reason: str, is_foreign: bool, tmp_path: Path) -> None:
    """Reason and foreign edit; what is no word does not get into a verdict."""
    pending, journal, files = make(tmp_path)
    pending.write(journal, files)
    (tmp_path / "pending/undone").write_text(text)
    assert pending.ending()[:2] == (reason, is_foreign)


@pytest.mark.parametrize("broken", ["manifest", "verdict"])
def test_a_journal_that_is_none_is_refused(broken: str, tmp_path: Path) -> None:
    """Garbage, another version and a missing file are Unavailable, never half a push."""
    pending, journal, files = make(tmp_path)
    pending.write(journal, files)
    for content in (b"", b"v 2\n", b"\xff\xfe", b"[]", None):
        if content is None:
            (tmp_path / "pending" / broken).unlink()
        else:
            (tmp_path / "pending" / broken).write_bytes(content)
        with pytest.raises(Unavailable):
            pending.read()


def test_clearing_and_setting_aside_end_it(tmp_path: Path) -> None:
    """A cleared journal is gone; one set aside is kept for a person under another name."""
    pending, journal, files = make(tmp_path)
    pending.write(journal, files)
    pending.clear()
    assert pending.state() == "none"
    pending.write(journal, files)
    pending.set_aside()
    assert pending.state() == "none" and (tmp_path / "unrestored/before.wireless").read_bytes() == b"before\n"


def test_ready_goes_before_anything_else(tmp_path: Path) -> None:
    """Durably: a keep that was gone first would leave a push that looks unconfirmed."""
    pending, journal, files = make(tmp_path)
    pending.write(journal, files)
    pending.keep(1)
    seen: list[list[str]] = []

    class Watched(Flash):
        """Notes what is left at each sync of the journal's directory."""

        def sync(self, directory: str) -> None:
            """Note it."""
            seen.append(sorted(os.listdir(directory)))
            super().sync(directory)

    Pending(Watched(), str(tmp_path)).clear()
    assert "ready" not in seen[0] and "keep" in seen[0] and "manifest" in seen[0]


@pytest.mark.parametrize("mark", ["", "failed", "undone", "keep"])
def test_a_push_that_is_not_booked_is_not_written_over(mark: str, tmp_path: Path) -> None:
    """What is needed to restore the box outlives whoever comes next."""
    pending, journal, files = make(tmp_path)
    pending.write(journal, files)
    if mark:
        (tmp_path / "pending" / mark).write_bytes(b"reboot\n\n")
    with pytest.raises(OSError, match="earlier push"):
        pending.write(journal._replace(run="1" * 16), files)
    assert pending.read().run == "0" * 16
