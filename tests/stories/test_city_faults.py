"""What goes wrong under `rwctl serve`, with real processes: what the access points sent is in the end in the store, each exactly once."""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.wire import messages
from fleet import city, store
from fleet.city import City
from fleet.guests import Guests
from fleet.mqtt import Client
from tests.fleet.broker_city import ROOT, BrokerCity, enrolled, founded
from tests.fleet.cities import enroll
from tests.ram import tmpfs
from tests.reports import report

pytestmark = [pytest.mark.needs("mosquitto"), pytest.mark.story]

NAMES = ("rw-0501", "rw-0502", "rw-0503")
Sent = set[tuple[int, str, int]]


def until(is_so: Callable[[], object], what: str, seconds: float = 30.0, more: Callable[[], str] = str) -> None:
    """Wait until something is so; `more` is told when it is not."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}; {more()}"
        select.select([], [], [], 0.02)


class Agent:
    """An access point as far as the wire goes: it keeps what it sent until an ack covers it, and sends again what is missing."""

    def __init__(self, number: int, client: Client) -> None:
        self.ap, self._number, self._client = NAMES[number - 1], number, client
        self.boot = f"{number:016x}"
        self.sent: Sent = set()
        self.acked = 0
        self._kept: dict[int, bytes] = {}
        self._asked_at: dict[int, float] = {}
        client.start()
        client.subscribe([f"wifi/v1/malang/{self.ap}/ack"])

    def report(self) -> None:
        """Send the next report."""
        seq = len(self.sent) + 1
        own = {"ap": self.ap, "agent": {"oldest_seq": self.oldest, "collectors": {}}}
        message = report(seq, 10.0 * seq, boot=self.boot, at=int(time.time()), span_s=10) | own
        self._kept[seq] = messages.encode(message)
        self.sent.add((self._number, self.boot, seq))
        self._send(seq)

    def again(self, seq: int) -> None:
        """Send one again that may well have come."""
        if seq in self._kept:
            self._send(seq)

    def say(self, below: str, payload: bytes) -> None:
        """Send anything at all."""
        self._client.publish(f"wifi/v1/malang/{self.ap}/{below}", payload)

    @property
    def oldest(self) -> int:
        """The oldest seq that is kept."""
        return min(self._kept, default=len(self.sent) + 1)

    def obey(self) -> None:
        """Release what acks cover, and send again what they miss; what the broker has lost behind the last ack goes with the next report, as it does there."""
        for heard in self._client.messages(1000, 0):
            ack = messages.parse_ack(heard.payload)
            if ack.boot != self.boot:
                continue
            self.acked = max(self.acked, ack.through)
            missing = {seq for first, last in ack.missing for seq in self._kept if first <= seq <= last}
            for seq in [seq for seq in self._kept if seq <= ack.through and seq not in missing]:
                del self._kept[seq]
            for seq in missing:
                if time.monotonic() - self._asked_at.get(seq, float("-inf")) > 2.0:
                    self._asked_at[seq] = time.monotonic()
                    self._send(seq)

    def close(self) -> None:
        self._client.close()

    def _send(self, seq: int) -> None:
        self._client.publish(f"wifi/v1/malang/{self.ap}/report", self._kept[seq])


class Stage:
    """A city with its broker, three access points, and a `serve` that can be killed."""

    def __init__(self, at: City, broker: BrokerCity, guests: Guests) -> None:
        self.city, self.broker = at, broker
        for number, name in enumerate(NAMES, 1):
            enroll(at, number, name)
        self.agents = [Agent(number, enrolled(guests, at, name)[0]) for number, name in enumerate(NAMES, 1)]
        self._log = at.folder.parent / "serve.log"
        self.process: subprocess.Popen[bytes] | None = None

    def serve(self, *words: str) -> subprocess.Popen[bytes]:
        """Start `rwctl serve`."""
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "fleet.cli", "--dir", str(self.city.folder), "serve", *words]
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        return self.process

    def heard(self) -> None:
        """Go on until it has taken in something of every access point that was sent after it began."""
        last = [len(agent.sent) for agent in self.agents]
        until(lambda: self.go_on(1) or all(agent.acked > seq for agent, seq in zip(self.agents, last, strict=True)), "acks of something new", 60, self.log)

    def end(self, number: int = signal.SIGTERM) -> int:
        """End it; give its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        status, self.process = self.process.wait(20), None
        return status

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def go_on(self, turns: int, rng: random.Random | None = None) -> None:
        """Let the access points report for some turns; with `rng` some things twice, some poison."""
        for _ in range(turns):
            for agent in self.agents:
                agent.report()
                agent.obey()
                if rng is not None and rng.random() < 0.3:
                    agent.again(rng.randint(1, len(agent.sent)))
                if rng is not None and rng.random() < 0.1:
                    agent.say(rng.choice(("report", "event", "info", "presence")), rng.randbytes(rng.randint(0, 300)))
            select.select([], [], [], 0.01)

    def settle(self) -> None:
        """Go on until every access point was told that all is on the disk; a report now and then shows what is missing at the end."""
        due = time.monotonic()

        def is_settled() -> bool:
            nonlocal due
            for agent in self.agents:
                agent.obey()
                if agent.oldest <= len(agent.sent) and time.monotonic() > due:
                    agent.report()
            due = time.monotonic() + 1.5 if time.monotonic() > due else due
            return all(agent.oldest > len(agent.sent) for agent in self.agents)

        until(is_settled, "acks of everything", 60, lambda: f"{[(agent.oldest, agent.acked, len(agent.sent)) for agent in self.agents]}\n{self.log()[-3000:]}")

    def sent(self) -> Sent:
        return set().union(*(agent.sent for agent in self.agents))


