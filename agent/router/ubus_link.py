"""The connection to ubusd: made when it is first needed, made anew after anything went wrong on it, with a deadline around all of it.

Knows messages, sequence numbers and peers; not what objects and methods mean.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from agent.router import ubus_message as wire
from agent.router.blobmsg import Malformed
from agent.router.ubus_message import Body, Message, Stream

RECEIVE_BYTES = 16384
MOST_ANSWER_BYTES = 2 << 20  # of everything that comes during one conversation; the largest message alone is half of it
MOST_BODIES = 1024  # messages of one answer: a lookup of everything gives one for each object, about 60
MOST_HEARD = 1024
MOST_HEARD_BYTES = 1 << 20
LEFT_ALONE_S = 5.0
ACCEPT_PAUSE_S = 0.02
_BUFFER = bytearray(RECEIVE_BYTES)
_VIEW = memoryview(_BUFFER)


class Request(NamedTuple):
    """What is asked: the answer comes with the same sequence number and the same `peer`."""

    kind: int
    peer: int
    attributes: tuple[tuple[int, bytes | str | int], ...] = ()


class Answer:
    """What came for one request; `status` None while its end has not come."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.bodies: list[Body] = []


class Link:
    """One connection at a time, whose `number` tells it from those before, and `lives` one ubusd from the next; `monotonic` is the clock of what is remembered.

    `is_whole` is False from before the first byte of a conversation until after its last: whatever ends it in between, a deadline, a
    fault or an interruption, the connection is not used again, so that no answer that comes late is taken for another's.
    """

    def __init__(self, path: str, monotonic: Callable[[], float]) -> None:
        self._path = path
        self._monotonic = monotonic
        self._link: socket.socket | None = None
        self._stream = Stream()
        self._seq = 0
        self._left_alone_until: float | None = None
        self._heard_bytes = 0
        self.is_whole = False
        self.number = 0
        self.lives = 0
        self._file: tuple[int, int] | None = None
        self.heard: list[Message] = []

    def converse(self, requests: Sequence[Request], until: float) -> list[Answer]:
        """Send all requests and take what comes until each has its answer; at the deadline those without stay without.

        OSError when there is no connection or it ended (TimeoutError when it was not made in time), Malformed when what came is none of ubus's.
        """
        link = self._ready(until)
        answers = [Answer() for _ in requests]
        waiting: dict[tuple[int, int], Answer] = {}
        packed = []
        for request, answer in zip(requests, answers, strict=True):
            self._seq = self._seq + 1 & 0xFFFF
            waiting[self._seq, request.peer] = answer
            packed.append(wire.pack(request.kind, self._seq, request.peer, request.attributes))
        self.is_whole = False
        try:
            link.settimeout(_left(until))
            link.sendall(b"".join(packed))
            self._receive(link, waiting, until)
        except TimeoutError:
            self.drop()
        except (OSError, Malformed):
            self.drop()
            raise
        else:
            self.is_whole = True
        return answers

    def listen(self) -> None:
        """Move what has come to `heard`, without waiting; a connection that has ended, or was left in the middle, is dropped."""
        if not (self._link and self.is_whole):
            self.drop()
            return
        self.is_whole = False
        self._link.settimeout(0)
        try:
            for _ in range(MOST_ANSWER_BYTES // RECEIVE_BYTES):
                self._take(self._stream.feed(_piece(self._link)), {})
        except BlockingIOError:
            self.is_whole = True
        except (OSError, Malformed):
            self.drop()
        else:
            self.is_whole = True

    def send(self, raw: bytes) -> None:
        """Send our own answers without waiting; the connection is whole afterwards, or dropped when they cannot be sent."""
        if not self._link:
            return
        self.is_whole = False
        try:
            self._link.settimeout(0)
            self._link.sendall(raw)
        except OSError:
            self.drop()
        else:
            self.is_whole = True

    def forget_heard(self) -> None:
        """Make room for more."""
        self.heard.clear()
        self._heard_bytes = 0

    def fileno(self) -> int:
        """Give the descriptor of the connection, -1 when there is none."""
        return self._link.fileno() if self._link else -1

    def drop(self) -> None:
        """End the connection."""
        self.is_whole = False
        if self._link:
            self._link.close()
            self._link = None

    def _receive(self, link: socket.socket, waiting: dict[tuple[int, int], Answer], until: float) -> None:
        """Take what comes until nothing is waited for."""
        room = MOST_ANSWER_BYTES
        while waiting:
            link.settimeout(_left(until))
            piece = _piece(link)
            room -= len(piece)
            if room < 0:
                raise Malformed(f"more than {MOST_ANSWER_BYTES} bytes for an answer")
            self._take(self._stream.feed(piece), waiting)

    def _take(self, messages: list[Message], waiting: dict[tuple[int, int], Answer]) -> None:
        for message in messages:
            if message.type == wire.DATA or message.type == wire.STATUS:
                answer = waiting.get((message.seq, message.peer))
                if answer is None:
                    continue
                body = wire.unpack(message.body)
                if message.type == wire.DATA:
                    if len(answer.bodies) >= MOST_BODIES:
                        raise Malformed(f"more than {MOST_BODIES} messages for an answer")
                    answer.bodies.append(body)
                elif body.status is None:
                    raise Malformed("a ubus status without a number")
                else:
                    answer.status = body.status
                    del waiting[message.seq, message.peer]
            elif message.type == wire.INVOKE or message.type == wire.UNSUBSCRIBE:
                self._heard_bytes += len(message.body)
                if len(self.heard) >= MOST_HEARD or self._heard_bytes > MOST_HEARD_BYTES:
                    raise Malformed(f"more than {MOST_HEARD} events or {MOST_HEARD_BYTES} bytes of them")
                self.heard.append(message)

    def _ready(self, until: float) -> socket.socket:
        """Give a connection on which nothing is under way."""
        if self._link and self.is_whole:
            return self._link
        self.drop()
        now = self._monotonic()
        if self._left_alone_until is not None and now < self._left_alone_until:
            raise TimeoutError(errno.ETIMEDOUT, "gave no answer a moment ago")
        _left(until)  # no time is no reason to leave it alone
        # Noted beforehand, for whatever interrupts it: a ubusd that is stopped must not cost every collector its time.
        self._left_alone_until = now + LEFT_ALONE_S
        try:
            link = self._connect(until)
        except TimeoutError:
            raise
        except (OSError, Malformed):
            self._left_alone_until = None
            raise
        self._left_alone_until = None
        self.is_whole = True
        return link

    def _connect(self, until: float) -> socket.socket:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Each ubusd binds a socket of its own. A connection that we dropped, because an object hung, is no new ubusd.
            made = os.stat(self._path)
            file = made.st_ino, made.st_ctime_ns
            _dial(link, self._path, until)
            self._seq = 0
            self._stream = Stream()
            self.forget_heard()
            messages: list[Message] = []
            while not messages:
                link.settimeout(_left(until))
                messages = self._stream.feed(_piece(link))
            if messages[0].type != wire.HELLO:
                raise Malformed(f"a ubus message of type {messages[0].type}, expected a greeting")
            self.number += 1
            if file != self._file:
                self._file = file
                self.lives += 1
            self._link = link
        except BaseException:
            link.close()
            raise
        return link


def _dial(link: socket.socket, path: str, until: float) -> None:
    """Connect; a ubusd that is stopped leaves its queue full, for which there is no waiting but asking again."""
    while True:
        link.settimeout(_left(until))
        try:
            return link.connect(path)
        except BlockingIOError:
            time.sleep(min(ACCEPT_PAUSE_S, _left(until)))


def _left(until: float) -> float:
    """Give the seconds left, more than 0; TimeoutError when there are none."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError(errno.ETIMEDOUT, "no answer in time")
    return left


def _piece(link: socket.socket) -> bytes:
    # Descriptors that come along are closed by the kernel: nothing is prepared to receive them.
    try:
        # Into one buffer for all: a new one of this size for each piece, cut to what came, leaves the heap full of holes.
        piece = bytes(_VIEW[: link.recv_into(_BUFFER)])
    except TimeoutError:
        raise TimeoutError(errno.ETIMEDOUT, "no answer in time") from None
    if not piece:
        raise ConnectionResetError(errno.ECONNRESET, "the connection was ended")
    return piece
