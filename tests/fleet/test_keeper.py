"""The store's one writer: each message once, all of a batch or nothing, whatever ends it."""

from __future__ import annotations

import datetime
import os
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.wire import messages
from fleet import store
from fleet.boots import MOST_BOOTS_A_DAY
from fleet.city import City
from fleet.errors import Refused
from fleet.keeper import MOST_QUARANTINED, Keeper
from fleet.rows import AlertChange, Batch, PendingSeen, Quarantined, StateChange
from tests.fleet.keeping import BOOT, NOON, OTHER, batch, city_of, event, received, report, stored, times
from tests.ram import tmpfs

MIDNIGHT = int(datetime.datetime(2026, 10, 1, tzinfo=datetime.timezone.utc).timestamp())  # between two months
HOUR = 3600


@pytest.fixture
def city(tmp_path: Path) -> City:
    return city_of(tmp_path / "malang")


@pytest.fixture
def keeper(city: City) -> Iterator[Keeper]:
    made = Keeper(city)
    yield made
    made.close()


def rows(keeper: Keeper, text: str, *values: object) -> list[tuple[object, ...]]:
    return keeper.live.execute(text, values).fetchall()


def state(ap: int, boot: str, seq: int, text: str = "{}") -> StateChange:
    return StateChange(ap, "report", (boot, seq, NOON, 60.0, text))


# Each message once.


def test_what_came_before_is_left_out(keeper: Keeper) -> None:
    """Repetitions, in one batch, across batches and after a restart, are found by the received sets alone."""
    first = keeper.commit(batch(NOON, report(1, NOON), report(1, NOON + 5), event(2, NOON), event(2, NOON)))
    again = keeper.commit(batch(NOON + 60, report(1, NOON + 60), event(2, NOON), report(3, NOON + 60)))
    assert (first.reports, first.events, first.duplicates) == (1, 1, 2)
    assert (again.reports, again.events, again.duplicates) == (1, 0, 2)
    assert stored(keeper) == {(1, BOOT, 1): 1, (1, BOOT, 2): 1, (1, BOOT, 3): 1}


def test_received_is_read_back_after_a_restart(city: City) -> None:
    """What was committed is known to the next process."""
    first = Keeper(city)
    first.commit(batch(NOON, report(1, NOON), report(3, NOON)))
    first.close()
    second = Keeper(city)
    assert str(second.received(1, BOOT)) == "1,3"
    assert second.has(1, BOOT, 3) and not second.has(1, BOOT, 2)
    assert second.received(2, BOOT) is None
    assert second.repaired == []
    second.close()


def test_a_merged_report_counts_as_all_of_its_seqs(keeper: Keeper) -> None:
    """from_seq..seq are received with the one message."""
    keeper.commit(batch(NOON, report(7, NOON, from_seq=3, span=300.0)))
    assert str(keeper.received(1, BOOT)) == "3-7"
    assert keeper.has(1, BOOT, 7, 3) and not keeper.has(1, BOOT, 7, 2)


def test_a_merged_report_of_which_a_part_came_before_counts_that_part_once(keeper: Keeper) -> None:
    """No honest agent sends it; the set of (ap, boot, seq) stays a set."""
    keeper.commit(batch(NOON, report(7, NOON), report(3, NOON - 240)))
    keeper.commit(batch(NOON, report(7, NOON, from_seq=3, span=300.0)))
    assert stored(keeper) == {(1, BOOT, seq): 1 for seq in range(3, 8)}


def test_two_boots_of_one_access_point_are_apart(keeper: Keeper) -> None:
    """seq begins anew with each boot."""
    keeper.commit(batch(NOON, report(1, NOON), report(1, NOON + 9, boot=OTHER)))
    assert stored(keeper) == {(1, BOOT, 1): 1, (1, OTHER, 1): 1}


def test_the_ack_names_what_is_missing_and_not_gone(keeper: Keeper) -> None:
    """What is below oldest_seq is not asked again; what the access point still holds is."""
    keeper.commit(batch(NOON, report(2, NOON), report(9, NOON), event(5, NOON), oldest={(1, BOOT): 4}))
    assert keeper.ack(1, BOOT) == (9, [(4, 4), (6, 8)])
    assert keeper.ack(1, OTHER) is None


