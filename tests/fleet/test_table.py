"""The table fits its terminal, puts first what matters, and shows hostile text as text."""

from __future__ import annotations

import io
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from fleet.status import NOTHING, STATES, Config, Row
from fleet.table import SHAPES, View, picture, printable, render

WELL = NOTHING._replace(
    stations=14,
    down_bps=23_100_000.0,
    up_bps=1_200_000.0,
    uplink="ok",
    uplink_ms=14.9,
    outbox=0,
    clock="ntp",
    cpu_ratio=0.07,
    memory_free_ratio=0.61,
    ssids=("Malang RW 05",),
)


def a_row(ap: str = "rw-0501", state: str = "online", age_s: float | None = 2.0, **changes: object) -> Row:
    return Row(ap, state, age_s, WELL._replace(**changes), (1e6, 9e6, 23.1e6))  # type: ignore[arg-type]


def drawn(view: View, width: int = 80, height: int | None = None) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None, legacy_windows=False)
    console.print(render(view, width, height))
    return console.file.getvalue()  # type: ignore[attr-defined]


def a_view(*rows: Row, **changes: object) -> View:
    return View("demo", rows, 2.6, 0)._replace(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """In every width each access point takes one line, however long its words."""
    rows = [a_row(f"rw-{number:04d}", problems=("uplink-down", "conntrack-full", "memory-low")) for number in range(13)]
    lines = drawn(a_view(*rows, footer="Ctrl-C " * 40), width).splitlines()
    assert max(map(len, lines)) <= width
    assert sum("rw-0" in line for line in lines) == 13


def test_80_columns_hold_what_an_operator_looks_at_first() -> None:
    """State, clients, down, up, uplink, health and the report's age are all there in 80 columns, whatever is wrong."""
    text = drawn(a_view(a_row(uplink_ms=150.0), a_row("rw-0502", problems=("uplink-down",))))
    assert all(word in text for word in ("Access point", "State", "Clients", "Down", "Up", "Uplink", "Health", "Report", "uplink-down"))


def test_a_wide_terminal_shows_every_column() -> None:
    """With room there are networks, CPU and memory too."""
    text = drawn(a_view(a_row()), 160)
    assert "Malang RW 05" in text and "61 %" in text and "7 %" in text


@pytest.mark.parametrize("state", STATES)
def test_a_state_is_a_shape_and_a_word(state: str) -> None:
    """State is never colour alone, and no two states share a shape."""
    assert f"{SHAPES[state][0]} {state}" in drawn(a_view(a_row(state=state)))
    assert len({shape for shape, _ in SHAPES.values()}) == len(STATES)


def test_the_title_counts_by_state() -> None:
    """The first line says how many are in which state."""
    title = drawn(a_view(a_row(), a_row("rw-0502", "lost"), a_row("rw-0503")), 100).splitlines()[0]
    assert "✖ 1 lost" in title and "● 2 online" in title and "28 clients" in title


def test_problems_stand_in_words() -> None:
    """Health is "ok", the problems, or what was not measured."""
    text = drawn(a_view(a_row("rw-1"), a_row("rw-2", problems=("uplink-down",)), a_row("rw-3", notes=("no dhcp",))))
    health = {line.split()[0]: line for line in text.splitlines() if line.startswith("rw-")}
    assert " ok " in health["rw-1"].replace("ok 15 ms", "") and "uplink-down" in health["rw-2"] and "no dhcp" in health["rw-3"]


def test_what_a_silent_access_point_said_is_old() -> None:
    """No access point that is lost or late is shown as "ok" now."""
    assert "was ok" in drawn(a_view(a_row(state="lost", age_s=500.0)))


def test_what_is_unknown_is_a_dash() -> None:
    """A value the access point cannot give is not shown as 0."""
    text = drawn(a_view(Row("rw-0501", "unknown", None, NOTHING, ()), a_row("rw-0502")))
    (line,) = [line for line in text.splitlines() if "rw-0501" in line]
    assert "0" not in line.replace("rw-0501", "") and "–" in line


def test_a_small_screen_shows_the_worst_and_counts_the_rest() -> None:
    """551 access points on 24 lines: the first ones, and how many more there are."""
    lines = drawn(a_view(*(a_row(f"rw-{number:04d}") for number in range(551))), 80, 24).splitlines()
    assert len(lines) <= 24
    shown = sum("rw-0" in line for line in lines)
    assert any(f"and {551 - shown} more" in line for line in lines)


HOSTILE = ["\x1b[2J\x1b[31m", "[red]bold[/red][link=x]", "a\nb\rc\x00", "\u202egnp.exe", "\udcff", "[/]", "\x9b2J"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_as_text(text: str) -> None:
    """Control bytes, markup and direction marks in what an access point says reach the terminal spelled out."""
    row = a_row(ssids=(text,), problems=(text,), notes=(text,), clock=text, uplink=text)
    out = drawn(a_view(row, city=text, warnings=[text]), 300)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out)
    assert all(c.isprintable() or c == "\n" for c in plain)
    assert printable(text) in plain


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40), st.integers(30, 200))
def test_no_text_breaks_the_frame(text: str, width: int) -> None:
    """Whatever a network is called, also in wide characters, each access point stays on one line."""
    lines = drawn(a_view(a_row(ssids=(text,), problems=(text,)), a_row("rw-0502")), width).splitlines()
    assert sum("rw-05" in line for line in lines) == 2


