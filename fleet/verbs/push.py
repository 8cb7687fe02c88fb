"""`rwctl push`: changes the config of access points and waits for their verdicts."""

from __future__ import annotations

from pathlib import Path

import click

from fleet import city as cities
from fleet import push_arguments as arguments
from fleet import pushing
from fleet.delivery import WAIT_S, Delivery, Options
from fleet.pushing import Act
from fleet.verdicts import Screen

EPILOG = """\b
Examples:
  rwctl push --to city kota.toml --dry-run
  rwctl push --to kelurahan=Jatimulyo jatimulyo.toml --note "new name for the network"
  rwctl push --to rw-0501 rw-0501.toml --confirm-within 300
  rwctl push --to city               (the layer as it is, for those that do not have it yet)

\b
A file says only what its level sets; of two levels the inner one counts:
  city, kecamatan, kelurahan, rw, tag, access point.
With  remove = ["ssids.kantor"]  it takes out what outer levels set."""


def _push(
    folder: Path,
    to: str,
    file: str | None,
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
    """Set a level of the config to what FILE says, and send each access point below it its whole document, signed.

    An access point tries it and takes it back when it loses its way to the broker. Who is offline gets it on its return.
    Exit code 1 when one refused it, took it back or failed, or was there and gave no verdict in time.
    """
    city = cities.load(folder)
    act = Act(pushing.PUSH, author, note, confirm_within_s, file or "")
    options = Options(passphrase_file, 0 if is_no_wait else wait_s, is_dry_run, is_explained)
    wish = arguments.wish_of(file, below_contract, is_all)
    delivery = Delivery(city, to, wish, act, options, lambda: arguments.connected(city), Screen(is_json))
    raise SystemExit(delivery.run())


command = click.Command(
    "push",
    callback=click.pass_obj(_push),
    params=[
        arguments.to(),
        click.Argument(["file"], metavar="[FILE]", required=False, type=click.Path(dir_okay=False)),
        *arguments.of_a_change(),
        *arguments.common(WAIT_S),
    ],
    help=_push.__doc__,
    short_help="Change the config of access points.",
    epilog=EPILOG,
)
