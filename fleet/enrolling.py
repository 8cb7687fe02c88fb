"""Enrolment: rows into the inventory, a certificate for each new access point, and a bundle for each.

All or nothing for the rows; what a killed run left undone the next one does. What is in order already is left as it is.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from agent.wire import bundle as form
from fleet import audit, authority, bundle, files, inventory, kick
from fleet.city import City
from fleet.errors import BadInput, Refused
from fleet.inventory import BadLine, Known, Row

Track = Callable[[Sequence[Any], str], Iterable[Any]]

WRITERS = 8  # each waits for the disk most of the time


class Plan(NamedTuple):
    """What enrolment will do: rows new to the store, those that change (before, after), those that get a new certificate in place of the old, all others."""

    new: tuple[Row, ...]
    updated: tuple[tuple[Row, Row], ...]
    replaced: tuple[Row, ...]
    unchanged: tuple[Row, ...]

    @property
    def rows(self) -> tuple[Row, ...]:
        """Give every row as it will be; one that is replaced may be among the updated too."""
        return tuple({row.id: row for row in (*self.new, *(after for _, after in self.updated), *self.replaced, *self.unchanged)}.values())


class Done(NamedTuple):
    """What enrolment did: bundles written for the first time or anew, certificates that are still to be taken back by access point, and seconds.

    `replaced` has those of earlier runs too, that were killed or could not be told to the broker.
    """

    bundles: tuple[str, ...]
    remade: tuple[str, ...]
    replaced: Mapping[str, tuple[str, ...]]
    keys_s: float
    took_s: float


def plan(known: Mapping[str, Known], rows: Sequence[tuple[int, Row]], is_replace: bool) -> tuple[Plan, list[BadLine]]:
    """Compare rows (with their lines) with the store; a fault for each that must not be enrolled."""
    new, updated, replaced, unchanged = [], [], [], []
    faults: list[BadLine] = []
    for line, row in rows:
        there = known.get(row.id)
        if there is None:
            new.append(row)
            continue
        if there.revoked_at is not None and not is_replace:
            allowed = f"one that was not revoked (this one on {_day(there.revoked_at)}), or --replace, which gives it a new certificate"
            faults.append(BadLine(line, "id", row.id, allowed))
            continue
        if there.row != row:
            updated.append((there.row, row))
        if is_replace:
            replaced.append(row)
        elif there.row == row:
            unchanged.append(row)
    return Plan(tuple(new), tuple(updated), tuple(replaced), tuple(unchanged)), faults


def carry_out(city: City, connection: sqlite3.Connection, chosen: Plan, track: Track = lambda items, _: items) -> Done:
    """Enrol: certificates, then the store, then the bundles. `track` gives the items of long work one after the other (fleet.progress)."""
    began = time.monotonic()
    with bundle.locked(city):
        _refuse_stale(connection, chosen)
        shared, floors = bundle.shared_of(city), bundle.floors(connection)
        kept = _kept(city, connection, chosen, track)
        due = [row for row in chosen.rows if row.id not in kept]
        keys_began = time.monotonic()
        issued = _issued(city, due, track)
        keys_s = time.monotonic() - keys_began
        changed = {row.id for row in (*chosen.new, *(after for _, after in chosen.updated), *chosen.replaced)}
        if issued or changed:
            _write_down(city, chosen, {ap: one.serial for ap, one in issued.items()})
        _store(connection, chosen, [row for row in chosen.rows if row.id in changed], issued)
        have: dict[str, Kept] = {ap: ((one.certificate, one.key), one.expires_at, None) for ap, one in issued.items()} | kept
        wanted = {row.id: bundle.members(city, row, shared, *have[row.id][:2], floors.get(row.id, 0)) for row in chosen.rows}
        jobs = {ap: content for ap, content in wanted.items() if content != have[ap][2]}
        _write(city, jobs, track)
    first = {row.id for row in (*chosen.new, *chosen.replaced)}
    remade = tuple(ap for ap in issued if ap not in first)
    return Done(tuple(jobs), remade, _owed(connection, {row.id for row in chosen.rows}), keys_s, time.monotonic() - began)


Kept = tuple[tuple[bytes, bytes], int, dict[str, bytes] | None]


def _refuse_stale(connection: sqlite3.Connection, chosen: Plan) -> None:
    """Refuse what was planned before somebody else enrolled or revoked one of these: it could bring back one that is revoked by now."""
    again, faults = plan(inventory.known(connection), [(0, row) for row in chosen.rows], bool(chosen.replaced))
    if faults or any(set(now) != set(then) for now, then in zip(again, chosen, strict=True)):
        raise Refused("somebody else enrolled or revoked some of these meanwhile; nothing was written, run the same again")


def _issued(city: City, rows: Sequence[Row], track: Track) -> dict[str, authority.Issued]:
    issuer = authority.open_authority(city)
    return {row.id: issuer.client(row.id) for row in track(rows, "certificates")}


def _kept(city: City, connection: sqlite3.Connection, chosen: Plan, track: Track) -> dict[str, Kept]:
    """Read the bundles that are there: certificate and key, its end, all members. A bundle whose certificate is not a valid one of the store's is none."""
    valid = dict(connection.execute("SELECT serial, ap FROM certificates WHERE revoked_at IS NULL"))
    found: dict[str, Kept] = {}
    replaced = set(chosen.replaced)
    for row in track([row for row in (*(after for _, after in chosen.updated), *chosen.unchanged) if row not in replaced], "bundles that are there"):
        content = bundle.read(bundle.path_of(city, row.id))
        if content is None or not {form.CERTIFICATE, form.KEY} <= set(content):
            continue
        pair = content[form.CERTIFICATE], content[form.KEY]
        if not authority.is_pair(*pair):
            continue
        said = authority.read(pair[0])
        if valid.get(said.serial) == row.id:
            found[row.id] = (pair, said.expires_at, content)
    return found


