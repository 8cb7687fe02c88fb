"""Family DNS felt by a station: real nftables, real resolvers, UDP and TCP, IPv4 and IPv6; and a push of it by the real rwagent-apply."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stories.dns_world import (
    FAMILY,
    FAMILY6,
    HERE,
    HERE6,
    OPEN,
    OPEN6,
    OTHER,
    REFUSING,
    SECOND,
    SECOND6,
    SHELLS,
    SILENT,
    SILENT6,
    WANTED,
    World,
    dns_world,
)

pytestmark = [pytest.mark.story, pytest.mark.needs("netns", "nft", "dnsmasq", "busybox", "ss")]
WAYS = ("udp", "tcp")
EVERYWHERE = tuple(f"{how} {address}" for how in WAYS for address in (OPEN, OPEN6, HERE, HERE6, FAMILY, SECOND6))
ELSEWHERE = tuple(f"{how} {OTHER}" for how in WAYS)
# Before anything is pushed.
UNTOUCHED = {f"{how} {address}": who for how in WAYS for address, who in ((OPEN, "open"), (OPEN6, "open"), (HERE, "router"), (HERE6, "router"))}
ROUTES6 = ("default", "via", "2001:db8:1::2", "dev", "wan")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with dns_world(tmp_path_factory.mktemp("dns")) as made:
        yield made


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    """One world for all, without any rules of ours left."""
    yield shared
    assert_done(shared.dns("remove"))
    assert shared.rules() == shared.untouched


def wanted(*servers: str) -> str:
    return "v 1\nnetwork br-pub\n" + "".join(f"server {server}\n" for server in servers)


def assert_done(ended: subprocess.CompletedProcess[str]) -> None:
    assert (ended.returncode, ended.stderr) == (0, ""), ended


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_whoever_is_asked_the_family_resolver_answers_until_it_is_removed(world: World, shell: tuple[str, ...]) -> None:
    """Whichever resolver a station asks by port 53, the family's answers; another network's questions go where they went; removing restores all."""
    assert world.ask(*UNTOUCHED) == UNTOUCHED
    assert_done(world.dns("apply", world.file(WANTED), shell=shell))
    assert_done(world.dns("test", world.file(WANTED), shell=shell))
    assert world.ask(*EVERYWHERE, *ELSEWHERE) == dict.fromkeys(EVERYWHERE, "family") | dict.fromkeys(ELSEWHERE, "router")
    assert_done(world.dns("apply", world.file(""), shell=shell))
    assert world.rules() == world.untouched
    assert world.ask(*UNTOUCHED) == UNTOUCHED


def test_questions_under_way_do_not_go_on_elsewhere(world: World) -> None:
    """A connection that a device opened before does not stay a way around."""
    with world.device(OPEN) as device:
        assert device() == "open"
        assert_done(world.dns("apply", world.file(WANTED)))
        assert [device() for _ in range(3)] == ["ConnectionRefusedError"] * 3


def test_resolvers_of_one_family_share_the_questions(world: World) -> None:
    """Whoever gets no answer from one and asks anew is heard by the next: one dead resolver of two is slow, and not the end of all names."""
    file = world.file(wanted(FAMILY, OPEN, OPEN6, FAMILY6))
    assert_done(world.dns("apply", file))
    assert_done(world.dns("standing", file))
    assert world.ask_in_turn(*[f"udp {HERE}"] * 4) == ["family", "open"] * 2
    assert world.ask_in_turn(*[f"tcp {HERE6}"] * 4) == ["open", "family"] * 2


@pytest.mark.parametrize("own", [HERE, OTHER])
def test_this_box_itself_can_be_the_resolver(world: World, own: str) -> None:
    """An address of the router's own leads nowhere but to it."""
    file = world.file(wanted(own))
    assert_done(world.dns("apply", file))
    assert_done(world.dns("test", file))
    assert world.ask(f"udp {OPEN}", f"tcp {OPEN}", f"udp {HERE}") == dict.fromkeys((f"udp {OPEN}", f"tcp {OPEN}", f"udp {HERE}"), "router")


