"""Messages: builders make the golden examples; parsers give a record or Malformed for any bytes, within their bounds."""

from __future__ import annotations

import json
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire import messages
from agent.wire.messages import Ack, Echo, Malformed, Presence

GOLDEN = Path(__file__).parents[1] / "golden"
BOOT, SESSION = "b1946ac92492d234", "5f2c9a7be01d4483"
PARSERS: list[Callable[[bytes], object]] = [messages.parse_ack, messages.parse_presence, messages.parse_echo, messages.decode_report]
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=20,
)
MEMBERS = st.sampled_from(["v", "boot", "through", "missing", "state", "session", "number"])


def golden(name: str) -> dict[str, Any]:
    message = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    assert isinstance(message, dict)
    return message


def info_members() -> dict[str, Any]:
    """The golden info as info() takes it."""
    example = golden("info")
    del example["v"]
    return example | {"radios": [(radio["radio"], radio.get("band")) for radio in example["radios"]]}


def ack(**members: object) -> bytes:
    return json.dumps({"boot": BOOT, "through": 41, "missing": []} | members).encode()


# What goes up


@pytest.mark.parametrize(
    ("name", "built"),
    [
        ("presence_birth", messages.presence_birth(BOOT, SESSION, 1790000012, "0.1.0")),
        ("presence_lost", messages.presence_lost(BOOT, SESSION)),
        ("presence_stopped", messages.presence_stopped(BOOT, SESSION)),
        ("event_uplink", messages.event("rw-0501", BOOT, 44, 1790000180, 5303.4, "uplink", {"from": "ok", "to": "dns", "for_s": 5211.0}, "ntp")),
        ("alert", messages.alert("dhcp-pool-full", 1789999200, {"leases": 147, "pool": 150})),
        ("echo", messages.echo(SESSION, 128)),
    ],
)
def test_a_builder_makes_the_golden_example(name: str, built: dict[str, object]) -> None:
    """Each builder's message is the golden one."""
    assert built == golden(name)


def test_own_presence_makes_the_golden_examples() -> None:
    """What the broker is given for birth, will and clean stop is the golden presence, in whole seconds."""
    own = messages.OwnPresence(BOOT, "0.1.0", lambda: 1790000012.7)
    made = [json.loads(payload) for payload in (own.birth(SESSION), own.lost(SESSION), own.stopped(SESSION))]
    assert made == [golden(f"presence_{name}") for name in ("birth", "lost", "stopped")]


def test_safe_mode_is_read_out_of_a_birth_only() -> None:
    """Whoever is not online is in no mode; a word that is not true is none."""
    birth = golden("presence_safe_mode")
    read = [messages.parse_presence(json.dumps(birth | more).encode()) for more in ({}, {"state": "lost"}, {"safe_mode": "yes"}, {"safe_mode": False})]
    assert [(one.state, one.is_safe) for one in read] == [("online", True), ("lost", False), ("online", False), ("online", False)]


def test_info_makes_the_golden_example_from_its_members() -> None:
    """Given the golden info's members, info() makes the golden info."""
    assert messages.info(**info_members()) == golden("info")


def test_what_is_not_known_is_absent() -> None:
    """An unknown time or model is left out: never null, never 0."""
    built = messages.info(**info_members() | {"model": None, "uplink": None, "certificate_expires_at": None, "radios": [("radio0", None)]})
    assert not {"model", "uplink", "certificate_expires_at"} & set(built)
    assert built["radios"] == [{"radio": "radio0"}]
    assert "at" not in messages.presence_birth(BOOT, SESSION, None, "0.1.0")
    assert "at" not in messages.event("rw-0501", BOOT, 1, None, 31.8, "boot", {})
    assert "since" not in messages.alert("radio-down", None, {})


@given(st.dictionaries(st.text(), st.recursive(st.text() | st.integers(-9, 9), lambda inner: st.lists(inner, max_size=4), max_leaves=8), max_size=6))
def test_encoding_is_compact_utf8_that_reads_back(message: dict[str, object]) -> None:
    """Text of any script survives the way through bytes, without escapes or spaces between members."""
    assert json.loads(messages.encode(message).decode()) == message
    assert messages.encode({"ssid": "Wáng 王 🛜"}) == '{"ssid":"Wáng 王 🛜"}'.encode()


@given(st.text(st.characters(codec=None), max_size=40))
def test_lone_surrogates_never_make_invalid_utf8(text: str) -> None:
    """A surrogate, in a value or a name, becomes the text of its escape; the bytes are UTF-8 and readers see no surrogate."""
    again = json.loads(messages.encode({text: [text]}).decode())
    expected = "".join(f"\\u{ord(c):04x}" if "\ud800" <= c <= "\udfff" else c for c in text)
    assert again == {expected: [expected]}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_nan_and_infinity_are_not_sent(number: float) -> None:
    """A number that is not JSON is an error here, not at every reader."""
    with pytest.raises(ValueError, match="JSON compliant"):
        messages.encode({"load1": number})


