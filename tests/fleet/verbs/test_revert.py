"""`rwctl revert`: which older layer is put back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fleet import cli
from fleet.delivery import Options
from fleet.pushing import REVERT, Act
from fleet.verbs import revert
from tests.fleet.pushed_city import PUBLIC, Town, wish


@pytest.fixture
def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Town:
    """A city whose layer was pushed three times: intervals of 30, 60 and 90 s."""
    monkeypatch.setenv("RWCTL_DIR", str(tmp_path))
    town = Town(tmp_path)
    for interval in (30, 60, 90):
        town.push({"agent": {"report_interval_s": interval}})
    return town


def shown(town: Town, capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    """Say what a revert would change."""
    assert cli.main(["revert", "--dry-run", "--json", *words]) == 0
    return [change for line in capsys.readouterr().out.splitlines() for change in json.loads(line).get("changes", [])]


def test_without_a_number_the_one_before_the_last_comes_back(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(town, capsys, "--to", "city") == [{"path": "agent.report_interval_s", "from": 90, "to": 60}]


def test_with_a_number_that_one_comes_back(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(town, capsys, "--to", "city", "--change", "1") == [{"path": "agent.report_interval_s", "from": 90, "to": 30}]


def test_before_its_first_change_a_level_said_nothing(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    town.push(PUBLIC, "tag=market")
    assert {change["path"] for change in shown(town, capsys, "--to", "tag=market")} == {"ssids.public.ssid", "ssids.public.security", "ssids.public.bands"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--to", "city", "--change", "9"], "--change is 9, expected one of city: 1, 2, 3"),
        (["--to", "rw-0001"], "ap=rw-0001, to which nothing was ever pushed"),
    ],
)
def test_what_is_not_there_cannot_come_back(town: Town, capsys: pytest.CaptureFixture[str], words: list[str], told: str) -> None:
    assert cli.main(["revert", *words]) == 2
    assert told in capsys.readouterr().err


def test_it_is_a_new_change_with_new_revisions(town: Town) -> None:
    assert town.delivery(revert._wish(1, False, False), "city", Act(REVERT, "siti"), Options(wait_s=0.1)).run() == 0
    assert [revision.revision for revision in town.revisions("rw-0001")] == [1, 2, 3, 4]
    assert town.revisions("rw-0001")[-1].document == {"agent": {"report_interval_s": 30}}
    assert town.audit()[-2][0] == "revert"


def test_a_revert_that_was_cut_short_is_not_reverted_by_the_next(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    """Typed again after a kill, it would bring back what somebody wanted to be rid of."""
    town.air.lost = set(town.air.ids)
    town.delivery(revert._wish(None, False, False), "city", Act(REVERT, "siti"), Options(wait_s=0.1)).run()
    assert cli.main(["revert", "--to", "city", "--dry-run"]) == 1
    assert "change 4 is a revert that was cut short; send it:  rwctl push --to city" in capsys.readouterr().err
    assert cli.main(["revert", "--to", "city", "--change", "3", "--dry-run"]) == 0
    town.air.lost = set()
    assert town.push(wish(None)) == 0
    assert {document["agent"]["report_interval_s"] for document in (town.revisions(ap)[-1].document for ap in town.air.ids)} == {60}  # type: ignore[index]
    assert cli.main(["revert", "--to", "city", "--dry-run"]) == 0


def test_a_push_that_changed_no_layer_is_passed_over(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    """Signed anew for all, or told to one that was enrolled since: what comes back is what was said before."""
    town.push(wish(None, is_all=True))
    assert shown(town, capsys, "--to", "city") == [{"path": "agent.report_interval_s", "from": 90, "to": 60}]
    town.push(PUBLIC, "tag=market")
    town.push(wish(None, is_all=True), "tag=market")
    assert all("to" not in change for change in shown(town, capsys, "--to", "tag=market"))
