"""Between the outbox and the broker: what is handed over, what came back, what has to be said again.

Of news (info, alerts, how pushes ended) only the newest of each topic is kept. Promises to hand over no more than the
broker has room for, and to forget nothing that was not acknowledged.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Literal, Protocol

from agent.broker import Broker, Connected, Event, Lost, Message, Published, Refused
from agent.wire import messages, topics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.outbox import Entry
    from agent.router.contract import Clock

    class Held(Protocol):
        """What the post asks of the outbox (agent/outbox.py says what it means); in safe mode there is none, and nothing is touched (agent/safe.py)."""

        def due(self, now: float, /) -> Entry | None: ...
        def wait(self, now: float, /) -> float | None: ...
        def render(self, entry: Entry, *, uptime: float, wall: float | None, interval_s: float) -> bytes: ...
        def sent(self, entry: Entry, token: int, now: float, /) -> None: ...
        def published(self, token: int, /) -> None: ...
        def refused(self, token: int, /) -> None: ...
        def disconnected(self) -> None: ...
        def ack(self, boot: str, through: int, missing: Sequence[tuple[int, int]], /) -> None: ...


LOG = logging.getLogger(__name__)

MESSAGE_EXPIRY_S = 7 * 86400
LATENCIES = 64
REASONS_TOLD = 32
MOST_APART = 32  # that wait although each is about something of its own


class Post:
    """The messages under way over one broker, for the daemon's life."""

    def __init__(self, broker: Broker, outbox: Held, clock: Clock, interval_s: float, encoding: Literal["json", "deflate"]) -> None:
        self._broker = broker
        self._outbox = outbox
        self._clock = clock
        self.interval_s = interval_s
        self._encoding = encoding
        self._news: dict[str, bytes] = {}
        self._said: dict[str, bytes] = {}
        self._refused_news: dict[str, bytes] = {}
        self._instead: dict[str, tuple[bytes, bytes]] = {}  # of which message, and what is said then
        self._news_under_way: dict[int, tuple[str, bytes]] = {}
        self._entries_under_way: dict[int, float] = {}
        self._latencies: deque[float] = deque(maxlen=LATENCIES)
        self._told: set[str] = set()
        self._others: list[Event] = []
        self.ignored = 0

    def announce(self, topic: str, payload: bytes) -> None:
        """Publish a retained message as soon as there is a connection; it replaces one of its topic that still waits."""
        self._news[topic] = payload
        self._said[topic] = payload

    def say(self, topic: str, payload: bytes, about: str = "", instead: bytes = b"") -> None:
        """Publish a message that is not retained as soon as there is a connection; it replaces one of its topic, and about the same, that still waits.

        `instead`: what is said in its place, once, when the broker will not have it (it may be too long for that broker).
        """
        self._news[_key(topic, about)] = payload
        self._instead.pop(_key(topic, about), None)
        if instead:
            self._instead[_key(topic, about)] = payload, instead
        self._bound()

    def is_under_way(self, topic: str, about: str = "") -> bool:
        """Say whether the newest message of a topic, about the same, waits still, or for its PUBACK."""
        key = _key(topic, about)
        return key in self._news or key in self._refused_news or any(key == under_way for under_way, _ in self._news_under_way.values())

    def drain(self) -> list[Event]:
        """Give what came since the last call and is not the post's: connections that came and went, messages on other topics than `ack`."""
        others, self._others = self._others, []
        return others

    def take_events(self) -> bool:
        """Take what the broker's session brought; say whether a connection came or went."""
        has_changed = False
        for event in self._broker.drain():
            if isinstance(event, Published):
                self._published(event.token)
            elif isinstance(event, Message) and event.topic == topics.ACK:
                self._message(event)
            elif isinstance(event, Message):
                self._others.append(event)
            elif isinstance(event, Refused):
                self._refused(event.token, event.reason)
            else:
                has_changed = True
                self._others.append(event)
                if isinstance(event, Lost):
                    self._lost()
                elif isinstance(event, Connected) and not event.is_resumed:
                    # A broker that has forgotten our session may have forgotten what it retained.
                    self._news = self._said | self._news
        return has_changed

    def hand_over(self) -> None:
        """Publish while the broker has room: news first, then what the outbox gives."""
        if not self._broker.is_connected:
            return
        while self._news and self._broker.room():
            key, payload = next(iter(self._news.items()))
            topic = key.partition(" ")[0]
            token = self._broker.publish(topic, payload, retain=topic in self._said, content_type=messages.JSON if payload else None)
            if token is None:
                return
            del self._news[key]
            self._news_under_way[token] = (key, payload)
        while self._broker.room():
            entry = self._outbox.due(self._clock.uptime())
            if entry is None or not self._publish(entry):
                return

    def wait(self) -> float | None:
        """Seconds of the box's clock until the outbox may have something to hand over; None when nothing waits or nothing could go."""
        if not self._broker.is_connected or not self._broker.room():
            return None
        return self._outbox.wait(self._clock.uptime())

    def latency_p95_ms(self) -> int | None:
        """The 95th percentile of the last times from PUBLISH to PUBACK."""
        if not self._latencies:
            return None
        return round(sorted(self._latencies)[int(len(self._latencies) * 0.95)] * 1000)

    def _publish(self, entry: Entry) -> bool:
        uptime = self._clock.uptime()
        wall = self._clock.wall() if entry.lacks_time and self._clock.state() == "ntp" else None
        payload = self._outbox.render(entry, uptime=uptime, wall=wall, interval_s=self.interval_s)
        content_type = messages.JSON
        if entry.kind == "report" and self._encoding == "deflate":
            payload, content_type = messages.deflate(payload), messages.JSON_DEFLATE
        token = self._broker.publish(entry.kind, payload, expiry_s=MESSAGE_EXPIRY_S, content_type=content_type)
        if token is None:
            return False
        self._outbox.sent(entry, token, uptime)
        self._entries_under_way[token] = time.monotonic()
        return True

    def _published(self, token: int) -> None:
        self._take_instead(*self._news_under_way.pop(token, ("", b"")))
        began = self._entries_under_way.pop(token, None)
        if began is not None:
            self._latencies.append(time.monotonic() - began)
            self._outbox.published(token)

    def _refused(self, token: int, reason: str) -> None:
        news = self._news_under_way.pop(token, None)
        if news is not None and " " in news[0]:
            # One of many: whoever makes us answer and will not have the answer must not fill our memory with it.
            self._warn(f"the broker refused a message, it is given up: topic={news[0].partition(' ')[0]} reason={reason}")
            if (instead := self._take_instead(*news)) and news[0] not in self._news:
                self._news[news[0]] = instead
        elif news is not None:
            LOG.warning("the broker refused a message, it goes again with the next session: topic=%s reason=%s", news[0], reason)
            self._refused_news[news[0]] = news[1]
        elif self._entries_under_way.pop(token, None) is not None:
            self._outbox.refused(token)

    def _take_instead(self, key: str, payload: bytes) -> bytes:
        """Give what would be said instead of this message, and keep it no longer; of one about the same that is newer it stays."""
        of, instead = self._instead.get(key, (b"", b""))
        if of != payload:
            return b""
        self._instead.pop(key, None)
        return instead

    def _lost(self) -> None:
        # In the order they were sent, so that of two of one topic the newer stands; what still waits is newer than both.
        self._news = self._refused_news | dict(self._news_under_way.values()) | self._news
        self._refused_news.clear()
        self._news_under_way.clear()
        self._entries_under_way.clear()
        self._outbox.disconnected()

    def _message(self, message: Message) -> None:
        try:
            if message.is_retained:
                raise messages.Malformed("retained, but an ack is of its moment")
            ack = messages.parse_ack(message.payload)
        except messages.Malformed as error:
            self.ignored += 1
            self._warn(f"message ignored: topic={message.topic} reason={error}")
            return
        self._outbox.ack(ack.boot, ack.through, ack.missing)

    def _bound(self) -> None:
        """Let the oldest go of those that are each about something of its own, and of what would be said instead."""
        for held in (self._news, self._instead):
            for key in [key for key in held if " " in key][:-MOST_APART]:
                del held[key]

    def _warn(self, text: str) -> None:
        """Once for each reason: whoever may write there must not fill the log."""
        if text not in self._told:
            LOG.warning("%s", text)
        self._told = {*self._told, text} if len(self._told) < REASONS_TOLD else {text}


def _key(topic: str, about: str) -> str:
    """Name a message that waits; no topic has a space."""
    return f"{topic} {about}" if about else topic
