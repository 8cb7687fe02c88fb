"""paho's door over a socket pair: what CONNECT says, what notices come, and bytes that are not MQTT."""

from __future__ import annotations

import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.dialect import Version
from agent.notices import NO_REASON, Accepted, Acknowledged, Arrived, Ended, Secret, Subscribed, Terms, Will
from agent.session import TURNS_OF_READING, Session

TERMS = Terms(30, "rw-0501", Secret("planted-secret"), 14400, 16, 131072)
WILL = Will("wifi/v1/malang/rw-0501/presence", b'{"state":"lost"}', "application/json", 60)
CONNACK_5 = b"\x20\x03\x00\x00\x00"
CONNACK_4 = b"\x20\x02\x00\x00"


class Peer:
    """The broker's end of a session: says bytes, and reads what the session said."""

    def __init__(self, protocol: Version = 5) -> None:
        ours, self.sock = socket.socketpair()
        ours.setblocking(False)
        self.sock.settimeout(5)
        self.session = Session(ours, "rw-0501", protocol, TERMS, WILL)
        self.connect = self.sock.recv(4096)

    def say(self, data: bytes) -> list[Any]:
        """Say bytes; give the notices they made."""
        self.sock.sendall(data)
        return self.turn()

    def turn(self) -> list[Any]:
        self.session.turn()
        notices = list(self.session.inbox)
        self.session.inbox.clear()
        return notices

    def close(self) -> None:
        self.session.close()
        self.sock.close()

    def forget(self) -> Any:
        """Close and drop the session, and give paho's client."""
        self.session.close()
        client = self.session._client
        del self.session
        return client


@pytest.fixture
def open_peer() -> Iterator[Callable[..., Peer]]:
    """Make peers that are closed at the end; `is_accepted` lets CONNACK come first."""
    peers: list[Peer] = []

    def make(protocol: Version = 5, *, is_accepted: bool = True) -> Peer:
        peer = Peer(protocol)
        peers.append(peer)
        if is_accepted:
            assert peer.say(CONNACK_5 if protocol == 5 else CONNACK_4)[0].code == 0
        return peer

    yield make
    for peer in peers:
        peer.close()


def properties_of(data: bytes) -> tuple[dict[int, Any], bytes]:
    """Read MQTT 5 properties of the kinds we send; give them and what follows."""
    length, data = data[0], data[1:]
    part, rest = data[:length], data[length:]
    found: dict[int, Any] = {}
    while part:
        kind = part[0]
        if kind in (0x11, 0x27, 0x18, 0x02):
            found[kind], part = struct.unpack("!I", part[1:5])[0], part[5:]
        elif kind == 0x21:
            found[kind], part = struct.unpack("!H", part[1:3])[0], part[3:]
        else:
            size = struct.unpack("!H", part[1:3])[0]
            found[kind], part = part[3 : 3 + size].decode(), part[3 + size :]
    return found, rest


def packet(kind: int, flags: int, body: bytes) -> bytes:
    """Frame a body as one packet of any kind."""
    return bytes((kind << 4 | flags, len(body))) + body


# What CONNECT says.


def test_connect_in_mqtt_5_asks_for_what_the_contract_says(open_peer: Callable[..., Peer]) -> None:
    """No clean start, session expiry 4 h, receive maximum 16, packets of 128 KiB, a retained QoS 1 will after 60 s."""
    connect = open_peer(is_accepted=False).connect
    body = connect[3 if connect[1] & 0x80 else 2 :]
    assert body[:7] == b"\x00\x04MQTT\x05"
    flags, keepalive_s = body[7], struct.unpack("!H", body[8:10])[0]
    assert flags & 0x02 == 0
    assert flags & 0x3C == 0x2C
    assert keepalive_s == 30
    asked, rest = properties_of(body[10:])
    assert asked == {0x11: 14400, 0x21: 16, 0x27: 131072}
    assert rest[:9] == b"\x00\x07rw-0501"
    will, _ = properties_of(rest[9:])
    assert will == {0x18: 60, 0x03: "application/json"}


def test_connect_in_3_1_1_keeps_the_session(open_peer: Callable[..., Peer]) -> None:
    """clean_session is false, the will retained with QoS 1."""
    connect = open_peer(4, is_accepted=False).connect
    body = connect[3 if connect[1] & 0x80 else 2 :]
    assert body[:7] == b"\x00\x04MQTT\x04"
    assert body[7] == 0xEC


def test_a_secret_is_shown_nowhere() -> None:
    """Neither repr, str nor a format shows a password."""
    secret = Secret("planted-secret")
    assert "planted" not in f"{secret} {secret!r} {TERMS}"
    assert secret.reveal() == "planted-secret"


# What comes.


def test_what_the_broker_allows_comes_with_connack(open_peer: Callable[..., Peer]) -> None:
    """Receive maximum, maximum packet size and server keepalive are told."""
    peer = open_peer(is_accepted=False)
    assert peer.say(b"\x20\x0e\x00\x00\x0b\x21\x00\x04\x27\x00\x00\x07\xd0\x13\x00\x0a") == [Accepted(0, 4, 2000, 10)]


