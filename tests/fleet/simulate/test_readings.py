"""What simulated access points read: one box, once for each moment, for a whole family."""

from __future__ import annotations

from agent.collectors import COLLECTORS
from agent.records import Knobs
from agent.report import Moment, Reporter
from agent.sensing import Sample
from fleet.simulate.readings import UPLINK, Box, Figures, Source, make_router

START = 1_790_000_000.0
BOX = Box("rw-0501", 1, 24, 50.0)


def test_a_family_reads_the_same_once() -> None:
    """Who asks about a moment that was read gets the same parts, and an earlier moment is not read again."""
    source = Source(BOX, START)
    source.read(START + 30)
    parts = dict(source.parts)
    source.read(START + 30)
    source.read(START + 10)
    assert all(source.parts[name] is part for name, part in parts.items())
    source.read(START + 60)
    assert source.parts != parts


def test_the_reporter_has_every_part() -> None:
    """A report over the shared shelf has what a report of the agent's own shelf has, in its order."""
    source = Source(BOX, START)
    reporter = Reporter(source.shelf(), Knobs(50.0, False, 60), 0.0)
    for at in (30.0, 60.0):
        source.read(START + at)
        reporter.add(Sample({UPLINK: source.path}, {UPLINK: at}, {}, {}))
        reporter.reach(at, source.reach)
        report = reporter.build("rw-0501", "b" * 16, 1, Moment(at, at, START + at, "ntp"), {})
    assert {"stations", "bss", "radios", "interfaces", "uplink", "dhcp", "host"} <= report.keys()
    assert list(source.shelf()) == list(COLLECTORS)
    wan = next(row for row in report["interfaces"] if row["role"] == "uplink")  # type: ignore[attr-defined]  # it is a list
    assert wan["rx_bps"] > 0


def test_each_boot_has_its_own_name() -> None:
    """Two boxes, and two boots of one, differ."""
    boots = {make_router(BOX._replace(ap=ap), START, START - ago).boot() for ap in ("rw-0501", "rw-0502") for ago in (60, 61)}
    assert len(boots) == 4


def test_the_process_is_not_asked_for_each_report() -> None:
    """Its own figures are at most a second old, and the same for all within it."""
    figures = Figures()
    assert figures.now() is figures.now()
    assert figures.now().keys() == {"rss_bytes", "cpu_s"}
