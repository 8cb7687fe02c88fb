"""Radios and networks of an OpenWrt box: hostapd's objects are the truth, root's facts what is wanted, iw the rest."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from agent.errors import Unavailable
from agent.router.child import Program
from agent.router.hostapd_ubus import HostapdObjects
from agent.router.iw import Iw
from agent.router.iw_turns import IwTurns
from agent.router.openwrt_wireless import FORGET_S, FactsFile, OpenwrtWireless
from tests.fakes.iw import FakeIw
from tests.fakes.sysfs import FakeSys
from tests.fakes.ubus import FakeUbus

MACS = ("02:00:00:00:02:00", "02:00:00:00:03:00", "02:00:00:00:04:00")
CLIENTS = {
    MACS[0]: {"auth": True, "assoc": True, "authorized": True, "signal": -50},
    MACS[1]: {"auth": True, "assoc": True, "authorized": False, "signal": -70},
    MACS[2]: {"auth": False, "assoc": False, "authorized": False, "signal": -90},
}


def status(ssid: str, phy: str, freq: int = 2437, channel: int = 6, **more: Any) -> dict[str, Any]:
    """Give a BSS as hostapd tells it."""
    dfs = {"cac_seconds": 0, "cac_active": False, "cac_seconds_left": 0}
    known = {"status": "ENABLED", "bssid": "42:00:00:00:00:00", "ssid": ssid, "freq": freq, "channel": channel, "op_class": 81, "phy": phy, "dfs": dfs}
    return known | more


def network(ifname: str | None, ssid: str, **more: Any) -> dict[str, Any]:
    """Give a network as root's facts have it."""
    return {"section": f"section_{ssid}", "ssid": ssid, "mode": "ap", "disabled": False} | ({"ifname": ifname} if ifname else {}) | more


class Box:
    """Two radios, of which radio0 is phy1, with a network each; `now` is the clock."""

    def __init__(self, root: Path) -> None:
        self.now = 1000.0
        self.root = root
        self.sys = FakeSys(root / "sys")
        self.ubus = FakeUbus({"system": {}, "hostapd": {}})
        self.iw = FakeIw(root / "bin")
        self.facts_file = root / "wireless.json"
        self.radios_wanted: dict[str, Any] = {}
        turns = IwTurns(Iw(Program("iw", f"{root}/bin:/usr/bin:/bin")), lambda: self.now, 60.0)
        hostapd = HostapdObjects(self.ubus, lambda: self.now)  # type: ignore[arg-type]  # a fake in the place of the connection
        self.wireless = OpenwrtWireless(hostapd, turns, FactsFile(str(self.facts_file)), lambda: self.now, str(self.sys.root))
        for index, ifname in ((1, "phy1-ap0"), (0, "phy0-ap0")):
            self.sys.add_phy(index)
            self.sys.add_wlan(ifname, index)
            self.on_air(ifname, f"net{index}", f"phy{index}")

    def on_air(self, ifname: str, ssid: str, phy: str, **more: Any) -> None:
        """Let hostapd run a BSS."""
        self.ubus.answers[f"hostapd.{ifname}"] = {"get_status": status(ssid, phy, **more), "get_clients": {"freq": 2437, "clients": CLIENTS}}

    def off_air(self, ifname: str) -> None:
        """Take a BSS's object away."""
        del self.ubus.answers[f"hostapd.{ifname}"]

    def wants(self, **radios: dict[str, Any]) -> None:
        """Let root write its facts."""
        self.facts_file.with_suffix(".new").write_text(json.dumps({"v": 1, "radios": radios}))
        os.replace(self.facts_file.with_suffix(".new"), self.facts_file)

    def wants_both(self) -> None:
        """Let root write what is on air; radio0 is phy1."""
        self.wants(
            radio0={"phy": "phy1", "band": "2g", "networks": [network("phy1-ap0", "net1")]},
            radio1={"phy": "phy0", "band": "2g", "networks": [network("phy0-ap0", "net0")]},
        )

    def up(self) -> dict[str, bool]:
        """Say, a sample later, which networks are up."""
        self.now += 10
        return {one.ifname: one.up for one in self.wireless.networks()}

    def radios(self) -> dict[str, tuple[str, bool, bool]]:
        """Say, a sample later, of each radio: its phy, whether it is up, whether it is wanted."""
        self.now += 10
        return {radio.name: (radio.phy, radio.up, radio.wanted) for radio in self.wireless.radios()}