def test_the_ack_is_bounded(keeper: Keeper) -> None:
    """Never more ranges than the agent reads."""
    keeper.commit(batch(NOON, *[report(seq, NOON) for seq in range(2, 2 * messages.MAX_MISSING + 20, 2)]))
    through, missing = keeper.ack(1, BOOT) or (0, [])
    assert len(missing) == messages.MAX_MISSING
    assert through == 2 * messages.MAX_MISSING


def test_oldest_seq_only_rises(keeper: Keeper) -> None:
    """An older report that comes later brings nothing back."""
    keeper.commit(batch(NOON, report(9, NOON), oldest={(1, BOOT): 8}))
    keeper.commit(batch(NOON, report(6, NOON), oldest={(1, BOOT): 2}))
    assert keeper.ack(1, BOOT) == (9, [(8, 8)])


def test_too_many_boots_of_one_access_point_are_refused(keeper: Keeper) -> None:
    """Whoever invents boots fills no table; what is refused is counted, and the other access points go on."""
    names = [f"{number:016x}" for number in range(MOST_BOOTS_A_DAY + 3)]
    assert keeper.commit(batch(NOON, *[report(1, NOON, boot=name) for name in names])).refused == 3
    assert not keeper.has_room(1, "f" * 16, NOON + 60) and keeper.has_room(1, names[0], NOON + 60) and keeper.has_room(2, names[0], NOON + 60)
    assert keeper.commit(batch(NOON + 60, report(1, NOON, boot="f" * 16), event(2, NOON, boot="e" * 16), report(1, NOON, ap=2))).refused == 2
    assert keeper.has_room(1, "f" * 16, NOON + 86_401)


# When it was.


def test_a_report_without_a_clock_is_stamped_by_its_quickest_arrival(keeper: Keeper) -> None:
    """base = min(arrival - uptime_s)."""
    keeper.commit(batch(NOON, report(1), report(2)))
    assert times(keeper) == {(1, 1): NOON - 60, (1, 2): NOON}
    assert rows(keeper, "SELECT base, base_is_sure, from_ts, to_ts FROM boots") == [(NOON - 120.0, 0, NOON - 120, NOON)]


def test_a_good_clock_moves_what_was_stamped_before(keeper: Keeper) -> None:
    """Once a trusted report came, rows and events of that boot move to where they were, and both hours are rolled up again."""
    keeper.commit(batch(NOON, report(1), event(2), report(1, NOON, ap=2)))
    keeper.live.execute("DELETE FROM dirty")
    done = keeper.commit(batch(NOON + 600, report(3, NOON - 7200)))
    assert done.restamped == 1
    assert times(keeper) == {(1, 1): NOON - 7320, (1, 3): NOON - 7200, (2, 1): NOON}
    assert rows(keeper, "SELECT ts FROM events") == [(NOON - 7260,)]
    assert rows(keeper, "SELECT from_ts, to_ts FROM boots WHERE ap = 1") == [(NOON - 7380, NOON - 7200)]
    assert {NOON - HOUR, NOON - 3 * HOUR} <= {hr for (hr,) in rows(keeper, "SELECT hr FROM dirty")}


def test_a_sure_base_stamps_what_has_no_clock(keeper: Keeper) -> None:
    """What comes later without a good clock is stamped by the trusted report, and never moves again."""
    keeper.commit(batch(NOON, report(5, NOON - 600)))
    keeper.commit(batch(NOON + 900, report(4)))
    keeper.commit(batch(NOON + 990, report(6, NOON - 3000)))
    assert times(keeper) == {(1, 5): NOON - 600, (1, 4): NOON - 660, (1, 6): NOON - 3000}


def test_a_quicker_arrival_moves_what_was_stamped_before(keeper: Keeper) -> None:
    """A backlog that waited in the broker's queue is put right by the first report that comes at once."""
    keeper.commit(batch(NOON, report(1)))
    assert keeper.commit(batch(NOON + 1, report(10))).restamped == 1
    assert times(keeper) == {(1, 1): NOON + 1 - 540, (1, 10): NOON + 1}


def test_a_second_is_not_worth_moving(keeper: Keeper) -> None:
    """Rows stay where they are for a base that is better by less."""
    keeper.commit(batch(NOON + 0.9, report(1)))
    assert keeper.commit(batch(NOON + 60, report(2))).restamped == 0


