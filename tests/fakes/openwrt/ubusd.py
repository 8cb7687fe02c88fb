"""A stand-in for ubusd and the daemons behind it: a real socket and real bytes, answers from a board (openwrt/ubus ubusd_proto.c, ubusd_event.c).

`with Ubusd(Board("wndr3800-24.10"), path) as ubusd:`; by hand: `python -m tests.fakes.openwrt.ubusd --board DIR --socket PATH`.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import random
import selectors
import signal
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from agent.router import blobmsg
from agent.router import ubus_message as wire
from agent.router.ubus_message import Attribute, Message
from tests.fakes.openwrt.board import Board

EVENTS_OBJECT = 1
_FIRST_FREE = 1024
Attributes = list[tuple[int, Any]]


class Allow(NamedTuple):
    """What a caller that is not root may: methods by object, and what it may subscribe to and listen to; a pattern may end in an asterisk."""

    access: Mapping[str, Iterable[str]]
    subscribe: Iterable[str] = ()
    listen: Iterable[str] = ()

    @classmethod
    def read(cls, path: Path | str) -> Allow:
        """Read a file as ubusd does from /usr/share/acl.d."""
        told = json.loads(Path(path).read_text())
        access = {pattern: tuple(rule.get("methods", ())) for pattern, rule in told.get("access", {}).items()}
        return cls(access, tuple(told.get("subscribe", ())), tuple(told.get("listen", ())))

    def may_call(self, name: str, method: str) -> bool:
        """Say whether a method may be called."""
        return any(_matches(pattern, name) and (method in methods or "*" in methods) for pattern, methods in self.access.items())


class _Client:
    """One connection."""

    def __init__(self, link: socket.socket, number: int) -> None:
        self.link = link
        self.number = number
        self.stream = wire.Stream()
        self.out = bytearray()
        self.ready_at = 0.0
        _, self.user, _ = struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))


class _Object:
    """One object: a board's (`owner` None), or one that a client added."""

    def __init__(self, name: str, number: int, kind: int, owner: _Client | None, signature: bytes | None) -> None:
        self.name, self.number, self.kind, self.owner, self.signature = name, number, kind, owner, signature
        self.subscribers: list[_Object] = []
        self.patterns: list[str] = []


