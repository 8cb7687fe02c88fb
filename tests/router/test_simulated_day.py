"""The simulated neighbourhood by itself: days, stays and counters, each a function of the moment alone."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.router import simulated_day as day

# Hour 0 of Monday 2026-06-01 WIB, counted from 1970.
MONDAY = (1780246800 + day.WIB) // day.HOUR
GOOD = day.Character(50_000_000, False, False, 1.0)
BAD = day.Character(30_000_000, True, False, 1.0)
EVERY_BSS = (day.PUBLIC_2G, day.PUBLIC_5G, day.OFFICE)


def crowd_of(stations: int, key: bytes = b"key", living: tuple[int, ...] = EVERY_BSS) -> day.Crowd:
    return day.Crowd(key, day.Calendar(key, GOOD), stations, living)


def flow_of(stations: int, start: float, character: day.Character = GOOD, key: bytes = b"key") -> day.Flow:
    calendar = day.Calendar(key, character)
    return day.Flow(key, calendar, day.Crowd(key, calendar, stations, EVERY_BSS), character, start)


def unix(hour: float) -> float:
    """The Unix second at which the hour since 1970 (WIB) begins."""
    return hour * day.HOUR - day.WIB


def test_draw_depends_on_every_argument() -> None:
    """Key, purpose and index each change the bytes; the same three give the same."""
    assert day.draw(b"k", "a", 1, 8) == day.draw(b"k", "a", 1, 8)
    assert len({day.draw(b"k", "a", 1, 8), day.draw(b"l", "a", 1, 8), day.draw(b"k", "b", 1, 8), day.draw(b"k", "a", 2, 8)}) == 4


def test_monday_is_a_weekday_and_sunday_is_not() -> None:
    """The week falls as the calendar says."""
    calendar = day.Calendar(b"key", GOOD)
    assert [calendar.day(MONDAY // 24 + i).is_weekend for i in range(7)] == [False] * 5 + [True] * 2


def test_some_days_are_wet_and_some_have_football() -> None:
    """Over a year there are dry and wet days, more of the wet ones in the rainy season, and evenings with football."""
    days = [day.Calendar(b"key", GOOD).day(number) for number in range(20454, 20454 + 365)]
    wet = [number for number, one in enumerate(days) if one.rain]
    january_to_march, july_to_september = sum(number < 90 for number in wet), sum(180 <= number < 270 for number in wet)
    assert january_to_march > 2 * july_to_september
    assert 10 < sum(one.has_football for one in days) < 100


def test_rain_keeps_people_away_and_football_brings_them() -> None:
    """In an hour of rain fewer stations want to be there than the table says, with football more."""
    calendar = day.Calendar(b"key", GOOD)
    dry = next(n for n in range(20454, 22000) if not calendar.day(n).rain and not calendar.day(n).has_football and not calendar.day(n).is_weekend)
    wet = next(n for n in range(20454, 22000) if 16 in calendar.day(n).rain and not calendar.day(n).is_weekend)
    match = next(n for n in range(20454, 22000) if calendar.day(n).has_football and not calendar.day(n).rain and not calendar.day(n).is_weekend)
    assert calendar.occupancy(wet * 24 + 16, day.PUBLIC_2G) < calendar.occupancy(dry * 24 + 16, day.PUBLIC_2G)
    assert calendar.occupancy(match * 24 + 20, day.PUBLIC_2G) > calendar.occupancy(dry * 24 + 20, day.PUBLIC_2G)


def test_a_bad_line_fails_more_often() -> None:
    """In a month a bad line has several times the outages of a good one, and none is longer than half an hour."""
    good, bad = ([one for n in range(20600, 20630) for one in day.Calendar(b"key", character).day(n).outages] for character in (GOOD, BAD))
    assert len(bad) > 3 * max(1, len(good))
    assert all(0 < one.end - one.first <= 30 for one in [*good, *bad])


def test_an_outage_is_seen_in_its_minutes_only() -> None:
    """The layer fails from the first minute of an outage up to its end, and not around it."""
    calendar = day.Calendar(b"key", BAD)
    outage = calendar.day(20601).outages[0]
    assert calendar.outage(outage.first) == calendar.outage(outage.end - 1) == outage.layer != "ok"


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=1, max_size=8), st.integers(MONDAY, MONDAY + 2000), st.integers(0, 3599))
def test_the_way_to_a_moment_does_not_matter(key: bytes, hour: int, second: int) -> None:
    """A crowd asked hour by hour and one asked once agree on who is there and since when."""
    walked, jumped = crowd_of(24, key), crowd_of(24, key)
    for earlier in range(hour - 30, hour):
        walked.present(unix(earlier), day.PUBLIC_2G)
    at = unix(hour) + second
    assert [walked.present(at, bss) for bss in EVERY_BSS] == [jumped.present(at, bss) for bss in EVERY_BSS]


def test_the_counted_are_those_present() -> None:
    """The minute counts that traffic is made from equal the authorised stations in the middle of calm minutes."""
    crowd = crowd_of(80)
    for hour in range(MONDAY, MONDAY + 24):
        counts = crowd.counts(hour)
        for minute in range(0, 60, 7):
            there = [sum(not stay.is_lingering for stay in crowd.present(unix(hour) + minute * 60 + 59.9, bss)) for bss in EVERY_BSS]
            assert all(abs(counts[bss][minute] - there[bss]) <= 2 for bss in EVERY_BSS)


def test_a_stay_goes_on_across_hours() -> None:
    """Residents stay for hours, keep their address and their beginning; nobody stays longer than 26 hours."""
    crowd = crowd_of(60)
    stays = [stay for hour in range(MONDAY, MONDAY + 48) for stay in crowd.present(unix(hour) + 1800, day.PUBLIC_5G)]
    ages = [unix(MONDAY + 47) + 1800 - stay.since for stay in crowd.present(unix(MONDAY + 47) + 1800, day.PUBLIC_5G)]
    assert max(ages) > 2 * day.HOUR and max(ages) <= day.LONGEST_STAY_HOURS * day.HOUR
    assert all(len({crowd.mac(stay) for stay in stays if stay.slot == slot}) == 1 for slot in {stay.slot for stay in stays} if not crowd.slots[slot].is_passer)


def test_a_passer_by_is_another_station_each_time() -> None:
    """Passers-by come with a new address at each visit and are gone within twenty minutes."""
    crowd = crowd_of(200)
    stays = [stay for minute in range(6 * 60) for stay in crowd.present(unix(MONDAY + 17) + minute * 60, day.PUBLIC_2G)]
    visits = {(stay.slot, stay.since): crowd.mac(stay) for stay in stays if crowd.slots[stay.slot].is_passer}
    assert len(visits) > 5 and len(set(visits.values())) == len(visits)


def test_nobody_is_on_a_dead_radio() -> None:
    """Stations that wanted a BSS which is not on air use one that is."""
    crowd = crowd_of(60, living=(day.PUBLIC_5G,))
    assert {slot.bss for slot in crowd.slots} == {day.PUBLIC_5G}


def test_everybody_present_has_a_lease() -> None:
    """There are at least as many leases as authorised stations, and some left ones keep theirs."""
    crowd, kept = crowd_of(80), 0
    for hour in range(MONDAY, MONDAY + 48):
        at = unix(hour) + 1234
        there = sum(not stay.is_lingering for bss in EVERY_BSS for stay in crowd.present(at, bss))
        assert crowd.leases(at) >= there
        kept += crowd.leases(at) - there
    assert kept


@settings(max_examples=25, deadline=None)
@given(st.binary(min_size=1, max_size=8), st.lists(st.floats(0, 20_000), min_size=1, max_size=12))
@pytest.mark.once
def test_totals_only_rise_and_forget_nothing(key: bytes, steps: list[float]) -> None:
    """However it is asked, each total rises with time, and going back to a moment finds the same totals again."""
    start = unix(MONDAY + 5.5)
    flow, moments = flow_of(20, start, key=key), [start]
    for step in steps:
        moments.append(moments[-1] + step)
    seen = [flow.totals(at) for at in moments]
    assert all(a <= b for before, after in itertools.pairwise(seen) for a, b in zip(before, after, strict=True))
    assert [flow.totals(at) for at in reversed(moments)] == seen[::-1]


def test_totals_are_continuous_over_edges() -> None:
    """Across the edges of minutes, hours and days a millisecond moves no total by more than a line's worth."""
    flow = flow_of(60, unix(MONDAY))
    for hour in (1, 19, 24):
        for edge in (unix(MONDAY + hour), unix(MONDAY + hour) + 60):
            before, after = flow.totals(edge - 0.0005), flow.totals(edge + 0.0005)
            assert max(day.plus(after, before, -1)) < 50_000_000 / 8 / 1000 + 100