def stored(at: City) -> list[tuple[int, str, int]]:
    """Give every report of the store as (ap, boot, seq), sorted; one that is there twice is there twice."""
    with contextlib.closing(store.open_live(at)) as live:
        boots = dict(live.execute("SELECT number, boot FROM boots"))
    found = []
    for path in at.store.glob("raw-*.db"):
        with contextlib.closing(sqlite3.connect(path)) as db:
            found += [(ap, boots[boot], seq) for ap, boot, seq in db.execute("SELECT ap, boot, seq FROM raw")]
    return sorted(found)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with BrokerCity(founded(tmp_path / "city")) as broker, broker.guests() as guests:
        stage = Stage(broker.city, broker, guests)
        yield stage
        for agent in stage.agents:
            agent.close()
        if stage.process is not None:
            stage.end(signal.SIGKILL)


def test_killed_restarted_repeated_and_poisoned_each_is_stored_once(stage: Stage) -> None:
    """The ingester is killed, the broker restarted and killed, things come twice, poison between: the sets are equal, and nothing is there twice."""
    rng = random.Random(11)
    stage.serve()
    for turn in range(4):
        # A broker keeps nothing for who was never there, and one that is killed while it starts would show little.
        stage.heard()
        stage.go_on(60, rng)
        stage.end(signal.SIGKILL)
        stage.go_on(30, rng)
        stage.serve()
        if turn % 2:
            stage.go_on(20, rng)
            # A killed broker forgets what it took since it last saved: acks name it, and it is sent again.
            stage.broker.stop(signal.SIGKILL if turn == 3 else signal.SIGTERM)
            stage.broker.start()
    stage.settle()
    assert stored(stage.city) == sorted(stage.sent())
    assert stage.end() == 0
    with contextlib.closing(store.open_live(stage.city)) as live:
        assert live.execute("SELECT count(*) FROM quarantine").fetchone()[0] > 0


@pytest.mark.needs("root")
def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """A tmpfs runs full under the store: said once, nothing is acked; with room again everything is stored, by itself."""
    at = founded(tmp_path / "city")
    shutil.rmtree(at.store)
    with tmpfs(at.store, 3 * 1024), BrokerCity(at) as broker, broker.guests() as guests:
        stage = Stage(at, broker, guests)
        stage.serve()
        stage.go_on(5)
        until(lambda: all(agent.acked for agent in stage.agents) or stage.go_on(1), "the first acks")
        ballast = at.store / "ballast"
        free = os.statvfs(at.store)
        ballast.write_bytes(b"\0" * (free.f_bavail * free.f_bsize - 40_960))
        stage.go_on(60)
        until(lambda: "cannot be written" in stage.log(), "the message")
        acked = [agent.acked for agent in stage.agents]
        stage.go_on(60)
        assert [agent.acked for agent in stage.agents] == acked
        assert len(stored(at)) < len(stage.sent())
        ballast.unlink()
        stage.settle()
        assert stored(at) == sorted(stage.sent())
        log = stage.log()
        assert log.count("cannot be written") == 1 and log.count("written again") == 1
        assert stage.end() == 0
        for agent in stage.agents:
            agent.close()


@pytest.mark.parametrize("way", ["cut", "garbled", "gone"])
def test_a_torn_wal_is_filled_up_again(stage: Stage, way: str) -> None:
    """A copy of the store in mid-write, its write-ahead logs torn: it opens, says what it lost, and the access points send again what acks name missing."""
    stage.serve()
    stage.go_on(40)
    until(lambda: all(agent.acked > 5 for agent in stage.agents) or stage.go_on(1), "acks")
    assert stage.process is not None
    stage.process.send_signal(signal.SIGSTOP)  # so that the copy is of one moment
    copy = stage.city.store.with_name("copy")
    shutil.copytree(stage.city.store, copy)
    stage.process.send_signal(signal.SIGCONT)
    stage.end(signal.SIGKILL)
    torn = [path for path in copy.glob("*-wal") if not path.name.startswith("city.db")]
    assert torn
    for path in torn:
        content = path.read_bytes()
        half = len(content) // 2
        if way == "gone":
            path.unlink()
        else:
            path.write_bytes(content[:half] if way == "cut" else content[:half] + random.Random(3).randbytes(len(content) - half))
    for path in copy.glob("*-shm"):
        path.unlink()
    shutil.rmtree(stage.city.store)
    copy.rename(stage.city.store)
    kept = {(number, agent.boot, seq) for number, agent in enumerate(stage.agents, 1) for seq in agent._kept}
    before = set(stored(stage.city)) if way != "gone" else set()
    stage.serve()
    stage.go_on(20)
    stage.settle()
    found = stored(stage.city)
    assert len(found) == len(set(found)), "nothing twice"
    # What was acked and then torn from the disk is gone for good; all that the access points still had is there.
    later = {one for one in stage.sent() if one[2] > max(seq for _, _, seq in kept | {(0, "", 0)})}
    assert kept | later | before <= set(found)
    assert stage.end() == 0


