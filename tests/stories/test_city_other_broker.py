"""Any MQTT 3.1.1 broker serves: the whole way over nats-server instead of mosquitto, and what `rwctl broker check` says of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from agent.wire import topics
from tests.stories.nats import Nats
from tests.stories.rwctl_city import NAME, RealCity, make_city
from tests.stories.world import until

pytestmark = [pytest.mark.story]
FIRST, SECOND = "rw-0501", "rw-0502"
DOCUMENT = '[ssids.warga]\nssid = "Warga RW 05"\nsecurity = "open"\nbands = ["2g"]\n'


@pytest.fixture
def city() -> Iterator[RealCity]:
    """A city whose broker somebody else runs, at one port for all."""
    with make_city(FIRST, SECOND, more=("--no-own-broker",), is_one_port=True) as made:
        yield made


@pytest.fixture
def walled(city: RealCity) -> Iterator[Nats]:
    """NATS with a list of users: each access point has its own topics."""
    nats = Nats(city, (FIRST, SECOND)).start()
    yield nats
    nats.kill()


def test_the_whole_way(city: RealCity, walled: Nats) -> None:
    """Enrolled, reporting, stored, acknowledged, shown, pushed to and confirmed; and after the broker was killed nothing is missing."""
    serve = city.serve()
    agents = [city.agent(name) for name in (FIRST, SECOND)]
    until(lambda: {row["state"] for row in city.status().values()} == {"online"}, lambda: serve.log()[-2000:] + str(city.status()), 40)
    acks: list[dict[str, Any]] = []
    with city.operator() as operator:
        operator.subscribe(f"wifi/v1/{NAME}/+/ack")
        until(lambda: operator.heard, "an ack", 20)
        acks += [json.loads(each.payload) for each in operator.heard]
    assert acks[0]["through"] >= 1
    document = city.folder.parent / "push.toml"
    document.write_text(DOCUMENT)
    said = city.rwctl("push", "--to", "kelurahan=Jatimulyo", str(document), within_s=120)
    assert said.count("confirmed") >= 2, said
    assert {(row.get("config") or {}).get("state") for row in city.status().values()} == {"confirmed"}
    walled.kill()
    walled.start()
    before = city.received()
    until(lambda: {name for name, seqs in city.received().items() if max(seqs) > max(before[name])} == {FIRST, SECOND}, lambda: serve.log()[-2000:], 60)
    for agent in agents:
        assert agent.stop() == 0
    until(lambda: all(seqs == set(range(1, max(seqs) + 1)) for seqs in city.received().values()), lambda: str(city.received()), 30)
    assert serve.stop() == 0


def checked(city: RealCity) -> dict[str, dict[str, Any]]:
    """Run `rwctl broker check`, which finds fault; give its findings by what was tried."""
    said = city.rwctl("broker", "check", "--messages", "200", "--json", fails=True, within_s=120)
    document = json.loads(said[said.index("{") : said.rindex("}") + 1])
    assert document["good"] is False
    return {finding["what"]: finding for finding in document["findings"]}


def test_the_check_says_what_an_open_broker_lacks(city: RealCity) -> None:
    """It keeps queues and what is retained; but each certificate opens all topics and ends anybody's connection: that is said, and no more."""
    nats = Nats(city).start()
    try:
        found = checked(city)
    finally:
        nats.kill()
    lacking = {what for what, finding in found.items() if not finding["is_good"]}
    assert lacking == {"another's topics, own client id, MQTT 3.1.1", "another's topics, with its client id, MQTT 3.1.1"}
    for row in topics.TOPICS:
        assert row.name in found["another's topics, own client id, MQTT 3.1.1"]["found"]
    assert "connection was ended" in found["another's topics, with its client id, MQTT 3.1.1"]["found"]
    assert found["MQTT version"]["found"] == "MQTT 3.1.1"
    assert found["messages that wait for an absent ingester"]["found"].startswith("200 came")
