"""Where each value comes from, as it is shown."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from fleet import explaining
from fleet.delivery import Options
from fleet.layers import Origin
from fleet.pushing import PUSH, Act
from fleet.verdicts import Screen
from tests.fleet.pushed_city import BOTH, PUBLIC, WIFI_KEY, Town, wish


def test_each_value_has_its_origin_and_a_key_is_stars() -> None:
    document = {"ssids": {"kantor": {"key": "secret:0123456789abcdef", "hidden": True}}}
    origins = {("ssids", "kantor", "key"): Origin("city", "", 3), ("ssids", "kantor", "hidden"): Origin("tag", "market", 0)}
    rows = explaining.explained(document, origins)
    assert explaining.as_json(rows) == [
        {"path": "ssids.kantor.hidden", "value": True, "level": "tag", "name": "market", "change": 0},
        {"path": "ssids.kantor.key", "value": "***", "level": "city", "name": "", "change": 3},
    ]
    out = io.StringIO()
    Console(file=out, width=100).print(explaining.table(rows))
    assert "tag=market" in out.getvalue() and "this one" in out.getvalue()


def test_a_push_shows_it_once_for_all_alike_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json as an event, its keys as stars."""
    town = Town(tmp_path)
    town.push(PUBLIC)
    delivery = town.delivery(wish(BOTH), "tag=market", Act(PUSH, "siti"), Options(wait_s=0.1, is_explained=True))
    delivery._screen = Screen(True)
    assert delivery.run() == 0
    first, *_, last = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["event"], first["access_points"], last["states"]) == ("explain", ["rw-0010"], {"confirmed": 1})
    assert {(row["path"], row["level"], row["change"]) for row in first["values"]} >= {("ssids.public.ssid", "tag", 0), ("ssids.kantor.key", "tag", 0)}
    assert WIFI_KEY not in json.dumps(first)