@pytest.fixture
def box(tmp_path: Path) -> Box:
    """A box on air, without root's facts."""
    return Box(tmp_path)


def test_without_facts_radios_bear_the_names_of_their_phys(box: Box) -> None:
    """There is nobody who could tell UCI's names."""
    assert box.radios() == {"phy0": ("phy0", True, True), "phy1": ("phy1", True, True)}


def test_radio0_may_be_phy1(box: Box) -> None:
    """The operator's names come from root's facts, never from a number."""
    box.wants_both()
    assert box.radios() == {"radio0": ("phy1", True, True), "radio1": ("phy0", True, True)}
    assert {one.ifname: one.radio for one in box.wireless.networks()} == {"phy1-ap0": "radio0", "phy0-ap0": "radio1"}


def test_a_radio_whose_phy_root_could_not_tell_is_found_by_its_network(box: Box) -> None:
    """What hostapd runs under a name that the facts know settles which phy it is."""
    box.wants(radio0={"band": "2g", "networks": [network("phy1-ap0", "net1")]}, radio1={"phy": "phy0", "networks": [network("phy0-ap0", "net0")]})
    assert box.radios() == {"radio0": ("phy1", True, True), "radio1": ("phy0", True, True)}


def test_a_wanted_network_without_an_object_is_down_whatever_netifd_says(box: Box) -> None:
    """netifd says up of a radio whose channel hostapd refused."""
    box.wants_both()
    box.off_air("phy1-ap0")
    assert box.up() == {"phy1-ap0": False, "phy0-ap0": True}
    assert box.radios()["radio0"] == ("phy1", False, True)


def test_netifds_up_brings_no_network_on_air(box: Box) -> None:
    """Its word stands in root's facts, for people; what is on air is hostapd's to say."""
    box.wants(radio0={"phy": "phy1", "band": "2g", "up": True, "pending": False, "networks": [network("phy1-ap0", "net1")]})
    box.off_air("phy1-ap0")
    assert box.up()["phy1-ap0"] is False
    assert box.radios()["radio0"] == ("phy1", False, True)


def test_a_missing_network_is_named_by_what_it_was_called(box: Box) -> None:
    """netifd names no interface while a radio is down; the SSID's row must not change its name for that."""
    box.wants_both()
    box.up()
    box.off_air("phy1-ap0")
    box.wants(
        radio0={"phy": "phy1", "band": "2g", "networks": [network(None, "net1")]}, radio1={"phy": "phy0", "networks": [network("phy0-ap0", "net0")]}
    )
    assert box.up() == {"phy1-ap0": False, "phy0-ap0": True}


def test_a_network_that_was_never_on_air_is_named_by_its_section(box: Box) -> None:
    """It must be told all the same."""
    box.wants(radio0={"phy": "phy1", "band": "2g", "networks": [network("phy1-ap0", "net1"), network(None, "second")]})
    found = {one.ifname: (one.up, one.ssid) for one in box.wireless.networks()}
    assert found["section_second"] == (False, "second")


def test_what_is_switched_off_in_uci_is_not_missed(box: Box) -> None:
    """A disabled network, a disabled radio, a client interface."""
    box.off_air("phy1-ap0")
    box.wants(
        radio0={"phy": "phy1", "disabled": True, "networks": [network(None, "net1")]},
        radio1={"phy": "phy0", "networks": [network("phy0-ap0", "net0"), network(None, "b", disabled=True), network("phy0-sta0", "c", mode="sta")]},
    )
    assert box.up() == {"phy0-ap0": True}
    assert box.radios()["radio0"] == ("phy1", False, False)


