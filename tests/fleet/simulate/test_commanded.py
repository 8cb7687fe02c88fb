"""Commands at one simulated access point, without a broker: what root's half is given, and what the box does then."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.broker import Message
from agent.router import hands_simulated, simulated_time
from agent.wire.claims import CommandClaims
from fleet import sign
from fleet.simulate.point import Point
from tests.fleet.simulate.test_point import INTERVAL_S, Bench, waiting
from tests.signing import KEY


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    for point in made.points:
        point.stop(0.0)


def told(point: Point, name: str, own_id: str = "9b0e", **args: Any) -> None:
    """Let a signed command come from the broker."""
    router = point._router
    until = int(router.clock.uptime()) + 60
    claims = CommandClaims(point.settings.city, point.settings.id, own_id, router.boot(), until, name, args, 1_790_000_000)
    message = Message(f"command/{name}", sign.command(KEY, claims), False)
    assert point.commanded.take(message)


def verified(point: Point, name: str, own_id: str = "9b0e") -> None:
    """Let root's half say that the daemon is to do a command."""
    folder = Path(point.settings.paths.run_dir) / "status"
    folder.mkdir(exist_ok=True)
    until = point._router.clock.uptime() + 60
    entry = {"v": 1, "id": own_id, "name": name, "state": "accepted", "of": "0" * 64}
    todo = [{"id": own_id, "name": name, "args": {}, "until_uptime_s": until}]
    said = {"v": 1, "handled": {}, "results": [entry], "todo": todo, "commands": ["locate"], "refusals": 0}
    (folder / "new").write_text(json.dumps(said))
    (folder / "new").replace(folder / "command.json")
    point.look()


def state(point: Point) -> Path:
    return Path(point.settings.paths.state_dir)


def test_a_command_is_put_before_root_with_the_time_that_it_is_there(bench: Bench) -> None:
    point = bench.point()
    bench.go_to(1)
    told(point, "locate", seconds=3)
    bench.go_to(2)
    assert (Path(point.settings.paths.run_dir) / "inbox" / "command.act").exists()
    assert point.rings == 1
    found = simulated_time.found(str(state(point) / "simulated"))
    assert found is not None and found.boot == point._router.boot()
    assert found.uptime() == pytest.approx(point._router.clock.uptime(), abs=30)


def test_what_is_no_command_is_somebody_elses(bench: Bench) -> None:
    assert not bench.point().commanded.take(Message("config/desired", b"x", True))


def test_a_report_that_is_asked_for_comes_out_of_its_turn(bench: Bench) -> None:
    point = bench.point()
    bench.go_to(1)
    before = len(waiting(point.outbox))
    verified(point, "report")
    assert len(waiting(point.outbox)) == before + 1
    assert point._report_at == pytest.approx(bench.time.start + 10)


def test_an_agent_that_begins_anew_says_so_in_the_same_boot(bench: Bench) -> None:
    point = bench.point()
    bench.go_to(1)
    boot = point._router.boot()
    verified(point, "restart-agent")
    deadline = time.monotonic() + 10
    while not any(event["kind"] == "agent" for event in waiting(point.outbox, "event")):
        point.turn(may_dial=False)
        assert time.monotonic() < deadline
    assert point._router.boot() == boot


def test_a_reboot_that_root_wrote_down_is_another_boot_without_what_lay_in_ram(bench: Bench) -> None:
    point = bench.point()
    bench.go_to(1)
    boot = point._router.boot()
    (state(point) / "simulated").mkdir(exist_ok=True)
    (state(point) / "simulated" / hands_simulated.REBOOT).write_text(f"{time.time() - 5:.0f}\n")
    status = Path(point.settings.paths.run_dir) / "status"
    status.mkdir(exist_ok=True)
    (status / "command.json").write_text("{}")
    point.look()
    assert not (state(point) / "simulated" / hands_simulated.REBOOT).exists()
    assert [happening.kind for happening in point._happenings] == ["reboot"]
    point._go_down(0.0)
    assert not (status / "command.json").exists()
    bench.go_to(1 + INTERVAL_S)
    assert point._router.boot() != boot


@pytest.mark.parametrize("text", ["", "soon", "\xff"])
def test_a_reboot_that_cannot_be_read_is_none(bench: Bench, text: str) -> None:
    point = bench.point()
    (state(point) / "simulated").mkdir(exist_ok=True)
    (state(point) / "simulated" / hands_simulated.REBOOT).write_bytes(text.encode("latin-1"))
    assert point.commanded.look() is None
