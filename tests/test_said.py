"""What root says, read: whole and well formed, or left out; never an exception, whoever wrote it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import said
from agent.said import NOTHING, Pace, Trial

HANDLED, RUN, NONCE = "ab" * 32, "0123456789abcdef", "f0" * 16
REPORTED = {"v": 1, "state": "testing", "revision": 7}
ALL: dict[str, Any] = {
    "v": 1,
    "handled": HANDLED,
    "reported": REPORTED,
    "test": {"run": RUN, "nonce": NONCE, "until_uptime_s": 1200},
    "retry_in_s": 600,
    "at_uptime_s": 1000.5,
    "agent": {"report_interval_s": 30, "sample_interval_s": 5},
    "refusals": 2,
    "held": True,
    "keys": ["00112233aabbccdd"],
    "sections": ["ssids", "agent"],
}
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*ALL, "state", "run", "nonce", "x"]), inner, max_size=4),
    max_leaves=12,
)


def write(run_dir: Path, content: bytes | dict[str, Any], name: str = said.CONFIG) -> Path:
    (run_dir / "status").mkdir(exist_ok=True)
    file = run_dir / "status" / name
    new = file.with_suffix(".new")
    new.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    new.replace(file)
    return file


def test_everything_root_says_is_understood(tmp_path: Path) -> None:
    """Each member of status/config.json has its place."""
    write(tmp_path, ALL)
    found = said.read(str(tmp_path))
    assert found is not None
    assert found == said.Said(HANDLED, REPORTED, Trial(RUN, NONCE, 1200), 1600.5, Pace(30, 5), 2, True, ("00112233aabbccdd",), ("ssids", "agent"))
    assert (found.state, found.revision) == ("testing", 7)


def test_root_that_says_nothing_is_known_to(tmp_path: Path) -> None:
    """Without the file there is no word; an empty object is a word without content."""
    assert said.read(str(tmp_path)) is None
    write(tmp_path, {})
    assert said.read(str(tmp_path)) == NOTHING
    assert (NOTHING.state, NOTHING.revision) == ("", None)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("handled", "AB" * 32),
        ("handled", HANDLED + "0"),
        ("reported", {"v": 1}),
        ("reported", ["testing"]),
        ("reported", {"state": "testing", "x": "y" * said.REPORTED_BYTES}),
        ("test", {"run": RUN, "nonce": NONCE}),
        ("test", {"run": RUN + "0", "nonce": NONCE, "until_uptime_s": 5}),
        ("test", {"run": RUN, "nonce": "../../etc/passwd", "until_uptime_s": 5}),
        ("agent", {"report_interval_s": 0.5, "sample_interval_s": 3601}),
        ("agent", {"report_interval_s": "30", "sample_interval_s": True}),
        ("refusals", -1),
        ("refusals", 2.5),
        ("held", "yes"),
        ("keys", ["not a key", 7, "00112233AABBCCD\n"]),
        ("sections", "ssids"),
        ("sections", ["", "x" * 49, "a\x1bb"]),
    ],
)
def test_what_is_malformed_is_as_if_it_were_not_said(tmp_path: Path, member: str, value: object) -> None:
    """One bad member costs itself: it has the value it has in an empty file."""
    found = said.parse(ALL | {member: value})
    nothing = said.parse({name: each for name, each in ALL.items() if name != member})
    assert found == nothing


def test_only_a_testing_push_has_a_test() -> None:
    """A nonce that lies there beside a verdict confirms nothing."""
    assert said.parse(ALL | {"reported": {"state": "confirmed", "revision": 7}}).test is None


@given(st.dictionaries(st.sampled_from([*ALL]), JSON_VALUES))
def test_any_json_is_understood_or_left_out(found: dict[str, Any]) -> None:
    """Whatever its members are, there is a word, and what it tells can be published."""
    word = said.parse(found)
    assert isinstance(word.state, str)
    assert word.reported is None or said.messages.encode(word.reported)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b"\xff", b'{"reported":{"state":NaN}}', b"[" * 9000, b'{"a":1,"a":2}', b"{" + b" " * said.FILE_BYTES + b"}"]
)
def test_what_is_no_object_is_nothing(tmp_path: Path, content: bytes) -> None:
    """Not JSON, not an object, too deep, too large."""
    write(tmp_path, content)
    assert said.read(str(tmp_path)) is None


def test_only_a_regular_file_is_read(tmp_path: Path) -> None:
    """A link, a FIFO (which must not hold the daemon up) and a directory are nothing."""
    (tmp_path / "status").mkdir()
    (tmp_path / "true").write_text(json.dumps(ALL))
    place = tmp_path / "status" / said.CONFIG
    place.symlink_to(tmp_path / "true")
    assert said.read(str(tmp_path)) is None
    place.unlink()
    os.mkfifo(place)
    assert said.read(str(tmp_path)) is None
    place.unlink()
    place.mkdir()
    assert said.read(str(tmp_path)) is None


@pytest.mark.needs("root")
def test_only_roots_file_or_our_own_is_believed(tmp_path: Path) -> None:
    """What another user put there is not root's word."""
    file = write(tmp_path, ALL)
    os.chown(file, 12345, 12345)
    assert said.read(str(tmp_path)) is None


def test_a_file_is_read_again_only_when_it_is_another(tmp_path: Path) -> None:
    """An unchanged file is no news; a replaced one is, and so is one that went and came back."""
    word = said.Word(str(tmp_path), said.CONFIG)
    assert word.news() is None
    write(tmp_path, ALL)
    assert word.news() is not None
    assert word.news() is None
    file = write(tmp_path, ALL)
    assert word.news() is not None
    file.unlink()
    assert word.news() is None
    write(tmp_path, ALL)
    assert word.news() is not None


def test_the_plan_and_the_history_are_read(tmp_path: Path) -> None:
    """A plan needs its file's name and a result with a state; of the history only objects count, at most twenty."""
    result = {"v": 1, "state": "planned"}
    assert said.parse_plan({"handled": HANDLED, "result": result}) == said.Planned(HANDLED, result)
    assert said.parse_plan({"handled": "x", "result": result}) is None
    assert said.parse_plan({"handled": HANDLED, "result": []}) is None
    assert said.history(str(tmp_path)) == []
    write(tmp_path, {"v": 1, "entries": [7, *({"revision": number} for number in range(30))]}, said.HISTORY)
    assert [entry["revision"] for entry in said.history(str(tmp_path))] == list(range(20))
    write(tmp_path, {"v": 1, "entries": "none"}, said.HISTORY)
    assert said.history(str(tmp_path)) == []
