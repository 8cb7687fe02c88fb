"""An MQTT client of a test's own, with any certificate, client id and protocol: what it is given, and what it hears."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import paho.mqtt.client as mqtt

from tests.stories.world import until

V3, V5 = mqtt.MQTTv311, mqtt.MQTTv5
PATIENCE_S = 40.0
_VERSIONS = {V3: "3.1.1", V5: "5"}


class Files(NamedTuple):
    """Where a client's authority, certificate and key lie."""

    ca: Path
    cert: Path
    key: Path


class Will(NamedTuple):
    """What the broker is to say when the connection ends without a goodbye."""

    topic: str
    payload: bytes
    retain: bool = False


class Heard(NamedTuple):
    """One message as it came."""

    topic: str
    payload: bytes
    is_retained: bool


class Denied(Exception):
    """The broker did not take the connection; the text says at which step."""


def context_of(files: Files | None, *, newest: ssl.TLSVersion | None = None, is_checked: bool = True) -> ssl.SSLContext:
    """Make what TLS needs: the authority to check the broker by, and the certificate to show."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if files is None or not is_checked:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if files is not None:
        context.load_verify_locations(files.ca)
        context.load_cert_chain(files.cert, files.key)
    if newest is not None:
        context.maximum_version = newest
    return context


class Point:
    """One client. `clean` False keeps its session at the broker; `client_id` is what it asks for, whatever its certificate says."""

    def __init__(
        self,
        host: str,
        port: int,
        context: ssl.SSLContext | None,
        client_id: str,
        *,
        protocol: int = V3,
        clean: bool = True,
        will: Will | None = None,
        user: str | None = None,
    ) -> None:
        self.heard: list[Heard] = []
        self.ended_at: float | None = None
        self.refused_publishes = 0
        self._address = (host, port)
        self._changed = threading.Condition()
        self._connected: Any = None
        self._granted: dict[int, bool] = {}
        self._sent: set[int] = set()
        how: dict[str, Any] = {} if protocol == V5 else {"clean_session": clean}
        self._client: Any = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id, protocol=protocol, reconnect_on_failure=False, **how)
        self._start: dict[str, Any] = {}
        if protocol == V5:
            kept = mqtt.Properties(mqtt.PacketTypes.CONNECT)
            kept.SessionExpiryInterval = 0 if clean else 3600
            self._start = {"clean_start": clean, "properties": kept}
        if context is not None:
            self._client.tls_set_context(context)
        if user is not None:
            self._client.username_pw_set(user, "x")
        if will is not None:
            self._client.will_set(will.topic, will.payload, qos=1, retain=will.retain)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.on_subscribe = self._on_subscribe
        self._client.on_publish = self._on_publish

    def connect(self, within_s: float = PATIENCE_S) -> Point:
        """Connect and wait for the broker's answer; Denied when it says no, or ends the connection."""
        try:
            self._client.connect(*self._address, keepalive=60, **self._start)
        except OSError as error:
            raise Denied(f"no connection: {error}") from None
        self._client.loop_start()
        self._wait(lambda: self._connected is not None or self.ended_at is not None, "an answer to CONNECT", within_s)
        if self._connected is None or self._connected.is_failure:
            self.leave()
            raise Denied("ended before an answer" if self._connected is None else f"refused: {self._connected}")
        return self

    def subscribe(self, *filters: str) -> Point:
        """Subscribe, one filter in each packet, so that a forbidden one spoils no other; wait for the answers."""
        asked = [self._client.subscribe(each, qos=1)[1] for each in filters]
        self._wait(lambda: self.ended_at is not None or all(each in self._granted for each in asked), "answers to SUBSCRIBE")
        return self

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, qos: int = 1) -> None:
        """Publish, and wait until the broker has answered where it has to; whether it let it through is not said here."""
        mid = self._client.publish(topic, payload, qos=qos, retain=retain).mid
        self._wait(lambda: self.ended_at is not None or mid in self._sent, f"an answer to PUBLISH on {topic}")

    def wait(self, topic: str, payload: bytes, within_s: float = PATIENCE_S) -> Heard:
        """Wait for a message; give it."""
        found: list[Heard] = []

        def is_here() -> bool:
            found[:] = [each for each in self.heard if each.topic == topic and each.payload == payload]
            return bool(found)

        self._wait(is_here, f"{payload!r} on {topic}", within_s)
        return found[0]

    def wait_ended(self, within_s: float) -> float:
        """Wait until the connection has ended; give when (monotonic)."""
        self._wait(lambda: self.ended_at is not None, "the end of the connection", within_s)
        assert self.ended_at is not None
        return self.ended_at

    @property
    def is_connected(self) -> bool:
        """Say whether the connection stands."""
        return self._connected is not None and self.ended_at is None

    def payloads(self) -> set[bytes]:
        """Give every payload heard so far."""
        return {each.payload for each in self.heard[:]}

    def drop(self) -> None:
        """End the connection without a goodbye, as a power cut does."""
        sock = self._client.socket()
        if sock is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        self.wait_ended(PATIENCE_S)
        self._client.loop_stop()

    def leave(self) -> None:
        """Disconnect in order."""
        self._client.disconnect()
        self._client.loop_stop()

    def __enter__(self) -> Point:
        return self.connect()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.leave()

    def _wait(self, is_so: Any, what: str, within_s: float = PATIENCE_S) -> None:
        with self._changed:
            assert self._changed.wait_for(is_so, within_s), f"not within {within_s:g} s: {what}; heard {self.heard[-20:]}"

    def _on_connect(self, _client: object, _userdata: object, _flags: object, code: Any, _properties: object = None) -> None:
        with self._changed:
            self._connected = code
            self._changed.notify_all()

    def _on_disconnect(self, *_: object) -> None:
        with self._changed:
            self.ended_at = time.monotonic()
            self._changed.notify_all()

    def _on_message(self, _client: object, _userdata: object, message: Any) -> None:
        with self._changed:
            self.heard.append(Heard(message.topic, bytes(message.payload), bool(message.retain)))
            self._changed.notify_all()

    def _on_subscribe(self, _client: object, _userdata: object, mid: int, codes: Any, _properties: object = None) -> None:
        with self._changed:
            self._granted[mid] = not any(code.is_failure for code in codes)
            self._changed.notify_all()

    def _on_publish(self, _client: object, _userdata: object, mid: int, code: Any = None, _properties: object = None) -> None:
        with self._changed:
            self._sent.add(mid)
            self.refused_publishes += bool(code is not None and code.is_failure)
            self._changed.notify_all()


