"""An OpenWrt box through the one contract: what each reading is made of, and what stands in when ubus is away."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from agent.collectors import host
from agent.daemon import COLLECTOR_BUDGET_RATIO
from agent.errors import Unavailable
from agent.records import Bss, Caps, ClockState
from agent.router import addresses, openwrt
from agent.router.child import Program
from agent.router.contract import Router
from agent.router.iw import Iw
from agent.router.openwrt import OpenwrtRouter
from agent.router.ubus import CALLS, Ubus
from agent.sensing import Sensing
from tests.fakes.iw import FakeIw
from tests.fakes.openwrt.board import Board
from tests.fakes.openwrt.ubusd import Ubusd
from tests.fakes.openwrt.userland.box import Box as Userland
from tests.fakes.router import FakeClock
from tests.fakes.sysfs import FakeSys
from tests.fakes.ubus import FakeUbus

DEVICES = Path(__file__).parents[1] / "devices"
GONE = 1_000_000_000.0


def reply(board: str, name: str) -> dict[str, Any]:
    """Give a recorded reply of a board."""
    read: dict[str, Any] = json.loads((DEVICES / board / "ubus" / f"{name}.json").read_text())
    return read


class Box:
    """A box with a ubus made of answers, a fake iw, a fake /sys and root's facts; the network is this machine's own."""

    def __init__(self, root: Path, uplink: str = "auto", trust: ClockState = "ntp") -> None:
        self.root = root
        self.ubus = FakeUbus()
        self.sys = FakeSys(root / "sys")
        self.iw = FakeIw(root / "bin")
        self.facts = root / "wireless.json"
        self.leases = root / "dhcp.leases"
        self.clock = FakeClock(trust=trust)
        iw = Iw(Program("iw", f"{root}/bin:/usr/bin:/bin"))
        parts: list[Any] = [uplink, str(self.leases), self.clock, self.ubus, iw, str(self.facts)]
        self.router: Router = OpenwrtRouter(*parts, sys_class=str(self.sys.root))

    def wants(self, **facts: Any) -> None:
        """Let root write its facts."""
        (self.root / "new").write_text(json.dumps({"v": 1, **facts}))
        os.replace(self.root / "new", self.facts)

    def leads_out_by(self, device: str | None, **more: Any) -> None:
        """Let netifd say that wan is up over `device`; None: it is down."""
        row: dict[str, Any] = {"interface": "wan", "up": device is not None, "device": "eth1"}
        if device:
            route = [{"target": "0.0.0.0", "mask": 0, "nexthop": "192.0.2.1"}]
            row |= {"l3_device": device, "ipv4-address": [{"address": "192.0.2.19", "mask": 24}], "route": route, "dns-server": ["192.0.2.53"]}
        self.ubus.answers["network.interface"] = {"dump": {"interface": [row | more]}}

    def serves(self, **networks: str) -> None:
        """Let netifd say that these networks are up, each with its own address and mask as "10.0.0.1/24"."""
        own = {name: [{"address": cidr.split("/")[0], "mask": int(cidr.split("/")[1])}] for name, cidr in networks.items()}
        rows = [{"interface": name, "up": True, "l3_device": f"br-{name}", "ipv4-address": address} for name, address in own.items()]
        self.ubus.answers["network.interface"] = {"dump": {"interface": rows}}

    def gives(self, *addresses: str) -> None:
        """Let dnsmasq have given these addresses."""
        self.leases.write_text("".join(f"9999999999 02:00:00:00:00:01 {address} * *\n" for address in addresses))


@pytest.fixture
def box(tmp_path: Path) -> Box:
    """A box that knows nothing yet."""
    return Box(tmp_path)


def test_the_box_is_named_by_its_release(box: Box) -> None:
    """Model, board and release as `system board` has them; a derivative's version need not be a number."""
    box.ubus.answers["system"] = {"board": reply("mt7986-kwrt-25.12", "system.board")}
    board = box.router.board()
    assert (board.os, board.backend) == (f"{reply('mt7986-kwrt-25.12', 'system.board')['release']['distribution']} 25.12-SNAPSHOT", "openwrt")


def test_without_ubus_the_box_is_named_by_its_kernel(box: Box) -> None:
    """It is an OpenWrt all the same."""
    box.ubus.is_away = True
    board = box.router.board()
    assert (board.os, board.kernel, board.hostname) == ("OpenWrt", os.uname().release, os.uname().nodename)


