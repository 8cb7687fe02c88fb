"""`rwctl history`: shows what was pushed to whom, and how it ended."""

from __future__ import annotations

import contextlib
import datetime
import json
import sqlite3
import zoneinfo
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.wire import config
from agent.wire.messages import Payload
from fleet import changes, choices, layers, selector, store
from fleet import city as cities
from fleet.changes import Change, Revision
from fleet.decoded import safe_json
from fleet.selector import Node, Point
from fleet.verdicts import changed, plain, starred

EPILOG = """\b
Examples:
  rwctl history
  rwctl history rw-0501
  rwctl history --to kelurahan=Jatimulyo --json"""
WHOLE = ("at", "kind", "to", "state", "in_force")  # columns that a narrow terminal may not fold
NOT_SENT, NO_VERDICT, SUPERSEDED = "not sent", "no verdict yet", "superseded"  # the last: a later one was sent before a verdict came


@click.command("history", epilog=EPILOG)
@click.argument("ap", metavar="[ID]", required=False, shell_complete=choices.access_points)
@click.option("--to", metavar="NODE", shell_complete=choices.nodes, help="Only the changes of this level, with what each changed.")
@click.option("--json", "is_json", is_flag=True, help="Print JSON, for machines.")
@click.pass_obj
def command(folder: Path, ap: str | None, to: str | None, is_json: bool) -> None:
    """Show all changes, those of one level, or the revisions of one access point with its verdicts."""
    if ap is not None and to is not None:
        raise click.UsageError("give either an ID or --to NODE")
    city = cities.load(folder)
    zone = zoneinfo.ZoneInfo(city.zone)
    with contextlib.closing(store.open_live(city)) as live, contextlib.closing(store.open_city(city)) as connection:
        if ap is not None:
            point = selector.one(ap, selector.points(connection, are_all=True))
            rows = [_of_revision(*row) for row in _verdicts(live, point, changes.of(connection, point.number))]
        else:
            node = None if to is None else selector.resolve(to, selector.points(connection))[0]
            told = dict(connection.execute("SELECT change, count(*) FROM revisions GROUP BY change").fetchall())
            rows = [_of_change(change, told.get(change.number, 0), before, node) for change, before in _with_before(changes.changes(connection, node))]
    if is_json:
        click.echo(safe_json(rows))
    else:
        _print(rows, zone, "nothing was pushed yet" if ap is None else f"nothing was pushed to {ap} yet")


def _with_before(found: Iterable[Change]) -> Iterable[tuple[Change, Mapping[str, object]]]:
    last: dict[Node, Mapping[str, object]] = {}
    for change in found:
        yield change, last.get(change.node, {})
        last[change.node] = change.document


def _of_change(change: Change, told: int, before: Mapping[str, object], node: Node | None) -> Payload:
    row: Payload = {"change": change.number, "at": change.at, "author": change.author, "kind": change.kind, "to": str(change.node)}
    row |= {"access_points": told, "note": change.note}
    if node is not None:
        found = [(each.path, starred(each.path, each.before), starred(each.path, each.after)) for each in layers.differences(before, change.document)]
        row["changes"] = [{"path": layers.dotted(path), "from": old, "to": new} for path, old, new in found]
    return row


def _verdicts(live: sqlite3.Connection, point: Point, revisions: Sequence[Revision]) -> Iterable[tuple[Revision, Payload, bool]]:
    """Give each revision with what is known of its end, and whether it is in force: from the last verdict, and the events of those before."""
    last = _json(live.execute("SELECT reported FROM state WHERE ap = ?", (point.number,)).fetchone())
    steps: dict[object, Payload] = {}
    sent = max((revision.revision for revision in revisions if revision.published_at is not None), default=0)
    for at, data in live.execute("SELECT ts, data FROM events WHERE ap = ? AND kind = 'config' ORDER BY ts, seq", (point.number,)):
        event = _json((data,))
        steps[event.get("revision")] = {"state": event.get("step"), "at": at}
    for revision in revisions:
        named = last if last.get("revision") == revision.revision else steps.get(revision.revision, {})
        named = named if named.get("state") in config.STATES else {}
        nothing = SUPERSEDED if revision.revision < sent else NO_VERDICT if revision.revision == sent else NOT_SENT
        yield revision, {"state": nothing, **named}, last.get("current") == revision.revision


def _of_revision(revision: Revision, verdict: Payload, is_in_force: bool) -> Payload:
    row: Payload = {"revision": revision.revision, "at": revision.at, "author": revision.author, "change": revision.change, "hash": revision.hash}
    row |= {"state": verdict["state"], "in_force": is_in_force}
    return row | {name: verdict[name] for name in ("reason", "took_ms") if name in verdict}


def _print(rows: Sequence[Payload], zone: zoneinfo.ZoneInfo, nothing: str) -> None:
    console = Console(highlight=False, markup=False)
    if not rows:
        console.print(nothing)
        return
    if "changes" in rows[0]:
        for row in rows:
            _print_change(row, zone, console)
        return
    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    names = [name for name in rows[0] if name != "hash"]
    if "in_force" in names:
        names += ["reason"]
    for name in names:
        is_number = name in ("revision", "change", "access_points", "took_ms")
        least = max(map(len, name.split("_")))
        drawn.add_column(name.replace("_", " "), overflow="fold", no_wrap=name in WHOLE, min_width=least, justify="right" if is_number else "left")
    for row in rows:
        drawn.add_row(*(Text(_cell(name, row.get(name), zone)) for name in names))
    console.print(drawn)


def _print_change(row: Payload, zone: zoneinfo.ZoneInfo, console: Console) -> None:
    words = [f"{row['kind']} {row['change']}", _cell("at", row["at"], zone), plain(row["author"]), f"{row['access_points']} access points", plain(row["note"])]
    console.print(Text("  ".join(word for word in words if word), "bold"))
    for each in _listed(row["changes"]):
        console.print(Text(f"  {changed(each['path'], each['from'], each['to'])}"))


def _cell(name: str, value: object, zone: zoneinfo.ZoneInfo) -> str:
    if name == "at" and isinstance(value, int):
        return f"{datetime.datetime.fromtimestamp(value, zone):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, bool):
        return "● in force" if value else ""
    return "" if value is None else plain(value)


def _listed(value: object) -> list[dict[str, object]]:
    return value if isinstance(value, list) else []


def _json(row: tuple[object, ...] | None) -> Payload:
    try:
        found = json.loads(str(row[0])) if row and row[0] else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
