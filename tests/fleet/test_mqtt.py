"""The city's own connection, against a real broker with TLS and certificates."""

from __future__ import annotations

import contextlib
import gc
import itertools
import shutil
import socket
import ssl
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.city import INGEST, OPERATOR, Broker
from fleet.errors import Refused
from fleet.mqtt import Away, Client, Heard
from tests.fleet.little_city import LittleCity, leave, until
from tests.mosquitto import free_port
from tests.pki import Authority, Pair

pytestmark = pytest.mark.needs("mosquitto")
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def little(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LittleCity]:
    with LittleCity(tmp_path_factory.mktemp("city") / "malang") as little:
        yield little


@pytest.fixture
def topic() -> str:
    """One that no other test uses."""
    return f"wifi/v1/malang/rw-{next(NUMBERS):04d}/report"


def take(client: Client, many: int, seconds: float = 15.0) -> list[Heard]:
    """Take messages until there are so many; what else there is stays."""
    taken: list[Heard] = []

    def more() -> bool:
        taken.extend(client.messages(many - len(taken), 0.05))
        return len(taken) >= many

    until(more, seconds, f"{many} messages")
    return taken


def test_a_message_is_heard_as_it_was_sent(little: LittleCity, topic: str) -> None:
    """Topic, payload and the retained mark arrive; a publish is known to be with the broker."""
    client = Client(little.city, OPERATOR)
    client.start()
    sent = client.publish(topic, b"kept", retain=True)
    assert client.wait_published([sent], 5) == set()
    client.subscribe([topic])
    first = take(client, 1)[0]
    client.publish(topic, b"\x00\xff")
    second = take(client, 1)[0]
    client.publish(topic, b"", retain=True)
    client.close()
    assert (first.topic, first.payload, first.is_retained, first.qos) == (topic, b"kept", True, 1)
    assert (second.payload, second.is_retained) == (b"\x00\xff", False)


@pytest.mark.parametrize("protocol", [4, 5])
def test_what_was_not_acknowledged_comes_again(little: LittleCity, topic: str, protocol: int) -> None:
    """A persistent session with manual acknowledgement loses nothing that its client had not acknowledged."""
    options = {"client_id": f"again-{protocol}", "is_persistent": True, "is_manual_ack": True, "protocol": protocol}
    agents = little.agents()
    client = Client(little.city, INGEST, **options)  # type: ignore[arg-type]
    client.start()
    client.subscribe([topic])
    until(lambda: client.wait_published([client.publish("nobody", b"")], 5) == set())
    for number in range(4):
        agents.publish(topic, b"%d" % number, 1)
    heard = take(client, 4)
    client.acknowledge(heard[:2])
    client.close()
    agents.publish(topic, b"while away", 1).wait_for_publish(5)
    leave(agents)
    client = Client(little.city, INGEST, **options)  # type: ignore[arg-type]
    client.start()
    again = take(client, 3)
    client.acknowledge(again)
    client.close()
    assert {one.payload for one in again} == {b"2", b"3", b"while away"}


def test_an_acknowledgement_of_a_former_connection_is_not_sent(little: LittleCity, topic: str) -> None:
    """Packet identifiers are the connection's: a late acknowledgement would throw away another message that nobody stored."""
    agents = little.agents()
    client = Client(little.city, INGEST, client_id="former", is_persistent=True, is_manual_ack=True)
    client.start()
    client.subscribe([topic])
    client.wait_published([client.publish("nobody", b"")], 5)
    agents.publish(topic, b"first", 1)
    old = take(client, 1)
    client._cut()
    until(lambda: client.connects == 2 and client.is_connected, what="the second connection")
    client.acknowledge(old)
    client.wait_published([client.publish("nobody", b"")], 5)  # whatever was sent before it has arrived as well
    assert [one.payload for one in take(client, 1)] == [b"first"]
    client._cut()
    until(lambda: client.connects == 3 and client.is_connected, what="the third connection")
    again = take(client, 1)
    client.acknowledge(again)
    client.close()
    leave(agents)
    assert (again[0].payload, again[0].connection) == (b"first", 3)


