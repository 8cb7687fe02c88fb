"""What the simulated access point sends by its wireless file, and that the running one notices a push at the cost of one stat."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from agent.errors import Unavailable
from agent.router import simulated
from agent.router.simulated import SimulatedRouter
from agent.router.simulated_air import Air, Network, Row, Watched, air, encode, read_package

RADIO0 = Row("wifi-device", "radio0", {"band": ("2g",), "channel": ("11",)})
RADIO1 = Row("wifi-device", "radio1", {"band": ("5g",), "channel": ("auto",)})


def network(name: str, radio: str = "radio0", **options: str) -> Row:
    """Give one network's section."""
    values = {"device": radio, "ssid": name.upper(), "ifname": f"if-{name}"} | options
    return Row("wifi-iface", name, {option: (value,) for option, value in values.items()})


def router(file: Path) -> SimulatedRouter:
    """Open a simulated router whose pushed wireless file is `file`."""
    return simulated.open_router("rw-0501", 3, 0, 40, 50.0, 1_790_000_000.0, wireless_file=str(file))


def test_a_package_comes_back_as_it_was(tmp_path: Path) -> None:
    """Types, names, options and lists; no file is None."""
    rows = [RADIO0, Row("wifi-iface", "a", {"network": ("lan", "guest"), "ssid": ("Ä\n'\"",)})]
    (tmp_path / "wireless").write_bytes(encode(rows))
    assert read_package(str(tmp_path / "wireless")) == rows and read_package(str(tmp_path / "none")) is None


def test_networks_are_on_their_radios_channel() -> None:
    """A fixed one, and the one that `auto` finds."""
    found = air([RADIO0, RADIO1, network("a"), network("b", "radio1")])
    assert found == Air((Network("if-a", "A", "radio0", 11), Network("if-b", "B", "radio1", 36)), {"radio0": 11, "radio1": 36})


@pytest.mark.parametrize("row", [network("a", disabled="1"), network("a", "radio7"), network("a", ssid=""), Row("wifi-station", "a", {"device": ("radio0",)})])
def test_what_is_off_or_nowhere_is_no_network(row: Row) -> None:
    """Nor what has no name."""
    assert air([RADIO0, row]).networks == ()


def test_without_a_file_nothing_changes(tmp_path: Path) -> None:
    """The same readings as without the setting."""
    plain = simulated.open_router("rw-0501", 3, 0, 40, 50.0, 1_790_000_000.0)
    watching = router(tmp_path / "wireless")
    assert (watching.bss(), watching.radios(), watching.interfaces()) == (plain.bss(), plain.radios(), plain.interfaces())


def test_a_push_shows_in_the_reports(tmp_path: Path) -> None:
    """The SSID of a network that was there, a new one, the radio's channel; what is gone is gone."""
    file = tmp_path / "wireless"
    watching = router(file)
    before = {bss.ifname: bss for bss in watching.bss()}
    file.write_bytes(encode([RADIO0, RADIO1, network("x", ifname="phy0-ap0", ssid="Warga"), network("n", "radio1", ifname="rw-n-5g", ssid="Baru")]))
    after = {bss.ifname: bss for bss in watching.bss()}
    assert list(after) == ["phy0-ap0", "rw-n-5g"] and after["phy0-ap0"] == before["phy0-ap0"]._replace(ssid="Warga")
    new = after["rw-n-5g"]
    assert (new.ssid, new.band, new.radio, new.up) == ("Baru", "5g", "radio1", True) and new.bssid not in {bss.bssid for bss in before.values()}
    assert watching.stations("rw-n-5g") == [] and [radio.channel for radio in watching.radios()] == [11, 36]


def test_a_radio_that_is_off_or_refused_is_down(tmp_path: Path) -> None:
    """Its networks are off too."""
    file = tmp_path / "wireless"
    watching = router(file)
    refused = RADIO0._replace(options={"band": ("2g",), "channel": ("14",)})
    off = RADIO1._replace(options={"band": ("5g",), "disabled": ("1",)})
    file.write_bytes(encode([refused, off, network("a", ifname="phy0-ap0"), network("b", "radio1")]))
    assert [radio.up for radio in watching.radios()] == [False, False]
    assert [(bss.ifname, bss.up) for bss in watching.bss()] == [("phy0-ap0", False)]


def test_a_hostile_ssid_is_spelled_out(tmp_path: Path) -> None:
    """As in every report."""
    (tmp_path / "wireless").write_bytes(encode([RADIO0, network("a", ssid="\x1b[2J")]))
    assert router(tmp_path / "wireless").bss()[0].ssid == "\\x1b[2J"


def test_the_file_is_read_only_when_it_is_another(tmp_path: Path) -> None:
    """A change that keeps the file's number, time and size is not seen, which shows that only those are asked for."""
    file = tmp_path / "wireless"
    file.write_bytes(encode([RADIO0, network("a")]))
    watched = Watched(str(file))
    first, seen = watched.now(), file.stat()
    with open(file, "r+b") as opened:
        opened.write(encode([RADIO0, network("b")]))
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert watched.now() is first
    os.utime(file)
    assert watched.now() != first


def test_it_goes_back_when_the_file_does(tmp_path: Path) -> None:
    """A rollback of the first push removes it; an unreadable one leaves the last word."""
    file = tmp_path / "wireless"
    file.write_bytes(encode([RADIO0, network("a")]))
    watched = Watched(str(file))
    good = watched.now()
    file.write_bytes(json.dumps([]).encode())
    assert watched.now() == good
    file.unlink()
    assert watched.now() is None


def test_garbage_is_unavailable(tmp_path: Path) -> None:
    """Never an exception of another kind."""
    for content in (b"", b"1", b'{"sections":1}', b'{"sections":[[]]}', b"\xff"):
        (tmp_path / "wireless").write_bytes(content)
        with pytest.raises(Unavailable):
            read_package(str(tmp_path / "wireless"))
