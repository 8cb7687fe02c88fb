"""`rwctl status`: all access points in a table, worst first, or one of them in full."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from fleet import card, card_drawn, choices, city, remarks, store, view, where
from fleet.city import City
from fleet.table import LINES_AROUND, View, printable, render
from fleet.view import Overview, Point, Poison
from fleet.words import Clock, several

EPILOG = f"""\b
Examples:
  rwctl status
  rwctl status --where "kelurahan=Lowokwaru and provider=Awinet and state!=online"
  rwctl status --where "alerts~full or (clients=0 and state=online)" --sort provider
  rwctl status --where state=lost --json
  rwctl status rw-0501

\b
--where:
  = != < <= > >= ~ (contains), and, or, not, ( ); a value with blanks in quotes
  text:    {" ".join(name for name, kind in where.FIELDS.items() if kind == "text")}
  number:  {" ".join(name for name, kind in where.FIELDS.items() if kind == "number")}
  words:   {" ".join(name for name, kind in where.FIELDS.items() if kind == "words")} (tags=market: has it; alerts="": has none)
  states:  {" ".join(where.STATES)}
  config:  {" ".join(where.CONFIGS)}
  caps:    {" ".join(where.CAPS)} (those that a config wants)

\b
States: online; late (no report for 2.5 intervals); lost (the connection broke); offline (it was stopped);
safe-mode (it crashed again and again, and takes pushes and the command logs only);
unknown (nobody listened here); never (enrolled, not heard of yet); pending (heard of, not enrolled)."""

PROMPT = 1  # the shell's line below
MOST_POISON = 1_000  # what the quarantine keeps
SORTS: dict[str, Callable[[Point], Any]] = {
    "worst": lambda point: 0,
    "id": lambda point: point.id,
    "kelurahan": lambda point: (point.kecamatan, point.kelurahan, point.rw),
    "provider": lambda point: point.provider,
    "clients": lambda point: -(point.figures.stations or 0),
    "down": lambda point: -(point.figures.down_bps or 0),
    "up": lambda point: -(point.figures.up_bps or 0),
    "age": lambda point: -(point.age_s if point.age_s is not None else 1e12),
}


@click.command("status", epilog=EPILOG)
@click.argument("ap", metavar="[ID]", required=False, shell_complete=choices.access_points)
@click.option("--where", "expression", metavar="EXPRESSION", shell_complete=choices.expression, help="Only those it is true of.")
@click.option("--sort", type=click.Choice(list(SORTS)), default="worst", metavar="ORDER", help=f"What comes first: {', '.join(SORTS)}.")
@click.option("--limit", type=click.IntRange(0), metavar="N", help="At most so many; 0: all (default: as many as the terminal has lines).")
@click.option("--quarantine", "is_poison", is_flag=True, help="Show instead what could not be understood, the newest first, and why.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON document; what is not known is absent.")
@click.pass_obj
def command(folder: Path, ap: str | None, expression: str | None, sort: str, limit: int | None, is_poison: bool, is_json: bool) -> None:
    """Show the access points, worst first, or one of them in full."""
    if (ap is not None) + (expression is not None) + is_poison > 1 or (ap is not None and limit is not None):
        raise click.UsageError("give the ID of one access point, or --where, or --quarantine; --limit only without an ID")
    at = city.load(folder)
    serving = remarks.serving_of(at)
    now = time.time() + serving.clock_off_s
    with contextlib.closing(store.open_live(at)) as live:
        if ap is not None:
            _one(at, live, ap, now, is_json)
            return
        if is_poison:
            _poison(at, view.poison_of(live, limit or MOST_POISON), now, is_json)
            return
        seen = view.overview(live, now)
    points = sorted(view.chosen(seen.points if expression else seen.enrolled(), expression), key=SORTS[sort])
    if is_json:
        click.echo(json.dumps(_document(at, seen, serving, points[: limit or None])))
        return
    _table(at, seen, serving, points, expression, sort, limit)


def _one(at: City, live: sqlite3.Connection, ap: str, now: float, is_json: bool) -> None:
    found = card.card_of(live, ap, at.zone, now)
    if is_json:
        click.echo(json.dumps({"v": 1, "city": at.name, "at": int(now), "access_point": card.as_json(found)}))
    else:
        console = Console(highlight=False)
        console.print(card_drawn.drawn(found, at.zone, now, console.width))


def _poison(at: City, found: list[Poison], now: float, is_json: bool) -> None:
    if is_json:
        click.echo(json.dumps({"v": 1, "city": at.name, "at": int(now), "quarantine": [one._asdict() for one in found]}))
        return
    clock = Clock(at.zone, now)
    for one in found:
        click.echo(f"{clock.at(one.at)}  {printable(one.topic)}  {several(one.bytes, 'byte')}: {printable(one.reason)}\n    {printable(one.beginning)}")
    if not found:
        click.echo("every message was understood")


def _table(at: City, seen: Overview, serving: remarks.Serving, points: list[Point], expression: str | None, sort: str, limit: int | None) -> None:
    console = Console(highlight=False)
    warnings = remarks.remarks_on(at, seen, serving)
    if not points:
        enrolled = len(seen.enrolled())
        none = f"none of the {enrolled} access points is so" if enrolled else f"no access point is enrolled yet; see:  {remarks.typed(at, 'enroll --help')}"
        warnings = [none, *(view.strange(seen.points, expression) if expression else ()), *warnings]
    if limit is None and console.is_terminal:
        said = sum(len(Text(line).wrap(console, console.width)) for line in warnings)
        limit = max(1, console.height - LINES_AROUND - said - PROMPT)
    shown = points[: limit or None]
    left = len(points) - len(shown)
    worse = ", none of them worse" if sort == "worst" else ""
    footer = f"… and {left} more{worse}; all of them:  {remarks.typed(at, 'status --limit 0')}" if left else ""
    title = at.name if expression is None else f"{at.name} ({len(points)} of {len(seen.enrolled())})"
    console.print(render(View(title, [point.row() for point in points], serving.messages_per_s, 0, footer, warnings), console.width, most=len(shown)))


def _document(at: City, seen: Overview, serving: remarks.Serving, points: list[Point]) -> dict[str, object]:
    """Make the document of `--json`; its members are a promise."""
    ear = {"listening": seen.ear.is_listening, "serving": serving.is_running, "last_at": seen.ear.ended_at, "clock_off_s": serving.clock_off_s}
    return {
        "v": 1,
        "city": at.name,
        "at": int(seen.now),
        "ear": {name: value for name, value in ear.items() if value is not None},
        "counts": seen.counts(),
        "quarantined": seen.quarantined,
        "access_points": [card.point_as_json(point) for point in points],
    }