def drained(client: Client, many: int) -> set[bytes]:
    """Take and acknowledge until there were so many different ones."""
    seen: set[bytes] = set()

    def drain() -> bool:
        heard = client.messages(10, 0.05)
        client.acknowledge(heard)
        seen.update(one.payload for one in heard)
        return len(seen) == many

    until(drain, 20, f"all {many}")
    return seen


def test_more_than_there_is_room_for_waits_with_the_broker(little: LittleCity, topic: str) -> None:
    """More than `most_waiting` at once: memory stays bounded, the broker feels it, and each arrives once."""
    agents = little.agents()
    client = Client(little.city, OPERATOR, most_waiting=10)
    client.start()
    client.subscribe([topic])
    client.wait_published([client.publish("nobody", b"")], 5)
    for number in range(100):
        agents.publish(topic, b"%d" % number, 1)
    until(lambda: client.waiting() == 10, what="the full queue")
    drained(client, 100)
    client.close()
    leave(agents)
    assert client.overflowed == 0


def test_what_found_no_room_in_time_comes_again(little: LittleCity, topic: str) -> None:
    """A client that nobody asks for too long gives messages up without acknowledging them, and fetches them later."""
    agents = little.agents()
    client = Client(little.city, INGEST, client_id="narrow", is_persistent=True, is_manual_ack=True, most_waiting=20, room_within_s=0.01)
    client.start()
    client.subscribe([topic])
    client.wait_published([client.publish("nobody", b"")], 5)
    for number in range(30):
        agents.publish(topic, b"%d" % number, 1)
    until(lambda: client.overflowed == 10, what="the overflow")
    assert client.waiting() == 20
    drained(client, 30)
    client.close()
    leave(agents)
    assert client.connects == 2


def test_a_client_without_manual_acknowledgement_counts_what_it_lost(little: LittleCity, topic: str) -> None:
    """A screen that is too slow for too long loses messages, and says so by a count."""
    client = Client(little.city, OPERATOR, most_waiting=5, room_within_s=0.01)
    client.start()
    client.subscribe([topic])
    for number in range(20):
        client.publish(topic, b"%d" % number)
    until(lambda: client.overflowed == 15, what="the count")
    heard = client.messages(100, 1)
    client.close()
    assert len(heard) == 5


def test_closing_does_not_wait_for_room(little: LittleCity, topic: str) -> None:
    """A full client can be closed at once."""
    client = Client(little.city, OPERATOR, most_waiting=1, room_within_s=1000)
    client.start()
    client.subscribe([topic])
    for number in range(5):
        client.publish(topic, b"%d" % number)
    until(lambda: client.waiting() == 1, what="the full queue")
    client.close()
    assert not client.is_connected


def test_after_a_restart_of_the_broker_it_is_back_with_its_subscriptions(little: LittleCity, topic: str) -> None:
    """The connection comes back by itself and subscribes again."""
    client = Client(little.city, OPERATOR)
    client.start()
    client.subscribe([topic])
    little.broker.stop()
    until(lambda: not client.is_connected, what="the end")
    late = client.publish(topic, b"sent while away")
    assert client.wait_published([late], 0.05) == {late}
    little.broker.start()
    until(lambda: client.is_connected, 20, "the connection")
    assert client.wait_published([late], 10) == set()
    client.publish(topic, b"news")
    assert take(client, 1)[-1].payload in (b"news", b"sent while away")
    client.close()
    assert client.connects == 2


