"""Hours are made whole from what is there: each second once, each report in the hours it covers, again whenever something changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fleet import store
from fleet.city import City
from fleet.keeper import Keeper
from fleet.rollup import HOUR_S, LONGEST_SPAN_S, Rollup
from fleet.rows import Batch, RawRow, StateChange
from tests.fleet.keeping import BOOT, NOON, OTHER, batch, city_of, enrol, event, report

LATER = NOON + 2 * HOUR_S


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


@pytest.fixture
def city(tmp_path: Path) -> City:
    made = city_of(tmp_path / "malang")
    enrol(made, 1)
    enrol(made, 2)
    enrol(made, 3, "Tulusrejo")
    return made


@pytest.fixture
def keeper(city: City) -> Iterator[Keeper]:
    made = Keeper(city)
    made.commit(Batch.empty(NOON - HOUR_S, NOON - HOUR_S))
    yield made
    made.close()


def reports(first: int, last: int, begin: int = NOON, **more: object) -> list[RawRow]:
    """Make the reports of the minutes first..last behind a moment, each with the number of its minute."""
    return [report(seq, begin + 60 * seq, **more) for seq in range(first, last + 1)]


def heard(keeper: Keeper, *rows: RawRow, now: float = LATER) -> None:
    keeper.commit(batch(now, *rows, listening_since=NOON - HOUR_S))


def hour(keeper: Keeper, hr: int, ap: int, columns: str = "up_s, down_s, unknown_s") -> tuple[object, ...] | None:
    return keeper.live.execute(f"SELECT {columns} FROM hours WHERE hr = ? AND ap = ?", (hr, ap)).fetchone()


def test_an_hour_has_every_second(keeper: Keeper) -> None:
    """Up, then silent until another boot; the others were never heard."""
    heard(keeper, *reports(1, 30), *reports(1, 20, NOON + 40 * 60, boot=OTHER))
    Rollup(keeper).finish(LATER)
    assert hour(keeper, NOON, 1) == (3000, 600, 0)
    assert hour(keeper, NOON, 2) == (0, 0, 3600)
    assert hour(keeper, NOON - HOUR_S, 1) == (0, 0, 3600)


def test_what_the_reports_measured(keeper: Keeper) -> None:
    """Means by seconds, maxima, bytes from rates, reports counted with all that a merged one stands for."""
    heard(
        keeper,
        report(1, NOON + 60, stations=4, stations_max=9, rx_bps=8e6, tx_bps=8e3, loss_ratio=0.5, latency_ms=10.0),
        report(6, NOON + 360, from_seq=2, span=300.0, stations=2, rx_bps=8e3, rx_peak_bps=9e7, loss_ratio=1.0),
        report(7, NOON + 420),
    )
    Rollup(keeper).finish(LATER)
    assert hour(keeper, NOON, 1, "reports, stations_s, covered_s, stations_max") == (7, 4 * 60 + 2 * 300, 360, 9)
    assert hour(keeper, NOON, 1, "rx_bytes, tx_bytes, rx_peak_bps, tx_peak_bps") == (60e6 + 3e5, 6e4, 9e7, 8e3)
    assert hour(keeper, NOON, 1, "loss_s, probed_s, latency_s, answered_s") == (330, 360, 600, 60)


def test_a_span_across_two_hours_is_split(keeper: Keeper) -> None:
    """Each hour has its part of the seconds; the report is counted where it ends."""
    heard(keeper, report(1, NOON + 100, span=300.0, stations=3, rx_bps=8.0))
    Rollup(keeper).finish(LATER)
    assert hour(keeper, NOON - HOUR_S, 1, "up_s, stations_s, rx_bytes, reports") == (200, 600, 200, 0)
    assert hour(keeper, NOON, 1, "up_s, stations_s, rx_bytes, reports") == (100, 300, 100, 1)


def test_a_report_that_ends_at_the_full_hour_is_of_the_hour_before(keeper: Keeper) -> None:
    """Where all its seconds are."""
    heard(keeper, report(1, NOON, stations=3))
    Rollup(keeper).finish(LATER)
    assert hour(keeper, NOON - HOUR_S, 1, "up_s, reports, stations_max") == (60, 1, 3)
    assert hour(keeper, NOON, 1, "up_s, reports, stations_max") == (0, 0, None)
    assert keeper.live.execute("SELECT hr FROM clients").fetchall() == [(NOON - HOUR_S,)]


def test_spans_that_touch_keep_what_each_says(keeper: Keeper) -> None:
    """Up, then down, then up again without a second between."""
    heard(keeper, report(1, NOON + 60), report(2, NOON + 120, up=0), report(3, NOON + 180))
    Rollup(keeper).finish(NOON + 180)
    assert hour(keeper, NOON, 1) == (120, 60, 0)


def test_a_span_across_two_months_is_split(city: City) -> None:
    """The hour's end may lie in another file."""
    midnight = store.month_begin(NOON + 20 * 86_400)
    keeper = Keeper(city)
    heard(keeper, report(1, midnight + 100, span=300.0), now=midnight + 200)
    Rollup(keeper).finish(midnight + HOUR_S)
    assert hour(keeper, midnight - HOUR_S, 1, "up_s") == (200,)
    keeper.close()


