"""`rwctl history`: changes, a level's changes, and one access point's revisions with their verdicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fleet import cli, store
from fleet.pushing import PUSH, Act
from tests.fleet.pushed_city import BOTH, PUBLIC, WIFI_KEY, Town


@pytest.fixture
def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Town:
    monkeypatch.setenv("RWCTL_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    town = Town(tmp_path)
    town.push(PUBLIC, act=Act(PUSH, "siti", "a first name"))
    town.push(BOTH, "tag=market", act=Act(PUSH, "budi"))
    return town


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    assert cli.main(["history", "--json", *words]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_all_changes_with_who_why_and_for_how_many(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(row["change"], row["kind"], row["to"], row["author"], row["access_points"], row["note"]) for row in shown(capsys)]
    assert rows == [(1, "push", "city", "siti", 4, "a first name"), (2, "push", "tag=market", "budi", 1, "")]


def test_of_a_level_also_what_each_changed_without_keys(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = shown(capsys, "--to", "tag=market")
    assert {"path": "ssids.kantor.key", "from": None, "to": "***"} in row["changes"]
    assert cli.main(["history", "--to", "tag=market"]) == 0
    out = capsys.readouterr().out
    assert 'ssids.kantor.key: not set → "***"' in out
    assert WIFI_KEY not in out


def test_an_access_points_revisions_have_their_verdicts(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    """The last from its config/reported, those before from its events; what it did not say is no verdict yet, what was not sent is not."""
    live = store.open_live(town.city, is_writer=True)
    reported = {"v": 1, "revision": 2, "state": "rolled_back", "reason": "not_on_air", "current": 1}
    live.execute("INSERT INTO state (ap, reported) VALUES (10, ?)", (json.dumps(reported),))
    for seq, step in enumerate(("testing", "confirmed"), 1):
        data = json.dumps({"revision": 1, "step": step})
        live.execute("INSERT INTO events VALUES (?, 10, 1, ?, 'config', ?, 1.0, 'ntp')", (1000 + seq, seq, data))
    live.close()
    rows = [(row["revision"], row["change"], row["state"], row.get("reason"), row["in_force"]) for row in shown(capsys, "rw-0010")]
    assert rows == [(1, 1, "confirmed", None, True), (2, 2, "rolled_back", "not_on_air", False)]
    assert shown(capsys, "rw-0001")[0]["state"] == "no verdict yet"
    town.killed_while(BOTH, 0, "rw-0001")
    assert shown(capsys, "rw-0001")[1]["state"] == "not sent"


def test_tables_show_the_same_in_the_citys_time(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    with town.store() as connection:
        connection.execute("UPDATE changes SET at = 1790000000")
    assert cli.main(["history"]) == 0
    assert "2026-09-21 21:13:20" in capsys.readouterr().out
    assert cli.main(["history", "rw-0010"]) == 0
    assert "no verdict yet" in capsys.readouterr().out


def test_nothing_pushed_is_told(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    with town.store() as connection:
        connection.execute("DELETE FROM revisions")
    assert cli.main(["history", "rw-0001"]) == 0
    assert capsys.readouterr().out == "nothing was pushed to rw-0001 yet\n"
    assert cli.main(["history", "rw-0001", "--to", "city"]) == 2


def test_a_revision_that_a_later_one_overtook_is_superseded(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    """An access point that was away for both gets the last only: nobody waits for a verdict on the first."""
    town.push(BOTH, "rw-0001")
    assert [row["state"] for row in shown(capsys, "rw-0001")] == ["superseded", "no verdict yet"]
    town.killed_while(PUBLIC | {"agent": {"report_interval_s": 30}}, 0, "rw-0001")
    assert [row["state"] for row in shown(capsys, "rw-0001")] == ["superseded", "no verdict yet", "not sent"]


def test_a_revoked_access_points_history_stays_to_be_seen(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    with town.store() as connection:
        connection.execute("UPDATE inventory SET revoked_at = 1 WHERE id = 'rw-0001'")
    assert len(shown(capsys, "rw-0001")) == 1


def test_an_id_that_nobody_has_is_told_as_one(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["history", "rw-0009"]) == 2
    assert capsys.readouterr().err.startswith("rwctl history: there is no access point 'rw-0009', did you mean rw-0")


def test_a_narrow_terminal_folds_no_date_and_no_heading(town: Town, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with town.store() as connection:
        connection.execute("UPDATE changes SET at = 1790000000, level = 'kelurahan', name = 'Bandungrejosari'")
    assert cli.main(["history"]) == 0
    out = capsys.readouterr().out
    assert out.count("2026-09-21 21:13:20") == 2 and "kelurahan=Bandungrejosari" in out and "change" in out and "points" in out
