"""For tests of the way of a push: a simulated access point with a city's key, what the daemon would put into its inbox, and time that only tests move."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from agent import apply, wall
from agent.confirm import Clock
from agent.guard import Scripts
from agent.limits import Limits
from agent.router.clock import boot as this_boot
from agent.router.store import Store
from agent.router.store_simulated import SimulatedStore
from agent.router.stores import open_store
from agent.settings import Settings, load
from agent.wire import keyfile
from agent.wire.claims import ConfigClaims
from fleet import sign

FILE = """
[agent]
id = "rw-0501"
city = "malang"
[broker]
host = "127.0.0.1"
port = 1
tls = false
[router]
backend = "simulated"
public_network = "public"
[push]
keys_dir = "{folder}/keys"
secrets_dir = "{folder}/secrets"
[paths]
run_dir = "{folder}/run"
state_dir = "{folder}/state"
apply_dir = "{folder}/apply"
"""
KEY = sign.SecretKey("0123456789abcdef", bytes(range(32)))
OTHER_KEY = sign.SecretKey("fedcba9876543210", bytes(range(1, 33)))
SSID = "Warga RW 05"
DOCUMENT = {"ssids": {"warga": {"ssid": SSID, "security": "open", "bands": ["2g"]}}}
FAST = Limits(verify_every_s=0.0, quiet_every_s=0.0, live_gap_s=0.05, poll_s=0.25, watch_s=0.05, lock_s=20.0)
# What OpenWrt's BusyBox has; no stat, no fractional sleep, no flock.
APPLETS = (
    *("[", "cat", "chmod", "cmp", "cp", "cut", "date", "env", "false", "grep", "head", "kill", "ln", "logger", "ls", "mkdir", "mv", "printf"),
    *("ps", "readlink", "rm", "rmdir", "sed", "sh", "sleep", "sync", "test", "touch", "tr", "true"),
)


def busybox(folder: Path) -> str:
    """Make a directory with the applets that OpenWrt has; to be the whole PATH."""
    there = folder / "applets"
    if not there.exists():
        there.mkdir()
        program = shutil.which("busybox")
        assert program is not None
        for applet in APPLETS:
            (there / applet).symlink_to(program)
    return str(there)


class Jump:
    """A clock whose seconds pass only while somebody sleeps; `then` runs at each sleep and may play the daemon."""

    def __init__(self, ahead_s: float = 0.0, wall_s: float = 1_790_000_000.0, boot: str = "") -> None:
        # From the real uptime on, because the guard goes by that; it only lags behind.
        self.uptime = time.clock_gettime(time.CLOCK_BOOTTIME) + ahead_s
        self.wall_s = wall_s
        self.slept_s = 0.0
        self.then: Callable[[], None] = lambda: None
        self.clock = Clock(lambda: self.uptime, lambda: self.wall_s, self._sleep, boot or this_boot())

    def _sleep(self, seconds: float) -> None:
        self.uptime += seconds
        self.wall_s += seconds
        self.slept_s += seconds
        self.then()


class Place(NamedTuple):
    """One access point's directories, its settings and what changes its files."""

    folder: Path
    settings: Settings
    scripts: Scripts

    @property
    def inbox(self) -> Path:
        return self.folder / "run/inbox"

    @property
    def pending(self) -> Path:
        return self.folder / "state/pending"

    @property
    def wireless(self) -> Path:
        return self.folder / "state/simulated/wireless"

    def store(self) -> SimulatedStore:
        """Open its configuration; its radios start in no time."""
        found = open_store(self.settings)
        assert isinstance(found, SimulatedStore)
        found.starting_s = 0.0
        return found

    def put(self, name: str, content: bytes) -> None:
        """Put a file into the inbox as the daemon does."""
        new = self.inbox / f".new-{name}"
        new.write_bytes(content)
        new.rename(self.inbox / name)

    def push(self, revision: int, config: dict[str, Any] | None = None, name: str = "desired", **more: Any) -> bytes:
        """Sign a config and put it into the inbox."""
        message = signed(revision, config, **more)
        self.put(name, message)
        return message

    def status(self, name: str = "config") -> dict[str, Any]:
        """Read what root says."""
        found: dict[str, Any] = json.loads((self.folder / f"run/status/{name}.json").read_bytes())
        return found

    def reported(self) -> dict[str, Any]:
        """Read the verdict that root says."""
        found: dict[str, Any] = self.status()["reported"]
        return found

    def confirm(self) -> None:
        """Confirm, if root asks for it, as the daemon does once the broker has heard it."""
        try:
            test = self.status().get("test")
        except (OSError, ValueError):
            return
        if test:
            self.put("confirm", test["nonce"].encode())

    def memory(self) -> dict[str, Any]:
        """Read what root remembers on flash."""
        found: dict[str, Any] = json.loads((self.folder / "state/revisions.json").read_bytes())
        return found

    def run(self, clock: Clock, store: Store | None = None, mode: apply.Mode = "once", limits: Limits = FAST) -> int:
        """Run the applier in this process."""
        return apply.run(self.settings, store or self.store(), limits, self.scripts, clock, mode)

    def run_confirmed(self, jump: Jump, store: Store | None = None, limits: Limits = FAST) -> int:
        """Run the applier while a daemon confirms whatever it is asked to."""
        jump.then = self.confirm
        return self.run(jump.clock, store, limits=limits)


def signed(revision: int, config: dict[str, Any] | None = None, key: sign.SecretKey = KEY, **more: Any) -> bytes:
    """Sign a config for rw-0501 of malang."""
    known: dict[str, Any] = {"city": "malang", "ap": "rw-0501", "issued_at": 1_790_000_000, "author": "siti", "confirm_within_s": 30}
    return sign.push(key, ConfigClaims(**(known | {"revision": revision, "config": DOCUMENT if config is None else config} | more)))


def place(folder: Path) -> Place:
    """Make a simulated access point that trusts KEY."""
    for name, mode in (("keys", 0o750), ("secrets", 0o700), ("run", 0o750), ("run/inbox", 0o700)):
        (folder / name).mkdir(mode=mode)
    (folder / "keys/city").write_bytes(keyfile.public_key(KEY.public, "the city"))
    file = folder / "agent.toml"
    file.write_text(FILE.format(folder=folder))
    settings = load(str(file))
    wall.prepare(settings)
    settle = (sys.executable, "-m", "agent.apply", "--config", str(file), "--settle")
    search = os.pathsep.join((busybox(folder), os.path.dirname(sys.executable)))
    return Place(folder, settings, Scripts(settle, (f"{busybox(folder)}/sh",), search))
