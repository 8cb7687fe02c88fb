"""Settings at work: deflated reports, a reload by SIGHUP, a faulty file, and one daemon over two kinds of router."""

from __future__ import annotations

import json
import re
import zlib

import pytest

from tests.stories.world import World, assert_nothing_lost, assert_steady, assert_valid, until

pytestmark = [pytest.mark.story, pytest.mark.needs("mosquitto")]
# What a backend brings beside its own file: doors to the box that only it opens.
BACKENDS_OWN = re.compile(r"agent\.(router\..*|reach)$")
_IMPORT = re.compile(r"^import time:.*\| +(agent[.\w]*)$", re.MULTILINE)


def test_deflated_reports_end_to_end(world: World) -> None:
    """encoding = "deflate": reports are zlib with their content type and a third of the size, everything else stays JSON."""
    broker = world.broker()
    city = world.city(broker.port)
    agent = world.agent(broker.port, tables={"report": {"encoding": "deflate"}}).start()
    city.wait_for(3)
    assert agent.stop() == 0
    for heard in city.on("report"):
        assert heard.payload[0] == 0x78
        assert heard.content_type == "application/json+deflate"
        assert len(heard.payload) < len(zlib.decompress(heard.payload)) / 2
    for below in ("event", "info", "presence"):
        assert all(json.loads(heard.payload) for heard in city.on(below))
        assert all(heard.content_type in ("application/json", None) for heard in city.on(below))
    assert_nothing_lost(city, agent)
    assert_valid(city)


def test_sighup_takes_new_settings_and_refuses_faulty_ones(world: World) -> None:
    """The same process takes a good file and goes on with the old settings on a faulty one, saying what is wrong; seq goes on."""
    broker = world.broker()
    city = world.city(broker.port)
    agent = world.agent(broker.port, tables={"report": {"interval_s": 1, "sample_s": 1}}).run()
    city.wait_for(2)
    pid = agent.pid
    good = agent.tables
    agent.write(good | {"report": {"interval_s": 2, "sample_s": 1, "encoding": "deflate"}})
    agent.hang_up()
    until(lambda: [heard for heard in city.on("report") if heard.payload[0] == 0x78], "a deflated report")
    agent.write(good | {"report": {"interval_s": 0, "sample_s": "often"}, "router": {"backend": "banana"}})
    agent.hang_up()
    until(lambda: "not taken, going on with the settings as they were" in agent.log(), lambda: agent.log())
    for key in ("report.interval_s", "report.sample_s", "router.backend"):
        assert key in agent.log()
    heard = len(city.on("report"))
    city.wait_for(heard + 3)
    assert city.on("report")[-1].payload[0] == 0x78
    assert city.reports()[-1]["span_s"] == pytest.approx(2, abs=0.5)
    agent.write(good)
    assert agent.pid == pid
    assert agent.is_running()
    assert agent.stop() == 0
    restarts = [event for event in city.events() if event["kind"] == "agent"]
    assert len(restarts) == 2
    assert len({seq for _, seq in city.numbers()}) == max(seq for _, seq in city.numbers())
    assert_nothing_lost(city, agent)
    assert_valid(city)


def test_one_daemon_over_two_kinds_of_router(world: World) -> None:
    """Over simulated and over linux the reports are strictly valid, and the code that runs is the same but for the backend's own doors."""
    broker = world.broker()
    city = world.city(broker.port)
    loaded = {}
    for backend in ("simulated", "linux"):
        ap = f"rw-{backend}"
        tables = {"router": {"backend": backend}, "probe": {"interval_s": 0 if backend == "linux" else 1}}
        agent = world.agent(broker.port, ap=ap, tables=tables, flags=("-X", "importtime")).start()
        until(lambda ap=ap: len(city.on("report", ap)) >= 3, "three reports")
        assert agent.stop() == 0
        loaded[backend] = set(_IMPORT.findall(agent.log())) | {"agent.daemon"}
        reports = city.reports(ap)
        assert_steady(reports)
        assert_valid(city, ap)
        assert {"interfaces", "host", "uplink"} <= reports[-1].keys()
        assert city.on("info", ap)[-1].message["backend"] == backend
    assert "agent.router.linux" in loaded["linux"] - loaded["simulated"]
    assert "agent.router.simulated" in loaded["simulated"] - loaded["linux"]
    different = loaded["linux"] ^ loaded["simulated"]
    assert all(BACKENDS_OWN.match(name) for name in different), sorted(different)
    assert {"agent.sensing", "agent.report", "agent.outbox", "agent.broker"} <= loaded["linux"] & loaded["simulated"]
