"""What the store knows of config."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet import changes, store
from fleet.changes import Change, Revision
from fleet.selector import Node
from tests.fleet import cities

CITY, AP = Node("city", ""), Node("ap", "rw-0001")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    city = cities.make_city(tmp_path)
    cities.enroll(city, 1)
    cities.enroll(city, 2, revoked_at=1)
    connection = store.open_city(city)
    for number, node in ((1, CITY), (2, AP), (3, CITY)):
        changes.add_change(connection, Change(number, 100 + number, "siti", "push", node, {"agent": {"report_interval_s": number}}, "why"))
    yield connection
    connection.close()


def revision(number: int, ap: int = 1) -> Revision:
    return Revision(ap, number, 1, 100, "siti", "sha256:", {"b": 1, "a": 2}, 180, True)


def test_the_layer_in_force_is_the_last_of_its_node(connection: sqlite3.Connection) -> None:
    found = changes.in_force(connection)
    assert {node: layer.change for node, layer in found.items()} == {CITY: 3, AP: 2}
    assert changes.next_number(connection) == 4
    assert [change.number for change in changes.changes(connection, CITY)] == [1, 3]


def test_a_revision_comes_back_as_it_was_written(connection: sqlite3.Connection) -> None:
    changes.add_revision(connection, revision(7))
    assert changes.of(connection, 1) == [revision(7)]


def test_only_the_last_revision_of_who_is_not_revoked_waits(connection: sqlite3.Connection) -> None:
    for one in (revision(7), revision(8), revision(7, 2)):
        changes.add_revision(connection, one)
    assert changes.waiting(connection) == {"rw-0001": revision(8)}
    changes.put_published(connection, revision(8), 200)
    assert changes.waiting(connection) == {}
    assert changes.newest(connection)[1].published_at == 200


def test_publishing_forgets_the_signatures_before_it(connection: sqlite3.Connection) -> None:
    for one in (revision(7), revision(8)):
        changes.add_revision(connection, one)
        changes.put_jws(connection, one, b"x")
    changes.put_published(connection, revision(8), 200)
    assert [one.jws for one in changes.of(connection, 1)] == [None, b"x"]


def test_a_transaction_is_all_or_nothing(connection: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError), store.transaction(connection):
        changes.add_revision(connection, revision(7))
        changes.add_revision(connection, revision(7))
    assert changes.of(connection, 1) == []


def test_the_same_content_is_written_the_same() -> None:
    assert changes.encoded({"b": {"d": 1, "c": 2}, "a": 1}) == changes.encoded({"a": 1, "b": {"c": 2, "d": 1}}) == '{"a":1,"b":{"c":2,"d":1}}'
