"""Whether a session is alive: an echo to ourselves, so that a connection that only looks alive is found.

Pure bookkeeping over moments given by the caller; sends nothing and closes nothing. Promises that a
dead session is called dead within two keepalives of the last proof of life.
"""

from __future__ import annotations

from typing import Literal

# Before the keepalive itself, so that PINGREQ is rarely needed: one timer and one answer every 27 of 30 seconds.
FIRST_RATIO = 0.9
AGAIN_RATIO = 0.5
DEAD_RATIO = 2.0
ASK_RATIO = 0.1
DEAF_SESSIONS = 3

State = Literal["unproven", "proven", "refused"]


class Echo:
    """The proof of life of one session after the other.

    Proof is a message that reached us over a subscription. Where the broker never lets an echo through
    (a foreign broker's ACL), any byte from the broker, which PINGREQ asks for, has to do.
    """

    def __init__(self) -> None:
        self.number = 0
        self._is_proven = False
        self._is_given_up = False
        self._deaf_sessions = 0
        self._keepalive_s = 0.0
        self._proved_at = 0.0
        self._heard_at = 0.0
        self._spoke_at = 0.0
        self._sent_at: float | None = None
        self._first_sent_at: float | None = None

    @property
    def state(self) -> State:
        """Say whether echoes come back: not known yet, yes, or the broker does not let them through."""
        if self._is_given_up:
            return "refused"
        return "proven" if self._is_proven else "unproven"

    def begin(self, now: float, keepalive_s: float) -> None:
        """Begin a session, accepted now."""
        self.number = 0
        self._is_given_up = self._deaf_sessions >= DEAF_SESSIONS
        self._keepalive_s = keepalive_s
        self._proved_at = self._heard_at = self._spoke_at = now
        self._sent_at = self._first_sent_at = None

    def spoke(self, now: float) -> None:
        """Note a packet of ours: the broker wants one within each keepalive, whatever comes from the other side."""
        self._spoke_at = now

    def heard(self, now: float) -> None:
        """Note bytes of any kind from the broker."""
        self._heard_at = now

    def proved(self, now: float) -> None:
        """Note a message that came over a subscription."""
        self._proved_at = self._heard_at = now
        self._sent_at = self._first_sent_at = None

    def returned(self, now: float) -> None:
        """Note that an echo of this session came back."""
        self.proved(now)
        self._is_proven = True

    def refuse(self) -> None:
        """Note that the broker said it will not give us echoes in this session."""
        self._is_given_up = True

    def send(self, now: float) -> bool:
        """Say whether an echo is due now, and count it as sent."""
        if self._is_given_up or now < self._next_at():
            return False
        self.number += 1
        self._sent_at = self._spoke_at = now
        if self._first_sent_at is None:
            self._first_sent_at = now
        return True

    def is_doubtful(self) -> bool:
        """Say whether PINGREQ shall be asked too: echoes are given up, or one had to be repeated.

        Its answer tells a broker that swallows echoes from a path that is dead.
        """
        return self._is_given_up or (self._sent_at is not None and self._sent_at != self._first_sent_at)

    def is_dead(self, now: float) -> bool:
        """Say whether the session must be replaced."""
        return now >= self._dead_at()

    def died(self) -> None:
        """Note that the session is replaced as dead.

        Three sessions that heard the broker after an echo was sent, and never an echo back since the
        process began: that is an ACL, not a dead path, and echoes are given up.
        """
        if not self._is_proven and self._first_sent_at is not None and self._heard_at > self._first_sent_at:
            self._deaf_sessions += 1
            self._is_given_up = self._is_given_up or self._deaf_sessions >= DEAF_SESSIONS

    def due_at(self, now: float) -> float:
        """The moment by which `send` and `is_dead` must be asked again."""
        if not self._is_given_up:
            return min(self._next_at(), self._dead_at())
        # paho sends PINGREQ when its loop is turned after a keepalive of silence, by its own reading of the clock.
        ping_at = self._heard_at + self._keepalive_s
        return ping_at if now < ping_at else min(self._dead_at(), now + ASK_RATIO * self._keepalive_s)

    def _next_at(self) -> float:
        first = min(self._proved_at, self._spoke_at) + FIRST_RATIO * self._keepalive_s
        return first if self._sent_at is None else max(first, self._sent_at + AGAIN_RATIO * self._keepalive_s)

    def _dead_at(self) -> float:
        since = self._heard_at if self._is_given_up else self._proved_at
        return since + DEAD_RATIO * self._keepalive_s
