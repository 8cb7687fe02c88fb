"""A push from what is wanted to what the broker took: recorded, numbered, signed, kept, published, in this order.

Whatever dies between two steps, the next push or `rwctl serve` goes on from there: a revision, once it has a content, never gets another, and signing
it again gives the same bytes. One at a time: what is retained on the broker is always an access point's last revision.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from agent.wire import claims, topics
from agent.wire.claims import ConfigClaims
from agent.wire.messages import MAX_INTEGER, Payload
from fleet import audit, changes, draft, files, sign, store
from fleet.changes import Change, Revision
from fleet.city import City
from fleet.draft import Draft, Target, Wish
from fleet.errors import BadInput, Refused
from fleet.secrets import Secrets
from fleet.selector import Node, Point
from fleet.sign import SecretKey

PUSH, REVERT = "push", "revert"
LOCK = "push.lock"
LOCK_WITHIN_S = 60.0
TAKEN_WITHIN_S = 30.0  # how long the broker may need for all of a push
# An access point refuses a revision that is further above its last one (agent/revisions.py).
MOST_JUMP = 1_000_000
LONGEST_NOTE = 400


class Line(Protocol):
    """What a push needs of the city's MQTT client."""

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, qos: int = 1) -> int:
        """Send a message; give its packet identifier."""

    def wait_published(self, mids: Iterable[int], within_s: float) -> set[int]:
        """Wait until the broker took these; give those that it did not."""


class Act(NamedTuple):
    """Who changes what, and how: for the record, and for the claims."""

    kind: str
    author: str
    note: str = ""
    confirm_within_s: int = claims.CONFIRM_WITHIN_S
    source: str = ""  # the file, or the change that is put back


class Published(NamedTuple):
    """What the broker took, by id, and what it did not. `seconds`: from the first PUBLISH to the last PUBACK."""

    taken: dict[str, int]
    missing: dict[str, int]
    seconds: float = 0.0


def check_act(act: Act) -> None:
    """Refuse an author or a note that the claims or the record would not take; BadInput."""
    if not 0 < len(act.author) <= claims.LONGEST_AUTHOR or not act.author.isprintable():
        raise BadInput(f"--author is {act.author!r}, expected 1 to {claims.LONGEST_AUTHOR} printable characters")
    if len(act.note) > LONGEST_NOTE or not act.note.isprintable():
        raise BadInput(f"--note has {len(act.note)} characters, expected at most {LONGEST_NOTE}, printable, on one line")


def prepare(connection: sqlite3.Connection, wish: Wish, below: Sequence[Point], secrets: Secrets, is_written_now: bool = True) -> Draft:
    """Make a draft of what the store says now and check all of it; BadInput with every fault."""
    in_force = changes.in_force(connection)
    found = draft.make(wish, below, in_force, changes.newest(connection))
    if is_written_now:
        draft.check_removals(found, in_force)
    draft.check_sizes(found, secrets)
    return found


def restore_keys(connection: sqlite3.Connection, node: Node, secrets: Secrets) -> None:
    """Write the lost files of keys that the node's layer in force names and that were given again, before the want of another lost one stops the push."""
    there = changes.in_force(connection).get(node)
    if there:
        secrets.keep(there.document)


def needs_key(connection: sqlite3.Connection, found: Draft) -> bool:
    """Say whether there is something to sign: of this push, or of one that died before."""
    return bool(found.due) or any(revision.jws is None for revision in changes.waiting(connection).values())


def commit(
    city: City,
    connection: sqlite3.Connection,
    found: Draft,
    act: Act,
    key: SecretKey | None,
    secrets: Secrets,
    reported: Mapping[str, int],
) -> int | None:
    """Record a draft, give its access points their revisions and sign them; give the change's number (None: there is nothing new).

    `reported`: the highest revision that each access point names. Only for who holds `alone` since the draft was made.
    """
    number = None
    if found.is_new or found.due:
        number, now = changes.next_number(connection), int(time.time())
        audit.record(city, act.kind, _entry(found, act, number))
        secrets.keep(found.layer)
        with store.transaction(connection):
            changes.add_change(connection, Change(number, now, act.author, act.kind, found.node, found.layer, act.note))
            for target in found.due:
                changes.add_revision(connection, _revision(target, act, number, now, reported.get(target.point.id, 0)))
    if key is not None:
        sign_waiting(city, connection, key, secrets)
    return number


def sign_waiting(city: City, connection: sqlite3.Connection, key: SecretKey, secrets: Secrets) -> None:
    """Sign what has its revision and no signature yet, each with what the store says of it and nothing else."""
    unsigned = {ap: revision for ap, revision in changes.waiting(connection).items() if revision.jws is None}
    signed = {ap: sign.push(key, claims_of(city, ap, revision, secrets)) for ap, revision in unsigned.items()}
    if not signed:
        return
    # Before any of it leaves this process.
    audit.record(city, "sign", signing_entry(key, claims.KIND, {ap: revision.revision for ap, revision in unsigned.items()}, signed))
    with store.transaction(connection):
        for ap, revision in unsigned.items():
            changes.put_jws(connection, revision, signed[ap])


