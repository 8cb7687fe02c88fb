"""An OpenWrt box of a story: a board's namespace, and in it the real daemon as a user that may do nothing, under the paths of the package.

Root's part is played by the real `agent.redact`; the broker stands outside, and is reached over a wire with its near end inside.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from agent.router.ubus import CALLS
from tests.fakes.openwrt.board import Board
from tests.fakes.openwrt.ubusd import Allow, Ubusd
from tests.fakes.openwrt.world import Inside, netns_world
from tests.stories.world import AP, CITY, ROOT, Agent, City, Wire, World, until

USER = 65534
RUN_DIR = "/var/run/rwagent"
# The access list as the package will have it: what the backend calls, and no subscription.
ALLOWED = Allow(CALLS)
_RUNS_AS = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")
# For a checkout below a directory that only its owner may enter (a CI runner's home): the user may read everything, and still write nothing.
_MAY_READ = ("--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search")
# As OpenWrt has it: /etc/openwrt_release says what this is. What else this machine has in /etc stays as it is.
_RELEASE = """#!/bin/sh
set -e
mkdir -p /run/etc
mount --bind /etc /run/etc
mount --bind {etc} /etc
exec "$@"
"""


def _words_of_user(prefix: Sequence[str]) -> tuple[str, ...]:
    """Give the words that make a command run as the user."""
    # As `rwagent run` becomes the daemon.
    trial = "import os, sys; os.execv(sys.executable, [sys.executable, '-c', 'import agent.daemon'])"
    for more in ((), _MAY_READ):
        words = (*_RUNS_AS, *more)
        done = subprocess.run([*prefix, *words, sys.executable, "-c", trial], check=False, capture_output=True, timeout=60, cwd=ROOT)
        if done.returncode == 0:
            return words
    raise AssertionError(done.stderr)


class Box:
    """One router, its agent, and the city that hears it. `city` and `agent` are there from the start, the agent not started."""

    def __init__(self, world: World, inside: Inside, stack: contextlib.ExitStack) -> None:
        self.world, self.inside = world, inside
        self.board, self.ubusd = inside.board, inside.ubusd
        broker = world.broker()
        self.wire: Wire = world.wire(broker.port, listener=inside.listen())
        self.city: City = world.city(broker.port)
        for folder in (world.folder, inside.world.folder.parent):
            folder.chmod(0o755)
        (inside.world.folder / "calls").touch()
        (inside.world.folder / "calls").chmod(0o666)
        os.chown(inside.world.run_dir, USER, USER)
        self._root_bus = inside.world.socket.with_name("root.sock")
        # ubusd hides nothing from root; the stand-in has one answer for all, so root asks another one.
        stack.enter_context(Ubusd(self.board, self._root_bus))
        self._stack = stack
        self.prefix = self._enter()
        inside.world.set_clock("ntp")
        self._as_user = _words_of_user(self.prefix)
        self._agents = 0

    def _enter(self) -> tuple[str, ...]:
        folder = self.inside.world.folder
        etc = folder / "etc-openwrt"
        etc.mkdir()
        for path in Path("/etc").iterdir():
            (etc / path.name).symlink_to(f"/run/etc/{path.name}")
        release = self.board.json("ubus/system.board.json")["release"]
        (etc / "openwrt_release").write_text(f"DISTRIB_ID='{release['distribution']}'\nDISTRIB_RELEASE='{release['version']}'\n")
        script = folder / "enter-openwrt"
        script.write_text(_RELEASE.format(etc=shlex.quote(str(etc))))
        return (*self.inside.prefix, "/bin/sh", str(script))

    def agent(self, *, sample_s: float = 10, interval_s: float = 10, times: float | None = None, before: Sequence[str] = (), **tables: Any) -> Agent:
        """Make the one agent of this box, which runs as the user; `times`: so fast; `before`: the words of a program around it."""
        self._agents += 1
        folder = self.world.folder / f"{AP}-{self._agents}"
        folder.mkdir()
        rows: dict[str, dict[str, Any]] = {
            "agent": {"id": AP, "city": CITY},
            "broker": {"host": "127.0.0.1", "port": self.wire.port, "tls": False},
            "report": {"interval_s": interval_s, "sample_s": sample_s},
            "probe": {"interval_s": max(1, interval_s)},
            "router": {"backend": "openwrt"},
        }
        for name, more in tables.items():
            rows[name] = rows.get(name, {}) | more
        how = {} if times is None else {"module": "tests.stories.driver", "more": ("--fast", str(times))}
        agent = Agent(folder, rows, None, None, prefix=(*self.prefix, *before, *self._as_user), **how)
        agent.run_dir = self.inside.world.run_dir
        self._stack.callback(lambda: print(f"{self.board.name}:\n{agent.log()[-4000:]}"))
        self._stack.callback(lambda: agent.kill() if agent.is_running() else None)
        return agent

    def write_facts(self) -> dict[str, Any]:
        """Let root write its facts, as the package's init script does; give them."""
        done = subprocess.run(
            [*self.prefix, sys.executable, "-m", "agent.redact", "--settle", "0", "--socket", f"/var/run/ubus/{self._root_bus.name}"],
            check=False, capture_output=True, text=True, timeout=60, cwd=ROOT,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        facts: dict[str, Any] = json.loads(self.inside.world.facts.read_bytes())
        return facts

    def next_report(self, count: int = 1) -> dict[str, Any]:
        """Wait for a report of a span that began after now; give it. `count`: the so-manieth of them."""
        heard = len(self.city.on("report"))
        return self.city.wait_for(heard + 1 + count)[heard + count]

    def last(self) -> dict[str, Any]:
        """Give the newest report."""
        return self.city.reports()[-1]

    def wait_for(self, claim: Callable[[dict[str, Any]], object], what: str | Callable[[], str]) -> dict[str, Any]:
        """Wait for a report from now on of which a claim is true; give the first."""
        heard = len(self.city.on("report"))

        def found() -> dict[str, Any] | None:
            return next((each for each in self.city.reports()[heard:] if claim(each)), None)

        return until(found, lambda: f"{what if isinstance(what, str) else what()}: {json.dumps(self.last())}")

    def own_files(self) -> dict[str, bytes]:
        """Give all files below the run directory, by name."""
        run_dir = self.inside.world.run_dir
        return {str(path.relative_to(run_dir)): path.read_bytes() for path in sorted(run_dir.rglob("*")) if path.is_file()}


@contextlib.contextmanager
def make_box(world: World, board: str | Board, allow: Allow | None = ALLOWED) -> Iterator[Box]:
    """Make a box of a board (its name, or one a test changed); the ubus that its user sees allows `allow`."""
    with contextlib.ExitStack() as stack:
        inside = stack.enter_context(netns_world(board if isinstance(board, Board) else Board(board), allow))
        yield Box(world, inside, stack)


# What stories claim.


def rows(report: dict[str, Any], part: str) -> dict[str, dict[str, Any]]:
    """Give the rows of a part by their names."""
    name = {"bss": "ifname", "radios": "radio", "interfaces": "name"}[part]
    return {row[name]: row for row in report[part]}


def error_of(report: dict[str, Any], collector: str) -> str:
    """Give what a report says is wrong with a collector, "" for nothing."""
    return str(report["agent"]["collectors"].get(collector, {}).get("error", ""))


def differences(expected: Any, found: Any, at: str = "") -> list[str]:
    """Name what is not as expected; what `found` has beyond it is none, but a list has just its rows."""
    if isinstance(expected, dict) and isinstance(found, dict):
        absent = [f"{at}.{key}: absent" for key in expected if key not in found]
        return absent + [each for key in expected.keys() & found.keys() for each in differences(expected[key], found[key], f"{at}.{key}")]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        return [each for number, (want, have) in enumerate(zip(expected, found, strict=True)) for each in differences(want, have, f"{at}[{number}]")]
    is_same = (expected == found and type(expected) is not bool) or expected is found
    return [] if is_same else [f"{at}: {found!r}, expected {expected!r}"]
