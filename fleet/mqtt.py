"""The city's own MQTT connection, by certificate, to the broker's listener for the city: paho's door here.

paho's callbacks only enqueue, and wait where there is no room. With `is_manual_ack` the broker keeps each message until `acknowledge`, which never
acknowledges a message over another connection than the one it came by: packet identifiers are the connection's.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import ssl
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import paho.mqtt.client as mqtt
import paho.mqtt.packettypes as packet_types
import paho.mqtt.properties as mqtt_properties

from fleet.city import City
from fleet.errors import Refused

LOG = logging.getLogger(__name__)

KEEPALIVE_S = 30
CONNECT_WITHIN_S = 10.0
RECONNECT_S = (1, 10)
MOST_WAITING_BYTES = 64 << 20
ROOM_WITHIN_S = 10.0  # well within the keepalive: while paho's thread waits for room it sends no ping
LOOK_EVERY_S = 0.2  # how soon a thread of paho's that died is noticed
SESSION_S = 7 * 86_400  # how long an MQTT 5 broker keeps a persistent session
UNANSWERED = {4: 500, 5: 20}  # publishes on the way at once; an MQTT 5 broker may end the connection beyond its receive maximum
REMEMBERED = 32_000  # acknowledged publishes: less than half of all packet identifiers, so that none is mistaken for its successor
SUBSCRIBED_AT_ONCE = 100
NO = 0x80  # reason codes from here on refuse

# MQTT 3.1.1's CONNACK codes come as MQTT 5's reason codes from paho 2.
_NOT_LET_IN = frozenset({0x86, 0x87, 0x85, 0x8C})

_paho: Any = mqtt
_paho_properties: Any = mqtt_properties


class Away(Refused):
    """The broker cannot be reached now: it may be later, with nothing changed here."""


class Dropped(Refused):
    """The broker ended the connection instead of answering it: one that takes nobody like us does so each time, one that is just ending does so once."""


class Heard(NamedTuple):
    """One message: when it came (monotonic seconds) and what the broker said of it; `connection` counts the client's connections from 1."""

    at: float
    topic: str
    payload: bytes
    is_retained: bool
    mid: int
    qos: int
    connection: int = 1


class _Socket(ssl.SSLSocket):
    """Closed when its handshake fails: paho lets it go open."""

    def do_handshake(self, block: bool = False) -> None:
        """Shake hands."""
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