def test_a_full_line_carries_what_it_can() -> None:
    """In an evening of 400 stations the line is asked for more than it has and delivers no more than it has."""
    flow = flow_of(400, unix(MONDAY))
    evening = unix(MONDAY + 20)
    moved = day.plus(flow.totals(evening + 600), flow.totals(evening), -1)
    assert flow.load(evening) > 1
    assert 0.8 * 50_000_000 < sum(moved[day.DOWN]) * 8 / 600 <= 50_000_000


def test_own_airtime_is_part_of_the_busy_airtime() -> None:
    """Neighbours' share is there even without stations: busy is more than the beacons' time and less than all of it."""
    flow, start = flow_of(0, unix(MONDAY)), unix(MONDAY + 20)
    moved = day.plus(flow.totals(start + 100), flow.totals(start), -1)
    for busy_ms, tx_ms in zip(moved[day.BUSY_MS], moved[day.TX_MS], strict=True):
        assert 0 < tx_ms < busy_ms < 100_000


@pytest.mark.parametrize("character", [GOOD, BAD])
def test_no_uplink_no_bytes(character: day.Character) -> None:
    """In an outage of any layer but DNS nothing passes, not even the box's own bytes."""
    calendar = day.Calendar(b"key", character)
    outage = next(one for n in range(20605, 20800) for one in calendar.day(n).outages if one.layer != "dns")
    begin = outage.first * 60 - day.WIB
    flow = flow_of(60, begin - 600, character)
    moved = day.plus(flow.totals(outage.end * 60 - day.WIB - 0.001), flow.totals(begin), -1)
    assert (sum(moved[day.DOWN]), sum(moved[day.UP]), moved[day.OWN_DOWN], moved[day.OWN_UP]) == (0, 0, 0, 0)