def refused_by_6(world: World, content: str) -> None:
    """Claim that questions by IPv6 are refused and those by IPv4 answered."""
    assert_done(world.dns("apply", world.file(content)))
    assert_done(world.dns("test", world.file(content)))
    refused = (f"udp {OPEN6}", f"udp {HERE6}", f"tcp {HERE6}")
    assert world.ask(*refused, f"udp {OPEN}") == dict.fromkeys(refused, "ConnectionRefusedError") | {f"udp {OPEN}": "family"}


def test_where_ipv6_has_no_resolver_it_is_refused_at_once(world: World) -> None:
    """A device whose IPv6 question cannot be answered learns so at once, and asks by IPv4; it gets no answer from anybody else."""
    refused_by_6(world, wanted(FAMILY))


def test_where_no_route_leads_to_a_resolver_it_is_refused_at_once(world: World) -> None:
    """A box without IPv6 of its own: nobody waits for an answer that cannot come."""
    with world.without_route(world.router, *ROUTES6):
        refused_by_6(world, WANTED)


def test_a_device_with_only_a_link_local_address_is_refused_at_once(world: World) -> None:
    """Nobody forwards such a question, and the router may be known as a resolver by such an address."""
    router = world.address(world.router, "br-pub")
    assert_done(world.dns("apply", world.file(WANTED)))
    assert world.ask(f"udp {router}%pub") == {f"udp {router}%pub": "ConnectionRefusedError"}
    assert_done(world.dns("apply", world.file(wanted(HERE6))))
    # On this box itself it need not be forwarded.
    assert world.ask(f"udp {router}%pub") == {f"udp {router}%pub": "router"}


def test_a_device_is_answered_wherever_the_router_is(world: World) -> None:
    """What the test of a push found is so for every device, also for one whose address leads nowhere in the internet."""
    with world.without_route(world.internet, "fd77::/64", "via", "2001:db8:1::1", "dev", "isp"):
        assert_done(world.dns("apply", world.file(WANTED)))
        assert world.ask(f"udp {OPEN6}", f"tcp {FAMILY6}") == {f"udp {OPEN6}": "family", f"tcp {FAMILY6}": "family"}


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_route_for_some_addresses_only_is_one(world: World, shell: tuple[str, ...]) -> None:
    """netifd's way out by IPv6 is for the provider's addresses alone: the resolvers there are asked too, and one that is silent is found."""
    with world.without_route(world.router, *ROUTES6), world.with_route(world.router, "default", "from", "2001:db8:1::/64", *ROUTES6[1:]):
        for servers, said in ((wanted(FAMILY, FAMILY6), ""), (wanted(FAMILY, SILENT6), f"dns: {SILENT6} gives no answer within 3 s, or refuses it\n")):
            assert_done(world.dns("apply", world.file(servers), shell=shell))
            assert world.dns("test", world.file(servers), shell=shell).stderr == said


@pytest.mark.parametrize(("shell", "servers", "which"), [(SHELLS[0], (FAMILY, SILENT, FAMILY6), 1), (SHELLS[1], (FAMILY, REFUSING), 1)])
def test_the_test_names_the_resolver_that_does_not_answer(world: World, shell: tuple[str, ...], servers: tuple[str, ...], which: int) -> None:
    """Silence and a refusal are no answers; it is told which resolver it was."""
    file = world.file(wanted(*servers))
    assert_done(world.dns("apply", file, shell=shell))
    ended = world.dns("test", file, shell=shell)
    assert (ended.returncode, ended.stderr) == (1, f"dns: {servers[which]} gives no answer within 3 s, or refuses it\n")


def test_a_resolver_that_hangs_is_waited_for_a_few_seconds(world: World) -> None:
    """One that takes a question and never answers costs seconds, and leaves no program behind that still asks."""
    file = world.file(WANTED)
    assert_done(world.dns("apply", file))
    world.family.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert world.dns("test", file).returncode == 1
        assert time.monotonic() - began < 20
        assert "nslookup" not in " ".join(_programs(world.router))
    finally:
        world.family.send_signal(signal.SIGCONT)


def _programs(namespace: str) -> list[str]:
    pids = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=True).stdout.split()
    found = []
    for pid in pids:
        try:
            found.append(Path(f"/proc/{pid}/cmdline").read_text())
        except OSError:
            continue
    return found


