"""Messages that are none of our city's: ignored, counted, and nothing else; and presence that strangers write into."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from agent.router import simulated
from tests.stories.world import AP, World, assert_nothing_lost, assert_steady, assert_valid, until

pytestmark = [pytest.mark.story, pytest.mark.needs("mosquitto")]
SEED = 7
DEEP = b"[" * 30_000 + b"]" * 30_000
MALFORMED: list[bytes] = [
    b"",
    b"banana",
    b"\xff\xfe\x00",
    b"null",
    b"[]",
    DEEP,
    b'{"boot":"' + b"A" * 16 + b'","through":1}',
    b'{"boot":1,"through":1}',
    b'{"boot":"0123456789abcdef"}',
    b'{"boot":"0123456789abcdef","through":NaN}',
    b'{"boot":"0123456789abcdef","through":-1}',
    b'{"boot":"0123456789abcdef","through":1e999}',
    b'{"boot":"0123456789abcdef","through":9,"missing":[[5,3]]}',
    b'{"boot":"0123456789abcdef","through":9,"missing":{"a":1}}',
    b'{"boot":"0123456789abcdef","through":9,"through":10}',
    b'{"boot":"0123456789abcdef","through":' + b"9" * 5000 + b"}",
    json.dumps({"boot": "0123456789abcdef", "through": 1, "pad": "x" * 70_000}).encode(),
]


def test_malformed_and_oversize_messages_are_ignored_and_counted(world: World) -> None:
    """Every one of them is counted in agent.ignored, none disturbs the sampling, releases anything or ends the daemon."""
    broker = world.broker()
    city = world.city(broker.port)
    agent = world.agent(broker.port, sample_s=0.5, interval_s=0.5).start()
    city.wait_for(2)
    for payload in MALFORMED:
        for below in ("ack", "presence", "echo"):
            city.say(below, payload)
    wanted = 3 * len(MALFORMED)
    until(lambda: city.reports()[-1]["agent"]["ignored"] >= wanted, lambda: f"{wanted}, {city.reports()[-1]['agent']['ignored']}", 15)
    # Too much for the agent's maximum packet size, which a broker of MQTT 5 obeys and others may not.
    city.say("ack", os.urandom(1_000_000))
    heard = len(city.on("report"))
    city.wait_for(heard + 3)
    last = city.reports()[-1]["agent"]
    assert last["reconnects"] == 0
    assert last["ignored"] in (wanted, wanted + 1)
    assert agent.stop() == 0
    assert_steady(city.reports(), 0.7)
    assert_nothing_lost(city, agent)
    assert "Traceback" not in agent.log()
    assert len(agent.log()) < 40_000


def test_a_retained_ack_is_ignored_and_counted(world: World) -> None:
    """An ack is never retained: one that lies there from another day says nothing about now."""
    broker = world.broker()
    city = world.city(broker.port)
    boot = simulated.open_router(AP, SEED, 1, 40, 50.0, None).boot()
    city.say("ack", {"boot": boot, "through": 1000, "missing": []}, retain=True)
    agent = world.agent(broker.port, sample_s=0.5, interval_s=0.5, tables={"simulated": {"seed": SEED}}).start()
    city.wait_for(3)
    assert city.reports()[-1]["boot"] == boot
    assert city.reports()[-1]["agent"]["ignored"] == 1
    assert max(seq for _, seq in city.numbers()) < 100
    assert agent.stop() == 0
    assert_nothing_lost(city, agent)


def test_foreign_acks_are_counted(world: World) -> None:
    """An ack of another boot and one from the future of this one change nothing, and are counted."""
    broker = world.broker()
    city = world.city(broker.port)
    agent = world.agent(broker.port, sample_s=0.5, interval_s=0.5).start()
    boot = city.wait_for(1)[0]["boot"]
    acks: list[dict[str, Any]] = [{"boot": "0123456789abcdef", "through": 5}, {"boot": boot, "through": 2**53 - 1}]
    for ack in acks:
        city.say("ack", ack)
    until(lambda: city.reports()[-1]["agent"]["ignored"] == len(acks), "both are counted", 10)
    assert agent.stop() == 0
    assert_nothing_lost(city, agent)
    assert_valid(city)