def test_room_and_load_come_from_system_info(box: Box) -> None:
    """KiB become bytes, the load is told 65536 times too large; in the daemon's jail statvfs would see the jail."""
    box.ubus.answers["system"] = {"info": reply("wndr3800-24.10", "system.info")}
    host = box.router.host()
    assert (host.flash_free_bytes, host.flash_total_bytes, host.tmp_free_bytes) == (5564 * 1024, 5888 * 1024, 59188 * 1024)
    assert host.load1 == pytest.approx(5536 / 65536)


def test_what_is_free_for_others_than_root_counts(box: Box) -> None:
    """Newer releases tell `avail` beside `free`."""
    box.ubus.answers["system"] = {"info": {"root": {"total": 100, "free": 90, "used": 10, "avail": 80}}}
    assert box.router.host().flash_free_bytes == 80 * 1024


@pytest.mark.parametrize("info", [{}, {"root": 5, "tmp": [], "load": ["a"]}, {"root": {"total": 0, "free": 0}}, Unavailable("ubus: no socket")])
def test_health_is_the_kernels_where_ubus_says_nothing_of_use(box: Box, info: Any) -> None:
    """No figure is lost for that."""
    box.ubus.answers["system"] = {"info": info}
    host = box.router.host()
    assert host.flash_total_bytes
    assert host.load1 is not None


def test_the_way_out_is_netifds_wan(box: Box) -> None:
    """Device, address, gateway and resolvers, where the kernel's table does not know the device."""
    box.leads_out_by("pppoe-wan")
    path = box.router.path()
    assert (path.device, path.address, path.gateway, path.nameservers) == ("pppoe-wan", "192.0.2.19", "192.0.2.1", ("192.0.2.53",))


def test_a_wan_that_is_down_is_named_by_the_device_it_stands_on(box: Box) -> None:
    """The uplink must not become another device because a cable was pulled."""
    box.leads_out_by(None)
    path = box.router.path()
    assert (path.device, path.up, path.address) == ("eth1", False, None)


def test_a_link_local_gateway_names_its_device(box: Box) -> None:
    """It means nothing without."""
    box.leads_out_by("eth1", route=[{"target": "::", "mask": 0, "nexthop": "fe80::1"}])
    assert box.router.path().gateway == "fe80::1%eth1"


def test_what_netifd_said_stands_while_it_cannot_be_asked(box: Box) -> None:
    """A restarted ubusd does not change the uplink."""
    box.leads_out_by("pppoe-wan")
    box.router.path()
    box.ubus.is_away = True
    box.clock.move(openwrt.PATH_S)
    assert box.router.path().device == "pppoe-wan"


def test_without_netifd_the_default_route_leads_out(box: Box) -> None:
    """A box whose ubus was never there is read as any Linux."""
    box.ubus.is_away = True
    route = addresses.default_route()
    assert box.router.path().device == (route.device if route else None)


def test_netifd_is_asked_once_for_many_samples(box: Box) -> None:
    """The dump is the largest answer there is."""
    box.leads_out_by("eth1")
    for _ in range(5):
        box.router.path()
        box.router.interfaces()
    assert box.ubus.asked.count(("network.interface", "dump")) == 1


def test_a_named_uplink_may_be_netifds_name(tmp_path: Path) -> None:
    """router.uplink = "hotspot"."""
    box = Box(tmp_path, uplink="hotspot")
    box.ubus.answers["network.interface"] = {"dump": {"interface": [{"interface": "hotspot", "up": True, "l3_device": "wwan0", "device": "wwan0"}]}}
    assert box.router.path().device == "wwan0"


def test_an_uplink_without_a_speed_has_that_of_the_device_below_it(tmp_path: Path) -> None:
    """PPP has none of its own; netifd prints it as 100F. The loopback device stands for one here."""
    box = Box(tmp_path, uplink="wan")
    device = next((name for name in os.listdir("/sys/class/net") if name != "lo"), None)
    if device is None:
        pytest.skip("needs a network device beside lo")
    box.leads_out_by(device)
    box.ubus.answers["network.device"] = {"status": {"speed": "100H"}}
    (uplink,) = (one for one in box.router.interfaces() if one.role == "uplink")
    assert (uplink.link_mbps, uplink.duplex) == ((100, "half") if uplink.up else (None, None))


