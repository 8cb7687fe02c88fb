"""The way to the broker, against a real mosquitto, with certificates, a relay and namespaces of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt
import pytest

from agent.broker import Connected, Flooded, Lost, Message, Published, Refused
from agent.wire import messages, topics
from tests.mosquitto import Mosquitto, Observer, free_port
from tests.netns import Namespace
from tests.pki import Authority
from tests.relay import Relay
from tests.turning import BOOT, ID, ROOT, Turning

PRESENCE = f"{ROOT}/presence"
PROJECT = Path(__file__).resolve().parent.parent
PAHO_1 = PROJECT / ".paho1"
IS_PAHO_1 = os.environ.get("RWAGENT_PAHO") == "1"

needs_mosquitto = pytest.mark.needs("mosquitto", "mosquitto_sub", "mosquitto_pub")


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as broker:
        yield broker


def state(message: dict[str, Any]) -> str:
    return str(message["payload"]["state"] if isinstance(message["payload"], dict) else json.loads(message["payload"])["state"])


def presences(observer: Observer) -> list[str]:
    return [state(message) for message in observer.seen(PRESENCE)]


def alone(wish: dict[str, Any], prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Start a Broker in a process of its own."""
    command = [*prefix, sys.executable, "-m", "tests.broker_alone", json.dumps(wish)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT)


def line(process: subprocess.Popen[str], wanted: str) -> dict[str, Any]:
    """Read a Broker process's lines until a state comes."""
    assert process.stdout is not None
    for text in process.stdout:
        told: dict[str, Any] = json.loads(text)
        if told["state"] == wanted:
            return told
    raise AssertionError(f"ended before {wanted}")


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait(10)
    assert process.stdout is not None
    process.stdout.close()


# Which paho.


def test_the_paho_that_was_asked_for_is_loaded() -> None:
    """With RWAGENT_PAHO=1 this file runs over paho 1.6.1, otherwise over a 2.x."""
    assert paho.mqtt.__version__.startswith("1.6.1" if IS_PAHO_1 else "2.")


@needs_mosquitto
@pytest.mark.story
@pytest.mark.skipif(IS_PAHO_1, reason="this is that run")
def test_same_with_paho_1_6_1() -> None:
    """Everything here and in test_session.py is true over paho 1.6.1 as well, which OpenWrt ships."""
    if not PAHO_1.is_dir():
        absent = pytest.fail if os.environ.get("RWAGENT_REQUIRE_COMPONENTS") == "1" else pytest.skip
        absent("needs paho-mqtt 1.6.1 in .paho1: pip install --target .paho1 paho-mqtt==1.6.1")
    environment = os.environ | {"RWAGENT_PAHO": "1", "PYTHONPATH": str(PAHO_1)}
    files = [str(PROJECT / "tests" / name) for name in ("test_broker.py", "test_session.py")]
    command = [sys.executable, "-m", "pytest", "-q", "-n", "4", "-p", "no:cacheprovider", *files]
    ran = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]


def test_paho_brings_no_http_client() -> None:
    """The daemon's process has neither urllib.request nor what hangs on it, and no stub is left behind."""
    code = "import sys, agent.broker; print(sorted({'urllib.request', 'http.client', 'email', 'requests'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.strip() == "[]"


def test_the_real_urllib_can_still_be_imported() -> None:
    """After the agent's import, urllib.request is the standard library's."""
    code = "import agent.broker, urllib.request; print(urllib.request.urlopen.__module__)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.strip() == "urllib.request"


# Presence.


@needs_mosquitto
def test_the_birth_is_retained_and_names_the_session(mosquitto: Mosquitto) -> None:
    """Whoever subscribes later finds the birth of the session the agent was told of."""
    with Turning(port=mosquitto.port) as agent:
        session = agent.event(Connected).session
        agent.until(lambda: agent.broker.room() == 16)
        with Observer(mosquitto) as observer:
            birth = observer.wait(lambda message: message["topic"] == PRESENCE)
    assert birth["retain"] == 1
    assert birth["payload"] == f'{{"v":1,"state":"online","boot":"{BOOT}","session":"{session}","agent":"0.1.0"}}'


@needs_mosquitto
def test_a_clean_stop_says_offline_and_no_will_follows(mosquitto: Mosquitto) -> None:
    """After stop() the retained presence is offline, and the will is not published."""
    with Observer(mosquitto) as observer:
        agent = Turning(port=mosquitto.port, limits={"will_delay_s": 0})
        agent.event(Connected)
        agent.broker.stop(5.0)
        mosquitto.publish("marker", b"after")
        observer.wait(lambda message: message["topic"] == "marker")
        assert presences(observer) == ["online", "offline"]
        assert observer.seen(PRESENCE)[-1]["retain"] == 0  # live; a later subscriber sees it retained
    with Observer(mosquitto, PRESENCE) as later:
        assert state(later.wait(lambda message: message["topic"] == PRESENCE)) == "offline"


