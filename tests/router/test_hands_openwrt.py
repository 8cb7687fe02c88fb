"""What commands do on an OpenWrt box: beside the stand-in for its daemons, with answers recorded from real ones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.errors import Unavailable
from agent.pseudonyms import name_of
from agent.router.child import Program
from agent.router.errands import Errands
from agent.router.hands_openwrt import OpenwrtHands
from agent.router.iw_scan import Scanner
from agent.router.uci import Uci
from tests.fakes.iw import FakeIw
from tests.fakes.openwrt.userland.box import Box
from tests.settings_of import settings
from tests.stories.planted import find

HERE = Path(__file__).parents[1]
RECORDED = json.loads(json.loads((HERE / "captures/ubus-wire/log-read.json").read_text())["stdout"])
LINGERING = json.loads((HERE / "captures/ubus/hostapd-get_clients-lingering.json").read_text())
IN_5G, IN_2G = "02:00:00:00:03:00", "02:00:00:00:02:00"
SECRET = "korek api merah 9"


def named(mac: str) -> str:
    return name_of(b"k" * 32, mac)


class Handed:
    """A box, its hands, and what hostapd was told to do."""

    def __init__(self, folder: Path) -> None:
        self.box = Box(folder / "box", "rig-x86")
        self.secrets = folder / "secrets"
        self.secrets.mkdir(0o700)
        self.iw = FakeIw(folder / "iw")
        for name in ("state", "apply"):
            (folder / name).mkdir(0o700)
        chosen = settings(
            router={"backend": "openwrt", "ubus_socket": str(self.box.socket)}, paths={"run_dir": str(folder / "run")}, push={"secrets_dir": str(self.secrets)}
        )
        scripts = Errands(str(folder / "state"), str(folder / "apply"), str(folder / "leds"))
        uci, wifi = Uci(Program("uci", self.box.path), (str(self.box.config),)), Program("wifi", self.box.path, 10.0)
        scanner = Scanner(f"{self.iw.directory}:/usr/bin:/bin")
        self.hands = OpenwrtHands(chosen, named, scripts, scanner, uci, wifi, on_air_s=5.0, look_s=0.1)
        self.told: list[tuple[str, Mapping[str, Any]]] = []
        for name in self.box.board.bss_objects():
            self.box.board.handlers[name, "del_client"] = lambda arguments, name=name: self.told.append((name, dict(arguments))) or (0, None)

    def log(self, *lines: str) -> None:
        """Let logd have these."""
        rows = [{"msg": line, "id": number, "priority": 29, "source": 1, "time": 1795299850492} for number, line in enumerate(lines)]
        self.box.board.set("log", "read", {"log": rows})


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Handed]:
    """The rig's board: two radios, three networks, a station on each."""
    made = Handed(tmp_path)
    with made.box:
        yield made


# kick


def test_a_station_is_sent_away_from_where_it_is(on: Handed) -> None:
    """By its pseudonym, with a reason after which a telephone does not ask for the key anew."""
    assert on.hands.kick(named(IN_5G), 0) == ["OpenWrt-5G"]
    assert on.told == [("hostapd.phy1-ap0", {"addr": IN_5G, "reason": 5, "deauth": True, "ban_time": 0})]


def test_a_ban_is_for_all_radios_of_the_network(on: Handed) -> None:
    """In milliseconds, where it is not too: else it would only change the band; the halves of a pair are one network, and others are not touched."""
    for ifname, ssid in (("phy0-ap0", "Malang"), ("phy1-ap0", "MalangOWE")):
        on.box.board.set(f"hostapd.{ifname}", "get_status", on.box.board.get(f"hostapd.{ifname}", "get_status") | {"ssid": ssid})
    assert on.hands.kick(named(IN_5G), 3600) == ["MalangOWE"]
    assert [(name, arguments["ban_time"]) for name, arguments in on.told] == [("hostapd.phy0-ap0", 3_600_000), ("hostapd.phy1-ap0", 3_600_000)]


def test_who_is_not_there_is_not_sent_away(on: Handed) -> None:
    """Yesterday's name, and an entry that only lingers (recorded after a real del_client)."""
    with pytest.raises(Unavailable, match=r"no station 0123456789ab is associated now; .*change daily"):
        on.hands.kick("0123456789ab", 0)
    on.box.board.set("hostapd.phy1-ap0", "get_clients", LINGERING)
    (lingering,) = LINGERING["clients"]
    with pytest.raises(Unavailable):
        on.hands.kick(named(lingering), 0)
    assert on.told == []


def test_what_goes_wrong_names_no_address(on: Handed) -> None:
    """hostapd refuses, or is gone: the sentence is for the city."""
    on.box.board.handlers["hostapd.phy1-ap0", "del_client"] = lambda arguments: (6, None)
    with pytest.raises(Unavailable) as caught:
        on.hands.kick(named(IN_5G), 0)
    assert not find(str(caught.value).encode(), {IN_5G}) and "del_client" in str(caught.value)


