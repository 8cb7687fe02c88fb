"""Ingest turn by turn, with a real store, a line without a broker and clocks that only the test moves."""

from __future__ import annotations

import json
import logging
import os
import random
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.wire import messages
from fleet.ingest import MOST_IN_BATCH
from fleet.rows import Batch, Stored
from tests.fleet.cities import enroll, make_city
from tests.fleet.hearing import NOW, World
from tests.reports import BOOT, event

RAM = "/dev/shm"  # each commit waits for the disk, of which nothing here is about
OTHER_BOOT = "00000000000000ff"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with tempfile.TemporaryDirectory(dir=RAM if os.access(RAM, os.W_OK) else tmp_path) as folder:
        yield from worlds(Path(folder))


def worlds(folder: Path) -> Iterator[World]:
    city = make_city(folder / "malang")
    for number in range(1, 9):
        enroll(city, number, f"rw-050{number}")
    world = World(city)
    yield world
    world.keeper.close()


class Full:
    """A disk that is full, in front of the keeper's commit."""

    def __init__(self, world: World, text: str = "database or disk is full") -> None:
        self._commit, self._world = world.keeper.commit, world
        self.is_full, self.tries = True, 0
        self._text = text
        world.keeper.commit = self.commit  # type: ignore[method-assign]  # the disk's place

    def commit(self, batch: Batch) -> Stored:
        self.tries += 1
        if self.is_full:
            raise sqlite3.OperationalError(self._text)
        return self._commit(batch)


def test_what_is_heard_is_stored_then_acknowledged(world: World) -> None:
    """A report ends in the store, the broker is told, and the access point gets its ack."""
    world.report(1)
    world.report(2)
    world.line.tell(world.mono, "event", event(3, 180))
    world.turns()
    assert world.stored() == [(1, BOOT, 1), (1, BOOT, 2)]
    assert world.rows("SELECT seq, kind FROM events") == [(3, "uplink")]
    assert len(world.line.acknowledged) == 3
    assert world.line.acks()[-1] == {"boot": BOOT, "through": 3, "missing": []}


def test_nothing_is_acknowledged_before_it_is_committed(world: World) -> None:
    """Neither to the broker nor to the access point."""
    disk = Full(world)
    world.report(1)
    world.turns(20)
    assert disk.tries > 1
    assert world.line.acknowledged == [] and world.line.acks() == []


def test_a_full_disk_is_said_once_and_loses_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """While it is full nothing more is taken from the broker; afterwards everything is there once, and that is said."""
    caplog.set_level(logging.INFO)
    disk = Full(world)
    for seq in range(1, 20):
        world.report(seq)
        world.turns(2)
    asked = len(world.line.asked)
    world.turns(30)
    assert len(world.line.asked) == asked, "nothing is taken while it is stuck"
    assert 10 <= disk.tries <= 30, "about once a second"
    disk.is_full = False
    world.turns(20)
    assert world.stored() == [(1, BOOT, seq) for seq in range(1, 20)]
    assert len(world.line.acknowledged) == 19
    said = [record.getMessage() for record in caplog.records if "store" in record.getMessage()]
    assert len(said) == 2 and "cannot be written" in said[0] and "written again" in said[1]


def test_a_locked_store_is_waited_for(world: World) -> None:
    """So is a store that somebody else has locked."""
    disk = Full(world, "database is locked")
    world.report(1)
    world.turns(10)
    disk.is_full = False
    world.turns(10)
    assert world.stored() == [(1, BOOT, 1)]


def test_a_damaged_store_ends_it(world: World) -> None:
    """What trying again cannot mend is not tried again."""

    def damaged(_batch: Batch) -> Stored:
        raise sqlite3.DatabaseError("database disk image is malformed")

    world.keeper.commit = damaged  # type: ignore[method-assign]  # the disk's place
    world.report(1)
    with pytest.raises(sqlite3.DatabaseError):
        world.turns()
    assert world.line.acknowledged == []