class Client:
    """One connection of the city's, which connects again by itself until it is closed."""

    def __init__(
        self,
        city: City,
        name: str,
        *,
        client_id: str | None = None,
        is_persistent: bool = False,
        is_manual_ack: bool = False,
        protocol: int = 4,
        most_waiting: int = 50_000,
        room_within_s: float = ROOM_WITHIN_S,
    ) -> None:
        """`name`: whose certificate (`city.INGEST` or `city.OPERATOR`); `most_waiting`: messages kept until they are asked for.

        When so many wait, or MOST_WAITING_BYTES, nothing more is read, which the broker feels; after `room_within_s` without room a message is given up.
        """
        if not hasattr(mqtt.Client, "ack"):
            raise Refused("this paho-mqtt cannot hold back an acknowledgement, the city needs 2.0 or later:  pip install 'paho-mqtt>=2'")
        self.overflowed = 0  # messages that found no room in time: left with the broker (manual acknowledgement), else lost
        self.connects = 0
        self.is_connected = False
        self._city, self._name, self._protocol = city, name, protocol
        self._is_persistent, self._is_manual_ack, self._most_waiting = is_persistent, is_manual_ack, most_waiting
        self._room_within_s = room_within_s
        self._is_closing = False
        self._client_id = client_id or f"{name}-{secrets.token_hex(4)}"
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)
        self._waiting: deque[Heard] = deque()
        self._waiting_bytes = 0
        self._are_left = False  # messages that the broker is to send again
        self._filters: dict[str, None] = {}
        self._asked: dict[int, Sequence[str]] = {}
        self._answered: OrderedDict[int, None] = OrderedDict()
        self._refusal: Refused | None = None
        self._thread: threading.Thread | None = None
        self._client = self._make()

    def start(self, within_s: float = CONNECT_WITHIN_S) -> None:
        """Connect; Away when the broker cannot be reached now, Dropped when it ends the connection, Refused when it never will like this.

        From then on it stays connected by itself.
        """
        deadline = time.monotonic() + within_s
        client: Any = self._client
        client.connect_timeout = within_s
        self._attach()
        try:
            self._dial(client.connect)
        except (OSError, ValueError) as error:
            self._detach()
            self._client = self._make()  # paho's own is not new any more
            raise self._explained(error) from None
        client.loop_start()
        with self._news:
            while not self.is_connected and not self._refusal and time.monotonic() < deadline:
                self._news.wait(max(0.0, min(LOOK_EVERY_S, deadline - time.monotonic())))
            is_connected, refusal = self.is_connected, self._refusal
        if not is_connected:
            self.close()
            self._client = self._make()
            raise refusal or Away(f"{self._where()}: no answer to CONNECT within {within_s:g} s")

    def subscribe(self, filters: Iterable[str]) -> None:
        """Hear these topics at QoS 1, after every reconnect too."""
        wanted = list(filters)
        self._filters |= dict.fromkeys(wanted)
        if self.is_connected:
            self._subscribe(wanted)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, qos: int = 1) -> int:
        """Send a message, now or once connected again; give its packet identifier."""
        return int(self._client.publish(topic, payload, qos, retain).mid)

    def wait_published(self, mids: Iterable[int], within_s: float) -> set[int]:
        """Wait until the broker took these; give those that it did not."""
        # The one that is waited for is looked at, and not all of them each time that one of them is answered: they may be thousands.
        waited, deadline = list(mids)[::-1], time.monotonic() + within_s
        with self._news:
            while waited:
                if waited[-1] in self._answered:
                    waited.pop()
                elif (left := deadline - time.monotonic()) > 0:
                    self._news.wait(left)
                else:
                    break
            return {mid for mid in waited if mid not in self._answered}

    def messages(self, most: int, within_s: float) -> list[Heard]:
        """Give the messages that wait, at most `most`; without any wait up to `within_s` for the first."""
        self._look_after()
        deadline = time.monotonic() + within_s
        with self._news:
            while not self._waiting and (left := deadline - time.monotonic()) > 0:
                self._news.wait(left)
            taken = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
            self._waiting_bytes -= sum(len(one.payload) for one in taken)
            self._news.notify_all()
            if self._are_left and len(self._waiting) <= self._most_waiting // 2:
                # A broker sends again what was not acknowledged when the session is taken up again.
                self._are_left = False
                self._cut()
        return taken

    def waiting(self) -> int:
        """Say how many messages wait to be asked for."""
        return len(self._waiting)

    def acknowledge(self, heard: Iterable[Heard]) -> None:
        """Tell the broker that these are safe; those of a former connection come again."""
        for one in heard:
            with self._lock:  # the connection cannot become another one in between
                if one.qos and self.is_connected and one.connection == self.connects:
                    self._client.ack(one.mid, one.qos)

    def close(self) -> None:
        """Disconnect in order; a persistent session stays with the broker."""
        with self._news:
            self._is_closing = True
            self._news.notify_all()
        self._client.disconnect()
        self._client.loop_stop()
        self._detach()
        self.is_connected = self._is_closing = False

    # What paho's thread calls: nothing but notes.

    def _connected(self, _client: object, _userdata: object, _flags: object, reason: Any, _properties: object) -> None:
        with self._news:
            self._thread = threading.current_thread()
            if reason.value >= NO:
                why = "may not come in; is its certificate this city's?" if reason.value in _NOT_LET_IN else "is not taken"
                self._refusal = Refused(f"{self._where()}: {self._name} {why} ({str(reason).lower()})")
            else:
                self.connects += 1
                self.is_connected, self._refusal = True, None
            self._news.notify_all()
        if self.is_connected:
            self._subscribe(list(self._filters))

    def _disconnected(self, *_: object) -> None:
        with self._news:
            if not self.is_connected and not self._refusal:
                self._refusal = Dropped(
                    f"{self._where()}: the broker ended the connection of {self._name} before it answered:"
                    " is this port its listener for the city's own clients, and their certificate of ca/operators.pem?"
                )
            self.is_connected = False
            self._news.notify_all()

    def _published(self, _client: object, _userdata: object, mid: int, reason: Any, _properties: object) -> None:
        if reason.value >= NO:
            return
        with self._news:
            self._answered[mid] = None
            self._answered.move_to_end(mid)
            if len(self._answered) > REMEMBERED:
                self._answered.popitem(last=False)
            self._news.notify_all()

    def _subscribed(self, _client: object, _userdata: object, mid: int, reasons: Sequence[Any], _properties: object) -> None:
        for wanted, reason in zip(self._asked.pop(mid, ()), reasons, strict=False):
            if reason.value >= NO:
                LOG.error("subscription refused by the broker: client=%s filter=%s reason=%s", self._client_id, wanted, reason)

    def _heard(self, _client: object, _userdata: object, message: mqtt.MQTTMessage) -> None:
        at = time.monotonic()
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        heard = Heard(at, topic, bytes(message.payload), bool(message.retain), message.mid, message.qos, self.connects)
        with self._news:
            if self._is_full() and not self._has_room():
                self.overflowed += 1
                self._are_left = self._is_manual_ack
                return
            self._waiting.append(heard)
            self._waiting_bytes += len(heard.payload)
            if len(self._waiting) == 1:
                self._news.notify_all()

    def _has_room(self) -> bool:
        """Wait for room with the lock held: what paho's thread does not read stays with the broker."""
        deadline = time.monotonic() + self._room_within_s
        while self._is_full() and not self._is_closing and (left := deadline - time.monotonic()) > 0:
            self._news.wait(left)
        return not self._is_full()

    def _is_full(self) -> bool:
        return len(self._waiting) >= self._most_waiting or self._waiting_bytes >= MOST_WAITING_BYTES

    # The way in and out.

    def _make(self) -> mqtt.Client:
        options: dict[str, Any] = {"client_id": self._client_id, "protocol": self._protocol, "manual_ack": self._is_manual_ack}
        if self._protocol != mqtt.MQTTv5:
            options["clean_session"] = not self._is_persistent
        client: Any = mqtt.Client(_paho.CallbackAPIVersion.VERSION2, **options)
        client.tls_set_context(self._context())
        client.reconnect_delay_set(*RECONNECT_S)
        client.max_inflight_messages_set(UNANSWERED[5 if self._protocol == mqtt.MQTTv5 else 4])
        self._refusal = None
        return client  # type: ignore[no-any-return]  # untyped above because paho 1.6.1 types nothing

    def _attach(self) -> None:
        client: Any = self._client
        client.on_connect, client.on_disconnect = self._connected, self._disconnected
        client.on_publish, client.on_subscribe, client.on_message = self._published, self._subscribed, self._heard

    def _detach(self) -> None:
        """Let paho's client go without a cycle: else its pair of sockets stays open until the collector comes by."""
        client: Any = self._client
        client.on_connect = client.on_disconnect = client.on_publish = client.on_subscribe = client.on_message = None

    def _context(self) -> ssl.SSLContext:
        files = (self._city.ca / "ca.pem", self._city.clients / f"{self._name}.pem", self._city.clients / f"{self._name}.key")
        for file in files:
            if not os.access(file, os.R_OK):
                what = "is not there" if not file.exists() else "cannot be read by this user"
                raise Refused(f"{file}: {what}; make or mend the city's files:  rwctl init {self._city.folder}")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.sslsocket_class = _Socket
        context.hostname_checks_common_name = False
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_verify_locations(cafile=str(files[0]))
            context.load_cert_chain(str(files[1]), str(files[2]), password=lambda: "")
        except (OSError, ValueError) as error:
            raise Refused(f"{files[1]} with {files[2].name} and {files[0]}: cannot be used ({getattr(error, 'strerror', None) or error})") from None
        return context

    def _dial(self, connect: Any) -> None:
        where, options = self._city.broker, {}
        if self._protocol == mqtt.MQTTv5:
            options = {"clean_start": not self._is_persistent, "properties": self._session()}
        connect(where.city_host, where.city_port, KEEPALIVE_S, **options)

    def _session(self) -> Any:
        if not self._is_persistent:
            return None
        properties = _paho_properties.Properties(packet_types.PacketTypes.CONNECT)
        properties.SessionExpiryInterval = SESSION_S
        return properties

    def _subscribe(self, filters: Sequence[str]) -> None:
        for first in range(0, len(filters), SUBSCRIBED_AT_ONCE):
            some = filters[first : first + SUBSCRIBED_AT_ONCE]
            _, mid = self._client.subscribe([(wanted, 1) for wanted in some])
            if mid is not None:
                self._asked[mid] = some

    def _look_after(self) -> None:
        """A broker's bytes that are no MQTT can end paho's thread, which would look like silence for ever."""
        if self._thread is not None and not self._thread.is_alive():
            LOG.error("the broker's bytes could not be understood, connecting again: client=%s", self._client_id)
            self._thread = None
            self.is_connected = False
            self._detach()
            self._client = self._make()
            self._attach()
            self._dial(self._client.connect_async)
            self._client.loop_start()

    def _cut(self) -> None:
        sock: Any = self._client.socket()
        if sock is not None:
            try:
                # Below TLS: only the kernel's half may be touched while paho's thread uses the other.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                pass

    def _where(self) -> str:
        return f"{self._city.broker.city_host}:{self._city.broker.city_port}"

    def _explained(self, error: OSError | ValueError) -> Refused:
        where = self._where()
        if isinstance(error, ssl.SSLCertVerificationError):
            return Refused(f"{where}: the broker's certificate is not good: {error.verify_message}; expected one by {self._city.ca / 'ca.pem'} for that name")
        if isinstance(error, ConnectionRefusedError):
            return Away(f"{where}: no broker is there; start it:  rwctl --dir {self._city.folder} broker run")
        if isinstance(error, ssl.SSLError):
            # One that ends in the middle of the handshake may be just ending.
            kind = Dropped if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)) else Refused
            return kind(f"{where}: TLS failed ({error.reason or error}); is it the broker's listener for the city's own clients?")
        return Away(f"{where}: the broker cannot be reached ({getattr(error, 'strerror', None) or error})")
