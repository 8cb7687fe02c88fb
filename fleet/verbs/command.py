"""`rwctl command`: has access points do something now, and waits for their results. One command of rwctl for each of the closed table."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from fleet import city as cities
from fleet import commanding, commands
from fleet import push_arguments as arguments
from fleet.commanding import LONGEST_TIMEOUT_S, Options
from fleet.commands import COMMANDS, Argument, Command, Word
from fleet.errors import BadInput
from fleet.results_drawn import Screen

EPILOG = """\b
Examples:
  rwctl command locate --to rw-0501 --seconds 60
  rwctl command stations --to rw-0501
  rwctl command scan --to kelurahan=Jatimulyo --band 2g
  rwctl command locate --help        (what may be given with it)

\b
Each is signed for the boot that an access point is in, and for the next minute: it cannot be stored, repeated or delayed.
So it goes only to who is there now, and needs `rwctl serve`, which knows boot and uptime from the reports."""


def _run(name: str, folder: Path, to: str, timeout_s: float, passphrase_file: str | None, is_json: bool, is_meant: bool = False, **given: object) -> None:
    """Check what was typed, ask where it costs many something, and do it."""
    order = commands.order(name, given)
    city = cities.load(folder)
    node, points = commanding.targets(city, to)
    _refuse_unmeant(commanding.cost(order, len(points)), is_meant)
    options = Options(passphrase_file, timeout_s)
    raise SystemExit(commanding.run(city, node, points, order, options, lambda: arguments.connected(city), Screen(is_json)))


def _refuse_unmeant(cost: str, is_meant: bool) -> None:
    if not cost or is_meant:
        return
    if not sys.stdin.isatty():
        raise BadInput(f"{cost}; if that is meant, say --yes")
    click.confirm(f"{cost}. Is that meant?", abort=True, err=True)


class Commands(click.Group):
    """The group of all commands."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Give the commands in the order of the table."""
        return list(COMMANDS)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; of one that is not there, say what is close to it."""
        if not ctx.resilient_parsing and args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches  # seldom needed

            close = get_close_matches(args[0], COMMANDS, 1, 0.5)
            ctx.fail(f"{args[0]!r} is no command" + (f"; did you mean {close[0]}?" if close else f", expected one of {', '.join(COMMANDS)}"))
        return super().resolve_command(ctx, args)


def _option(argument: Argument) -> click.Option:
    kind: Any = argument.kind
    usual = getattr(kind, "usual", None)
    return click.Option(
        [argument.option, argument.name],
        # What a text may be is told with what stands there, by the table.
        type=click.Choice(kind.words) if isinstance(kind, Word) else click.IntRange(kind.low, kind.high) if isinstance(kind, commands.Whole) else str,
        metavar=argument.metavar,
        required=argument.is_required,
        help=argument.meaning + (f"  [default: {usual}]" if usual is not None else ""),
    )


def _made(name: str, said: Command) -> click.Command:
    text = said.text + (f"\n\nWhat it costs: {said.costs}. For more than one access point that has to be said: --yes." if said.costs else "")
    wait = click.FloatRange(1, LONGEST_TIMEOUT_S)
    params: list[click.Parameter] = [
        arguments.to(),
        *map(_option, said.arguments),
        click.Option(["--timeout", "timeout_s"], type=wait, default=said.patience_s, show_default=True, metavar="S", help="Wait so long for the results."),
        click.Option(["--passphrase-file"], metavar="FILE", help="Its first line unlocks the signing key; mode 600. Without it you are asked."),
        click.Option(["--json", "is_json"], is_flag=True, help="Print JSON lines, for machines."),
    ]
    if said.costs:
        params.insert(-1, click.Option(["--yes", "is_meant"], is_flag=True, help="It is meant for all of them."))
    return click.Command(
        name,
        callback=click.pass_obj(partial(_run, name)),
        params=params,
        help=f"{text}\n\nExit code 1 when one was not there, refused it, failed or gave no result in time.",
        short_help=said.text,
        epilog=f"\b\nExample:\n  rwctl command {name} {said.example}",
    )


command = Commands(
    "command",
    commands={name: _made(name, said) for name, said in COMMANDS.items()},
    subcommand_metavar="NAME --to NODE …",
    help="Have access points do something now, and wait for their results.",
    short_help="Have access points do something now.",
    epilog=EPILOG,
)
