"""The waits between attempts, with moments and draws given."""

from __future__ import annotations

import pytest

from agent.backoff import REASONS, Backoff, pace, uniform, words


class Draws:
    """A source of draws that always gives the highest, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, float]] = []

    def __call__(self, low: float, high: float) -> float:
        self.asked.append((low, high))
        return high


def test_the_ceiling_doubles_from_3_seconds_to_10() -> None:
    """Full jitter: between 0 and min(10, 3 x 2^n) while the outage is young."""
    draws = Draws()
    backoff = Backoff(draws)
    for now in range(5):
        backoff.wait_s(float(now))
    assert draws.asked == [(0, 3), (0, 6), (0, 10), (0, 10), (0, 10)]


def test_after_five_minutes_without_a_connection_the_ceiling_is_a_minute() -> None:
    """10 s until the fifth minute, 60 s from then on."""
    backoff = Backoff(Draws())
    for _ in range(10):
        backoff.wait_s(0.0)
    assert backoff.wait_s(299.0) == 10
    assert backoff.wait_s(300.0) == 60


def test_a_new_outage_starts_with_the_short_ceiling() -> None:
    """A broker that was back for a minute after hours, and goes again, is found soon."""
    backoff = Backoff(Draws())
    for now in range(0, 7200, 60):
        backoff.wait_s(float(now))
    backoff.connected(7200.0)
    assert backoff.wait_s(7260.0) == 10


def test_five_stable_minutes_reset_the_doubling() -> None:
    """After a connection of five minutes the next wait is up to 3 s again; after one of four it is not."""
    backoff = Backoff(Draws())
    for _ in range(5):
        backoff.wait_s(0.0)
    backoff.connected(10.0)
    assert backoff.wait_s(250.0) == 10
    backoff.connected(300.0)
    assert backoff.wait_s(600.0) == 3


def test_a_broker_that_drops_everyone_at_once_is_not_a_connection() -> None:
    """Sessions of a few seconds do not keep the ceiling short: no storm against a broker that fails after CONNACK."""
    backoff = Backoff(Draws())
    for now in range(0, 600, 10):
        backoff.connected(float(now))
        wait = backoff.wait_s(now + 5.0)
    assert wait == 60


def test_the_ceiling_never_overflows() -> None:
    """A year of failures is still a minute."""
    backoff = Backoff(Draws())
    for now in range(0, 100_000, 10):
        wait = backoff.wait_s(float(now))
    assert wait == 60


@pytest.mark.parametrize(
    ("code", "low", "high"),
    [(0x8E, 60, 60), (0x86, 60, 300), (0x87, 60, 300), (0x89, 20, 60), (0x97, 20, 60), (0x88, 20, 60), (0x8B, 0, 3), (0x9D, 0, 3), (0xFF, 0, 3)],
)
def test_reason_codes_are_obeyed(code: int, low: float, high: float) -> None:
    """Taken over: a minute. Not authorised: one to five. Busy: longer than usual. Moved and unknown: as usual."""
    draws = Draws()
    Backoff(draws).wait_s(0.0, pace(code))
    assert draws.asked == [(low, high)]


def test_an_unknown_code_has_words_too() -> None:
    """Its number."""
    assert (words(0x87), words(0xFE)) == ("not authorized (0x87)", "reason 0xfe")


def test_every_code_is_a_failure() -> None:
    """Codes below 0x80 are success and need no pace."""
    assert all(code >= 0x80 for code in REASONS)


def test_the_draw_covers_its_range() -> None:
    """Uniform between the two bounds, both halves."""
    drawn = [uniform(2.0, 4.0) for _ in range(200)]
    assert min(drawn) >= 2.0
    assert max(drawn) <= 4.0
    assert min(drawn) < 3.0 < max(drawn)
