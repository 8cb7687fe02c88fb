"""blobmsg both ways: every type, and no harm from any bytes."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.router import blobmsg
from agent.router.blobmsg import Int16, Int64, Malformed, decode, encode

_TEXT = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=20)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(allow_nan=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(_TEXT, inner, max_size=5),
    max_leaves=20,
)


def attribute(kind: int, name: bytes, value: bytes, length: int | None = None) -> bytes:
    """Write one attribute by the book, or with a length that is a lie."""
    label = name + b"\0"
    label += bytes(-(2 + len(label)) % 4)
    true_length = 6 + len(label) + len(value)
    head = struct.pack(">IH", 1 << 31 | kind << 24 | (true_length if length is None else length), len(name))
    return head + label + value + bytes(-true_length % 4)


@given(st.dictionaries(_TEXT, _VALUES, max_size=5))
def test_what_is_encoded_decodes_to_itself(table: dict[str, object]) -> None:
    """Every table that blobmsg can hold survives both ways, types included."""
    assert repr(decode(encode(table))) == repr(table)


@pytest.mark.parametrize(
    ("value", "kind", "raw"),
    [
        (None, blobmsg.UNSPEC, b""),
        (True, blobmsg.INT8, b"\1"),
        (False, blobmsg.INT8, b"\0"),
        (-2, blobmsg.INT32, b"\xff\xff\xff\xfe"),
        ((1 << 31) - 1, blobmsg.INT32, b"\x7f\xff\xff\xff"),
        (1 << 31, blobmsg.INT64, b"\0\0\0\0\x80\0\0\0"),
        (-(1 << 31) - 1, blobmsg.INT64, b"\xff\xff\xff\xff\x7f\xff\xff\xff"),
        (Int64(5), blobmsg.INT64, bytes(7) + b"\5"),
        (Int16(-2), blobmsg.INT16, b"\xff\xfe"),
        (1.5, blobmsg.DOUBLE, b"\x3f\xf8" + bytes(6)),
        ("a b", blobmsg.STRING, b"a b\0"),
        ("", blobmsg.STRING, b"\0"),
        ({}, blobmsg.TABLE, b""),
        ([], blobmsg.ARRAY, b""),
        ((1,), blobmsg.ARRAY, b"\x85\0\0\x0c\0\0\0\0\0\0\0\1"),
        ({"k": True}, blobmsg.TABLE, b"\x87\0\0\x09\0\1k\0\1\0\0\0"),
    ],
)
def test_each_type_has_its_bytes(value: object, kind: int, raw: bytes) -> None:
    """A value is written with the type that the `ubus` command gives it."""
    assert encode({"n": value}) == attribute(kind, b"n", raw)


@pytest.mark.parametrize("length", range(9))
def test_names_are_padded_to_4(length: int) -> None:
    """The value begins at a multiple of 4 however long the name is."""
    name = "n" * length
    assert encode({name: 7}) == attribute(blobmsg.INT32, name.encode(), b"\0\0\0\7")


def test_numbers_are_read_signed() -> None:
    """A level of -20 dBm is not 4294967276."""
    assert decode(attribute(blobmsg.INT32, b"signal", b"\xff\xff\xff\xec")) == {"signal": -20}


def test_unsigned_undoes_the_sign_of_a_32_bit_counter() -> None:
    """A counter above 2147483647 is read as it was counted."""
    assert blobmsg.unsigned(-1) == 0xFFFFFFFF


def test_unsigned_leaves_other_numbers_alone() -> None:
    """A counter of 64 bits stays what it is."""
    assert blobmsg.unsigned(1 << 40) == 1 << 40


def test_a_text_that_is_not_utf_8_survives_both_ways() -> None:
    """An SSID may be any bytes."""
    raw = attribute(blobmsg.STRING, b"ssid", b"caf\xe9\0")
    assert encode(decode(raw)) == raw


def test_a_text_ends_at_its_first_nul() -> None:
    """What stands behind it is not part of a C string."""
    assert decode(attribute(blobmsg.STRING, b"s", b"a\0b\0")) == {"s": "a"}


def test_unknown_types_are_left_out() -> None:
    """A type of a later ubus costs its own value only."""
    assert decode(attribute(9, b"new", b"??") + attribute(blobmsg.INT8, b"k", b"\1")) == {"k": True}


def test_attributes_without_a_name_field_are_left_out() -> None:
    """A plain blob attribute between others is stepped over."""
    assert decode(b"\5\0\0\5x\0\0\0" + attribute(blobmsg.INT8, b"k", b"\1")) == {"k": True}


def test_of_two_with_one_name_the_later_counts() -> None:
    """As in JSON."""
    assert decode(encode({"a": 1}) + encode({"a": 2})) == {"a": 2}


def test_what_is_not_wanted_is_stepped_over_at_any_depth() -> None:
    """The rest is as it would have been, and what is stepped over is not even looked at."""
    table = {"a": 1, "big": {"b": [1, 2]}, "list": [{"big": "x", "c": 2}], "d": {"big": None, "e": 3}}
    assert decode(encode(table), frozenset(("big",))) == {"a": 1, "list": [{"c": 2}], "d": {"e": 3}}
    nonsense = encode({"a": 1, "big": "text"}).replace(b"text\0", b"textx")
    assert decode(nonsense, frozenset(("big",))) == {"a": 1}


def test_a_memoryview_is_read_too() -> None:
    """Nobody has to copy a part of a message first."""
    assert decode(memoryview(encode({"a": 1}))) == {"a": 1}


def test_the_padding_at_the_very_end_may_be_missing() -> None:
    """A blob's own length does not count the padding behind it."""
    assert decode(attribute(blobmsg.INT8, b"k", b"\1")[:-3]) == {"k": True}