@given(st.binary(max_size=4096))
def test_deflate_begins_with_0x78_and_inflates_with_any_zlib(payload: bytes) -> None:
    """The first byte of what is deflated is always 0x78, so a reader can tell it from JSON."""
    deflated = messages.deflate(payload)
    assert deflated[0] == 0x78
    assert zlib.decompress(deflated) == payload


def without_numbers(value: object) -> object:
    """Give the same with 0 for every number."""
    if isinstance(value, dict):
        return {name: without_numbers(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [without_numbers(inner) for inner in value]
    return 0 if type(value) in (int, float) else value


def test_a_full_report_keeps_to_its_size() -> None:
    """Every field, 2 BSS, 2 radios, 4 interfaces, varied values, caps that do not stand: at most 3,200 B of JSON.

    DESIGN.md 7 wants 1,000 B deflated. It is missed: names and texts alone deflate to more than 800 B, the digits of
    a busy access point to more than 300 beside them. The bounds here keep it from growing; caps that stand take 30 B less.
    """
    report = golden("report_full")
    texts = without_numbers(report)
    assert isinstance(texts, dict)
    assert [len(report[part]) for part in ("bss", "radios", "interfaces")] == [2, 2, 4]
    plain = messages.encode(report)
    deflated = messages.deflate(plain)
    print(f"full report: {len(plain)} B JSON, {len(deflated)} B deflated")
    assert len(plain) <= 3_200
    assert 780 < len(messages.deflate(messages.encode(texts))) <= 820
    assert 1_120 < len(deflated) <= 1_190
    assert len(messages.deflate(messages.encode(report | {"caps": {"standing": True}}))) <= 1_160


# What comes down


def test_the_golden_ack_is_read() -> None:
    """DESIGN.md's shape of an ack gives a record."""
    assert messages.parse_ack(json.dumps(golden("ack")).encode()) == Ack(BOOT, 41, ((12, 12), (30, 32)))


def test_an_ack_without_missing_misses_nothing() -> None:
    """Absent ranges and unknown members are no fault."""
    assert messages.parse_ack(json.dumps({"boot": BOOT, "through": 0, "later": {"x": [None]}}).encode()) == Ack(BOOT, 0, ())


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "not JSON"),
        (b"null", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b"\xff\xfe{\x00", "not UTF-8"),
        ('{"boot":"b1946ac92492d234"}'.encode("utf-16"), "not UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'{"boot":"\xed\xa0\x80"}', "not UTF-8"),
        (b'{"boot":"\\ud800"}', "not UTF-8"),
        (b'{"boot":"b1946ac92492d234","boot":"b1946ac92492d234","through":1}', "twice"),
        (b'{"boot":"b1946ac92492d234","through":NaN}', "NaN"),
        (b'{"boot":"b1946ac92492d234","through":-Infinity}', "NaN or infinity"),
        (b'{"boot":"b1946ac92492d234","through":1e999}', "too large"),
        (b'{"boot":"b1946ac92492d234","through":' + b"9" * 5000 + b"}", "not JSON|through is not"),
        (b"[" * 60_000, "nested too deeply"),
        (b'{"a":' * 12_000, "nested too deeply"),
        (b" " * 65_537, "at most 65536"),
        (ack(boot="B1946AC92492D234"), "boot is not"),
        (ack(boot=["b1946ac92492d234"]), "boot is not"),
        (ack(boot=None), "boot is not"),
        (ack(through=True), "through is not"),
        (ack(through=41.0), "through is not"),
        (ack(through="41"), "through is not"),
        (ack(through=-1), "through is not"),
        (ack(through=2**53), "through is not"),
        (ack(missing=None), "missing is not"),
        (ack(missing={"30": 32}), "missing is not"),
        (ack(through=9000, missing=[[n, n] for n in range(1, 4098)]), "missing is not"),
        (ack(missing=[30]), r"missing\[0\] is not a pair"),
        (ack(missing=[[30]]), r"missing\[0\] is not a pair"),
        (ack(missing=[[30, 31, 32]]), r"missing\[0\] is not a pair"),
        (ack(missing=[["30", "32"]]), r"missing\[0\] is not a whole"),
        (ack(missing=[[32, 30]]), r"missing\[0\] does not rise"),
        (ack(missing=[[0, 3]]), r"missing\[0\] does not rise"),
        (ack(missing=[[3, 5], [5, 6]]), r"missing\[1\] does not rise"),
        (ack(missing=[[40, 42]]), r"missing\[0\] does not rise"),
    ],
)
def test_a_hostile_ack_is_refused_with_the_reason(payload: bytes, reason: str) -> None:
    """Each kind of wrong bytes gives Malformed that says what is wrong."""
    with pytest.raises(Malformed, match=reason):
        messages.parse_ack(payload)


def test_a_reason_never_quotes_the_payload() -> None:
    """What a stranger sends does not reach the log by way of the exception."""
    secret = "hunter2-aa:bb:cc:dd:ee:ff"
    for payload in (secret.encode(), ack(boot=secret), ack(through=secret), ack(missing=[secret]), json.dumps({"state": secret}).encode()):
        for parse in PARSERS[:3]:
            with pytest.raises(Malformed) as caught:
                parse(payload)
            assert "hunter2" not in str(caught.value)
            assert caught.value.__cause__ is None