def test_reordered_and_repeated_messages_are_stored_once(world: World) -> None:
    """A broker that duplicates and reorders changes nothing: each exactly once."""
    rng = random.Random(7)
    sent = [(ap, boot, seq) for ap in ("rw-0501", "rw-0502") for boot in (BOOT, OTHER_BOOT) for seq in range(1, 60)]
    told = [*sent, *rng.sample(sent, 120)]
    rng.shuffle(told)
    for ap, boot, seq in told:
        world.report(seq, ap, boot)
        if rng.random() < 0.1:
            world.turns(2)
    world.turns(10)
    assert world.stored() == sorted((int(ap[-1]), boot, seq) for ap, boot, seq in sent)
    assert world.ingest.gathering.counts["duplicates"] == 120
    assert world.line.acks()[-1]["missing"] == []


def test_what_is_missing_is_asked_for(world: World) -> None:
    """A hole in what came is named in the ack, until it is filled or gone for good."""
    for seq in (1, 2, 5, 9):
        world.report(seq, agent={"oldest_seq": 1})
    world.turns()
    assert world.line.acks()[-1] == {"boot": BOOT, "through": 9, "missing": [[3, 4], [6, 8]]}
    world.report(10, agent={"oldest_seq": 5})
    world.turns()
    assert world.line.acks()[-1] == {"boot": BOOT, "through": 10, "missing": [[6, 8]]}


def test_a_duplicate_is_acked_again(world: World) -> None:
    """An access point that repeats itself has not heard the ack."""
    world.report(1)
    world.turns()
    world.report(1)
    world.turns()
    assert len(world.line.acks()) == 2


def test_acks_come_once_a_second_for_each_access_point(world: World) -> None:
    """However fast somebody reports."""
    for seq in range(1, 41):
        world.report(seq)
        world.turns(1)
    assert len(world.line.acks()) <= 13
    world.turns(5)
    assert world.line.acks()[-1]["through"] == 40


def test_acks_wait_for_the_connection(world: World) -> None:
    """What was committed while the broker was away is acked when it is back."""
    world.report(1)
    world.ingest.turn()
    world.line.is_connected = False
    world.turns()
    assert world.stored() and world.line.acks() == []
    world.line.is_connected, world.line.connects = True, 2
    world.turns()
    assert world.line.acks()[-1]["through"] == 1


def test_poison_never_stops_the_stream(world: World) -> None:
    """Each is acknowledged and kept with its reason, and what comes behind is stored."""
    for poison in (b"", b"{", b"\xff", b'{"ap":"rw-0502"}', b"[" * 100_000):
        world.line.tell(world.mono, "report", poison)
    world.line.tell(world.mono, "report", messages.encode({"key": "hunter2hunter2"}))
    world.report(1)
    world.turns()
    assert world.stored() == [(1, BOOT, 1)]
    assert len(world.line.acknowledged) == 7
    kept = world.rows("SELECT topic, reason, beginning FROM quarantine")
    assert len(kept) == 6 and all(topic.endswith("rw-0501/report") and reason for topic, reason, _ in kept)
    assert "hunter2" not in str(kept)


def test_a_fault_of_ours_is_poison_too(world: World) -> None:
    """A message that finds a bug in us must not come again for ever."""

    class Clock(type(world.ingest.clock)):  # type: ignore[misc]  # any part of ours, with a bug
        def note(self, ap: int, at: float, mono: float) -> None:
            raise RuntimeError("a bug")

    world.ingest.gathering._clock = Clock()
    world.report(1)
    world.report(2, "rw-0502", clock="none")
    world.turns()
    assert (2, BOOT, 2) in world.stored()
    assert world.rows("SELECT reason FROM quarantine") == [("could not be understood (RuntimeError)",)]
    assert len(world.line.acknowledged) == 2


def test_a_flood_of_poison_is_counted_and_not_kept(world: World) -> None:
    """One bad access point does not push everybody else's out of quarantine."""
    for _ in range(500):
        world.line.tell(world.mono, "report", b"flood")
    world.line.tell(world.mono, "report", b"rare", "rw-0502")
    world.turns()
    assert world.ingest.gathering.counts["poison"] == 501
    assert len(world.rows("SELECT 1 FROM quarantine")) < 30
    assert world.rows("SELECT 1 FROM quarantine WHERE topic LIKE '%rw-0502%'")


