"""The layered probe over real sockets on loopback: little resolvers, refused, listening and silent ports, and hostile answers."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent import reach
from agent.records import Path, Reach

NAME = "mqtt.malang.example"
PATIENCE_S = 60.0
Reply = Callable[[bytes], list[bytes]]


def header(query: bytes, code: int = 0, answers: int = 0) -> bytes:
    return query[:2] + bytes((0x81, 0x80 | code)) + b"\0\1" + answers.to_bytes(2, "big") + b"\0\0\0\0"


def record(address: str, family: int = socket.AF_INET) -> bytes:
    body = socket.inet_pton(family, address)
    return b"\xc0\x0c" + (1 if family == socket.AF_INET else 28).to_bytes(2, "big") + b"\0\1\0\0\0\x3c" + len(body).to_bytes(2, "big") + body


def gives(*addresses: str) -> Reply:
    return lambda query: [header(query, 0, len(addresses)) + query[12:] + b"".join(map(record, addresses))]


def fails(code: int) -> Reply:
    return lambda query: [header(query, code) + query[12:]]


class Resolver:
    """One UDP socket that answers as told; silent without a reply."""

    def __init__(self, reply: Reply = lambda query: [], host: str = "127.0.0.1", port: int = 0) -> None:
        self.reply = reply
        self.queries: list[bytes] = []
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind((host, port))
        self.port = self.socket.getsockname()[1]

    def serve(self) -> None:
        try:
            while True:
                query, peer = self.socket.recvfrom(4096)
                self.queries.append(query)
                for packet in self.reply(query):
                    self.socket.sendto(packet, peer)
        except BlockingIOError:
            pass


class World:
    """Everything a test opens, closed at its end."""

    def __init__(self) -> None:
        self.open: list[socket.socket] = []
        self.resolvers: list[Resolver] = []
        self.probes: list[reach.Probe] = []

    def resolver(self, *arguments: object, **named: object) -> Resolver:
        resolver = Resolver(*arguments, **named)  # type: ignore[arg-type]
        self.resolvers.append(resolver)
        self.open.append(resolver.socket)
        return resolver

    def listener(self, host: str = "127.0.0.1") -> int:
        """Open a port that accepts."""
        server = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.open.append(server)
        return server.getsockname()[1]

    def black_hole(self) -> int:
        """Open a port that neither accepts nor refuses: its queue is full, so the kernel drops every SYN."""
        server = socket.socket()
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        self.open.append(server)
        for _ in range(3):
            caller = socket.socket()
            caller.setblocking(False)
            caller.connect_ex(server.getsockname())
            self.open.append(caller)
        return server.getsockname()[1]

    def start(
        self, *, resolver: Resolver | None = None, internet: tuple[tuple[str, int], ...] = (), name: str = NAME, now: float | None = None, **more: object
    ) -> reach.Probe:
        """Start a probe whose gateway refuses, unless told otherwise."""
        path = Path("lo", True, "127.0.0.1", "127.0.0.1", ("127.0.0.1",) if resolver else (), None)
        gateway_port = more.pop("gateway_port", None) or refused()
        path = path._replace(**more)
        now = time.monotonic() if now is None else now
        probe = reach.start(path, name, internet, now, resolver.port if resolver else 53, gateway_port)  # type: ignore[arg-type]
        self.probes.append(probe)
        return probe

    def finish(self, probe: reach.Probe) -> Reach:
        """Turn the loop as the daemon does, in real time."""
        ends = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends:
            outcome = probe.advance(time.monotonic())
            if outcome is not None:
                assert probe.fds() == {}
                return outcome
            assert probe.deadline() - time.monotonic() <= reach.LAYER_SECONDS
            poller = select.poll()
            for fd, mask in probe.fds().items():
                poller.register(fd, mask)
            for resolver in self.resolvers:
                poller.register(resolver.socket, select.POLLIN)
            poller.poll(min(100, max(0, int((probe.deadline() - time.monotonic()) * 1000) + 1)))
            for resolver in self.resolvers:
                resolver.serve()
        raise AssertionError("the probe did not end")

    def run(self, **how: object) -> Reach:
        return self.finish(self.start(**how))  # type: ignore[arg-type]

    def hurry(self, probe: reach.Probe, now: float) -> tuple[Reach, float]:
        """Move time from deadline to deadline until the probe ends; resolvers answer at once. Give the outcome and how long it took."""
        began = now
        for _ in range(100):
            outcome = probe.advance(now)
            if outcome is not None:
                return outcome, now - began
            assert now <= probe.deadline() <= now + reach.LAYER_SECONDS
            poller = select.poll()
            for fd, mask in probe.fds().items():
                poller.register(fd, mask)
            for resolver in self.resolvers:
                resolver.serve()
            now = now + 0.001 if poller.poll(0) else probe.deadline()
        raise AssertionError("the probe did not end")


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    for probe in world.probes:
        probe.close()
    for one in world.open:
        one.close()


def refused() -> int:
    """Find a TCP port of loopback where nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_all_layers_work(world: World) -> None:
    """A gateway that refuses is alive, the resolver knows the name, the far host accepts: ok, three latencies, nothing lost."""
    outcome = world.run(resolver=world.resolver(gives("127.0.0.1")), internet=((NAME, world.listener()),))
    assert (outcome.state, outcome.lost, outcome.sent) == ("ok", 0, 3)
    assert all(ms is not None and 0 <= ms < 2000 for ms in outcome[1:4])


