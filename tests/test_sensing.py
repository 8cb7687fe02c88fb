"""A collector may raise, answer nonsense, block or spin: only its own part is missing, and the others are on time."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.errors import Unavailable
from agent.router.contract import Router
from agent.sensing import MESSAGE_CHARACTERS, Overrun, Sensing, sentence
from tests.fakes.router import FakeRouter

BUDGET_S = 0.1


def shelf(**collectors: Callable[[Router], object]) -> dict[str, SimpleNamespace]:
    return {name: SimpleNamespace(NAME=name, collect=collect) for name, collect in collectors.items()}


def good(_router: Router) -> str:
    return "read"


def spin(_router: Router) -> None:
    while True:
        pass


def swallow(_router: Router) -> None:
    while True:
        try:
            while True:
                time.sleep(0.001)
        except Exception:
            continue


@pytest.fixture(autouse=True)
def no_timer_left() -> object:
    yield
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_readings_and_times_of_good_collectors() -> None:
    """Every collector's reading and time is in the sample."""
    sample = Sensing(shelf(a=good, b=good), BUDGET_S).sample(FakeRouter())
    assert sample.readings == {"a": "read", "b": "read"}
    assert set(sample.milliseconds) == {"a", "b"}
    assert (sample.moments, sample.errors) == ({"a": 1000.0, "b": 1000.0}, {})


def test_one_of_once_a_report_is_read_before_the_report_only() -> None:
    """The other samples neither read it nor time it."""
    seldom = SimpleNamespace(NAME="b", collect=good, IS_ONCE_A_REPORT=True)
    sensing = Sensing(shelf(a=good) | {"b": seldom}, BUDGET_S)
    samples = [sensing.sample(FakeRouter(), is_last) for is_last in (False, True, False)]
    assert [set(sample.readings) for sample in samples] == [set(sample.milliseconds) for sample in samples] == [{"a"}, {"a", "b"}, {"a"}]
    assert [sample.errors for sample in samples] == [{}, {}, {}]


ERRORS = [Unavailable("no such file: /proc/x"), ValueError("bad"), KeyError("k"), RecursionError(), MemoryError(), OSError(5, "I/O error")]


@pytest.mark.parametrize("error", ERRORS)
def test_one_that_raises_costs_its_own_part_only(error: Exception) -> None:
    """Whatever a collector raises is named, and the next one is read."""

    def bad(_router: Router) -> None:
        raise error

    sample = Sensing(shelf(bad=bad, after=good), BUDGET_S).sample(FakeRouter())
    assert sample.readings == {"after": "read"}
    assert "bad" in sample.errors


@pytest.mark.parametrize("hang", [spin, swallow])
def test_one_that_spins_is_interrupted(hang: Callable[[Router], None]) -> None:
    """A loop without an end is ended by the interval timer, also when it swallows every Exception."""
    sample = Sensing(shelf(bad=hang, after=good), BUDGET_S).sample(FakeRouter())
    assert sample.readings == {"after": "read"}
    assert "no answer within 0.1 s" in sample.errors["bad"]


def test_one_blocked_on_a_fifo_without_a_writer_is_interrupted(tmp_path: Path) -> None:
    """Opening a FIFO that nobody writes blocks in the kernel; the signal ends it."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    sample = Sensing(shelf(bad=lambda _: fifo.read_bytes(), after=good), BUDGET_S).sample(FakeRouter())
    assert sample.readings == {"after": "read"}
    assert "no answer" in sample.errors["bad"]


def test_a_swallowed_interrupt_is_followed_by_another() -> None:
    """A collector whose own cleanup swallows the first interrupt does not get away with it."""

    def stubborn(_router: Router) -> None:
        try:
            spin(_router)
        except BaseException:
            pass
        spin(_router)

    sample = Sensing(shelf(bad=stubborn), BUDGET_S).sample(FakeRouter())
    assert "no answer" in sample.errors["bad"]


def test_one_that_hung_rests_longer_each_time_and_comes_back() -> None:
    """A hung collector is left out for a while, so that it cannot make every sample late; it is tried again after."""
    calls: list[float] = []

    def hang_twice(router: Router) -> str:
        calls.append(1)
        if len(calls) <= 2:
            spin(router)
        return "well again"

    sensing, router = Sensing(shelf(bad=hang_twice), BUDGET_S), FakeRouter()
    sensing.sample(router)
    router.clock.move(0.5)
    assert "no answer" in sensing.sample(router).errors["bad"]
    assert len(calls) == 1
    for seconds in (0.5, 1.5):
        router.clock.move(seconds)
        sensing.sample(router)
    assert len(calls) == 2
    router.clock.move(0.5)
    assert sensing.sample(router).readings == {"bad": "well again"}


def test_each_reading_has_its_own_moment() -> None:
    """A slow collector does not bend the rates of the next: each reading is stamped when it began."""

    def slow(router: Router) -> str:
        router.clock.move(1.8)
        return "late"

    sample = Sensing(shelf(slow=slow, after=good), BUDGET_S).sample(FakeRouter())
    assert sample.moments == {"slow": 1000.0, "after": 1001.8}


def test_a_late_alarm_after_the_end_harms_nobody() -> None:
    """An alarm that strikes when nothing is guarded raises nothing."""
    Sensing(shelf(a=good), BUDGET_S)
    os.kill(os.getpid(), signal.SIGALRM)


def test_guard_gives_the_answer_or_overrun() -> None:
    """The guard can be used for a single reading."""
    sensing = Sensing({}, BUDGET_S)
    assert sensing.guard(good, FakeRouter()) == "read"
    with pytest.raises(Overrun):
        sensing.guard(spin, FakeRouter())


def test_error_texts_are_one_short_line() -> None:
    """A hostile error text cannot break a line or fill a report."""
    text = sentence(ValueError("a\nb\x1b[31m" + "x" * 1000))
    assert "\n" not in text
    assert "\x1b" not in text
    assert len(text) == MESSAGE_CHARACTERS


@pytest.mark.parametrize("mac", ["0a:de:ad:be:00:01", "0A:DE:AD:BE:00:01"])
def test_no_error_text_has_a_mac_address(mac: str) -> None:
    """A bug's text may quote a station's key: whose it was is not told, wherever in the text it stands."""
    for error in (KeyError(mac), ValueError(f"{mac} is not in the list"), ValueError("x" * (MESSAGE_CHARACTERS - 20) + mac)):
        assert "de:ad" not in sentence(error).lower()
