"""Messages become rows or poison: strict about whose they are, lenient about what they measured, never surprised."""

from __future__ import annotations

import json
import random
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire import config, messages, safe_mode
from fleet.quarantine import beginning
from fleet.rows import AlertChange, RawRow, StateChange
from fleet.understand import Event, Poison, Presence, Report, Who, kept_report, understand
from tests.reports import BOOT, event, report
from tests.spoiling import mutated

WHO = Who("rw-0501", 7)
NOW = 1_790_000_400.0
BELOW = ("report", "event", "presence", "info", "config/reported", "config/plan/result", "alert/memory-low", "alert/", "sla", "")


def hear(message: object, below: str = "report", is_retained: bool = False, now: float = NOW) -> Any:
    payload = message if isinstance(message, bytes) else json.dumps(message).encode()
    return understand(WHO, below, payload, is_retained, now)


def row_of(**changes: Any) -> RawRow:
    heard = hear({**report(41, 300), **changes})
    assert isinstance(heard, Report), heard
    row: RawRow = heard.row
    return row


def test_a_report_becomes_its_row() -> None:
    """Every column comes from where the contract says."""
    message = report(41, 300)
    wan, radios, host = message["interfaces"][0], message["radios"], message["host"]
    heard = hear(message)
    assert heard.row == RawRow(
        *(1_790_000_300, 7, BOOT, 41, None, 60.0, 300.0, "ntp", 0, 1 if message["uplink"]["state"] == "ok" else 0),
        *(message["stations"]["now"], message["stations"]["max"], message["stations"]["weak_ratio"]),
        *(wan["rx_bps"], wan["tx_bps"], wan["rx_peak_bps"], wan["tx_peak_bps"]),
        *(message["uplink"]["internet_ms"], message["uplink"]["loss_ratio"], max(radio["airtime_busy_ratio"] for radio in radios)),
        *(host["cpu_ratio"], host["memory_available_bytes"] / host["memory_total_bytes"]),
        " ".join(message["alerts"]) or None,
    )
    assert (heard.oldest, heard.said_at, heard.odd) == (41, 1_790_000_300.0, 0)


def test_a_deflated_report_is_the_same() -> None:
    """`encoding = "deflate"` changes nothing in the store."""
    plain = json.dumps(report(41, 300)).encode()
    assert hear(messages.deflate(plain)).row == hear(plain).row


def test_what_the_access_point_cannot_give_is_null() -> None:
    """A report of nothing but its identity is stored, with nothing known."""
    bare = {"v": 1, "ap": "rw-0501", "boot": BOOT, "seq": 1, "uptime_s": 60, "clock": "none", "span_s": 60, "late": False, "agent": {}}
    heard = hear(bare)
    assert heard.row == RawRow(None, 7, BOOT, 1, None, 60.0, 60.0, "none", 0, None)
    assert heard.odd == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"ap": "rw-0502"},
        {"ap": None},
        {"boot": "B1946AC92492D234"},
        {"boot": "b1946ac9"},
        {"boot": 7},
        {"seq": 0},
        {"seq": -1},
        {"seq": 2**53},
        {"seq": 41.0},
        {"seq": True},
        {"seq": "41"},
        {"uptime_s": -1},
        {"uptime_s": True},
        {"uptime_s": None},
        {"uptime_s": 1e300},
        {"span_s": -0.1},
        {"span_s": 86_401},
        {"span_s": "60"},
        {"from_seq": 42},
        {"from_seq": 0},
        {"from_seq": 1.5},
        {"from_seq": True},
    ],
)
def test_an_identity_that_is_not_right_is_poison(changes: dict[str, Any]) -> None:
    """Whose a report is, and which, is never guessed."""
    assert isinstance(hear({**report(41, 300), **changes}), Poison)


@pytest.mark.parametrize("name", ["ap", "boot", "seq", "uptime_s", "span_s"])
def test_an_identity_that_is_missing_is_poison(name: str) -> None:
    """Each member of the identity must be there."""
    message = report(41, 300)
    del message[name]
    heard = hear(message)
    assert isinstance(heard, Poison) and name in heard.reason


def test_a_merged_report_of_more_than_a_day_of_seconds_is_poison() -> None:
    """`from_seq` cannot claim the whole past."""
    assert row_of(seq=100_000, from_seq=1).from_seq == 1
    assert isinstance(hear({**report(41, 300), "seq": 100_001, "from_seq": 1}), Poison)


