"""What fleet/guests.py promises: throw-away access points of which nothing is left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet import authority, guests
from fleet.city import City
from fleet.guests import Guests
from tests.fleet.broker_city import HOST, BrokerCity, founded


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    return founded(tmp_path_factory.mktemp("city") / "malang")


@pytest.fixture(scope="module")
def running(city: City) -> Iterator[BrokerCity]:
    with BrokerCity(city) as broker:
        yield broker


def test_their_keys_and_certificates_are_gone_with_them(city: City) -> None:
    """The files are, and the list of the revoked has every one."""
    with Guests(city) as visiting:
        serials = {visiting.invite(name).serial for name in ("check-1", "check-2")}
        key = Path(visiting.pair("check-1")[1])
        assert key.stat().st_mode & 0o077 == 0 and visiting.city.folder.stat().st_mode & 0o077 == 0
    assert not key.exists() and not visiting.city.folder.exists()
    assert serials <= authority.revoked((city.ca / "crl.pem").read_bytes())


def test_a_strangers_serial_is_not_ours_to_revoke(city: City) -> None:
    """One by another authority is made and forgotten."""
    key = authority.new_key()
    stranger = authority.Authority(authority.self_signed(key, "malang access points", 1_790_000_000), key)
    with Guests(city) as visiting:
        serial = visiting.invite("check-3", stranger).serial
    assert serial not in authority.revoked((city.ca / "crl.pem").read_bytes())


def test_nobody_has_the_name_of_a_guest() -> None:
    """Names of the grammar, no two alike."""
    names = {guests.name("check") for _ in range(100)}
    assert len(names) == 100 and all(name.startswith("rwctl-check-") and len(name) == 20 for name in names)


PLACES = [("0.0.0.0", True, "127.0.0.1"), ("::", True, "::1"), ("192.0.2.1", True, "192.0.2.1"), ("::", False, "mqtt.example")]


@pytest.mark.parametrize(("listen", "own", "host"), PLACES)
def test_our_own_broker_is_reached_from_here(listen: str, own: bool, host: str, city: City) -> None:
    """Its name may lead around the world; another's broker is where its name says, and what is asked for goes before both."""
    elsewhere = city._replace(broker=city.broker._replace(listen=listen, host="mqtt.example", is_own=own))
    for wish, wanted in ((None, host), ("192.0.2.9", "192.0.2.9")):
        with Guests(elsewhere, wish, 5 if wish else None) as visiting:
            assert (visiting.host, visiting.port) == (wanted, 5 if wish else city.broker.port)


@pytest.mark.needs("mosquitto")
def test_a_guest_is_an_access_point_to_the_broker(running: BrokerCity) -> None:
    """Its name is its user name and client id, and it has its own topics."""
    with running.guests() as visiting:
        visiting.invite("check-4")
        client = visiting.client("check-4")
        client.start()
        client.subscribe(["wifi/v1/malang/check-4/echo"])
        client.publish("wifi/v1/malang/check-4/echo", b"x")
        assert [heard.payload for heard in client.messages(1, 5)] == [b"x"]
        client.close()
    assert f"from {HOST}" in running.log() and "as check-4 (p2, c1, k30, u'check-4')" in running.log()
