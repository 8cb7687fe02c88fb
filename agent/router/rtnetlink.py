"""Questions to the kernel about its network over rtnetlink, and its answers taken apart. Unprivileged: only asks, changes nothing, listens to nobody else.

Every length in an answer is checked against what there is, so that no answer, however broken, is more than `Unavailable`.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple

from agent.errors import Unavailable

TIMEOUT_S = 1.0
READ_BYTES = 32768  # the largest piece in which a kernel gives a list (linux/netlink.h: af_netlink.c, netlink_dump)
MOST_PIECES = 64  # of one answer, 2 MiB: 4,096 classes with all their figures
TRIES = 3  # of a list that changed while the kernel told it
GET_LINK, GET_QDISC, GET_CLASS, GET_FILTER = 18, 38, 42, 46  # linux/rtnetlink.h
ROOT = 0xFFFFFFFF  # TC_H_ROOT
_NEW = {GET_LINK: 16, GET_QDISC: 36, GET_CLASS: 40, GET_FILTER: 44}
_ERROR, _DONE = 2, 3
_TORN = 0x10  # NLM_F_DUMP_INTR: something came or went while the list was told, so that it may lack what was there all the time
# An acknowledgement ends each answer but a list's, which has an end of its own: of a device's built-in qdisc the kernel says nothing at all.
_ONE, _ECHO, _LIST = 1 | 4, 8, 1 | 0x300
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_LINK = struct.Struct("=BxHiII")
_TC = struct.Struct("=BxxxiIII")
TC_BYTES = _TC.size  # what stands before the attributes of a qdisc, class or filter
_ATTRIBUTE_BYTES = _ATTRIBUTE.size
_UNPACK_ATTRIBUTE, _UNPACK_TC = _ATTRIBUTE.unpack_from, _TC.unpack_from
_IFLA_IFNAME, _IFLA_EXT_MASK = 3, 29
_SKIP_STATISTICS = 1 << 3
_IFF_UP = 1
_TYPE = 0x3FFF  # without the flags of a nested one and of the byte order
_NOT_THERE = (errno.ENODEV, errno.ENOENT, errno.ENXIO, errno.EINVAL)  # the last where a device has no place for filters


class Link(NamedTuple):
    """A network device as the kernel counts it; `is_up`: switched on, whatever its carrier."""

    ifindex: int
    is_up: bool


class Tc(NamedTuple):
    """One qdisc, class or filter: what it is called, where it hangs, and its message. `info` is a filter's preference (high half) and protocol."""

    handle: int
    parent: int
    info: int
    raw: bytes


def attribute(raw: bytes, wanted: int, at: int = 0) -> bytes:
    """Give the first attribute of a type, b"" where there is none; Unavailable where one is longer than its list."""
    end = len(raw)
    while end - at >= _ATTRIBUTE_BYTES:
        size, kind = _UNPACK_ATTRIBUTE(raw, at)
        if not _ATTRIBUTE_BYTES <= size <= end - at:
            raise Unavailable("the kernel's answer has an attribute longer than its list")
        if kind & _TYPE == wanted:
            return raw[at + _ATTRIBUTE_BYTES : at + size]
        at += size + 3 & ~3
    return b""


