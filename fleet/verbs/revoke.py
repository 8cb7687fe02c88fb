"""`rwctl revoke`: shuts an access point out."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys
from pathlib import Path

import click

from fleet import choices, city, files, revoking, store
from fleet.city import City
from fleet.errors import BadInput

EPILOG = """\b
Examples:
  rwctl revoke rw-0501
  rwctl revoke rw-0501 --yes --json
  rwctl revoke --certificate client.pem     (this one only; whoever has another of that id stays)
  rwctl enroll rw-0501 --replace            (a new certificate for the same id)"""


@click.command("revoke", epilog=EPILOG)
@click.argument("ap", metavar="[ID]", required=False, shell_complete=choices.access_points)
@click.option("--certificate", "file", type=click.Path(True, dir_okay=False, path_type=Path), metavar="FILE", help="Shut out this one certificate only.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--json", "is_json", is_flag=True, help="Print JSON, for machines.")
@click.pass_obj
def command(folder: Path, ap: str | None, file: Path | None, yes: bool, is_json: bool) -> None:
    """Shut an access point out: its certificate is refused, its connection ends, and it is no longer counted.

    What it reported stays. Run again it does what an earlier run could not.
    """
    if (ap is None) == (file is None):
        raise click.UsageError("give either the ID of one access point, or --certificate FILE")
    at = city.load(folder)
    certificate = files.read(file) if file else b""
    with contextlib.closing(store.open_city(at)) as connection:
        what = _asked_for(at, connection, ap, certificate)
        if not yes:
            if not sys.stdin.isatty():
                raise BadInput(f"{what} is not revoked: nobody is here to be asked, say --yes")
            click.confirm(f"Revoke {what}?", abort=True, err=True)
        done = revoking.revoke(at, connection, ap) if ap else revoking.revoke_one(at, connection, certificate)
    if is_json:
        click.echo(json.dumps(done._asdict() | {"took_s": round(done.took_s, 3)}))
    else:
        click.echo(f"{done.ap}: {done.certificates} certificate{'s' if done.certificates != 1 else ''} revoked in {done.took_s:.1f} s; {done.broker}")
        if done.left:
            click.echo(f"{done.ap}: {done.left}", err=True)
    if not done.is_out:
        raise SystemExit(1)


def _asked_for(at: City, connection: sqlite3.Connection, ap: str | None, certificate: bytes) -> str:
    """Say who or what is to be revoked; BadInput when there is no such one."""
    if ap is None:
        owner, serial = revoking.named(at, certificate)
        return f"certificate {serial} of {owner}"
    known = revoking.find(at, connection, ap).known
    return f"{ap} (RW {known.row.rw}, kelurahan {known.row.kelurahan}, {known.row.provider})" if known else f"{ap} (which has no row in the inventory)"
