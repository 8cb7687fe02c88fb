"""Numbers and moments are written as people read them."""

from __future__ import annotations

import pytest

from fleet import words
from fleet.words import Clock

NOW = 1_790_000_000  # 2026-09-21 21:13:20 in Jakarta


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (99.9, "99 s"),
        (100, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (5400, "1 h 30 min"),
        (86_400, "1 d"),
        (100_000, "1 d 3 h"),
        (864_000, "10 d"),
        (86_400 * 100 + 7200, "100 d"),
    ],
)
def test_a_span_has_its_two_largest_units(seconds: float, text: str) -> None:
    """Nobody needs the seconds of a day."""
    assert words.span(seconds) == text


def test_a_moment_is_in_the_citys_zone() -> None:
    """Of today the time, else with the date; and what is no moment breaks nothing."""
    clock = Clock("Asia/Jakarta", NOW)
    assert [clock.at(moment) for moment in (NOW, NOW - 86_400, 1e18)] == ["21:13:20", "2026-09-20 21:13", "?"]
    assert (clock.day(NOW), clock.day(1e18), clock.ago(NOW - 90)) == ("2026-09-21", "?", "21:11:50, 90 s ago")


@pytest.mark.parametrize(
    ("ratio", "text"), [(0.5, "50.00 %"), (0.99999, "< 100.00 %"), (1, "100.00 %"), (None, None), ("x", None), (True, None), (float("nan"), None)]
)
def test_all_but_all_is_not_all(ratio: object, text: str | None) -> None:
    """99.999 % is never shown as 100 %."""
    assert words.percent(ratio, 2) == text


def test_units() -> None:
    """Mbit/s, MiB, rupiah and counted nouns."""
    assert (words.mbps(23_100_000), words.mib(5 << 19), words.mib(300 << 20), words.whole(-58, "dBm")) == ("23.1", "2.5 MiB", "300 MiB", "-58 dBm")
    assert (words.rupiah(500_000), words.several(1, "boot"), words.several(0, "boot"), words.several(2, "box", "boxes")) == (
        "Rp 500.000",
        "1 boot",
        "0 boots",
        "2 boxes",
    )
    assert [words.number(value) for value in (True, "1", [], 1e300, float("inf"), 3)] == [None, None, None, None, None, 3.0]


@pytest.mark.parametrize(
    ("name", "told"), [("signal_dbm", ("signal", "dBm")), ("tx_rate_mbps", ("tx rate", "Mbit/s")), ("connected_s", ("connected", "s")), ("ssid", ("ssid", ""))]
)
def test_a_member_is_named_by_its_words_and_unit(name: str, told: tuple[str, str]) -> None:
    assert words.named(name) == told
