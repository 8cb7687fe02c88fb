"""`rwctl tail`: prints messages as they come, decoded."""

from __future__ import annotations

import contextlib
import datetime
import json
import threading
import time
import zoneinfo
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from agent.wire import topics
from fleet import choices, city, decoded, store, view
from fleet.city import OPERATOR, City
from fleet.ending import asked_to_end
from fleet.errors import BadInput
from fleet.mqtt import Client, Heard

EPILOG = """\b
Examples:
  rwctl --dir malang tail rw-0501
  rwctl --dir malang tail --where "kelurahan=Jatimulyo" --topic event
  rwctl --dir malang tail rw-0501 --topic report --count 1 --pretty
  rwctl --dir malang tail --topic config/reported --json"""

WAIT_S = 0.5
AT_ONCE = 1_000
CHOOSE_EVERY_S = 10.0
NAMES = [topic.name for topic in topics.TOPICS if topic.name not in (topics.ECHO, "sla")]


@click.command("tail", epilog=EPILOG)
@click.argument("ap", metavar="[ID]", required=False, shell_complete=choices.access_points)
@click.option("--where", "expression", metavar="EXPRESSION", shell_complete=choices.expression, help="Only those it is true of, as in `rwctl status --where`.")
@click.option("--topic", "names", metavar="TOPIC", multiple=True, help=f"Only these; may be given again. {', '.join(NAMES)}")
@click.option("--new", "is_new", is_flag=True, help="Leave out what is retained: only what comes from now on.")
@click.option("--count", type=click.IntRange(1), metavar="N", help="End after so many messages.")
@click.option("--pretty", "is_pretty", is_flag=True, help="Print JSON over several lines.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object for each message.")
@click.pass_obj
def command(
    folder: Path, ap: str | None, expression: str | None, names: tuple[str, ...], is_new: bool, count: int | None, is_pretty: bool, is_json: bool
) -> None:
    """Print messages as they come, decoded, until Ctrl-C or SIGTERM.

    What is signed is shown as its claims, with stars for keys; its signature is not checked here.
    """
    if ap is not None and expression is not None:
        raise click.UsageError("give either the ID of one access point or --where")
    if ap is not None and not topics.is_name(ap):
        raise BadInput(f"{ap!r} is no access point's ID, expected 1 to {topics.LONGEST_NAME} of a-z, 0-9 and -")
    at = city.load(folder)
    is_wanted = _wanted(at, expression)
    show = _shower(at, is_json, is_pretty)
    client = Client(at, OPERATOR)
    client.start()
    client.subscribe(topics.subscription(name, at.name, ap or "+") for name in _named(names))
    try:
        with asked_to_end() as is_asked:
            left = count
            for heard in _messages(client, is_asked):
                parts = topics.parse(heard.topic)
                if parts is None or (heard.is_retained and is_new) or not is_wanted(parts[1]):
                    continue
                show(parts[1], parts[2], heard)
                left = None if left is None else left - 1
                if left == 0:
                    return
    finally:
        client.close()


def _messages(client: Client, is_asked: threading.Event) -> Iterator[Heard]:
    """Give messages until it is to end; say when the broker goes away and comes back."""
    is_connected = True
    while not is_asked.is_set():
        for heard in client.messages(AT_ONCE, WAIT_S):
            if is_asked.is_set():
                return
            yield heard
        if client.is_connected != is_connected:
            is_connected = client.is_connected
            click.echo("connected again" if is_connected else "the broker went away, connecting again", err=True)


def _named(names: tuple[str, ...]) -> list[str]:
    """Give the rows of the contract that are meant: `alert` means every alert."""
    if not names:
        return NAMES
    found = []
    for name in names:
        row = topics.lookup(name)
        rows = [name] if row is not None and row.name in NAMES else [row for row in NAMES if name in (row, row.partition("/<")[0])]
        if not rows:
            raise BadInput(f"--topic {name!r} is no topic of an access point, expected one of {', '.join(NAMES)}")
        found += rows
    return found


def _wanted(at: City, expression: str | None) -> Callable[[str], bool]:
    """Say of an access point whether the expression is true of it, by what the store knows; looked up again every few seconds."""
    if expression is None:
        return lambda _ap: True
    looked_at, chosen = float("-inf"), set[str]()

    def is_wanted(ap: str) -> bool:
        nonlocal looked_at, chosen
        if time.monotonic() - looked_at >= CHOOSE_EVERY_S:
            with contextlib.closing(store.open_live(at)) as live:
                seen = view.overview(live, time.time())
            chosen, looked_at = {point.id for point in view.chosen(seen.points, expression)}, time.monotonic()
        return ap in chosen

    is_wanted("")  # so that a slip in the expression is told before anything is waited for
    return is_wanted


def _shower(at: City, is_json: bool, is_pretty: bool) -> Callable[[str, str, Heard], None]:
    zone = zoneinfo.ZoneInfo(at.zone)

    def show(ap: str, below: str, heard: Heard) -> None:
        found = decoded.decode(below, heard.payload)
        came = time.time() - (time.monotonic() - heard.at)
        if is_json:
            click.echo(json.dumps(decoded.document(came, ap, below, found, heard.is_retained)))
        else:
            click.echo(decoded.line(f"{datetime.datetime.fromtimestamp(came, zone):%H:%M:%S}", ap, below, found, heard.is_retained, is_pretty))

    return show
