"""A day of a whole city: 551 access points over TLS, an ingester killed five times, a broker restarted three times; and every report stored exactly once.

CI runs one report in 300 s of the city's time, a tenth of the real pace; RWAGENT_FULL=1 runs all 1,586,880.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fleet import city as city_door
from fleet import demo_city
from fleet.keeper import Keeper
from fleet.received import Received
from fleet.rollup import Rollup
from fleet.simulate import sent, world
from tests.replayed import counted
from tests.stories.rwctl_city import Program, RealCity, make_city
from tests.stories.world import ROOT, until

pytestmark = [pytest.mark.story, pytest.mark.needs("mosquitto")]

IS_FULL = os.environ.get("RWAGENT_FULL") == "1"
INTERVAL_S, SPEED, PROCESSES = (30, 40.0, 2) if IS_FULL else (300, 400.0, 2)
HOURS, HOUR, DAY = 24, 3600, 86400
REPORTS = demo_city.POINTS * DAY // INTERVAL_S  # 158,688; in full 1,586,880
SEED = 5
OUTAGE_S = 600
QUIET_S = 2400
SLACK_S = 7200.0 if IS_FULL else 900.0

Numbers = dict[tuple[str, str], list[tuple[int, int]]]


class Fleet:
    """The simulated access points of a city, as one program."""

    def __init__(self, city: RealCity, start: float) -> None:
        self.sent, self.status_file = city.folder.parent / "sent.jsonl", city.folder.parent / "fleet.json"
        words = ["--start", repr(start), "--speed", str(SPEED), "--interval", str(INTERVAL_S), "--until-virtual", str(HOURS), "--processes", str(PROCESSES)]
        files = ["--sent", str(self.sent), "--status", str(self.status_file), "--folder", str(city.folder.parent / "fleet")]
        command = [str(ROOT / "scripts/simulate_fleet"), str(city.folder), *words, *files, "--seed", str(SEED), "--appliers", "0", "--drain", "300"]
        self.program = Program(command, city.logs / "fleet.log", city.environment)

    def status(self) -> dict[str, Any]:
        """Give how it stands, {} before its first word."""
        with contextlib.suppress(FileNotFoundError):
            found: dict[str, Any] = json.loads(self.status_file.read_text())
            return found
        return {}

    def wait_for(self, at: float) -> None:
        """Wait until the city's time is `at`."""
        self._until(lambda: self.status().get("city_time", 0.0) >= at, f"the city's time is {at:.0f}")

    def wait_for_end(self) -> None:
        """Wait until it has made and got rid of all its reports."""
        self._until(lambda: self.program.process.poll() is not None, "the fleet ends")
        assert self.program.process.returncode == 0, self.program.log()

    def _until(self, claim: Callable[[], bool], what: str) -> None:
        def is_so() -> bool:
            return claim() or self.program.process.poll() is not None

        until(is_so, lambda: f"{what}; {self.status()}\n{self.program.log()[-2000:]}", DAY / SPEED + SLACK_S, 0.1)


class Day(NamedTuple):
    """What is left when the day is over."""

    city: RealCity
    start: int
    sent: list[sent.Boot]
    figures: dict[str, Any]


class Trouble:
    """What is done to the city's two programs while the day goes by."""

    def __init__(self, city: RealCity) -> None:
        self._city = city
        self.broker = city.broker()
        self.serve = city.serve()
        self.kills = self.restarts = 0

    def kill_serve(self, wait: Callable[[], None] = lambda: None) -> None:
        """Kill the ingester, and start it again after a wait; the broker goes on meanwhile."""
        self.serve.kill()
        wait()
        self.serve = self._city.serve()
        self.kills += 1

    def restart_broker(self, is_killed: bool = False) -> None:
        """Restart the broker: in order, or after a power cut's kind of end."""
        if is_killed:
            self.broker.kill()
        else:
            assert self.broker.stop() == 0, self.broker.log()[-2000:]
        self.broker = self._city.broker()
        self.restarts += 1


