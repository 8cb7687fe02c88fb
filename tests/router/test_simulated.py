"""The simulated access point: the same for everybody who looks, believable, and as complete as a real one."""

from __future__ import annotations

import gc
import importlib.util
import inspect
import itertools
import json
import re
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import Rejected, Unavailable
from agent.rates import Count, throughput_bps
from agent.router import contract
from agent.router.simulated import IFNAMES, MOODS, SimulatedClock, SimulatedProbe, SimulatedRouter, open_router

# Monday 2026-06-01 00:00 WIB.
MONDAY = 1780246800.0
HOUR, DAY = 3600, 86400
INTERNET = (("mqtt.example", 8883),)


def opened(seed: int = 1, stations_peak: int = 40, start: float = MONDAY, moods: frozenset[str] = frozenset(), ap: str = "rw-0501") -> SimulatedRouter:
    return open_router(ap, seed, 0.0, stations_peak, 50.0, start, moods)


def probed(router: SimulatedRouter) -> object:
    return router.probe(router.path(), "mqtt.example", INTERNET, router.clock.monotonic()).advance(router.clock.monotonic())


def everything(router: SimulatedRouter) -> dict[str, Any]:
    return {
        "boot": router.boot(),
        "board": router.board(),
        "radios": router.radios(),
        "bss": router.bss(),
        "stations": [router.stations(name) for name in IFNAMES],
        "interfaces": router.interfaces(),
        "host": router.host(),
        "path": router.path(),
        "probe": probed(router),
        "dhcp": router.dhcp(),
        "uptime": router.clock.uptime(),
        "wall": router.clock.wall(),
    }


def authorised(router: SimulatedRouter) -> int:
    return sum(station.authorized for name in IFNAMES for station in router.stations(name))


def walk(router: SimulatedRouter, step: float, count: int) -> Iterator[float]:
    for _ in range(count):
        yield router.clock.now()
        router.clock.real_seconds(step)


def counters(router: SimulatedRouter) -> dict[str, float]:
    """Every value whose name ends in _total, and each station's packets while it stays."""
    found: dict[str, float] = {}
    records: list[Any] = [*router.radios(), *router.bss(), *router.interfaces(), router.host()]
    for record in records:
        label = getattr(record, "name", getattr(record, "ifname", "host"))
        found |= {f"{type(record).__name__} {label} {key}": value for key, value in record._asdict().items() if key.endswith("_total") and value is not None}
    return found


# Determinism.


def test_what_is_read_depends_only_on_the_moment() -> None:
    """A router read every ten seconds and one read for the first time agree at the same moment."""
    often, once = opened(), opened()
    for _ in walk(often, 10, 2160):
        everything(often)
    once.clock.real_seconds(21600)
    assert everything(often) == everything(once)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 40_000), min_size=1, max_size=6))
@pytest.mark.once
def test_any_sampling_pattern_gives_the_same_reading(seed: int, steps: list[int]) -> None:
    """However the way to a moment is cut up, the reading there is the same."""
    patient, direct = opened(seed, 12), opened(seed, 12)
    for step in steps:
        everything(patient)
        patient.clock.real_seconds(step)
    direct.clock.real_seconds(sum(steps))
    assert everything(patient) == everything(direct)


def test_a_restarted_agent_finds_the_same_box() -> None:
    """Opened again an hour later, the box has the same boot, its uptime goes on and its counters have not fallen."""
    before, after = opened(start=MONDAY), opened(start=MONDAY + HOUR)
    before.clock.real_seconds(HOUR)
    assert everything(before) == everything(after)


def test_seeds_and_names_make_different_boxes() -> None:
    """Another seed, or another access point with the same seed, is another place."""
    assert len({str(everything(router)["stations"]) for router in (opened(1), opened(2), opened(1, ap="rw-0502"))}) == 3


# Counters.


@pytest.mark.parametrize("step", [1, 10, 61, 3607])
def test_counters_never_fall(step: int) -> None:
    """Through minute, hour and day edges no counter goes back."""
    router = opened(3)
    router.clock.real_seconds(17 * HOUR + 3590)
    last = counters(router)
    for _ in walk(router, step, 150):
        now = counters(router)
        assert {name: (last[name], now[name]) for name in last if now[name] < last[name]} == {}
        last = now


