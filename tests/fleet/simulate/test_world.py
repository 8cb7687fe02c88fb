"""The simulated city's time, and its happenings: the same from the same seed, each only where its mood is on."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.simulate import world
from fleet.simulate.world import DAY, HOUR, Happening, Time

START = 1_790_000_000.0
PROVIDERS = {f"rw-{number:04d}": ("Awinet", "Biznet")[number % 2] for number in range(400)}


def happened(moods: tuple[str, ...] = world.MOODS, seed: int = 3) -> dict[str, list[Happening]]:
    return world.day(seed, START, DAY, PROVIDERS, moods)


def test_time_stands_until_it_begins() -> None:
    """Before its beginning no moment of the city ever comes; after it, `speed` seconds go by in each."""
    clock = Time(START, 100.0)
    assert (clock.now(), clock.real(START + 5)) == (START, float("inf"))
    clock.begin(time.monotonic() - 2.0)
    assert START + 200 <= clock.now() < START + 1000
    assert clock.real(START + 300) - clock.began == 3.0


def test_one_seed_gives_one_day() -> None:
    """Two runs of a seed are alike, another seed's is another."""
    assert happened() == happened()
    assert happened() != happened(seed=4)


@settings(deadline=None, max_examples=20)
@given(st.sets(st.sampled_from(world.MOODS)))
def test_a_mood_does_not_change_what_another_does(moods: set[str]) -> None:
    """What happens with some moods is what happens with all of them, without the others' part; `returns` only makes outages longer, clocks put reboots off."""
    ours = tuple(sorted(moods - {"returns", "clocks"}))
    few, all_of_it = happened(ours), happened(tuple(mood for mood in world.MOODS if mood not in ("returns", "clocks")))
    kinds = {"outages": "cut", "reboots": "reboot", "power-cuts": "power-cut", "floods": "flood"}
    wanted = {kinds.get(mood, mood) for mood in ours}
    assert few == {ap: [one for one in found if one.kind in wanted] for ap, found in all_of_it.items()}


def test_calm_is_calm() -> None:
    """Without a mood nothing happens."""
    assert set(map(len, happened(()).values())) == {0}


def test_an_outage_is_its_providers() -> None:
    """All access points of a provider are cut at the same moment, and return one after the other; those of another provider are not cut then."""
    cuts = {ap: [one for one in found if one.kind == "cut"] for ap, found in happened(("outages",)).items()}
    begins = {name: {tuple(one.at for one in cuts[ap]) for ap, provider in PROVIDERS.items() if provider == name} for name in ("Awinet", "Biznet")}
    assert all(len(found) == 1 for found in begins.values()) and begins["Awinet"].isdisjoint(begins["Biznet"])
    first = [found[0].until for ap, found in cuts.items() if PROVIDERS[ap] == "Awinet"]
    assert 100 < max(first) - min(first) <= world.BACK_WITHIN_S


def test_some_return_late() -> None:
    """With `returns` a few access points come back more than half an hour after their provider."""
    kept = [one.until - one.at for found in happened(("outages", "returns")).values() for one in found]
    late = [seconds for seconds in kept if seconds > world.OUTAGE_S[1] + world.BACK_WITHIN_S]
    assert 0 < len(late) < 0.15 * len(kept)


def test_a_box_with_a_wrong_clock_reboots_only_after_it_came_right() -> None:
    """Else its reports would keep a guessed time for good."""
    both = [found for found in happened(("clocks", "reboots"), seed=9).values() if {one.kind for one in found} == {"clock", "reboot"}]
    assert both
    assert all(next(one.at for one in found if one.kind == "reboot") >= next(one.until for one in found if one.kind == "clock") for found in both)


def test_short_runs_have_no_outage() -> None:
    """A run of minutes is too short for one."""
    assert not any(world.day(1, START, HOUR / 2, PROVIDERS, ("outages",)).values())


def test_a_wrong_mood_is_named() -> None:
    """What is no mood is told."""
    assert world.unknown(("outages", "fun")) == ["fun"]
