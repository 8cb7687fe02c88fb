"""Messages become one batch: each access point's newest, each message's rows, nobody's flood."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.wire import messages
from fleet import guests, store
from fleet.gathering import MOST_STRANGERS, Gathering, ack_topic
from fleet.mqtt import Heard
from fleet.roster import Roster
from fleet.server_clock import ServerClock
from tests.fleet.cities import enroll, make_city
from tests.reports import BOOT, report

NOW = 1_790_000_060.0


@pytest.fixture
def gathering(tmp_path: Path) -> Iterator[Gathering]:
    city = make_city(tmp_path / "malang")
    enroll(city, 1, "rw-0501")
    with contextlib.closing(store.open_live(city)) as live:
        roster = Roster(live, "malang")
        roster.refresh(0.0)
        yield Gathering(roster, ServerClock(), [(1, "lost", "1" * 16, None, None)])


def tell(gathering: Gathering, below: str, message: object, ap: str = "rw-0501") -> None:
    payload = message if isinstance(message, bytes) else messages.encode(message)  # type: ignore[arg-type]
    gathering.take(Heard(5.0, f"wifi/v1/malang/{ap}/{below}", payload, False, 1, 1), NOW)


def test_of_many_reports_the_newest_is_the_state(gathering: Gathering) -> None:
    """Each is a row; one for each boot is the state, whatever the order they came in."""
    for seq, boot in ((2, BOOT), (3, BOOT), (1, BOOT), (1, "f" * 16)):
        tell(gathering, "report", report(seq, 60.0, boot=boot))
    batch = gathering.batch(NOW, None)
    assert [row.seq for row in batch.raw] == [2, 3, 1, 1]
    assert [(change.values[0], change.values[1]) for change in batch.states if change.part == "report"] == [(BOOT, 3), ("f" * 16, 1)]
    assert list(gathering.owed) == [("rw-0501", 1, BOOT), ("rw-0501", 1, "f" * 16)]


def test_the_highest_oldest_seq_counts(gathering: Gathering) -> None:
    """What is gone stays gone, in whatever order reports come."""
    for seq, oldest in ((8, 7), (9, 5)):
        tell(gathering, "report", report(seq, 60.0) | {"agent": {"oldest_seq": oldest}})
    assert gathering.batch(NOW, None).oldest == {(1, BOOT): 7}


def test_the_same_batch_can_be_asked_for_again(gathering: Gathering) -> None:
    """Until the next one begins."""
    tell(gathering, "report", report(1, 60.0))
    assert gathering.batch(NOW, 1.0) == gathering.batch(NOW, 1.0)
    gathering.begin()
    assert gathering.heard == [] and gathering.bytes == 0 and not gathering.owed
    assert not any(gathering.batch(NOW, None)[1:])


def test_a_flood_of_strangers_is_bounded(gathering: Gathering) -> None:
    """Names that somebody makes up do not fill the store."""
    for number in range(MOST_STRANGERS + 500):
        tell(gathering, "report", b"{}", f"x-{number}")
    tell(gathering, "report", b"{}", "x-1")
    pending = gathering.batch(NOW, None).pending
    assert len(pending) == MOST_STRANGERS and pending[1] == ("x-1", int(NOW), 2)


def test_a_topic_that_is_nobodys_is_poison(gathering: Gathering) -> None:
    """Whatever a broker sends."""
    gathering.take(Heard(5.0, "", b"x", False, 1, 1), NOW)
    gathering.take(Heard(5.0, "wifi/v1/batu/rw-0501/report", b"x", False, 1, 1), NOW)
    assert gathering.counts["poison"] == 2 and len(gathering.batch(NOW, None).quarantined) == 2


def test_only_the_last_of_a_kind_changes_the_state(gathering: Gathering) -> None:
    """Of two verdicts in one batch the later one counts."""
    for revision in (7, 8):
        tell(gathering, "config/reported", {"v": 1, "state": "confirmed", "revision": revision})
    (change,) = gathering.batch(NOW, None).states
    assert json.loads(str(change.values[0]))["revision"] == 8


def test_the_ack_goes_to_its_access_point() -> None:
    """And to nobody else."""
    assert ack_topic("malang", "rw-0501") == "wifi/v1/malang/rw-0501/ack"


def test_the_citys_own_guests_are_not_pending(gathering: Gathering) -> None:
    """`rwctl broker check` and a revocation come to the broker under names of their own, which nobody is to enrol."""
    for ap in (guests.name("check"), guests.name("revoked"), "rw-0999"):
        tell(gathering, "report", report(1, 60.0), ap)
    assert [seen.ap for seen in gathering.batch(NOW, None).pending] == ["rw-0999"]
    assert gathering.counts["pending"] == 1 and len(gathering.heard) == 3
