"""The options of a run: chosen by the number of points, checked, and the same in each of its processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet.errors import BadInput
from fleet.simulate.__main__ import _orders, _parser
from fleet.simulate.orders import Orders, arguments, chosen


def orders(*words: str) -> Orders:
    return _orders(_parser().parse_args(words))


def test_a_part_is_told_the_same() -> None:
    """What a process reads from its command line is what the parent meant."""
    told = chosen(
        orders("--plain", "1883", "--points", "7000", "--interval", "30", "--speed", "2.5", "--start", "17.25", "--moods", "outages,clocks", "--seed", "4"),
        7000,
        Path("/tmp/x"),
        0.0,
    )
    heard = orders(*arguments(told, 1))
    assert heard._replace(sent=None) == told._replace(sent=None)


def test_a_citys_part_is_told_the_same() -> None:
    """With a city too, with those that are left out."""
    told = chosen(
        orders("/srv/malang", "--but", "vm", "--until-virtual", "24", "--drain", "5", "--moods", "calm", "--appliers", "0"), 551, Path("/tmp/x"), 12.5
    )
    assert orders(*arguments(told, 0)) == told


@pytest.mark.parametrize(("points", "speed", "processes", "shared"), [(551, 1.0, 1, 1), (551, 300.0, 1, 16), (10_000, 1.0, 4, 16), (19_000, 1.0, 7, 16)])
def test_processes_and_families_follow_from_the_number(points: int, speed: float, processes: int, shared: int) -> None:
    """Few points at the real pace each read a box of their own; many share, and are spread over processes."""
    made = chosen(orders("--plain", "1", "--points", str(points), "--speed", str(speed)), points, Path("/tmp/x"), 0.0)
    assert (made.processes, made.shared) == (processes, shared)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "one of the two"),
        (("city", "--plain", "1883"), "one of the two"),
        (("--plain", "1883"), "--points N"),
        (("--plain", "1883", "--points", "0"), "--points"),
        (("city", "--speed", "0"), "--speed is 0, expected 0.1 to 10000"),
        (("city", "--moods", "outages,fun"), "--moods has fun"),
    ],
)
def test_wrong_options_are_named(words: tuple[str, ...], told: str) -> None:
    """Each with what is expected."""
    with pytest.raises(BadInput, match=told):
        orders(*words)
