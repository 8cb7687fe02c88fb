"""The kernel's answers over rtnetlink: taken apart within their bounds, told from others', and never more than Unavailable."""

from __future__ import annotations

import errno
import os
import resource
import socket
import struct
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Unavailable
from agent.router import rtnetlink
from agent.router.rtnetlink import GET_CLASS, GET_LINK, READ_BYTES, Kernel, Tc, attribute, messages, parse_tc

NEW_CLASS, NEW_FILTER, NEW_LINK, ERROR, DONE = 40, 44, 16, 2, 3


def message(kind: int, number: int, body: bytes, flags: int = 0) -> bytes:
    """One message as the kernel makes it."""
    return struct.pack("=IHHII", 16 + len(body), kind, flags, number, 0) + body + bytes(-len(body) % 4)


def ended(number: int, code: int = 0, kind: int = ERROR) -> bytes:
    return message(kind, number, code.to_bytes(4, sys.byteorder, signed=True))


def a_class(handle: int) -> bytes:
    return struct.pack("=BxxxiIII", 0, 7, handle, 0xFFFFFFFF, 0)


def a_link(ifindex: int, flags: int) -> bytes:
    return struct.pack("=BxHiII", 0, 1, ifindex, flags, 0)


class Wire:
    """A socket whose other end says what it was given, piece by piece: (bytes, sender, flags), or an error to raise."""

    def __init__(self, *pieces: Any) -> None:
        self.pieces = [piece if isinstance(piece, tuple | Exception) else (piece, 0, 0) for piece in pieces]
        self.sent: list[bytes] = []
        self.is_closed = False

    def settimeout(self, seconds: float) -> None:
        assert seconds > 0

    def sendto(self, request: bytes, address: tuple[int, int]) -> None:
        assert address == (0, 0)
        self.sent.append(request)

    def recvmsg(self, size: int) -> tuple[bytes, list[Any], int, tuple[int, int]]:
        piece = self.pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        return piece[0], [], piece[2], (piece[1], 0)

    def close(self) -> None:
        self.is_closed = True


def kernel(*pieces: Any) -> Kernel:
    return Kernel(Wire(*pieces))  # type: ignore[arg-type]  # what of a socket is used


def test_a_list_comes_in_pieces_and_ends() -> None:
    """What is in several pieces is one list, whose end is said."""
    asked = kernel(message(NEW_CLASS, 1, a_class(1)) + message(NEW_CLASS, 1, a_class(2)), message(NEW_CLASS, 1, a_class(3)), ended(1, kind=DONE))
    assert [one.handle for one in asked.classes(7, 0x10000)] == [1, 2, 3]


def test_each_question_has_a_number_and_other_answers_are_nobodys() -> None:
    """The rest of an answer that nobody waited for, and what another process sends, is passed over."""
    stray = message(NEW_CLASS, 1, a_class(9)) + ended(1, kind=DONE)
    forged = (message(NEW_CLASS, 2, a_class(8)) + ended(2, kind=DONE), 4242, 0)
    asked = kernel(ended(1, kind=DONE), stray, forged, message(NEW_CLASS, 2, a_class(1)) + ended(2, kind=DONE))
    assert asked.classes(7, 0) == []
    assert [one.handle for one in asked.classes(7, 0)] == [1]


def test_a_kind_that_was_not_asked_for_is_passed_over() -> None:
    """A note about a device among classes is no class."""
    assert kernel(message(NEW_LINK, 1, a_link(1, 1)) + ended(1, kind=DONE)).classes(7, 0) == []


@pytest.mark.parametrize("code", [errno.ENODEV, errno.ENOENT, errno.EINVAL])
def test_what_is_not_there_is_none(code: int) -> None:
    """A device, qdisc or filter that does not exist is no failure, at the end of a list neither."""
    assert kernel(ended(1, -code)).link("wlan0") is None
    assert kernel(ended(1, -code, DONE)).classes(7, 0) == []


def test_a_builtin_qdisc_is_answered_with_nothing() -> None:
    """Only the acknowledgement comes: then there is none, and nobody waits for more."""
    assert kernel(ended(1)).root(7) is None


def test_a_link_is_its_number_and_whether_it_is_up() -> None:
    """Up is switched on, with or without a carrier."""
    assert kernel(message(NEW_LINK, 1, a_link(7, 0x1003)) + ended(1)).link("wlan0") == (7, True)
    assert kernel(message(NEW_LINK, 1, a_link(7, 0x1002)), ended(1)).link("wlan0") == (7, False)


@pytest.mark.parametrize(
    "piece",
    [
        ended(1, -errno.EPERM),
        TimeoutError("timed out"),
        OSError(errno.ENOBUFS, "No buffer space available"),
        message(NEW_CLASS, 1, b"short"),
        struct.pack("=IHHII", 15, NEW_CLASS, 0, 1, 0),
        struct.pack("=IHHII", 999, NEW_CLASS, 0, 1, 0),
        (b"", 0, socket.MSG_TRUNC),
    ],
)
def test_what_cannot_be_had_is_unavailable(piece: Any) -> None:
    """The kernel says no, does not answer, or its answer is broken or cut."""
    with pytest.raises(Unavailable, match="kernel"):
        kernel(piece, ended(1, kind=DONE)).classes(7, 0)


def test_an_answer_without_end_is_cut_short() -> None:
    """So many pieces and no more."""
    asked = kernel(*[message(NEW_CLASS, 1, a_class(1))] * 1000)
    with pytest.raises(Unavailable, match="longer than 64 pieces"):
        asked.classes(7, 0)