def test_a_literal_address_needs_no_name(world: World) -> None:
    """An address is connected to directly."""
    resolver = world.resolver(gives())
    outcome = world.run(resolver=resolver, name="", internet=(("127.0.0.1", world.listener()),))
    assert outcome.state == "ok"
    assert len(resolver.queries) == 1


@pytest.mark.parametrize("name", ["", "192.0.2.7", "::1", "localhost", "a..b", "x" * 64, "é.example"])
def test_without_a_name_the_root_is_asked(world: World, name: str) -> None:
    """What DNS could not know is not asked: the resolver proves itself with the root's name servers."""
    resolver = world.resolver(gives())
    assert world.run(resolver=resolver, name=name).state == "ok"
    assert resolver.queries[0][12:] == b"\0\0\2\0\1"


def test_the_query_is_one_question_for_an_address(world: World) -> None:
    """Recursion desired, one question, A, IN; an id that changes."""
    resolver = world.resolver(gives("127.0.0.1"))
    for _ in range(3):
        world.run(resolver=resolver)
    assert {query[2:] for query in resolver.queries} == {b"\1\0\0\1\0\0\0\0\0\0\4mqtt\6malang\7example\0\0\1\0\1"}
    assert len({query[:2] for query in resolver.queries}) > 1


def test_a_name_shared_by_both_layers_is_asked_once(world: World) -> None:
    """The far host's address is the one the DNS layer got."""
    resolver = world.resolver(gives("127.0.0.1"))
    world.run(resolver=resolver, internet=((NAME.upper(), world.listener()),))
    assert len(resolver.queries) == 1


def test_another_name_has_its_own_query(world: World) -> None:
    """A far host of another name is looked up beside."""
    resolver = world.resolver(gives("127.0.0.1"))
    assert world.run(resolver=resolver, name="", internet=(("far.example", world.listener()),)).state == "ok"
    assert sorted(query[12:] for query in resolver.queries) == [b"\0\0\2\0\1", b"\3far\7example\0\0\1\0\1"]


def test_a_name_with_ipv6_only_is_reached(world: World) -> None:
    """No A record, but an AAAA record: the far host is reached by it."""

    def reply(query: bytes) -> list[bytes]:
        is_six = query[-4:-2] == b"\0\x1c"
        return [header(query, 0, int(is_six)) + query[12:] + (record("::1", socket.AF_INET6) if is_six else b"")]

    assert world.run(resolver=world.resolver(reply), internet=((NAME, world.listener("::1")),)).state == "ok"