def test_a_stations_packets_never_fall_during_its_stay() -> None:
    """Packets and retries of one station only rise while it is in the list, and no more are sent again than sent."""
    router, last = opened(4), {}
    for _ in walk(router, 120, 600):
        now = {station.mac: (station.tx_packets_total, station.tx_retries_total) for name in IFNAMES for station in router.stations(name)}
        for mac in last.keys() & now.keys():
            assert all(a <= b for a, b in zip(last[mac], now[mac], strict=True))
        assert all(retries <= sent for sent, retries in now.values())
        last = now


def test_traffic_of_the_networks_is_the_uplinks() -> None:
    """What the BSSs send is what the uplink received, within 3 % over any busy quarter hour."""
    router = opened(5)
    router.clock.real_seconds(18 * HOUR)
    last: list[int] | None = None
    for _ in walk(router, 900, 16):
        wan, _, *networks = router.interfaces()
        now = [wan.rx_bytes_total, sum(network.tx_bytes_total for network in networks)]
        if last is not None:
            uplink, air = (b - a for a, b in zip(last, now, strict=True))
            assert air == pytest.approx(uplink, rel=0.03)
        last = now


def test_interface_and_bss_tell_the_same_counters() -> None:
    """A BSS's counters are those of its network device."""
    router = opened(6)
    router.clock.real_seconds(20 * HOUR)
    devices = {interface.name: (interface.rx_bytes_total, interface.tx_bytes_total) for interface in router.interfaces()}
    assert {bss.ifname: (bss.rx_bytes_total, bss.tx_bytes_total) for bss in router.bss()}.items() <= devices.items()
    numbers = {interface.name: interface.ifindex for interface in router.interfaces()}
    assert all(bss.ifindex == numbers[bss.ifname] for bss in router.bss())


@pytest.mark.parametrize("seed", range(6))
def test_no_second_is_faster_than_the_line(seed: int) -> None:
    """Every 1-second rate of an evening is plausible for the link and not above what the provider delivers."""
    router = opened(seed, 120)
    router.clock.real_seconds(20 * HOUR)
    before: Count | None = None
    for at in walk(router, 1, 900):
        wan = router.interfaces()[0]
        now = Count(at, wan.rx_bytes_total)
        if before is not None:
            bps = throughput_bps(before, now, wan.link_mbps)
            assert bps is not None and bps < 50_000_000 * 1.2
        before = now


def test_seconds_differ_within_a_minute() -> None:
    """Traffic comes in bursts: the fastest second of a calm minute is well above its mean."""
    router = opened(1)
    router.clock.real_seconds(10 * HOUR)
    totals = []
    for _ in walk(router, 1, 61):
        totals.append(router.interfaces()[0].rx_bytes_total)
    moved = [b - a for a, b in itertools.pairwise(totals)]
    assert max(moved) > 1.3 * sum(moved) / 60


# The rhythm of the day.


def mean_stations(hour: int) -> float:
    readings = []
    for seed in range(4):
        router = opened(seed)
        router.clock.real_seconds(hour * HOUR)
        readings += [authorised(router) for _ in walk(router, DAY, 7)]
    return sum(readings) / len(readings)


def test_evening_is_much_busier_than_the_night() -> None:
    """At 20:00 WIB there are at least three times as many stations as at 04:00."""
    assert mean_stations(20) >= 3 * mean_stations(4)


def test_noon_lies_between_night_and_evening() -> None:
    """The noon bump is more than the night and less than the evening."""
    assert mean_stations(4) < mean_stations(13) < mean_stations(20)


def test_the_office_works_on_weekdays() -> None:
    """The office's network has more stations on Monday morning than on Sunday morning."""
    weekday, weekend = opened(1, 200), opened(1, 200)
    weekday.clock.real_seconds(10 * HOUR)
    weekend.clock.real_seconds(6 * DAY + 10 * HOUR)
    assert len(weekday.stations("phy0-ap1")) > 2 * len(weekend.stations("phy0-ap1"))


