"""What access points say to a push or a plan, from the broker: kept apart by access point, and only what is about this one.

Understands; `Ear` alone listens.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from agent.wire import config, topics
from agent.wire.messages import MAX_DOWN_BYTES, Malformed, Payload, decode_strict
from fleet.city import City

# Before and beside what access points themselves say.
SENT, SUPERSEDED, SILENT = "sent", "superseded", "silent"
WAITING, OFFLINE = "waiting", "offline"  # not there: a push waits for it, a plan does not
GOOD = ("confirmed", "unchanged", "planned", SUPERSEDED)
BAD = ("rejected", "rolled_back", "failed")
MOST_FILTERS = 100  # access points that are listened to one by one
FIRST_WITHIN_S, QUIET_S, SETTLED_WITHIN_S = 1.5, 0.25, 3.0  # what is retained begins to come, and has come when nothing came for so long
MOST_AT_ONCE = 5_000
SHORTEST_WAIT_S = 0.05
# What differs when the same verdict is published again.
_OF_THE_SESSION = ("session",)


class Said(Protocol):
    """One message as the city's MQTT client gives it."""

    @property
    def topic(self) -> str:
        """Where it was published."""

    @property
    def payload(self) -> bytes:
        """What it says."""


class Line(Protocol):
    """What listening needs of the city's MQTT client."""

    def subscribe(self, filters: Iterable[str]) -> None:
        """Hear these topics."""

    def messages(self, most: int, within_s: float) -> Iterable[Said]:
        """Give what came; without any wait for the first."""


class Row(NamedTuple):
    """How it stands with one access point; `message`: what it said last about this push."""

    ap: str
    revision: int
    state: str
    message: Payload

    @property
    def reason(self) -> str:
        """Give why, in one word; "" when nothing went wrong."""
        reason = self.message.get("reason")
        return reason if isinstance(reason, str) else ""

    @property
    def errors(self) -> list[str]:
        """Give the faults that it names, a sentence each."""
        errors = self.message.get("errors")
        told = [error.get("message") for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
        return ["".join(character if character.isprintable() else "?" for character in one) for one in told if isinstance(one, str)]


class Following:
    """The verdicts on one push (or, with hashes, the answers to one plan). What is about another revision is none, a higher one supersedes it."""

    def __init__(self, revisions: Mapping[str, int], ear: Ear, hashes: Mapping[str, str] | None = None) -> None:
        self._revisions = dict(revisions)
        self._hashes = hashes
        self._before = dict(ear.reported)
        self._ear = ear
        self._said: dict[str, Payload] = {}
        self._is_superseded: set[str] = set()

    def take(self, ap: str, below: str, message: Payload) -> None:
        """Note what one access point said."""
        revision = self._revisions.get(ap)
        wanted = topics.CONFIG_REPORTED if self._hashes is None else topics.CONFIG_PLAN_RESULT
        if revision is None or below != wanted:
            return
        named = message.get("revision")
        if named == revision and (self._hashes is None or message.get("hash", self._hashes[ap]) == self._hashes[ap]):
            self._said[ap] = message
        elif self._hashes is None and isinstance(named, int) and named > revision:
            # What it said of this one before stays true.
            if self._said.get(ap, {}).get("state") not in config.VERDICTS:
                self._is_superseded.add(ap)
        elif named is None and message.get("state") == "rejected" and _alike(message) != _alike(self._before.get(ap, {})):
            # No signature that it trusts vouched for a revision, so it names none.
            self._said[ap] = message

    @property
    def rows(self) -> list[Row]:
        """Give how it stands with each."""
        return [Row(ap, revision, self._state(ap), self._said.get(ap, {})) for ap, revision in sorted(self._revisions.items())]

    @property
    def is_over(self) -> bool:
        """Say whether all have ended but those that are not there and have not begun."""
        return all(self._state(ap) in (*GOOD, *BAD, WAITING, OFFLINE) for ap in self._revisions)

    def ended(self) -> list[Row]:
        """Give how it ended with each, now that nobody waits any more: who was there and did not end is silent."""
        return [row if row.state in (*GOOD, *BAD, WAITING, OFFLINE) else row._replace(state=SILENT) for row in self.rows]

    def _state(self, ap: str) -> str:
        if ap in self._is_superseded:
            return SUPERSEDED
        state = self._said.get(ap, {}).get("state")
        if isinstance(state, str) and state in (*config.STATES, "planned"):
            return state
        # While it tries a push it is away for a moment; that is no absence.
        if ap in self._ear.online:
            return SENT
        return WAITING if self._hashes is None else OFFLINE


class Follower(Protocol):
    """Whoever makes sense of what access points say."""

    def take(self, ap: str, below: str, message: Payload) -> None:
        """Note what one access point said."""


class Listener:
    """Listens to some access points, on these topics of each."""

    def __init__(self, city: City, line: Line, aps: Iterable[str], names: Sequence[str]) -> None:
        self._line = line
        self._aps = set(aps)
        each = sorted(self._aps) if len(self._aps) <= MOST_FILTERS else ["+"]
        line.subscribe([topics.subscription(name, city.name, ap) for name in names for ap in each])

    def settle(self) -> None:
        """Listen until what is retained has come."""
        until = time.monotonic() + SETTLED_WITHIN_S
        # A busy broker takes its time to begin; one that has nothing to say costs us this wait.
        quiet_s = FIRST_WITHIN_S
        while self.listen(quiet_s) and time.monotonic() < until:
            quiet_s = QUIET_S

    def listen(self, within_s: float, follower: Follower | None = None) -> bool:
        """Take what came, within that time; say whether there was anything."""
        heard = False
        for said in self._line.messages(MOST_AT_ONCE, within_s):
            heard = True
            parts = topics.parse(said.topic)
            message = _message(said.payload)
            if parts is None or parts[1] not in self._aps or message is None:
                continue
            _, ap, below = parts
            if follower is not None:
                follower.take(ap, below, message)
            self._hear(ap, below, message)
        return heard

    def _hear(self, ap: str, below: str, message: Payload) -> None:
        raise NotImplementedError


class Ear(Listener):
    """Who is online of some access points, and what each said last in its config/reported."""

    def __init__(self, city: City, line: Line, aps: Iterable[str]) -> None:
        self.reported: dict[str, Payload] = {}
        self.online: set[str] = set()
        super().__init__(city, line, aps, (topics.PRESENCE, topics.CONFIG_REPORTED, topics.CONFIG_PLAN_RESULT))

    def _hear(self, ap: str, below: str, message: Payload) -> None:
        if below == topics.PRESENCE:
            (self.online.add if message.get("state") == "online" else self.online.discard)(ap)
        elif below == topics.CONFIG_REPORTED:
            self.reported[ap] = message


def _message(payload: bytes) -> Payload | None:
    try:
        return decode_strict(payload, MAX_DOWN_BYTES)
    except Malformed:
        return None


def _alike(message: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in message.items() if name not in _OF_THE_SESSION}