def test_the_reason_quotes_nothing_of_the_message() -> None:
    """A reason goes into logs and screens."""
    heard = hear({**report(41, 300), "boot": "SECRET"})
    assert "SECRET" not in heard.reason


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"1E+400", b"1" + b"0" * 400 + b".5"])
def test_an_infinite_figure_is_no_json(number: bytes) -> None:
    """A number too large for a float is refused, as the wire's own decoder does, plain or deflated."""
    payload = messages.encode(report(41, 300)).replace(b'"cpu_ratio":', b'"cpu_ratio":' + number + b',"then":', 1)
    assert hear(payload) == hear(messages.deflate(payload)) == Poison("a number is too large")


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_what_is_not_json_is_poison(constant: str) -> None:
    """Python's own additions to JSON are no JSON."""
    assert isinstance(hear(f'{{"ap":"rw-0501","x":{constant}}}'.encode()), Poison)


def test_a_time_is_trusted_by_clock_and_by_nearness() -> None:
    """`at` counts with clock ntp and within a day of the city's time; else the row is stamped from the uptime."""
    assert row_of().ts == 1_790_000_300
    assert row_of(clock="floor").ts is None
    assert row_of(at=int(NOW) - 86_401).ts is None
    assert row_of(at=int(NOW) + 86_401).ts is None
    assert row_of(at=int(NOW) - 86_399).ts == int(NOW) - 86_399
    assert row_of(at="now").ts is None
    assert row_of(clock="gps").clock == "none"


def test_a_retained_report_is_poison() -> None:
    """A report is never retained: it would come again after each reconnect."""
    assert isinstance(hear(report(41, 300), is_retained=True), Poison)
    assert isinstance(hear(event(41, 300), "event", is_retained=True), Poison)


def test_a_deflate_bomb_is_poison() -> None:
    """What inflates beyond the bound is not inflated."""
    assert isinstance(hear(zlib.compress(b"[" * 50_000_000, 9)), Poison)


@pytest.mark.parametrize("payload", [b"[" * 100_000, b'{"a":' * 20_000 + b"1" + b"}" * 20_000, b"9" * 120_000, b"{" + b" " * 200_000 + b"}", b"\xff\xfe", b""])
@pytest.mark.parametrize("below", BELOW)
def test_monsters_are_poison_everywhere(payload: bytes, below: str) -> None:
    """Nesting, length and bytes that are no text end as poison, or as nothing where an empty payload clears."""
    assert isinstance(hear(payload, below), Poison | AlertChange | None)


def test_a_deeply_nested_member_does_not_reach_the_store() -> None:
    """What can just be read, and not be written any more, is left out of `state`."""
    deep = b'{"a":' * 900 + b"1" + b"}" * 900
    heard = hear(json.dumps(report(41, 300)).encode()[:-1] + b',"max":' + deep + b"}")
    if isinstance(heard, Report):
        kept_report(heard)


def test_kept_reports_have_no_stranger_members_and_no_stations_address() -> None:
    """Of a report only the contract's members stay, and of its addresses only the access point's own."""
    message = report(41, 300) | {"spy": {"mac": "a4:83:e7:12:34:56"}}
    message["agent"]["collectors"]["stations"]["error"] = "station a4-83-e7-12-34-57 odd, a4:83:E7:12:34:58 too"
    kept = kept_report(hear(message))
    assert kept is not None
    del message["spy"]
    for text in (kept, kept_report(hear(message)), kept_report(hear(messages.deflate(json.dumps(message).encode())))):
        assert text is not None and "12:34:5" not in text and "12-34-5" not in text
    assert "12:34:5" not in kept and "12-34-5" not in kept and "spy" not in kept
    assert json.loads(kept)["bss"][0]["bssid"] == "02:00:00:00:00:01"


def test_an_event_becomes_its_row() -> None:
    """An event keeps its data as JSON."""
    heard = hear(event(42, 310) | {"clock": "ntp"}, "event")
    assert isinstance(heard, Event)
    assert heard.row[:5] == (1_790_000_310, 7, BOOT, 42, "uplink")
    assert json.loads(heard.row.data) == {"from": "ok", "to": "dns", "for_s": 12.5}


