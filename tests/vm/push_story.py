"""Runs inside the guest, in the access point's namespace: pushes from the city's signature to a real hostapd with real stations, and back.

The daemon is a user of its own, the applier is root, both as they run in production. The broker is behind the access point: in station
2's namespace, reached through the network that station 2 is on. So a push can break the way to the broker by what it changes itself.
Prints one JSON line per scenario like story.py; tests/vm/test_wifi.py reads them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt

from agent.router.hostapd import Hostapd
from fleet import sign
from tests.vm import stations
from tests.vm.stations import WIFI, ap_cli, authorized, connected_s, wpa

HERE = Path("/run/push-story")
USER = 990  # the daemon's, in this guest
ROOT = "wifi/v1/vm/rw-vm/"
PATIENCE_S = 150.0
# A window that a slow guest's confirm fits into, and the shortest for the push that shall not be confirmed.
LONG_S, SHORT_S = 180, 45
OLD, NEW = "Kota Satu", "Kota Dua"
KEYS = ("0123456789", "9876543210")
FREQUENCY = "2437"

Payload = dict[str, Any]


class World:
    """The city, the broker, the daemon and root's applier, and everything that was seen of them with its moment."""

    def __init__(self) -> None:
        self.reported: list[tuple[float, Payload]] = []
        self.online = 0
        self.children: list[subprocess.Popen[bytes]] = []
        self.hostapd = Hostapd(f"{WIFI}/hostapd", 2.0)
        self.on_air: dict[str, list[float]] = {}
        self.revision = 0
        self.key = sign.make_key()

    def start(self, *command: str, log: str) -> subprocess.Popen[bytes]:
        with open(HERE / log, "ab") as file:
            child = subprocess.Popen(command, stdout=file, stderr=file, cwd="/")
        self.children.append(child)
        return child

    def begin(self) -> None:
        address = stations.ip(2)
        lay_out(address, self.key)
        self.start("nsenter", "--net=/run/netns/sta2", "mosquitto", "-c", str(HERE / "mosquitto.conf"), log="mosquitto.log")
        until(lambda: (HERE / "mosquitto.sock").exists(), "the broker's socket")
        # Not by the air: what the city sees must not depend on what it watches.
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="city", transport="unix")
        self.client.on_message = self.take
        self.client.connect(str(HERE / "mosquitto.sock"))
        self.client.subscribe(ROOT + "#", qos=1)
        python = [sys.executable, "-I", "-m"]
        root = ["--config", str(HERE / "etc" / "agent.toml")]
        # As a service manager does it: the guard may have to end an applier that is late.
        again = "trap 'kill $!; exit' TERM; while :; do \"$@\" & wait $!; sleep 1; done"
        self.start("sh", "-c", again, "sh", *python, "agent.apply", *root, "--watch", log="apply.log")
        self.start("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", *python, "agent", "run", *root, log="agent.log")
        until(lambda: self.online, "the daemon online")

    def take(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        word = message.topic.removeprefix(ROOT)
        if word == "presence":
            self.online += b'"online"' in message.payload
        elif word == "config/reported" and message.payload:
            self.reported.append((time.monotonic(), json.loads(message.payload)))

    def look(self, seconds: float = 0.3) -> None:
        """Listen to the broker and to hostapd for a while."""
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            self.client.loop(min(left, 0.1))
        now = time.monotonic()
        for status in self.hostapd.statuses().values():
            for network in status.networks if status and status.is_enabled else ():
                self.on_air.setdefault(network.ssid or "", []).append(now)

    def push(self, document: Payload, within_s: int = LONG_S) -> float:
        """Sign it and publish it, retained; give the moment."""
        self.revision += 1
        said = sign.ConfigClaims("vm", "rw-vm", self.revision, int(time.time()), "vm", document, within_s)
        message = sign.push(self.key, said)
        at = time.monotonic()
        self.client.publish(ROOT + "config/desired", message, qos=1, retain=True)
        return at

    def verdict(self, *states: str) -> tuple[float, Payload]:
        """Wait for this revision's verdict, which must be one of these."""
        final = ("confirmed", "unchanged", "rejected", "rolled_back", "failed")

        def found() -> tuple[float, Payload] | None:
            return next(((at, one) for at, one in self.reported if one.get("revision") == self.revision and one["state"] in final), None)

        at, one = until(found, f"a verdict on revision {self.revision}", 2 * PATIENCE_S)
        assert one["state"] in states, one
        return at, one

    def seen_on_air(self, ssid: str, since: float) -> float:
        """Wait until hostapd sends a network of this name, and say when it did for the first time since."""
        at: float = until(lambda: next((at for at in self.on_air.get(ssid, []) if at >= since), None), f"{ssid} on air")
        return at

    def end(self) -> None:
        for child in reversed(self.children):
            child.send_signal(signal.SIGTERM)
        for child in self.children:
            child.wait(30)


def lay_out(broker: str, key: sign.SecretKey) -> None:
    """Make the files of section 3.3's wall, with their owners and modes."""
    for name, owner, mode in (("etc", 0, 0o755), ("etc/keys", 0, 0o750), ("etc/secrets", 0, 0o700), ("run", USER, 0o750)):
        (HERE / name).mkdir(parents=True)
        os.chown(HERE / name, owner, USER)
        os.chmod(HERE / name, mode)
    os.chmod(HERE, 0o755)
    _, public = sign.write_pair(str(HERE / "city"), "vm", key, b"")
    (HERE / "etc" / "keys" / "vm.pub").write_bytes(Path(public).read_bytes())
    (HERE / "mosquitto.conf").write_text(f"user root\nallow_anonymous true\nlistener 18830 {broker}\nlistener 0 {HERE}/mosquitto.sock\n")
    toml = HERE / "etc" / "agent.toml"
    toml.write_text(
        f"""
[agent]
id = "rw-vm"
city = "vm"
[broker]
host = "{broker}"
port = 18830
tls = false
allow_plaintext = true
[report]
interval_s = 10
sample_s = 10
[probe]
interval_s = 0
[router]
backend = "linux"
uplink = "wan0"
public_network = "br-guest"
hostapd_dir = "{WIFI}/hostapd"
hostapd_config = "{WIFI}/etc"
[push]
keys_dir = "{HERE}/etc/keys"
secrets_dir = "{HERE}/etc/secrets"
[paths]
state_dir = "{HERE}/etc/state"
run_dir = "{HERE}/run"
"""
    )
    os.chown(toml, 0, USER)
    os.chmod(toml, 0o640)
    let_through(Path(sys.executable), Path(sys.base_prefix), Path(sys.prefix), Path(__file__))


def let_through(*paths: Path) -> None:
    """Let another user reach the interpreter and the code wherever they lie; only the guest's copy of the directories is changed."""
    for folder in {folder for path in paths for one in (path.absolute(), path.resolve()) for folder in one.parents}:
        mode = folder.stat().st_mode
        if not mode & 0o001:
            os.chmod(folder, mode | 0o005)


def until(claim: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> Any:
    ends = time.monotonic() + patience_s
    while time.monotonic() < ends:
        found = claim()
        if found:
            return found
        if gone := [child.args for child in WORLD.children if child.poll() is not None]:
            raise AssertionError(f"ended before its time: {gone}")
        WORLD.look() if hasattr(WORLD, "client") else time.sleep(0.2)
    raise AssertionError(f"not within {patience_s:g} s: {what}; reported: {json.dumps([one for _, one in WORLD.reported[-3:]])}")


WORLD = World()


def document(ssid: str = OLD, key: str = KEYS[0], **more: object) -> Payload:
    return {"ssids": {"kota": {"ssid": ssid, "security": "psk2", "bands": ["2g"], "key": key}}, **more}


def choose(station: int, ssid: str, key: str) -> None:
    """Make the station want this network, instead of all others."""
    number = wpa(station, "add_network").split()[-1]
    for name, value in (("ssid", f'"{ssid}"'), ("psk", f'"{key}"'), ("scan_freq", FREQUENCY)):
        wpa(station, "set_network", number, name, value)
    wpa(station, "select_network", number)


def is_on(station: int, ifname: str = "rw-kota-2g") -> bool:
    return authorized(ifname, station)


def join(station: int, ssid: str, key: str) -> float:
    """Associate, beginning anew when a handshake was too slow for its timers; give the moment."""
    choose(station, ssid, key)
    wait_on(station)
    return time.monotonic()


def wait_on(station: int, ifname: str = "rw-kota-2g", attempts: int = 5) -> None:
    for _ in range(attempts):
        ends = time.monotonic() + 25
        while time.monotonic() < ends:
            if is_on(station, ifname):
                return
            WORLD.look()
        stations.begin_anew(station, ifname)
    raise AssertionError(f"not within {attempts} attempts: station {station} on {ifname}")


def a_push_comes_on_air_and_is_confirmed() -> str:
    before = {ifname: connected_s(ifname, station) for ifname, station in (("wlan0", 1), ("wlan0-guest", 2))}
    began = WORLD.push(document())
    on_air = WORLD.seen_on_air(OLD, began)
    confirmed, said = WORLD.verdict("confirmed")
    assert [change["path"] for change in said["changes"]], said
    assert KEYS[0] not in json.dumps([one for _, one in WORLD.reported])
    states = [one["state"] for at, one in WORLD.reported if at >= began]
    assert "testing" in states, states
    # Nobody else noticed.
    for (ifname, station), was in zip((("wlan0", 1), ("wlan0-guest", 2)), before.values(), strict=True):
        assert connected_s(ifname, station) > was, f"station {station} was sent away from {ifname}"
    wpa(3, "scan", f"freq={FREQUENCY}")
    until(lambda: OLD in wpa(3, "scan_results"), "the new network in station 3's scan")
    joined = join(3, OLD, KEYS[0])
    return f"on air {on_air - began:.1f} s, confirmed {confirmed - began:.1f} s after publishing; station 3 was on it {joined - confirmed:.1f} s later"


def a_new_key_sends_away_only_its_own_stations() -> str:
    before = {ifname: connected_s(ifname, station) for ifname, station in (("wlan0", 1), ("wlan0-guest", 2))}
    began = WORLD.push(document(key=KEYS[1]))
    until(lambda: not is_on(3), "station 3 sent away")
    gone = time.monotonic()
    confirmed, _ = WORLD.verdict("confirmed")
    for (ifname, station), was in zip((("wlan0", 1), ("wlan0-guest", 2)), before.values(), strict=True):
        assert connected_s(ifname, station) > was, f"station {station} was sent away from {ifname}"
    assert not is_on(3), "the old key still opens the network"
    joined = join(3, OLD, KEYS[1])
    return f"station 3 off {gone - began:.1f} s, confirmed {confirmed - began:.1f} s after publishing; with the new key back {joined - confirmed:.1f} s later"


def a_push_that_cuts_off_the_broker_is_taken_back() -> str:
    # From now on the way to the broker leads over the pushed network.
    online = WORLD.online
    join(2, OLD, KEYS[1])
    stations.ask_for_address(2)
    file = Path(WIFI, "etc", "wlan0.conf")
    was = file.read_bytes()
    ping = ["ping", "-c", "1", "-W", "2", stations.ip(2)]
    until(lambda: subprocess.run(ping, capture_output=True, check=False).returncode == 0, "the broker's machine behind the pushed network")
    began = WORLD.push(document(NEW, KEYS[1]), SHORT_S)
    new_from = WORLD.seen_on_air(NEW, began)
    until(lambda: WORLD.on_air[OLD][-1] > new_from, "the old network back on air")
    old_from = next(at for at in WORLD.on_air[OLD] if at > new_from)
    new_to, off_s = WORLD.on_air[NEW][-1], longest_gap_s(OLD, began)
    assert new_to - new_from < SHORT_S, f"not within {SHORT_S} s, its window: the new network was on air for {new_to - new_from:.1f} s"
    wait_on(2)
    back = time.monotonic()
    at, said = WORLD.verdict("rolled_back")
    assert said["reason"] == "broker_unreachable", said
    assert file.read_bytes() == was, "the file is not what it was"
    assert WORLD.online > online, "the daemon never came back to the broker"
    return (
        f"the new network on air {new_from - began:.1f} s after publishing, for {new_to - new_from:.1f} s of its {SHORT_S} s; "
        f"the old one off for {off_s:.1f} s, station 2 back {back - old_from:.1f} s later; "
        f"rolled_back heard {at - old_from:.1f} s after the old one was back, {at - began:.1f} s after publishing"
    )


def a_channel_that_hostapd_refuses_is_taken_back() -> str:
    file = Path(WIFI, "etc", "wlan0.conf")
    was = file.read_bytes()
    began = WORLD.push(document(OLD, KEYS[1], radios={"2g": {"channel": 13}}))
    at, said = WORLD.verdict("rolled_back")
    assert said["reason"] in ("reload_failed", "not_on_air"), said
    assert file.read_bytes() == was, "the file is not what it was"
    assert "channel=6" in ap_cli("wlan0", "status")
    wait_on(2)
    off_s = longest_gap_s(OLD, began)
    return f"off for {off_s:.1f} s; rolled_back ({said['reason']}) heard {at - began:.1f} s after publishing"


def longest_gap_s(ssid: str, since: float) -> float:
    """How long a network that is on air again was off, as hostapd was asked; at least the time between two questions."""
    seen = [at for at in WORLD.on_air[ssid] if at >= since]
    return max(later - earlier for earlier, later in pairwise(seen))


SCENARIOS = [
    a_push_comes_on_air_and_is_confirmed,
    a_new_key_sends_away_only_its_own_stations,
    a_push_that_cuts_off_the_broker_is_taken_back,
    a_channel_that_hostapd_refuses_is_taken_back,
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
        if failed or sys.exc_info()[0]:
            for log in ("apply.log", "agent.log", "mosquitto.log"):
                sys.stderr.write(f"--- {log}\n{(HERE / log).read_text()[-4000:] if (HERE / log).exists() else '-'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
