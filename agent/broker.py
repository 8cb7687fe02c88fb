"""The way to the broker for the agent's life, over as many connections as that takes.

One thread's object. Nothing here waits, except `stop` for as long as it is told: what could block is done
by agent.dial's thread. Promises never to give up, and never to come back faster than agent.backoff allows.
"""

from __future__ import annotations

import logging
import os
import select
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

from agent import backoff, tls
from agent.backoff import Backoff, Pace
from agent.dial import Dial, Way
from agent.dialect import NAMES, Dialect
from agent.echo import Echo
from agent.errors import Unavailable
from agent.link import Connected, Ending, Event, Flooded, Limits, Link, Lost, Message, Plan, Presence, Published, Refused
from agent.notices import NO_REASON, UNSUPPORTED_VERSION, Secret, Terms, Will
from agent.session import MOST_INCOMING_BYTES, Session
from agent.wire import messages, topics

if TYPE_CHECKING:
    from agent.settings import BrokerSettings

__all__ = ["Broker", "Connected", "Event", "Flooded", "Limits", "Lost", "Message", "Presence", "Published", "Refused", "Status"]

LOG = logging.getLogger(__name__)

HUNG_DIALS = 2
OWN_NAMES = 64
# So many packets too large, one after the other, are one that the broker retains: it would come with every connection.
FLOODS = 2
# The thread's own end comes first, so that its reason is told rather than ours.
DIAL_RATIO = 0.9
MAX_PASSWORD_BYTES = 4096
NEVER_S = 3600.0

State = Literal["waiting", "connecting", "connected", "stopped"]


class Status(NamedTuple):
    """The session for `rwagent status`. `attempts` counts since the last connection, `reconnects` and `ignored` since the start."""

    state: State
    since_s: float
    last_reason: str
    attempts: int
    protocol: str | None
    next_attempt_in_s: float | None
    reconnects: int
    ignored: int
    echo: str
    identity_taken_s: float | None


