"""Bandwidth caps measured: iperf3 between network namespaces, through agent/ash/caps on this machine's own kernel, at the byte counters behind the shaper."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import pytest

from tests.capped_box import CappedBox, Measured, ended, jain, joins, measure

pytestmark = pytest.mark.needs("netns", "tc", "flock", "iperf3", "unshare", "nsenter")

# Three stations on two radios. What is the narrowest: one station, the SSID over both radios, the way out; and what each of both ways has in Mbit/s then.
STATIONS = {"st1": "bss2g", "st2": "bss2g", "st3": "bss5g"}
LEVELS = {
    "station": (("ssid public 30000 10000 5000 2000 bss2g bss5g", "uplink 45000 20000 wan"), 15, 6),
    "ssid": (("ssid public 30000 10000 20000 8000 bss2g bss5g", "uplink 45000 20000 wan"), 30, 10),
    "uplink": (("ssid public 300000 100000 200000 80000 bss2g bss5g", "uplink 45000 20000 wan"), 45, 20),
}
PUBLIC = LEVELS["station"][0][0]
SECONDS = 4
WITHIN = 0.03
FAIR = 0.98
# A machine with other things to do lets less pass, and unevenly; never more.
TRIES = 3
# Of the 3 s within which a BSS that came is capped, what the script may take; who watches looks once in a second.
SCRIPT_S = 2.0
# 64 joins within 10 s may keep a core busy for so long: 1 s in 5.
JOINS_CPU_S = 2.0
_Tried = TypeVar("_Tried")


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CappedBox]:
    with CappedBox(tmp_path_factory.mktemp("box"), STATIONS | {"st4": "bss-staff"}) as made:
        made.serve()
        yield made


def tried(attempt: Callable[[], _Tried], is_enough: Callable[[_Tried], bool]) -> _Tried:
    """Give the first that is enough, else the last one."""
    found = attempt()
    for _ in range(TRIES - 1):
        if is_enough(found):
            break
        found = attempt()
    return found


def listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", ["tcp-down", "tcp-up", "udp-both"])
def test_what_passes_is_what_the_caps_say(box: CappedBox, level: str, kind: str) -> None:
    """Within 3 % over the middle seconds, no station before another, over both radios together, in IPv4 and IPv6."""
    lines, down, up = LEVELS[level]
    protocol, way = kind.split("-")
    ways = ("down", "up") if way == "both" else (way,)
    udp_mbps = 0 if protocol == "tcp" else down / 2

    def attempt() -> list[tuple[float, list[float], float]]:
        found = measure(box, lines, ways, SECONDS, udp_mbps=udp_mbps, turn=list(LEVELS).index(level), stations=tuple(STATIONS))
        print(f"{level} {kind}: {told(found)}")
        both = {"down": (found.down, found.station_down, down), "up": (found.up, found.station_up, up)}
        for total, each, wanted in (both[one] for one in ways):
            assert total <= wanted * (1 + WITHIN), f"{total:.2f} of {wanted} passed"
            assert level != "station" or max(each) <= wanted / 3 * (1 + WITHIN), f"{listed(each)} of {wanted / 3} each"
        return [both[one] for one in ways]

    def is_enough(found: list[tuple[float, list[float], float]]) -> bool:
        return all(total >= wanted * (1 - WITHIN) and jain(each) >= FAIR for total, each, wanted in found)

    assert is_enough(tried(attempt, is_enough))


def told(found: Measured) -> str:
    return f"down {found.down:.2f} ({listed(found.station_down)}; payload {listed(found.payload_down)}), up {found.up:.2f} ({listed(found.station_up)})"


def rate(box: CappedBox, *stations: str, seconds: float = 1.0) -> float:
    """Give Mbit/s that arrive at these stations together."""
    places = [(name, "rx_bytes", box.inside[name]) for name in stations]
    began, first = time.monotonic(), sum(box.count(*place) for place in places)
    time.sleep(seconds)
    return (sum(box.count(*place) for place in places) - first) * 8e-6 / (time.monotonic() - began)


def test_without_a_cap_the_line_is_whole_again(box: CappedBox) -> None:
    """Removed under a running flow: the same flow, held at a station's cap before, arrives as it is sent, far above every cap."""
    sent_mbps = 100.0
    box.stands("")
    flow = box.flow("st1", "down", 60, udp_mbps=sent_mbps)
    # The question for a flow of datagrams is one that nothing repeats.
    while rate(box, "st1", seconds=0.1) < sent_mbps / 2:
        assert flow.poll() is None
    box.stands(*LEVELS["station"][0])
    time.sleep(0.5)
    assert rate(box, "st1") <= 5 * (1 + WITHIN)
    box.stands("")
    whole = tried(lambda: rate(box, "st1"), lambda found: found >= 0.97 * sent_mbps)
    flow.kill()
    assert whole >= 0.97 * sent_mbps