def test_a_silent_netifd_is_not_asked_twice_in_a_sample(tmp_path: Path) -> None:
    """What it costs to wait for it once is all the time a collector has; the speed it told last stands."""
    box = Box(tmp_path, uplink="wan")
    box.leads_out_by(next(name for name in os.listdir("/sys/class/net")))
    box.ubus.answers["network.device"] = {"status": {"speed": "100H"}}
    box.router.interfaces()
    box.clock.move(openwrt.LINK_S)
    box.ubus.answers["network.interface"] = {"dump": Unavailable("ubus network.interface dump: request timed out")}
    before = len(box.ubus.asked)
    box.router.interfaces()
    assert box.ubus.asked[before:] == [("network.interface", "dump")]


def test_the_pool_is_the_sum_of_all_that_serve(box: Box) -> None:
    """Leases by the file, room by root's facts."""
    box.leases.write_text("9999999999 02:00:00:00:00:01 10.0.0.2 a *\nduid 00\n")
    box.wants(dhcp={"lan": {"limit": 150}, "guest": {"limit": 50}})
    assert box.router.dhcp()[:2] == (1, 200)


def test_a_pool_without_a_limit_makes_the_sum_unknown(box: Box) -> None:
    """Half a sum is none."""
    box.leases.write_text("")
    box.wants(dhcp={"lan": {"limit": 150}, "guest": {}})
    assert box.router.dhcp()[:2] == (0, None)


def test_each_pool_is_counted_by_itself(box: Box) -> None:
    """A public pool without an address left beside an empty lan is full, though half of the sum is free."""
    box.gives(*(f"10.1.{number // 250}.{number % 250 + 2}" for number in range(150)))
    box.wants(dhcp={"lan": {"limit": 150}, "public": {"limit": 150}})
    box.serves(lan="192.168.1.1/24", public="10.1.0.1/22")
    assert box.router.dhcp() == (150, 300, 1.0)


def test_the_fuller_of_two_pools_counts(box: Box) -> None:
    """By its own size, whichever has more leases."""
    box.gives("10.0.0.2", "10.0.0.3", "10.1.0.2")
    box.wants(dhcp={"lan": {"limit": 100}, "guest": {"limit": 10}})
    box.serves(lan="10.0.0.1/24", guest="10.1.0.1/24")
    assert box.router.dhcp() == (3, 110, 0.1)


def test_a_lease_outside_every_known_subnet_fills_no_pool(box: Box) -> None:
    """It is in the sum, as before."""
    box.gives("10.0.0.2", "10.9.0.2", "10.0.1.2")
    box.wants(dhcp={"lan": {"limit": 10}})
    box.serves(lan="10.0.0.1/24", guest="10.9.0.1/24")
    assert box.router.dhcp() == (3, 10, 0.1)


def test_a_pool_of_unknown_size_hides_no_full_one(box: Box) -> None:
    """The sum is unknown, the fullest of the others is not."""
    box.gives("10.0.0.2", "10.1.0.2")
    box.wants(dhcp={"lan": {}, "guest": {"limit": 2}})
    box.serves(lan="10.0.0.1/24", guest="10.1.0.1/24")
    assert box.router.dhcp() == (2, None, 0.5)


def test_odhcpds_leases_are_counted_by_pool_too(box: Box) -> None:
    """25 of the guests' 900 is more than 1 of the lan's 50."""
    board = "mt7621-dsa-24.10"
    box.ubus.answers |= {"dhcp": {"ipv4leases": reply(board, "dhcp.ipv4leases")}, "network.interface": {"dump": reply(board, "network.interface.dump")}}
    box.wants(dhcp={"lan": {"limit": 50}, "guest": {"limit": 900}})
    assert box.router.dhcp() == (26, 950, 25 / 900)


def test_whatever_odhcpd_calls_an_address_is_survived(box: Box) -> None:
    """What is no text is no lease, and a text that is no address is in no pool."""
    leases = [{"address": address} for address in (5, None, [], {}, "", "10.0.0", "\0", "10.0.0.2")] + [7, {}]
    box.ubus.answers["dhcp"] = {"ipv4leases": {"device": {"br-lan": {"leases": leases}, "br-guest": [], "a": {"leases": {}}}}}
    box.wants(dhcp={"lan": {"limit": 2}})
    box.serves(lan="10.0.0.1/24")
    assert box.router.dhcp().fullest_ratio == 0.5


