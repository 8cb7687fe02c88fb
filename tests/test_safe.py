"""What is left in safe mode: it says so, takes pushes and `logs`, touches no outbox, reads nothing of the router, and is over by itself."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from agent.outbox import Outbox
from agent.safe import Pace, Safe, Untouched
from agent.starts import Record
from agent.wire import claims, jws, schemas, shapes
from tests.fakes.router import FakeRouter
from tests.mosquitto import Mosquitto, Observer
from tests.settings_of import settings
from tests.unsigned import AP, CITY, KID

ROOT = Path(__file__).resolve().parent.parent
BOOT = "b1946ac92492d234"
PRESENCE = jsonschema.Draft202012Validator(shapes.strict(schemas.published("presence")))
TOPICS = f"wifi/v1/{CITY}/{AP}"
WITHIN_S = 60.0
# What crashed may be any of these; psutil is C.
NOT_OF_SAFE_MODE = (
    *("agent.daemon", "agent.sensing", "agent.collectors", "agent.report", "agent.alerts", "agent.probing", "agent.reach", "agent.outbox", "agent.ledger"),
    *("agent.telling", "agent.own_hands", "agent.router.host", "agent.router.linux", "agent.router.openwrt", "agent.router.netdev", "psutil", "netifaces"),
)


def said(message: dict[str, Any]) -> dict[str, Any]:
    """Give what a message of the observer's says."""
    payload = message["payload"]
    read: dict[str, Any] = payload if isinstance(payload, dict) else json.loads(payload)
    return read


