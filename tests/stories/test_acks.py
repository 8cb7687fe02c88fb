"""What the city's acks do, what their absence does, and a day without a broker."""

from __future__ import annotations

from typing import Any

import pytest

from tests.stories.world import World, assert_nothing_lost, assert_valid, memory_kib, until

pytestmark = [pytest.mark.story, pytest.mark.needs("mosquitto")]
DAY = 1440
OUTBOX_BYTES = 524_288


def test_what_an_ack_names_missing_is_sent_again_as_it_was(world: World) -> None:
    """After the first ack PUBACKed messages are kept; those named missing come again, byte for byte, and only those."""
    broker = world.broker()
    city = world.city(broker.port)
    agent = world.agent(broker.port, sample_s=0.2, interval_s=0.2).start()
    city.wait_for(3)
    boot = city.ack()["boot"]
    acked = city.reports()[-1]["seq"]
    until(lambda: city.reports()[-1]["seq"] >= acked + 12, "twelve more reports")
    first = {message.message["seq"]: message.payload for message in city.on("report")}
    missing = [[acked + 3, acked + 5], [acked + 8, acked + 8]]
    wanted = [acked + 3, acked + 4, acked + 5, acked + 8]
    city.say("ack", {"boot": boot, "through": acked + 10, "missing": missing})

    def again() -> list[Any]:
        heard = [message for message in city.on("report") if message.message["seq"] in wanted]
        return heard[len(wanted) :] if len(heard) >= 2 * len(wanted) else []

    came = until(again, "what is missing comes again")
    assert [message.message["seq"] for message in came] == wanted
    assert [message.payload for message in came] == [first[seq] for seq in wanted]
    city.wait_for(len(city.on("report")) + 3)
    city.ack()
    until(lambda: len(agent.held()) <= 3, "the ack releases")
    assert agent.stop() == 0
    seqs = [message["seq"] for message in city.reports()]
    assert sorted(seqs + wanted) == sorted([*set(seqs), *wanted, *wanted])
    assert_nothing_lost(city, agent)
    assert_valid(city)


def test_an_ack_of_another_boot_changes_nothing(world: World) -> None:
    """What the city has of another boot says nothing about this one: nothing is released, nothing is sent again."""
    broker = world.broker()
    city = world.city(broker.port)
    agent = world.agent(broker.port, sample_s=0.2, interval_s=0.2).start()
    city.wait_for(2)
    city.ack()
    acked = city.reports()[-1]["seq"]
    until(lambda: city.reports()[-1]["seq"] >= acked + 5, "five more reports")
    city.say("ack", {"boot": "0123456789abcdef", "through": acked + 5, "missing": [[acked + 1, acked + 2]]})
    until(lambda: city.reports()[-1]["seq"] >= acked + 10, "five more reports")
    seqs = [message["seq"] for message in city.reports()]
    assert len(seqs) == len(set(seqs))
    assert agent.stop() == 0
    boot = city.reports()[-1]["boot"]
    assert {(boot, seq) for seq in range(acked + 1, acked + 9)} <= agent.held()
    assert_nothing_lost(city, agent)


def test_without_any_ack_a_puback_releases(world: World) -> None:
    """A broker that nobody acknowledges behind (Telegraf, a phone) leaves the outbox small."""
    broker = world.broker()
    city = world.city(broker.port)
    agent = world.agent(broker.port, sample_s=0.05, interval_s=0.05).start()
    reports = city.wait_for(100)
    assert agent.stop() == 0
    assert max(report["agent"]["outbox"] for report in reports[10:]) <= 3
    assert len(agent.held()) <= 2
    assert_nothing_lost(city, agent)


@pytest.mark.long
def test_a_day_without_a_broker(world: World) -> None:
    """1,440 reports wait in 512 KiB of RAM, older ones merged; the process does not grow; each seq is accounted for; counters never fall."""
    broker = world.broker()
    city = world.city(broker.port)
    wire = world.wire(broker.port, is_open=False)
    tables: dict[str, dict[str, Any]] = {
        "report": {"interval_s": 60, "sample_s": 30},
        "probe": {"interval_s": 60},
        "simulated": {"speed": 2400, "stations_peak": 40, "start": "2026-08-17T06:00:00+07:00"},
    }
    agent = world.agent(wire.port, sample_s=30, interval_s=60, tables=tables).start()
    until(lambda: len(agent.put()) >= 60, "an hour", every_s=0.2)
    rss_before, dirty_before = memory_kib(agent.pid)
    until(lambda: len(agent.put()) >= DAY, "a day", 300, every_s=0.5)
    most_bytes = agent.figures().bytes
    rss_after, dirty_after = memory_kib(agent.pid)
    files = sum(file.stat().st_size for file in (agent.run_dir / "outbox").iterdir())
    a_day = agent.put()
    wire.is_open = True
    until(lambda: city.on("report"), "the broker is back", 70)
    known = a_day - city.numbers()
    until(lambda: not known - city.numbers(), "the backlog is heard", 90, every_s=0.5)
    assert agent.stop() == 0
    dropped = agent.figures().dropped
    lost = a_day - city.numbers() - agent.held()
    merged = [report for report in city.reports() if "from_seq" in report]
    print(f"\nafter a day: {most_bytes} bytes, files {files}, RSS {rss_before} -> {rss_after} KiB, dirty {dirty_before} -> {dirty_after} KiB")
    print(f"{len(merged)} merged reports heard, {len(lost)} lost, dropped {dropped}")
    assert most_bytes <= OUTBOX_BYTES
    assert files <= OUTBOX_BYTES * 3 // 2
    assert dirty_after - dirty_before <= 2048
    assert merged
    assert len(lost) == dropped == 0
    assert_counters_never_fall(city.reports())
    assert_valid(city)


def assert_counters_never_fall(reports: list[dict[str, Any]]) -> None:
    """Claim that in the order of seq no `*_total` of any interface falls."""
    highest: dict[tuple[str, str], int] = {}
    for report in sorted(reports, key=lambda report: report["seq"]):
        for interface in report.get("interfaces", ()):
            for name, value in interface.items():
                if name.endswith("_total"):
                    key = (interface["name"], name)
                    assert value >= highest.get(key, 0), (report["seq"], key)
                    highest[key] = value
    assert highest