def quiet_hour(start: float) -> float:
    """Give an hour of the day before which no box has booted for a while: what was sent before a boot's first ack is nobody's but the broker's."""
    rows = {row.id: row.provider for row in demo_city.rows()}
    boots = sorted(one.at for all_of_it in world.day(SEED, start, DAY, rows, world.ORDINARY).values() for one in all_of_it if one.kind == "reboot")
    gaps = [(later - earlier, earlier) for earlier, later in pairwise(boots) if start + 16 * HOUR < earlier < start + 22 * HOUR]
    length, earlier = max(gaps)
    assert length > QUIET_S, "no quiet time in the evening; choose another seed"
    return (earlier + length * 0.9 - start) / HOUR


@contextlib.contextmanager
def a_day() -> Iterator[Day]:
    """Live through the day, once for all claims about it."""
    words = ("--access-points", "600", "--interval", str(INTERVAL_S))
    with make_city(more=words) as city:
        csv = city.folder.parent / "points.csv"
        csv.write_text(demo_city.csv_text(demo_city.rows()))
        city.rwctl("enroll", "--csv", str(csv))
        # Half before now and half behind it: an access point's own time is believed within a day of the server's.
        start = int(time.time()) // HOUR * HOUR - HOURS // 2 * HOUR
        trouble = Trouble(city)
        fleet = Fleet(city, start)
        try:
            _live_through(fleet, trouble, start)
        finally:
            fleet.program.stop()
        _store_all(city, trouble, start + DAY + HOUR)
        yield Day(city, start, list(sent.read(fleet.sent)), fleet.status())


def _live_through(fleet: Fleet, trouble: Trouble, start: int) -> None:
    acts: list[tuple[float, Callable[[], None]]] = [
        (2.0, trouble.kill_serve),
        (5.0, trouble.restart_broker),
        (7.0, trouble.kill_serve),
        (9.0, lambda: trouble.kill_serve(lambda: fleet.wait_for(start + 9 * HOUR + OUTAGE_S))),
        (12.0, trouble.restart_broker),
        (15.0, trouble.kill_serve),
        (quiet_hour(start), lambda: trouble.restart_broker(is_killed=True)),
        (23.0, trouble.kill_serve),
    ]
    for hour, act in acts:
        fleet.wait_for(start + hour * HOUR)
        act()
    fleet.wait_for_end()
    assert (trouble.kills, trouble.restarts) == (5, 3)


def _store_all(city: RealCity, trouble: Trouble, now: float) -> None:
    """End the ingester in order, then roll up what it had not come to, as it is when the day is over (`now`)."""
    assert trouble.serve.stop() == 0, trouble.serve.log()[-2000:]
    keeper = Keeper(city_door.load(city.folder))
    try:
        Rollup(keeper).finish(now)
    finally:
        keeper.close()


def _connected(city: RealCity) -> sqlite3.Connection:
    live = sqlite3.connect(f"file:{city.folder}/store/live.db?mode=ro", uri=True)
    live.execute("ATTACH DATABASE ? AS city", (f"file:{city.folder}/store/city.db?mode=ro",))
    return live


def _stored(city: RealCity) -> tuple[Numbers, int, set[int]]:
    """Give what every row of raw and events stands for, as ranges by (access point, boot); how many reports that is; and the moments of the rows."""
    with contextlib.closing(_connected(city)) as live:
        names = {number: (ap, boot) for number, ap, boot in live.execute("SELECT b.number, i.id, b.boot FROM boots b JOIN city.inventory i ON i.number = b.ap")}
        found: Numbers = {key: [] for key in names.values()}
        for boot, seq in live.execute("SELECT boot, seq FROM events"):
            found[names[boot]].append((seq, seq))
        reports, moments = 0, set[int]()
        for path in sorted(Path(city.folder, "store").glob("raw-*.db")):
            with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as month:
                for ts, boot, seq, first in month.execute("SELECT ts, boot, seq, coalesce(from_seq, seq) FROM raw"):
                    found[names[boot]].append((first, seq))
                    reports += seq - first + 1
                    moments.add(ts)
    return found, reports, moments


