"""Enrolment: all or nothing, what is in order stays, what was cut short is done by the next run, and old certificates are refused."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import bundle as taken
from agent.wire import bundle as form
from fleet import audit, authority, bundle, enrolling, inventory, store
from fleet.city import City
from fleet.enrolling import Done, Plan
from fleet.errors import Refused
from fleet.inventory import Row
from tests.bundles import ROW
from tests.fleet.broker_city import founded

COLUMNS = "ap, revision, change, at, author, hash, document, confirm_within_s, below_contract, published_at"
ROWS = tuple(ROW._replace(id=f"rw-{number:04d}", rw=f"{number:02d}") for number in range(1, 6))


@pytest.fixture
def city(tmp_path: Path) -> City:
    return founded(tmp_path / "malang")


@pytest.fixture
def connection(city: City) -> Iterator[sqlite3.Connection]:
    opened = store.open_city(city)
    yield opened
    opened.close()


def enroll(city: City, connection: sqlite3.Connection, *rows: Row, is_replace: bool = False) -> tuple[Plan, Done]:
    """Enrol rows, none of which may be bad."""
    chosen, faults = enrolling.plan(inventory.known(connection), [(number, row) for number, row in enumerate(rows, 2)], is_replace)
    assert faults == []
    done = enrolling.carry_out(city, connection, chosen)
    assert enrolling.take_back(city, connection, done.replaced) == []
    return chosen, done


def serial(city: City, ap: str) -> str:
    return authority.read((bundle.read(bundle.path_of(city, ap)) or {})[form.CERTIFICATE]).serial


def certificates(connection: sqlite3.Connection, ap: str) -> dict[str, bool]:
    """Give an access point's certificates in the store: whether each is revoked."""
    return {number: at is not None for number, at in connection.execute("SELECT serial, revoked_at FROM certificates WHERE ap = ?", (ap,))}


def refused(city: City) -> frozenset[str]:
    return authority.revoked((city.ca / "crl.pem").read_bytes())


def test_new_rows_get_a_number_a_certificate_and_a_bundle(city: City, connection: sqlite3.Connection) -> None:
    """The bundle is its owner's alone and one that an access point takes; the certificate stands in the store."""
    chosen, done = enroll(city, connection, *ROWS)
    assert len(chosen.new) == len(done.bundles) == 5 and done.remade == ()
    for row in ROWS:
        path = bundle.path_of(city, row.id)
        assert path.stat().st_mode & 0o777 == 0o600 and taken.load(str(path)).manifest.ap == row.id
        assert certificates(connection, row.id) == {serial(city, row.id): False}
    assert (city.bundles.stat().st_mode & 0o777, sorted(path.name for path in city.bundles.iterdir())) == (0o700, [f"{row.id}.tar.gz" for row in ROWS])


def test_again_changes_nothing(city: City, connection: sqlite3.Connection) -> None:
    """No certificate, no bundle, no entry in the audit log."""
    enroll(city, connection, *ROWS)
    before = {path.name: (path.read_bytes(), path.stat().st_ino) for path in city.bundles.iterdir()}
    lines = audit.verify(city).lines
    chosen, done = enroll(city, connection, *ROWS)
    assert (len(chosen.unchanged), done.bundles) == (5, ())
    assert {path.name: (path.read_bytes(), path.stat().st_ino) for path in city.bundles.iterdir()} == before and audit.verify(city).lines == lines


def test_what_changes_is_told_and_keeps_its_certificate(city: City, connection: sqlite3.Connection) -> None:
    """A new contract is in the settings of the bundle; who carries it out gives the access point the key it has."""
    enroll(city, connection, *ROWS)
    number = serial(city, ROWS[0].id)
    chosen, done = enroll(city, connection, ROWS[0]._replace(contract_mbps=100.0), ROWS[1]._replace(provider="Telkom"), ROWS[2])
    assert [after.id for _, after in chosen.updated] == [ROWS[0].id, ROWS[1].id] and done.bundles == (ROWS[0].id,)
    assert serial(city, ROWS[0].id) == number and b"contract_mbps = 100.0" in (bundle.read(bundle.path_of(city, ROWS[0].id)) or {})[form.SETTINGS]
    assert inventory.known(connection)[ROWS[1].id].row.provider == "Telkom"


@pytest.mark.parametrize("damage", ["gone", "torn", "another's"])
def test_a_bundle_that_is_gone_is_made_anew(damage: str, city: City, connection: sqlite3.Connection) -> None:
    """As after a run that was killed. The certificate that it had may be in use, and stays good."""
    enroll(city, connection, *ROWS)
    path, old = bundle.path_of(city, ROWS[0].id), serial(city, ROWS[0].id)
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-30] if damage == "torn" else bundle.path_of(city, ROWS[1].id).read_bytes())
    _, done = enroll(city, connection, *ROWS)
    assert done.remade == done.bundles == (ROWS[0].id,)
    assert certificates(connection, ROWS[0].id) == {old: False, serial(city, ROWS[0].id): False} and old not in refused(city)


