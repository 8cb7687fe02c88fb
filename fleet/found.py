"""Founding a city: everything in its directory made, or mended when something is missing; a run that was cut short anywhere is finished by the next.

Promises never to replace a key, and never to touch what city.toml says.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from agent.wire import keyfile
from fleet import audit, authority, city, files, mosquitto, sign, store
from fleet.authority import Authority
from fleet.city import FILE, INGEST, OPERATOR, City
from fleet.errors import BadInput, Refused

RENEW_WITHIN_S = 60 * 86_400
MADE, MENDED, KEPT = "made", "mended", "kept"

CITY_TOML = """\
# The city of {name}. Made by `rwctl init`, yours to change from then on; nothing writes it again.
# After a change:  rwctl init DIR   (names of the broker), then start `rwctl broker run` and `rwctl serve` anew.

[city]
name = "{name}"  # in every topic and every bundle: never change it once access points are enrolled
zone = "{zone}"  # times are stored in UTC and shown in this zone
places = "kota-malang"  # whose kecamatan and kelurahan names are checked against
# key = "{name}"                     # keys/NAME.sec signs the pushes; default: the city's name

[broker]
host = "{host}"  # what access points connect to: a name or address that is right from outside
port = {port}
names = []  # more names and addresses for the broker's certificate
listen = "{listen}"  # the address that our mosquitto listens on for access points
city_host = "127.0.0.1"  # the listener for the city's own programs; loopback, unless they run elsewhere
city_port = {city_port}
own = {own}  # false: somebody else runs the broker; `rwctl broker check` says whether it will do

[fleet]
access_points = {access_points}  # the most there will be: the broker's queues are made for them
away_minutes = 60  # and for as long as `rwctl serve` may be away without losing a report

[report]
interval_s = {interval_s}  # what the bundles say; an access point reports so often
sample_s = {sample_s}

[store]
raw_months = 2  # single reports are kept so long
hours_months = 14  # and hourly figures so long
"""


class Wishes(NamedTuple):
    """What was asked for; None: not said. All but `name` have a default when the city is new."""

    name: str | None = None
    host: str | None = None
    port: int | None = None
    listen: str | None = None
    city_port: int | None = None
    access_points: int | None = None
    interval_s: int | None = None
    zone: str | None = None
    own: bool | None = None


class Step(NamedTuple):
    """What was done about one thing: `done` is made, mended or kept; `why` explains a mend."""

    what: str
    done: str
    why: str = ""


def found(folder: Path, wishes: Wishes, passphrase_file: str | None = None, clock: Callable[[], float] = time.time) -> Iterator[Step]:
    """Make or mend a city's directory, telling each step once it is done; BadInput when a wish is not what city.toml says."""
    if not folder.exists() and wishes.name is None:
        raise _nameless(folder)
    yield _folder(folder)
    with files.locked(folder):
        yield _settings(folder, wishes)
        at = city.load(folder)
        acts = []
        for step in _steps(at, passphrase_file, clock):
            if step.done != KEPT:
                acts.append(step)
            yield step
        # A run that was cut short before it told the log is told by the next.
        if acts or not any(entry["what"] == "init" for entry in audit.entries(at)):
            audit.record(at, "init", {done: [step.what for step in acts if step.done == done] for done in (MADE, MENDED)})


def server_certificate(at: City, clock: Callable[[], float] = time.time) -> Step:
    """Make the broker's certificate, and renew it when it ends soon, is not ours, or is for other names than city.toml says; its key stays."""
    ca, names = authority.open_authority(at, clock=clock), server_names(at)
    return _leaf(
        at.broker_folder / "server", "the broker's certificate", ca, clock, lambda key: ca.server(names, key=key), lambda read: set(read.names) == set(names)
    )


def server_names(at: City) -> tuple[str, ...]:
    """Give the host names and addresses that the broker is found under: outside, and by the city's own programs."""
    broker = at.broker
    wanted = (broker.host, *broker.names, broker.listen, broker.city_host, "localhost", "127.0.0.1")
    return tuple(name for name in dict.fromkeys(wanted) if name not in ("0.0.0.0", "::"))


