"""`rwctl watch` shows the store live, and gives the terminal back."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path

import pytest

from fleet import cli, store
from fleet.city import City
from fleet.errors import BadInput
from fleet.verbs.watch import Screen
from tests.fleet import cities

ROOT = Path(__file__).resolve().parents[3]
CHANGE_WITHIN_S = 20.0  # of a crowded machine; EVERY_S is what is promised


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    """Three access points that are well."""
    former, cities.NOW = cities.NOW, int(time.time())
    city = cities.make_city(tmp_path / "malang")
    cities.listen(city, cities.NOW - 9000, cities.NOW + 3600)
    for number in (1, 2, 3):
        cities.enroll(city, number)
        cities.hear(city, number)
    yield city
    cities.NOW = former


def test_a_change_in_the_store_is_seen_at_the_next_look(city: City) -> None:
    """A lost one comes first, a new one appears, and throughput becomes a trend only by newer reports."""
    with contextlib.closing(store.open_live(city)) as live:
        screen = Screen(city, live, None)
        before, again = screen.look(), screen.look()
        assert [row.state for row in before.rows] == ["online"] * 3 and len(again.rows[0].trend) == 1
        cities.hear(city, 3, presence="lost", presence_at=cities.NOW)
        cities.hear(city, 1, seq=99)
        cities.enroll(city, 4)
        after = {row.ap: row for row in screen.look().rows}
        assert next(iter(after)) == "rw-0003" and after["rw-0004"].state == "never" and len(after["rw-0001"].trend) == 2


def test_where_is_asked_at_each_look(city: City) -> None:
    """Who becomes lost comes in; that nobody is so is said."""
    with contextlib.closing(store.open_live(city)) as live:
        screen = Screen(city, live, "state=lost")
        assert (screen.look().rows, next(iter(screen.look().warnings))) == ([], "none of the 3 access points is so")
        cities.hear(city, 3, presence="lost", presence_at=cities.NOW)
        assert [row.ap for row in screen.look().rows] == ["rw-0003"] and screen.look().city == "malang (1 of 3)"
        with pytest.raises(BadInput):
            Screen(city, live, "provider=Awinett")


def test_without_a_terminal_it_prints_tables(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    """For a log: whole tables, no escape sequences, and it ends by itself."""
    assert cli.main(["--dir", str(city.folder), "watch", "--for", "0.1"]) == 0
    out = capsys.readouterr().out
    assert out.count("Access point") == 2 and "\x1b" not in out


def test_a_slip_is_bad_input(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    """Before the screen is taken over."""
    assert cli.main(["--dir", str(city.folder), "watch", "--where", "x=1"]) == 2
    assert "there is no such field" in capsys.readouterr().err


def test_on_a_terminal_it_lives_resizes_and_ends_in_order(city: City) -> None:
    """A change is drawn, a new size is taken over, and Ctrl-C gives the screen back and ends with 0."""
    leader, follower = pty.openpty()
    ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 80, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")} | {"TERM": "xterm"}
    program = "import sys; from fleet import cli; sys.exit(cli.main(sys.argv[1:]))"
    arguments = [sys.executable, "-c", program, "--dir", str(city.folder), "watch"]
    child = subprocess.Popen(arguments, cwd=ROOT, stdin=follower, stdout=follower, stderr=follower, env=environment)
    try:
        seen = heard(leader, "3 online")
        assert "\x1b[?1049h" in seen
        cities.hear(city, 3, presence="lost", presence_at=int(time.time()))
        heard(leader, "1 lost")
        assert "Networks" not in seen
        ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 200, 0, 0))
        heard(leader, "Networks")
        child.send_signal(signal.SIGINT)
        # The last table stays on the ordinary screen; it may come in the same read as the way back to that.
        _, _, behind = heard(leader, "\x1b[?1049l").partition("\x1b[?1049l")
        assert "rw-0003" in behind or heard(leader, "rw-0003")
        assert child.wait(CHANGE_WITHIN_S) == 0
    finally:
        child.kill()
        child.wait()
        os.close(leader)
        os.close(follower)


def heard(leader: int, text: str) -> str:
    """Read from the terminal until that text was drawn."""
    seen, deadline = "", time.monotonic() + CHANGE_WITHIN_S
    while text not in seen:
        assert time.monotonic() < deadline, f"{text!r} was not drawn: {seen[-2000:]!r}"
        if select.select([leader], [], [], 0.2)[0]:
            seen += os.read(leader, 65536).decode(errors="replace")
    return seen


def test_a_look_at_551_does_not_decode_them_all_again(city: City) -> None:
    """What did not change is remembered by its text."""
    with contextlib.closing(store.open_live(city)) as live:
        screen = Screen(city, live, None)
        first = {row.ap: row.figures for row in screen.look().rows}
        cities.hear(city, 1, report=json.dumps({"stations": {"now": 77}}), seq=100)
        second = {row.ap: row.figures for row in screen.look().rows}
        assert second["rw-0001"].stations == 77 and second["rw-0002"] is first["rw-0002"]
