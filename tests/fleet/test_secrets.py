"""Keys lie in their files and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from fleet.city import City
from fleet.errors import BadInput, Refused
from fleet.secrets import Secrets

KEY, OTHER = "planted-secret-key", "another planted one"
DOCUMENT: dict[str, Any] = {"ssids": {"kantor": {"ssid": "Kantor", "key": KEY}, "gudang": {"key": OTHER}}, "agent": {"report_interval_s": 60}}


@pytest.fixture
def city(tmp_path: Path) -> City:
    return City(tmp_path, "malang")


def kept(city: City) -> dict[str, Any]:
    """Take the keys out and keep them."""
    secrets = Secrets(city)
    document = secrets.taken_out(DOCUMENT)
    secrets.keep(document)
    return document


def test_keys_go_into_files_of_their_owner_and_come_back(city: City) -> None:
    document = kept(city)
    names = {document["ssids"][name]["key"].removeprefix("secret:") for name in ("kantor", "gudang")}
    assert {path.name for path in city.secrets.iterdir()} == names | {"salt"}
    assert {path.stat().st_mode & 0o777 for path in city.secrets.iterdir()} == {0o600}
    assert city.secrets.stat().st_mode & 0o777 == 0o700
    assert KEY not in str(document)
    assert Secrets(city).put_back(document, str) == DOCUMENT


def test_the_same_key_has_the_same_name_and_in_another_city_another_one(city: City, tmp_path: Path) -> None:
    """So that the same document pushed again is the same; and nobody finds a weak key by its name."""
    assert kept(city) == kept(city)
    other = City(tmp_path / "other", "batu")
    other.folder.mkdir()
    assert kept(other)["ssids"]["kantor"]["key"] != kept(city)["ssids"]["kantor"]["key"]


def test_taking_out_writes_nothing(city: City) -> None:
    Secrets(city).taken_out(DOCUMENT)
    assert not city.secrets.exists()


def test_a_file_that_is_there_is_not_written_again(city: City) -> None:
    kept(city)
    before = {path: os.stat(path).st_ino for path in city.secrets.iterdir()}
    kept(city)
    assert {path: os.stat(path).st_ino for path in city.secrets.iterdir()} == before


def test_a_missing_file_is_refused_by_its_layer_and_not_by_its_key(city: City) -> None:
    document = kept(city)
    (city.secrets / document["ssids"]["kantor"]["key"].removeprefix("secret:")).unlink()
    with pytest.raises(Refused, match=r"ssids\.kantor\.key of kelurahan Jatimulyo: its key cannot be read .*No such file.*push that layer anew") as refused:
        Secrets(city).put_back(document, lambda _path: "kelurahan Jatimulyo")
    assert KEY not in str(refused.value)


def test_a_file_that_others_may_read_is_refused_with_the_chmod(city: City) -> None:
    document = kept(city)
    (city.secrets / document["ssids"]["kantor"]["key"].removeprefix("secret:")).chmod(0o644)
    with pytest.raises(Refused, match="chmod 600"):
        Secrets(city).put_back(document, str)


def test_a_name_in_the_place_of_a_key_is_refused(city: City) -> None:
    """Copied from where only names stand, it would become the network's key."""
    with pytest.raises(BadInput, match=r"ssids\.a\.key is the name under which"):
        Secrets(city).taken_out({"ssids": {"a": {"key": "secret:0123456789abcdef"}}})


def test_no_key_shows_in_what_keeps_them(city: City) -> None:
    secrets = Secrets(city)
    secrets.taken_out(DOCUMENT)
    assert KEY not in repr(secrets)
