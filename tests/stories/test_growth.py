"""Ten thousand reports at full speed over a real broker: the process does not grow."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.mosquitto import Mosquitto
from tests.stories.world import City, World, assert_nothing_lost, assert_valid, memory_kib, until

pytestmark = [pytest.mark.story, pytest.mark.needs("mosquitto")]
WARM, MEASURED = 1_000, 10_000
MOST_KIB = 64
PACE_S = 0.004


def test_ten_thousand_reports_do_not_grow_the_process(world: World) -> None:
    """Private dirty memory grows by at most 64 KiB over ten thousand reports after the first thousand.

    Among the first thousand are moments in which the broker stands still, so that the agent has once held the most it ever
    holds at once: 16 messages in flight and a backlog. Without that a busy machine decides when it does.
    """
    broker = world.broker(extra="log_type error")
    city = world.city(broker.port)
    agent = world.agent(broker.port, sample_s=PACE_S, interval_s=PACE_S, tables={"router": {"backend": "linux"}, "probe": {"interval_s": 0}}).start()
    for count in range(WARM // 4, WARM, WARM // 4):
        heard(city, count)
        stand_still(broker)
    heard(city, WARM)
    until(lambda: len(agent.held()) <= 8, "the backlog is gone", 60)
    rss_before, before = memory_kib(agent.pid)
    heard(city, len(city.on("report")) + MEASURED)
    rss_after, after = memory_kib(agent.pid)
    print(f"\nprivate dirty {before} -> {after} KiB, RSS {rss_before} -> {rss_after} KiB over {MEASURED} reports")
    assert agent.stop() == 0
    assert_nothing_lost(city, agent)
    city.heard = city.heard[::100]
    assert_valid(city)
    assert after - before <= MOST_KIB


def heard(city: City, reports: int) -> None:
    """Wait for so many reports without reading them."""
    until(lambda: len(city.heard) > reports and len(city.on("report")) >= reports, f"{reports} reports", 240)


def stand_still(broker: Mosquitto) -> None:
    """Let the broker answer nothing for a moment."""
    assert broker._process is not None
    os.kill(broker._process.pid, signal.SIGSTOP)
    time.sleep(0.4)
    os.kill(broker._process.pid, signal.SIGCONT)
