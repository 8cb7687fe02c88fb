"""Up, down and unknown: every second is exactly one of them, by the rules of the module and by nothing else."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.availability import JOIN_S, STOP_SLACK_S, Facts, Seconds, availability, overdue_at

LISTENED = [(0, 10_000)]


def minutes(*numbers: int, is_up: bool = True) -> list[tuple[int, int, bool]]:
    """Give reports of the minutes that begin at second 60 x number."""
    return [(60 * number, 60 * number + 60, is_up) for number in numbers]


def counted(facts: Facts, since: int = 0, until: int = 600, listening: list[tuple[int, int]] = LISTENED) -> tuple[int, int, int]:
    return tuple(availability(facts, listening, since, until))


def test_covered_time_is_what_the_reports_say() -> None:
    """up is up, any failing layer is down."""
    reports = minutes(0, 1, 2) + minutes(3, 4, is_up=False) + minutes(*range(5, 10))
    assert counted(Facts(reports, [(0, 600)], (), 0)) == (480, 120, 0)


def test_silence_between_two_boots_is_down() -> None:
    """The power was gone: another boot came after it."""
    assert counted(Facts(minutes(0, 1, 7, 8, 9), [(0, 120), (420, 600)], (), 0)) == (300, 300, 0)


def test_silence_within_one_boot_is_unknown() -> None:
    """It ran: its reports are lost, or its agent had stopped in order."""
    assert counted(Facts(minutes(0, 1, 7, 8, 9), [(0, 600)], (), 0)) == (300, 0, 300)


def test_silence_while_nobody_listened_is_unknown() -> None:
    """Our own outage is no outage of an access point."""
    assert counted(Facts(minutes(0, 1), [(0, 120)], (), 0), listening=[(0, 200), (500, 600)]) == (120, 180, 300)


def test_time_before_the_first_word_is_unknown() -> None:
    """An access point that hangs on no wall yet is not down."""
    assert counted(Facts(minutes(5, 6), [(300, 420)], (), 300)) == (120, 180, 300)
    assert counted(Facts(())) == (0, 0, 600)


def test_time_after_a_stop_is_unknown_until_the_next_boot() -> None:
    """Somebody stopped the agent, which said so."""
    boots = [(0, 120), (420, 480)]
    assert counted(Facts(minutes(0, 1, 7), boots, [121], 0)) == (180, 120 + 1, 299)


def test_a_stop_that_the_same_boot_outlived_excuses_nothing_after_it() -> None:
    """The agent was started again and the power failed later: that is down."""
    boots = [(0, 240), (420, 600)]
    assert counted(Facts(minutes(0, 3, 7, 8, 9), boots, [61], 0)) == (300, 180, 120)
    assert counted(Facts(minutes(0, 1), [(0, 120)], [120 - STOP_SLACK_S], 0)) == (120, 0, 480)


def test_the_open_end_is_unknown_until_the_next_report_is_overdue() -> None:
    """A report that is on its way is no outage; one that never came is, from the beginning."""
    assert counted(Facts(minutes(0, 1), [(0, 120)], (), 0, 120, 270), until=200) == (120, 0, 80)
    assert counted(Facts(minutes(0, 1), [(0, 120)], (), 0), until=300) == (120, 180, 0)


def test_overdue_is_two_and_a_half_spans_and_never_sooner_than_90_s() -> None:
    """By the access point's own interval."""
    assert (overdue_at(100, 10.0), overdue_at(100, 60.0)) == (190, 250)


def test_rounding_between_two_spans_is_no_gap() -> None:
    """Two seconds belong to the later report; three are a gap."""
    assert counted(Facts([(0, 300 - JOIN_S, True), (300, 600, False)], [(0, 600)], (), 0)) == (298, 302, 0)
    assert counted(Facts([(0, 297, True), (300, 600, True)], [(0, 600)], (), 0)) == (597, 0, 3)


def test_nothing_asked_is_nothing() -> None:
    """An hour that has not begun has no seconds."""
    assert availability(Facts(minutes(0)), LISTENED, 60, 60) == Seconds(0, 0, 0)


INTERVAL = st.tuples(st.integers(0, 80), st.integers(1, 25)).map(lambda pair: (pair[0], pair[0] + pair[1]))
REPORTS = st.lists(st.tuples(INTERVAL, st.booleans()).map(lambda pair: (*pair[0], pair[1])), max_size=8)
FACTS = st.builds(
    Facts,
    REPORTS,
    st.lists(INTERVAL, max_size=4),
    st.lists(st.integers(0, 90), max_size=3),
    st.none() | st.integers(0, 90),
    st.integers(0, 60),
    st.integers(0, 100),
)


def apart(intervals: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Give rising intervals that do not touch."""
    made: list[tuple[int, int]] = []
    for begin, end in sorted(intervals):
        if made and begin <= made[-1][1]:
            made[-1] = (made[-1][0], max(end, made[-1][1]))
        else:
            made.append((begin, end))
    return made


def by_the_second(facts: Facts, listening: list[tuple[int, int]], since: int, until: int) -> Seconds:
    """The rules said anew, one second after the other."""
    said: dict[int, bool] = {}
    reach = None
    for begin, end, is_up in sorted(facts.reports):
        if reach is not None and reach < begin <= reach + JOIN_S:
            begin = reach
        reach = end if reach is None else max(reach, end)
        for second in range(begin, end):
            said[second] = said.get(second, False) or is_up
    count = {"up": 0, "down": 0, "unknown": 0}
    for second in range(since, until):
        stopped = any(
            stop <= second
            and not any(begin > stop and begin <= second for begin, _ in facts.boots)
            and not any(begin <= stop and end > stop + STOP_SLACK_S for begin, end in facts.boots)
            for stop in facts.stops
        )
        if second in said:
            count["up" if said[second] else "down"] += 1
        elif (
            facts.seen_from is None
            or second < facts.seen_from
            or not any(begin <= second < end for begin, end in listening)
            or any(begin <= second < end for begin, end in facts.boots)
            or stopped
            or facts.open_from <= second < facts.open_until
        ):
            count["unknown"] += 1
        else:
            count["down"] += 1
    return Seconds(**count)


@settings(max_examples=200)
@given(FACTS, st.lists(INTERVAL, max_size=3), st.integers(0, 60), st.integers(0, 60), st.randoms(use_true_random=False))
def test_it_is_the_rules_second_by_second(facts: Facts, listening: list[tuple[int, int]], since: int, length: int, chance: object) -> None:
    """The three sum to the time asked for, they are what the rules say of each second, and order changes nothing."""
    rising, until = apart(listening), since + length
    seconds = availability(facts, rising, since, until)
    assert sum(seconds) == length and min(seconds) >= 0
    assert seconds == by_the_second(facts, rising, since, until)
    mixed = list(facts.reports)
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    assert availability(facts._replace(reports=mixed), rising, since, until) == seconds


@given(FACTS, st.lists(INTERVAL, max_size=3), st.integers(0, 50), st.integers(0, 50))
def test_two_halves_are_the_whole(facts: Facts, listening: list[tuple[int, int]], first: int, second: int) -> None:
    """Hours sum to days: where the time is cut changes nothing."""
    rising = apart(listening)
    halves = availability(facts, rising, 0, first), availability(facts, rising, first, first + second)
    assert tuple(map(sum, zip(*halves, strict=True))) == availability(facts, rising, 0, first + second)
