"""A ubusd of a few lines for the tests of our own end: real socket, real bytes, and whatever misbehaviour a test wants of it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable
from types import TracebackType

from agent.router import blobmsg
from agent.router import ubus_message as wire
from agent.router.ubus_message import Attribute, Body, Message, Stream

HELLO = wire.pack(wire.HELLO, 0, 0x4711)
Talk = Callable[[socket.socket], None]


def data(message: Message, table: dict[str, object]) -> bytes:
    """Answer a call with a table."""
    return wire.pack(wire.DATA, message.seq, message.peer, ((Attribute.OBJECT, message.peer), (Attribute.DATA, blobmsg.encode(table))))


def status(message: Message, number: int = wire.OK) -> bytes:
    """End the answer to a request."""
    return wire.pack(wire.STATUS, message.seq, message.peer, ((Attribute.STATUS, number),))


def found(message: Message, name: str, number: int) -> bytes:
    """Answer a lookup with one object."""
    attributes = ((Attribute.PATH, name), (Attribute.OBJECT, number), (Attribute.OBJECT_TYPE, 7), (Attribute.SIGNATURE, b"\x82\0\0\x0c\0\5board\0"))
    return wire.pack(wire.DATA, message.seq, message.peer, attributes)


class Ubusd:
    """A socket at `path`; each connection is given to `talk` in a thread of its own, and closed after it."""

    def __init__(self, path: str, talk: Talk) -> None:
        self.path = path
        self.connections = 0
        self._talk = talk
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(path)
        self._socket.listen(16)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Ubusd:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.kill()

    def kill(self) -> None:
        """End as a killed process does: every connection is closed, the socket's file stays."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            with self._lock:
                self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with contextlib.suppress(OSError):
                self._talk(connection)
        finally:
            with self._lock:
                self._open.remove(connection)
                connection.close()


def answering(answer: Callable[[Message, Body], bytes]) -> Talk:
    """Greet, then answer each request with what `answer` gives for it."""

    def talk(connection: socket.socket) -> None:
        connection.sendall(HELLO)
        stream = Stream()
        while piece := connection.recv(65536):
            for message in stream.feed(piece):
                connection.sendall(answer(message, wire.unpack(message.body)))

    return talk


def objects(ids: dict[str, int], reply: Callable[[str, str, dict[str, object]], dict[str, object] | int]) -> Callable[[Message, Body], bytes]:
    """Answer as ubusd with these objects does; `reply` gives a call's table or its status. `ids` may change between two requests."""

    def answer(message: Message, body: Body) -> bytes:
        if message.type == wire.LOOKUP:
            pattern = "*" if body.path is None else body.path
            names = [name for name in sorted(ids) if name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1]))]
            return b"".join(found(message, name, ids[name]) for name in names) + status(message, wire.OK if names or pattern == "*" else wire.NOT_FOUND)
        if message.type == wire.INVOKE and body.object == 1:
            return status(message)  # ubusd's own object, for events
        if message.type == wire.INVOKE:
            names = [name for name, number in ids.items() if number == body.object]
            result = reply(names[0], body.method or "", blobmsg.decode(body.data or b"")) if names else wire.NOT_FOUND
            return status(message, result) if isinstance(result, int) else data(message, result) + status(message)
        if message.type == wire.ADD_OBJECT:
            return wire.pack(wire.DATA, message.seq, message.peer, ((Attribute.OBJECT, 0xC0FFEE00 + message.seq),)) + status(message)
        return status(message) if message.type == wire.SUBSCRIBE else b""

    return answer


def echo(name: str, method: str, arguments: dict[str, object]) -> dict[str, object] | int:
    """Answer with what was asked; a method that is a number is refused with it."""
    return int(method) if method.isdigit() else {"name": name, "method": method, **arguments}


def silent(connection: socket.socket) -> None:
    """Greet, and say nothing more."""
    connection.sendall(HELLO)
    while connection.recv(65536):
        pass


def mute(connection: socket.socket) -> None:
    """Do not even greet."""
    while connection.recv(65536):
        pass
