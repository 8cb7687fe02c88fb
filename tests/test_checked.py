"""agent/checked.py: how values are checked and said."""

from __future__ import annotations

import pytest

from agent.checked import MOST_UNKNOWN, UNPRINTABLE, below, choice, kind, members, number, shown, unknown, whole, yes_no


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("a b", '"a b"'),
        ("☕ é", '"☕ é"'),
        ('a"b\\', '"a\\"b\\\\"'),
        ("a\nb\x00\u202e\ud800", '"a\\nb\\x00\\u202e\\ud800"'),
        ("x" * 41, '"' + "x" * 40 + '…" (41 characters)'),
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (5, "5"),
        (60.5, "60.5"),
        (float("nan"), "nan"),
        pytest.param(10**5000, "a number of more than 20 digits", id="huge"),
        ([1], "a list"),
        ({"a": 1}, "a table"),
        (object(), "something else"),
    ],
)
def test_a_value_is_said(value: object, said: str) -> None:
    """Short, on one line, without anything that does not print."""
    assert shown(value) == said


@pytest.mark.parametrize(
    ("value", "said"), [("planted", "text"), (5, "a number"), (5.5, "a number"), (True, "true"), (None, "null"), ((), "a list"), ({}, "a table")]
)
def test_a_kind_is_said(value: object, said: str) -> None:
    """What sort of value it is, and nothing of it."""
    assert kind(value) == said


def test_what_does_not_print() -> None:
    """Every control character, separator of lines, lone surrogate and mark of direction; nothing that people write names with."""
    refused = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xD800, 0xDFFF)]
    assert all(UNPRINTABLE.search(f"a{character}") for character in refused)
    assert not UNPRINTABLE.search(" ~ é ☕ 東京 \u200d \ufe0f ي א 👨")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a", "p.a"),
        ("a-b_C9", "p.a-b_C9"),
        ("a.b", 'p."a.b"'),
        ("a\n", 'p."a\\n"'),
        ("", 'p.""'),
        (5, "p.5"),
        ("x" * 65, 'p."' + "x" * 40 + '…" (65 characters)'),
    ],
)
def test_a_path(name: object, path: str) -> None:
    """A name that is no word is quoted, escaped and shortened."""
    assert below("p", name) == path


def test_the_path_of_a_part_has_no_dot() -> None:
    """A member of the document itself is its name."""
    assert below("", "ssids") == "ssids"


def test_an_unknown_name_is_told_the_nearest() -> None:
    """The nearest known name, or all of them; a name too long to compare is not compared."""
    assert unknown("", "ssid", ("ssids", "radios")).message == "ssid is not known, did you mean ssids?"
    assert unknown("", "qqq", ("ssids", "radios")).message == "qqq is not known, expected one of ssids, radios"
    assert "did you mean" not in unknown("", "s" * 65, ("s" * 64,)).message


def test_the_members_of_a_table() -> None:
    """Each by its own check in the document's order, then what is missing."""
    checks = {"a": whole(1, 5), "b": yes_no}
    faults = members("p", {"b": 1, "c": 2, "a": 9}, checks, {"a": "x", "d": "a fourth"})
    assert [(fault.path, fault.code) for fault in faults] == [("p.b", "type"), ("p.c", "unknown"), ("p.a", "range"), ("p.d", "required")]
    assert faults[3].message == "p.d is missing, expected a fourth"
    assert members("p", {"a": 1, "b": True}, checks) == []
    assert [fault.message for fault in members("p", "x", checks)] == ["p is text, expected a table of a, b"]


def test_names_that_are_no_text() -> None:
    """A table of another's making, whose names are no text, has strangers as well."""
    assert [fault.code for fault in members("p", {5: 1, None: 2}, {"a": yes_no})] == ["unknown", "unknown"]


def test_so_many_strangers_are_counted() -> None:
    """A table of thousands of strangers is answered in a few faults and their number."""
    faults = members("p", {f"n{number}": 1 for number in range(5000)}, {"a": yes_no})
    assert len(faults) == MOST_UNKNOWN + 1 and "5000 members" in faults[-1].message


@pytest.mark.parametrize(
    ("value", "found"), [(5, 5), (5.0, 5), (5.5, None), (True, None), ("5", None), (None, None), (float("nan"), None), (float("inf"), None), (-0.0, 0)]
)
def test_a_whole_number(value: object, found: int | None) -> None:
    """60.0 is 60; true and text are no numbers, nor is what has no end."""
    assert number(value) == found


def test_the_ends_of_a_range() -> None:
    """Both ends of a range are in it."""
    check = whole(1, 5)
    assert [value for value in range(-1, 8) if not check("p", value)] == [1, 2, 3, 4, 5]
    assert check("p", 6)[0].message == "p is 6, expected 1 to 5"


def test_a_closed_list() -> None:
    """One of the words; else all of them, and the nearest."""
    check = choice("psk2", "open")
    assert check("p", "open") == []
    assert check("p", "pks2")[0].message == 'p is "pks2", expected one of psk2, open (did you mean psk2?)'
    assert [check("p", value)[0].code for value in ("x" * 1000, 5, ["open"])] == ["choice", "type", "type"]


def test_yes_and_no() -> None:
    """True and false and nothing else."""
    assert [value for value in (True, False, 0, 1, "true", None) if not yes_no("p", value)] == [True, False]
