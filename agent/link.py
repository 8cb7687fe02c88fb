"""What is said in one MQTT connection, from CONNECT to its end: subscriptions, presence, messages in flight, proof of life.

Pure conduct over a `Session`: it decides nothing about the next connection. Promises at most 16 messages
in flight, that only a PUBACK makes a message published, and that presence ends as what is true.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from agent import backoff, tls
from agent.dialect import NAMES
from agent.echo import Echo
from agent.notices import NO_REASON, REFUSED, Accepted, Acknowledged, Arrived, Ended, Subscribed
from agent.session import Session
from agent.wire import jws, messages, topics

LOG = logging.getLogger(__name__)

QUEUED_EVENTS = 1024
# Packet identifier, lengths and properties beside topic and payload.
PACKET_OVERHEAD_BYTES = 128
STUCK_KEEPALIVES = 2


class Limits(NamedTuple):
    """What DESIGN.md 3 and 3.5 fix; a test may be in more of a hurry."""

    dial_s: float = 20.0
    connack_s: float = 10.0
    in_flight: int = 16
    packet_bytes: int = 128 * 1024
    message_bytes: int = messages.MAX_DOWN_BYTES
    session_expiry_s: int = 4 * 3600
    will_delay_s: int = 60
    rebirth_s: float = 10.0
    narrow_s: float = 600.0


class Presence(Protocol):
    """Makes the three payloads of `presence`, each for one session."""

    def birth(self, session: str, /) -> bytes:
        """Say that this session is online."""

    def lost(self, session: str, /) -> bytes:
        """Say, as the will, that this session ended without a word."""

    def stopped(self, session: str, /) -> bytes:
        """Say that the agent stopped on purpose."""


class Connected(NamedTuple):
    """A session began; `protocol` is "5" or "3.1.1"; `is_resumed`: the broker remembers us, and so what it retains."""

    session: str
    protocol: str
    is_resumed: bool = False


class Lost(NamedTuple):
    """The session ended; every token in flight is void."""

    reason: str


class Published(NamedTuple):
    """The broker acknowledged a message."""

    token: int


class Refused(NamedTuple):
    """The broker will not have a message."""

    token: int
    reason: str


class Message(NamedTuple):
    """A message on one of the subscriptions; `topic` is below the root, `payload` as it came."""

    topic: str
    payload: bytes
    is_retained: bool


class Flooded(NamedTuple):
    """The broker sent packets of more than `limit` bytes again and again, so the pushes are not subscribed to for a while."""

    limit: int


Event = Connected | Lost | Published | Refused | Message | Flooded


class Plan(NamedTuple):
    """What every connection of this agent has in common; `is_narrow`: one that is begun without pushes and commands."""

    root: str
    presence: Presence
    subscriptions: tuple[str, ...]
    keepalive_s: int
    limits: Limits
    where: str
    is_tls: bool
    is_narrow: bool = False


class Ending(NamedTuple):
    """Why a connection is over. `is_cut`: CONNECT was answered by closing, nonsense or silence; `code`: the broker's reason code or NO_REASON."""

    reason: str
    code: int
    was_accepted: bool
    is_cut: bool


class _Flight(NamedTuple):
    """One message in flight: the caller's token, None for our own, and when it was sent."""

    token: int | None
    at: float


