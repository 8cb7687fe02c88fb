"""`rwagent enroll FILE`: puts a bundle of the city's in place, with the owners and modes that the applier's wall demands. Never loaded by the daemon.

Power may fail between any two steps, and the box has the old enrolment or the new one, whole: the new files are put aside in `enroll.new/`, complete and
checked; then agent.toml, which names every other file, is replaced by one that names those (the one step that counts); then the usual names get the new
files, which nobody uses at that moment; then agent.toml names them again, and `enroll.new/` goes. A run that was cut short is finished by the next.

What a technician set on this box stays: all of the old agent.toml but [agent], [broker] (its keepalive_s stays) and what `CITYS` names. The old file is
kept as agent.toml.old. Secrets and what was remembered of pushes stay; the revision floor only rises.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from agent import bundle, flash, identity, settings, settings_rules, wall
from agent.bundle import Bundle
from agent.errors import Rejected
from agent.flash import Flash
from agent.settings import Faults, Settings
from agent.wire import bundle as form

NEW = "enroll.new"
OLD = f"{form.SETTINGS}.old"
GROUP = "rwagent"
# Of these keys the city's value counts, whatever the box had; a table's name means all of it.
CITYS = ("agent", "broker", "report.interval_s", "report.sample_s", "router.contract_mbps", "push.keys_dir")
BOXES = ("broker.keepalive_s",)
NAMED = (("broker", "ca_file", form.CA), ("broker", "cert_file", form.CERTIFICATE), ("broker", "key_file", form.KEY), ("push", "keys_dir", form.KEYS))
FOLDER_MODE, FILE_MODE = 0o750, 0o640
Document = dict[str, Any]


class Enrolled(NamedTuple):
    """How it went: who this access point is now, what was kept of the old settings, and what is still not as it must be."""

    ap: str
    city: str
    kept: tuple[str, ...]
    faults: tuple[str, ...]
    text: str


def enroll(file: str, config: str, is_forced: bool = False, group_of: Callable[[str], int | None] | None = None) -> Enrolled:
    """Install a bundle beside `config`, and its settings as `config`; Rejected (or Faults) with the reason, and then nothing has changed.

    `is_forced`: also where this box is another access point, or another city's. `group_of`: the daemon's group by the router's backend.
    """
    given = bundle.load(file)
    config = os.path.abspath(config)
    try:
        return _installed(given, config, is_forced, group_of or _group)
    except OSError as error:
        where = error.filename or os.path.dirname(config)
        raise Rejected(f"{where}: {error.strerror}; what was enrolled before is still in force, or the new is: mend that and run the same again") from None


def _installed(given: Bundle, config: str, is_forced: bool, group_of: Callable[[str], int | None]) -> Enrolled:
    old_text, old = _old(config)
    folder = os.path.dirname(config)
    if not is_forced:
        _refuse_stranger(given, old, config)
    document, kept = _merged(_based(given.document, form.FOLDER, folder), old)
    final, aside = _naming(document, folder), _naming(document, f"{folder}/{NEW}")
    place = _Place(folder, config, group_of(document.get("router", {}).get("backend", "")))
    place.prepare()
    with _locked(folder):
        if old is not None:
            place.finish(old)
        try:
            place.put_aside(given)
            chosen = _resolved(config, aside)
            place.put_memory(chosen, given.floor)
            if old_text and old_text not in (_text(final, config), _text(aside, config)):
                place.put(OLD, old_text.encode())
        except (OSError, Rejected):
            place.clear()
            raise
        place.put_settings(aside)
        place.finish(aside)
    return _enrolled(given, settings.load(config), config, kept)


@contextmanager
def _locked(folder: str) -> Iterator[None]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Rejected(f"another rwagent enroll is at work in {folder}; wait for its end") from None
    finally:
        os.close(fd)


class _Place:
    """The directory of the settings: the one that writes there, each file durably and with its group."""

    def __init__(self, folder: str, config: str, group: int | None) -> None:
        self._folder, self._config, self._group = folder, config, group
        self._flash = Flash()

    def prepare(self) -> None:
        """Make the directory; one that is there keeps its owner and mode, but for our own one. Rejected when a link lies where we will write."""
        for name in (NEW, form.KEYS):
            if os.path.islink(path := os.path.join(self._folder, name)):
                raise Rejected(f"{path} is a link, expected a directory; remove it: nothing was changed")
        is_new = not os.path.isdir(self._folder)
        self._flash.make_directory(self._folder, FOLDER_MODE)
        if is_new or self._folder == form.FOLDER:
            self._dress(self._folder, FOLDER_MODE, self._group)

    def put(self, name: str, content: bytes) -> None:
        """Put a file in place, readable for the daemon."""
        self._flash.put(os.path.join(self._folder, name), content, FILE_MODE, group=self._group)

    def put_settings(self, document: Document) -> None:
        """Put the settings in place."""
        self._flash.put(self._config, _text(document, self._config).encode(), FILE_MODE, group=self._group)

    def put_aside(self, given: Bundle) -> None:
        """Put all of a bundle's files into NEW."""
        self.clear()
        self._make_folder(NEW)
        self._make_folder(f"{NEW}/{form.KEYS}")
        for name, content in given.files.items():
            self.put(f"{NEW}/{name}", content)
        for name, content in given.keys.items():
            self.put(f"{NEW}/{form.KEYS}/{name}", content)

    def put_memory(self, chosen: Settings, floor: int) -> None:
        """Make root's own directories, and raise the floor."""
        for path in (chosen.paths.state_dir, chosen.push.secrets_dir):
            if os.path.islink(path) or (os.path.lexists(path) and not os.path.isdir(path)):
                raise Rejected(f"{path} is no directory; remove it, it is made anew")
            self._flash.make_directory(path)
            self._dress(path, 0o700, None)
        path = os.path.join(chosen.paths.state_dir, "floor")
        before = (flash.read(path, 64) or b"").strip()
        if not before.isdigit() or int(before) < floor:
            self._flash.put(path, b"%d\n" % floor, 0o600)

    def finish(self, document: Document) -> None:
        """Bring what settings name in NEW under the usual names; nothing to do when they name none."""
        aside = os.path.join(self._folder, NEW)
        if all(document.get(table, {}).get(key) != f"{aside}/{name}" for table, key, name in NAMED):
            return
        keys = _read_all(f"{aside}/{form.KEYS}")
        for name in (form.CA, form.CERTIFICATE, form.KEY):
            self.put(name, flash.read(f"{aside}/{name}") or b"")
        self._make_folder(form.KEYS)
        for name, content in keys.items():
            self.put(f"{form.KEYS}/{name}", content)
        for name in os.listdir(os.path.join(self._folder, form.KEYS)):
            if name not in keys:
                self._flash.remove(os.path.join(self._folder, form.KEYS, name))
        self.put_settings(_naming(document, self._folder))
        self.clear()

    def clear(self) -> None:
        """Remove NEW, with what is in it."""
        aside = os.path.join(self._folder, NEW)
        self._flash.remove_directory(f"{aside}/{form.KEYS}")
        self._flash.remove_directory(aside)

    def _make_folder(self, name: str) -> None:
        path = os.path.join(self._folder, name)
        self._flash.make_directory(path, FOLDER_MODE)
        self._dress(path, FOLDER_MODE, self._group)

    def _dress(self, path: str, mode: int, group: int | None) -> None:
        """Make a directory ours with a mode; only where it is not so already."""
        seen = os.stat(path)
        if seen.st_uid != os.geteuid() or (group is not None and seen.st_gid != group):
            os.chown(path, os.geteuid(), -1 if group is None else group)
        if stat.S_IMODE(seen.st_mode) != mode:
            os.chmod(path, mode)


