"""Reports are judged alike with orjson and without."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire import messages
from fleet import quick_json
from fleet.understand import Poison, Report, Who, kept_report, understand
from tests.reports import report
from tests.spoiling import mutated

WHO = Who("rw-0501", 7)
NOW = 1_790_000_400.0


def judged(payload: bytes) -> tuple[Any, ...]:
    """Give all that becomes of a report; numbers compare by value."""
    heard = understand(WHO, "report", payload, False, NOW)
    if isinstance(heard, Report):
        kept = kept_report(heard)
        return heard.row, heard.oldest, heard.said_at, heard.odd, None if kept is None else json.loads(kept, parse_int=float)
    assert isinstance(heard, Poison)
    return (heard.reason,)


def both(payload: bytes) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Judge with orjson, then without."""
    quick = judged(payload)
    found, quick_json.quick = quick_json.quick, None
    try:
        return quick, judged(payload)
    finally:
        quick_json.quick = found


def test_it_is_there() -> None:
    """The tests run with orjson, or they compare nothing."""
    assert quick_json.quick is not None


GOOD = messages.encode(report(41, 300))
ODD = (
    GOOD,
    messages.deflate(GOOD),
    b" " + GOOD,
    GOOD + b"\n \t\r",
    b"\xef\xbb\xbf" + GOOD,
    GOOD + b"{}",
    GOOD.replace(b'"seq":41', b'"seq":41,"seq":42'),
    GOOD.replace(b'"seq":41', b'"seq":41.0'),
    GOOD.replace(b'"seq":41', b'"seq":-0'),
    GOOD.replace(b'"seq":41', b'"seq":041'),
    GOOD.replace(b'"seq":41', b'"seq":18446744073709551616'),
    GOOD.replace(b'"seq":41', b'"seq":' + b"9" * 5000),
    GOOD.replace(b"malang", b"m").replace(b'"late":false', b'"late":false,"max":{"a":NaN}'),
    *(
        GOOD.replace(b'"late":false', b'"late":false,"host":{"load1":' + value + b"}")
        for value in (
            *(b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"1E400", b"1e-999", b"-0", b"-0.0", b"1.", b".5", b"+1", b"01", b"0x1", b"1_0"),
            *(b"18446744073709551615", b"18446744073709551616", b"-9223372036854775808", b"-9223372036854775809", b"1" * 100, b"1" + b"0" * 308, b"1" * 400),
            *(b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\ud83d\\ude00"', b'"\\u0000"', b'"\x00"', b'"\x1f"', b'"\x7f"', b'"\xff"'),
            *(b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"'),
            *(b'"\\x41"', b'"\\u12"', b'"\\', b"[1,]", b'{"a":1,}', b"{1:2}", b"tru", b"True", b"/**/1", b"'a'", b"5e-324", b"1.7976931348623157e308", b"0.1"),
        )
    ),
    *(GOOD[:-1] + b',"max":' + b"[" * deep + b"]" * deep + b"}" for deep in (10, 100, 400, 3_000)),
    *(GOOD[:-1] + b',"max":' + b'{"a":' * deep + b"1" + b"}" * (deep + 1) for deep in (100, 400, 3_000)),
    b"",
    b"{",
    b"[]",
    b"null",
    b"{}",
    b'{"a":' + b" " * messages.MAX_REPORT_BYTES + b"1}",
)


@pytest.mark.parametrize("payload", ODD, ids=range(len(ODD)))
def test_odd_json_has_one_verdict(payload: bytes) -> None:
    """Members that stand twice, numbers beyond every bound, escapes, surrogates, what only some readers take for JSON."""
    quick, slow = both(payload)
    assert quick == slow


def test_thousands_of_spoilt_reports_have_one_verdict() -> None:
    """As with any bytes that were a report once."""
    rng = random.Random(11)
    understood = 0
    for _ in range(3_000):
        payload = mutated(rng, GOOD)
        quick, slow = both(payload)
        assert quick == slow, payload
        understood += len(quick) > 1
    assert 100 < understood < 2_900, "some are still reports, and some are not"


NUMBERS = st.integers() | st.integers(-(2**70), 2**70) | st.floats()
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(sorted(report(41, 300))), JSON, max_size=6), st.booleans())
def test_any_json_has_one_verdict(changes: dict[str, Any], is_ascii: bool) -> None:
    """Whatever JSON stands where, with escapes or as it is; Python's NaN and infinity too."""
    try:
        payload = json.dumps({**report(41, 300), **changes}, ensure_ascii=is_ascii).encode()
    except UnicodeEncodeError:
        return
    quick, slow = both(payload)
    assert quick == slow


def test_what_is_written_reads_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """By either way, also what orjson would not write."""
    message = {"a": [1, 2.5, True, None, "ä\n\x00"], "b": {"c": 2**64 - 1}, "d": 2**70}
    assert json.loads(quick_json.written(message)) == message
    assert json.loads(quick_json.written({"a": "\ud800"})) == {"a": "\\ud800"}
    monkeypatch.setattr(quick_json, "quick", None)
    assert json.loads(quick_json.written(message)) == message
