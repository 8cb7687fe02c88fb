"""The caps' part of scripts/bench: what passes beside what is wanted, how fairly, how late, and what joins and changes cost. Needs root; leaves nothing."""

from __future__ import annotations

import re
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.capped_box import CappedBox, Measured, ended, jain, joins, measure

STATIONS = {"st1": "bss2g", "st2": "bss2g", "st3": "bss5g"}
NEIGHBOUR = {"st4": "bss-free"}
# What is the narrowest, the caps for it, and what passes then down and up in Mbit/s.
LEVELS = {
    "each station 5/2": (("ssid public 30000 10000 5000 2000 bss2g bss5g", "uplink 45000 20000 wan"), 15, 6),
    "SSID 30/10": (("ssid public 30000 10000 20000 8000 bss2g bss5g", "uplink 45000 20000 wan"), 30, 10),
    "uplink 45/20": (("ssid public 300000 100000 200000 80000 bss2g bss5g", "uplink 45000 20000 wan"), 45, 20),
}
WITHIN = 0.03
FAIR = 0.98


class Line(NamedTuple):
    """One line of the table."""

    what: str
    wanted: str
    measured: str
    within: bool | None
    payload: str = ""
    fairness: str = ""

    def text(self) -> str:
        """Give it as Markdown."""
        within = "" if self.within is None else "yes" if self.within else "**no**"
        return f"| {self.what} | {self.wanted} | {self.measured} | {within} | {self.payload} | {self.fairness} |"


def bench(quick: bool) -> str:
    """Measure all of it over the middle 10 s (quick: 2 s) and give the table."""
    lines: list[Line] = []
    with tempfile.TemporaryDirectory() as folder, CappedBox(Path(folder), STATIONS | NEIGHBOUR) as box:
        box.serve()
        for turn, (name, (caps, down, up)) in enumerate(LEVELS.items()):
            for kind, ways in (("TCP", ("down",)), ("TCP", ("up",)), ("UDP", ("down", "up"))):
                udp_mbps = down / 2 if kind == "UDP" else 0
                found = measure(box, caps, ways, 4 if quick else 12, udp_mbps=udp_mbps, turn=turn, stations=tuple(STATIONS))
                lines += [_rate(f"{name}, {kind} {way}", way, down if way == "down" else up, found, udp_mbps) for way in ways]
        lines += _latency(box, 100 if quick else 300)
        lines += _costs(box)
        kind = "fq_codel" if "fq_codel" in (box.ram / "kind").read_text() else "pfifo (this kernel has no fq_codel)"
    head = "| what | wanted | measured | within | TCP payload | Jain |\n|---|---|---|---|---|---|\n"
    kernel = Path("/proc/sys/kernel/osrelease").read_text().strip()
    rows = "\n".join(line.text() for line in lines)
    return f"{head}{rows}\n\nThree stations on two radios, IPv4 and IPv6, at the byte counters behind the shaper; leaves: {kind}; Linux {kernel}.\n"


def _rate(what: str, way: str, wanted: float, found: Measured, udp_mbps: float) -> Line:
    total, each, payload = (found.down, found.station_down, found.payload_down) if way == "down" else (found.up, found.station_up, found.payload_up)
    # iperf3's own figure for UDP has the second before the caps in it.
    said = "" if udp_mbps else f"{sum(payload):.2f}"
    error, fairness = total / wanted - 1, jain(each)
    return Line(what, f"{wanted} Mbit/s ± 3 %", f"{total:.2f} ({error:+.1%})", abs(error) <= WITHIN and fairness >= FAIR, said, f"{fairness:.4f}")


def _latency(box: CappedBox, count: int) -> list[Line]:
    """How late answers are: on an idle line, and while the public SSID is full, for a neighbour without a cap and for the busy station itself."""
    public = LEVELS["each station 5/2"][0][0]
    box.stands("")
    idle = _late(box, "st4", count)
    box.stands(public)
    lines = [Line("p95 of a ping, idle, no caps", "", f"{idle:.2f} ms", None)]
    seconds = count * 0.02 + 4
    flows = [box.flow(name, "down", seconds) for name in STATIONS]
    time.sleep(1.5)
    for who, what in (("st4", "uncapped neighbour while the capped SSID is full"), ("st1", "the busy capped station itself")):
        lines.append(Line(f"p95 of a ping, {what}", "", f"{_late(box, who, count // 2):.2f} ms", None))
    for flow in flows:
        ended(flow)
    return lines


def _late(box: CappedBox, station: str, count: int) -> float:
    command = ["ip", "netns", "exec", box.inside[station], "ping", "-i", "0.02", "-c", str(count), box.far(station)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=count * 0.02 + 30, check=False).stdout
    return statistics.quantiles([float(one) for one in re.findall(r"time=([0-9.]+)", said)], n=20)[-1]


def _costs(box: CappedBox) -> list[Line]:
    """What runs of the script cost in CPU, with all that they start."""
    public, other = LEVELS["each station 5/2"][0], LEVELS["SSID 30/10"][0]

    def cpu(run: Callable[[], object]) -> str:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return f"{(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000:.0f} ms of CPU"

    def apply(lines: Sequence[str]) -> Callable[[], None]:
        return lambda: box.stands(*lines)

    box.stands("")
    steps = (("made", public), ("nothing changed", public), ("rates changed", other))
    lines = [Line(f"caps apply, {what}", "", cpu(apply(caps)), None) for what, caps in steps]
    looks, cpu_s = joins(box, 64, 10)
    return [*lines, Line("64 joins in 10 s, each rung for", "<= 3 looks", f"{looks} looks, {cpu_s * 1000:.0f} ms of CPU", looks <= 3)]
