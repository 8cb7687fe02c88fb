"""`rwctl push` at the command line; what it does then is told in test_delivery.py, and over a real broker in the stories."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fleet import cli
from tests.fleet.pushed_city import WIFI_KEY, Town

LAYER = f'[ssids.kantor]\nssid = "Kantor"\nsecurity = "psk2"\nbands = ["5g"]\nkey = "{WIFI_KEY}"\n'


@pytest.fixture
def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Town:
    monkeypatch.setenv("RWCTL_DIR", str(tmp_path))
    (tmp_path / "layer.toml").write_text(LAYER)
    return Town(tmp_path)


def push(town: Town, *words: str) -> int:
    return cli.main(["push", *words, str(town.city.folder / "layer.toml")])


def test_a_dry_run_prints_what_would_change_as_json_lines(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    assert push(town, "--to", "tag=market", "--dry-run", "--json") == 0
    out = capsys.readouterr().out
    change, end = map(json.loads, out.splitlines())
    assert (change["event"], change["access_points"]) == ("change", ["rw-0010"])
    assert {"path": "ssids.kantor.key", "to": "***"} in change["changes"]
    assert end == {"event": "dry_run", "told": 1, "same": 0}
    assert WIFI_KEY not in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--to", "rw-9999"], "matches no access point"),
        ([], "Missing option '--to'"),
        (["--to", "city", "--confirm-within", "5"], "30<=x<=600"),
        (["--to", "city", "--author", "x" * 65], "--author"),
        (["--to", "city", "--note", "a\nb"], "--note"),
    ],
)
def test_what_is_typed_wrong_is_exit_2(town: Town, capsys: pytest.CaptureFixture[str], words: list[str], told: str) -> None:
    assert push(town, *words) == 2
    assert told in capsys.readouterr().err


def test_every_fault_of_the_file_is_told_and_exit_2(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    (town.city.folder / "layer.toml").write_text('[ssids.kantor]\nsecurity = "wpa2"\n[radios.5g]\nchanel = 36\n')
    assert push(town, "--to", "city") == 2
    err = capsys.readouterr().err
    assert 'ssids.kantor.security is "wpa2"' in err
    assert "radios.5g.chanel is not known, did you mean channel?" in err


def test_without_a_broker_it_fails_and_records_nothing(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    assert push(town, "--to", "city") == 1
    assert capsys.readouterr().err.startswith("rwctl push: ")
    assert town.audit() == []


def test_its_help_ends_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["push", "--help"]) == 0
    assert "rwctl push --to city kota.toml --dry-run" in capsys.readouterr().out
