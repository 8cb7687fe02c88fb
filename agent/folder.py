"""The directory of the agent's settings, /etc/rwagent: who owns what in it, and how a new enrolment gets there. Root's; never loaded by the daemon.

Power may fail between any two steps: every file is put in place whole, and agent.toml is the one that counts.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from agent import alone, flash
from agent.errors import Rejected
from agent.flash import Flash
from agent.wire import bundle as form

NEW = "enroll.new"
SECRETS = "secrets"
GROUP = "rwagent"
NAMED = (("broker", "ca_file", form.CA), ("broker", "cert_file", form.CERTIFICATE), ("broker", "key_file", form.KEY), ("push", "keys_dir", form.KEYS))
FOLDER_MODE, FILE_MODE, OWN_MODE = 0o750, 0o640, 0o700
Document = dict[str, Any]


class Folder:
    """The directory of the settings: the one that writes there, each file durably and with its group."""

    def __init__(self, config: str, group: int | None) -> None:
        self.path, self.config = os.path.dirname(config), config
        self._group = group
        self._flash = Flash()

    def prepare(self) -> None:
        """Make the directory; one that is there keeps its owner and mode, but for our own one. Rejected when a link lies where we will write."""
        for name in (NEW, form.KEYS):
            if os.path.islink(path := os.path.join(self.path, name)):
                raise Rejected(f"{path} is a link, expected a directory; remove it: nothing was changed")
        is_new = not os.path.isdir(self.path)
        self._flash.make_directory(self.path, FOLDER_MODE)
        if is_new or self.path == form.FOLDER:
            self._dress(self.path, FOLDER_MODE, self._group)

    def make_all(self) -> None:
        """Make the directory and all that belong in it, with the owners and modes that the wall wants; nothing is written where they are so."""
        self.prepare()
        self._make_folder(form.KEYS)
        self.make_own([os.path.join(self.path, name) for name in (form.STATE, SECRETS)])

    def make_own(self, paths: list[str]) -> None:
        """Make directories of root's alone; Rejected when something else lies there."""
        for path in paths:
            if os.path.islink(path) or (os.path.lexists(path) and not os.path.isdir(path)):
                raise Rejected(f"{path} is no directory; remove it, it is made anew")
            self._flash.make_directory(path)
            self._dress(path, OWN_MODE, None)

    @contextmanager
    def locked(self, wait_s: float = 0.0) -> Iterator[None]:
        """Be the only one who writes here while entered; Rejected when another is for `wait_s` seconds.

        The lock is that of SECRETS, which the daemon's user may not open: who may read a directory may lock it, and keep everybody else out.
        """
        own = os.path.join(self.path, SECRETS)
        self.make_own([own])
        with alone.flocked(os.open(own, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC), wait_s) as is_ours:
            if not is_ours:
                raise Rejected(f"another rwagent enroll is at work in {self.path}; wait for its end")
            yield

    def put(self, name: str, content: bytes) -> None:
        """Put a file in place, readable for the daemon."""
        self._flash.put(os.path.join(self.path, name), content, FILE_MODE, group=self._group)

    def put_settings(self, text: str) -> None:
        """Put agent.toml in place."""
        self._flash.put(self.config, text.encode(), FILE_MODE, group=self._group)

    def dress_settings(self) -> None:
        """Give the agent.toml that is there its owner and mode."""
        self._dress(self.config, FILE_MODE, self._group)

    def put_aside(self, files: Mapping[str, bytes], keys: Mapping[str, bytes]) -> None:
        """Put all of a bundle's files into NEW."""
        self.clear()
        self._make_folder(NEW)
        self._make_folder(f"{NEW}/{form.KEYS}")
        for name, content in files.items():
            self.put(f"{NEW}/{name}", content)
        for name, content in keys.items():
            self.put(f"{NEW}/{form.KEYS}/{name}", content)

    def raise_floor(self, state_dir: str, floor: int) -> None:
        """Raise the floor of revisions; a lower one changes nothing."""
        path = os.path.join(state_dir, "floor")
        before = (flash.read(path, 64) or b"").strip()
        if not before.isdigit() or int(before) < floor:
            self._flash.put(path, b"%d\n" % floor, 0o600)
        else:
            # A power cut may leave both names of what was put there.
            self._flash.remove(flash.temporary_of(path))

    def finish(self, document: Document, settle: Callable[[Document], str]) -> None:
        """Bring what settings name in NEW under the usual names; nothing to do when they name none.

        `settle` is told the settings that count from now on, and gives their text: until it has, agent.toml names NEW, so that it is told again.
        """
        aside = os.path.join(self.path, NEW)
        if all(document.get(table, {}).get(key) != f"{aside}/{name}" for table, key, name in NAMED):
            return
        keys = _read_all(f"{aside}/{form.KEYS}")
        for name in (form.CA, form.CERTIFICATE, form.KEY):
            self.put(name, flash.read(f"{aside}/{name}") or b"")
        self._make_folder(form.KEYS)
        for name, content in keys.items():
            self.put(f"{form.KEYS}/{name}", content)
        for name in os.listdir(os.path.join(self.path, form.KEYS)):
            if name not in keys:
                self._flash.remove(os.path.join(self.path, form.KEYS, name))
        self.put_settings(settle(naming(document, self.path)))
        self.clear()

    def clear(self) -> None:
        """Remove NEW, with what is in it."""
        aside = os.path.join(self.path, NEW)
        self._flash.remove_directory(f"{aside}/{form.KEYS}")
        self._flash.remove_directory(aside)

    def _make_folder(self, name: str) -> None:
        path = os.path.join(self.path, name)
        self._flash.make_directory(path, FOLDER_MODE)
        self._dress(path, FOLDER_MODE, self._group)

    def _dress(self, path: str, mode: int, group: int | None) -> None:
        """Make a path ours with a mode; only where it is not so already."""
        seen = os.stat(path)
        if seen.st_uid != os.geteuid() or (group is not None and seen.st_gid != group):
            os.chown(path, os.geteuid(), -1 if group is None else group)
        if stat.S_IMODE(seen.st_mode) != mode:
            os.chmod(path, mode)


def naming(document: Document, folder: str) -> Document:
    """Give settings that name the bundle's files in a directory."""
    named = {table: dict(keys) for table, keys in document.items()}
    for table, key, name in NAMED:
        named.setdefault(table, {})[key] = f"{folder}/{name}"
    return named


def group(backend: str) -> int | None:
    """Give the group of the daemon's user; None for one that has no other: the simulated access point, and whoever is not root."""
    if os.geteuid() or backend == "simulated":
        return None
    import grp

    try:
        return grp.getgrnam(GROUP).gr_gid
    except KeyError:
        how = f"addgroup --system {GROUP} && adduser --system --no-create-home --ingroup {GROUP} {GROUP}"
        raise Rejected(f"there is no group {GROUP}, whose user the agent runs as; install the package, or make them: {how}") from None


def _read_all(folder: str) -> Mapping[str, bytes]:
    return {name: flash.read(os.path.join(folder, name)) or b"" for name in sorted(os.listdir(folder)) if not flash.is_temporary(name)}
