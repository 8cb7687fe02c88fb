"""agent/router/way_out.py: which device a cap of the way out is for."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.router import way_out


@pytest.fixture
def interfaces(tmp_path: Path) -> str:
    """A flat access point: a bridge with a wired port that has its carrier, one that has none, and a network's."""
    for name, carrier in (("br-lan", "1"), ("eth0", "1"), ("eth1", "0"), ("wlan0", "1")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "carrier").write_text(f"{carrier}\n")
    (tmp_path / "wlan0" / "phy80211").mkdir()
    for port in ("eth0", "eth1", "wlan0"):
        (tmp_path / "br-lan" / "brif" / port).mkdir(parents=True)
    return str(tmp_path)


def test_what_is_chosen_is_it(interfaces: str) -> None:
    """Also a device that is not there now (PPP)."""
    assert (way_out.device("eth0", interfaces), way_out.device("pppoe-wan", interfaces)) == ("eth0", "pppoe-wan")


def test_of_a_bridge_it_is_the_port_that_leads_out(interfaces: str) -> None:
    """A bridge's own queues see nothing of what it forwards."""
    assert way_out.device("br-lan", interfaces) == "eth0"


@pytest.mark.parametrize("carrier", ["0", "1"])
def test_a_bridge_itself_is_never_it(carrier: str, interfaces: str) -> None:
    """Where none of its ports, or more than one, may be the way out, it is not known: what a cap of the bridge would hold is nothing."""
    for port in ("eth0", "eth1"):
        Path(interfaces, port, "carrier").write_text(f"{carrier}\n")
    assert way_out.device("br-lan", interfaces) == ""
