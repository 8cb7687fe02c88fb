"""`rwctl revert`: puts an older config back, as a new change with new revisions."""

from __future__ import annotations

import shlex
import sqlite3
from pathlib import Path

import click

from fleet import changes, layers, pushing
from fleet import city as cities
from fleet import push_arguments as arguments
from fleet.changes import Change
from fleet.delivery import WAIT_S, Delivery, MakeWish, Options
from fleet.draft import Wish
from fleet.errors import BadInput, Refused
from fleet.pushing import Act
from fleet.secrets import Secrets
from fleet.selector import Node
from fleet.verdicts import Screen

EPILOG = """\b
Examples:
  rwctl revert --to kelurahan=Jatimulyo
  rwctl revert --to kelurahan=Jatimulyo --change 7 --note "the new name was a mistake"
  rwctl history --to kelurahan=Jatimulyo     (the changes there are)"""


def _revert(
    folder: Path,
    to: str,
    change: int | None,
    author: str,
    note: str,
    confirm_within_s: int,
    is_all: bool,
    is_dry_run: bool,
    is_no_wait: bool,
    is_explained: bool,
    wait_s: float,
    below_contract: bool,
    passphrase_file: str | None,
    is_json: bool,
) -> None:
    """Set a level of the config to what it was before its last change, or after an older one: a new change, with new revisions.

    Before its first change a level said nothing. Exit codes as of push.
    """
    city = cities.load(folder)
    source = f"change {change}" if change is not None else "what was before the last change"
    act = Act(pushing.REVERT, author, note, confirm_within_s, source)
    options = Options(passphrase_file, 0 if is_no_wait else wait_s, is_dry_run, is_explained)
    delivery = Delivery(city, to, _wish(change, below_contract, is_all), act, options, lambda: arguments.connected(city), Screen(is_json))
    raise SystemExit(delivery.run())


def _wish(number: int | None, is_below_contract: bool, is_all: bool) -> MakeWish:
    def make(connection: sqlite3.Connection, node: Node, _secrets: Secrets) -> Wish:
        there = changes.changes(connection, node)
        if not there:
            raise BadInput(f"--to is {node}, to which nothing was ever pushed: there is nothing to put back")
        if number is None and there[-1].kind == pushing.REVERT and any(one.change == there[-1].number for one in changes.waiting(connection).values()):
            # To put back what was before it would bring back what somebody wanted to be rid of.
            raise Refused(
                f"{node}: change {there[-1].number} is a revert that was cut short; send it:  rwctl push --to {shlex.quote(str(node))}"
                f"  (or say which change you mean: --change N)"
            )
        return Wish(node, _older(node, there, number), is_below_contract, is_all)

    return make


def _older(node: Node, there: list[Change], number: int | None) -> dict[str, object]:
    if number is None:
        # A push that only told more access points, or signed anew, changed nothing that could be put back.
        others = [change.document for change in there if layers.differences(change.document, there[-1].document)]
        return others[-1] if others else {}
    found = [change.document for change in there if change.number == number]
    if not found:
        raise BadInput(f"--change is {number}, expected one of {node}: {', '.join(str(change.number) for change in there)}")
    return found[0]


command = click.Command(
    "revert",
    callback=click.pass_obj(_revert),
    params=[
        arguments.to(),
        click.Option(["--change"], type=click.IntRange(1), metavar="N", help="Put back what this change said (default: the last that said something else)."),
        *arguments.of_a_change(),
        *arguments.common(WAIT_S),
    ],
    help=_revert.__doc__,
    short_help="Put an earlier config back.",
    epilog=EPILOG,
)
