"""The world every story happens in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stories.world import World, make_world


@pytest.fixture
def world() -> Iterator[World]:
    """A folder in RAM, and whatever a story starts in it; gone after the story."""
    with make_world() as made:
        yield made
