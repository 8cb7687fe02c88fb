"""Revocation: an access point's certificates are refused from now on, its connection ends, and nothing waits for it on the broker any more.

Can be repeated: what an earlier run left undone is done, what is done stays.
"""

from __future__ import annotations

import re
import sqlite3
import time
from contextlib import suppress
from typing import NamedTuple

from agent.wire import topics
from fleet import audit, authority, bundle, inventory, kick
from fleet.city import OPERATOR, City
from fleet.errors import BadInput, Refused
from fleet.mqtt import Client

WITHIN_S = 5.0
SERIAL = re.compile(r"[0-9a-f]{32}")


class Revoked(NamedTuple):
    """How it went: how many certificates, since when (the first time), whether nothing with them is connected, what the broker did, what is left to do."""

    ap: str
    certificates: int
    since: int
    is_out: bool
    broker: str
    left: str
    took_s: float


class Found(NamedTuple):
    """Who is to be shut out: the inventory's row (None: it has none, status calls it pending) and every certificate that was ever made for it."""

    known: inventory.Known | None
    serials: tuple[str, ...]


def find(city: City, connection: sqlite3.Connection, ap: str) -> Found:
    """Give what is known of an access point; BadInput, with what is close to it, when nothing is.

    Certificates are those of the store and those of the audit log: a store that was lost does not make them good for ever.
    """
    known = inventory.known(connection)
    stored = {serial for (serial,) in connection.execute("SELECT serial FROM certificates WHERE ap = ?", (ap,))}
    told = (entry["data"].get("certificates") for entry in audit.entries(city) if entry.get("what") == "enroll" and isinstance(entry.get("data"), dict))
    serials = stored | {serial for one in told if isinstance(one, dict) and SERIAL.fullmatch(serial := str(one.get(ap)))}
    if ap not in known and not serials:
        raise BadInput(f"{ap!r} is not enrolled{inventory.close_to(ap, known)}; a certificate that the city knows nothing of: rwctl revoke --certificate FILE")
    return Found(known.get(ap), tuple(sorted(serials)))


def revoke(city: City, connection: sqlite3.Connection, ap: str) -> Revoked:
    """Shut an access point out; Refused when our own broker does not take it."""
    began, now = time.monotonic(), int(time.time())
    known, serials = find(city, connection, ap)
    since = known.revoked_at if known else None
    if (known and since is None) or not set(serials) <= authority.listed(city):
        audit.record(city, "revoke", {"ap": ap, "certificates": list(serials)})
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        connection.execute("UPDATE inventory SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?", (now, ap))
        connection.execute("UPDATE certificates SET revoked_at = coalesce(revoked_at, ?), replaced = 0 WHERE ap = ?", (now, ap))
    with suppress(FileNotFoundError):
        bundle.path_of(city, ap).unlink()  # nobody is to carry it out to an access point any more
    outcome = kick.shut_out(city, ap, serials, is_for_good=True)
    return Revoked(ap, len(serials), since or now, outcome.is_out, outcome.text, _cleared(city, ap), time.monotonic() - began)


def revoke_one(city: City, connection: sqlite3.Connection, certificate: bytes) -> Revoked:
    """Have one certificate refused, of whomever it is: nothing else of its access point is touched. BadInput when it is none of this city's."""
    began, now = time.monotonic(), int(time.time())
    ap, serial = named(city, certificate)
    if serial not in authority.listed(city):
        audit.record(city, "revoke", {"ap": ap, "certificates": [serial]})
    connection.execute("UPDATE certificates SET revoked_at = coalesce(revoked_at, ?) WHERE serial = ?", (now, serial))
    outcome = kick.shut_out(city, ap, [serial])
    return Revoked(ap, 1, now, outcome.is_out, outcome.text, "", time.monotonic() - began)


def named(city: City, certificate: bytes) -> tuple[str, str]:
    """Give the access point and the serial that a certificate says; BadInput when it is none that this city gave to an access point."""
    if not authority.open_authority(city).has_signed(certificate):
        raise BadInput(f"this is no certificate of {city.name}'s access points, expected an access point's client.pem")
    said = authority.read(certificate)
    if not topics.is_name(said.cn):
        raise BadInput(f"this is the certificate of {said.cn}, expected an access point's client.pem")
    return said.cn, said.serial


def _cleared(city: City, ap: str) -> str:
    """Take the config that waits for it off the broker; say what hindered it."""
    topic = f"{topics.root(city.name, ap)}/{topics.CONFIG_DESIRED}"
    try:
        client = Client(city, OPERATOR)
        client.start(WITHIN_S)
    except Refused as error:
        return f"its config may still be on the broker, where nobody but it may read it ({error}); run the same again when the broker can be reached"
    try:
        if client.wait_published([client.publish(topic, b"", retain=True)], WITHIN_S):
            return f"its config may still be on the broker, which does not answer; run the same again (or: mosquitto_pub -r -n -t {topic})"
    finally:
        client.close()
    return ""
