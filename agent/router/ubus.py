"""ubus in pure Python over one persistent connection: objects by name, methods called, events heard. Only says what it is told to say.

A call may be interrupted at any instruction; the next one begins a new connection (ubus_link) and takes nothing that was left over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from agent.errors import Unavailable
from agent.router import blobmsg
from agent.router import ubus_message as wire
from agent.router.blobmsg import Malformed
from agent.router.text import printable
from agent.router.ubus_link import Answer, Link, Request
from agent.router.ubus_message import Attribute, Message

SOCKET = "/var/run/ubus/ubus.sock"
TIMEOUT_S = 2.0
MOST_IDS = 1024
# Every method the daemon calls, by the object's name or its beginning: the access list of the package has exactly these, and its connection makes no others.
CALLS: Mapping[str, tuple[str, ...]] = {
    "system": ("board", "info"),
    "network.interface": ("dump",),
    "network.device": ("status",),
    "hostapd.*": ("get_clients", "get_status"),
    "dhcp": ("ipv4leases",),
    "service": ("event",),
}
EVENTS_OBJECT = 1  # ubusd's own: UBUS_SYSTEM_OBJECT_EVENT
GONE = "gone"


class Refused(Unavailable):
    """ubusd, or who owns the object, said no: `status` is ubus's number for it (`ubus_message.NOT_FOUND`, ...)."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


class Call(NamedTuple):
    """One method to be called; `without`: the names in its answer that are not wanted, at any depth."""

    name: str
    method: str
    arguments: Mapping[str, object] | None = None
    without: frozenset[str] = blobmsg.NOTHING


class Event(NamedTuple):
    """What was heard: `source` the object's name, "" for an event of `listen`; `name` GONE when that object vanished: subscribe anew."""

    source: str
    name: str
    table: dict[str, object]


