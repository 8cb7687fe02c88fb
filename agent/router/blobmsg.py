"""blobmsg, the binary form of a table on ubus, both ways. Pure: it reads and writes bytes, and takes none of them on trust.

An attribute is 4 bytes (1 bit extended, 7 bits type, 24 bits length with this header), 2 bytes length of the name, the name with a NUL,
padding to 4, the value, padding to 4; all big-endian (openwrt/libubox blobmsg.c).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

# Some real reply of netifd nests 7 deep; Python's own stack is what a hostile one aims at.
MOST_DEPTH = 32
MOST_BYTES = (1 << 24) - 1
MOST_NAME_BYTES = (1 << 16) - 1

UNSPEC, ARRAY, TABLE, STRING, INT64, INT32, INT16, INT8, DOUBLE = range(9)

NOTHING: frozenset[str] = frozenset()

_EXTENDED = 0x80000000
_LENGTH = 0x00FFFFFF
_HEAD = struct.Struct(">IH")
_INT64 = struct.Struct(">q")
_INT32 = struct.Struct(">i")
_INT16 = struct.Struct(">h")
_DOUBLE = struct.Struct(">d")
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")


class Malformed(ValueError):
    """These bytes are no blobmsg, or none within our bounds."""


class Int64(int):
    """A number to be sent as 64 bits however small it is."""


class Int16(int):
    """A number to be sent as 16 bits."""


def unsigned(number: int) -> int:
    """Give a 32-bit counter as it was counted: blobmsg has no sign, and `decode` takes every number as signed, as `ubus call` prints it."""
    return number + (1 << 32) if number < 0 else number


def encode(table: Mapping[str, object]) -> bytes:
    """Write the attributes of a table, without a header around them; ValueError or TypeError for what blobmsg cannot hold.

    None is UNSPEC, bool INT8, float DOUBLE; an int is INT32, or INT64 when it does not fit; `Int64` and `Int16` force a width.
    """
    return b"".join([_attribute(name, value, 1) for name, value in table.items()])


def _attribute(name: str, value: object, depth: int) -> bytes:
    kind, payload = _payload(value, depth)
    label = name.encode("utf-8", "surrogateescape")
    name_length = len(label)
    if b"\0" in label or name_length > MOST_NAME_BYTES:
        raise ValueError(f"a blobmsg name of {name_length} bytes, expected at most {MOST_NAME_BYTES} without NUL")
    label += b"\0" + _PADDING[name_length + 3 & 3]
    length = 6 + len(label) + len(payload)
    if length > MOST_BYTES:
        raise ValueError(f"a blobmsg attribute of {length} bytes, expected at most {MOST_BYTES}")
    return _HEAD.pack(_EXTENDED | kind << 24 | length, name_length) + label + payload + _PADDING[length & 3]


def _payload(value: object, depth: int) -> tuple[int, bytes]:
    if isinstance(value, str):
        raw = value.encode("utf-8", "surrogateescape")
        if b"\0" in raw:
            raise ValueError("a blobmsg string holds no NUL")
        return STRING, raw + b"\0"
    if isinstance(value, bool):
        return INT8, b"\1" if value else b"\0"
    if isinstance(value, int):
        return _whole(value)
    if isinstance(value, float):
        return DOUBLE, _DOUBLE.pack(value)
    if value is None:
        return UNSPEC, b""
    if depth >= MOST_DEPTH:
        raise ValueError(f"a blobmsg table nested more than {MOST_DEPTH} deep")
    if isinstance(value, Mapping):
        return TABLE, b"".join([_attribute(name, one, depth + 1) for name, one in value.items()])
    if isinstance(value, (list, tuple)):
        return ARRAY, b"".join([_attribute("", one, depth + 1) for one in value])
    raise TypeError(f"blobmsg has no type for {type(value).__name__}")


def _whole(value: int) -> tuple[int, bytes]:
    if isinstance(value, Int16):
        kind, form, bits = INT16, _INT16, 16
    elif isinstance(value, Int64) or not -(1 << 31) <= value < 1 << 31:
        kind, form, bits = INT64, _INT64, 64
    else:
        kind, form, bits = INT32, _INT32, 32
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise ValueError(f"{value} does not fit blobmsg's {bits} bits")
    return kind, form.pack(value)


def decode(raw: bytes | memoryview, without: frozenset[str] = NOTHING) -> dict[str, object]:
    """Read the attributes of a table; Malformed when they are none. Numbers come signed, and attributes of unknown type are left out.

    Of two with the same name the later counts. Bytes of a text that are not UTF-8 become surrogates, as in `os.fsdecode`.
    `without`: what bears one of these names, at any depth, is stepped over unread, for most of a large answer is not wanted.
    """
    whole = raw if isinstance(raw, bytes) else bytes(raw)
    return _table(whole, 0, len(whole), 1, without)


def _table(raw: bytes, at: int, end: int, depth: int, without: frozenset[str]) -> dict[str, object]:
    table: dict[str, object] = {}
    while at < end:
        if end - at < 8:
            at = _plain(raw, at, end)
            continue
        head, name_length = _HEAD.unpack_from(raw, at)
        if head < _EXTENDED:
            at = _plain(raw, at, end)
            continue
        stop = at + (head & _LENGTH)
        name_end = at + 6 + name_length
        start = at + 4 + (name_length + 6 & ~3)
        if start > stop or stop > end or raw[name_end]:
            raise Malformed("an attribute is longer than what holds it, or its name has no end")
        kind = head >> 24 & 0x7F
        if kind <= DOUBLE:
            name = raw[at + 6 : name_end].decode("utf-8", "surrogateescape")
            if name not in without:
                table[name] = _value(raw, kind, start, stop, depth, without)
        at = stop + 3 & ~3
    return table


def _array(raw: bytes, at: int, end: int, depth: int, without: frozenset[str]) -> list[object]:
    array: list[object] = []
    while at < end:
        if end - at < 8:
            at = _plain(raw, at, end)
            continue
        head, name_length = _HEAD.unpack_from(raw, at)
        if head < _EXTENDED:
            at = _plain(raw, at, end)
            continue
        stop = at + (head & _LENGTH)
        start = at + 4 + (name_length + 6 & ~3)
        if start > stop or stop > end:
            raise Malformed("an attribute is longer than what holds it")
        kind = head >> 24 & 0x7F
        if kind <= DOUBLE:
            array.append(_value(raw, kind, start, stop, depth, without))
        at = stop + 3 & ~3
    return array


def _plain(raw: bytes, at: int, end: int) -> int:
    """Step over an attribute that has no name, which blobmsg does not use; Malformed when it is not even that."""
    length = int.from_bytes(raw[at + 1 : at + 4], "big")
    if end - at < 4 or raw[at] & 0x80 or not 4 <= length <= end - at:
        raise Malformed("an attribute is shorter than its header, or longer than what holds it")
    return at + length + 3 & ~3


def _value(raw: bytes, kind: int, start: int, stop: int, depth: int, without: frozenset[str]) -> object:
    size = stop - start
    if kind == INT32 and size == 4:
        return _INT32.unpack_from(raw, start)[0]
    if kind == INT64 and size == 8:
        return _INT64.unpack_from(raw, start)[0]
    if kind == INT8 and size == 1:
        return raw[start] != 0
    if kind == STRING and size and not raw[stop - 1]:
        text = raw[start : stop - 1].decode("utf-8", "surrogateescape")
        return text.partition("\0")[0] if "\0" in text else text
    if kind in (TABLE, ARRAY):
        if depth >= MOST_DEPTH:
            raise Malformed(f"a table is nested more than {MOST_DEPTH} deep")
        return (_table if kind == TABLE else _array)(raw, start, stop, depth + 1, without)
    if kind == INT16 and size == 2:
        return _INT16.unpack_from(raw, start)[0]
    if kind == DOUBLE and size == 8:
        return _DOUBLE.unpack_from(raw, start)[0]
    if kind == UNSPEC:
        return None
    raise Malformed(f"a value of type {kind} has {size} bytes, or no end")
