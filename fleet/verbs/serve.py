"""`rwctl serve`: takes in what the access points report, until it is told to stop."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import click

from fleet import city
from fleet.ending import asked_to_end
from fleet.serving import Serving, calm_collector

EPILOG = """\b
Examples:
  rwctl --dir malang serve
  RWCTL_DIR=/srv/malang rwctl serve --json-log 2>> /var/log/rwctl.log"""

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _JsonLines(logging.Formatter):
    """A log record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        return json.dumps({"at": round(record.created, 3), "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()})


@click.command("serve", epilog=EPILOG)
@click.option("--json-log", "is_json", is_flag=True, help="Write log lines as JSON.")
@click.pass_obj
def command(folder: Path, is_json: bool) -> None:
    """Take in what the access points report.

    Runs in the foreground until Ctrl-C or SIGTERM: then it stores what it has heard and leaves. One at a time for each city. Exit 1 when something that was
    heard could not be stored; the broker keeps it for the next run.
    """
    at = city.load(folder.absolute())
    _log(is_json)
    calm_collector()
    with asked_to_end() as is_asked:
        is_whole = Serving(at, is_asked.is_set).run()
    click.get_current_context().exit(0 if is_whole else 1)


def _log(is_json: bool) -> None:
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(_JsonLines() if is_json else logging.Formatter(FORMAT))
    root = logging.getLogger()
    root.handlers[:] = [stream]
    root.setLevel(logging.INFO)
