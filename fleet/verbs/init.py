"""`rwctl init`: makes a city's directory, or mends it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from agent.wire import topics
from fleet import city, found
from fleet.errors import BadInput

EPILOG = """\b
Examples:
  rwctl init malang --name malang --host mqtt.malang.example
  rwctl init malang                  (mends what is missing, and renews the broker's certificate)
  rwctl init malang --name malang --passphrase-file pass.txt"""

NEXT = """
Next, in this order:
  rwctl --dir {folder} {broker}
  rwctl --dir {folder} enroll --csv points.csv
  rwctl --dir {folder} serve
  rwctl --dir {folder} status"""


@click.command("init", epilog=EPILOG)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="The city's name, in every topic: a-z, 0-9 and -.")
@click.option("--host", metavar="HOST", help="What access points connect to (default: localhost).")
@click.option("--port", type=click.IntRange(1, 65535), metavar="N", help="The broker's port for access points (default: 8883).")
@click.option("--listen", metavar="ADDRESS", help="The address mosquitto listens on for access points (default: 0.0.0.0).")
@click.option("--city-port", type=click.IntRange(1, 65535), metavar="N", help="The broker's port for the city's own programs, on loopback (default: 8884).")
@click.option("--access-points", type=click.IntRange(1, 1_000_000), metavar="N", help="The most there will be, for the broker's queues (default: 600).")
@click.option("--interval", "interval_s", type=click.IntRange(1, 3600), metavar="S", help="Seconds between reports, in the bundles (default: 60).")
@click.option("--zone", metavar="ZONE", help="The time zone that times are shown in (default: Asia/Jakarta).")
@click.option("--passphrase-file", metavar="FILE", help="Its first line locks the signing key; mode 600.")
@click.option("--no-own-broker", is_flag=True, help="Somebody else runs the broker.")
@click.option("--quiet", "-q", is_flag=True, help="Say only what was mended, and what to do next.")
def command(folder: Path, passphrase_file: str | None, no_own_broker: bool, quiet: bool, name: str | None, **options: Any) -> None:
    """Make the directory of a city: its authorities, the broker's certificate, configuration and access list, the signing key, the store, city.toml.

    Run again it makes what is missing and mends what is wrong. It never replaces a key and never changes city.toml.
    """
    if name is not None and not topics.is_name(name):
        raise BadInput(f"--name is {name!r}, expected 1 to {topics.LONGEST_NAME} of a-z, 0-9 and -")
    wishes = found.Wishes(name=name, own=False if no_own_broker else None, **options)
    for step in found.found(folder.absolute(), wishes, passphrase_file):
        if not quiet or step.done == found.MENDED:
            click.echo(f"{step.done:<6}  {step.what}" + (f": {step.why}" if step.why else ""))
    at = city.load(folder)
    click.echo(NEXT.format(folder=folder, broker="broker run" if at.broker.is_own else "broker check"))