def _steps(at: City, passphrase_file: str | None, clock: Callable[[], float]) -> Iterator[Step]:
    yield from _folders(at)
    yield from _leftovers(at)
    yield from _modes(at)
    is_new = not (at.store / "city.db").exists()
    store.open_city(at).close()
    yield Step("the store", MADE if is_new else KEPT)
    for name, what in ((authority.CA, "access points"), (authority.OPERATORS, "operators")):
        yield _authority(at, name, f"{at.name} {what}", clock)
    with files.locked(at.ca):
        yield _revoked(at, clock)
    operators = authority.open_authority(at, authority.OPERATORS, clock)
    for name in (INGEST, OPERATOR):
        yield _leaf(at.clients / name, f"the certificate of {name}", operators, clock, _client_maker(operators, name), lambda _read: True)
    yield _signing_key(at, passphrase_file)
    yield server_certificate(at, clock)
    is_new = not (at.broker_folder / "mosquitto.conf").exists()
    changed = mosquitto.write(at)
    yield Step("the broker's configuration", (MADE if is_new else MENDED) if changed else KEPT, ", ".join(changed) if changed and not is_new else "")


def _folder(folder: Path) -> Step:
    """The city's directory: its owner's alone. A directory with other things in it is refused."""
    try:
        folder.mkdir(mode=files.FOLDER, parents=True)
        return Step(str(folder), MADE)
    except FileExistsError:
        pass
    except OSError as error:
        raise Refused(f"{folder}: cannot be made ({error.strerror})") from None
    if not folder.is_dir():
        raise BadInput(f"{folder}: is no directory")
    owner = folder.stat().st_uid
    if owner != os.geteuid():
        who = pwd.getpwuid(owner).pw_name if owner in {entry.pw_uid for entry in pwd.getpwall()} else str(owner)
        raise Refused(f"{folder}: belongs to {who}; run this as {who}:  sudo -u {who} rwctl init {folder}")
    strange = sorted(path.name for path in folder.iterdir() if path.name != f".{FILE}.new")
    if strange and not (folder / FILE).exists():
        raise Refused(f"{folder}: is no city's directory and not empty ({', '.join(strange[:3])}); name a new one")
    return _closed(folder, files.FOLDER) or Step(str(folder), KEPT)


def _settings(folder: Path, wishes: Wishes) -> Step:
    path = folder / FILE
    if path.exists():
        _refuse_changes(city.load(folder), wishes)
        return Step(FILE, KEPT)
    if wishes.name is None:
        raise _nameless(folder)
    text = _city_toml(wishes)
    city.parse(folder, text)
    files.put_new(path, text.encode())
    return Step(FILE, MADE)


def _nameless(folder: Path) -> BadInput:
    return BadInput(f"{folder}: is no city's directory yet; say its name:  rwctl init {folder} --name malang")


def _city_toml(wishes: Wishes) -> str:
    default, limits, interval = city.Broker(), city.Limits(), wishes.interval_s if wishes.interval_s is not None else city.Report().interval_s
    given = {name: value for name, value in wishes._asdict().items() if value is not None}
    values = {
        "zone": "Asia/Jakarta",
        "host": default.host,
        "port": default.port,
        "listen": default.listen,
        "city_port": default.city_port,
        "access_points": limits.access_points,
    }
    values |= given | {"interval_s": interval, "sample_s": min(10, interval), "own": str(wishes.own is not False).lower()}
    return re.sub(r"^([^#\n]+?) +# ", lambda line: f"{line[1]:<37}# ", CITY_TOML.format(**values), flags=re.M)


