"""What the messages look like: builders of what goes up, strict and bounded parsers of what comes down.

Touches no network. Every byte from outside is hostile: a parser gives a record or raises Malformed, and
never takes more than the bound it names.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, NoReturn

JSON = "application/json"
JSON_DEFLATE = "application/json+deflate"
DEFLATE_FIRST_BYTE = 0x78  # zlib with the full 32 KiB window (RFC 1950, 2.2); JSON never begins with it
MAX_DOWN_BYTES = 65_536
MAX_REPORT_BYTES = 131_072
MAX_MISSING = 4_096
MAX_INTEGER = 2**53 - 1  # beyond it JSON readers disagree (RFC 8259, 6)
MAX_DEPTH = 16  # of a signed message; a config needs seven levels

_HEX = frozenset("0123456789abcdef")

Payload = dict[str, object]
State = Literal["online", "lost", "offline"]


class Malformed(ValueError):
    """Bytes from outside are not the message their topic promises; the text says why and quotes none of them."""


class Ack(NamedTuple):
    """What the city has on disk of one boot: everything up to `through`, except the ranges `missing` (first and last, rising).

    A range may be as wide as `through`: intersect it with what is held, never count it out.
    """

    boot: str
    through: int
    missing: tuple[tuple[int, int], ...]


class Presence(NamedTuple):
    """What a `presence` says, and of which MQTT session of which boot; `is_safe`: the agent is online in safe mode."""

    state: State
    session: str
    boot: str
    is_safe: bool = False


class OwnPresence(NamedTuple):
    """Makes this agent's three `presence` payloads, each for one session; `wall` gives Unix seconds, None while the clock is unknown.

    `more`: what else the birth says.
    """

    boot: str
    agent: str
    wall: Callable[[], float | None]
    more: Callable[[], Payload] = dict

    def birth(self, session: str, /) -> bytes:
        """Say that this session is online."""
        at = self.wall()
        return encode(presence_birth(self.boot, session, None if at is None else int(at), self.agent) | self.more())

    def lost(self, session: str, /) -> bytes:
        """Say, as the will, that this session ended without a word."""
        return encode(presence_lost(self.boot, session))

    def stopped(self, session: str, /) -> bytes:
        """Say that the agent stopped on purpose."""
        return encode(presence_stopped(self.boot, session))


class Echo(NamedTuple):
    """The agent's own liveness test, heard back."""

    session: str
    number: int


def encode(message: Mapping[str, object]) -> bytes:
    """Give a message as compact JSON in valid UTF-8; ValueError for NaN and infinity, TypeError for what is not JSON.

    A lone surrogate (Python's stand-in for a byte that is not UTF-8) becomes the text of a backslash
    escape: as a JSON escape many readers would refuse the whole message (RFC 7493, 2.1).
    """
    text = _ENCODER.encode(message)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return "".join(f"\\\\u{ord(c):04x}" if "\ud800" <= c <= "\udfff" else c for c in text).encode()


def deflate(payload: bytes) -> bytes:
    """Compress an encoded report for a metered uplink; the first byte is always 0x78."""
    return zlib.compress(payload, 9)


def presence_birth(boot: str, session: str, at: float | None, agent: str) -> Payload:
    """Make the birth: the agent is connected (`at`: Unix seconds, None while the clock is unknown; `agent`: its version)."""
    return _present(v=1, state="online", boot=boot, session=session, at=at, agent=agent)


def presence_lost(boot: str, session: str) -> Payload:
    """Make the will, which the broker publishes when the connection is lost."""
    return _present(v=1, state="lost", boot=boot, session=session)


def presence_stopped(boot: str, session: str) -> Payload:
    """Make the farewell of a clean stop."""
    return _present(v=1, state="offline", reason="stopped", boot=boot, session=session)


def info(
    *,
    ap: str,
    model: str | None,
    board: str | None,
    os: str | None,
    kernel: str | None,
    agent: str,
    python: str,
    backend: str,
    collectors: Sequence[str],
    radios: Sequence[tuple[str, str | None]],
    commands: Sequence[str] = (),
    sections: Sequence[str] = (),
    uplink: str | None = None,
    certificate_expires_at: int | None = None,
    keys: Sequence[str] = (),
) -> Payload:
    """Make the description of an access point; `radios` are (name, band), `certificate_expires_at` is Unix seconds, None is left out."""
    return _present(
        v=1,
        ap=ap,
        model=model,
        board=board,
        os=os,
        kernel=kernel,
        agent=agent,
        python=python,
        backend=backend,
        commands=list(commands),
        sections=list(sections),
        collectors=list(collectors),
        radios=[_present(radio=name, band=band) for name, band in radios],
        uplink=uplink,
        certificate_expires_at=certificate_expires_at,
        keys=list(keys),
    )


def event(ap: str, boot: str, seq: int, at: float | None, uptime_s: float, kind: str, data: Mapping[str, object], clock: str | None = None) -> Payload:
    """Make an event; `at` is Unix seconds, None while the clock is unknown, and `clock` the trust in it."""
    return _present(v=1, ap=ap, boot=boot, seq=seq, at=at, uptime_s=round(uptime_s, 1), clock=clock, kind=kind, data=dict(data))


def alert(code: str, since: float | None, data: Mapping[str, object]) -> Payload:
    """Make an open alert; `since` is Unix seconds, None while the clock is unknown. An empty payload clears it."""
    return _present(v=1, code=code, since=since, data=dict(data))


def echo(session: str, number: int) -> Payload:
    """Make the agent's message to itself; `number` counts them within the session."""
    return _present(v=1, session=session, number=number)


