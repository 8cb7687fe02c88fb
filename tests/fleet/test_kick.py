"""What fleet/kick.py promises: nothing with a revoked certificate is connected within seconds, whoever replaces it is, and nobody else notices."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator

import pytest

from fleet import authority, doors, kick
from fleet.errors import Refused
from fleet.mqtt import Client
from tests.fleet.broker_city import HOST, BrokerCity, enrolled, founded, keep
from tests.mosquitto import free_port

WITHIN_S = 5.0

pytestmark = pytest.mark.needs("mosquitto")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerCity]:
    with BrokerCity(founded(tmp_path_factory.mktemp("city") / "malang")) as broker:
        yield broker


def wait(is_so: Callable[[], bool], until: float) -> bool:
    while not is_so():
        if time.monotonic() > until:
            return False
        select.select([], [], [], 0.02)
    return True


def is_heard(client: Client, name: str) -> bool:
    """Is a connection alive both ways?"""
    client.publish(f"wifi/v1/malang/{name}/echo", b"x")
    return bool(client.messages(10, 3))


def test_a_revoked_access_point_is_out_and_its_replacement_is_in(running: BrokerCity) -> None:
    """The live connection ends and no next one is let in, within 5 s; another stays connected; a new certificate of the same name connects."""
    with running.guests() as guests:
        one, serial = enrolled(guests, running.city, "rw-0501")
        other, _ = enrolled(guests, running.city, "rw-0502")
        for client, name in ((one, "rw-0501"), (other, "rw-0502")):
            client.start()
            client.subscribe([f"wifi/v1/malang/{name}/echo"])
            assert is_heard(client, name)
        old = tuple(str(path) + ".old" for path in guests.pair("rw-0501"))
        for path, copy in zip(guests.pair("rw-0501"), old, strict=True):
            with open(path, "rb") as source, open(copy, "wb") as sink:
                sink.write(source.read())
        began = time.monotonic()
        outcome = kick.shut_out(running.city, "rw-0501", [serial])
        assert outcome.is_out and wait(lambda: not one.is_connected, began + WITHIN_S)
        assert not doors.opens(HOST, running.city.broker.port, str(running.city.ca / "ca.pem"), pair=(old[0], old[1]))
        assert time.monotonic() - began < 60  # it ended at all: the 5 s are `wait`'s
        assert one.connects == 1 and other.connects == 1 and is_heard(other, "rw-0502")

        keep(guests, "rw-0501", authority.issue_client(running.city, "rw-0501"))
        new = guests.client("rw-0501")
        new.start()
        new.subscribe(["wifi/v1/malang/rw-0501/echo"])
        assert is_heard(new, "rw-0501")
        for client in (one, other, new):
            client.close()


def test_an_access_point_that_is_away_is_refused_when_it_comes(running: BrokerCity) -> None:
    """There is no connection to end."""
    with running.guests() as guests:
        client, serial = enrolled(guests, running.city, "rw-0503")
        assert kick.shut_out(running.city, "rw-0503", [serial]).is_out
        with pytest.raises(Refused):
            client.start()


def test_what_ended_the_connection_opens_nothing_later(running: BrokerCity) -> None:
    """The certificates made for it are on the list, both: three with the access point's own."""
    before = authority.revoked((running.city.broker_folder / "crl.pem").read_bytes())
    serial = authority.issue_client(running.city, "rw-0504").serial
    kick.shut_out(running.city, "rw-0504", [serial])
    after = authority.revoked((running.city.broker_folder / "crl.pem").read_bytes())
    assert serial in after and len(after - before) == 3


def test_a_broker_that_does_not_run_is_told(running: BrokerCity) -> None:
    """The list waits for it."""
    city = founded(running.city.folder.parent / "other")
    serial = authority.issue_client(city, "rw-1").serial
    outcome = kick.shut_out(city, "rw-1", [serial])
    assert outcome.is_out and "does not run" in outcome.text
    assert serial in authority.revoked((city.broker_folder / "crl.pem").read_bytes())


def test_a_foreign_broker_needs_its_operator(running: BrokerCity) -> None:
    """The connection ends, but the text names the file that the broker must have, and nothing is claimed before that was said."""
    own = running.city
    foreign = own._replace(broker=own.broker._replace(is_own=False))
    with running.guests() as guests:
        client, serial = enrolled(guests, own, "rw-0505")
        client.start()
        outcome = kick.shut_out(foreign, "rw-0505", [serial])
        assert not outcome.is_out and f"give {own.ca}/crl.pem to the broker" in outcome.text
        assert wait(lambda: not client.is_connected or client.connects > 1, time.monotonic() + WITHIN_S)
        running.stop()
        running.start()  # now it has the list
        outcome = kick.shut_out(foreign, "rw-0505", [serial])
        assert outcome.is_out and "since the first time" in outcome.text
        client.close()


def test_a_foreign_broker_that_is_away_is_told(running: BrokerCity) -> None:
    """With the file too; nothing is claimed."""
    own = running.city
    foreign = own._replace(broker=own.broker._replace(is_own=False, port=free_port()))
    outcome = kick.shut_out(foreign, "rw-0506", ["ab"])
    assert not outcome.is_out and "could not be ended" in outcome.text and "crl.pem" in outcome.text


def test_a_broker_that_does_not_take_the_list_is_told(running: BrokerCity) -> None:
    """A configuration that somebody changed: the certificate is on the list, and the text says what to do."""
    city = founded(running.city.folder.parent / "deaf")
    with BrokerCity(city) as broker:
        broker.stop()
        text = (city.broker_folder / "mosquitto.conf").read_text().replace("crlfile crl.pem\n", "")
        broker.start(text)
        (city.broker_folder / "mosquitto.pid").write_text(str(broker.pid()))
        with pytest.raises(Refused, match=r"still lets a revoked certificate in.*start the broker anew"):
            kick.shut_out(city, "rw-1", ["ab"], within_s=0.5)