@needs_mosquitto
def test_stop_gives_up_at_its_deadline_and_leaves_the_will_to_speak(mosquitto: Mosquitto) -> None:
    """When the PUBACK of the clean stop does not come, there is no DISCONNECT: presence ends as lost, not online."""
    with Relay(mosquitto.port) as relay, Observer(mosquitto) as observer:
        agent = Turning(port=relay.port, limits={"will_delay_s": 0})
        agent.event(Connected)
        agent.until(lambda: agent.broker.room() == 16)
        relay.freeze()
        agent.broker.stop(0.3)
        relay.close_frozen()
        observer.wait(lambda message: message["topic"] == PRESENCE and state(message) == "lost")


@needs_mosquitto
@pytest.mark.parametrize("v5", ["pass", "refuse"])
def test_an_agent_that_is_killed_is_called_lost(mosquitto: Mosquitto, v5: str) -> None:
    """kill -9: the broker publishes the will of that session, retained; in MQTT 5 and in 3.1.1."""
    with Relay(mosquitto.port, v5=v5) as relay, Observer(mosquitto) as observer:
        process = alone({"broker": {"port": relay.port, "limits": {"will_delay_s": 1}}})
        try:
            line(process, "connected")
            birth = observer.wait(lambda message: message["topic"] == PRESENCE)
        finally:
            end(process)
        lost = observer.wait(lambda message: message["topic"] == PRESENCE and state(message) == "lost")
    assert json.loads(lost["payload"]) == {"v": 1, "state": "lost", "boot": BOOT, "session": json.loads(birth["payload"])["session"]}


@needs_mosquitto
@pytest.mark.parametrize("v5", ["pass", "refuse"])
def test_a_late_will_ends_online(mosquitto: Mosquitto, v5: str) -> None:
    """A will of another session that comes after the birth is overwritten by the birth, at once."""
    will = messages.encode(messages.presence_lost(BOOT, "00000000deadbeef"))
    with Relay(mosquitto.port, v5=v5) as relay, Observer(mosquitto) as observer, Turning(port=relay.port) as agent:
        session = agent.event(Connected).session
        agent.until(lambda: "online" in presences(observer))
        mosquitto.publish(PRESENCE, will, retain=True)
        agent.until(lambda: presences(observer) == ["online", "lost", "online"])
        assert json.loads(observer.seen(PRESENCE)[-1]["payload"])["session"] == session


@needs_mosquitto
def test_somebody_who_keeps_writing_lost_is_answered_seldom_and_last(mosquitto: Mosquitto) -> None:
    """Twenty wills in a row bring two births, and presence ends online."""
    will = messages.encode(messages.presence_lost(BOOT, "00000000deadbeef"))
    with Observer(mosquitto) as observer, Turning(port=mosquitto.port, limits={"rebirth_s": 1.0}) as agent:
        agent.event(Connected)
        agent.until(lambda: "online" in presences(observer))
        mosquitto.publish(PRESENCE, will, retain=True)
        agent.until(lambda: presences(observer).count("online") == 2)
        for _ in range(20):
            mosquitto.publish(PRESENCE, will, retain=True)
        agent.until(lambda: presences(observer)[-1] == "online")
        assert presences(observer).count("online") <= 4


@needs_mosquitto
@pytest.mark.parametrize("v5", ["pass", "refuse"])
def test_a_half_dead_old_connection_leaves_presence_online(mosquitto: Mosquitto, v5: str) -> None:
    """The old connection stays open at the broker while the agent is back; once it goes too, presence is still online."""
    hurry = {"will_delay_s": 1, "connack_s": 2.0}
    with (
        Relay(mosquitto.port, v5=v5) as relay,
        Observer(mosquitto) as observer,
        Turning(port=relay.port, keepalive_s=1, limits=hurry) as agent,
    ):
        first = agent.event(Connected).session
        agent.until(lambda: agent.broker.room() == 16)
        relay.freeze()
        assert "echo" in agent.event(Lost).reason
        second = agent.event(Connected).session
        relay.close_frozen()
        agent.until(lambda: len(observer.seen(PRESENCE)) >= 2 and agent.broker.room() == 16)
        # The will, if the broker publishes one, comes within its delay and the broker's own one and a half keepalives.
        late = time.monotonic() + 2.5
        agent.until(lambda: time.monotonic() > late)
        last = json.loads(observer.seen(PRESENCE)[-1]["payload"])
    assert first != second
    assert (last["state"], last["session"]) == ("online", second)


# Messages.


@needs_mosquitto
def test_a_puback_makes_a_message_published(mosquitto: Mosquitto) -> None:
    """A message handed over is seen by others with its properties, and is called published after the broker's PUBACK."""
    with Observer(mosquitto) as observer, Turning(port=mosquitto.port) as agent:
        agent.event(Connected)
        token = agent.broker.publish("report", b'{"v":1}', expiry_s=600, content_type="application/json")
        assert agent.event(Published) == Published(token)
        report = observer.wait(lambda message: message["topic"] == f"{ROOT}/report")
    assert (report["qos"], report["retain"], report["payload"]) == (1, 0, '{"v":1}')
    assert report["properties"]["content-type"] == "application/json"
    assert 590 <= report["properties"]["message-expiry-interval"] <= 600


@needs_mosquitto
def test_a_retained_message_never_expires(mosquitto: Mosquitto) -> None:
    """Expiry is left out where a message is retained."""
    with Turning(port=mosquitto.port) as agent:
        agent.event(Connected)
        agent.broker.publish("info", b'{"v":1}', retain=True, expiry_s=600)
        agent.event(Published)
        with Observer(mosquitto) as observer:
            info = observer.wait(lambda message: message["topic"] == f"{ROOT}/info")
    assert info["retain"] == 1
    assert "message-expiry-interval" not in info.get("properties", {})


