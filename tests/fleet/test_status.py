"""Each access point's state follows from its messages as DESIGN.md 3 says, and hostile messages change nothing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.wire import messages, safe_mode
from fleet import status
from fleet.status import City, Config, Row

CITY, AP = "demo", "rw-0501"
BOOT, OTHER_BOOT = "b1946ac92492d234", "00000000000000ff"
FIRST, SECOND = "1" * 16, "2" * 16


def topic(below: str, ap: str = AP) -> str:
    return f"wifi/v1/{CITY}/{ap}/{below}"


def a_report(seq: int = 1, boot: str = BOOT, ap: str = AP, **parts: object) -> bytes:
    return json.dumps({"v": 1, "ap": ap, "boot": boot, "seq": seq, "uptime_s": 5.0, "clock": "ntp", "span_s": 10.0, **parts}).encode()


def say(city: City, at: float, *said: tuple[str, bytes]) -> None:
    for below, payload in said:
        city.hear(at, topic(below), payload, False)


def birth(session: str) -> tuple[str, bytes]:
    return "presence", messages.encode(messages.presence_birth(BOOT, session, None, "0.1.0"))


def in_safe_mode(session: str) -> tuple[str, bytes]:
    return "presence", messages.encode(messages.presence_birth(BOOT, session, None, "0.1.0") | safe_mode.members(None, 5, ""))


def lost(session: str) -> tuple[str, bytes]:
    return "presence", messages.encode(messages.presence_lost(BOOT, session))


def stopped(session: str) -> tuple[str, bytes]:
    return "presence", messages.encode(messages.presence_stopped(BOOT, session))


def report(seq: int = 1, boot: str = BOOT, **parts: object) -> tuple[str, bytes]:
    return "report", a_report(seq, boot, **parts)


def row_of(city: City, at: float = 1.0) -> Row:
    (row,) = city.rows(at)
    return row


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ([birth(FIRST)], "online"),
        ([birth(FIRST), lost(FIRST)], "lost"),
        ([birth(FIRST), stopped(FIRST)], "offline"),
        ([birth(FIRST), birth(SECOND), lost(FIRST)], "online"),
        ([birth(FIRST), report(), in_safe_mode(SECOND)], "safe-mode"),
        ([in_safe_mode(FIRST), report()], "safe-mode"),
        ([in_safe_mode(FIRST), birth(SECOND), report()], "online"),
        ([in_safe_mode(FIRST), lost(FIRST)], "lost"),
        ([birth(FIRST), birth(SECOND), stopped(FIRST)], "online"),
        ([lost(FIRST)], "lost"),
        ([lost(FIRST), report(1)], "online"),
        ([lost(FIRST), birth(SECOND)], "online"),
        ([birth(FIRST), report(1), lost(FIRST)], "lost"),
        ([birth(FIRST), report(1), lost(FIRST), report(2)], "online"),
        ([birth(FIRST), report(5), lost(FIRST), report(4)], "lost"),
        ([birth(FIRST), report(5), lost(FIRST), report(5)], "lost"),
        ([birth(FIRST), report(5), lost(FIRST), report(1, OTHER_BOOT)], "online"),
        ([report(5), report(1, OTHER_BOOT), stopped(FIRST), report(6)], "offline"),
        ([report(1)], "online"),
    ],
)
def test_the_state_follows_from_the_order_of_messages(said: list[tuple[str, bytes]], state: str) -> None:
    """A `lost` counts only for the session of the last birth, and only a newer report means online."""
    city = City(CITY)
    say(city, 0.0, *said)
    assert row_of(city).state == state


def test_an_access_point_is_late_after_two_and_a_half_spans() -> None:
    """Late is measured in the access point's own report interval."""
    city = City(CITY)
    say(city, 100.0, birth(FIRST), report(1, span_s=10.0))
    assert [row_of(city, at).state for at in (125.9, 126.1)] == ["online", "late"]


def test_a_birth_without_any_report_becomes_late() -> None:
    """A daemon that is connected and never reports is not well."""
    city = City(CITY)
    say(city, 0.0, birth(FIRST))
    assert [row_of(city, at).state for at in (150.0, 152.0)] == ["online", "late"]


def test_a_span_out_of_all_reason_does_not_hide_silence() -> None:
    """No report can claim an interval beyond an hour."""
    city = City(CITY)
    say(city, 0.0, report(1, span_s=1e12))
    assert row_of(city, 3600 * 2.5 + 2).state == "late"


def confirmed(to: object, state: str = "confirmed") -> tuple[str, bytes]:
    """A verdict on a push that sets the report interval, or gives it back (None)."""
    change = {"path": "agent.report_interval_s", "from": 60, "to": to, "impact": "live"}
    return "config/reported", messages.encode({"v": 1, "state": state, "revision": 7, "changes": [{"path": "agent.sample_interval_s", "to": 5}, change]})


