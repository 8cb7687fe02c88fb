"""ubus's messages as bytes and back."""

from __future__ import annotations

import struct
import tracemalloc

import pytest

from agent.router import blobmsg
from agent.router import ubus_message as wire
from agent.router.blobmsg import Malformed
from agent.router.ubus_message import Attribute, Body, Message, Stream
from tests.router.ubus_recordings import NAMES, recording

_EVERY_ATTRIBUTE: tuple[tuple[int, bytes | str | int], ...] = (
    (Attribute.STATUS, 4),
    (Attribute.PATH, "system"),
    (Attribute.OBJECT, 0xE0DF175E),
    (Attribute.METHOD, "board"),
    (Attribute.DATA, b"\1\2\3"),
    (Attribute.TARGET, 9),
    (Attribute.ACTIVE, True),
    (Attribute.NO_REPLY, False),
)


def test_what_is_packed_unpacks_to_itself() -> None:
    """Every attribute that we read survives both ways."""
    (message,) = Stream().feed(wire.pack(wire.DATA, 0xFFFF, 0xFFFFFFFF, _EVERY_ATTRIBUTE))
    assert wire.unpack(message.body) == Body(4, "system", 0xE0DF175E, "board", b"\1\2\3", 9, True, False)


def test_the_header_survives_both_ways() -> None:
    """Type, sequence number and peer come back."""
    assert Stream().feed(wire.pack(wire.INVOKE, 0x1234, 0x89ABCDEF)) == [Message(wire.INVOKE, 0x1234, 0x89ABCDEF, b"")]


@pytest.mark.parametrize("sender", ["client", "ubusd"])
@pytest.mark.parametrize("name", NAMES)
def test_recorded_messages_are_the_same_however_they_are_split(name: str, sender: str) -> None:
    """Byte by byte gives what the whole gives."""
    raw = recording(name).sent(sender)
    whole, stream = Stream(), Stream()
    assert [message for at in range(len(raw)) for message in stream.feed(raw[at : at + 1])] == whole.feed(raw)


def test_a_piece_may_end_in_the_middle_of_the_next_message() -> None:
    """Pieces of any size give the same messages: what is left of one piece belongs to the next."""
    raw = b"".join(wire.pack(wire.DATA, seq, 7, _EVERY_ATTRIBUTE) for seq in range(3))
    for size in range(1, len(raw)):
        stream = Stream()
        messages = [message for at in range(0, len(raw), size) for message in stream.feed(raw[at : at + size])]
        assert messages == Stream().feed(raw), f"pieces of {size} bytes"


@pytest.mark.parametrize("name", [name for name in NAMES if recording(name).sent("client")])
def test_recorded_requests_pack_to_their_bytes(name: str) -> None:
    """What `ubus` sent, read and written again, is the same to the byte."""
    raw = recording(name).sent("client")
    again = b""
    for message in Stream().feed(raw):
        body = wire.unpack(message.body)
        fields = ((Attribute.STATUS, body.status), (Attribute.PATH, body.path), (Attribute.OBJECT, body.object), (Attribute.METHOD, body.method))
        table = None if body.data is None else blobmsg.encode(blobmsg.decode(body.data))
        values = (*fields, (Attribute.DATA, table), (Attribute.TARGET, body.target))
        again += wire.pack(message.type, message.seq, message.peer, [(number, value) for number, value in values if value is not None])
    assert again == raw


def test_unknown_attributes_are_stepped_over() -> None:
    """What a later ubusd adds does not disturb what we know."""
    (message,) = Stream().feed(wire.pack(wire.STATUS, 1, 0, ((99, b"new"), (Attribute.STATUS, 4), (Attribute.USER, "root"))))
    assert wire.unpack(message.body) == Body(status=4)


def test_a_signature_is_stepped_over_unread() -> None:
    """The methods of an object may be described as they like."""
    (message,) = Stream().feed(wire.pack(wire.DATA, 1, 0, ((Attribute.SIGNATURE, b"\xff" * 100), (Attribute.PATH, "system"))))
    assert wire.unpack(message.body) == Body(path="system")


def test_the_largest_message_is_taken() -> None:
    """1 MiB is what ubus itself allows."""
    raw = wire.pack(wire.DATA, 1, 2, ((Attribute.DATA, bytes(wire.MOST_BYTES - 8)),))
    stream = Stream()
    pieces = [stream.feed(raw[at : at + 4093]) for at in range(0, len(raw), 4093)]
    assert len(pieces[-1][0].body) == wire.MOST_BYTES - 4


def test_a_larger_message_is_not_packed() -> None:
    """What nobody would take is not sent."""
    with pytest.raises(ValueError, match="bytes"):
        wire.pack(wire.DATA, 1, 2, ((Attribute.DATA, bytes(wire.MOST_BYTES - 4)),))


@pytest.mark.parametrize(
    "raw",
    [
        struct.pack(">BBHII", 1, wire.DATA, 1, 0, 4),
        struct.pack(">BBHII", 0, wire.DATA, 1, 0, 3),
        struct.pack(">BBHII", 0, wire.DATA, 1, 0, 0),
        struct.pack(">BBHII", 0, wire.DATA, 1, 0, wire.MOST_BYTES + 1),
        struct.pack(">BBHII", 0, wire.DATA, 1, 0, 0xFFFFFF),
        b"HTTP/1.1 400 Bad Request\r\n",
    ],
)
def test_a_header_that_is_none_is_malformed(raw: bytes) -> None:
    """Refused by its first 12 bytes, before anything it announces is waited for."""
    with pytest.raises(Malformed):
        Stream().feed(raw)


@pytest.mark.parametrize(
    "body",
    [
        b"\1",
        b"\1\0\0\3",
        b"\1\0\0\0",
        b"\1\0\0\x09\0\0\0\0",
        b"\1\0\0\7\0\0\0\0",
        b"\2\0\0\4",
        b"\2\0\0\x08abcd",
        b"\x0a\0\0\4",
        b"\7\xff\xff\xff",
    ],
)
def test_attributes_that_lie_are_malformed(body: bytes) -> None:
    """Lengths that do not fit, numbers of another width and texts without end are refused."""
    with pytest.raises(Malformed):
        wire.unpack(body)


def test_a_stream_without_end_holds_one_message_at_most() -> None:
    """Whatever comes, what is kept is less than the largest message and the last piece."""
    head = struct.pack(">BBHII", 0, wire.DATA, 1, 0, wire.MOST_BYTES)
    stream, piece = Stream(), bytes(32768)
    tracemalloc.start()
    try:
        for _ in range(20):
            stream.feed(head)
            for _ in range((wire.MOST_BYTES - 4) // len(piece)):
                stream.feed(piece)
            stream.feed(piece[: (wire.MOST_BYTES - 4) % len(piece)])
        assert tracemalloc.get_traced_memory()[1] < 4 * wire.MOST_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("number", "word"), [(0, "success"), (4, "not found"), (13, "system error"), (14, "unknown status 14"), (-1, "unknown status -1")])
def test_each_status_has_a_word(number: int, word: str) -> None:
    """As libubus says it; a number it does not know is shown."""
    assert wire.status_word(number) == word
