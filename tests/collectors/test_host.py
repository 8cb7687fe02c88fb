"""The box's own health."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from agent.collectors import host
from agent.records import Host, Knobs
from tests.fakes.router import FakeRouter

KNOBS = Knobs(50, False)
NONE = Host(*[None] * len(Host._fields))
CALM = NONE._replace(cpu_busy_s_total=100.0, cpu_softirq_s_total=10.0, cpu_s_total=2000.0)
SECONDS = st.none() | st.floats(0, 1e9)
HOSTS = st.builds(lambda busy, softirq, whole: NONE._replace(cpu_busy_s_total=busy, cpu_softirq_s_total=softirq, cpu_s_total=whole), SECONDS, SECONDS, SECONDS)


def part_of(*readings: Host) -> dict[str, object]:
    span = host.Span(KNOBS)
    for at, reading in enumerate(readings):
        span.add(at * 10, reading)
    part = span.part(len(readings) * 10)["host"]
    assert isinstance(part, dict)
    return part


def test_cpu_is_the_share_of_the_span() -> None:
    """7 of 100 CPU seconds busy, 2 of them in softirq."""
    later = CALM._replace(cpu_busy_s_total=107.0, cpu_softirq_s_total=12.0, cpu_s_total=2100.0)
    assert part_of(CALM, later) == {"cpu_ratio": 0.07, "softirq_ratio": 0.02}


def test_each_span_starts_where_the_last_ended() -> None:
    """The second report's ratio has nothing of the first's."""
    span = host.Span(KNOBS)
    span.add(0, CALM)
    span.add(10, CALM._replace(cpu_busy_s_total=200.0, cpu_s_total=2100.0))
    span.part(10)
    span.add(20, CALM._replace(cpu_busy_s_total=250.0, cpu_s_total=2200.0))
    assert span.part(20)["host"] == {"cpu_ratio": 0.5, "softirq_ratio": 0.0}


def test_first_sample_alone_has_no_ratio() -> None:
    """One reading of a counter is no rate."""
    assert part_of(CALM) == {}


def test_gauges_are_the_last_samples() -> None:
    """Everything the box gives is there, by the names of the contract; what it lacks is absent."""
    reading = NONE._replace(
        load1=0.1234,
        memory_total_bytes=128_000_000,
        memory_available_bytes=60_000_000,
        flash_free_bytes=0,
        flash_total_bytes=10_000_000,
        tmp_free_bytes=5,
        temperature_c=51.04,
        conntrack=0,
        conntrack_max=16384,
        processes=71,
    )
    expected = {name: value for name, value in reading._asdict().items() if value is not None} | {"load1": 0.12, "temperature_c": 51.0}
    assert part_of(CALM, reading) == expected


def test_counters_going_back_give_no_ratio() -> None:
    """A container moved to another host may see its CPU time go back."""
    assert part_of(CALM, CALM._replace(cpu_busy_s_total=1.0, cpu_softirq_s_total=1.0, cpu_s_total=20.0)) == {}


def test_a_span_without_a_sample_has_no_part() -> None:
    """No reading, no part: also after a good span."""
    span = host.Span(KNOBS)
    assert span.part(0) == {}
    span.add(10, CALM)
    span.part(10)
    assert span.part(20) == {}


def test_collect_reads_the_router_once() -> None:
    """The reading is the router's own record."""
    assert host.collect(FakeRouter(host=CALM)) is CALM


@given(st.lists(HOSTS))
def test_ratios_stay_ratios(readings: list[Host]) -> None:
    """Whatever the counters say, a ratio is absent or between 0 and 1."""
    span = host.Span(KNOBS)
    for at, reading in enumerate(readings):
        span.add(at, reading)
    part = span.part(len(readings)).get("host", {})
    assert isinstance(part, dict)
    assert all(0 <= value <= 1 and math.isfinite(value) for value in part.values())
