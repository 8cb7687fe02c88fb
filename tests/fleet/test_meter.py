"""How long messages waited."""

from __future__ import annotations

import pytest

from fleet.meter import Lags


def test_percentiles_are_within_a_tenth() -> None:
    """A percentile is told a little too high, never too low."""
    lags = Lags()
    for number in range(1, 1001):
        lags.add(5.0, number / 1000)
    for share in (0.5, 0.9, 0.99):
        assert share * 1000 <= (lags.percentile_ms(share, 5.0) or 0) <= share * 1100


def test_nothing_has_no_lag() -> None:
    """Without messages there is no figure."""
    assert Lags().percentile_ms(0.5, 0) is None


def test_a_minute_is_remembered() -> None:
    """What was a minute ago counts no more."""
    lags = Lags()
    lags.add(0.0, 30.0)
    lags.add(59.0, 0.01)
    assert (lags.percentile_ms(0.99, 59.0) or 0) > 1000
    assert lags.percentile_ms(0.99, 61.0) == pytest.approx(10, rel=0.1)


def test_no_lag_at_all_is_the_lowest_step() -> None:
    """A lag of zero, or of a clock that went back, is no fault."""
    lags = Lags()
    lags.add(0.0, 0.0)
    lags.add(0.0, -1.0)
    assert lags.percentile_ms(0.99, 0.0) == 0.5