def test_rows_move_between_months(keeper: Keeper, city: City) -> None:
    """A re-stamped row is in exactly one month's file."""
    keeper.commit(batch(MIDNIGHT + 120, report(1), report(2)))
    assert [path.name for path in keeper.months.files()] == ["raw-2026-10.db"]
    keeper.commit(batch(MIDNIGHT + 300, report(3, MIDNIGHT + 30)))
    assert times(keeper) == {(1, 1): MIDNIGHT - 90, (1, 2): MIDNIGHT - 30, (1, 3): MIDNIGHT + 30}
    assert {path.name: len(keeper.months.at(path).execute("SELECT * FROM raw").fetchall()) for path in keeper.months.files()} == {
        "raw-2026-09.db": 2,
        "raw-2026-10.db": 1,
    }


def test_a_clock_that_was_not_believed_is_stored_as_none_of_its_own(keeper: Keeper) -> None:
    """`ntp` in the store means: this time is the report's own."""
    keeper.commit(batch(NOON, report(1, clock="ntp")))
    path = keeper.months.files()[0]
    assert keeper.months.at(path).execute("SELECT ts, clock FROM raw").fetchall() == [(NOON, "floor")]


@pytest.mark.parametrize("uptime", [1e12, 9e15])
def test_invented_times_make_no_files(keeper: Keeper, uptime: float) -> None:
    """What would lie beyond the kept months is stamped by its arrival."""
    keeper.commit(batch(NOON, report(1, uptime=uptime)))
    keeper.commit(batch(NOON, report(2, uptime=5.0)))
    assert [path.name for path in keeper.months.files()] == ["raw-2026-09.db"]
    assert times(keeper)[1, 2] == NOON


# What else a batch brings.


def test_the_newest_report_is_the_state(keeper: Keeper) -> None:
    """An older one that comes later, of the same boot or the one before, changes nothing."""
    keeper.commit(batch(NOON, report(5, NOON), states=[state(1, BOOT, 5, "five")]))
    keeper.commit(batch(NOON, report(1, NOON, boot=OTHER), states=[state(1, OTHER, 1, "one")]))
    keeper.commit(batch(NOON, report(6, NOON), report(4, NOON), states=[state(1, BOOT, 6, "six"), state(1, BOOT, 4, "four")]))
    assert rows(keeper, "SELECT boot, seq, report FROM state") == [(OTHER, 1, "one")]


def test_the_parts_of_a_state_are_apart(keeper: Keeper) -> None:
    """A presence does not take the report away, nor the other way round."""
    keeper.commit(batch(NOON, report(5, NOON), states=[state(1, BOOT, 5, "five"), StateChange(1, "info", ("{}",))]))
    keeper.commit(
        batch(NOON, states=[StateChange(1, "presence", ("online", "aa", NOON)), StateChange(1, "reported", ("{}", NOON)), StateChange(1, "plan", ("p", 7))])
    )
    assert rows(keeper, "SELECT presence, session, seq, report, info, reported, plan, plan_at FROM state") == [("online", "aa", 5, "five", "{}", "{}", "p", 7)]


def test_a_presence_said_again_keeps_its_first_time(city: City) -> None:
    """A retained message that is heard again after a reconnect or a restart is no news."""
    first = Keeper(city)
    first.commit(batch(NOON, states=[StateChange(1, "presence", ("offline", "aa", NOON))]))
    first.close()
    second = Keeper(city)
    second.commit(batch(NOON, states=[StateChange(1, "presence", ("offline", "aa", NOON + 900))]))
    assert rows(second, "SELECT presence_at FROM state") == [(NOON,)]
    assert rows(second, "SELECT ap, at FROM stops") == [(1, NOON)]
    second.close()


def test_time_in_safe_mode_is_unknown_and_not_down(keeper: Keeper) -> None:
    """Nothing is sensed there, as where the agent was stopped."""
    keeper.commit(batch(NOON, states=[StateChange(1, "presence", ("safe-mode", "aa", NOON))]))
    assert rows(keeper, "SELECT ap, at FROM stops") == [(1, NOON)]


