"""Whether a broker will do, by delivery: what must arrive arrives, what must not does not, whatever the broker answers to a SUBSCRIBE.

Uses throw-away access points and the city's own certificates; leaves no message, no session and no valid certificate behind. Each silence is ended by
a message that must arrive after it, not by waiting.
"""

from __future__ import annotations

import contextlib
import math
import secrets
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from agent.wire import topics
from agent.wire.topics import Topic
from fleet import authority, doors, guests, mosquitto
from fleet.authority import Authority
from fleet.city import INGEST, OPERATOR, City
from fleet.errors import Refused
from fleet.guests import Guests
from fleet.mqtt import Away, Client, Heard

WAIT_S = 5.0
QUIET_S = 2.5  # how long nothing more must come before it is taken for all that comes
PUBLISH_AT_ONCE = 2000
PROTOCOLS = {4: "MQTT 3.1.1", 5: "MQTT 5"}
MOST_IN_FLIGHT_TRIED = 1000
COMMIT_S = 2.0  # the ingester acknowledges at least so often


class Finding(NamedTuple):
    """One thing that was tried: what it was, what was found, what is needed, and what to do when that is not so."""

    what: str
    is_good: bool
    found: str
    needed: str
    remedy: str = ""


def check(
    city: City,
    host: str | None = None,
    port: int | None = None,
    messages: int | None = None,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
    wait_s: float = WAIT_S,
) -> Iterator[Finding]:
    """Try a broker, telling each finding as it comes. Away when it cannot be reached, Refused when not even the city's own certificates open it.

    `wait_s`: what has not arrived by then does not arrive.
    """
    with Guests(city, host, port) as visiting, contextlib.ExitStack() as stack:
        trial = _Trial(city, visiting, stack, messages or mosquitto.queued_messages(city), progress, wait_s)
        yield from trial.findings()


class _Ear:
    """A connection, and everything that was heard on it."""

    def __init__(self, client: Client, wait_s: float) -> None:
        self.client = client
        self.heard: list[Heard] = []
        self._wait_s = wait_s

    def wait(self, payload: bytes) -> bool:
        """Wait until a payload was heard."""
        until = time.monotonic() + self._wait_s
        while not any(one.payload == payload for one in self.heard):
            left = until - time.monotonic()
            if left <= 0:
                return False
            self.heard += self.client.messages(1000, left)
        return True


