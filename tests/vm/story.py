"""Runs inside the guest, in the access point's namespace: the agent beside a real hostapd with real stations.

Prints one JSON line per scenario, {"scenario": …, "ok": …, "said": …}; tests/vm/test_wifi.py reads them.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt

from tests.vm.stations import STATIONS, WIFI, address, authorized, begin_anew, in_namespace, wpa

# Long enough for `iw` in an emulated guest, where starting it takes a third of a second.
SAMPLE_S = 5.0
PATIENCE_S = 150.0
ROOT = "wifi/v1/vm/rw-vm/"

Report = dict[str, Any]


def uptime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def until(claim: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> Any:
    ends = time.monotonic() + patience_s
    while time.monotonic() < ends:
        found = claim()
        if found:
            return found
        WORLD.listen(0.2)
    raise AssertionError(f"not within {patience_s:g} s: {what}; last report: {json.dumps(WORLD.reports[-1:])}")


class World:
    """The broker, the agent and everything heard of it."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.heard: list[bytes] = []
        self.children: list[subprocess.Popen[bytes]] = []
        self.directory = WIFI / "agent"
        self.directory.mkdir()

    def start(self, *command: str, log: str) -> subprocess.Popen[bytes]:
        with open(self.directory / log, "ab") as file:
            child = subprocess.Popen(command, stdout=file, stderr=file)
        self.children.append(child)
        return child

    def begin(self) -> None:
        config = self.directory / "mosquitto.conf"
        config.write_text("listener 18830 127.0.0.1\nallow_anonymous true\n")
        self.start("mosquitto", "-c", str(config), log="mosquitto.log")
        until_port(18830)
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="observer")
        self.client.on_message = self.take
        self.client.connect("127.0.0.1", 18830)
        self.client.subscribe(ROOT + "#", qos=1)
        settings = self.directory / "agent.toml"
        settings.write_text(
            f"""
[agent]
id = "rw-vm"
city = "vm"
[broker]
host = "127.0.0.1"
port = 18830
tls = false
[report]
interval_s = {SAMPLE_S:g}
sample_s = {SAMPLE_S:g}
[probe]
interval_s = 10
[router]
backend = "linux"
uplink = "wan0"
hostapd_dir = "{WIFI}/hostapd"
lease_file = "{WIFI}/leases"
[paths]
state_dir = "{self.directory}/state"
run_dir = "{self.directory}/run"
"""
        )
        self.start(sys.executable, "-m", "agent", "run", "--config", str(settings), log="agent.log")
        until(lambda: self.reports, "a first report")

    def take(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        self.heard.append(message.topic.encode() + b" " + message.payload)
        if message.topic == ROOT + "report":
            self.reports.append(json.loads(message.payload))

    def listen(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            self.client.loop(min(left, 0.1))

    def end(self) -> None:
        for child in reversed(self.children):
            child.send_signal(signal.SIGTERM)
        for child in self.children:
            child.wait(20)


def until_port(port: int) -> None:
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"nothing listens on port {port}")


WORLD = World()


def now(report: Report) -> int | None:
    """None when this sample has no stations: in a guest this slow a collector may run out of time, and says so."""
    stations = report.get("stations")
    return stations["now"] if stations else None


def bss_of(station: int) -> str:
    return "wlan0" if station % 2 else "wlan0-guest"


def associated(station: int) -> bool:
    return authorized(bss_of(station), station)


def leave(*stations: int) -> None:
    for station in stations:
        wpa(station, "disconnect")


def join(*stations: int) -> None:
    """One after the other: each has the guest's processors to itself while its handshake runs."""
    for station in stations:
        wpa(station, "reconnect")
        for _ in range(5):
            with suppress(AssertionError):
                until(lambda station=station: associated(station), f"station {station} associated", 20)
                break
            begin_anew(station, bss_of(station))
        else:
            raise AssertionError(f"not within 5 attempts: station {station} associated; last report: {json.dumps(WORLD.reports[-1:])}")


def shown_within_two_samples(count: int, since: float) -> str:
    report = until(lambda: next((r for r in WORLD.reports if r["uptime_s"] >= since and now(r) == count), None), f"{count} stations in a report")
    # A reading at most two samples after the change; the report's uptime is that of its last sample.
    samples = (report["uptime_s"] - since) / SAMPLE_S
    assert samples <= 2.25, f"{count} stations shown {samples:.2f} samples after"
    return f"{count} stations {samples:.2f} samples after the change"


def nobody_then_three_then_one() -> str:
    leave(*range(1, STATIONS + 1))
    until(lambda: WORLD.reports and now(WORLD.reports[-1]) == 0, "no station")
    join(*range(1, STATIONS + 1))
    said = [shown_within_two_samples(STATIONS, uptime())]
    leave(2, 3)
    said.append(shown_within_two_samples(1, uptime()))
    join(2, 3)
    until(lambda: now(WORLD.reports[-1]) == STATIONS, "all stations back")
    return "; ".join(said)


def is_whole(report: Report) -> bool:
    """In a guest this slow a reading may run out of time, and is absent then."""
    radio, rows = next(iter(report.get("radios", [])), {}), report.get("bss", [])
    return {"channel", "width_mhz"} <= radio.keys() and len(rows) == 2 and all("signal_p50_dbm" in row for row in rows) and "leases" in report.get("dhcp", {})


def per_bss_as_hostapd_says() -> str:
    seen = len(WORLD.reports)
    report = until(lambda: next((report for report in WORLD.reports[seen:] if is_whole(report)), None), "a report with everything")
    bss = {row["ifname"]: row for row in report["bss"]}
    assert set(bss) == {"wlan0", "wlan0-guest"}, sorted(bss)
    for ifname, row in bss.items():
        text = in_namespace("ap", "hostapd_cli", "-p", f"{WIFI}/hostapd", "-i", ifname, "all_sta")
        assert row["stations"] == text.count("[AUTHORIZED]"), (row, text.count("[AUTHORIZED]"))
        assert row["signal_p50_dbm"] == -30, row
        assert row["up"] is True, row
        assert row["band"] == "2g", row
    assert (bss["wlan0"]["ssid"], bss["wlan0-guest"]["ssid"]) == ("private", "guest")
    radio = report["radios"][0]
    assert (radio["channel"], radio["width_mhz"], radio["up"]) == (6, 20, True), radio
    assert report["dhcp"]["leases"] == STATIONS, report["dhcp"]
    return f"{[(name, row['stations']) for name, row in bss.items()]}"


def counters(interface: str) -> tuple[int, int]:
    directory = Path("/sys/class/net") / interface / "statistics"
    return int((directory / "rx_bytes").read_text()), int((directory / "tx_bytes").read_text())


def settled(interface: str) -> tuple[int, int]:
    """The counters over a report's whole span without traffic to speak of, so that both sides count the same bytes."""
    seen = len(WORLD.reports)
    until(lambda: len(WORLD.reports) >= seen + 2, "two reports of quiet")
    return counters(interface)


def throughput_as_the_counters() -> str:
    before = settled("wan0")
    first = len(WORLD.reports)
    in_namespace("sta1", "iperf3", "-c", "203.0.113.2", "-t", "12", "-b", "12M")
    in_namespace("sta1", "iperf3", "-c", "203.0.113.2", "-t", "12", "-b", "9M", "-R")
    after = settled("wan0")
    WORLD.listen(SAMPLE_S)
    rows = [(r["span_s"], next(i for i in r["interfaces"] if i["name"] == "wan0")) for r in WORLD.reports[first:]]
    said = []
    for way, index in (("rx", 0), ("tx", 1)):
        moved = after[index] - before[index]
        reported = sum(span * row.get(f"{way}_bps", 0) / 8 for span, row in rows)
        assert moved > 5_000_000, f"iperf3 moved only {moved} bytes {way}"
        error = reported / moved - 1
        assert abs(error) <= 0.03, f"{way}: reported {reported:.0f} bytes, counters {moved}: {error:+.1%}"
        said.append(f"{way} {moved} bytes, reported {error:+.2%}")
    return "; ".join(said)


def hostapd_restarts() -> str:
    seen = len(WORLD.reports)
    os.kill(int((WIFI / "hostapd.pid").read_text()), signal.SIGKILL)
    until(lambda: any(now(r) == 0 or not all(b["up"] for b in r.get("bss", [])) for r in WORLD.reports[seen:]), "the loss of hostapd in a report")
    command = ["nice", "-n", "-15", "hostapd", "-B", "-g", f"{WIFI}/global/hostapd", "-P", f"{WIFI}/hostapd.pid", "-f", f"{WIFI}/hostapd.log"]
    in_namespace("ap", *command, f"{WIFI}/etc/wlan0.conf")
    restarted = len(WORLD.reports)
    join(*range(1, STATIONS + 1))
    until(lambda: len(WORLD.reports) > restarted and now(WORLD.reports[-1]) == STATIONS, "every station counted again")
    spans = [r["span_s"] for r in WORLD.reports[seen:]]
    assert max(spans) <= 3 * SAMPLE_S, f"reports came late meanwhile: {spans}"
    return f"{len(WORLD.reports) - restarted} reports until {STATIONS} stations were counted again"


def lingering_is_not_counted() -> str:
    # Station 3 tries with a wrong passphrase: hostapd and the kernel list it, associated and never authorised.
    network = wpa(3, "list_networks").splitlines()[1].split()[0]
    wpa(3, "disconnect")
    wpa(3, "set_network", network, "psk", '"not-the-passphrase"')
    wpa(3, "reconnect")

    def listed() -> bool:
        text = in_namespace("ap", "iw", "dev", "wlan0", "station", "dump")
        return text.count("Station ") == 2 and text.count("authorized:\tno") >= 1

    # wpa_supplicant tries again and again; the entry is there most of the time.
    seen = len(WORLD.reports)
    until(listed, "an unauthorised station in iw's list")
    until(lambda: sum(now(r) is not None for r in WORLD.reports[seen + 1 :]) >= 3, "three reports with stations meanwhile")
    counted = {now(r) for r in WORLD.reports[seen + 1 :]} - {None}
    assert counted == {STATIONS - 1}, counted
    # Another is deauthenticated by hostapd and does not come back.
    wpa(1, "set", "reassoc_same_bss_optim", "0")
    wpa(1, "disable_network", "all")
    seen = len(WORLD.reports)
    until(lambda: now(WORLD.reports[-1]) == STATIONS - 2 and len(WORLD.reports) > seen, "the deauthenticated one not counted")
    return f"counted {counted} of {STATIONS}"


def no_station_address_left() -> str:
    macs = [address(station) for station in range(1, STATIONS + 1)]
    log = (WORLD.directory / "agent.log").read_bytes()
    haystack = b"\n".join(WORLD.heard) + log
    for mac in macs:
        for form in (mac, mac.upper(), mac.replace(":", ""), mac.replace(":", "-")):
            assert form.encode() not in haystack, f"{form} left the access point"
            assert base64.b64encode(form.encode()) not in haystack
        assert bytes.fromhex(mac.replace(":", "")) not in haystack
    assert zlib.crc32(haystack), "nothing was heard"
    assert b"private" in haystack, "the search finds nothing at all"
    return f"{len(macs)} addresses searched in {len(haystack)} bytes"


SCENARIOS = [
    nobody_then_three_then_one,
    per_bss_as_hostapd_says,
    throughput_as_the_counters,
    hostapd_restarts,
    lingering_is_not_counted,
    no_station_address_left,
]


def main() -> int:
    failed = 0
    try:
        WORLD.begin()
        for scenario in SCENARIOS:
            began = time.monotonic()
            try:
                said, ok = scenario(), True
            except (AssertionError, KeyError, IndexError, subprocess.SubprocessError) as error:
                said, ok = f"{type(error).__name__}: {error}", False
                failed += 1
            print(json.dumps({"scenario": scenario.__name__, "ok": ok, "said": said, "took_s": round(time.monotonic() - began, 1)}), flush=True)
    finally:
        WORLD.end()
        if failed:
            sys.stderr.write((WORLD.directory / "agent.log").read_text()[-4000:])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