def test_stations_come_and_go() -> None:
    """Over an evening hour, sampled each minute, some stations join and some leave."""
    router = opened(2)
    router.clock.real_seconds(18 * HOUR)
    seen: list[set[str]] = [{s.mac for name in IFNAMES for s in router.stations(name)} for _ in walk(router, 60, 60)]
    pairs = list(itertools.pairwise(seen))
    assert any(b - a for a, b in pairs) and any(a - b for a, b in pairs)


def test_some_entries_linger_unauthorised() -> None:
    """Now and then a station that has left still has an entry, not authorised; never most of them."""
    router = opened(2)
    stations = [station for _ in walk(router, 120, 720) for name in IFNAMES for station in router.stations(name)]
    lingering = sum(not station.authorized for station in stations)
    assert 0 < lingering < 0.05 * len(stations)


@pytest.mark.parametrize("peak", [0, 1, 3, 40, 400])
def test_no_more_stations_than_the_peak(peak: int) -> None:
    """`stations_peak` bounds the stations at any time, and in the evening most of them are there."""
    router = opened(9, peak)
    counts = [authorised(router) for _ in walk(router, 1200, 72)]
    assert max(counts) <= peak
    assert max(counts) >= 0.6 * peak


def test_no_stations_means_no_traffic_on_the_air() -> None:
    """An access point that nobody uses moves only the box's own bytes."""
    router = opened(1, 0)
    router.clock.real_seconds(DAY)
    assert [bss.tx_bytes_total for bss in router.bss()] == [0, 0, 0]
    assert router.interfaces()[0].tx_bytes_total > 0


# Believable ranges.


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**63), st.integers(0, 400), st.floats(0, 7 * DAY), st.frozensets(st.sampled_from(sorted(MOODS))))
@pytest.mark.once
def test_every_reading_is_believable(seed: int, peak: int, after: float, moods: frozenset[str]) -> None:
    """For any seed, size, moment and mood every gauge stays within what such a box can show."""
    router = opened(seed, peak, moods=moods)
    router.clock.real_seconds(after)
    first, started = {radio.name: radio for radio in router.radios()}, router.host()
    router.clock.real_seconds(600)
    for radio in router.radios():
        before = first[radio.name]
        if radio.active_ms_total is None or before.active_ms_total is None:
            assert (radio.busy_ms_total, radio.tx_ms_total, radio.noise_dbm) == (None, None, None)
            continue
        active = radio.active_ms_total - before.active_ms_total
        busy, sending = (getattr(radio, name) - getattr(before, name) for name in ("busy_ms_total", "tx_ms_total"))
        assert 0 <= sending <= busy <= active == pytest.approx(600_000, abs=1)
        assert -103 <= radio.noise_dbm <= -85
    host = router.host()
    assert 0 <= host.cpu_softirq_s_total - started.cpu_softirq_s_total <= host.cpu_busy_s_total - started.cpu_busy_s_total <= 1200
    assert 20 * 2**20 < host.memory_available_bytes < host.memory_total_bytes < 128 * 2**20
    assert 0 < host.flash_free_bytes < host.flash_total_bytes
    assert 30 < host.temperature_c < 85
    assert 0 < host.conntrack <= host.conntrack_max <= 16384
    dhcp = router.dhcp()
    assert dhcp.pool is not None and 0 <= dhcp.leases <= dhcp.pool
    assert all(-95 <= station.signal_dbm <= -20 for name in IFNAMES for station in router.stations(name))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 3 * DAY))
