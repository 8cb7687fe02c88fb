"""agent/router/public_device.py: behind which device the public network lies, and where questions for names can be sent elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.router import public_device
from agent.router.uci import parse
from tests.documents import tree_of, with_option, with_section

# As /proc/net/route and /proc/net/ipv6_route have them: the way out is eth1, and br-guest is in 10.0.3.0/24.
ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth1\t00000000\t0264A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth1\t0064A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
br-guest\t0003000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
br-far\t0004000A\t0203000A\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""
ROUTES6 = f"{'0' * 32} 00 {'0' * 32} 00 fe80{'0' * 27}1 00000400 00000001 00000000 00000003     eth2\n"


class Box:
    """A box's files and programs."""

    def __init__(self, folder: Path) -> None:
        self.net, self.proc, self.bin = folder / "net", folder / "proc", folder / "bin"
        for one in (self.net, self.proc, self.bin):
            one.mkdir()
        (self.proc / "route").write_text(ROUTES)
        (self.proc / "ipv6_route").write_text(ROUTES6)
        for program in ("nft", "ip", "nslookup"):
            self.program(program)

    def program(self, name: str) -> None:
        (self.bin / name).write_text("#!/bin/sh\n")
        (self.bin / name).chmod(0o755)

    def bridge(self, name: str, *ports: str) -> None:
        (self.net / name / "brif").mkdir(parents=True)
        for port in ports:
            (self.net / name / "brif" / port).touch()

    def problem(self, device: str, uplink: str = "") -> str:
        return public_device.problem(device, uplink, f"/nowhere:{self.bin}", str(self.net), str(self.proc))


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def test_a_bridge_of_its_own_can_be_spoken_for(box: Box) -> None:
    """A bridge that the uplink is no port of, or a device that is none."""
    box.bridge("br-guest", "wlan0")
    assert box.problem("br-guest", "eth1") == box.problem("wlan1") == ""


@pytest.mark.parametrize(("ports", "uplink"), [(("wlan0", "eth1"), ""), (("wlan0", "eth2"), ""), (("wlan0", "pppoe-wan"), "pppoe-wan")])
def test_a_bridge_that_the_uplink_is_a_port_of_cannot(box: Box, ports: tuple[str, ...], uplink: str) -> None:
    """On a flat access point nothing passes the rules: by IPv4's way out, by IPv6's, or by the one that the settings name."""
    box.bridge("br-guest", *ports)
    assert "flat" in box.problem("br-guest", uplink)


def test_the_way_out_itself_cannot(box: Box) -> None:
    """A bridge by which this box itself goes out leads out."""
    assert "flat" in box.problem("eth1") and "flat" in box.problem("eth2")


@pytest.mark.parametrize(("program", "says"), [("nft", "nftables"), ("ip", "iproute2"), ("nslookup", "nslookup")])
def test_a_box_without_the_programs_says_which(box: Box, program: str, says: str) -> None:
    """What to install is said."""
    (box.bin / program).unlink()
    assert says in box.problem("br-guest")


def test_busybox_asks_too(box: Box) -> None:
    """A box has nslookup also when only BusyBox has it."""
    (box.bin / "nslookup").unlink()
    box.program("busybox")
    assert box.problem("br-guest") == ""


@pytest.mark.parametrize("device", ["", "br guest", 'br"; flush', "-o"])
def test_what_nft_could_not_name_cannot(box: Box, device: str) -> None:
    """No name comes into a rule that could be more than a name."""
    assert "no single device" in box.problem(device)


def test_an_address_shows_by_the_network_on_the_device(tmp_path: Path) -> None:
    """A network behind another gateway is not this box's own, nor is the whole world."""
    (tmp_path / "route").write_text(ROUTES)
    has = [public_device.has_address(device, str(tmp_path)) for device in ("br-guest", "br-far", "eth1", "br-none")]
    assert has == [True, False, True, False]
    assert not public_device.has_address("br-guest", str(tmp_path / "nowhere"))


TREE = tree_of("rig-x86")


def test_the_device_of_one_of_netifds_networks() -> None:
    """It stands in `device`; in `ifname` or by the network's name where UCI is older; or it is another network's."""
    assert public_device.of_network(TREE, "guest") == "br-guest"
    old = {"network": parse("network.guest=interface\nnetwork.guest.type='bridge'\nnetwork.guest.ifname='eth0.3 eth0.4'\n")}
    assert public_device.of_network(old, "guest") == "br-guest"
    assert public_device.of_network({"network": parse("network.guest=interface\nnetwork.guest.ifname='eth0.3'\n")}, "guest") == "eth0.3"
    alias = with_section(TREE, "network", "also", "interface", device="@guest")
    assert public_device.of_network(alias, "also") == "br-guest"


def test_a_network_without_one_device_has_none() -> None:
    """None, two, or aliases of each other that lead nowhere."""
    assert public_device.of_network(TREE, "none") == ""
    assert public_device.of_network(with_option(TREE, "network", "guest", "device", "a b"), "guest") == ""
    circle = with_section(with_section({}, "network", "a", "interface", device="@b"), "network", "b", "interface", device="@a")
    assert public_device.of_network(circle, "a") == ""


def test_only_a_network_that_this_box_has_an_address_in(box: Box) -> None:
    """A network that it only bridges, or asks others for an address in, is not its own to route."""

    def problem(tree: object, name: str = "guest") -> str:
        return public_device.problem_of_network(tree, name, "", str(box.bin), str(box.net))  # type: ignore[arg-type]  # a tree

    assert problem(TREE) == ""
    assert problem(TREE, "") == "router.public_network is not set"
    for proto in ("none", "dhcp"):
        assert "has no address of this box" in problem(with_option(TREE, "network", "guest", "proto", proto))
    assert "has no address of this box" in problem(TREE, "elsewhere")