def test_a_stranger_is_pending_and_gets_nothing(world: World) -> None:
    """A valid certificate without a row in the inventory: seen, not stored, not acked."""
    for seq in range(1, 4):
        world.report(seq, "rw-0777")
    world.turns()
    assert world.stored() == [] and world.line.published == []
    assert world.rows("SELECT ap, messages FROM pending") == [("rw-0777", 3)]
    assert len(world.line.acknowledged) == 3


def test_who_is_enrolled_while_serving_counts_at_once(world: World) -> None:
    """The next report after the enrolment is stored, and what is retained is asked for again."""
    world.turns(20)
    world.report(1, "rw-0777")
    world.turns()
    before = len(world.line.filters)
    enroll(world.city, 77, "rw-0777")
    world.turns()
    world.report(2, "rw-0777")
    world.turns()
    assert world.stored() == [(77, BOOT, 2)]
    assert len(world.line.filters) == 2 * before


def test_who_is_revoked_while_serving_is_a_stranger(world: World) -> None:
    """From the revocation on nothing more is stored."""
    world.report(1)
    world.turns()
    enroll(world.city, 1, "rw-0501", revoked_at=int(NOW))
    world.turns()
    world.report(2)
    world.turns()
    assert world.stored() == [(1, BOOT, 1)]


def presence(world: World, state: str, session: str, is_retained: bool = False) -> None:
    world.line.tell(world.mono, "presence", {"v": 1, "state": state, "boot": BOOT, "session": session}, is_retained=is_retained)
    world.turns(3)


FIRST, SECOND = "1" * 16, "2" * 16


def test_a_late_will_is_not_believed(world: World) -> None:
    """A `lost` counts only for the session of the last birth."""
    presence(world, "online", FIRST)
    presence(world, "online", SECOND)
    presence(world, "lost", FIRST)
    assert world.rows("SELECT presence, session FROM state") == [("online", SECOND)]
    presence(world, "lost", SECOND)
    assert world.rows("SELECT presence FROM state") == [("lost",)]


def test_a_report_after_a_will_means_online(world: World) -> None:
    """Whoever reports is there; a report that was kept back for long says nothing of now."""
    presence(world, "online", FIRST)
    presence(world, "lost", FIRST)
    world.report(1, late=True)
    world.turns()
    assert world.rows("SELECT presence FROM state") == [("lost",)]
    world.report(2)
    world.turns()
    assert world.rows("SELECT presence FROM state") == [("online",)]


def test_only_a_birth_ends_safe_mode(world: World) -> None:
    """A report that comes after it was made before; a late will of an earlier session is not believed."""
    presence(world, "online", FIRST)
    world.line.tell(world.mono, "presence", {"v": 1, "state": "online", "boot": BOOT, "session": SECOND, "safe_mode": True}, is_retained=False)
    world.report(1)
    world.turns()
    presence(world, "lost", FIRST)
    assert world.rows("SELECT presence, session FROM state") == [("safe-mode", SECOND)]
    presence(world, "online", FIRST)
    assert world.rows("SELECT presence, session FROM state") == [("online", FIRST)]


def test_the_last_birth_is_known_after_a_restart(world: World) -> None:
    """The store remembers the session."""
    presence(world, "online", SECOND)
    world.restart()
    presence(world, "lost", FIRST, is_retained=True)
    assert world.rows("SELECT presence, session FROM state") == [("online", SECOND)]


def test_what_is_retained_and_comes_again_changes_nothing(world: World) -> None:
    """After each reconnect the broker repeats what it retains: the time of a verdict is the time it first came."""
    verdict = {"v": 1, "state": "confirmed", "revision": 7}
    world.line.tell(world.mono, "config/reported", verdict, is_retained=True)
    world.turns()
    first = world.rows("SELECT reported_at FROM state")
    world.restart()
    world.line.tell(world.mono, "config/reported", verdict, is_retained=True)
    world.turns()
    assert world.rows("SELECT reported_at FROM state") == first
    world.line.tell(world.mono, "config/reported", verdict | {"revision": 8}, is_retained=True)
    world.turns()
    assert world.rows("SELECT reported_at FROM state") != first