def test_the_list_of_alerts_in_the_newest_report_is_the_truth(keeper: Keeper) -> None:
    """What it lacks is cleared, what it has besides is added, and what an alert said of itself is kept."""
    keeper.commit(batch(NOON, alerts=[AlertChange(1, "flash-full", 5, '{"a":1}'), AlertChange(1, "radio-down", 6, "{}")]))
    keeper.commit(batch(NOON, report(1, NOON, alerts="flash-full memory-low"), states=[state(1, BOOT, 1)]))
    assert rows(keeper, "SELECT code, since, data FROM alerts ORDER BY code") == [("flash-full", 5, '{"a":1}'), ("memory-low", None, "{}")]
    keeper.commit(batch(NOON, alerts=[AlertChange(1, "flash-full", None, None)]))
    assert rows(keeper, "SELECT code FROM alerts") == [("memory-low",)]


def test_an_older_report_changes_no_alert(keeper: Keeper) -> None:
    """A backlog clears nothing that is open now."""
    keeper.commit(batch(NOON, report(5, NOON, alerts="flash-full"), states=[state(1, BOOT, 5)]))
    keeper.commit(batch(NOON, report(4, NOON), states=[state(1, BOOT, 4)]))
    assert rows(keeper, "SELECT code FROM alerts") == [("flash-full",)]


def test_pending_is_counted(keeper: Keeper) -> None:
    """One row for each unknown certificate."""
    keeper.commit(batch(NOON, pending=[PendingSeen("rw-9", NOON, 3)]))
    keeper.commit(batch(NOON, pending=[PendingSeen("rw-9", NOON + 9, 2)]))
    assert rows(keeper, "SELECT * FROM pending") == [("rw-9", NOON, NOON + 9, 5)]


def test_quarantine_is_bounded(keeper: Keeper) -> None:
    """The oldest go."""
    poison = [Quarantined(NOON, f"t{number}", "not JSON", 1, "00", "x") for number in range(MOST_QUARANTINED + 5)]
    keeper.commit(batch(NOON, quarantined=poison))
    assert rows(keeper, "SELECT count(*), min(topic) FROM quarantine WHERE topic IN ('t4', 't5')") == [(1, "t5")]


def test_listening_is_extended_and_begun_anew(keeper: Keeper) -> None:
    """One row for each stretch without a break, to the last commit."""
    for now, since in ((NOON, NOON - 5), (NOON + 5, NOON - 5), (NOON + 90, NOON + 80)):
        keeper.commit(Batch.empty(now, since))
    assert rows(keeper, "SELECT * FROM listening") == [(NOON - 5, NOON + 5), (NOON + 80, NOON + 90)]


def test_every_hour_is_to_be_rolled_up(keeper: Keeper) -> None:
    """Also those in which nobody reported, and those in which nobody listened."""
    keeper.commit(Batch.empty(NOON + 60, NOON))
    keeper.live.execute("DELETE FROM dirty")
    keeper.commit(Batch.empty(NOON + 120, NOON))
    assert rows(keeper, "SELECT hr FROM dirty") == []
    keeper.commit(Batch.empty(NOON + 3 * HOUR, NOON + 3 * HOUR - 5))
    assert rows(keeper, "SELECT hr FROM dirty ORDER BY hr") == [(NOON + hours * HOUR,) for hours in range(4)]


def test_a_clock_that_was_years_ahead_hides_no_hour(keeper: Keeper) -> None:
    """What was listened to in the year 2030 says nothing of the hours in which nobody listened now."""
    keeper.commit(Batch.empty(NOON + 60, NOON))
    keeper.commit(Batch.empty(NOON + 1461 * 86_400, NOON + 1461 * 86_400 - 5.0))
    keeper.live.execute("DELETE FROM dirty")
    keeper.commit(Batch.empty(NOON + 3 * HOUR, NOON + 3 * HOUR - 5))
    assert rows(keeper, "SELECT hr FROM dirty ORDER BY hr") == [(NOON + hours * HOUR,) for hours in range(4)]


def test_the_hours_between_two_reports_of_a_boot_are_dirty(keeper: Keeper) -> None:
    """Whether such a time was an outage is known only now."""
    keeper.commit(batch(NOON, report(1, NOON)))
    keeper.live.execute("DELETE FROM dirty")
    keeper.commit(batch(NOON + 4 * HOUR, report(2, NOON + 4 * HOUR)))
    assert {hr for (hr,) in rows(keeper, "SELECT hr FROM dirty")} == {NOON + hours * HOUR for hours in range(5)}


# What is old goes.


