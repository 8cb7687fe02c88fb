"""What every test shares: the one rule for missing components."""

from __future__ import annotations

import itertools
import os
import shutil

import pytest
from hypothesis import settings

from tests.replayed import summarize

# How long an example takes is no claim: the machine has other things to do.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
# For the other Pythons: what differs between them shows in a few examples; the full number is run once.
settings.register_profile("quick", max_examples=10, deadline=None)


def _missing(component: str) -> bool:
    if component == "root":
        return os.geteuid() != 0
    if component == "netns":
        return os.geteuid() != 0 or shutil.which("ip") is None
    return shutil.which(component, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest tests first: each worker begins with a piece of the list, so each piece with its share of them."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    long = [item for item in items if item.get_closest_marker("long")]
    others = iter([item for item in items if not item.get_closest_marker("long")])
    piece = -(-len(items) // workers)
    ordered: list[pytest.Item] = []
    for number in range(workers):
        ordered += long[number::workers]
        ordered += itertools.islice(others, (number + 1) * piece - len(ordered))
    items[:] = ordered


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose component is missing, with the reason; fail it where components are required."""
    names = [name for mark in item.iter_markers("needs") for name in mark.args]
    absent = [name for name in names if _missing(name)]
    if not absent:
        return
    reason = f"needs {', '.join(absent)}: not on this machine (scripts/apt-packages lists what to install)"
    if os.environ.get("RWAGENT_REQUIRE_COMPONENTS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the counts that a run must show; `scripts/test` repeats them last."""
    summarize(terminalreporter)
