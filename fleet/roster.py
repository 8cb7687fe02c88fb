"""Whose messages count: the inventory's access points by name, as city.db says now. Reads only."""

from __future__ import annotations

import sqlite3

from agent.wire import topics
from fleet.understand import Who

LOOK_EVERY_S = 0.25
MOST_TOPICS = 200_000  # kept taken apart


class Stranger(str):
    """The id of an access point without a row in the inventory, or a revoked one."""

    __slots__ = ()


class Roster:
    """The inventory, read again when somebody changed city.db."""

    def __init__(self, live: sqlite3.Connection, city: str) -> None:
        """`live`: with city.db attached as `city`."""
        self._live, self._city = live, city
        self._numbers: dict[str, int] = {}
        self._topics: dict[str, tuple[Who | Stranger, str] | None] = {}
        self._version = -1
        self._looked_at = float("-inf")
        self.changes = 0

    @property
    def numbers(self) -> dict[str, int]:
        """The numbers by id."""
        return self._numbers

    def refresh(self, mono: float) -> bool:
        """Look whether somebody was enrolled or revoked, at most every LOOK_EVERY_S; say whether anything changed."""
        if mono - self._looked_at < LOOK_EVERY_S:
            return False
        self._looked_at = mono
        (version,) = self._live.execute("PRAGMA city.data_version").fetchone()
        if version == self._version:
            return False
        self._numbers = dict(self._live.execute("SELECT id, number FROM city.inventory WHERE revoked_at IS NULL"))
        self._version = version
        self._topics.clear()
        self.changes += 1
        return True

    def whose(self, topic: str) -> tuple[Who | Stranger, str] | None:
        """Say whose a topic is, and what of it; None when it is no topic of this city's."""
        try:
            return self._topics[topic]
        except KeyError:
            pass
        parts = topics.parse(topic)
        found: tuple[Who | Stranger, str] | None = None
        if parts is not None and parts[0] == self._city:
            _, ap, below = parts
            found = (Who(ap, self._numbers[ap]) if ap in self._numbers else Stranger(ap), below)
        if len(self._topics) >= MOST_TOPICS:
            self._topics.clear()
        self._topics[topic] = found
        return found
