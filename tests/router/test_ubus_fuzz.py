"""Hostile bytes on the ubus socket: no crash, no hang, no unbounded memory. Seeded: each run tries the same cases."""

from __future__ import annotations

import itertools
import os
import random
import socket
import struct
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from agent.errors import Unavailable
from agent.router import blobmsg
from agent.router import ubus_message as wire
from agent.router.blobmsg import Malformed
from agent.router.ubus import Call, Ubus
from agent.router.ubus_message import Message, Stream
from tests.replayed import counted
from tests.router.ubus_recordings import NAMES, recording
from tests.router.ubusd import HELLO, Ubusd

# Bytes are the same under every Python.
pytestmark = pytest.mark.once

PARTS = 8
CASES = 100_000
SOCKET_CASES = 400
_SMALL = 1500


class _Samples(NamedTuple):
    """Every recorded message, and those again that hold a table."""

    messages: list[Message]
    tables: list[Message]


def _samples() -> _Samples:
    """The large ones seldom: one takes the time of fifty."""
    recorded = (recording(name).sent(sender) for name in NAMES for sender in ("client", "ubusd"))
    every = sorted({message for raw in recorded for message in Stream().feed(raw)})
    often = [message for message in every for _ in range(1 if len(message.body) > _SMALL else 20)]
    return _Samples(often, [message for message in often if wire.unpack(message.body).data])


def _with_header(message: Message, body: bytes) -> bytes:
    return struct.pack(">BBHII", 0, message.type, message.seq, message.peer, len(body) + 4) + body


def _flip(raw: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 1, 2, 8))):
        raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)


def _truncate(raw: bytearray, chance: random.Random) -> None:
    del raw[chance.randrange(len(raw)) :]


def _cut_out(raw: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(raw))
    del raw[at : at + chance.randint(1, 16)]


