"""`scripts/simulate_fleet` for real: a fast day of a few access points at a real mosquitto, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest

from fleet.simulate import sent
from tests.mosquitto import Mosquitto

ROOT = Path(__file__).resolve().parents[3]
POINTS, INTERVAL_S, HOURS, SPEED = 24, 300, 8, 2400
UNLIMITED = "max_inflight_messages 0\nmax_queued_messages 0"

pytestmark = pytest.mark.needs("mosquitto")


class Listener:
    """Hears every report and event, as somebody who is not our code."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[str, bytes]] = []
        subscribed = threading.Event()
        self._client: Any = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_connect = lambda *_: self._client.subscribe([("wifi/v1/bench/+/report", 1), ("wifi/v1/bench/+/event", 1)])
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = lambda _client, _userdata, message: self.heard.append((message.topic, bytes(message.payload)))
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert subscribed.wait(10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def messages(self) -> tuple[list[dict[str, Any]], int]:
        """Give what is a message of the access point whose topic it is, and how many are not."""
        found, strange = [], 0
        for topic, payload in self.heard:
            try:
                message = json.loads(payload)
                assert message["ap"] == topic.split("/")[3] and len(message["boot"]) == 16
            except (ValueError, KeyError, TypeError, AssertionError, RecursionError):
                strange += 1
                continue
            found.append(message)
        return found, strange


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    running = Mosquitto(tmp_path_factory.mktemp("broker"), extra=UNLIMITED).start()
    yield running
    running.stop()


def simulate(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen([str(ROOT / "scripts/simulate_fleet"), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})


@pytest.fixture(scope="module")
def day(broker: Mosquitto, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], list[sent.Boot], Listener, Path]]:
    """A third of a day in two processes, with all that may happen."""
    folder = tmp_path_factory.mktemp("fleet")
    listener = Listener(broker.port)
    pace = ["--interval", str(INTERVAL_S), "--until-virtual", str(HOURS), "--speed", str(SPEED), "--processes", "2", "--seed", "227"]
    program = simulate(
        "--plain", str(broker.port), "--points", str(POINTS), *pace, "--moods", "all", "--sent", str(folder / "sent.jsonl"), "--folder", str(folder / "work")
    )
    told, complaints = program.communicate(timeout=120)
    assert program.returncode == 0, complaints
    until = time.monotonic() + 10
    while len(listener.heard) < json.loads(told)["reports"] and time.monotonic() < until:
        time.sleep(0.05)
    yield json.loads(told), list(sent.read(folder / "sent.jsonl")), listener, folder
    listener.close()


def test_every_report_is_made_on_its_moment(day: tuple[dict[str, Any], list[sent.Boot], Listener, Path]) -> None:
    """However fast: so many reports as the hours have intervals, of every access point, and the last line says so."""
    told, boots, _, _ = day
    made = Counter[str]()
    for boot in boots:
        made[boot.ap] += boot.reports
    assert (told["points"], told["connected"], told["reports"]) == (POINTS, POINTS, POINTS * HOURS * 3600 // INTERVAL_S)
    assert set(made.values()) == {HOURS * 3600 // INTERVAL_S} and len(made) == POINTS
    assert told["sent"] == sum(boot.through for boot in boots)


def test_what_was_sent_is_what_arrived(day: tuple[dict[str, Any], list[sent.Boot], Listener, Path]) -> None:
    """The sets of (access point, boot, seq) are the same, but for what a power cut took with it; and some of it came twice, as it should have."""
    _, boots, listener, _ = day
    messages, strange = listener.messages()
    arrived = Counter(
        (message["ap"], message["boot"], seq) for message in messages for seq in range(message.get("from_seq", message["seq"]), message["seq"] + 1)
    )
    wanted = {(boot.ap, boot.boot, seq) for boot in boots for seq in range(1, boot.through + 1)}
    gone = {(boot.ap, boot.boot, seq) for boot in boots for first, last in boot.held for seq in range(first, last + 1)}
    assert arrived.keys() <= wanted and wanted - gone <= arrived.keys()
    assert len(boots) > POINTS, "nobody rebooted"
    assert strange > 0, "nobody said nonsense"


def test_reports_say_the_citys_time(day: tuple[dict[str, Any], list[sent.Boot], Listener, Path]) -> None:
    """Of one boot each report is an interval after the one before, by its uptime and, where the clock is right, by its `at`."""
    _, boots, listener, _ = day
    messages, _ = listener.messages()
    longest = max(boots, key=lambda boot: boot.reports)
    reports = {message["seq"]: message for message in messages if message["boot"] == longest.boot and "span_s" in message and "from_seq" not in message}
    uptimes = sorted(message["uptime_s"] for message in reports.values())
    steps = {round((later - earlier) / INTERVAL_S) * INTERVAL_S - round(later - earlier) for earlier, later in pairwise(uptimes)}
    assert steps <= {-1, 0, 1}
    assert {message["span_s"] for message in reports.values()} >= {float(INTERVAL_S)}


def test_nothing_is_left(day: tuple[dict[str, Any], list[sent.Boot], Listener, Path]) -> None:
    """The working files are gone with the run."""
    assert list(day[3].glob("work/part-*")) == []


def test_sigterm_ends_it_in_order(broker: Mosquitto, tmp_path: Path) -> None:
    """All say goodbye, the last line is printed, exit status 0."""
    program = simulate(
        "--plain", str(broker.port), "--points", "5", "--moods", "calm", "--status", str(tmp_path / "status"), "--folder", str(tmp_path / "work")
    )
    until = time.monotonic() + 30
    while not (tmp_path / "status").exists() or json.loads((tmp_path / "status").read_text())["connected"] < 5:
        assert time.monotonic() < until and program.poll() is None
        time.sleep(0.05)
    program.send_signal(signal.SIGTERM)
    told, complaints = program.communicate(timeout=30)
    assert (program.returncode, json.loads(told)["connected"]) == (0, 5), complaints
    assert list(tmp_path.glob("work/part-*")) == []


def test_a_parent_that_is_killed_takes_all_with_it(broker: Mosquitto, tmp_path: Path) -> None:
    """SIGKILL gives no chance to clean up: the processes notice, end, and remove their files."""
    program = simulate(
        "--plain", str(broker.port), "--points", "5", "--moods", "calm", "--status", str(tmp_path / "status"), "--folder", str(tmp_path / "work")
    )
    until = time.monotonic() + 30
    while not (tmp_path / "status").exists():
        assert time.monotonic() < until and program.poll() is None
        time.sleep(0.05)
    program.kill()
    program.communicate(timeout=30)
    while list(tmp_path.glob("work/part-*")):
        assert time.monotonic() < until + 30, "a process goes on"
        time.sleep(0.05)


def test_a_broker_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    """Nothing connects, the run ends in its time all the same."""
    program = simulate("--plain", "1", "--points", "3", "--for", "1", "--moods", "calm")
    told, _ = program.communicate(timeout=60)
    assert (program.returncode, json.loads(told)["connected"]) == (0, 0)


def test_wrong_options_end_with_2(tmp_path: Path) -> None:
    """What is wrong is said, nothing starts."""
    done = subprocess.run([str(ROOT / "scripts/simulate_fleet"), str(tmp_path)], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, "is no city's directory" in done.stderr) == (1, True)
    done = subprocess.run([str(ROOT / "scripts/simulate_fleet"), "--plain", "1"], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, "--points N" in done.stderr) == (2, True)