def parse_ack(payload: bytes) -> Ack:
    """Read an `ack`, or raise Malformed."""
    message = _object(payload)
    boot, through = _hexadecimal(message, "boot"), _whole(message.get("through"), "through")
    ranges = message.get("missing", [])
    if not isinstance(ranges, list) or len(ranges) > MAX_MISSING:
        raise Malformed(f"missing is not a list of at most {MAX_MISSING} ranges")
    missing: list[tuple[int, int]] = []
    for place, pair in enumerate(ranges):
        if not isinstance(pair, list) or len(pair) != 2:
            raise Malformed(f"missing[{place}] is not a pair of numbers")
        first, last = _whole(pair[0], f"missing[{place}]"), _whole(pair[1], f"missing[{place}]")
        before = missing[-1][1] if missing else 0
        if not before < first <= last <= through:
            raise Malformed(f"missing[{place}] does not rise, or ends after through")
        missing.append((first, last))
    return Ack(boot, through, tuple(missing))


def parse_presence(payload: bytes) -> Presence:
    """Read a `presence`, or raise Malformed."""
    message = _object(payload)
    state = message.get("state")
    if state not in ("online", "lost", "offline"):
        raise Malformed("state is not online, lost or offline")
    is_safe = state == "online" and message.get("safe_mode") is True
    return Presence(state, _hexadecimal(message, "session"), _hexadecimal(message, "boot"), is_safe)


def parse_echo(payload: bytes) -> Echo:
    """Read an `echo`, or raise Malformed."""
    message = _object(payload)
    return Echo(_hexadecimal(message, "session"), _whole(message.get("number"), "number"))


def decode_report(payload: bytes, limit: int = MAX_REPORT_BYTES) -> Payload:
    """Read a `report`, plain or deflated, of at most `limit` bytes of JSON, or raise Malformed; its values are the reader's to check."""
    if payload[:1] == bytes((DEFLATE_FIRST_BYTE,)):
        payload = _inflate(payload, limit)
    return _load(payload, limit, _LENIENT)


def decode_strict(payload: bytes, limit: int) -> Payload:
    """Read a JSON object of at most `limit` bytes that every JSON reader understands alike, nested at most MAX_DEPTH deep, or raise Malformed."""
    message = _load(payload, limit, _STRICTEST)
    level: list[object] = [message]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _children(outer)]
    if level:
        raise Malformed("nested too deeply")
    return message


def _children(value: object) -> list[object]:
    """What a list or an object holds that may hold something itself."""
    inside: Iterable[object] = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [each for each in inside if isinstance(each, dict | list)]


def _present(**members: object) -> Payload:
    """A value that is not known is absent: not 0, not null."""
    return {name: value for name, value in members.items() if value is not None}


def _inflate(payload: bytes, limit: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        inflated = stream.decompress(payload, limit + 1)
    except zlib.error:
        raise Malformed("not a zlib stream") from None
    if len(inflated) > limit:
        raise Malformed(f"inflates to more than {limit} bytes")
    if not stream.eof or stream.unused_data:
        raise Malformed("the zlib stream is cut short, or something follows it")
    return inflated


def _object(payload: bytes) -> Payload:
    return _load(payload, MAX_DOWN_BYTES, _STRICT)


def _load(payload: bytes, limit: int, decoder: json.JSONDecoder) -> Payload:
    if len(payload) > limit:
        raise Malformed(f"{len(payload)} bytes, at most {limit} are read")
    try:
        message = decoder.decode(payload.decode())
        if b"\\ud" in payload or b"\\uD" in payload:
            # Escapes may pair up to a character or leave a lone surrogate, which no reader could write on.
            json.dumps(message, ensure_ascii=False).encode()
    except Malformed:
        raise
    except UnicodeError:
        raise Malformed("not UTF-8") from None
    except ValueError:  # also an integer of thousands of digits
        raise Malformed("not JSON") from None
    except RecursionError:
        raise Malformed("nested too deeply") from None
    if not isinstance(message, dict):
        raise Malformed("not a JSON object")
    return message


def _constant(name: str) -> NoReturn:
    raise Malformed("NaN or infinity is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0:
        raise Malformed("a number is too large")
    return number


def _integer(text: str) -> int:
    # Counted before it is read: reading an integer takes time with the square of its digits.
    if len(text) > 17 or not -MAX_INTEGER <= int(text) <= MAX_INTEGER:
        raise Malformed("a number is too large")
    return int(text)


def _unique(pairs: list[tuple[str, object]]) -> Payload:
    message = dict(pairs)
    if len(message) != len(pairs):
        raise Malformed("a name stands twice in one object")
    return message


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
# Readers of reports decode thousands a second: the hook for each object is kept for what comes down.
_LENIENT = json.JSONDecoder(parse_constant=_constant, parse_float=_finite)
_STRICT = json.JSONDecoder(parse_constant=_constant, parse_float=_finite, object_pairs_hook=_unique)
_STRICTEST = json.JSONDecoder(parse_constant=_constant, parse_float=_finite, parse_int=_integer, object_pairs_hook=_unique)


def _hexadecimal(message: Payload, name: str) -> str:
    value = message.get(name)
    if not isinstance(value, str) or len(value) != 16 or not _HEX.issuperset(value):
        raise Malformed(f"{name} is not 16 hex digits")
    return value


def _whole(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_INTEGER:
        raise Malformed(f"{name} is not a whole number from 0 to {MAX_INTEGER}")
    return value