def test_ipv6_gateway_and_resolver(world: World) -> None:
    """Nothing of it needs IPv4."""
    resolver = world.resolver(gives("127.0.0.1"), host="::1")
    outcome = world.run(resolver=resolver, nameservers=("::1",), gateway="::1", internet=(("::1", world.listener("::1")),))
    assert outcome.state == "ok" and outcome.gateway_ms is not None


def test_a_refused_connection_has_been_there(world: World) -> None:
    """A broker that is being restarted is no broken uplink."""
    outcome = world.run(resolver=world.resolver(gives("127.0.0.1")), internet=((NAME, refused()),))
    assert outcome.state == "ok" and outcome.internet_ms is not None


def test_localhost_is_not_asked_of_dns(world: World) -> None:
    """The broker on this very box is found without a resolver's help."""
    resolver = world.resolver(fails(3))
    assert world.run(resolver=resolver, name="", internet=(("localhost", world.listener()),)).state == "ok"


def test_a_silent_far_host_is_internet(world: World) -> None:
    """A connection that never comes about ends by the layer's deadline; the layers below are measured."""
    probe = world.start(resolver=world.resolver(gives("127.0.0.1")), internet=((NAME, world.black_hole()),), now=100.0)
    outcome, took = world.hurry(probe, 100.0)
    assert (outcome.state, outcome.internet_ms, outcome.lost, outcome.sent) == ("internet", None, 1, 3)
    assert outcome.gateway_ms is not None and outcome.dns_ms is not None
    assert took <= 2 * reach.LAYER_SECONDS + 0.1


def test_a_silent_resolver_is_dns(world: World) -> None:
    """A lone resolver is asked twice, then given up; a far host known by its address does not hide it."""
    resolver = world.resolver()
    outcome, took = world.hurry(world.start(resolver=resolver, internet=(("127.0.0.1", world.listener()),), now=100.0), 100.0)
    assert (outcome.state, outcome.dns_ms, outcome.lost, outcome.sent) == ("dns", None, 2, 4)
    assert outcome.internet_ms is not None
    assert len(resolver.queries) == 2 and took <= reach.LAYER_SECONDS + 0.1


def test_no_name_no_way_to_the_far_host(world: World) -> None:
    """When the name cannot be had, the far host was not tried: dns, and nothing lost there."""
    outcome, took = world.hurry(world.start(resolver=world.resolver(), internet=((NAME, 1),), now=100.0), 100.0)
    assert (outcome.state, outcome.internet_ms, outcome.lost, outcome.sent) == ("dns", None, 2, 3)
    assert took <= 6


def test_everything_silent_is_gateway_within_six_seconds(world: World) -> None:
    """Nothing answers: the first layer is to blame, and the whole probe is bounded."""
    hole = world.black_hole()
    probe = world.start(gateway_port=hole, resolver=world.resolver(), internet=(("127.0.0.1", hole),), name="", now=100.0)
    outcome, took = world.hurry(probe, 100.0)
    assert outcome == Reach("gateway", None, None, None, 4, 4)
    assert took <= 6


def test_the_slowest_probe_is_within_six_seconds(world: World) -> None:
    """A name without A at the last moment, without AAAA, then silence."""
    resolver = world.resolver()
    probe = world.start(resolver=resolver, gateway_port=world.black_hole(), internet=((NAME, world.black_hole()),), now=100.0)
    now, outcome = 100.0, None
    while outcome is None and now < 110:
        now = round(now + 0.1, 1)
        if now in (101.9, 103.8):
            resolver.reply = gives() if now == 101.9 else lambda query: [header(query, 0, 1) + query[12:] + record("127.0.0.1")]
            # The answer to the last query, late.
            resolver.serve()
        outcome = probe.advance(now)
    assert outcome is not None and now <= 106


