"""A public network, the router before it and an internet of resolvers, as network namespaces with real dnsmasq; and a station that asks them. Needs root.

Each resolver answers every name with an address of its own, so that an answer says who gave it.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from agent.guard import DIRECTORY
from tests.stories.world import until

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
SCRIPT = os.path.join(DIRECTORY, "dns")
SHELLS = (("sh",), ("busybox", "sh"))
# One of the closed list, and what everybody knows and nobody meant.
FAMILY, SECOND, FAMILY6, SECOND6 = "1.1.1.3", "1.0.0.3", "2606:4700:4700::1113", "2606:4700:4700::1003"
OPEN, OPEN6 = "8.8.8.8", "2001:4860:4860::8888"
SILENT, SILENT6, REFUSING = "203.0.113.53", "2001:db8:5::53", "9.9.9.9"
HERE, HERE6 = "10.77.0.1", "fd77::1"  # the router's own, which is what DHCP and RA name
OTHER = "10.78.0.1"  # the router's own in a network that is not the public one
# Who answers with what.
ANSWERS = {"192.0.2.1": "family", "192.0.2.2": "open", "192.0.2.3": "router"}
WANTED = f"v 1\nnetwork br-pub\nserver {FAMILY}\nserver {SECOND}\nserver {FAMILY6}\nserver {SECOND6}\n"
# As fw4's: connections are followed from the first packet, and what leaves by IPv4 is masked.
FIREWALL = """
table inet fw4 {
    chain forward { type filter hook forward priority 0; policy accept; ct state established,related accept; }
    chain dstnat { type nat hook prerouting priority -100; policy accept; }
    chain srcnat { type nat hook postrouting priority 100; policy accept; oifname "wan" meta nfproto ipv4 masquerade; }
}
"""
_NUMBERS = itertools.count()
_ROOT = Path(__file__).resolve().parents[2]

# Asks for example.org: the last four bytes of an answer without EDNS are the address.
ASK = """
import json, socket, struct, sys
question = b"\\x12\\x34\\x01\\0\\0\\1\\0\\0\\0\\0\\0\\0\\7example\\3org\\0\\0\\1\\0\\1"
def opened(how, address):
    asker = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM if how == "tcp" else socket.SOCK_DGRAM)
    asker.settimeout(5)
    asker.connect(socket.getaddrinfo(address, 53)[0][4])
    return asker
def answered(asker, how):
    asker.send((struct.pack("!H", len(question)) if how == "tcp" else b"") + question)
    return socket.inet_ntoa(asker.recv(512)[-4:])
def tried(call, *arguments):
    try:
        return call(*arguments)
    except OSError as error:
        return type(error).__name__
"""
# Each "how address" of the arguments once, in their order; and one connection for as many questions as there are lines.
ALL = "print(json.dumps([tried(lambda how, address: answered(opened(how, address), how), *one.split()) for one in sys.argv[1:]]))"
AGAIN = """
asker = opened("udp", sys.argv[1])
for line in sys.stdin:
    print(tried(answered, asker, "udp"), flush=True)
