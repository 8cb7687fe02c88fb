"""The audit log: nothing in it can be changed unseen, and no power cut stops it."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet import audit, store
from fleet.city import City
from fleet.errors import Refused


@pytest.fixture
def city(tmp_path: Path) -> City:
    (tmp_path / "store").mkdir()
    return City(tmp_path, "malang")


def recorded(city: City, many: int = 3) -> list[bytes]:
    """Write some acts down; give the lines."""
    for number in range(many):
        audit.record(city, "enroll", {"ap": f"rw-{number:04}"})
    return city.audit.read_bytes().splitlines(keepends=True)


def meta(city: City, name: str) -> str | None:
    connection = store.open_city(city)
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    connection.close()
    return row[0] if row else None


def put_meta(city: City, name: str, value: str) -> None:
    connection = store.open_city(city)
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))
    connection.close()


def test_each_line_says_who_did_what_when_and_follows_from_the_one_before(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "siti")
    first, second = (json.loads(line) for line in recorded(city, 2))
    assert (first["n"], first["who"], first["what"], first["data"], first["prev"]) == (1, "siti", "enroll", {"ap": "rw-0000"}, "0" * 64)
    assert (second["n"], second["prev"]) == (2, first["hash"])
    assert second["at"] > 1_700_000_000
    assert audit.verify(city) == audit.Verified(2)


def test_no_log_holds(city: City) -> None:
    assert audit.verify(city) == audit.Verified(0)
    assert list(audit.entries(city)) == []


def test_the_log_is_its_owners_alone(city: City) -> None:
    recorded(city, 1)
    assert city.audit.stat().st_mode & 0o777 == 0o600


def test_what_is_called_as_a_secret_is_stands_as_stars(city: City) -> None:
    """At any depth, whatever its case."""
    audit.record(city, "push", {"ssids": {"kantor": {"key": "planted-secret"}}, "list": [{"Password": "planted-secret"}], "passphrase": "planted-secret"})
    assert b"planted-secret" not in city.audit.read_bytes() + (city.store / "city.db").read_bytes()
    assert next(audit.entries(city))["data"] == {"ssids": {"kantor": {"key": "***"}}, "list": [{"Password": "***"}], "passphrase": "***"}


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_no_byte_can_be_changed_unseen(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """One byte changed, put in or taken out anywhere: the fault names the line or one after it."""
    folder = tmp_path_factory.mktemp("city")
    (folder / "store").mkdir()
    city = City(folder, "malang")
    lines = recorded(city)
    whole = b"".join(lines)
    at, byte = data.draw(st.integers(0, len(whole) - 1)), bytes((data.draw(st.integers(0, 255)),))
    changed = data.draw(st.sampled_from((whole[:at] + byte + whole[at + 1 :], whole[:at] + byte + whole[at:], whole[:at] + whole[at + 1 :])))
    city.audit.write_bytes(changed)
    found = audit.verify(city)
    assert (found.fault is None) == (changed == whole)


@pytest.mark.parametrize("drop", [0, 1, 2])
def test_a_line_taken_out_is_noticed(city: City, drop: int) -> None:
    """The last one too: the store knows how many there were."""
    lines = recorded(city)
    city.audit.write_bytes(b"".join(line for number, line in enumerate(lines) if number != drop))
    found = audit.verify(city)
    assert found.lines == drop
    assert found.fault is not None
    assert found.fault.startswith(f"line {drop + 1}: ")


def test_the_whole_file_taken_away_is_noticed_also_after_the_next_act(city: City) -> None:
    recorded(city)
    city.audit.unlink()
    assert audit.verify(city).fault == "line 1: is missing, the store knows of 3 lines: the end was cut off"
    audit.record(city, "push", {})
    assert audit.verify(city).fault == "line 1: has number 4, expected 1: lines are missing, doubled or not ours"


def test_a_line_that_somebody_else_added_is_noticed(city: City) -> None:
    """Though it follows by the rules: the store knows nothing of it."""
    recorded(city, 1)
    first = json.loads(city.audit.read_bytes())
    entry = {"n": 2, "at": 1, "who": "siti", "what": "push", "data": {}, "prev": first["hash"]}
    entry["hash"] = audit._hash(entry)
    with city.audit.open("ab") as file:
        file.write(audit._line(entry))
    fault = audit.verify(city).fault
    assert fault is not None
    assert fault.startswith("line 2: the store knows of 1 lines only")


def test_power_may_fail_anywhere_while_a_line_is_written(city: City) -> None:
    """However much of it reached the file: the log holds, and the next act writes the line whole, then that it did, then itself."""
    *_, last = lines = recorded(city)
    whole, before = b"".join(lines), b"".join(lines[:2])
    head = meta(city, audit.HEAD)
    assert head is not None
    for length in (0, 1, 40, len(last) - 1, len(last)):
        city.audit.write_bytes(before + last[:length])
        put_meta(city, audit.HEAD, head)
        put_meta(city, audit.COMING, last.decode())
        is_whole = length == len(last)
        assert audit.verify(city) == audit.Verified(3 if is_whole else 2, None, not is_whole)
        audit.record(city, "push", {"change": 1})
        assert city.audit.read_bytes().startswith(whole)
        told = [(entry["what"], entry["data"]) for entry in audit.entries(city)][3:]
        is_torn = 0 < length < len(last)
        assert told == ([(audit.REPAIRED, {"torn_bytes": length})] if is_torn else []) + [("push", {"change": 1})]
        assert audit.verify(city) == audit.Verified(3 + len(told))


def test_a_last_line_cut_off_while_nothing_was_under_way_stays_wrong(city: City) -> None:
    """It is no power cut's: the log goes on, and the fault is told for ever."""
    lines = recorded(city)
    city.audit.write_bytes(b"".join(lines)[:-5])
    assert audit.verify(city).fault == "line 3: is cut off, and no act of ours was under way"
    audit.record(city, "push", {})
    assert audit.verify(city).fault == "line 3: is no entry of the log"
    assert list(audit.entries(city))[-1]["n"] == 4


