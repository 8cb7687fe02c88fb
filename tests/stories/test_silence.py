"""Paths that die without a word: a cut cable far away, a handshake that stalls, a resolver that never answers."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from tests import netns
from tests.mosquitto import PATH, free_port
from tests.netns import Namespace
from tests.pki import Authority
from tests.stories.world import AP, World, assert_nothing_lost, assert_steady, assert_valid, until

SILENT_S = 180.0
KEEPALIVE_S = 30
CITY_PORT = 18831
RULES = """
add table ip rw
add chain ip rw in {{ type filter hook input priority 0; policy accept; }}
add chain ip rw out {{ type filter hook output priority 0; policy accept; }}
add rule ip rw in tcp dport {port} drop
add rule ip rw out tcp sport {port} drop
"""


@pytest.mark.story
@pytest.mark.needs("mosquitto", "netns", "nft")
@pytest.mark.long
def test_a_path_silent_for_three_minutes(world: World) -> None:
    """Sampling goes on; the loss is found within two keepalives; then the live report goes first, the backlog trickles, nothing is lost."""
    with Namespace() as far:
        extra = f"listener {CITY_PORT} {far.inside}\nallow_anonymous true"
        broker = world.broker(host=far.inside, prefix=far.prefix, extra=extra)
        city = world.city(CITY_PORT, far.inside)
        tables = {"broker": {"host": far.inside, "allow_plaintext": True, "keepalive_s": KEEPALIVE_S}}
        agent = world.agent(broker.port, tables=tables).start()
        city.wait_for(5)
        before = len(city.on("report"))
        swallow(far, broker.port)
        began = time.monotonic()
        until(lambda: agent.state().get("broker", {}).get("state") != "connected", "the loss is noticed", 2 * KEEPALIVE_S + 5)
        noticed_after = time.monotonic() - began
        assert "echo not returned" in agent.log()
        while time.monotonic() < began + SILENT_S:
            time.sleep(0.5)
            assert agent.is_running(), agent.log()
        far.restore()
        city.wait_for(before + 1, 70)
        back_at = city.on("report")[before].at
        missing = agent.put() - city.numbers()
        until(lambda: missing <= city.numbers(), lambda: f"the backlog of {len(missing)} comes", 90)
        drained_after = time.monotonic() - back_at
        assert agent.stop() == 0
    late = city.on("report")[before:]
    first = late[0]
    assert first.wall - first.message["at"] < 2.5, "the first report after the outage is not the live one"
    assert not first.message["late"]
    backlog = [each for each in late if each.message["late"]]
    assert len(backlog) > 100
    assert all(after.message["seq"] > before_.message["seq"] for before_, after in pairwise(backlog))
    for place, each in enumerate(backlog[20:]):
        # Four a second, a burst of four more, and what the last second's own reports make late.
        assert each.at - backlog[place].at > 20 / 4 - 2, "the backlog comes faster than it should"
    assert noticed_after <= 2 * KEEPALIVE_S + 2
    assert_nothing_lost(city, agent)
    assert_steady(city.reports())
    assert_valid(city)
    print(f"\nloss noticed after {noticed_after:.1f} s, {len(backlog)} late reports, backlog gone {drained_after:.0f} s after the first report")


def swallow(far: Namespace, port: int) -> None:
    """Let every packet of one port vanish in both directions: no answer, no reset, no FIN."""
    command = [*far.prefix, netns._which("nft"), "-f", "-"]
    subprocess.run(command, input=RULES.format(port=port).encode(), check=True, timeout=10)


@pytest.mark.story
@pytest.mark.needs("mosquitto")
def test_a_tls_handshake_that_stalls(world: World) -> None:
    """A listener that accepts and says nothing holds up the connection and nothing else; the real broker gets every report."""
    city_ca = Authority(world.folder)
    server = city_ca.server("127.0.0.1")
    broker = world.broker(server=server, extra=f"listener {(plain := free_port())} 127.0.0.1\nallow_anonymous true")
    city = world.city(plain)
    broker.stop()
    own = city_ca.client(AP)
    tables = {"broker": {"tls": True, "ca_file": city_ca.file, "cert_file": own.cert, "key_file": own.key}}
    agent = world.agent(broker.port, tables=tables)
    with stalling(broker.port) as accepted:
        agent.start()
        until(lambda: accepted, "the agent comes")
        until(lambda: "does not answer the handshake" in agent.log(), "the handshake is given up", 30)
        until(lambda: "does not answer the handshake" in agent.status().stdout, lambda: agent.status().stdout, 10)
        reported = len(agent.put())
    broker.start()
    city.gone().join()
    until(lambda: {number for number in agent.put() if number[1] <= reported} <= city.numbers(), "all is heard", 60)
    assert agent.stop() == 0
    assert reported >= 10
    assert_nothing_lost(city, agent)
    assert_steady(city.reports())
    assert_valid(city)


@contextmanager
def stalling(port: int) -> Iterator[list[socket.socket]]:
    """Accept connections on a port and say nothing."""
    accepted: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", port)) as listener:

        def accept() -> None:
            try:
                while True:
                    accepted.append(listener.accept()[0])
            except OSError:
                return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield accepted
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)
        for sock in accepted:
            sock.close()


@pytest.mark.story
@pytest.mark.needs("netns")
def test_a_resolver_that_never_answers(world: World) -> None:
    """A black-hole resolver costs the connection only: sampling goes on, `rwagent status` says why, SIGTERM ends it within 5 s."""
    with hole() as prefix:
        tables = {"broker": {"host": "mqtt.city.example", "allow_plaintext": True}}
        agent = world.agent(1883, tables=tables, prefix=prefix).start()
        until(lambda: "resolver: mqtt.city.example" in agent.log(), lambda: f"the resolver is blamed:\n{agent.log()}", 40)
        why = r"not connected to mqtt\.city\.example:1883 .*resolver: mqtt\.city\.example"
        until(lambda: re.search(why, agent.status().stdout), lambda: agent.status().stdout, 10)
        assert agent.status().returncode == 1
        began = time.monotonic()
        assert agent.stop(5) == 0
        assert time.monotonic() - began < 5
    reports = agent.kept_reports()
    assert len(reports) >= 15
    assert_steady(reports)
    assert agent.put() == agent.held()


@contextmanager
def hole() -> Iterator[tuple[str, ...]]:
    """A namespace whose resolver lies behind a device that swallows everything; give the words that run a command in it."""
    name = f"rw-stories-{os.getpid()}"
    ip = netns._which("ip")

    def run(*words: str) -> None:
        subprocess.run([ip, *words], check=True, capture_output=True, timeout=10, env=os.environ | {"PATH": PATH})

    run("netns", "add", name)
    folder = Path("/etc/netns") / name
    try:
        run("-n", name, "link", "add", "hole", "type", "veth", "peer", "name", "nobody")
        run("-n", name, "addr", "add", "198.18.255.1/24", "dev", "hole")
        for device in ("hole", "nobody", "lo"):
            run("-n", name, "link", "set", device, "up")
        run("-n", name, "neigh", "add", "198.18.255.53", "lladdr", "02:00:00:00:00:35", "dev", "hole", "nud", "permanent")
        folder.mkdir(parents=True)
        (folder / "resolv.conf").write_text("nameserver 198.18.255.53\noptions timeout:30 attempts:2\n")
        (folder / "nsswitch.conf").write_text("hosts: files dns\n")
        yield (ip, "netns", "exec", name)
    finally:
        run("netns", "del", name)
        for file in folder.glob("*"):
            file.unlink()
        if folder.exists():
            folder.rmdir()
