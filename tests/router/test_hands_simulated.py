"""What commands do with a simulated access point: as believable as the rest of it, and starred by the rules of a real one."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from agent.errors import Unavailable
from agent.router import clients, simulated, simulated_time
from agent.router.hands import Hands, open_hands
from agent.settings import Settings
from tests.settings_of import settings
from tests.stories.planted import find

START = "2026-08-17T19:00:00+07:00"


@pytest.fixture
def chosen(tmp_path: Path) -> Settings:
    return settings(
        router={"backend": "simulated"},
        paths={"state_dir": str(tmp_path / "state"), "run_dir": str(tmp_path / "run")},
        simulated={"seed": 7, "speed": 0, "stations_peak": 40, "start": START},
    )


@pytest.fixture
def hands(chosen: Settings) -> Hands:
    return open_hands(chosen, named)


def named(mac: str) -> str:
    return f"<{mac[::-1]}>"


def box(chosen: Settings) -> simulated.SimulatedRouter:
    return simulated.open_router(chosen.id, 7, 0, 40, 50.0, float(chosen.simulated.start))


def test_who_is_told_by_stations_can_be_kicked(chosen: Settings, hands: Hands) -> None:
    """The daemon's model and root's are the same box."""
    found = clients.read(box(chosen), named)
    assert len(found) > 5
    assert all(hands.kick(one.station, 60) == [one.ssid] for one in found)
    with pytest.raises(Unavailable, match="no station 0123456789ab is associated now"):
        hands.kick("0123456789ab", 0)


def test_a_scan_hears_the_neighbours(hands: Hands) -> None:
    """The same ones in the same hour, the strongest first, on channels of their band, one that hides its name among them."""
    found = hands.scan(None)
    assert found == hands.scan(None) and len(found.networks) > 5
    levels = [one.signal_dbm or 0 for one in found.networks]
    assert levels == sorted(levels, reverse=True)
    assert all((one.channel or 0) > 14 for one in hands.scan("5g").networks)
    with pytest.raises(Unavailable, match="no radio is on air on 6g"):
        hands.scan("6g")


def test_its_log_has_stations_and_tells_of_none(chosen: Settings, hands: Hands) -> None:
    """What it is made of has every address; what leaves has none."""
    macs = {one.mac for bss in box(chosen).bss() for one in box(chosen).stations(bss.ifname)}
    made = "\n".join(hands.entries())  # type: ignore[attr-defined]  # the simulated one's own
    found = hands.log(500, "")
    assert find(made.encode(), macs)
    assert len(found.lines) > 10 and not find("\n".join(found.lines).encode(), macs)
    assert list(found.lines) == sorted(found.lines)
    assert all("AP-STA-CONNECTED" in line for line in hands.log(500, "AP-STA").lines)


def test_the_rest_says_what_a_box_would(chosen: Settings, hands: Hands) -> None:
    """A LED, the networks on air, and a reboot that is written down for whoever drives the simulation."""
    assert hands.blink(30) == ["green:status"]
    assert hands.reload_wifi() == sorted({bss.ssid for bss in box(chosen).bss() if bss.ssid})
    began = time.time()
    hands.reboot(5)
    assert 4 < int(Path(chosen.paths.state_dir, "simulated", "reboot").read_text()) - began < 60


def test_who_is_there_is_who_is_there_now(chosen: Settings) -> None:
    """The box's world has a time of its own, and that may go faster: the note of it counts."""
    made = box(chosen)
    made.clock.real_seconds(7 * 3600.0)
    later = {one.station for one in clients.read(made, named)}
    folder = Path(chosen.paths.state_dir, "simulated")
    before = open_hands(chosen, named)
    simulated_time.leave(str(folder), made.boot(), made.clock.uptime(), 0.0, made.clock.booted())
    assert later - {one.station for one in clients.read(box(chosen), named)}
    now = open_hands(chosen, named)
    assert all(now.kick(station, 0) for station in later)
    with pytest.raises(Unavailable):
        [before.kick(station, 0) for station in later]


def test_a_box_of_another_boot_than_the_clock_says_has_its_own_stations(chosen: Settings) -> None:
    """A fleet begins in the evening of its own world, whatever the hour is here."""
    evening = 1_790_000_000 // 86400 * 86400 + 12 * 3600
    made = simulated.open_router(chosen.id, 7, 0, 40, 50.0, float(evening))
    there = {one.station for one in clients.read(made, named)}
    simulated_time.leave(str(Path(chosen.paths.state_dir, "simulated")), "0123456789abcdef", 1800.0, 0.0, evening - 1800.0)
    found = open_hands(chosen, named)
    assert there and all(found.kick(station, 0) for station in there)
