"""The world of a story: the real daemon as a process, a wire that can break, and a city that listens.

Everything lies in one folder in RAM; everything started here is ended with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jsonschema
import paho.mqtt.client as mqtt

from agent import journal
from agent import settings as settings_door
from agent.outbox import Figures, Outbox
from agent.wire import schemas, shapes, topics
from tests.mosquitto import Mosquitto

ROOT = Path(__file__).resolve().parents[2]
PAHO_1 = ROOT / ".paho1"
CITY = "malang"
AP = "rw-0501"
PATIENCE_S = 60.0
UNLIMITED = "max_inflight_messages 0\nmax_queued_messages 0"
STRICT = {name: jsonschema.Draft202012Validator(shapes.strict(schemas.published(name))) for name in schemas.PAYLOADS}

_T = TypeVar("_T")


def until(claim: Callable[[], _T], what: str | Callable[[], str], patience_s: float = PATIENCE_S, every_s: float = 0.02) -> _T:
    """Wait until `claim` gives something true, asking every so often; give it."""
    ends = time.monotonic() + patience_s
    while not (found := claim()):
        assert time.monotonic() < ends, f"not within {patience_s:g} s: {what if isinstance(what, str) else what()}"
        time.sleep(every_s)
    return found


class Heard(NamedTuple):
    """One message as the city got it: when (monotonic and Unix seconds), on which topic, and how."""

    at: float
    wall: float
    topic: str
    payload: bytes
    is_retained: bool
    content_type: str | None

    @property
    def message(self) -> dict[str, Any]:
        """The payload's JSON, inflated where it is deflated."""
        read: dict[str, Any] = json.loads(zlib.decompress(self.payload) if self.payload[:1] == b"\x78" else self.payload)
        return read


class City:
    """Hears everything below `wifi/v1/<city>/`, over as many connections as a story needs, and may answer with acks."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.heard: list[Heard] = []
        self._host, self._port = host, port
        self._client: mqtt.Client | None = None
        self._subscribed = threading.Event()
        self._is_gone = threading.Event()

    def join(self) -> City:
        """Connect and wait until the subscription stands."""
        self.leave()
        self._subscribed.clear()
        self._is_gone.clear()
        client: Any = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5, reconnect_on_failure=False)
        client.on_disconnect = lambda *_: self._is_gone.set()
        client.on_connect = lambda *_: client.subscribe(f"wifi/v1/{CITY}/#", qos=1)
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.on_message = self._on_message
        until(lambda: self._connect(client), "the broker answers the city", 10)
        client.loop_start()
        self._client = client
        assert self._subscribed.wait(10), "the city's subscription was not answered"
        return self

    def gone(self) -> City:
        """Wait until a broker that was ended is known to be gone: then all it had sent was heard."""
        assert self._is_gone.wait(10), "the city's connection lives on"
        return self

    def leave(self) -> None:
        """Disconnect; what is published meanwhile is not heard."""
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()

    def say(self, below: str, payload: bytes | dict[str, Any], *, ap: str = AP, retain: bool = False) -> None:
        """Publish on one of an access point's topics, and wait until the broker has it."""
        assert self._client is not None
        raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self._client.publish(f"wifi/v1/{CITY}/{ap}/{below}", raw, qos=1, retain=retain).wait_for_publish(10)

    def ack(self, boot: str | None = None) -> dict[str, Any]:
        """Acknowledge what was heard of one boot (the newest), naming the gaps; give the ack."""
        boot = boot or str(self.reports()[-1]["boot"])
        have = {seq for of, seq in self.numbers() if of == boot}
        through, missing = max(have), []
        for seq in range(1, through):
            if seq not in have and missing and missing[-1][1] == seq - 1:
                missing[-1][1] = seq
            elif seq not in have:
                missing.append([seq, seq])
        ack = {"boot": boot, "through": through, "missing": missing}
        self.say("ack", ack)
        return ack

    def on(self, below: str, ap: str = AP) -> list[Heard]:
        """Give what came on one topic, in order."""
        topic = f"wifi/v1/{CITY}/{ap}/{below}"
        return [each for each in self.heard[:] if each.topic == topic]

    def reports(self, ap: str = AP) -> list[dict[str, Any]]:
        """Give the reports in the order they came."""
        return [each.message for each in self.on("report", ap)]

    def events(self, ap: str = AP) -> list[dict[str, Any]]:
        """Give the events in the order they came."""
        return [each.message for each in self.on("event", ap)]

    def presence(self) -> dict[str, Any]:
        """Give the newest presence."""
        return self.on("presence")[-1].message

    def numbers(self) -> set[tuple[str, int]]:
        """Give every (boot, seq) that was heard; a merged report counts as all it stands for."""
        return {
            (message["boot"], seq)
            for message in self.reports() + self.events()
            for seq in range(message.get("from_seq", message["seq"]), message["seq"] + 1)
        }

    def wait_for(self, reports: int, patience_s: float = PATIENCE_S) -> list[dict[str, Any]]:
        """Wait until so many reports were heard; give them."""
        until(lambda: len(self.on("report")) >= reports, lambda: f"{reports} reports, only {len(self.on('report'))}", patience_s)
        return self.reports()

    def _connect(self, client: Any) -> bool:
        try:
            client.connect(self._host, self._port, keepalive=600)
        except ConnectionError:
            return False
        return True

    def _on_message(self, _client: object, _userdata: object, message: Any) -> None:
        kind = getattr(message.properties, "ContentType", None)
        self.heard.append(Heard(time.monotonic(), time.time(), message.topic, bytes(message.payload), bool(message.retain), kind))


