"""One report without a broker: whole, valid, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from agent import once
from agent.records import Reach
from agent.router.contract import Router
from agent.settings import Settings
from agent.settings_rules import resolve
from agent.wire import schemas, shapes
from tests.fakes.router import FakeClock, FakeProbe, FakeRouter

ROOT = Path(__file__).parents[1]
TABLES: dict[str, Any] = {
    "agent": {"id": "rw-0501", "city": "malang"},
    "broker": {"host": "127.0.0.1", "port": 1, "tls": False},
    "router": {"backend": "simulated"},
    "simulated": {"speed": 0, "start": "2026-08-17T19:00:00+07:00"},
}


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    """Sensing takes SIGALRM; give it back."""
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.signal(signal.SIGALRM, before)


def settings_of(folder: Path, **more: dict[str, Any]) -> Settings:
    settings, faults = resolve(TABLES | {"paths": {"run_dir": str(folder / "run"), "state_dir": str(folder / "state")}} | more)
    assert settings is not None, faults
    return settings


def test_the_report_is_valid_and_has_every_part(tmp_path: Path) -> None:
    """What `rwagent once` prints is a report as the schema has it, rates and the probe's outcome included."""
    report = once.one_report(settings_of(tmp_path))
    jsonschema.Draft202012Validator(shapes.strict(schemas.published("report"))).validate(report)
    assert {"stations", "bss", "radios", "interfaces", "uplink", "dhcp", "host"} <= report.keys()
    wan: dict[str, Any] = report["interfaces"][0]  # type: ignore[index]  # a list, as just validated
    assert "rx_bps" in wan
    assert "gateway_ms" in report["uplink"]  # type: ignore[operator]  # a dict


def test_nothing_is_written(tmp_path: Path) -> None:
    """No run_dir, no outbox, no state."""
    once.one_report(settings_of(tmp_path))
    assert os.listdir(tmp_path) == []


def test_without_a_probe_no_layer_has_a_latency(tmp_path: Path) -> None:
    """probe.interval_s = 0 asks nothing of the network here either."""
    report = once.one_report(settings_of(tmp_path, probe={"interval_s": 0}))
    assert "gateway_ms" not in report["uplink"]  # type: ignore[operator]  # a dict


def test_the_probe_is_waited_for_and_put_away() -> None:
    """The outcome is the probe's, and its sockets are closed, also when it takes some steps."""
    clock = FakeClock()
    router = FakeRouter(clock)
    probe = SlowProbe(Reach("dns", 1.0, None, None, 1, 2), clock)
    assert once.finish(probe, as_router(router)).state == "dns"
    assert probe.is_closed
    assert probe.steps == 0


class SlowProbe(FakeProbe):
    """Knows its outcome after three steps, half a second apart."""

    def __init__(self, reach: Reach, clock: FakeClock) -> None:
        super().__init__(reach, clock.monotonic())
        self.steps = 3
        self._clock = clock

    def advance(self, now: float) -> Reach | None:
        if self.steps:
            self.steps -= 1
            return None
        return super().advance(now)

    def deadline(self) -> float:
        return self._clock.monotonic() + 0.5


def as_router(router: FakeRouter) -> Router:
    return router  # type: ignore[return-value]  # it has what finish() asks of one


def test_the_command_prints_json(tmp_path: Path) -> None:
    """`rwagent once` is one JSON object on stdout and exit status 0, with a broker nowhere."""
    file = tmp_path / "agent.toml"
    tables = TABLES | {"paths": {"run_dir": str(tmp_path / "run"), "state_dir": str(tmp_path / "state")}}
    rows = ["\n".join([f"[{head}]", *(f"{key} = {json.dumps(value)}" for key, value in row.items())]) for head, row in tables.items()]
    file.write_text("\n".join(rows) + "\n")
    done = subprocess.run([sys.executable, "-m", "agent", "once", "--config", str(file)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ap"] == "rw-0501"
