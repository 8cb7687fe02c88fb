"""Counts that a test run must show (how many recordings were replayed, how many cases were tried), summed over all workers.

A test says `record_property(counted("ubus recordings replayed"), 1)`; `summarize`, called from conftest's `pytest_terminal_summary`, prints the sums.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

_PREFIX = "counted: "


def counted(what: str) -> str:
    """Name the property that carries a count of `what`; a worker's properties reach the run's end with its reports."""
    return _PREFIX + what


def totals(reports: Iterable[pytest.TestReport]) -> dict[str, int]:
    """Sum the counts of these reports."""
    sums: dict[str, int] = {}
    for report in reports:
        for name, value in report.user_properties if report.when == "call" else ():
            if name.startswith(_PREFIX):
                what = name[len(_PREFIX) :]
                sums[what] = sums.get(what, 0) + int(str(value))
    return sums


def summarize(terminal: pytest.TerminalReporter) -> None:
    """Print one line for each count; only what passed counts."""
    for what, total in sorted(totals(terminal.stats.get("passed", [])).items()):
        terminal.write_line(f"{_PREFIX}{what}: {total}")