class Wire:
    """A TCP wire to a broker's port that can be shut, cut, clogged, and rid of the broker's PUBACKs; its near end is `listener`, else one on loopback."""

    def __init__(self, to_port: int, *, is_open: bool = True, listener: socket.socket | None = None) -> None:
        self.is_open = is_open
        self.swallows_pubacks = False
        self.swallowed = 0
        self.openings: list[bytes] = []
        self._to_port = to_port
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._frozen: set[socket.socket] = set()
        self._listener = listener or socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Close every connection there is now."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for sock in [end for pair in pairs for end in pair]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def freeze(self) -> None:
        """Let nothing through any more on the connections there are now, and close none of them."""
        with self._lock:
            self._frozen |= {end for pair in self._pairs for end in pair}

    def close(self) -> None:
        """Stop listening and close every connection."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                agent, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(agent,), daemon=True).start()

    def _serve(self, agent: socket.socket) -> None:
        try:
            if not self.is_open:
                raise ConnectionRefusedError
            broker = socket.create_connection(("127.0.0.1", self._to_port), timeout=5)
        except OSError:
            agent.close()
            return
        broker.settimeout(None)
        with self._lock:
            self._pairs.append((agent, broker))
        back = threading.Thread(target=self._pump, args=(broker, agent, self._without_pubacks), daemon=True)
        back.start()
        self._pump(agent, broker, self._listen_in())
        back.join()
        agent.close()
        broker.close()

    def _pump(self, source: socket.socket, target: socket.socket, sift: Callable[[bytes], bytes]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sifted = sift(data)
                if source not in self._frozen:
                    target.sendall(sifted)
        # A frozen connection stays open on the other side, as where a path died without a word.
        if source not in self._frozen:
            for sock in (source, target):
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def _listen_in(self) -> Callable[[bytes], bytes]:
        is_first = True

        def note(data: bytes) -> bytes:
            nonlocal is_first
            if is_first:
                self.openings.append(data)
                is_first = False
            return data

        return note

    def _without_pubacks(self, data: bytes) -> bytes:
        """Leave PUBACKs out; mosquitto writes whole packets, so a chunk begins with one."""
        if not self.swallows_pubacks:
            return data
        kept, at = b"", 0
        while at < len(data):
            length = shift = 0
            end = at + 1
            while end < len(data):
                length |= (data[end] & 0x7F) << shift
                shift, end = shift + 7, end + 1
                if not data[end - 1] & 0x80:
                    break
            if data[at] >> 4 == 4:
                self.swallowed += 1
            else:
                kept += data[at : end + length]
            at = end + length
        return kept


class Agent:
    """The daemon as a process of its own, started again as often as a story needs, on settings that may be faster than a file may say."""

    def __init__(self, folder: Path, tables: dict[str, dict[str, Any]], sample_s: float | None, interval_s: float | None, **how: Any) -> None:
        self.folder = folder
        self.file = folder / "agent.toml"
        self.run_dir = folder / "run"
        self.process: subprocess.Popen[bytes] | None = None
        self._log = folder / "agent.log"
        self._pace = {name: value for name, value in (("sample_s", sample_s), ("interval_s", interval_s)) if value is not None}
        self._prefix: Sequence[str] = how.pop("prefix", ())
        self._flags: Sequence[str] = how.pop("flags", ())
        self._module: str = how.pop("module", "agent.daemon")
        self._more: Sequence[str] = how.pop("more", ())
        self._paho: int = how.pop("paho", 2)
        self._variables: dict[str, str] = how.pop("variables", {})
        assert not how, how
        self.write(tables)

    def write(self, tables: dict[str, dict[str, Any]]) -> None:
        """Write the settings' file."""
        self.tables = tables
        blocks = ["\n".join([f"[{head}]", *(f"{key} = {json.dumps(value)}" for key, value in row.items())]) for head, row in tables.items()]
        self.file.write_text("\n".join([*blocks, ""]))

    @property
    def pid(self) -> int:
        """The process' number."""
        assert self.process is not None
        return self.process.pid

    def start(self) -> Agent:
        """Start the daemon directly, on these settings."""
        settings = settings_door.load(str(self.file))
        settings = settings._replace(report=settings.report._replace(**self._pace))
        fd = settings_door.hand_over(settings_door.dump(settings))
        arguments = ["-m", self._module, "--settings-fd", str(fd), "--config", str(self.file), *self._more]
        try:
            self._spawn([*self._prefix, sys.executable, *self._flags, *arguments], (fd,))
        finally:
            os.close(fd)
        return self

    def run(self) -> Agent:
        """Start it as people do: `rwagent run`."""
        self._spawn([*self._prefix, sys.executable, *self._flags, "-m", "agent", "run", "--config", str(self.file)], ())
        return self

    def tell(self, line: str) -> None:
        """Say a line to the driver of a story's own (tests/stories/driver.py)."""
        assert self.process is not None and self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def stop(self, within_s: float = 10.0) -> int:
        """Stop it in order; give its exit status."""
        return self._end(signal.SIGTERM, within_s)

    def kill(self) -> None:
        """End it without a word."""
        self._end(signal.SIGKILL, 10)

    def hang_up(self) -> None:
        """Let it read its settings again."""
        os.kill(self.pid, signal.SIGHUP)

    def is_running(self) -> bool:
        """Say whether the process lives."""
        return self.process is not None and self.process.poll() is None

    def log(self) -> str:
        """Give what it logged so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def state(self) -> dict[str, Any]:
        """Give daemon.json, empty while there is none."""
        try:
            read: dict[str, Any] = json.loads((self.run_dir / "daemon.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return read

    def status(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Ask `rwagent status`."""
        return self.command("status", *words)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one of `rwagent`'s commands that print."""
        command = [sys.executable, "-m", "agent", *words, "--config", str(self.file)]
        return subprocess.run(command, env=self._environment(), capture_output=True, text=True, timeout=30, check=False, cwd=self.folder)

    @contextlib.contextmanager
    def outbox(self) -> Iterator[Outbox]:
        """Open a copy of the outbox as a restarted agent would; for after the process' end, or a look in between."""
        copy = until(self._copy_outbox, "a copy of the outbox, in which the agent deletes nothing meanwhile")
        (boot,) = journal.names(str(copy))
        outbox = Outbox(str(copy), boot, settings_door.load(str(self.file)).outbox.max_bytes)
        try:
            yield outbox
        finally:
            outbox.close()
            shutil.rmtree(copy.parent)

    def put(self) -> set[tuple[str, int]]:
        """Give every (boot, seq) the agent ever gave out in this boot, as its journal says."""
        with self.outbox() as outbox:
            return {(outbox.boot, seq) for seq in range(1, outbox.next_seq())}

    def held(self) -> set[tuple[str, int]]:
        """Give every (boot, seq) its outbox still holds."""
        with self.outbox() as outbox:
            return {(outbox.boot, seq) for entry in outbox.held() for seq in range(entry.from_seq, entry.seq + 1)}

    def figures(self) -> Figures:
        """Give what its outbox says of itself."""
        with self.outbox() as outbox:
            return outbox.figures()

    def kept(self) -> list[dict[str, Any]]:
        """Give the messages its outbox still holds, oldest first."""
        with self.outbox() as outbox:
            return [json.loads(outbox.render(entry, uptime=entry.uptime_s, wall=None, interval_s=1)) for entry in outbox.held()]

    def kept_reports(self) -> list[dict[str, Any]]:
        """Give the reports its outbox still holds, oldest first."""
        return [message for message in self.kept() if "kind" not in message]

    def _copy_outbox(self) -> Path | None:
        copy = Path(tempfile.mkdtemp(dir=self.folder)) / "outbox"
        try:
            return Path(shutil.copytree(self.run_dir / "outbox", copy)) if journal.names(str(self.run_dir / "outbox")) else None
        except (OSError, shutil.Error):
            return None

    def _environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_"))}
        return clean | self._variables | {"PYTHONPATH": os.pathsep.join(map(str, [PAHO_1, ROOT] if self._paho == 1 else [ROOT]))}

    def _spawn(self, command: Sequence[str], fds: tuple[int, ...]) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, pass_fds=fds, env=self._environment(), cwd=self.folder
            )

    def _end(self, number: int, within_s: float) -> int:
        process = self.process
        assert process is not None
        if process.poll() is None:
            process.send_signal(number)
        try:
            return process.wait(within_s)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stdin is not None:
                process.stdin.close()


