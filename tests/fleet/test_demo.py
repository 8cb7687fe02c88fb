"""What `./scripts/run` makes of this machine's name, of whom it pushes to, and how it ends when it cannot start."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.wire import topics
from fleet import demo, demo_broker, demo_city
from fleet.demo_push import chosen
from fleet.demo_stage import CannotStart


@pytest.mark.parametrize("hostname", ["vm", "Ölüdeniz-Büro", "a" * 200, "-.-", "", "rw-0501", "my host\n"])
def test_every_host_name_becomes_an_access_points_name(hostname: str) -> None:
    """The machine's own agent has a name within the grammar that is none of the simulated ones."""
    name = demo.own_name(hostname, ["rw-0501"])
    assert topics.is_name(name) and name != "rw-0501"


def test_this_machine_comes_last_and_is_not_pushed_to() -> None:
    """It has no Wi-Fi: neither it nor its kelurahan is chosen; chosen are the fewest."""
    inventory, own = demo._inventory(551)
    few = chosen(inventory)
    assert (inventory[-1].id, len(inventory)) == (own, 552)
    assert inventory[-1].kelurahan not in {row.kelurahan for row in few}
    assert len(few) == 9 and len({row.kelurahan for row in few}) == 1


def test_the_smaller_city_has_somebody_to_push_to() -> None:
    """36 access points, not one in each kelurahan, still make a list."""
    inventory, _ = demo._inventory(demo_broker.KINDS["amqtt"].points)
    assert chosen(inventory)


def test_a_missing_broker_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without any broker the one command to type is named."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(CannotStart, match="apt install mosquitto"):
        demo_broker.kind_of("auto")


def test_the_two_ports_differ() -> None:
    """Each listener has its own."""
    ports = demo_broker.Ports.free()
    assert ports.points != ports.city


def test_the_inventory_is_malangs() -> None:
    """551 access points in 57 kelurahan of 5 kecamatan, 9 or 10 each, the same in every run, each with its own name."""
    rows = demo_city.rows()
    of = [sum(row.kelurahan == name and row.kecamatan == around for row in rows) for name, around in {(row.kelurahan, row.kecamatan) for row in rows}]
    assert (len(rows), len({row.id for row in rows}), len(of), set(of), len({row.kecamatan for row in rows})) == (551, 551, 57, {9, 10}, 5)
    assert rows == demo_city.rows()
    assert all(topics.is_name(row.id) for row in demo_city.rows(10_000))
    assert len({row.id for row in demo_city.rows(10_000)}) == 10_000
