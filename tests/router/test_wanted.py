"""The facts as they are put together from netifd's answer, UCI and /sys."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.router import facts
from agent.router.uci import Section, parse
from agent.router.wanted import Told, compose

CAPTURES = Path(__file__).parents[1] / "captures" / "openwrt"
DEVICES = Path(__file__).parents[1] / "devices"
BOARDS = sorted(path.name for path in DEVICES.iterdir() if (path / "expected-wireless.json").exists()) if DEVICES.exists() else []
CONFIGS = ("wireless", "dhcp", "firewall", "network")
# What may stand in a wifi-iface, wifi-device, wifi-station or wifi-vlan and is nobody's business.
SECRET_OPTIONS = [
    "key", "key1", "key2", "key3", "key4", "sae_password", "password", "auth_secret", "acct_secret", "dae_secret", "private_key_passwd",
    "priv_key_pwd", "priv_key2_pwd", "wps_pin", "ap_pin", "maclist", "identity", "anonymous_identity", "r0kh", "r1kh", "wpa_psk_file",
    "sae_password_file", "multi_ap_backhaul_key", "auth_server_shared_secret", "acct_server_shared_secret", "radius_das_secret", "radius_das_client",
    "dpp_csign", "dpp_netaccesskey", "eap_user_file", "hostapd_bss_options", "macaddr", "bssid", "macfile", "nasid",
]  # fmt: skip


class Sys:
    """A /sys with phys behind their devices."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.classes = root / "class"
        (self.classes / "net").mkdir(parents=True)
        (self.classes / "ieee80211").mkdir()

    def add_phy(self, name: str, index: int, path: str, macaddress: str = "02:00:00:00:00:00") -> None:
        """Add a phy of the device that has this path below /sys/devices."""
        device = self.root / "devices" / path.partition("+")[0]
        phy = device / "ieee80211" / name
        phy.mkdir(parents=True)
        (phy / "index").write_text(f"{index}\n")
        (phy / "macaddress").write_text(f"{macaddress}\n")
        (phy / "name").write_text(f"{name}\n")
        (phy / "device").symlink_to(device)
        (self.classes / "ieee80211" / name).symlink_to(phy)

    def add_wlan(self, ifname: str, phy: str) -> None:
        """Add an interface of a phy."""
        (self.classes / "net" / ifname).mkdir()
        (self.classes / "net" / ifname / "phy80211").symlink_to((self.classes / "ieee80211" / phy).resolve())


@pytest.fixture
def sys(tmp_path: Path) -> Sys:
    """An empty /sys."""
    return Sys(tmp_path / "sys")


def composed(status: Mapping[str, object] | None, sys: Sys | None = None, **configs: str) -> dict[str, Any]:
    """The facts of netifd's answer and of UCI's text."""
    return compose(Told(status, {name: parse(text) for name, text in configs.items()}), str(sys.classes) if sys else "/nowhere")


def netifd(*interfaces: Mapping[str, object], **config: object) -> dict[str, object]:
    """An answer of netifd with one radio."""
    return {"radio0": {"up": True, "pending": False, "disabled": False, "config": config, "interfaces": list(interfaces)}}


def iface(section: str, ifname: str | None = None, **config: object) -> dict[str, object]:
    """One interface of netifd's answer."""
    return {"section": section, "config": {"mode": "ap"} | config} | ({"ifname": ifname} if ifname else {})


def networks(found: dict[str, Any], radio: str = "radio0") -> dict[str, dict[str, Any]]:
    return {one["section"]: one for one in found["radios"][radio]["networks"]}


def show(config: str, *sections: tuple[str, str, dict[str, str]]) -> str:
    """UCI's text of sections: type, name, options."""
    lines = []
    for kind, name, options in sections:
        lines.append(f"{config}.{name}={kind}\n")
        lines += [f"{config}.{name}.{option}='" + value.replace("'", "'\\''") + "'\n" for option, value in options.items()]
    return "".join(lines)


def wifi(name: str, **options: str) -> tuple[str, str, dict[str, str]]:
    return ("wifi-iface", name, {"device": "radio0", "mode": "ap"} | options)


RADIO = ("wifi-device", "radio0", {"type": "mac80211", "band": "2g", "channel": "6"})


# Whole boards.


