"""Radios and networks out of iw, hostapd and /sys, on fakes that follow the captures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.errors import Unavailable
from agent.router.child import Program
from agent.router.hostapd import Hostapd
from agent.router.iw import Iw
from agent.router.wireless import FORGET_S, NONE_S, SURVEY_S, Wireless
from tests.fakes.hostapd import FakeHostapd
from tests.fakes.iw import FakeIw
from tests.fakes.sysfs import FakeSys

CAPTURES = Path(__file__).parents[1] / "captures"
STATUS = (CAPTURES / "hostapd_cli-wlan0-status.txt").read_text()
DEV = (CAPTURES / "iw-dev.txt").read_text()
ALL_STA = (CAPTURES / "hostapd_cli-wlan0-all_sta.txt").read_text()
OFF_AIR = "phy#0\n\tInterface wlan0\n\t\tifindex 5\n\t\taddr 02:00:00:00:00:00\n\t\ttype managed\n"


class Box:
    """One radio with two networks on air, as in the captures; `now` is its clock."""

    def __init__(self, root: Path) -> None:
        self.now = 100.0
        self.sys = FakeSys(root / "sys")
        self.iw = FakeIw(root / "bin")
        self.sockets = root / "hostapd"
        self.sockets.mkdir()
        self.wireless = Wireless(Iw(Program("iw", f"{root}/bin:/usr/bin:/bin")), Hostapd(str(self.sockets)), lambda: self.now, str(self.sys.root))

    def put_on_air(self, address: str = "02:00:00:00:00:00") -> None:
        """Set everything up."""
        self.sys.add_phy(0, address=address)
        for ifname in ("wlan0", "wlan0-guest"):
            self.sys.add_wlan(ifname, 0)
            self.iw.says(f"{ifname}.station", (CAPTURES / f"iw-{ifname}-station-dump.txt").read_text())
            self.iw.says(f"{ifname}.survey", (CAPTURES / f"iw-{ifname}-survey-dump.txt").read_text())
        self.iw.says("dev", DEV)

    def up(self) -> dict[str, bool]:
        """Say, a second later, which networks are up."""
        self.now += 1
        return {network.ifname: network.up for network in self.wireless.networks()}


@pytest.fixture
def box(tmp_path: Path) -> Box:
    """A box on air without hostapd's sockets."""
    made = Box(tmp_path)
    made.put_on_air()
    return made


@pytest.fixture
def hostapd(box: Box) -> Iterator[FakeHostapd]:
    """The same with hostapd's socket of wlan0."""
    with FakeHostapd(box.sockets / "wlan0", STATUS, {"02:00:00:00:03:00": ALL_STA.split("02:00:00:00:01:00")[0]}) as running:
        yield running


def test_no_wifi_starts_no_process(tmp_path: Path) -> None:
    """Without /sys/class/ieee80211 there is no radio, no network, and nobody was asked."""
    bare = Box(tmp_path)
    bare.iw.says("dev", DEV)
    assert (bare.wireless.radios(), bare.wireless.networks(), bare.wireless.names()) == ([], [], frozenset())
    assert bare.iw.calls() == []


def test_wifi_that_comes_later_is_found(tmp_path: Path) -> None:
    """A box without Wi-Fi is not searched at each sample, but a radio plugged in is found within ten seconds."""
    box = Box(tmp_path)
    assert box.wireless.networks() == []
    box.put_on_air()
    assert box.wireless.networks() == []
    box.now += NONE_S
    assert box.up() == {"wlan0": True, "wlan0-guest": True}


def test_networks_by_iw_alone(box: Box) -> None:
    """Without hostapd's socket iw says it all."""
    assert [tuple(network) for network in box.wireless.networks()] == [
        ("wlan0", "phy0", "2g", "private", "02:00:00:00:00:00", True, None),
        ("wlan0-guest", "phy0", "2g", "guest", "02:00:00:00:00:01", True, None),
    ]


@pytest.mark.usefixtures("hostapd")
def test_networks_are_the_same_with_hostapd(box: Box) -> None:
    """With hostapd nothing changes when all is well."""
    assert box.up() == {"wlan0": True, "wlan0-guest": True}


def test_radio_has_channel_power_and_survey(box: Box) -> None:
    """The radio of the captures."""
    assert [tuple(radio) for radio in box.wireless.radios()] == [("phy0", "phy0", "2g", 6, 20, 20.0, -92, 80, 10, None, True, True)]