def test_a_change_of_one_cap_costs_another_ssid_no_packet(box: CappedBox) -> None:
    """All that can happen to its neighbour's caps happens during a flow of numbered datagrams each way, below its own SSID's cap."""
    staff = "ssid staff 20000 8000 10000 5000 bss-staff"
    box.stands(PUBLIC, staff)
    box.air_has("bss2g", [box.mac("st1")])
    flows = [box.flow("st4", way, 5, udp_mbps=3) for way in ("down", "up")]
    crowd = box.flow("st1", "down", 4)
    time.sleep(0.5)
    (box.ram / "looked").unlink(missing_ok=True)
    for line in (
        "ssid public 25000 9000 4000 2000 bss2g bss5g",
        "ssid public 25000 9000 - - bss2g",
        "",
        PUBLIC,
    ):
        box.stands(line, staff)
    box.stands(verb="stations")
    sums = [ended(flow)["sum"] for flow in flows]
    ended(crowd)
    assert [(one["lost_packets"], one["packets"] > 1000) for one in sums] == [(0, True)] * 2


def test_strangers_are_under_the_ceiling_of_one_and_parted_once_they_are_known(box: CappedBox) -> None:
    """Two whose MACs fall together share what one station may have, from their first packet on; after the next look each has it."""
    box.stands("")
    box.stands(PUBLIC)
    twin = "02:00:5e:00:53:41"
    assert int(twin[-2:], 16) & 63 == int(box.mac("st1")[-2:], 16) & 63
    box.rename("st3", twin)
    box.air_has("bss2g", [box.mac("st1")])
    box.air_has("bss5g", [twin])
    for name in ("st1", "st3"):
        assert box.reaches(name)
    flows = [box.flow(name, "down", 60) for name in ("st1", "st3")]
    shares = {}
    for who, wanted in (("strangers", 5), ("known", 10)):
        if who == "known":
            (box.ram / "looked").unlink(missing_ok=True)
            box.stands(verb="stations")
        # Over both the counters of a queue that was full before.
        time.sleep(1.5)
        shares[who] = tried(lambda: rate(box, "st1", "st3", seconds=1.5), lambda found, wanted=wanted: found >= wanted * (1 - WITHIN))
        assert abs(shares[who] - wanted) <= wanted * WITHIN, shares
    for flow in flows:
        flow.kill()
    box.rename("st3", box.mac("st3"))


def test_caps_stand_within_3_seconds_of_a_bss(box: CappedBox) -> None:
    """Created anew; its radio down and up; and the first one of a boot, when neither kernel nor RAM has anything: with nobody but the script at work."""

    def anew() -> None:
        box.lose_bss("bss5g")
        box.make_bss("bss5g")

    def down_and_up() -> None:
        box.radio("bss5g", "down")
        box.radio("bss5g", "up")

    def boot() -> None:
        box.stands(verb="remove")
        shutil.rmtree(box.ram)
        box.lose_bss("bss5g")
        box.make_bss("bss5g")

    def took_s(event: Callable[[], None]) -> float:
        box.stands(*LEVELS["station"][0])
        event()
        began = time.monotonic()
        box.stands(verb="hotplug", more=["bss5g"])
        took = time.monotonic() - began
        assert {"rwd-public", "rwu-public"} <= set(box.path("st3"))
        return took

    said = {event.__name__: tried(lambda event=event: took_s(event), lambda found: found <= SCRIPT_S) for event in (anew, down_and_up, boot)}
    print(f"hotplug took: {', '.join(f'{name} {took:.2f} s' for name, took in said.items())}")
    assert max(said.values()) <= SCRIPT_S, said
    flow = box.flow("st3", "down", 60, udp_mbps=20)
    time.sleep(1)
    passed = tried(lambda: rate(box, "st3"), lambda found: found >= 5 * (1 - WITHIN))
    flow.kill()
    assert abs(passed - 5) <= 5 * WITHIN


def test_64_joins_in_10_seconds_cost_little(box: CappedBox, capsys: pytest.CaptureFixture[str]) -> None:
    """New MACs all the time, the script rung for each: it looks three times at most, its CPU is told, and nobody's ring was for nothing."""
    box.stands("")
    box.stands(PUBLIC)
    looks, cpu_s = joins(box, 64, 10)
    with capsys.disabled():
        print(f"\ncounted: 64 joins in 10 s: {looks} looks, {cpu_s * 1000:.0f} ms of CPU")
    assert (looks <= 3, cpu_s <= JOINS_CPU_S) == (True, True)
    assert len((box.ram / "known.public").read_text().splitlines()) == 64