@pytest.mark.once
def test_probe_and_path_agree(seed: int, after: float) -> None:
    """A probe fails in the layer that the path shows missing, and each layer it passed has a latency."""
    router = opened(seed, moods=frozenset({"bad-line", "flapping-uplink"}))
    router.clock.real_seconds(after)
    path, reach = router.path(), router.probe(router.path(), "mqtt.example", INTERNET, 0.0).advance(0.0)
    assert reach is not None and 0 <= reach.lost <= reach.sent
    assert path.up == (reach.state != "link") == router.interfaces()[0].up
    assert (path.address is None) == (reach.state in ("link", "address"))
    assert (path.has_neighbour is False) == (reach.state == "gateway")
    passed = ("link", "address", "gateway", "dns", "internet", "ok").index(reach.state)
    assert [value is not None for value in (reach.gateway_ms, reach.dns_ms, reach.internet_ms)] == [passed > 2, passed > 3, passed > 4]


def test_latency_grows_with_load() -> None:
    """The internet answers later in minutes when the line is full than when it idles."""
    router, idle, full = opened(11, 150), [], []
    for _ in walk(router, 60, 2880):
        wan = router.interfaces()[0].rx_bytes_total
        router.clock.real_seconds(1)
        bps = (router.interfaces()[0].rx_bytes_total - wan) * 8
        reach = router.probe(router.path(), "", INTERNET, 0.0).advance(0.0)
        if reach is not None and reach.internet_ms is not None:
            (full if bps > 40_000_000 else idle if bps < 10_000_000 else []).append(reach.internet_ms)
    assert full and idle and sum(full) / len(full) > 2 * sum(idle) / len(idle)


def test_what_is_not_asked_is_not_measured() -> None:
    """Without a target there is no latency of the internet, and the uplink is not called broken."""
    router = opened()
    reach = router.probe(router.path(), "", (), 0.0).advance(0.0)
    assert reach is not None and (reach.state, reach.internet_ms) == ("ok", None)


@pytest.mark.parametrize(
    ("change", "state"),
    [({"up": False}, "link"), ({"device": None}, "link"), ({"address": None}, "address"), ({"gateway": None}, "gateway")],
)
def test_a_probe_of_a_broken_path_fails_there(change: dict[str, Any], state: str) -> None:
    """A path that lacks its link, address or gateway is not probed beyond, and the try counts as lost."""
    router = opened()
    reach = router.probe(router.path()._replace(**change), "mqtt.example", INTERNET, 0.0).advance(0.0)
    assert reach is not None and (reach.state, reach.lost, reach.sent, reach.internet_ms) == (state, 1, 1, None)


def test_stations_of_an_unknown_bss() -> None:
    """A BSS that is not there is unavailable, with the names that are."""
    with pytest.raises(Unavailable, match="phy0-ap0"):
        opened().stations("wlan7")


def test_station_addresses_come_only_out_of_stations() -> None:
    """No other method gives away a station's address, and all of them are locally administered."""
    router = opened(1)
    router.clock.real_seconds(20 * HOUR)
    readings = everything(router)
    addresses = {station.mac for stations in readings.pop("stations") for station in stations}
    assert addresses and all(re.fullmatch(r"[0-9a-f][26ae](:[0-9a-f]{2}){5}", address) for address in addresses)
    assert not [address for address in addresses if address in json.dumps(readings, default=str)]


def test_addresses_are_unique_at_any_moment() -> None:
    """One address is one station."""
    router = opened(1, 400)
    router.clock.real_seconds(20 * HOUR)
    stations = [station.mac for name in IFNAMES for station in router.stations(name)]
    assert len(stations) == len(set(stations))


@pytest.mark.parametrize(("ap", "ssid"), [("rw-0501", "Malang RW 05"), ("rw-1203", "Malang RW 12"), ("sim-7", "Malang RW 07"), ("klojen-11", "Malang RW 11")])
def test_the_network_is_named_after_the_rw(ap: str, ssid: str) -> None:
    """The public network's name carries the RW's number, on both radios."""
    assert [bss.ssid for bss in opened(ap=ap).bss() if bss.ssid and bss.ssid.startswith("Malang")] == [ssid, ssid]


def test_a_name_without_digits_has_a_number_too() -> None:
    """An access point whose name has no number is given one."""
    assert re.fullmatch(r"Malang RW \d\d", str(opened(ap="balai-kota").bss()[0].ssid))


# Moods.