def test_renamed_phy_is_named_by_sys(box: Box) -> None:
    """iw prints phy#0 whatever the radio is called; /sys has the name, and it is text for people."""
    for name, shown in (("radio-é", "radio-é"), ("a\x1bb\udcff", r"a\x1bb\xff")):
        for former in (box.sys.root / "ieee80211").iterdir():
            box.sys.remove_phy(former.name)
        box.sys.add_phy(0, name)
        assert [radio.phy for radio in box.wireless.radios()] == [shown]


def test_hostapd_not_enabled_is_down(box: Box, hostapd: FakeHostapd) -> None:
    """A network that hostapd failed to start is wanted and not up, and so is its radio; SSID and BSSID stay."""
    box.wireless.networks()
    hostapd.status = STATUS.replace("ENABLED", "DISABLED")
    assert box.up() == {"wlan0": False, "wlan0-guest": False}
    assert [(radio.up, radio.channel, radio.band, radio.wanted) for radio in box.wireless.radios()] == [(False, None, "2g", True)]
    assert box.wireless.networks()[0].ssid == "private"


def test_radio_listening_for_radar_is_not_wanted_on_air(box: Box, hostapd: FakeHostapd) -> None:
    """While seconds of the check are left it must be silent; when it found no channel, its silence is a problem."""
    waiting = STATUS.replace("ENABLED", "DFS")
    for status, wanted in ((waiting.replace("=N/A", "=599"), False), (waiting, True)):
        hostapd.status = status
        assert box.up() == {"wlan0": False, "wlan0-guest": False}
        assert [(radio.up, radio.wanted) for radio in box.wireless.radios()] == [(False, wanted)]


def test_hostapd_is_asked_once_for_networks_and_radios(box: Box, hostapd: FakeHostapd) -> None:
    """What one sample reads comes from one answer; the next sample asks again."""
    for _ in range(3):
        box.wireless.networks()
        box.wireless.radios()
        box.now += 1
    assert hostapd.asked == ["STATUS"] * 3


def test_hung_hostapd_leaves_it_to_iw(box: Box, hostapd: FakeHostapd) -> None:
    """A hostapd without an answer makes nothing unknown: what iw sees on air is on air."""
    hostapd.is_mute = True
    assert box.up() == {"wlan0": True, "wlan0-guest": True}
    assert [radio.up for radio in box.wireless.radios()] == [True]


@pytest.mark.usefixtures("hostapd")
def test_network_hostapd_wants_and_the_kernel_lacks_is_down(box: Box) -> None:
    """hostapd was told to run a second network and it is not there."""
    box.iw.says("dev", DEV[: DEV.index("\tInterface wlan0-guest")] + DEV[DEV.index("\tInterface wlan0\n") :])
    box.sys.remove_wlan("wlan0-guest")
    assert box.up() == {"wlan0": True, "wlan0-guest": False}


def test_device_without_carrier_is_down(box: Box) -> None:
    """iw still names a channel, but the device is down."""
    box.sys.set_operstate("wlan0", "down")
    assert box.up() == {"wlan0": False, "wlan0-guest": True}


def test_stopped_hostapd_leaves_its_networks_down(box: Box) -> None:
    """What was on air stays wanted when the whole radio fell silent, and comes back."""
    box.wireless.networks()
    box.iw.says("dev", OFF_AIR)
    box.sys.remove_wlan("wlan0-guest")
    box.sys.set_operstate("wlan0", "down")
    assert box.up() == {"wlan0": False, "wlan0-guest": False}
    box.iw.says("dev", DEV)
    box.sys.add_wlan("wlan0-guest", 0)
    box.sys.set_operstate("wlan0", "up")
    assert box.up() == {"wlan0": True, "wlan0-guest": True}


def test_network_taken_away_on_purpose_is_forgotten(box: Box, hostapd: FakeHostapd) -> None:
    """When hostapd itself no longer names a network, it is not wanted any more."""
    box.wireless.networks()
    hostapd.status = STATUS[: STATUS.index("bss[1]")]
    box.iw.says("dev", DEV[: DEV.index("\tInterface wlan0-guest")] + DEV[DEV.index("\tInterface wlan0\n") :])
    box.sys.remove_wlan("wlan0-guest")
    assert box.up() == {"wlan0": True}


def test_killed_hostapd_is_down(box: Box) -> None:
    """Beacons may go on, but a socket with nobody behind it lets no station in."""
    FakeHostapd(box.sockets / "wlan0", STATUS, {}).stop(leave_file=True)
    assert box.up() == {"wlan0": False, "wlan0-guest": True}


