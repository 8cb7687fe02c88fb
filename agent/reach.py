"""The layered probe of the uplink with real sockets: gateway, then DNS, then internet, side by side and never blocking.

Starts no thread and no process and needs no privilege. Every byte that comes back is hostile: an answer
counts only when it carries what was sent.

All layers are tried even if a lower one fails. A gateway that stays silent counts as failed only if nothing beyond it
answered and the kernel does not know it as reachable: many gateways drop whatever is meant for themselves. A resolver
that answers, be it "no such name", is alive; one that refuses or fails (SERVFAIL) is not. A TCP connection refused by the
far end has been there and back, so the layer works: a broker that is being restarted must not blame the provider.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from agent.records import Layer, Path, Reach

LAYER_SECONDS = 2.0
RESOLVER_SECONDS = 0.6  # before the next resolver is asked as well
RESOLVERS_MAX = 3
DATAGRAMS_MAX = 8  # read per turn, so that a flood cannot hold the loop
ANSWER_BYTES_MAX = 4096
DNS_PORT = 53
GATEWAY_PORT = 53  # most gateways resolve; unlike 80 a connection to it wakes no web server

TYPE_A, TYPE_NS, TYPE_AAAA = 1, 2, 28
CLASS_IN = b"\0\1"
NO_ERROR, NO_SUCH_NAME = 0, 3
ADDRESS_BYTES = {TYPE_A: (4, socket.AF_INET), TYPE_AAAA: (16, socket.AF_INET6)}
ECHO = {socket.AF_INET: (socket.IPPROTO_ICMP, 8, 0), socket.AF_INET6: (socket.IPPROTO_ICMPV6, 128, 129)}
IN_PROGRESS = frozenset((errno.EINPROGRESS, errno.EALREADY))
ANSWERED = frozenset((0, errno.EISCONN, errno.ECONNREFUSED, errno.ECONNRESET))
LOOPBACK = ("127.", "::1")

_T = TypeVar("_T")


class Target(NamedTuple):
    """A literal address, ready for a socket."""

    family: socket.AddressFamily
    sockaddr: tuple[str, int] | tuple[str, int, int, int]


def target(address: str, port: int, device: str | None = None) -> Target | None:
    """Make a literal IPv4 or IPv6 address a socket's; None when it is neither. `device` gives a link-local address its scope."""
    address, _, zone = address.partition("%")
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            packed = socket.inet_pton(family, address)
        except (OSError, ValueError):
            continue
        if not 0 <= port <= 65535:
            return None
        if family == socket.AF_INET:
            return Target(family, (address, port))
        is_link_local = packed[0] == 0xFE and packed[1] & 0xC0 == 0x80
        return Target(family, (address, port, 0, _scope(zone or device) if is_link_local else 0))
    return None


def _literal(host: str, port: int, device: str | None) -> Target | None:
    # "localhost" is never asked of DNS (RFC 6761, 6.3).
    return target("127.0.0.1" if host.lower() == "localhost" else host, port, device)


def _scope(device: str | None) -> int:
    try:
        return socket.if_nametoindex(device) if device else 0
    except (OSError, ValueError):
        return 0


# The language of DNS (RFC 1035, 4.1), as far as one question needs it.


def question(name: str, kind: int) -> bytes | None:
    """Make the question section for `name` ("" is the root); None when no DNS name can look so."""
    labels = [label.encode("ascii", "replace") for label in name.rstrip(".").split(".")] if name else []
    if not name.isascii() or any(not 0 < len(label) < 64 for label in labels) or sum(map(len, labels)) + len(labels) > 254:
        return None
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0" + kind.to_bytes(2, "big") + CLASS_IN


ROOT = b"\0\0\2" + CLASS_IN  # who are the root's name servers: every resolver knows


class Answer(NamedTuple):
    """What a resolver said: its code and the addresses it gave, as text."""

    code: int
    addresses: tuple[str, ...]