@needs_mosquitto
def test_nothing_is_taken_without_a_connection() -> None:
    """Before CONNACK publish gives None and there is no room."""
    with Turning(port=free_port()) as agent:
        assert (agent.broker.publish("report", b"{}"), agent.broker.room(), agent.broker.is_connected) == (None, 0, False)


@needs_mosquitto
def test_never_more_than_sixteen_are_in_flight(mosquitto: Mosquitto) -> None:
    """While no PUBACK comes, sixteen messages go and the seventeenth is not taken; afterwards there is room again."""
    with Relay(mosquitto.port) as relay, Turning(port=relay.port) as agent:
        agent.event(Connected)
        agent.until(lambda: agent.broker.room() == 16)
        relay.hold_answers()
        tokens = [agent.broker.publish("report", b"{}") for _ in range(20)]
        assert tokens[16:] == [None] * 4
        assert len(set(tokens[:16])) == 16
        agent.turn()
        assert agent.broker.publish("report", b"{}") is None


@needs_mosquitto
def test_the_brokers_own_receive_maximum_is_kept(tmp_path: Path) -> None:
    """A broker that takes four at a time in MQTT 5 gets four."""
    with Mosquitto(tmp_path, extra="max_inflight_messages 4") as mosquitto, Turning(port=mosquitto.port) as agent:
        agent.event(Connected)
        agent.until(lambda: agent.broker.room() == 4)
        assert sum(agent.broker.publish("report", b"{}") is not None for _ in range(20)) == 4


@needs_mosquitto
def test_a_message_the_broker_cannot_take_is_refused_here(tmp_path: Path) -> None:
    """What is over the broker's maximum packet size would cost the connection; it is refused instead."""
    with Mosquitto(tmp_path, extra="max_packet_size 2000") as mosquitto, Turning(port=mosquitto.port) as agent:
        agent.event(Connected)
        token = agent.broker.publish("report", b"x" * 3000)
        refused = agent.event(Refused)
        assert refused.token == token
        assert "at most 2000" in refused.reason
        assert agent.broker.is_connected


@needs_mosquitto
def test_a_publish_the_broker_refuses_is_not_published(tmp_path: Path) -> None:
    """An ACL that forbids a topic answers with a reason code in MQTT 5: Refused, and the session goes on."""
    acl = f"topic readwrite {ROOT}/presence\ntopic readwrite {ROOT}/echo\ntopic write {ROOT}/report\n"
    with Mosquitto(tmp_path, acl=acl) as mosquitto, Turning(port=mosquitto.port) as agent:
        agent.event(Connected)
        token = agent.broker.publish("event", b"{}")
        assert agent.event(Refused) == Refused(token, "not authorized (0x87)")
        token = agent.broker.publish("report", b"{}")
        assert agent.event(Published) == Published(token)


@needs_mosquitto
def test_subscribed_messages_come_as_they_are(mosquitto: Mosquitto) -> None:
    """The payload of a subscription is handed over raw, with its topic below the root, over each new connection."""
    with Turning(port=mosquitto.port, subscriptions=("ack", "config/desired")) as agent:
        for _ in range(2):
            agent.event(Connected)
            agent.until(lambda: agent.broker.room() == 16)
            mosquitto.publish(f"{ROOT}/ack", b"\xff\x00not json")
            assert agent.event(Message) == Message("ack", b"\xff\x00not json", False)
            mosquitto.publish(f"{ROOT}/config/desired", b"jws")
            assert agent.event(Message) == Message("config/desired", b"jws", False)
            agent.broker.drop()


@needs_mosquitto
def test_a_retained_message_says_so(mosquitto: Mosquitto) -> None:
    """What was retained before the subscription is marked: a retained command must not be obeyed."""
    mosquitto.publish(f"{ROOT}/ack", b"old", retain=True)
    with Turning(port=mosquitto.port) as agent:
        assert agent.event(Message) == Message("ack", b"old", True)


@needs_mosquitto
def test_foreign_and_oversize_messages_are_ignored_and_counted(mosquitto: Mosquitto) -> None:
    """What an earlier client of our name subscribed to, what is too big, and nonsense on our own topics: counted, never handed over."""
    subprocess.run(
        ["mosquitto_sub", "-p", str(mosquitto.port), "-i", ID, "-c", "-q", "1", "-t", "foreign/#", "-E"], check=True, timeout=10
    )
    with Turning(port=mosquitto.port) as agent:
        agent.event(Connected)
        agent.until(lambda: agent.broker.room() == 16)
        mosquitto.publish("foreign/topic", b"{}")
        mosquitto.publish(f"{ROOT}/ack", b"x" * 65537)
        mosquitto.publish(f"{ROOT}/presence", b"\xff")
        mosquitto.publish(f"{ROOT}/echo", b'{"v":1,"session":"00000000deadbeef","number":1}')
        mosquitto.publish(f"{ROOT}/ack", b"good")
        assert agent.event(Message).payload == b"good"
        assert agent.broker.status().ignored == 4
        assert not [event for event in agent.events if isinstance(event, Message)]


