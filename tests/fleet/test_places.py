"""Places: the list of Kota Malang, names that are close, lists of other cities."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fleet import places
from fleet.city import City
from fleet.errors import BadInput
from fleet.places import Fault, Place


def malang() -> places.Places:
    return places.load(City(Path("/nowhere"), "malang"))


def listed(folder: Path, name: str, text: str) -> places.Places:
    (folder / name).write_text(text, encoding="utf-8")
    return places.load(City(folder, "malang", places=name))


def test_kota_malang_has_5_kecamatan_and_57_kelurahan() -> None:
    """The list is whole, and says where it is from and under which licence."""
    found = malang()
    assert (len(found.kecamatan), sum(map(len, found.kecamatan.values()))) == (5, 57)
    document = json.loads((places.DATA / "kota-malang.json").read_text(encoding="utf-8"))
    assert document["licence"] == "ODbL-1.0" and "idn-area-data 4.0.1" in document["notice"] and "Open Database License" in document["notice"]


@pytest.mark.parametrize(("kelurahan", "kecamatan"), [("JATIMULYO", "lowokwaru"), (" Tasikmadu", "Lowokwaru "), ("oro-oro  dowo", "KLOJEN")])
def test_case_and_blanks_do_not_count(kelurahan: str, kecamatan: str) -> None:
    """A name gets the list's spelling."""
    place, faults = malang().check(kelurahan, kecamatan)
    assert faults == [] and place in {Place("Jatimulyo", "Lowokwaru"), Place("Tasik Madu", "Lowokwaru"), Place("Oro-oro Dowo", "Klojen")}


def test_a_kelurahan_in_the_wrong_kecamatan_names_the_right_one() -> None:
    """Dinoyo is in Lowokwaru, whatever the row says."""
    (fault,) = malang().check("dinoyo", "Sukun")[1]
    assert fault == Fault("kecamatan", "Sukun", "Lowokwaru, where kelurahan Dinoyo is")


def test_names_that_are_not_there_are_told_with_close_ones() -> None:
    """Both names are looked at, each for itself."""
    kecamatan, kelurahan = malang().check("Jatimuyo", "Lowokwar")[1]
    assert (kecamatan.column, kelurahan.column) == ("kecamatan", "kelurahan")
    assert "did you mean Lowokwaru?" in kecamatan.allowed and "did you mean Jatimulyo" in kelurahan.allowed


def test_an_empty_kecamatan_hides_no_wrong_kelurahan() -> None:
    """Every fault is told at once."""
    assert [fault.column for fault in malang().check("Jatimuyo", "")[1]] == ["kecamatan", "kelurahan"]


def test_without_a_list_every_printable_name_is_allowed() -> None:
    """A city may have no list; a control character is no name even there."""
    free = places.load(City(Path("/nowhere"), "malang", places=""))
    assert free.check("Anywhere", "Else") == (Place("Anywhere", "Else"), [])
    assert [fault.column for fault in free.check("Any\x1bwhere", "")[1]] == ["kelurahan", "kecamatan"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.json", '{"kecamatan": {"Cibeber": ["Bulakan", "Cikerai"]}}'),
        ("p.csv", "kecamatan,kelurahan\nCibeber,Bulakan\nCibeber,Cikerai\n"),
        ("p.csv", "\ufeffkelurahan;kecamatan;kode\r\nBulakan;Cibeber;1\r\nCikerai;Cibeber;2\r\n"),
    ],
)
def test_another_citys_list_is_read(name: str, text: str, tmp_path: Path) -> None:
    """JSON, or CSV with either separator."""
    found = listed(tmp_path, name, text)
    assert found.kecamatan == {"Cibeber": ("Bulakan", "Cikerai")} and found.home("cikerai") == "Cibeber"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("p.json", "{", "is no list of places"),
        ("p.json", '{"kecamatan": {"A": "B"}}', "expected {"),
        ("p.json", '{"kecamatan": {}}', "no kelurahan in it"),
        ("p.csv", "a,b\n1,2\n", "its header is a,b"),
        ("p.csv", "kecamatan,kelurahan\nA,\n", "a name is empty"),
        ("p.csv", "kecamatan,kelurahan\nA,B b\nA,bB\n", "twice"),
    ],
)
def test_a_list_that_is_none_is_refused(name: str, text: str, said: str, tmp_path: Path) -> None:
    """With the file and the reason."""
    with pytest.raises(BadInput) as refused:
        listed(tmp_path, name, text)
    assert said in str(refused.value) and name in str(refused.value)


def test_a_missing_list_says_what_may_stand_there(tmp_path: Path) -> None:
    """The text names city.places and its three kinds of values."""
    with pytest.raises(BadInput, match=r"city.places is 'gone.csv'.*kota-malang.*or \"\" for none"):
        places.load(City(tmp_path, "malang", places="gone.csv"))
