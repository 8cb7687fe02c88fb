"""What `./scripts/run` makes of this machine's name, and how it ends when it cannot start."""

from __future__ import annotations

import pytest

from agent.wire import topics
from fleet import demo


@pytest.mark.parametrize("hostname", ["vm", "Ölüdeniz-Büro", "a" * 200, "-.-", "", "rw-0501", "my host\n"])
def test_every_host_name_becomes_an_access_points_name(hostname: str) -> None:
    """The machine's own agent has a name within the grammar that is none of the simulated ones."""
    name = demo.own_name(hostname, ["rw-0501"])
    assert topics.is_name(name) and name != "rw-0501"