@pytest.mark.parametrize(("protocol", "code"), [(5, 0x87), (5, 0x84), (5, 0x89)])
def test_a_refusal_in_mqtt_5_is_told_by_its_code(open_peer: Callable[..., Peer], protocol: Version, code: int) -> None:
    """The reason code, then the end."""
    notices = open_peer(protocol, is_accepted=False).say(bytes((0x20, 3, 0, code, 0)))
    assert [notice.code for notice in notices] == [code, NO_REASON]


@pytest.mark.parametrize(("code", "translated"), [(2, 0x85), (3, 0x88), (4, 0x86), (5, 0x87)])
def test_a_refusal_in_3_1_1_is_told_in_mqtt_5s_codes(open_peer: Callable[..., Peer], code: int, translated: int) -> None:
    """Over either paho, so that one table serves both protocols."""
    notices = open_peer(4, is_accepted=False).say(bytes((0x20, 2, 0, code)))
    assert [notice.code for notice in notices] == [translated, NO_REASON]


def test_a_3_1_1_answer_to_mqtt_5_says_unsupported(open_peer: Callable[..., Peer]) -> None:
    """Brokers that do not know MQTT 5 answer with return code 1 of 3.1.1, some with the properties' length missing."""
    notices = open_peer(is_accepted=False).say(b"\x20\x02\x00\x01")
    assert notices[0] == Accepted(0x84, None, None, None)
    assert isinstance(notices[-1], Ended)


def test_an_end_is_told_once_and_last(open_peer: Callable[..., Peer]) -> None:
    """The broker closes: one Ended; closing again adds none."""
    peer = open_peer()
    peer.sock.close()
    assert peer.turn() == [Ended(NO_REASON)]
    peer.session.close()
    assert peer.turn() == []
    assert peer.session.fds() == {}


def test_a_disconnect_is_read_though_what_we_sent_last_failed(open_peer: Callable[..., Peer]) -> None:
    """A broker that ends the session closes at once; a message on its way then fails before its reason was read."""
    peer = open_peer()
    peer.sock.sendall(b"\xe0\x02\x8e\x00")
    peer.sock.close()
    peer.session.publish("wifi/v1/malang/rw-0501/report", b"{}", 1, False)
    assert peer.turn()[-1] == Ended(0x8E)


def test_a_connection_on_which_nothing_can_be_sent_ends(open_peer: Callable[..., Peer]) -> None:
    """Without a word of the broker's the failure is the reason, and the loop does not turn for ever."""
    peer = open_peer()
    peer.sock.close()
    peer.session.publish("wifi/v1/malang/rw-0501/report", b"{}", 1, False)
    notices = peer.turn() + peer.turn()
    assert notices[-1] == Ended(NO_REASON)
    assert peer.session.fds() == {}


@pytest.mark.parametrize(
    ("goodbye", "code"), [(b"\xe0\x01\x8e", 0x8E), (b"\xe0\x02\x8b\x00", 0x8B), (b"\xe0\x00", 0), (b"\xe0\x07\x87\x05\x1f\x00\x02no", 0x87)]
)
def test_a_disconnect_is_told_by_its_code(open_peer: Callable[..., Peer], goodbye: bytes, code: int) -> None:
    """With and without properties, also where paho 1.6.1 overhears it."""
    assert open_peer().say(goodbye) == [Ended(code)]


def test_a_puback_is_told_with_its_code(open_peer: Callable[..., Peer]) -> None:
    """Success, no subscriber (which is success) and refusal."""
    peer = open_peer()
    mids = [peer.session.publish("a/b", b"x", 1, False) or 0 for _ in range(3)]
    packets = b"\x40\x02" + struct.pack("!H", mids[0]) + b"\x40\x03" + struct.pack("!HB", mids[1], 0x10) + b"\x40\x04" + struct.pack("!HBB", mids[2], 0x87, 0)
    assert peer.say(packets) == [Acknowledged(mids[0], 0), Acknowledged(mids[1], 0x10), Acknowledged(mids[2], 0x87)]


def test_a_puback_in_3_1_1_is_success(open_peer: Callable[..., Peer]) -> None:
    """3.1.1 has no reason codes there."""
    peer = open_peer(4)
    mid = peer.session.publish("a/b", b"x", 1, False)
    assert mid is not None
    assert peer.say(b"\x40\x02" + struct.pack("!H", mid)) == [Acknowledged(mid, 0)]


