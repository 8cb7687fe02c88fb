"""A loop around a Broker, as the daemon's is, for tests: it polls, advances, counts its turns and keeps the events."""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from agent.broker import Broker, Event, Limits
from agent.wire import messages

BOOT = "b1946ac92492d234"
ROOT = "wifi/v1/malang/rw-0501"
ID = "rw-0501"


class BrokerSettings(NamedTuple):
    """The shape of agent.settings.BrokerSettings, with a test's defaults."""

    host: str = "127.0.0.1"
    port: int = 1883
    tls: bool = False
    allow_plaintext: bool = False
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    username: str = ""
    password_file: str = ""
    keepalive_s: int = 30


class Presence:
    """The payloads of `presence` as the daemon makes them."""

    def birth(self, session: str, /) -> bytes:
        """Say online."""
        return messages.encode(messages.presence_birth(BOOT, session, None, "0.1.0"))

    def lost(self, session: str, /) -> bytes:
        """Say lost."""
        return messages.encode(messages.presence_lost(BOOT, session))

    def stopped(self, session: str, /) -> bytes:
        """Say stopped."""
        return messages.encode(messages.presence_stopped(BOOT, session))


class Turning:
    """A Broker and its loop. What is not a limit is a broker setting; reconnects wait `pause_s`, unless a reason code says otherwise."""

    def __init__(
        self,
        *,
        client_id: str = ID,
        is_clock_good: bool = True,
        subscriptions: tuple[str, ...] = ("ack",),
        pause_s: float = 0.0,
        limits: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        self.is_clock_good = is_clock_good
        self.events: list[Event] = []
        self.turns = 0
        self.broker = Broker(
            BrokerSettings(**settings),  # type: ignore[arg-type]  # the same members
            ROOT,
            client_id,
            Presence(),
            tuple(subscriptions),
            lambda: self.is_clock_good,
            draw=lambda low, high: max(low, min(pause_s, high)),
            limits=Limits(**(limits or {})),
        )

    def turn(self, at_most_s: float = 0.05) -> None:
        """One turn of the loop: wait for what is due or readable, at most so long, and advance."""
        poller = select.poll()
        for fd, mask in self.broker.fds().items():
            poller.register(fd, mask)
        poller.poll(int(min(at_most_s, self.broker.due()) * 1000 + 0.999))
        self.broker.advance()
        self.turns += 1
        self.events += self.broker.drain()

    def until(self, is_so: Callable[[], Any], seconds: float = 10.0) -> Any:
        """Turn until something is true; give it."""
        until = time.monotonic() + seconds
        while not (found := is_so()):
            assert time.monotonic() < until, (self.broker.status(), self.events[-5:])
            self.turn()
        return found

    def event(self, kind: type, seconds: float = 10.0) -> Any:
        """Turn until an event of a kind is there; take it out and give it."""
        found = self.until(lambda: next((event for event in self.events if isinstance(event, kind)), None), seconds)
        self.events.remove(found)
        return found

    def reason(self, part: str, seconds: float = 10.0) -> str:
        """Turn until the last reason has `part` in it; give the reason."""
        self.until(lambda: part in self.broker.status().last_reason, seconds)
        return self.broker.status().last_reason

    def __enter__(self) -> Turning:
        return self

    def __exit__(self, *_: object) -> None:
        self.broker.stop(0.0)
