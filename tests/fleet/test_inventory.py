"""Inventory: CSV files as spreadsheets write them, every bad row told, numbers that are never given again."""

from __future__ import annotations

import csv
import io
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet import inventory, places, store
from fleet.city import City
from fleet.errors import BadInput
from fleet.inventory import COLUMNS, Row

HEADER = ",".join(COLUMNS)
GOOD = "rw-0501,05,Jatimulyo,Lowokwaru,Awinet,50,500000,-7.94,112.61,market school"
ROW = Row("rw-0501", "05", "Jatimulyo", "Lowokwaru", "Awinet", 50.0, 500000, -7.94, 112.61, ("market", "school"))
MALANG = places.load(City(Path("/nowhere"), "malang"))


def read(folder: Path, text: str | bytes) -> inventory.Read:
    file = folder / "points.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return inventory.read_csv(file, MALANG)


def with_value(column: str, value: str) -> str:
    """Give a file of one row with one value changed."""
    cells = dict(zip(COLUMNS, GOOD.split(","), strict=True)) | {column: value}
    out = io.StringIO()
    csv.writer(out).writerows([COLUMNS, [cells[name] for name in COLUMNS]])
    return out.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER}\n{GOOD}\n",
        f"\ufeff{HEADER}\r\n{GOOD}\r\n\r\n,,,,,,,,,\r\n",
        f"{HEADER.replace(',', ';')}\n{GOOD.replace(',', ';')}",
        f"{HEADER}\r{GOOD}\r",
        f'{HEADER}\n"rw-0501","5"," jatimulyo ",LOWOKWARU,"Awinet","50.0","500000","-7.94","112.61","School;market market"\n',
        "tags,lon,lat,rupiah_month,contract_mbps,provider,kecamatan,kelurahan,rw,id\n"
        "school market,112.61,-7.94,500000,50,Awinet,Lowokwaru,Jatimulyo,05,rw-0501\n",
    ],
    ids=["plain", "excel", "semicolons", "old-mac", "quoted", "other-order"],
)
def test_a_file_is_read_however_a_spreadsheet_wrote_it(text: str, tmp_path: Path) -> None:
    """BOM, line ends, quotes, separator, empty lines at the end, order of columns: the same row."""
    assert read(tmp_path, text) == inventory.Read([(2, ROW)], [])


def test_a_place_may_be_left_out(tmp_path: Path) -> None:
    """lat and lon, and tags, may be empty."""
    ((_, row),) = read(tmp_path, f"{HEADER}\nrw-0501,05,Jatimulyo,Lowokwaru,Awinet,50,500000,,,\n").rows
    assert (row.lat, row.lon, row.tags) == (None, None, ())


@pytest.mark.parametrize(
    ("column", "value", "allowed"),
    [
        ("id", "RW-0501", "a-z, 0-9 and -"),
        ("id", "a" * 49, "1 to 48"),
        ("id", "", "1 to 48"),
        ("id", "rwctl-check-1a2b3c4d", "not begin with rwctl-"),
        ("rw", "0", "1 to 999"),
        ("rw", "١", "1 to 999"),
        ("rw", "05A", "1 to 999"),
        ("kelurahan", "Jatimuyo", "did you mean Jatimulyo"),
        ("kecamatan", "Sukun", "Lowokwaru, where kelurahan Jatimulyo is"),
        ("provider", "", "1 to 64 characters"),
        ("provider", "a\x1b[31m", "without control characters"),
        ("contract_mbps", "50,5", "a decimal point: 50.5"),
        ("contract_mbps", "0", "from 0.25 to 100000"),
        ("contract_mbps", "nan", "from 0.25 to 100000"),
        ("contract_mbps", "1_0", "from 0.25 to 100000"),
        ("contract_mbps", "fast", "from 0.25 to 100000"),
        ("rupiah_month", "500.000", "no separators: 500000"),
        ("rupiah_month", "-1", "a whole number of rupiah"),
        ("rupiah_month", "500000.0", "a whole number of rupiah"),
        ("lat", "-7,94", "a decimal point: -7.94"),
        ("lat", "91", "from -90 to 90"),
        ("lon", "181", "from -180 to 180"),
        ("lon", "", "where the other of lat and lon is given"),
        ("tags", "pasar!", "words of a-z, 0-9, _ and -"),
        ("tags", " ".join(f"t{n}" for n in range(17)), "at most 16 words"),
    ],
)
def test_a_bad_value_is_told_with_line_column_and_what_is_allowed(column: str, value: str, allowed: str, tmp_path: Path) -> None:
    """And no row is made of it."""
    found = read(tmp_path, with_value(column, value))
    (fault,) = found.faults
    assert (fault.line, fault.column, found.rows) == (2, column, []) and allowed in fault.allowed
    assert fault.sentence().startswith(f"line 2: {column} is ") and "\x1b" not in fault.sentence()