class Ubus:
    """What ubus offers, each call within `timeout_s` seconds; `monotonic` is the clock of what is remembered.

    `allowed`: a table like CALLS, beside which nothing is called; None: everything may be.
    """

    def __init__(
        self,
        path: str = SOCKET,
        timeout_s: float = TIMEOUT_S,
        monotonic: Callable[[], float] = time.monotonic,
        allowed: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self._path = path
        self.timeout_s = timeout_s
        self._allowed = allowed
        self._link = Link(path, monotonic)
        # They outlive a connection: one that is stale is refused, and then looked up again.
        self._ids: dict[str, int] = {}
        # Our own objects, which hear, whom each hears, and the number of the connection that they live on.
        self._sources: dict[int, str] = {}
        self._sources_number = 0

    def lookup(self, pattern: str = "") -> dict[str, int]:
        """Give the ids of the objects so named, or with this beginning when it ends in an asterisk; "" is all of them. {} when there is none."""
        what = f"ubus list {printable(pattern)}".rstrip()
        answer = self._exchange([_lookup(pattern)], self._until(None), what)[0]
        if answer.status == wire.NOT_FOUND:
            return {}
        _require(answer, what)
        return self._learn(answer)

    def call(self, name: str, method: str, arguments: Mapping[str, object] | None = None, timeout_s: float | None = None) -> dict[str, object]:
        """Call one method and give its answer, {} when it answers nothing; Refused with the status when it is not done."""
        result = self.call_all([Call(name, method, arguments)], timeout_s)[0]
        if isinstance(result, Refused):
            # Made anew: were it raised itself, its traceback and this frame would keep each other, and with them the whole sample, for many samples.
            raise Refused(str(result), result.status)
        return result

    def call_all(self, calls: Sequence[Call], timeout_s: float | None = None) -> list[dict[str, object] | Refused]:
        """Call all these at once, with one deadline, and give their answers in the same order; Unavailable when there is no talking to ubusd."""
        until = self._until(timeout_s)
        self._require_allowed(calls)
        known = self._ids.keys() & {call.name for call in calls}
        results = self._call(calls, until)
        # An object made anew has the old name and another id.
        gone = [at for at, result in enumerate(results) if isinstance(result, Refused) and result.status == wire.NOT_FOUND and calls[at].name in known]
        if gone and time.monotonic() < until:
            for at in gone:
                self._ids.pop(calls[at].name, None)
            for at, result in zip(gone, self._call([calls[at] for at in gone], until), strict=True):
                results[at] = result
        return results

    def lookup_and_call(self, pattern: str, calls: Sequence[Call]) -> tuple[dict[str, int], list[dict[str, object] | Refused | None]]:
        """Do `lookup`, and `calls` of objects that are known, in one exchange: for a regular round, in which seldom anything changed.

        A call has None for an answer where its object must be looked up first, or was not found: call that again.
        """
        what = f"ubus list {printable(pattern)}"
        self._require_allowed(calls)
        ready = {at: call for at, call in enumerate(calls) if call.name in self._ids}
        invokes = [_invoke(self._ids[call.name], call.method, call.arguments) for call in ready.values()]
        looked, *answers = self._exchange([_lookup(pattern), *invokes], self._until(None), what)
        results: list[dict[str, object] | Refused | None] = [None] * len(calls)
        for (at, call), answer in zip(ready.items(), answers, strict=True):
            status = _status(answer)
            if status == wire.NOT_FOUND:
                self._ids.pop(call.name, None)
            else:
                results[at] = _refused(_described([call]), status) if status else self._merge(answer, call)
        if looked.status != wire.NOT_FOUND:
            _require(looked, what)
        return self._learn(looked), results

    def listen(self, patterns: Iterable[str], timeout_s: float | None = None) -> None:
        """Hear ubus's events whose name is one of these, or begins so before an asterisk; they come by `drain`."""
        until = self._until(timeout_s)
        (own,) = self._add_objects([""], [], until, "ubus listen")
        # blobmsg has no sign: an id of 32 bits is not to become a number of 64.
        number = own - (1 << 32) if own >> 31 else own
        requests = [_invoke(EVENTS_OBJECT, "register", {"object": number, "pattern": pattern}) for pattern in patterns]
        for answer in self._exchange(requests, until, "ubus listen", again=False):
            _require(answer, "ubus listen")

    def subscribe(self, names: Sequence[str], timeout_s: float | None = None) -> None:
        """Hear what these objects notify of; it comes by `drain`. Refused when one is not there."""
        until = self._until(timeout_s)
        for name in names:
            self._ids.pop(name, None)
        owns = self._add_objects(names, [_lookup(name) for name in names], until, "ubus subscribe")
        requests = []
        for name, own in zip(names, owns, strict=True):
            if name not in self._ids:
                raise _refused(f"ubus subscribe {printable(name)}", wire.NOT_FOUND)
            requests.append(Request(wire.SUBSCRIBE, 0, ((Attribute.OBJECT, own), (Attribute.TARGET, self._ids[name]))))
        for name, answer in zip(names, self._exchange(requests, until, "ubus subscribe", again=False), strict=True):
            _require(answer, f"ubus subscribe {printable(name)}")

    @property
    def lives(self) -> int:
        """How many ubusds there have been, by the socket each makes anew: another number means that its clients must come back to it first."""
        return self._link.lives

    def fileno(self) -> int:
        """Give the descriptor to poll for reading before `drain`; -1 without a connection. It changes with the connection."""
        return self._link.fileno()

    def drain(self) -> list[Event]:
        """Give what was heard since the last time, without waiting; Unavailable when hearing ended with its connection: begin it anew."""
        link = self._link
        link.listen()
        if not self._sources:
            link.forget_heard()
            return []
        if not link.is_whole or link.number != self._sources_number:
            raise Unavailable("ubus listen: the connection was lost, and events with it")
        link.is_whole = False
        try:
            events, replies = self._understand(link.heard)
        except Malformed as error:
            link.drop()
            raise Unavailable(f"ubus listen: {error}") from None
        link.forget_heard()
        link.send(replies)
        return events

    def close(self) -> None:
        """End the connection; a later call begins a new one."""
        self._link.drop()

    def _until(self, timeout_s: float | None) -> float:
        return time.monotonic() + (self.timeout_s if timeout_s is None else timeout_s)

    def _require_allowed(self, calls: Sequence[Call]) -> None:
        """Let a call that the access list does not have fail here as the mistake it is, not on the router as an object that is "not found"."""
        for call in calls if self._allowed is not None else ():
            if not is_listed(self._allowed or {}, call.name, call.method):
                raise ValueError(f"ubus {printable(call.name)} {printable(call.method)} is not among the calls that this connection makes")

    def _call(self, calls: Sequence[Call], until: float) -> list[dict[str, object] | Refused]:
        what = _described(calls)
        refusals = self._find([name for name in dict.fromkeys(call.name for call in calls) if name not in self._ids], until, what)
        requests = [_invoke(self._ids[call.name], call.method, call.arguments) for call in calls if call.name not in refusals]
        answers = iter(self._exchange(requests, until, what))
        results: list[dict[str, object] | Refused] = []
        for call in calls:
            answer = None if call.name in refusals else next(answers)
            status = refusals[call.name] if answer is None else _status(answer)
            results.append(_refused(_described([call]), status) if answer is None or status else self._merge(answer, call))
        return results

    def _find(self, names: list[str], until: float, what: str) -> dict[str, int]:
        """Learn the ids of objects; give the status of each that is refused."""
        refusals = {}
        for name, answer in zip(names, self._exchange([_lookup(name) for name in names], until, what), strict=True):
            if name not in self._learn(answer):
                # ubusd shows an object only to who may call one of its methods, and says "success" all the same.
                refusals[name] = _status(answer) or wire.PERMISSION_DENIED
        return refusals

    def _learn(self, answer: Answer) -> dict[str, int]:
        """Keep the ids that a lookup gave."""
        found = {body.path: body.object for body in answer.bodies if body.path is not None and body.object is not None}
        if len(self._ids) + len(found) > MOST_IDS:
            self._ids.clear()
        self._ids.update(found)
        return found

    def _merge(self, answer: Answer, call: Call) -> dict[str, object]:
        """Give an answer that came in any number of messages as one table."""
        table: dict[str, object] = {}
        try:
            for body in answer.bodies:
                table.update(blobmsg.decode(body.data or b"", call.without))
        except Malformed as error:
            self._link.drop()
            raise Unavailable(f"{_described([call])}: {error}") from None
        return table

    def _add_objects(self, names: Sequence[str], lookups: list[Request], until: float, what: str) -> list[int]:
        """Make one object of our own for each name, to which ubusd will deliver; ask `lookups` with it."""
        requests = [Request(wire.ADD_OBJECT, 0)] * len(names) + lookups
        answers = self._exchange(requests, until, what, again=not self._sources)
        owns = []
        for answer in answers[: len(names)]:
            _require(answer, what)
            owns += [body.object for body in answer.bodies if body.object is not None][:1]
        if len(owns) != len(names):
            self._link.drop()
            raise Unavailable(f"{what}: ubusd did not say which object it made")
        for answer in answers[len(names) :]:
            self._learn(answer)
        if self._sources_number != self._link.number:
            self._sources.clear()
            self._sources_number = self._link.number
        self._sources.update(zip(owns, names, strict=True))
        return owns

    def _exchange(self, requests: list[Request], until: float, what: str, again: bool = True) -> list[Answer]:
        """Ask, once more when a connection that was there before turns out to have ended; `what` names it in a failure."""
        if not requests:
            return []
        was_there = self._link.is_whole
        try:
            return self._link.converse(requests, until)
        except Malformed as error:
            raise Unavailable(f"{what}: {error}") from None
        except OSError as error:
            if not (was_there and again):
                raise Unavailable(f"{what}: {printable(self._path)}: {error.strerror or error}") from None
        return self._exchange(requests, until, what)

    def _understand(self, messages: list[Message]) -> tuple[list[Event], bytes]:
        """Read what came for our own objects, and what is to be answered to it."""
        events, replies = [], []
        for message in messages:
            body = wire.unpack(message.body)
            if body.object is None:
                continue
            source = self._sources.get(body.object)
            if message.type == wire.UNSUBSCRIBE:
                events += [Event(source, GONE, {})] if source is not None else []
                continue
            status = wire.NOT_FOUND
            if source is not None:
                status = wire.INVALID_ARGUMENT
                if body.method is not None and body.data is not None:
                    status = wire.OK
                    events.append(Event(source, body.method, blobmsg.decode(body.data)))
            if status or not body.no_reply:
                replies.append(wire.pack(wire.STATUS, message.seq, message.peer, ((Attribute.STATUS, status), (Attribute.OBJECT, body.object))))
        return events, b"".join(replies)


def is_listed(table: Mapping[str, tuple[str, ...]], name: str, method: str) -> bool:
    """Say whether a table like CALLS has this method of this object."""
    return any(method in methods for key, methods in table.items() if key == name or (key.endswith("*") and name.startswith(key[:-1])))


def _lookup(pattern: str) -> Request:
    return Request(wire.LOOKUP, 0, ((Attribute.PATH, pattern),) if pattern else ())


def _invoke(object_id: int, method: str, arguments: Mapping[str, object] | None) -> Request:
    table = blobmsg.encode(arguments) if arguments else b""
    return Request(wire.INVOKE, object_id, ((Attribute.OBJECT, object_id), (Attribute.METHOD, method), (Attribute.DATA, table)))


def _described(calls: Sequence[Call]) -> str:
    first = f"ubus {printable(calls[0].name)} {printable(calls[0].method)}" if calls else "ubus"
    return f"{first} and {len(calls) - 1} more" if len(calls) > 1 else first


def _status(answer: Answer) -> int:
    return wire.TIMEOUT if answer.status is None else answer.status


def _require(answer: Answer, what: str) -> None:
    if _status(answer):
        raise _refused(what, _status(answer))


def _refused(what: str, status: int) -> Refused:
    return Refused(f"{what}: {wire.status_word(status)}", status)
