"""One MQTT connection over a socket that is ready: paho's only door, 1.6.1 and 2.x alike.

paho's callbacks only put notices into an inbox. Nothing here decides, reconnects, waits or blocks, and
paho never opens a connection of its own: it is given a socket that is connected and, with TLS, verified.
"""

from __future__ import annotations

import select
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, Any

from agent.lean import Without
from agent.notices import NO_REASON, UNSUPPORTED_VERSION, Accepted, Acknowledged, Arrived, Ended, Notice, Subscribed, Terms, Will

# Sockets come ready from agent.dial and the client's id from the settings, so that paho asks nothing of these: no proxy
# (the environment's are not obeyed; should a version of paho ask all the same, `proxy_bypass` says so), no WebSocket, no made-up id,
# no SRV record; base64 is WebSocket's, and comes when it is asked for. PySocks and dnspython would be loaded wherever something else has brought them along.
with Without(
    urllib={},
    urllib__parse={},
    urllib__request={"proxy_bypass": lambda _host: True},
    uuid={},
    platform={"system": lambda: "Linux"},
    hashlib={},
    base64=None,
    socks=False,
    dns=False,
):
    import paho.mqtt.client as mqtt
    import paho.mqtt.properties as mqtt_properties
    from paho.mqtt.packettypes import PacketTypes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.dialect import Version

QUEUED_NOTICES = 256
MOST_INCOMING_BYTES = 256 * 1024
# As much as a TLS record holds (RFC 8446, 5.1), so that nothing decrypted stays behind in the TLS layer.
READ_BYTES = 16 * 1024
TURNS_OF_READING = 64

# Untyped on purpose: names that only one generation has, or annotates.
_paho: Any = mqtt
_paho_properties: Any = mqtt_properties
_IS_PAHO_2 = hasattr(mqtt, "CallbackAPIVersion")

# What paho lets through when the broker's bytes are not MQTT; 1.6.1 even fails assertions.
_MALFORMED = (AssertionError, LookupError, TypeError, ValueError, struct.error, _paho_properties.MQTTException)

# MQTT 3.1.1's CONNACK return codes (3.2.2.3) as MQTT 5's reason codes; paho 2 translates them itself.
_V3_CODES = {1: UNSUPPORTED_VERSION, 2: 0x85, 3: 0x88, 4: 0x86, 5: 0x87}


class _Client(mqtt.Client):
    """paho's client over a ready socket; the only thing here that knows paho's inside.

    These names are the same in 1.6.1 and every 2.x; `Session` refuses to start where they are missing.
    """

    sock_ready: socket.socket
    ahead = b""
    has_heard = False
    is_flooded = False
    fault: OSError | None = None
    said_goodbye: int | None = None

    def _create_socket_connection(self) -> socket.socket:
        return self.sock_ready

    def _sock_recv(self, bufsize: int) -> bytes:
        # paho would gather a packet of up to 256 MB before anybody could refuse it; MQTT 3.1.1 knows no limit to agree on.
        if self._in_packet["remaining_length"] > MOST_INCOMING_BYTES:
            self.is_flooded = True
            self.fault = OSError(f"a packet of more than {MOST_INCOMING_BYTES} bytes")
            raise ConnectionResetError
        if not self.ahead:
            self.ahead = self._receive()
        # paho asks for the first bytes of a packet one by one.
        taken, self.ahead = self.ahead[:bufsize], self.ahead[bufsize:]
        return taken

    def _receive(self) -> bytes:
        try:
            received: bytes = super()._sock_recv(READ_BYTES)
        except BlockingIOError:
            raise
        except OSError as error:
            # 1.6.1 lets what is no ConnectionError (a TLS alert, a timeout) escape its loop; 2.x forgets what it was.
            self.fault = error
            raise ConnectionResetError from error
        self.has_heard = self.has_heard or bool(received)
        return received

    def _sock_send(self, buf: bytes | bytearray) -> int:
        try:
            sent: int = super()._sock_send(buf)
        except BlockingIOError:
            raise
        except OSError as error:
            if self.fault is None:
                # What the broker said before it closed may lie unread: its reason tells a take-over from a cable.
                self.fault = error
                raise BlockingIOError from error
            raise ConnectionResetError from error
        return sent

    def first_bytes(self) -> bytes:
        """Give the body of the packet that is being taken apart."""
        return bytes(self._in_packet["packet"][:3])


