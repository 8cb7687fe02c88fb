"""`rwctl plan`: shows what a push would change, and where each value comes from."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import click
from rich.console import Console

from fleet import choices, explaining, planning, pushing, store
from fleet import city as cities
from fleet import push_arguments as arguments
from fleet.delivery import PLAN_WAIT_S, Options
from fleet.explaining import Explained
from fleet.pushing import Act
from fleet.secrets import Secrets
from fleet.verdicts import Screen

ALL = "*"  # of --explain
EPILOG = """\b
Examples:
  rwctl plan --to kelurahan=Jatimulyo jatimulyo.toml
  rwctl plan --to kelurahan=Jatimulyo jatimulyo.toml --explain rw-0501
  rwctl plan --to city kota.toml --explain     (of all of them)
  rwctl plan --explain rw-0501       (what is in force, and where it comes from; needs no broker)"""


def _plan(
    folder: Path,
    to: str | None,
    file: str | None,
    explain: str | None,
    author: str,
    wait_s: float,
    below_contract: bool,
    passphrase_file: str | None,
    is_json: bool,
) -> None:
    """Ask the access points below a level what FILE would change there, and whom it would cost a connection. Nothing is changed or stored.

    Exit code 1 when one would refuse it, or was there and did not answer.
    """
    if explain is not None and "." in explain and file is None:
        file, explain = explain, ALL  # no id has a dot: what stands there is the file
    if to is None and (file is not None or explain in (None, ALL)):
        raise click.UsageError("give --to NODE and a FILE, or --explain ID")
    city, secrets, screen = cities.load(folder), Secrets(cities.load(folder)), Screen(is_json)
    with contextlib.closing(store.open_city(city)) as connection:
        drafted = None if to is None else planning.prepare(connection, to, arguments.wish_of(file, below_contract), secrets)
        if explain == ALL and drafted is not None:
            explaining.show(drafted.targets, screen)
            return
        if explain is not None or drafted is None:
            _show(planning.explain(connection, explain or "", drafted), is_json)
            return
    act = Act(pushing.PUSH, author, source=file or "")
    raise SystemExit(planning.run(city, drafted, secrets, act, Options(passphrase_file, wait_s), lambda: arguments.connected(city), screen))


def _show(rows: list[Explained], is_json: bool) -> None:
    if is_json:
        click.echo(json.dumps(explaining.as_json(rows), ensure_ascii=False))
        return
    Console(highlight=False, markup=False).print(explaining.table(rows))


command = click.Command(
    "plan",
    callback=click.pass_obj(_plan),
    params=[
        click.Option(["--to"], metavar="NODE", shell_complete=choices.nodes, help="For whom the push would be: city, kelurahan=NAME, an id …"),
        click.Argument(["file"], metavar="[FILE]", required=False, type=click.Path(dir_okay=False)),
        click.Option(
            ["--explain"],
            metavar="[ID]",
            is_flag=False,
            flag_value=ALL,
            shell_complete=choices.access_points,
            help="Show where each value comes from: of this access point, or without an ID of all that FILE is for. Asks nobody.",
        ),
        *arguments.common(PLAN_WAIT_S),
    ],
    help=_plan.__doc__,
    short_help="Show what a push would change.",
    epilog=EPILOG,
)
