"""What fleet/mosquitto.py promises: an access list of exactly the contract, limits made for the city, and a broker that runs with both."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.wire import topics
from fleet import authority, doors, mosquitto, store
from fleet.city import INGEST, OPERATOR, Broker, City, Limits, Report
from fleet.errors import Refused
from fleet.mqtt import Client
from tests.fleet.broker_city import HOST, BrokerCity, founded

CITY = City(Path("/city"), "malang")

# Each topic of the contract: what the access point itself may do with it. A new topic fails the test until somebody thought about it.
ACCESS = {
    "presence": "readwrite",
    "info": "write",
    "report": "write",
    "event": "write",
    "alert/<code>": "write",
    "ack": "read",
    "echo": "readwrite",
    "config/desired": "read",
    "config/reported": "readwrite",
    "config/plan": "read",
    "config/plan/result": "write",
    "command/<name>": "read",
    "command/<name>/result": "write",
    "sla": "write",
}


def rules(city: City) -> dict[str, list[str]]:
    """The access list by user; what is for all by certificate under %u."""
    found: dict[str, list[str]] = {"%u": []}
    user = ""
    for line in mosquitto.access_list(city).splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "user":
            user = rest
            found[user] = []
        elif kind == "pattern":
            found["%u"].append(" ".join(rest.split()))
        elif kind == "topic":
            found[user].append(rest)
        else:
            assert kind in ("#", ""), line
    return found


def test_the_access_list_is_the_contract() -> None:
    """Each topic by its own line and its own access, free levels as one level, and not a line more."""
    assert set(ACCESS) == {topic.name for topic in topics.TOPICS}
    wanted = {f"{access} wifi/v1/malang/%u/{name.replace('<code>', '+').replace('<name>', '+')}" for name, access in ACCESS.items()}
    assert set(rules(CITY)["%u"]) == wanted


def test_the_citys_own_clients_may_say_what_goes_down_and_no_more() -> None:
    """The ingester acknowledges, the operators push; both hear all of this city, and nothing of another."""
    found = rules(CITY)
    assert found[INGEST] == ["read wifi/v1/malang/#", "write wifi/v1/malang/+/ack"]
    assert found[OPERATOR] == ["read wifi/v1/malang/#", *(f"write wifi/v1/malang/+/{one}" for one in ("config/desired", "config/plan", "command/+"))]
    assert set(found) == {"%u", INGEST, OPERATOR}


SIZES = [(600, 60, 60, 72_000), (551, 30, 60, 132_240), (7, 3600, 1, 2), (10_000, 30, 60, 2_400_000)]


@pytest.mark.parametrize(("points", "interval", "away", "messages"), SIZES)
def test_the_queue_is_made_for_the_city(points: int, interval: int, away: int, messages: int) -> None:
    """Access points x reports a minute x minutes away x 2, rounded up; and 4 KB for each."""
    city = CITY._replace(limits=Limits(points, away), report=Report(interval))
    assert mosquitto.queued_messages(city) == messages
    text = mosquitto.configuration(city, None)
    assert f"\nmax_queued_messages {messages}\n" in text and f"\nmax_queued_bytes {messages * 4096}\n" in text


def sections(text: str) -> list[dict[str, str]]:
    """What is for all, then each listener's own."""
    found: list[dict[str, str]] = [{}]
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == "listener":
            found.append({})
        if key not in ("", "#"):
            found[-1][key] = value
    return found


def test_nobody_comes_in_without_a_certificate() -> None:
    """Both listeners want one of their own authority; only the access points' makes the name the client id, and looks at the revoked ones."""
    common, points, city = sections(mosquitto.configuration(CITY._replace(broker=Broker(listen="192.0.2.1", port=1, city_port=2)), "mosquitto"))
    assert (common["allow_anonymous"], common["acl_file"], common["user"]) == ("false", "acl", "mosquitto")
    assert (points["listener"], points["cafile"], points["crlfile"]) == ("1 192.0.2.1", "ca.pem", "crl.pem")
    assert (city["listener"], city["cafile"], "crlfile" in city) == ("2 127.0.0.1", "operators.pem", False)
    assert all(one["require_certificate"] == one["use_identity_as_username"] == "true" for one in (points, city))
    assert points["use_username_as_clientid"] == "true" and "use_username_as_clientid" not in city