"""


class World:
    """The namespaces of one test; `folder` is its own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        number = next(_NUMBERS)
        self.station, self.router, self.internet = (f"rw-dns-{os.getpid()}-{number}-{role}" for role in ("station", "router", "internet"))
        for name in (self.station, self.router, self.internet):
            _ip("netns", "add", name)
            stack.callback(_ip, "netns", "del", name)
            _ip("-n", name, "link", "set", "lo", "up")
        self._cable(self.station, "pub", self.router, "pub0")
        self._cable(self.station, "other", self.router, "other0")
        self._cable(self.router, "wan", self.internet, "isp")
        self._address(self.router)
        self._way_out()
        for name in ("ipv4.ip_forward", "ipv6.conf.all.forwarding"):
            self.run(self.router, "sysctl", "-qw", f"net.{name}=1")
        self.run(self.router, "nft", FIREWALL)
        self.untouched = self.rules()
        # The root's name servers, which the test asks for.
        self.family = self.resolver(self.internet, (FAMILY, SECOND, FAMILY6, SECOND6), "--address=/#/192.0.2.1", "--dns-rr=.,2,016100")
        self.resolver(self.internet, (OPEN, OPEN6), "--address=/#/192.0.2.2")
        self.resolver(self.internet, (REFUSING,))
        self.resolver(self.router, (HERE, HERE6, OTHER), "--address=/#/192.0.2.3", "--dns-rr=.,2,016100")

    def _cable(self, one: str, device: str, other: str, end: str) -> None:
        _ip("link", "add", device, "netns", one, "type", "veth", "peer", "name", end, "netns", other)
        _ip("-n", one, "link", "set", device, "up")
        _ip("-n", other, "link", "set", end, "up")

    def _address(self, router: str) -> None:
        _ip("-n", router, "link", "add", "br-pub", "type", "bridge")
        _ip("-n", router, "link", "set", "pub0", "master", "br-pub")
        _ip("-n", router, "link", "set", "br-pub", "up")
        for namespace, device, addresses in (
            (router, "br-pub", (f"{HERE}/24", f"{HERE6}/64")),
            (router, "other0", (f"{OTHER}/24",)),
            (router, "wan", ("198.51.100.1/24", "2001:db8:1::1/64")),
            (self.station, "pub", ("10.77.0.2/24", "fd77::2/64")),
            (self.station, "other", ("10.78.0.2/24",)),
            (self.internet, "isp", ("198.51.100.2/24", "2001:db8:1::2/64")),
            (self.internet, "lo", (FAMILY, SECOND, OPEN, SILENT, REFUSING, FAMILY6, SECOND6, OPEN6, SILENT6)),
        ):
            for address in addresses:
                # Without `nodad` an IPv6 address is nobody's for a second.
                _ip("-n", namespace, "addr", "add", address, "dev", device, *(("nodad",) if ":" in address else ()))

    def _way_out(self) -> None:
        for namespace, target, gateway in (
            (self.station, "default", HERE),
            (self.station, "default", HERE6),
            (self.router, "default", "198.51.100.2"),
            (self.router, "default", "2001:db8:1::2"),
            (self.internet, "10.77.0.0/24", "198.51.100.1"),
            (self.internet, "10.78.0.0/24", "198.51.100.1"),
            (self.internet, "fd77::/64", "2001:db8:1::1"),
        ):
            _ip("-n", namespace, "-6" if ":" in gateway else "-4", "route", "add", target, "via", gateway)

    def resolver(self, namespace: str, addresses: tuple[str, ...], *more: str) -> subprocess.Popen[bytes]:
        """Start one that answers at these addresses; without `more` it refuses every name."""
        there = [f"--listen-address={address}" for address in addresses]
        fixed = ("--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--bind-interfaces", "--pid-file=", "--user=root")
        command = [*_inside(namespace), "dnsmasq", *fixed, *there, *more]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={"PATH": PATH})
        self._stack.callback(self.end, process)
        until(lambda: len(self.run(namespace, "ss", "-Hlun", f"src {addresses[0]}:53").split("\n")) > 1, "a resolver")
        return process

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """End a resolver, also one that is stopped."""
        process.kill()
        process.wait(10)

    def run(self, namespace: str, *command: str) -> str:
        """Run a program there, which must end well; give what it printed."""
        return subprocess.run([*_inside(namespace), *command], capture_output=True, text=True, timeout=60, check=True, env={"PATH": PATH}, cwd=_ROOT).stdout

    def ask(self, *questions: str) -> dict[str, str]:
        """Let the station ask; a question is "udp 8.8.8.8". Give who answered, or how it failed."""
        return dict(zip(questions, self.ask_in_turn(*questions), strict=True))

    def ask_in_turn(self, *questions: str) -> list[str]:
        """Let the station ask, the same more than once maybe; give each answer in their order."""
        found: list[str] = json.loads(self.run(self.station, sys.executable, "-I", "-S", "-c", ASK + ALL, *questions))
        return [ANSWERS.get(answer, answer) for answer in found]

    def address(self, namespace: str, device: str) -> str:
        """Give a device's link-local address."""
        return self.run(namespace, "ip", "-6", "-o", "addr", "show", "dev", device, "scope", "link").split()[3].partition("/")[0]

    def without_route(self, namespace: str, *route: str) -> AbstractContextManager[None]:
        """Take a route away for a while."""
        return self._turned(namespace, "del", "add", *route)

    def with_route(self, namespace: str, *route: str) -> AbstractContextManager[None]:
        """Have a route more for a while."""
        return self._turned(namespace, "add", "del", *route)

    @contextmanager
    def _turned(self, namespace: str, first: str, then: str, *route: str) -> Iterator[None]:
        way = "-6" if any(":" in word for word in route) else "-4"
        self.run(namespace, "ip", way, "route", first, *route)
        try:
            yield
        finally:
            self.run(namespace, "ip", way, "route", then, *route)

    @contextmanager
    def device(self, address: str) -> Iterator[Callable[[], str]]:
        """Open one connection of the station's, by which it asks each time it is called."""
        command = [*_inside(self.station), sys.executable, "-I", "-S", "-c", ASK + AGAIN, address]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env={"PATH": PATH}) as process:
            questions, answers = process.stdin, process.stdout
            assert questions and answers

            def ask() -> str:
                questions.write("ask\n")
                answer = answers.readline().strip()
                return ANSWERS.get(answer, answer)

            yield ask

    def dns(self, *words: str, shell: tuple[str, ...] = SHELLS[0]) -> subprocess.CompletedProcess[str]:
        """Run the script on the router."""
        command = [*_inside(self.router), *shell, SCRIPT, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env={"PATH": PATH}, errors="replace")

    def file(self, content: str | bytes) -> str:
        """Write the script's file; give its path."""
        path = self.folder / "wanted"  # beside the pushed one
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    def rules(self) -> str:
        """Read all that the router's kernel has of nft."""
        return self.run(self.router, "nft", "list", "ruleset")

    def push(self, revision: int, config: dict[str, Any]) -> dict[str, Any]:
        """Have the router's own rwagent-apply judge a signed push, with a daemon that confirms it; give its verdict."""
        said = self.run(self.router, sys.executable, "-m", "tests.stories.dns_push", str(self.folder), str(revision), json.dumps(config))
        found: dict[str, Any] = json.loads(said)
        return found


@contextmanager
def dns_world(folder: Path) -> Iterator[World]:
    """Make one, and leave nothing of it."""
    with ExitStack() as stack:
        yield World(folder, stack)


def _inside(namespace: str) -> list[str]:
    return [_which("ip"), "netns", "exec", namespace]


def _ip(*words: str) -> None:
    subprocess.run([_which("ip"), *words], check=True, capture_output=True, timeout=10)


def _which(name: str) -> str:
    return shutil.which(name, path=PATH) or name
