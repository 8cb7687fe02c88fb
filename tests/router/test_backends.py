"""The settings name a backend; that one is opened, with what the settings say of it, and the other is not even loaded."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from agent.records import Caps
from agent.router import backends
from agent.settings import Settings
from agent.settings_rules import resolve

ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, sys
from agent.router import backends
from agent.settings_rules import resolve
settings, _ = resolve(json.loads(sys.argv[1]))
print(backends.open_router(settings).board().backend, *sorted(name for name in sys.modules if name.startswith("agent.router.")))
"""


def tables(folder: Path, backend: str, **more: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        "agent": {"id": "rw-0501", "city": "malang"},
        "broker": {"host": "127.0.0.1", "tls": False},
        "router": {"backend": backend},
        "paths": {"run_dir": str(folder / "run"), "state_dir": str(folder / "state")},
        **more,
    }


def settings_of(folder: Path, backend: str, **more: dict[str, Any]) -> Settings:
    settings, faults = resolve(tables(folder, backend, **more))
    assert settings is not None, faults
    return settings


@pytest.mark.parametrize(("backend", "other"), [("simulated", "agent.router.linux"), ("linux", "agent.router.simulated"), ("openwrt", "agent.router.linux")])
def test_only_the_backend_that_is_used_is_loaded(tmp_path: Path, backend: str, other: str) -> None:
    """The other one would be dead weight in the daemon's memory."""
    command = [sys.executable, "-c", PROGRAM, json.dumps(tables(tmp_path, backend))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    name, *loaded = done.stdout.split()
    assert name == backend
    assert f"agent.router.{backend}" in loaded
    assert other not in loaded


def test_auto_is_this_linux_box(tmp_path: Path) -> None:
    """Without a choice the agent reports of the machine it runs on."""
    assert backends.open_router(settings_of(tmp_path, "auto")).board().backend == "linux"


def test_a_simulated_box_is_as_the_settings_say(tmp_path: Path) -> None:
    """Seed, start and size come from the settings: two of the same are one and the same box, another seed is another."""
    boxes = []
    for seed in (5, 5, 6):
        simulated = {"seed": seed, "speed": 0, "start": "2026-08-17T19:00:00+07:00", "stations_peak": 30}
        router = backends.open_router(settings_of(tmp_path, "simulated", simulated=simulated))
        assert router.clock.wall() == 1_786_968_000
        boxes.append((router.boot(), router.bss(), router.host()))
    assert boxes[0] == boxes[1]
    assert boxes[0] != boxes[2]


def test_the_clocks_marker_lies_in_run_dir(tmp_path: Path) -> None:
    """What root's hook says of the clock is believed by the linux backend."""
    (tmp_path / "run/status").mkdir(parents=True)
    for word in ("ntp", "floor", "none"):
        (tmp_path / "run/status/clock").write_text(f"{word}\n")
        assert backends.open_router(settings_of(tmp_path, "linux")).clock.state() == word


def test_the_lease_file_of_the_settings_is_read(tmp_path: Path) -> None:
    """router.lease_file takes the place of the usual ones."""
    leases = tmp_path / "leases"
    leases.write_text("9999999999 02:00:00:00:00:01 10.0.0.2 a *\n9999999999 02:00:00:00:00:02 10.0.0.3 b *\n")
    router = backends.open_router(settings_of(tmp_path, "linux", router={"backend": "linux", "lease_file": str(leases)}))
    assert router.dhcp().leases == 2


def test_a_simulated_box_starts_the_applier_it_is_given(tmp_path: Path) -> None:
    """Rung for, it starts that program; given none, and on Linux, where root looks by itself, ringing starts nothing."""
    made = tmp_path / "made"
    backends.open_router(settings_of(tmp_path, "simulated"), ["/bin/sh", "-c", f"echo rung > {made}.new && mv {made}.new {made}"]).ring()
    backends.open_router(settings_of(tmp_path, "simulated"), ["/bin/sh", "-c", f"touch {tmp_path}/wrong"]).ring("stations")
    backends.open_router(settings_of(tmp_path, "simulated")).ring()
    backends.open_router(settings_of(tmp_path, "linux"), ["/nowhere"]).ring()
    until = time.monotonic() + 10
    while not made.exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    assert made.read_text() == "rung\n" and not (tmp_path / "wrong").exists()


def test_a_simulated_box_has_the_caps_that_were_pushed(tmp_path: Path) -> None:
    """Its kernel is believable: what is wanted stands."""
    router = backends.open_router(settings_of(tmp_path, "simulated"))
    assert router.caps() == Caps()
    folder = Path(settings_of(tmp_path, "simulated").paths.state_dir) / "simulated"
    folder.mkdir(parents=True)
    (folder / "caps").write_text("v 1\nuplink 45000 20000 wan\n")
    assert router.caps() == Caps(True)
    (folder / "caps").write_text("")
    assert router.caps() == Caps()