def test_without_netifd_the_sums_are_all(box: Box) -> None:
    """Which lease is whose cannot be told; how many there are can."""
    box.gives("10.0.0.2")
    box.wants(dhcp={"lan": {"limit": 10}})
    box.ubus.is_away = True
    assert box.router.dhcp() == (1, 10, None)


def test_the_subnets_netifd_last_told_stand_while_it_cannot_be_asked(box: Box) -> None:
    """A restarted ubusd must not clear the alert of a full pool by the sum."""
    box.gives("10.1.0.2")
    box.wants(dhcp={"lan": {"limit": 150}, "public": {"limit": 1}})
    box.serves(lan="10.0.0.1/24", public="10.1.0.1/24")
    box.router.dhcp()
    box.ubus.is_away = True
    box.clock.move(openwrt.PATH_S)
    assert box.router.dhcp().fullest_ratio == 1.0


def test_netifd_is_asked_no_oftener_for_the_pools_than_for_the_uplink(box: Box) -> None:
    """One answer serves both."""
    box.gives("10.0.0.2")
    box.wants(dhcp={"lan": {"limit": 10}})
    box.serves(lan="10.0.0.1/24")
    for _ in range(3):
        box.router.dhcp()
        box.clock.move(openwrt.PATH_S / 3 - 1)
    assert box.ubus.asked.count(("network.interface", "dump")) == 1


def test_a_box_without_pools_serves_no_dhcp(box: Box) -> None:
    """dnsmasq leaves an empty file all the same."""
    box.leases.write_text("")
    box.wants(dhcp={})
    with pytest.raises(Unavailable, match="no DHCP"):
        box.router.dhcp()


def test_odhcpd_is_asked_where_dnsmasq_has_no_file(box: Box) -> None:
    """As the main DHCP server it knows the leases itself."""
    box.ubus.answers["dhcp"] = {"ipv4leases": reply("mt7621-dsa-24.10", "dhcp.ipv4leases")}
    told = reply("mt7621-dsa-24.10", "dhcp.ipv4leases")["device"]
    assert box.router.dhcp().leases == sum(len(device["leases"]) for device in told.values())


def test_without_a_file_and_without_odhcpd_nobody_serves(box: Box) -> None:
    """Both are named."""
    with pytest.raises(Unavailable, match=r"lease file.*ubus dhcp ipv4leases"):
        box.router.dhcp()


def test_expiries_on_a_wrong_clock_end_no_lease(tmp_path: Path) -> None:
    """A router that believes it is 2040 still serves who it serves."""
    known: list[tuple[ClockState, int]] = [("floor", 1), ("ntp", 0)]
    for trust, leases in known:
        folder = tmp_path / trust
        folder.mkdir()
        box = Box(folder, trust=trust)
        box.leases.write_text(f"{GONE + 1:.0f} 02:00:00:00:00:01 10.0.0.2 a *\n")
        assert box.router.dhcp().leases == leases


def test_a_network_that_is_wanted_and_missing_has_a_row(box: Box) -> None:
    """Down, with the SSID it should have."""
    box.sys.add_phy(0)
    box.ubus.answers["system"] = {}
    wanted = {"section": "s", "ifname": "phy0-ap0", "ssid": "RW 05", "mode": "ap"}
    box.wants(radios={"radio0": {"phy": "phy0", "band": "2g", "networks": [wanted]}})
    box.ubus.answers["hostapd"] = {}
    assert box.router.bss() == [Bss("phy0-ap0", "radio0", "2g", "RW 05", None, False, None, None, None, None)]


def test_a_method_that_is_not_in_the_table_is_never_called(box: Box) -> None:
    """The package's access list is made of it."""
    box.sys.add_phy(0)
    status, clients = ({"status": "ENABLED", "ssid": "a", "phy": "phy0", "freq": 2437}, {"clients": {}})
    box.ubus.answers |= {"system": {}, "hostapd.phy0-ap0": {"get_status": status, "get_clients": clients}}
    for ask in (box.router.board, box.router.radios, box.router.bss, box.router.interfaces, box.router.host, box.router.path):
        ask()
    with pytest.raises(Unavailable):
        box.router.dhcp()
    allowed = {(name, method) for name, methods in CALLS.items() for method in methods}
    asked = {("hostapd.*" if name.startswith("hostapd.") else name, method) for name, method in box.ubus.asked}
    assert asked <= allowed
    assert len(asked) >= 5