def test_a_radio_without_networks_is_listed_and_not_missed(box: Box) -> None:
    """The third radio of a mesh system."""
    box.sys.add_phy(2)
    box.wants(radio2={"phy": "phy2", "band": "5g", "networks": []})
    assert box.radios()["radio2"] == ("phy2", False, False)


def test_a_radar_check_is_not_missed_and_is_down(box: Box) -> None:
    """For a minute or ten the radio listens before it may send."""
    box.wants_both()
    checking = {"cac_seconds": 60, "cac_active": True, "cac_seconds_left": 41}
    box.on_air("phy1-ap0", "net1", "phy1", status="DFS", dfs=checking)
    assert box.up()["phy1-ap0"] is False
    assert box.radios()["radio0"] == ("phy1", False, False)


def test_without_facts_what_was_on_air_and_is_gone_is_missed(box: Box) -> None:
    """A hostapd that was killed took all its objects along."""
    box.up()
    box.off_air("phy1-ap0")
    assert box.up() == {"phy1-ap0": False, "phy0-ap0": True}
    assert box.radios()["phy1"] == ("phy1", False, True)
    box.on_air("phy1-ap0", "net1", "phy1")
    assert box.up() == {"phy1-ap0": True, "phy0-ap0": True}


def test_without_facts_a_network_removed_from_a_working_radio_is_not_missed(box: Box) -> None:
    """Its sibling is up, so somebody took it away."""
    box.on_air("phy0-ap1", "guest", "phy0")
    box.up()
    box.off_air("phy0-ap1")
    assert box.up() == {"phy1-ap0": True, "phy0-ap0": True}


def test_without_facts_what_is_gone_is_forgotten_after_a_week(box: Box) -> None:
    """A radio that was taken out does not stay for ever."""
    box.up()
    box.off_air("phy1-ap0")
    box.sys.remove_phy("phy1")
    box.up()
    box.now += FORGET_S
    assert box.up() == {"phy0-ap0": True}


def test_new_facts_are_read_and_old_ones_kept(box: Box) -> None:
    """The file is read again when root wrote another one."""
    box.wants_both()
    box.up()
    box.wants(radio0={"phy": "phy1", "networks": [network("phy1-ap0", "net1"), network(None, "new")]})
    assert "section_new" in box.up()


def test_lingering_and_half_open_stations_come_unauthorised(box: Box) -> None:
    """Each entry is handed on with hostapd's word of it."""
    assert {one.mac: one.authorized for one in box.wireless.stations("phy0-ap0")} == dict(zip(MACS, (True, False, False), strict=True))


def test_a_network_that_is_gone_has_no_stations(box: Box) -> None:
    """No error: it was named a moment ago."""
    assert box.wireless.stations("phy7-ap0") == []


def test_one_exchange_serves_all_who_ask_within_a_sample(box: Box) -> None:
    """Networks, radios and stations of one sample are of one moment."""
    box.wireless.networks()
    box.wireless.radios()
    box.wireless.stations("phy0-ap0")
    assert len(box.ubus.asked) == 4


def test_a_box_without_wifi_asks_nothing(tmp_path: Path) -> None:
    """No radio, no facts: no question."""
    box = Box(tmp_path)
    for index in (0, 1):
        box.sys.remove_phy(f"phy{index}")
    assert (box.wireless.networks(), box.wireless.radios(), box.ubus.asked) == ([], [], [])


def test_a_dead_ubusd_leaves_nothing_to_say(box: Box) -> None:
    """Networks nobody can ask about are unknown, not down."""
    box.up()
    box.ubus.is_away = True
    box.now += 10
    with pytest.raises(Unavailable):
        box.wireless.networks()
    assert box.wireless.names() == {"phy0-ap0", "phy1-ap0"}


