"""The agent's own end and return, and what its presence says about it."""

from __future__ import annotations

import pytest

from tests.stories.world import City, World, assert_nothing_lost, assert_valid, until

pytestmark = [pytest.mark.story, pytest.mark.needs("mosquitto")]


@pytest.mark.parametrize("paho", [1, 2])
@pytest.mark.parametrize("ending", ["kill", "stop"])
def test_a_restart_of_the_agent_loses_nothing(world: World, ending: str, paho: int) -> None:
    """Killed or stopped while the broker is away, and started again in the same boot: seq goes on, every number is heard."""
    broker = world.broker()
    city = world.city(broker.port)
    wire = world.wire(broker.port)
    agent = world.agent(wire.port, sample_s=0.2, interval_s=0.2, paho=paho).start()
    city.wait_for(3)
    wire.is_open = False
    wire.cut()
    held = len(agent.put()) + 8
    until(lambda: len(agent.put()) >= held, "eight more wait")
    agent.kill() if ending == "kill" else agent.stop()
    before = agent.put()
    assert len(before - city.numbers()) >= 8
    agent.start()
    until(lambda: len(agent.put()) >= len(before) + 4, "the next run puts")
    wire.is_open = True
    until(lambda: before <= city.numbers() and any(event["kind"] == "agent" for event in city.events()), "what the former run left is heard")
    assert agent.stop() == 0
    restart = next(event for event in city.events() if event["kind"] == "agent")
    assert restart["data"]["state"] == "restart"
    assert restart["seq"] == len(before) + 1
    assert {report["boot"] for report in city.reports()} == {restart["boot"]}
    assert_nothing_lost(city, agent)
    assert_valid(city)


@pytest.mark.parametrize("paho", [1, 2])
@pytest.mark.long
def test_presence_says_how_it_ended(world: World, paho: int) -> None:
    """A clean stop says offline; an agent killed is said to be lost by its will; each for the session that was born."""
    broker = world.broker()
    city = world.city(broker.port)
    agent = world.agent(broker.port, paho=paho).start()
    until(lambda: city.on("presence"), "the birth")
    birth = city.presence()
    assert birth["state"] == "online"
    assert agent.stop() == 0
    until(lambda: city.presence()["state"] == "offline", "the clean stop")
    assert city.presence() == {"v": 1, "state": "offline", "reason": "stopped", "boot": birth["boot"], "session": birth["session"]}
    agent.start()
    until(lambda: city.presence()["state"] == "online", "the next birth")
    second = city.presence()
    agent.kill()
    # MQTT 5's will waits 60 s for the session to come back; the broker has it until then.
    until(lambda: city.presence()["state"] == "lost", "the will", 75)
    assert city.presence()["session"] == second["session"] != birth["session"]
    assert retained(world, broker.port).presence()["state"] == "lost"
    assert_valid(city)


def test_a_late_will_does_not_outlive_the_birth(world: World) -> None:
    """A frozen connection's will that comes after the reconnect is overwritten: presence ends up online for whoever asks."""
    broker = world.broker()
    city = world.city(broker.port)
    wire = world.wire(broker.port)
    agent = world.agent(wire.port, tables={"broker": {"keepalive_s": 5}}).start()
    until(lambda: city.on("presence"), "the birth")
    first = city.presence()
    wire.freeze()
    until(lambda: city.presence()["session"] != first["session"], "the next session is born", 40)
    city.say("presence", {"v": 1, "state": "lost", "boot": first["boot"], "session": first["session"]}, retain=True)
    until(lambda: city.presence()["state"] == "online", "the birth comes again", 15)
    assert retained(world, broker.port).presence()["state"] == "online"
    assert retained(world, broker.port).presence()["session"] != first["session"]
    assert agent.stop() == 0
    assert_nothing_lost(city, agent)
    assert_valid(city)


def retained(world: World, port: int) -> City:
    """Give a city that joined just now: what it hears of presence is what is retained."""
    late = world.city(port)
    until(lambda: late.on("presence"), "the retained presence")
    return late
