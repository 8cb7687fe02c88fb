"""One message of ubus, as bytes and back: the same from both ends of the socket. Pure; does not know who is at the other end.

8 bytes (version 0, type, sequence number, peer), then a blob of attributes: each 4 bytes (7 bits id, 24 bits length) and its value,
padded to 4; all big-endian (openwrt/ubus ubusmsg.h, libubus-io.c).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from agent.router.blobmsg import Malformed

MOST_BYTES = 1 << 20  # of the attributes of one message: UBUS_MAX_MSGLEN

HELLO, STATUS, DATA, PING, LOOKUP, INVOKE, ADD_OBJECT, REMOVE_OBJECT, SUBSCRIBE, UNSUBSCRIBE, NOTIFY, MONITOR = range(12)


class Attribute:
    """The ids of a message's attributes."""

    STATUS, PATH, OBJECT, METHOD, OBJECT_TYPE, SIGNATURE, DATA, TARGET, ACTIVE, NO_REPLY, SUBSCRIBERS, USER, GROUP = range(1, 14)


OK, INVALID_COMMAND, INVALID_ARGUMENT, METHOD_NOT_FOUND, NOT_FOUND, NO_DATA, PERMISSION_DENIED, TIMEOUT, NOT_SUPPORTED = range(9)
UNKNOWN_ERROR, CONNECTION_FAILED, NO_MEMORY, PARSE_ERROR, SYSTEM_ERROR = range(9, 14)

_WORDS = (
    "success",
    "invalid command",
    "invalid argument",
    "method not found",
    "not found",
    "no response",
    "permission denied",
    "request timed out",
    "operation not supported",
    "unknown error",
    "connection failed",
    "out of memory",
    "parsing message data failed",
    "system error",
)

_MESSAGE = struct.Struct(">BBHII")  # the last: the attributes' length with these 4 bytes
_HEAD = struct.Struct(">I")
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")
_WORDS_OF_32 = {Attribute.STATUS, Attribute.OBJECT, Attribute.OBJECT_TYPE, Attribute.TARGET}
_TEXTS = {Attribute.PATH, Attribute.METHOD, Attribute.USER, Attribute.GROUP}
_FLAGS = {Attribute.ACTIVE, Attribute.NO_REPLY}


class Message(NamedTuple):
    """One message; `body` the bytes of its attributes."""

    type: int
    seq: int
    peer: int
    body: bytes


class Body(NamedTuple):
    """A message's attributes, as far as they were sent; `data` is what `blobmsg.decode` reads."""

    status: int | None = None
    path: str | None = None
    object: int | None = None
    method: str | None = None
    data: bytes | None = None
    target: int | None = None
    active: bool | None = None
    no_reply: bool | None = None


_FIELDS = {
    Attribute.STATUS: "status",
    Attribute.PATH: "path",
    Attribute.OBJECT: "object",
    Attribute.METHOD: "method",
    Attribute.DATA: "data",
    Attribute.TARGET: "target",
    Attribute.ACTIVE: "active",
    Attribute.NO_REPLY: "no_reply",
}


def status_word(status: int) -> str:
    """Say a status as libubus does, in lower case."""
    return _WORDS[status] if 0 <= status < len(_WORDS) else f"unknown status {status}"


def pack(kind: int, seq: int, peer: int, attributes: Iterable[tuple[int, bytes | str | int]] = ()) -> bytes:
    """Write one message; each attribute an id and its value (bool 8 bits, int 32 bits unsigned, str, or bytes as they are)."""
    parts = [b""]
    for number, value in attributes:
        if isinstance(value, bool):
            raw = b"\1" if value else b"\0"
        elif isinstance(value, int):
            raw = _HEAD.pack(value)
        else:
            raw = value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape") + b"\0"
        length = 4 + len(raw)
        parts += _HEAD.pack(number << 24 | length), raw, _PADDING[length & 3]
    length = 4 + sum(map(len, parts))
    if length > MOST_BYTES:
        raise ValueError(f"a ubus message of {length} bytes, expected at most {MOST_BYTES}")
    parts[0] = _MESSAGE.pack(0, kind, seq, peer, length)
    return b"".join(parts)


def unpack(body: bytes) -> Body:
    """Read a message's attributes; unknown ones, and the signature of an object, are stepped over. Malformed when they are none."""
    fields: dict[str, object] = {}
    at, end = 0, len(body)
    while at < end:
        if end - at < 4:
            raise Malformed("a ubus attribute is shorter than its header")
        (head,) = _HEAD.unpack_from(body, at)
        stop = at + (head & 0xFFFFFF)
        start = at + 4
        if not start <= stop <= end:
            raise Malformed("a ubus attribute is longer than its message, or shorter than its header")
        number = head >> 24 & 0x7F
        if number in _FIELDS:
            fields[_FIELDS[number]] = _value(number, body[start:stop])
        at = stop + 3 & ~3
    return Body(**fields)  # type: ignore[arg-type]  # each value is of its field's type: _value


def _value(number: int, raw: bytes) -> object:
    if number in _WORDS_OF_32 and len(raw) == 4:
        return _HEAD.unpack(raw)[0]
    if number in _TEXTS and raw[-1:] == b"\0":
        return raw.partition(b"\0")[0].decode("utf-8", "surrogateescape")
    if number in _FLAGS and len(raw) == 1:
        return raw != b"\0"
    if number == Attribute.DATA:
        return raw
    raise Malformed(f"ubus attribute {number} has {len(raw)} bytes, or no end")


class Stream:
    """Messages out of bytes that come in pieces; holds at most one unfinished message and the piece it was given last."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, piece: bytes) -> list[Message]:
        """Take the next bytes and give the messages that they complete; Malformed (for good: begin anew) for what is no message of ubus."""
        rest = self._rest
        rest += piece
        messages: list[Message] = []
        at, end = 0, len(rest)
        while end - at >= 12:
            version, kind, seq, peer, head = _MESSAGE.unpack_from(rest, at)
            length = head & 0xFFFFFF
            if version or not 4 <= length <= MOST_BYTES:
                raise Malformed(f"a ubus message of version {version} and {length} bytes")
            stop = at + 8 + length
            if stop > end:
                break
            messages.append(Message(kind, seq, peer, bytes(memoryview(rest)[at + 12 : stop])))
            at = stop
        if at:
            del rest[:at]
        return messages
