"""A message as a person can read it: inflated, its JSON taken apart, the claims of a signed one with stars for its keys.

Pure. What is shown never makes a terminal do anything: every character that does not print is spelled out.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from agent.wire import claims, jws, messages, topics
from fleet.quarantine import is_secret, spelled

LONGEST_RAW = 2_000
UNCHECKED = "signature not checked"
SIGNED = ("config/desired", "config/plan")
COMMAND, RESULT = "command/", "/result"


class Decoded(NamedTuple):
    """What a message says; `signed_by`: the id of the key that a signed one names; `fault`: why it is not what its topic promises, with its bytes in `raw`."""

    message: object = None
    signed_by: str | None = None
    fault: str | None = None
    raw: str = ""


def decode(below: str, payload: bytes) -> Decoded:
    """Take a payload apart (`below`: its topic below the access point's root)."""
    if not payload:
        return Decoded(fault="empty: nothing is retained here any more" if _is_retained(below) else "empty")
    try:
        if below in SIGNED or (below.startswith(COMMAND) and not below.endswith(RESULT)):
            signed = jws.parse(payload)
            return Decoded(_starred(signed.payload), signed.kid)
        return Decoded(_starred(messages.decode_report(payload)))
    except (jws.Refused, messages.Malformed) as error:
        return Decoded(fault=str(error), raw=spelled(payload[:LONGEST_RAW].decode(errors="replace")))


def _starred(value: object) -> object:
    """Give the value with stars for secrets, whose name tells them; addresses stay: whoever looks for who sends them must see them."""
    try:
        return _without_secrets(value)
    except RecursionError:
        raise messages.Malformed("nested too deeply") from None


def _without_secrets(value: object) -> object:
    if isinstance(value, dict):
        return {name: claims.STARS if is_secret(name) else _without_secrets(inner) for name, inner in value.items()}
    return [_without_secrets(inner) for inner in value] if isinstance(value, list) else value


def line(at: str, ap: str, below: str, decoded: Decoded, is_retained: bool, is_pretty: bool) -> str:
    """Give the text of one message: one line, or with `is_pretty` its JSON over several."""
    notes = [note for note, is_so in (("retained", is_retained), (f"kid {decoded.signed_by}, {UNCHECKED}", decoded.signed_by is not None)) if is_so]
    head = "  ".join([at, spelled(ap), spelled(below), *(f"({note})" for note in notes)])
    if decoded.fault is not None:
        return f"{head}  not understood: {decoded.fault}" + (f": {decoded.raw}" if decoded.raw else "")
    if not is_pretty:
        return f"{head}  {safe_json(decoded.message)}"
    return f"{head}\n{safe_json(decoded.message, 2)}"


def document(at: float, ap: str, below: str, decoded: Decoded, is_retained: bool) -> dict[str, object]:
    """Give one message for `--json`; what does not apply is absent."""
    made: dict[str, object] = {"at": round(at, 3), "ap": ap, "topic": below, "retained": is_retained, "message": decoded.message}
    made |= {"kid": decoded.signed_by, "signature": UNCHECKED if decoded.signed_by else None, "fault": decoded.fault, "raw": decoded.raw or None}
    return {name: value for name, value in made.items() if value is not None}


def safe_json(value: object, indent: int | None = None) -> str:
    """Give JSON in which every character prints: others stand as JSON's own escapes."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, separators=(",", ":") if indent is None else None)
    return text if text.isprintable() else "".join(c if c.isprintable() or c == "\n" else _escape(c) for c in text)


def _escape(c: str) -> str:
    number = ord(c)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\u{0xD800 + ((number - 0x10000) >> 10):04x}\\u{0xDC00 + (number & 0x3FF):04x}"


def _is_retained(below: str) -> bool:
    topic = topics.lookup(below)
    return topic is not None and topic.retained
