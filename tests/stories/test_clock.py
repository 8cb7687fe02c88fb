"""A router without a battery: the clock stands at 1970, jumps to now, and goes an hour back."""

from __future__ import annotations

import time

import pytest

from tests.stories.world import World, assert_nothing_lost, assert_steady, assert_valid, until

pytestmark = [pytest.mark.story, pytest.mark.needs("mosquitto")]
HOUR = 3600


def test_a_clock_from_1970_to_now_and_an_hour_back(world: World) -> None:
    """`at` is absent, then right; what waited unsent is filled in; intervals do not notice; each change is one clock event."""
    broker = world.broker()
    city = world.city(broker.port)
    wire = world.wire(broker.port, is_open=False)
    agent = world.agent(wire.port, module="tests.stories.driver", more=("--first", "trust none;wall 3600")).start()
    until(lambda: len(agent.kept_reports()) >= 3, "three reports without a clock")
    assert all("at" not in report and report["clock"] == "none" for report in agent.kept_reports())
    unsent = agent.put()
    agent.tell(f"wall {time.time()}")
    agent.tell("trust ntp")
    until(lambda: agent.kept_reports()[-1]["clock"] == "ntp", "the clock is good")
    wire.is_open = True
    until(lambda: unsent <= city.numbers(), "what waited is heard")
    heard = len(city.on("report"))
    city.wait_for(heard + 2)
    agent.tell(f"step {-HOUR}")
    back = until(lambda: [event for event in city.events() if event["kind"] == "clock" and event["data"]["step_s"] < 0], "the step back is told")
    city.wait_for(len(city.on("report")) + 2)
    assert agent.stop() == 0
    reports = {report["seq"]: report for report in city.reports()}
    booted = city.on("report")[-1].wall - city.reports()[-1]["uptime_s"]
    for report in reports.values():
        assert report["clock"] == "ntp", "what was unsent when the clock became good says so"
        wall = booted + report["uptime_s"] - (HOUR if report["seq"] > back[0]["seq"] else 0)
        assert abs(report["at"] - wall) < 3, (report["seq"], report["at"] - wall)
    changes = [event["data"] for event in sorted(city.events(), key=lambda event: event["seq"]) if event["kind"] == "clock"]
    assert [(change["from"], change["to"]) for change in changes if change["from"] != change["to"]] == [("none", "ntp")]
    assert abs(changes[-1]["step_s"] + HOUR) < 2
    assert max(change["step_s"] for change in changes) > 1e9
    assert len(changes) <= 3
    assert_steady(list(reports.values()))
    assert_nothing_lost(city, agent)
    assert_valid(city)


def test_a_clock_that_was_never_set_costs_trust_only(world: World) -> None:
    """Reports without a clock are sent as they are, and the alert says why nobody should trust their time."""
    broker = world.broker()
    city = world.city(broker.port)
    agent = world.agent(broker.port, module="tests.stories.driver", more=("--first", "trust none;wall 3600")).start()
    reports = city.wait_for(3)
    assert agent.stop() == 0
    assert all("at" not in report and report["clock"] == "none" for report in reports)
    assert all("at" not in event for event in city.events())
    assert "at" not in city.on("presence")[0].message
    assert_steady(reports)
    assert_valid(city)
