"""A real access point in a guest kernel: what hostapd and its stations do appears in the reports, and what the city pushes appears on the air."""

from __future__ import annotations

import compileall
import contextlib
import functools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from tests.vm.desk import open_desk

HERE = Path(__file__).parent
AUTOGROUP = Path("/proc/self/autogroup")
# Each story has a guest of its own: neither can spoil the other's stations, and only the one that was too slow is told again.
STORIES = {
    "story.py": (
        "nobody_then_three_then_one",
        "per_bss_as_hostapd_says",
        "throughput_as_the_counters",
        "hostapd_restarts",
        "lingering_is_not_counted",
        "no_station_address_left",
    ),
    "push_story.py": (
        "a_push_comes_on_air_and_is_confirmed",
        "a_new_key_sends_away_only_its_own_stations",
        "a_push_that_cuts_off_the_broker_is_taken_back",
        "a_channel_that_hostapd_refuses_is_taken_back",
    ),
    "caps_story.py": (
        "the_line_without_caps",
        "a_pushed_cap_is_felt_by_each_station",
        "commands_go_there_and_back",
        "udp_is_held_too",
        "one_ceiling_over_both_radios_and_one_for_the_way_out",
        "a_bss_made_anew_has_its_caps_within_3_s",
        "without_the_cap_the_line_is_back",
    ),
}
# What else wifi-scenario.sh is told for a story, and which of them have a city outside the guest.
MORE = {"caps_story.py": ("-n", "4", "-r", "2", "-j", "1", "-G", "990")}
WITH_CITY = ("caps_story.py",)
NEEDED = ("root", "qemu-system-x86_64", "busybox", "hostapd", "wpa_supplicant", "iw", "dnsmasq", "iperf3", "mosquitto")
# Alone a guest takes less than three minutes; beside a busy machine twice that.
LIMIT_S = 720

pytestmark = [pytest.mark.story, pytest.mark.needs(*NEEDED), pytest.mark.xdist_group("vm")]

Rows = dict[str, dict[str, Any]]


def run_guest(story: str) -> tuple[Rows, str]:
    # A guest that has to compile each module anew, for every program that it starts, needs minutes for that alone.
    for package in ("agent", "fleet", "tests/vm"):
        compileall.compile_dir(HERE.parent.parent / package, quiet=2)
    with contextlib.ExitStack() as stack:
        wiring: tuple[str, ...] = ()
        if story in WITH_CITY:
            share = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rw-vm-")))
            wiring = ("-w", str(share), "-p", str(stack.enter_context(open_desk(share))))
        rows, errors, took_s = in_guest(story, wiring)
        print(f"{story}: the guest ran for {took_s:.0f} s: {phases(errors, rows, took_s)}")
    return rows, errors[-9000:]


def phases(errors: str, rows: Rows, took_s: float) -> str:
    """Say where the time went: wifi-scenario.sh's lines begin with the guest's uptime, a story's rows have their own."""
    at, parts = 0.0, []
    for uptime, what in re.findall(r"^wifi-scenario: ([\d.]+) (.+)$", errors, re.MULTILINE):
        parts.append(f"{what} +{float(uptime) - at:.0f} s")
        at = float(uptime)
    parts += [f"{name} {row['took_s']:.0f} s" for name, row in rows.items()]
    rest = took_s - at - sum(row["took_s"] for row in rows.values())
    return ", ".join([*parts, f"all else {rest:.0f} s"])


def engine() -> str:
    """Say how the guest runs where VMRUN_ENGINE does not: the machine's own speed where build-uml was, else emulated, which works anywhere."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    built = Path(os.environ.get("VMRUN_CACHE") or cache / "vmrun") / "uml/built-from"
    return "uml" if built.exists() else "tcg"


def in_guest(story: str, wiring: tuple[str, ...]) -> tuple[Rows, str, float]:
    # Ahead of the tests beside it: in a guest that is starved, starting `iw` alone takes longer than a collector may.
    # Open to guests and not OWE: its handshake begins with a computation that an emulated guest needs longer for than hostapd waits.
    command = ["nice", "-n", "-10", "setpriv", "--pdeathsig", "TERM", str(HERE / "vmrun"), "-t", str(LIMIT_S), "-m", "1024", *wiring]
    command += [str(HERE / "wifi-scenario.sh"), "--guest", "OPEN", *MORE.get(story, ()), "--"]
    inside = ["ip", "netns", "exec", "ap", sys.executable, str(HERE / story)]
    environment = {"VMRUN_ENGINE": engine()} | os.environ | {"PYTHONPATH": str(HERE.parent.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {"RW_SHARE": wiring[1]} if wiring else {}
    began = time.monotonic()
    # In a session of its own: a kernel with autogroups shares the processors among sessions first, and `nice` counts only within one.
    # Such a session outlives whoever ends ours, but for setpriv above.
    ahead = ["sh", "-c", 'echo -10 >/proc/self/autogroup; exec "$@"', "sh"] if AUTOGROUP.exists() else []
    with subprocess.Popen(
        [*ahead, *command, *inside], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as guest:
        try:
            out, errors = guest.communicate(timeout=LIMIT_S + 40)
        finally:
            if guest.poll() is None:
                os.killpg(guest.pid, signal.SIGTERM)
    rows = [json.loads(line) for line in out.splitlines() if line.startswith('{"scenario"')]
    return {row["scenario"]: row for row in rows}, errors, time.monotonic() - began


@functools.cache
def outcome(story: str) -> tuple[Rows, str]:
    """One run of the guest for all of a story's scenarios, and once more, which is said, when it was too slow: it did not come up, or ran out of time.

    What is wrong in any other way fails at once: only waiting is tried again.
    """
    rows, errors = run_guest(story)
    late = [name for name, row in rows.items() if not row["ok"] and "not within" in row["said"]]
    if len(rows) < len(STORIES[story]) or late:
        print(f"the guest was too slow, once more: {', '.join(late) or errors[-500:]}")
        again, errors = run_guest(story)
        rows |= {name: row for name, row in again.items() if name in late or name not in rows}
    return rows, errors


@pytest.mark.parametrize(("story", "scenario"), [(story, scenario) for story, scenarios in STORIES.items() for scenario in scenarios])
def test_scenario(story: str, scenario: str) -> None:
    """What is true on the air and in the kernel is what the reports say, and what a push says is on the air."""
    rows, errors = outcome(story)
    assert scenario in rows, f"the guest ended before it; its last words: {errors}"
    row = rows[scenario]
    assert row["ok"], f"{row['said']}\n{errors}"
    print(f"{scenario}: {row['said']} ({row['took_s']} s)")
