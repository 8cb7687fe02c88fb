"""A set of seq as ranges is a set: whatever comes in whatever order."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire import messages
from fleet import received
from fleet.received import Received

RANGES = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 6)).map(lambda pair: (pair[0], pair[0] + pair[1])), max_size=30)


def made(ranges: list[tuple[int, int]]) -> tuple[Received, set[int]]:
    numbers, plain = Received(), set()
    for first, last in ranges:
        numbers.add(first, last)
        plain |= set(range(first, last + 1))
    return numbers, plain


@given(RANGES)
def test_it_holds_what_a_plain_set_holds(ranges: list[tuple[int, int]]) -> None:
    """Same members, same size, and ranges that neither touch nor overlap."""
    numbers, plain = made(ranges)
    assert {seq for seq in range(80) if seq in numbers} == plain
    assert len(numbers) == len(plain)
    assert numbers.through == max(plain, default=0)
    pieces = list(numbers.ranges())
    assert all(before[1] + 1 < after[0] for before, after in pairwise(pieces))


@given(RANGES)
def test_its_text_reads_back_as_the_same_set(ranges: list[tuple[int, int]]) -> None:
    """Text both ways."""
    numbers, _ = made(ranges)
    assert Received(str(numbers)) == numbers


@given(RANGES, st.integers(1, 60), st.integers(0, 8))
def test_what_is_new_of_a_range(ranges: list[tuple[int, int]], first: int, more: int) -> None:
    """The lowest and the highest number that are not there yet; None when nothing is new."""
    numbers, plain = made(ranges)
    new = sorted(set(range(first, first + more + 1)) - plain)
    assert numbers.new_of(first, first + more) == ((new[0], new[-1]) if new else None)
    assert numbers.covers(first, first + more) == (not new)


@given(RANGES, st.integers(1, 70))
def test_missing_is_every_hole_that_is_not_gone(ranges: list[tuple[int, int]], gone_below: int) -> None:
    """All up to `through` that is neither there nor gone for good, once."""
    numbers, plain = made(ranges)
    through, holes = numbers.missing(gone_below, 1000)
    assert through == max(plain, default=0)
    assert [seq for first, last in holes for seq in range(first, last + 1)] == [seq for seq in range(gone_below, through + 1) if seq not in plain]


@given(RANGES, st.integers(1, 30), st.integers(0, 4))
def test_a_bounded_answer_is_still_true(ranges: list[tuple[int, int]], gone_below: int, most: int) -> None:
    """With fewer holes named than there are, `through` ends before the first that is not named; the agent's reader takes it."""
    numbers, plain = made(ranges)
    through, holes = numbers.missing(gone_below, most)
    assert len(holes) <= most
    named = {seq for first, last in holes for seq in range(first, last + 1)}
    assert {seq for seq in range(gone_below, through + 1) if seq not in plain} == named
    ack = messages.encode({"boot": "b1946ac92492d234", "through": through, "missing": [list(hole) for hole in holes]})
    assert messages.parse_ack(ack) == messages.Ack("b1946ac92492d234", through, tuple(holes))


def test_the_text_of_the_contract() -> None:
    """Ranges with a dash, single numbers without."""
    numbers, _ = made([(50, 52), (43, 43), (1, 41)])
    assert str(numbers) == "1-41,43,50-52"


def test_a_copy_has_a_life_of_its_own() -> None:
    """What is added to a copy is not in the first."""
    numbers, _ = made([(1, 3)])
    other = numbers.copy()
    other.add(4, 4)
    assert 4 not in numbers and 4 in other


@pytest.mark.parametrize("text", ["3-1", "1-3,4", "5,2", "0", "1,,2", "x", "1-2-3"])
def test_a_text_that_is_no_set_is_refused(text: str) -> None:
    """A store that somebody edited is not taken for one."""
    with pytest.raises(ValueError):
        Received(text)


def test_it_never_grows_beyond_its_bound() -> None:
    """Whoever sends every second number has the lowest holes given up, and counted."""
    numbers = Received()
    for seq in range(1, 2 * received.MOST_RANGES + 7, 2):
        numbers.add(seq, seq)
    assert len(list(numbers.ranges())) == received.MOST_RANGES
    assert numbers.given_up == 3
    assert 2 in numbers and 8 not in numbers