def test_old_months_go_whole(keeper: Keeper, city: City) -> None:
    """A file with all that belongs to it is deleted; the others and their rows stay."""
    keeper.commit(batch(NOON, report(1, NOON)))
    later = NOON + 68 * 86_400
    keeper.commit(batch(later, report(1, later, boot=OTHER)))
    assert keeper.drop_old(later) == []
    much_later = NOON + 100 * 86_400
    assert keeper.drop_old(much_later) == ["raw-2026-09.db"]
    assert sorted(path.name for path in city.store.glob("raw-*")) == ["raw-2026-11.db", "raw-2026-11.db-shm", "raw-2026-11.db-wal"]
    assert rows(keeper, "SELECT name FROM meta WHERE name LIKE 'raw-%'") == [("raw-2026-11.db",)]


def test_the_last_boot_of_before_is_kept(keeper: Keeper) -> None:
    """An access point that has been silent for months was heard of all the same; those before its last boot go."""
    keeper.commit(batch(NOON, report(1, NOON)))
    keeper.commit(batch(NOON + 60, report(1, NOON, boot=OTHER)))
    keeper.drop_old(NOON + 200 * 86_400)
    assert rows(keeper, "SELECT boot FROM boots") == [(OTHER,)]
    assert not keeper.has(1, BOOT, 1)


def test_a_clock_that_goes_back_brings_no_dropped_hour_back(city: City) -> None:
    """An hour whose raw rows are gone stays as it was rolled up, whatever a report says that came while the clock was a hundred days behind."""
    keeper = Keeper(city)
    later = NOON + 100 * 86_400
    keeper.commit(batch(later, report(1, later)))
    keeper.drop_old(later)
    keeper.close()
    keeper = Keeper(city)
    keeper.live.execute("DELETE FROM dirty")
    keeper.commit(batch(NOON, report(2), listening_since=NOON - 5.0))
    assert all(hr >= keeper.oldest_ts(later) for (hr,) in rows(keeper, "SELECT hr FROM dirty"))
    assert keeper.oldest_ts(NOON) == keeper.oldest_ts(later)
    keeper.close()


def test_files_are_dropped_when_their_hours_are_no_longer_marked(keeper: Keeper) -> None:
    """Whatever ends it between the two: no hour is left to be rolled up without its rows."""
    keeper.commit(batch(NOON, report(1, NOON)))
    seen: list[bool] = []
    keeper.live.set_trace_callback(lambda _: seen.append(bool(keeper.months.files())))
    assert keeper.drop_old(NOON + 100 * 86_400) == ["raw-2026-09.db"]
    assert seen and all(seen)


def test_old_hours_go(keeper: Keeper) -> None:
    """Beyond hours_months nothing of hours, events and listening is kept, and what has no raw rows any more is not rolled up again."""
    keeper.commit(batch(NOON, event(1, NOON), listening_since=NOON - 5))
    keeper.live.execute("INSERT INTO hours VALUES (?, 1, 3600, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)", (NOON,))
    keeper.live.execute("INSERT INTO clients VALUES (?, 'Jatimulyo', 5, 60, 60, 60)", (NOON,))
    keeper.drop_old(NOON + 100 * 86_400)
    assert rows(keeper, "SELECT count(*) FROM hours") == [(1,)] and rows(keeper, "SELECT * FROM dirty") == []
    keeper.drop_old(NOON + 500 * 86_400)
    for table in ("hours", "clients", "events", "listening"):
        assert rows(keeper, f"SELECT * FROM {table}") == [], table


# One writer.


def test_a_second_keeper_is_refused_with_the_pid_of_the_first(keeper: Keeper, city: City) -> None:
    """Two `serve` on one store."""
    with pytest.raises(Refused, match=rf"serve.lock: another `rwctl serve` keeps this store, process {os.getpid()};"):
        Keeper(city)


def test_the_store_of_a_dead_process_is_free(city: City) -> None:
    """The lock goes with the process."""
    imports = "import os, sys; from pathlib import Path; from fleet.city import City; from fleet.keeper import Keeper; "
    code = imports + "Keeper(City(Path(sys.argv[1]), 'malang')); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code, str(city.folder)], check=False, timeout=60).returncode == 9
    Keeper(city).close()


