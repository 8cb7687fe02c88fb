"""`rwctl watch`: the table of access points, live from the store."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections import deque
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live

from fleet import choices, city, remarks, store, view, where
from fleet.city import City
from fleet.ending import asked_to_end
from fleet.status import TREND
from fleet.table import View, render
from fleet.view import Documents, Point

EVERY_S = 1.0  # with what serve takes to commit, a change is on the screen within 2 s
PLAIN_EVERY_S = 5.0
PLAIN_ROWS = 20

EPILOG = """\b
Examples:
  rwctl watch
  rwctl watch --where "kecamatan=Klojen and state!=online"
  rwctl watch --for 60 | tee watch.txt       (without a terminal: a table every 5 s)"""


@click.command("watch", epilog=EPILOG)
@click.option("--where", "expression", metavar="EXPRESSION", shell_complete=choices.expression, help="Only those it is true of (rwctl status --help).")
@click.option("--for", "seconds", type=click.FloatRange(0, min_open=True), metavar="S", help="End after so many seconds (default: with Ctrl-C).")
@click.pass_obj
def command(folder: Path, expression: str | None, seconds: float | None) -> None:
    """Show the access points live, worst first. It reads the store, so any number may watch."""
    at = city.load(folder)
    console = Console(highlight=False)
    until = float("inf") if seconds is None else time.monotonic() + seconds
    with contextlib.closing(store.open_live(at)) as live, asked_to_end() as is_asked:
        screen = Screen(at, live, expression)
        if console.is_terminal:
            with Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as drawn:
                while not is_asked.is_set() and time.monotonic() < until:
                    drawn.update(render(screen.look("Ctrl-C ends"), *console.size), refresh=True)
                    is_asked.wait(min(EVERY_S, max(0.0, until - time.monotonic())))
            console.print(render(screen.look(), console.width, most=PLAIN_ROWS))
            return
        while not is_asked.is_set():
            console.print(render(screen.look(), console.width, most=PLAIN_ROWS))
            console.print()
            if time.monotonic() >= until:
                return
            is_asked.wait(min(PLAIN_EVERY_S, max(0.0, until - time.monotonic())))


class Screen:
    """What is to be drawn now, and the throughput of each access point since the watching began."""

    def __init__(self, at: City, live: sqlite3.Connection, expression: str | None) -> None:
        self._city, self._live = at, live
        self._documents = Documents()
        self._trends: dict[str, tuple[tuple[str | None, int | None], deque[float]]] = {}
        self._matches = None if expression is None else where.compile(expression)
        view.chosen(view.overview(live, time.time(), self._documents).points, expression)  # a slip in a name is told at once

    def look(self, footer: str = "") -> View:
        """Look into the store."""
        serving = remarks.serving_of(self._city)
        seen = view.overview(self._live, time.time() + serving.clock_off_s, self._documents)
        points = seen.enrolled() if self._matches is None else [point for point in seen.points if self._matches(point.values())]
        warnings = remarks.remarks_on(self._city, seen, serving)
        if not points:
            warnings.insert(0, f"none of the {len(seen.enrolled())} access points is so" if self._matches else "no access point is enrolled yet")
        name = self._city.name if self._matches is None else f"{self._city.name} ({len(points)} of {len(seen.enrolled())})"
        return View(name, [point.row(self._trend(point)) for point in points], serving.messages_per_s, 0, footer, warnings)

    def _trend(self, point: Point) -> tuple[float, ...]:
        newest = (point.boot, point.seq)
        told, trend = self._trends.setdefault(point.id, ((None, None), deque(maxlen=TREND)))
        if newest != told and point.figures.down_bps is not None:
            trend.append(point.figures.down_bps)
        self._trends[point.id] = (newest, trend)
        return tuple(trend)