def test_a_silent_gateway_is_ok_when_the_rest_works(world: World) -> None:
    """Many gateways drop what is meant for themselves: what works beyond them proves them, and nothing counts as lost."""
    probe = world.start(gateway_port=world.black_hole(), resolver=world.resolver(gives("127.0.0.1")), internet=((NAME, world.listener()),), now=100.0)
    outcome, _ = world.hurry(probe, 100.0)
    assert (outcome.state, outcome.gateway_ms, outcome.lost, outcome.sent) == ("ok", None, 0, 2)


def test_a_stub_resolver_on_the_box_does_not_prove_the_gateway(world: World) -> None:
    """127.0.0.53 answers from its cache with the cable cut."""
    hole = world.black_hole()
    probe = world.start(gateway_port=hole, resolver=world.resolver(gives("127.0.0.1")), internet=((NAME, hole),), now=100.0)
    assert world.hurry(probe, 100.0)[0].state == "gateway"


def test_a_reachable_neighbour_is_a_gateway(world: World) -> None:
    """When the kernel just heard the gateway, its silence to us is its policy: the failure lies beyond."""
    hole = world.black_hole()
    probe = world.start(gateway_port=hole, has_neighbour=True, resolver=world.resolver(), internet=(("127.0.0.1", hole),), now=100.0)
    outcome, _ = world.hurry(probe, 100.0)
    assert (outcome.state, outcome.gateway_ms) == ("dns", None)


def test_no_resolver_is_dns(world: World) -> None:
    """A path without a nameserver resolves nothing, and the other layers are measured all the same."""
    outcome = world.run(internet=(("127.0.0.1", world.listener()),))
    assert (outcome.state, outcome.dns_ms, outcome.sent) == ("dns", None, 2)
    assert outcome.internet_ms is not None


@pytest.mark.parametrize("junk", ["not an address", "999.1.1.1", "", "fe80::1%nodevice", "\0", "1.2.3.4.5"])
def test_addresses_that_are_none_do_not_crash(world: World, junk: str) -> None:
    """A garbled gateway or nameserver is one that is not there."""
    outcome, _ = world.hurry(world.start(nameservers=(junk,), gateway=junk, now=100.0), 100.0)
    assert outcome.state == "gateway"


def test_no_gateway_in_the_path_is_gateway_only_if_nothing_works(world: World) -> None:
    """PPP has none and works."""
    resolver = world.resolver(gives("127.0.0.1"))
    assert world.run(gateway=None, resolver=resolver, internet=((NAME, world.listener()),)).state == "ok"
    assert world.run(gateway=None).state == "gateway"


def test_what_the_path_lacks_is_named_when_nothing_works(world: World) -> None:
    """Without device or address the probe says so, as the path does."""
    assert world.run(gateway=None, device=None, up=False, address=None).state == "link"
    assert world.run(gateway=None, address=None).state == "address"


def test_without_internet_targets_that_layer_is_left_out(world: World) -> None:
    """Nobody to connect to is no failure."""
    outcome = world.run(resolver=world.resolver(gives("127.0.0.1")))
    assert (outcome.state, outcome.internet_ms, outcome.sent) == ("ok", None, 2)


def test_no_such_name_is_a_resolver_alive(world: World) -> None:
    """NXDOMAIN is an answer."""
    assert world.run(resolver=world.resolver(fails(3))).state == "ok"


@pytest.mark.parametrize("code", [1, 2, 4, 5])
def test_a_resolver_that_fails_or_refuses_is_dns(world: World, code: int) -> None:
    """SERVFAIL and REFUSED come from a box that cannot resolve; that is known at once and is no loss."""
    outcome = world.run(resolver=world.resolver(fails(code)))
    assert (outcome.state, outcome.dns_ms, outcome.lost) == ("dns", None, 0)


def test_the_second_resolver_helps_out(world: World) -> None:
    """A silent first resolver costs a little while and one lost try, not the layer."""
    first = world.resolver()
    world.resolver(gives("127.0.0.1"), host="127.0.0.2", port=first.port)
    probe = world.start(resolver=first, nameservers=("127.0.0.1", "127.0.0.2"), now=100.0)
    outcome, took = world.hurry(probe, 100.0)
    assert (outcome.state, outcome.lost, outcome.sent) == ("ok", 1, 3)
    assert took <= reach.RESOLVER_SECONDS + 0.1