def test_a_ubus_that_hangs_is_given_up_before_the_collector_is(tmp_path: Path) -> None:
    """With a sample each second: the reading fails by itself, and those who know it otherwise still give it."""
    with Ubusd(Board("wndr3800-24.10"), tmp_path / "ubus.sock") as ubusd:
        ubusd.freeze()
        router = openwrt.open_router(lease_file=str(tmp_path / "none"), run_dir=str(tmp_path), socket=ubusd.path, sample_s=1.0)
        sample = Sensing({"host": host}, COLLECTOR_BUDGET_RATIO).sample(router)
        assert (list(sample.readings), sample.errors) == (["host"], {})
        with pytest.raises(Unavailable, match="no answer"):
            router.dhcp()


def test_the_time_for_ubus_follows_the_pace(tmp_path: Path) -> None:
    """Opened for samples each ten minutes and pushed to one a second: who hangs is still given up before the collector is."""
    with Ubusd(Board("wndr3800-24.10"), tmp_path / "ubus.sock") as ubusd:
        ubusd.freeze()
        router = openwrt.open_router(lease_file=str(tmp_path / "none"), run_dir=str(tmp_path), socket=ubusd.path, sample_s=600.0)
        router.pace(1.0, 1.0)
        sample = Sensing({"host": host}, COLLECTOR_BUDGET_RATIO).sample(router)
        assert (list(sample.readings), sample.errors) == (["host"], {})


def test_iw_keeps_to_its_budget_at_every_pace(box: Box) -> None:
    """One iw per radio and report interval, and never more than one a minute, whatever is pushed."""
    box.sys.add_phy(0)
    box.sys.add_wlan("phy0-ap0", 0)
    told = {"status": "ENABLED", "bssid": "42:00:00:00:00:00", "ssid": "RW", "freq": 2437, "channel": 6, "phy": "phy0"}
    box.ubus.answers |= {"system": {}, "hostapd": {}, "hostapd.phy0-ap0": {"get_status": told, "get_clients": {"freq": 2437, "clients": {}}}}
    counts = []
    for report_s in (600.0, 5.0):
        box.router.pace(report_s, 5.0)
        before = len(box.iw.calls())
        for _ in range(360):
            box.router.radios()
            box.clock.move(10.0)
        counts.append(len(box.iw.calls()) - before)
    assert 6 <= counts[0] <= 7 and 59 <= counts[1] <= 60


@pytest.mark.parametrize(
    ("offload", "is_bypassed"),
    [
        ({}, None),
        ({"hardware": True}, True),
        ({"hardware": True, "software": True}, True),
        ({"hardware": True, "software": False}, False),
        ({"hardware": False}, False),
    ],
)
def test_caps_are_roots_word_and_the_hardwares(box: Box, offload: dict[str, bool], is_bypassed: bool | None) -> None:
    """firewall4 looks at the hardware's switch only where offloading is on at all; a box without caps has nothing to pass by."""
    box.wants(offload=offload)
    assert box.router.caps() == Caps()
    (box.root / "caps.json").write_text('{"v":1,"error":"tc: no such thing","wanted":[]}')
    assert box.router.caps()[:4] == (True, ("tc: no such thing",), (), is_bypassed)


def test_ringing_is_one_event_at_procd(tmp_path: Path) -> None:
    """Its trigger starts the applier as root; nothing else is told, and without procd it is said."""
    with Userland(tmp_path / "box", "rig-x86") as box:
        ubus = Ubus(str(box.socket))
        router = OpenwrtRouter("auto", "", FakeClock(), ubus, Iw(Program("iw", box.path)), str(tmp_path / "wireless.json"))  # type: ignore[arg-type]
        router.ring()
        router.ring("stations")
        router.ring("caps")
        assert box.events == [("rwagent.push", {}), ("rwagent.stations", {}), ("rwagent.caps", {})]
        box.kill_procd()
        with pytest.raises(Unavailable):
            router.ring()
        ubus.close()


def test_the_packages_access_list_is_what_the_agent_calls() -> None:
    """Each method that it calls and no other: not one that tells a key or does anything but ring."""
    rules = json.loads((Path(__file__).parents[2] / "openwrt_package/rwagent/files/usr/share/acl.d/rwagent.json").read_text())
    assert rules == {"user": "rwagent", "access": {name: {"methods": list(methods)} for name, methods in CALLS.items()}}
    assert CALLS["service"] == ("event",) and "network.wireless" not in CALLS and "uci" not in CALLS
