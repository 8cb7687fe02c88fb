"""A note for root's half, which looks by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import Unavailable
from agent.router import note


def test_each_note_is_new_and_ours_alone(tmp_path: Path) -> None:
    """Whoever looks at the content sees that it is another one; nobody else may read or write there."""
    inbox = tmp_path / "inbox"
    note.leave(str(inbox), "stations")
    first = (inbox / "stations").read_bytes()
    note.leave(str(inbox), "stations")
    assert (inbox / "stations").read_bytes() != first and len(first) == 16
    assert [(inbox / name).stat().st_mode & 0o777 for name in ("", "stations")] == [0o700, 0o600]
    assert [path.name for path in inbox.iterdir()] == ["stations"]


def test_an_inbox_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    """Named, with the reason."""
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="file/inbox/stations: cannot be written: Not a directory"):
        note.leave(str(tmp_path / "file" / "inbox"), "stations")


def test_a_link_in_its_place_leads_nowhere(tmp_path: Path) -> None:
    """The new file is never written through a link that lies there."""
    inbox, victim = tmp_path / "inbox", tmp_path / "victim"
    inbox.mkdir()
    victim.write_text("kept")
    (inbox / ".new-stations").symlink_to(victim)
    with pytest.raises(Unavailable):
        note.leave(str(inbox), "stations")
    assert victim.read_text() == "kept"