# The broker goes and comes.


@needs_mosquitto
def test_a_broker_killed_before_the_puback_leaves_the_message_unpublished(mosquitto: Mosquitto) -> None:
    """The broker had the message and its PUBACK never came: Lost, and no Published."""
    with Relay(mosquitto.port) as relay, Observer(mosquitto) as observer, Turning(port=relay.port) as agent:
        agent.event(Connected)
        agent.until(lambda: agent.broker.room() == 16)
        relay.hold_answers()
        assert agent.broker.publish("report", b"{}") is not None
        agent.until(lambda: observer.seen(f"{ROOT}/report"))
        mosquitto.kill()
        relay.close_frozen()
        agent.event(Lost)
        mosquitto.start()
        agent.event(Connected)
        agent.until(lambda: agent.broker.room() == 16)
        assert not [event for event in agent.events if isinstance(event, Published)]


@needs_mosquitto
def test_a_broker_that_restarts_twenty_times_is_found_each_time(mosquitto: Mosquitto) -> None:
    """Killed or stopped, it is always found again and takes messages."""
    with Turning(port=mosquitto.port, pause_s=0.02) as agent:
        agent.event(Connected)
        for number in range(20):
            mosquitto.kill() if number % 2 else mosquitto.stop()
            agent.event(Lost)
            mosquitto.start()
            agent.event(Connected)
            token = agent.broker.publish("report", b"{}")
            assert agent.event(Published) == Published(token)
        assert agent.broker.status().reconnects == 20


@needs_mosquitto
def test_after_20_restarts_no_thread_and_no_descriptor_is_left(mosquitto: Mosquitto) -> None:
    """Connections leave nothing behind."""
    with Turning(port=mosquitto.port) as agent:
        agent.event(Connected)
        agent.until(lambda: agent.broker.room() == 16)
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            agent.broker.drop()
            agent.event(Connected)
        agent.until(lambda: agent.broker.room() == 16)
        assert len(os.listdir("/proc/self/fd")) == before
        agent.until(lambda: not [thread for thread in threading.enumerate() if thread.name == "dial"])


@needs_mosquitto
def test_drop_connects_anew_without_a_will(mosquitto: Mosquitto) -> None:
    """drop() closes without DISCONNECT and is back at once; in MQTT 5 the delayed will is never published."""
    with Observer(mosquitto) as observer, Turning(port=mosquitto.port) as agent:
        first = agent.event(Connected).session
        agent.broker.drop()
        assert agent.event(Lost).reason == "dropped to connect anew"
        assert agent.event(Connected).session != first
        agent.until(lambda: len(observer.seen(PRESENCE)) == 2)
        assert presences(observer) == ["online", "online"]


@needs_mosquitto
def test_drop_gives_up_a_connection_that_is_being_made(mosquitto: Mosquitto) -> None:
    """What was begun before must not come back as the new connection: another one is made, at once."""
    with Turning(port=mosquitto.port) as agent:
        agent.broker.advance()
        assert agent.broker.status().state == "connecting"
        agent.broker.drop()
        assert (agent.broker.status().state, agent.broker.status().last_reason) == ("waiting", "dropped to connect anew")
        assert agent.broker.due() == 0
        agent.event(Connected)
        assert agent.broker.status().attempts == 0


def test_drop_where_there_is_nothing_to_drop_changes_nothing() -> None:
    """Waiting for its next attempt, it goes on waiting."""
    with Turning(port=1, pause_s=60) as agent:
        agent.reason("refused")
        before = agent.broker.status()
        agent.broker.drop()
        assert (agent.broker.status().state, agent.broker.status().last_reason) == (before.state, before.last_reason)
        assert agent.broker.due() > 1


@needs_mosquitto
@pytest.mark.parametrize("disconnect", [b"\xe0\x01\x8e", b"\xe0\x02\x8e\x00"])
def test_a_session_taken_over_by_reason_code_waits_a_minute(mosquitto: Mosquitto, disconnect: bytes) -> None:
    """DISCONNECT 0x8E, with and without a length of properties: it is said, with the time, and the next attempt waits a minute."""
    with Relay(mosquitto.port) as relay, Turning(port=relay.port) as agent:
        agent.event(Connected)
        agent.until(lambda: agent.broker.room() == 16)
        relay.tell_agents(disconnect)
        assert agent.event(Lost).reason == "mqtt: the broker ended the session: session taken over (0x8e)"
        status = agent.broker.status()
        assert status.identity_taken_s is not None
        assert status.next_attempt_in_s is not None
        assert status.next_attempt_in_s > 55


@needs_mosquitto
@pytest.mark.parametrize("v5", ["pass", "refuse"])
def test_another_agent_with_our_name_is_noticed_without_a_reason_code(mosquitto: Mosquitto, v5: str) -> None:
    """mosquitto 2.0 takes over without a word, as 3.1.1 has it: the other's birth tells, and the second time waits a minute."""
    with Relay(mosquitto.port, v5=v5) as relay, Turning(port=relay.port) as agent, Turning(port=relay.port) as other:
        agent.event(Connected)
        agent.until(lambda: agent.broker.room() == 16)
        other.event(Connected)
        other.until(lambda: other.broker.room() == 16)
        agent.event(Lost)
        agent.event(Connected)
        agent.until(lambda: agent.broker.status().identity_taken_s is not None)
        other.event(Lost)
        other.event(Connected)
        agent.event(Lost)
        status = agent.broker.status()
        assert status.next_attempt_in_s is not None
        assert status.next_attempt_in_s > 55