def test_readers_need_no_writer_and_never_wait(keeper: Keeper, city: City) -> None:
    """A second process sees the last whole batch while one is written."""
    keeper.commit(batch(NOON, report(1, NOON)))
    keeper.live.execute("BEGIN IMMEDIATE")
    reader = store.open_live(city)
    assert reader.execute("SELECT count(*) FROM boots").fetchone() == (1,)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM boots")
    reader.close()
    keeper.live.execute("ROLLBACK")


# All or nothing.


def story(keeper: Keeper) -> Iterator[Batch]:
    """Batches with everything in them: two months, boots that get their time, events, states, alerts."""
    yield batch(MIDNIGHT - 30, report(1), event(2), report(1, MIDNIGHT - 40, ap=2), listening_since=MIDNIGHT - 60.0)
    yield batch(
        MIDNIGHT + 60,
        *(report(3), report(2, MIDNIGHT + 50, ap=2, alerts="flash-full"), event(3, MIDNIGHT + 51, ap=2), report(9, MIDNIGHT - 20, ap=2, boot=OTHER)),
        states=[StateChange(2, "presence", ("online", "aa", MIDNIGHT)), state(2, BOOT, 2)],
        alerts=[AlertChange(2, "flash-full", 5, "{}")],
        listening_since=MIDNIGHT - 60.0,
    )
    yield batch(
        MIDNIGHT + 120, report(4, MIDNIGHT + 7), report(8, MIDNIGHT + 110, ap=2, from_seq=4, span=300.0, alerts="flash-full"), listening_since=MIDNIGHT - 60.0
    )


def back_over_midnight(keeper: Keeper) -> Iterator[Batch]:
    """All that a boot had in one month moves into the month before, where the report lies that says so."""
    yield batch(MIDNIGHT + 120, report(1), report(2), listening_since=MIDNIGHT - 60.0)
    yield batch(MIDNIGHT + 300, report(3, MIDNIGHT - 30), listening_since=MIDNIGHT - 60.0)


ALL = {*((1, BOOT, seq) for seq in range(1, 5)), *((2, BOOT, seq) for seq in range(1, 9)), (2, OTHER, 9)}


Story = Callable[[Keeper], Iterator[Batch]]


def played(city: City, until: Callable[[Keeper], None] | None = None, told: Story = story) -> None:
    """Play the story to its end; `until` may end it on the way."""
    keeper = Keeper(city)
    keeper.months.at(keeper.months.path(MIDNIGHT - 1)), keeper.months.at(keeper.months.path(MIDNIGHT))
    if until is not None:
        until(keeper)
    for each in told(keeper):
        keeper.commit(each)
    keeper.close()


