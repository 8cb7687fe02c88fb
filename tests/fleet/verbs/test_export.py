"""`rwctl export` writes what is asked for, whole files, and says what is wrong with what was asked."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet import cli, store
from fleet.city import City
from fleet.keeper import Keeper
from tests.fleet.keeping import NOON, batch, city_of, enrol, report

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def city(tmp_path: Path) -> City:
    made = city_of(tmp_path / "malang")
    (made.folder / "city.toml").write_text('[city]\nname = "malang"\n')
    enrol(made, 1, name="rw-a"), enrol(made, 2, "Tulusrejo", "=Bintang", name="rw-b")
    keeper = Keeper(made)
    keeper.commit(batch(NOON, report(1, NOON, stations=3), report(1, NOON, ap=2)))
    keeper.close()
    return made


@pytest.fixture
def run(city: City, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `rwctl export …` there; gives code, stdout and stderr."""

    def done(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(["--dir", str(city.folder), "export", *arguments])
        return (code, *capsys.readouterr())

    return done


def test_json_lines_of_all_reports(run: Run) -> None:
    """The default: every line is a JSON document."""
    code, out, err = run()
    assert (code, err) == (0, "")
    assert [(record["ap"], record["time"]) for record in map(json.loads, out.splitlines())] == [
        ("rw-a", "2026-09-23T12:00:00Z"),
        ("rw-b", "2026-09-23T12:00:00Z"),
    ]


def test_csv_with_where(run: Run) -> None:
    """Only those it is true of; texts of others are harmless in a spreadsheet."""
    _, out, _ = run("--format", "csv", "--where", "kelurahan=Tulusrejo")
    (record,) = csv.DictReader(io.StringIO(out))
    assert (record["ap"], record["provider"], record["stations"]) == ("rw-b", "'=Bintang", "")


def test_a_file_is_written_whole(run: Run, tmp_path: Path) -> None:
    """It takes its name at the end, and what was there before is replaced."""
    file = tmp_path / "inventory.csv"
    file.write_text("old")
    code, out, err = run("--what", "inventory", "--format", "csv", "-o", str(file))
    assert (code, out, err) == (0, "", f"{file}: inventory, 2 records\n")
    assert len(file.read_text().splitlines()) == 3
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_is_no_file_is_written_to_and_not_replaced(run: Run, tmp_path: Path) -> None:
    """As root `-o /dev/stdout` would put a file in its place, for everybody."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert run("--what", "inventory", "--format", "csv", "-o", str(pipe))[0] == 0
    assert pipe.is_fifo() and os.read(reader, 65_536).count(b"\r\n") == 3
    os.close(reader)


def test_a_link_stays_and_its_file_is_written(run: Run, tmp_path: Path) -> None:
    """It is the file that takes its name, not the link."""
    link, file = tmp_path / "latest.csv", tmp_path / "september.csv"
    file.write_text("old")
    link.symlink_to(file)
    assert run("--what", "inventory", "--format", "csv", "-o", str(link))[0] == 0
    assert link.is_symlink() and len(file.read_text().splitlines()) == 3


def test_a_file_that_cannot_be_written_is_told(run: Run, tmp_path: Path) -> None:
    """With its name and the reason."""
    code, _, err = run("-o", str(tmp_path / "none" / "x.jsonl"))
    assert (code, err) == (1, f"rwctl export: {tmp_path}/none/x.jsonl: cannot be written (No such file or directory)\n")


def test_a_time_asked_for(run: Run) -> None:
    """From is in it, to is not."""
    assert run("--from", str(NOON), "--to", str(NOON + 1))[1].count("\n") == 2
    assert run("--from", str(NOON + 1))[1] == "" and run("--to", "2026-09-23T12:00:00Z")[1] == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--from", "soon"), "the time is 'soon', expected 2026-09-01"),
        (("--from", "2026-09-02", "--to", "2026-09-01"), "--from 2026-09-02 is not before --to 2026-09-01"),
        (("--where", "kelurahan=Tulusrejjo"), "no access point has kelurahan 'Tulusrejjo'; did you mean Tulusrejo?"),
        (("--what", "secrets"), "'secrets' is not one of"),
    ],
)
def test_what_is_wrong_with_what_was_asked(run: Run, arguments: tuple[str, ...], says: str) -> None:
    """Exit code 2, and nothing on stdout."""
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert says in err


def test_a_name_that_nobody_has_is_told_beside_the_empty_answer(run: Run) -> None:
    """It may be meant; stdout is what was asked for, which is nothing."""
    assert run("--where", "kelurahan=Nowhere") == (0, "", "no access point has kelurahan 'Nowhere'\n")


def test_a_writer_is_not_needed_nor_in_the_way(run: Run, city: City) -> None:
    """It reads while `serve` writes."""
    keeper = Keeper(city)
    keeper.live.execute("BEGIN IMMEDIATE")
    assert run("--what", "inventory")[0] == 0
    keeper.live.execute("ROLLBACK")
    keeper.close()
    assert store.open_live(city).execute("SELECT count(*) FROM boots").fetchone() == (2,)