def test_both_halves_of_an_owe_pair_carry_its_name(box: Box) -> None:
    """The pair is known by the open half's SSID."""
    box.on_air("phy0-ap1", "net0OWE", "phy0")
    box.wants(radio1={"phy": "phy0", "networks": [network("phy0-ap0", "net0", pair="net0"), network("phy0-ap1", "net0OWE", pair="net0")]})
    assert {one.ifname: one.pair for one in box.wireless.networks()} == {"phy0-ap0": "net0", "phy0-ap1": "net0", "phy1-ap0": None}


def test_what_iw_tells_stands_beside_what_hostapd_tells(box: Box) -> None:
    """Noise and airtime by the survey, power by iw dev, once their turn has come."""
    survey = "Survey data from phy0-ap0\n\tfrequency:\t2437 MHz [in use]\n\tnoise:\t170 dBm\n\tchannel active time:\t1000 ms\n"
    box.iw.says("phy0-ap0.survey", survey)
    box.iw.says("dev", "phy#0\n\tInterface phy0-ap0\n\t\ttype AP\n\t\tchannel 6 (2437 MHz), width: 40 MHz, center1: 2437 MHz\n\t\ttxpower 17.00 dBm\n")
    for _ in range(8):
        box.radios()
    (radio,) = (radio for radio in box.wireless.radios() if radio.name == "phy0")
    assert (radio.noise_dbm, radio.active_ms_total, radio.width_mhz, radio.tx_power_dbm) == (-86, 1000, 40, 17.0)


def test_a_network_root_knew_no_interface_of_is_known_by_its_ssid(box: Box) -> None:
    """Root looked before the radio was up, and no change of the configuration follows: it is on air, once, under its radio, with its pair."""
    box.wants(radio0={"phy": "phy1", "band": "2g", "networks": [network(None, "net1", pair="net1")]}, radio1={"phy": "phy0", "networks": []})
    found = {one.ifname: (one.radio, one.up, one.pair) for one in box.wireless.networks()}
    assert found == {"phy1-ap0": ("radio0", True, "net1"), "phy0-ap0": ("radio1", True, None)}


def test_the_same_ssid_on_another_radio_is_not_taken_for_it(box: Box) -> None:
    """Each radio has its own network of that SSID."""
    box.off_air("phy1-ap0")
    box.on_air("phy0-ap0", "same", "phy0")
    box.wants(
        radio0={"phy": "phy1", "band": "2g", "networks": [network(None, "same")]},
        radio1={"phy": "phy0", "band": "2g", "networks": [network("phy0-ap0", "same")]},
    )
    assert box.up() == {"phy0-ap0": True, "section_same": False}


def test_a_missing_network_is_missed_though_another_bears_its_former_name(box: Box) -> None:
    """Switching one off renumbers the others; when it is wanted again and hostapd leaves it out, that must show."""
    first = {"section": "a", "ssid": "a", "mode": "ap", "disabled": False}
    second = {"section": "b", "ssid": "b", "mode": "ap", "disabled": False}
    box.off_air("phy1-ap0")
    box.on_air("phy0-ap0", "a", "phy0")
    box.on_air("phy0-ap1", "b", "phy0")
    box.wants(radio1={"phy": "phy0", "networks": [first | {"ifname": "phy0-ap0"}, second | {"ifname": "phy0-ap1"}]})
    box.up()
    box.off_air("phy0-ap1")
    box.on_air("phy0-ap0", "b", "phy0")
    box.wants(radio1={"phy": "phy0", "networks": [first, second | {"ifname": "phy0-ap0"}]})
    assert box.up() == {"phy0-ap0": True, "a": False}


