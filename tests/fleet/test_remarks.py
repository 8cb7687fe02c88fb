"""Whoever looks at a table learns how old it is, whose clock is wrong, who waits, and what was not understood; each with the remedy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fleet import remarks
from fleet.city import City
from fleet.remarks import Serving
from fleet.view import Ear, Overview, Point

NOW = 1_790_000_000
CITY = City(Path("/srv/my city"), "malang")
HEARING = Ear(True, NOW - 9000, NOW)
SERVING = Serving(True, True)


def pending(*names: str) -> list[Point]:
    return [Point(name, None, "", "", "", "", None, None, (), "pending") for name in names]


def said(ear: Ear = HEARING, serving: Serving = SERVING, points: list[Point] | None = None, quarantined: int = 0, city: City = CITY) -> list[str]:
    return remarks.remarks_on(city, Overview(NOW, points or [], ear, quarantined), serving)


def test_when_all_is_well_nothing_is_said() -> None:
    """No line without need."""
    assert said() == []


@pytest.mark.parametrize(
    ("ear", "serving", "says"),
    [
        (Ear(False), Serving(), "rwctl serve is not running: nothing was ever heard; start it:  rwctl --dir '/srv/my city' serve"),
        (Ear(False, 1, NOW - 7200), Serving(), "rwctl serve is not running: what follows is as it was 19:13:20, 2 h ago; start it:"),
        (Ear(False, 1, NOW - 7200), Serving(True, False), "rwctl serve has no connection to the broker: what follows is as it was 19:13:20, 2 h ago; look at:"),
        (Ear(False, 1, NOW - 7200), Serving(True, True, trouble="disk is full"), "rwctl serve cannot store what it hears (disk is full): what follows is as"),
        (Ear(True, 1, NOW - 4), Serving(has_ended=True), "rwctl serve is not running: what follows is as it was 21:13:16, 4 s ago; start it:"),
        (Ear(False), SERVING, "rwctl serve has not heard anything yet: nothing was ever heard"),
    ],
)
def test_a_deaf_end_says_why_and_how_old_all_is(ear: Ear, serving: Serving, says: str) -> None:
    """Not running, no connection, no room: each is another remedy."""
    (line,) = said(ear, serving)
    assert line.startswith(says)


@pytest.mark.parametrize(("off_s", "says"), [(-7200.0, "this server's clock is 2 h ahead"), (86_400.0, "this server's clock is 1 d behind")])
def test_a_wrong_clock_is_said(off_s: float, says: str) -> None:
    """Whose clock, by how much, and in which direction."""
    assert says in said(serving=Serving(True, True, off_s))[0]


def test_pending_ones_are_named_with_the_command() -> None:
    """The first three by name."""
    assert said(points=pending("rw-1"))[0].startswith(
        "1 certificate has no row in the inventory and gets nothing: rw-1; enrol it:  rwctl --dir '/srv/my city' enroll rw-1"
    )
    assert "4 certificates have no row in the inventory and get nothing: a, b, c …; enrol them:" in said(points=pending("a", "b", "c", "d"))[0]


def test_what_was_not_understood_is_counted() -> None:
    """And how to look at it."""
    assert said(quarantined=2)[0] == "2 messages could not be understood; see them:  rwctl --dir '/srv/my city' status --quarantine"


def test_a_command_is_given_as_it_is_typed_here() -> None:
    """Without --dir where one stands in the directory."""
    assert remarks.typed(City(Path("."), "malang"), "serve") == "rwctl serve"


def test_serve_says_of_itself(tmp_path: Path) -> None:
    """Running, connected, its clock; of one that is gone only the clock."""
    city = City(tmp_path, "malang")
    (tmp_path / "store").mkdir()
    file = tmp_path / "store" / "serve.json"
    assert remarks.serving_of(city) == Serving()
    told = {"pid": os.getpid(), "connected": True, "clock_off_s": 5, "messages_per_s": 12.3, "trouble": ""}
    file.write_text(json.dumps(told))
    assert remarks.serving_of(city) == Serving(True, True, 5.0, 12.3)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for pid in (gone.pid, None, "x"):
        file.write_text(json.dumps(told | {"pid": pid}))
        assert remarks.serving_of(city) == Serving(clock_off_s=5.0, has_ended=True)
    for text in ("", "[]", "{", "\x00"):
        file.write_text(text)
        assert remarks.serving_of(city) == Serving()