def test_a_citys_day(record_property: Callable[[str, object], None]) -> None:
    """One test for all claims: wherever xdist sends two of them, the day would be lived through twice."""
    with a_day() as day:
        _the_day_was_as_bad_as_it_claims(day)
        _every_report_is_stored_exactly_once(day, record_property)
        _the_received_sets_say_the_same_as_the_rows(day)
        _up_down_and_unknown_are_the_day(day)
        _a_wrong_clock_puts_nothing_into_another_day(day)


def _every_report_is_stored_exactly_once(day: Day, record_property: Callable[[str, object], None]) -> None:
    """What was sent and what is stored are the same sets of (access point, boot, seq), no number stands in two rows, and none was given up."""
    assert sum(boot.reports for boot in day.sent) == REPORTS
    assert {boot.ap for boot in day.sent} == {row.id for row in demo_city.rows()}
    assert [boot for boot in day.sent if boot.held or boot.dropped] == []
    wanted = {(boot.ap, boot.boot): [(1, boot.through)] for boot in day.sent}
    stored, reports, _ = _stored(day.city)
    assert {key: _joined(ranges) for key, ranges in stored.items()} == wanted
    assert reports == REPORTS
    record_property(counted(f"reports of a city's simulated day stored exactly once{'' if IS_FULL else ' (a tenth, RWAGENT_FULL=1 runs 1,586,880)'}"), reports)
    record_property(counted("messages of that day compared as (access point, boot, seq)"), sum(boot.through for boot in day.sent))


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join ranges that follow each other; one number in two of them fails."""
    made: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        assert not made or first > made[-1][1], f"{first} is stored twice"
        if made and first == made[-1][1] + 1:
            made[-1] = (made[-1][0], last)
        else:
            made.append((first, last))
    return made


def _the_received_sets_say_the_same_as_the_rows(day: Day) -> None:
    """The only test for duplicates, after five kills, agrees with what is there."""
    with contextlib.closing(_connected(day.city)) as live:
        rows = live.execute("SELECT i.id, b.boot, b.received FROM boots b JOIN city.inventory i ON i.number = b.ap").fetchall()
    assert {(ap, boot): list(Received(received).ranges()) for ap, boot, received in rows} == {(boot.ap, boot.boot): [(1, boot.through)] for boot in day.sent}


def _up_down_and_unknown_are_the_day(day: Day) -> None:
    """For each access point the hours' seconds sum to 86,400; and what was reported is no unknown time."""
    with contextlib.closing(_connected(day.city)) as live:
        sums = live.execute(
            "SELECT ap, sum(up_s + down_s + unknown_s), sum(up_s), sum(down_s) FROM hours WHERE hr >= ? AND hr < ? GROUP BY ap", (day.start, day.start + DAY)
        ).fetchall()
    assert [total for _, total, _, _ in sums] == [DAY] * demo_city.POINTS
    assert min(up + down for _, _, up, down in sums) > DAY - 4 * INTERVAL_S, "a report's span was not counted"
    assert sum(up for _, _, up, _ in sums) > 0.9 * DAY * demo_city.POINTS
    assert sum(down for _, _, _, down in sums) > 0, "a day without any outage is no test"


def _a_wrong_clock_puts_nothing_into_another_day(day: Day) -> None:
    """Clocks that were in 1970, in five years, or unknown for hours: every row has its moment of this day, once the clock was right."""
    _, _, moments = _stored(day.city)
    assert day.start <= min(moments) and max(moments) <= day.start + DAY + 1


def _the_day_was_as_bad_as_it_claims(day: Day) -> None:
    """Boxes rebooted, lost their connection, said things twice and nonsense, and had wrong clocks."""
    kinds = {
        one.kind
        for all_of_it in world.day(SEED, day.start, DAY, {row.id: row.provider for row in demo_city.rows()}, world.ORDINARY).values()
        for one in all_of_it
    }
    assert kinds == {"cut", "reboot", "clock", "duplicates", "garbage", "flood"}
    with contextlib.closing(_connected(day.city)) as live:
        quarantined = live.execute("SELECT count(*) FROM quarantine").fetchone()[0]
    assert quarantined > 0
    assert len(day.sent) > demo_city.POINTS, "nobody rebooted"
    assert day.figures["reconnects"] > 3 * demo_city.POINTS