@needs_mosquitto
def test_our_own_earlier_sessions_are_nobody_else(mosquitto: Mosquitto) -> None:
    """Neither an earlier process's birth nor our own earlier ones are another client."""
    mosquitto.publish(PRESENCE, messages.encode(messages.presence_birth(BOOT, "00000000deadbeef", None, "0.1.0")), retain=True)
    with Turning(port=mosquitto.port) as agent:
        for _ in range(3):
            agent.event(Connected)
            agent.until(lambda: agent.broker.room() == 16)
            agent.broker.drop()
        agent.event(Connected)
        agent.until(lambda: agent.broker.room() == 16)
        assert agent.broker.status().identity_taken_s is None


@needs_mosquitto
def test_a_wrong_password_slows_down_and_is_never_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not authorised: the reason is told, the credential kept, the next attempt at least a minute away, the password nowhere."""
    (tmp_path / "password").write_text("planted-secret\n")
    with (
        Mosquitto(tmp_path, passwords={ID: "another"}) as mosquitto,
        Turning(port=mosquitto.port, username=ID, password_file=str(tmp_path / "password")) as agent,
    ):
        reason = agent.reason("refused the connection")
        assert "not authorized" in reason or "bad user name" in reason
        status = agent.broker.status()
        assert status.next_attempt_in_s is not None
        assert status.next_attempt_in_s > 55
        assert "planted-secret" not in caplog.text + repr(status) + repr(vars(agent.broker))


@needs_mosquitto
def test_the_right_password_is_read_at_each_connection(tmp_path: Path) -> None:
    """A missing password file is named; once it is there, the next attempt connects."""
    file = tmp_path / "password"
    with (
        Mosquitto(tmp_path, passwords={ID: "right"}) as mosquitto,
        Turning(port=mosquitto.port, username=ID, password_file=str(file), pause_s=0.02) as agent,
    ):
        assert agent.reason("password file") == f"password file {file}: no such file or directory"
        file.write_text("right\n")
        agent.event(Connected)


# Protocol versions.


@needs_mosquitto
def test_mqtt_5_is_spoken_first(mosquitto: Mosquitto) -> None:
    """mosquitto knows 5: no detour."""
    with Relay(mosquitto.port) as relay, Turning(port=relay.port) as agent:
        assert agent.event(Connected).protocol == "5"
        assert agent.broker.status().protocol == "5"
        assert relay.connects == [5]


@needs_mosquitto
@pytest.mark.parametrize(("v5", "connects"), [("refuse", [5, 4, 4]), ("cut", [5, 5, 4, 4])])
def test_an_older_broker_gets_3_1_1_and_keeps_it(mosquitto: Mosquitto, v5: str, connects: list[int]) -> None:
    """Refused by code: 3.1.1 at once. Cut off twice before CONNACK: 3.1.1. Both are remembered for the next connection."""
    with Relay(mosquitto.port, v5=v5) as relay, Turning(port=relay.port) as agent:
        assert agent.event(Connected).protocol == "3.1.1"
        token = agent.broker.publish("report", b"{}", expiry_s=60, content_type="application/json")
        assert agent.event(Published) == Published(token)
        agent.broker.drop()
        assert agent.event(Connected).protocol == "3.1.1"
        assert relay.connects == connects


@pytest.mark.story
def test_a_broker_that_only_knows_3_1_1_is_spoken_to_in_it(tmp_path: Path) -> None:
    """amqtt, a 3.1.1 broker from PyPI that does not answer a CONNECT in MQTT 5 with a will: fallback, publish and echo work."""
    port = free_port()
    config = tmp_path / "amqtt.yaml"
    config.write_text(
        f"listeners:\n  default:\n    type: tcp\n    bind: 127.0.0.1:{port}\n"
        "plugins:\n  amqtt.plugins.authentication.AnonymousAuthPlugin:\n    allow_anonymous: true\n"
    )
    with (tmp_path / "amqtt.log").open("wb") as log:
        server = subprocess.Popen([str(Path(sys.executable).parent / "amqtt"), "-c", str(config)], stdout=log, stderr=log)
    try:
        with Turning(port=port, pause_s=0.05, keepalive_s=1, limits={"connack_s": 1.0}) as agent:
            assert agent.event(Connected, 30).protocol == "3.1.1"
            token = agent.broker.publish("report", b"{}")
            assert agent.event(Published) == Published(token)
            agent.until(lambda: agent.broker.status().echo == "proven")
    finally:
        server.kill()
        server.wait(10)


# A connection that only looks alive.


@needs_mosquitto
def test_a_path_that_drops_silently_is_found_and_replaced(mosquitto: Mosquitto) -> None:
    """The connection stays open and nothing comes any more: the missing echo ends it, and the next connection works."""
    with Relay(mosquitto.port) as relay, Turning(port=relay.port, keepalive_s=1) as agent:
        agent.event(Connected)
        agent.until(lambda: agent.broker.status().echo == "proven")
        relay.freeze()
        assert agent.event(Lost).reason == "echo not returned: the connection only looked alive"
        agent.event(Connected)
        assert agent.broker.status().echo == "proven"


@pytest.mark.needs("mosquitto", "netns", "nft")
def test_packets_that_vanish_are_found_within_two_keepalives(tmp_path: Path) -> None:
    """In a namespace that swallows every packet, without reset, with traffic of ours under way."""
    keepalive_s = 2
    with (
        Namespace() as space,
        Mosquitto(tmp_path, host=space.inside, prefix=space.prefix) as mosquitto,
        Turning(host=space.inside, port=mosquitto.port, allow_plaintext=True, keepalive_s=keepalive_s, limits={"dial_s": 1.0}) as agent,
    ):
        agent.event(Connected)
        agent.until(lambda: agent.broker.status().echo == "proven")
        space.swallow()
        swallowed_at = time.monotonic()
        agent.broker.publish("report", b"{}")
        agent.event(Lost, 30)
        # The loop's own turns are on top of the promise; a machine under load may stretch them.
        assert time.monotonic() - swallowed_at < 2 * keepalive_s + 2
        turns = agent.turns
        agent.until(lambda: agent.broker.status().attempts >= 2)
        assert agent.turns > turns + 5
        space.restore()
        agent.event(Connected, 30)


@needs_mosquitto
def test_a_broker_whose_acl_swallows_the_echo_is_not_dropped_for_ever(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Three sessions end for want of an echo; then PUBACK and PINGRESP have to do, it is said once, and silence still ends a session."""
    acl = f"topic readwrite {ROOT}/presence\ntopic write {ROOT}/report\ntopic read {ROOT}/echo\n"
    with Mosquitto(tmp_path, acl=acl) as mosquitto, Relay(mosquitto.port) as relay, Turning(port=relay.port, keepalive_s=1) as agent:
        for _ in range(3):
            agent.event(Connected)
            assert "echo" in agent.event(Lost).reason
        agent.event(Connected)
        assert agent.broker.status().echo == "refused"
        later = time.monotonic() + 2.5
        agent.until(lambda: time.monotonic() > later)
        assert agent.broker.status().reconnects == 3
        assert caplog.text.count("returns no echo") == 1
        relay.freeze()
        assert agent.event(Lost).reason == "PINGREQ not answered"