def parse_answer(packet: bytes, number: bytes, asked: bytes) -> Answer | None:
    """Read a DNS answer; None when it is not the answer to this query. Whatever is garbled after the question is left out."""
    records = 12 + len(asked)
    is_ours = packet[:2] == number and len(packet) >= records and packet[2] & 0x80 and packet[4:6] == b"\0\1"
    # Resolvers may give the name back in another case (draft-vixie-dnsext-dns0x20).
    if not is_ours or packet[12:records].lower() != asked.lower():
        return None
    addresses = []
    at = records
    for _ in range(min(32, int.from_bytes(packet[6:8], "big"))):
        # A name is only stepped over: whose address it is the resolver decides, and no pointer is ever followed.
        while at < len(packet) and 0 < packet[at] < 64:
            at += packet[at] + 1
        at += 2 if at < len(packet) and packet[at] >= 0xC0 else 1
        kind, length = int.from_bytes(packet[at : at + 2], "big"), int.from_bytes(packet[at + 8 : at + 10], "big")
        body, at = packet[at + 10 : at + 10 + length], at + 10 + length
        size, family = ADDRESS_BYTES.get(kind, (-1, socket.AF_INET))
        if len(body) == size:
            addresses.append(socket.inet_ntop(family, body))
    return Answer(packet[3] & 0x0F, tuple(addresses))


# The tries. Each has a socket until it is over; `ms` stays None unless something came back.


def _open(family: socket.AddressFamily, kind: socket.SocketKind, protocol: int) -> socket.socket | None:
    try:
        return socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol)
    except OSError:
        # No ICMP sockets for this group (net.ipv4.ping_group_range), no IPv6, no file descriptor left.
        return None


class _Connect:
    """One TCP connection on its way."""

    events = select.POLLOUT

    def __init__(self, where: Target, now: float) -> None:
        self.began, self.until = now, now + LAYER_SECONDS
        self.ms: float | None = None
        self._sockaddr = where.sockaddr
        self.socket = _open(where.family, socket.SOCK_STREAM, 0)
        self.advance(now)

    def advance(self, now: float) -> None:
        if self.socket is None:
            return
        code = self.socket.connect_ex(self._sockaddr)  # asked again, the kernel tells what became of it
        if code in ANSWERED:
            self.ms = (now - self.began) * 1000
        if code not in IN_PROGRESS or now >= self.until:
            self.close()

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
            self.socket = None


class _Exchange(Generic[_T]):
    """One datagram on its way, and the first one back that `parse` takes for its answer."""

    events = select.POLLIN

    def __init__(self, where: Target, protocol: int, packet: bytes, parse: Callable[[bytes], _T | None], now: float) -> None:
        self.began, self.until = now, now + LAYER_SECONDS
        self.ms: float | None = None
        self.answer: _T | None = None
        self.host = where.sockaddr[0]
        self._parse = parse
        self.socket = _open(where.family, socket.SOCK_DGRAM, protocol)
        try:
            if self.socket is not None:
                self.socket.connect(where.sockaddr)  # from now on the kernel drops what others send
                self.socket.send(packet)
        except OSError:
            self.close()

    def advance(self, now: float) -> None:
        try:
            for _ in range(DATAGRAMS_MAX if self.socket is not None else 0):
                self._take(now)
        except BlockingIOError:
            pass
        except OSError:
            self.close()  # the network says that it cannot be
        if now >= self.until:
            self.close()

    def _take(self, now: float) -> None:
        if self.socket is not None:
            self.answer = self._parse(self.socket.recv(ANSWER_BYTES_MAX))
            if self.answer is not None:
                self.ms = (now - self.began) * 1000
                self.close()

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
            self.socket = None


def _echo(where: Target, now: float) -> _Exchange[bool]:
    """Ping; the kernel fills in identifier and checksum."""
    protocol, request, reply = ECHO[where.family]
    cookie = os.urandom(8)
    packet = bytes((request, 0, 0, 0, 0, 0, 0, 1)) + cookie
    return _Exchange(where, protocol, packet, lambda back: True if back[:1] == bytes((reply,)) and back[8:] == cookie else None, now)