def test_dead_radio_beside_a_living_sibling() -> None:
    """One radio is down with its BSSs and says nothing about the air; the other works and carries the stations."""
    router = opened(1, moods=frozenset({"dead-radio"}))
    router.clock.real_seconds(20 * HOUR)
    dead, alive = sorted(router.radios(), key=lambda radio: radio.up)
    assert (dead.up, dead.busy_ms_total, alive.up) == (False, None, True)
    assert {bss.radio: bss.up for bss in router.bss()} == {dead.name: False, alive.name: True}
    assert all(bool(router.stations(bss.ifname)) <= bss.up for bss in router.bss()) and authorised(router) > 10


def test_no_survey_leaves_the_air_unknown() -> None:
    """A driver without survey gives None, not 0."""
    readings = [(radio.active_ms_total, radio.busy_ms_total, radio.tx_ms_total, radio.up) for radio in opened(moods=frozenset({"no-survey"})).radios()]
    assert readings == [(None, None, None, True)] * 2


def test_full_dhcp_is_full_in_the_evening() -> None:
    """The small pool has no address left at 20:30."""
    router = opened(1, moods=frozenset({"full-dhcp"}))
    router.clock.real_seconds(20.5 * HOUR)
    assert router.dhcp().leases == router.dhcp().pool


def test_a_few_boxes_nearly_fill_their_pool() -> None:
    """Without any mood, some of 60 access points have nearly no address left in the evening, and most have plenty."""
    used = []
    for seed in range(60):
        router = opened(seed)
        router.clock.real_seconds(21 * HOUR)
        used.append(router.dhcp().leases / (router.dhcp().pool or 1))
    assert 0 < sum(ratio > 0.75 for ratio in used) < 15


def test_hostile_ssids_are_hostile() -> None:
    """The mood's names hold control bytes (spelled out, as every router gives them), quotes and shell syntax, in at most 32 bytes."""
    names = [str(bss.ssid) for bss in opened(moods=frozenset({"hostile-ssid"})).bss()]
    assert all(any(hostile in "".join(names) for hostile in group) for group in ([r"\x1b", r"\x00"], ["'", '"'], ["$(", "`"], ["\\x"]))
    assert all(len(re.sub(r"\\x..|\\u....", "?", name).encode()) <= 32 for name in names)
    assert all(name.isprintable() for name in names)


def test_flapping_uplink_fails_again_and_again() -> None:
    """Within an hour the uplink's state changes at least ten times."""
    router = opened(1, moods=frozenset({"flapping-uplink"}))
    states = [getattr(probed(router), "state", None) for _ in walk(router, 60, 60)]
    assert sum(a != b for a, b in itertools.pairwise(states)) >= 10


def test_traffic_stands_still_while_the_uplink_is_out() -> None:
    """In minutes without a gateway neither the uplink nor any BSS counts on."""
    router, checked = opened(1, moods=frozenset({"flapping-uplink"})), 0
    for _ in walk(router, 60, 60):
        before = [interface.rx_bytes_total for interface in router.interfaces()]
        if getattr(probed(router), "state", None) == "gateway":
            checked += 1
            router.clock.real_seconds(30)
            assert [interface.rx_bytes_total for interface in router.interfaces()] == before
    assert checked


def test_unknown_mood_is_refused() -> None:
    """A mood that does not exist is refused by name, with those that do."""
    with pytest.raises(Rejected, match=r"grumpy.*dead-radio"):
        opened(moods=frozenset({"grumpy"}))


# The clock.


def test_as_fast_as_possible_only_moves_when_told() -> None:
    """With speed 0 the clock stands until `real_seconds`, which moves it on exactly and asks for no wait."""
    clock = opened().clock
    before = (clock.monotonic(), clock.uptime(), clock.wall())
    assert clock.real_seconds(12.5) == 0.0
    assert (clock.monotonic(), clock.uptime(), clock.wall()) == tuple(value + 12.5 for value in before)


