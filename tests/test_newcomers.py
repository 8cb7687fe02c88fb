"""Stations that came where each is capped: root is told of them, and not too often."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agent.newcomers import RING_EVERY_S, Newcomers, Reading
from agent.records import Caps, Station

CAPS = Caps(True, (), ("a", "b"))
LATER = 2 * RING_EVERY_S


def there(**macs: str | None) -> Reading:
    """Who is where, by one letter each; None for a network that cannot be read, a capital for one that is not authorised."""
    return (), {
        ifname: None if letters is None else [Station(letter.lower(), ifname, letter.islower(), None, None, None) for letter in letters]
        for ifname, letters in macs.items()
    }


def test_who_comes_is_told_once() -> None:
    """Everybody at the start, then each newcomer; who stays or goes is no news."""
    newcomers = Newcomers()
    told = [
        newcomers.came(number * LATER, CAPS, reading)
        for number, reading in enumerate([there(a="xy"), there(a="xy"), there(a="xyz"), there(a="z"), there(a="z", b="q")])
    ]
    assert told == [True, False, True, False, True]


def test_only_capped_networks_and_authorised_stations_count() -> None:
    """Where stations are not capped one by one there is nothing to do."""
    newcomers = Newcomers()
    assert not newcomers.came(0, CAPS, there(a="X", c="y"))
    assert not newcomers.came(LATER, Caps(True), there(a="x"))
    assert newcomers.came(2 * LATER, CAPS, there(a="x"))


def test_a_crowd_rings_once_in_a_while_and_nobody_is_forgotten() -> None:
    """Who came too soon after the last ring is told as soon as that may be, without another coming."""
    newcomers = Newcomers()
    assert newcomers.came(0, CAPS, there(a="x"))
    assert [newcomers.came(second, CAPS, there(a="xyz"[: second + 1])) for second in (1, 2, 3, 5)] == [False] * 4
    assert newcomers.came(RING_EVERY_S, CAPS, there(a="xyz"))
    assert not newcomers.came(2 * RING_EVERY_S, CAPS, there(a="xyz"))


def test_who_came_and_went_again_needs_nothing() -> None:
    """Nobody is there to be seated."""
    newcomers = Newcomers()
    assert newcomers.came(0, CAPS, there(a="x"))
    assert not newcomers.came(1, CAPS, there(a="xy"))
    assert not newcomers.came(LATER, CAPS, there(a=""))


def test_a_network_that_cannot_be_read_keeps_its_stations() -> None:
    """A hostapd that was silent once brings nobody new."""
    newcomers = Newcomers()
    told = [newcomers.came(number * LATER, CAPS, reading) for number, reading in enumerate([there(a="x"), there(a=None), there(), there(a="x")])]
    assert told == [True, False, False, False]


def test_after_root_was_at_work_everybody_is_new() -> None:
    """A tree made anew knows no station."""
    newcomers = Newcomers()
    assert newcomers.came(0, CAPS, there(a="x"))
    assert newcomers.came(LATER, CAPS._replace(made_at=7), there(a="x"))
    assert not newcomers.came(2 * LATER, CAPS._replace(made_at=7), there(a="x"))


def test_a_ring_that_was_not_heard_comes_again() -> None:
    """After the same while."""
    newcomers = Newcomers()
    assert newcomers.came(0, CAPS, there(a="x"))
    newcomers.ask_again()
    assert not newcomers.came(1, CAPS, there(a="x"))
    assert newcomers.came(RING_EVERY_S, CAPS, there(a="x"))


@given(st.lists(st.tuples(st.floats(0.1, 4), st.text("abcd", max_size=4)), max_size=30))
def test_never_more_often_and_never_lost(steps: list[tuple[float, str]]) -> None:
    """Two rings are never closer than the least time; once nobody comes any more, whoever is there was rung for after they came."""
    newcomers, at, rings, came = Newcomers(), 0.0, [], {}
    for seconds, macs in [*steps, (LATER, steps[-1][1] if steps else "")]:
        at += seconds
        came = {mac: came.get(mac, at) for mac in macs}
        if newcomers.came(at, CAPS, there(a="".join(sorted(set(macs))))):
            rings.append(at)
    assert all(after - before >= RING_EVERY_S - 1e-9 for before, after in pairwise(rings))
    assert not came or max(came.values()) <= max(rings)