def test_a_push_that_lengthens_the_report_interval_makes_nobody_late() -> None:
    """The confirmed push says how long the next report may take, whatever reports of the former interval still come; then the reports do."""
    city = City(CITY)
    say(city, 0.0, birth(FIRST), report(1, span_s=60.0), confirmed(3600), report(2, span_s=60.0))
    assert [row_of(city, at).state for at in (160.0, 9000.0, 9002.0)] == ["online", "online", "late"]
    say(city, 3600.0, report(3, span_s=3600.0), report(4, span_s=60.0))
    assert row_of(city, 3600.0 + 152.0).state == "late"


@pytest.mark.parametrize(
    "said", [[confirmed(3600, "rolled_back")], [confirmed(3600), confirmed(None)], [confirmed(3600), confirmed("hourly")], [confirmed(20)]]
)
def test_only_the_interval_in_force_excuses_silence(said: list[tuple[str, bytes]]) -> None:
    """Not one that was taken back, given back, is none, or is shorter than what the reports show."""
    city = City(CITY)
    say(city, 0.0, birth(FIRST), report(1, span_s=60.0), *said)
    assert [row_of(city, at).state for at in (150.0, 152.0)] == ["online", "late"]


def test_no_push_hides_silence() -> None:
    """An interval beyond an hour is none."""
    city = City(CITY)
    say(city, 0.0, report(1), confirmed(10**12))
    assert row_of(city, 3600 * 2.5 + 2).state == "late"


def test_backlog_does_not_change_the_figures_shown() -> None:
    """After an outage the live report comes first; older ones that trickle in are not news."""
    city = City(CITY)
    say(city, 0.0, report(41, stations={"now": 9}), report(12, stations={"now": 1}))
    assert row_of(city).figures.stations == 9


def test_age_counts_from_the_newest_report() -> None:
    """The age is the time since the newest report was heard."""
    city = City(CITY)
    say(city, 10.0, report(1))
    assert row_of(city, 14.0).age_s == 4.0


def test_worst_comes_first_then_the_name() -> None:
    """Lost, late, offline, then online with problems, with something not measured, and well; equal ones by name."""
    city = City(CITY)
    for ap, alerts in (("rw-1", []), ("rw-2", []), ("rw-3", ["flash-full"]), ("rw-4", []), ("rw-5", [])):
        city.hear(0.0, topic("report", ap), a_report(ap=ap, alerts=alerts), False)
    city.hear(0.0, topic("presence", "rw-5"), lost(FIRST)[1], False)
    city.hear(0.0, topic("presence", "rw-4"), stopped(FIRST)[1], False)
    assert [row.ap for row in city.rows(1.0)] == ["rw-5", "rw-4", "rw-3", "rw-1", "rw-2"]


def test_figures_come_from_the_uplink_interface() -> None:
    """Down and up are the uplink's rx and tx as the access point sees them."""
    rows = [{"name": "br-lan", "role": "lan", "rx_bps": 1, "tx_bps": 2}, {"name": "wan", "role": "uplink", "rx_bps": 23_100_000, "tx_bps": 1_200_000}]
    figures = status.figures_of({"interfaces": rows})
    assert (figures.down_bps, figures.up_bps) == (23_100_000, 1_200_000)


def test_what_is_absent_stays_absent() -> None:
    """A value the access point cannot give is None, never 0."""
    assert status.figures_of({}) == status.NOTHING


@pytest.mark.parametrize(
    ("parts", "problems"),
    [
        ({"alerts": ["radio-down", "flash-full"]}, ("radio-down", "flash-full")),
        ({"uplink": {"state": "dns"}}, ("uplink-down",)),
        ({"uplink": {"state": "gateway"}, "alerts": ["uplink-down"]}, ("uplink-down",)),
        ({"host": {"memory_total_bytes": 100, "memory_available_bytes": 9}}, ("memory-low",)),
        ({"uplink": {"state": "ok"}, "host": {"memory_total_bytes": 100, "memory_available_bytes": 50}, "alerts": []}, ()),
    ],
)
def test_problems_are_words(parts: dict[str, object], problems: tuple[str, ...]) -> None:
    """Alerts, a failing uplink and little memory each give one word, once."""
    assert status.figures_of(parts).problems == problems


def test_a_failing_collector_is_a_note() -> None:
    """What could not be measured is named, and is not a problem of the access point."""
    figures = status.figures_of({"agent": {"collectors": {"dhcp": {"error": "no DHCP server"}, "host": {"ms": 1.0}}}})
    assert (figures.notes, figures.problems) == (("no dhcp",), ())