def test_what_a_restart_must_not_lose_is_kept() -> None:
    """Persistence, saved often; the sessions of whoever is away outlive the time they may be away; a packet of 128 KiB passes."""
    common = sections(mosquitto.configuration(CITY._replace(limits=Limits(away_minutes=30 * 1440)), None))[0]
    assert (common["persistence"], common["autosave_interval"], common["persistent_client_expiration"]) == ("true", "60", "31d")
    assert (int(common["max_packet_size"]) >= 131_072, common["max_inflight_messages"], "user" in common) == (True, "1000", False)


def test_the_log_has_no_payload_and_no_topic() -> None:
    """Of all that mosquitto can log: errors, warnings, and who came and went."""
    kinds = [line.split()[1] for line in mosquitto.configuration(CITY, None).splitlines() if line.startswith("log_type")]
    assert kinds == ["error", "warning", "notice"]


# Before the start


@pytest.fixture
def city(tmp_path: Path) -> City:
    (tmp_path / "store").mkdir()
    (tmp_path / "broker").mkdir()
    return City(tmp_path, "malang", broker=Broker(listen=HOST))


def enroll(city: City, count: int, revoked_at: int | None = None) -> None:
    connection = store.open_city(city)
    first = 1 + connection.execute("SELECT count(*) FROM inventory").fetchone()[0]
    for number in range(first, first + count):
        connection.execute(f"INSERT INTO inventory VALUES ({', '.join('?' * 13)})", (f"rw-{number}", number, *"abcd", 50.0, 1, None, None, "", 1, revoked_at))
    connection.close()


def test_a_city_that_outgrew_its_queue_is_told(city: City) -> None:
    """With the number to write down; those that were revoked do not count."""
    small = city._replace(limits=Limits(access_points=20))
    enroll(small, 20)
    enroll(small, 5, revoked_at=2)
    mosquitto.refuse_misfits(small)
    enroll(small, 1)
    with pytest.raises(Refused, match=r"access_points is 20 and 21 are enrolled.*set access_points = 100"):
        mosquitto.refuse_misfits(small)


def test_a_queue_that_no_memory_holds_is_told(city: City) -> None:
    """With the minutes that this machine can bear; and one that mosquitto cannot count."""
    with pytest.raises(Refused, match="140 MiB would wait, and this machine has 70; set away_minutes = 29"):
        mosquitto.refuse_misfits(city, memory_bytes=70 << 20)
    mosquitto.refuse_misfits(city, memory_bytes=141 << 20)
    huge = city._replace(limits=Limits(1_000_000, 100_000))
    with pytest.raises(Refused, match="mosquitto queues at most 2147483647"):
        mosquitto.refuse_misfits(huge, memory_bytes=1 << 60)


def test_a_port_that_is_taken_is_told(city: City) -> None:
    """Either of them, with how to see who has it and where to change it."""
    with socket.create_server((HOST, 0)) as taken, socket.create_server((HOST, 0)) as free:
        number, other = taken.getsockname()[1], free.getsockname()[1]
        free.close()
        for broker, what in ((Broker(listen=HOST, port=number, city_port=other), "port"), (Broker(listen=HOST, port=other, city_port=number), "city_port")):
            with pytest.raises(Refused, match=rf"{number} cannot be listened on.*sport = :{number}.*broker\.{what} in"):
                mosquitto.refuse_taken_ports(city._replace(broker=broker))
        with pytest.raises(Refused, match=f"are both {other}"):
            mosquitto.refuse_taken_ports(city._replace(broker=Broker(listen=HOST, port=other, city_port=other)))


