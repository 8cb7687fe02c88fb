"""A network namespace with one cable to it, for tests that need a path to break without a word. Needs root; cleans up after itself."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
_NUMBERS = itertools.count()


class Namespace:
    """A namespace `inside` (an address) reached over a veth pair from `outside`; names and addresses are this process's own."""

    def __init__(self) -> None:
        number = next(_NUMBERS)
        self.name = f"rw-broker-{os.getpid()}-{number}"
        tag = f"{os.getpid() % 100000}{number % 10}"
        self._outer, self._inner = f"rwo{tag}", f"rwi{tag}"
        # 198.18.0.0/15 is for tests of network devices (RFC 2544).
        net = f"198.{18 + os.getpid() // 256 % 2}.{os.getpid() % 256}"
        self.outside, self.inside = f"{net}.{number * 4 + 1}", f"{net}.{number * 4 + 2}"

    def run(self, *words: str) -> None:
        """Run a program inside."""
        self._ip("netns", "exec", self.name, *words)

    @property
    def prefix(self) -> tuple[str, ...]:
        """The words before a command that make it run inside."""
        return (_which("ip"), "netns", "exec", self.name)

    def swallow(self) -> None:
        """Let every packet that arrives inside vanish: no answer, no reset, the link stays up."""
        self.run(_which("nft"), "add", "table", "ip", "rw")
        self.run(_which("nft"), "add", "chain", "ip", "rw", "in", "{ type filter hook input priority 0; policy drop; }")

    def restore(self) -> None:
        """Let packets through again."""
        self.run(_which("nft"), "delete", "table", "ip", "rw")

    def name_server(self, address: str) -> None:
        """Give programs run inside this resolver."""
        folder = Path("/etc/netns") / self.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "resolv.conf").write_text(f"nameserver {address}\noptions timeout:20 attempts:1\n")
        (folder / "nsswitch.conf").write_text("hosts: files dns\n")

    def __enter__(self) -> Namespace:
        self._ip("netns", "add", self.name)
        try:
            self._ip("link", "add", self._outer, "type", "veth", "peer", "name", self._inner)
            self._ip("link", "set", self._inner, "netns", self.name)
            self._ip("addr", "add", f"{self.outside}/30", "dev", self._outer)
            self._ip("link", "set", self._outer, "up")
            self._ip("-n", self.name, "addr", "add", f"{self.inside}/30", "dev", self._inner)
            self._ip("-n", self.name, "link", "set", self._inner, "up")
            self._ip("-n", self.name, "link", "set", "lo", "up")
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._remove()

    def _remove(self) -> None:
        for words in (("link", "del", self._outer), ("netns", "del", self.name)):
            subprocess.run([_which("ip"), *words], check=False, capture_output=True, timeout=10)
        shutil.rmtree(Path("/etc/netns") / self.name, ignore_errors=True)

    @staticmethod
    def _ip(*words: str) -> None:
        subprocess.run([_which("ip"), *words], check=True, capture_output=True, timeout=10)


def _which(name: str) -> str:
    return shutil.which(name, path=PATH) or name
