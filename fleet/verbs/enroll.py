"""`rwctl enroll`: gives access points their certificates and bundles."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from fleet import choices, city, enrolling, inventory, mosquitto, places, progress, store
from fleet.city import City
from fleet.enrolling import Done, Plan
from fleet.inventory import BadLine, Known, Row
from fleet.places import Places

EPILOG = """\b
Examples:
  rwctl enroll --csv points.csv --dry-run
  rwctl enroll --csv points.csv
  rwctl enroll rw-0501 --rw 05 --kelurahan Jatimulyo --provider Awinet
  rwctl enroll rw-0501 --replace     (a new certificate; the old one is refused from then on)

\b
The file's header, its columns in any order:
  id,rw,kelurahan,kecamatan,provider,contract_mbps,rupiah_month,lat,lon,tags"""
MOST_NAMED = 8
DEFAULTS = {"contract_mbps": "50", "rupiah_month": "0"}


@click.command("enroll", epilog=EPILOG)
@click.argument("ap", metavar="[ID]", required=False, shell_complete=choices.access_points)
@click.option("--csv", "file", type=click.Path(path_type=Path), metavar="FILE", help="Enrol all rows of a CSV file, or none if one of them is bad.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and every bad row; write nothing.")
@click.option("--replace", is_flag=True, help="Give a new certificate to those that have one; the old ones are refused from then on.")
@click.option("--rw", metavar="NN", help="The RW's number.")
@click.option("--kelurahan", metavar="NAME", shell_complete=choices.kelurahan, help="The kelurahan.")
@click.option("--kecamatan", metavar="NAME", help="The kecamatan (default: the kelurahan's).")
@click.option("--provider", metavar="NAME", help="Who provides the uplink.")
@click.option("--contract-mbps", metavar="N", help="What the provider promised, in Mbps (default: 50).")
@click.option("--rupiah-month", metavar="N", help="What it costs a month (default: 0).")
@click.option("--lat", metavar="N", help="Where it is, degrees north.")
@click.option("--lon", metavar="N", help="Where it is, degrees east.")
@click.option("--tags", metavar="WORDS", help="Words of your own to find it by, with blanks between.")
@click.option("--json", "is_json", is_flag=True, help="Print JSON, for machines.")
@click.pass_obj
def command(folder: Path, /, ap: str | None, file: Path | None, dry_run: bool, replace: bool, is_json: bool, **columns: str | None) -> None:
    """Enrol access points: into the inventory, with a certificate and a bundle for each. Take its bundle to the access point, there: rwagent enroll FILE.

    Who is enrolled already keeps certificate and bundle; what else is new of it is written. A bundle that is gone is made anew, with a further certificate.
    """
    given = {column: value for column, value in columns.items() if value is not None}
    if (ap is None) == (file is None) or (file is not None and given):
        raise click.UsageError("give either the ID of one access point and what is to be known of it, or --csv FILE")
    at = city.load(folder)
    listed = places.load(at)
    with contextlib.closing(store.open_city(at)) as connection:
        known = inventory.known(connection)
        rows, faults = inventory.read_csv(file, listed) if file else _one(ap or "", given, known, listed)
        chosen, more = enrolling.plan(known, rows, replace)
        if faults := sorted([*faults, *more]):
            if is_json:
                click.echo(json.dumps({"ok": False, "dry_run": dry_run, "faults": [fault._asdict() for fault in faults]}))
            raise enrolling.refuse(str(file) if file else "", faults)
        if dry_run:
            _say(at, chosen, None, [], is_json)
            _warn(mosquitto.outgrown(at, len(chosen.new)))
            return
        done = enrolling.carry_out(at, connection, chosen, progress.track)
        left = enrolling.take_back(at, connection, done.replaced, progress.track)
    _say(at, chosen, done, left, is_json)
    _warn(mosquitto.outgrown(at))
    if left:
        raise SystemExit(1)


def _one(ap: str, given: Mapping[str, str], known: Mapping[str, Known], listed: Places) -> tuple[list[tuple[int, Row]], list[BadLine]]:
    """Make the row of one access point of what is given and, where it is enrolled already, of what is known."""
    there = known.get(ap)
    before = _texts(there.row) if there else DEFAULTS
    # A kelurahan brings its kecamatan along; one that is given counts.
    if given.get("kelurahan") and "kecamatan" not in given:
        before = {**before, "kecamatan": listed.home(given["kelurahan"]) or before.get("kecamatan", "")}
    row, faults = inventory.row_of({**before, **given, "id": ap}, listed)
    return [(0, row)] if row else [], [BadLine(0, *fault) for fault in faults]


def _texts(row: Row) -> dict[str, str]:
    values = row._asdict() | {"tags": " ".join(row.tags)}
    return {column: "" if value is None else str(value) for column, value in values.items()}


def _say(at: City, chosen: Plan, done: Done | None, left: list[str], is_json: bool) -> None:
    changes = {after.id: list(inventory.changes(before, after)) for before, after in chosen.updated}
    if is_json:
        click.echo(json.dumps(_json(at, chosen, changes, done, left)))
        return
    for ap, what in changes.items():
        click.echo(f"{ap}: {', '.join(what)}")
    if done and done.remade:
        click.echo(f"{_named(done.remade)}: no bundle was there, it is made with a further certificate; the one before stays good until it is replaced")
    parts = ((chosen.new, "new"), (chosen.updated, "changed"), (chosen.replaced, "replaced"), (chosen.unchanged, "as they were"))
    counted = ", ".join(f"{len(rows)} {what}" for rows, what in parts if rows)
    if done is None:
        click.echo(f"would be: {counted}; nothing was written")
    else:
        took = f"in {done.took_s:.1f} s, {done.keys_s:.1f} s of it for keys and certificates"
        click.echo(f"{counted}; {len(done.bundles)} bundle{'s' if len(done.bundles) != 1 else ''} written to {at.bundles} {took}")
    for sentence in left:
        click.echo(sentence, err=True)


def _warn(sentence: str) -> None:
    if sentence:
        click.echo(sentence, err=True)


def _named(ids: Sequence[str]) -> str:
    return ", ".join(ids[:MOST_NAMED]) + (f" and {len(ids) - MOST_NAMED} more" if len(ids) > MOST_NAMED else "")


def _json(at: City, chosen: Plan, changes: Mapping[str, list[str]], done: Done | None, left: list[str]) -> dict[str, Any]:
    ids = {"new": chosen.new, "replaced": chosen.replaced, "unchanged": chosen.unchanged}
    said: dict[str, Any] = {"ok": not left, "dry_run": done is None, **{name: [row.id for row in rows] for name, rows in ids.items()}, "updated": changes}
    if done is not None:
        said |= {"bundles": [str(at.bundles / f"{ap}.tar.gz") for ap in done.bundles], "remade": list(done.remade), "left": left}
        said |= {"took_s": round(done.took_s, 3), "keys_s": round(done.keys_s, 3)}
    return said
