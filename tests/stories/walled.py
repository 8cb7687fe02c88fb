"""A plain Linux access point as it is installed, below one folder, for stories about the wall: root's own rwagent-apply, and a daemon that is another user.

Backend linux, because there the program itself can be run with nothing replaced: every path it goes by stands in its settings, and the
one thing of the box that must answer, hostapd, is a process of its own. Boot and signature checks are those of a namespace made here.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from agent import apply, commanding, settings, wall
from agent.confirm import Clock
from agent.guard import Scripts
from agent.limits import Limits
from agent.router.clock import boot
from agent.router.stores import open_store
from agent.wire import keyfile
from agent.wire.claims import ConfigClaims
from fleet import sign
from tests.fakes import hostapd_program
from tests.pki import Authority
from tests.stories import hostile
from tests.stories.hostile import ROOT, USER, Daemon
from tests.stories.world import until

FILE = """
[agent]
id = "rw-0501"
city = "malang"
[broker]
host = "127.0.0.1"
port = 1
tls = false
cert_file = "{etc}/client.pem"
key_file = "{etc}/client.key"
[router]
backend = "linux"
hostapd_config = "{folder}/etc/hostapd"
hostapd_dir = "{folder}/var/run/hostapd"
adopt = ["wlan0"]
[push]
keys_dir = "{etc}/keys"
secrets_dir = "{etc}/secrets"
[paths]
run_dir = "{folder}/var/run/rwagent"
state_dir = "{etc}/state"
"""
KEY, STRANGER = sign.SecretKey("0123456789abcdef", bytes(range(32))), sign.SecretKey("fedcba9876543210", bytes(range(1, 33)))
# What no message, log, file or process of root's may show; each planted where it belongs.
STANDING, NAMED, PUSHED, SHORT = "bandrek-anget-Xy01", "wedang-jahe-Qq42", "kopi-tubruk-Zz91", "p3ndek!"
HOSTAPD = "interface=wlan0\nctrl_interface={sockets}\nhw_mode=g\nchannel=6\nssid={ssid}\nwpa=2\nwpa_key_mgmt=WPA-PSK\nwpa_passphrase={key}\nrsn_pairwise=CCMP\n"
# The tool that checks signatures leaves a mark each time, this box has its own boot, and whoever would read all that is there cannot take this machine along.
ENTER = """#!/bin/sh
set -e
mount --bind {folder}/checked {signify}
mount --bind {folder}/boot_id /proc/sys/kernel/random/boot_id
ulimit -v 1000000
exec "$@"
"""
CHECKED = '#!/bin/sh\nread -r up rest </proc/uptime\necho "$up" >>{folder}/checks\n[ ! -e {folder}/slowly ] || sleep 0.5\nexec {folder}/signify "$@"\n'
# Where only the order of things is the claim: no pauses, and a minute of uptime in a few seconds: what a reload takes is no faster for it.
COMMANDS = commanding.Limits(verify_every_s=0.0, quiet_every_s=0.0, refuse_every_s=0.0, poll_s=0.02, soon_s=0.01)
QUICK = Limits(verify_every_s=0.0, quiet_every_s=0.0, live_gap_s=0.1, poll_s=0.1, watch_s=0.02, lock_s=20.0, commands=COMMANDS)
TIMES = 4.0
SHORTEST_S = 30  # that a push may ask to be tried for
PATIENCE_S = 60.0


class Ended(NamedTuple):
    """One run of the applier: its exit code, what it logged, and what it took. Without what its guard took later."""

    code: int
    log: str
    cpu_s: float
    memory_kib: int
    took_s: float


class Box:
    """One access point with its hostapd and, as long as nobody kills it, its daemon."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.etc, self.run_dir = folder / "etc/rwagent", folder / "var/run/rwagent"
        self.apply_dir, self.state_dir = folder / "var/run/rwagent-apply", self.etc / "state"
        self.conf, self.own_file = folder / "etc/hostapd/wlan0.conf", self.etc / "pushed.json"
        self.file, self.inbox, self.status_dir = self.etc / "agent.toml", self.run_dir / "inbox", self.run_dir / "status"
        self.outside = folder / "outside"
        self._stack = stack
        self._runs = 0
        self.logs: list[str] = []
        self._lay_out()
        self._first: subprocess.Popen[bytes] | None = None
        stack.callback(self._end_hostapd)
        self.start_hostapd()
        self.daemon = self.another_daemon()

    def _lay_out(self) -> None:
        folder, etc = self.folder, self.etc
        directories = {"etc": 0o755, "etc/hostapd": 0o755, "etc/rwagent": 0o755, "etc/rwagent/secrets": 0o700, "var": 0o755, "var/run": 0o755}
        for name, mode in (directories | {"var/run/hostapd": 0o755, "outside": 0o700, "home": 0o755}).items():
            _directory(folder / name, mode)
        _directory(etc / "keys", 0o750, group=USER)
        _directory(self.run_dir, 0o750, USER, USER)
        _directory(self.inbox, 0o700, USER, USER)
        _file(self.file, FILE.format(folder=folder, etc=etc), 0o640, USER)
        _file(etc / "keys/city", keyfile.public_key(KEY.public, "the city").decode(), 0o640, USER)
        client = Authority(folder / "home").client("rw-0501")
        _file(etc / "client.key", Path(client.key).read_text(), 0o640, USER)
        _file(etc / "client.pem", Path(client.cert).read_text(), 0o644)
        _file(etc / "secrets/office", NAMED + "\n", 0o600)
        _file(self.conf, HOSTAPD.format(sockets=folder / "var/run/hostapd", ssid="Kantor", key=STANDING), 0o600)
        for name in ("desired", "confirm", "config.json"):
            _file(self.outside / name, f"root's own {name}: {STANDING}\n", 0o600)
        signify = shutil.which("signify-openbsd") or ""
        shutil.copy(signify, folder / "signify")
        _file(folder / "checked", CHECKED.format(folder=folder), 0o755)
        _file(folder / "enter", ENTER.format(folder=folder, signify=signify), 0o755)
        (folder / "boot_id").write_text("11111111-2222-4333-8444-555555555555\n")

    def start_hostapd(self) -> None:
        """Start it, in the place of the one that runs."""
        self._end_hostapd()
        self._first = subprocess.Popen([sys.executable, hostapd_program.__file__, str(self.conf)], cwd=self.folder)
        until(lambda: (self.folder / "var/run/hostapd/wlan0").exists(), "hostapd")

    def _end_hostapd(self) -> None:
        # Whoever took the first one's place was started by the applier.
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if str(self.conf).encode() in (process / "cmdline").read_bytes().split(b"\0"):
                    os.kill(int(process.name), signal.SIGKILL)
            except OSError:
                continue
        if self._first is not None:
            self._first.wait(PATIENCE_S)

    def another_daemon(self) -> Daemon:
        """Start one more process of the daemon's user."""
        daemon = Daemon()
        self._stack.callback(daemon.kill)
        return daemon

    # The applier.

    def start(self, *words: str, quick: float | None = None) -> Applier:
        """Start the program; `quick`: the same with QUICK's limits, in a world where uptime passes so many times as fast."""
        self._runs += 1
        module = ("agent.apply", "--config", str(self.file)) if quick is None else ("tests.stories.walled", str(self.file), str(quick))
        command = ["unshare", "-m", "sh", str(self.folder / "enter"), sys.executable, "-m", *module, *words]
        applier = Applier(command, self.folder / f"log-{self._runs}")
        self._stack.callback(applier.kill)
        return applier

    def run(self, *words: str, quick: float | None = None) -> Ended:
        """Run it to its end, which is a good one: no crash."""
        return self.ended(self.start(*words, quick=quick))

    def watch(self) -> Applier:
        """Start one that watches the inbox, and wait until it has spoken."""
        shutil.rmtree(self.status_dir, ignore_errors=True)
        applier = self.start("watch", quick=TIMES)
        until(self.status, lambda: f"the first word:\n{applier.log()}", PATIENCE_S)
        return applier

    def ended(self, applier: Applier) -> Ended:
        """Wait for its end, which is a good one."""
        found = applier.wait()
        self.logs.append(found.log)
        assert found.code in (apply.DONE, apply.FAILED) and "Traceback" not in found.log, found
        return found

    def reboot(self) -> None:
        """Lose the RAM, and begin another boot."""
        shutil.rmtree(self.apply_dir, ignore_errors=True)
        shutil.rmtree(self.run_dir)
        _directory(self.run_dir, 0o750, USER, USER)
        _directory(self.inbox, 0o700, USER, USER)
        # Its beginning: the first 16 digits are what a boot is told by.
        (self.folder / "boot_id").write_text(f"{secrets.token_hex(4)}-2222-4333-8444-555555555555\n")

    def put(self, content: bytes, name: str = "desired") -> None:
        """Let the daemon put a file into the inbox."""
        self.daemon(hostile.put, str(self.run_dir), name, content)

    def push(self, revision: int, ssid: str, quick: float | None = TIMES) -> dict[str, Any]:
        """Push a good config by a daemon that is good for once, and give the verdict."""
        self.put(signed(revision, document(ssid)))
        applier = self.start(quick=quick)
        self.put(self.nonce(applier), "confirm")
        self.ended(applier)
        return self.reported()

    def nonce(self, applier: Applier) -> bytes:
        """Wait until root asks for a confirm, and give what it asks for."""

        def asked() -> object:
            assert applier.is_running(), applier.wait().log
            return self.status().get("test")

        test: Any = until(asked, lambda: f"a test, only {self.status()}", PATIENCE_S)
        return str(test["nonce"]).encode()

    # What is seen.

    def status(self, name: str = "config") -> dict[str, Any]:
        """Read what root says; {} when it says nothing."""
        try:
            found: dict[str, Any] = json.loads((self.status_dir / f"{name}.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return found

    def reported(self) -> dict[str, Any]:
        """Read the verdict that root says."""
        found: dict[str, Any] = self.status().get("reported", {})
        return found

    def configured(self) -> dict[str, bytes]:
        """Read everything that decides how this box behaves, and everything root remembers of it."""
        rubbish = {self.state_dir / "ballast"}
        found = [path for path in sorted((self.folder / "etc").rglob("*")) if path.is_file() and path not in rubbish]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in found}

    def arm(self) -> dict[str, tuple[int, ...]]:
        """Make any reading of root's files outside show from now on, and give how they are."""
        for path in self.outside.iterdir():
            os.utime(path, (0, path.stat().st_mtime))
        return self.outer()

    def outer(self) -> dict[str, tuple[int, ...]]:
        """Give how root's directory outside and its files are, without reading them."""
        found = {str(path): path.stat() for path in (self.outside, *self.outside.iterdir())}
        seen = {path: (one.st_mtime_ns, one.st_size, one.st_mode, one.st_uid, one.st_ino) for path, one in found.items()}
        # A directory is listed by whoever looks at it here.
        return {path: (*one, 0 if path == str(self.outside) else found[path].st_atime_ns) for path, one in seen.items()}

    def checks(self) -> list[float]:
        """Give when signatures were checked, in seconds of uptime."""
        try:
            return [float(line) for line in (self.folder / "checks").read_text().split()]
        except FileNotFoundError:
            return []


class Applier:
    """One process of rwagent-apply."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._began = time.monotonic()
        self._log = log
        with log.open("wb") as file:
            # As on OpenWrt, where procd starts it: nothing of ours but what it logs.
            process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env={"PATH": os.environ["PATH"], "LC_ALL": "C"})
        self.pid = process.pid
        self._process = process
        self._ended: Ended | None = None
        self._memory_kib = 0

    def is_running(self) -> bool:
        """Say whether it has not come to its end."""
        return self._look() is None

    def wait(self) -> Ended:
        """Wait for its end."""
        return until(self._look, lambda: f"the end of the applier:\n{self.log()}", 2 * PATIENCE_S, 0.02)

    def look_again(self, times: int = 4) -> None:
        """Let one that watches go around so often: with nothing in its inbox it sleeps once each time; hanging somewhere it does not."""
        seen = self.sleeps()
        until(lambda: not self.is_running() or self.sleeps() >= seen + times, lambda: f"a look at the inbox:\n{self.log()}", PATIENCE_S, 0.005)

    def sleeps(self) -> int:
        """Count how often it has waited for something so far."""
        try:
            found = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text(), re.MULTILINE)
        except OSError:
            return 0
        return int(found[1]) if found else 0

    def log(self) -> str:
        """Give what it logged so far."""
        return self._log.read_text(errors="replace")

    def terminate(self) -> Ended:
        """End one that watches; give what it took."""
        os.kill(self.pid, signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """End it if it has not come to its end."""
        if self.is_running():
            os.kill(self.pid, signal.SIGKILL)
            self.wait()

    def _look(self) -> Ended | None:
        if self._ended is None:
            self._memory_kib = max(self._memory_kib, _peak_kib(self.pid))
            pid, status, used = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self._process.returncode = os.waitstatus_to_exitcode(status)
                took_s = time.monotonic() - self._began
                self._ended = Ended(self._process.returncode, self.log(), used.ru_utime + used.ru_stime, self._memory_kib, took_s)
        return self._ended


def document(ssid: str, key: str = PUSHED) -> dict[str, Any]:
    """Give a config of one network."""
    return {"ssids": {"warga": {"ssid": ssid, "security": "psk2", "bands": ["2g"], "key": key}}}


def signed(revision: int, config: Mapping[str, Any], key: sign.SecretKey = KEY, **more: Any) -> bytes:
    """Sign a config for this access point, or with `more` for another."""
    known: dict[str, Any] = {"city": "malang", "ap": "rw-0501", "issued_at": 1_790_000_000, "author": "siti", "confirm_within_s": SHORTEST_S}
    return sign.push(key, ConfigClaims(**(known | {"revision": revision, "config": config} | more)))


@contextmanager
def make_box() -> Iterator[Box]:
    """Make one in RAM, where everybody may enter, and leave nothing of it."""
    with tempfile.TemporaryDirectory(prefix="rw-wall-", dir="/dev/shm", ignore_cleanup_errors=True) as folder, ExitStack() as stack:
        os.chmod(folder, 0o755)
        yield Box(Path(folder), stack)


def _peak_kib(pid: int) -> int:
    # Not what wait4 says: that begins with the process that started this one.
    try:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) if found else 0


def _directory(path: Path, mode: int, user: int = 0, group: int = 0) -> None:
    path.mkdir()
    path.chmod(mode)
    os.chown(path, user, group)


def _file(path: Path, text: str, mode: int, group: int = 0) -> None:
    path.write_text(text)
    path.chmod(mode)
    os.chown(path, 0, group)


def _clock(times: float) -> Clock:
    began = time.clock_gettime(time.CLOCK_BOOTTIME)

    def uptime() -> float:
        return began + (time.clock_gettime(time.CLOCK_BOOTTIME) - began) * times

    return Clock(uptime, time.time, lambda seconds: time.sleep(seconds / times), boot())


def main(config: str, times: str, mode: str = "once") -> int:
    """Do what rwagent-apply does, with QUICK's limits and a clock that goes faster."""
    import logging

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    chosen = settings.load(config)
    wall.check_settings(config)
    wall.prepare(chosen)
    if faults := wall.faults(chosen, config):
        sys.stderr.write("\n".join(faults))
        return apply.FAILED
    scripts = Scripts((sys.executable, "-m", "agent.apply", "--config", config, "--settle"))
    modes: dict[str, apply.Mode] = {"once": "once", "watch": "watch"}
    return apply.run(chosen, open_store(chosen), QUICK, scripts, _clock(float(times)), modes[mode])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