class _Client1(_Client):
    """1.6.1 reads a DISCONNECT's reason only when properties follow it, and otherwise overhears the packet."""

    def _handle_disconnect(self) -> Any:
        self.said_goodbye = (self.first_bytes() or b"\0")[0]
        return mqtt.MQTT_ERR_CONN_LOST


class _Client2(_Client):
    """2.x makes MQTT 5's tables of properties and reason codes anew for every PUBACK; most say no more than whose it is, and that is: yes."""

    def _handle_pubackcomp(self, cmd: Any) -> Any:
        body = self.first_bytes()
        if cmd != "PUBACK" or len(body) != 2:
            return super()._handle_pubackcomp(cmd)
        mid = int.from_bytes(body, "big")
        with self._out_message_mutex:
            return self._do_on_publish(mid, _YES, _NO_PROPERTIES) if mid in self._out_messages else mqtt.MQTT_ERR_SUCCESS


class _Yes:
    """The reason code of a PUBACK that carries none (MQTT 5, 3.4.2.1)."""

    value = 0


_YES: Any = _Yes()
_NO_PROPERTIES: Any = None


class _Packed:
    """Properties as they go over the wire, packed once and not for each message."""

    def __init__(self, properties: Any) -> None:
        self._wire = bytes(properties.pack())

    def pack(self) -> bytes:
        """Give them to paho."""
        return self._wire