def test_the_longest_span_is_read(keeper: Keeper) -> None:
    """However long after the hour it ends."""
    now = NOON + 2 * HOUR_S + 60
    heard(keeper, report(1, NOON + 2 * HOUR_S, span=LONGEST_SPAN_S), report(1, NOON + 2 * HOUR_S, ap=2, span=9 * LONGEST_SPAN_S), now=now)
    Rollup(keeper).finish(now)
    for ap in (1, 2):
        assert [hour(keeper, NOON + HOUR_S * n, ap, "up_s") for n in range(-1, 2)] == [(0,), (3600,), (3600,)]


def test_clients_are_counted_by_kelurahan(keeper: Keeper) -> None:
    """How often each number was seen; a merged report as often as it stands for."""
    heard(
        keeper,
        *(report(1, NOON + 60, stations=4), report(2, NOON + 120, stations=5), report(1, NOON + 60, ap=2, stations=4)),
        *(report(5, NOON + 300, ap=3, from_seq=1, span=300.0, stations=4), report(3, NOON + 180)),
    )
    Rollup(keeper).finish(LATER)
    found = keeper.live.execute("SELECT kelurahan, stations, n, so_far, total FROM clients WHERE hr = ? ORDER BY 1, 2", (NOON,)).fetchall()
    assert found == [("Jatimulyo", 4, 2, 2, 3), ("Jatimulyo", 5, 1, 3, 3), ("Tulusrejo", 4, 5, 5, 5)]


def test_late_rows_make_their_hour_new(keeper: Keeper) -> None:
    """What came after the hour was rolled up counts in it."""
    heard(keeper, *reports(1, 20), *reports(41, 60))
    rollup = Rollup(keeper)
    rollup.finish(LATER)
    assert hour(keeper, NOON, 1) == (2400, 0, 1200)
    heard(keeper, *reports(21, 40, late=1))
    rollup.finish(LATER)
    assert hour(keeper, NOON, 1) == (3600, 0, 0)


def test_rows_stamped_anew_make_both_hours_new(keeper: Keeper) -> None:
    """Where they were and where they are."""
    heard(keeper, report(1), now=NOON + 60)
    rollup = Rollup(keeper)
    rollup.finish(NOON + HOUR_S)
    assert hour(keeper, NOON, 1, "up_s, reports") == (60, 1)
    heard(keeper, report(2, NOON - 600), now=NOON + 120)
    rollup.finish(NOON + HOUR_S)
    assert hour(keeper, NOON, 1, "up_s, reports") == (0, 0)
    assert hour(keeper, NOON - HOUR_S, 1, "up_s, reports") == (120, 2)


def test_an_outage_of_ours_is_unknown(keeper: Keeper) -> None:
    """Nobody was down because nobody listened."""
    heard(keeper, *reports(1, 30), now=NOON + 1800)
    keeper.commit(batch(NOON + 2700, *reports(1, 15, NOON + 2700, boot=OTHER), listening_since=NOON + 2700))
    keeper.commit(batch(LATER, listening_since=NOON + 2700))
    Rollup(keeper).finish(LATER)
    assert hour(keeper, NOON, 1) == (1800 + 900, 0, 900)


