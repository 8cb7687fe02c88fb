"""One simulated access point, turned by hand, without a broker: its reports, its clock, its boots and what happens to it."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.outbox import Outbox
from fleet.simulate import origins
from fleet.simulate.point import NEVER, Common, Life, Point
from fleet.simulate.readings import Box, Figures, Source
from fleet.simulate.tally import Tally
from fleet.simulate.world import HOUR, Happening, Time

START, INTERVAL_S = 1_790_000_000.0, 60.0


class Bench:
    """Makes points, and lets the city's time go on."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.time, self.points = folder, Time(START, 1.0), list[Point]()

    def point(self, *happenings: Happening, until: float = NEVER) -> Point:
        settings = origins.settings_of(origins.Origin("rw-0501", "Awinet", None), origins.Wanted(self.folder, INTERVAL_S, False, port=1))
        box = Box("rw-0501", 1, 24, 50.0)
        life = Life(self.time, START + 10, until, happenings)
        made = Point(settings, box, Source(box, START), Common(Figures(), Tally()), life)
        self.points.append(made)
        return made

    def go_to(self, seconds: float) -> None:
        """Let it be so many seconds after the start, and turn all until nothing is due."""
        self.time.begin(time.monotonic() - seconds)
        for point in self.points:
            for _ in range(200):
                point.turn(may_dial=False)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    for point in made.points:
        point.stop(0.0)


def waiting(outbox: Outbox, kind: str = "report") -> list[dict[str, Any]]:
    """Give what an outbox holds."""
    found = [json.loads(outbox.render(entry, uptime=entry.uptime_s, wall=None, interval_s=INTERVAL_S)) for entry in outbox.held() if entry.kind == kind]
    return [one for one in found if "from_seq" not in one]


def test_late_reports_are_made_up_for_each_at_its_moment(bench: Bench) -> None:
    """A loop that was away for ten minutes makes all ten reports, an interval apart by their own time."""
    point = bench.point()
    bench.go_to(10 + 10 * INTERVAL_S + 1)
    reports = waiting(point.outbox)
    assert len(reports) == 11
    assert {later["at"] - earlier["at"] for earlier, later in itertools.pairwise(reports)} == {INTERVAL_S}
    assert {report["span_s"] for report in reports[1:]} == {INTERVAL_S}


def test_the_last_report_is_made_at_the_end_and_none_behind_it(bench: Bench) -> None:
    """So many as fit, the last at the very end; then it is finished once nothing waits."""
    point = bench.point(until=START + 10 + 3 * INTERVAL_S)
    bench.go_to(3600)
    assert (len(waiting(point.outbox)), point.is_finished) == (4, False)
    point.outbox.ack(point.outbox.boot, point.outbox.next_seq() - 1, [])
    assert point.is_finished


def test_a_cut_one_does_not_dial(bench: Bench) -> None:
    """While its provider is away it wants no connection, says that its uplink is down, and goes on reporting."""
    point = bench.point(Happening(START + 100, START + 500, "cut"))
    bench.go_to(50)
    assert point.wants_to_dial
    bench.go_to(400)
    point.turn(may_dial=True)
    assert (point.wants_to_dial, point.is_dialing, point.broker.status().state) == (False, False, "waiting")
    assert waiting(point.outbox)[-1]["uplink"]["state"] == "gateway"
    bench.go_to(700)
    assert point.wants_to_dial and waiting(point.outbox)[-1]["uplink"]["state"] == "ok"


def test_a_power_cut_takes_the_outbox_and_no_report(bench: Bench) -> None:
    """Another boot, numbered from 1 with a boot event; what the first held is told; and no moment of a report is missed."""
    point = bench.point(Happening(START + 200, START + 200, "power-cut"))
    first = point.outbox.boot
    bench.go_to(10 + 9 * INTERVAL_S + 1)
    assert point.outbox.boot != first
    (ended,) = point.boots
    assert (ended.boot, ended.held) == (first, [[1, ended.through]])
    assert waiting(point.outbox, "event")[0]["seq"] == 1
    assert ended.reports + len(waiting(point.outbox)) == 10
    assert waiting(point.outbox)[0]["uptime_s"] < INTERVAL_S


def test_a_reboot_waits_until_there_is_nothing_to_lose(bench: Bench) -> None:
    """In order it goes down only with a connection and an empty outbox."""
    point = bench.point(Happening(START + 200, START + 200, "reboot"))
    bench.go_to(3600)
    assert point.boots == []


@pytest.mark.parametrize(("word", "clock", "error_s"), [("none", "none", None), ("floor", "floor", -200 * 86400), ("ntp-future", "ntp", 5 * 365 * 86400)])
def test_a_wrong_clock_is_wrong_and_comes_right(bench: Bench, word: str, clock: str, error_s: float | None) -> None:
    """Its reports say what the box believes; later ones are right again."""
    point = bench.point(Happening(START, START + HOUR, "clock", word))
    bench.go_to(HOUR + 200)
    wrong, right = waiting(point.outbox)[3], waiting(point.outbox)[-1]
    assert (wrong["clock"], right["clock"]) == (clock, "ntp")
    assert ("at" in wrong) == (error_s is not None)
    if error_s is not None:
        assert wrong["at"] - (START + 10 + 3 * INTERVAL_S) == pytest.approx(error_s, abs=2)
    assert START + HOUR < right["at"] <= START + HOUR + 200


def test_the_counts_add_up_over_boots(bench: Bench) -> None:
    """Reports and messages of all boots, and what is held now."""
    point = bench.point(Happening(START + 200, START + 200, "power-cut"))
    bench.go_to(10 + 9 * INTERVAL_S + 1)
    reports, made, held, lost, reconnects = point.tally()
    assert (reports, lost, reconnects) == (10, 0, 0)
    assert made == point.boots[0].through + point.outbox.next_seq() - 1 and held == point.outbox.figures().count