def test_a_second_serve_says_who_has_the_store(stage: Stage) -> None:
    """Exit 1 at once, with the number of the process that runs; the first goes on."""
    first = stage.serve()
    until(lambda: "connected to the broker" in stage.log(), "the first")
    command = [sys.executable, "-m", "fleet.cli", "--dir", str(stage.city.folder), "serve"]
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    assert second.returncode == 1
    assert str(first.pid) in second.stderr and "rwctl serve:" in second.stderr
    stage.go_on(5)
    stage.settle()
    assert first.poll() is None


def test_it_ends_in_order_with_everything_stored(stage: Stage) -> None:
    """SIGTERM: what was heard is stored and acked, exit 0, and its status file says that it is gone."""
    stage.serve("--json-log")
    until(lambda: "connected to the broker" in stage.log(), "the start")
    status = stage.city.store / "serve.json"
    stage.go_on(30)
    until(lambda: (status.exists() and json.loads(status.read_text())["messages"] > 0) or stage.go_on(1), "the status file")
    said = json.loads(status.read_text())
    assert stage.process is not None and said["pid"] == stage.process.pid and said["connected"] is True
    assert stage.end() == 0
    assert json.loads(status.read_text())["pid"] is None
    lines = [json.loads(line) for line in stage.log().splitlines()]
    assert [line["message"].partition(":")[0] for line in lines][-1] == "stopped"
    assert {"at", "level", "logger", "message"} == set(lines[0])
    stage.serve()
    stage.settle()
    assert stored(stage.city) == sorted(stage.sent())


def test_without_a_broker_it_waits(stage: Stage) -> None:
    """Started before the broker it says so once, and goes on when the broker comes; SIGINT ends it while it waits."""
    stage.broker.stop()
    stage.serve()
    until(lambda: "waiting for the broker" in stage.log(), "the message")
    assert stage.end(signal.SIGINT) == 0
    stage.serve()
    until(lambda: stage.log().count("waiting for the broker") == 2, "the message")
    stage.broker.start()
    stage.go_on(10)
    stage.settle()
    assert stored(stage.city) == sorted(stage.sent())
    assert stage.log().count("waiting for the broker") == 2


@contextlib.contextmanager
def dropping(at: City, is_shaking_hands: bool) -> Iterator[None]:
    """Be a broker that ends each connection instead of answering it, as one does that is just ending; before the handshake's end, or after it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(at.broker_folder / "server.pem", at.broker_folder / "server.key")

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                link = listener.accept()[0]
                with contextlib.suppress(OSError), link:
                    if not is_shaking_hands:
                        link.recv(4096)
                        continue
                    with context.wrap_socket(link, server_side=True) as talk:
                        talk.recv(1)

    with socket.create_server(("127.0.0.1", at.broker.city_port)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


@pytest.mark.parametrize("is_shaking_hands", [True, False])
def test_a_broker_that_is_just_ending_is_waited_for(stage: Stage, is_shaking_hands: bool) -> None:
    """It drops who comes at that moment; who always does is no broker of ours, and is said to be so."""
    stage.broker.stop()
    with dropping(stage.city, is_shaking_hands):
        stage.serve()
        until(lambda: "waiting for the broker" in stage.log(), "the message")
    stage.broker.start()
    stage.go_on(10)
    stage.settle()
    assert stored(stage.city) == sorted(stage.sent())
    assert stage.end() == 0
    stage.broker.stop()
    with dropping(stage.city, is_shaking_hands):
        process = stage.serve()
        assert process.wait(60) != 0
    assert ("ended the connection of _ingest before it answered" if is_shaking_hands else "TLS failed") in stage.log().splitlines()[-1]


def test_a_city_without_its_files_is_refused(tmp_path: Path) -> None:
    """What would never work is no reason to wait."""
    at = founded(tmp_path / "city")
    (at.clients / "_ingest.key").unlink()
    command = [sys.executable, "-m", "fleet.cli", "--dir", str(at.folder), "serve"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1 and "_ingest.key: is not there" in done.stderr
    assert city.load(at.folder).name == "malang"
