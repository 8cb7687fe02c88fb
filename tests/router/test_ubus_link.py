"""The connection to ubusd, seen through `Ubus`: deadlines, what dies and comes back, what is none of ubus's, interruptions."""

from __future__ import annotations

import gc
import itertools
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.errors import Unavailable
from agent.router import ubus_link
from agent.router import ubus_message as wire
from agent.router.ubus import Call, Refused, Ubus
from agent.router.ubus_message import Attribute, Body, Message, Stream
from tests.router.strike import Strike, Struck
from tests.router.ubusd import HELLO, Ubusd, answering, data, echo, found, mute, objects, silent, status

ENOUGH_S = 20.0


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where ubusd listens."""
    return str(tmp_path / "ubus.sock")


def test_one_connection_serves_many_calls(path: str) -> None:
    """A call costs no connection."""
    with Ubusd(path, answering(objects({"a": 5}, echo))) as ubusd:
        ubus = Ubus(path)
        for _ in range(10):
            ubus.call("a", "m")
        assert ubusd.connections == 1
        ubus.close()


def test_ubusd_killed_and_back_is_called_again(path: str) -> None:
    """The next call finds the new ubusd, whose objects have other ids."""
    ubus = Ubus(path)
    with Ubusd(path, answering(objects({"a": 5}, echo))):
        ubus.call("a", "m")
    with Ubusd(path, answering(objects({"a": 99}, echo))):
        assert ubus.call("a", "m")["name"] == "a"
        ubus.close()


def test_a_new_ubusd_is_told_from_a_connection_that_we_dropped(path: str) -> None:
    """An object that hangs costs the connection; only another ubusd makes its clients come back one by one."""

    def hangs(message: Message, _: Body) -> bytes:
        return found(message, "a", 5) + status(message) if message.type == wire.LOOKUP else b""

    ubus = Ubus(path)
    with Ubusd(path, answering(hangs)) as ubusd:
        for _ in range(2):
            with pytest.raises(Refused):
                ubus.call("a", "m", timeout_s=0.1)
        assert (ubusd.connections, ubus.lives) == (2, 1)
    with Ubusd(path, answering(objects({"a": 99}, echo))):
        ubus.call("a", "m")
        assert ubus.lives == 2
        ubus.close()


def test_ubusd_killed_is_unavailable(path: str) -> None:
    """While it is away the sentence says so, and names what was asked."""
    ubus = Ubus(path)
    with Ubusd(path, answering(objects({"a": 5}, echo))):
        ubus.call("a", "m")
    with pytest.raises(Unavailable, match=r"^ubus a m: .*ubus.sock: Connection refused$"):
        ubus.call("a", "m")


def test_no_socket_is_unavailable(path: str) -> None:
    """A box without ubus."""
    with pytest.raises(Unavailable, match=r"^ubus a m and 1 more: .*ubus.sock: No such file or directory$"):
        Ubus(path).call_all([Call("a", "m"), Call("b", "m")])


def test_a_ubusd_that_dies_in_the_middle_is_asked_once_more_only(path: str) -> None:
    """One that dies at every call is not asked for ever."""

    def talk(connection: socket.socket) -> None:
        connection.sendall(HELLO)
        connection.recv(65536)

    with Ubusd(path, talk) as ubusd:
        ubus = Ubus(path)
        for _ in range(2):
            with pytest.raises(Unavailable, match=r"the connection was ended|reset|Broken pipe"):
                ubus.call("a", "m")
        assert ubusd.connections == 2


def test_an_object_that_does_not_answer_costs_its_deadline(path: str) -> None:
    """The call ends as a refusal for time."""
    with Ubusd(path, silent), pytest.raises(Refused, match=r"^ubus a m: request timed out$") as refused:
        Ubus(path, 0.05).call("a", "m")
    assert refused.value.status == wire.TIMEOUT


def test_a_deadline_can_be_given_for_one_call(path: str) -> None:
    """It stands instead of the one for all."""
    with Ubusd(path, silent), pytest.raises(Refused, match="timed out"):
        Ubus(path, 3600).call("a", "m", timeout_s=0.05)


def test_a_late_answer_is_not_taken_for_the_next(path: str) -> None:
    """What comes after the deadline goes to a connection that is no more."""
    late = threading.Event()
    answer = objects({"a": 5}, echo)

    def slow_once(message: Message, body: Body) -> bytes:
        if message.type == wire.INVOKE and not late.is_set():
            late.wait(ENOUGH_S)
        return answer(message, body)

    with Ubusd(path, answering(slow_once)):
        ubus = Ubus(path, ENOUGH_S)
        with pytest.raises(Refused):
            ubus.call("a", "m", {"n": 1}, timeout_s=0.1)
        late.set()
        assert ubus.call("a", "m", {"n": 2})["n"] == 2
        ubus.close()


@pytest.mark.parametrize("difference", [(1, 0), (0, 1)], ids=["number", "peer"])
def test_answers_to_others_are_not_taken(path: str, difference: tuple[int, int]) -> None:
    """Both the sequence number and the peer must be those of the question."""
    answer = objects({"a": 5}, echo)

    def confusing(message: Message, body: Body) -> bytes:
        stranger = message._replace(seq=message.seq + difference[0], peer=message.peer + difference[1])
        lie = data(stranger, {"name": "stranger"}) + status(stranger) if message.type == wire.INVOKE else b""
        return lie + answer(message, body)

    with Ubusd(path, answering(confusing)):
        ubus = Ubus(path)
        assert ubus.call("a", "m")["name"] == "a"
        ubus.close()


@pytest.mark.once
def test_sequence_numbers_begin_again_after_65535(path: str) -> None:
    """They are 16 bits wide."""
    answer = objects({"a": 5}, echo)
    seen = []

    def noting(message: Message, body: Body) -> bytes:
        seen.append(message.seq)
        return answer(message, body)

    with Ubusd(path, answering(noting)):
        ubus = Ubus(path, ENOUGH_S)
        for _ in range(66):
            ubus.call_all([Call("a", "m")] * 1000, ENOUGH_S)
        ubus.close()
    assert seen[65534:65537] == [65535, 0, 1]


def test_a_ubusd_that_accepts_but_does_not_greet_costs_the_deadline(path: str) -> None:
    """A stopped ubusd lets the kernel accept for it."""
    with Ubusd(path, mute), pytest.raises(Unavailable, match=r"^ubus a m: .*: no answer in time$"):
        Ubus(path, 0.05).call("a", "m")


def test_a_greeting_after_the_deadline_is_too_late(path: str) -> None:
    """Connecting is under the call's deadline, the greeting included: what comes later is not waited for."""
    is_over = threading.Event()

    def late(connection: socket.socket) -> None:
        is_over.wait(1.0)
        silent(connection)

    with Ubusd(path, late):
        with pytest.raises(Unavailable, match="no answer in time"):
            Ubus(path, 0.05).call("a", "m")
        is_over.set()


