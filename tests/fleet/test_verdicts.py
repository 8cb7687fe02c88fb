"""How a push is shown."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from fleet import verdicts
from fleet.city import City
from fleet.following import Ear, Following, Row
from fleet.verdicts import Screen
from tests.fleet.pushed_city import Air


def drawn(rows: list[Row]) -> str:
    out = io.StringIO()
    Console(file=out, width=120, highlight=False).print(verdicts.table(rows))
    return out.getvalue()


def rows_of(**states: int) -> list[Row]:
    return [Row(f"{state}-{number:03d}", 7, state, {"reason": "not_on_air"}) for state, count in states.items() for number in range(count)]


def test_few_have_a_row_each_with_mark_and_word() -> None:
    text = drawn(rows_of(confirmed=1, rolled_back=1, waiting=1))
    assert "● confirmed" in text
    assert "▲ rolled_back" in text
    assert "○ waiting" in text


def test_of_many_each_state_has_a_line_and_what_went_wrong_a_row() -> None:
    text = drawn(rows_of(confirmed=500, waiting=40, rolled_back=3, silent=2))
    assert "● confirmed" in text and "500" in text
    assert "confirmed-001" not in text
    assert text.count("rolled_back-00") == 3
    assert text.count("silent-00") == 2


def test_of_too_many_failures_the_rest_is_counted() -> None:
    assert "and 10 more; rwctl history ID shows each" in drawn(rows_of(failed=40))


def test_states_are_counted_the_worst_first() -> None:
    assert list(verdicts.counted(rows_of(confirmed=2, sent=1, failed=1, waiting=3))) == ["failed", "sent", "waiting", "confirmed"]


def test_what_an_access_point_says_moves_no_cursor_and_is_no_markup() -> None:
    row = Row("rw-0001", 7, "rejected", {"reason": "invalid", "errors": [{"message": "[red]\x1b[2J"}]})
    text = drawn([row])
    assert "\x1b" not in text
    assert "[red]?[2J" in text


def test_json_lines_tell_each_state_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    air = Air(City(tmp_path, "malang"), ["rw-0001"])
    ear = Ear(air.city, air, air.ids)
    ear.settle()
    following, screen = Following({"rw-0001": 7}, ear), Screen(True)
    for state in ("received", "received", "confirmed"):
        air.say("rw-0001", "config/reported", {"v": 1, "revision": 7, "state": state})
        ear.listen(0, following)
        screen.progress(following)
    screen.ending(following.ended(), change=1)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("state") for line in lines] == ["received", "confirmed", None]
    assert lines[-1] == {"event": "summary", "states": {"confirmed": 1}, "change": 1}


def test_json_lines_name_who_is_silent_or_was_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A sum of states alone leaves a program without the names; what was told on the way is not told twice."""
    screen = Screen(True)
    screen._told = {"confirmed-000": rows_of(confirmed=1)[0], "silent-000": rows_of(silent=1)[0]._replace(state="testing")}
    screen.ending(rows_of(confirmed=1, silent=1), change=1)
    first, last = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["ap"], first["state"], last["states"]) == ("silent-000", "silent", {"silent": 1, "confirmed": 1})


def test_on_a_terminal_the_table_lives_and_is_gone_at_the_end(tmp_path: Path) -> None:
    air = Air(City(tmp_path, "malang"), ["rw-0001"])
    ear = Ear(air.city, air, air.ids)
    ear.settle()
    out = io.StringIO()
    screen = Screen(False, Console(file=out, force_terminal=True, width=80))
    screen.progress(following := Following({"rw-0001": 7}, ear))
    assert "sent" in out.getvalue()
    air.say("rw-0001", "config/reported", {"v": 1, "revision": 7, "state": "testing"})
    ear.listen(0, following)
    screen.progress(following)
    assert "testing" in out.getvalue()
    screen.close()
    assert "\x1b[2K" in out.getvalue()


def test_as_json_nothing_that_an_access_point_says_moves_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A C1 control does as well, and json leaves it as it is."""
    Screen(True).ending([Row("rw-0001", 3, "rejected", {"reason": "\x9b2J\u202e"})])
    assert all(line.isprintable() for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize(
    ("path", "before", "after", "told"),
    [
        ("uplink.cap.down_mbps", 60, 40, "uplink.cap.down_mbps: 60 → 40 Mbit/s"),
        ("uplink.cap.down_mbps", 60, None, "uplink.cap.down_mbps: 60 → not set"),
        ("radios.2g.tx_power_dbm", None, 20, "radios.2g.tx_power_dbm: not set → 20 dBm"),
        ("dns.filter", None, "adguard-family", 'dns.filter: not set → "adguard-family"'),
        ("ssids.x.key", "***", "***", 'ssids.x.key: another "***"'),
        ("a\x1b", 1, 2, "a?: 1 → 2"),
    ],
)
def test_a_change_is_said_with_its_unit_and_a_key_never(path: str, before: object, after: object, told: str) -> None:
    assert verdicts.changed(path, before, after) == told
