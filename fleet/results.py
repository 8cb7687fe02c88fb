"""What access points say to a command, from the broker: kept apart by access point, and only what is about this one's id.

Understands; `Hearing` alone listens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from agent.wire import topics
from agent.wire.command import ENDINGS, ON_THE_WAY, STATES
from agent.wire.messages import Payload
from fleet.city import City
from fleet.following import Line, Listener

# Before and beside what access points themselves say.
SENT, SILENT, NOT_SENT = "sent", "silent", "not sent"
OFFLINE, UNHEARD, UNSUPPORTED = "offline", "unheard", "unsupported"
NOT_ASKED = (OFFLINE, UNHEARD, UNSUPPORTED)
GOOD = ("succeeded",)
BAD = ("failed", "rejected", "timed_out", "expired")


class Row(NamedTuple):
    """How it stands with one access point; `message`: its last word on this command."""

    ap: str
    state: str
    message: Payload

    @property
    def code(self) -> str:
        """Give why it is so, in one word; "" when it did not say."""
        return self._text("code")

    @property
    def said(self) -> str:
        """Give its sentence; "" when it did not say one."""
        return self._text("message")

    @property
    def output(self) -> Payload:
        """Give what it found."""
        output = self.message.get("output")
        return output if isinstance(output, dict) else {}

    @property
    def took_ms(self) -> float | None:
        """Give how long it took there; None when it did not say."""
        took = self.message.get("took_ms")
        return float(took) if isinstance(took, (int, float)) and not isinstance(took, bool) and 0 <= took < 1e9 else None

    def _text(self, name: str) -> str:
        value = self.message.get(name)
        return value if isinstance(value, str) else ""


class Results:
    """The results of one command, asked of some access points under an id each; `apart`: of whom it was not asked, and why."""

    def __init__(self, name: str, ids: Mapping[str, str], apart: Mapping[str, str]) -> None:
        self._below = topics.command_result(name)
        self._ids, self._apart = dict(ids), dict(apart)
        self._said: dict[str, Payload] = {}

    def take(self, ap: str, below: str, message: Payload) -> None:
        """Note what one access point said; its first ending stays."""
        wanted, state = self._ids.get(ap), message.get("state")
        if wanted is None or below != self._below or message.get("id") != wanted or state not in STATES:
            return
        if self._state(ap) not in ENDINGS:
            self._said[ap] = message

    def not_taken(self, aps: Iterable[str]) -> None:
        """Note that the broker did not take it for these."""
        self._apart |= dict.fromkeys(aps, NOT_SENT)

    @property
    def rows(self) -> list[Row]:
        """Give how it stands with each."""
        return [Row(ap, self._state(ap), self._said.get(ap, {})) for ap in sorted(self._ids.keys() | self._apart.keys())]

    @property
    def open(self) -> list[str]:
        """Name those that were asked and have not ended."""
        return [ap for ap in self._ids if self._state(ap) not in (*ENDINGS, NOT_SENT)]

    @property
    def is_over(self) -> bool:
        """Say whether all who were asked have ended."""
        return not self.open

    def ended(self) -> list[Row]:
        """Give how it ended with each, now that nobody waits any more: who was asked and did not end is silent."""
        return [row._replace(state=SILENT) if row.state in (SENT, *ON_THE_WAY) else row for row in self.rows]

    def _state(self, ap: str) -> str:
        if ap in self._said:
            return str(self._said[ap]["state"])
        return self._apart.get(ap, SENT)


class Hearing(Listener):
    """Which boot of each of some access points is online, and how the commands of one name end there."""

    def __init__(self, city: City, line: Line, aps: Iterable[str], name: str) -> None:
        self.online: dict[str, str] = {}  # the boot that each named at its birth; "": none
        super().__init__(city, line, aps, (topics.PRESENCE, topics.command_result(name)))

    def _hear(self, ap: str, below: str, message: Payload) -> None:
        if below == topics.PRESENCE:
            self._note(ap, message)

    def _note(self, ap: str, presence: Payload) -> None:
        if presence.get("state") != "online":
            self.online.pop(ap, None)
            return
        boot = presence.get("boot")
        self.online[ap] = boot if isinstance(boot, str) else ""