def _refuse_changes(at: City, wishes: Wishes) -> None:
    said = {
        "name": ("city.name", at.name),
        "host": ("broker.host", at.broker.host),
        "port": ("broker.port", at.broker.port),
        "listen": ("broker.listen", at.broker.listen),
        "city_port": ("broker.city_port", at.broker.city_port),
        "access_points": ("fleet.access_points", at.limits.access_points),
        "interval_s": ("report.interval_s", at.report.interval_s),
        "zone": ("city.zone", at.zone),
        "own": ("broker.own", at.broker.is_own),
    }
    asked = ((*said[name], value) for name, value in wishes._asdict().items() if value is not None)
    faults = [f"{path} is {now!r}, not {value!r}; change it there, then run init again without the option" for path, now, value in asked if now != value]
    if faults:
        raise BadInput("\n".join(f"{at.folder / FILE}: {fault}" for fault in faults))


def _folders(at: City) -> Iterator[Step]:
    for path in (at.ca, at.broker_folder, at.broker_folder / "data", at.clients, at.keys, at.secrets, at.bundles, at.store):
        is_new = not path.is_dir()
        if is_new:
            _make_folder(path, _broker_owner() if path == at.broker_folder else files.owner_of(path.parent))
        yield (None if is_new else _closed(path, files.FOLDER)) or Step(_short(at, path) + "/", MADE if is_new else KEPT)
    owner = _broker_owner()
    if owner is not None and at.broker_folder.stat().st_uid != owner[0]:
        for path in (at.broker_folder, *at.broker_folder.rglob("*")):
            os.chown(path, *owner, follow_symlinks=False)
        yield Step("broker/", MENDED, f"given to user {pwd.getpwuid(owner[0]).pw_name}, as whom mosquitto runs")