def test_alerts_come_and_go(world: World) -> None:
    """`alert/<code>` says since when; the list in the next report is the truth."""
    world.line.tell(world.mono, "alert/memory-low", messages.alert("memory-low", 1_789_999_000, {"ratio": 0.02}))
    world.turns()
    assert world.rows("SELECT code, since, data FROM alerts") == [("memory-low", 1_789_999_000, '{"ratio":0.02}')]
    world.report(1, alerts=["flash-full"])
    world.turns()
    assert world.rows("SELECT code FROM alerts") == [("flash-full",)]


def test_endless_alert_codes_are_poison(world: World) -> None:
    """Codes that nobody ever heard of do not fill the store."""
    for number in range(200):
        world.line.tell(world.mono, f"alert/x-{number}", messages.alert(f"x-{number}", 1, {}))
    world.turns()
    assert len(world.rows("SELECT 1 FROM alerts")) == 64


def test_listening_is_known_without_messages(world: World) -> None:
    """Also while nobody says anything this end says that it listens, every few seconds."""
    world.turns(40)
    ((began, ended),) = world.rows("SELECT * FROM listening")
    assert began == int(NOW) and NOW + 40 * 0.3 - ended <= 6


def test_a_reconnect_begins_a_new_time_of_listening(world: World) -> None:
    """What was while the broker was away is not known."""
    world.turns(40)
    world.line.is_connected = False
    world.turns(40)
    world.line.is_connected, world.line.connects = True, 2
    world.turns(40)
    (first, second) = world.rows("SELECT * FROM listening ORDER BY 1")
    assert first[1] < NOW + 13 and second[0] >= NOW + 23


def test_a_reconnect_between_two_looks_begins_a_new_time_of_listening(world: World) -> None:
    """Also one that was too quick to be seen as an end."""
    world.turns(40)
    world.line.connects = 2
    world.turns(40)
    assert len(world.rows("SELECT 1 FROM listening")) == 2


def test_a_restart_begins_a_new_time_of_listening(world: World) -> None:
    """Nor what was between two runs."""
    world.turns(40)
    assert world.ingest.finish()
    world.pass_time(600)
    world.restart()
    world.turns(40)
    assert len(world.rows("SELECT 1 FROM listening")) == 2


