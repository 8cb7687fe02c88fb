"""`rwctl broker`: runs mosquitto with the city's configuration, or checks the broker that runs."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

from fleet import broker_check, city, found, mosquitto
from fleet.errors import Refused

RUN_EPILOG = """\b
Example:
  rwctl --dir malang broker run"""

CHECK_EPILOG = """\b
Examples:
  rwctl --dir malang broker check
  rwctl --dir malang broker check --host mqtt.malang.example --messages 10000 --json"""

COLUMNS = (TextColumn("{task.description}"), BarColumn())


@click.group("broker")
def command() -> None:
    """Run the MQTT broker, or check one."""


@command.command("run", epilog=RUN_EPILOG)
@click.pass_obj
def run(folder: Path) -> None:
    """Start mosquitto in the foreground, with a configuration made from city.toml.

    It ends with Ctrl-C, or as the service manager's process. Started by root, it runs as the user that broker/ belongs to.
    """
    at = city.load(folder.absolute())
    if not at.broker.is_own:
        raise Refused(f"{at.folder / city.FILE}: broker.own is false, somebody else runs the broker; check it:  rwctl --dir {folder} broker check")
    binary = mosquitto.program()
    mosquitto.refuse_misfits(at)
    mosquitto.refuse_taken_ports(at)
    mosquitto.allow_connections(at)
    _tell(found.server_certificate(at))
    mosquitto.write(at)
    broker, runs_as = at.broker, mosquitto.user(at)
    as_whom = f" as user {runs_as}" if runs_as and os.geteuid() == 0 else ""
    click.echo(f"mosquitto{as_whom}: {broker.listen}:{broker.port} for access points, {broker.city_host}:{broker.city_port} for the city", err=True)
    mosquitto.become(at, binary)


def _tell(step: found.Step) -> None:
    if step.done != found.KEPT:
        click.echo(f"{step.done}  {step.what}" + (f": {step.why}" if step.why else ""), err=True)


@command.command("check", epilog=CHECK_EPILOG)
@click.option("--host", metavar="HOST", help="Where the broker's listener for access points is (default: what city.toml says).")
@click.option("--port", type=click.IntRange(1, 65535), metavar="N", help="Its port (default: what city.toml says).")
@click.option("--messages", type=click.IntRange(1), metavar="N", help="How many messages must wait for an absent ingester (default: what city.toml needs).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def check(folder: Path, host: str | None, port: int | None, messages: int | None, as_json: bool) -> None:
    """Check the broker that runs, ours or another, by delivery.

    Connects as two throw-away access points and as the city, and tries who gets what. Exit 1 when something is not as it must be.
    """
    at = city.load(folder.absolute())
    console = Console(stderr=True)
    findings = []
    with Progress(*COLUMNS, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("trying", total=None)
        tell = functools.partial(_progress, bar, task)
        for finding in broker_check.check(at, host, port, messages, tell):
            findings.append(finding)
            bar.update(task, description=finding.what)
    is_good = all(finding.is_good for finding in findings)
    if as_json:
        click.echo(json.dumps({"good": is_good, "findings": [finding._asdict() for finding in findings]}, indent=2))
    else:
        Console().print(_table(findings))
    if not is_good:
        raise Refused(f"{sum(not finding.is_good for finding in findings)} of {len(findings)} are not as they must be")


def _table(findings: list[broker_check.Finding]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("", "what", "found", "needed", "what to do"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        table.add_row("ok" if finding.is_good else "WRONG", finding.what, finding.found, finding.needed, "" if finding.is_good else finding.remedy)
    return table


def _progress(bar: Progress, task: TaskID, done: int, of: int) -> None:
    bar.update(task, completed=done, total=of)
