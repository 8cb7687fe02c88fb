"""The table of commands: what may be typed, and that the access points' own table takes just that."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.commands import COMMANDS as SHELF
from agent.commands import load
from agent.wire.command import REJECTED
from fleet import commands
from fleet.commands import COMMANDS, Order
from fleet.errors import BadInput

STATION = "3fa94c01b7e2"
GOOD: list[tuple[str, dict[str, object]]] = [
    ("report", {}),
    ("stations", {}),
    ("stations", {"ssid": "Malang RW 05"}),
    ("stations", {"ssid": "é" * 64}),
    ("kick", {"station": STATION}),
    ("kick", {"station": STATION, "ban_s": 0}),
    ("kick", {"station": STATION, "ban_s": 3600}),
    ("scan", {}),
    ("scan", {"band": "5g"}),
    ("scan", {"band": "6g"}),
    ("locate", {}),
    ("locate", {"seconds": 1}),
    ("locate", {"seconds": 600}),
    ("logs", {}),
    ("logs", {"lines": 1, "match": "hostapd: "}),
    ("logs", {"lines": 500, "match": "x" * 64}),
    ("reload-wifi", {}),
    ("restart-agent", {}),
    ("reboot", {}),
    ("reboot", {"delay_s": 0}),
    ("reboot", {"delay_s": 300}),
]
BAD: list[tuple[str, dict[str, object]]] = [
    ("kick", {}),
    ("kick", {"station": STATION[:-1]}),
    ("kick", {"station": STATION.upper()}),
    ("kick", {"station": "02:00:00:00:00:01"}),
    ("kick", {"station": STATION, "ban_s": 3601}),
    ("kick", {"station": STATION, "ban_s": -1}),
    ("kick", {"station": STATION, "ban_s": True}),
    ("stations", {"ssid": ""}),
    ("stations", {"ssid": "é" * 65}),
    ("stations", {"ssid": "a\nb"}),
    ("scan", {"band": "3g"}),
    ("locate", {"seconds": 0}),
    ("locate", {"seconds": 601}),
    ("locate", {"seconds": 1.5}),
    ("logs", {"lines": 0}),
    ("logs", {"lines": 501}),
    ("logs", {"match": ""}),
    ("logs", {"match": "x" * 65}),
    ("logs", {"match": "a\x1b[2J"}),
    ("reboot", {"delay_s": 301}),
]


@pytest.mark.parametrize(("name", "args"), GOOD)
def test_what_the_table_allows_is_ordered_as_it_was_typed(name: str, args: dict[str, object]) -> None:
    assert commands.order(name, {"ssid": None, "band": None} | args) == Order(name, args)


@pytest.mark.parametrize(("name", "args"), BAD)
def test_what_it_does_not_allow_is_told_with_what_it_does(name: str, args: dict[str, object]) -> None:
    with pytest.raises(BadInput, match=r"--[a-z-]+ is .*, expected "):
        commands.order(name, args)


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(BadInput) as error:
        commands.order("logs", {"lines": 0, "match": ""})
    assert str(error.value).count("expected") == 2


def test_who_gives_an_address_is_told_that_the_city_has_none() -> None:
    with pytest.raises(BadInput, match="addresses never leave the access point"):
        commands.order("kick", {"station": "02:00:00:00:00:01"})


def test_only_what_somebody_there_would_notice_has_to_be_meant() -> None:
    assert {name for name, command in COMMANDS.items() if command.costs} == {"kick", "reload-wifi", "reboot"}


def test_each_argument_is_typed_as_it_is_named_on_the_wire() -> None:
    for command in COMMANDS.values():
        assert all(re.fullmatch("--[a-z]+(-[a-z]+)*", argument.option) for argument in command.arguments)
    assert [argument.option for argument in COMMANDS["kick"].arguments] == ["--station", "--ban-s"]


def test_the_access_points_own_table_has_the_same_commands() -> None:
    assert set(SHELF) == set(COMMANDS)


@pytest.mark.parametrize(("name", "args"), GOOD)
def test_an_access_point_takes_what_may_be_typed(name: str, args: dict[str, object]) -> None:
    assert not load(name).check(args)


@pytest.mark.parametrize(("name", "args"), BAD)
def test_and_refuses_what_may_not_be(name: str, args: dict[str, object]) -> None:
    assert load(name).check(args)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_result_is_waited_for_longer_than_the_command_may_take_there(name: str) -> None:
    assert COMMANDS[name].patience_s > load(name).LIMIT_S


@pytest.mark.parametrize("name", COMMANDS)
def test_the_documentation_has_each_with_its_arguments_and_how_often_it_may_be(name: str) -> None:
    text = (Path(__file__).parents[2] / "docs/commands.md").read_text(encoding="utf-8")
    (row,) = (line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
    assert all(f"`{argument.option}`" in row for argument in COMMANDS[name].arguments)
    assert f"| {load(name).EVERY_S:g} s |" in row
    assert row.endswith("| |") != bool(COMMANDS[name].costs or name == "scan")


def test_the_documentation_explains_every_code_of_a_refusal() -> None:
    text = (Path(__file__).parents[2] / "docs/commands.md").read_text(encoding="utf-8")
    assert [code for code in REJECTED if f"`{code}`" not in text] == []