class _Lookup:
    """One question to the resolvers: the next is asked as well when the one before stays silent or fails; a lone one is asked twice."""

    def __init__(self, servers: list[Target], asked: bytes, now: float) -> None:
        self.answer: Answer | None = None
        self.ms: float | None = None
        self.tries: list[_Exchange[Answer]] = []
        self.lost = self.sent = 0
        self._asked = asked
        self._waiting = (servers * 2)[: max(2, len(servers))] if servers else []
        self._until, self._next = now + LAYER_SECONDS, now
        self.is_over = self.is_local = False
        self.advance(now)

    def advance(self, now: float) -> None:
        if self.is_over:
            return
        for place, one in enumerate(self.tries):
            one.advance(now)
            if self.answer is None and one.answer is not None and one.answer.code in (NO_ERROR, NO_SUCH_NAME):
                self.answer, self.ms, self.sent = one.answer, one.ms, place + 1
                self.is_local = one.host.startswith(LOOPBACK)
        while self.answer is None and self._waiting and (now >= self._next or not self._live()):
            self._ask(self._waiting.pop(0), now)
        if self.answer is not None or now >= self._until or not (self._waiting or self._live()):
            self.close()

    def deadline(self) -> float:
        return min(self._until, self._next) if self._waiting else self._until

    def close(self) -> None:
        for one in self.tries:
            one.close()
        if not self.is_over:
            self.is_over = True
            self.sent = self.sent or len(self.tries)
            # A later try still under way when an earlier one answered is not lost.
            self.lost = sum(one.answer is None for one in self.tries[: self.sent])

    def _live(self) -> bool:
        return any(one.socket is not None for one in self.tries)

    def _ask(self, server: Target, now: float) -> None:
        number = os.urandom(2)
        query = number + b"\1\0\0\1\0\0\0\0\0\0" + self._asked  # recursion desired, one question
        self.tries.append(_Exchange(server, 0, query, lambda back: parse_answer(back, number, self._asked), now))
        self._next = now + RESOLVER_SECONDS


class _Internet:
    """The way to one far host: its address from DNS where it is a name, then a connection."""

    def __init__(self, host: str, port: int, device: str | None, lookup: _Lookup | None, ask: Callable[[str, int, float], _Lookup | None], now: float) -> None:
        self._host, self._port, self._ask = host, port, ask
        where = _literal(host, port, device)
        self.connect = _Connect(where, now) if where is not None else None
        self.lookup = None if where is not None else lookup or ask(host, TYPE_A, now)
        self._has_asked_again = False
        self.is_over = False
        self.advance(now)

    def advance(self, now: float) -> None:
        if self.connect is None:
            self._resolve(now)
        if self.connect is not None:
            self.connect.advance(now)
            self.is_over = self.connect.socket is None

    def _resolve(self, now: float) -> None:
        if self.lookup is not None:
            self.lookup.advance(now)
            if not self.lookup.is_over:
                return
            answer, self.lookup = self.lookup.answer, None
            if answer is not None and answer.addresses:
                where = target(answer.addresses[0], self._port)
                self.connect = None if where is None else _Connect(where, now)
            elif answer is not None and not self._has_asked_again:
                # The resolver is alive, but there is no IPv4 address: an IPv6-only city.
                self._has_asked_again = True
                self.lookup = self._ask(self._host, TYPE_AAAA, now)
        self.is_over = self.lookup is None and self.connect is None


