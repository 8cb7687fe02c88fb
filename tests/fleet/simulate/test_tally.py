"""How late things were, in few numbers."""

from __future__ import annotations

import pytest

from fleet.simulate.tally import Tally


def test_a_percentile_is_never_below_and_never_above_the_worst() -> None:
    """A bound stands for the values below it, the highest value for itself."""
    tally = Tally()
    for milliseconds in [1.0] * 98 + [40.0, 7000.0]:
        tally.add(milliseconds / 1000)
    assert (tally.percentile_ms(0.5), tally.percentile_ms(0.99), tally.percentile_ms(1.0)) == (1.0, 50.0, 7000.0)


def test_two_add_up() -> None:
    """What two processes counted is what one would have."""
    one, other = Tally(), Tally()
    one.add(0.003)
    other.add(0.2)
    one.merge(other.counts, other.most_ms)
    assert (sum(one.counts), one.most_ms) == (2, 200.0)


def test_nothing_is_not_late() -> None:
    """Without a value there is no delay, and what is beyond every bound counts as the worst."""
    assert Tally().percentile_ms(0.99) == 0.0
    tally = Tally()
    tally.add(4000.0)
    assert tally.percentile_ms(0.5) == pytest.approx(4_000_000.0)
