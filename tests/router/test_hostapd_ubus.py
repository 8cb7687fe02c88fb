"""hostapd's objects on ubus become networks and stations, with what the platform gets wrong put right."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Unavailable
from agent.router.hostapd_ubus import SETTLE_S, HostapdObjects, parse_clients, parse_status
from agent.router.ubus import Call, Refused
from tests.fakes.ubus import FakeUbus

CAPTURES = Path(__file__).parents[1] / "captures" / "ubus"


def capture(name: str) -> dict[str, Any]:
    """Give a recorded reply."""
    read: dict[str, Any] = json.loads((CAPTURES / f"{name}.json").read_text())
    return read


STATUS = capture("hostapd-phy1-ap0-get_status")
CLIENTS = capture("hostapd-phy1-ap0-get_clients")
MAC = "02:00:00:00:03:00"


class Box:
    """One BSS on air; `now` is its clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.ubus = FakeUbus({"system": {"info": {}}, "hostapd": {}, "hostapd.phy1-ap0": {"get_status": STATUS, "get_clients": CLIENTS}})
        self.objects = HostapdObjects(self.ubus, lambda: self.now)  # type: ignore[arg-type]  # a fake in the place of the connection


def test_the_recorded_status_is_read() -> None:
    """What hostapd of OpenWrt's main printed."""
    network = parse_status("phy1-ap0", STATUS)
    assert network[:9] == ("phy1-ap0", "phy1", "OpenWrt-5G", "42:00:00:00:01:00", True, False, 5180, 36, 80)


WIDTHS = [(81, 20), (83, 40), (115, 20), (116, 40), (128, 80), (129, 160), (131, 20), (134, 160), (137, 320), (99, None)]


@pytest.mark.parametrize(("op_class", "width"), WIDTHS)
def test_the_width_comes_from_the_operating_class(op_class: int, width: int | None) -> None:
    """The status names no width; the class does."""
    assert parse_status("phy1-ap0", STATUS | {"op_class": op_class}).width_mhz == width


def test_a_radar_check_is_told_from_a_radio_that_waits_for_nothing() -> None:
    """Only with seconds left it will be on air by itself."""
    checking = STATUS | {"status": "DFS", "dfs": {"cac_seconds": 60, "cac_active": True, "cac_seconds_left": 41}}
    waiting = STATUS | {"status": "DFS", "dfs": {"cac_seconds": 60, "cac_active": False, "cac_seconds_left": 0}}
    assert [parse_status("a", status)[4:6] for status in (checking, waiting)] == [(False, True), (False, False)]


def test_the_recorded_station_is_read() -> None:
    """Address, authorised, signal; the rate is left alone."""
    (station,) = parse_clients("phy1-ap0", CLIENTS) or ()
    assert station == (MAC, "phy1-ap0", True, -27, None, None)


def test_a_station_that_was_sent_away_is_not_authorised() -> None:
    """It stays in the list for a while with all three claims false."""
    (station,) = parse_clients("phy1-ap0", capture("hostapd-get_clients-lingering")) or ()
    assert not station.authorized


@pytest.mark.parametrize(("signal", "level"), [(-61, -61), ((1 << 32) - 61, -61), (195, -61), (0, None), (5, None), (True, None), ("-61", None)])
def test_a_level_is_signed_whatever_carried_it(signal: object, level: int | None) -> None:
    """ubus has 32 bits without a sign, drivers a signed byte; 0 is no measurement."""
    (station,) = parse_clients("a", {"clients": {MAC: {"authorized": True, "signal": signal}}}) or ()
    assert station.signal_dbm == level


def test_addresses_are_in_lower_case_and_each_station_counts_once() -> None:
    """iwinfo prints capitals, hostapd none."""
    told = parse_clients("a", {"clients": {MAC.upper(): {"authorized": True}, MAC: {"authorized": True}, "no address": {"authorized": True}}}) or ()
    assert [station.mac for station in told] == [MAC]


def test_an_address_in_capitals_is_in_lower_case() -> None:
    """One with letters in it."""
    (station,) = parse_clients("a", {"clients": {"02:AB:CD:EF:03:00": {"authorized": True}}}) or ()
    assert station.mac == "02:ab:cd:ef:03:00"


def test_an_ssid_that_would_move_a_terminal_is_spelt_out() -> None:
    """Quotes and UTF-8 stay, line breaks and bytes that are not UTF-8 become escapes."""
    assert parse_status("a", STATUS | {"ssid": 'Warung "Bu Tini"\né\udcff'}).ssid == 'Warung "Bu Tini"\\x0aé\\xff'


def test_all_is_asked_in_one_exchange() -> None:
    """Two questions for each BSS, sent together."""
    box = Box()
    (network,) = box.objects.read().values()
    assert (network.is_enabled, [station.mac for station in network.stations or ()]) == (True, [MAC])
    assert box.ubus.asked == [("hostapd.phy1-ap0", "get_status"), ("hostapd.phy1-ap0", "get_clients")]