def publish_waiting(city: City, connection: sqlite3.Connection, line: Line, within_s: float = TAKEN_WITHIN_S) -> Published:
    """Send everything that the broker has not taken yet, all at once, and note what it took. Only for who holds `alone`."""
    signed = {ap: (revision, revision.jws) for ap, revision in changes.waiting(connection).items() if revision.jws is not None}
    began = time.monotonic()
    mids = {}
    for ap, (_, jws) in signed.items():
        mids[line.publish(f"{topics.root(city.name, ap)}/{topics.CONFIG_DESIRED}", jws, retain=True, qos=1)] = ap
    late = {mids[mid] for mid in line.wait_published(mids, within_s)}
    seconds = time.monotonic() - began
    now = int(time.time())
    with store.transaction(connection):
        for ap, (revision, _) in signed.items():
            if ap not in late:
                changes.put_published(connection, revision, now)
    revisions = {ap: revision.revision for ap, (revision, _) in signed.items()}
    taken = {ap: revision for ap, revision in revisions.items() if ap not in late}
    return Published(taken, {ap: revisions[ap] for ap in late}, seconds)


def republish(city: City, line: Line, within_s: float = TAKEN_WITHIN_S) -> Published:
    """Send what a push that died left behind, as far as it is signed; nothing while another push is under way, which does it itself."""
    with contextlib.closing(store.open_city(city)) as connection:
        try:
            with alone(city, 0):
                return publish_waiting(city, connection, line, within_s)
        except Busy:
            return Published({}, {})


class Busy(Refused):
    """Another push is under way."""


@contextlib.contextmanager
def alone(city: City, within_s: float = LOCK_WITHIN_S) -> Iterator[None]:
    """Be the only push of this city; Busy when another one does not end in time. A killed one holds nothing."""
    path = city.store / LOCK
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise Refused(f"{path}: cannot be opened ({error.strerror})") from None
    try:
        if not files.is_taken(fd, within_s):
            raise Busy(f"{path}: another push is under way for more than {within_s:g} s; wait for it, or end it")
        yield
    finally:
        os.close(fd)


def claims_of(city: City, ap: str, revision: Revision, secrets: Secrets, kind: str = claims.KIND) -> ConfigClaims:
    """Give the claims of a revision: always the same ones."""
    whole = secrets.put_back(revision.document, lambda _path: f"revision {revision.revision} of {ap} (change {revision.change})")
    return ConfigClaims(city.name, ap, revision.revision, revision.at, revision.author, whole, revision.confirm_within_s, revision.is_below_contract, kind)


def signing_entry(key: SecretKey, kind: str, revisions: Mapping[str, int], messages: Mapping[str, bytes]) -> Payload:
    """Say for the audit log which key signed what: the hash is over all messages, by id."""
    together = hashlib.sha256(b"\n".join(messages[ap] for ap in sorted(messages)))
    return {"kid": key.kid, "kind": kind, "revisions": dict(sorted(revisions.items())), "sha256": together.hexdigest()}


def next_revision(last: int, reported: int) -> int:
    """Give the revision after the highest of what the store knows and what the access point says; what it cannot have been told does not count."""
    return max(last, reported if reported < min(last + MOST_JUMP, MAX_INTEGER) else 0) + 1


def heard_by_serve(city: City, points: Iterable[Point]) -> dict[str, Payload]:
    """Give what each access point last said in its config/reported, as far as `rwctl serve` heard it."""
    ids = {point.number: point.id for point in points}
    with contextlib.closing(store.open_live(city)) as live:
        rows = live.execute("SELECT ap, reported FROM state WHERE reported IS NOT NULL").fetchall()
    return {ids[number]: decoded for number, text in rows if number in ids and isinstance(decoded := _decoded(text), dict)}


def highest(message: Mapping[str, object]) -> int:
    """Give the highest revision that a config/reported vouches for: of what no signature vouched for none is."""
    named = (message.get("current"), message.get("revision") if message.get("verified", True) is True else None)
    return max((one for one in named if isinstance(one, int) and not isinstance(one, bool)), default=0)


def _revision(target: Target, act: Act, change: int, now: int, reported: int) -> Revision:
    number = next_revision(target.last.revision if target.last else 0, reported)
    public = claims.public_hash(target.document)
    return Revision(target.point.number, number, change, now, act.author, public, target.document, act.confirm_within_s, target.is_below_contract)


def _entry(found: Draft, act: Act, number: int) -> Payload:
    entry: Payload = {"change": number, "to": str(found.node), "author": act.author, "note": act.note, "source": act.source}
    entry |= {"layer": claims.public_hash(found.layer), "access_points": len(found.targets), "told": len(found.due)}
    return {name: value for name, value in entry.items() if value != ""}


def _decoded(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None