def test_a_ubusd_whose_queue_is_full_costs_the_deadline(path: str) -> None:
    """Long stopped, nothing is accepted any more; connecting is under the deadline too."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stopped:
        stopped.bind(path)
        stopped.listen(0)
        waiting = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(path)
        with pytest.raises(Unavailable, match=r"^ubus a m: .*: no answer in time$"):
            Ubus(path, 0.1).call("a", "m")
        for one in waiting:
            one.close()


def test_a_silent_ubusd_is_left_alone_for_a_while(path: str) -> None:
    """The collectors after the first do not wait for it as well."""
    with Ubusd(path, mute):
        ubus = Ubus(path, 0.05, monotonic=lambda: 1000.0)
        with pytest.raises(Unavailable):
            ubus.call("a", "m")
        with pytest.raises(Unavailable, match="gave no answer a moment ago"):
            ubus.call("a", "m", timeout_s=3600)


def test_a_silent_ubusd_is_asked_again_later(path: str) -> None:
    """Once it goes on, so do we."""
    now = itertools.count(0, ubus_link.LEFT_ALONE_S + 1)
    ubus = Ubus(path, 0.05, monotonic=lambda: float(next(now)))
    with Ubusd(path, mute), pytest.raises(Unavailable):
        ubus.call("a", "m")
    with Ubusd(path, answering(objects({"a": 5}, echo))):
        assert ubus.call("a", "m", timeout_s=ENOUGH_S)["name"] == "a"
        ubus.close()


def test_a_ubusd_that_refuses_is_not_left_alone(path: str) -> None:
    """One that was killed is back within seconds, and saying no costs no time."""
    ubus = Ubus(path, ENOUGH_S, monotonic=lambda: 1000.0)
    with pytest.raises(Unavailable, match="No such file"):
        ubus.call("a", "m")
    with Ubusd(path, answering(objects({"a": 5}, echo))):
        assert ubus.call("a", "m")["name"] == "a"
        ubus.close()


def test_a_call_without_time_does_not_make_ubusd_left_alone(path: str) -> None:
    """That we came too late says nothing of ubusd."""
    ubus = Ubus(path, ENOUGH_S, monotonic=lambda: 1000.0)
    with Ubusd(path, answering(objects({"a": 5}, echo))):
        with pytest.raises(Unavailable, match="no answer in time"):
            ubus.call("a", "m", timeout_s=0)
        assert ubus.call("a", "m")["name"] == "a"
        ubus.close()


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "a ubus message of version 72"),
        (wire.pack(wire.STATUS, 1, 0), "a ubus status without a number"),
        (wire.pack(wire.STATUS, 1, 0, ((Attribute.STATUS, b"\0"),)), "ubus attribute 1"),
        (b"\0\2\0\1\0\0\0\0\0\x20\0\0", "a ubus message of version 0 and 2097152 bytes"),
    ],
)
def test_what_is_no_ubus_is_unavailable_and_dropped(path: str, raw: bytes, reason: str) -> None:
    """The sentence says what was wrong; the next call begins anew."""
    with Ubusd(path, answering(lambda _, __: raw)):
        ubus = Ubus(path)
        with pytest.raises(Unavailable, match=rf"^ubus a m: {reason}"):
            ubus.call("a", "m")
        assert ubus.fileno() == -1


def test_what_does_not_greet_first_is_no_ubusd(path: str) -> None:
    """Another program's socket is not talked to."""
    raw = wire.pack(wire.STATUS, 0, 1, ((Attribute.STATUS, 0),))
    with Ubusd(path, lambda connection: connection.sendall(raw)), pytest.raises(Unavailable, match="expected a greeting"):
        Ubus(path).call("a", "m")


