"""DHCP leases and pool."""

from __future__ import annotations

import pytest

from agent.collectors import dhcp
from agent.errors import Unavailable
from agent.records import Dhcp, Knobs
from tests.fakes.router import FakeRouter

KNOBS = Knobs(50, False)


def test_leases_and_pool_of_the_last_sample() -> None:
    """The report has the last reading, by the names of the contract."""
    span = dhcp.Span(KNOBS)
    span.add(0, dhcp.collect(FakeRouter(dhcp=Dhcp(36, 150))))
    span.add(10, Dhcp(37, 150))
    assert span.part(10) == {"dhcp": {"leases": 37, "pool": 150}}


def test_an_unknown_pool_is_absent() -> None:
    """A pool nobody knows is left out, not null."""
    span = dhcp.Span(KNOBS)
    span.add(0, Dhcp(3, None))
    assert span.part(0) == {"dhcp": {"leases": 3}}


def test_the_fullest_pool_is_told_beside_the_sums() -> None:
    """Rounded to a thousandth, also where the sum is unknown; an empty one is told as such."""
    known = [(Dhcp(25, 950, 25 / 900), {"leases": 25, "pool": 950, "fullest_ratio": 0.028}), (Dhcp(0, None, 0.0), {"leases": 0, "fullest_ratio": 0.0})]
    for reading, part in known:
        span = dhcp.Span(KNOBS)
        span.add(0, reading)
        assert span.part(0) == {"dhcp": part}


def test_a_box_without_dhcp_has_no_part() -> None:
    """Unavailable goes up to the caller, and the report has no dhcp."""
    with pytest.raises(Unavailable):
        dhcp.collect(FakeRouter())
    assert dhcp.Span(KNOBS).part(60) == {}


def test_a_span_without_a_sample_repeats_nothing() -> None:
    """Yesterday's leases are not today's."""
    span = dhcp.Span(KNOBS)
    span.add(0, Dhcp(3, 150))
    span.part(0)
    assert span.part(60) == {}