@pytest.mark.parametrize(
    "raw",
    [
        attribute(blobmsg.INT32, b"n", b"\0\0\0\1", length=13),
        attribute(blobmsg.INT32, b"n", b"\0\0\0\1", length=(1 << 24) - 1),
        attribute(blobmsg.INT32, b"n", b"\0\0\0\1", length=0),
        attribute(blobmsg.INT32, b"n", b"\0\0\0\1", length=7),
        attribute(blobmsg.INT32, b"n", b"\0\0\1"),
        attribute(blobmsg.INT64, b"n", b"\0\0\0\1"),
        attribute(blobmsg.INT16, b"n", b"\0\0\0\1"),
        attribute(blobmsg.INT8, b"n", b""),
        attribute(blobmsg.DOUBLE, b"n", b"\0\0\0\1"),
        attribute(blobmsg.STRING, b"n", b""),
        attribute(blobmsg.STRING, b"n", b"no end"),
        attribute(blobmsg.TABLE, b"n", b"\x85\0\0\x10"),
        attribute(blobmsg.ARRAY, b"n", b"\x85\0\0\x10\0\0\0\0"),
        b"\x85\0\0\x0c\0\1nn\0\0\0\1",
        b"\x85\0\0\x0c\xff\xffn\0\0\0\0\1",
        b"\5\0\0\3",
        b"\5\0\0\xff",
        b"\5\0",
        b"\x85",
    ],
)
def test_bytes_that_lie_are_malformed(raw: bytes) -> None:
    """Lengths that do not fit, and texts and names without end, are refused."""
    with pytest.raises(Malformed):
        decode(raw)


@pytest.mark.parametrize("kind", [blobmsg.TABLE, blobmsg.ARRAY])
def test_an_attribute_does_not_reach_beyond_what_holds_it(kind: int) -> None:
    """A length that ends well, but in the next attribute of the table outside, is a lie all the same."""
    behind = attribute(blobmsg.STRING, b"b", b"behind\0")
    honest = attribute(blobmsg.STRING, b"a", b"text\0")
    lying = attribute(blobmsg.STRING, b"a", b"text\0", length=len(honest) + len(behind.rstrip(b"\0")) + 1)
    assert decode(attribute(kind, b"t", honest) + behind)["b"] == "behind"
    with pytest.raises(Malformed):
        decode(attribute(kind, b"t", lying) + behind)


@pytest.mark.parametrize("kind", [blobmsg.TABLE, blobmsg.ARRAY])
def test_depth_is_bounded_when_reading(kind: int) -> None:
    """Tables in tables in tables do not reach Python's own stack."""
    raw = b""
    for _ in range(5000):
        raw = attribute(kind, b"", raw)
    with pytest.raises(Malformed, match="nested"):
        decode(raw)


def test_depth_is_bounded_when_writing() -> None:
    """What could not be read is not written either."""
    table: dict[str, object] = {}
    table["self"] = table
    with pytest.raises(ValueError, match="nested"):
        encode(table)


def test_what_is_as_deep_as_allowed_is_read_and_written() -> None:
    """The bound is the same in both directions."""
    table: dict[str, object] = {}
    for _ in range(blobmsg.MOST_DEPTH - 1):
        table = {"t": table}
    assert decode(encode(table)) == table


@pytest.mark.parametrize("table", [{"n": 1 << 63}, {"n": Int16(1 << 15)}, {"s": "a\0b"}, {"a\0b": 1}, {"n" * 65536: 1}, {"s": "x" * (1 << 24)}])
def test_what_does_not_fit_is_a_value_error(table: dict[str, object]) -> None:
    """A number too large or a text with NUL is not sent as something else."""
    with pytest.raises(ValueError):
        encode(table)


def test_what_has_no_type_is_a_type_error() -> None:
    """Bytes and sets are nothing that ubus knows."""
    with pytest.raises(TypeError):
        encode({"b": b"raw"})


def test_not_a_number_survives() -> None:
    """A double is any double."""
    value = decode(encode({"f": math.nan}))["f"]
    assert isinstance(value, float) and math.isnan(value)
