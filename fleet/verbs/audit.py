"""`rwctl audit`: shows who did what, and checks that nothing of it was altered."""

from __future__ import annotations

import datetime
import json
import zoneinfo
from pathlib import Path
from typing import Any

import click

from fleet import audit
from fleet import city as cities
from fleet.verdicts import plain

EPILOG = """\b
Examples:
  rwctl audit
  rwctl audit --json | tail -1
  rwctl audit verify"""


@click.group("audit", invoke_without_command=True, epilog=EPILOG)
@click.option("--json", "is_json", is_flag=True, help="Print the log's lines as they are.")
@click.pass_context
def command(ctx: click.Context, is_json: bool) -> None:
    """Show who did what: each enrolment, revocation, push and use of a key."""
    if ctx.invoked_subcommand is not None:
        return
    city = cities.load(ctx.obj)
    zone = zoneinfo.ZoneInfo(city.zone)
    for entry in audit.entries(city):
        click.echo(json.dumps(entry, ensure_ascii=False) if is_json else _line(entry, zone))


@command.command("verify", epilog="\b\nExample:\n  rwctl audit verify")
@click.option("--json", "is_json", is_flag=True, help="Print JSON, for machines.")
@click.pass_obj
def verify(folder: Path, is_json: bool) -> None:
    """Check that no line was changed, added or taken out; exit code 1 with the first that is wrong."""
    city = cities.load(folder)
    found = audit.verify(city)
    if is_json:
        click.echo(json.dumps({"lines": found.lines, "fault": found.fault, "unfinished": found.is_unfinished}))
    elif found.fault is None:
        click.echo(f"{city.audit}: {found.lines} lines hold" + ("; the last act was cut short, the next one writes it down" if found.is_unfinished else ""))
    else:
        click.echo(f"{city.audit}: {found.fault} ({found.lines} lines before it hold)", err=True)
    if found.fault is not None:
        raise SystemExit(1)


def _line(entry: dict[str, Any], zone: zoneinfo.ZoneInfo) -> str:
    at = entry.get("at")
    when = f"{datetime.datetime.fromtimestamp(at, zone):%Y-%m-%d %H:%M:%S}" if isinstance(at, int) and 0 <= at < 1 << 32 else "?"
    data = entry.get("data")
    told = ", ".join(f"{name} {_said(value)}" for name, value in data.items()) if isinstance(data, dict) else ""
    return plain(f"{entry.get('n', '?'):>6}  {when}  {entry.get('who', '?'):<12} {entry.get('what', '?'):<8}  {told}")


def _said(value: object) -> str:
    """A long list as its number."""
    if isinstance(value, (dict, list)) and len(value) > 3:
        return f"({len(value)})"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