@needs_mosquitto
def test_a_broker_that_never_acknowledges_is_replaced(mosquitto: Mosquitto) -> None:
    """No PUBACK for two keepalives while something is in flight: the connection is replaced."""
    with Relay(mosquitto.port) as relay, Turning(port=relay.port, keepalive_s=1) as agent:
        agent.event(Connected)
        agent.until(lambda: agent.broker.room() == 16)
        relay.hold_answers()
        agent.broker.publish("report", b"{}")
        agent.event(Lost)


@needs_mosquitto
def test_an_idle_connection_wakes_the_loop_seldom(mosquitto: Mosquitto) -> None:
    """Over four echo periods: at most two wake-ups each, one to send and one to read (with slack for one split read)."""
    with Turning(port=mosquitto.port, keepalive_s=1) as agent:
        agent.event(Connected)
        agent.until(lambda: agent.broker.status().echo == "proven")
        turns, until = 0, time.monotonic() + 4 * 0.9
        while time.monotonic() < until:
            agent.turn(60.0)
            turns += 1
        assert turns <= 4 * 3
        assert agent.broker.is_connected


# Nothing of it stops the loop.


def test_a_handshake_that_stalls_never_stops_the_loop(tmp_path: Path) -> None:
    """A listener that accepts and stays silent: the loop turns on, and the reason says what is missing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ca_file = Authority(tmp_path).file
        with Turning(port=listener.getsockname()[1], tls=True, ca_file=ca_file, pause_s=60, limits={"dial_s": 1.5}) as agent:
            agent.until(lambda: agent.broker.status().state == "connecting")
            turns = agent.turns
            reason = agent.reason("does not answer the handshake")
            assert agent.turns - turns > 10
            assert "is it a plain port?" in reason


def test_a_connect_that_is_never_answered_is_given_up() -> None:
    """A listener that accepts and stays silent in plain text: no CONNACK in time is a reason of its own."""
    hurry = {"connack_s": 0.5}
    with socket.create_server(("127.0.0.1", 0)) as listener, Turning(port=listener.getsockname()[1], pause_s=60, limits=hurry) as agent:
        agent.reason("did not answer CONNECT within 0.5 s")
        assert agent.broker.status().state == "waiting"


@pytest.mark.needs("netns")
def test_a_resolver_that_swallows_questions_never_stops_the_loop(tmp_path: Path) -> None:
    """In a namespace whose name server never answers: the loop turns on, and the threads left hanging are at most two."""
    with Namespace() as space:
        space.name_server("198.51.100.53")
        space.run("ip", "link", "add", "hole", "type", "veth", "peer", "name", "bottom")
        space.run("ip", "link", "set", "bottom", "up")
        space.run("ip", "link", "set", "hole", "up")
        space.run("ip", "neigh", "add", "198.51.100.53", "lladdr", "02:00:00:00:00:01", "dev", "hole")
        space.run("ip", "addr", "add", "198.51.100.1/24", "dev", "hole")
        ca_file = Authority(tmp_path).file
        wish = {"broker": {"host": "mqtt.malang.example", "port": 8883, "tls": True, "ca_file": ca_file, "limits": {"dial_s": 0.4}}, "seconds": 3}
        process = alone(wish, space.prefix)
        try:
            told = line(process, "end")
        finally:
            end(process)
    assert told["turns"] > 50
    assert told["reason"] == "resolver: mqtt.malang.example: 2 earlier questions are still without an answer"
    assert told["threads"] <= 3


def test_a_name_that_does_not_exist_is_named(tmp_path: Path) -> None:
    """The resolver's own no: its reason, with the name."""
    with Turning(host="no-such-host.invalid", tls=True, ca_file=Authority(tmp_path).file) as agent:
        assert agent.reason("resolver").startswith("resolver: no-such-host.invalid: ")


