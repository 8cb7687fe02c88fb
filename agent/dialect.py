"""Which MQTT version to speak: 5 first, 3.1.1 where the broker does not know 5.

Promises never to settle on a version that does not work while the other may, and to come back to 5.
"""

from __future__ import annotations

from typing import Literal

Version = Literal[4, 5]

NAMES: dict[Version, str] = {4: "3.1.1", 5: "5"}
CUTS = 2
AGAIN_S = 86400.0
AGAIN_AFTER_GUESS_S = 3600.0


class Dialect:
    """The version for the next attempt. All moments are monotonic seconds, given by the caller."""

    def __init__(self) -> None:
        self._version: Version = 5
        self._cuts = 0
        self._fell_at = 0.0
        self._again_s = AGAIN_S

    def version(self, now: float) -> Version:
        """Give the version to speak; a day after falling back 5 is tried again, for the broker may have been renewed; after a guess, an hour."""
        if self._version == 4 and now - self._fell_at >= self._again_s:
            self._version = 5
            self._cuts = 0
        return self._version

    def accepted(self) -> None:
        """Note that the broker answered CONNECT in this version."""
        self._cuts = 0

    def refused(self, now: float) -> None:
        """Note that the broker said it does not know this version."""
        self._turn(now, AGAIN_S)

    def cut(self, now: float) -> None:
        """Note a CONNECT answered by closing, nonsense or silence; the second in a row counts as a refusal.

        Once may be a broker that is just stopping. Where the other version is cut as well, it was not the version.
        Silence counts because amqtt says nothing at all to a CONNECT in MQTT 5 that has a will.
        """
        self._cuts += 1
        if self._cuts >= CUTS:
            self._turn(now, AGAIN_AFTER_GUESS_S)

    def _turn(self, now: float, again_s: float) -> None:
        self._version = 4 if self._version == 5 else 5
        self._fell_at = now
        self._again_s = again_s
        self._cuts = 0
