"""The city's time: the server's clock, unless the access points agree that it is wrong."""

from __future__ import annotations

import pytest

from fleet.server_clock import FEWEST_ASKED, ServerClock

TRUE = 1_790_000_000.0  # Unix seconds of monotonic 0


def told(points: int, off_s: float = 0.0, rounds: int = 2, clock: ServerClock | None = None, began: float = 0.0, late_s: float = 0.2) -> ServerClock:
    """Let access points report every 30 s, with clocks that are off by so much."""
    clock = clock or ServerClock()
    for turn in range(rounds):
        for ap in range(points):
            mono = began + 30.0 * turn + ap / 1000
            clock.note(ap, TRUE + off_s + mono - late_s, mono)
    return clock


def test_a_right_clock_is_the_citys_time() -> None:
    """While the server's clock agrees, it is what counts, to the second."""
    clock = told(10)
    look = clock.look(TRUE + 60 + 20, 60)
    assert look.now == TRUE + 80
    assert not clock.is_wrong


@pytest.mark.parametrize("off_s", [-86_400.0, -61.0, 61.0, 3600.0])
def test_a_wrong_clock_is_not(off_s: float) -> None:
    """Beyond a minute the access points' clocks are the city's time."""
    clock = told(10)
    look = clock.look(TRUE + off_s + 60, 60)
    assert clock.is_wrong
    assert look.now == pytest.approx(TRUE + 60, abs=1)
    assert clock.off_s(TRUE + off_s + 60, 60) == pytest.approx(-off_s, abs=1)


def test_a_few_cannot_move_it() -> None:
    """Fewer access points than five say nothing, and a minority with wrong clocks is outvoted."""
    assert told(FEWEST_ASKED - 1).off_s(TRUE, 60) is None
    clock = told(10)
    for ap in range(4):
        clock.note(ap, TRUE + 86_000 + 90, 90)
        clock.note(ap, TRUE + 86_000 + 120, 120)
    assert clock.look(TRUE + 120, 120).now == TRUE + 120


def test_backlog_is_no_clock() -> None:
    """What a broker kept for an hour says nothing of the time: only what comes as fast as it is made does."""
    clock = ServerClock()
    for ap in range(20):
        for number in range(100):
            clock.note(ap, TRUE - 3600 + 30 * number, ap + number / 1000)
    assert clock.off_s(TRUE, 60) is None


def test_the_first_live_reports_after_backlog_count() -> None:
    """After the backlog the very next reports are a clock again."""
    clock = ServerClock()
    for ap in range(20):
        for number in range(10):
            clock.note(ap, TRUE - 275 + 30 * number, number / 1000)
        clock.note(ap, TRUE + 25, 25)
    assert clock.off_s(TRUE + 25, 25) == 0


@pytest.mark.parametrize("away_s", [95.0, 600.0, 3500.0, 7200.0])
def test_what_waited_while_the_broker_was_away_is_no_clock(away_s: float) -> None:
    """The first report of a queue comes long after the one before, as late as the queue is long: the city's time stays."""
    clock, rounds = told(20), int(away_s / 30)
    for ap in range(20):
        for number in range(rounds):
            clock.note(ap, TRUE + 60.0 + 30.0 * number, 60.0 + away_s + ap / 100 + number / 10_000)
            assert clock.look(TRUE + 61 + away_s, 61 + away_s).now == TRUE + 61 + away_s
    told(20, clock=clock, began=90.0 + away_s)
    assert clock.off_s(TRUE + 130 + away_s, 130 + away_s) == pytest.approx(0, abs=1)


def test_whose_clock_was_ahead_counts_again() -> None:
    """After an hour what it said then is forgotten."""
    clock = told(10, off_s=86_400.0)
    told(10, clock=clock, began=60.0)
    told(10, clock=clock, began=3800.0)
    assert clock.off_s(TRUE + 3840, 3840) == pytest.approx(0, abs=1)


def test_a_jump_is_told_and_known_to_be_wrong_at_once() -> None:
    """The server's clock jumps by an hour: the city's time goes on, without a report in between."""
    clock = told(10)
    clock.look(TRUE + 60, 60)
    look = clock.look(TRUE + 3661, 61)
    assert look.server_jumped_s == 3600
    assert clock.is_wrong and look.jumped_s == 0
    assert look.now == pytest.approx(TRUE + 61, abs=1)
    back = clock.look(TRUE + 62, 62)
    assert back.server_jumped_s == -3600 and not clock.is_wrong


def test_a_jump_that_nobody_can_judge_is_the_citys() -> None:
    """Without access points the server's clock is all there is: its jump is the city's."""
    clock = ServerClock()
    assert clock.look(TRUE, 0).jumped_s == 0
    assert clock.look(TRUE + 3601, 1).jumped_s == 3600
    assert clock.look(TRUE + 3602.2, 2).jumped_s == 0


def test_wrong_stays_wrong_until_it_is_clearly_right() -> None:
    """A clock at the border does not go to and fro."""
    clock = told(10, late_s=0)
    clock.look(TRUE + 61 + 60, 60)
    assert clock.is_wrong
    clock.look(TRUE + 59 + 60, 60)
    assert clock.is_wrong
    clock.look(TRUE + 29 + 60, 60)
    assert not clock.is_wrong


def test_what_was_said_an_hour_ago_is_forgotten() -> None:
    """Access points that are gone vouch for nothing."""
    assert told(10).off_s(TRUE + 3700, 3700) is None


def test_only_the_last_hundred_and_one_are_asked() -> None:
    """A city of many keeps no more than it needs."""
    clock = told(101, off_s=86_000)
    for ap in range(200, 301):
        clock.note(ap, TRUE + 70, 70)
        clock.note(ap, TRUE + 100, 100)
    assert clock.off_s(TRUE + 100, 100) == 0


def test_who_left_the_inventory_is_not_asked() -> None:
    """A revoked access point has no say."""
    clock = told(10)
    clock.forget({1, 2})
    assert clock.off_s(TRUE, 60) is None


def test_time_that_goes_back_is_not_noted() -> None:
    """Backlog that is sent after what is live changes nothing."""
    clock = told(10, late_s=0)
    for ap in range(10):
        clock.note(ap, TRUE - 500, 31)
    assert clock.off_s(TRUE + 60, 60) == 0