def board_told(board: Path) -> Told:
    configs: dict[str, dict[str, Section] | None] = {}
    for name in CONFIGS:
        path = board / "uci" / f"{name}.txt"
        configs[name] = parse(path.read_text()) if path.exists() else None
    return Told(json.loads((board / "ubus" / "network.wireless.status.json").read_text()), configs)


@pytest.mark.parametrize("name", BOARDS)
def test_board(name: str, sys: Sys) -> None:
    """Each board's facts are the expected ones."""
    board = json.loads((DEVICES / name / "board.json").read_text())
    for phy, one in board.get("phys", {}).items():
        sys.add_phy(phy, one["index"], one["path"], one["macaddress"])
    for ifname, phy in board.get("wlans", {}).items():
        sys.add_wlan(ifname, phy)
    assert compose(board_told(DEVICES / name), str(sys.classes)) == json.loads((DEVICES / name / "expected-wireless.json").read_text())


@pytest.mark.parametrize("name", BOARDS)
def test_board_by_uci_alone(name: str) -> None:
    """Without netifd the same radios and networks are wanted, in the same words, without interfaces and without a state."""
    told = board_told(DEVICES / name)
    alone = facts.parse(json.dumps(compose(told._replace(status=None), "/nowhere")))
    whole = facts.parse(json.dumps(compose(told, "/nowhere")))
    assert [(radio.name, radio.band, radio.channel, radio.htmode, radio.country) for radio in alone.radios] == [
        (radio.name, radio.band, radio.channel, radio.htmode, radio.country) for radio in whole.radios
    ]
    for before, after in zip(whole.radios, alone.radios, strict=True):
        assert {one.section: one._replace(ifname=None) for one in after.networks} == {one.section: one._replace(ifname=None) for one in before.networks}
        assert after.is_up is None and after.phy is None


def captured(name: str) -> dict[str, Any]:
    return json.loads((CAPTURES / f"{name}-network-wireless-status.json").read_text())  # type: ignore[no-any-return]


def test_three_radios_of_a_capture() -> None:
    """ipq50xx, 25.12.2: the interface says which phy it is, and the third radio has no network."""
    found = facts.parse(json.dumps(composed(captured("ipq50xx-25.12.2"))))
    assert [(radio.name, [one.ifname for one in radio.networks]) for radio in found.radios] == [
        ("radio0", ["phy1-ap0"]),
        ("radio1", ["phy2-ap0"]),
        ("radio2", []),
    ]


def test_netifd_alone_tells_of_wifi_only(sys: Sys) -> None:
    """Where uci does not answer, netifd's networks are all there is (rig)."""
    found = composed(captured("rig"), sys)
    assert found.keys() == {"v", "radios"}
    assert [one["ssid"] for one in found["radios"]["radio0"]["networks"]] == ["OpenWrt", "OpenWrt-Guest"]


def test_nobody_tells_anything() -> None:
    """Nothing is made up."""
    assert composed(None) == {"v": 1}


# Nothing that is a secret.


def planted(options: list[str]) -> Iterator[tuple[str, str]]:
    return ((option, f"planted-{option}-{number}") for number, option in enumerate(options))


def leaks(found: dict[str, Any]) -> list[str]:
    text = json.dumps(found)
    return [option for option, secret in planted(SECRET_OPTIONS) if secret in text or secret.removeprefix("planted-") in text]


def test_no_secret_comes_through() -> None:
    """Of keys, passwords, secrets and addresses in any section netifd or UCI shows, none is in the facts."""
    secrets = dict(planted(SECRET_OPTIONS))
    station = {"section": "sta0", "config": secrets}
    status = netifd(iface("a", "phy0-ap0", ssid="s", **secrets) | {"stations": [station], "vlans": [station]}, **secrets)
    status["radio0"]["data"] = secrets  # type: ignore[index]
    more = [(kind, f"x{number}", secrets) for number, kind in enumerate(("wifi-station", "wifi-vlan", "wifi-iface", "dnsmasq", "dhcp", "host"))]
    text = show("wireless", RADIO, wifi("a", ssid="s", **secrets), wifi("b", ssid="t", disabled="1", **secrets), *more)
    found = composed(status, wireless=text, dhcp=text, firewall=text, network=text)
    assert found["radios"]["radio0"]["networks"][1]["ssid"] == "t"
    assert leaks(found) == []