class Probe:
    """One probe under way; see `agent.router.contract.Probe`."""

    def __init__(self, path: Path, dns_name: str, internet: tuple[str, int] | None, now: float, dns_port: int, gateway_port: int) -> None:
        self._path = path
        self._reach: Reach | None = None
        servers = (target(address, dns_port, path.device) for address in path.nameservers)
        self._servers = [server for server in servers if server is not None][:RESOLVERS_MAX]
        gateway = target(path.gateway, gateway_port, path.device) if path.gateway else None
        self._gateway: list[_Connect | _Exchange[bool]] = [] if gateway is None else [_echo(gateway, now), _Connect(gateway, now)]
        named = None if _literal(dns_name, 0, None) else question(dns_name, TYPE_A) if dns_name else None
        self._dns = _Lookup(self._servers, named or ROOT, now)
        self._internet: _Internet | None = None
        if internet is not None:
            shared = self._dns if named and internet[0].lower() == dns_name.lower() else None
            self._internet = _Internet(*internet, path.device, shared, self._ask, now)

    def fds(self) -> dict[int, int]:
        """Give the sockets to poll."""
        return {one.socket.fileno(): one.events for one in self._tries() if one.socket is not None}

    def deadline(self) -> float:
        """Give the moment by which `advance` must be called again."""
        moments = [one.until for one in self._tries() if one.socket is not None]
        return min(moments + [lookup.deadline() for lookup in self._lookups() if not lookup.is_over], default=0.0)

    def advance(self, now: float) -> Reach | None:
        """Take what came, send what is due; give the outcome once every layer is over."""
        if self._reach is None:
            for one in self._gateway:
                one.advance(now)
            self._dns.advance(now)
            if self._internet is not None:
                self._internet.advance(now)
            # The first answer of the gateway is enough.
            is_gateway_over = any(one.ms is not None for one in self._gateway) or all(one.socket is None for one in self._gateway)
            if is_gateway_over and self._dns.is_over and (self._internet is None or self._internet.is_over):
                self._reach = self._outcome()
                self.close()
        return self._reach

    def close(self) -> None:
        """Close every socket."""
        for lookup in self._lookups():
            lookup.close()
        for one in self._tries():
            one.close()

    def _lookups(self) -> list[_Lookup]:
        more = self._internet.lookup if self._internet is not None else None
        return [self._dns] if more is None or more is self._dns else [self._dns, more]

    def _tries(self) -> list[_Connect | _Exchange[bool] | _Exchange[Answer]]:
        far = self._internet.connect if self._internet is not None else None
        return [*self._gateway, *(one for lookup in self._lookups() for one in lookup.tries), *([] if far is None else [far])]

    def _ask(self, name: str, kind: int, now: float) -> _Lookup | None:
        asked = question(name, kind)
        return None if asked is None else _Lookup(self._servers, asked, now)

    def _outcome(self) -> Reach:
        gateway_ms = min((one.ms for one in self._gateway if one.ms is not None), default=None)
        far = self._internet.connect if self._internet is not None else None
        internet_ms = None if far is None else far.ms
        # A resolver on this very box (systemd-resolved) says nothing about the gateway.
        is_beyond = internet_ms is not None or (self._dns.ms is not None and not self._dns.is_local)
        is_near = gateway_ms is not None or (bool(self._path.gateway) and self._path.has_neighbour is True)
        tried = [(self._dns.lost, self._dns.sent)]
        if gateway_ms is not None or not (is_near or is_beyond):
            tried.append((int(gateway_ms is None), 1))
        if far is not None:
            tried.append((int(internet_ms is None), 1))
        lost, sent = (sum(column) for column in zip(*tried, strict=True))
        return Reach(self._state(is_near or is_beyond, internet_ms), gateway_ms, self._dns.ms, internet_ms, lost, sent)

    def _state(self, has_gateway: bool, internet_ms: float | None) -> Layer:
        if not has_gateway:
            return "link" if self._path.device is None or not self._path.up else "gateway" if self._path.address else "address"
        if self._dns.ms is None:
            return "dns"
        return "ok" if self._internet is None or internet_ms is not None else "internet"


def start(path: Path, dns_name: str, internet: tuple[tuple[str, int], ...], now: float, dns_port: int = DNS_PORT, gateway_port: int = GATEWAY_PORT) -> Probe:
    """Start a probe of `path` (`now`: monotonic seconds): the gateway, a DNS query for `dns_name`, a connection to one of `internet`.

    Without a name that DNS could know ("" or an address) the resolver is asked for the root's name servers.
    Which of `internet` is tried changes from probe to probe; without any, that layer is left out.
    """
    far = internet[os.urandom(1)[0] % len(internet)] if internet else None
    return Probe(path, dns_name, far, now, dns_port, gateway_port)
