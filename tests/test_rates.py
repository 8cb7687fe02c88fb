"""Counters to rates: never a spike, never a negative."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.rates import PLAUSIBLE_LINK_FACTOR, UNKNOWN_LINK_BPS, Count, delta, throughput_bps

COUNTS = st.builds(Count, st.floats(0, 1e9), st.integers(0, 2**64))
LINKS = st.none() | st.integers(1, 100_000)


def test_rate_is_bits_over_seconds() -> None:
    """125,000 bytes in 10 seconds are 100 kbit/s."""
    assert throughput_bps(Count(5.0, 1000), Count(15.0, 126_000), 1000) == 100_000


def test_no_traffic_is_zero_not_unknown() -> None:
    """A counter that stands still is a rate of 0."""
    assert throughput_bps(Count(0, 7), Count(10, 7), 100) == 0


def test_counter_going_back_is_reset() -> None:
    """A device created anew starts at 0: nobody knows what went before."""
    assert delta(10, 9) is None
    assert throughput_bps(Count(0, 10), Count(1, 9), 100) is None


def test_missing_reading_moves_nowhere() -> None:
    """A counter that could not be read gives no movement."""
    assert delta(None, 5) is None
    assert delta(5, None) is None


def test_wrap_at_32_bits_is_reset() -> None:
    """A wrapped 32-bit counter goes back, and is not guessed at."""
    assert throughput_bps(Count(0, 2**32 - 100), Count(10, 50_000), 100) is None


def test_faster_than_the_link_is_reset() -> None:
    """100 Mbit/s cannot carry 126 Mbit/s."""
    assert throughput_bps(Count(0, 0), Count(1, 126_000_000 // 8), 100) is None


def test_up_to_a_quarter_over_the_link_is_plausible() -> None:
    """Late counters and framing may show a little more than the link's name says."""
    assert throughput_bps(Count(0, 0), Count(1, 125_000_000 // 8), 100) == 125_000_000


def test_unknown_link_is_taken_for_ten_gigabit() -> None:
    """Where the speed is unknown, 12.5 Gbit/s is the most that is believed."""
    most = UNKNOWN_LINK_BPS * PLAUSIBLE_LINK_FACTOR / 8
    assert throughput_bps(Count(0, 0), Count(1, int(most)), None) == UNKNOWN_LINK_BPS * PLAUSIBLE_LINK_FACTOR
    assert throughput_bps(Count(0, 0), Count(1, int(most) + 1), None) is None
    assert throughput_bps(Count(0, 0), Count(1, int(most)), 0) is not None


def test_no_time_passed_is_no_rate() -> None:
    """Two readings of one moment, or of a clock gone back, give nothing."""
    assert throughput_bps(Count(3, 0), Count(3, 100), 100) is None
    assert throughput_bps(Count(3, 0), Count(2, 100), 100) is None


@given(COUNTS, COUNTS, LINKS)
def test_a_rate_is_never_negative_and_never_beyond_the_link(before: Count, after: Count, link: int | None) -> None:
    """Whatever two counters say, the rate is none or between 0 and 1.25 x the link."""
    bps = throughput_bps(before, after, link)
    ceiling = (link * 1_000_000 if link else UNKNOWN_LINK_BPS) * PLAUSIBLE_LINK_FACTOR
    assert bps is None or 0 <= bps <= ceiling


@given(st.integers(0, 2**40), st.integers(0, 10**9), st.integers(1, 3600))
def test_true_traffic_gives_its_own_rate(start: int, moved: int, seconds: int) -> None:
    """What a 100 Gbit/s link can carry is given exactly."""
    assert throughput_bps(Count(0, start), Count(seconds, start + moved), 100_000) == moved * 8 / seconds
