"""The command `rwctl serve`, as far as it needs no broker; tests/stories/test_city_faults.py runs it for real."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from click.testing import CliRunner

from fleet.errors import Refused
from fleet.verbs.serve import _JsonLines, command


def test_a_directory_that_is_no_citys_is_refused(tmp_path: Path) -> None:
    """It says what to do."""
    done = CliRunner().invoke(command, obj=tmp_path)
    assert isinstance(done.exception, Refused) and "rwctl init" in str(done.exception)


def test_help_has_an_example() -> None:
    """Whoever asks sees how it is typed."""
    assert "rwctl --dir malang serve" in CliRunner().invoke(command, ["--help"]).output


def test_a_log_line_as_json() -> None:
    """Machines read each line by itself."""
    record = logging.LogRecord("fleet.ingest", logging.WARNING, "", 1, 'broker "away": %s\n', ("x",), None)
    line = _JsonLines().format(record)
    assert "\n" not in line
    assert {**json.loads(line), "at": 0} == {"at": 0, "level": "warning", "logger": "fleet.ingest", "message": 'broker "away": x\n'}