def test_every_bad_row_is_listed(tmp_path: Path) -> None:
    """All of them, each with its own line, and several faults of one row."""
    rows = [GOOD, GOOD.replace("rw-0501", "RW 1"), GOOD.replace("rw-0501", "rw-2"), GOOD.replace("50,500000", "x,y").replace("rw-0501", "rw-3")]
    found = read(tmp_path, "\n".join([HEADER, *rows]))
    assert [(fault.line, fault.column) for fault in found.faults] == [(3, "id"), (5, "contract_mbps"), (5, "rupiah_month")]
    assert [line for line, _ in found.rows] == [2, 4]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"rw-1,05,Jatim\xffulyo", "byte 14 is 0xff, expected UTF-8"),
        (b"rw-1,05,Jati\0mulyo", "NUL"),
        (b'rw-1,05,"Jatimulyo', "the quotes are wrong"),
        (GOOD.encode() + b",,", "there are 12 values, expected 10"),
        (b"rw-1,05", "there are 2 values, expected 10"),
    ],
)
def test_a_broken_line_costs_itself_only(line: bytes, said: str, tmp_path: Path) -> None:
    """The rows around it are read: a quote that is left open does not swallow the file."""
    found = read(tmp_path, b"\n".join([HEADER.encode(), GOOD.replace("0501", "0001").encode(), line, GOOD.encode()]))
    (fault,) = found.faults
    assert fault.line == 3 and said in fault.sentence()
    assert [row.id for _, row in found.rows] == ["rw-0001", "rw-0501"]


def test_an_id_that_stands_twice_is_told_with_both_lines(tmp_path: Path) -> None:
    """Also when one of the two rows is bad otherwise."""
    found = read(tmp_path, "\n".join([HEADER, GOOD.replace("Awinet", ""), GOOD, GOOD]))
    assert [(fault.line, fault.column) for fault in found.faults] == [(2, "provider"), (3, "id"), (4, "id")]
    assert "line 2 has it" in found.faults[1].allowed


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (HEADER.replace("contract_mbps", "Contract_Mbps"), "column 'Contract_Mbps' is not known, did you mean contract_mbps?"),
        (HEADER.replace(",tags", ""), "column tags is missing"),
        (HEADER.replace("tags", "lat"), "column lat stands there twice"),
        ("", "column id is missing"),
        (HEADER + ",\xff", "is not known"),
    ],
)
def test_a_wrong_header_is_refused_whole(header: str, said: str, tmp_path: Path) -> None:
    """No row can be understood without it; the text shows the right one."""
    with pytest.raises(BadInput) as refused:
        read(tmp_path, f"{header}\n{GOOD}\n")
    assert said in str(refused.value) and HEADER in str(refused.value)


def test_a_file_without_rows_is_told(tmp_path: Path) -> None:
    """Nothing to do is no success."""
    assert "only a header" in read(tmp_path, HEADER).faults[0].sentence()


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """With its name."""
    with pytest.raises(BadInput, match=r"gone.csv: cannot be read \(No such file"):
        inventory.read_csv(tmp_path / "gone.csv", MALANG)


@given(rest=st.binary(max_size=300))
def test_any_bytes_behind_the_header_give_rows_or_faults(tmp_path_factory: pytest.TempPathFactory, rest: bytes) -> None:
    """Nothing raises, and nothing is passed over in silence."""
    found = read(tmp_path_factory.mktemp("any"), HEADER.encode() + b"\n" + rest)
    assert found.rows or found.faults


def test_a_row_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    """Also without a place and without tags; tags stand between blanks, so that one is found with LIKE."""
    bare = ROW._replace(id="rw-0502", lat=None, lon=None, tags=())
    with closing(store.open_city(_city(tmp_path))) as connection:
        inventory.keep(connection, [ROW, bare], 1000)
        assert {ap: known.row for ap, known in inventory.known(connection).items()} == {"rw-0501": ROW, "rw-0502": bare}
        assert connection.execute("SELECT id FROM inventory WHERE tags LIKE '% market %'").fetchall() == [("rw-0501",)]


def test_a_number_is_kept_for_life_and_never_given_again(tmp_path: Path) -> None:
    """What changes keeps its number and its first moment, what is new gets the next one, the revoked keep theirs."""
    with closing(store.open_city(_city(tmp_path))) as connection:
        inventory.keep(connection, [ROW, ROW._replace(id="rw-2")], 1000)
        connection.execute("UPDATE inventory SET revoked_at = 5 WHERE id = 'rw-2'")
        inventory.keep(connection, [ROW._replace(id="rw-1"), ROW._replace(provider="Other")], 2000)
        rows = connection.execute("SELECT id, number, provider, enrolled_at, revoked_at FROM inventory ORDER BY number").fetchall()
    assert rows == [("rw-0501", 1, "Other", 1000, None), ("rw-2", 2, "Awinet", 1000, 5), ("rw-1", 3, "Awinet", 2000, None)]


def test_what_changes_is_told_by_column() -> None:
    """Before and after, also where nothing was."""
    after = ROW._replace(provider="Telkom", lat=None, lon=None, tags=())
    said = list(inventory.changes(ROW, after))
    assert said == ["provider Awinet -> Telkom", "lat -7.94 -> nothing", "lon 112.61 -> nothing", "tags market school -> nothing"]


def _city(folder: Path) -> City:
    (folder / "store").mkdir()
    return City(folder, "malang")