def test_a_server_clock_that_jumps_is_said_and_splits_the_listening(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Two rows, and a line in the log."""
    world.turns(40)
    world.pass_time(0, jump_s=3600)
    world.turns(40)
    assert [ended - began < 20 for began, ended in world.rows("SELECT * FROM listening")] == [True, True]
    assert "server clock jumped: seconds=+3600" in caplog.text


def test_with_enough_access_points_a_jump_changes_no_time(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Their clocks are the city's time: said once, rows stay where they belong, listening goes on."""
    at = {"wall": world.wall}
    for turn in range(1, 6):
        if turn == 3:
            world.pass_time(0, jump_s=7 * 86_400)
        for number in range(1, 9):
            world.report(turn, f"rw-050{number}", at=int(at["wall"]))
        world.turns(10, 3.0)
        at["wall"] += 30.0
    assert caplog.text.count("server clock is wrong") == 1
    ((began, ended),) = world.rows("SELECT * FROM listening")
    assert (began, ended) == (pytest.approx(NOW, abs=2), pytest.approx(NOW + 150, abs=10))
    assert max(abs(row[0] - NOW) for row in world.rows("SELECT report_at FROM state")) < 200
    assert len(world.stored()) == 40


@pytest.mark.parametrize("years", [-20, 2])
def test_a_server_clock_that_is_years_wrong_from_the_start_is_found_out(world: World, caplog: pytest.LogCaptureFixture, years: int) -> None:
    """A machine without a battery for its clock begins anywhere: the access points tell the time, and what was stored before that is put right."""
    world.pass_time(0, jump_s=years * 365 * 86_400.0)
    for turn in range(1, 6):
        for number in range(1, 9):
            world.report(turn, f"rw-050{number}", at=int(NOW + 30 * turn), uptime_s=30.0 * turn)
        world.turns(10, 3.0)
    assert caplog.text.count("server clock is wrong") == 1
    assert world.ingest.now == pytest.approx(NOW + 180, abs=40)
    assert len(world.stored()) == 40
    stamps = [ts for path in world.keeper.months.files() for (ts,) in world.keeper.months.at(path).execute("SELECT ts FROM raw")]
    assert sorted(set(stamps)) == [int(NOW + 30 * turn) for turn in range(1, 6)]


def test_a_queue_that_waited_does_not_move_the_time(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """All come back at once with what they could not send for ten minutes."""
    for turn in (1, 2, 3):
        for number in range(1, 9):
            world.report(turn, f"rw-050{number}")
        world.turns(10, 3.0)
    kept = world.wall
    world.pass_time(600)
    for seq in range(4, 24):
        for number in range(1, 9):
            world.report(seq, f"rw-050{number}", at=int(kept + 30 * (seq - 4)), late=seq < 20)
        world.turns(1, 0.01)
        assert world.ingest.now == pytest.approx(world.wall, abs=1)
    assert "clock" not in caplog.text


def test_a_batch_ends_by_calm_by_size_or_by_time(world: World) -> None:
    """Nothing waits any more: at once; a steady stream: after a second; many: at two thousand."""
    world.turns(2)
    world.report(1)
    world.ingest.turn()
    assert world.stored() == []
    world.pass_time(0.06)
    world.ingest.turn()
    assert len(world.stored()) == 1
    world.pass_time(0.05)
    world.report(2)
    for _ in range(3):
        world.ingest.turn()
        world.pass_time(0.06)
    assert len(world.stored()) == 1, "two commits are a quarter of a second apart"
    world.turns(2)
    assert len(world.stored()) == 2


def test_a_batch_has_a_bound(world: World) -> None:
    """However much waits."""
    for number in range(MOST_IN_BATCH + 100):
        world.line.tell(world.mono, "report", b"%d" % number)
    while len(world.line.queue) > 100:
        world.ingest.turn()
    assert world.ingest.gathering.heard == [] and len(world.line.acknowledged) == MOST_IN_BATCH


def test_finish_stores_what_was_heard(world: World) -> None:
    """At the end everything heard is stored, acknowledged and acked."""
    world.report(1)
    world.ingest.turn()
    assert world.stored() == []
    assert world.ingest.finish()
    assert world.stored() == [(1, BOOT, 1)] and len(world.line.acknowledged) == 1 and world.line.acks()


def test_finish_with_a_full_disk_says_so(world: World) -> None:
    """What cannot be stored stays with the broker."""
    Full(world)
    world.report(1)
    world.turns()
    assert not world.ingest.finish()
    assert world.line.acknowledged == []


def test_a_rollup_without_room_waits(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A chore that fails for want of room stops nothing, and is said once a minute."""

    def full(_now: float, _budget_s: float) -> bool:
        raise sqlite3.OperationalError("database or disk is full")

    world.ingest._chores = world.ingest._chores._replace(roll_up=full)
    world.turns(40)
    world.report(1)
    world.turns()
    assert world.stored() == [(1, BOOT, 1)]
    assert caplog.text.count("could not be rolled up") == 1


class Failing:
    """A database that refuses some statements for a while."""

    def __init__(self, real: sqlite3.Connection, word: str) -> None:
        self._real, self.word = real, word

    def execute(self, statement: str, *values: object) -> object:
        if self.word and self.word in statement:
            raise sqlite3.OperationalError("disk I/O error")
        return self._real.execute(statement, *values)


def test_an_inventory_that_cannot_be_read_now_is_the_one_before(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """What is heard meanwhile is stored all the same; then it is read again."""
    world.report(1)
    world.turns()
    failing = Failing(world.keeper.live, "inventory")
    world.ingest.roster._live = failing  # type: ignore[assignment]  # the disk's place
    enroll(world.city, 9, "rw-0509")
    world.report(2)
    world.turns()
    assert world.stored() == [(1, BOOT, 1), (1, BOOT, 2)]
    assert caplog.text.count("the inventory could not be read again, later again: reason=disk I/O error") == 1
    failing.word = ""
    world.report(1, "rw-0509")
    world.turns()
    assert (9, BOOT, 1) in world.stored()


def test_without_any_inventory_nothing_is_taken_for_a_strangers(world: World) -> None:
    """What cannot be read at the start ends it: the broker keeps all."""
    world.ingest.roster._live = Failing(world.keeper.live, "inventory")  # type: ignore[assignment]  # the disk's place
    world.report(1)
    with pytest.raises(sqlite3.OperationalError):
        world.turns()
    assert not world.line.acknowledged


def test_months_that_cannot_be_dropped_stop_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """On a full disk deleting needs room too."""

    def drop_old(_now: float) -> list[str]:
        raise sqlite3.OperationalError("database or disk is full")

    world.keeper.drop_old = drop_old  # type: ignore[method-assign]  # the disk's place
    for seq in range(1, 30):
        world.report(seq)
        world.turns(2, 150)
    assert len(world.stored()) == 29
    assert "old months could not be dropped, later again: reason=database or disk is full" in caplog.text


def test_rollups_go_on_under_load(world: World) -> None:
    """A steady stream does not starve them."""
    for seq in range(1, 60):
        world.report(seq)
        world.report(seq, "rw-0502")
        world.turns(1)
        world.line.tell(world.mono, "event", event(1000 + seq, 60.0))
    assert len(world.rolled) > 5


def test_configs_that_wait_are_sent_after_each_connect(world: World) -> None:
    """What a push that died left behind."""
    world.turns(10)
    assert world.republished == 0
    city = sqlite3.connect(world.city.store / "city.db")
    city.execute(
        "INSERT INTO revisions (ap, revision, change, at, author, hash, document, confirm_within_s, below_contract, jws)"
        " VALUES (1, 1, 1, 1, 'a', 'b', '{}', 180, 0, x'00')"
    )
    city.commit()
    city.close()
    world.line.connects = 2
    world.turns(3)
    assert world.republished == 1


def test_old_months_go_only_by_a_time_that_somebody_vouched_for(world: World) -> None:
    """A server clock that is years ahead drops nothing."""
    world.report(1)
    world.turns()
    world.pass_time(4000, jump_s=5 * 365 * 86_400)
    world.turns(20, 600)
    assert world.stored() == [(1, BOOT, 1)]


def test_old_months_go(world: World) -> None:
    """With a time that access points agree with they do."""
    world.report(1)
    world.turns()
    for month in range(1, 5):
        world.pass_time(31 * 86_400)
        for seq in range(3):
            world.report(10 * month + seq)
            world.turns(4, 2000)
    assert (1, BOOT, 1) not in world.stored()


def test_counts_and_lags_are_told(world: World) -> None:
    """What the status file says."""
    world.report(1)
    world.report(1)
    world.line.tell(world.mono, "report", b"poison")
    world.turns()
    counts = world.ingest.gathering.counts
    assert (counts["messages"], counts["reports"], counts["duplicates"], counts["poison"]) == (3, 1, 1, 1)
    assert 0 < (world.ingest.lags.percentile_ms(0.99, world.mono) or 0) < 1000


def test_an_ack_is_what_the_contract_says(world: World) -> None:
    """The agent's own reader takes it."""
    for seq in (1, 4):
        world.report(seq, agent={"oldest_seq": 1})
    world.turns()
    topic, payload = world.line.published[-1]
    assert topic == "wifi/v1/malang/rw-0501/ack"
    assert messages.parse_ack(payload) == messages.Ack(BOOT, 4, ((2, 3),))
    assert json.loads(payload)["boot"] == BOOT