def test_faster_than_the_world() -> None:
    """With speed 60 a minute of the box is a second of the world, and time passes by itself."""
    clock = open_router("rw-0501", 1, 60.0, 5, 50.0, MONDAY).clock
    assert clock.real_seconds(60) == 1.0
    first, deadline = clock.wall(), time.monotonic() + 10
    while clock.wall() < first + 1 and time.monotonic() < deadline:
        pass
    assert MONDAY <= first < clock.wall()


def test_real_time_agrees_with_the_city() -> None:
    """At speed 1 without a start the wall clock is the world's."""
    clock = open_router("rw-0501", 1, 1.0, 5, 50.0, None).clock
    before, wall, after = time.time(), clock.wall(), time.time()
    assert before <= wall <= after
    assert clock.real_seconds(7.0) == 7.0


def test_a_box_has_been_up_for_a_while() -> None:
    """Seeds differ in uptime, from hours to days, never more than twelve and a bit."""
    uptimes = [opened(seed).clock.uptime() for seed in range(30)]
    assert max(uptimes) < 12.5 * DAY and max(uptimes) - min(uptimes) > 2 * DAY and min(uptimes) >= 0


def test_a_stepped_clock_moves_only_the_wall() -> None:
    """A wrong wall clock changes neither the uptime nor anything the box reads."""
    stepped, straight = opened(), opened()
    stepped.clock.step(-MONDAY)
    stepped.clock.trust = "none"
    assert (stepped.clock.wall(), stepped.clock.state()) == (0.0, "none")
    right, wrong = everything(straight), everything(stepped)
    del right["wall"], wrong["wall"]
    assert wrong == right


def test_a_reboot_is_another_boot() -> None:
    """From the moment asked for, the boot differs, uptime and counters begin at zero, and the monotonic clock goes on."""
    router = opened()
    boot, monotonic = router.boot(), router.clock.monotonic()
    router.reboot_at(MONDAY + 300)
    router.clock.real_seconds(299)
    assert router.boot() == boot
    router.clock.real_seconds(61)
    assert router.boot() != boot
    assert (router.clock.uptime(), router.clock.monotonic()) == (60.0, monotonic + 360)


def test_counters_begin_anew_at_a_reboot() -> None:
    """After a reboot a counter holds what was added since, as its twin that did not reboot tells."""
    router, twin = opened(), opened()
    router.reboot_at(MONDAY + 300)
    twin.clock.real_seconds(300)
    before = [bss.tx_bytes_total for bss in twin.bss()]
    for either in (router, twin):
        either.clock.real_seconds(MONDAY + 4000 - either.clock.now())
    added = [bss.tx_bytes_total - start for start, bss in zip(before, twin.bss(), strict=True)]
    assert [bss.tx_bytes_total for bss in router.bss()] == added


# Cost and completeness.


@pytest.mark.once
def test_a_month_costs_no_memory() -> None:
    """Thirty simulated days, sampled each hour, leave less than 300 KB behind."""
    router = opened(1)
    router.clock.real_seconds(DAY)
    everything(router)
    gc.collect()
    tracemalloc.start()
    for _ in walk(router, HOUR, 720):
        everything(router)
    gc.collect()
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 300_000


def methods(kind: type) -> dict[str, inspect.Signature]:
    return {name: inspect.signature(member) for name, member in vars(kind).items() if inspect.isfunction(member) and not name.startswith("_")}


@pytest.mark.parametrize(("promised", "given"), [(contract.Router, SimulatedRouter), (contract.Clock, SimulatedClock), (contract.Probe, SimulatedProbe)])
def test_every_promised_method_is_there(promised: type, given: type) -> None:
    """Each method of the contract exists with the contract's signature."""
    assert methods(promised).items() <= methods(given).items()


@pytest.mark.skipif(importlib.util.find_spec("agent.router.linux") is None, reason="there is no agent/router/linux.py to compare with")
def test_the_linux_router_has_the_same_methods() -> None:
    """Simulated and real router answer the same calls."""
    from agent.router import linux

    wanted = methods(contract.Router)
    assert {name: sign for name, sign in methods(linux.LinuxRouter).items() if name in wanted} == {
        name: sign for name, sign in methods(SimulatedRouter).items() if name in wanted
    }