def test_dead_radio_beside_a_living_sibling(box: Box) -> None:
    """A radio of which hostapd says that it failed is reported as down and missed, its sibling as up."""
    box.sys.add_phy(1)
    failed = STATUS[: STATUS.index("bss[0]")].replace("ENABLED", "DISABLED").replace("phy0", "phy1")
    with FakeHostapd(box.sockets / "wlan1", failed, {}):
        radios = box.wireless.radios()
    assert [(radio.name, radio.up, radio.channel, radio.wanted) for radio in radios] == [("phy0", True, 6, True), ("phy1", False, None, True)]


def test_radio_nobody_set_up_is_not_wanted(box: Box) -> None:
    """A second card without a network of ours and without hostapd is there, down, and no problem."""
    box.sys.add_phy(1)
    box.sys.add_wlan("wlan1", 1, "down")
    box.iw.says("dev", DEV + "phy#1\n\tInterface wlan1\n\t\ttype managed\n")
    assert [(radio.name, radio.up, radio.wanted) for radio in box.wireless.radios()] == [("phy0", True, True), ("phy1", False, False)]


def test_radio_of_a_dead_hostapd_is_wanted(box: Box) -> None:
    """Its socket without anybody behind it says that somebody led this radio."""
    box.sys.add_phy(1)
    box.sys.add_wlan("wlan1", 1, "down")
    FakeHostapd(box.sockets / "wlan1", STATUS, {}).stop(leave_file=True)
    assert [(radio.name, radio.wanted) for radio in box.wireless.radios()] == [("phy0", True), ("phy1", True)]


def test_radio_back_under_another_name_takes_its_networks_along(tmp_path: Path) -> None:
    """A USB radio pulled and put in again has another name and the same address: no radio is missed, its networks are until they are on air."""
    box = Box(tmp_path)
    box.put_on_air("02:00:00:00:00:aa")
    box.wireless.radios()
    box.sys.remove_phy("phy0")
    for ifname in ("wlan0", "wlan0-guest"):
        box.sys.remove_wlan(ifname)
    box.iw.says("dev", "")
    assert box.up() == {"wlan0": False, "wlan0-guest": False}
    box.sys.add_phy(4, address="02:00:00:00:00:aa")
    assert box.up() == {"wlan0": False, "wlan0-guest": False}
    assert [(radio.name, radio.up, radio.wanted) for radio in box.wireless.radios()] == [("phy4", False, True)]
    box.sys.add_wlan("wlan7", 4)
    box.iw.says("wlan7.survey", "")
    box.iw.says("dev", DEV[: DEV.index("\tInterface")].replace("#0", "#4") + DEV[DEV.index("\tInterface wlan0\n") :].replace("wlan0", "wlan7"))
    assert box.up() == {"wlan7": True}
    assert [(radio.name, radio.up) for radio in box.wireless.radios()] == [("phy4", True)]


@pytest.mark.parametrize("address", ["00:00:00:00:00:00", "02:00:00:00:00:bb", "nonsense"])
def test_another_radio_takes_no_networks_over(tmp_path: Path, address: str) -> None:
    """A new radio with an address of its own, or none, is not the one that is missed."""
    box = Box(tmp_path)
    box.put_on_air("00:00:00:00:00:00" if address.startswith("00") else "02:00:00:00:00:aa")
    box.wireless.radios()
    box.sys.remove_phy("phy0")
    for ifname in ("wlan0", "wlan0-guest"):
        box.sys.remove_wlan(ifname)
    box.iw.says("dev", "")
    box.sys.add_phy(4, address=address)
    assert [(radio.name, radio.up, radio.wanted) for radio in box.wireless.radios()] == [("phy4", False, False), ("phy0", False, True)]


def test_radio_that_vanished_is_down(box: Box) -> None:
    """A driver that crashed takes its radio out of /sys; it carried networks, so it is missed, for a week."""
    box.sys.add_phy(1)
    box.wireless.radios()
    box.sys.remove_phy("phy0")
    box.sys.remove_wlan("wlan0")
    box.sys.remove_wlan("wlan0-guest")
    box.iw.says("dev", "phy#1\n")
    assert [(radio.name, radio.up, radio.band) for radio in box.wireless.radios()] == [("phy1", False, None), ("phy0", False, "2g")]
    assert box.up() == {"wlan0": False, "wlan0-guest": False}
    box.now += FORGET_S - 2
    assert [(radio.name, radio.wanted) for radio in box.wireless.radios()] == [("phy1", False), ("phy0", True)]
    box.now += 1
    assert [radio.name for radio in box.wireless.radios()] == ["phy1"]
    assert (box.wireless.networks(), box.wireless.names()) == ([], frozenset())