def test_the_search_for_secrets_finds_one() -> None:
    """Where a secret stands in a field that is copied, the search says so."""
    secrets = dict(planted(SECRET_OPTIONS))
    assert leaks(composed(netifd(iface("a", ssid=secrets["auth_secret"])))) == ["auth_secret"]


@pytest.mark.parametrize("field", ["band", "channel", "htmode", "country", "mode", "encryption"])
@pytest.mark.parametrize("value", ["rahasia123", "psk2 rahasia", "6; reboot", "HT20\n", "saerahasia", "psk2+rahasia", ""])
def test_a_value_that_is_none_of_its_kind_is_left_out(field: str, value: str) -> None:
    """A key typed into another option is not copied from there."""
    found = composed(netifd(iface("a", **{field: value}), **{field: value}))["radios"]["radio0"]
    assert field not in found or field == "mode"
    assert field not in found["networks"][0] or found["networks"][0]["mode"] == "ap"
    assert "rahasia" not in json.dumps(found)


@pytest.mark.parametrize(
    "word",
    [
        "none",
        "owe",
        "psk",
        "psk2",
        "psk3",
        "psk-mixed",
        "psk3-mixed",
        "sae",
        "sae-mixed",
        "sae-compat",
        "wpa",
        "wpa2",
        "wpa3",
        "wpa-mixed",
        "wpa3-mixed",
        "wpa3-192",
        "wep",
        "wep+shared",
        "psk2+ccmp",
        "psk-mixed+tkip+ccmp",
        "psk2-radius",
        "sae+gcmp256",
    ],
)
def test_openwrts_words_for_encryption_are_known(word: str) -> None:
    """All that OpenWrt's scripts take is copied."""
    assert networks(composed(netifd(iface("a", encryption=word))))["a"]["encryption"] == word


# SSIDs and other text.


@pytest.mark.parametrize(
    ("ssid", "text"),
    [
        ('Warung "Bu Sri" d\'Malang ☕', 'Warung "Bu Sri" d\'Malang ☕'),
        ("a\nwireless.x=wifi-iface", "a\\x0awireless.x=wifi-iface"),
        ("$(reboot) `id`", "$(reboot) `id`"),
        ("\x1b[2J\x00", "\\x1b[2J\\x00"),
        (b"\xff\xfe".decode("utf-8", "surrogateescape"), "\\xff\\xfe"),
        ("\u202e", "\\u202e"),
        ("\x01" * 32, "\\x01" * 32),
    ],
)
def test_an_ssid_is_text_for_people(ssid: str, text: str) -> None:
    """Whatever bytes an SSID has, from netifd or from UCI, the facts have it as text that prints, and the daemon reads it."""
    found = [composed(netifd(iface("a", ssid=ssid))), composed(None, wireless=show("wireless", RADIO, wifi("a", ssid=ssid)))]
    for one in found:
        assert networks(one)["a"]["ssid"] == text
        assert facts.parse(json.dumps(one)).radios[0].networks[0].ssid == text


@pytest.mark.parametrize("ssid", ["", "\ud800", "x" * 129, None, True, [], {"a": 1}])
def test_an_ssid_that_is_none_is_left_out(ssid: object) -> None:
    """The network stays, without it."""
    assert "ssid" not in networks(composed(netifd(iface("a", ssid=ssid))))["a"]


def test_numbers_are_as_good_as_text() -> None:
    """netifd types a channel, and an SSID of digits, as it likes."""
    found = composed(netifd(iface("a", ssid=12345), channel=36))
    assert found["radios"]["radio0"]["channel"] == "36"
    assert networks(found)["a"]["ssid"] == "12345"


# Radios and networks.


def test_a_disabled_network_is_known() -> None:
    """netifd leaves it out; UCI has it, and it is not forgotten."""
    text = show("wireless", RADIO, wifi("a", ssid="s"), wifi("b", ssid="t", disabled="1"))
    found = networks(composed(netifd(iface("a", "phy0-ap0", ssid="s")), wireless=text))
    assert found["a"]["ifname"] == "phy0-ap0" and found["a"]["disabled"] is False
    assert "ifname" not in found["b"] and found["b"]["disabled"] is True