def test_a_refused_resolver_gives_way_at_once(world: World) -> None:
    """Where no resolver listens the kernel says so, and the next is asked without waiting."""
    second = world.resolver(gives("127.0.0.1"), host="127.0.0.2")
    probe = world.start(resolver=second, nameservers=("127.0.0.3", "127.0.0.2"), now=100.0)
    outcome, took = world.hurry(probe, 100.0)
    assert outcome.state == "ok" and took < reach.RESOLVER_SECONDS


@pytest.mark.parametrize(
    "spoil",
    [
        lambda query: [bytes((query[0] ^ 1, query[1])) + gives("127.0.0.1")(query)[0][2:]],
        lambda query: [query],
        lambda query: [header(query) + query[12:].replace(b"mqtt", b"evil")],
        lambda query: [header(query)[:4] + b"\0\2" + header(query)[6:] + query[12:]],
        lambda query: [header(query)],
        lambda query: [b"", b"\0", query[:11]],
        lambda query: [b"\xff" * 4096] * 50,
    ],
    ids=["wrong id", "echoed query", "wrong question", "two questions", "no question", "cut short", "flood"],
)
def test_what_is_no_answer_is_waited_out(world: World, spoil: Reply) -> None:
    """A spoofed or garbled packet neither counts nor ends the wait: the true answer behind it does."""
    outcome = world.run(resolver=world.resolver(lambda query: [*spoil(query), *gives("127.0.0.1")(query)]))
    assert outcome.state == "ok"
    probe = world.start(resolver=world.resolver(spoil), now=100.0)
    assert world.hurry(probe, 100.0)[0].state == "dns"


def test_an_answer_from_elsewhere_does_not_count(world: World) -> None:
    """The right words from the wrong port are not the resolver's."""
    stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    world.open.append(stranger)
    resolver = world.resolver()
    probe = world.start(resolver=resolver, now=100.0)
    query, peer = resolver.socket.recvfrom(4096)
    stranger.sendto(gives("127.0.0.1")(query)[0], peer)
    assert world.hurry(probe, 100.0)[0].state == "dns"


def test_close_closes_every_socket(world: World) -> None:
    """A probe given up leaves no file descriptor behind, and may be closed twice."""
    before = len(os.listdir("/proc/self/fd"))
    hole = world.black_hole()
    opened = len(os.listdir("/proc/self/fd"))
    path = Path("lo", True, "127.0.0.1", "127.0.0.1", ("127.0.0.1",), None)
    probe = reach.start(path, "", (("127.0.0.1", hole),), 0.0, refused(), hole)
    assert probe.fds() and before < opened
    probe.close()
    probe.close()
    assert probe.fds() == {} and len(os.listdir("/proc/self/fd")) == opened


def test_a_finished_probe_keeps_its_outcome(world: World) -> None:
    """Asked again, it says the same and opens nothing."""
    probe = world.start(resolver=world.resolver(gives("127.0.0.1")))
    assert world.finish(probe) is probe.advance(time.monotonic())


def test_a_link_local_address_gets_its_device() -> None:
    """fe80::1 is a gateway only together with the uplink's device."""
    index = socket.if_nametoindex("lo")
    for written in ("fe80::1", "fe80::1%lo"):
        where = reach.target(written, 53, "lo")
        assert where is not None and where.sockaddr == ("fe80::1", 53, 0, index)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_is_none_is_no_target(port: int) -> None:
    """Ports are 0 to 65535."""
    assert reach.target("127.0.0.1", port) is None


QUESTION = reach.question(NAME, reach.TYPE_A) or b""


def test_records_after_an_alias_count() -> None:
    """CNAME first, then the address."""
    alias = b"\xc0\x0c\0\5\0\1\0\0\0\1\0\2\xc0\x0c"
    packet = b"ab\x81\x80\0\1\0\2\0\0\0\0" + QUESTION + alias + record("192.0.2.7")
    assert reach.parse_answer(packet, b"ab", QUESTION) == reach.Answer(0, ("192.0.2.7",))


