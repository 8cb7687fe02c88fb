"""How long an access point was up, was down, or nobody can know: seconds that sum to the time asked for.

Pure: the same facts give the same seconds, in whatever order they came. The rules, each for what those before it leave:

1. What a report covers is up when the report says so or says nothing of it, else down; where two cover it, up.
2. Up to JOIN_S between two reports is rounding, and belongs to the later.
3. Unknown: before the access point was first heard of; where we did not listen; between the first and the last report of one boot (it ran all
   the time: reports are lost, or the agent had stopped and went on); from a stop that the agent announced to the next boot that reports;
   and at the open end, while the next report is not overdue.
4. Down.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

JOIN_S = 2
OVERDUE_S, OVERDUE_SPANS = 90, 2.5
STOP_SLACK_S = 10  # a stop is heard by our clock, the last report's end is the access point's

Interval = tuple[int, int]  # begin and end, Unix seconds; the end is not in it


class Facts(NamedTuple):
    """What is known of one access point around the time asked for.

    `boots` are from the begin of each boot's first span to the end of its last; `seen_from` is the first of these ever, None when never heard;
    `open_from` is the end of the newest report of all and `open_until` when the next is overdue.
    """

    reports: Sequence[tuple[int, int, bool]]  # begin and end of its span, is up
    boots: Sequence[Interval] = ()
    stops: Sequence[int] = ()
    seen_from: int | None = None
    open_from: int = 0
    open_until: int = 0


class Seconds(NamedTuple):
    """Whole seconds; their sum is the time asked for."""

    up: int
    down: int
    unknown: int


def availability(facts: Facts, listening: Sequence[Interval], since: int, until: int) -> Seconds:
    """Count since..until; `listening` are the times in which this end heard everything, rising."""
    if until <= since:
        return Seconds(0, 0, 0)
    up, said_down = _covered(facts.reports, since, until)
    up_s = _length(up)
    if up_s == until - since:
        return Seconds(up_s, 0, 0)
    said_down = _without(said_down, up)
    down_s = _length(said_down)
    rest = _without(_without([(since, until)], up), said_down)
    if rest and facts.seen_from is not None:
        heard = _within(rest, listening)
        known = _union([(since, facts.seen_from), *facts.boots, *_stopped(facts, until), (facts.open_from, facts.open_until)])
        down_s += _length(_without(heard, known))
    return Seconds(up_s, down_s, until - since - up_s - down_s)


def overdue_at(end: int, span_s: float) -> int:
    """Say when the report after one that ended at `end` is overdue."""
    return end + int(max(OVERDUE_S, OVERDUE_SPANS * span_s))


def _covered(reports: Iterable[tuple[int, int, bool]], since: int, until: int) -> tuple[list[Interval], list[Interval]]:
    """Give what reports say is up and what they say is down, each rising and apart, within since..until."""
    said: tuple[list[Interval], list[Interval]] = ([], [])
    reach: int | None = None
    for begin, end, is_up in sorted(reports):
        if reach is not None and reach < begin <= reach + JOIN_S:
            begin = reach
        reach = end if reach is None else max(reach, end)
        begin, end = max(begin, since), min(end, until)
        if begin >= end:
            continue
        side = said[0 if is_up else 1]
        if side and begin <= side[-1][1]:
            if end > side[-1][1]:
                side[-1] = (side[-1][0], end)
        else:
            side.append((begin, end))
    return said


def _stopped(facts: Facts, until: int) -> list[Interval]:
    """Give the times from each stop to the next boot's first report, at most to `until`."""
    stopped = []
    for stop in facts.stops:
        went_on = any(begin <= stop and end > stop + STOP_SLACK_S for begin, end in facts.boots)
        if not went_on:
            stopped.append((stop, min((begin for begin, _ in facts.boots if begin > stop), default=until)))
    return stopped


def _length(intervals: Iterable[Interval]) -> int:
    return sum(end - begin for begin, end in intervals)


def _union(intervals: Iterable[Interval]) -> list[Interval]:
    made: list[Interval] = []
    for begin, end in sorted(intervals):
        if made and begin <= made[-1][1]:
            made[-1] = (made[-1][0], max(made[-1][1], end))
        elif begin < end:
            made.append((begin, end))
    return made


def _within(intervals: Sequence[Interval], others: Sequence[Interval]) -> list[Interval]:
    """Give what is in both; both rising and apart."""
    both = ((max(a, begin), min(b, end)) for a, b in intervals for begin, end in others)
    return [(begin, end) for begin, end in both if begin < end]


def _without(intervals: Sequence[Interval], others: Sequence[Interval]) -> list[Interval]:
    """Give what is in the first and not in the second; both rising and apart."""
    left: list[Interval] = []
    for begin, end in intervals:
        for other_begin, other_end in others:
            if other_end <= begin:
                continue
            if other_begin >= end:
                break
            if other_begin > begin:
                left.append((begin, other_begin))
            begin = other_end
        if begin < end:
            left.append((begin, end))
    return left
