"""One way to the broker: resolver, TCP and TLS, each of which may block, in a thread of its own.

The thread touches nothing of ours but the socket it hands over. Promises never to give a socket without
TLS where TLS is asked for, and never more than one outcome, none after `abandon`.
"""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from agent import tls
from agent.errors import Unavailable

# Enough for getaddrinfo and a handshake; the default of 8 MB counts against a router's address space.
STACK_BYTES = 512 * 1024
ADDRESS_S = 8.0


class Way(NamedTuple):
    """Where to connect to, and how; `ca_file` is for the words of a refusal only."""

    host: str
    port: int
    context: Callable[[], ssl.SSLContext] | None
    is_plaintext_allowed: bool
    ca_file: str | None
    within_s: float


class Outcome(NamedTuple):
    """A connected socket, or in one sentence why there is none."""

    sock: socket.socket | None
    reason: str


class Dial:
    """One attempt, from its thread's start to its outcome."""

    def __init__(self, way: Way, wake_fd: int) -> None:
        self._way = way
        self._wake_fd = wake_fd
        self._lock = threading.Lock()
        self._outcome: Outcome | None = None
        self._is_abandoned = False
        # A daemon thread: the resolver cannot be interrupted and must not hold up the agent's end.
        self._thread = threading.Thread(target=self._run, name="dial", daemon=True)
        before = threading.stack_size(STACK_BYTES)
        try:
            self._thread.start()
        except RuntimeError:
            self._outcome = Outcome(None, "no memory for a thread to connect in")
        finally:
            threading.stack_size(before)

    def take(self) -> Outcome | None:
        """Give the outcome once it is there; the socket is the caller's from then on."""
        with self._lock:
            outcome, self._outcome = self._outcome, None
        return outcome

    def abandon(self) -> None:
        """Want the outcome no more; the thread closes what it still gets and touches the wake-up no more."""
        with self._lock:
            self._is_abandoned = True
            if self._outcome is not None and self._outcome.sock is not None:
                self._outcome.sock.close()
            self._outcome = None

    def is_alive(self) -> bool:
        """Say whether the thread still runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            outcome = Outcome(connect(self._way), "")
        except Unavailable as error:
            outcome = Outcome(None, str(error))
        with self._lock:
            if not self._is_abandoned:
                self._outcome = outcome
                os.write(self._wake_fd, b"\0")
            elif outcome.sock is not None:
                outcome.sock.close()


def connect(way: Way) -> socket.socket:
    """Give a connected and, with TLS, verified socket within about `within_s` plus what the resolver takes; Unavailable says what failed."""
    until = time.monotonic() + way.within_s
    context = way.context() if way.context is not None else None
    sock = _connect_any(way, context, _resolve(way), until)
    if not isinstance(sock, ssl.SSLSocket):
        return sock
    try:
        # The timeout bounds the whole handshake, not each read of it.
        sock.settimeout(max(0.1, until - time.monotonic()))
        sock.do_handshake()
    except OSError as error:
        sock.close()
        raise Unavailable(tls.explain(error, way.host, way.port, way.ca_file)) from None
    return sock


def _resolve(way: Way) -> list[tuple[int, Any]]:
    """Give each address as (family, what `connect` takes)."""
    try:
        found = socket.getaddrinfo(_plain(way.host), way.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise Unavailable(f"resolver: {way.host}: {error.strerror}") from None
    except (OSError, UnicodeError):
        raise Unavailable(f"resolver: {way.host}: not a host name") from None
    addresses: list[tuple[int, Any]] = [(family, address) for family, _, _, _, address in found]
    if way.context is None and not way.is_plaintext_allowed:
        addresses = [(family, address) for family, address in addresses if _is_loopback(str(address[0]))]
        if not addresses:
            raise Unavailable(f"plain text refused: {way.host} is not a loopback address, expected broker.tls = true or broker.allow_plaintext = true")
    return addresses


def _connect_any(way: Way, context: ssl.SSLContext | None, addresses: list[tuple[int, Any]], until: float) -> socket.socket:
    reason = "no address"
    for family, address in addresses:
        left = until - time.monotonic()
        if left <= 0:
            break
        try:
            return _connect_one(way.host, context, family, address, min(left, ADDRESS_S))
        except OSError as error:
            words = "timed out" if isinstance(error, TimeoutError) else (error.strerror or str(error)).lower()
            reason = f"{address[0]} port {way.port}: {'refused' if isinstance(error, ConnectionRefusedError) else words}"
        except ValueError as error:
            raise Unavailable(f"TLS: {way.host} is no host name a certificate can have ({error})") from None
    raise Unavailable(f"tcp: {reason}")


def _connect_one(host: str, context: ssl.SSLContext | None, family: int, address: Any, within_s: float) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        if context is not None:
            # Before the connection: a peer that resets at once would make the ssl module give a socket without TLS.
            sock = context.wrap_socket(sock, server_hostname=_plain(host), do_handshake_on_connect=False)
        sock.settimeout(within_s)
        sock.connect(address)
        # Reports are single writes; waiting for more to send would only add the peer's delayed acknowledgement.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except (OSError, ValueError):
        sock.close()
        raise
    return sock


def _plain(host: str) -> bytes:
    """Give a host name as it goes over the wire: the settings let none through that is not ASCII."""
    # As text it would be taken for an international name, and bring three modules and 330 KB that prepare such names.
    return host.encode("ascii")


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"