def killed_at(number: int) -> Callable[[Keeper], None]:
    """Have the process die at its so many-th statement, as from SIGKILL."""
    left = [number]

    def count(_: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            os._exit(9)

    def watch(keeper: Keeper) -> None:
        for db in (keeper.live, *(keeper.months.at(path) for path in keeper.months.files())):
            db.set_trace_callback(count)

    return watch


def died(city: City, number: int, told: Story = story) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the runner's threads (Python 3.12): the child runs none of them
        pid = os.fork()
    if pid == 0:
        try:
            played(city, killed_at(number), told)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9


@pytest.fixture
def ram(tmp_path: Path) -> Iterator[Path]:
    """A directory in RAM where there is one: a kill ends a process, not a machine, and a hundred stores have many an fsync."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path) as made:
        yield Path(made)


def test_killed_at_any_statement_it_finds_each_message_once(ram: Path) -> None:
    """SIGKILL before the n-th statement, for every n: what is there is in the received sets and the other way round; all sent again, each is there once."""
    played(city_of(ram / "whole"))
    whole = Keeper(City(ram / "whole", "malang"))
    wanted, hours = times(whole), {hr for (hr,) in rows(whole, "SELECT hr FROM dirty")}
    whole.close()
    number, said = 1, set()
    while True:
        city = city_of(ram / f"{number}")
        if not died(city, number):
            break
        keeper = Keeper(city)
        said.update(re.sub("[0-9]+", "N", line) for line in keeper.repaired)
        assert set(stored(keeper)) == received(keeper), number
        assert set(stored(keeper).values()) <= {1}, number
        for each in story(keeper):  # the broker sends again what it was not told of; more than that is the same
            keeper.commit(each)
        assert stored(keeper) == dict.fromkeys(ALL, 1), number
        assert received(keeper) == ALL, number
        assert times(keeper) == wanted, number
        assert {hr for (hr,) in rows(keeper, "SELECT hr FROM dirty")} >= hours, number
        assert rows(keeper, "SELECT seq FROM state WHERE ap = 2") == [(2,)] and rows(keeper, "SELECT code FROM alerts") == [("flash-full",)]
        keeper.close()
        number += 1
    assert number > 60
    assert {line.split(";")[1] for line in said} == {
        " its N reports are there and taken over, the broker sends the rest again",
        " its N rows are undone, the broker sends them again",
    }


def test_killed_while_rows_move_into_another_month_it_finds_each_once(ram: Path) -> None:
    """Never in both months, also where the report that moves them is taken over."""
    number = 1
    while died(city := city_of(ram / f"{number}"), number, back_over_midnight):
        keeper = Keeper(city)
        assert set(stored(keeper)) == received(keeper) and set(stored(keeper).values()) <= {1}, number
        for each in back_over_midnight(keeper):
            keeper.commit(each)
        assert stored(keeper) == {(1, BOOT, seq): 1 for seq in (1, 2, 3)}, number
        assert times(keeper) == {(1, seq): MIDNIGHT - 210 + 60 * seq for seq in (1, 2, 3)}, number
        keeper.close()
        number += 1
    assert number > 30


@pytest.mark.needs("root")
def test_a_full_disk_leaves_it_whole_and_room_lets_it_go_on(tmp_path: Path) -> None:
    """Whatever statement meets the full disk: nothing of the batch is there, and the same batch goes in once there is room."""
    folder = tmp_path / "malang"
    with tmpfs(folder, 4096) as path:
        city = city_of(Path(path) / "city")
        keeper = Keeper(city)
        fillers = iter(range(100_000))
        seq, met = 1, 0
        chance = random.Random(5)
        while met < 12:
            free = os.statvfs(path).f_bavail * 4096
            filler = Path(path) / f"fill-{next(fillers)}"
            filler.write_bytes(bytes(max(0, free - chance.choice((0, 4096, 8192, 16_384, 40_960)))))
            wanted = batch(
                MIDNIGHT + 60, *[report(seq + n, MIDNIGHT - 30 + n) for n in range(60)], event(seq + 60, MIDNIGHT), states=[state(1, BOOT, seq, "x" * 5000)]
            )
            before = stored(keeper)
            try:
                keeper.commit(wanted)
            except sqlite3.OperationalError as error:
                assert "full" in str(error)
                met += 1
                assert received(keeper) == set(before)
                filler.unlink()
                keeper.commit(wanted)
            else:
                filler.unlink()
            seq += 61
            assert stored(keeper) == {(1, BOOT, number): 1 for number in range(1, seq)}
            assert received(keeper) == set(stored(keeper))
            assert rows(keeper, "SELECT seq FROM state") == [(seq - 61,)]
        keeper.close()
        again = Keeper(city)
        assert again.repaired == []
        assert stored(again) == {(1, BOOT, number): 1 for number in range(1, seq)}
        again.close()


def test_what_cannot_be_stored_leaves_the_store_whole(keeper: Keeper) -> None:
    """A value of the wrong type is our own fault; it costs its batch and nothing else."""
    keeper.commit(batch(NOON, report(1, NOON)))
    with pytest.raises(sqlite3.Error):
        keeper.commit(batch(NOON, report(2, NOON), pending=[PendingSeen("rw-9", "soon", 3)]))  # type: ignore[arg-type]
    keeper.commit(batch(NOON, report(3, NOON)))
    assert stored(keeper) == {(1, BOOT, 1): 1, (1, BOOT, 3): 1}


def test_a_number_that_was_given_to_a_boot_in_vain_is_given_again(keeper: Keeper) -> None:
    """After a batch that failed, the month's file names the boots by the numbers that live.db has."""
    with pytest.raises(sqlite3.Error):
        keeper.commit(batch(NOON, report(1, NOON), pending=[PendingSeen("rw-9", "soon", 3)]))  # type: ignore[arg-type]
    keeper.commit(batch(NOON, report(1, NOON, ap=2, boot=OTHER), report(1, NOON)))
    file = keeper.months.at(keeper.months.files()[0])
    assert file.execute("SELECT * FROM boots ORDER BY number").fetchall() == rows(keeper, "SELECT number, ap, boot FROM boots ORDER BY number")
