"""`rwagent enroll FILE`: puts a bundle of the city's in place, with the owners and modes that the applier's wall demands. Never loaded by the daemon.

Power may fail between any two steps, and the box has the old enrolment or the new one, whole: the new files are put aside in `enroll.new/`, complete and
checked; then agent.toml, which names every other file, is replaced by one that names those (the one step that counts); then the usual names get the new
files, which nobody uses at that moment; then agent.toml names them again, and `enroll.new/` goes. A run that was cut short is finished by the next.

What a technician set on this box stays: all of the old agent.toml but [agent], [broker] (its keepalive_s stays) and what `CITYS` names. The old file is
kept as agent.toml.old. Secrets and what was remembered of pushes stay; the revision floor only rises.

On OpenWrt UCI has the settings (agent/settled.py): what it says of the box stays, and it gets the new ones before agent.toml names the usual names again.
Until it has, the next start of the service (agent/render.py) finishes what was cut short before it makes agent.toml of UCI: old UCI undoes no enrolment.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from agent import bundle, folder, identity, settings, settings_rules, settled, uci_settings, wall
from agent.bundle import Bundle
from agent.errors import Rejected, Unavailable
from agent.folder import NEW, Folder, naming
from agent.router.ubus import Ubus
from agent.settings import Faults, Settings
from agent.settled import Settled
from agent.uci_file import Places
from agent.wire import bundle as form

OLD = f"{form.SETTINGS}.old"
# Of these keys the city's value counts, whatever the box had; a table's name means all of it.
CITYS = ("agent", "broker", "report.interval_s", "report.sample_s", "router.contract_mbps", "push.keys_dir")
BOXES = ("broker.keepalive_s",)
TELL_S = 10.0
Document = dict[str, Any]


class Enrolled(NamedTuple):
    """How it went: who this access point is now, what was kept of the old settings, what is still not as it must be; whether UCI has the settings too."""

    ap: str
    city: str
    kept: tuple[str, ...]
    faults: tuple[str, ...]
    text: str
    is_in_uci: bool = False


def enroll(
    file: str, config: str, is_forced: bool = False, group_of: Callable[[str], int | None] = folder.group, places: Places | None = None, is_told: bool = True
) -> Enrolled:
    """Install a bundle beside `config`, and its settings as `config`; Rejected (or Faults) with the reason, and then nothing has changed.

    `is_forced`: also where this box is another access point, or another city's. `group_of`: the daemon's group by the router's backend.
    `places`: this is an OpenWrt box that keeps things there (None: that is found out). `is_told`: procd is to start the service with it.
    """
    given = bundle.load(file)
    config = os.path.abspath(config)
    try:
        done = _installed(given, config, is_forced, group_of, places)
    except (OSError, Unavailable) as error:
        what = f"{error.filename or os.path.dirname(config)}: {error.strerror}" if isinstance(error, OSError) else error
        raise Rejected(f"{what}; what was enrolled before is still in force, or the new is: mend that and run the same again") from None
    return _told(done, config) if is_told and done.is_in_uci else done


def _installed(given: Bundle, config: str, is_forced: bool, group_of: Callable[[str], int | None], places: Places | None) -> Enrolled:
    old_text, written = _old(config)
    home: Settled = settled.of(config, written) if places is None else settled.WithUci(config, places)
    old = home.old(written)
    if not is_forced:
        _refuse_stranger(given, old, config)
    document, kept = _merged(_based(given.document, form.FOLDER, os.path.dirname(config)), old)
    final, aside = naming(document, os.path.dirname(config)), naming(document, f"{os.path.dirname(config)}/{NEW}")
    place = Folder(config, group_of(document.get("router", {}).get("backend", "")))
    place.prepare()
    with place.locked(), home.locked():
        if written is not None:
            place.finish(written, home.settle)
        try:
            place.put_aside(given.files, given.keys)
            chosen = home.resolved(aside)
            place.make_own([chosen.paths.state_dir, chosen.push.secrets_dir])
            place.raise_floor(chosen.paths.state_dir, given.floor)
            if old_text and old_text not in (home.text(final), home.text(aside)):
                place.put(OLD, old_text.encode())
        except (OSError, Rejected):
            place.clear()
            raise
        place.put_settings(home.text(aside))
        place.finish(aside, home.settle)
    return _enrolled(given, settings.load(config), config, kept)._replace(is_in_uci=isinstance(home, settled.WithUci))


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


def _told(done: Enrolled, config: str) -> Enrolled:
    """Have procd start the service with it, as `reload_config` would; what it says is the last line."""
    event = {"type": "config.change", "data": {"package": uci_settings.PACKAGE}}
    bus = Ubus(settings.load(config).router.ubus_socket, TELL_S)
    try:
        bus.call("service", "event", event)
    except Unavailable as error:
        said = f"next: procd could not be told ({error}): /etc/init.d/rwagent restart, then: rwagent doctor"
    else:
        said = "the service starts anew with it; next: rwagent doctor"
    finally:
        bus.close()
    return done._replace(text=done.text.rpartition("next: ")[0] + said)


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
