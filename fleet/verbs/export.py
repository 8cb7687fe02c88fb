"""`rwctl export`: writes telemetry and inventory as JSON lines or CSV."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import click

from fleet import choices, exporting, store, view
from fleet import city as cities
from fleet.errors import Refused
from fleet.words import several

EPILOG = """\b
Examples:
  rwctl export --what reports --from 24h > reports.jsonl
  rwctl export --what availability --from 2026-09-01 --to 2026-10-01 --format csv -o september.csv
  rwctl export --what hours --from 7d --where "provider=Awinet" --format csv

\b
A time is a date, a date and time (the city's zone, or its own as in 2026-09-01T01:00Z), Unix seconds, or how long ago: 30m, 24h, 7d, 4w.
--where is that of `rwctl status`. Times are written in UTC and as Unix seconds; what is not known is absent (JSON) or empty (CSV)."""


@click.command("export", epilog=EPILOG)
@click.option("--what", type=click.Choice(list(exporting.WHAT)), default="reports", show_default=True, help="What to write.")
@click.option("--from", "since", metavar="TIME", help="Not before (default: all there is).")
@click.option("--to", "until", metavar="TIME", help="Not at or after (default: now).")
@click.option("--where", "expression", metavar="EXPRESSION", shell_complete=choices.expression, help="Only the access points that it is true of now.")
@click.option("--format", "form", type=click.Choice(list(exporting.FORMATS)), default="jsonl", show_default=True, help="JSON lines, or CSV.")
@click.option("-o", "--output", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Write a file, whole or not at all (default: stdout).")
@click.pass_obj
def command(folder: Path, what: str, since: str | None, until: str | None, expression: str | None, form: str, output: Path | None) -> None:
    """Write reports, hours, events, availability or the inventory."""
    city, now = cities.load(folder), time.time()
    first = 0 if since is None else exporting.moment(since, city.zone, now)
    last = int(now) + 1 if until is None else exporting.moment(until, city.zone, now)
    if first >= last:
        raise click.UsageError(f"--from {since or 'the beginning'} is not before --to {until or 'now'}")
    make, columns = exporting.WHAT[what]
    with contextlib.closing(store.open_live(city)) as live:
        places = exporting.places_of(live)
        if expression is not None:
            points = view.rows_of(live, now)
            wanted = {point.number for point in view.chosen(points, expression)}
            for line in () if wanted else view.strange(points, expression):
                click.echo(line, err=True)
            places = {number: place for number, place in places.items() if number in wanted}
        with _opened(output) as file:
            count = exporting.FORMATS[form](make(exporting.Asked(live, city, places, first, last)), columns, file)
    if output is not None:
        click.echo(f"{output}: {what}, {several(count, 'record')}", err=True)


@contextlib.contextmanager
def _opened(output: Path | None) -> Iterator[TextIO]:
    """Give stdout, or a file that takes its name once it is whole; what is no file (a pipe, a device) is written to, and never replaced by one."""
    if output is None:
        yield sys.stdout
        return
    target = output.resolve()
    part = target.with_name(f".{target.name}.part")
    try:
        if target.exists() and not target.is_file():
            with output.open("w", encoding="utf-8", newline="") as file:
                yield file
            return
        with part.open("w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except OSError as error:
        raise Refused(f"{output}: cannot be written ({error.strerror})") from None
    finally:
        part.unlink(missing_ok=True)