def test_radio_that_came_back_by_another_name_is_one(box: Box) -> None:
    """A driver loaded anew numbers its radio anew: the networks moved there, nothing is missing."""
    box.wireless.radios()
    for ifname in ("wlan0", "wlan0-guest"):
        box.sys.remove_wlan(ifname)
        box.sys.add_wlan(ifname, 3)
    box.sys.remove_phy("phy0")
    box.sys.add_phy(3)
    box.iw.says("dev", DEV.replace("phy#0", "phy#3"))
    assert [(radio.name, radio.up) for radio in box.wireless.radios()] == [("phy3", True)]


def test_radio_without_survey(box: Box) -> None:
    """A driver that has no survey costs those figures only."""
    (box.iw.directory / "wlan0.survey").unlink()
    (box.iw.directory / "wlan0-guest.survey").unlink()
    assert [(radio.up, radio.channel, radio.noise_dbm, radio.busy_ms_total) for radio in box.wireless.radios()] == [(True, 6, None, None)]


@pytest.mark.usefixtures("hostapd")
def test_steady_state_runs_iw_once_for_each_bss(box: Box) -> None:
    """Nothing changed: a sample is one station dump for each BSS, and now and then a survey."""
    for _ in range(7):
        for network in box.wireless.networks():
            box.wireless.stations(network.ifname)
        box.wireless.radios()
        box.now += 5
    calls = box.iw.calls()
    assert sum(call == "dev" for call in calls) == 1
    assert sum("station" in call for call in calls) == 14
    assert sum("survey" in call for call in calls) == 1 + int(30 // SURVEY_S)


def test_change_in_sys_is_seen_at_once(box: Box) -> None:
    """A device that appears makes iw run again, whatever the age of what is known."""
    box.wireless.networks()
    box.sys.add_wlan("wlan1", 0)
    box.wireless.networks()
    assert box.iw.calls().count("dev") == 2


def test_without_iw_hostapd_must_do(tmp_path: Path) -> None:
    """No iw installed: networks, channel and stations come from hostapd; what it lacks is unknown."""
    box = Box(tmp_path)
    (box.iw.directory / "iw").unlink()
    box.sys.add_phy(0)
    box.sys.add_wlan("wlan0", 0)
    box.sys.add_wlan("wlan0-guest", 0)
    stations = {"02:00:00:00:03:00": ALL_STA.split("02:00:00:00:01:00")[0]}
    # The system's own iw must not be found in this test.
    box.wireless = Wireless(Iw(Program("iw", str(box.iw.directory))), Hostapd(str(box.sockets)), lambda: box.now, str(box.sys.root))
    with FakeHostapd(box.sockets / "wlan0", STATUS, stations):
        assert box.up() == {"wlan0": True, "wlan0-guest": True}
        assert [tuple(radio) for radio in box.wireless.radios()] == [("phy0", "phy0", "2g", 6, None, None, None, None, None, None, True, True)]
        assert [station.signal_dbm for station in box.wireless.stations("wlan0")] == [-30]


def test_iw_that_cannot_be_started_is_as_none(box: Box, hostapd: FakeHostapd) -> None:
    """A torn or foreign iw: hostapd must do."""
    (box.iw.directory / "iw").write_bytes(b"\x7fELF torn")
    assert box.up() == {"wlan0": True, "wlan0-guest": True}
    assert [station.mac for station in box.wireless.stations("wlan0")] == list(hostapd.stations)


def test_neither_iw_nor_hostapd_is_unavailable(box: Box) -> None:
    """There is Wi-Fi and nobody tells of it."""
    (box.iw.directory / "dev").unlink()
    with pytest.raises(Unavailable, match="iw dev: exit status 237"):
        box.wireless.networks()
    with pytest.raises(Unavailable, match="hostapd of wlan0"):
        (box.iw.directory / "wlan0.station").unlink()
        box.wireless.stations("wlan0")


def test_stations_of_a_gone_interface_are_none(box: Box) -> None:
    """A BSS whose device is gone has no station, without asking anybody."""
    box.sys.remove_wlan("wlan0")
    assert box.wireless.stations("wlan0") == []
    assert box.iw.calls() == []


def test_client_only_radio_is_up_while_it_has_a_channel(box: Box) -> None:
    """A laptop's radio: no network of ours, but alive."""
    box.iw.says("dev", DEV.replace("type AP", "type managed"))
    assert [(radio.up, radio.channel) for radio in box.wireless.radios()] == [(True, 6)]
    assert box.wireless.networks() == []