def test_a_log_line_of_what_is_done_names_no_address(on: Handed, caplog: pytest.LogCaptureFixture) -> None:
    """Every effect is logged, and whom it meant is not."""
    with caplog.at_level("INFO"):
        on.hands.kick(named(IN_5G), 10)
    assert "del_client" in caplog.text and not find(caplog.text.encode(), {IN_5G})


# logs


def test_the_log_as_recorded_without_the_stations(on: Handed) -> None:
    """From a real logd; the same search finds the address in what it read."""
    on.box.board.set("log", "read", RECORDED)
    found = on.hands.log(100, "")
    assert find(json.dumps(RECORDED).encode(), {IN_2G})
    assert len(found.lines) == 5 and not find("\n".join(found.lines).encode(), {IN_2G})


def test_every_key_of_the_box_is_starred(on: Handed) -> None:
    """Wi-Fi's, what lies in secrets_dir, and the uplink's: wherever they stand in a line."""
    (on.secrets / "office").write_text(SECRET + "\n")
    (on.secrets / "office").chmod(0o600)
    on.box.technician("set wireless.default_radio1.key='not 4 you!'", "set network.wan.password='pppoe-Pa55'", "set network.wan.username='12345@isp'")
    on.log(f"a {SECRET} b", "c not 4 you! d", "pppd: pppoe-Pa55", "user 12345@isp e")
    assert [line.split(" ", 2)[2] for line in on.hands.log(10, "").lines] == ["a *** b", "c *** d", "pppd: ***", "user *** e"]


def test_without_the_keys_there_is_no_log(on: Handed) -> None:
    """What is not known cannot be starred."""
    on.log("x")
    on.box.faults.uci_fails = {"show"}
    with pytest.raises(Unavailable, match="the log is not given, for the keys"):
        on.hands.log(10, "")


def test_all_of_the_ring_is_searched(on: Handed) -> None:
    """`match` is not looked for in the newest lines only."""
    asked: list[Mapping[str, Any]] = []
    on.box.board.handlers["log", "read"] = lambda arguments: asked.append(dict(arguments)) or (0, {"log": []})
    on.hands.log(10, "")
    on.hands.log(10, "x")
    assert [(one["lines"], one["stream"]) for one in asked] == [(10, False), (2000, False)]


def test_a_box_without_logd_says_so(on: Handed) -> None:
    """And not an empty log."""
    on.box.board.hide("log")
    on.box.ubusd.restart()
    with pytest.raises(Unavailable, match="log"):
        on.hands.log(10, "")


# scan, reload-wifi


def test_a_scan_speaks_in_pseudonyms(on: Handed) -> None:
    """The neighbours' addresses stay here."""
    on.iw.says("dev", (HERE / "devices/rig-x86/iw/dev.txt").read_text())
    on.iw.says("phy1-ap0.scan", "BSS 02:00:00:00:10:01(on x)\n\tfreq: 5180\n\tsignal: -41.00 dBm\n\tSSID: Warung\n")
    found = on.hands.scan("5g")
    assert [one.bssid for one in found.networks] == [named("02:00:00:00:10:01")]
    assert not find(repr(found).encode(), {"02:00:00:00:10:01"})


def test_wifi_is_set_up_anew_and_what_is_on_air_then_is_told(on: Handed) -> None:
    """As a person would type it; the networks are back before it says so."""
    assert on.hands.reload_wifi() == ["OpenWrt", "OpenWrt-5G", "OpenWrt-Guest"]
    assert "wifi reload" in on.box.calls()


@pytest.mark.parametrize("lost", [["phy0-ap0"], ["phy0-ap0", "phy0-ap1", "phy1-ap0"]])
def test_a_network_that_does_not_come_back_is_missing(on: Handed, lost: list[str]) -> None:
    """After the time that it may take; all of them gone is a failure."""
    for ifname in lost:
        name = f"hostapd.{ifname}"
        status = on.box.board.get(name, "get_status")
        on.box.board.handlers[name, "get_status"] = lambda arguments, status=status: (
            0,
            status | {"status": "DISABLED" if "wifi reload" in on.box.calls() else "ENABLED"},
        )
    if len(lost) == 1:
        assert on.hands.reload_wifi() == ["OpenWrt-5G", "OpenWrt-Guest"]
    else:
        with pytest.raises(Unavailable, match="no network is on air 5 s after `wifi reload`, before it: OpenWrt, OpenWrt-5G"):
            on.hands.reload_wifi()


def test_two_commands_at_once_do_not_mix_their_answers(on: Handed) -> None:
    """Each has a connection of its own."""
    before = on.box.ubusd.connections
    on.hands.kick(named(IN_5G), 0)
    on.log("x")
    on.hands.log(1, "")
    assert on.box.ubusd.connections == before + 2
