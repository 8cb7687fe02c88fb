"""What root is rung for: caps that do not stand, seldom, and stations that came."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.cap_errands import MEND_AFTER_S, MEND_EVERY_S, CapErrands
from agent.records import Caps, Station

FALLEN, STANDING = Caps(True, ("rwd-public is missing",), ("a",)), Caps(True, (), ("a",))


def there(*macs: str) -> object:
    return (), {"a": [Station(mac, "a", True, None, None, None) for mac in macs]}


def test_caps_that_do_not_stand_twice_are_told_of() -> None:
    """Not at the first reading, for root may just be at it; then once in a while as long as it is so."""
    errands = CapErrands()
    assert [errands.next(60.0 * minute, FALLEN, None) for minute in range(12)] == [None, "caps", *[None] * 4, "caps", *[None] * 4, "caps"]


def test_two_readings_at_nearly_the_same_moment_are_one() -> None:
    """A report out of turn, right before one on time, proves nothing."""
    errands = CapErrands()
    assert [errands.next(at, FALLEN, None) for at in (0.0, 1.0, MEND_AFTER_S - 0.1, MEND_AFTER_S)] == [None, None, None, "caps"]


def test_a_sample_without_a_reading_proves_nothing() -> None:
    """Between two reports the caps are not read."""
    errands = CapErrands()
    assert [errands.next(at, FALLEN if at % 60 == 0 else None, there()) for at in range(0, 130, 10)] == [*[None] * 6, "caps", *[None] * 6]


def test_caps_that_stand_again_begin_anew() -> None:
    """What fell and was set by itself is no errand; nor are caps that nobody wants any more."""
    errands = CapErrands()
    told = [errands.next(60.0 * minute, caps, None) for minute, caps in enumerate([FALLEN, STANDING, FALLEN, Caps(), FALLEN, FALLEN])]
    assert told == [None] * 5 + ["caps"]


def test_root_that_could_not_be_told_is_told_at_the_next_reading() -> None:
    """Of either."""
    errands = CapErrands()
    errands.next(0, FALLEN, None)
    assert errands.next(60, FALLEN, None) == "caps"
    errands.ask_again("caps")
    assert errands.next(120, FALLEN, None) == "caps"
    assert errands.next(130, None, there("x")) == "stations"
    errands.ask_again("stations")
    assert errands.next(140, None, there("x")) == "stations"


def test_stations_that_came_meanwhile_are_told_of_after_it() -> None:
    """Each errand by itself; none is lost to the other."""
    errands = CapErrands()
    errands.next(0, FALLEN, there())
    assert errands.next(60, FALLEN, there("x")) == "caps"
    assert errands.next(70, None, there("x")) == "stations"
    assert errands.next(80, None, there("x")) is None


@given(st.lists(st.tuples(st.floats(0.1, 400), st.sampled_from([FALLEN, STANDING, Caps(), None]), st.booleans()), max_size=40))
def test_root_is_never_bothered_more_often(steps: list[tuple[float, Caps | None, bool]]) -> None:
    """Whatever the readings are: of caps once in MEND_EVERY_S, and never of caps that stood at the last reading."""
    errands, at, mended, last = CapErrands(), 0.0, float("-inf"), Caps()
    for seconds, caps, is_there in steps:
        at += seconds
        last = caps or last
        if errands.next(at, caps, there("x") if is_there else there()) == "caps":
            assert at - mended >= MEND_EVERY_S and last.missing
            mended = at