def test_an_agent_that_stopped_in_order_is_unknown_until_the_next_boot(keeper: Keeper) -> None:
    """It said so."""
    heard(keeper, *reports(1, 30))
    keeper.commit(batch(NOON + 1801, states=[StateChange(1, "presence", ("offline", "aa", NOON + 1801))]))
    Rollup(keeper).finish(LATER)
    assert hour(keeper, NOON, 1) == (1800, 1, 1799)
    heard(keeper, *reports(1, 10, NOON + 2400, boot=OTHER))
    Rollup(keeper).finish(LATER)
    assert hour(keeper, NOON, 1) == (2400, 1 + 600, 599)


def test_the_running_hour_is_as_long_as_it_is(keeper: Keeper) -> None:
    """Seconds to come are not counted, and the hour stays to be rolled up."""
    heard(keeper, *reports(1, 10), now=NOON + 630)
    Rollup(keeper).finish(NOON + 630)
    assert hour(keeper, NOON, 1) == (600, 0, 30)
    assert keeper.live.execute("SELECT hr FROM dirty").fetchall() == [(NOON,)]


def test_an_hour_is_done_when_no_report_is_on_its_way(keeper: Keeper) -> None:
    """What is unknown because the next report is not overdue becomes down without anybody saying a word."""
    heard(keeper, *reports(1, 59), now=NOON + 3599)
    rollup = Rollup(keeper)
    rollup.finish(NOON + HOUR_S + 1)
    assert hour(keeper, NOON, 1) == (3540, 0, 60)
    assert (NOON,) in keeper.live.execute("SELECT hr FROM dirty").fetchall()
    heard(keeper, now=NOON + HOUR_S + 200)
    rollup.finish(NOON + HOUR_S + 200)
    assert hour(keeper, NOON, 1) == (3540, 60, 0)
    assert (NOON,) not in keeper.live.execute("SELECT hr FROM dirty").fetchall()


def test_only_who_was_enrolled_has_hours(keeper: Keeper, city: City) -> None:
    """Not before, and not after it was revoked."""
    db = store.open_city(city)
    db.execute("UPDATE inventory SET enrolled_at = ? WHERE number = 2", (NOON + HOUR_S,))
    db.execute("UPDATE inventory SET revoked_at = ? WHERE number = 3", (NOON,))
    heard(keeper, *reports(1, 60))
    Rollup(keeper).finish(LATER)
    assert [ap for (ap,) in keeper.live.execute("SELECT ap FROM hours WHERE hr = ?", (NOON,))] == [1]
    assert hour(keeper, NOON - HOUR_S, 3) is not None and hour(keeper, NOON + HOUR_S, 2) is not None


