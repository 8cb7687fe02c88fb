"""Where simulated access points come from: a city's bundles, or made-up names at a plain broker on loopback.

Writes only into the folder it is given, which lies in RAM and goes with the run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from agent.settings import Settings
from agent.settings_rules import resolve
from agent.wire import bundle as form
from fleet import bundle, city, store
from fleet.errors import BadInput, Refused

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SUFFIX = ".tar.gz"
PLAIN_CITY = "bench"
PROVIDERS = ("Awinet", "Biznet", "Indihome", "MyRepublic")
MANY = 2000
STATIONS_PEAK = 40
LITTLE_OUTBOX_BYTES = 128 * 1024  # of many points each outbox's files take a quarter of the RAM


class Origin(NamedTuple):
    """One access point to be simulated: its name, its provider, and its bundle (None: it needs none)."""

    ap: str
    provider: str
    bundle: Path | None


class Wanted(NamedTuple):
    """What the run asks of every access point: its folder, seconds between reports (None: as its bundle says), whether there are many, the broker's port,
    the dice's seed.
    """

    folder: Path
    interval_s: float | None
    is_many: bool
    port: int = 0
    seed: int = 1


def of_city(folder: Path, most: int | None, but: Sequence[str] = ()) -> list[Origin]:
    """Give the enrolled access points of a city that have bundles, by name, without those that are real (`but`); Refused when there are none."""
    found = city.load(folder)
    with_bundle = {path.name.removesuffix(SUFFIX): path for path in found.bundles.glob(f"*{SUFFIX}")}
    inventory = store.open_city(found)
    try:
        rows = inventory.execute("SELECT id, provider FROM inventory WHERE revoked_at IS NULL ORDER BY id").fetchall()
    finally:
        inventory.close()
    origins = [Origin(ap, provider, with_bundle[ap]) for ap, provider in rows if ap in with_bundle and ap not in but]
    if not origins:
        raise Refused(f"{found.bundles}: has no bundle of an enrolled access point; make some:  rwctl --dir {folder} enroll --csv FILE")
    if most is not None and most > len(origins):
        raise BadInput(f"--points is {most}, but only {len(origins)} enrolled access points have a bundle in {found.bundles}")
    return origins[:most]


def plain(count: int) -> list[Origin]:
    """Make up names for a plain broker."""
    return [Origin(f"rw-{number:05d}", PROVIDERS[number % len(PROVIDERS)], None) for number in range(1, count + 1)]


def settings_of(origin: Origin, wanted: Wanted, stations_peak: int = STATIONS_PEAK) -> Settings:
    """Unpack an access point's bundle, and give its settings with all paths in its own folder; Refused when they cannot be used.

    `stations_peak`: the stations of its busiest hour, for root's half, which has to find the same ones.
    """
    own = wanted.folder / origin.ap
    for name in ("run", form.STATE):
        (own / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    if origin.bundle is None:
        document: dict[str, Any] = {"agent": {"id": origin.ap, "city": PLAIN_CITY}, "broker": {"host": "127.0.0.1", "port": wanted.port, "tls": False}}
    else:
        _unpack(origin.bundle, own)
        document = tomllib.loads((own / form.SETTINGS).read_text(encoding="utf-8"))
        document["broker"] |= {"ca_file": str(own / form.CA), "cert_file": str(own / form.CERTIFICATE), "key_file": str(own / form.KEY)}
    document["router"] = document.get("router", {}) | {"backend": "simulated", "adopt": ["public_radio0", "public_radio1"]}
    document["simulated"] = {"seed": wanted.seed, "stations_peak": stations_peak}
    document["push"] = {"keys_dir": str(own / form.KEYS), "secrets_dir": str(own / "secrets")}
    document["paths"] = {"state_dir": str(own / form.STATE), "run_dir": str(own / "run")}
    if wanted.interval_s is not None:
        document["report"] = document.get("report", {}) | {"interval_s": wanted.interval_s, "sample_s": min(10, wanted.interval_s)}
    if wanted.is_many:
        document["outbox"] = {"max_bytes": LITTLE_OUTBOX_BYTES}
    settings, faults = resolve(document)
    if settings is None:
        raise Refused("\n".join(f"{origin.bundle or origin.ap}: {fault.sentence()}" for fault in faults))
    (own / form.SETTINGS).write_text(form.toml(document), encoding="utf-8")
    return settings


def _unpack(path: Path, own: Path) -> None:
    """Write a bundle's members below `own`, private all of them."""
    members = bundle.read(path)
    if members is None:
        raise Refused(f"{path}: is no bundle that can be read; make it anew:  rwctl enroll {path.name.removesuffix(SUFFIX)} --replace")
    for name, content in members.items():
        if form.most_bytes(name) is None:
            continue
        target = own / name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)


def share(origins: Sequence[Origin], part: int, parts: int) -> list[tuple[int, Origin]]:
    """Give one process's share with each one's number; families of neighbours stay together."""
    first, end = len(origins) * part // parts, len(origins) * (part + 1) // parts
    return list(enumerate(origins[first:end], first))
