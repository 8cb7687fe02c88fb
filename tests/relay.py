"""A TCP relay in front of a broker that can hold back, refuse MQTT 5, or keep a dead agent's connection open."""

from __future__ import annotations

import selectors
import socket
import threading
from types import TracebackType

CONNACK_UNSUPPORTED = bytes((0x20, 3, 0, 0x84, 0))


class Relay:
    """Relays to a port on loopback in a thread of its own."""

    def __init__(self, to_port: int, *, v5: str = "pass") -> None:
        """`v5`: what becomes of a CONNECT in MQTT 5: `pass`, `refuse` with the reason code, or `cut`."""
        self._to_port = to_port
        self._v5 = v5
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._peers: dict[socket.socket, socket.socket] = {}
        self._agents: list[socket.socket] = []
        self._held: set[socket.socket] = set()
        self._closing: list[socket.socket] = []
        self.connects: list[int] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._is_running = True
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def hold_answers(self) -> None:
        """Forward no byte from the broker to the agents connected now."""
        with self._lock:
            self._held |= {peer for agent, peer in self._peers.items() if agent in self._agents}

    def freeze(self) -> None:
        """Forward nothing either way on the connections there are now, and close none of them."""
        with self._lock:
            self._held |= set(self._peers)

    def tell_agents(self, data: bytes) -> None:
        """Say something to the agents in the broker's name, and close on them."""
        with self._lock:
            for agent in [sock for sock in self._agents if sock in self._peers]:
                agent.sendall(data)
                # Our half only: were it closed with something of theirs unread, the kernel would throw away what we just said.
                agent.shutdown(socket.SHUT_WR)
                self._closing.append(agent.dup())
                self._drop(agent)

    def close_frozen(self) -> None:
        """Close what is frozen, as a router's NAT table does when it restarts."""
        with self._lock:
            for sock in list(self._held):
                self._drop(sock)

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._is_running = False
        self._thread.join(10)
        for sock in [*self._peers, *self._closing, self._listener]:
            sock.close()
        self._selector.close()

    def _run(self) -> None:
        while self._is_running:
            for key, _ in self._selector.select(0.02):
                with self._lock:
                    if key.fileobj is self._listener:
                        self._accept()
                    elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._peers:
                        self._forward(key.fileobj)
            with self._lock:
                for sock in list(self._peers):
                    self._watch(sock)

    def _watch(self, sock: socket.socket) -> None:
        is_watched = sock in self._selector.get_map()
        if sock in self._held and is_watched:
            self._selector.unregister(sock)

    def _accept(self) -> None:
        agent, _ = self._listener.accept()
        agent.settimeout(2)
        try:
            first = agent.recv(4096)
        except OSError:
            first = b""
        version = first[8] if first[:1] == b"\x10" and first[4:8] == b"MQTT" else first[9] if first[:1] == b"\x10" and len(first) > 9 else 0
        self.connects.append(version)
        if version == 5 and self._v5 != "pass":
            if self._v5 == "refuse":
                agent.sendall(CONNACK_UNSUPPORTED)
            agent.close()
            return
        try:
            broker = socket.create_connection(("127.0.0.1", self._to_port), timeout=2)
            broker.sendall(first)
        except OSError:
            agent.close()
            return
        self._peers[agent], self._peers[broker] = broker, agent
        self._agents.append(agent)
        for sock in (agent, broker):
            self._selector.register(sock, selectors.EVENT_READ)

    def _forward(self, sock: socket.socket) -> None:
        if sock in self._held:
            return
        try:
            data = sock.recv(65536)
            if data:
                self._peers[sock].sendall(data)
        except OSError:
            data = b""
        if not data:
            self._drop(sock)

    def _drop(self, sock: socket.socket) -> None:
        for end in (sock, self._peers.get(sock)):
            if end is None or end not in self._peers:
                continue
            if end in self._selector.get_map():
                self._selector.unregister(end)
            del self._peers[end]
            self._held.discard(end)
            end.close()