def parts_of_one_wiphy(box: Box, phys: tuple[str, str]) -> None:
    """Let one wiphy have two radios; hostapd calls them so."""
    for index, ifname in ((0, "phy0-ap0"), (1, "phy1-ap0")):
        box.off_air(ifname)
        box.sys.remove_phy(f"phy{index}")
    box.sys.add_phy(0)
    box.on_air("phy0.0-ap0", "two", phys[0])
    box.on_air("phy0.1-ap0", "five", phys[1], freq=5180, channel=36)


@pytest.mark.parametrize("phys", [("phy0.0", "phy0.1"), ("phy0", "phy0")])
@pytest.mark.parametrize("names", [("phy0.0-ap0", "phy0.1-ap0"), (None, None)])
def test_two_radios_of_one_wiphy_are_two(box: Box, phys: tuple[str, str], names: tuple[str | None, str | None]) -> None:
    """25.12 gives each a suffix; the band tells them apart where nothing else does."""
    parts_of_one_wiphy(box, phys)
    box.wants(
        radio0={"phy": "phy0", "band": "2g", "networks": [network(names[0], "two")]},
        radio1={"phy": "phy0", "band": "5g", "networks": [network(names[1], "five")]},
    )
    assert {name: radio[1] for name, radio in box.radios().items()} == {"radio0": True, "radio1": True}
    assert {one.ifname: one.radio for one in box.wireless.networks()} == {"phy0.0-ap0": "radio0", "phy0.1-ap0": "radio1"}


def test_a_wiphy_of_several_radios_is_no_radio_more(box: Box) -> None:
    """Without facts only what hostapd runs is known."""
    parts_of_one_wiphy(box, ("phy0.0", "phy0.1"))
    assert {name: radio[1] for name, radio in box.radios().items()} == {"phy0.0": True, "phy0.1": True}


def test_a_network_over_two_radios_keeps_both_alive(box: Box) -> None:
    """MLO: hostapd tells of one link."""
    box.off_air("phy1-ap0")
    box.on_air("ap-mld0", "mlo", "phy0")
    mlo = network("ap-mld0", "mlo")
    box.wants(radio0={"phy": "phy1", "band": "5g", "networks": [mlo]}, radio1={"phy": "phy0", "band": "2g", "networks": [mlo]})
    assert {name: radio[1] for name, radio in box.radios().items()} == {"radio0": True, "radio1": True}


def test_a_radio_that_carries_a_mesh_is_alive_while_its_link_is(box: Box) -> None:
    """hostapd has no object there; the kernel knows."""
    box.off_air("phy1-ap0")
    box.sys.add_wlan("phy1-mesh0", 1)
    box.wants(radio0={"phy": "phy1", "band": "5g", "networks": [network("phy1-mesh0", "back", mode="mesh")]})
    assert box.radios()["radio0"] == ("phy1", True, True)
    box.sys.set_operstate("phy1-mesh0", "down")
    assert box.radios()["radio0"] == ("phy1", False, False)


def test_a_slow_exchange_still_serves_the_whole_sample(box: Box) -> None:
    """With many stations on a slow box it takes longer than it is shared."""
    box.ubus.takes = lambda: setattr(box, "now", box.now + 0.6)
    for one in box.wireless.networks():
        box.wireless.stations(one.ifname)
    assert box.ubus.exchanges == 2


def test_one_that_hangs_costs_its_time_once_a_sample(box: Box) -> None:
    """Every collector of the sample is told the same."""
    box.ubus.is_away = True
    for ask in (box.wireless.networks, box.wireless.radios, box.wireless.networks):
        with pytest.raises(Unavailable):
            ask()
    assert box.ubus.exchanges == 1


def test_the_failure_that_is_shared_keeps_no_sample(box: Box) -> None:
    """Each collector is told by an error of its own: one that is raised again and again would hold every frame that it went through."""
    box.ubus.is_away = True
    told = []
    for _ in range(3):
        with pytest.raises(Unavailable) as failed:
            box.wireless.networks()
        told.append(failed.value)
    assert len({id(error) for error in told}) == 3
    assert len({str(error) for error in told}) == 1
