"""TLS as it must be, and in each way it must not: the real daemon connects with the first only, and says why not with the others."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import pytest

from tests.mosquitto import Mosquitto, free_port
from tests.pki import Authority
from tests.stories.world import AP, World, assert_valid, until

pytestmark = [pytest.mark.story, pytest.mark.needs("mosquitto")]
HANDSHAKE = 0x16


class Scene(NamedTuple):
    """What is wrong: the host the broker's certificate names, its validity in days from today, which CA the agent trusts, and what is said."""

    host: str
    from_day: int
    to_day: int
    trusted: str
    reason: str


WRONG = {
    "wrong CA": Scene("127.0.0.1", -365, 365, "other", r"TLS: the broker's certificate is not signed by \S*other-ca\.pem"),
    "wrong host name": Scene("mqtt.other.example", -365, 365, "city", r"TLS: the certificate is for another host name than 127\.0\.0\.1"),
    "expired": Scene("127.0.0.1", -365, -1, "city", r"TLS: the broker's certificate expired"),
    "not yet valid": Scene("127.0.0.1", 2, 365, "city", r"TLS: the broker's certificate is not valid yet"),
}


def settings(ca: Authority, own: Authority) -> dict[str, dict[str, Any]]:
    pair = own.client(AP)
    return {"broker": {"tls": True, "ca_file": ca.file, "cert_file": pair.cert, "key_file": pair.key}}


@pytest.mark.parametrize("name", WRONG)
def test_an_unverified_broker_is_never_spoken_to(world: World, name: str) -> None:
    """Wrong CA, wrong host name, wrong dates with a good clock: no MQTT byte is sent, and log and status say why."""
    scene = WRONG[name]
    city_ca, other_ca = Authority(world.folder), Authority(world.folder, "other")
    trusted = {"city": city_ca, "other": other_ca}[scene.trusted]
    broker = world.broker(server=city_ca.server(scene.host, from_day=scene.from_day, to_day=scene.to_day))
    never_connects(world, broker, settings(trusted, city_ca), scene.reason)


def test_a_plain_port_is_never_spoken_to_in_plain_text(world: World) -> None:
    """tls = true against a plain port: every attempt begins with a handshake, none with CONNECT."""
    city_ca = Authority(world.folder)
    never_connects(world, world.broker(), settings(city_ca, city_ca), r"TLS: 127\.0\.0\.1:\d+ .*is it a plain port\?")


def never_connects(world: World, broker: Mosquitto, tables: dict[str, dict[str, Any]], reason: str) -> None:
    wire = world.wire(broker.port)
    agent = world.agent(wire.port, tables=tables).run()
    until(lambda: len(wire.openings) >= 2, "two attempts", 40)
    until(lambda: re.search(f"no connection: reason={reason}", agent.log()), lambda: agent.log(), 25)
    until(lambda: re.search(f"not connected .*{reason}", agent.status().stdout), lambda: agent.status().stdout, 10)
    assert agent.status().returncode == 1
    assert {opening[0] for opening in wire.openings} == {HANDSHAKE}
    assert AP not in broker.log()
    assert agent.stop() == 0


def test_mutual_tls_connects(world: World) -> None:
    """With the right CA, host name and certificates the agent reports, under the name its certificate carries."""
    city_ca = Authority(world.folder)
    plain = free_port()
    extra = f"listener {plain} 127.0.0.1\nallow_anonymous true"
    broker = world.broker(server=city_ca.server(), ca_file=city_ca.file, mutual=True, extra=extra)
    city = world.city(plain)
    wire = world.wire(broker.port)
    agent = world.agent(wire.port, tables=settings(city_ca, city_ca)).run()
    city.wait_for(2)
    until(lambda: agent.status().returncode == 0, lambda: agent.status().stdout, 10)
    assert "connected to 127.0.0.1" in agent.status().stdout
    assert {opening[0] for opening in wire.openings} == {HANDSHAKE}
    assert f"u'{AP}'" in broker.log()
    assert agent.stop() == 0
    assert_valid(city)


def test_a_stranger_without_a_certificate_of_the_city_is_refused(world: World) -> None:
    """A certificate of another authority: the broker refuses, and log and status say what to look at."""
    city_ca, other_ca = Authority(world.folder), Authority(world.folder, "other")
    broker = world.broker(server=city_ca.server(), ca_file=city_ca.file, mutual=True)
    agent = world.agent(broker.port, tables=settings(city_ca, other_ca)).run()
    until(lambda: "is our certificate there, valid, and signed by the city's CA?" in agent.log(), lambda: agent.log(), 40)
    until(lambda: "is our certificate there" in agent.status().stdout, lambda: agent.status().stdout, 10)
    assert agent.status().returncode == 1
    assert agent.stop() == 0


def test_a_password_over_tls_connects(world: World) -> None:
    """User name and password instead of a certificate; the wrong one is refused, in words, without showing it."""
    city_ca = Authority(world.folder)
    plain = free_port()
    extra = f"listener {plain} 127.0.0.1"
    passwords = {AP: "correct horse", "_ingest": "staple"}
    broker = world.broker(server=city_ca.server(), passwords=passwords, extra=extra)
    file = world.folder / "password"
    file.write_text("battery\n")
    file.chmod(0o600)
    tables = {"broker": {"tls": True, "ca_file": city_ca.file, "password_file": str(file)}}
    agent = world.agent(broker.port, tables=tables).run()
    until(lambda: "bad user name or password" in agent.log() or "not authorized" in agent.log(), lambda: agent.log(), 30)
    assert "battery" not in agent.log() + agent.status().stdout
    file.write_text("correct horse\n")
    agent.stop()
    agent.run()
    until(lambda: agent.status().returncode == 0, lambda: agent.log(), 30)
    assert "correct" not in agent.log() + agent.status().stdout
    assert agent.stop() == 0
