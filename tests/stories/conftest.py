"""The world every story happens in."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.stories.world import World, make_world

SLOWEST = (
    "test_a_citys_day",
    "test_the_whole_city_at_once",
    "test_a_path_silent_for_three_minutes",
    "test_ten_thousand_reports_do_not_grow_the_process",
    "test_a_broker_restarted_twenty_times_loses_nothing",
    "test_presence_says_how_it_ended",
    "test_a_day_without_a_broker",
    "test_no_station_and_no_secret_gets_out",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each of xdist's workers begin with slow stories, which mostly wait: with worksteal each is given an equal share of all, in order."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    slow = sorted((item for item in items if item.name.startswith(SLOWEST)), key=lambda item: [item.name.startswith(name) for name in SLOWEST], reverse=True)
    rest = [item for item in items if item not in slow]
    share = max(len(items) // workers, 2)
    for worker in range(workers):
        rest[worker * share : worker * share] = slow[worker::workers]
    items[:] = rest


@pytest.fixture
def world() -> Iterator[World]:
    """A folder in RAM, and whatever a story starts in it; gone after the story."""
    with make_world() as made:
        yield made