@pytest.mark.parametrize(
    ("below", "payload"),
    [
        ("report", b"\xff\xfe"),
        ("report", b"[1]"),
        ("report", a_report(ap="rw-9999")),
        ("report", b'{"ap":"rw-0501","seq":1}'),
        ("report", b'{"ap":"rw-0501","boot":"b1946ac92492d234"}'),
        ("report", a_report(boot=BOOT * 4)),
        ("report", a_report(boot="B1946AC92492D23\n")),
        ("presence", b""),
        ("presence", b'{"state":"on fire"}'),
        ("echo", b"{}"),
        ("command/reboot", b"x"),
    ],
)
def test_what_is_not_a_message_of_ours_is_ignored_and_counted(below: str, payload: bytes) -> None:
    """A malformed or foreign message makes no row."""
    city = City(CITY)
    say(city, 0.0, (below, payload))
    assert (city.rows(1.0), city.ignored) == ([], 1)


@pytest.mark.parametrize("name", ["wifi/v1/other/rw-0501/report", "wifi/v1/demo/RW-1/report", "wifi/v1/demo/a\x1b[2J/report", "other", ""])
def test_a_topic_outside_the_grammar_is_ignored(name: str) -> None:
    """Neither another city's topics nor names outside the grammar make a row."""
    city = City(CITY)
    city.hear(0.0, name, a_report(), False)
    assert city.rows(1.0) == []


def test_a_retained_report_is_ignored() -> None:
    """Reports are never retained (DESIGN.md 3): a retained one is no sign of life."""
    city = City(CITY)
    city.hear(0.0, topic("report"), a_report(), True)
    assert city.rows(1.0) == []


def test_a_deflated_report_is_read() -> None:
    """`encoding = "deflate"` shows the same figures."""
    city = City(CITY)
    say(city, 0.0, ("report", messages.deflate(a_report(stations={"now": 3}))))
    assert row_of(city).figures.stations == 3


def test_messages_a_second_are_of_the_last_ten_whole_seconds() -> None:
    """The rate forgets what is older than ten seconds."""
    city = City(CITY)
    for second in range(30):
        say(city, second + 0.5, report(second + 1))
    assert (city.rate(30.0), city.rate(60.0)) == (1.0, 0.0)


def test_memory_is_bounded() -> None:
    """No flood of names makes the table grow without end."""
    city = City(CITY, most=3)
    for number in range(9):
        city.hear(0.0, topic("report", f"rw-{number}"), a_report(ap=f"rw-{number}"), False)
    assert (len(city.rows(1.0)), city.ignored) == (3, 6)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
PARTS = st.sampled_from(["stations", "bss", "interfaces", "uplink", "host", "alerts", "agent", "clock", "span_s", "seq", "boot"])


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(PARTS, JSON))
def test_any_value_in_any_place_makes_at_most_a_row(parts: dict[str, object]) -> None:
    """No report of whatever shape raises."""
    city = City(CITY)
    say(city, 0.0, ("report", json.dumps({"ap": AP, "boot": BOOT, "seq": 1, **parts}).encode()))
    assert len(city.rows(1.0)) <= 1


@settings(max_examples=100, deadline=None)
@given(st.text(), st.binary(), st.booleans())
def test_any_bytes_on_any_topic_are_taken(name: str, payload: bytes, is_retained: bool) -> None:
    """No message of whatever bytes raises."""
    city = City(CITY)
    city.hear(0.0, name, payload, is_retained)
    city.hear(0.0, topic("report"), payload, is_retained)
    assert city.ignored >= 1


def test_how_the_last_push_stands_is_what_was_last_reported() -> None:
    """Revision, state and reason of the newest config/reported, also a retained one; what is none changes nothing and is counted."""
    city = City(CITY)
    say(city, 0, birth(FIRST))
    assert row_of(city).config is None
    say(city, 0, ("config/reported", b'{"v":1,"state":"confirmed","revision":7}'))
    city.hear(0, topic("config/reported"), b'{"v":1,"state":"rolled_back","revision":8,"reason":"not_on_air"}', True)
    say(city, 0, ("config/reported", b'{"v":1,"state":"perhaps"}'), ("config/reported", b"garbage"), ("config/reported", b'{"state":"failed","revision":"8"}'))
    assert row_of(city).config == Config(8, "rolled_back", "not_on_air")
    assert city.ignored == 3


@pytest.mark.parametrize(
    ("part", "caps"),
    [
        ({"standing": True, "missing": []}, "standing"),
        ({"standing": False, "missing": ["rwd-public is not there"]}, "missing"),
        ({"standing": True, "missing": [], "bypassed": True}, "bypassed"),
        ({"standing": False, "bypassed": True}, "missing"),
        ({"standing": "yes"}, None),
        (7, None),
        (None, None),
    ],
)
def test_caps_are_as_the_access_point_read_them_back(part: object, caps: str | None) -> None:
    """None where none are wanted, or nothing that can be understood was said of them."""
    assert status.figures_of({"caps": part}).caps == caps