@pytest.mark.parametrize("changes", [{"kind": 7}, {"kind": "x" * 33}, {"kind": "A b"}, {"data": []}, {"seq": 0}, {"ap": "rw-0502"}])
def test_an_event_that_is_not_right_is_poison(changes: dict[str, Any]) -> None:
    """As with reports."""
    assert isinstance(hear({**event(42, 310), **changes}, "event"), Poison)


def test_an_event_keeps_neither_address_nor_key_nor_too_much() -> None:
    """The free part of a message is where a faulty agent would put what must not leave the router."""
    kept = hear({**event(42, 310), "data": {"station": "a4:83:e7:12:34:56", "key": "hunter2hunter2"}}, "event").row.data
    assert json.loads(kept) == {"station": "***", "key": "***"}
    assert hear({**event(42, 310), "data": {"text": "x" * 9_000}}, "event").row.data == "{}"


ADDRESSES = ("02-ab-cd-ef-01-23", "02abcdef0123", "x-02abcdef0123", "02-ab-cd-ef-01-23-up")


@pytest.mark.parametrize("word", ADDRESSES)
def test_no_name_is_an_address(word: str) -> None:
    """Kinds and codes go into the store as they are: one that could be a station's address is refused, or left out of a report's list."""
    assert isinstance(hear({**event(42, 310), "kind": word}, "event"), Poison)
    assert isinstance(hear(messages.alert(word, 1, {}), f"alert/{word}"), Poison)
    assert isinstance(hear(b"", f"alert/{word}"), Poison)
    heard = hear({**report(41, 300), "alerts": [word, "flash-full", "of-a-later-version"]})
    assert (heard.row.alerts, heard.odd) == ("flash-full of-a-later-version", 1)
    assert word not in str(kept_report(heard))


def test_what_is_kept_is_pruned_and_starred_at_every_depth() -> None:
    """Members inside known parts, addresses without colons, secrets by their names, wherever they stand."""
    mac, bare, secret = "02:ab:cd:ef:01:23", "02abcdef0123", "hunter2"
    message = report(41, 300) | {"dhcp": {"leases": 1, "hosts": {mac: bare}}, "radios": [{"radio": "radio0", "up": True, "config": {"key": secret}}]}
    info = {"v": 1, "ap": "rw-0501", "board": bare, "radios": [{"radio": f"r {mac}", "key": secret}], "psk": secret}
    verdict = {"v": 1, "state": "confirmed", "errors": [{"path": mac, "code": bare, "message": f"no password={secret}"}], "psk": secret}
    verdict |= {"changes": [{"path": "a.psk", "from": secret, "to": {"x": secret}}], "drift": [{"path": "a.key", "expected": secret, "found": secret}]}
    data = {"data": {"a": [{bare: mac, "sae_password": secret}], "passphrase": secret}}
    kept = [
        kept_report(hear(message)),
        *hear(info, "info").values,
        *hear(verdict, "config/reported").values,
        *hear(verdict | {"state": "planned"}, "config/plan/result").values,
        hear({**event(42, 310), **data}, "event").row.data,
        hear(messages.alert("flash-full", 1, {}) | data, "alert/flash-full").data,
    ]
    for text in map(str, kept):
        assert mac not in text and bare not in text and secret not in text
    assert json.loads(kept[0] or "")["dhcp"] == {"leases": 1}
    assert json.loads(str(kept[2]))["changes"] == [{"path": "a.psk", "from": "***", "to": "***"}]


def test_presence_is_told_with_its_session() -> None:
    """Who decides about it is not here."""
    birth = messages.presence_birth(BOOT, "0123456789abcdef", 1, "0.1.0")
    assert hear(birth, "presence", is_retained=True) == Presence("online", "0123456789abcdef")
    assert hear(birth | safe_mode.members(1, 5, ""), "presence") == Presence("safe-mode", "0123456789abcdef")
    assert hear(b"", "presence") is None
    assert isinstance(hear({"state": "online", "session": "short", "boot": BOOT}, "presence"), Poison)


def test_info_is_kept_as_the_contract_names_it() -> None:
    """Members that the contract does not know are left out; another's info is poison."""
    heard = hear({"v": 1, "ap": "rw-0501", "model": "GL-MT3000", "agent": "0.1.0", "odd": 1}, "info", is_retained=True)
    assert heard == StateChange(7, "info", ('{"v":1,"ap":"rw-0501","model":"GL-MT3000","agent":"0.1.0"}',))
    assert isinstance(hear({"v": 1, "ap": "rw-0502"}, "info"), Poison)


