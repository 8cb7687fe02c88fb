"""This machine as a router, beside what its own tools say; and a box with Wi-Fi made of fakes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Unavailable
from agent.records import Caps
from agent.router.caps import NOT_YET
from agent.router.child import Program
from agent.router.clock import SystemClock
from agent.router.contract import Router
from agent.router.hostapd import Hostapd
from agent.router.iw import Iw
from agent.router.linux import NO_LEASES_S, LinuxRouter, open_router, parse_os_release
from agent.router.text import printable
from tests.fakes.iw import FakeIw
from tests.fakes.netns import Netns
from tests.fakes.sysfs import FakeSys

CAPTURES = Path(__file__).parents[1] / "captures"


class FakeClock(SystemClock):
    """The machine's clock, whose monotonic seconds the test sets."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def ip(*arguments: str) -> list[dict[str, object]]:
    """Ask ip."""
    done = subprocess.run(["ip", "-j", *arguments], check=True, capture_output=True, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    answer: list[dict[str, object]] = json.loads(done.stdout or b"[]")
    return answer


def test_it_is_a_router() -> None:
    """The backend fulfils the contract (mypy reads this line) and has every method of it."""
    router: Router = open_router()
    for name in ("boot", "board", "radios", "bss", "stations", "interfaces", "host", "path", "probe", "dhcp", "caps", "ring"):
        assert callable(getattr(router, name))


def test_caps_are_roots_word(tmp_path: Path) -> None:
    """Beside state_dir lies what root works off, in run_dir/status what it says of it."""
    (tmp_path / "status").mkdir()
    router = open_router(run_dir=str(tmp_path), state_dir=str(tmp_path / "state"))
    assert router.caps() == Caps()
    (tmp_path / "caps").write_text("v 1\n")
    assert router.caps() == Caps(True, (NOT_YET,))
    (tmp_path / "status/caps.json").write_text('{"v":1,"wanted":[]}')
    assert router.caps() == Caps()


def test_stations_that_came_are_a_note_in_the_inbox(tmp_path: Path) -> None:
    """Root looks by itself: of a push there is nothing to say."""
    router = open_router(run_dir=str(tmp_path))
    router.ring()
    router.ring("caps")
    assert list(tmp_path.iterdir()) == []
    router.ring("stations")
    assert len((tmp_path / "inbox/stations").read_bytes()) == 16


def test_boot_is_the_kernels() -> None:
    """Sixteen hex digits of the boot id."""
    assert open_router().boot() == Path("/proc/sys/kernel/random/boot_id").read_text().replace("-", "")[:16]


def test_board_is_this_machine() -> None:
    """Kernel, host name and the system's name for people."""
    board = open_router().board()
    assert (board.kernel, board.hostname, board.backend) == (os.uname().release, os.uname().nodename, "linux")
    assert board.model
    assert board.os


def test_os_release_name() -> None:
    """The quoted name, or none."""
    assert parse_os_release('NAME=x\nPRETTY_NAME="OpenWrt 25.12.1"\n') == "OpenWrt 25.12.1"
    assert parse_os_release("PRETTY_NAME=\n") is None


@given(st.text())
def test_no_os_release_breaks_the_parser(text: str) -> None:
    """Any text gives a name or None."""
    parse_os_release(text)


@pytest.mark.needs("ip")
def test_uplink_is_the_default_routes_device() -> None:
    """`auto` follows the default route, and the interface list begins with it."""
    routes = ip("-4", "route", "show", "default")
    if not routes:
        pytest.skip("this machine has no IPv4 default route")
    best = min(routes, key=lambda route: int(str(route.get("metric", 0))))
    router = open_router()
    path = router.path()
    assert (path.device, path.gateway) == (best["dev"], best.get("gateway"))
    first = router.interfaces()[0]
    # Of a bridge that leads out it is a port.
    ports = Path(f"/sys/class/net/{best['dev']}/brif")
    assert first.role == "uplink"
    assert first.name in {best["dev"], *(port.name for port in ports.glob("*"))}
    assert first.up == path.up or first.name != best["dev"]


@pytest.mark.needs("ip")
def test_interfaces_lie_between_two_readings_of_ip() -> None:
    """Every counter of this machine is at or after what ip said before, and at or before what it says after."""

    def counters() -> dict[object, tuple[int, int]]:
        links: list[dict[str, object]] = ip("-s", "link")
        found = {}
        for link in links:
            both = link["stats64"]
            assert isinstance(both, dict)
            found[link["ifname"]] = (both["rx"]["bytes"], both["tx"]["bytes"])
        return found

    router = open_router()
    before, interfaces, after = counters(), router.interfaces(), counters()
    for interface in interfaces:
        low, high = before[interface.name], after[interface.name]
        assert low[0] <= interface.rx_bytes_total <= high[0]
        assert low[1] <= interface.tx_bytes_total <= high[1]


@pytest.mark.skipif(Path("/sys/class/ieee80211").exists(), reason="this machine has Wi-Fi")
def test_machine_without_wifi_has_no_radio() -> None:
    """No Wi-Fi is an empty list, not an error."""
    router = open_router()
    assert (router.radios(), router.bss()) == ([], [])


def test_no_lease_file_is_unavailable(tmp_path: Path) -> None:
    """A box that serves no DHCP says so."""
    with pytest.raises(Unavailable):
        open_router(lease_files=(str(tmp_path / "none"),)).dhcp()


def test_lease_file_that_comes_later_is_found(tmp_path: Path) -> None:
    """A DHCP server started after the agent is noticed: that there was none is believed for seconds only."""
    sysfs, clock = FakeSys(tmp_path / "sys"), FakeClock()
    router = LinuxRouter("auto", (str(tmp_path / "leases"),), clock, Iw(Program("iw")), Hostapd(f"{tmp_path}/none"), str(sysfs.root))
    with pytest.raises(Unavailable):
        router.dhcp()
    (tmp_path / "leases").write_text("0 02:00:00:00:00:01 192.0.2.5 x *\n")
    with pytest.raises(Unavailable, match="no lease file"):
        router.dhcp()
    clock.now += NO_LEASES_S
    assert router.dhcp().leases == 1


def test_leases_by_the_boxs_own_clock(tmp_path: Path) -> None:
    """The marker says the clock is good, so a lease that ended does not count."""
    (tmp_path / "clock").write_text("ntp")
    (tmp_path / "leases").write_text("1000000001 02:00:00:00:00:01 192.0.2.5 x *\n0 02:00:00:00:00:02 192.0.2.6 x *\n")
    assert open_router(lease_files=(str(tmp_path / "leases"),), marker=str(tmp_path / "clock")).dhcp().leases == 1


def make_access_point(root: Path, ifname: str) -> tuple[LinuxRouter, FakeIw]:
    """Make a router whose one BSS is `ifname`, of the captures' content."""
    sysfs, iw = FakeSys(root / "sys"), FakeIw(root / "bin")
    sysfs.add_phy(0)
    sysfs.add_wlan(ifname, 0)
    dev = (CAPTURES / "iw-dev.txt").read_text()
    iw.says("dev", "phy#0\n" + dev[dev.index("\tInterface wlan0\n") :].replace("wlan0", ifname).replace("ssid private", r"ssid \xe2\x98\x95 \xff\x0a"))
    iw.says(f"{ifname}.station", (CAPTURES / "iw-wlan0-station-dump.txt").read_text())
    program = Program("iw", f"{root}/bin:/usr/bin:/bin")
    return LinuxRouter("auto", (), SystemClock(), Iw(program), Hostapd(f"{root}/none"), str(sysfs.root)), iw


@pytest.mark.parametrize("raw", [b"wlan0", b"a\"b'$(id)", "é🙂".encode(), b"\xff\xfe", b"a\x1cb\x01"])
def test_hostile_bss_name_finds_its_stations(tmp_path: Path, raw: bytes) -> None:
    """The name `bss` gave for people leads `stations` back to the device, whatever its bytes; the SSID is text."""
    router, _ = make_access_point(tmp_path, os.fsdecode(raw))
    (bss,) = router.bss()
    assert bss.ifname == printable(os.fsdecode(raw))
    assert bss.ifname.isprintable()
    assert bss.ssid == r"☕ \xff\x0a"
    assert {station.ifname for station in router.stations(bss.ifname)} == {bss.ifname}
    assert len(router.stations(bss.ifname)) == 2


def test_network_made_anew_has_another_ifindex(tmp_path: Path) -> None:
    """The device's number goes with its counters: who has another one has other counters."""
    router, _ = make_access_point(tmp_path, "wlan0")
    assert [bss.ifindex for bss in router.bss()] == [5]
    (tmp_path / "sys/net/wlan0/ifindex").write_text("9\n")
    assert [bss.ifindex for bss in router.bss()] == [9]


UPLINK = """
import json, subprocess, time
from agent.router.linux import open_router
router = open_router()
def see(wanted):
    # The kernel tells of a lost carrier a moment later, from a queue of its own.
    until = time.monotonic() + 10
    while True:
        path = router.path()
        seen = [path.device, path.up, path.address, path.gateway]
        if seen == wanted or time.monotonic() > until:
            return seen
steps, wanted = {steps!r}, {wanted!r}
seen = [see(wanted[0])]
for step, state in zip(steps, wanted[1:]):
    subprocess.run(["ip", *step.split()], check=True)
    seen.append(see(state))
print(json.dumps(seen))
"""


@pytest.mark.needs("netns")
def test_uplink_stays_named_when_its_route_goes() -> None:
    """A lost lease or a pulled cable takes the default route; the device stays the uplink until it is gone."""
    with Netns() as space:
        space.ip("link", "add", "wan", "type", "veth", "peer", "name", "far")
        space.ip("link", "set", "wan", "up")
        space.ip("link", "set", "far", "up")
        space.ip("addr", "add", "10.9.0.2/24", "dev", "wan")
        space.ip("route", "add", "default", "via", "10.9.0.1")
        steps = ["route del default", "addr del 10.9.0.2/24 dev wan", "link set far down", "link del wan"]
        wanted = [
            ["wan", True, "10.9.0.2", "10.9.0.1"],
            ["wan", True, "10.9.0.2", None],
            ["wan", True, None, None],
            ["wan", False, None, None],
            [None, False, None, None],
        ]
        assert space.python(UPLINK.format(steps=steps, wanted=wanted)) == wanted
