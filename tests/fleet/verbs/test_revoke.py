"""`rwctl revoke` as it is typed: asked first, told what happened, exit codes."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from fleet import bundle, cli, inventory, store
from fleet.city import City
from tests.fleet.broker_city import founded


@pytest.fixture
def city(tmp_path: Path) -> City:
    at = founded(tmp_path / "malang")
    assert cli.main(["--dir", str(at.folder), "enroll", "rw-0501", "--rw", "5", "--kelurahan", "Jatimulyo", "--provider", "Awinet"]) == 0
    return at


def is_revoked(city: City) -> bool:
    with closing(store.open_city(city)) as connection:
        return inventory.known(connection)["rw-0501"].revoked_at is not None


def test_nobody_there_to_be_asked_needs_yes(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    """A script does not revoke by accident."""
    assert cli.main(["--dir", str(city.folder), "revoke", "rw-0501"]) == 2
    assert "say --yes" in capsys.readouterr().err and not is_revoked(city)


def test_it_says_what_happened_and_what_is_left(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    """How many certificates, how long, and what the broker, which does not run, will do."""
    assert cli.main(["--dir", str(city.folder), "revoke", "rw-0501", "--yes"]) == 0
    said = capsys.readouterr()
    assert "rw-0501: 1 certificate revoked in 0." in said.out and "as soon as it does" in said.out and "run the same again" in said.err
    assert is_revoked(city)


def test_json_is_for_machines(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    """One document."""
    capsys.readouterr()
    assert cli.main(["--dir", str(city.folder), "revoke", "rw-0501", "--yes", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["ap"], said["certificates"], said["is_out"]) == ("rw-0501", 1, True)


def test_an_unknown_id_is_bad_input(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    """With what is close."""
    assert cli.main(["--dir", str(city.folder), "revoke", "rw-501", "--yes"]) == 2
    assert "did you mean rw-0501" in capsys.readouterr().err


def test_one_certificate_is_named_by_its_file(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    """Either an id or a file; the access point of the file keeps its row."""
    file = city.folder.parent / "client.pem"
    file.write_bytes((bundle.read(bundle.path_of(city, "rw-0501")) or {})["client.pem"])
    assert cli.main(["--dir", str(city.folder), "revoke", "rw-0501", "--certificate", str(file), "--yes"]) == 2
    assert cli.main(["--dir", str(city.folder), "revoke", "--certificate", str(file)]) == 2
    assert "of rw-0501 is not revoked: nobody is here to be asked" in capsys.readouterr().err
    assert cli.main(["--dir", str(city.folder), "revoke", "--certificate", str(file), "--yes"]) == 0
    assert "rw-0501: 1 certificate revoked in " in capsys.readouterr().out and not is_revoked(city)