def messages(raw: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Give the type, the flags, the sequence number and the body of each message; Unavailable where one is longer than what came."""
    at, end = 0, len(raw)
    while end - at >= _HEADER.size:
        size, kind, flags, sequence, _ = _HEADER.unpack_from(raw, at)
        if not _HEADER.size <= size <= end - at:
            raise Unavailable("the kernel's answer has a message longer than itself")
        yield kind, flags, sequence, raw[at + _HEADER.size : at + size]
        at += size + 3 & ~3


def parse_tc(body: bytes) -> Tc:
    """Read the body of a qdisc's, class's or filter's message."""
    if len(body) < TC_BYTES:
        raise Unavailable("the kernel's answer is cut short")
    _, _, handle, parent, info = _UNPACK_TC(body)
    return Tc(handle, parent, info, body)


class Kernel:
    """One conversation with the kernel; every answer has the number of its question. Closed by the `with`."""

    def __init__(self, connection: socket.socket | None = None) -> None:
        """Open it, or use what is open; Unavailable where this process may not."""
        self._number = 0
        self._is_torn = False
        try:
            self._socket = connection or socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        except OSError as error:
            raise Unavailable(f"the kernel cannot be asked over rtnetlink: {error.strerror}") from None
        self._socket.settimeout(TIMEOUT_S)

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def link(self, name: str) -> Link | None:
        """Ask for a device by its name; None when there is none."""
        told = os.fsencode(name)[:15] + b"\0"
        body = _LINK.pack(0, 0, 0, 0, 0) + _made(_IFLA_IFNAME, told) + _made(_IFLA_EXT_MASK, _SKIP_STATISTICS.to_bytes(4, sys.byteorder))
        for found in self._ask(GET_LINK, _ONE, body):
            if len(found) < _LINK.size:
                raise Unavailable("the kernel's answer is cut short")
            _, _, ifindex, flags, _ = _LINK.unpack_from(found)
            return Link(ifindex, bool(flags & _IFF_UP))
        return None

    def root(self, ifindex: int) -> Tc | None:
        """Ask for a device's root qdisc; None when it has none of its own."""
        # ECHO: without it older kernels give the answer to those who listen, and not to whoever asked.
        return next((parse_tc(body) for body in self._ask(GET_QDISC, _ONE | _ECHO, _TC.pack(0, ifindex, 0, ROOT, 0))), None)

    def classes(self, ifindex: int, parent: int) -> list[Tc]:
        """List the classes of a device's qdisc."""
        return [parse_tc(body) for body in self._ask(GET_CLASS, _LIST, _TC.pack(0, ifindex, 0, parent, 0))]

    def filters(self, ifindex: int, parent: int) -> list[Tc]:
        """List the filters at one place of a device."""
        return [parse_tc(body) for body in self._ask(GET_FILTER, _LIST, _TC.pack(0, ifindex, 0, parent, 0))]

    def filter(self, ifindex: int, parent: int, info: int, handle: int) -> Tc | None:
        """Ask for one filter by its handle; None when there is none."""
        return next((parse_tc(body) for body in self._ask(GET_FILTER, _ONE, _TC.pack(0, ifindex, handle, parent, info))), None)

    def _ask(self, question: int, flags: int, body: bytes) -> list[bytes]:
        """Give the bodies of the answer, [] when there is no such thing."""
        for _ in range(TRIES):
            found = self._answer(question, flags, body)
            if not self._is_torn:
                return found
        raise Unavailable(f"what the kernel has changed while it was told, {TRIES} times in a row")

    def _answer(self, question: int, flags: int, body: bytes) -> list[bytes]:
        """Ask once, and hear the answer to its end: else the kernel would be busy with it when it is asked again."""
        self._number += 1
        self._is_torn = False
        request = _HEADER.pack(_HEADER.size + len(body), question, flags, self._number, 0) + body
        found: list[bytes] = []
        try:
            self._socket.sendto(request, (0, 0))
            for _ in range(MOST_PIECES):
                raw, _, seen, sender = self._socket.recvmsg(READ_BYTES)
                if seen & socket.MSG_TRUNC:
                    break
                # Another process's is nobody's answer: only root could send one.
                if not sender[0] and self._take(raw, question, found):
                    return found
        except OSError as error:
            if error.errno in _NOT_THERE:
                return []
            raise Unavailable(f"the kernel cannot be asked over rtnetlink: {error.strerror or error}") from None
        raise Unavailable(f"the kernel's answer is longer than {MOST_PIECES} pieces of {READ_BYTES} bytes")

    def _take(self, raw: bytes, question: int, found: list[bytes]) -> bool:
        """Add what one piece brings; say whether that was all. OSError when the kernel says no."""
        for kind, flags, number, body in messages(raw):
            if number != self._number:
                continue
            self._is_torn = self._is_torn or bool(flags & _TORN)
            if kind in (_ERROR, _DONE):
                code = int.from_bytes(body[:4], sys.byteorder, signed=True)
                if code < 0:
                    raise OSError(-code, os.strerror(-code))
                return True
            if kind == _NEW[question]:
                found.append(body)
        return False


def _made(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE_BYTES + len(value), kind) + value + bytes(-len(value) % 4)