def test_rolling_up_again_changes_nothing(keeper: Keeper) -> None:
    """An hour is what its rows say, however often it is asked."""
    heard(keeper, *reports(1, 50, stations=3, rx_bps=77.5), event(51, NOON + 3100))
    Rollup(keeper).finish(LATER)
    before = [keeper.live.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3").fetchall() for table in ("hours", "clients")]
    keeper.live.execute("INSERT OR REPLACE INTO dirty VALUES (?, 9)", (NOON,))
    Rollup(keeper).finish(LATER)
    assert [keeper.live.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3").fetchall() for table in ("hours", "clients")] == before


def test_a_step_keeps_to_its_budget_and_goes_on_later(keeper: Keeper) -> None:
    """An hour is rolled up a slice at a time; the work waits between commits."""
    heard(keeper, *reports(1, 60))
    clock = Clock()
    rollup, steps = Rollup(keeper, clock), 0
    while rollup.step(LATER, 0.003):
        steps += 1
    assert steps > 10
    assert hour(keeper, NOON, 1) == (3600, 0, 0)


def test_an_hour_is_not_rolled_up_all_the_time(keeper: Keeper) -> None:
    """The running one once a minute, the others every ten seconds, however often they change."""
    clock = Clock()
    rollup = Rollup(keeper, clock)
    heard(keeper, now=NOON + 60)
    while rollup.step(NOON + 60, 1):
        pass
    heard(keeper, *reports(1, 1), report(1, NOON - 60, ap=2), now=NOON + 61)
    assert not rollup.step(NOON + 62, 1) and hour(keeper, NOON, 1, "reports") == (0,)
    clock.now += 61
    assert not rollup.step(NOON + 123, 1) and hour(keeper, NOON, 1, "reports") == (1,)


def test_what_changes_while_an_hour_is_rolled_up_is_rolled_up_again(keeper: Keeper) -> None:
    """A commit between two slices is not forgotten."""
    heard(keeper, *reports(1, 59), now=LATER + 9 * HOUR_S)
    clock = Clock()
    rollup = Rollup(keeper, clock)
    rollup.finish(LATER + 9 * HOUR_S)
    keeper.live.execute("INSERT OR REPLACE INTO dirty VALUES (?, 1)", (NOON,))
    clock.now += 20  # the running hour is not due yet
    assert rollup.step(LATER + 9 * HOUR_S, 0.006)
    heard(keeper, report(60, NOON + 60), now=LATER + 9 * HOUR_S)
    rollup.step(LATER + 9 * HOUR_S, 1)
    assert hour(keeper, NOON, 1, "reports") == (59,)
    clock.now += 100
    rollup.step(LATER + 9 * HOUR_S, 1)
    assert hour(keeper, NOON, 1, "reports") == (60,)


def test_an_hour_whose_month_is_dropped_meanwhile_stays_as_it_was(keeper: Keeper) -> None:
    """Half of it was read, the rest is gone."""
    heard(keeper, *reports(1, 60))
    clock, later = Clock(), NOON + 100 * 86_400
    rollup = Rollup(keeper, clock)
    rollup.finish(LATER)
    keeper.live.execute("DELETE FROM dirty")
    keeper.live.execute("INSERT INTO dirty VALUES (?, 1)", (NOON,))
    clock.now += 100
    assert rollup.step(later, 0.002)
    keeper.drop_old(later)
    rollup.step(later, 100)
    assert hour(keeper, NOON, 1) == (3600, 0, 0)


MESSAGES = st.lists(st.tuples(st.integers(1, 40), st.sampled_from((BOOT, OTHER)), st.integers(1, 2), st.booleans(), st.integers(0, 2)), min_size=1, max_size=25)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(MESSAGES, st.randoms(use_true_random=False), st.integers(1, 6))
def test_order_and_batches_change_no_hour(
    tmp_path_factory: pytest.TempPathFactory, sent: list[tuple[int, str, int, bool, int]], chance: object, size: int
) -> None:
    """In whatever order and batches the same messages come, and however often it is rolled up between: the same hours, which sum."""

    def rolled(messages: list[RawRow], size: int) -> list[tuple[object, ...]]:
        city = city_of(tmp_path_factory.mktemp("city") / "malang")
        enrol(city, 1), enrol(city, 2)
        keeper = Keeper(city)
        heard(keeper, now=NOON)
        rollup = Rollup(keeper)
        for place in range(0, len(messages), size):
            heard(keeper, *messages[place : place + size], now=NOON + 4 * HOUR_S)
            if place % 3 == 0:
                rollup.finish(NOON + 4 * HOUR_S)
        rollup.finish(NOON + 4 * HOUR_S)
        found = keeper.live.execute("SELECT * FROM hours ORDER BY hr, ap").fetchall()
        keeper.close()
        return found

    made = [
        report(seq, NOON + 3 * HOUR_S * (boot == OTHER) // 2 + 120 * seq, ap=ap, boot=boot, up=int(up), span=60.0 * span) for seq, boot, ap, up, span in sent
    ]
    hours = rolled(made, 100)
    assert all(sum(row[2:5]) == 3600 for row in hours if row[0] < NOON + 4 * HOUR_S)
    mixed = list(dict.fromkeys(made))
    first = {(row.ap, row.boot, row.seq): row for row in reversed(mixed)}  # the first of a number is the one that counts
    mixed = list(first.values())
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    assert rolled(mixed, size) == hours


# What may happen in a quarter of an hour: who of the access points says what, how late, with which clock; whether somebody listened.
ACTS = st.lists(
    st.tuples(
        st.sampled_from(("report", "report", "report", "late", "unset", "event", "stop", "reboot", "silence", "deaf", "roll")),
        st.integers(1, 2),
        st.integers(1, 9),
        st.booleans(),
    ),
    min_size=3,
    max_size=30,
)
QUARTER = 900


def acted(keeper: Keeper, rollup: Rollup, acts: list[tuple[str, int, int, bool]]) -> int:
    """Play what happened, a quarter of an hour each, and roll up on the way; give when it ended."""
    now, since, boots, begun = NOON, NOON - 60, {1: 0, 2: 0}, {1: NOON - 600, 2: NOON - 600}
    seqs: dict[tuple[int, int], int] = {}
    keeper.commit(Batch.empty(now, float(since)))
    for what, ap, much, is_up in acts:
        now += QUARTER
        boot = boots[ap]
        seq = seqs[ap, boot] = seqs.get((ap, boot), 0) + 1
        name, up, span = f"{ap:08x}{boot:08x}", int(is_up), 100.0 * much
        at, made = now, []
        if what == "late" and now - much * QUARTER > begun[ap]:
            at = now - much * QUARTER
        if what in ("report", "late", "unset"):
            at_said = None if what == "unset" else at
            made = [report(seq, at_said, ap=ap, boot=name, uptime=float(at - begun[ap]), span=min(span, float(at - begun[ap])), up=up, stations=much)]
            made[0] = made[0]._replace(clock="none" if at_said is None else "ntp")
        states = [StateChange(ap, "presence", ("offline", f"{now}", now))] if what == "stop" else []
        if made:
            states.append(StateChange(ap, "report", (name, seq, now, made[0].span_s, "{}")))
        events = [event(seq, now, ap=ap, boot=name)] if what == "event" else []
        if what == "reboot":
            boots[ap], begun[ap] = boot + 1, now - 60 * much
        if what == "deaf":
            now += much * QUARTER
            since = now
        keeper.commit(batch(now, *made, *events, states=states, listening_since=float(since)))
        if what == "roll":
            rollup.finish(now)
    return now


MOVED_AHEAD = [("unset", 1, 1, False), *[("silence", 2, 1, True)] * 7, ("roll", 2, 2, False), ("event", 1, 1, False)]
SILENCE = [("silence", 2, 1, True)]
STOPPED_AND_BACK = [("report", 1, 1, True), ("stop", 1, 1, True), ("reboot", 1, 1, True), *SILENCE * 11, ("roll", 1, 1, True), ("late", 1, 9, True)]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ACTS)
@example(STOPPED_AND_BACK)
@example(MOVED_AHEAD)
def test_rolled_on_the_way_is_the_same_as_rolled_once(tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, int, int, bool]]) -> None:
    """Late, stamped anew, stopped, rebooted, not listened to: what is marked is all that changes, and each hour has its 3,600 seconds."""
    city = city_of(tmp_path_factory.mktemp("city") / "malang")
    enrol(city, 1), enrol(city, 2)
    keeper = Keeper(city)
    rollup = Rollup(keeper)
    now = acted(keeper, rollup, acts) + 3 * HOUR_S
    keeper.commit(Batch.empty(now, now - 5.0))
    rollup.finish(now)
    text = "SELECT hr, ap, up_s, down_s, unknown_s, reports FROM hours ORDER BY hr, ap"
    on_the_way = keeper.live.execute(text).fetchall()
    keeper.live.execute("INSERT OR REPLACE INTO dirty SELECT DISTINCT hr, 1 FROM hours")
    rollup.finish(now)
    assert on_the_way == keeper.live.execute(text).fetchall()
    assert all(sum(row[2:5]) == min(HOUR_S, now - row[0]) for row in on_the_way if row[0] <= now)
    hours = {row[0] for row in on_the_way}
    assert hours >= set(range(NOON, now, HOUR_S))
    keeper.close()
