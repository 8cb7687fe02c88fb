"""Collectors that misbehave, in the real daemon: only their part is missing and named, and the next report is on time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.collectors import COLLECTORS
from tests.stories.misbehaving import MAC, SPELL, WAYS
from tests.stories.world import World, assert_nothing_lost, assert_steady, assert_valid, until

pytestmark = [pytest.mark.story, pytest.mark.needs("mosquitto")]
PARTS = {"stations": {"stations", "bss"}, "radios": {"radios"}, "traffic": {"interfaces"}, "uplink": {"uplink"}, "dhcp": {"dhcp"}, "host": {"host"}}
HANGS = ("spins", "swallows", "blocks")
# What is nonsense, not silence: no part may be made of it. The others may cost single values, or a part said to be missing.
HOPELESS = ("raises", "tells", "unavailable", "recurses", "none", "text", "number", "list", "huge", "bytes", "lists")
INTERVAL_S = 1.0


def story(world: World, bad: dict[str, str], patience: int) -> list[dict[str, Any]]:
    """Run the daemon with bad collectors until they have been good again for a while; give its reports."""
    broker = world.broker()
    city = world.city(broker.port)
    more = ("--bad", ",".join(f"{name}:{way}" for name, way in bad.items()))
    agent = world.agent(broker.port, sample_s=INTERVAL_S, interval_s=INTERVAL_S, module="tests.stories.driver", more=more).start()
    until(lambda: len(city.on("report")) >= patience or not agent.is_running(), lambda: agent.log(), 60)
    assert agent.is_running(), agent.log()
    assert agent.stop() == 0, agent.log()
    assert_valid(city)
    assert_nothing_lost(city, agent)
    assert_steady(city.reports(), INTERVAL_S)
    assert max(len(report.payload) for report in city.on("report")) < 10_000
    return city.reports()


@pytest.mark.parametrize("way", [way for way in WAYS if way not in HANGS])
def test_nonsense_costs_its_own_part(world: World, way: str) -> None:
    """Every second collector raises or gives nonsense: its part is absent and it is named, the others' are there, and it recovers."""
    bad = {name: way for place, name in enumerate(COLLECTORS) if place % 2 == list(WAYS).index(way) % 2}
    reports = story(world, bad, SPELL + 4)
    for report in reports[: SPELL - 1]:
        for name, parts in PARTS.items():
            error = report["agent"]["collectors"].get(name, {}).get("error")
            if name not in bad:
                assert parts <= report.keys(), (name, report.keys())
                assert error is None
            elif way in HOPELESS:
                assert not parts & report.keys(), (name, report)
                assert error
    assert MAC.lower() not in json.dumps(reports).lower()
    last = reports[-1]
    assert set.union(*PARTS.values()) <= last.keys()
    assert not [row for row in last["agent"]["collectors"].values() if "error" in row]


@pytest.mark.parametrize("way", HANGS)
def test_one_that_never_returns_costs_its_own_part(world: World, way: str) -> None:
    """A collector that spins, swallows what would end it, or blocks in the kernel is interrupted; reports stay on time."""
    reports = story(world, {"uplink": way, "host": "raises"}, 7)
    hung = [report["agent"]["collectors"]["uplink"].get("error", "") for report in reports]
    assert "no answer within" in hung[0]
    for report in reports:
        assert not {"uplink"} & report.keys()
        assert PARTS["stations"] | PARTS["radios"] | PARTS["traffic"] | PARTS["dhcp"] <= report.keys()
    assert "banana" not in json.dumps(reports)
