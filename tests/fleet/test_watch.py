"""`python -m fleet.watch` shows what a real broker holds, and refuses what it must not do."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

from agent.wire import messages
from fleet import watch
from fleet.status import City

BOOT, SESSION = "b1946ac92492d234", "1" * 16
ANSWERS_WITHIN_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """A real mosquitto on loopback."""
    number = free_port()
    path = os.environ["PATH"] + ":/usr/sbin"
    broker = subprocess.Popen(["mosquitto", "-p", str(number)], env=os.environ | {"PATH": path}, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + ANSWERS_WITHIN_S
    while not is_open(number) and time.monotonic() < deadline:
        select.select([], [], [], 0.05)
    yield number
    broker.terminate()
    broker.wait(5)


class Flooded(City):
    """A city where another message comes with each that is taken in."""

    def __init__(self, listener: watch.Listener) -> None:
        super().__init__("demo")
        self.taken, self.listener = 0, listener

    def hear(self, *_: object) -> None:
        """Count, and have one more said."""
        self.taken += 1
        say_one(self.listener)


def say_one(listener: watch.Listener) -> None:
    listener._heard(listener._client, None, mqtt.MQTTMessage(topic=b"wifi/v1/demo/rw-0501/report"))


def run_watch(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "fleet.watch", *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.needs("mosquitto", "mosquitto_pub")
def test_once_prints_what_the_broker_retains(port: int) -> None:
    """A retained will is a row, one line, exit status 0."""
    will = messages.encode(messages.presence_lost(BOOT, SESSION)).decode()
    subprocess.run(["mosquitto_pub", "-p", str(port), "-r", "-q", "1", "-t", "wifi/v1/demo/rw-0501/presence", "-m", will], check=True, timeout=10)
    done = run_watch("--port", str(port), "--once")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("rw-0501")]
    assert (done.returncode, "✖ lost" in line) == (0, True)


def test_without_a_broker_it_says_so() -> None:
    """Exit status 1 and a sentence with host and port."""
    number = free_port()
    done = run_watch("--port", str(number), "--once")
    assert (done.returncode, f"127.0.0.1 port {number}" in done.stderr) == (1, True)


def test_no_flood_keeps_the_table_from_being_drawn() -> None:
    """Where messages come as fast as they are taken in, one look takes in no more than can wait."""
    listener = watch.Listener("127.0.0.1", free_port(), "demo")
    listener.city = city = Flooded(listener)
    say_one(listener)
    listener.drain()
    listener.close()
    assert city.taken == watch.MOST_WAITING


@pytest.mark.parametrize("arguments", [("--host", "192.0.2.1"), ("--host", "broker.example"), ("--city", "a/b"), ("--city", "#")])
def test_wrong_arguments_are_refused(arguments: tuple[str, ...]) -> None:
    """Plain text goes nowhere beyond loopback, and a city's name cannot widen the subscription: exit status 2."""
    assert run_watch(*arguments).returncode == 2


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("10.0.0.1", False), ("localhost.example", False)])
def test_only_this_machine_is_loopback(host: str, expected: bool) -> None:
    """A name that merely looks like localhost is not."""
    assert watch.is_loopback(host) is expected
