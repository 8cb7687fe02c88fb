"""The words that `push`, `revert` and `plan` have in common on the command line, and the line to the broker that they all need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from agent.wire import claims
from fleet import choices, document
from fleet.city import OPERATOR, City
from fleet.delivery import MakeWish
from fleet.draft import Wish
from fleet.secrets import Secrets
from fleet.selector import Node
from fleet.who import login

if TYPE_CHECKING:
    from fleet.mqtt import Client


def to() -> click.Option:
    """Make --to."""
    text = "Whom it is for: city, kecamatan=NAME, kelurahan=NAME, rw=KELURAHAN/NUMBER, tag=NAME, or an access point's id."
    return click.Option(["--to"], required=True, metavar="NODE", shell_complete=choices.nodes, help=text)


def common(wait_s: int) -> list[click.Parameter]:
    """Make the options of whatever signs something."""
    return [
        click.Option(["--author"], default=login, show_default="you", metavar="NAME", help="Who makes it, for the record and the access points."),
        click.Option(["--passphrase-file"], metavar="FILE", help="Its first line unlocks the signing key; mode 600. Without it you are asked."),
        click.Option(["--wait", "wait_s"], type=click.FloatRange(1), default=wait_s, show_default=True, metavar="S", help="Wait so long for the answers."),
        click.Option(["--below-contract"], is_flag=True, help="An uplink cap (uplink.cap.down_mbps) below the contract is meant."),
        click.Option(["--json", "is_json"], is_flag=True, help="Print JSON lines, for machines."),
    ]


def of_a_change() -> list[click.Parameter]:
    """Make the options of whatever changes access points."""
    within = click.IntRange(claims.SHORTEST_CONFIRM_S, claims.LONGEST_CONFIRM_S)
    told = "An access point that cannot confirm the change within S seconds takes it back."
    return [
        click.Option(["--note"], default="", metavar="TEXT", help="Why, for the record."),
        click.Option(["--confirm-within", "confirm_within_s"], type=within, default=claims.CONFIRM_WITHIN_S, show_default=True, metavar="S", help=told),
        click.Option(["--all", "is_all"], is_flag=True, help="Sign anew for all, also for whom nothing changes."),
        click.Option(["--dry-run", "is_dry_run"], is_flag=True, help="Show what would change for whom; send nothing."),
        click.Option(["--no-wait", "is_no_wait"], is_flag=True, help="Do not wait for the verdicts."),
        click.Option(["--explain", "is_explained"], is_flag=True, help="Show first where each value comes from."),
    ]


def connected(city: City) -> Client:
    """Connect to the broker as the operator."""
    # Only where something is sent: a shell that completes a word waits for all that is loaded.
    from fleet.mqtt import Client

    client = Client(city, OPERATOR)
    client.start()
    return client


def wish_of(file: str | None, is_below_contract: bool, is_all: bool = False) -> MakeWish:
    """Read a layer's file, now, and make the wish for it; without a file the layer in force."""
    layer = document.read(file) if file else None

    def make(_connection: object, node: Node, secrets: Secrets) -> Wish:
        return Wish(node, None if layer is None else secrets.taken_out(layer), is_below_contract, is_all)

    return make