class Link:
    """One connection. All moments are monotonic seconds, given by the caller."""

    def __init__(self, plan: Plan, session: Session, names: Sequence[str], was_born: bool, echo: Echo, events: deque[Event], now: float) -> None:
        """`names`: this process's sessions, this one last; `was_born`: whether an earlier one heard its own birth."""
        self.is_narrow = plan.is_narrow
        self.name = names[-1]
        self.has_met_other = False
        self.protocol = session.protocol
        self.is_accepted = False
        self.ignored = 0
        self.ending: Ending | None = None
        self._plan = plan
        self._session = session
        self._names = names
        self._was_born = was_born
        self._echo = echo
        self._events = events
        self._asked = ((topics.PRESENCE, 1), (topics.ECHO, 0), *((below, 1) for below in plan.subscriptions if not (plan.is_narrow and below in topics.SIGNED)))
        self._below = {f"{plan.root}/{below}": below for below in (topics.PRESENCE, topics.ECHO, *plan.subscriptions) if below != topics.COMMANDS}
        self._hears_commands = topics.COMMANDS in plan.subscriptions
        self._connack_until = now + plan.limits.connack_s
        self._in_flight: dict[int, _Flight] = {}
        self._most_in_flight = plan.limits.in_flight
        self._most_bytes: int | None = None
        self._acknowledged_at = now
        self._stuck_s = float(STUCK_KEEPALIVES * plan.keepalive_s)
        self._refusal: int | None = None
        self.has_own_birth = False
        self._born_at = now
        self._rebirth_at: float | None = None
        self._has_been_reborn = False
        self._stop_mid: int | None = None
        self._is_stopping = False

    @property
    def is_flooded(self) -> bool:
        """Say whether the broker sent more than it may; what it keeps for us would come again."""
        return self._session.is_flooded

    @property
    def is_open(self) -> bool:
        """Say whether messages can be handed over."""
        return self.is_accepted and not self._session.is_over

    def fds(self) -> dict[int, int]:
        """The socket with its poll(2) mask."""
        return self._session.fds()

    def due_at(self, now: float) -> float:
        """The moment by which `advance` must be called again."""
        if self._session.is_over or self._session.inbox or self._session.has_pending():
            return now
        if not self.is_accepted:
            return self._connack_until
        moments = [self._echo.due_at(now)]
        if self._rebirth_at is not None:
            moments.append(self._rebirth_at)
        if self._in_flight:
            moments.append(self._stuck_at())
        return min(moments)

    def room(self) -> int:
        """Say how many messages may be handed over now."""
        return max(0, self._most_in_flight - len(self._in_flight)) if self.is_open else 0

    def publish(self, topic: str, payload: bytes, retain: bool, expiry_s: int | None, content_type: str | None, token: int | None, now: float) -> int | None:
        """Send a message, QoS 1; give its packet identifier, or None when it could not go."""
        if not self.room():
            return None
        mid = self._session.publish(f"{self._plan.root}/{topic}", payload, 1, retain, None if retain else expiry_s, content_type)
        if mid is not None:
            self._in_flight[mid] = _Flight(token, now)
            self._echo.spoke(now)
        return mid

    def refuses(self, topic: str, payload: bytes) -> str | None:
        """Say why a message can never go to this broker, or None."""
        size = len(payload) + len(self._plan.root) + len(topic) + PACKET_OVERHEAD_BYTES
        if self._most_bytes is None or size <= self._most_bytes:
            return None
        return f"a packet of about {size} bytes, the broker takes at most {self._most_bytes}"

    def advance(self, now: float) -> None:
        """Do all that can be done without waiting; `ending` is set once the connection is over."""
        if self._session.turn():
            self._echo.heard(now)
        while self._session.inbox:
            notice = self._session.inbox.popleft()
            _TAKE[type(notice)](self, notice, now)
        self.ignored += self._session.overflowed
        self._session.overflowed = 0
        if self.ending is None:
            self._supervise(now)
            if self._echo.is_doubtful():
                # Only then: paho takes nothing but PINGREQ for a sign of life of ours, and would send one each keepalive.
                self._session.keep_alive()

    def say_stopped(self, now: float) -> bool:
        """Publish the clean stop as soon as there is room; say whether the broker has it."""
        self._is_stopping = True
        self._rebirth_at = None
        if self._stop_mid is None:
            self._stop_mid = self.publish(topics.PRESENCE, self._plan.presence.stopped(self.name), True, None, messages.JSON, None, now)
            return False
        return self._stop_mid not in self._in_flight

    def widen(self) -> None:
        """Subscribe to pushes and commands, which this connection was begun without."""
        self._asked = tuple((below, 1) for below in self._plan.subscriptions if below in topics.SIGNED)
        self._session.subscribe([(f"{self._plan.root}/{below}", qos) for below, qos in self._asked])
        self.is_narrow = False

    def disconnect(self) -> None:
        """Say goodbye, so that the will is not published, and close."""
        self._session.disconnect()

    def close(self) -> None:
        """Close without a DISCONNECT: the will speaks."""
        self._session.close()

    # What the broker said.

    def _take_accepted(self, notice: Accepted, now: float) -> None:
        if self.is_accepted:
            return  # a second CONNACK is no new session
        if notice.code != 0:
            self._refusal = notice.code
            self._session.close()
            return
        self.is_accepted = True
        self._most_in_flight = min(self._plan.limits.in_flight, notice.receive_maximum or self._plan.limits.in_flight)
        self._most_bytes = notice.maximum_packet_bytes
        keepalive_s = min(self._plan.keepalive_s, notice.keepalive_s or self._plan.keepalive_s)
        self._stuck_s = float(STUCK_KEEPALIVES * keepalive_s)
        self._echo.begin(now, keepalive_s)
        self._session.subscribe([(f"{self._plan.root}/{below}", qos) for below, qos in self._asked])
        self._bear(now)
        self._events.append(Connected(self.name, NAMES[self.protocol], notice.is_resumed))

    def _take_subscribed(self, notice: Subscribed, _now: float) -> None:
        for (below, _), code in zip(self._asked, notice.codes):  # noqa: B905  # a broker may send too few
            if code < REFUSED:
                continue
            if below == topics.ECHO:
                self._echo.refuse()
            else:
                LOG.warning("subscription refused: topic=%s/%s reason=%s", self._plan.root, below, backoff.words(code))

    def _take_acknowledged(self, notice: Acknowledged, now: float) -> None:
        flight = self._in_flight.pop(notice.mid, None)
        if flight is None:
            return
        self._acknowledged_at = now
        if flight.token is None:
            if notice.code >= REFUSED:
                LOG.warning("presence refused: topic=%s/%s reason=%s", self._plan.root, topics.PRESENCE, backoff.words(notice.code))
        elif notice.code >= REFUSED:
            self._events.append(Refused(flight.token, backoff.words(notice.code)))
        else:
            self._events.append(Published(flight.token))

    def _take_arrived(self, notice: Arrived, now: float) -> None:
        below = self._below.get(notice.topic or "") or self._command(notice.topic or "")
        # Of a push or command that is too long the city hears so: as much is handed up as tells that.
        is_signed = below in topics.PUSHES or (below is not None and topics.command_of(below) is not None)
        payload = notice.payload[: jws.MAX_BYTES + 1] if is_signed else notice.payload
        if below is None or len(payload) > self._plan.limits.message_bytes:
            self.ignored += 1
            return
        self._echo.proved(now)
        try:
            if below == topics.ECHO:
                self._hear_echo(messages.parse_echo(notice.payload), now)
            elif below == topics.PRESENCE:
                self._hear_presence(messages.parse_presence(notice.payload), now)
            elif len(self._events) < QUEUED_EVENTS:
                self._events.append(Message(below, payload, notice.is_retained))
            else:
                self.ignored += 1
        except messages.Malformed:
            self.ignored += 1

    def _command(self, topic: str) -> str | None:
        """Give a command's topic below the root; None for every other one, and for the filter itself."""
        root, _, below = topic.partition(f"{self._plan.root}/")
        return below if self._hears_commands and not root and topics.command_of(below) is not None else None

    def _take_ended(self, notice: Ended, _now: float) -> None:
        code = notice.code if self._refusal is None else self._refusal
        is_silent = code == NO_REASON and not self.is_accepted
        is_cut = is_silent and not (self._plan.is_tls and tls.is_fault(self._session.fault))
        self.ending = Ending(self._reason(code), code, self.is_accepted, is_cut)

    def _reason(self, code: int) -> str:
        if self._refusal is not None:
            return f"mqtt: {self._plan.where} refused the connection: {backoff.words(code)}"
        if code != NO_REASON:
            return f"mqtt: the broker ended the session: {backoff.words(code)}"
        fault = self._session.fault
        if fault is not None and tls.is_fault(fault):
            return tls.explain_session(fault)
        what = "closed the connection" if fault is None else f"connection failed ({(fault.strerror or str(fault)).lower()})"
        if self.is_accepted:
            return f"mqtt: {self._plan.where}: {what}"
        # The alert that would say so is often lost with the connection (TLS 1.3 asks for our certificate after the handshake).
        question = "is our certificate there, valid, and signed by the city's CA?" if self._plan.is_tls else "is it a TLS port?"
        return f"mqtt: {self._plan.where}: {what} before it answered CONNECT; {question}"

    # Presence and proof of life.

    def _bear(self, now: float) -> None:
        """Publish the birth, or leave it due until there is room."""
        mid = self.publish(topics.PRESENCE, self._plan.presence.birth(self.name), True, None, messages.JSON, None, now)
        self._born_at = now
        self._rebirth_at = None if mid is not None else now + self._plan.limits.rebirth_s

    def _hear_presence(self, heard: messages.Presence, now: float) -> None:
        """Notice when a late will, of a connection the broker gave up after this one began, has overwritten the birth.

        What comes before the own birth has come back is older than the birth, which is on its way over it.
        """
        if heard.state == "online":
            self.has_own_birth = self.has_own_birth or heard.session == self.name
            self._was_born = self._was_born or self.has_own_birth
            # Before any own birth came back it may be the retained one of an earlier process of ours.
            self.has_met_other = self.has_met_other or (self._was_born and heard.session not in self._names)
        elif self.has_own_birth and not self._is_stopping and self._rebirth_at is None:
            # At once, then at most one in 10 s: whoever keeps writing into our presence makes no storm of it.
            self._rebirth_at = max(now, self._born_at + self._plan.limits.rebirth_s) if self._has_been_reborn else now
            self._has_been_reborn = True

    def _hear_echo(self, heard: messages.Echo, now: float) -> None:
        if heard.session == self.name and 0 < heard.number <= self._echo.number:
            self._echo.returned(now)
        else:
            self.ignored += 1

    def _supervise(self, now: float) -> None:
        if not self.is_accepted:
            if now >= self._connack_until:
                self._end(f"mqtt: {self._plan.where} did not answer CONNECT within {self._plan.limits.connack_s:g} s", is_cut=True)
            return
        if self._echo.is_dead(now):
            self._end("PINGREQ not answered" if self._echo.state == "refused" else "echo not returned: the connection only looked alive")
            self._echo.died()
        elif self._in_flight and now >= self._stuck_at():
            self._end(f"no PUBACK for {self._stuck_s:g} s")
        else:
            if self._echo.send(now):
                self._session.publish(f"{self._plan.root}/{topics.ECHO}", messages.encode(messages.echo(self.name, self._echo.number)), 0, False)
            if self._rebirth_at is not None and now >= self._rebirth_at:
                self._bear(now)

    def _end(self, reason: str, *, is_cut: bool = False) -> None:
        self._session.close()
        self._session.inbox.clear()
        self.ending = Ending(reason, NO_REASON, self.is_accepted, is_cut)

    def _stuck_at(self) -> float:
        """When the oldest message in flight, and every one after it, has waited too long for its PUBACK."""
        oldest = next(iter(self._in_flight.values()))
        return max(oldest.at, self._acknowledged_at) + self._stuck_s


_TAKE: dict[type, Callable[[Link, Any, float], None]] = {
    Accepted: Link._take_accepted,
    Subscribed: Link._take_subscribed,
    Acknowledged: Link._take_acknowledged,
    Arrived: Link._take_arrived,
    Ended: Link._take_ended,
}
