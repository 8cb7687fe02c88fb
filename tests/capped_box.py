"""A router, what lies behind it and its stations, each a network namespace: enough of a box for agent/ash/caps. Needs root; all of it ends with the `with`.

The BSSs are veth pairs; the stations of one are macvlans on the far end, so that each has a MAC of its own as on the air, and addresses that differ as
those of one network do. Segments are made where the packets are, as a radio's driver does it, so that a device's counter counts every header.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

SCRIPT = Path(__file__).resolve().parents[1] / "agent" / "ash" / "caps"
# Over the programs of the machine, for the router alone: the script sets its own PATH.
_BIND = "while [ $# -gt 0 ]; do mount --bind $1 $2 || exit 9; shift 2; done;"
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_IW = '#!/bin/sh\ncat "{folder}/$2" 2>/dev/null || exit 255\n'
# Runs a command for each line, and says how it ended; at last how much CPU that took, with all that it left running, which is its own (prctl(2),
# PR_SET_CHILD_SUBREAPER) and is awaited.
_RINGER = """
import ctypes, os, resource, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
for _ in sys.stdin:
    print(subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL).returncode, flush=True)
try:
    while os.wait():
        pass
except ChildProcessError:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime)
"""
# How long anything here may take is no claim: a guest by emulation, with neighbours, is a hundred times slower.
PATIENCE_S = 240
_NUMBERS = itertools.count()


class CappedBox:
    """One router with its BSSs, a way out and stations: `stations` maps a station to its BSS; `programs` are BusyBox's own here."""

    def __init__(self, folder: Path, stations: dict[str, str], shell: Sequence[str] = ("sh",), programs: Sequence[str] = ()) -> None:
        self.folder, self.stations, self.shell, self.programs = folder, stations, tuple(shell), tuple(programs)
        self.bsss = list(dict.fromkeys(stations.values()))
        tag = f"rw-caps-{os.getpid()}-{next(_NUMBERS)}"
        self.router, self.server, self.air = f"{tag}-r", f"{tag}-w", f"{tag}-a"
        self.inside = {name: f"{tag}-{name}" for name in stations}
        self.ram, self.status, self.file = folder / "ram", folder / "status", folder / "caps"
        self.children: list[subprocess.Popen[Any]] = []
        self.holders: dict[str, subprocess.Popen[Any]] = {}

    def __enter__(self) -> CappedBox:
        self.status.mkdir()
        (self.folder / "iw").mkdir()
        program = self.folder / "iw-program"
        program.write_text(_IW.format(folder=self.folder / "iw"))
        program.chmod(0o755)
        try:
            for name in (self.router, self.server, self.air, *self.inside.values()):
                ip("netns", "add", name)
            self._cable()
            self._hold()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for child in self.children:
            with suppress(OSError):
                child.kill()
            child.wait(PATIENCE_S)
            for pipe in (child.stdout, child.stderr):
                if pipe is not None:
                    pipe.close()
        for name in (*self.inside.values(), self.air, self.server, self.router):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True, timeout=PATIENCE_S)

    def _cable(self) -> None:
        ip("-n", self.router, "link", "add", "br0", "type", "bridge")
        ip("-n", self.router, "link", "set", "br0", "up")
        ip("-n", self.router, "link", "add", "wan", "type", "veth", "peer", "name", "far", "netns", self.server)
        ip("-n", self.server, "link", "set", "far", "gso_max_segs", "1", "up")
        # Each answers for its own address alone.
        subprocess.run(["ip", "netns", "exec", self.server, "sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=1"], check=True, timeout=PATIENCE_S)
        # One for each station, in a network of their own, so that what comes from each is counted apart and what answers has the right address.
        for name in self.stations:
            ip("-n", self.server, "link", "add", "link", "far", name, "type", "macvlan", "mode", "bridge")
            self._address(self.server, name, 1)
        ip("-n", self.router, "link", "set", "wan", "gso_max_segs", "1", "master", "br0", "up")
        for bss in self.bsss:
            self.make_bss(bss)

    def _hold(self) -> None:
        """Keep a process in each namespace, in the router with the programs it has: the script is run beside it, and counters are read by them."""
        busybox = shutil.which("busybox") or "busybox"
        pairs = [*_over(f"{self.folder}/iw-program", "iw"), *(word for name in self.programs for word in _over(busybox, name))]
        programs = {self.router: pairs, self.server: [], **{name: [] for name in self.inside.values()}}
        for where, over in programs.items():
            holder = self.spawn(where, "unshare", "-m", "sh", "-c", f"{_BIND} echo; exec sleep 3600", "sh", *over, stdout=subprocess.PIPE)
            assert holder.stdout is not None and holder.stdout.readline() == b"\n"
            self.holders[where] = holder

    def make_bss(self, bss: str) -> None:
        """Make a BSS and its stations, as hostapd does after `lose_bss`: a new device, an old name."""
        ip("-n", self.router, "link", "add", bss, "type", "veth", "peer", "name", bss, "netns", self.air)
        ip("-n", self.router, "link", "set", bss, "gso_max_segs", "1", "master", "br0", "up")
        ip("-n", self.air, "link", "set", bss, "gso_max_segs", "1", "up")
        for name, where in self.stations.items():
            if where != bss:
                continue
            ip("-n", self.air, "link", "add", "link", bss, name, "type", "macvlan", "mode", "bridge")
            ip("-n", self.air, "link", "set", name, "netns", self.inside[name])
            ip("-n", self.inside[name], "link", "set", name, "address", self.mac(name))
            self._address(self.inside[name], name, 2 + list(self.stations).index(name))

    def radio(self, bss: str, state: str) -> None:
        """Set a BSS `down` or `up`, as its radio does."""
        ip("-n", self.router, "link", "set", bss, state)

    def _address(self, where: str, device: str, number: int) -> None:
        net = list(self.stations).index(device)
        ip("-n", where, "link", "set", device, "gso_max_segs", "1", "up")
        ip("-n", where, "addr", "add", f"198.18.{net}.{number}/24", "dev", device)
        ip("-n", where, "addr", "add", f"2001:db8:0:{net}::{number}/64", "dev", device, "nodad")

    def lose_bss(self, bss: str) -> None:
        """Take a BSS away, as a radio that is set up anew does."""
        ip("-n", self.router, "link", "del", bss)

    def mac(self, station: str) -> str:
        """Give a station's MAC: the last bytes of all differ in their low six bits."""
        return f"02:00:5e:00:53:{list(self.stations).index(station) + 1:02x}"

    def rename(self, station: str, mac: str) -> None:
        """Give a station another MAC."""
        ip("-n", self.inside[station], "link", "set", station, "address", mac)
        ip("-n", self.server, "neigh", "flush", "dev", station)

    # --- the script

    def caps(self, *lines: str, verb: str = "apply", more: Sequence[str] = (), bound: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """Run the script over a file of these lines (none: over the file as it is); `bound`: files that stand for programs, FILE=PROGRAM."""
        if lines:
            self.file.write_text("".join(f"{line}\n" for line in ("v 1", *lines) if line))
        return self.start(verb, *more, bound=bound).ended()

    def start(self, verb: str, *more: str, bound: Sequence[str] = ()) -> Run:
        """Start the script."""
        command = self.command(verb, *more, bound=bound)
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment)
        self.children.append(child)
        return Run(child)

    def command(self, verb: str, *more: str, bound: Sequence[str] = ()) -> list[str]:
        """Give the words by which the script is run on the router."""
        words = ["able", str(self.ram)] if verb == "able" else [verb, str(self.file), str(self.ram), *more]
        command = ["nsenter", "-t", str(self.holders[self.router].pid), "-m", "-n"]
        if not bound:
            return [*command, *self.shell, str(SCRIPT), *words]
        pairs = [word for one in bound for word in _over(*one.split("="))]
        return [*command, "unshare", "-m", "sh", "-c", f"{_BIND} exec {' '.join((*self.shell, str(SCRIPT), *words))}", "sh", *pairs]

    @property
    def environment(self) -> dict[str, str]:
        """Give what the script is run with."""
        return {"STATUS": str(self.status), "PATH": _PATH}

    def stands(self, *lines: str, verb: str = "apply", more: Sequence[str] = ()) -> None:
        """Run the script and have it succeed without a word."""
        done = self.caps(*lines, verb=verb, more=more)
        assert (done.returncode, done.stderr, done.stdout) == (0, "", "")

    def air_has(self, bss: str, macs: Iterable[str]) -> None:
        """Let iw say that these stations are on a BSS."""
        text = "".join(f"Station {mac} (on {bss})\n\tinactive time:\t10 ms\n\trx bytes:\t1\n" for mac in macs)
        (self.folder / "iw" / bss).write_text(text)

    # --- the kernel

    def tc(self, *words: str) -> str:
        """Run tc on the router."""
        done = subprocess.run(["ip", "netns", "exec", self.router, "tc", *words], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert done.returncode == 0, f"tc {' '.join(words)}: {done.stderr}"
        return done.stdout

    def kernel(self, *devices: str) -> str:
        """Give all that the kernel holds of these devices (none: of all), to be compared with itself."""
        qdiscs = [line for line in self.tc("qdisc", "show").splitlines() if not devices or line.split()[4] in devices]
        parts = list(qdiscs)
        for row in json.loads(ip("-n", self.router, "-j", "link", "show")):
            name = row["ifname"]
            if devices and name not in devices:
                continue
            parts.append(f"{name} {row['ifindex']} {sorted(row['flags'])}")
            if any(line.startswith(f"qdisc clsact ffff: dev {name} ") for line in qdiscs):
                parts += [self.tc("filter", "show", "dev", name, hook) for hook in ("ingress", "egress")]
            if any(line.startswith(f"qdisc htb 1: dev {name} ") for line in qdiscs):
                # The flows of an fq_codel are classes too, while they are there.
                classes = [line for line in self.tc("class", "show", "dev", name).splitlines() if line.startswith("class htb ")]
                parts += [*sorted(classes), self.tc("filter", "show", "dev", name)]
        return "\n".join(parts)

    def ifbs(self) -> list[str]:
        """Name the IFBs there are."""
        return sorted(row["ifname"] for row in json.loads(ip("-n", self.router, "-j", "link", "show", "type", "ifb")))

    def count(self, device: str, counter: str = "tx_bytes", where: str = "") -> int:
        """Give a counter of a device, of the router unless another namespace is named."""
        # Read here and now: when a program reads it, on a busy machine, nobody knows.
        for line in Path(f"/proc/{self.holders[where or self.router].pid}/net/dev").read_text().splitlines():
            name, _, counters = line.partition(":")
            if name.strip() == device:
                return int(counters.split()[("rx_bytes", "rx_packets").index(counter) if counter[0] == "r" else 8 + ("tx_bytes", "tx_packets").index(counter)])
        raise AssertionError(f"there is no {device}")

    # --- what passes

    def far(self, station: str, family: int = 4) -> str:
        """Give the address behind the way out that is this station's own."""
        net = list(self.stations).index(station)
        return f"198.18.{net}.1" if family == 4 else f"2001:db8:0:{net}::1"

    def reaches(self, station: str, times: int = 1) -> bool:
        """Say whether a station reaches what is behind the way out, as many times."""
        command = ["ip", "netns", "exec", self.inside[station], "ping", "-q", "-i", "0.005", "-c", str(times), "-W", "2", self.far(station)]
        return subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False).returncode == 0

    def path(self, station: str) -> list[str]:
        """Give the IFBs that a packet of this station and its answer pass."""
        ifbs = self.ifbs()
        return sorted(self._passed(station, lambda: {name: self.count(name, "tx_packets") for name in ifbs}))

    def leaf(self, station: str, ifb: str) -> str:
        """Give the one queue of an IFB that a packet of this station, or its answer, passes."""
        used = self._passed(station, lambda: self._packets(ifb))
        assert len(used) == 1, used
        return used[0]

    def _passed(self, station: str, counters: Callable[[], dict[str, int]]) -> list[str]:
        # The first one may ask everybody for an address; what the kernels say of themselves now and then is fewer than these.
        assert self.reaches(station), f"{station} reaches nobody"
        before = counters()
        assert self.reaches(station, 20), f"{station} reaches nobody"
        return [name for name, count in counters().items() if count >= before[name] + 20]

    def _packets(self, ifb: str) -> dict[str, int]:
        return {row["parent"]: row["packets"] for row in json.loads(self.tc("-s", "-j", "qdisc", "show", "dev", ifb)) if "parent" in row}

    def spawn(self, where: str, *words: str, **more: Any) -> subprocess.Popen[Any]:
        """Start a program in a namespace."""
        child = subprocess.Popen(["ip", "netns", "exec", where, *words], **more)
        self.children.append(child)
        return child

    def serve(self) -> None:
        """Start iperf3 servers, two for each station, and wait until they listen."""
        ports = [port + way for port in range(5200, 5200 + 2 * len(self.stations), 2) for way in (0, 1)]
        for port in ports:
            self.spawn(self.server, "iperf3", "-s", "-p", str(port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _wait(lambda: self._listening().issuperset(ports), "iperf3 -s does not listen")

    def _listening(self) -> set[int]:
        place = Path(f"/proc/{self.holders[self.server].pid}/net")
        rows = [line.split() for name in ("tcp", "tcp6") for line in (place / name).read_text().splitlines()[1:]]
        return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A"}

    def flow(self, station: str, way: str, seconds: float, *, udp_mbps: float = 0, family: int = 4) -> subprocess.Popen[str]:
        """Start a flow of a station, `down` to it or `up` from it; ends by itself, with iperf3's JSON on stdout."""
        port = 5200 + 2 * list(self.stations).index(station) + (way == "up")
        words = ["iperf3", "-J", "-c", self.far(station, family), "-p", str(port), "-t", f"{seconds:.0f}", "--connect-timeout", "5000"]
        # Full frames, which the longer header has to fit into too.
        words += ["-u", "-b", f"{udp_mbps}M", "-l", "1430"] if udp_mbps else []
        return self.spawn(self.inside[station], *words, *(["-R"] if way == "down" else []), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


class Run:
    """One run of the script."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self.child = child

    def ended(self) -> subprocess.CompletedProcess[str]:
        """Wait for its end."""
        said, complained = self.child.communicate(timeout=PATIENCE_S)
        return subprocess.CompletedProcess([], self.child.returncode, said, complained)


class Measured(NamedTuple):
    """Mbit/s over the middle of a flow, at the counters of devices behind the shaper, and iperf3's own figures of what arrived."""

    down: float
    up: float
    station_down: list[float]
    station_up: list[float]
    payload_down: list[float]
    payload_up: list[float]


def measure(
    box: CappedBox, lines: Sequence[str], ways: Sequence[str], seconds: int, *, udp_mbps: float = 0, turn: int = 0, stations: Sequence[str] = ()
) -> Measured:
    """Let all stations (or these) send or receive at once under these caps, and measure after the first second.

    Measured is at least a second: on a machine too busy for that it begins anew. Every other station speaks IPv6, by `turn` the other ones.
    UDP begins before the caps, for iperf3 asks for it with one datagram that nothing repeats.
    """
    who = tuple(stations) or tuple(box.stations)
    for _ in range(4):
        passed_s, rates, payload = _measured(box, lines, ways, who, seconds, udp_mbps, turn)
        if passed_s >= 1:
            break
    bsss = dict.fromkeys(box.stations[name] for name in who)
    return Measured(
        sum(rates[bss, "down"] for bss in bsss),
        rates["wan", "up"],
        [rates[name, "down"] for name in who],
        [rates[name, "up"] for name in who],
        [payload[name, "down"] for name in who if (name, "down") in payload],
        [payload[name, "up"] for name in who if (name, "up") in payload],
    )


def _measured(
    box: CappedBox, lines: Sequence[str], ways: Sequence[str], who: Sequence[str], seconds: int, udp_mbps: float, turn: int
) -> tuple[float, dict[tuple[str, str], float], dict[tuple[str, str], float]]:
    """Give over how long it was measured, Mbit/s at each counter, and of each flow what iperf3 says."""
    box.stands(*([] if udp_mbps else lines) or [""])
    before, began = _arrived(box, who, ways), time.monotonic()
    flows = {
        (name, way): box.flow(name, way, seconds, udp_mbps=udp_mbps, family=4 if (number + turn) % 2 else 6)
        for number, name in enumerate(who)
        for way in ways
    }
    _wait(lambda: all(now > then + 30_000 for now, then in zip(_arrived(box, who, ways), before, strict=True)), "a flow does not begin")
    if udp_mbps:
        box.stands(*lines)
    # What was on its way goes first, and TCP finds its rate.
    time.sleep(1)
    first = _counters(box, who)
    # Not longer than the flow that began first.
    time.sleep(max(0, began + seconds - 0.4 - time.monotonic()))
    last = _counters(box, who)
    passed_s = began + seconds - max(at for at, _ in first.values())
    rates = {key: (last[key][1] - first[key][1]) * 8e-6 / (last[key][0] - first[key][0]) for key in first}
    said = {key: ended(flow) for key, flow in flows.items()}
    return passed_s, rates, {key: one["sum_received" if "sum_received" in one else "sum"]["bits_per_second"] * 1e-6 for key, one in said.items()}


def joins(box: CappedBox, count: int, seconds: float, bss: str = "bss2g") -> tuple[int, float]:
    """Let stations with MACs made up join one by one, each rung for; give how often the script looked, and the CPU seconds of all its runs.

    It is over when the last one has been looked at.
    """
    (box.ram / "looked").unlink(missing_ok=True)
    for other in box.bsss:
        box.air_has(other, [])
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    ringer = subprocess.Popen([sys.executable, "-c", _RINGER, *box.command("stations")], env=box.environment, **pipes)
    box.children.append(ringer)
    assert ringer.stdin is not None and ringer.stdout is not None
    began, macs, stamps = time.monotonic(), list[str](), set[str]()
    for number in range(count):
        macs.append(f"{number * 4 & 0xFC | 2:02x}:{number:02x}:5e:{255 - number:02x}:53:{number * 37 % 256:02x}")
        box.air_has(bss, macs)
        print(file=ringer.stdin, flush=True)
        assert ringer.stdout.readline() == "0\n"
        time.sleep(max(0, began + (number + 1) * seconds / count - time.monotonic()))
        stamps.add((box.ram / "looked").read_text())
    said, _ = ringer.communicate(timeout=PATIENCE_S)
    # One that is being written is empty for a moment.
    return len((stamps | {(box.ram / "looked").read_text()}) - {""}), float(said)


def ended(flow: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for a flow; give what iperf3 says of its end."""
    said = json.loads(flow.communicate(timeout=PATIENCE_S)[0])
    assert "error" not in said, said["error"]
    return dict(said["end"])


def jain(values: Sequence[float]) -> float:
    """Give Jain's index of fairness: 1 when all have the same, 1 / n when one has it all."""
    return sum(values) ** 2 / (len(values) * sum(value * value for value in values))


def ip(*words: str) -> str:
    """Run ip."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
    return done.stdout


def _over(file: str, program: str) -> list[str]:
    """Give a file and the place of the program that it is to stand for."""
    found = shutil.which(program, path=_PATH)
    assert found is not None, f"{program} is not on this machine"
    return [file, os.path.realpath(found)]


def _arrived(box: CappedBox, who: Sequence[str], ways: Sequence[str]) -> list[int]:
    return [box.count(name, "rx_bytes", box.inside[name] if way == "down" else box.server) for name in who for way in ways]


def _counters(box: CappedBox, who: Sequence[str]) -> dict[tuple[str, str], tuple[float, int]]:
    def read(device: str, counter: str, where: str = "") -> tuple[float, int]:
        return time.monotonic(), box.count(device, counter, where)

    found = {(bss, "down"): read(bss, "tx_bytes") for bss in dict.fromkeys(box.stations[name] for name in who)} | {("wan", "up"): read("wan", "tx_bytes")}
    found |= {(name, "down"): read(name, "rx_bytes", box.inside[name]) for name in who}
    return found | {(name, "up"): read(name, "rx_bytes", box.server) for name in who}


def _wait(claim: Callable[[], bool], otherwise: str) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not claim():
        assert time.monotonic() < ends, otherwise
        time.sleep(0.02)
