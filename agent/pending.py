"""The journal of the push under way: what was there before, what will be, and how it ended. Lies in state_dir/pending/.

Shell reads it too (agent/ash), so its manifest is plain lines. `ready` makes it valid, `keep` is the commit point, `undone` is the
rollback's word; whatever came before a power cut, the marks that are there say what is so.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from agent.errors import Unavailable
from agent.flash import Flash, read

VERSION = "1"
State = Literal["none", "unready", "ready", "keep", "undone", "failed"]
# In this order: nobody rolls back what is kept, so beside an `undone` a `keep` came too late from a process that hung in the kernel.
MARKS: tuple[State, ...] = ("undone", "keep", "failed")
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class File(NamedTuple):
    """One file that a push replaces; `before` None: there was none. `undo`: the script that takes our edits alone back, b"" when there is none."""

    package: str
    path: str
    before: bytes | None
    after: bytes
    undo: bytes


class Journal(NamedTuple):
    """What stands in a ready journal. `push`: what bookkeeping needs to finish without Python's memory."""

    run: str
    boot: str
    deadline: int
    backend: str
    files: dict[str, str]
    push: dict[str, object]


class Ending(NamedTuple):
    """How a journal ended: the rollback's reason, whether somebody else had edited a file, and when (Unix seconds of the mark)."""

    reason: str
    is_foreign: bool
    at: float
    took_ms: int | None


class Pending:
    """The journal below one state directory."""

    def __init__(self, flash: Flash, state_dir: str) -> None:
        self._flash = flash
        self._state_dir = state_dir
        self.path = os.path.join(state_dir, "pending")

    def state(self) -> State:
        """Say how far the push got."""
        if not os.path.lexists(self.path):
            return "none"
        if not self._has("ready"):
            return "unready"
        return next((mark for mark in MARKS if self._has(mark)), "ready")

    def write(self, journal: Journal, files: list[File]) -> None:
        """Write all of it and, last, `ready`; OSError when the flash does not take it, or while an earlier push is not booked yet."""
        flash = self._flash
        if self.state() not in ("none", "unready"):
            raise OSError(0, f"{self.path} is of an earlier push, which is not at its end")
        self.clear()
        flash.make_directory(self.path)
        for one in files:
            if one.before is None:
                self._put(f"absent.{one.package}", b"")
            else:
                # Like the file itself, because on a full flash it becomes that file.
                flash.put(os.path.join(self.path, f"before.{one.package}"), one.before, like=one.path)
            self._put(f"after.{one.package}", one.after)
            if one.undo:
                self._put(f"undo.{one.package}", one.undo)
        self._put("verdict", json.dumps(journal.push, separators=(",", ":")).encode())
        self._put("manifest", "".join(f"{line}\n" for line in _lines(journal)).encode())
        self._put("ready", b"")

    def keep(self, took_ms: int) -> None:
        """Pass the commit point: after this the push stands."""
        self._put("keep", b"%d\n" % took_ms)

    def read(self) -> Journal:
        """Read a ready journal; Unavailable when it is not one that this program wrote."""
        try:
            manifest, verdict = self._read("manifest"), self._read("verdict")
            fields = dict(line.split(" ", 1) for line in manifest.decode().splitlines() if not line.startswith("file "))
            named = [line.split(" ", 2) for line in manifest.decode().splitlines() if line.startswith("file ")]
            push = json.loads(verdict)
            if fields["v"] != VERSION or not isinstance(push, dict):
                raise ValueError(fields["v"])
            files = {package: path for _, package, path in named}
            return Journal(fields["run"], fields["boot"], int(fields["deadline"]), fields["backend"], files, push)
        except (ValueError, KeyError, OSError, RecursionError) as error:
            raise Unavailable(f"{self.path} is not a journal of this version: {type(error).__name__}") from None

    def ending(self) -> Ending:
        """Read the mark at the journal's end."""
        mark = self.state()
        path = os.path.join(self.path, mark)
        lines = [*(read(path) or b"").decode("utf-8", "replace").splitlines(), "", ""]
        at = os.lstat(path).st_mtime
        if mark == "keep":
            return Ending("", False, at, int(lines[0]) if lines[0].isdecimal() else None)
        return Ending(lines[0] if _WORD.fullmatch(lines[0]) else "applier_died", lines[1] == "foreign_edit", at, None)

    def sync(self) -> None:
        """Make the marks durable: whoever made one may have died before it was."""
        self._flash.sync(self.path)

    def clear(self) -> None:
        """Remove it; `ready` is durably gone first, so that no half of it is ever taken for a push to be rolled back."""
        self._flash.remove_directory(self.path, first=("ready",))

    def set_aside(self) -> None:
        """Keep what could not be restored for a person, out of the next push's way."""
        self._flash.move_directory(self.path, os.path.join(self._state_dir, "unrestored"))

    def _has(self, name: str) -> bool:
        return os.path.lexists(os.path.join(self.path, name))

    def _put(self, name: str, content: bytes) -> None:
        self._flash.put(os.path.join(self.path, name), content, 0o600)

    def _read(self, name: str) -> bytes:
        found = read(os.path.join(self.path, name))
        if found is None:
            raise OSError(0, f"{name} is missing")
        return found


def _lines(journal: Journal) -> Iterator[str]:
    yield f"v {VERSION}"
    yield f"backend {journal.backend}"
    yield f"revision {journal.push['revision']}"
    yield f"digest {journal.push['digest']}"
    yield f"run {journal.run}"
    yield f"boot {journal.boot}"
    yield f"deadline {journal.deadline}"
    for package, path in journal.files.items():
        # The script splits lines at white space; neither holds any in a box we know, and one that does is refused before anything is touched.
        if not _WORD.fullmatch(package) or not path.startswith("/") or len(path.split()) != 1:
            raise OSError(0, f"{package} {path!r} cannot stand in the journal")
        yield f"file {package} {path}"