class World:
    """One story's folder in RAM, and everything in it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack

    def broker(self, **options: Any) -> Mosquitto:
        """Start a mosquitto that holds nothing back from the city."""
        options["extra"] = UNLIMITED + "\n" + options.get("extra", "")
        broker = Mosquitto(self.folder, **options)
        self._stack.callback(broker.kill)
        return broker.start()

    def city(self, port: int, host: str = "127.0.0.1") -> City:
        """Let a city listen at a broker."""
        city = City(port, host)
        self._stack.callback(city.leave)
        return city.join()

    def wire(self, to_port: int, *, is_open: bool = True, listener: socket.socket | None = None) -> Wire:
        """Lay a wire to a port on loopback."""
        wire = Wire(to_port, is_open=is_open, listener=listener)
        self._stack.callback(wire.close)
        return wire

    def agent(
        self,
        port: int,
        *,
        sample_s: float | None = 1.0,
        interval_s: float | None = 1.0,
        ap: str = AP,
        tables: dict[str, dict[str, Any]] | None = None,
        **how: Any,
    ) -> Agent:
        """Make an agent: simulated, in plain text on loopback, unless `tables` say otherwise; not started."""
        folder = self.folder / ap
        folder.mkdir()
        rows: dict[str, dict[str, Any]] = {
            "agent": {"id": ap, "city": CITY},
            "broker": {"host": "127.0.0.1", "port": port, "tls": False},
            "report": {"interval_s": max(1.0, interval_s or 1.0), "sample_s": max(1.0, sample_s or 1.0)},
            "probe": {"interval_s": 1},
            "router": {"backend": "simulated"},
            "paths": {"run_dir": str(folder / "run"), "state_dir": str(folder / "state")},
        }
        for name, more in (tables or {}).items():
            rows[name] = rows.get(name, {}) | more
        agent = Agent(folder, rows, sample_s, interval_s, **how)
        self._stack.callback(lambda: agent.kill() if agent.is_running() else None)
        # Shown by pytest where a story fails.
        self._stack.callback(lambda: print(f"{ap}:\n{agent.log()[-4000:]}"))
        return agent


@contextlib.contextmanager
def make_world() -> Iterator[World]:
    """Make a world in RAM, and leave nothing of it."""
    with tempfile.TemporaryDirectory(prefix="rw-story-", dir="/dev/shm") as folder, ExitStack() as stack:
        yield World(Path(folder), stack)


# What stories claim again and again.


# A pause would last as long as the trouble, 3 to 180 intervals. Less than this is two busy cores, or a collector that took all of its time, half an interval.
MOST_SPANS, MOST_LAG_MS = 2.5, 2000


def assert_steady(reports: list[dict[str, Any]], interval_s: float = 1.0) -> None:
    """Claim that sampling never paused: every span about an interval long, no sample a second late; the first span holds the process' start."""
    reports = sorted(reports, key=lambda report: report["seq"])[1:]
    assert reports
    for report in reports:
        assert report["span_s"] <= MOST_SPANS * interval_s, (report["seq"], report["span_s"])
        assert report["agent"]["loop_lag_ms"] < MOST_LAG_MS, (report["seq"], report["agent"]["loop_lag_ms"])
    for before, after in pairwise(reports):
        if after["seq"] == before["seq"] + 1:
            assert after["uptime_s"] - before["uptime_s"] <= MOST_SPANS * interval_s, (after["seq"], before["uptime_s"], after["uptime_s"])


def assert_nothing_lost(city: City, agent: Agent) -> None:
    """Claim, of an agent that was stopped, that each number it gave out was heard or is still held."""
    lost = agent.put() - city.numbers() - agent.held()
    assert not lost, sorted(seq for _, seq in lost)


def assert_valid(city: City, ap: str = AP) -> None:
    """Claim that everything heard is exactly what the strict schemas allow."""
    for heard in city.heard[:]:
        row = topics.lookup(heard.topic.split("/", 4)[4])
        assert row is not None, heard.topic
        if row.direction == "down" or not heard.payload or f"/{ap}/" not in heard.topic:
            continue
        assert row.schema is not None, heard.topic
        STRICT[row.schema].validate(heard.message)


def memory_kib(pid: int) -> tuple[int, int]:
    """Give a process' RSS and private dirty memory in KiB."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return int(fields["Rss"].split()[0]), int(fields["Private_Dirty"].split()[0])