def torn(number: int, *handles: int) -> bytes:
    """A list that changed while it was told; NLM_F_DUMP_INTR."""
    return b"".join(message(NEW_CLASS, number, a_class(handle), 0x10 | 2) for handle in handles) + ended(number, kind=DONE)


def test_a_list_that_changed_while_it_was_told_is_asked_for_again() -> None:
    """What it lacks may have been there all the time; its rest is heard first, for the kernel is busy with it."""
    asked = kernel(torn(1, 1, 2), message(NEW_CLASS, 2, a_class(3), 0x10), ended(2, kind=DONE), message(NEW_CLASS, 3, a_class(4)) + ended(3, kind=DONE))
    assert [one.handle for one in asked.classes(7, 0)] == [4]


def test_a_list_that_changes_each_time_is_unavailable() -> None:
    """A few times and no more."""
    with pytest.raises(Unavailable, match="3 times in a row"):
        kernel(*[torn(number, 1) for number in range(1, 9)]).classes(7, 0)


def test_a_hundred_thousand_filters_are_cut_short() -> None:
    """Whoever put them there, the agent holds two MiB of them at most; and no class of many is lost to that bound."""
    piece = (message(NEW_FILTER, 1, a_class(1) + bytes(76)) * 300)[:READ_BYTES]
    with pytest.raises(Unavailable, match="longer than"):
        kernel(*[piece] * 400).filters(7, 0)
    many = [message(NEW_CLASS, 1, a_class(number) + bytes(460)) for number in range(4000)]
    pieces = [b"".join(many[at : at + 65]) for at in range(0, len(many), 65)]
    assert len(kernel(*pieces, ended(1, kind=DONE)).classes(7, 0)) == 4000


def test_the_socket_is_closed_behind_each_reading() -> None:
    """No descriptor is left, also when it fails."""
    wire = Wire(TimeoutError("timed out"))
    with pytest.raises(Unavailable), Kernel(wire) as asked:  # type: ignore[arg-type]  # as above
        asked.link("wlan0")
    assert wire.is_closed


def test_only_questions_are_sent() -> None:
    """Each request is a GET: nothing that this module sends can change anything."""
    wire = Wire(*[ended(number) for number in range(1, 6)])
    with Kernel(wire) as asked:  # type: ignore[arg-type]  # as above
        asked.link("wlan0"), asked.root(1), asked.classes(1, 2), asked.filters(1, 2), asked.filter(1, 2, 3, 4)
    kinds = [struct.unpack_from("=IHHII", request)[1] for request in wire.sent]
    assert kinds == [GET_LINK, rtnetlink.GET_QDISC, GET_CLASS, rtnetlink.GET_FILTER, rtnetlink.GET_FILTER]


def test_where_no_socket_is_to_be_had_the_kernel_cannot_be_asked() -> None:
    """As in a jail, or with a kernel that has none: said with the reason, and it works as soon as there is one."""
    free = os.open("/dev/null", os.O_RDONLY)
    os.close(free)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        with pytest.raises(Unavailable, match="cannot be asked over rtnetlink: Too many open files"):
            Kernel()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    with Kernel() as asked:
        assert asked.link("rw-nowhere-0") is None


@pytest.mark.parametrize("raw", [b"\x03\0\x01\0", b"\x09\0\x01\0abcd", b"\0\0\0\0"])
def test_an_attribute_beyond_its_list_is_refused(raw: bytes) -> None:
    """A length that is none, or more than there is."""
    with pytest.raises(Unavailable, match="attribute"):
        attribute(raw, 2)


def test_the_flags_of_a_type_are_no_part_of_it() -> None:
    """NLA_F_NESTED and NLA_F_NET_BYTEORDER; and what is no whole attribute at the end is padding."""
    raw = struct.pack("=HH4s", 5, 1, b"a") + struct.pack("=HH", 4, 0x8002) + struct.pack("=HHI", 8, 0x4003, 7) + b"\0\0"
    assert [attribute(raw, kind) for kind in (1, 2, 3, 4)] == [b"a", b"", struct.pack("=I", 7), b""]


@given(st.binary(max_size=200), st.integers(0, 20), st.integers(0, 8))
def test_bytes_without_sense_are_unavailable_at_most(raw: bytes, kind: int, at: int) -> None:
    """Taken apart in any way, noise ends, within itself."""
    for take in (lambda: list(messages(raw)), lambda: attribute(raw, kind, at), lambda: parse_tc(raw)):
        try:
            found = take()
        except Unavailable:
            continue
        assert isinstance(found, Tc) or len(found) <= len(raw)


@given(st.lists(st.binary(max_size=120) | st.builds(message, st.integers(0, 60), st.just(1), st.binary(max_size=60)), max_size=5))
def test_a_mad_kernel_is_unavailable_at_most(pieces: list[bytes]) -> None:
    """Whatever is answered to whatever question."""
    for ask in (lambda at: at.link("wlan0"), lambda at: at.root(1), lambda at: at.classes(1, 2), lambda at: at.filter(1, 2, 3, 4)):
        try:
            ask(kernel(*pieces, TimeoutError("timed out")))
        except Unavailable:
            continue


def test_the_machines_own_kernel_knows_the_loopback() -> None:
    """Over the real socket, and of a name that is none it says so."""
    with Kernel() as asked:
        found = asked.link("lo")
        assert found is not None and found.ifindex == socket.if_nametoindex("lo")
        assert asked.link("rw-nowhere-0") is None and asked.link("x" * 300) is None
        assert asked.filters(found.ifindex, 0xFFFFFFF3) == [] and READ_BYTES == 32768
