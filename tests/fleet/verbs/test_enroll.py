"""`rwctl enroll` as it is typed: one or a file, dry run, bad rows, JSON, exit codes."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from fleet import bundle, cli, inventory, store
from fleet.city import City
from fleet.inventory import COLUMNS
from tests.fleet.broker_city import founded

GOOD = "rw-0501,05,Jatimulyo,Lowokwaru,Awinet,50,500000,-7.94,112.61,market\nrw-0502,06,Dinoyo,Lowokwaru,Awinet,50,500000,,,\n"


@pytest.fixture
def city(tmp_path: Path) -> City:
    return founded(tmp_path / "malang")


def rwctl(city: City, *words: str) -> int:
    return cli.main(["--dir", str(city.folder), "enroll", *words])


def points(city: City, rows: str = GOOD) -> str:
    file = city.folder.parent / "points.csv"
    file.write_text(f"{','.join(COLUMNS)}\n{rows}")
    return str(file)


def known(city: City) -> dict[str, inventory.Known]:
    with closing(store.open_city(city)) as connection:
        return inventory.known(connection)


def ids(city: City) -> list[str]:
    return sorted(known(city))


def test_a_file_is_enrolled(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    """And again it is as it was."""
    assert rwctl(city, "--csv", points(city)) == 0
    assert capsys.readouterr().out.startswith(f"2 new; 2 bundles written to {city.bundles} in ")
    assert rwctl(city, "--csv", points(city, GOOD.replace("market", "school"))) == 0
    assert capsys.readouterr().out.splitlines()[0] == "rw-0501: tags market -> school"
    assert ids(city) == ["rw-0501", "rw-0502"] and bundle.path_of(city, "rw-0502").exists()


def test_a_dry_run_writes_nothing(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    """And says what would be."""
    assert rwctl(city, "--csv", points(city), "--dry-run") == 0
    assert capsys.readouterr().out == "would be: 2 new; nothing was written\n"
    assert ids(city) == [] and not list(city.bundles.iterdir())


@pytest.mark.parametrize("words", [(), ("--dry-run",)])
def test_one_bad_row_and_nothing_is_written(words: tuple[str, ...], city: City, capsys: pytest.CaptureFixture[str]) -> None:
    """Every bad row is listed; exit 2."""
    file = points(city, GOOD + "rw 3,05,Jatimuyo,Lowokwaru,Awinet,50,5,,,\nrw-0501,05,Jatimulyo,Sukun,A,50,5,,,\n")
    assert rwctl(city, "--csv", file, *words) == 2
    said = capsys.readouterr().err.splitlines()
    assert [line.removeprefix("rwctl enroll: ").split(": ")[1:3] for line in said[:-1]] == [
        ["line 4", "id is 'rw 3', expected 1 to 48 of a-z, 0-9 and -"],
        ["line 4", "kelurahan is 'Jatimuyo', expected a name of the list; did you mean Jatimulyo?"],
        ["line 5", "id is 'rw-0501', expected an id that no other line has; line 2 has it"],
        ["line 5", "kecamatan is 'Sukun', expected Lowokwaru, where kelurahan Jatimulyo is"],
    ]
    assert said[-1] == f"{file}: 2 bad lines; nothing was written" and ids(city) == []


def test_json_has_all_of_it(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    """Of what was done, and of every fault."""
    assert rwctl(city, "--csv", points(city), "--json") == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["ok"], done["new"], done["updated"]) == (True, ["rw-0501", "rw-0502"], {})
    assert done["bundles"] == [f"{city.bundles}/{ap}.tar.gz" for ap in ids(city)]
    assert rwctl(city, "--csv", points(city, "rw 3,05,Jatimulyo,Lowokwaru,A,50,5,,,\n"), "--json") == 2
    (fault,) = json.loads(capsys.readouterr().out)["faults"]
    assert (fault["line"], fault["column"], fault["value"]) == (2, "id", "rw 3")


def test_one_access_point_by_name(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    """The kelurahan brings its kecamatan along; what is known need not be said again; a move to another kelurahan moves the kecamatan too."""
    assert rwctl(city, "rw-0501", "--rw", "5", "--kelurahan", "jatimulyo", "--provider", "Awinet", "--tags", "market;school") == 0
    row = known(city)["rw-0501"].row
    assert row == inventory.Row("rw-0501", "05", "Jatimulyo", "Lowokwaru", "Awinet", 50.0, 0, None, None, ("market", "school"))
    assert rwctl(city, "rw-0501", "--kelurahan", "Gadang") == 0
    assert capsys.readouterr().out.splitlines()[1] == "rw-0501: kelurahan Jatimulyo -> Gadang, kecamatan Lowokwaru -> Sukun"
    assert known(city)["rw-0501"].row == row._replace(kelurahan="Gadang", kecamatan="Sukun")


def test_what_is_missing_of_one_is_told(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    """All of it, without a line number."""
    assert rwctl(city, "rw-0501", "--rw", "5", "--kelurahan", "Jatimuyo") == 2
    said = capsys.readouterr().err
    assert "line" not in said and "did you mean Jatimulyo" in said and "provider is ''" in said


@pytest.mark.parametrize("words", [(), ("rw-1", "--csv", "x.csv"), ("--csv", "x.csv", "--rw", "5")])
def test_one_or_a_file(words: tuple[str, ...], city: City, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither and both are usage errors."""
    assert rwctl(city, *words) == 2
    assert "either the ID of one access point" in capsys.readouterr().err


def test_replace_says_so(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    """The broker does not run: it refuses the old one as soon as it does."""
    rwctl(city, "--csv", points(city))
    before = bundle.path_of(city, "rw-0501").read_bytes()
    assert rwctl(city, "rw-0501", "--replace") == 0
    assert "1 replaced; 1 bundle written" in capsys.readouterr().out and bundle.path_of(city, "rw-0501").read_bytes() != before


def test_more_than_the_broker_is_made_for_is_told(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    """At once, also of what would be; a running broker would drop messages and tell nobody."""
    rows = "".join(f"rw-{number:04d},05,Jatimulyo,Lowokwaru,Awinet,50,500000,,,\n" for number in range(21))
    for words in (["--dry-run"], []):
        assert rwctl(city, "--csv", points(city, rows), *words) == 0
        assert "access_points is 20 and 21 are enrolled: the broker would drop messages; set access_points = 100" in capsys.readouterr().err
    assert rwctl(city, "--csv", points(city, GOOD), "--dry-run") == 0 and "23 are enrolled" in capsys.readouterr().err


def test_many_bundles_made_anew_are_one_line(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    """As after a full disk."""
    rows = "".join(f"rw-{number:04d},05,Jatimulyo,Lowokwaru,Awinet,50,500000,,,\n" for number in range(12))
    rwctl(city, "--csv", points(city, rows))
    for path in city.bundles.iterdir():
        path.unlink()
    capsys.readouterr()
    assert rwctl(city, "--csv", points(city, rows)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and "rw-0007 and 4 more: no bundle was there" in lines[0]