def test_a_verdict_is_kept_without_keys() -> None:
    """Whatever an agent says was changed, no key of a network is written down."""
    rows = [("ssids.office.key", "hunter2hunter2", "correcthorse", "bss"), ("ssids.office.ssid", "A", "B", "bss")]
    heard = hear(config.reported("confirmed", revision=7, changes=rows), "config/reported", is_retained=True)
    assert heard.part == "reported" and heard.values[1] == int(NOW)
    assert "hunter2" not in heard.values[0] and "correcthorse" not in heard.values[0]
    assert json.loads(heard.values[0])["changes"][1] == {"path": "ssids.office.ssid", "from": "A", "to": "B", "impact": "bss"}
    assert isinstance(hear({"v": 1, "state": "done"}, "config/reported"), Poison)


def test_a_plan_is_kept() -> None:
    """So is a plan; it is never retained."""
    heard = hear(config.plan_result(7), "config/plan/result")
    assert heard.part == "plan" and json.loads(heard.values[0])["state"] == "planned"
    assert isinstance(hear(config.plan_result(7), "config/plan/result", is_retained=True), Poison)
    assert isinstance(hear({"v": 1, "state": "running"}, "config/plan/result"), Poison)


def test_an_alert_is_raised_and_cleared() -> None:
    """An empty payload clears; a code that is not the topic's is poison."""
    raised = messages.alert("memory-low", 1_790_000_000, {"ratio": 0.05})
    assert hear(raised, "alert/memory-low", is_retained=True) == AlertChange(7, "memory-low", 1_790_000_000, '{"ratio":0.05}')
    assert hear(b"", "alert/memory-low") == AlertChange(7, "memory-low", None, None)
    assert isinstance(hear(raised, "alert/flash-full"), Poison)
    assert isinstance(hear(raised, "alert/Memory"), Poison)
    assert hear({**raised, "since": -1}, "alert/memory-low").since is None


def test_thousands_of_spoilt_messages_never_raise() -> None:
    """Whatever becomes of the bytes of a good message, it is understood or refused; rows hold nothing that a database would refuse."""
    rng = random.Random(5)
    good: list[tuple[str, bytes]] = [
        ("report", json.dumps(report(41, 300)).encode()),
        ("report", messages.deflate(json.dumps(report(41, 300)).encode())),
        ("event", json.dumps(event(42, 310)).encode()),
        ("presence", messages.encode(messages.presence_birth(BOOT, "0123456789abcdef", 1, "0.1.0"))),
        ("info", b'{"v":1,"ap":"rw-0501","model":"x","radios":[{"radio":"radio0"}]}'),
        ("config/reported", messages.encode(config.reported("confirmed", revision=7, changes=[("ssids.a.key", "x", "y", "bss")]))),
        ("config/plan/result", messages.encode(config.plan_result(7))),
        ("alert/memory-low", messages.encode(messages.alert("memory-low", 1, {}))),
    ]
    for _ in range(4_000):
        below, payload = rng.choice(good)
        heard = hear(mutated(rng, payload), rng.choice([below, below, below, rng.choice(BELOW)]), rng.random() < 0.1)
        if isinstance(heard, Report):
            assert all(value is None or type(value) in (int, float, str) for value in heard.row)
            assert all(abs(value) <= 2**53 for value in heard.row if type(value) in (int, float))
            text = kept_report(heard)
            assert text is None or (json.loads(text) is not None and text.encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(sorted(report(41, 300))), JSON, max_size=6), st.sampled_from(BELOW), st.booleans())
def test_any_value_of_any_member_is_borne(changes: dict[str, Any], below: str, is_retained: bool) -> None:
    """Whatever JSON stands where, nothing raises."""
    heard = hear({**report(41, 300), **changes}, below, is_retained)
    if isinstance(heard, Report):
        kept_report(heard)


@given(st.binary(max_size=400), st.sampled_from(BELOW))
def test_any_bytes_are_borne(payload: bytes, below: str) -> None:
    """Nor do bytes, neither here nor in what quarantine shows of them."""
    hear(payload, below)
    shown = beginning(payload)
    assert shown.isprintable() and len(shown) <= 256