def test_a_closed_port_is_named() -> None:
    """Refused: host, port and that word."""
    port = free_port()
    with Turning(port=port) as agent:
        assert agent.reason("tcp") == f"tcp: 127.0.0.1 port {port}: refused"


def test_the_same_reason_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A hundred refused attempts leave one line."""
    with Turning(port=free_port()) as agent:
        agent.until(lambda: agent.broker.status().attempts >= 20)
    assert caplog.text.count("no connection") == 1


# TLS.


@needs_mosquitto
def test_a_good_certificate_connects_over_tls(tmp_path: Path) -> None:
    """The city's CA, the right host, valid dates: connected, messages go both ways."""
    city = Authority(tmp_path)
    with Mosquitto(tmp_path, server=city.server()) as mosquitto, Turning(port=mosquitto.port, tls=True, ca_file=city.file) as agent:
        agent.event(Connected)
        token = agent.broker.publish("report", b"x" * 60000)
        assert agent.event(Published) == Published(token)


@needs_mosquitto
def test_many_messages_in_one_tls_record_are_all_read(tmp_path: Path) -> None:
    """What TLS has already decrypted is read although no poll tells of it."""
    city = Authority(tmp_path)
    with Mosquitto(tmp_path, server=city.server()) as mosquitto, Turning(port=mosquitto.port, tls=True, ca_file=city.file) as agent:
        agent.event(Connected)
        for _ in range(16):
            assert agent.broker.publish("ack", b"{}") is not None or not agent.broker.room()
        agent.until(lambda: sum(isinstance(event, Message) for event in agent.events) >= 15)


@needs_mosquitto
def test_mutual_tls_makes_the_certificates_name_ours(tmp_path: Path) -> None:
    """With client.pem and client.key the broker knows us by the CN."""
    city = Authority(tmp_path)
    client = city.client(ID)
    acl = f"user {ID}\ntopic readwrite {ROOT}/#\n"
    with (
        Mosquitto(tmp_path, server=city.server(), ca_file=city.file, mutual=True, acl=acl) as mosquitto,
        Turning(port=mosquitto.port, tls=True, ca_file=city.file, cert_file=client.cert, key_file=client.key) as agent,
    ):
        agent.event(Connected)
        token = agent.broker.publish("report", b"{}")
        assert agent.event(Published) == Published(token)


@needs_mosquitto
def test_a_client_without_a_certificate_is_told_so(tmp_path: Path) -> None:
    """A broker that asks for a certificate and gets none: never connected, and no fallback is mistaken for the cure."""
    city = Authority(tmp_path)
    with (
        Mosquitto(tmp_path, server=city.server(), ca_file=city.file, mutual=True) as mosquitto,
        Turning(port=mosquitto.port, tls=True, ca_file=city.file, pause_s=60) as agent,
    ):
        agent.until(lambda: agent.broker.status().state == "waiting" and agent.broker.status().attempts)
        assert not agent.events
        reason = agent.broker.status().last_reason
        assert "certificate" in reason or "before it answered CONNECT" in reason


def refused(agent: Turning) -> str:
    """Turn until three attempts failed; give the reason. Never connected in between."""
    agent.until(lambda: agent.broker.status().attempts >= 4)
    assert not agent.events
    return agent.broker.status().last_reason


@needs_mosquitto
def test_a_wrong_ca_never_connects(tmp_path: Path) -> None:
    """Signed by another authority: the reason names our CA file."""
    city, other = Authority(tmp_path), Authority(tmp_path, "other")
    with Mosquitto(tmp_path, server=other.server()) as mosquitto, Turning(port=mosquitto.port, tls=True, ca_file=city.file) as agent:
        assert refused(agent).startswith(f"TLS: the broker's certificate is not signed by {city.file} (")


@needs_mosquitto
@pytest.mark.parametrize("is_clock_good", [True, False])
def test_a_wrong_host_name_never_connects(tmp_path: Path, is_clock_good: bool) -> None:
    """The city's CA, another host: refused, also while the clock is not good."""
    city = Authority(tmp_path)
    with (
        Mosquitto(tmp_path, server=city.server("mqtt.malang.example")) as mosquitto,
        Turning(port=mosquitto.port, tls=True, ca_file=city.file, is_clock_good=is_clock_good) as agent,
    ):
        assert refused(agent).startswith("TLS: the certificate is for another host name than 127.0.0.1 (")