def test_no_broker_is_told_apart_from_a_wrong_file(little: LittleCity, tmp_path: Path) -> None:
    """A broker that is not there may come; a certificate that is not there will not."""
    nowhere = little.city._replace(broker=Broker(city_host="127.0.0.1", city_port=free_port()))
    with pytest.raises(Away, match=r"no broker is there; start it:  rwctl --dir .* broker run"):
        Client(nowhere, OPERATOR).start(2)
    with pytest.raises(Refused, match=r"_rwctl.pem: is not there") as caught:
        shutil.copytree(little.city.ca, tmp_path / "ca")
        Client(little.city._replace(folder=tmp_path), OPERATOR)
    assert not isinstance(caught.value, Away)


def test_a_false_broker_is_refused(little: LittleCity, tmp_path: Path) -> None:
    """A broker whose certificate another authority signed is not spoken to."""
    shutil.copytree(little.city.clients, tmp_path / "clients")
    (tmp_path / "ca").mkdir()
    Path(Authority(tmp_path / "ca", "ca").file).rename(tmp_path / "ca/ca.pem")
    with pytest.raises(Refused, match="certificate is not good"):
        Client(little.city._replace(folder=tmp_path), OPERATOR).start(5)


def test_a_foreign_certificate_is_told(little: LittleCity, tmp_path: Path) -> None:
    """A broker that does not know our certificate ends the connection; the text says which authority it must know."""
    shutil.copytree(little.city.ca, tmp_path / "ca")
    (tmp_path / "clients").mkdir()
    pair = Authority(tmp_path / "clients", "stranger").client(OPERATOR)
    shutil.move(pair.cert, tmp_path / "clients/_rwctl.pem")
    shutil.move(pair.key, tmp_path / "clients/_rwctl.key")
    client = Client(little.city._replace(folder=tmp_path), OPERATOR)
    with pytest.raises(Refused, match=r"ended the connection of _rwctl before it answered.*operators.pem"):
        client.start(5)


def test_a_silent_broker_is_given_up(little: LittleCity) -> None:
    """A port that takes connections and never answers is told within the time that was given."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        city = little.city._replace(broker=Broker(city_host="127.0.0.1", city_port=deaf.getsockname()[1]))
        with pytest.raises(Away):
            Client(city, OPERATOR).start(1)


class Babbler:
    """A broker with the right certificate: its first answer is no MQTT, which ends paho's thread; its second connection is good."""

    def __init__(self, server: Pair) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server.cert, server.key)
        self._listener = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for answer in (b"\x20\x02\x00\x00\x90\x00", b"\x20\x02\x00\x00"):
            peer, _ = self._listener.accept()
            peer.recv(4096)
            peer.sendall(answer)
            peer.recv(4096)
            if answer[4:]:
                peer.close()
        until(lambda: not peer.recv(4096), what="the end")
        peer.close()

    def close(self) -> None:
        self._thread.join(10)
        self._listener.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_bytes_that_are_no_mqtt_are_no_silence_for_ever(little: LittleCity) -> None:
    """What paho's thread cannot bear ends it: the client notices, and connects again."""
    babbler = Babbler(little.server)
    client = Client(little.city._replace(broker=Broker(city_host="127.0.0.1", city_port=babbler.port)), OPERATOR)
    client.start()

    def is_back() -> bool:
        client.messages(1, 0.01)
        return client.connects == 2

    until(is_back, what="the second connection")
    client.close()
    babbler.close()


@pytest.mark.parametrize("is_there", [True, False])
def test_a_closed_one_leaves_nothing_to_the_collector(little: LittleCity, is_there: bool) -> None:
    """paho's client, with its pair of sockets, goes with ours; so it does when the broker was not there."""
    at = little.city if is_there else little.city._replace(broker=Broker(city_host="127.0.0.1", city_port=free_port()))
    gc.collect()
    gc.disable()
    try:
        client = Client(at, OPERATOR)
        inner = weakref.ref(client._client)
        if is_there:
            client.start()
        else:
            with contextlib.suppress(Away):
                client.start(1)
        client.close()
        del client
        assert inner() is None
    finally:
        gc.enable()