def _owed(connection: sqlite3.Connection, ids: set[str]) -> dict[str, tuple[str, ...]]:
    """Give the certificates in whose place others came and that the broker may still take, by access point."""
    owed: dict[str, tuple[str, ...]] = {}
    for ap, serial in connection.execute("SELECT ap, serial FROM certificates WHERE replaced = 1 ORDER BY ap, serial"):
        if ap in ids:
            owed[ap] = (*owed.get(ap, ()), serial)
    return owed


def _write_down(city: City, chosen: Plan, serials: Mapping[str, str]) -> None:
    """Tell the audit log before it is so: an act that is not written down is not done."""
    data = {"new": [row.id for row in chosen.new], "updated": {after.id: list(inventory.changes(before, after)) for before, after in chosen.updated}}
    audit.record(city, "enroll", {**data, "replaced": [row.id for row in chosen.replaced], "certificates": dict(serials)})


def take_back(city: City, connection: sqlite3.Connection, replaced: Mapping[str, tuple[str, ...]], track: Track = lambda items, _: items) -> list[str]:
    """Have the broker refuse the certificates that were replaced; give a sentence for each access point that something is left to do for."""
    left: list[str] = []
    for ap, serials in track(list(replaced.items()), "old certificates"):
        try:
            outcome = kick.shut_out(city, ap, serials)
        except Refused as error:
            # A broker that cannot be told of this one cannot be told of the others: all are on its list at least.
            authority.revoke(city, [serial for some in replaced.values() for serial in some])
            return [*left, f"{ap}: {error}; then repeat this without --replace"]
        if outcome.is_out:
            connection.executemany("UPDATE certificates SET replaced = 0 WHERE serial = ?", ((serial,) for serial in serials))
        else:
            left.append(f"{ap}: {outcome.text}, without --replace")
    return left


def _store(connection: sqlite3.Connection, chosen: Plan, rows: Iterable[Row], issued: Mapping[str, authority.Issued]) -> None:
    now, replaced = int(time.time()), [row.id for row in chosen.replaced]
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        _refuse_stale(connection, chosen)  # again: `rwctl revoke` does not wait for us
        inventory.keep(connection, rows, now)
        # Together with what comes in their place: whenever this is cut short, the next run knows what is to be taken back.
        gone = "UPDATE certificates SET revoked_at = coalesce(revoked_at, ?), replaced = 1 WHERE ap = ?"
        connection.executemany(gone, ((now, ap) for ap in replaced))
        made = ((one.serial, ap, now, one.expires_at) for ap, one in issued.items())
        connection.executemany("INSERT INTO certificates (serial, ap, made_at, expires_at) VALUES (?, ?, ?, ?)", made)
        # What is wanted of it may have been taken off the broker when it was revoked.
        wanted = "SELECT max(revision) FROM revisions AS s WHERE s.ap = revisions.ap"
        again = f"UPDATE revisions SET published_at = NULL WHERE revision = ({wanted}) AND ap = (SELECT number FROM inventory WHERE id = ?)"
        connection.executemany(again, ((ap,) for ap in replaced))


def _write(city: City, jobs: Mapping[str, dict[str, bytes]], track: Track) -> None:
    """Write the bundles, each whole or not at all; the first that cannot be written is told, and the next run writes the rest."""
    with ThreadPoolExecutor(WRITERS) as pool:
        waiting = [pool.submit(files.put, bundle.path_of(city, ap), bundle.archive(content), files.PRIVATE) for ap, content in jobs.items()]
        try:
            for one in track(waiting, "bundles"):
                one.result()
        except Refused as error:
            pool.shutdown(cancel_futures=True)
            raise Refused(f"{error}; the access points are enrolled, but not all bundles are written: make room and run the same again") from None


def refuse(source: str, faults: Sequence[BadLine]) -> BadInput:
    """Make the refusal of a file, with a line for each fault; without a source it is what was typed."""
    if not source:
        return BadInput("\n".join(fault.sentence() for fault in faults))
    lines = len({fault.line for fault in faults})
    text = "\n".join(f"{source}: {fault.sentence()}" for fault in faults)
    return BadInput(f"{text}\n{source}: {lines} bad line{'s' if lines > 1 else ''}; nothing was written")


def _day(moment: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment))