class Ubusd:
    """The stand-in at `path`. `allow`: the caller is not root, and may this only. `numbers`: the ids it gives, before it draws lots.

    `is_root_free`, set by a test: who calls as root may everything, and everybody else what `allow` says, nothing when it is None.
    """

    def __init__(
        self, board: Board, path: Path | str, allow: Allow | None = None, known: Mapping[str, tuple[int, int]] | None = None, numbers: Iterable[int] = ()
    ) -> None:
        self.board = board
        self.path = str(path)
        self.allow = allow
        self.is_root_free = False
        self.calls: Counter[tuple[str, str]] = Counter()
        self.lookups: Counter[str] = Counter()
        self.connections = 0
        self.event_seq = 0
        self.drip: tuple[int, float] | None = None
        self._known = dict(known or {})
        self._numbers = iter(numbers)
        self._lock = threading.RLock()
        self._held: set[str] = set()
        self._is_frozen = False
        self._objects: dict[int, _Object] = {}
        self._by_name: dict[str, _Object] = {}
        self._clients: dict[int, _Client] = {}
        # The daemons behind ubusd are its clients too: what they notify of bears their id and their own count.
        self._notifiers: dict[str, tuple[int, Iterator[int]]] = {}
        self._thread: threading.Thread | None = None

    # Its life.

    @property
    def is_alive(self) -> bool:
        """Say whether it runs, frozen or not."""
        return self._thread is not None

    def __enter__(self) -> Ubusd:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self, without: Iterable[str] = ()) -> Ubusd:
        """Begin to listen; every object of the board is there, with new ids, but those named (rpcd's do not come back by themselves)."""
        absent = set(without)
        for name in self.board.objects():
            if name not in absent:
                self._add(name)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with contextlib.suppress(FileNotFoundError):
            Path(self.path).unlink()
        self._listener.bind(self.path)
        Path(self.path).chmod(0o666)
        self._listener.listen(64)
        self._listener.setblocking(False)
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._is_frozen, self._is_over = False, False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def kill(self, leave_file: bool = True) -> None:
        """End it as SIGKILL does: every connection closes, the socket's file stays (unless told otherwise) with nobody behind it."""
        if self._thread is None:
            return
        with self._lock:
            self._is_over = True
        self._wake()
        self._thread.join(10)
        self._thread = None
        for link in (self._listener, self._wake_read, self._wake_write, *(client.link for client in self._clients.values())):
            link.close()
        self._clients.clear()
        self._objects.clear()
        self._by_name.clear()
        self._notifiers.clear()
        if not leave_file:
            Path(self.path).unlink()

    def restart(self, without: Iterable[str] = ()) -> None:
        """Kill it and let procd start it anew."""
        self.kill()
        self.start(without)

    def freeze(self) -> None:
        """Stop as SIGSTOP does: connections are made by the kernel, and nobody reads or answers."""
        with self._lock:
            self._is_frozen = True

    def thaw(self) -> None:
        """Go on after `freeze`."""
        with self._lock:
            self._is_frozen = False
        self._wake()

    # What becomes of objects.

    def hold(self, name: str) -> None:
        """Let an object (or several, by a pattern) never answer, as a stopped daemon's."""
        with self._lock:
            self._held.add(name)

    def release(self, name: str) -> None:
        """Let it answer again; what was asked meanwhile stays without."""
        with self._lock:
            self._held.discard(name)

    def remove(self, *names: str) -> None:
        """Take objects away: their subscribers and who listens are told."""
        with self._lock:
            for name in names:
                self._remove(self._by_name[name])
        self._wake()

    def add(self, *names: str) -> None:
        """Let objects appear, with new ids; who listens is told."""
        with self._lock:
            for name in names:
                self._add(name)
                self._announce("ubus.object.add", self._by_name[name])
        self._wake()

    def names(self) -> list[str]:
        """Name the objects there are now."""
        with self._lock:
            return sorted(self._by_name)

    def number(self, name: str) -> int:
        """Give an object's id."""
        with self._lock:
            return self._by_name[name].number

    # What happens by itself.

    def notify(self, name: str, event: str, table: Mapping[str, Any]) -> int:
        """Let an object of the board notify its subscribers; give how many there were."""
        with self._lock:
            found = self._by_name[name]
            peer, count = self._notifier(name)
            seq = next(count) & 0xFFFF
            user = "network" if name.startswith("hostapd") else "root"
            for subscriber in found.subscribers:
                self._deliver(subscriber, seq, peer, event, blobmsg.encode(table), user, is_notice=True)
            told = len(found.subscribers)
        self._wake()
        return told

    def send(self, event: str, table: Mapping[str, Any]) -> None:
        """Send an event, as `ubus send` does."""
        with self._lock:
            self._send_event(event, blobmsg.encode(table), None)
        self._wake()

    def inject(self, raw: bytes) -> None:
        """Send bytes, whatever they are, to everybody."""
        with self._lock:
            for client in self._clients.values():
                client.out += raw
        self._wake()

    def hang_up(self) -> None:
        """Close every connection, and go on."""
        with self._lock:
            for client in list(self._clients.values()):
                self._forget(client)
        self._wake()

    def as_notifier(self, name: str, peer: int, first_seq: int) -> None:
        """Let what an object notifies of bear this id and count from here, as in a recording."""
        self._notifiers[name] = peer, itertools.count(first_seq)

    def count_from(self, seq: int) -> None:
        """Let the next event bear this number, as in a recording."""
        self.event_seq = seq - 1

    def forget_counts(self) -> None:
        """Begin to count calls, lookups and connections anew."""
        with self._lock:
            self.calls.clear()
            self.lookups.clear()
            self.connections = 0

    # The loop.

    def _wake(self) -> None:
        if self._thread is not None:
            with contextlib.suppress(BlockingIOError, OSError):
                self._wake_write.send(b"\0")

    def _serve(self) -> None:
        while True:
            with selectors.DefaultSelector() as selector:
                with self._lock:
                    if self._is_over:
                        return
                    pause = self._prepare(selector)
                ready = {key.fileobj for key, _ in selector.select(pause)}
            with self._lock:
                with contextlib.suppress(BlockingIOError):
                    self._wake_read.recv(4096)
                if not self._is_frozen and not self._is_over:
                    self._turn(ready)

    def _prepare(self, selector: selectors.BaseSelector) -> float | None:
        """Register what to wait for; give how long at most."""
        selector.register(self._wake_read, selectors.EVENT_READ)
        if self._is_frozen:
            return None
        selector.register(self._listener, selectors.EVENT_READ)
        pause, now = None, time.monotonic()
        for client in self._clients.values():
            waits = client.out and client.ready_at > now
            selector.register(client.link, selectors.EVENT_READ | (selectors.EVENT_WRITE if client.out and not waits else 0))
            if waits:
                pause = min(pause or 1.0, client.ready_at - now)
        return pause

    def _turn(self, ready: set[Any]) -> None:
        if self._listener in ready:
            with contextlib.suppress(BlockingIOError):
                self._welcome(self._listener.accept()[0])
        for client in list(self._clients.values()):
            if client.link in ready:
                self._read(client)
        for client in list(self._clients.values()):
            self._write(client)

    def _welcome(self, link: socket.socket) -> None:
        link.setblocking(False)
        client = _Client(link, self._draw())
        self.connections += 1
        self._clients[client.number] = client
        self._say(client, wire.HELLO, 0, client.number)

    def _read(self, client: _Client) -> None:
        try:
            piece = client.link.recv(65536)
            messages = client.stream.feed(piece) if piece else None
        except BlockingIOError:
            return
        except (OSError, blobmsg.Malformed):
            messages = None
        try:
            for message in messages or []:
                self._take(client, message)
        except blobmsg.Malformed:
            messages = None
        if messages is None:
            self._forget(client)

    def _write(self, client: _Client) -> None:
        if not client.out or (self.drip and client.ready_at > time.monotonic()):
            return
        size, pause_s = self.drip or (len(client.out), 0.0)
        try:
            sent = client.link.send(bytes(client.out[:size]))
        except BlockingIOError:
            return
        except OSError:
            self._forget(client)
            return
        del client.out[:sent]
        client.ready_at = time.monotonic() + pause_s

    def _forget(self, client: _Client) -> None:
        if self._clients.pop(client.number, None):
            for found in [each for each in self._objects.values() if each.owner is client]:
                self._remove(found)
            client.link.close()

    # The protocol.

    def _say(self, client: _Client, kind: int, seq: int, peer: int, attributes: Attributes | None = None) -> None:
        client.out += wire.pack(kind, seq, peer, attributes or [])

    def _take(self, client: _Client, message: Message) -> None:
        handlers: dict[int, Callable[[_Client, Message, dict[int, bytes]], int | None]] = {
            wire.PING: self._ping,
            wire.LOOKUP: self._lookup,
            wire.INVOKE: self._invoke,
            wire.ADD_OBJECT: self._add_object,
            wire.REMOVE_OBJECT: self._remove_object,
            wire.SUBSCRIBE: self._subscribe,
            wire.UNSUBSCRIBE: self._unsubscribe,
            wire.NOTIFY: self._notify,
            wire.STATUS: self._response,
            wire.DATA: self._response,
        }
        handler = handlers.get(message.type)
        status = wire.INVALID_COMMAND if handler is None else handler(client, message, _attributes(message.body))
        if status is not None:
            self._say(client, wire.STATUS, message.seq, message.peer, [(Attribute.STATUS, status)])

    def _ping(self, client: _Client, message: Message, _: dict[int, bytes]) -> int:
        self._say(client, wire.DATA, message.seq, message.peer)
        return wire.OK

    def _lookup(self, client: _Client, message: Message, attributes: dict[int, bytes]) -> int:
        pattern = _text(attributes.get(Attribute.PATH))
        self.lookups[pattern or ""] += 1
        if pattern == "":
            return wire.INVALID_ARGUMENT
        found = [each for name, each in sorted(self._by_name.items()) if pattern is None or _matches(pattern, name)]
        for each in found:
            self._show(client, message, each)
        return wire.OK if found or pattern is None else wire.NOT_FOUND

    def _show(self, client: _Client, message: Message, found: _Object) -> None:
        """Tell of an object: of the methods that the caller may call, and not at all when there is none."""
        methods = {} if found.owner else self.board.methods(found.name)
        seen = {method: types for method, types in methods.items() if self._may(client, found.name, method)}
        if methods and not seen:
            return
        signature = blobmsg.encode(seen) if found.signature is None else found.signature
        shown: Attributes = [(Attribute.PATH, found.name), (Attribute.OBJECT, found.number), (Attribute.OBJECT_TYPE, found.kind)]
        self._say(client, wire.DATA, message.seq, message.peer, [*shown, (Attribute.SIGNATURE, signature)])

    def _invoke(self, client: _Client, message: Message, attributes: dict[int, bytes]) -> int | None:
        number, method, raw = _number(attributes.get(Attribute.OBJECT)), _text(attributes.get(Attribute.METHOD)), attributes.get(Attribute.DATA, b"")
        if number is None or method is None:
            return wire.INVALID_ARGUMENT
        if number == EVENTS_OBJECT:
            return self._own_object(client, method, raw)
        found = self._objects.get(number)
        if found is None:
            return wire.NOT_FOUND
        self.calls[found.name, method] += 1
        if not self._may(client, found.name, method):
            return wire.PERMISSION_DENIED
        if found.owner:
            self._deliver(found, message.seq, client.number, method, raw, "root")
        elif not any(_matches(held, found.name) for held in self._held):
            self._answer(client, message, found, method, raw)
        return None

    def _answer(self, client: _Client, message: Message, found: _Object, method: str, raw: bytes) -> None:
        status, reply = self.board.answer(found.name, method, blobmsg.decode(raw))
        whose: Attributes = [(Attribute.OBJECT, found.number)]
        if reply is not None:
            self._say(client, wire.DATA, message.seq, found.number, [*whose, (Attribute.DATA, blobmsg.encode(reply))])
        self._say(client, wire.STATUS, message.seq, found.number, [(Attribute.STATUS, status), *whose])

    def _own_object(self, client: _Client, method: str, raw: bytes) -> int:
        table = blobmsg.decode(raw)
        if method == "send":
            event, data = table.get("id"), table.get("data")
            if not isinstance(event, str) or not isinstance(data, dict):
                return wire.INVALID_ARGUMENT
            self._send_event(event, blobmsg.encode(data), client)
            return wire.OK
        if method != "register":
            return wire.INVALID_COMMAND
        pattern, number = table.get("pattern"), table.get("object")
        if not isinstance(pattern, str) or not isinstance(number, int):
            return wire.INVALID_ARGUMENT
        found = self._objects.get(number & 0xFFFFFFFF)
        if found is None:
            return wire.NOT_FOUND
        bare = pattern.removesuffix("*")
        allow = self._allow(client)
        if found.owner is not client or (allow and not any(_matches(each, bare) for each in allow.listen)):
            return wire.PERMISSION_DENIED
        found.patterns.append(pattern)
        return wire.OK

    def _add_object(self, client: _Client, message: Message, attributes: dict[int, bytes]) -> int:
        name, signature = _text(attributes.get(Attribute.PATH)) or "", attributes.get(Attribute.SIGNATURE)
        if name in self._by_name:
            return wire.INVALID_ARGUMENT
        made = _Object(name, self._draw(), self._draw() if signature is not None else 0, client, signature)
        self._objects[made.number] = made
        if name:
            self._by_name[name] = made
            self._announce("ubus.object.add", made)
        kind: Attributes = [(Attribute.OBJECT_TYPE, made.kind)] if signature is not None else []
        self._say(client, wire.DATA, message.seq, message.peer, [(Attribute.OBJECT, made.number), *kind])
        return wire.OK

    def _remove_object(self, client: _Client, message: Message, attributes: dict[int, bytes]) -> int:
        found = self._objects.get(_number(attributes.get(Attribute.OBJECT)) or 0)
        if found is None:
            return wire.NOT_FOUND
        if found.owner is not client:
            return wire.PERMISSION_DENIED
        self._say(client, wire.DATA, message.seq, message.peer, [(Attribute.OBJECT, found.number)])
        self._remove(found)
        return wire.OK

    def _watch(self, client: _Client, attributes: dict[int, bytes]) -> tuple[_Object, _Object] | int:
        own, target = (_number(attributes.get(one)) for one in (Attribute.OBJECT, Attribute.TARGET))
        if own is None or target is None:
            return wire.INVALID_ARGUMENT
        if own not in self._objects or target not in self._objects:
            return wire.NOT_FOUND
        return wire.INVALID_ARGUMENT if self._objects[own].owner is not client else (self._objects[own], self._objects[target])

    def _subscribe(self, client: _Client, _: Message, attributes: dict[int, bytes]) -> int:
        pair = self._watch(client, attributes)
        if isinstance(pair, int):
            return pair
        allow = self._allow(client)
        if allow and not any(_matches(each, pair[1].name) for each in allow.subscribe):
            return wire.NOT_FOUND
        pair[1].subscribers.insert(0, pair[0])
        return wire.OK

    def _unsubscribe(self, client: _Client, _: Message, attributes: dict[int, bytes]) -> int:
        pair = self._watch(client, attributes)
        if isinstance(pair, int):
            return pair
        if pair[0] not in pair[1].subscribers:
            return wire.NOT_FOUND
        pair[1].subscribers.remove(pair[0])
        return wire.OK

    def _notify(self, client: _Client, message: Message, attributes: dict[int, bytes]) -> int | None:
        found, event = self._objects.get(_number(attributes.get(Attribute.OBJECT)) or 0), _text(attributes.get(Attribute.METHOD))
        if found is None or event is None:
            return wire.NOT_FOUND if event else wire.INVALID_ARGUMENT
        if found.owner is not client:
            return wire.PERMISSION_DENIED
        is_notice = bool(attributes.get(Attribute.NO_REPLY, b"\0")[0])
        if not is_notice:
            heads = [wire.pack(0, 0, 0, [(0, each.number)])[12:] for each in found.subscribers]
            told: Attributes = [(Attribute.OBJECT, found.number), (Attribute.SUBSCRIBERS, b"".join(heads)), (Attribute.STATUS, 0)]
            self._say(client, wire.STATUS, message.seq, message.peer, told)
        for each in found.subscribers:
            self._deliver(each, message.seq, client.number, event, attributes.get(Attribute.DATA, b""), "root", is_notice=is_notice)
        return None

    def _response(self, client: _Client, message: Message, attributes: dict[int, bytes]) -> None:
        """Hand the answer of an object that a client added to who had asked."""
        found, asker = self._objects.get(_number(attributes.get(Attribute.OBJECT)) or 0), self._clients.get(message.peer)
        if found and found.owner is client and asker:
            asker.out += wire.pack(message.type, message.seq, found.number, attributes.items())

    # Objects and events.

    def _allow(self, client: _Client) -> Allow | None:
        """Give what a caller may; None for everything."""
        if not self.is_root_free:
            return self.allow
        return None if client.user == 0 else self.allow or Allow({})

    def _may(self, client: _Client, name: str, method: str) -> bool:
        allow = self._allow(client)
        return allow is None or allow.may_call(name, method)

    def _draw(self) -> int:
        for number in itertools.chain(self._numbers, iter(lambda: random.randrange(_FIRST_FREE, 1 << 32), None)):
            if number not in self._objects and number not in self._clients:
                return number
        raise AssertionError

    def _add(self, name: str) -> None:
        # Known once: what comes back has new ids.
        number, kind = self._known.pop(name) if name in self._known else (self._draw(), self._draw())
        self._by_name[name] = self._objects[number] = _Object(name, number, kind, None, None)

    def _remove(self, found: _Object) -> None:
        for target in self._objects.values():
            target.subscribers = [each for each in target.subscribers if each is not found]
        for each in found.subscribers:
            if each.owner:
                self._say(each.owner, wire.UNSUBSCRIBE, 0, 0, [(Attribute.OBJECT, each.number), (Attribute.TARGET, found.number)])
        del self._objects[found.number]
        if found.name:
            del self._by_name[found.name]
            self._notifiers.pop(found.name, None)
            self._announce("ubus.object.remove", found)

    def _announce(self, event: str, found: _Object) -> None:
        number = found.number - (1 << 32) if found.number >> 31 else found.number
        self._send_event(event, blobmsg.encode({"id": number, "path": found.name}), None)

    def _send_event(self, event: str, raw: bytes, sender: _Client | None) -> None:
        for each in list(self._objects.values()):
            if each.owner and each.owner is not sender and any(_matches(pattern, event) for pattern in each.patterns):
                self.event_seq += 1
                told: Attributes = [(Attribute.OBJECT, each.number), (Attribute.METHOD, event), (Attribute.DATA, raw)]
                self._say(each.owner, wire.INVOKE, self.event_seq & 0xFFFF, 0, told)

    def _notifier(self, name: str) -> tuple[int, Iterator[int]]:
        if name not in self._notifiers:
            self._notifiers[name] = self._draw(), itertools.count(4)
        return self._notifiers[name]

    def _deliver(self, to: _Object, seq: int, peer: int, method: str, raw: bytes, user: str, *, is_notice: bool = False) -> None:
        if to.owner is None:
            return
        head: Attributes = [(Attribute.NO_REPLY, True)] if is_notice else []
        whom: Attributes = [(Attribute.OBJECT, to.number), (Attribute.METHOD, method), (Attribute.USER, user), (Attribute.GROUP, user)]
        self._say(to.owner, wire.INVOKE, seq, peer, [*head, *whom, (Attribute.DATA, raw)])


def _matches(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _attributes(body: bytes) -> dict[int, bytes]:
    """Read a message's attributes as bytes; what is cut off is left out, as ubusd does."""
    found: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(body):
        head = int.from_bytes(body[at : at + 4], "big")
        length = head & 0xFFFFFF
        if length < 4 or at + length > len(body):
            break
        found[head >> 24 & 0x7F] = body[at + 4 : at + length]
        at += length + 3 & ~3
    return found


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _number(raw: bytes | None) -> int | None:
    return int.from_bytes(raw, "big") if raw is not None and len(raw) == 4 else None


def main() -> None:
    """Serve a board until a signal comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--board", required=True, help="a folder, or the name of one in tests/devices")
    parser.add_argument("--socket", required=True)
    parser.add_argument("--acl", help="a file as in /usr/share/acl.d: callers are not root")
    options = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    with Ubusd(Board(options.board), options.socket, Allow.read(options.acl) if options.acl else None):
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