@needs_mosquitto
def test_an_expired_certificate_never_connects_with_a_good_clock(tmp_path: Path) -> None:
    """Expired: that word."""
    city = Authority(tmp_path)
    with (
        Mosquitto(tmp_path, server=city.server(from_day=-30, to_day=-1)) as mosquitto,
        Turning(port=mosquitto.port, tls=True, ca_file=city.file) as agent,
    ):
        assert refused(agent) == "TLS: the broker's certificate expired"


@needs_mosquitto
def test_dates_are_enforced_as_soon_as_the_clock_is_good(tmp_path: Path) -> None:
    """While the clock is not good an expired certificate connects; the next connection after it became good does not."""
    city = Authority(tmp_path)
    with (
        Mosquitto(tmp_path, server=city.server(from_day=-30, to_day=-1)) as mosquitto,
        Turning(port=mosquitto.port, tls=True, ca_file=city.file, is_clock_good=False) as agent,
    ):
        agent.event(Connected)
        agent.is_clock_good = True
        agent.broker.drop()
        assert agent.reason("TLS") == "TLS: the broker's certificate expired"
        agent.events.clear()
        refused(agent)


@needs_mosquitto
def test_a_wrong_ca_never_connects_without_a_clock_either(tmp_path: Path) -> None:
    """No clock costs the dates only, never the signature."""
    city, other = Authority(tmp_path), Authority(tmp_path, "other")
    with (
        Mosquitto(tmp_path, server=other.server(from_day=-30, to_day=-1)) as mosquitto,
        Turning(port=mosquitto.port, tls=True, ca_file=city.file, is_clock_good=False) as agent,
    ):
        assert "not signed by" in refused(agent)


@needs_mosquitto
def test_a_plain_port_behind_tls_never_connects(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """tls = true and the broker speaks plain text: no fallback, and the reason asks the right question."""
    with Turning(port=mosquitto.port, tls=True, ca_file=Authority(tmp_path).file) as agent:
        assert refused(agent).endswith("is it a plain port?")
    assert "New client connected" not in mosquitto.log()


@needs_mosquitto
def test_a_tls_port_in_plain_text_never_connects(tmp_path: Path) -> None:
    """The other way round."""
    city = Authority(tmp_path)
    with Mosquitto(tmp_path, server=city.server()) as mosquitto, Turning(port=mosquitto.port) as agent:
        assert refused(agent).endswith("is it a TLS port?")


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    """No CA file: its name, before any connection."""
    with Turning(port=free_port(), tls=True, ca_file=str(tmp_path / "absent.pem")) as agent:
        assert refused(agent) == f"TLS: the CA file {tmp_path}/absent.pem cannot be used (No such file or directory)"


def test_plain_text_goes_to_loopback_only() -> None:
    """An address that is not loopback is refused in plain text, whatever the settings' own check said."""
    with Turning(host="192.0.2.1") as agent:
        assert refused(agent).startswith("plain text refused: 192.0.2.1 is not a loopback address")


@needs_mosquitto
@pytest.mark.parametrize("v5", ["pass", "refuse"])
def test_a_packet_too_large_is_never_gathered_and_does_not_come_again(mosquitto: Mosquitto, v5: str) -> None:
    """A broker that sends 8 MB loses us at its first bytes; the next session tells it to forget, and what is sane arrives again."""
    with Relay(mosquitto.port, v5=v5) as relay, Turning(port=relay.port) as agent:
        agent.event(Connected)
        mosquitto.publish(f"{ROOT}/ack", b"x" * 8_000_000)
        if v5 == "refuse":  # in MQTT 5 an obedient broker keeps to the size it was told
            assert "a packet of more than 262144 bytes" in agent.event(Lost).reason
            agent.event(Connected)
        mosquitto.publish(f"{ROOT}/ack", b"sane")
        message = agent.event(Message)
        assert message.payload == b"sane"
        assert agent.broker.status().reconnects == (1 if v5 == "refuse" else 0)


@needs_mosquitto
@pytest.mark.parametrize(("topic", "subscription"), [("config/desired", "config/desired"), ("command/x", topics.COMMANDS)])
def test_a_packet_too_large_that_is_retained_costs_only_pushes_and_commands(mosquitto: Mosquitto, topic: str, subscription: str) -> None:
    """It would come with every connection: after the second all but those is subscribed to, and they again after a while."""
    mosquitto.publish(f"{ROOT}/{topic}", b"x" * 300_000, retain=True)
    subscriptions = ("ack", subscription)
    with Relay(mosquitto.port, v5="refuse") as relay, Turning(port=relay.port, subscriptions=subscriptions, limits={"narrow_s": 1.5}) as agent:
        assert agent.event(Flooded, 20).limit == 262_144
        assert agent.broker.status().reconnects == 2
        agent.until(lambda: agent.broker.room() == 16)
        mosquitto.publish(f"{ROOT}/ack", b"sane")
        assert agent.event(Message) == Message("ack", b"sane", False)
        mosquitto.publish(f"{ROOT}/{topic}", b"jws", retain=True)
        assert agent.event(Message) == Message(topic, b"jws", True)
        assert agent.broker.status().reconnects == 2
