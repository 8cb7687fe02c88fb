"""Trying a broker's doors as somebody would who should not come in: over plain TCP, without a certificate, with a wrong one."""

from __future__ import annotations

import secrets
import socket
import ssl

WITHIN_S = 3.0
CONNECT, CONNACK = 0x10, 0x20
HAS_NAME, HAS_PASSWORD, IS_CLEAN = 0x80, 0x40, 0x02


def opens(host: str, port: int, ca_file: str | None, name: str | None = None, pair: tuple[str, str] | None = None) -> bool:
    """Say whether a broker accepts an MQTT connection.

    `ca_file` None: without TLS; `name`: with that user name and a made-up password; `pair`: with a certificate and its key.
    """
    context = None if ca_file is None else ssl.create_default_context(cafile=ca_file)
    if context is not None and pair is not None:
        context.load_cert_chain(*pair)
    try:
        with socket.create_connection((host, port), WITHIN_S) as plain:
            if context is None:
                return _accepts(plain, name)
            with context.wrap_socket(plain, server_hostname=host) as secure:
                return _accepts(secure, name)
    except OSError:  # refused in the handshake, or the connection ended: TLS 1.3 tells only when something is read
        return False


def is_there(host: str, port: int) -> bool:
    """Say whether anybody listens there."""
    try:
        socket.create_connection((host, port), WITHIN_S).close()
    except OSError:
        return False
    return True


def _accepts(connection: socket.socket, name: str | None) -> bool:
    connection.settimeout(WITHIN_S)
    connection.sendall(_connect(name))
    answer = connection.recv(4)
    return len(answer) == 4 and answer[0] == CONNACK and answer[3] == 0


def _connect(name: str | None) -> bytes:
    """A CONNECT of MQTT 3.1.1."""
    flags = IS_CLEAN | (HAS_NAME | HAS_PASSWORD if name else 0)
    payload = _text(f"check-{secrets.token_hex(4)}") + (_text(name) + _text(secrets.token_hex(8)) if name else b"")
    body = _text("MQTT") + bytes((4, flags, 0, 30)) + payload
    return bytes((CONNECT, len(body))) + body


def _text(text: str) -> bytes:
    return len(text).to_bytes(2, "big") + text.encode()
