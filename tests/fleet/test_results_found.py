"""How what an access point found is drawn: what people copy stays in one piece, whatever it says and however narrow the terminal is."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from fleet.results_found import MOST_COLUMNS, found, said

STATIONS: dict[str, Any] = {
    "stations": [
        {
            "station": "3fa94c01b7e2",
            "ssid": "Malang RW 05",
            "band": "5g",
            "signal_dbm": -61,
            "rx_rate_mbps": 390.0,
            "tx_rate_mbps": 585.0,
            "connected_s": 38820,
        },
        {"station": "01d0c7a29b44", "ssid": "Malang \x1b[2J", "band": "2g", "signal_dbm": -78, "connected_s": 71},
    ],
    "left_out": 3,
}


def drawn(output: dict[str, Any], width: int = 80, most: int = 100) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False, markup=False)
    for part in found(output, width, most):
        console.print(part)
    return out.getvalue()


def test_a_list_of_things_is_a_table_with_units_that_fits_a_usual_terminal() -> None:
    lines = drawn(STATIONS).splitlines()
    assert lines[0].split() == ["signal", "rx", "rate", "tx", "rate"]
    assert lines[1].split() == ["station", "ssid", "band", "dBm", "Mbit/s", "Mbit/s", "connected"]
    assert lines[3] == "  3fa94c01b7e2  Malang RW 05  5g       -61    390.0    585.0  10 h 47 min"
    assert "–" in lines[4] and "71 s" in lines[4]
    assert lines[5:] == ["  and 3 more, left out there"]


@pytest.mark.parametrize("width", [100, 80, 60, 30])
def test_a_pseudonym_is_never_folded(width: int) -> None:
    """It is copied from there for `kick`."""
    long = [row | {"ssid": "a name of thirty-two characters!", "station": f"{number:012x}"} for number, row in enumerate(STATIONS["stations"] * 9)]
    text = drawn({"stations": long}, width)
    assert [number for number in range(18) if f"{number:012x}" not in text] == []
    assert max(map(len, text.splitlines())) <= width


def test_where_a_table_has_no_room_each_row_is_words_with_units() -> None:
    text = " ".join(drawn(STATIONS, 60).split())
    assert "3fa94c01b7e2: ssid Malang RW 05, band 5g, signal -61 dBm, rx rate 390.0 Mbit/s, tx rate 585.0 Mbit/s, connected 10 h 47 min" in text
    assert "01d0c7a29b44: ssid Malang ?[2J, band 2g, signal -78 dBm, connected 71 s" in text


def test_rows_with_more_members_than_any_of_ours_do_not_fill_the_screen() -> None:
    text = drawn({"networks": [{f"m{number}": number for number in range(3000)}]})
    assert len(text.splitlines()) < 10 and f"m{MOST_COLUMNS - 1}\n" in text and f"m{MOST_COLUMNS}" not in text


@pytest.mark.parametrize("rows", [[{}], [{}, {"a": 1}], [{"a": None}], [{"a": [1]}, {"a": {"b": 2}}], [{"signal_dbm": "loud"}]])
def test_rows_of_any_form_are_drawn(rows: list[Any]) -> None:
    assert drawn({"networks": rows}) is not None


def test_lines_are_shown_as_they_are_the_newest_when_there_are_too_many() -> None:
    lines = drawn({"lines": [f"line {number}" for number in range(105)], "left_out": 46}).splitlines()
    assert lines[0] == "  46 lines left out there: older ones, and what is nobody's to see"
    assert (lines[1], lines[-2:]) == ("  line 5", ["  line 104", "  and 5 more (--json tells all)"])


@pytest.mark.parametrize("count", [0, -3, True, "9", None, 1e300])
def test_a_count_of_what_was_left_out_that_is_none_is_not_told(count: object) -> None:
    assert "left out" not in drawn({"lines": ["one"], "left_out": count})


def test_an_empty_list_is_said() -> None:
    assert drawn({"stations": []}) == "  no stations\n"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("seconds", 30, "seconds 30"),
        ("delay_s", 5, "delay 5 s"),
        ("on_air", ["Malang RW 05", "Kantor"], "on air Malang RW 05, Kantor"),
        ("stations", [{}, {}], "2 stations"),
        ("lines", ["one"], "1 line"),
        ("x", ["y" * 61], "1 x"),
        ("wifi", {"up": 2, "down": None}, "up: 2; down: –"),
    ],
)
def test_one_member_is_said_in_some_words(name: str, value: object, words: str) -> None:
    assert said(name, value) == words