def version(protocol: int) -> str:
    """Name a protocol for a test's id."""
    return f"mqtt-{_VERSIONS[protocol]}"


def resumed(host: str, port: int, context: ssl.SSLContext, session: ssl.SSLSession | None, client_id: str) -> tuple[bool, bool, ssl.SSLSession | None]:
    """Connect by hand, over a TLS session of before where one is given: whether TLS took it up, whether CONNECT was granted, and the session."""
    connect = b"\x00\x04MQTT\x04\x02\x00\x3c" + len(client_id).to_bytes(2, "big") + client_id.encode()
    is_reused, answer, kept = False, b"", None
    with (
        contextlib.suppress(OSError),
        socket.create_connection((host, port), PATIENCE_S) as plain,
        context.wrap_socket(plain, server_hostname=host, session=session) as secure,
    ):
        is_reused = bool(secure.session_reused)
        secure.sendall(bytes([0x10, len(connect)]) + connect)
        answer = secure.recv(4)
        kept = secure.session
    return is_reused, answer == b"\x20\x02\x00\x00", kept


def denied(point: Point) -> str:
    """Claim that a client is not let in; give the step at which it was turned away."""
    try:
        point.connect()
    except Denied as error:
        return str(error)
    point.leave()
    raise AssertionError("the broker let it in")


def seen_within(claim: Any, what: str, seconds: float) -> float:
    """Wait until a claim is true; give the seconds it took."""
    began = time.monotonic()
    until(claim, what, seconds)
    return time.monotonic() - began
