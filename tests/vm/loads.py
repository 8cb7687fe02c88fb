"""Traffic of the Wi-Fi guest's stations through its access point, measured: iperf3 to the far side of the way out, and the kernel's own counters meanwhile."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

# The BSSs of the network that is measured, and all there are; the far side of the way out.
BSS = ("rw-kota-2g", "rw-kota-5g")
EVERY_BSS = (*BSS, "wlan0", "wlan0-guest", "wlan1")
FAR = "203.0.113.2"
WINDOW_S, RAMP_S = 10.0, 3.0
# Being above a cap is always a fault. Being below says something of the shaper only where the guest wakes up in time to send (p95 of how late a sleeper
# woke is at most this), and has processor left over: else that much is lost to the emulator. On the machine's own kernel both are judged always
# (tests/stories/test_caps_kernel.py).
PUNCTUAL_MS, RESTED = 4.0, 0.05
TURNS = itertools.count(1)
Rate = tuple[float, float]  # down, up; Mbit/s


def wait_for(claim: Callable[[], object], what: str, gap_s: float, patience_s: float) -> Any:
    ends = time.monotonic() + patience_s
    while time.monotonic() < ends:
        if found := claim():
            return found
        time.sleep(gap_s)
    raise AssertionError(f"not within {patience_s:g} s: {what}")


class Measured(NamedTuple):
    """Mbit/s behind the shapers, `down` and `up` by name of a device or of what they add up to; each station's payload; the pings' p95 in ms by station.

    `late_ms`: how late the guest woke up somebody who slept for 2 ms, p95. `idle`: the share of its processors that was left over.
    """

    down: dict[str, float]
    up: dict[str, float]
    payload: dict[int, Rate]
    p95_ms: dict[int, float]
    late_ms: float
    idle: float

    def is_fit(self) -> bool:
        """Say whether the guest was quick enough for a figure below the cap to be the shaper's doing."""
        return self.late_ms <= PUNCTUAL_MS and self.idle >= RESTED

    def told(self) -> str:
        rates = ", ".join(f"{name} {rate:.2f}/{self.up.get(name, 0):.2f}" for name, rate in self.down.items() if rate > 0.05)
        payload = ", ".join(f"station {number} {down:.2f}/{up:.2f}" for number, (down, up) in self.payload.items())
        late = ", ".join(f"station {number} {ms:.0f} ms" for number, ms in self.p95_ms.items())
        pings = f"; p95 of pings: {late}" if late else ""
        return f"Mbit/s down/up: {rates}; payload: {payload}{pings}; timers {self.late_ms:.1f} ms late, {self.idle:.0%} idle"


def counters() -> dict[str, int]:
    """Bytes that passed: what each BSS sent to its stations, the way out sent, and each IFB let through."""
    found = {}
    for name in (*EVERY_BSS, "wan0", "rwd-kota", "rwu-kota", "rwd-uplink", "rwu-uplink"):
        for way in ("rx", "tx"):
            try:
                found[f"{name} {way}"] = int(Path(f"/sys/class/net/{name}/statistics/{way}_bytes").read_text())
            except OSError:
                found[f"{name} {way}"] = 0
    return found


def serve(ports: Sequence[int]) -> list[subprocess.Popen[str]]:
    """Start a server for one test on each port: one that served another before may be busy with its end."""
    # iperf3 is itself in the namespace then, so its /proc/PID/net is that one's.
    servers = [spawn("wan", "iperf3", "-s", "-1", "-p", str(port)) for port in ports]
    for server, port in zip(servers, ports, strict=True):
        wait_for(functools.partial(listens, server.pid, port), f"a server on port {port}", 0.1, 30)
    return servers


def listens(pid: int, port: int) -> bool:
    """Say whether somebody listens at this TCP port in the network namespace of this process."""
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]]
    return any(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows)