def test_the_test_fails_without_a_way_out(world: World) -> None:
    """Where no resolver can be reached at all, none answers."""
    file = world.file(WANTED)
    assert_done(world.dns("apply", file))
    with world.without_route(world.router, *ROUTES6), world.without_route(world.router, "default", "via", "198.51.100.2"):
        ended = world.dns("test", file)
    assert (ended.returncode, ended.stderr) == (1, f"dns: no route leads to {FAMILY} {SECOND} {FAMILY6} {SECOND6}\n")


LOST = {
    "delete table": "the kernel does not send br-pub's questions to 1.1.1.3",
    "flush table": "the kernel does not send br-pub's questions to 1.1.1.3",
    "flush chain sent": "the kernel does not send br-pub's questions to 1.1.1.3",
    "flush chain held": "the kernel lacks some of the rules for br-pub",
    "flush chain masked": "the kernel lacks some of the rules for br-pub",
}


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_what_the_kernel_lost_is_found(world: World, shell: tuple[str, ...]) -> None:
    """The kernel is read back and not believed: rules that somebody flushed are missed, and made again by the next apply."""
    file = world.file(WANTED)
    for words, said in LOST.items():
        verb, what, *chain = words.split()
        assert_done(world.dns("apply", file, shell=shell))
        assert_done(world.dns("standing", file, shell=shell))
        world.run(world.router, "nft", verb, what, "inet", "rwagent_dns", *chain)
        for asked in ("standing", "test"):
            ended = world.dns(asked, file, shell=shell)
            assert (ended.returncode, ended.stderr) == (1, f"dns: {said}\n")


def test_each_resolver_is_looked_for(world: World) -> None:
    """Rules that lead to some of them, or to others, are not those that are wanted; neither are any where none are."""
    assert_done(world.dns("apply", world.file(wanted(FAMILY, SECOND, FAMILY6))))
    for servers, missing in (((FAMILY, SECOND, FAMILY6, SECOND6), SECOND6), ((FAMILY, OPEN), OPEN), (("1.1.1.33",), "1.1.1.33"), (("1.1.1",), "")):
        ended = world.dns("standing", world.file(wanted(*servers)))
        assert (missing and ended.stderr) == (missing and f"dns: the kernel does not send br-pub's questions to {missing}\n") and ended.returncode
    ended = world.dns("standing", world.file(""))
    assert (ended.returncode, ended.stderr) == (1, "dns: the kernel still sends questions elsewhere\n")


@pytest.mark.parametrize(
    ("revision", "done", "undone", "why"),
    [
        (1, "addr del 10.77.0.1/24 dev br-pub", "addr add 10.77.0.1/24 dev br-pub", "has no address of this box"),
        (2, "link set wan master br-pub", "link set wan nomaster", "this access point is flat"),
    ],
)
def test_a_box_that_does_not_route_for_the_public_network_refuses(world: World, revision: int, done: str, undone: str, why: str) -> None:
    """One that only bridges it, and one whose uplink is a port of the same bridge, say that they cannot, and touch nothing."""
    world.run(world.router, "ip", *done.split())
    try:
        said = world.push(revision, {"dns": {"filter": "cloudflare-family"}})
    finally:
        world.run(world.router, "ip", *undone.split())
    assert (said["state"], said["reason"]) == ("rejected", "unsupported"), said
    (error,) = said["errors"]
    assert (error["path"], error["code"]) == ("dns", "unsupported") and why in error["message"]
    assert world.rules() == world.untouched


def test_a_push_is_felt_kept_rolled_back_and_removed(world: World) -> None:
    """Pushed, the filter answers; a push whose resolver does not answer is taken back, and the filter answers on; no longer named, all is as before."""
    asked = (f"udp {OPEN}", f"tcp {OPEN6}")
    said = world.push(3, {"dns": {"filter": "cloudflare-family"}})
    assert said["state"] == "confirmed", said
    assert said["changes"] == [{"path": "dns.filter", "to": "cloudflare-family", "impact": "live"}]
    assert world.ask(*asked) == dict.fromkeys(asked, "family")
    said = world.push(4, {"dns": {"servers": [SILENT, FAMILY6]}})
    assert (said["state"], said.get("reason")) == ("rolled_back", "not_resolving"), said
    assert world.ask(*asked) == dict.fromkeys(asked, "family")
    said = world.push(5, {})
    assert said["state"] == "confirmed", said
    assert world.ask(*asked) == dict.fromkeys(asked, "open")
    assert world.rules() == world.untouched
