"""`rwctl audit`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fleet import audit, cli
from fleet.city import City
from tests.fleet.cities import make_city


@pytest.fixture
def city(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> City:
    monkeypatch.setenv("RWCTL_DIR", str(tmp_path))
    monkeypatch.setenv("USER", "siti")
    city = make_city(tmp_path)
    audit.record(city, "enroll", {"access_points": ["rw-0001", "rw-0002", "rw-0003", "rw-0004"], "note": "a\x1b[2Jb"})
    audit.record(city, "push", {"to": "city"})
    return city


def test_lines_are_shown_in_the_citys_time_and_nothing_in_them_moves_the_cursor(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["audit"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "siti" in first
    assert "access_points (4), note a?[2Jb" in first
    assert second.rstrip().endswith("to city")


def test_json_gives_the_lines_as_they_are(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["audit", "--json"]) == 0
    assert [json.loads(line)["n"] for line in capsys.readouterr().out.splitlines()] == [1, 2]


def test_a_whole_log_is_exit_0(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["audit", "verify"]) == 0
    assert "2 lines hold" in capsys.readouterr().out


def test_the_first_wrong_line_is_named_and_exit_1(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    city.audit.write_bytes(city.audit.read_bytes().replace(b'"push"', b'"pull"'))
    assert cli.main(["audit", "verify"]) == 1
    assert "line 2: was changed after it was written (pull of siti) (1 lines before it hold)" in capsys.readouterr().err
    assert cli.main(["audit", "verify", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["lines"] == 1