def test_networks_of_a_disabled_radio_are_known() -> None:
    """netifd lists none of them."""
    status = netifd()
    status["radio0"]["disabled"] = True  # type: ignore[index]
    found = composed(status, wireless=show("wireless", RADIO, wifi("a", ssid="s")))
    assert found["radios"]["radio0"]["disabled"] is True and networks(found)["a"]["disabled"] is False


def test_a_disabled_radio_by_uci_alone() -> None:
    """UCI's word for it is enough."""
    found = composed(None, wireless=show("wireless", ("wifi-device", "radio0", {"disabled": "1"})))
    assert found["radios"]["radio0"] == {"disabled": True, "networks": []}


def test_netifds_states_are_carried() -> None:
    """Up although hostapd failed is netifd's word, as it is; so is that it gave up."""
    status = netifd(iface("a"))
    status["radio0"] |= {"up": True, "pending": True, "retry_setup_failed": True}  # type: ignore[operator]
    assert composed(status)["radios"]["radio0"].items() >= {"up": True, "pending": True, "retry_setup_failed": True}.items()


def test_other_modes_are_carried() -> None:
    """A client and a mesh are networks too, and say what they are."""
    found = networks(composed(netifd(iface("a", mode="sta"), iface("b", mode="mesh"), iface("c", hidden="1"), iface("d", ignore_broadcast_ssid=True))))
    assert [one["mode"] for one in found.values()] == ["sta", "mesh", "ap", "ap"]
    assert [one["hidden"] for one in found.values()] == [False, False, True, True]


def test_one_network_on_two_radios() -> None:
    """A list of devices (25.12) puts a network on each of them."""
    text = show("wireless", RADIO, ("wifi-device", "radio1", {"hwmode": "11a"}), wifi("a")) + "wireless.a.device='radio0' 'radio1'\n"
    found = composed(None, wireless=text)
    assert "a" in networks(found) and "a" in networks(found, "radio1")
    assert found["radios"]["radio1"]["band"] == "5g"


@pytest.mark.parametrize("value", [["lan", "guest"], "lan guest"])
def test_bridges_as_a_list_or_as_one_text(value: object) -> None:
    """UCI takes both for a list."""
    assert networks(composed(netifd(iface("a", network=value))))["a"]["network"] == ["lan", "guest"]


# Which phy a radio is.


def test_the_interface_tells_the_phy(sys: Sys) -> None:
    """What runs is surer than what is configured."""
    sys.add_phy("phy0", 0, "platform/soc/18000000.wifi")
    sys.add_phy("phy1", 1, "platform/soc/18000000.wifi+1")
    sys.add_wlan("phy1-ap0", "phy1")
    assert composed(netifd(iface("a", "phy1-ap0"), path="platform/soc/18000000.wifi"), sys)["radios"]["radio0"]["phy"] == "phy1"


@pytest.mark.parametrize(
    ("path", "phy"),
    [
        ("platform/soc/18000000.wifi", "phy0"),
        ("platform/soc/18000000.wifi+1", "phy10"),
        ("platform/soc/18000000.wifi+2", None),
        ("soc/18000000.wifi", "phy0"),
        ("soc/18000000.wifi+x", "phy0"),
        ("soc/0.pcie/pci0000:00/0000:00:00.0/0000:01:00.0", "phy2"),
        ("pci0000:00/0000:00:00.0/0000:09:00.0", None),
        ("+1", None),
    ],
)
def test_the_path_tells_the_phy(path: str, phy: str | None, sys: Sys) -> None:
    """As OpenWrt matches it: the end of the device's path, and +N for the device's further phys in the kernel's order, not in that of names."""
    sys.add_phy("phy0", 0, "platform/soc/18000000.wifi")
    sys.add_phy("phy10", 10, "platform/soc/18000000.wifi+1")
    sys.add_phy("phy2", 2, "platform/soc/0.pcie/pci0000:00/0000:00:00.0/0000:01:00.0")
    found = [composed(netifd(path=path), sys), composed(None, sys, wireless=show("wireless", ("wifi-device", "radio0", {"path": path})))]
    assert [one["radios"]["radio0"].get("phy") for one in found] == [phy, phy]


def test_one_of_several_paths(sys: Sys) -> None:
    """A radio may have moved with a kernel: its paths are tried in turn."""
    sys.add_phy("phy0", 0, "platform/soc@0/1.wifi")
    assert composed(netifd(path=["platform/ahb/1.wifi", "platform/soc@0/1.wifi"]), sys)["radios"]["radio0"]["phy"] == "phy0"