def _old(config: str) -> tuple[str, Document | None]:
    """Give the settings that are there, as text and as a document; None when there are none."""
    if not os.path.lexists(config):
        return "", None
    try:
        text = settings.read_file(config)
        return text, settings.parse_toml(config, text)
    except Faults as error:
        raise Rejected(f"{error}; what was set on this box is in it: mend it, or move it away: mv {config} {config}.bad") from None


def _refuse_stranger(given: Bundle, old: Document | None, config: str) -> None:
    """Rejected when this box is another access point already."""
    there = (old or {}).get("agent")
    if not isinstance(there, dict):
        return
    now = (there.get("id") or _certified(old or {}), there.get("city"))
    if now != (given.manifest.ap, given.manifest.city) and now[0]:
        ours, theirs = f"{now[0]} of {now[1]}", f"{given.manifest.ap} of {given.manifest.city}"
        raise Rejected(f"this box is {ours} ({config}), the bundle is for {theirs}; nothing was changed. If it is to become {theirs}: rwagent enroll --force")


def _certified(old: Document) -> str:
    """Give the id that the certificate in use says."""
    table = old.get("broker")
    path = table.get("cert_file", settings_rules.CERT_FILE) if isinstance(table, dict) else ""
    try:
        return identity.certificate(path).cn if isinstance(path, str) and path else ""
    except Rejected:
        return ""