class Broker:
    """The broker as the daemon sees it."""

    def __init__(
        self,
        settings: BrokerSettings,
        root: str,
        client_id: str,
        presence: Presence,
        subscriptions: tuple[str, ...],
        is_clock_good: Callable[[], bool],
        monotonic: Callable[[], float] = time.monotonic,
        draw: Callable[[float, float], float] = backoff.uniform,
        limits: Limits = Limits(),  # noqa: B008  # immutable
    ) -> None:
        self._settings = settings
        self._client_id = client_id
        self._is_clock_good = is_clock_good
        self._monotonic = monotonic
        self._plan = Plan(root, presence, subscriptions, settings.keepalive_s, limits, f"{settings.host}:{settings.port}", settings.tls)
        self._contexts = tls.Contexts(settings.ca_file, settings.cert_file, settings.key_file)
        self._backoff = Backoff(draw)
        self._dialect = Dialect()
        self._echo = Echo()
        self._events: deque[Event] = deque()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._dial: Dial | None = None
        self._dial_until = 0.0
        self._hung: list[Dial] = []
        self._link: Link | None = None
        self._state: State = "waiting"
        self._since = self._next_at = monotonic()
        self._token = 0
        self._names: list[str] = []
        self._was_born = False
        self._connections = 0
        self._attempts = 0
        self._ignored = 0
        self._last_reason = ""
        self._logged_reason = ""
        self._taken_at: float | None = None
        # After a packet too large to take: it would be delivered again and again, were the broker not told to forget it.
        self._must_forget = False
        self._floods = 0
        self._narrow_until = 0.0
        self._has_told_of_echo = False

    # What the daemon asks.

    @property
    def is_connected(self) -> bool:
        """Say whether messages can be handed over."""
        return self._link is not None and self._link.is_open

    def fds(self) -> dict[int, int]:
        """File descriptors to poll, each with its poll(2) event mask."""
        if self._dial is not None:
            return {self._wake_read: select.POLLIN}
        return self._link.fds() if self._link is not None else {}

    def due(self) -> float:
        """Seconds until `advance` must be called at the latest."""
        now = self._monotonic()
        if self._state == "stopped":
            return NEVER_S
        if self._dial is not None:
            return max(0.0, self._dial_until - now)
        if self._link is None:
            return max(0.0, self._next_at - now)
        due_at = self._link.due_at(now)
        return max(0.0, (min(due_at, self._narrow_until) if self._link.is_narrow and self._link.is_open else due_at) - now)

    def room(self) -> int:
        """Say how many messages may be handed over now."""
        return 0 if self._link is None else self._link.room()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, expiry_s: int | None = None, content_type: str | None = None) -> int | None:
        """Hand over a message, QoS 1, on a topic below the root; give its token, or None when there is no connection or no room.

        `expiry_s` and `content_type` go with MQTT 5 only; a retained message never expires.
        """
        if self._link is None or not self._link.room():
            return None
        self._token += 1
        refusal = self._link.refuses(topic, payload)
        if refusal is not None:
            self._events.append(Refused(self._token, refusal))
            return self._token
        mid = self._link.publish(topic, payload, retain, expiry_s, content_type, self._token, self._monotonic())
        return None if mid is None else self._token

    def drain(self) -> list[Event]:
        """Give what happened since the last call, in order."""
        events = list(self._events)
        self._events.clear()
        return events

    def status(self) -> Status:
        """Give the session's state in words and figures; `_s` are seconds ago, or from now."""
        now = self._monotonic()
        return Status(
            state=self._state,
            since_s=round(now - self._since, 1),
            last_reason=self._last_reason,
            attempts=self._attempts,
            protocol=NAMES[self._link.protocol] if self._link is not None and self._link.is_open else None,
            next_attempt_in_s=round(max(0.0, self._next_at - now), 1) if self._state == "waiting" else None,
            reconnects=max(0, self._connections - 1),
            ignored=self._ignored + (0 if self._link is None else self._link.ignored),
            echo=self._echo.state,
            identity_taken_s=None if self._taken_at is None else round(now - self._taken_at, 1),
        )

    # What the daemon wants done.

    def advance(self) -> None:
        """Do all that can be done without waiting: read, write, keep alive, connect."""
        now = self._monotonic()
        if self._dial is not None:
            self._advance_dial(self._dial, now)
        if self._link is not None:
            self._advance_link(self._link, now)
        elif self._state == "waiting" and now >= self._next_at:
            self._start(now)

    def drop(self) -> None:
        """Close the connection without a DISCONNECT, or give up the one under way, and connect anew at once."""
        if self._link is not None:
            self._link.close()
        elif self._dial is not None:
            self._dial.abandon()
            self._hung.append(self._dial)
            self._dial = None
            self._forget_wake_up()
        else:
            return
        self._finish("dropped to connect anew", "now", self._monotonic())

    def stop(self, deadline_s: float) -> None:
        """Say goodbye within `deadline_s` seconds, and close; what is not said in time, the will says."""
        until = self._monotonic() + deadline_s
        has_said = False
        while self._link is not None and self.is_connected and not has_said and self._monotonic() < until:
            has_said = self._link.say_stopped(self._monotonic())
            if not has_said:
                self._wait(min(until - self._monotonic(), self.due()))
                self.advance()
        if self._link is not None and has_said:
            self._link.disconnect()
        self._close()

    # One attempt.

    def _start(self, now: float) -> None:
        self._attempts += 1
        self._hung = [dial for dial in self._hung if dial.is_alive()]
        if len(self._hung) >= HUNG_DIALS:
            self._finish(f"resolver: {self._settings.host}: {HUNG_DIALS} earlier questions are still without an answer", "jitter", now)
            return
        settings = self._settings
        dates = self._is_clock_good()
        context = partial(self._contexts.context, are_dates_checked=dates) if settings.tls else None
        within_s = self._plan.limits.dial_s
        way = Way(settings.host, settings.port, context, settings.allow_plaintext, settings.ca_file or None, within_s * DIAL_RATIO)
        self._forget_wake_up()
        self._dial = Dial(way, self._wake_write)
        self._dial_until = now + within_s
        self._enter("connecting", now)

    def _advance_dial(self, dial: Dial, now: float) -> None:
        outcome = dial.take()
        if outcome is None:
            if now < self._dial_until:
                return
            # TCP and TLS end by themselves before this; only the resolver takes its own time.
            dial.abandon()
            self._hung.append(dial)
            reason = f"resolver: {self._settings.host}: no answer within {self._plan.limits.dial_s:g} s"
        else:
            reason = outcome.reason
        self._dial = None
        self._forget_wake_up()
        if outcome is None or outcome.sock is None:
            self._finish(reason, "jitter", now)
            return
        try:
            terms = self._terms()
        except Unavailable as error:
            outcome.sock.close()
            self._finish(str(error), "jitter", now)
            return
        name = os.urandom(8).hex()
        names = [*self._names, name]
        will = Will(f"{self._plan.root}/{topics.PRESENCE}", self._plan.presence.lost(name), messages.JSON, self._plan.limits.will_delay_s)
        session = Session(outcome.sock, self._client_id, self._dialect.version(now), terms, will)
        plan = self._plan._replace(is_narrow=now < self._narrow_until)
        self._link = Link(plan, session, names, self._was_born, self._echo, self._events, now)

    def _terms(self) -> Terms:
        settings, limits = self._settings, self._plan.limits
        password = _read_password(settings.password_file) if settings.password_file else None
        terms = Terms(settings.keepalive_s, settings.username or None, password, limits.session_expiry_s, limits.in_flight, limits.packet_bytes)
        return terms._replace(is_clean=self._must_forget)

    def _advance_link(self, link: Link, now: float) -> None:
        was_accepted = link.is_accepted
        link.advance(now)
        if link.is_accepted and not was_accepted:
            self._begin(link, now)
        if link.is_narrow and link.is_open and now >= self._narrow_until:
            link.widen()
        if link.has_met_other:
            # mosquitto 2.0, and every broker in 3.1.1, takes a session over without a word; the other's birth tells.
            link.has_met_other = False
            self._taken_at = now
            LOG.warning("another client has our name: client_id=%s", self._client_id)
        if link.ending is not None:
            self._end(link.ending, now)
        if self._echo.state == "refused" and not self._has_told_of_echo:
            self._has_told_of_echo = True
            LOG.warning("the broker returns no echo, so PUBACK and PINGRESP have to prove the connection: topic=%s/%s", self._plan.root, topics.ECHO)

    def _begin(self, link: Link, now: float) -> None:
        self._connections += 1
        self._names = [*self._names, link.name][-OWN_NAMES:]
        self._attempts = 0
        self._logged_reason = ""
        self._dialect.accepted()
        self._backoff.connected(now)
        self._enter("connected", now)
        LOG.info("connected: broker=%s protocol=%s session=%s", self._plan.where, NAMES[link.protocol], link.name)
        if link.is_narrow:
            self._events.append(Flooded(MOST_INCOMING_BYTES))

    def _end(self, ending: Ending, now: float) -> None:
        pace = backoff.pace(ending.code)
        was_just_taken = self._taken_at is not None and now - self._taken_at < backoff.STABLE_S
        if ending.code == NO_REASON and ending.was_accepted and was_just_taken:
            pace = "taken"
        if pace == "taken":
            self._taken_at = now
        if ending.is_cut:
            self._dialect.cut(now)
        elif ending.code == UNSUPPORTED_VERSION and not ending.was_accepted:
            self._dialect.refused(now)
        self._finish(ending.reason, pace, now)

    def _finish(self, reason: str, pace: Pace, now: float) -> None:
        """Note why there is no connection now, and when to try again."""
        link, self._link = self._link, None
        self._last_reason = reason
        if link is not None:
            self._was_born = self._was_born or link.has_own_birth
            self._ignored += link.ignored + link.is_flooded
            self._must_forget = link.is_flooded or (self._must_forget and not link.is_accepted)
            self._count_flood(link, now)
        if link is not None and link.is_accepted:
            self._events.append(Lost(reason))
            LOG.warning("connection lost: reason=%s", reason)
        elif reason != self._logged_reason:
            LOG.warning("no connection: reason=%s", reason)
        self._logged_reason = reason
        self._next_at = now + self._backoff.wait_s(now, pace)
        self._enter("waiting", now)

    def _count_flood(self, link: Link, now: float) -> None:
        if link.is_flooded:
            self._floods += 1
        elif link.is_accepted and not link.is_narrow:
            self._floods = 0
        if link.is_flooded and self._floods >= FLOODS:
            self._narrow_until = now + self._plan.limits.narrow_s
            LOG.warning("neither pushes nor commands are asked for now, too large a packet came with them: most_bytes=%d", MOST_INCOMING_BYTES)

    # The end.

    def _wait(self, seconds: float) -> None:
        poller = select.poll()
        for fd, mask in self.fds().items():
            poller.register(fd, mask)
        poller.poll(int(max(0.0, seconds) * 1000) + 1)

    def _close(self) -> None:
        if self._state == "stopped":
            return
        if self._link is not None:
            self._link.close()
            if self._link.is_accepted:
                self._events.append(Lost("stopped"))
            self._link = None
        if self._dial is not None:
            self._dial.abandon()
            self._dial = None
        os.close(self._wake_read)
        os.close(self._wake_write)
        self._enter("stopped", self._monotonic())

    def _enter(self, state: State, now: float) -> None:
        if state != self._state:
            self._state, self._since = state, now

    def _forget_wake_up(self) -> None:
        try:
            os.read(self._wake_read, 64)
        except BlockingIOError:
            return


def _read_password(file: str) -> Secret:
    """Read the first line of the password file, anew for each connection, so that it lies nowhere else."""
    try:
        fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as opened:
            text = opened.read(MAX_PASSWORD_BYTES).split(b"\n", 1)[0].strip().decode()
    except OSError as error:
        raise Unavailable(f"password file {file}: {(error.strerror or 'cannot be read').lower()}") from None
    except UnicodeDecodeError:
        raise Unavailable(f"password file {file}: the first line is not UTF-8") from None
    return Secret(text)
