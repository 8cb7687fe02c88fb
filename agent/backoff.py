"""When to connect again: full jitter, and the broker's reason codes obeyed. Holds no timer and no socket.

Promises that a fleet which lost its broker comes back spread out, soon after a short outage and within
a minute after a long one, and that nothing here ever gives up.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Literal

Pace = Literal["jitter", "taken", "denied", "busy", "now"]

BASE_S = 3.0
SHORT_CAP_S = 10.0
LONG_CAP_S = 60.0
SHORT_OUTAGE_S = 300.0
STABLE_S = 300.0
# A session this short is a refusal in disguise: it must not make a long outage a short one again.
BRIEF_S = 10.0
DOUBLINGS = 8

# What the other paces wait: uniform between the two, in seconds.
WAITS_S: dict[Pace, tuple[float, float]] = {
    "taken": (60.0, 60.0),  # whoever took the session keeps it for a minute: two routers with one name must not swing
    "denied": (60.0, 300.0),  # the credential is kept: a mistake in the city's ACL heals without a visit
    "busy": (20.0, 60.0),
    "now": (0.0, 0.0),
}

# MQTT 5 reason codes of CONNACK, PUBACK and DISCONNECT (2.4), with the pace each asks for. 3.1.1's are translated in agent.session.
# "Use another server" and "server moved" are not obeyed: a broker could send the whole fleet away for good.
REASONS: dict[int, tuple[str, Pace]] = {
    0x80: ("unspecified error", "jitter"),
    0x81: ("malformed packet", "jitter"),
    0x82: ("protocol error", "jitter"),
    0x83: ("implementation specific error", "jitter"),
    0x84: ("unsupported protocol version", "jitter"),
    0x85: ("client identifier not valid", "denied"),
    0x86: ("bad user name or password", "denied"),
    0x87: ("not authorized", "denied"),
    0x88: ("server unavailable", "busy"),
    0x89: ("server busy", "busy"),
    0x8A: ("banned", "denied"),
    0x8B: ("server shutting down", "jitter"),
    0x8C: ("bad authentication method", "denied"),
    0x8D: ("keep alive timeout", "jitter"),
    0x8E: ("session taken over", "taken"),
    0x90: ("topic name invalid", "jitter"),
    0x93: ("receive maximum exceeded", "jitter"),
    0x95: ("packet too large", "jitter"),
    0x96: ("message rate too high", "busy"),
    0x97: ("quota exceeded", "busy"),
    0x98: ("administrative action", "jitter"),
    0x99: ("payload format invalid", "jitter"),
    0x9A: ("retain not supported", "jitter"),
    0x9B: ("QoS not supported", "jitter"),
    0x9C: ("use another server", "jitter"),
    0x9D: ("server moved", "jitter"),
    0x9F: ("connection rate exceeded", "busy"),
    0xA0: ("maximum connect time", "jitter"),
}


def pace(code: int) -> Pace:
    """Say how a reason code asks us to come back."""
    return REASONS[code][1] if code in REASONS else "jitter"


def words(code: int) -> str:
    """Say a reason code in words."""
    return f"{REASONS[code][0]} (0x{code:02x})" if code in REASONS else f"reason 0x{code:02x}"


def uniform(low: float, high: float) -> float:
    """Draw a number between the two; the kernel's randomness, because the random module costs memory for this one call."""
    return low + (high - low) * int.from_bytes(os.urandom(4), "big") / 0xFFFFFFFF


class Backoff:
    """The wait before each next attempt. All moments are monotonic seconds, given by the caller."""

    def __init__(self, draw: Callable[[float, float], float] = uniform) -> None:
        self._draw = draw
        self._failures = 0
        self._down_since: float | None = None
        self._up_since: float | None = None

    def connected(self, now: float) -> None:
        """Note that a session began."""
        self._up_since = now

    def wait_s(self, now: float, pace: Pace = "jitter") -> float:
        """Note that a session ended or an attempt failed; say how many seconds to wait before the next."""
        if self._up_since is not None:
            lasted = now - self._up_since
            self._up_since = None
            if lasted >= BRIEF_S:
                self._down_since = now
            if lasted >= STABLE_S:
                self._failures = 0
        if self._down_since is None:
            self._down_since = now
        if pace in WAITS_S:
            return self._draw(*WAITS_S[pace])
        cap = SHORT_CAP_S if now - self._down_since < SHORT_OUTAGE_S else LONG_CAP_S
        ceiling = min(cap, BASE_S * 2**self._failures)
        self._failures = min(self._failures + 1, DOUBLINGS)
        return self._draw(0.0, ceiling)
