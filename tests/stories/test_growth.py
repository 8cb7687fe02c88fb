"""Ten thousand reports at full speed over a real broker: the process does not grow."""

from __future__ import annotations

import statistics
from itertools import combinations

import pytest

from tests.stories.world import City, World, assert_nothing_lost, assert_valid, make_world, memory_kib, until

pytestmark = [pytest.mark.story, pytest.mark.needs("mosquitto")]
WARM, MEASURED, STEP = 6_000, 10_000, 250
MOST_KIB, MOST_AT_ONCE_KIB = 64, 256
# glibc keeps some hundred KiB of freed memory at the heap's top, now more, now less; with these it gives back what is free.
TRIM = {"MALLOC_TRIM_THRESHOLD_": "4096", "MALLOC_TOP_PAD_": "0", "MALLOC_MMAP_THRESHOLD_": "32768"}
# Ten seconds of the router's own clock pass in four milliseconds, so that the collectors have the time they have on a router.
SAMPLE_S, PACE_S = 10.0, 0.004


@pytest.mark.long
def test_ten_thousand_reports_do_not_grow_the_process() -> None:
    """After its first six thousand reports private dirty memory grows by at most 64 KiB over ten thousand more.

    Until then the allocator warms up, by a page now and then: 250 KiB from 1,000 to 9,000, and 0 from 9,000 to 21,000.

    Grows is the trend: the median of the slopes between any two of 41 measurements. A machine busy with other things makes the
    agent hold more for a moment, whose pages stay its own: that is a step, bounded too, and no growth. What grew on a busy
    machine is measured once more, in a new process: one that leaks leaks again.
    """
    with make_world() as world:
        growth, step, measured = grown(world)
    if growth > MOST_KIB or step > MOST_AT_ONCE_KIB:
        with make_world() as world:
            growth, step, measured = grown(world)
    assert growth <= MOST_KIB, measured
    assert step <= MOST_AT_ONCE_KIB, measured


def grown(world: World) -> tuple[float, int, list[tuple[int, int]]]:
    """Run an agent for sixteen thousand reports; give the trend and the whole of its growth in KiB, and what was measured."""
    broker = world.broker(extra="log_type error")
    city = world.city(broker.port)
    tables = {"router": {"backend": "linux"}, "probe": {"interval_s": 0}}
    more = ("--fast", str(SAMPLE_S / PACE_S))
    agent = world.agent(broker.port, sample_s=SAMPLE_S, interval_s=SAMPLE_S, tables=tables, module="tests.stories.driver", more=more, variables=TRIM).start()
    measured: list[tuple[int, int]] = []
    for count in range(WARM, WARM + MEASURED + 1, STEP):
        heard(city, count)
        measured.append((count, memory_kib(agent.pid)[1]))
    slopes = [(after - before) / (later - earlier) for (earlier, before), (later, after) in combinations(measured, 2)]
    growth, step = statistics.median(slopes) * MEASURED, measured[-1][1] - measured[0][1]
    print(f"\nprivate dirty {measured[0][1]} -> {measured[-1][1]} KiB over {MEASURED} reports, trend {growth:.0f} KiB")
    assert agent.stop() == 0
    assert_nothing_lost(city, agent)
    city.heard = city.heard[::100]
    assert_valid(city)
    assert not [row for report in city.reports() for name, row in report["agent"]["collectors"].items() if "error" in row and name != "dhcp"]
    return growth, step, measured


def heard(city: City, reports: int) -> None:
    """Wait for so many reports without reading them."""
    until(lambda: len(city.heard) > reports and len(city.on("report")) >= reports, f"{reports} reports", 600)
