"""A broker in the process, after the public interface of `agent.broker.Broker`: a test says what comes, and reads what went."""

from __future__ import annotations

from typing import NamedTuple

from agent.broker import Connected, Event, Flooded, Lost, Message, Published, Refused, Status

ROOM = 16


class Sent(NamedTuple):
    """One message handed over."""

    token: int
    topic: str
    payload: bytes
    retain: bool
    expiry_s: int | None
    content_type: str | None


class FakeBroker:
    """Not connected until `connect()`; keeps at most `most` messages in flight."""

    def __init__(self, most: int = ROOM) -> None:
        self.sent: list[Sent] = []
        self.ignored = 0
        self.stopped_with: float | None = None
        self.turns = 0
        self.drops = 0
        self.is_connected = False
        self._most = most
        self._in_flight: set[int] = set()
        self._events: list[Event] = []
        self._sessions = 0
        self._taken_s: float | None = None

    # What a test lets happen.

    def connect(self, *, is_resumed: bool = True) -> None:
        """Begin a session; the broker remembers the one before, unless told otherwise."""
        self._sessions += 1
        self.is_connected = True
        self._events.append(Connected(f"{self._sessions:016x}", "5", is_resumed))

    def lose(self) -> None:
        """End the session without a word."""
        self.is_connected = False
        self._in_flight.clear()
        self._events.append(Lost("a test"))

    def acknowledge(self, *tokens: int) -> None:
        """Let PUBACKs come: of these tokens, or of everything in flight."""
        for token in tokens or tuple(sorted(self._in_flight)):
            self._in_flight.discard(token)
            self._events.append(Published(token))

    def refuse(self, token: int) -> None:
        """Let the broker refuse one message."""
        self._in_flight.discard(token)
        self._events.append(Refused(token, "quota exceeded (0x97)"))

    def bring(self, topic: str, payload: bytes, *, is_retained: bool = False) -> None:
        """Let a message of one of the subscriptions come."""
        self._events.append(Message(topic, payload, is_retained))

    def flood(self, limit: int) -> None:
        """Let the broker have sent too large packets again and again."""
        self._events.append(Flooded(limit))

    def take_name(self, seconds_ago: float) -> None:
        """Let another have taken our session."""
        self._taken_s = seconds_ago

    def on(self, topic: str) -> list[Sent]:
        """Give what was handed over on one topic."""
        return [sent for sent in self.sent if sent.topic == topic]

    # What the daemon asks.

    def fds(self) -> dict[int, int]:
        return {}

    def due(self) -> float:
        return 3600.0

    def advance(self) -> None:
        self.turns += 1

    def room(self) -> int:
        return self._most - len(self._in_flight) if self.is_connected else 0

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, expiry_s: int | None = None, content_type: str | None = None) -> int | None:
        if not self.room():
            return None
        token = len(self.sent) + 1
        self.sent.append(Sent(token, topic, payload, retain, expiry_s, content_type))
        self._in_flight.add(token)
        return token

    def drain(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def drop(self) -> None:
        self.drops += 1
        if self.is_connected:
            self.lose()

    def stop(self, deadline_s: float) -> None:
        self.stopped_with = deadline_s
        self.is_connected = False

    def status(self) -> Status:
        state = "connected" if self.is_connected else "waiting"
        return Status(state, 0.0, "", 0, "5", None, max(0, self._sessions - 1), self.ignored, "proven", self._taken_s)
