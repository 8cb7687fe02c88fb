"""A real city for stories: `rwctl`'s own directory, its mosquitto and its `serve`, all as processes, on ports of their own.

Ends only what it started.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from agent.wire import topics
from tests.mosquitto import free_port
from tests.stories.points import V3, Files, Point, context_of
from tests.stories.world import PAHO_1, ROOT, until

NAME = "malang"
HOST = "127.0.0.1"
PATH = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
COLUMNS = "id,rw,kelurahan,kecamatan,provider,contract_mbps,rupiah_month,lat,lon,tags"
ROWS = {
    "rw-0501": "rw-0501,05,Jatimulyo,Lowokwaru,Awinet,50,500000,-7.9450,112.6160,market school",
    "rw-0502": "rw-0502,02,Jatimulyo,Lowokwaru,Awinet,50,500000,,,",
    "rw-0503": "rw-0503,03,Dinoyo,Lowokwaru,Indosatu,50,450000,,,market",
    "rw-0504": "rw-0504,04,Oro-oro Dowo,Klojen,Indosatu,50,450000,,,",
    "rw-0505": "rw-0505,01,Kasin,Klojen,Awinet,50,500000,,,",
}


class Program:
    """One long-lived process and its log."""

    def __init__(self, words: Sequence[str], log: Path, environment: dict[str, str]) -> None:
        self._log = log
        with log.open("ab") as file:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment, start_new_session=True)

    def log(self) -> str:
        """Give what it wrote so far."""
        return self._log.read_text(errors="replace")

    def stop(self, within_s: float = 15.0) -> int:
        """End it in order; give its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(within_s)
        self.kill()
        raise AssertionError(f"it does not end: {self.log()[-2000:]}")

    def kill(self) -> None:
        """End it, and what it started, without a word."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


_SAYING = """
import json, sys
from fleet import cli
for words in json.loads(sys.argv[1]):
    print("$ rwctl", *words, flush=True)
    code = cli.main(words)
    if code:
        sys.exit(f"exit {code}")