def _lie_about_a_length(raw: bytearray, chance: random.Random) -> None:
    # Lengths stand at multiples of 4, in the lower 3 bytes.
    at = chance.randrange(len(raw) // 4) * 4
    lie = chance.choice((0, 1, 3, 4, 7, 8, 0xFF, 0xFFFF, 0xFFFFFF, len(raw), chance.randrange(1 << 24)))
    raw[at + 1 : at + 4] = lie.to_bytes(3, "big")


def _scribble(raw: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(raw))
    raw[at : at + 16] = chance.randbytes(16)


def _double(raw: bytearray, chance: random.Random) -> None:
    raw += raw[chance.randrange(len(raw)) :]


_MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (_flip, _truncate, _cut_out, _lie_about_a_length, _scribble, _double)


def _damaged(raw: bytes, chance: random.Random) -> bytes:
    damaged = bytearray(raw)
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        if len(damaged) >= 4:
            chance.choice(_MUTATIONS)(damaged, chance)
    return bytes(damaged)


def _case(samples: _Samples, chance: random.Random) -> bytes:
    """Damage a table, a message's attributes or its header; what is around it stays true, or nothing would look inside."""
    depth = chance.randrange(20)
    if depth == 0:
        return chance.randbytes(chance.randint(1, 200))
    if depth < 5:
        message = chance.choice(samples.messages)
        return _damaged(_with_header(message, message.body), chance)
    if depth < 9:
        message = chance.choice(samples.messages)
        return _with_header(message, _damaged(message.body, chance))
    message = chance.choice(samples.tables)
    table = _damaged(wire.unpack(message.body).data or b"", chance)
    return wire.pack(message.type, message.seq, message.peer, ((wire.Attribute.OBJECT, message.peer), (wire.Attribute.DATA, table)))


def _pieces(raw: bytes, chance: random.Random) -> Iterator[bytes]:
    cuts = sorted(chance.randrange(len(raw) + 1) for _ in range(chance.randrange(3)))
    for start, stop in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        yield raw[start:stop]


def _read(raw: bytes, chance: random.Random) -> list[Message]:
    """Read as the connection does, down to the tables; what is malformed ends it."""
    stream = Stream()
    messages: list[Message] = []
    try:
        for piece in _pieces(raw, chance):
            for message in stream.feed(piece):
                messages.append(message)
                body = wire.unpack(message.body)
                if body.data is not None:
                    blobmsg.decode(body.data)
    except Malformed:
        pass
    return messages


@pytest.mark.parametrize("part", range(PARTS))
def test_the_parser_survives_everything(part: int, record_property: Callable[[str, object], None]) -> None:
    """Broken bytes give whole messages or Malformed, nothing else, and no message that was not in them."""
    chance = random.Random(part)
    samples = _samples()
    for _ in range(CASES // PARTS):
        raw = _case(samples, chance)
        messages = _read(raw, chance)
        assert sum(12 + len(message.body) for message in messages) <= len(raw), raw.hex()
    record_property(counted("ubus parser fuzz cases"), CASES // PARTS)


def _hostile(samples: _Samples) -> Callable[[socket.socket], None]:
    """A ubusd that greets, or does not, and then says anything at all."""
    seeds = itertools.count()

    def talk(connection: socket.socket) -> None:
        chance = random.Random(next(seeds))
        connection.settimeout(0.2)
        if chance.randrange(8):
            connection.sendall(HELLO)
            connection.recv(65536)
        for _ in range(chance.randint(0, 4)):
            # Often to the request that was asked: number 1 of no peer.
            raw = bytearray(_case(samples, chance))
            if chance.randrange(2) and len(raw) >= 8:
                raw[:8] = struct.pack(">BBHI", 0, chance.choice((wire.STATUS, wire.DATA)), 1, 0)
            connection.sendall(raw)
        if chance.randrange(3) == 0:
            connection.recv(65536)  # hold it open, silently

    return talk


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_hostile_ubusd_does_no_harm(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """Each call ends, with an answer or with Unavailable, near its deadline, and no descriptor stays open."""
    leaps = itertools.count(0, 60)
    with Ubusd(str(tmp_path / "ubus.sock"), _hostile(_samples())) as ubusd:
        ubus = Ubus(ubusd.path, 0.05, monotonic=lambda: float(next(leaps)))
        before = _descriptors()
        for number in range(SOCKET_CASES):
            began = time.monotonic()
            try:
                assert isinstance(ubus.call_all([Call("system", "board"), Call("system", "info", {"n": number})]), list)
                ubus.lookup("hostapd.*")
                ubus.listen(["*"])
                ubus.drain()
            except Unavailable as error:
                assert str(error).startswith("ubus ")
            # Far above any deadline here: this is about hanging, not about speed.
            assert time.monotonic() - began < 30
            ubus.close()
        assert ubus.fileno() == -1
    assert _descriptors() <= before
    record_property(counted("ubus socket fuzz cases"), SOCKET_CASES)


def _endless(unit: bytes) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        connection.sendall(HELLO)
        connection.recv(65536)
        unit_many = unit * (65536 // len(unit) + 1)
        while True:
            connection.sendall(unit_many)

    return talk


@pytest.mark.parametrize(
    "unit",
    [
        wire.pack(wire.DATA, 1, 0, ((wire.Attribute.PATH, "system"),)),
        wire.pack(wire.DATA, 9, 9),
        wire.pack(wire.INVOKE, 1, 0, ((wire.Attribute.OBJECT, 5), (wire.Attribute.METHOD, "event"))),
        wire.pack(wire.DATA, 1, 0, ((wire.Attribute.DATA, bytes(wire.MOST_BYTES - 8)),)),
        wire.pack(wire.PING, 0, 0),
        HELLO,
    ],
    ids=["answers", "strangers", "events", "megabytes", "pings", "greetings"],
)
@pytest.mark.once
def test_a_stream_without_end_ends_the_call(tmp_path: Path, unit: bytes) -> None:
    """A peer that never comes to an end is dropped, and has filled no memory."""
    with Ubusd(str(tmp_path / "ubus.sock"), _endless(unit)) as ubusd:
        ubus = Ubus(ubusd.path, 20.0)
        tracemalloc.start()
        try:
            with pytest.raises(Unavailable, match="ubus system board: more than"):
                ubus.call("system", "board")
            assert tracemalloc.get_traced_memory()[1] < 48 << 20  # the server's share, in the same process, is of some megabytes
        finally:
            tracemalloc.stop()
            ubus.close()
