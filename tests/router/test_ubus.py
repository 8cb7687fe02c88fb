"""ubus over a real socket: the recorded conversations to the byte, objects that go and come back, events."""

from __future__ import annotations

import gc
import json
import select
import socket
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.errors import Unavailable
from agent.router import blobmsg
from agent.router import ubus_message as wire
from agent.router.ubus import GONE, Call, Event, Refused, Ubus
from agent.router.ubus_message import Attribute, Body, Message, Stream
from tests.replayed import counted
from tests.router.strike import Strike, Struck
from tests.router.ubus_recordings import NAMES, Recording, recording
from tests.router.ubusd import HELLO, Ubusd, answering, data, echo, found, objects, status

RECORDED = "ubus recordings replayed"
ENOUGH_S = 20.0


class Played:
    """A ubusd that sends what was recorded, and notes whether it was asked what was recorded."""

    def __init__(self, played: Recording) -> None:
        self.played = played
        self.received = b""
        self.is_over = threading.Event()

    def __call__(self, connection: socket.socket) -> None:
        connection.settimeout(ENOUGH_S)
        try:
            for sender, raw in self.played.steps:
                if sender == "ubusd":
                    connection.sendall(raw)
                    continue
                upto = len(self.received) + len(raw)
                while len(self.received) < upto and (piece := connection.recv(upto - len(self.received))):
                    self.received += piece
        finally:
            self.is_over.set()
        # What is asked beyond the recording shows as a difference too.
        while piece := connection.recv(65536):
            self.received += piece


def rounded(value: object) -> object:
    """Give floats the 6 digits that the command prints."""
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return float(f"{value:f}") if isinstance(value, float) else value


def heard(ubus: Ubus, number: int) -> list[Event]:
    """Wait for events."""
    until, events = time.monotonic() + ENOUGH_S, ubus.drain()
    while len(events) < number and time.monotonic() < until:
        select.select([ubus.fileno()], [], [], 1)
        events += ubus.drain()
    return events


def shown(ubus: Ubus, command: list[str], lines: int) -> object:
    """Do what the command did, and give what it printed, read as JSON (the names of `list` line by line)."""
    words = [word for word in command[1:] if not word.startswith("-")]
    if words[0] == "call":
        return rounded(ubus.call(words[1], words[2], json.loads(words[3]) if words[3:] else None))
    if words[0] == "list":
        return sorted(ubus.lookup(*words[1:]))
    if words[0] == "listen":
        ubus.listen(["*"])
    else:
        ubus.subscribe(words[1:])
    return [{event.name: rounded(event.table)} for event in heard(ubus, lines)]