@pytest.mark.parametrize(("protocol", "suback"), [(5, b"\x90\x05\x00\x01\x00\x01\x87"), (4, b"\x90\x04\x00\x01\x01\x80")])
def test_a_suback_is_told_with_its_codes(open_peer: Callable[..., Peer], protocol: Version, suback: bytes) -> None:
    """Each topic's code in order; 0x80 and above is refused in both protocols."""
    peer = open_peer(protocol)
    peer.session.subscribe([("a", 1), ("b", 0)])
    (notice,) = peer.say(suback)
    assert isinstance(notice, Subscribed)
    assert [code >= 0x80 for code in notice.codes] == [False, True]


def test_a_message_is_told_and_acknowledged(open_peer: Callable[..., Peer]) -> None:
    """A retained QoS 1 message comes as it is, and its PUBACK goes."""
    peer = open_peer()
    assert peer.say(b"\x33\x08\x00\x01a\x00\x07\x00\xff\x00") == [Arrived("a", b"\xff\x00", True)]
    assert peer.sock.recv(100) == b"\x40\x02\x00\x07"


def test_a_topic_that_is_not_utf_8_is_nobodys(open_peer: Callable[..., Peer]) -> None:
    """No crash: a message without a topic."""
    assert open_peer().say(b"\x30\x04\x00\x01\xff\x00") == [Arrived(None, b"", False)]


def test_more_messages_than_fit_are_counted(open_peer: Callable[..., Peer]) -> None:
    """A flood fills the inbox to its bound; the rest is counted."""
    peer = open_peer()
    peer.sock.sendall(b"\x30\x04\x00\x01a\x00" * 300)
    taken = 0
    until = time.monotonic() + 10
    while taken + peer.session.overflowed < 300 and time.monotonic() < until:
        peer.session.turn()
        taken = len(peer.session.inbox)
    assert (taken, peer.session.overflowed) == (256, 44)


def test_what_was_read_ahead_is_told_as_pending(open_peer: Callable[..., Peer]) -> None:
    """One reading takes what several packets need: no poll would tell of the rest, so the session does, and gives it in order."""
    peer = open_peer()
    count = TURNS_OF_READING + 10
    peer.sock.sendall(b"".join(b"\x30\x04\x00\x01a" + bytes((number,)) for number in [0] * count))
    first = peer.turn()
    assert (len(first), peer.session.has_pending()) == (TURNS_OF_READING, True)
    assert (len(peer.turn()), peer.session.has_pending()) == (10, False)


def test_a_packet_in_pieces_is_one_packet(open_peer: Callable[..., Peer]) -> None:
    """Wherever the network cuts a packet, nothing is told before all of it is there."""
    peer = open_peer()
    told = [peer.say(bytes((byte,))) for byte in b"\x30\x06\x00\x01a\x00xy"]
    assert told == [*([[]] * 7), [Arrived("a", b"xy", False)]]


def test_what_cannot_be_written_now_waits_for_the_poll(open_peer: Callable[..., Peer]) -> None:
    """A full socket makes the session ask for POLLOUT; nothing blocks, nothing is lost."""
    peer = open_peer()
    for _ in range(16):
        assert peer.session.publish("a", b"x" * 60000, 1, False) is not None
    (mask,) = peer.session.fds().values()
    assert mask & select.POLLOUT
    received, until = 0, time.monotonic() + 10
    while received < 16 * 60000 and time.monotonic() < until:
        received += len(peer.sock.recv(1 << 20))
        peer.session.turn()
    assert received > 16 * 60000


def test_publishing_over_a_dead_connection_gives_none(open_peer: Callable[..., Peer]) -> None:
    """No exception: the first waits for what the broker may have said last, the next is None, and the end is told."""
    peer = open_peer()
    peer.sock.close()
    peer.session.publish("a", b"x" * 100, 1, False)
    assert peer.session.publish("a", b"x", 1, False) is None
    assert peer.turn() == [Ended(NO_REASON)]


@pytest.mark.parametrize("protocol", [4, 5])
@settings(max_examples=150, deadline=None)
@given(data=st.one_of(st.binary(max_size=200), st.builds(packet, st.integers(1, 15), st.integers(0, 15), st.binary(max_size=60))))
@pytest.mark.parametrize("is_accepted", [False, True])
def test_bytes_that_are_not_mqtt_end_the_session_and_nothing_else(protocol: Version, is_accepted: bool, data: bytes) -> None:
    """Whatever a broker sends, before or after CONNACK: the session lives or is over, and no exception comes out."""
    peer = Peer(protocol)
    try:
        if is_accepted:
            peer.say(CONNACK_5 if protocol == 5 else CONNACK_4)
        peer.session.publish("a", b"x", 1, False)
        notices = peer.say(data)
        peer.session.keep_alive()
        assert peer.session.is_over == any(isinstance(notice, Ended) for notice in notices)
    finally:
        peer.close()


def test_a_closed_session_is_freed_at_once() -> None:
    """No cycle keeps paho's client: memory does not grow with reconnects."""
    peer = Peer()
    peer.say(CONNACK_5)
    client = peer.forget()
    peer.sock.close()
    # `client` here, and getrefcount's own argument.
    assert sys.getrefcount(client) == 2
