"""From the city's directory to a connected access point and out again: rwctl enroll, rwagent enroll, doctor, run, rwctl revoke, and back in with --replace.

The programs as they are typed, over TLS with the city's own broker.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent import status
from fleet.city import OPERATOR, City
from fleet.mqtt import Client
from tests.fleet.broker_city import BrokerCity, founded

pytestmark = [pytest.mark.story, pytest.mark.needs("mosquitto")]

ROOT = Path(__file__).parents[2]
WITHIN_S = 60.0
BOX = """[agent]
id = "rw-0501"
city = "malang"
[broker]
host = "none.invalid"
[router]
backend = "simulated"
public_network = "public"
[paths]
run_dir = "{run}"
"""


def run(module: str, *words: object, code: int = 0) -> str:
    done = subprocess.run([sys.executable, "-m", module, *map(str, words)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@contextmanager
def daemon(config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Have the agent run."""
    with config.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "agent", "run", "--config", str(config)], cwd=ROOT, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def birth(city: Client, not_session: str = "") -> str:
    """Wait for the access point's birth in another session than this one; give its session."""
    until = time.monotonic() + WITHIN_S
    while time.monotonic() < until:
        for heard in city.messages(100, 0.2):
            said = json.loads(heard.payload or b"{}")
            if said.get("state") == "online" and said["session"] != not_session:
                return str(said["session"])
    raise AssertionError("no birth")


def wait_refused(run_dir: Path) -> None:
    """Wait until the daemon says that the broker refuses it."""
    until = time.monotonic() + WITHIN_S
    while (seen := status.read(str(run_dir))) is None or status.is_connected(seen) or "refused" not in status.to_json(seen):
        assert time.monotonic() < until, seen
        select.select([], [], [], 0.1)


@pytest.fixture
def city(tmp_path: Path) -> City:
    return founded(tmp_path / "malang")


def test_an_access_point_comes_in_goes_out_and_comes_back(city: City, tmp_path: Path) -> None:
    """What the technician set is kept through both enrolments; a revoked certificate opens nothing; the replaced one does, without another word."""
    config, bundle = tmp_path / "etc/agent.toml", city.bundles / "rw-0501.tar.gz"
    config.parent.mkdir()
    config.write_text(BOX.format(run=tmp_path / "run"))
    run("fleet.cli", "--dir", city.folder, "enroll", "rw-0501", "--rw", "5", "--kelurahan", "Jatimulyo", "--provider", "Awinet")
    assert "kept as they were on this box: router.backend, router.public_network" in run("agent", "enroll", bundle, "--config", config)
    with BrokerCity(city):
        watcher = Client(city, OPERATOR)
        watcher.subscribe(["wifi/v1/malang/rw-0501/presence"])
        watcher.start(10)
        try:
            findings = {one["name"]: one["verdict"] for one in json.loads(run_doctor(config))["findings"]}
            assert (findings["settings"], findings["tls"] if "tls" in findings else findings["broker"]) == ("ok", "ok")
            with daemon(config):
                first = birth(watcher)
                run("fleet.cli", "--dir", city.folder, "revoke", "rw-0501", "--yes")
                wait_refused(tmp_path / "run")
                run("fleet.cli", "--dir", city.folder, "enroll", "rw-0501", "--replace")
                run("agent", "enroll", bundle, "--config", config)
                # The same daemon: what it connects with is read anew when the files are others.
                birth(watcher, not_session=first)
        finally:
            watcher.close()
    assert 'public_network = "public"' in config.read_text()


def run_doctor(config: Path) -> str:
    """Give the doctor's findings; some are ill where nothing runs yet."""
    words = [sys.executable, "-m", "agent", "doctor", "--json", "--config", str(config)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False).stdout