def test_the_picture_is_well_formed_and_fetches_nothing() -> None:
    """The README's picture is an SVG without fonts or images from elsewhere."""
    svg = picture(a_view(a_row()), 100, "./scripts/run")
    ElementTree.fromstring(svg)
    assert "rw-0501" in svg and re.findall(r"https?://(?!www\.w3\.org/2000/svg)", svg) == []


@pytest.mark.parametrize(
    ("config", "shown"),
    [
        (Config(7, "confirmed", None), "● 7 confirmed"),
        (Config(8, "rolled_back", "not_on_air"), "▲ 8 rolled back"),
        (Config(8, "testing", None), "▶ 8 testing"),
        (Config(8, "failed", "could_not_restore"), "✖ 8 failed"),
        (Config(None, "rejected", "malformed"), "▲ rejected"),
        (Config(9, "a\x1b[2Jb", None), "? 9 a\\x1b[2Jb"),
    ],
)
def test_a_push_is_shown_by_shape_number_and_word(config: Config, shown: str) -> None:
    """State is never colour alone; what is unknown or hostile is shown as text."""
    text = drawn(a_view(a_row()._replace(config=config), a_row("rw-0502")), 120)
    assert "Config" in text and shown in text
    assert "Config" not in drawn(a_view(a_row()), 200), "where nothing was ever pushed there is nothing to show"


def a_city_of_states() -> View:
    """One row of each kind, as the store's view makes them."""
    where = {"kelurahan": "Oro-oro Dowo", "provider": "Biznet Metronet"}
    rows = [
        a_row("rw-0001", "lost", 700.0)._replace(**where),
        a_row("rw-0002", "late", 300.0, problems=("flash-full",))._replace(**where),
        a_row("rw-0003", "offline", 8000.0)._replace(**where),
        a_row("rw-0004", "unknown", 4000.0)._replace(**where, was="lost"),
        a_row("rw-0005", "unknown", 4000.0)._replace(**where, was="online"),
        Row("rw-0006", "never", None, NOTHING, ())._replace(**where),
        a_row("rw-0007", problems=("radio-down", "dhcp-pool-full"))._replace(**where),
        a_row("rw-0008")._replace(**where, config=Config(7, "confirmed", None)),
        Row("rw-9999", "pending", 4.0, NOTHING, ()),
    ]
    return a_view(
        *rows, city="malang", messages_per_s=None, footer="Ctrl-C ends", warnings=["rwctl serve is not running: what follows is as it was 21:13:20, 2 h ago"]
    )


@pytest.mark.parametrize("width", [80, 120, 200])
def test_the_table_is_as_looked_at(width: int) -> None:
    """Each state by shape and word; place and provider where there is room; what is old or not known is not shown as news."""
    golden = Path(__file__).resolve().parents[1] / "golden" / f"status_{width}.txt"
    assert drawn(a_city_of_states(), width) == golden.read_text(encoding="utf-8")


def test_the_title_keeps_what_fits() -> None:
    """Counts by state come first; no number is cut in the middle."""
    view = a_view(*(a_row(f"rw-{number}") for number in range(9)))
    titles = [drawn(view, width).splitlines()[0] for width in (30, 50, 80, 120)]
    assert titles == [
        "demo  ● 9 online   126 clients",
        "demo  ● 9 online   126 clients",
        "demo  ● 9 online   126 clients   ↓ 207.9 ↑ 10.8 Mbit/s   2.6 messages/s",
        "demo  ● 9 online   126 clients   ↓ 207.9 ↑ 10.8 Mbit/s   2.6 messages/s",
    ]


def test_where_nobody_is_online_no_sum_is_shown() -> None:
    """Not 0 Mbit/s: nobody knows."""
    assert drawn(a_view(a_row(state="unknown"), messages_per_s=None), 80).splitlines()[0] == "demo  ? 1 unknown"


def test_a_remedy_is_never_cut_off_in_print() -> None:
    """On a screen one line each; printed, as many as it takes."""
    warning = "1 certificate has no row in the inventory and gets nothing: rw-9999; enrol it:  rwctl --dir /srv/malang enroll rw-9999 …"
    assert warning in " ".join(drawn(a_view(a_row(), warnings=[warning]), 60).split()).replace("it: rwctl", "it:  rwctl")
    assert len(drawn(a_view(a_row(), warnings=[warning]), 60, 12).splitlines()) < 12


def test_only_the_first_are_drawn_and_all_are_counted() -> None:
    """`--limit` shortens the table, not the city."""
    console = Console(width=80, file=io.StringIO(), color_system=None)
    console.print(render(a_view(*(a_row(f"rw-{number}") for number in range(9))), 80, most=2))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "9 online" in text and sum(line.startswith("rw-") for line in text.splitlines()) == 2


@pytest.mark.parametrize(("caps", "said"), [("standing", "● standing"), ("missing", "✖ missing"), ("bypassed", "▲ bypassed")])
def test_caps_have_a_column_where_anybody_is_to_have_some(caps: str, said: str) -> None:
    text = drawn(View("malang", [a_row(), a_row("rw-0502", caps=caps)], 0, 0), 200)
    assert "Caps" in text and said in text
    assert "Caps" not in drawn(View("malang", [a_row()], 0, 0), 200)
