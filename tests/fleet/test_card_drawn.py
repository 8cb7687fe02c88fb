"""The card reads as an operator needs it, fits its terminal, and shows hostile text as text."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from fleet import card, card_drawn, store
from fleet.card import Card, Event
from fleet.city import City
from fleet.status import Config, figures_of
from fleet.view import Said
from tests.fleet import cities
from tests.fleet.cities import NOW

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
ZONE = "Asia/Jakarta"


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    """A city in which rw-0010 has everything and rw-0011 nothing."""
    city = cities.make_city(tmp_path_factory.mktemp("card") / "malang")
    cities.listen(city)
    for number in (10, 11):
        cities.enroll(city, number)
    cities.hear(city, 10)
    cities.enrich(city, 10)
    cities.write(city, "pending", {"ap": "rw-9999", "first_at": NOW - 600, "last_at": NOW - 5, "messages": 1})
    return city


def card_of(city: City, ap: str = "rw-0010") -> Card:
    with contextlib.closing(store.open_live(city)) as live:
        return card.card_of(live, ap, ZONE, NOW)


def drawn(found: Card, width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None, legacy_windows=False, highlight=False)
    console.print(card_drawn.drawn(found, ZONE, NOW, width))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


@pytest.mark.parametrize(("width", "name"), [(100, "status_one_100.txt"), (72, "status_one_72.txt")])
def test_the_card_is_as_looked_at(width: int, name: str, city: City) -> None:
    """Every figure with its unit, times in the city's zone; a narrow terminal loses columns, not letters."""
    assert drawn(card_of(city), width) == (GOLDEN / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal(width: int, city: City) -> None:
    """Long lines go on below."""
    assert max(map(len, drawn(card_of(city), width).splitlines())) <= width


def test_one_that_was_never_heard_says_so(city: City) -> None:
    """No zeros for what is not known."""
    text = drawn(card_of(city, "rw-0011"))
    assert "○ never" in text and "none was ever heard" in text and "nothing was pushed yet" in text and "none that is valid" in text
    assert "Clients" not in text and "0 %" not in text


def test_a_pending_one_says_what_to_do(city: City) -> None:
    """Whoever finds a strange certificate learns what it gets, and the command."""
    text = drawn(card_of(city, "rw-9999"))
    assert "◆ pending" in text and "nothing is sent to it" in " ".join(text.split()) and "1 message," in text and "rwctl enroll rw-9999" in text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"said": Said(Config(8, "rolled_back", "not_on_air"), 7, 0)}, "▲ revision 8 rolled back: not_on_air, told"),
        ({"said": Said(Config(8, "rolled_back", "not_on_air"), 7, 0)}, "revision 7 is in force"),
        ({"said": Said(Config(8, "confirmed", None), 8, 2)}, "2 values changed there since"),
        ({"told": 9}, "revision 9 is waiting for it"),
        ({"said": Said(), "told": 9}, "revision 9 is waiting for it"),
    ],
)
def test_the_config_says_what_is_in_force_and_what_waits(changes: dict[str, object], says: str, city: City) -> None:
    """Verdict with its reason, the revision in force, the one that waits, and drift."""
    found = card_of(city)
    assert says in " ".join(drawn(found._replace(point=found.point._replace(**changes))).split())  # type: ignore[arg-type]


@pytest.mark.parametrize(("left_s", "says"), [(-1, "ended 2026-09-21"), (86_400 * 30, "valid until 2026-10-21 (30 d)")])
def test_a_certificate_says_when_it_ends(left_s: int, says: str, city: City) -> None:
    """An end that came or comes is a date."""
    assert says in drawn(card_of(city)._replace(certificate_ends_at=NOW + left_s))


def test_drift_is_shown_value_by_value(city: City) -> None:
    """What somebody changed on the box is named."""
    drift = [{"path": "ssids.public.ssid", "expected": "A", "found": "B"}]
    assert 'ssids.public.ssid is "B", expected "A"' in drawn(card_of(city)._replace(reported={"drift": drift}))


def test_a_lost_one_says_since_when(city: City) -> None:
    """The moment, and how long ago."""
    found = card_of(city)
    assert "✖ lost since 21:03:20, 10 min ago" in drawn(found._replace(point=found.point._replace(state="lost", since_at=NOW - 600)))
    assert "revoked 21:03:20, 10 min ago" in drawn(found._replace(revoked_at=NOW - 600))


def test_hostile_text_is_shown_as_text(city: City) -> None:
    """Control bytes and markup in anything an access point says are spelled out."""
    bad = "\x1b[2J[red]\u202e"
    found = card_of(city)
    rows = [{"ssid": bad, "ifname": bad, "band": 7, "stations": "x", "up": "y", "signal_p50_dbm": [], "tx_bps": 1e400}]
    report = {"bss": rows, "radios": [{"radio": bad}], "uplink": {"state": bad, "address": bad}, "interfaces": "x", "clock": bad, "uptime_s": -1, "agent": 7}
    info, reported = {"os": bad}, {"drift": [{"path": bad, "found": bad}]}
    text = drawn(found._replace(report=report, info=info, reported=reported, events=(Event(10**18, bad, {bad: bad}),)), 200)
    assert all(c.isprintable() or c == "\n" for c in text) and "\\x1b[2J[red]\\u202e" in text


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ({"standing": True, "missing": []}, "● standing"),
        ({"standing": False, "missing": ["rwd-public: no htb", "a\x1b[2J", "c", "d"]}, "✖ not standing: rwd-public: no htb; a\\x1b[2J; c and 1 more"),
        ({"standing": True, "bypassed": True}, "▲ standing, and hardware offload goes past them"),
    ],
)
def test_whether_the_caps_stand_is_said_with_what_does_not(part: dict[str, object], told: str, city: City) -> None:
    found = card_of(city)
    report = {**found.report, "caps": part}
    point = found.point._replace(figures=figures_of(report))
    text = drawn(found._replace(report=report, point=point), 200)
    assert re.search(rf"^Caps +{re.escape(told)}$", text, re.MULTILINE), text


def test_without_caps_there_is_no_word_of_them(city: City) -> None:
    assert "Caps" not in drawn(card_of(city), 200)