class Session:
    """One connection from CONNECT to its end. `inbox` fills with notices; the last one is always `Ended`."""

    def __init__(self, sock: socket.socket, client_id: str, protocol: Version, terms: Terms, will: Will) -> None:
        if not hasattr(mqtt.Client, "_create_socket_connection"):
            raise RuntimeError("this paho-mqtt is unknown, expected 1.6.1 or 2.x")
        self.inbox: deque[Notice] = deque()
        self.protocol = protocol
        self.overflowed = 0
        self.is_over = False  # once nothing can be sent or received any more
        self._sock: socket.socket | None = sock
        self._fd = sock.fileno()
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self._properties: dict[tuple[int | None, str | None], Any] = {}
        self._client = _make_client(client_id, protocol, terms.is_clean)
        self._client.sock_ready = sock
        self._listen()
        self._connect(terms, will)

    @property
    def is_flooded(self) -> bool:
        """Say whether the broker sent a packet larger than any of ours may be."""
        return self._client.is_flooded

    @property
    def fault(self) -> OSError | None:
        """The error that ended the connection, where there was one."""
        return self._client.fault

    def fds(self) -> dict[int, int]:
        """The socket with its poll(2) mask."""
        if self._sock is None:
            return {}
        return {self._fd: select.POLLIN | (select.POLLOUT if self._client.want_write() else 0)}

    def has_pending(self) -> bool:
        """Say whether bytes were read that paho has not taken yet, of which no poll would tell."""
        return self._sock is not None and bool(self._client.ahead)

    def turn(self) -> bool:
        """Read and write as far as goes without waiting; say whether the broker was heard."""
        self._client.has_heard = False
        for _ in range(TURNS_OF_READING):
            if self._sock is None or not (self.has_pending() or self._poll.poll(0)):
                break
            self._guarded(self._client.loop_read)
        if self._sock is not None and self._client.want_write():
            self._guarded(self._client.loop_write)
        return self._client.has_heard

    def keep_alive(self) -> None:
        """Let paho send PINGREQ when it is time, or give up on one that was not answered."""
        if self._sock is not None:
            self._guarded(self._client.loop_misc)

    def subscribe(self, topics: Sequence[tuple[str, int]]) -> None:
        """Ask for topics, each with its QoS."""
        self._guarded(self._client.subscribe, list(topics))

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool, expiry_s: int | None = None, content_type: str | None = None) -> int | None:
        """Send a message; give its packet identifier, or None when the connection is over."""
        properties = self._message_properties(expiry_s, content_type)
        info = self._guarded(self._client.publish, topic, payload, qos, retain, properties)
        return None if info is None or self._sock is None or info.rc != mqtt.MQTT_ERR_SUCCESS else info.mid

    def disconnect(self) -> None:
        """Say goodbye, so that the will is not published, and close."""
        self._guarded(self._client.disconnect)
        self.close()

    def close(self) -> None:
        """Close without a DISCONNECT."""
        self._end(NO_REASON)

    # What paho calls, with as many arguments as its version and the protocol have.

    def _on_connect(self, _client: object, _userdata: object, flags: Any, reason: Any, properties: Any = None) -> None:
        code = getattr(reason, "value", reason)
        if self.protocol == 4 and not _IS_PAHO_2:
            code = _V3_CODES.get(code, code)
        at_once, largest, keepalive = (getattr(properties, name, None) for name in ("ReceiveMaximum", "MaximumPacketSize", "ServerKeepAlive"))
        is_resumed = bool(flags.session_present if _IS_PAHO_2 else flags["session present"])
        self.inbox.append(Accepted(code, at_once, largest, keepalive, is_resumed))

    def _on_subscribe(self, _client: object, _userdata: object, _mid: int, codes: Any, _properties: object = None) -> None:
        self.inbox.append(Subscribed(tuple(getattr(code, "value", code) for code in codes)))

    def _on_publish(self, _client: object, _userdata: object, mid: int, reason: Any = None, _properties: object = None) -> None:
        if reason is None:
            # 1.6.1 reads the reason code and does not tell it; the packet is still there.
            body = self._client.first_bytes()
            code = body[2] if self.protocol == 5 and len(body) > 2 else 0
        else:
            code = reason.value
        self.inbox.append(Acknowledged(mid, code))

    def _on_message(self, _client: object, _userdata: object, message: Any) -> None:
        if len(self.inbox) >= QUEUED_NOTICES:
            self.overflowed += 1
            return
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = None
        self.inbox.append(Arrived(topic, bytes(message.payload), bool(message.retain)))

    def _on_disconnect(self, _client: object, _userdata: object, *rest: Any) -> None:
        code = self._client.said_goodbye
        if _IS_PAHO_2 and rest[0].is_disconnect_packet_from_server:
            code = rest[1].value
        self._end(NO_REASON if code is None else code)

    # The way in and out.

    def _listen(self) -> None:
        client: Any = self._client
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect

    def _connect(self, terms: Terms, will: Will) -> None:
        client = self._client
        properties = will_properties = None
        if self.protocol == 5:
            properties = _properties(PacketTypes.CONNECT, SessionExpiryInterval=terms.session_expiry_s)
            properties.ReceiveMaximum = terms.receive_maximum
            properties.MaximumPacketSize = terms.maximum_packet_bytes
            will_properties = _properties(PacketTypes.WILLMESSAGE, WillDelayInterval=will.delay_s, ContentType=will.content_type)
        client.will_set(will.topic, will.payload, 1, True, will_properties)
        if terms.username:
            client.username_pw_set(terms.username, terms.password.reveal() if terms.password else None)
        # The host goes nowhere: were paho ever to connect by itself, it would find none.
        client.connect_async("ready.invalid", 1, terms.keepalive_s, clean_start=terms.is_clean, properties=properties)
        self._guarded(client.reconnect)

    def _message_properties(self, expiry_s: int | None, content_type: str | None) -> Any:
        if self.protocol != 5 or (expiry_s is None and content_type is None):
            return None
        kept = self._properties.get((expiry_s, content_type))
        if kept is None:
            wanted = {"MessageExpiryInterval": expiry_s, "ContentType": content_type}
            kept = _Packed(_properties(PacketTypes.PUBLISH, **{name: value for name, value in wanted.items() if value is not None}))
            self._properties[expiry_s, content_type] = kept
        return kept

    def _guarded(self, call: Any, *arguments: object) -> Any:
        """Call paho; bytes that are not MQTT end the session, never the agent."""
        try:
            return call(*arguments)
        except OSError as error:
            self._client.fault = self._client.fault or error
        except _MALFORMED:
            self._client.fault = self._client.fault or OSError("the broker's answer is not MQTT")
        self._end(NO_REASON)
        return None

    def _end(self, code: int) -> None:
        sock, self._sock = self._sock, None
        if sock is None:
            return
        sock.close()
        self.is_over = True
        self.inbox.append(Ended(code))
        client: Any = self._client
        # Callbacks point back at us: without them both are freed at once, not at some later collection.
        client.on_connect = client.on_subscribe = client.on_publish = client.on_message = client.on_disconnect = None


def _make_client(client_id: str, protocol: Version, is_clean: bool) -> _Client:
    """Make a client of either generation that never reconnects by itself."""
    options: dict[str, Any] = {"client_id": client_id, "protocol": protocol, "reconnect_on_failure": False}
    if protocol == 4:
        options["clean_session"] = is_clean
    if not _IS_PAHO_2:
        return _Client1(**options)
    return _Client2(_paho.CallbackAPIVersion.VERSION2, **options)


def _properties(packet_type: int, **values: object) -> Any:
    properties = _paho_properties.Properties(packet_type)
    for name, value in values.items():
        setattr(properties, name, value)
    return properties