def _merged(given: Document, old: Document | None) -> tuple[Document, tuple[str, ...]]:
    """Put what this box had of its own over what a bundle says; give the names of what was kept."""
    made = {table: dict(keys) for table, keys in given.items()}
    kept = []
    for table, keys in (old or {}).items():
        for key, value in keys.items() if isinstance(keys, dict) else ():
            name = f"{table}.{key}"
            if name not in BOXES and (table in CITYS or name in CITYS):
                continue
            if made.setdefault(table, {}).get(key) != value:
                kept.append(name)
            made[table][key] = value
    return made, tuple(kept)


def _based(document: Document, was: str, folder: str) -> Document:
    """Give settings whose files lie in another directory."""

    def moved(value: object) -> object:
        return folder + value[len(was) :] if isinstance(value, str) and value.startswith(f"{was}/") else value

    return {table: {key: moved(value) for key, value in keys.items()} if isinstance(keys, dict) else keys for table, keys in document.items()}


def _naming(document: Document, folder: str) -> Document:
    """Give settings that name the bundle's files in a directory."""
    named = {table: dict(keys) for table, keys in document.items()}
    for table, key, name in NAMED:
        named.setdefault(table, {})[key] = f"{folder}/{name}"
    return named


def _text(document: Document, config: str) -> str:
    try:
        return f"# Made by rwagent enroll; the file before it is {OLD}. docs/agent.toml names every key.\n\n{form.toml(document)}"
    except ValueError as error:
        raise Rejected(f"{config}: {error}; nothing was changed") from None


def _resolved(config: str, document: Document) -> Settings:
    """Judge the settings as the daemon will, all rules and the files they name; Faults when it would not start."""
    found, faults = settings_rules.resolve(settings.parse_toml(config, _text(document, config)))
    if found is None:
        raise Faults(config, faults)
    return found


def _read_all(folder: str) -> Mapping[str, bytes]:
    return {name: flash.read(os.path.join(folder, name)) or b"" for name in sorted(os.listdir(folder)) if not flash.is_temporary(name)}


def _group(backend: str) -> int | None:
    """Give the group of the daemon's user; None for one that has no other: the simulated access point, and whoever is not root."""
    if os.geteuid() or backend == "simulated":
        return None
    import grp

    try:
        return grp.getgrnam(GROUP).gr_gid
    except KeyError:
        how = f"addgroup --system {GROUP} && adduser --system --no-create-home --ingroup {GROUP} {GROUP}"
        raise Rejected(f"there is no group {GROUP}, whose user the agent runs as; install the package, or make them: {how}") from None


def _enrolled(given: Bundle, chosen: Settings, config: str, kept: tuple[str, ...]) -> Enrolled:
    manifest = given.manifest
    faults = tuple(_left(chosen, config))
    until = time.strftime("%Y-%m-%d", time.gmtime(manifest.certificate_expires_at))
    lines = [f"this is {manifest.ap} of {manifest.city} now; its certificate ends on {until}"]
    if kept:
        lines.append(f"kept as they were on this box: {', '.join(kept)} (the whole old file: {os.path.join(os.path.dirname(config), OLD)})")
    lines += [f"not as it must be, pushes will be refused: {fault}" for fault in faults]
    lines.append("next: start the agent anew (on OpenWrt: /etc/init.d/rwagent restart), then: rwagent doctor")
    return Enrolled(manifest.ap, manifest.city, kept, faults, "\n".join(lines))


def _left(chosen: Settings, config: str) -> Iterator[str]:
    """Say what the applier's wall would still refuse; what it makes itself in RAM is no matter."""
    if os.geteuid() and chosen.router.backend != "simulated":
        return
    yield from (fault for fault in wall.faults(chosen, config) if fault != _absent(chosen.paths.apply_dir))


def _absent(path: str) -> str:
    return f"{path} is missing; mkdir -m 700 {path}"


def to_json(done: Enrolled) -> str:
    """Give the result for machines."""
    return json.dumps({"v": 1, "ap": done.ap, "city": done.city, "kept": list(done.kept), "faults": list(done.faults)}, indent=2)
