"""How a command's results look."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from fleet.commands import Order
from fleet.results import Row
from fleet.results_drawn import MOST_FOUND, ORDER, SHAPES, Screen, counted


def row(ap: str, state: str = "succeeded", **message: Any) -> Row:
    return Row(ap, state, {"state": state} | message)


def ended(*rows: Row, width: int = 160) -> str:
    out = io.StringIO()
    Screen(False, Console(file=out, width=width, highlight=False, markup=False)).ending(list(rows))
    return out.getvalue()


def test_one_row_says_state_time_and_what_was_found() -> None:
    text = ended(row("rw-0001", output={"seconds": 30, "leds": ["blue:wlan", "green:power"], "delay_s": 5}, took_ms=212))
    assert "● succeeded" in text and "0.2 s" in text and "seconds 30; leds blue:wlan, green:power; delay 5 s\n" in text
    assert "succeeded 1" not in text


def test_nothing_that_an_access_point_says_moves_the_terminal() -> None:
    text = ended(
        row("rw-0001", output={"lines": ["a\x1b[2Jb"], "on\x07e": "\x9b", "stations": [{"ssid": "\x1b[2J", "\x9b": 1}]}),
        row("rw-0002", "failed", code="\x1b[31m", message="a\nb\u202e"),
        row("rw-0003", output={"silent": {"\x1b": "\x1b"}}),
    )
    assert not [character for character in text if not character.isprintable() and character != "\n"]


def test_as_json_it_does_not_move_it_either_and_is_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """A C1 control moves a terminal as well, and json leaves it as it is."""
    hostile = {"lines": ["a\x1b[2Jb\x9b2J\u202e\U000e0001"], "\x9b": "ü"}
    screen = Screen(True)
    screen.progress([row("rw-0001", output=hostile)])
    screen.ending([row("rw-0001", output=hostile)])
    first, last = capsys.readouterr().out.splitlines()
    assert first.isprintable() and last.isprintable() and "ü" in first
    assert json.loads(first)["output"] == hostile


def test_of_one_access_point_all_is_shown_of_several_the_newest_lines() -> None:
    output = {"lines": [f"line {number}" for number in range(MOST_FOUND + 5)]}
    assert "  line 4\n" in ended(row("rw-0001", output=output))
    text = ended(row("rw-0001", output=output), row("rw-0002", output=output))
    assert "  line 104\n" in text and "  line 4\n" not in text
    assert "and 5 more (--json tells all)" in text


def test_why_it_is_so_is_said_in_the_access_points_words_or_ours() -> None:
    text = ended(
        row("rw-0001", "rejected", code="too_soon", message="reboot was 12 s ago, expected at least 60"),
        *(Row(f"rw-{number:04d}", state, {}) for number, state in enumerate(("offline", "unheard", "unsupported", "silent", "not sent"), 2)),
    )
    assert "too_soon; reboot was 12 s ago, expected at least 60" in text
    for words in ("a command never waits", "no report of its present boot", "does not take this command", "whether it was done is not known", "broker did not"):
        assert words in text
    assert "rejected 1, not sent 1, silent 1, unheard 1, unsupported 1, offline 1" in text


def test_of_many_there_is_a_sum_and_a_row_for_each_that_went_wrong() -> None:
    text = ended(*(row(f"rw-{number:04d}") for number in range(40)), row("rw-0999", "failed", message="no LED"))
    assert "rw-0039" not in text and "rw-0999" in text and "no LED" in text
    assert "● succeeded" in text and "40" in text


def test_every_state_has_its_shape_its_place_and_no_other() -> None:
    assert set(SHAPES) == set(ORDER)
    assert list(counted([Row("a", "succeeded", {}), Row("b", "failed", {}), Row("c", "offline", {})])) == ["failed", "offline", "succeeded"]


def test_a_sum_is_folded_beside_its_count_where_there_is_little_room() -> None:
    lines = ended(*(Row(f"rw-{number:04d}", "unheard", {}) for number in range(31)), width=60).splitlines()
    assert lines[0].startswith("▲ unheard  31  rwctl serve has no report")
    assert lines[1].startswith(" " * 15) and lines[1].strip()


def test_for_the_next_program_a_row_is_a_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    Screen(False).ending([row("rw-0001", "rejected", code="too_soon", message="reboot was begun 12 s ago, expected at least 60 s between two; send it later")])
    assert "too_soon; reboot was begun 12 s ago, expected at least 60 s between two; send it later" in capsys.readouterr().out


def test_json_lines_tell_each_state_once_and_the_sum(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(True)
    screen.sent(Order("locate", {"seconds": 3}), 1, 2)
    screen.progress([Row("rw-0001", "sent", {}), Row("rw-0002", "offline", {})])
    screen.progress([row("rw-0001", "running"), Row("rw-0002", "offline", {})])
    screen.ending([row("rw-0001", code="", output={"seconds": 3}, took_ms=5), Row("rw-0002", "offline", {})])
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"event": "sent", "name": "locate", "args": {"seconds": 3}, "taken": 1, "access_points": 2},
        {"event": "result", "ap": "rw-0002", "state": "offline"},
        {"event": "result", "ap": "rw-0001", "state": "running"},
        {"event": "result", "ap": "rw-0001", "state": "succeeded", "output": {"seconds": 3}, "took_ms": 5.0},
        {"event": "summary", "states": {"offline": 1, "succeeded": 1}},
    ]
