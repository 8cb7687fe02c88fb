"""A network and what the kernel says of its device: one row for the collectors, whichever backend found it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from agent.records import Bss
from agent.router.netdev import Netdev
from agent.router.networks import Network, operstate, rows
from tests.fakes.sysfs import FakeSys


@pytest.fixture
def sys_class(tmp_path: Path) -> str:
    """A /sys/class with one wireless device, of the number 5."""
    made = FakeSys(tmp_path / "sys")
    made.add_wlan("wlan0", 0)
    return str(made.root)


def test_a_network_without_a_device_has_neither_number_nor_counters(sys_class: str) -> None:
    """One that is wanted and not on air; nothing of it is 0."""
    wanted = Network("phy9-ap9", "radio9", "5g", "RW 05", None, False, "pair")
    assert rows([wanted], Netdev(time.monotonic), sys_class) == [Bss("phy9-ap9", "radio9", "5g", "RW 05", None, False, None, None, "pair", None)]


def test_rows_stand_in_the_order_of_their_networks(sys_class: str) -> None:
    """Each with the number of its own device, and its name as text for people."""
    networks = [Network(name, "phy0", None, None, None, True) for name in ("odd\tname", "wlan0")]
    assert [(row.ifname, row.ifindex) for row in rows(networks, Netdev(time.monotonic), sys_class)] == [("odd\\x09name", None), ("wlan0", 5)]


def test_the_counters_are_the_devices() -> None:
    """The loopback device stands for one here: it is in every /proc/net/dev."""
    (row,) = rows([Network("lo", "", None, None, None, True)], Netdev(time.monotonic), "/sys/class")
    assert row.rx_bytes_total is not None and row.rx_bytes_total == row.tx_bytes_total


def test_a_device_that_is_gone_is_not_present(sys_class: str) -> None:
    """The kernel's own word for it."""
    assert (operstate(sys_class, "wlan0"), operstate(sys_class, "wlan7")) == ("up", "notpresent")
