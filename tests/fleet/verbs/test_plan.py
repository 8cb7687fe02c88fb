"""`rwctl plan` at the command line; what access points answer is told in test_planning.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fleet import cli
from tests.fleet.pushed_city import BOTH, WIFI_KEY, Town


@pytest.fixture
def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Town:
    monkeypatch.setenv("RWCTL_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    town = Town(tmp_path)
    town.push(BOTH)
    return town


def test_explain_shows_value_level_and_change_without_a_broker(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    (town.city.folder / "tag.toml").write_text("[ssids.public]\nhidden = true\n")
    assert cli.main(["plan", "--to", "tag=market", str(town.city.folder / "tag.toml"), "--explain", "rw-0010", "--json"]) == 0
    rows = {row["path"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["ssids.public.hidden"] == {"path": "ssids.public.hidden", "value": True, "level": "tag", "name": "market", "change": 0}
    assert rows["ssids.public.ssid"] == {"path": "ssids.public.ssid", "value": "Malang", "level": "city", "name": "", "change": 1}


def test_explain_alone_shows_what_is_in_force_as_a_table(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "--explain", "rw-0001"]) == 0
    out = capsys.readouterr().out
    (line,) = (line for line in out.splitlines() if line.startswith("ssids.kantor.key"))
    assert line.split() == ["ssids.kantor.key", '"***"', "city", "1"]
    assert WIFI_KEY not in out


def test_whom_nothing_is_set_for_is_told(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    with town.store() as connection:
        connection.execute("DELETE FROM changes")
    assert cli.main(["plan", "--explain", "rw-0001"]) == 0
    assert "nothing is set for it by any level" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["layer.toml"], ["--explain", "rw-0001", "layer.toml"]])
def test_a_file_without_its_level_is_bad_usage(town: Town, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert cli.main(["plan", *words]) == 2
    assert "give --to NODE" in capsys.readouterr().err


def test_an_id_that_is_not_there_is_exit_2(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "--explain", "rw-0003"]) == 2
    assert "did you mean" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["tag.toml", "--explain"], ["--explain", "tag.toml"]])
def test_explain_without_an_id_is_of_all_that_the_file_is_for(town: Town, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    """Wherever the word stands, and without a broker."""
    (town.city.folder / "tag.toml").write_text("[ssids.public]\nhidden = true\n")
    found = [str(town.city.folder / word) if word.endswith(".toml") else word for word in words]
    assert cli.main(["plan", "--to", "tag=market", "--json", *found]) == 0
    (group,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert group["access_points"] == ["rw-0010"] and {row["level"] for row in group["values"]} == {"city", "tag"}
    assert cli.main(["plan", "--explain"]) == 2


def test_an_id_that_nobody_has_is_told_as_one(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "--explain", "rw-0009"]) == 2
    assert "there is no access point 'rw-0009'" in capsys.readouterr().err
