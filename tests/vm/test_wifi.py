"""A real access point in a guest kernel: what hostapd and its stations do appears in the reports over a real broker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
SCENARIOS = (
    "nobody_then_three_then_one",
    "per_bss_as_hostapd_says",
    "throughput_as_the_counters",
    "hostapd_restarts",
    "lingering_is_not_counted",
    "no_station_address_left",
)
NEEDED = ("root", "qemu-system-x86_64", "busybox", "hostapd", "wpa_supplicant", "iw", "dnsmasq", "iperf3", "mosquitto")

pytestmark = [pytest.mark.story, pytest.mark.needs(*NEEDED), pytest.mark.xdist_group("vm")]


def run_guest() -> tuple[dict[str, dict[str, Any]], str]:
    command = [str(HERE / "vmrun"), "-t", "420", "-m", "1024", str(HERE / "wifi-scenario.sh"), "--"]
    inside = ["ip", "netns", "exec", "ap", sys.executable, str(HERE / "story.py")]
    environment = {"VMRUN_ENGINE": "tcg"} | os.environ | {"PYTHONPATH": str(HERE.parent.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([*command, *inside], capture_output=True, text=True, timeout=450, env=environment, check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"scenario"')]
    return {row["scenario"]: row for row in rows}, done.stderr[-6000:]


@pytest.fixture(scope="module")
def outcome() -> tuple[dict[str, dict[str, Any]], str]:
    """One run of the guest for all scenarios; a guest that does not come up at all is started once more, and that is said."""
    rows, errors = run_guest()
    if not rows:
        print(f"the guest did not come up, once more: {errors[-500:]}")
        rows, errors = run_guest()
    return rows, errors


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario: str, outcome: tuple[dict[str, dict[str, Any]], str]) -> None:
    """What is true on the air and in the kernel is what the reports say."""
    rows, errors = outcome
    assert scenario in rows, f"the guest ended before it; its last words: {errors}"
    row = rows[scenario]
    assert row["ok"], f"{row['said']}\n{errors}"
    print(f"{scenario}: {row['said']} ({row['took_s']} s)")