def test_name_and_address_tell_the_phy(sys: Sys) -> None:
    """Where no path is configured; a phy that is not there is none."""
    sys.add_phy("wl0", 0, "a", "02:00:00:00:00:01")
    sys.add_phy("wl1", 1, "b", "02:00:00:00:00:02")
    assert composed(netifd(phy="wl1"), sys)["radios"]["radio0"]["phy"] == "wl1"
    assert composed(netifd(macaddr="02:00:00:00:00:02"), sys)["radios"]["radio0"]["phy"] == "wl1"
    assert "phy" not in composed(netifd(phy="phy0"), sys)["radios"]["radio0"]


# OWE transition pairs.


@pytest.mark.parametrize(
    ("of_open", "of_owe"),
    [
        ({"owe_transition_ifname": "phy0-ap1"}, {"owe_transition_ifname": "phy0-ap0"}),
        ({"owe_transition_ifname": "phy0-ap1"}, {}),
        ({}, {"owe_transition_ifname": "phy0-ap0"}),
        ({"owe_transition_ssid": "hidden half"}, {"owe_transition_ssid": "RW 05"}),
        ({}, {"owe_transition_ssid": "RW 05", "owe_transition_bssid": "02:00:00:00:00:01"}),
        ({"macaddr": "02:00:00:00:00:0A"}, {"owe_transition_bssid": "02:00:00:00:00:0a"}),
    ],
)
def test_both_halves_carry_the_open_halfs_name(of_open: dict[str, str], of_owe: dict[str, str]) -> None:
    """Two sections that name each other, or of which one names the other, by interface, SSID or address."""
    status = netifd(
        iface("open", "phy0-ap0", ssid="RW 05", encryption="none", **of_open),
        iface("owe", "phy0-ap1", ssid="hidden half", encryption="owe", hidden=True, **of_owe),
        iface("other", "phy0-ap2", ssid="Kantor", encryption="psk2"),
        iface("stranger", "phy0-ap3", ssid="Warung", encryption="none"),
    )
    found = networks(composed(status))
    assert [one.get("pair") for one in found.values()] == ["RW 05", "RW 05", None, None]


def test_a_pair_by_uci_alone() -> None:
    """The names of the interfaces that UCI has are enough."""
    text = show(
        "wireless",
        RADIO,
        wifi("open", ifname="phy0-ap0", ssid="RW 05", owe_transition_ifname="phy0-ap1"),
        wifi("owe", ifname="phy0-ap1", ssid="x", encryption="owe", owe_transition_ifname="phy0-ap0"),
    )
    assert [one["pair"] for one in networks(composed(None, wireless=text)).values()] == ["RW 05", "RW 05"]


def test_half_a_pair_is_none() -> None:
    """A reference into the void makes no pair."""
    found = networks(composed(netifd(iface("a", "phy0-ap0", ssid="RW 05", encryption="none", owe_transition_ifname="phy0-ap7"))))
    assert "pair" not in found["a"]


def test_owe_transition_makes_two(sys: Sys) -> None:
    """25.12: the section's interface is the hidden half, and the open half takes the next number."""
    sys.add_phy("phy0", 0, "soc/wifi")
    sys.add_wlan("phy0-ap1", "phy0")
    sys.add_wlan("phy0-ap2", "phy0")
    status = netifd(
        iface("a", "phy0-ap0", ssid="Kantor", encryption="psk2"),
        iface("b", "phy0-ap1", ssid="RW 05", encryption="owe", owe_transition=True, network=["guest"]),
        path="soc/wifi",
    )
    found = networks(composed(status, sys))
    common = {"mode": "ap", "disabled": False, "network": ["guest"], "pair": "RW 05"}
    assert found["b"] == common | {"section": "b", "ifname": "phy0-ap1", "ssid": "RW 05OWE", "encryption": "owe", "hidden": True}
    assert found["b+open"] == common | {"section": "b+open", "ifname": "phy0-ap2", "ssid": "RW 05", "encryption": "none", "hidden": False}