def test_the_case_of_the_name_may_change() -> None:
    """Some resolvers give the question back in their own case."""
    packet = b"ab\x81\x80\0\1\0\0\0\0\0\0" + QUESTION.upper()
    assert reach.parse_answer(packet, b"ab", QUESTION) == reach.Answer(0, ())


def test_a_truncated_answer_gives_what_is_there() -> None:
    """The resolver is alive, and the whole record before the cut counts."""
    packet = b"ab\x83\x80\0\1\0\2\0\0\0\0" + QUESTION + record("192.0.2.7") + record("192.0.2.8")[:-2]
    assert reach.parse_answer(packet, b"ab", QUESTION) == reach.Answer(0, ("192.0.2.7",))


@given(st.binary(max_size=600), st.integers(0, 65535))
@example(b"\xc0\x0c" * 300, 65535)
@example(b"\x3f" * 600, 65535)
@example(b"\xc0", 1)
def test_any_bytes_after_the_question_do_no_harm(garbage: bytes, answers: int) -> None:
    """Pointer loops, lengths beyond the end, half records: an answer with at most a few true addresses, never an exception."""
    packet = b"ab\x81\x80\0\1" + answers.to_bytes(2, "big") + b"\0\0\0\0" + QUESTION + garbage
    answer = reach.parse_answer(packet, b"ab", QUESTION)
    assert answer is not None and len(answer.addresses) <= 32
    assert all(reach.target(address, 53) is not None for address in answer.addresses)


@given(st.binary(max_size=200))
def test_any_packet_at_all_does_no_harm(packet: bytes) -> None:
    """Bytes from the network are data."""
    assert reach.parse_answer(packet, b"ab", QUESTION) is None or packet[:2] == b"ab"


@given(st.text(max_size=300))
def test_any_name_gives_a_question_or_none(name: str) -> None:
    """A question has labels of 1 to 63 bytes and a name of at most 255."""
    asked = reach.question(name, reach.TYPE_A)
    assert asked is None or (len(asked) <= 255 + 4 and asked.endswith(b"\0\0\1\0\1"))


PING = """
import select, socket, sys, time
sys.path.insert(0, sys.argv[1])
from agent import reach
from agent.records import Path

hole = socket.create_server(("::", 0), family=socket.AF_INET6, backlog=0, dualstack_ipv6=True)
port = hole.getsockname()[1]
callers = [socket.socket() for _ in range(3)]
for caller in callers:
    caller.setblocking(False)
    caller.connect_ex(("127.0.0.1", port))
for gateway in ("127.0.0.1", "::1"):
    probe = reach.start(Path("lo", True, "127.0.0.1", gateway, (), None), "", (), time.monotonic(), gateway_port=port)
    poller = select.poll()
    for fd, mask in probe.fds().items():
        poller.register(fd, mask)
    poller.poll(200)
    outcome = probe.advance(time.monotonic()) or probe.advance(probe.deadline())
    print(gateway, outcome.gateway_ms is not None)
"""


@pytest.mark.needs("netns")
def test_ping_where_the_kernel_allows_it() -> None:
    """Once net.ipv4.ping_group_range is open, an ICMP datagram socket hears a gateway whose TCP port is silent, over IPv4 and IPv6."""
    name = f"rw-reach-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        inside = ["ip", "netns", "exec", name]
        subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
        root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        ping = [*inside, sys.executable, "-c", PING, root]
        allowed = []
        for groups in ("1 0", "0 0"):
            subprocess.run([*inside, "sh", "-c", f"echo {groups} > /proc/sys/net/ipv4/ping_group_range"], check=True)
            allowed.append(subprocess.run(ping, check=True, capture_output=True, text=True, timeout=60).stdout.splitlines())
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)
    assert allowed == [["127.0.0.1 False", "::1 False"], ["127.0.0.1 True", "::1 True"]]