"""


class RealCity:
    """One city's directory with everything that runs on it; `more`: further words for `rwctl init`."""

    def __init__(self, folder: Path, stack: ExitStack, more: Sequence[str] = (), is_one_port: bool = False) -> None:
        self.folder = folder / "city"
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.port = free_port()
        self.city_port = self.port if is_one_port else free_port()
        self._stack = stack
        self._unpacked = folder / "unpacked"
        self.environment = {**os.environ, "PATH": PATH, "HOME": str(folder), "USER": "sri", "COLUMNS": "200", "PYTHONPATH": str(ROOT), "TERM": "dumb"}
        words = ("--host", HOST, "--port", str(self.port), "--listen", HOST, "--city-port", str(self.city_port), "--access-points", "20", "--interval", "1")
        self.rwctl("init", str(self.folder), "--name", NAME, *words, *more, with_dir=False)

    def rwctl(self, *words: str, fails: bool = False, within_s: float = 60, with_dir: bool = True, is_logged: bool = True) -> str:
        """Run one of rwctl's commands; give what it printed. It has to end with 0, or with another status where it `fails`."""
        command = [sys.executable, "-m", "fleet.cli", *(("--dir", str(self.folder)) if with_dir else ()), *words]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=within_s, check=False, stdin=subprocess.DEVNULL, cwd=self.folder.parent
        )
        assert (done.returncode != 0) == fails, f"rwctl {' '.join(words)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        if is_logged:
            with (self.logs / "commands.log").open("a") as log:
                log.write(f"$ rwctl {' '.join(words)}\n{done.stdout}{done.stderr}")
        return done.stdout + (done.stderr if fails else "")

    def rwctl_says(self, *commands: Sequence[str], within_s: float = 120) -> None:
        """Run commands that only show something, each as rwctl does, in one process; all end with 0, and what they print is logged."""
        each = json.dumps([["--dir", str(self.folder), *words] for words in commands])
        with (self.logs / "commands.log").open("ab") as log:
            command, nothing, cwd = [sys.executable, "-c", _SAYING, each], subprocess.DEVNULL, self.folder.parent
            done = subprocess.run(command, env=self.environment, stdin=nothing, stdout=log, stderr=log, timeout=within_s, cwd=cwd, check=False)
        assert done.returncode == 0, (self.logs / "commands.log").read_text()[-3000:]

    def enroll(self, *names: str) -> None:
        """Enrol some of ROWS from a CSV file."""
        file = self.folder.parent / f"points-{len(list(self.folder.parent.glob('points-*')))}.csv"
        file.write_text("\n".join([COLUMNS, *(ROWS[name] for name in names), ""]))
        self.rwctl("enroll", "--csv", str(file))

    def start(self, name: str, *words: str) -> Program:
        """Start one of rwctl's commands that stay."""
        program = Program([sys.executable, "-m", "fleet.cli", "--dir", str(self.folder), *words], self.logs / f"{name}.log", self.environment)
        self._stack.callback(program.kill)
        return program

    def broker(self) -> Program:
        """Run the city's mosquitto and wait until both of its listeners answer."""
        program = self.start("broker", "broker", "run")
        for port in (self.port, self.city_port):
            until(lambda port=port: _answers(port) or program.process.poll() is not None, lambda: program.log(), 15)
        assert program.process.poll() is None, program.log()
        return program

    def serve(self) -> Program:
        """Run the ingester."""
        return self.start("serve", "serve")

    def status(self) -> dict[str, dict[str, Any]]:
        """Give `rwctl status --json` by access point."""
        return {row["id"]: row for row in json.loads(self.rwctl("status", "--json"))["access_points"]}

    def files(self, name: str) -> Files:
        """Unpack an access point's bundle, the newest; give where its certificate lies."""
        bundle = self.folder / "bundles" / f"{name}.tar.gz"
        into = self._unpacked / f"{name}-{bundle.stat().st_mtime_ns}"
        if not into.exists():
            into.mkdir(parents=True)
            with tarfile.open(bundle) as archive:
                archive.extractall(into, filter="data")
        root = next(into.rglob("client.pem")).parent
        return Files(root / "ca.pem", root / "client.pem", root / "client.key")

    def own(self, name: str) -> Files:
        """Give the files of one of the city's own clients, `_ingest` or `_rwctl`."""
        return Files(self.folder / "ca/ca.pem", self.folder / f"clients/{name}.pem", self.folder / f"clients/{name}.key")

    def point(self, name: str, *, client_id: str | None = None, files: Files | None = None, **how: Any) -> Point:
        """Make a client with an access point's certificate; not connected yet."""
        return Point(HOST, self.port, context_of(files or self.files(name)), client_id or name, **how)

    def operator(self, name: str = "_rwctl", protocol: int = V3) -> Point:
        """Make a client of the city's own, with a client id of its own; not connected yet."""
        return Point(HOST, self.city_port, context_of(self.own(name)), f"test-{name}-{os.urandom(4).hex()}", protocol=protocol)

    def agent(self, name: str, *, paho: int = 2, **tables: dict[str, Any]) -> Program:
        """Enrol a box of a simulated access point with its bundle, as a technician does, and run its daemon."""
        box = self.folder.parent / f"box-{name}"
        box.mkdir()
        rows: dict[str, dict[str, Any]] = {"router": {"backend": "simulated"}, "paths": {"run_dir": str(box / "run")}, "probe": {"interval_s": 1}}
        for table, keys in tables.items():
            rows[table] = rows.get(table, {}) | keys
        blocks = ["\n".join([f"[{head}]", *(f"{key} = {json.dumps(value)}" for key, value in row.items())]) for head, row in rows.items()]
        config = box / "agent.toml"
        config.write_text("\n".join([*blocks, ""]))
        environment = {**self.environment, "PYTHONPATH": os.pathsep.join([str(PAHO_1), str(ROOT)] if paho == 1 else [str(ROOT)])}
        rwagent = [sys.executable, "-m", "agent"]
        enrol = [*rwagent, "enroll", str(self.folder / f"bundles/{name}.tar.gz"), "--config", str(config)]
        done = subprocess.run(enrol, env=environment, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        program = Program([*rwagent, "run", "--config", str(config)], self.logs / f"{name}.log", environment)
        self._stack.callback(program.kill)
        return program

    def received(self) -> dict[str, set[int]]:
        """Give the numbers that the store has of each access point, of all its boots; a story's access points have one."""
        found: dict[str, set[int]] = {}
        with contextlib.closing(sqlite3.connect(f"file:{self.folder}/store/live.db?mode=ro", uri=True)) as live:
            live.execute("ATTACH DATABASE ? AS city", (f"file:{self.folder}/store/city.db?mode=ro",))
            for name, ranges in live.execute("SELECT i.id, b.received FROM boots b JOIN city.inventory i ON i.number = b.ap"):
                for part in filter(None, ranges.split(",")):
                    first, _, last = part.partition("-")
                    found.setdefault(name, set()).update(range(int(first), int(last or first) + 1))
        return found


def filled(name: str) -> str:
    """Give a topic of the contract with its free level filled in."""
    return name.replace("<code>", "flash-full").replace("<name>", "reboot")


def topic(ap: str, name: str, city: str = NAME) -> str:
    """Give a topic of the contract in full."""
    return f"{topics.root(city, ap)}/{filled(name)}"


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
        return True
    return False


@contextlib.contextmanager
def make_city(*names: str, more: Sequence[str] = (), is_one_port: bool = False) -> Iterator[RealCity]:
    """Make a city with some of ROWS enrolled, in RAM; its broker is not started. Nothing is left of it."""
    folder = Path(tempfile.mkdtemp(prefix="rw-city-", dir="/dev/shm"))
    # Our own mosquitto may run as a user of its own, who has to get through here.
    folder.chmod(0o755)
    try:
        with ExitStack() as stack:
            city = RealCity(folder, stack, more, is_one_port)
            if names:
                city.enroll(*names)
            yield city
    finally:
        shutil.rmtree(folder, ignore_errors=True)