def spawn(name: str, *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(["nsenter", f"--net=/run/netns/{name}", *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def load(number: int, seconds: float, port: int, udp_mbps: float) -> subprocess.Popen[str]:
    """One station's traffic, both ways at once."""
    more = ["-u", "-b", f"{udp_mbps:g}M", "-l", "1400"] if udp_mbps else []
    return spawn(f"sta{number}", "iperf3", "-c", FAR, "-p", str(port), "-t", f"{seconds:.0f}", "--bidir", "-J", *more)


def measure(loaded: Sequence[int], pinging: Sequence[int] = (), udp_mbps: float = 0.0, window_s: float = WINDOW_S) -> Measured:
    """Load the stations and look at the counters in the middle."""
    seconds, first_port = window_s + RAMP_S + 3, 5300 + 10 * next(TURNS)
    with contextlib.ExitStack() as stack:
        ports = {number: first_port + number for number in loaded}
        for server in serve(list(ports.values())):
            stack.callback(end, server)
        at_first = counters()
        loads = {number: load(number, seconds, port, udp_mbps) for number, port in ports.items()}
        for one in loads.values():
            stack.callback(end, one)
        wait_for(lambda: sum(counters().values()) > sum(at_first.values()) + 400_000, "traffic", 0.2, 60)
        time.sleep(RAMP_S)
        pings = {number: spawn(f"sta{number}", "ping", "-i", "0.2", "-c", f"{window_s * 5:.0f}", "-W", "3", FAR) for number in pinging}
        rate, late_ms, idle = watch(window_s)
        p95_ms = {number: p95(child.communicate(timeout=60)[0]) for number, child in pings.items()}
        payload = {number: of_payload(number, child) for number, child in loads.items()}
    down = {name: rate[f"{name} tx"] for name in EVERY_BSS}
    # At the IFB behind the shaper where there is one: a BSS counts the longer header of the air, too, and what a station sends before it is shaped.
    # What comes in by the way out is counted behind it: there many packets are still one, with one header.
    down["kota"] = rate["rwd-kota tx"] or sum(down[name] for name in BSS)
    down["uplink"] = down["kota"] + sum(down[name] for name in EVERY_BSS if name not in BSS)
    up = {name: rate[f"{name} rx"] for name in EVERY_BSS} | {"kota": rate["rwu-kota tx"], "uplink": rate["wan0 tx"]}
    return Measured(down, up, payload, p95_ms, late_ms, idle)


def end(child: subprocess.Popen[str]) -> None:
    if child.poll() is None:
        child.terminate()
    child.communicate(timeout=30)


def watch(window_s: float) -> tuple[dict[str, float], float, float]:
    """Give what passed each counter in the window, Mbit/s, how late timers were meanwhile, and the processors' rest."""
    timers: list[float] = []
    watcher = threading.Thread(target=lateness, args=(window_s, timers))
    before, was, began = counters(), rest(), time.monotonic()
    watcher.start()
    time.sleep(window_s)
    after, now, span = counters(), rest(), time.monotonic() - began
    watcher.join()
    rate = {name: (after[name] - before[name]) * 8e-6 / span for name in after}
    return rate, sorted(timers)[int(0.95 * (len(timers) - 1))], (now[0] - was[0]) / max(now[1] - was[1], 1)


def rest() -> tuple[int, int]:
    """Ticks that the processors had nothing to do, and all of them."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


def lateness(seconds: float, found: list[float]) -> None:
    """Sleep for 2 ms now and then, and note by how many ms that was too long."""
    ends = time.monotonic() + seconds
    while (began := time.monotonic()) < ends:
        time.sleep(0.002)
        found.append((time.monotonic() - began - 0.002) * 1e3)
        time.sleep(0.05)


def of_payload(number: int, child: subprocess.Popen[str]) -> Rate:
    """Mbit/s of the middle intervals: received by the station, and what it sent."""
    try:
        said = json.loads(child.communicate(timeout=60)[0])
    except subprocess.TimeoutExpired:
        raise AssertionError(f"not within a minute of its end: iperf3 of station {number}") from None
    assert "error" not in said, f"not within reach: iperf3 of station {number} says: {said['error']}"
    rows = said["intervals"]
    middle = rows[int(RAMP_S) : -2] or rows
    down = [row["sum_bidir_reverse"]["bits_per_second"] for row in middle if "sum_bidir_reverse" in row]
    up = [row["sum"]["bits_per_second"] for row in middle if "sum" in row]
    return (sum(down) / max(len(down), 1) / 1e6, sum(up) / max(len(up), 1) / 1e6)


def p95(text: str) -> float:
    """Lost ones count as the slowest."""
    times = sorted(float(one) for one in re.findall(r"time=([\d.]+) ms", text))
    sent = re.search(r"(\d+) packets transmitted", text)
    assert sent and times, f"no answer to any ping: {text[-300:]}"
    times += [3000.0] * (int(sent[1]) - len(times))
    return times[int(0.95 * (len(times) - 1))]


def jain(rates: Sequence[float]) -> float:
    return sum(rates) ** 2 / max(len(rates) * sum(rate * rate for rate in rates), 1e-9)