def test_a_machine_without_mosquitto_is_told_the_command(tmp_path: Path) -> None:
    """And one whose mosquitto is of before MQTT's certificates could be reloaded, which it is."""
    with pytest.raises(Refused, match="sudo apt-get install mosquitto"):
        mosquitto.program(str(tmp_path))
    old = tmp_path / "mosquitto"
    old.write_text("#!/bin/sh\necho mosquitto version 1.6.9\n")
    old.chmod(0o755)
    with pytest.raises(Refused, match=r"is mosquitto version 1\.6\.9, expected mosquitto 2\.0 or later"):
        mosquitto.program(str(tmp_path))


def test_too_few_open_files_are_told(city: City) -> None:
    """Each access point is one; the text says the number."""
    with pytest.raises(Refused, match="ulimit -n 4000000100"):
        mosquitto.allow_connections(city._replace(limits=Limits(access_points=4_000_000_000)))
    mosquitto.allow_connections(city)


@pytest.mark.parametrize("text", [None, "", "x", "0", "1", "ours", "999999999"])
def test_only_a_mosquitto_in_this_directory_is_this_citys(text: str | None, city: City) -> None:
    """A number left behind may be anybody's by now, and nobody else is sent a signal."""
    if text is not None:
        (city.broker_folder / "mosquitto.pid").write_text(str(os.getpid()) if text == "ours" else text)
    assert mosquitto.running(city) is None and mosquitto.reload(city) is False


# The broker that runs


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerCity]:
    with BrokerCity(founded(tmp_path_factory.mktemp("city") / "malang")) as broker:
        yield broker


@pytest.mark.needs("mosquitto")
def test_the_process_is_mosquitto_itself(running: BrokerCity) -> None:
    """Started by root it becomes the directory's user, though the city's directory is root's alone; its signals are its own."""
    assert mosquitto.running(running.city) == running.pid()
    assert os.stat(f"/proc/{running.pid()}").st_uid == running.city.broker_folder.stat().st_uid
    assert running.city.folder.stat().st_mode & 0o077 == 0
    with pytest.raises(Refused, match=f"runs already .process {running.pid()}.*kill {running.pid()}"):
        mosquitto.refuse_taken_ports(running.city)


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize("protocol", [4, 5])
def test_the_citys_clients_come_in_and_push(protocol: int, running: BrokerCity) -> None:
    """Under a client id of their own choice."""
    client = Client(running.city, OPERATOR, client_id=f"choice-{protocol}", protocol=protocol)
    client.start()
    client.subscribe(["wifi/v1/malang/#"])
    client.publish("wifi/v1/malang/rw-1/config/plan", b"x")
    assert [heard.payload for heard in client.messages(1, 5)] == [b"x"]
    client.close()
    assert f"as choice-{protocol} (" in running.log()


@pytest.mark.needs("mosquitto")
def test_what_is_retained_outlives_a_restart(running: BrokerCity) -> None:
    """Of the broker, ended in order."""
    client = Client(running.city, OPERATOR)
    client.start()
    assert not client.wait_published([client.publish("wifi/v1/malang/rw-1/config/desired", b"push", retain=True)], 5)
    client.close()
    assert running.stop(signal.SIGTERM) == 0
    assert mosquitto.running(running.city) is None
    running.start()
    client = Client(running.city, OPERATOR)
    client.start()
    client.subscribe(["wifi/v1/malang/rw-1/#"])
    assert [(heard.payload, heard.is_retained) for heard in client.messages(1, 5)] == [(b"push", True)]
    client.close()


@pytest.mark.needs("mosquitto")
def test_a_list_of_the_revoked_is_read_again(running: BrokerCity) -> None:
    """On SIGHUP, without a restart."""
    ca, pid = str(running.city.ca / "ca.pem"), running.pid()
    with running.guests() as guests:
        issued = guests.invite("rw-9")
        assert doors.opens(HOST, running.city.broker.port, ca, pair=guests.pair("rw-9"))
        authority.revoke(running.city, [issued.serial])
        assert mosquitto.reload(running.city)
        for _ in range(200):
            if not doors.opens(HOST, running.city.broker.port, ca, pair=guests.pair("rw-9")):
                break
        else:
            pytest.fail("it is let in for ever")
    assert mosquitto.running(running.city) == pid
