"""Every authorised station once, by pseudonym, with what its BSS and the box tell of it; one that does not tell costs a column, not the row."""

from __future__ import annotations

from pathlib import Path

from agent.commands import stations
from agent.errors import Unavailable
from agent.pseudonyms import name_of
from agent.records import Association, Bss, Station
from agent.router import clients, simulated
from agent.router.hands import Client
from agent.router.iw import parse_associations
from agent.wire.messages import encode
from tests.fakes.router import FakeRouter
from tests.stories.planted import find

CAPTURES = Path(__file__).parents[1] / "captures"
A, B, C = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c"


def bss(ifname: str, ssid: str, is_up: bool = True) -> Bss:
    return Bss(ifname, "radio0", "2g", ssid, None, is_up, 0, 0)


class Router(FakeRouter):
    """Settable readings, and how stations are connected."""

    connected: dict[str, Association] | Unavailable = Unavailable("iw: no such program")

    def associations(self, ifname: str) -> dict[str, Association]:
        if isinstance(self.connected, Unavailable):
            raise self.connected
        return self.connected


def router(**readings: object) -> Router:
    return Router(**readings)  # type: ignore[arg-type]  # settable readings


def test_who_is_authorised_and_nobody_else() -> None:
    """An entry that lingers or never finished its handshake is no station."""
    made = router(bss=[bss("w0", "A")], stations={"w0": [Station(A, "w0", True, -50, None, None), Station(B, "w0", False, -60, None, None)]})
    made.connected = {A: Association(6.5, 13.0, 9)}
    assert clients.read(made, lambda mac: mac[-2:]) == [Client("0a", "A", "2g", -50, 6.5, 13.0, 9)]


def test_a_station_is_told_once() -> None:
    """Where it is now, when the BSS that it left keeps an entry."""
    row = Station(A, "w0", True, -50, None, None)
    made = router(bss=[bss("w0", "A"), bss("w1", "B")], stations={"w0": [row], "w1": [row]})
    assert [one.ssid for one in clients.read(made, str)] == ["B"]


def test_a_box_that_cannot_tell_the_rates_tells_who_is_there() -> None:
    """A missing iw costs three columns."""
    made = router(bss=[bss("w0", "A")], stations={"w0": [Station(A, "w0", True, -50, None, None)]})
    made.connected = Unavailable("iw: no such program")
    assert clients.read(made, lambda mac: "x") == [Client("x", "A", "2g", -50, None, None, None)]


def test_a_network_that_is_down_is_not_asked() -> None:
    """It has nobody, and would cost the answer."""
    assert clients.read(router(bss=[bss("w0", "A", False)], stations={"w0": Unavailable("gone")}), str) == []


def test_iws_words_as_recorded() -> None:
    """Rates of the last frame each way, and since when."""
    told = parse_associations((CAPTURES / "iw-wlan0-station-dump.txt").read_text())
    assert told["02:00:00:00:01:00"] == Association(13.0, 78.0, 9)
    assert parse_associations("Station 02:00:00:00:01:00 (on x)\n\ttx bitrate:\t(unknown)\n") == {"02:00:00:00:01:00": Association(None, None, None)}


def test_the_simulated_box_tells_all_of_it() -> None:
    """Of the same stations that it samples."""
    box = simulated.open_router("rw-0501", 1, 0, 40, 50.0, 1_786_921_200.0)
    found = clients.read(box, str)
    macs = {one.mac for each in box.bss() for one in box.stations(each.ifname) if one.authorized}
    assert {one.station for one in found} == macs and len(macs) > 3
    assert all(one.connected_s is not None and one.connected_s >= 0 and one.tx_rate_mbps and one.rx_rate_mbps for one in found)


def test_no_address_leaves_with_the_command() -> None:
    """Every planted one is found in what the box tells its own daemon, and none in the output as it travels."""
    box = simulated.open_router("rw-0501", 1, 0, 40, 50.0, 1_786_921_200.0)

    class Hands:
        def stations(self) -> list[Client]:
            return clients.read(box, lambda mac: name_of(b"k" * 32, mac))

    told = encode(stations.run({}, Hands()))  # type: ignore[arg-type]  # all that this command asks for
    macs = {one.mac for each in box.bss() for one in box.stations(each.ifname) if one.authorized}
    assert find(repr(box.stations("phy0-ap0")).encode(), macs)
    assert not find(told, macs) and told.count(b'"station"') == len(macs)