class Bench:
    """A Safe, its box, and an uptime that only the test moves."""

    def __init__(self, folder: Path, port: int = 1, **record: Any) -> None:
        self.now = 5000.0
        self.run_dir = folder / "run"
        (self.run_dir / "status").mkdir(parents=True, exist_ok=True)
        self.box = FakeRouter()
        chosen = settings(agent={"id": AP, "city": CITY}, broker={"host": "127.0.0.1", "port": port, "tls": False}, paths={"run_dir": str(self.run_dir)})
        known = {"crashes": 5, "safe_since": 4900.0, "safe_until": 6700.0, "next_stay_s": 3600.0, "last_crash": "ValueError at agent.report:41"}
        self.safe = Safe(chosen, self.box, Record(BOOT, **(known | record)), Pace(save_every_s=0.05), uptime=lambda: self.now)

    def until(self, claim: Callable[[], object]) -> None:
        ends = time.monotonic() + WITHIN_S
        while not claim():
            assert time.monotonic() < ends
            self.safe.turn()

    def state(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads((self.run_dir / "daemon.json").read_bytes())
        return read

    def root_says(self, **reported: object) -> None:
        file = self.run_dir / "status/config.json"
        file.unlink(missing_ok=True)
        file.write_text(json.dumps({"v": 1, "handled": "0" * 64, "reported": {"v": 1} | reported}) + " " * int(self.now % 7))


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """A run takes the process's signals; give them back."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    signal.set_wakeup_fd(-1)
    for number, former in before.items():
        signal.signal(number, former)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as broker:
        yield broker


@pytest.mark.parametrize("backend", ["openwrt", "linux"])
def test_it_loads_nothing_that_may_be_what_crashed(backend: str) -> None:
    """Neither collectors nor what makes reports, nor the outbox, nor what reads the router; asked of a process of its own."""
    code = (
        "import sys; import agent.safe; from agent.router import doorbell; from tests.settings_of import settings\n"
        f"before = set(sys.modules); doorbell.open_doorbell(settings(router={{'backend': '{backend}'}})); print(*sys.modules)"
    )
    # The settings' rules are the first image's; only what they bring besides counts here.
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    loaded = done.stdout.split()
    assert "agent.push" in loaded
    assert [name for name in NOT_OF_SAFE_MODE if name in loaded] == []


@pytest.mark.needs("mosquitto")
def test_its_birth_says_since_when_why_and_after_how_many(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Retained, and as the schema has it."""
    bench = Bench(tmp_path, mosquitto.port)
    with Observer(mosquitto) as observer:
        bench.until(lambda: observer.seen(f"{TOPICS}/presence"))
        birth = said(observer.seen(f"{TOPICS}/presence")[0])
    bench.safe.broker.stop(0.0)
    PRESENCE.validate(birth)
    told = {name: birth[name] for name in ("state", "safe_mode", "since", "crashes", "last_crash")}
    wall = bench.box.clock.wall()
    assert told == {"state": "online", "safe_mode": True, "since": int(wall - 100), "crashes": 5, "last_crash": "ValueError at agent.report:41"}


def test_what_is_not_known_is_not_said(tmp_path: Path) -> None:
    """A clock that is not set, a crash that left no word, a record that was torn."""
    bench = Bench(tmp_path, safe_since=None, safe_until=None, crashes=0, last_crash="")
    bench.box.clock.trust = "none"
    assert bench.safe._told() == {"safe_mode": True}


def test_the_state_says_it_for_rwagent_status(tmp_path: Path) -> None:
    """Since when, why, and when the normal agent is tried again."""
    bench = Bench(tmp_path)
    bench.until(lambda: (bench.run_dir / "daemon.json").exists())
    told = bench.state()["safe_mode"]
    assert told == {"crashes": 5, "last_crash": "ValueError at agent.report:41", "tries_again_in_s": 1700.0, "since_s": 100.0}


def test_its_time_comes_to_an_end(tmp_path: Path) -> None:
    """Not a second before; then the normal agent is tried, in order: no crash is counted."""
    bench = Bench(tmp_path)
    (bench.run_dir / "running").touch()
    bench.now = 6699.0
    bench.safe.turn()
    assert not bench.safe._is_stopping
    bench.now = 6700.0
    assert bench.safe.run()
    assert not (bench.run_dir / "running").exists()


def test_a_torn_record_costs_half_an_hour(tmp_path: Path) -> None:
    """Where it is not known until when, it is as at the first time."""
    bench = Bench(tmp_path, safe_since=None, safe_until=None)
    bench.now += 1799.0
    bench.safe.turn()
    assert not bench.safe._is_leaving
    bench.now += 1.0
    bench.safe.turn()
    assert bench.safe._is_leaving


@pytest.mark.parametrize(("number", "is_leaving"), [(signal.SIGTERM, False), (signal.SIGHUP, True)])
def test_a_signal_ends_it_in_order(tmp_path: Path, number: signal.Signals, is_leaving: bool) -> None:
    """SIGTERM for good, SIGHUP to try the normal agent."""
    bench = Bench(tmp_path)
    (bench.run_dir / "running").touch()
    before = bench.safe._wait

    def wait(wakeup: int | None) -> None:
        signal.raise_signal(number)
        before(wakeup)

    bench.safe._wait = wait  # type: ignore[method-assign]  # the moment in which the signal comes
    assert bench.safe.run() is is_leaving
    assert not (bench.run_dir / "running").exists()


def test_a_push_that_stays_ends_it_once_it_is_told(tmp_path: Path) -> None:
    """Confirmed: what was wrong may be gone. Not before the broker has the verdict, for the next crash may come at once."""
    bench = Bench(tmp_path)
    bench.root_says(revision=7, state="testing")
    bench.safe.turn()
    bench.root_says(revision=7, state="confirmed")
    bench.safe.turn()
    assert bench.safe._is_fixed and not bench.safe._is_leaving


@pytest.mark.parametrize("state", ["rejected", "rolled_back", "failed", "unchanged"])
def test_a_push_that_changes_nothing_does_not_end_it(tmp_path: Path, state: str) -> None:
    """Nothing is other than it was."""
    bench = Bench(tmp_path)
    bench.root_says(revision=7, state=state)
    bench.safe.turn()
    assert not bench.safe._is_fixed


def test_a_push_confirmed_before_does_not_end_it(tmp_path: Path) -> None:
    """With it in force the agent crashed."""
    bench = Bench(tmp_path)
    bench.root_says(revision=7, state="confirmed")
    bench = Bench(tmp_path)
    bench.safe.turn()
    assert not bench.safe._is_fixed


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize(("name", "is_taken"), [("logs", True), ("stations", False), ("reboot", False), ("what-is-this", False)])
def test_of_commands_only_logs_is_taken(tmp_path: Path, mosquitto: Mosquitto, name: str, is_taken: bool) -> None:
    """The others are refused with the reason, and nothing of them reaches root."""
    bench = Bench(tmp_path, mosquitto.port)
    bench.safe.commands._uptime = lambda: 5000.0
    order = claims.CommandClaims(CITY, AP, "id-1", bench.box.boot(), 5060, name, {}, 0)
    raw = jws.compact(jws.signing_input(KID, claims.command_members(order)), bytes(64))
    file, topic = bench.run_dir / "inbox/command.ask", f"{TOPICS}/command/{name}"
    with Observer(mosquitto) as observer:
        bench.until(lambda: bench.safe.broker.is_connected and observer.seen(f"{TOPICS}/presence"))
        mosquitto.publish(topic, raw)
        bench.until(lambda: file.exists() or observer.seen(f"{topic}/result"))
        results = [said(one) for one in observer.seen(f"{topic}/result")]
    bench.safe.broker.stop(0.0)
    assert file.exists() is is_taken
    if not is_taken:
        assert (results[0]["state"], results[0]["code"]) == ("rejected", "unsupported")
        assert results[0]["message"].startswith("the agent is in safe mode after 5 crashes and takes only logs; it tries to run normally again in 1700 s")


def test_the_outbox_of_before_is_not_touched(tmp_path: Path) -> None:
    """Nothing in it is written or made anew: it may be what crashed."""
    outbox = Outbox(str(tmp_path / "run/outbox"), BOOT, 65536)
    outbox.put("event", {"v": 1, "boot": BOOT, "seq": 1, "uptime_s": 1.0, "clock": "ntp"})
    outbox.close()
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "run/outbox").iterdir()}
    bench = Bench(tmp_path)
    bench.until(lambda: (bench.run_dir / "daemon.json").exists())
    bench.safe._stop(signal.SIGTERM, None)
    assert not bench.safe.run()
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "run/outbox").iterdir()} == before


def test_what_stands_for_the_outbox_gives_nothing() -> None:
    """Nothing is due, nothing is awaited, and whatever comes is nobody's."""
    none = Untouched()
    assert (none.due(1.0), none.wait(1.0)) == (None, None)
    none.ack("0" * 16, 41, ())
    with pytest.raises(RuntimeError):
        none.render()