def test_the_open_half_is_named_only_where_it_is(sys: Sys) -> None:
    """Its name is our reckoning, not netifd's: without such an interface there is none."""
    sys.add_phy("phy0", 0, "soc/wifi")
    found = networks(composed(netifd(iface("b", "phy0-ap0", ssid="RW 05", encryption="owe", owe_transition=True), path="soc/wifi"), sys))
    assert "ifname" not in found["b+open"] and found["b+open"]["pair"] == "RW 05"


@pytest.mark.parametrize(("config", "ifname"), [({"radio": "1"}, "phy0.1-ap1"), ({"radio": -1}, "phy0-ap1"), ({"ifname_prefix": "wifi"}, "wifiap1")])
def test_the_open_halfs_name_follows_the_radio(config: dict[str, object], ifname: str, sys: Sys) -> None:
    """One of several radios of a phy has its number in the name, and a prefix may be configured."""
    sys.add_phy("phy0", 0, "soc/wifi")
    sys.add_wlan(ifname, "phy0")
    found = networks(composed(netifd(iface("b", "own", ssid="RW 05", encryption="owe", owe_transition=True), path="soc/wifi", **config), sys))
    assert found["b+open"]["ifname"] == ifname


def test_scripts_that_do_not_know_owe_transition_make_one() -> None:
    """24.10: netifd leaves the option out of its answer, and there is one network."""
    text = show("wireless", RADIO, wifi("b", ssid="RW 05", encryption="owe", owe_transition="1"))
    found = networks(composed(netifd(iface("b", "phy0-ap0", ssid="RW 05", encryption="owe")), wireless=text))
    assert list(found) == ["b"] and "pair" not in found["b"]


# DHCP, firewall, network.


