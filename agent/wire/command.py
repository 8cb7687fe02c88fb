"""How a command's way is told on `command/<name>/result`: its states, the reasons for each, and the message itself.

Pure. What is told of one command always fits into one message, and no hardware address is in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from agent.wire.messages import Payload, encode

ON_THE_WAY = ("accepted", "running")
ENDINGS = ("succeeded", "failed", "rejected", "timed_out", "expired")
STATES = (*ON_THE_WAY, *ENDINGS)
REJECTED = (
    *("retained", "oversize", "malformed", "unknown_key", "bad_signature", "wrong_city", "wrong_ap", "wrong_kind", "wrong_boot"),
    *("unknown_command", "bad_arguments", "busy", "too_soon", "unsupported", "jump"),
)
# Of `failed`: the box could not; the command's own fault; the program that ran it ended before; too much to be told.
FAILED = ("unavailable", "internal", "interrupted", "too_large")
CODES = (*REJECTED, *FAILED, "timed_out", "expired")
LONGEST_AHEAD_S = 3600  # of a command's until_uptime_s: what is stolen today is dead tomorrow
OUTPUT_BYTES = 40_000
LONGEST_MESSAGE = 400

_ADDRESS = re.compile("(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}")
_STARS = "**:**:**:**:**:**"


def result(
    state: str,
    id: str | None = None,
    code: str = "",
    message: str = "",
    output: Mapping[str, object] | None = None,
    took_ms: int | None = None,
    verified: bool = True,
) -> Payload:
    """Make a result; what is not known or empty is left out. `verified`: False when no signature vouches for what was refused."""
    found = None if output is None else dict(output)
    named = {"id": id, "code": code or None, "message": message[:LONGEST_MESSAGE] or None, "output": found, "took_ms": took_ms}
    told: Payload = {"v": 1, "state": state} | {name: value for name, value in named.items() if value is not None}
    return told if verified else told | {"verified": False}


def ended(id: str, output: object, took_ms: int) -> Payload:
    """Make the result of a command that gave `output`: `failed` when that is not an object of at most OUTPUT_BYTES of JSON."""
    clean = starred(output)
    try:
        size = len(encode(clean)) if isinstance(clean, dict) else -1
    except (TypeError, ValueError):
        size = -1
    if not isinstance(clean, dict) or size < 0:
        return result("failed", id, "internal", "the command gave something that is not JSON", took_ms=took_ms)
    if size > OUTPUT_BYTES:
        return result("failed", id, "too_large", f"the output has {size} bytes, at most {OUTPUT_BYTES} are sent; ask for less", took_ms=took_ms)
    return result("succeeded", id, output=clean, took_ms=took_ms)


def starred(value: object) -> object:
    """Give the value with stars for every hardware address in its texts: the last net, for a command names nobody by it."""
    if isinstance(value, str):
        return _ADDRESS.sub(_STARS, value)
    if isinstance(value, Mapping):
        return {starred(name): starred(inner) for name, inner in value.items()}
    return [starred(inner) for inner in value] if isinstance(value, (list, tuple)) else value