def test_a_megabyte_split_anywhere_is_one_answer(path: str) -> None:
    """The largest answer is read, in whatever pieces it comes."""
    text = "x" * ((1 << 20) - 100)

    def talk(connection: socket.socket) -> None:
        connection.sendall(HELLO)
        stream = Stream()
        while piece := connection.recv(65536):
            for message in stream.feed(piece):
                raw = objects({"a": 5}, lambda *_: {"t": text})(message, wire.unpack(message.body))
                for at in range(0, len(raw), 9973):
                    connection.sendall(raw[at : at + 9973])

    with Ubusd(path, talk):
        ubus = Ubus(path, ENOUGH_S)
        assert ubus.call("a", "m") == {"t": text}
        ubus.close()


TOO_MUCH = [
    ("messages", ubus_link.MOST_BODIES + 1, lambda message: data(message, {"n": 1})),
    ("bytes", 3, lambda message: data(message, {"t": "x" * ((1 << 20) - 100)})),
    ("events", ubus_link.MOST_HEARD + 1, lambda message: wire.pack(wire.INVOKE, 1, 0, ((Attribute.OBJECT, 5), (Attribute.METHOD, "e")))),
]


@pytest.mark.parametrize(("what", "number", "one"), TOO_MUCH, ids=[what for what, _, _ in TOO_MUCH])
def test_more_than_an_answer_may_have_is_refused(path: str, what: str, number: int, one: Callable[[Message], bytes]) -> None:
    """Also when it comes to an end: memory for it is bounded."""
    answer = objects({"a": 5}, echo)

    def flooding(message: Message, body: Body) -> bytes:
        return (one(message) * number if message.type == wire.INVOKE else b"") + answer(message, body)

    with Ubusd(path, answering(flooding)):
        ubus = Ubus(path, ENOUGH_S)
        with pytest.raises(Unavailable, match=rf"^ubus a m: more than \d+ {what}"):
            ubus.call("a", "m")
        assert ubus.fileno() == -1


def test_a_descriptor_passed_with_an_answer_is_closed(path: str) -> None:
    """Whoever passes us one does not fill our table of them."""
    reader, writer = os.pipe()
    answer = objects({"a": 5}, echo)

    def talk(connection: socket.socket) -> None:
        connection.sendall(HELLO)
        stream = Stream()
        while piece := connection.recv(65536):
            for message in stream.feed(piece):
                socket.send_fds(connection, [answer(message, wire.unpack(message.body))], [writer])

    with Ubusd(path, talk):
        ubus = Ubus(path)
        ubus.call("a", "m")
        os.close(writer)
        assert os.read(reader, 1) == b""  # the end of the pipe: nobody has its other side any more
        ubus.close()
    os.close(reader)


def test_close_is_no_end(path: str) -> None:
    """A call after it connects again."""
    with Ubusd(path, answering(objects({"a": 5}, echo))) as ubusd:
        ubus = Ubus(path)
        ubus.call("a", "m")
        ubus.close()
        ubus.call("a", "m")
        assert ubusd.connections == 2
        ubus.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("is_first", [True, False], ids=["connecting", "connected"])
def test_a_call_may_be_interrupted_at_any_instruction(path: str, is_first: bool) -> None:
    """The next call gives its own answer, and no descriptor is left over."""
    # An answer of several pieces: what is read of one and then forgotten would be missing from the stream.
    large: dict[str, object] = {"text": "x" * (3 * ubus_link.RECEIVE_BYTES)}
    with Ubusd(path, answering(objects({"a": 5, "b": 6}, lambda name, method, table: large if method == "struck" else echo(name, method, table)))):
        descriptors, ubus, at = 0, Ubus(path, ENOUGH_S, monotonic=itertools.count(0, 60).__next__), 0
        while True:
            at += 5
            ubus.call("b", "before")
            descriptors = descriptors or len(os.listdir("/proc/self/fd"))
            if is_first:
                ubus.close()
            strike = Strike(at)
            strike.arm()
            try:
                ubus.call_all([Call("a", "struck"), Call("b", "struck")])
            except Struck:
                pass
            finally:
                sys.settrace(None)
            assert ubus.call("a", "after", {"at": at}) == {"name": "a", "method": "after", "at": at}
            if strike.is_done:
                break
        gc.collect()
        assert at > 1000
        ubus.close()
    assert len(os.listdir("/proc/self/fd")) <= descriptors