def test_a_run_killed_before_the_store_leaves_nothing(city: City, connection: sqlite3.Connection) -> None:
    """No certificate is good that the store does not know: bundles come after it."""
    connection.execute("CREATE TRIGGER full BEFORE INSERT ON certificates BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    chosen, _ = enrolling.plan({}, [(2, ROWS[0])], False)
    with pytest.raises(sqlite3.IntegrityError, match="disk full"):
        enrolling.carry_out(city, connection, chosen)
    assert list(city.bundles.iterdir()) == [] and inventory.known(connection) == {}


def test_bundles_that_cannot_be_written_are_told_and_written_next_time(city: City, connection: sqlite3.Connection) -> None:
    """The access points are enrolled; nothing is lost but the time."""
    blocked = bundle.path_of(city, ROWS[1].id)
    blocked.mkdir(parents=True)
    chosen, _ = enrolling.plan({}, [(2, row) for row in ROWS], False)
    with pytest.raises(Refused, match=r"rw-0002.tar.gz: cannot be written.*run the same again"):
        enrolling.carry_out(city, connection, chosen)
    assert not list(city.bundles.glob(".*"))
    blocked.rmdir()
    enroll(city, connection, *ROWS)
    assert all(taken.load(str(bundle.path_of(city, row.id))) for row in ROWS)


def test_a_new_public_key_reaches_the_bundles(city: City, connection: sqlite3.Connection) -> None:
    """They are brought up to date with the certificates that they have."""
    enroll(city, connection, ROWS[0])
    number = serial(city, ROWS[0].id)
    (city.keys / "second.pub").write_bytes((city.keys / "malang.pub").read_bytes())
    _, done = enroll(city, connection, ROWS[0])
    assert done.bundles == (ROWS[0].id,) and serial(city, ROWS[0].id) == number
    assert sorted(taken.load(str(bundle.path_of(city, ROWS[0].id))).keys) == ["malang.pub", "second.pub"]


def test_replace_gives_a_new_certificate_and_has_the_old_ones_refused(city: City, connection: sqlite3.Connection) -> None:
    """All that it ever had; the access point keeps its number, and what is wanted of it is published again."""
    enroll(city, connection, *ROWS)
    bundle.path_of(city, ROWS[0].id).unlink()
    enroll(city, connection, *ROWS)
    for revision in (1, 2):
        connection.execute(f"INSERT INTO revisions ({COLUMNS}) VALUES (1, ?, 1, 1, 'a', 'h', '{{}}', 180, 0, 5)", (revision,))
    old = set(certificates(connection, ROWS[0].id))
    chosen, done = enroll(city, connection, ROWS[0], is_replace=True)
    new = serial(city, ROWS[0].id)
    assert len(old) == 2 and new not in old and refused(city) >= old and new not in refused(city)
    assert certificates(connection, ROWS[0].id) == dict.fromkeys(old, True) | {new: False}
    assert [row.id for row in chosen.replaced] == [ROWS[0].id] and set(done.replaced[ROWS[0].id]) == old
    assert inventory.known(connection)[ROWS[0].id].number == 1
    assert connection.execute("SELECT revision, published_at FROM revisions ORDER BY revision").fetchall() == [(1, 5), (2, None)]
    assert taken.load(str(bundle.path_of(city, ROWS[0].id))).floor == 1


def test_replace_ends_what_a_killed_one_left(city: City, connection: sqlite3.Connection) -> None:
    """Taken back in the store, and killed before the list was written: the next run puts it there."""
    enroll(city, connection, ROWS[0])
    old = serial(city, ROWS[0].id)
    connection.execute("UPDATE certificates SET revoked_at = 5, replaced = 1")
    enroll(city, connection, ROWS[0], is_replace=True)
    assert old in refused(city) and serial(city, ROWS[0].id) not in refused(city)


def test_a_replacement_that_was_killed_is_ended_by_the_next_run(city: City, connection: sqlite3.Connection) -> None:
    """The old certificate is taken back with the new one's birth, and a run without --replace tells the broker; after that nobody is told again."""
    enroll(city, connection, *ROWS[:2])
    old = serial(city, ROWS[0].id)
    chosen, _ = enrolling.plan(inventory.known(connection), [(0, ROWS[0])], True)
    enrolling.carry_out(city, connection, chosen)  # and killed here
    assert certificates(connection, ROWS[0].id) == {old: True, serial(city, ROWS[0].id): False} and old not in refused(city)
    new = serial(city, ROWS[0].id)
    _, done = enroll(city, connection, *ROWS[:2])
    assert done.replaced == {ROWS[0].id: (old,)} and old in refused(city) and serial(city, ROWS[0].id) == new
    assert enroll(city, connection, *ROWS[:2])[1].replaced == {}


def test_a_foreign_broker_is_told_by_the_second_run_without_a_new_certificate(city: City, connection: sqlite3.Connection) -> None:
    """What is left to do ends: the first run names it, the next one without --replace tries again."""
    foreign = city._replace(broker=city.broker._replace(is_own=False))
    enroll(city, connection, ROWS[0])
    old = serial(city, ROWS[0].id)
    chosen, _ = enrolling.plan(inventory.known(connection), [(0, ROWS[0])], True)
    (left,) = enrolling.take_back(foreign, connection, enrolling.carry_out(city, connection, chosen).replaced)
    assert left.startswith("rw-0001: ") and left.endswith("then repeat this, without --replace")
    chosen, _ = enrolling.plan(inventory.known(connection), [(0, ROWS[0])], False)
    done = enrolling.carry_out(city, connection, chosen)
    assert (done.bundles, done.replaced) == ((), {ROWS[0].id: (old,)})


def test_what_was_planned_before_a_revocation_is_not_done(city: City, connection: sqlite3.Connection) -> None:
    """A row that changes must not bring its access point back; nor do two runs at once give one id two certificates."""
    enroll(city, connection, *ROWS[:2])
    chosen, _ = enrolling.plan(inventory.known(connection), [(2, ROWS[0]._replace(provider="Telkom"))], False)
    both = enrolling.plan(inventory.known(connection), [(2, ROWS[2])], False)[0]
    connection.execute("UPDATE inventory SET revoked_at = 5 WHERE id = ?", (ROWS[0].id,))
    enrolling.carry_out(city, connection, both)
    lines = audit.verify(city).lines
    for stale in (chosen, both):
        with pytest.raises(Refused, match="meanwhile; nothing was written, run the same again"):
            enrolling.carry_out(city, connection, stale)
    assert inventory.known(connection)[ROWS[0].id].revoked_at == 5 and len(certificates(connection, ROWS[2].id)) == 1
    assert audit.verify(city).lines == lines


@pytest.mark.needs("root")
def test_what_root_enrols_in_anothers_city_is_the_others(city: City, connection: sqlite3.Connection) -> None:
    """Its owner's next run reads the bundle, and makes no second certificate."""
    os.chown(city.bundles, 12345, 12345)
    enroll(city, connection, ROWS[0])
    assert bundle.path_of(city, ROWS[0].id).stat().st_uid == 12345


def test_an_id_that_was_revoked_needs_replace(city: City, connection: sqlite3.Connection) -> None:
    """By mistake nobody comes back in; with it the access point is as before."""
    enroll(city, connection, *ROWS)
    connection.execute("UPDATE inventory SET revoked_at = 1790000000 WHERE id = ?", (ROWS[0].id,))
    known = inventory.known(connection)
    _, (fault,) = enrolling.plan(known, [(7, ROWS[0]), (8, ROWS[1])], False)
    assert fault.sentence().startswith("line 7: id is 'rw-0001', expected one that was not revoked (this one on 2026-09-21), or --replace")
    enroll(city, connection, ROWS[0], is_replace=True)
    assert inventory.known(connection)[ROWS[0].id].revoked_at is None


def test_a_certificate_that_was_revoked_is_not_handed_out_again(city: City, connection: sqlite3.Connection) -> None:
    """A bundle left over from before is none."""
    enroll(city, connection, ROWS[0])
    old = serial(city, ROWS[0].id)
    connection.execute("UPDATE certificates SET revoked_at = 5")
    enroll(city, connection, ROWS[0])
    assert serial(city, ROWS[0].id) != old


def test_the_audit_log_says_who_got_which_certificate(city: City, connection: sqlite3.Connection) -> None:
    """And what changed, before it is so."""
    enroll(city, connection, ROWS[0])
    enroll(city, connection, ROWS[0]._replace(provider="Telkom"), ROWS[1])
    text = city.audit.read_text()
    assert '"updated":{"rw-0001":["provider Awinet -> Telkom"]}' in text and f'"certificates":{{"rw-0002":"{serial(city, ROWS[1].id)}"}}' in text
    assert "PRIVATE" not in text and audit.verify(city).fault is None


def test_551_access_points_take_seconds(city: City, connection: sqlite3.Connection, capsys: pytest.CaptureFixture[str]) -> None:
    """The figures are printed, keys apart; what is claimed here is that all 551 are there."""
    rows = [ROW._replace(id=f"rw-{number:04d}", rw=f"{number % 30 + 1:02d}") for number in range(551)]
    began = time.monotonic()
    _, done = enroll(city, connection, *rows)
    with capsys.disabled():
        print(f"\n551 enrolled in {time.monotonic() - began:.2f} s, {done.keys_s:.2f} s of it for keys and certificates")
    assert len(done.bundles) == len(inventory.known(connection)) == len(list(city.bundles.iterdir())) == 551
