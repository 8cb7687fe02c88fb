"""Reports read, and what is kept of them written, by orjson where it is installed: its door.

The wire's own decoder stays the judge: whatever orjson does not take is read again by that one, so that both ways end with the same verdict.
"""

from __future__ import annotations

from typing import Any

from agent.wire import messages

try:
    import orjson as _installed
except ImportError:  # an architecture without a wheel: all the same, more slowly
    _installed = None  # type: ignore[assignment]

quick: Any = _installed


def read_report(payload: bytes) -> messages.Payload:
    """Read a report as messages.decode_report does. A whole number beyond 64 bits may come as a float: the contract has none so large."""
    if quick is not None and payload[:1] == b"{" and len(payload) <= messages.MAX_REPORT_BYTES:
        try:
            return quick.loads(payload)  # type: ignore[no-any-return]  # it begins as an object, so it is one
        except ValueError:
            pass
    return messages.decode_report(payload)


def written(message: messages.Payload) -> str:
    """Give a message without infinite numbers as compact JSON."""
    if quick is not None:
        try:
            return quick.dumps(message).decode()  # type: ignore[no-any-return]
        except TypeError:  # a lone surrogate
            pass
    return messages.encode(message).decode()
