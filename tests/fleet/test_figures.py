"""Figures of a report: right, absent, or not as promised."""

from __future__ import annotations

import json

import pytest

from fleet.figures import Figures
from fleet.understand import Report, Who, understand
from tests.reports import report


def hear(message: object) -> Report:
    heard = understand(Who("rw-0501", 7), "report", json.dumps(message).encode(), False, 1_790_000_400.0)
    assert isinstance(heard, Report)
    return heard


@pytest.mark.parametrize(
    ("path", "value", "column"),
    [
        (("stations", "now"), "many", "stations"),
        (("stations", "now"), -1, "stations"),
        (("stations", "weak_ratio"), 1.5, "weak_ratio"),
        (("stations", "max"), 2**60, "stations_max"),
        (("uplink", "internet_ms"), True, "latency_ms"),
        (("uplink", "loss_ratio"), [], "loss_ratio"),
        (("uplink", "state"), 7, "up"),
        (("uplink", "state"), "tunnel", "up"),
        (("host", "cpu_ratio"), "x", "cpu_ratio"),
        (("host", "memory_available_bytes"), -5, "memory_ratio"),
    ],
)
def test_a_figure_that_is_not_right_is_null_and_counted(path: tuple[str, str], value: object, column: str) -> None:
    """A wrong figure costs itself, not the report."""
    message = report(41, 300)
    message[path[0]][path[1]] = value
    heard = hear(message)
    assert getattr(heard.row, column) is None
    assert heard.odd == 1


@pytest.mark.parametrize("part", ["stations", "interfaces", "radios", "host", "uplink", "agent", "alerts"])
def test_a_part_of_the_wrong_type_is_null_and_counted(part: str) -> None:
    """So does a whole part."""
    heard = hear({**report(41, 300), part: "a text"})
    assert isinstance(heard, Report) and heard.odd == 1


def test_alert_codes_of_a_report_are_words_each_once() -> None:
    """What stands in the column can be taken apart at its blanks."""
    assert Figures().alerts(["memory-low", "a b", 7, "memory-low", "flash-full"]) == "memory-low flash-full"
    assert Figures().alerts([f"x-{number}" for number in range(100)]) == " ".join(f"x-{number}" for number in range(64))


def test_the_uplinks_rates_are_those_of_its_row() -> None:
    """Not of the first row there is."""
    rows = [{"role": "lan", "rx_bps": 1}, 7, {"role": "uplink", "rx_bps": 2, "tx_peak_bps": 5.5}, {"role": "uplink", "rx_bps": 3}]
    assert Figures().rates(rows) == (2, None, None, 5.5)


def test_the_latency_is_of_the_furthest_layer() -> None:
    """Internet before DNS before gateway."""
    assert Figures().way_out({"gateway_ms": 1, "dns_ms": 2}) == (2, None)
    assert Figures().way_out({"gateway_ms": 1, "internet_ms": 9, "loss_ratio": 0.5}) == (9, 0.5)


def test_the_busiest_radio_counts() -> None:
    """An airtime that is not said is not 0."""
    assert Figures().airtime([{"airtime_busy_ratio": 0.2}, {}, {"airtime_busy_ratio": 0.7}]) == 0.7
    assert Figures().airtime([{}]) is None


def test_the_oldest_seq_is_none_above_the_report() -> None:
    """What is beyond this report cannot be lost yet."""
    assert Figures().oldest({"oldest_seq": 41}, 41) == 41
    figures = Figures()
    assert figures.oldest({"oldest_seq": 42}, 41) is None and figures.odd == 1


def test_memory_needs_both_its_figures() -> None:
    """More free than there is, is no ratio."""
    assert Figures().host({"memory_total_bytes": 100, "memory_available_bytes": 25}) == (None, 0.25)
    assert Figures().host({"memory_total_bytes": 100, "memory_available_bytes": 101}) == (None, None)
    assert Figures().host({"memory_total_bytes": 0, "memory_available_bytes": 0}) == (None, None)
