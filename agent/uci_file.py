"""/etc/config/rwagent as a file: read as libuci reads it, and made to say what an enrolment says, whole or not at all. Root's; its text is only data.

`uci` works on copies in RAM under a name of our own (see agent/router/store_openwrt.py): what somebody has staged is neither read nor committed.
Comments in the file do not outlive the first change by any program: uci writes the whole file anew, and knows no comments.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from agent import uci_settings
from agent.change import Section
from agent.errors import Unavailable
from agent.flash import Flash
from agent.router import child
from agent.router.child import Program
from agent.router.uci import parse_whole
from agent.wire import bundle as form

MOST_BYTES = 1 << 20
TIMEOUT_S = 10.0
COPY = "rwcopy_rwagent"
RAM = "/var/run"
_FOLDER = "settings."  # and the process that made it


class Places(NamedTuple):
    """Where the box keeps things: UCI's files on flash, what 25.12 lays over them, RAM, and where programs are looked for; how long another is waited for."""

    config: str = "/etc/config"
    override: str = "/var/run/uci"
    ram: str = RAM
    search: str = child.SEARCH
    wait_s: float = 10.0

    @property
    def run_dir(self) -> str:
        """The daemon's directory in RAM."""
        return f"{self.ram}/rwagent"

    @property
    def apply_dir(self) -> str:
        """Root's directory in RAM."""
        return f"{self.ram}/rwagent-apply"

    def paths(self, folder: str) -> dict[str, str]:
        """Give agent.toml's table [paths] of a box whose settings lie in `folder`."""
        return {"state_dir": f"{folder}/{form.STATE}", "run_dir": self.run_dir, "apply_dir": self.apply_dir}

    def paths_in(self, folder: str) -> dict[str, str]:
        """Give of that what has to be said, for it is not the default."""
        return {} if (folder, self.ram) == (form.FOLDER, RAM) else self.paths(folder)


class UciFile:
    """The package's file on one box."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._path = os.path.join(places.config, uci_settings.PACKAGE)
        self._uci = Program("uci", places.search, TIMEOUT_S)

    def sections(self) -> dict[str, Section]:
        """Read what is committed, of what lies over the flash where something does; no section when there is no file. Unavailable when it cannot be read."""
        over = os.path.join(self._places.override, uci_settings.PACKAGE)
        with self._copies(over if os.path.lexists(over) else self._path) as folder:
            return self._show(folder)

    def adopt(self, document: Mapping[str, Mapping[str, Any]]) -> bool:
        """Make the file say what a document says; say whether it had to change. Unavailable when that cannot be, and then nothing has changed."""
        over = os.path.join(self._places.override, uci_settings.PACKAGE)
        if os.path.lexists(over):
            raise Unavailable(f"{over} lies over the flash: somebody tries settings that are not kept yet; wait for the end of that, or remove it")
        with self._copies(self._path) as folder:
            before = self._show(folder)
            after = uci_settings.adopted(before, document)
            lines = uci_settings.batch(COPY, before, after)
            if not lines:
                return False
            script = os.path.join(folder, "batch")
            _write(script, "\n".join([*lines, f"commit {COPY}", ""]).encode())
            self._uci.run("-c", folder, "-t", os.path.join(folder, "delta"), "-f", script, "batch")
            # batch goes on after errors and commit lies, both with exit 0.
            if self._show(folder) != after:
                raise Unavailable(f"uci did not write what it was told; {self._path} is as it was")
            content = _read(os.path.join(folder, COPY)) or b""
        Flash().put(os.path.realpath(self._path), content)
        return True

    @contextmanager
    def _copies(self, path: str) -> Iterator[str]:
        """Make a directory in RAM with a copy of a file in it; what one that was killed left there goes first."""
        os.makedirs(self._places.apply_dir, 0o700, exist_ok=True)
        for name in os.listdir(self._places.apply_dir):
            if name.startswith(_FOLDER) and not os.path.exists(f"/proc/{name[len(_FOLDER) :]}"):
                _remove(os.path.join(self._places.apply_dir, name))
        folder = os.path.join(self._places.apply_dir, f"{_FOLDER}{os.getpid()}")
        try:
            os.mkdir(folder, 0o700)
            _write(os.path.join(folder, COPY), _read(path) or b"")
            yield folder
        finally:
            _remove(folder)

    def _show(self, folder: str) -> dict[str, Section]:
        return parse_whole(self._uci.run("-c", folder, "-X", "show", COPY))


def _remove(folder: str) -> None:
    for path, folders, files in os.walk(folder, topdown=False):
        for name in files:
            os.unlink(os.path.join(path, name))
        for name in folders:
            os.rmdir(os.path.join(path, name))
    if os.path.isdir(folder):
        os.rmdir(folder)


def _read(path: str) -> bytes | None:
    """Read a regular file whole; None when there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with open(fd, "rb") as file:
        content = file.read(MOST_BYTES + 1) if stat.S_ISREG(os.fstat(fd).st_mode) else None
    if content is None or len(content) > MOST_BYTES:
        raise Unavailable(f"{path} is no file, or has more than {MOST_BYTES} bytes")
    return content


def _write(path: str, content: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)