def pools(*sections: tuple[str, str, dict[str, str]], network: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = composed(None, dhcp=show("dhcp", *sections), **({"network": network} if network else {}))["dhcp"]
    return found


def test_pools_are_those_that_serve_ipv4() -> None:
    """An ignored one, one for IPv6 only and one of no network are none; where no size is set it is OpenWrt's own."""
    found = pools(
        ("dhcp", "lan", {"interface": "lan", "limit": "100"}),
        ("dhcp", "wan", {"interface": "wan", "ignore": "1"}),
        ("dhcp", "six", {"interface": "six", "dhcpv4": "disabled"}),
        ("dhcp", "far", {"interface": "far", "dhcpv4": "relay"}),
        ("dhcp", "nothing", {"limit": "5"}),
        ("dhcp", "cfg0", {"interface": "guest", "dhcpv4": "server"}),
        ("host", "cfg1", {"interface": "hosts"}),
    )
    assert found == {"lan": {"limit": 100}, "guest": {"limit": 150}}


def test_pools_of_one_network_add_up() -> None:
    """Two ranges are one pool; one of unknown size makes it unknown."""
    assert pools(("dhcp", "a", {"interface": "lan", "limit": "10"}), ("dhcp", "b", {"interface": "lan", "limit": "20"})) == {"lan": {"limit": 30}}
    assert pools(("dhcp", "a", {"interface": "lan", "limit": "x"}), ("dhcp", "b", {"interface": "lan"})) == {"lan": {}}


@pytest.mark.parametrize("limit", ["0x10", "-1", "1e3", "١٥٠", "99999999"])
def test_a_limit_that_is_none_is_unknown(limit: str) -> None:
    """The pool is there; how large is not known."""
    assert pools(("dhcp", "a", {"interface": "lan", "limit": limit})) == {"lan": {}}


def test_fixed_leases_only_is_no_size() -> None:
    """A pool for known devices only has as many addresses as it has devices."""
    assert pools(("dhcp", "a", {"interface": "lan", "dynamicdhcp": "0", "limit": "9"})) == {"lan": {}}


def test_a_pool_without_an_address_of_ours_serves_nobody() -> None:
    """The network is gone, or gets its own address by DHCP."""
    network = show("network", ("interface", "lan", {"proto": "static"}), ("interface", "wan", {"proto": "dhcp"}))
    sections = [("dhcp", name, {"interface": name}) for name in ("lan", "wan", "gone")]
    assert pools(*sections, network=network) == {"lan": {"limit": 150}}


def test_captured_dhcp_and_network() -> None:
    """The rig's pools, lease file and networks."""
    found = composed(None, dhcp=(CAPTURES / "rig-uci-show-dhcp.txt").read_text(), network=(CAPTURES / "rig-uci-show-network.txt").read_text())
    assert found == {
        "v": 1,
        "dhcp": {"lan": {"limit": 150}, "guest": {"limit": 150}},
        "lease_file": "/tmp/dhcp.leases",
        "networks": ["lan", "wan", "guest"],
    }


@pytest.mark.parametrize("path", ["leases", "/tmp/a b", "/tmp/a\nb", "/" + "x" * 300])
def test_a_lease_file_that_is_no_path_is_left_out(path: str) -> None:
    """No odd text where the daemon expects a path."""
    assert "lease_file" not in composed(None, dhcp=show("dhcp", ("dnsmasq", "cfg0", {"leasefile": path})))


@pytest.mark.parametrize(
    ("options", "offload"),
    [({}, (False, False)), ({"flow_offloading": "1"}, (True, False)), ({"flow_offloading": "1", "flow_offloading_hw": "1"}, (True, True)),
     ({"flow_offloading_hw": "1"}, (False, False))],
)  # fmt: skip
def test_offload(options: dict[str, str], offload: tuple[bool, bool]) -> None:
    """Hardware offload is nothing without the software's."""
    found = composed(None, firewall=show("firewall", ("defaults", "cfg0", options), ("zone", "cfg1", {"flow_offloading": "1"})))["offload"]
    assert (found["software"], found["hardware"]) == offload


# Bounds.


def test_the_largest_router_fits_the_file() -> None:
    """As many radios and networks as are taken, each with all that can be in it, and the daemon reads it all."""
    section = "n" * 32
    status = {
        f"radio{radio:02}": {
            "up": True,
            "config": {"band": "60g", "channel": "196", "htmode": "EHT320+", "country": "ID"},
            "interfaces": [
                iface(section, "i" * 15, ssid="\x01" * 32, encryption="owe", owe_transition_ssid="\x01" * 32, network=["b" * 32] * 9),
                iface(section, "i" * 15, ssid="\x01" * 32, encryption="none", owe_transition_ssid="\x01" * 32, network=["b" * 32] * 9),
            ]
            * 20,
        }
        for radio in range(40)
    }
    names = [f"{number:032}" for number in range(100)]
    found = composed(
        status,
        dhcp=show("dhcp", *(("dhcp", name, {"interface": name}) for name in names)),
        network=show("network", *(("interface", name, {"proto": "static"}) for name in names)),
    )
    text = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
    assert len(text.encode()) <= facts.FILE_BYTES
    read = facts.parse(text)
    assert len(read.radios) == facts.MOST_RADIOS and sum(len(radio.networks) for radio in read.radios) == facts.MOST_NETWORKS
    assert len(read.networks or ()) == len(read.pools or ()) == facts.MOST_NETWORKS


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from(["owe", "none", "ap", "radio0", "phy0-ap0", "1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "config",
                    "interfaces",
                    "section",
                    "ifname",
                    "ssid",
                    "mode",
                    "encryption",
                    "device",
                    "network",
                    "path",
                    "radio",
                    "owe_transition",
                    "owe_transition_ifname",
                    "up",
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@given(
    st.dictionaries(st.text(max_size=6) | st.just("radio0"), JSON, max_size=3),
    st.dictionaries(st.text("abradio0", max_size=6), st.text(max_size=6), max_size=4),
)
def test_no_answer_breaks_it(status: dict[str, Any], options: dict[str, str]) -> None:
    """Whatever netifd or UCI say, what comes out can be written, and the daemon reads it as it is."""
    text = show("wireless", RADIO, wifi("a", **options), *(("wifi-iface", name, {"device": "radio0"}) for name in options if name.isalnum()))
    found = composed(status, wireless=text, dhcp=text, network=text, firewall=text)
    assert found == json.loads(json.dumps(found).encode())
    read = facts.parse(json.dumps(found))
    assert [radio.name for radio in read.radios] == list(found["radios"])


def test_a_hostile_interface_name_leads_nowhere(sys: Sys) -> None:
    """A name with a path in it is not looked up, and not copied."""
    (sys.root / "phy80211").mkdir()
    (sys.root / "phy80211" / "name").write_text("phy9\n")
    assert os.path.exists(sys.classes / "net" / "../.." / "phy80211")
    found = composed(netifd(iface("a", "../..")), sys)["radios"]["radio0"]
    assert "phy" not in found and "ifname" not in found["networks"][0]
