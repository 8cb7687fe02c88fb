"""The broker: resolver, TCP and TLS exactly as the daemon goes there, then MQTT.

While the daemon runs its own word is taken for MQTT: a second connection with its name would end its session.
"""

from __future__ import annotations

import socket
import ssl
import time

from agent import backoff, dial, tls
from agent.errors import Unavailable
from agent.finding import Case, Finding
from agent.run_dir import is_held
from agent.settings import Settings
from agent.status import is_connected, part

NAME = "broker"
WITHIN_S = 10.0
MAX_PASSWORD_BYTES = 4096
TOO_SHORT = "the broker closed the connection instead of answering CONNECT"
CUT_REMEDY = "is our certificate signed by the city's CA, and valid? The broker's log says why it closes"
# MQTT 3.1.1's CONNACK codes (3.2.2.3) as MQTT 5's.
CODES = {1: 0x84, 2: 0x85, 3: 0x88, 4: 0x86, 5: 0x87}

REMEDIES = {
    "resolver": "look at the uplink's dns above, or correct broker.host",
    "tcp": "is the broker running, and its port open? Look at broker.host and broker.port, and at the uplink above",
    "plain text refused": "set broker.tls = true",
    "TLS": "is broker.port the broker's TLS port, broker.ca_file the city's CA, and broker.host a name in the broker's certificate?",
}


def check(case: Case) -> list[Finding]:
    """Connect as the daemon does, and close again."""
    settings = case.settings.broker
    contexts = tls.Contexts(settings.ca_file, settings.cert_file, settings.key_file)
    is_clock_good = case.router.clock.state() == "ntp"
    make = (lambda: contexts.context(are_dates_checked=is_clock_good)) if settings.tls else None
    began = time.monotonic()
    try:
        sock = dial.connect(dial.Way(settings.host, settings.port, make, settings.allow_plaintext, settings.ca_file, WITHIN_S))
    except Unavailable as error:
        reason = str(error)
        return [Finding(NAME, "bad", reason, REMEDIES.get(reason.split(":")[0], REMEDIES["tcp"])), Finding("mqtt", "skipped", "the broker is not reached")]
    with sock:
        took = (time.monotonic() - began) * 1000
        kind = f"{sock.version()}, certificate verified" if isinstance(sock, ssl.SSLSocket) else "plain text"
        reached = Finding(NAME, "ok", f"{settings.host}:{settings.port} answers in {took:.0f} ms, {kind}")
        if case.status.is_running:
            return [reached, _daemons_word(case)]
        if is_held(case.settings.paths.run_dir):
            # Our CONNECT would take its session over.
            return [reached, Finding("mqtt", "skipped", "an agent is just starting, or this user may not read its state", "ask again as root in a moment")]
        return [reached, _knock(sock, case.settings)]


def _daemons_word(case: Case) -> Finding:
    broker = part(case.status, "broker")
    if is_connected(case.status):
        return Finding("mqtt", "ok", f"the running agent is connected, MQTT {broker.get('protocol')}")
    reason = broker.get("last_reason") or "no attempt has ended yet"
    return Finding("mqtt", "bad", f"the running agent is not connected: {reason}", "see its log; the broker's log says why it refuses")


def _knock(sock: socket.socket, settings: Settings) -> Finding:
    """Say CONNECT and, when that is answered, goodbye; nothing is published or subscribed."""
    sock.settimeout(WITHIN_S)
    try:
        # TLS 1.3 tells only now when the broker will not have our certificate.
        sock.sendall(connect_packet(settings))
        answer = b""
        while len(answer) < 4 and (more := sock.recv(4 - len(answer))):
            answer += more
        sock.sendall(b"\xe0\x00")
    except OSError as error:
        return Finding("mqtt", "bad", _cut(error, settings), CUT_REMEDY)
    return _understand(answer)


def _cut(error: OSError, settings: Settings) -> str:
    """Say what an end after the handshake means. The alert that names the reason is often lost with the connection's reset."""
    broker = settings.broker
    if isinstance(error, ssl.SSLError) and "ALERT" in str(error.reason):
        return tls.explain(error, broker.host, broker.port, broker.ca_file)
    return TOO_SHORT


def _understand(answer: bytes) -> Finding:
    if len(answer) < 4 or answer[:2] != b"\x20\x02":
        if not answer:
            return Finding("mqtt", "bad", TOO_SHORT, CUT_REMEDY)
        return Finding("mqtt", "bad", "what answers is no MQTT broker", "look at broker.host and broker.port")
    if answer[3]:
        what = f"the broker refuses this access point: {backoff.words(CODES.get(answer[3], answer[3]))}"
        return Finding("mqtt", "bad", what, "is it enrolled? The user's name must be the id; the broker's log says more")
    return Finding("mqtt", "ok", "the broker accepts this access point")


def connect_packet(settings: Settings) -> bytes:
    """Make CONNECT of MQTT 3.1.1 (3.1) as the agent: keep its session, will nothing."""
    broker = settings.broker
    fields, flags = _text(settings.id.encode()), 0
    if broker.username:
        fields, flags = fields + _text(broker.username.encode()), 0x80
    if broker.password_file:
        with open(broker.password_file, "rb") as file:
            fields, flags = fields + _text(file.read(MAX_PASSWORD_BYTES).split(b"\n", 1)[0].strip()), flags | 0x40
    body = b"\x00\x04MQTT\x04" + bytes([flags]) + broker.keepalive_s.to_bytes(2, "big") + fields
    length = len(body)
    return b"\x10" + (bytes([length]) if length < 128 else bytes([length & 0x7F | 0x80, length >> 7])) + body


def _text(text: bytes) -> bytes:
    return len(text).to_bytes(2, "big") + text