def test_a_bss_that_is_made_anew_is_followed() -> None:
    """An object that is gone is gone with the next reading, one that comes back is back."""
    box = Box()
    kept = box.ubus.answers.pop("hostapd.phy1-ap0")
    assert box.objects.read() == {}
    box.ubus.answers["hostapd.phy1-ap0"] = kept
    assert list(box.objects.read()) == ["phy1-ap0"]


def test_an_object_that_goes_between_the_questions_is_gone() -> None:
    """hostapd may die after the lookup."""
    box = Box()
    box.ubus.answers["hostapd.phy1-ap0"]["get_status"] = Refused("ubus hostapd.phy1-ap0 get_status: not found", 4)
    assert box.objects.read() == {}


def test_a_method_this_user_may_not_call_is_said() -> None:
    """A BSS one may not ask is not a BSS that is off air."""
    box = Box()
    box.ubus.answers["hostapd.phy1-ap0"]["get_status"] = Refused("ubus hostapd.phy1-ap0 get_status: permission denied", 6)
    with pytest.raises(Unavailable, match="permission denied"):
        box.objects.read()


def test_stations_that_are_refused_are_unknown_and_not_none() -> None:
    """The network is known all the same."""
    box = Box()
    box.ubus.answers["hostapd.phy1-ap0"]["get_clients"] = Refused("ubus hostapd.phy1-ap0 get_clients: permission denied", 6)
    assert box.objects.read()["phy1-ap0"].stations is None


def test_a_restarted_ubusd_does_not_make_stations_leave() -> None:
    """Its clients come back one after the other: until then nobody knows."""
    box = Box()
    box.objects.read()
    kept = box.ubus.answers.pop("hostapd.phy1-ap0")
    box.ubus.lives += 1
    with pytest.raises(Unavailable, match="ubusd was restarted"):
        box.objects.read()
    box.now += 1
    box.ubus.answers["hostapd.phy1-ap0"] = kept
    assert list(box.objects.read()) == ["phy1-ap0"]


def test_a_hostapd_that_does_not_come_back_to_a_new_ubusd_is_gone_after_a_while() -> None:
    """The doubt has an end."""
    box = Box()
    box.objects.read()
    del box.ubus.answers["hostapd.phy1-ap0"]
    box.ubus.lives += 1
    with pytest.raises(Unavailable):
        box.objects.read()
    box.now += SETTLE_S
    assert box.objects.read() == {}


@pytest.fixture
def nobody() -> Iterator[None]:
    """Not to be root, from whom ubusd hides nothing."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield
    os.seteuid(before)


@pytest.mark.usefixtures("nobody")
def test_a_missing_access_list_is_not_an_empty_box() -> None:
    """A caller without root is told that nothing exists."""
    with pytest.raises(Unavailable, match=r"acl\.d"):
        HostapdObjects(FakeUbus(), lambda: 0.0).read()  # type: ignore[arg-type]  # as above


def test_a_bss_that_appears_beside_others_is_found() -> None:
    """A push added a network; those that were there go on."""
    box = Box()
    box.objects.read()
    box.ubus.answers["hostapd.phy1-ap1"] = {"get_status": STATUS, "get_clients": CLIENTS}
    assert list(box.objects.read()) == ["phy1-ap0", "phy1-ap1"]


def test_what_was_told_beside_grows_old() -> None:
    """An answer serves the sample that it was fetched in, and no later one."""
    box = Box()
    box.ubus.answers["system"] = {"info": {"uptime": 5}}
    objects = HostapdObjects(box.ubus, lambda: box.now, Call("system", "info"))  # type: ignore[arg-type]  # as above
    objects.read()  # the object is looked up
    objects.read()
    assert objects.told_beside(1.0) == {"uptime": 5}
    box.now += 1.0
    assert objects.told_beside(1.0) is None


def test_a_wired_port_with_8021x_is_no_bss() -> None:
    """hostapd has an object for it, and its clients are no stations."""
    box = Box()
    box.ubus.answers["hostapd.lan2"] = {"get_status": {"driver": "wired", "status": "ENABLED"}, "get_clients": CLIENTS}
    assert list(box.objects.read()) == ["phy1-ap0"]


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user for a moment")
@pytest.mark.parametrize("hidden", [True, False])
def test_a_hostapd_that_is_hidden_is_told_from_one_that_is_dead(hidden: bool) -> None:
    """Part of the access list may be missing: what is denied by its name is there."""
    box = Box()
    del box.ubus.answers["hostapd.phy1-ap0"]
    box.ubus.denied = {"hostapd.phy1-ap0"} if hidden else set()
    os.seteuid(65534)
    try:
        with pytest.raises(Unavailable, match=r"acl\.d") if hidden else contextlib.nullcontext():
            assert box.objects.read(["phy1-ap0"]) == {}
    finally:
        os.seteuid(0)


INNER = ("ssid", "dfs", "clients", "signal", "op_class", "freq", "cac_active", MAC)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(INNER), inner, max_size=5),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(("ssid", "dfs", "clients", "status", "op_class", "freq", "channel", "bssid", "phy")), anything))
def test_whatever_hostapd_says_is_survived(answer: dict[str, Any]) -> None:
    """Any shape of answer is read without an exception."""
    parse_status("phy0-ap0", answer)
    parse_clients("phy0-ap0", answer)
