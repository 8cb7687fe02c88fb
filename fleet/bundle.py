"""What an access point is enrolled with: one archive of settings, certificate, key, the city's public keys and the revision floor.

Simulations take the settings for other places from here: `settings_text(city, row, folder="/etc/rwagent", **tables)`, where each keyword is a table
of agent.toml whose keys go over those made here: settings_text(city, row, str(box), router={"backend": "simulated"}, paths={"run_dir": str(box / "run")}).
Two bundles of the same content are the same bytes. The form is agent.wire.bundle's; `rwagent enroll` takes it apart.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import sqlite3
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from agent.wire import bundle as form
from agent.wire import keyfile
from agent.wire.messages import Malformed
from fleet import files
from fleet.city import City
from fleet.errors import Refused
from fleet.inventory import Row

MAX_BYTES = 1 << 20


def settings_text(city: City, row: Row, folder: str = form.FOLDER, **tables: Mapping[str, object]) -> str:
    """Write agent.toml of one access point whose files lie in `folder` (absolute); `tables` go over what is made here, key by key."""
    made: dict[str, dict[str, object]] = {
        "agent": {"id": row.id, "city": city.name},
        "broker": {
            "host": city.broker.host,
            "port": city.broker.port,
            "tls": True,
            "ca_file": f"{folder}/{form.CA}",
            "cert_file": f"{folder}/{form.CERTIFICATE}",
            "key_file": f"{folder}/{form.KEY}",
        },
        "report": {"interval_s": city.report.interval_s, "sample_s": city.report.sample_s},
        "router": {"contract_mbps": row.contract_mbps},
        "push": {"keys_dir": f"{folder}/{form.KEYS}", "secrets_dir": f"{folder}/secrets"},
        "paths": {"state_dir": f"{folder}/{form.STATE}"},
    }
    for name, table in tables.items():
        made[name] = {**made.get(name, {}), **table}
    return form.toml(made)


def public_keys(city: City) -> dict[str, bytes]:
    """Read the city's public keys, as members of a bundle; Refused when there is none, or one that is no key."""
    found: dict[str, bytes] = {}
    for path in sorted(city.keys.glob("*.pub")):
        name, text = f"{form.KEYS}/{path.name}", files.read(path)
        if form.most_bytes(name) is None:
            raise Refused(f"{path}: has a name that no access point takes; rename it: letters, digits, _ . and - and .pub at the end")
        try:
            keyfile.parse_public_key(text)
        except Malformed as error:
            raise Refused(f"{path}: is no public key ({error}); remove it") from None
        found[name] = text
    if not 0 < len(found) <= form.MOST_KEYS:
        raise Refused(f"{city.keys}: {len(found)} public keys, expected 1 to {form.MOST_KEYS}; rwctl init makes the first")
    return found


def floors(connection: sqlite3.Connection) -> dict[str, int]:
    """Give the floor of each access point that was ever told a revision: what is signed with it, or with a lower one, is not taken any more.

    It is the one below the highest, which is what is wanted still: a router in the place of another has to take that from the broker without a new push.
    """
    found = connection.execute("SELECT i.id, max(r.revision) FROM revisions r JOIN inventory i ON i.number = r.ap GROUP BY i.id")
    return {ap: max(0, revision - 1) for ap, revision in found}


def members(city: City, row: Row, shared: Mapping[str, bytes], pair: tuple[bytes, bytes], expires_at: int, floor: int) -> dict[str, bytes]:
    """Give a bundle's members; `shared` is what all bundles of the city have (`shared_of`), `pair` certificate and key in PEM."""
    return {
        form.MANIFEST: form.manifest_text(form.Manifest(city.name, row.id, expires_at)),
        form.SETTINGS: settings_text(city, row).encode(),
        form.CERTIFICATE: pair[0],
        form.KEY: pair[1],
        form.FLOOR: b"%d\n" % floor,
        **shared,
    }


def shared_of(city: City) -> dict[str, bytes]:
    """Read what all bundles of a city have: the authority's certificate and the public keys."""
    return {form.CA: files.read(city.ca / "ca.pem"), **public_keys(city)}


def archive(content: Mapping[str, bytes]) -> bytes:
    """Pack members: root's, with the modes that they have on an access point, and no time in it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, mode in form.FOLDER_MODES.items():
            tar.addfile(_entry(name, mode, tarfile.DIRTYPE))
        for name in sorted(content, key=lambda name: (name != form.MANIFEST, name)):
            entry = _entry(name, form.MODES.get(name, form.KEY_MODE), tarfile.REGTYPE)
            entry.size = len(content[name])
            tar.addfile(entry, io.BytesIO(content[name]))
    return gzip.compress(packed.getvalue(), 6, mtime=0)


def read(path: Path) -> dict[str, bytes] | None:
    """Give the members of a bundle that we made; None when there is none, or one that is damaged. Refused when it may not be read."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Refused(f"{path}: cannot be read ({error.strerror})") from None
    try:
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(raw))) as tar:
            return {entry.name: inside.read() for entry in tar if (inside := tar.extractfile(entry)) is not None}
    except (OSError, EOFError, tarfile.TarError, zlib.error, KeyError, ValueError):  # gzip's own is an OSError
        return None


@contextlib.contextmanager
def locked(city: City) -> Iterator[None]:
    """Keep others from enrolling and revoking for the while; they wait. The bundles' folder is made when it is missing."""
    try:
        city.bundles.mkdir(mode=files.FOLDER, exist_ok=True)
        if city.bundles.stat().st_mode & 0o077:
            city.bundles.chmod(files.FOLDER)  # a key lies in each bundle
    except OSError as error:
        raise Refused(f"{city.bundles}: cannot be made ({error.strerror})") from None
    with files.locked(city.bundles):
        yield


def path_of(city: City, ap: str) -> Path:
    """Give the place of an access point's bundle."""
    return city.bundles / f"{ap}.tar.gz"


def _entry(name: str, mode: int, kind: bytes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.type, entry.uname, entry.gname = mode, kind, "root", "root"
    return entry
