"""The command line `rwctl`: finds the verb and the city's directory, and turns what went wrong into one text and an exit code.

Verbs are loaded only when they are called: completion asks for them at every press of the key.
"""

from __future__ import annotations

import errno
import importlib
import os
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

try:
    import click
except ModuleNotFoundError:
    sys.exit("rwctl: the city's packages are not installed; install them:  pip install 'rwagent[fleet]'")

from fleet.errors import BadInput, Refused

DONE, FAILED, BAD_USAGE = 0, 1, 2

# The one list of verbs, as `rwctl --help` shows them; each is `command` in fleet/verbs/<verb>.py.
VERBS = {
    "Set up": {
        "init": "Make a city's directory, or repair it.",
        "enroll": "Give access points their certificate and bundle.",
        "revoke": "Shut an access point out.",
        "broker": "Run the MQTT broker, or check another's.",
    },
    "Run": {"serve": "Take in what the access points report."},
    "See": {
        "status": "Show the access points, or one of them.",
        "watch": "Show the access points live.",
        "tail": "Print messages as they come, decoded.",
        "history": "Show what was pushed to whom, and how it ended.",
        "export": "Write telemetry as JSON lines or CSV.",
        "audit": "Show who did what, and check that nothing was altered.",
    },
    "Change": {
        "plan": "Show what a push would change.",
        "push": "Change the config of access points.",
        "revert": "Put an earlier config back.",
        "command": "Have access points do something now.",
    },
    "This program": {"completion": "Print the script that completes commands in your shell."},
}

EPILOG = """\b
Examples:
  rwctl init malang --name malang
  rwctl --dir malang enroll --csv points.csv
  rwctl --dir malang status --where "kelurahan=Lowokwaru and state!=online"
  RWCTL_DIR=malang rwctl watch

Exit codes: 0 done, 1 it failed, 2 bad usage or input."""


class Failed(click.ClickException):
    """A verb's refusal on its way to the terminal."""

    def __init__(self, verb: str, text: str, exit_code: int) -> None:
        super().__init__(f"rwctl {verb}: {text}")
        self.exit_code = exit_code

    def show(self, file: object = None) -> None:
        """Print the text on stderr, as it is."""
        click.echo(self.message, err=True)


class Verbs(click.Group):
    """The group of all verbs, each imported when it is called."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Give the verbs in the order of the help."""
        return [verb for verbs in VERBS.values() for verb in verbs]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import one verb; None when there is none of that name."""
        if name not in self.list_commands(ctx):
            return None
        try:
            command: click.Command = importlib.import_module(f"fleet.verbs.{name}").command
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package in ("fleet", "agent"):
                raise
            raise Failed(name, f"needs the package {package}, which is not installed; install it:  pip install 'rwagent[fleet]'", FAILED) from None
        _take_directory(command)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; of one that is not there, say what is close to it."""
        if not ctx.resilient_parsing and args and args[0] not in self.list_commands(ctx) and not args[0].startswith("-"):
            from difflib import get_close_matches  # seldom needed

            close = get_close_matches(args[0], self.list_commands(ctx), 1)
            ctx.fail(f"{args[0]!r} is no verb of rwctl" + (f"; did you mean {close[0]}?" if close else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs under their headings, without importing any."""
        width = max(map(len, self.list_commands(ctx)))
        for heading, verbs in VERBS.items():
            with formatter.section(heading):
                formatter.write_dl([(f"{verb:<{width}}", text) for verb, text in verbs.items()])

    def invoke(self, ctx: click.Context) -> object:
        """Run the verb; what it refuses, and what the machine refuses it, becomes a text."""
        try:
            return super().invoke(ctx)
        except Refused as error:
            raise Failed(ctx.invoked_subcommand or "", str(error), BAD_USAGE if isinstance(error, BadInput) else FAILED) from None
        except sqlite3.OperationalError as error:
            raise Failed(ctx.invoked_subcommand or "", f"the store in {ctx.obj}: {error}", FAILED) from None
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            where = f"{error.filename}: " if error.filename else ""
            raise Failed(ctx.invoked_subcommand or "", f"{where}{error.strerror or error}", FAILED) from None


def _directory(ctx: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
    """Hand the directory to the verb, as `ctx.obj`; given behind the verb it counts more than before it."""
    if value is not None:
        ctx.obj = value


def _directory_option(envvar: str | None = None, default: Path | None = None) -> click.Option:
    return click.Option(
        ["--dir"],
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        envvar=envvar,
        default=default,
        expose_value=False,
        is_eager=True,
        callback=_directory,
        help="The city's directory (default: $RWCTL_DIR, else where you are).",
    )


def _take_directory(command: click.Command) -> None:
    """Let `--dir` stand behind the verb as well; `init` is told its directory."""
    if command.name != "init" and not any("--dir" in parameter.opts for parameter in command.params):
        command.params.append(_directory_option())
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        _take_directory(below)


def _version(ctx: click.Context, _parameter: click.Parameter, is_asked: bool) -> None:
    if not is_asked or ctx.resilient_parsing:
        return
    from importlib import metadata  # costs more than all of the rest

    try:
        version = metadata.version("rwagent")
    except metadata.PackageNotFoundError:
        version = "not installed"
    click.echo(f"rwctl {version}, Python {sys.version.split()[0]}, click {metadata.version('click')}")
    ctx.exit()


@click.pass_context
def _without_verb(ctx: click.Context) -> None:
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        ctx.exit(BAD_USAGE)


rwctl = Verbs(
    "rwctl",
    callback=_without_verb,
    invoke_without_command=True,
    subcommand_metavar="VERB …",
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 110},
    params=[
        _directory_option("RWCTL_DIR", Path(".")),
        click.Option(["--version"], is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Print the version."),
    ],
    help="The city end of the RW Wi-Fi: enrol access points, take in what they report, see how they are, push their config.",
    epilog=EPILOG,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run rwctl; 0 done, 1 it failed, 2 bad usage or input."""
    if "_RWCTL_COMPLETE" in os.environ:
        from fleet import completing  # only a shell asks for it

        completing.prepare()
    try:
        code = rwctl.main(arguments if arguments is None else list(arguments), prog_name="rwctl", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return FAILED
    except BrokenPipeError:
        return _unheard()
    except SystemExit as end:
        code = end.code
    if isinstance(code, str):
        click.echo(code, err=True)
        return FAILED
    return code if isinstance(code, int) else DONE


def _unheard() -> int:
    """Nobody reads on: end without a word, also when Python flushes what is left."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