def printed(played: Recording) -> object:
    """Read what the command printed."""
    if played.command[1] == "call":
        return json.loads(played.stdout)
    if played.command[1] == "list":
        return sorted(played.stdout.split())
    if "list" in played.command:
        return [line.split("'")[1] for line in played.stdout.splitlines() if line.startswith("'")]
    return [json.loads(line) for line in played.stdout.splitlines()]


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_conversation_is_the_same(name: str, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """We ask what the `ubus` command asked, byte for byte, and read what it printed, or refuse with its status."""
    played = recording(name)
    talk = Played(played)
    with Ubusd(str(tmp_path / "ubus.sock"), talk) as ubusd:
        ubus = Ubus(ubusd.path, ENOUGH_S)
        result: object
        try:
            result = shown(ubus, played.command, len(played.stdout.splitlines()))
        except Refused as error:
            assert error.status == played.status
        else:
            assert result == ([] if played.exit else printed(played))
        assert talk.is_over.wait(ENOUGH_S)
        ubus.close()
    assert talk.received == played.sent("client")
    record_property(counted(RECORDED), 1)


_TYPES = {blobmsg.INT32: "Integer", blobmsg.INT8: "Boolean", blobmsg.STRING: "String", blobmsg.TABLE: "Table", blobmsg.ARRAY: "Array"}


def test_a_recorded_signature_decodes_as_it_was_printed() -> None:
    """What `ubus -v list` shows of an object's methods is blobmsg too."""
    played = recording("list-verbose-system")
    message = Stream().feed(played.sent("ubusd"))[1]
    at = message.body.index(b"\6\0\1\x74")
    table = blobmsg.decode(message.body[at + 4 : at + 0x174])
    lines = [f'"{name}":' + json.dumps({key: _TYPES[kind] for key, kind in arguments.items()}, separators=(",", ":")) for name, arguments in table.items()]  # type: ignore[attr-defined]  # a signature is a table of tables
    assert lines == [line.strip() for line in played.stdout.splitlines()[1:]]


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where ubusd listens."""
    return str(tmp_path / "ubus.sock")


def test_an_object_is_looked_up_once(path: str) -> None:
    """Its id is remembered."""
    asked = []
    answer = objects({"a": 5}, echo)

    def noting(message: Message, body: Body) -> bytes:
        asked.append(message.type)
        return answer(message, body)

    with Ubusd(path, answering(noting)):
        ubus = Ubus(path)
        ubus.call("a", "m")
        ubus.call("a", "m")
        ubus.close()
    assert asked == [wire.LOOKUP, wire.INVOKE, wire.INVOKE]


def test_call_all_gives_answers_in_the_order_of_the_calls(path: str) -> None:
    """Each result stands where its call stood, whatever was refused in between."""
    with Ubusd(path, answering(objects({"a": 5, "b": 6}, echo))):
        ubus = Ubus(path)
        results = ubus.call_all([Call("a", "m", {"n": 1}), Call("none", "m"), Call("b", "3"), Call("b", "m"), Call("a", "m", {"n": 2})])
        ubus.close()
    given = [result.status if isinstance(result, Refused) else (result["name"], result.get("n")) for result in results]
    assert given == [("a", 1), wire.NOT_FOUND, wire.METHOD_NOT_FOUND, ("b", None), ("a", 2)]


def test_call_all_sends_everything_before_it_waits(path: str) -> None:
    """Answers may come in any order, after the last question."""
    answer = objects({"a": 5, "b": 6}, echo)

    def talk(connection: socket.socket) -> None:
        connection.sendall(HELLO)
        stream = Stream()
        for _ in range(2):
            messages: list[Message] = []
            while len(messages) < 2:
                messages += stream.feed(connection.recv(65536))
            connection.sendall(b"".join(answer(message, wire.unpack(message.body)) for message in reversed(messages)))

    with Ubusd(path, talk):
        ubus = Ubus(path, ENOUGH_S)
        results = ubus.call_all([Call("a", "m"), Call("b", "m")])
        ubus.close()
    assert [result["name"] for result in results if not isinstance(result, Refused)] == ["a", "b"]


def test_call_all_of_nothing_asks_nobody(path: str) -> None:
    """No calls need no ubusd."""
    assert Ubus(path).call_all([]) == []


def test_a_refusal_names_object_method_and_reason(path: str) -> None:
    """The sentence is fit for a report."""
    with Ubusd(path, answering(objects({"hostapd.phy0-ap0": 5}, echo))):
        ubus = Ubus(path)
        with pytest.raises(Refused, match=r"^ubus hostapd\.phy0-ap0 6: permission denied$") as refused:
            ubus.call("hostapd.phy0-ap0", "6")
        ubus.close()
    assert refused.value.status == wire.PERMISSION_DENIED


def test_a_refusal_keeps_nothing_of_where_it_ended(path: str) -> None:
    """Frames hold a whole sample: they go with the error, not when the collector of cycles comes by."""

    class Sample:
        pass

    def collect(ubus: Ubus) -> weakref.ref[Sample]:
        sample = Sample()
        try:
            ubus.call("hostapd.phy0-ap0", "6")
        except Refused:
            return weakref.ref(sample)
        raise AssertionError

    with Ubusd(path, answering(objects({"hostapd.phy0-ap0": 5}, echo))):
        ubus = Ubus(path)
        gc.disable()
        try:
            assert collect(ubus)() is None
        finally:
            gc.enable()
        ubus.close()


def test_an_object_shown_to_nobody_is_denied_not_missing(path: str) -> None:
    """ubusd ends the lookup of an object none of whose methods we may call with success and no object."""
    with Ubusd(path, answering(lambda message, _: status(message))):
        ubus = Ubus(path)
        with pytest.raises(Refused) as refused:
            ubus.call("uci", "get")
        ubus.close()
    assert refused.value.status == wire.PERMISSION_DENIED


def test_an_answer_in_several_messages_is_one_table(path: str) -> None:
    """Parts are put together in the order in which they come."""

    def answer(message: Message, _: Body) -> bytes:
        if message.type == wire.LOOKUP:
            return found(message, "a", 5) + status(message)
        return data(message, {"x": 1, "y": 1}) + data(message, {"y": 2, "z": 3}) + status(message)

    with Ubusd(path, answering(answer)):
        ubus = Ubus(path)
        assert ubus.call("a", "m") == {"x": 1, "y": 2, "z": 3}
        ubus.close()


def test_a_call_without_an_answer_gives_an_empty_table(path: str) -> None:
    """rpcd's `uci get` of a missing section says success and nothing else."""
    with Ubusd(path, answering(lambda message, _: (found(message, "a", 5) if message.type == wire.LOOKUP else b"") + status(message))):
        ubus = Ubus(path)
        assert ubus.call("a", "m") == {}
        ubus.close()


def test_lookup_takes_the_beginning_of_names(path: str) -> None:
    """As ubusd does, an asterisk stands at the end."""
    with Ubusd(path, answering(objects({"hostapd": 4, "hostapd.phy0-ap0": 5, "hostapd.phy1-ap0": 0xFFFFFFFE, "system": 6}, echo))):
        ubus = Ubus(path)
        assert ubus.lookup("hostapd.*") == {"hostapd.phy0-ap0": 5, "hostapd.phy1-ap0": 0xFFFFFFFE}
        ubus.close()


def test_lookup_of_nothing_there_is_empty(path: str) -> None:
    """No object is no fault."""
    with Ubusd(path, answering(objects({}, echo))):
        ubus = Ubus(path)
        assert ubus.lookup("hostapd.*") == {}
        ubus.close()


def test_an_object_that_came_back_under_another_id_is_found(path: str) -> None:
    """`wifi down` and `up` make a new object of the old name."""
    ids = {"a": 5}
    with Ubusd(path, answering(objects(ids, echo))):
        ubus = Ubus(path)
        ubus.call("a", "m")
        ids["a"] = 6
        assert ubus.call("a", "m")["name"] == "a"
        ubus.close()


def test_a_regular_round_is_one_exchange(path: str) -> None:
    """Lookup and calls of what is known go out together; what is not known yet, or is another object by now, is left to be called again."""
    asked: list[int] = []
    ids = {"a": 5, "b": 6}
    answer = objects(ids, echo)

    def noting(message: Message, body: Body) -> bytes:
        asked.append(message.type)
        return answer(message, body)

    with Ubusd(path, answering(noting)):
        ubus = Ubus(path)
        assert ubus.lookup_and_call("a", [Call("a", "m")]) == ({"a": 5}, [None])
        there, (told,) = ubus.lookup_and_call("a", [Call("a", "m")])
        assert (there, isinstance(told, dict)) == ({"a": 5}, True)
        ids["a"] = 7
        assert ubus.lookup_and_call("a", [Call("a", "m"), Call("b", "m")]) == ({"a": 7}, [None, None])
        (again,) = ubus.call_all([Call("a", "m")])
        ubus.close()
    assert isinstance(again, dict)
    assert asked == [wire.LOOKUP, wire.LOOKUP, wire.INVOKE, wire.LOOKUP, wire.INVOKE, wire.INVOKE]


def test_an_object_that_is_gone_is_not_found(path: str) -> None:
    """Its id is looked up again once, no more."""
    ids = {"a": 5}
    with Ubusd(path, answering(objects(ids, echo))):
        ubus = Ubus(path)
        ubus.call("a", "m")
        ids.clear()
        with pytest.raises(Refused, match=r"^ubus a m: not found$"):
            ubus.call("a", "m")
        ubus.close()


def test_one_object_that_hangs_costs_the_others_nothing(path: str) -> None:
    """Of calls made together, those answered in time count."""
    answer = objects({"a": 5, "b": 6, "c": 7}, echo)

    def forgetful(message: Message, body: Body) -> bytes:
        return b"" if message.type == wire.INVOKE and body.object == 6 else answer(message, body)

    with Ubusd(path, answering(forgetful)):
        results = Ubus(path, 0.3).call_all([Call("a", "m"), Call("b", "m"), Call("c", "m")])
    assert [result.status if isinstance(result, Refused) else result["name"] for result in results] == ["a", wire.TIMEOUT, "c"]


def test_a_table_that_is_none_is_unavailable_and_dropped(path: str) -> None:
    """The owner of an object may send anything; ubusd does not look."""

    def answer(message: Message, _: Body) -> bytes:
        if message.type == wire.LOOKUP:
            return found(message, "a", 5) + status(message)
        return wire.pack(wire.DATA, message.seq, message.peer, ((Attribute.DATA, b"\xff" * 12),)) + status(message)

    with Ubusd(path, answering(answer)):
        ubus = Ubus(path)
        with pytest.raises(Unavailable, match=r"^ubus a m: an attribute is longer"):
            ubus.call("a", "m")
        assert ubus.fileno() == -1


def test_arguments_that_blobmsg_cannot_hold_leave_the_connection_alone(path: str) -> None:
    """A mistake of ours is one before anything is sent."""
    with Ubusd(path, answering(objects({"a": 5}, echo))) as ubusd:
        ubus = Ubus(path)
        ubus.call("a", "m")
        with pytest.raises(TypeError):
            ubus.call("a", "m", {"raw": b""})
        ubus.call("a", "m")
        assert ubusd.connections == 1
        ubus.close()


def notifying(*messages: bytes) -> Callable[[socket.socket], None]:
    """Answer whoever listens or subscribes, and then send this."""
    answer = objects({"a": 5, "b": 6}, lambda *_: 0)

    def talk(connection: socket.socket) -> None:
        connection.sendall(HELLO)
        stream = Stream()
        while piece := connection.recv(65536):
            for message in stream.feed(piece):
                raw = b"" if message.type == wire.STATUS else answer(message, wire.unpack(message.body))
                is_last = message.type in (wire.SUBSCRIBE, wire.INVOKE)
                connection.sendall(raw + (b"".join(messages) if is_last else b""))

    return talk


def event(name: str, table: dict[str, object], own: int = 0xC0FFEE01) -> bytes:
    """Write what ubusd delivers to an object of ours."""
    attributes = ((Attribute.OBJECT, own), (Attribute.METHOD, name), (Attribute.NO_REPLY, True), (Attribute.DATA, blobmsg.encode(table)))
    return wire.pack(wire.INVOKE, 77, 88, attributes)


def test_events_that_come_with_an_answer_are_kept_for_drain(path: str) -> None:
    """Nothing heard during a call is lost."""
    with Ubusd(path, notifying(event("e", {"n": 1}), event("e", {"n": 2}))):
        ubus = Ubus(path)
        ubus.listen(["e"])
        ubus.call("a", "m")
        assert [one.table["n"] for one in heard(ubus, 4)] == [1, 2, 1, 2]
        ubus.close()


def test_a_notification_says_whose_it_is(path: str) -> None:
    """Each object subscribed to is heard by an object of its own."""
    with Ubusd(path, notifying(event("e", {}, 0xC0FFEE02))):
        ubus = Ubus(path)
        ubus.subscribe(["a", "b"])
        assert heard(ubus, 2)[0] == Event("b", "e", {})
        ubus.close()


def test_an_object_subscribed_to_that_vanishes_is_said_to_be_gone(path: str) -> None:
    """ubusd tells it with a message of its own; nobody comes back by themselves."""
    with Ubusd(path, notifying(wire.pack(wire.UNSUBSCRIBE, 1, 0, ((Attribute.OBJECT, 0xC0FFEE01), (Attribute.TARGET, 5))))):
        ubus = Ubus(path)
        ubus.subscribe(["a"])
        assert heard(ubus, 1) == [Event("a", GONE, {})]
        ubus.close()


def test_subscribing_to_what_is_not_there_is_refused(path: str) -> None:
    """The sentence names it."""
    with Ubusd(path, notifying()):
        ubus = Ubus(path)
        with pytest.raises(Refused, match=r"^ubus subscribe none: not found$"):
            ubus.subscribe(["none"])
        ubus.close()


def test_events_for_objects_that_are_not_ours_are_not_heard(path: str) -> None:
    """Nor does a stranger's end ours."""
    with Ubusd(path, notifying(event("stranger", {}, 1), event("e", {}))):
        ubus = Ubus(path)
        ubus.listen(["e"])
        assert [one.name for one in heard(ubus, 1)] == ["e"]
        ubus.close()


def test_drain_without_listening_is_empty(path: str) -> None:
    """And needs no connection."""
    assert Ubus(path).drain() == []


def test_drain_says_when_hearing_ended(path: str) -> None:
    """Who listens must look at everything anew, for events are lost."""
    ubus = Ubus(path)
    with Ubusd(path, notifying()):
        ubus.listen(["e"])
    with pytest.raises(Unavailable, match="connection was lost"):
        ubus.drain()


def test_drain_says_so_even_after_a_reconnection(path: str) -> None:
    """A call that made a new connection does not hide the loss."""
    ubus = Ubus(path)
    with Ubusd(path, notifying()):
        ubus.listen(["e"])
    with Ubusd(path, answering(objects({"a": 5}, echo))):
        ubus.call("a", "m")
        with pytest.raises(Unavailable, match="connection was lost"):
            ubus.drain()
        ubus.close()


def test_listening_can_begin_anew(path: str) -> None:
    """After the loss, on the new connection."""
    ubus = Ubus(path)
    with Ubusd(path, notifying()):
        ubus.listen(["e"])
    with Ubusd(path, notifying(event("e", {}))):
        with pytest.raises(Unavailable):
            ubus.drain()
        ubus.listen(["e"])
        assert heard(ubus, 1) == [Event("", "e", {})]
        ubus.close()


def test_a_drain_may_be_interrupted_at_any_instruction(path: str) -> None:
    """The next one gives the event that was not given, or says that it is lost; only a strike after the last step, the return, goes unsaid."""
    with Ubusd(path, notifying(event("e", {}))):
        at, unsaid, is_done = 0, [], False
        while not is_done:
            at += 1
            ubus = Ubus(path, ENOUGH_S)
            ubus.listen(["e"])
            assert ubus.call("a", "m") == {}  # by now the event has come
            strike = Strike(at)
            strike.arm()
            try:
                assert [one.name for one in ubus.drain()] == ["e", "e"]
            except Struck:
                sys.settrace(None)
                try:
                    unsaid += [at] if not ubus.drain() else []
                except Unavailable:
                    pass
            finally:
                sys.settrace(None)
            is_done = strike.is_done
            ubus.close()
        assert at > 100
        assert all(number > at - 10 for number in unsaid)


def test_a_pipe_of_events_without_end_is_dropped(path: str) -> None:
    """Who does not drain in time loses hearing, not memory."""

    def talk(connection: socket.socket) -> None:
        answer = objects({}, lambda *_: 0)
        connection.sendall(HELLO)
        stream = Stream()
        while piece := connection.recv(65536):
            for message in stream.feed(piece):
                connection.sendall(answer(message, wire.unpack(message.body)))
                if message.type == wire.INVOKE:
                    connection.sendall(event("e", {}) * 5000)

    with Ubusd(path, talk):
        ubus = Ubus(path)
        ubus.listen(["e"])
        with pytest.raises(Unavailable, match="connection was lost"):
            heard(ubus, 5001)