def _make_folder(path: Path, owner: files.Owner | None) -> None:
    """Make a directory with its owner in one step: by another name first."""
    beside = path.with_name(f".{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        beside.rmdir()
    beside.mkdir(mode=files.FOLDER)
    if owner is not None:
        os.chown(beside, *owner)
    beside.rename(path)


def _broker_owner() -> files.Owner | None:
    """Whom mosquitto runs as: started by root it is a user of its own where there is one."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("mosquitto")
    except KeyError:
        return None
    return entry.pw_uid, entry.pw_gid


def _leftovers(at: City) -> Iterator[Step]:
    """Take away what killed runs left half-done; a key may be in it."""
    for folder in (at.folder, at.ca, at.clients, at.keys, at.broker_folder, at.secrets, at.bundles):
        with files.locked(folder) if folder != at.folder else contextlib.nullcontext():
            for path in folder.glob(".*.new"):
                path.unlink() if not path.is_dir() else path.rmdir()
                yield Step(_short(at, path), MENDED, "was half-done, taken away")


def _modes(at: City) -> Iterator[Step]:
    """Close what others may read."""
    keys = ((at.ca, "*.key"), (at.clients, "*.key"), (at.broker_folder, "*.key"), (at.keys, "*.sec"), (at.secrets, "*"), (at.bundles, "*"))
    audited = [at.audit] if at.audit.exists() else []
    for path in (*(path for folder, kind in keys for path in sorted(folder.glob(kind))), *audited):
        if step := _closed(path, files.PRIVATE):
            yield step._replace(what=_short(at, path))


def _closed(path: Path, mode: int) -> Step | None:
    was = stat.S_IMODE(path.stat().st_mode)
    if not was & 0o077:
        return None
    path.chmod(mode)
    return Step(str(path), MENDED, f"others could get at it (mode {was:o}), now {mode:o}")


def _authority(at: City, name: str, cn: str, clock: Callable[[], float]) -> Step:
    certificate, key = at.ca / f"{name}.pem", at.ca / f"{name}.key"
    what = f"the authority for {cn.removeprefix(f'{at.name} ')}"
    if certificate.exists() and not key.exists():
        raise Refused(f"{key}: is missing; bring it back from the backup: with a new one every bundle would have to be made and carried out again")
    is_new = not certificate.exists()
    if not key.exists():
        files.put_new(key, authority.new_key(), files.PRIVATE)
    if is_new:
        files.put_new(certificate, authority.self_signed(_readable(key), cn, clock()))
    authority.open_authority(at, name)
    return Step(what, MADE if is_new else KEPT)


def _readable(key: Path) -> bytes:
    text = files.read_private(key)
    if not authority.is_key(text):
        raise Refused(f"{key}: is no key that can be read; bring it back from the backup")
    return text


def _revoked(at: City, clock: Callable[[], float]) -> Step:
    """The list of revoked certificates: whole, and with everything that the store calls revoked."""
    what, ca = "the list of revoked certificates", authority.open_authority(at, clock=clock)
    path, copy = at.ca / "crl.pem", at.broker_folder / "crl.pem"
    kept = next((text for text in (files.read(one) for one in (path, copy) if one.exists()) if ca.has_listed(text)), None)
    with contextlib.closing(store.open_city(at)) as connection:
        wanted = {row[0] for row in connection.execute("SELECT serial FROM certificates WHERE revoked_at IS NOT NULL")}
    is_new, missing = not path.exists(), wanted - (authority.revoked(kept) if kept else frozenset())
    if not is_new and kept and not missing and files.read(path) == kept:
        return Step(what, KEPT)
    files.put(path, ca.crl(kept, sorted(missing)))
    return Step(what, MADE if is_new and not missing else MENDED, f"{len(missing)} were missing on it" if missing else "")


def _leaf(
    stem: Path,
    what: str,
    signer: Authority,
    clock: Callable[[], float],
    make: Callable[[bytes | None], authority.Issued],
    is_for: Callable[[authority.Certificate], bool],
) -> Step:
    """A certificate that may be made anew at any time, for a key that stays."""
    certificate, key = stem.with_name(f"{stem.name}.pem"), stem.with_name(f"{stem.name}.key")
    why = "" if not certificate.exists() else _fault(certificate, key, signer, clock(), is_for)
    if certificate.exists() and not why:
        return Step(what, KEPT)
    with files.locked(stem.parent):
        issued = make(_readable(key) if key.exists() else None)
        if not key.exists():
            files.put_new(key, issued.key, files.PRIVATE)
        files.put(certificate, issued.certificate, files.PUBLIC)
    return Step(what, MENDED if why else MADE, why)


def _fault(certificate: Path, key: Path, signer: Authority, now: float, is_for: Callable[[authority.Certificate], bool]) -> str:
    text = files.read(certificate)
    if not signer.has_signed(text):
        return "was not this city's"
    read = authority.read(text)
    faults = {
        "its key was missing": not key.exists(),
        "was not its key's": key.exists() and not authority.is_pair(text, _readable(key)),
        "was for other names": not is_for(read),
        f"ended within {RENEW_WITHIN_S // 86_400} days": read.expires_at < now + RENEW_WITHIN_S,
    }
    return next((fault for fault, is_so in faults.items() if is_so), "")


def _client_maker(signer: Authority, name: str) -> Callable[[bytes | None], authority.Issued]:
    return lambda key: signer.client(name, key=key)


def _signing_key(at: City, passphrase_file: str | None) -> Step:
    """The pair that pushes are signed with. A public half alone is as good: the secret one may be kept elsewhere."""
    secret, public = at.signing_key, at.signing_key.with_suffix(".pub")
    what, name = f"the signing key {_short(at, secret)}", at.signing_key.stem
    if public.exists():
        return Step(what, KEPT)
    is_new = not secret.exists()
    if is_new:
        phrase = sign.passphrase_of(passphrase_file) if passphrase_file else b""
        key = sign.make_key()
        files.put_new(secret, sign.secret_file(key, phrase, f"{name} secret key"), files.PRIVATE)
    else:
        key = sign.unlocked(str(secret), passphrase_file)
    files.put_new(public, keyfile.public_key(key.public, f"{name} public key"))
    return Step(what, MADE if is_new else MENDED, "" if is_new else f"its public half {_short(at, public)} was missing")


def _short(at: City, path: Path) -> str:
    return str(path.relative_to(at.folder))
