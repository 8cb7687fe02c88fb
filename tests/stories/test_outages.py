"""Brokers that die and restart: whatever happens between PUBLISH and PUBACK, no report is lost."""

from __future__ import annotations

import pytest

from tests.stories.world import World, assert_nothing_lost, assert_steady, assert_valid, until

pytestmark = [pytest.mark.story, pytest.mark.needs("mosquitto")]
RESTARTS = 20
LOST = "connection lost"


@pytest.mark.parametrize("paho", [1, 2])
def test_a_broker_killed_between_publish_and_puback_loses_nothing(world: World, paho: int) -> None:
    """What was published and never acknowledged is sent again after the broker's restart; sampling never pauses."""
    broker = world.broker()
    city = world.city(broker.port)
    wire = world.wire(broker.port)
    agent = world.agent(wire.port, sample_s=0.2, interval_s=0.2, paho=paho).start()
    city.wait_for(3)
    wire.swallows_pubacks = True
    unacknowledged = until(lambda: wire.swallowed >= 3 and (held := agent.held() & city.numbers()) and len(held) >= 3 and held, "three PUBACKs swallowed")
    wire.is_open = False
    broker.kill()
    wire.swallows_pubacks = False
    wire.cut()
    before = len(city.on("report"))
    broker.start()
    city.gone().join()
    wire.is_open = True
    city.wait_for(before + 10)
    until(lambda: len(agent.held()) <= 1, "the outbox is empty again")
    assert agent.stop() == 0
    again = [(message["boot"], message["seq"]) for message in city.reports()[before:] + city.events()]
    assert unacknowledged <= set(again)
    assert_nothing_lost(city, agent)
    assert_steady(city.reports(), 0.5)
    assert_valid(city)


@pytest.mark.parametrize(("paho", "has_acks"), [(1, False), (2, True)])
@pytest.mark.long
def test_a_broker_restarted_twenty_times_loses_nothing(world: World, paho: int, has_acks: bool) -> None:
    """Killed or stopped, twenty times over, with a city that acknowledges or not: every number the agent gave out is heard."""
    broker = world.broker()
    city = world.city(broker.port)
    wire = world.wire(broker.port)
    agent = world.agent(wire.port, paho=paho).start()
    for restart in range(RESTARTS):
        city.wait_for(len(city.on("report")) + 1)
        if has_acks:
            city.ack()
        wire.is_open = False
        if not has_acks:
            # What a broker acknowledged and had not passed on when it was killed is the broker's loss, of which nobody can know without the city's acks.
            losses = agent.log().count(LOST)
            wire.cut()
            until(lambda losses=losses: agent.log().count(LOST) > losses, "the agent's connection is lost")
            until(lambda: agent.put() - agent.held() <= city.numbers(), "all that was acknowledged is heard")
        (broker.kill if restart % 2 else broker.stop)()
        broker.start()
        city.gone().join()
        wire.is_open = True
    city.wait_for(len(city.on("report")) + 1)
    if has_acks:
        city.ack()
    known = agent.put()
    until(lambda: known <= city.numbers(), lambda: f"{sorted(known - city.numbers())} is heard, held is {sorted(agent.held())}", 60)
    assert agent.stop() == 0
    assert_nothing_lost(city, agent)
    assert max(report["agent"]["reconnects"] for report in city.reports()) >= RESTARTS - 1
    assert_steady(city.reports())
    assert_valid(city)