def test_a_link_to_elsewhere_is_no_log(city: City) -> None:
    city.audit.symlink_to("/dev/null")
    with pytest.raises(Refused, match=r"audit\.jsonl: cannot be opened"):
        audit.record(city, "push", {})


def test_a_line_that_cannot_be_written_is_no_line(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    """fsync fails (the disk, not our code): the act is refused, and neither file nor store keeps anything of it."""
    before = b"".join(recorded(city, 1))
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(Refused, match=r"push cannot be written down .*No space left.*not done"):
        audit.record(city, "push", {})
    monkeypatch.setattr(os, "fsync", real)
    assert city.audit.read_bytes() == before
    assert audit.verify(city) == audit.Verified(1)


def test_a_store_that_is_busy_is_told(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(city, 1)
    monkeypatch.setattr(store, "BUSY_MS", 10)
    other = sqlite3.connect(city.store / "city.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Refused, match="locked"):
        audit.record(city, "push", {})
    other.execute("ROLLBACK")
    other.close()
    assert audit.verify(city) == audit.Verified(1)


def test_many_at_once_make_one_chain(city: City) -> None:
    threads = [threading.Thread(target=recorded, args=(city, 5)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert audit.verify(city) == audit.Verified(20)


def test_a_log_written_anew_as_a_whole_is_noticed(city: City) -> None:
    """As many lines as the store knows of, each following from the one before: the last is not the one that was written."""
    recorded(city)
    entries = [json.loads(line) for line in city.audit.read_bytes().splitlines()]
    entries[0]["who"], before, lines = "eve", audit.FIRST, []
    for entry in entries:
        entry["prev"] = before
        entry["hash"] = before = audit._hash(entry)
        lines.append(audit._line(entry))
    city.audit.write_bytes(b"".join(lines))
    assert audit.verify(city).fault == "line 3: is another one than the store knows: lines were written anew, or the store is older"


def test_a_line_of_endless_brackets_is_no_entry(city: City) -> None:
    recorded(city, 1)
    with city.audit.open("ab") as file:
        file.write(b"[" * 200_000 + b"\n")
    assert audit.verify(city).fault == "line 2: is no entry of the log"
    assert len(list(audit.entries(city))) == 1
