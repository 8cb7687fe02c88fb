"""Which port of a bridge leads out: on a /sys of files (tests/router/test_netdev.py has a bridge of the kernel's)."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.router.bridge import CHOICE_S, WayOut, parse_forwarding
from tests.fakes.sysfs import FakeSys

GATEWAY, OTHER = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")


class Flat:
    """A flat access point: br-lan over lan1, lan2 and an AP's interface, whose gateway has answered; what is up and the time are the test's."""

    def __init__(self, root: Path) -> None:
        self.now = 0.0
        self.gateway: bytes | None = GATEWAY
        self.asked: list[str] = []
        self.up = {"br-lan": True, "lan1": True, "lan2": True, "phy0-ap0": True}
        self.sys = FakeSys(root)
        self.sys.add_wlan("phy0-ap0", 0)
        self.sys.add_bridge("br-lan", {"lan1": 1, "lan2": 2, "phy0-ap0": 3})
        self.way_out = WayOut(lambda: self.now, str(root / "net"), self.gateway_mac)

    def gateway_mac(self, device: str) -> bytes | None:
        """Give the gateway's address as the neighbour table would."""
        self.asked.append(device)
        return self.gateway

    def is_behind(self, number: int) -> None:
        """Let the bridge have seen the gateway behind a port."""
        self.sys.set_forwarding("br-lan", (GATEWAY, 3, True), (OTHER, 3 - number, False), (GATEWAY, number, False))

    def leads_by(self, *bss: str) -> str:
        """Ask for the port."""
        return self.way_out.through("br-lan", self.up, bss)

    def later(self) -> str:
        """Ask again when the last choice is old."""
        self.now += CHOICE_S
        return self.leads_by()


@pytest.fixture
def flat(tmp_path: Path) -> Flat:
    """A box with two sockets, the gateway behind neither yet."""
    return Flat(tmp_path / "sys")


def test_the_only_wired_port_leads_out(flat: Flat) -> None:
    """A radio's interface is none, and a port without a carrier neither; nobody asks for the gateway."""
    flat.up["lan2"] = False
    assert flat.leads_by() == "lan1"
    assert flat.asked == []


@pytest.mark.parametrize(("number", "port"), [(1, "lan1"), (2, "lan2")])
def test_of_several_ports_the_one_with_the_gateway_behind_it_leads_out(flat: Flat, number: int, port: str) -> None:
    """The neighbour table has its address, the bridge its port."""
    flat.is_behind(number)
    assert flat.leads_by() == port
    assert flat.asked == ["br-lan"]


def test_a_bss_is_no_way_out(flat: Flat) -> None:
    """Also where the kernel shows no radio behind it."""
    assert flat.leads_by("lan2") == "lan1"


@pytest.mark.parametrize("known", [None, OTHER])
def test_undecided_it_stays_the_bridge(flat: Flat, known: bytes | None) -> None:
    """The gateway did not answer, or the bridge never saw it."""
    flat.gateway = known
    flat.sys.set_forwarding("br-lan", (GATEWAY, 1, False))
    assert flat.leads_by() == "br-lan"


def test_a_bridge_without_ports_stays_the_uplink(flat: Flat) -> None:
    """Nothing of it can be read, as for one that has just gone."""
    assert flat.way_out.through("br-none", {"br-none": True}, ()) == "br-none"


def test_a_pulled_cable_leaves_its_port_the_uplink(flat: Flat) -> None:
    """Neither the bridge nor a guest's computer in the other socket takes its place."""
    flat.is_behind(1)
    flat.leads_by()
    flat.up["lan1"] = False
    flat.sys.set_forwarding("br-lan", (OTHER, 2, False))
    assert [flat.leads_by(), flat.later()] == ["lan1", "lan1"]
    flat.up["lan2"] = False
    assert flat.later() == "lan1"


def test_a_cable_put_into_another_socket_leads_out_there(flat: Flat) -> None:
    """As soon as the gateway was seen behind it."""
    flat.is_behind(1)
    flat.leads_by()
    flat.up["lan1"] = False
    flat.is_behind(2)
    assert flat.leads_by() == "lan2"


def test_a_port_that_is_gone_leads_nowhere(flat: Flat) -> None:
    """What was taken out of the box cannot be reported."""
    flat.up["lan2"] = False
    flat.leads_by()
    del flat.up["lan1"]
    assert flat.leads_by() == "br-lan"


def test_a_choice_stands_while_the_gateway_is_silent(flat: Flat) -> None:
    """The uplink must not jump to the bridge and back with each entry that grew old."""
    flat.is_behind(2)
    flat.leads_by()
    flat.gateway = None
    assert flat.later() == "lan2"


def test_a_choice_is_believed_for_seconds(flat: Flat) -> None:
    """One look for many samples, and another one after that."""
    flat.is_behind(1)
    for _ in range(5):
        flat.leads_by()
    assert len(flat.asked) == 1
    flat.is_behind(2)
    assert flat.later() == "lan2"


def test_number_beyond_a_byte() -> None:
    """A bridge may have 1023 ports; the number's high byte stands apart."""
    entry = struct.pack("=6sBBIBBH", GATEWAY, 0x02, 0, 1, 0x01, 0, 0)
    assert parse_forwarding(entry, GATEWAY) == 0x102


@given(st.binary(max_size=200))
def test_no_bytes_break_the_parser(raw: bytes) -> None:
    """A number or None."""
    number = parse_forwarding(raw, GATEWAY)
    assert number is None or number >= 0
