"""An agent that crashes again and again: in safe mode the city sees it, reads its log and pushes what helps, and nothing it had to say is lost."""

from __future__ import annotations

import shutil
import signal
from typing import Any

import pytest

from agent.wire.claims import CommandClaims
from fleet import sign
from tests.orders import new_id
from tests.stories.test_push import KEY, Town
from tests.stories.world import AP, CITY, ROOT, Agent, World, assert_nothing_lost, assert_valid, until

pytestmark = [pytest.mark.story, pytest.mark.needs("mosquitto"), pytest.mark.once]
SEGFAULT = "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n"
SECRET = "the-passphrase-of-the-test"


def outbox(agent: Agent) -> dict[str, tuple[int, bytes]]:
    """Give every file of the outbox as it lies."""
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in sorted((agent.run_dir / "outbox").iterdir())}


def crash(town: Town, times: int) -> None:
    """Start it as procd does and kill it, so often."""
    for _ in range(times):
        births = len(town.city.on("presence"))
        town.agent.run()
        until(lambda births=births: len(town.city.on("presence")) > births, "the birth")
        town.agent.kill()


def ended(agent: Agent) -> int:
    """Wait until it ended by itself; give its exit status."""
    assert agent.process is not None
    status = agent.process.wait(20)
    agent.kill()
    return status


def ask(town: Town, name: str, boot: str, uptime_s: float) -> dict[str, Any]:
    """Send a command; give how it ends."""
    own_id = new_id()
    said = CommandClaims(CITY, AP, own_id, boot, int(uptime_s) + 90, name, {}, 1_790_000_000)
    town.city.say(f"command/{name}", sign.command(KEY, said))
    endings = ("succeeded", "failed", "rejected", "timed_out", "expired")
    told = lambda: [one.message for one in town.city.on(f"command/{name}/result") if (one.message["id"], one.message["state"] in endings) == (own_id, True)]  # noqa: E731
    return until(told, f"the result of {name}")[0]


def test_after_five_crashes_it_takes_pushes_and_logs_only_and_a_push_brings_it_back(world: World) -> None:
    """Presence says so; other commands are refused with words; what it had not sent lies untouched, and is sent once it runs normally."""
    town = Town(world)
    agent, city = town.agent, town.city
    agent.stop()
    crash(town, 4)
    agent.run()
    until(lambda: city.presence()["state"] == "online" and agent.state().get("pid") == agent.pid, "the fifth run")
    town.wire.is_open = False
    town.wire.cut()
    until(lambda: len(agent.held() - city.numbers()) >= 2, "what waits for the broker")
    agent.kill()
    held, files, last = agent.held(), outbox(agent), city.reports()[-1]
    town.wire.is_open = True
    agent.run()
    until(lambda: city.presence().get("safe_mode") is True, "presence in safe mode")
    assert city.presence()["crashes"] == 5 and abs(city.presence()["at"] - city.presence()["since"]) <= 5
    assert "safe mode only presence" in agent.status().stdout and "in safe mode" in agent.command("doctor").stdout
    refused = ask(town, "stations", last["boot"], last["uptime_s"])
    assert (refused["state"], refused["code"]) == ("rejected", "unsupported") and "in safe mode after 5 crashes" in refused["message"]
    assert ask(town, "logs", last["boot"], last["uptime_s"])["state"] == "succeeded"
    assert outbox(agent) == files and held - city.numbers()
    town.push(7)
    town.until_state(7, "confirmed")
    until(lambda: "safe_mode" not in city.presence(), "the normal agent")
    until(lambda: held <= city.numbers(), "what had not been sent")
    until(lambda: [event for event in city.events() if event["data"].get("state") == "safe-mode"], "the event")
    (over,) = [event["data"] for event in city.events() if event["data"].get("state") == "safe-mode"]
    assert over["crashes"] == 5 and over["safe_mode_for_s"] > 0
    assert agent.stop() == 0
    assert_nothing_lost(city, agent)
    assert_valid(city)


def test_what_crashes_at_its_import_does_not_stop_safe_mode(world: World) -> None:
    """A collector that ends the process by SIGSEGV, or raises with a secret in its text: safe mode stands, and names type and place only."""
    broker = world.broker()
    city = world.city(broker.port)
    agent = world.agent(broker.port)
    shutil.copytree(ROOT / "agent", agent.folder / "agent", ignore=shutil.ignore_patterns("__pycache__"))
    bad = agent.folder / "agent/collectors/host.py"
    for number in range(5):
        bad.write_text(SEGFAULT if number < 4 else f'"""Host."""\nraise ValueError("{SECRET}")\n')
        assert ended(agent.run()) == (-signal.SIGSEGV if number < 4 else 1)
    bad.write_text(SEGFAULT)
    agent.run()
    until(lambda: city.on("presence") and city.presence().get("safe_mode"), "presence in safe mode")
    assert city.presence()["last_crash"] == "ValueError at agent.collectors.host:2"
    assert SECRET not in (agent.run_dir / "starts.json").read_text()
    # One crash is enough from now on.
    agent.hang_up()
    assert ended(agent) == -signal.SIGSEGV
    agent.run()
    until(lambda: city.presence().get("crashes") == 6, "safe mode again")
    assert agent.stop() == 0
    assert_valid(city)


def test_no_end_in_order_is_a_crash(world: World) -> None:
    """Stopped while it starts and while it runs, made to read its settings again, faulty settings, a second one beside it."""
    broker = world.broker()
    city = world.city(broker.port)
    agent = world.agent(broker.port)
    other = Agent(world.folder, agent.tables, None, None)
    for number in range(4):
        agent.run()
        if number % 2:
            until(lambda number=number: len(city.on("presence")) > number // 2, "the birth")
        agent.stop()
    agent.run()
    until(lambda: agent.state().get("pid") == agent.pid, "the run")
    agent.hang_up()
    until(lambda: agent.log().count("reading the settings again") and (agent.run_dir / "running").exists(), "the next image")
    assert ended(other.run()) == 1
    assert "another rwagent runs with it" in other.log()
    assert agent.stop() == 0
    before = agent.file.read_text()
    agent.file.write_text("[agent]\nid = 7\n")
    assert ended(agent.run()) == 2
    agent.file.write_text(before)
    agent.run()
    until(lambda: agent.state().get("pid") == agent.pid, "the run with the settings corrected")
    assert not [path for path in agent.run_dir.iterdir() if path.name.startswith("starts")]
    agent.kill()
    agent.run()
    until(lambda: (agent.run_dir / "starts.json").exists(), "one crash counted")
    assert agent.stop() == 0


def test_safe_mode_killed_is_safe_mode_again(world: World) -> None:
    """With the same crashes, and for no longer."""
    broker = world.broker()
    city = world.city(broker.port)
    agent = world.agent(broker.port)
    for number in range(6):
        agent.run()
        until(lambda number=number: len(city.on("presence")) > number, "the birth")
        before = (agent.run_dir / "starts.json").read_bytes() if number else b""
        agent.kill()
    assert city.presence()["safe_mode"] is True
    births = len(city.on("presence"))
    agent.run()
    until(lambda: len(city.on("presence")) > births, "the next birth")
    assert city.presence()["safe_mode"] is True and city.presence()["crashes"] == 5
    assert (agent.run_dir / "starts.json").read_bytes() == before
    assert agent.stop() == 0