@given(st.binary(max_size=300) | st.dictionaries(MEMBERS | st.text(max_size=4), JSON_VALUES, max_size=6).map(lambda value: json.dumps(value).encode()))
def test_any_bytes_give_a_record_or_malformed(payload: bytes) -> None:
    """No bytes make a parser raise anything but Malformed."""
    for parse in PARSERS:
        try:
            parse(payload)
        except Malformed as error:
            assert str(error)


@given(
    st.fixed_dictionaries(
        {"boot": st.just(BOOT) | JSON_VALUES, "through": st.integers(0, 50) | JSON_VALUES},
        optional={"missing": st.lists(st.lists(st.integers(0, 60) | JSON_VALUES, max_size=3), max_size=4) | JSON_VALUES},
    )
)
def test_an_ack_that_is_read_keeps_its_promises(message: dict[str, object]) -> None:
    """Whatever was sent, a record's ranges rise, do not overlap and end by `through`."""
    try:
        read = messages.parse_ack(json.dumps(message).encode())
    except Malformed:
        return
    bounds = [number for pair in read.missing for number in pair]
    assert bounds == sorted(bounds)
    assert all(0 < number <= read.through for number in bounds)
    assert all(before[1] < after[0] for before, after in zip(read.missing, read.missing[1:], strict=False))


@pytest.mark.parametrize(("name", "state"), [("presence_birth", "online"), ("presence_lost", "lost"), ("presence_stopped", "offline")])
def test_each_presence_is_read(name: str, state: str) -> None:
    """Birth, will and clean stop give state, session and boot."""
    assert messages.parse_presence(json.dumps(golden(name)).encode()) == Presence(state, SESSION, BOOT)  # type: ignore[arg-type]  # a parameter


@pytest.mark.parametrize(
    "change", [{"state": "Online"}, {"state": ["online"]}, {"state": None}, {"session": "x" * 16}, {"session": SESSION + "0"}, {"boot": 7}]
)
def test_a_wrong_presence_is_refused(change: dict[str, object]) -> None:
    """A state, session or boot outside the contract is no presence."""
    with pytest.raises(Malformed):
        messages.parse_presence(json.dumps(golden("presence_birth") | change).encode())


def test_the_echo_comes_back_as_it_went() -> None:
    """An echo built, encoded and parsed is the same echo."""
    assert messages.parse_echo(messages.encode(messages.echo(SESSION, 7))) == Echo(SESSION, 7)


# What readers of reports do


@pytest.mark.parametrize("name", ["report_full", "report_minimal", "report_merged"])
def test_a_report_is_read_plain_and_deflated(name: str) -> None:
    """Both encodings of a report give the same report."""
    plain = messages.encode(golden(name))
    assert messages.decode_report(plain) == golden(name)
    assert messages.decode_report(messages.deflate(plain)) == golden(name)


def test_a_deflate_bomb_costs_no_more_than_its_limit() -> None:
    """64 MiB of zeros in 64 KiB are refused without ever being held."""
    bomb = zlib.compress(bytes(64 * 2**20), 9)
    tracemalloc.start()
    with pytest.raises(Malformed, match="inflates to more"):
        messages.decode_report(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (zlib.compress(b"{}")[:-1], "cut short"),
        (zlib.compress(b"{}") + b"x", "follows"),
        (b"\x78", "cut short"),
        (b"\x78\x9c\xff\xff", "not a zlib stream"),
        (zlib.compress(zlib.compress(b"{}")), "not UTF-8|not JSON"),
        (zlib.compress(b"[1]"), "not a JSON object"),
        (zlib.compress(b'{"load1":NaN}'), "NaN"),
        (b'{"ssid":"\\uD83D"}', "not UTF-8"),
        (b"{" + b" " * messages.MAX_REPORT_BYTES + b"}", "at most"),
    ],
)
def test_a_broken_report_is_refused_with_the_reason(payload: bytes, reason: str) -> None:
    """Streams cut short, doubled, followed by more, or not JSON inside are Malformed."""
    with pytest.raises(Malformed, match=reason):
        messages.decode_report(payload)


def test_an_escaped_character_outside_the_first_plane_is_no_surrogate() -> None:
    """A pair of escapes, as other writers make it, is read as its character."""
    assert messages.decode_report(b'{"ssid":"\\ud83d\\udedc"}') == {"ssid": "🛜"}


@given(st.binary(max_size=200), st.integers(0, 60))
def test_any_change_of_a_deflated_report_is_read_or_malformed(noise: bytes, place: int) -> None:
    """A stream overwritten anywhere gives a report or Malformed, nothing else."""
    stream = bytearray(messages.deflate(messages.encode(golden("report_minimal"))))
    stream[1 + place : 1 + place + len(noise)] = noise
    try:
        messages.decode_report(bytes(stream))
    except Malformed as error:
        assert str(error)