class _Trial:
    """One check of one broker: `one` and `other` are two throw-away access points; the city hears all that they say."""

    def __init__(self, city: City, visiting: Guests, stack: contextlib.ExitStack, messages: int, progress: Callable[[int, int], None], wait_s: float) -> None:
        self._city, self._guests, self._stack, self._messages, self._progress = city, visiting, stack, messages, progress
        self._wait_s = wait_s
        self._names = guests.name("check"), guests.name("check")
        for name in self._names:
            visiting.invite(name)
        self._where = f"{visiting.host}:{visiting.port}"
        self._operator = self._started(Client(city, OPERATOR))
        self._ingest = self._started(Client(city, INGEST))
        self._is_tidy = False
        self._stack.callback(self._tidy)
        self._city_ear = self._hearing(self._operator, [f"{self._root(name)}/#" for name in self._names], topics.CONFIG_PLAN)

    def findings(self) -> Iterator[Finding]:
        """Try everything, the quick first."""
        spoken = [protocol for protocol in PROTOCOLS if self._speaks(protocol)]
        yield Finding("MQTT version", 4 in spoken, ", ".join(PROTOCOLS[one] for one in spoken) or "none", PROTOCOLS[4], "let it speak MQTT 3.1.1 over TLS")
        if not spoken:
            return
        yield from self._doors()
        yield (retained := self._retained())
        if not retained.is_good:
            return  # such a broker ends the connection of whoever publishes one, and everything below would only wait
        yield self._own_topics()
        for protocol in spoken:
            for is_posing in (False, True):
                yield self._trespass(protocol, is_posing)
        yield self._packet()
        yield self._in_flight()
        yield self._queue()
        if self._city.broker.is_own:
            yield self._revocation()

    def _doors(self) -> Iterator[Finding]:
        visiting, name = self._guests, self._names[0]
        ca = str(self._city.ca / "ca.pem")
        shut, remedy = "refused", "require a certificate of ca/ca.pem on this listener (require_certificate true, allow_anonymous false)"
        ways = {
            "without TLS": doors.opens(visiting.host, visiting.port, None),
            "without a certificate": doors.opens(visiting.host, visiting.port, ca),
            "name and password, no certificate": doors.opens(visiting.host, visiting.port, ca, name),
            "a certificate of another authority": self._lets_a_stranger_in(),
        }
        for what, is_open in ways.items():
            yield Finding(what, not is_open, "let in" if is_open else shut, shut, remedy)
        broker = self._city.broker
        if (broker.city_host, broker.city_port) != (visiting.host, visiting.port):
            is_open = doors.opens(broker.city_host, broker.city_port, ca, pair=visiting.pair(name))
            yield Finding(
                "an access point at the city's listener", not is_open, "let in" if is_open else shut, shut, "let that listener trust ca/operators.pem only"
            )

    def _own_topics(self) -> Finding:
        """Each topic of the contract for the access point that it belongs to."""
        name = self._names[0]
        ear = self._guest(
            name, [f"{self._root(name)}/{_concrete(topic)}" for topic in topics.TOPICS if topic.direction != "up" or topic.name in mosquitto.READ_BACK]
        )
        missing = []
        for topic in topics.TOPICS:
            full, text = f"{self._root(name)}/{_concrete(topic)}", _text()
            sender = ear.client if topic.direction != "down" else self._city_sender(topic)
            self._publish(sender, full, text, topic.retained)
            hearers = [self._city_ear] if topic.direction != "down" else []
            hearers += [ear] if topic.direction != "up" or topic.name in mosquitto.READ_BACK else []
            if not all(hearer.wait(text) for hearer in hearers):
                missing.append(topic.name)
        ear.client.close()
        of = len(topics.TOPICS)
        found = f"{of - len(missing)} of {of} topics arrive" + (f", not: {', '.join(missing)}" if missing else "")
        return Finding("its own topics", not missing, found, f"{of} of {of}", "give each access point its own topics, as broker/acl has them (%u is its CN)")

    def _trespass(self, protocol: int, is_posing: bool) -> Finding:
        """Try another's topics both ways, with the own client id or with the other's."""
        one, other = self._names
        victim = self._guest(other, [f"{self._root(other)}/{_concrete(topic)}" for topic in topics.TOPICS])
        thief = _Ear(self._started(self._guests.client(one, protocol=protocol, client_id=other if is_posing else one)), self._wait_s)
        thief.client.subscribe(
            ["#", "+/#", f"{topics.PREFIX}/#", f"{self._root(other)}/#", *(f"{self._root(other)}/{_concrete(topic)}" for topic in topics.TOPICS)]
        )
        thief.client.subscribe([f"{self._root(one)}/{topics.ACK}"])
        faults = self._forge(thief, victim) + self._listen(thief, victim) if self._is_alone(victim) else []
        if not self._is_alone(victim):
            faults.append("the other's connection was ended")
        for ear in (thief, victim):
            ear.client.close()
        what = f"another's topics, {'with its' if is_posing else 'own'} client id, {PROTOCOLS[protocol]}"
        remedy = "limit topics to the certificate's CN, and make it the client id (use_identity_as_username, use_username_as_clientid)"
        return Finding(what, not faults, "; ".join(faults) or "nothing went through", "nothing goes through", remedy)

    def _is_alone(self, victim: _Ear) -> bool:
        """Say whether the victim is still heard from over its first connection."""
        text = _text()
        self._publish(self._ingest, f"{self._root(self._names[1])}/{topics.ACK}", text)
        return victim.wait(text) and victim.client.connects == 1

    def _forge(self, thief: _Ear, victim: _Ear) -> list[str]:
        """Publish on every topic of the victim; name those that arrived anywhere."""
        one, other = self._names
        sent = {}
        for topic in topics.TOPICS:
            text = _text()
            sent[text] = topic.name
            thief.client.publish(f"{self._root(other)}/{_concrete(topic)}", text, retain=topic.retained, qos=0)
            # A broker may end the connection for it; this one then goes over the next.
            self._publish(thief.client, f"{self._root(one)}/{topics.REPORT}", _text())
        fence, end = _text(), _text()
        self._publish(thief.client, f"{self._root(one)}/{topics.REPORT}", fence)
        self._publish(self._ingest, f"{self._root(other)}/{topics.ACK}", end)
        is_done = [self._city_ear.wait(fence), victim.wait(end)]
        came = sorted({sent[heard.payload] for ear in (self._city_ear, victim) for heard in ear.heard if heard.payload in sent})
        return ([f"published: {', '.join(came)}"] if came else []) + ([] if all(is_done) else ["its own messages did not arrive either"])

    def _listen(self, thief: _Ear, victim: _Ear) -> list[str]:
        """Publish on every topic of the victim, by who may; name those that the thief heard."""
        one, other = self._names
        for topic in topics.TOPICS:
            sender = victim.client if topic.direction != "down" else self._city_sender(topic)
            self._publish(sender, f"{self._root(other)}/{_concrete(topic)}", _text(), topic.retained)
        end = _text()
        self._publish(self._ingest, f"{self._root(one)}/{topics.ACK}", end)
        is_done = thief.wait(end)
        came = sorted({heard.topic.removeprefix(f"{self._root(other)}/") for heard in thief.heard if not heard.topic.startswith(f"{self._root(one)}/")})
        return ([f"heard: {', '.join(came)}"] if came else []) + ([] if is_done else ["its own ack did not arrive either"])

    def _retained(self) -> Finding:
        """A push that waits for an access point that is away."""
        name = self._names[0]
        full, text = f"{self._root(name)}/{topics.CONFIG_DESIRED}", _text()
        is_taken = self._publish(self._operator, full, text, True)
        ear = self._guest(name, [full])
        is_kept = is_taken and ear.wait(text) and any(heard.payload == text and heard.is_retained for heard in ear.heard)
        ear.client.close()
        return Finding(
            "retained messages", is_kept, "kept" if is_kept else "not kept", "kept", "allow retained messages: a push waits as one for whoever is away"
        )

    def _packet(self) -> Finding:
        """The longest packet, both ways."""
        name, needed = self._names[0], mosquitto.LARGEST_PACKET
        down, up = f"{self._root(name)}/{topics.CONFIG_DESIRED}", f"{self._root(name)}/{topics.REPORT}"
        ear, faults = self._guest(name, [down]), []
        for way, sender, hearer, full in (("up", ear.client, self._city_ear, up), ("down", self._operator, ear, down)):
            # The fixed header is 4 bytes, the topic's length and the packet identifier 2 each.
            text = _text().ljust(needed - 8 - len(full), b".")
            sender.publish(full, text)
            if not hearer.wait(text):
                faults.append(way)
        ear.client.close()
        found = f"does not pass {' and '.join(faults)}" if faults else "passes"
        return Finding("a packet of 128 KiB", not faults, found, "passes", f"let packets of {needed} bytes pass (max_packet_size)")

    def _in_flight(self) -> Finding:
        """How many messages the ingester gets before it acknowledges the first."""
        name = self._names[0]
        needed = max(20, math.ceil(COMMIT_S * self._city.limits.access_points / self._city.report.interval_s))
        tried = max(needed, MOST_IN_FLIGHT_TRIED)
        ear = self._hearing(self._started(Client(self._city, OPERATOR, is_manual_ack=True)), [f"{self._root(name)}/{topics.EVENT}"], topics.CONFIG_PLAN)
        ear.client.acknowledge(ear.heard)
        ear.heard = []
        sender = self._guest(name, [])
        for _ in range(tried):
            sender.client.publish(f"{self._root(name)}/{topics.EVENT}", _text())
        while len(ear.heard) < tried and (more := ear.client.messages(tried, QUIET_S)):
            ear.heard += more
        count = len(ear.heard)
        for client in (ear.client, sender.client):
            client.close()
        found = f"{count}" if count < tried else f"{count} or more"
        return Finding(
            "messages in flight", count >= needed, found, str(needed), "let more be unacknowledged (max_inflight_messages), or the ingester falls behind"
        )

    def _queue(self) -> Finding:
        """A persistent session that is away: every message must wait for it."""
        needed, client_id = self._messages, guests.name("check")
        # The city hears all that its access points say: so many would fill the connection that tidies up, which then neither sends nor hears.
        self._operator.close()
        self._operator = self._started(Client(self._city, OPERATOR))
        try:
            came = self._came_later(client_id, needed)
        finally:
            with contextlib.suppress(Refused):  # a broker that is gone now
                self._started(Client(self._city, OPERATOR, client_id=client_id)).close()  # not persistent: the session goes, with all that waits in it
        found = f"{came} came, {needed - came} were lost"
        remedy = f"raise the queue's limits (max_queued_messages {needed}, max_queued_bytes {needed * mosquitto.BYTES_PER_MESSAGE})"
        return Finding("messages that wait for an absent ingester", came == needed, found, str(needed), remedy)

    def _came_later(self, client_id: str, needed: int) -> int:
        """Send so many while nobody is there; count those that come when somebody is again."""
        full = f"{self._root(self._names[0])}/{topics.REPORT}"
        absent = self._started(Client(self._city, OPERATOR, client_id=client_id, is_persistent=True))
        self._hearing(absent, [full], topics.CONFIG_PLAN)
        absent.close()
        sender = self._guest(self._names[0], [])
        self._send(sender.client, full, needed)
        again = self._started(Client(self._city, OPERATOR, client_id=client_id, is_persistent=True, most_waiting=needed + 1000))
        numbers: set[bytes] = set()
        with contextlib.closing(again), contextlib.closing(sender.client):
            while len(numbers) < needed and (more := again.messages(PUBLISH_AT_ONCE, QUIET_S)):
                numbers |= {heard.payload for heard in more if heard.payload.isdigit()}
                self._progress(needed + len(numbers), 2 * needed)
        return len(numbers)

    def _send(self, sender: Client, full: str, count: int) -> None:
        for first in range(0, count, PUBLISH_AT_ONCE):
            mids = [sender.publish(full, str(number).encode()) for number in range(first, min(first + PUBLISH_AT_ONCE, count))]
            if lost := sender.wait_published(mids, 30.0):
                raise Refused(
                    f"{self._where}: took only {first + len(mids) - len(lost)} of {count} messages within 30 s; try fewer:  --messages {max(1, first)}"
                )
            self._progress(first + len(mids), 2 * count)

    def _revocation(self) -> Finding:
        """The throw-away certificates themselves."""
        name = self._names[0]
        self._tidy()
        self._guests.dismiss()
        until = time.monotonic() + WAIT_S
        while is_open := doors.opens(self._guests.host, self._guests.port, str(self._city.ca / "ca.pem"), pair=self._guests.pair(name)):
            if time.monotonic() > until:
                break
        return Finding("a revoked certificate", not is_open, "let in" if is_open else "refused", "refused", "start the broker anew:  rwctl broker run")

    def _speaks(self, protocol: int) -> bool:
        client = self._guests.client(self._names[0], protocol=protocol)
        try:
            client.start(WAIT_S)
        except Away:
            if doors.is_there(self._guests.host, self._guests.port):
                return False
            start = f"start it:  rwctl --dir {self._city.folder} broker run" if self._city.broker.is_own else "have it started"
            raise Away(f"{self._where}: no broker is there; {start}   or say where its listener for access points is: --host, --port") from None
        except Refused:
            return False
        client.close()
        return True

    def _lets_a_stranger_in(self) -> bool:
        """Is a certificate taken whose authority only has the same name as ours?"""
        name, key = guests.name("check"), authority.new_key()
        self._guests.invite(name, Authority(authority.self_signed(key, f"{self._city.name} access points", time.time()), key))
        return doors.opens(self._guests.host, self._guests.port, str(self._city.ca / "ca.pem"), pair=self._guests.pair(name))

    def _guest(self, name: str, filters: list[str]) -> _Ear:
        return self._hearing(self._started(self._guests.client(name)), filters, topics.PRESENCE, name)

    def _hearing(self, client: Client, filters: list[str], own: str, name: str | None = None) -> _Ear:
        """Subscribe, and wait until it holds: a message to oneself, on a topic that one may both say and hear, comes back after that."""
        mark, full = _text(), f"{self._root(name or self._names[0])}/{own}"
        ear = _Ear(client, self._wait_s)
        client.subscribe([*filters, full])
        client.publish(full, mark)
        ear.wait(mark)
        return ear

    def _started(self, client: Client) -> Client:
        client.start(WAIT_S)
        self._stack.callback(client.close)
        return client

    def _publish(self, client: Client, topic: str, payload: bytes, retain: bool = False) -> bool:
        return not client.wait_published([client.publish(topic, payload, retain=retain)], self._wait_s)

    def _city_sender(self, topic: Topic) -> Client:
        return self._ingest if topic.name in mosquitto.INGESTS else self._operator

    def _root(self, name: str) -> str:
        return topics.root(self._city.name, name)

    def _tidy(self) -> None:
        """Clear what was retained, each by who may; once, and no longer than a broker takes it."""
        if self._is_tidy:
            return
        self._is_tidy = True
        with contextlib.suppress(Refused):  # a broker that is gone now
            for name in self._names:
                client = self._started(self._guests.client(name))
                senders = ((client if topic.direction != "down" else self._operator, topic) for topic in topics.TOPICS if topic.retained)
                mids = [(sender, sender.publish(f"{self._root(name)}/{_concrete(topic)}", b"", retain=True)) for sender, topic in senders]
                for sender in (client, self._operator):
                    sender.wait_published([mid for one, mid in mids if one is sender], self._wait_s)
                client.close()


def _concrete(topic: Topic) -> str:
    return "/".join("check" if level.startswith("<") else level for level in topic.name.split("/"))


def _text() -> bytes:
    return f"check {secrets.token_hex(8)}".encode()
