"""Samples become one report; what cannot be said is left out and named, and the rest goes out."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from agent.collectors import radios
from agent.records import Knobs, Radio
from agent.report import Moment, Part, Reporter, moment_of, own_figures
from agent.sensing import Sample
from tests.fakes.router import FakeClock

MOMENT = Moment(1060.0, 5123.44, 1_790_000_000.9, "ntp")
KNOBS = Knobs(50, False)


class Adder:
    """A span that sums what it is given."""

    def __init__(self, _knobs: Knobs) -> None:
        self.total = 0

    def add(self, _at: float, reading: int) -> None:
        self.total += reading

    def part(self, _at: float) -> Part:
        return {"sum": {"total": self.total}}


class Broken(Adder):
    def part(self, _at: float) -> Part:
        raise ZeroDivisionError("division by zero")


class NotJson(Adder):
    def part(self, _at: float) -> Part:
        return {"odd": float("nan")}


def reporter(**spans: type) -> Reporter:
    return Reporter({name: SimpleNamespace(Span=span) for name, span in spans.items()}, KNOBS, 1000.0)


def sample(**readings: object) -> Sample:
    return Sample(readings, dict.fromkeys(readings, 1010.0), dict.fromkeys(readings, 1.5), {})


def test_envelope_says_whose_when_and_how_long() -> None:
    """Who, which boot, which number, when, for how long: in every report."""
    report = reporter(adder=Adder).build("rw-0501", "b1946ac92492d234", 41, MOMENT, {"rss_bytes": 1})
    assert report | {"agent": None} == {
        "v": 1, "ap": "rw-0501", "boot": "b1946ac92492d234", "seq": 41, "at": 1_790_000_000, "uptime_s": 5123.4,
        "clock": "ntp", "span_s": 60.0, "late": False, "sum": {"total": 0}, "alerts": [], "agent": None,
    }  # fmt: skip


def test_without_a_clock_there_is_no_time_of_day() -> None:
    """`at` is absent while the clock is unknown, not 0 and not 1970."""
    report = reporter().build("rw-0501", "b1946ac92492d234", 1, MOMENT._replace(wall=None, clock="none"), {})
    assert "at" not in report
    assert report["clock"] == "none"


def test_every_sample_reaches_its_span_and_the_next_span_begins() -> None:
    """The readings of all samples are in the part, and span_s starts anew."""
    under_test = reporter(adder=Adder)
    under_test.add(sample(adder=2))
    under_test.add(sample(adder=3))
    assert under_test.build("a", "b", 1, MOMENT, {})["sum"] == {"total": 5}
    assert under_test.build("a", "b", 2, MOMENT._replace(monotonic=1075.0), {})["span_s"] == 15.0


@pytest.mark.parametrize(("bad", "key"), [(Broken, "sum"), (NotJson, "odd")])
def test_a_span_that_fails_or_is_not_json_costs_its_own_part(bad: type, key: str) -> None:
    """The rest of the report goes out, and the culprit is named with its error."""
    under_test = reporter(bad=bad, adder=Adder)
    under_test.add(sample(adder=2, bad=1))
    report = under_test.build("a", "b", 1, MOMENT, {})
    read = json.loads(under_test.encode(report))
    assert read["sum"] == {"total": 2}
    assert key == "sum" or key not in read
    assert "error" in read["agent"]["collectors"]["bad"]
    assert "error" not in read["agent"]["collectors"]["adder"]


def test_a_reading_that_is_nonsense_costs_its_own_part() -> None:
    """A collector that gives text where a number belongs is named, and nothing else is lost."""
    under_test = reporter(bad=Adder, adder=Adder)
    under_test.add(sample(bad="banana"))
    collectors = under_test.build("a", "b", 1, MOMENT, {})["agent"]["collectors"]
    assert "TypeError" in collectors["bad"]["error"]


@pytest.mark.parametrize("missing", ["rwd-public is missing", [1], [["x"]], [None], ["x" * 257], {"a": 1}])
def test_what_is_missing_is_a_list_of_texts(missing: object) -> None:
    """All else costs the part, and is named."""

    class Caps(Adder):
        def part(self, _at: float) -> Part:
            return {"caps": {"standing": False, "missing": missing}}

    report = reporter(caps=Caps).build("rw-0501", "b1946ac92492d234", 1, MOMENT, {})
    assert "caps" not in report and "missing is no list" in report["agent"]["collectors"]["caps"]["error"]  # type: ignore[index]


def test_a_radio_that_is_down_says_whether_it_is_missed() -> None:
    """`wanted` is a truth, and passes as one."""
    off = Radio("radio0", "phy0", "5g", None, None, None, None, None, None, None, up=False, wanted=False)
    under_test = Reporter({"radios": radios}, KNOBS, 1000.0)
    under_test.add(sample(radios=[off]))
    assert under_test.build("a", "b", 1, MOMENT, {})["radios"] == [{"radio": "radio0", "phy": "phy0", "band": "5g", "up": False, "wanted": False}]


def test_the_slowest_time_and_the_last_error_of_the_span_are_said_once() -> None:
    """agent.collectors has the span's worst, and forgets it with the span."""
    under_test = reporter(adder=Adder)
    under_test.add(Sample({}, {}, {"adder": 9.0}, {"adder": "no such file: /proc/x"}))
    under_test.add(Sample({"adder": 1}, {"adder": 1020.0}, {"adder": 2.0}, {}))
    assert under_test.build("a", "b", 1, MOMENT, {})["agent"]["collectors"] == {"adder": {"ms": 9.0, "error": "no such file: /proc/x"}}
    assert under_test.build("a", "b", 2, MOMENT, {})["agent"]["collectors"] == {}


def test_the_moment_is_read_from_the_routers_clock() -> None:
    """A clock that is not set gives no wall time."""
    clock = FakeClock()
    assert moment_of(clock) == Moment(1000.0, 1000.0, 1_790_000_000.0, "ntp")
    clock.trust = "none"
    assert moment_of(clock).wall is None


def test_own_figures_are_those_of_the_kernel() -> None:
    """The RAM the agent says it uses is what /proc/self/status says."""
    with open("/proc/self/status", encoding="ascii") as file:
        resident = next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS"))
    assert abs(own_figures()["rss_bytes"] - resident) < 0.1 * resident
