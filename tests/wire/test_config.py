"""What an access point says about pushes: builders make the golden examples, stay below every reader's bound, and read themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import change
from agent.wire import config
from agent.wire.config import Reported
from agent.wire.messages import MAX_DOWN_BYTES, Malformed, encode

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("config-reported_*.json"))
PLANS = sorted((Path(__file__).parents[1] / "golden").glob("config-plan-result_*.json"))
RUN, SESSION = "6d1f0c2b9a874e35", "5f2c9a7be01d4483"


def load(path: Path) -> dict[str, Any]:
    message = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(message, dict)
    return message


def rows(message: dict[str, Any]) -> dict[str, Any]:
    """The lists of a message as the builders take them."""
    return {
        "errors": [(row["path"], row["code"], row["message"]) for row in message.pop("errors", [])],
        "changes": [(row["path"], row.get("from"), row.get("to"), row["impact"]) for row in message.pop("changes", [])],
    }


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_reported_makes_the_golden_example_of_its_members(path: Path) -> None:
    """Given what the golden message says, the builder makes it."""
    golden, given_ = load(path), load(path)
    lists = rows(given_) | {"drift": [(row["path"], row.get("expected"), row.get("found")) for row in given_.pop("drift", [])]}
    left_out = {name: given_.pop(name) for name in list(given_) if name.endswith("_left_out")}
    del given_["v"]
    assert config.reported(given_.pop("state"), **lists, **given_) | left_out == golden


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_plan_result_makes_the_golden_example_of_its_members(path: Path) -> None:
    """Whether it was planned follows from the reason, and the impact from the changes."""
    golden, given_ = load(path), load(path)
    assert config.plan_result(given_["revision"], reason=given_.get("reason"), hash=given_.get("hash"), **rows(given_)) == golden


def test_a_plan_that_changes_nothing_has_no_impact() -> None:
    """The lists of a plan are always there; an impact is not."""
    assert config.plan_result(7) == {"v": 1, "state": "planned", "revision": 7, "errors": [], "changes": []}


def test_what_is_usual_is_absent() -> None:
    """Neither false nor null nor an empty list is sent."""
    assert config.reported("unchanged") == {"v": 1, "state": "unchanged"}
    assert config.reported("rejected", verified=False, held=True, foreign_edit=True) == {
        "v": 1,
        "state": "rejected",
        "verified": False,
        "foreign_edit": True,
        "held": True,
    }


def test_a_value_that_is_not_set_is_absent_and_false_is_not() -> None:
    """None means not set; false and 0 are values."""
    (one, two) = config.reported("confirmed", changes=[("a", None, False, "live"), ("b", 0, None, "live")])["changes"]  # type: ignore[misc]  # a list of two
    assert one == {"path": "a", "to": False, "impact": "live"}
    assert two == {"path": "b", "from": 0, "impact": "live"}


def test_the_words_are_those_of_the_nouns() -> None:
    """Impacts are the same here and in agent/change.py, which may not be imported here; so is their order."""
    assert config.IMPACTS == change.IMPACTS == get_args(change.Impact)
    assert config.plan_result(1, changes=[("a", 1, 2, "radio"), ("b", 1, 2, "live"), ("c", 1, 2, "bss")])["impact"] == "radio"


@pytest.mark.parametrize("letter", ["x", "\n", '"', "\U0001f6dc", "\x00"])
@pytest.mark.once
def test_a_hostile_document_makes_no_message_that_is_too_long(letter: str) -> None:
    """A thousand faults with endless paths and values stay below what every reader takes, and how many are missing is said."""
    long = letter * 20_000
    message = config.reported(
        "rejected",
        revision=7,
        errors=[(long, "unknown", long)] * 1_000,
        changes=[(long, long, [long, {long: long}], "bss")] * 1_000,
        drift=[(long, {long: 1}, long)] * 1_000,
    )
    assert len(encode(message)) < MAX_DOWN_BYTES
    for name in ("errors", "changes", "drift"):
        kept, left_out = message[name], message[f"{name}_left_out"]
        assert isinstance(kept, list) and isinstance(left_out, int)
        assert kept and len(kept) + left_out == 1_000
    config.parse_reported(encode(message))


def test_all_faults_of_a_usual_document_are_listed() -> None:
    """A hundred faults of usual length fit, and none is cut."""
    faults = [(f"ssids.a{number}.security", "not_allowed", "expected one of open, owe, psk2") for number in range(100)]
    message = config.reported("rejected", errors=faults)
    assert message["errors"] == [{"path": path, "code": code, "message": text} for path, code, text in faults]
    assert "errors_left_out" not in message


def test_what_is_cut_shows_its_beginning() -> None:
    """A long text ends in an ellipsis; a long list becomes such a text."""
    (row,) = config.reported("confirmed", changes=[("a", "x" * 500, list(range(500)), "live")])["changes"]  # type: ignore[misc]  # a list of one
    assert row["from"] == "x" * 399 + "…"
    assert row["to"].startswith("[0,1,2,") and len(row["to"]) == 400 and row["to"].endswith("…")


# The agent's own words, heard back


def test_the_own_message_comes_back() -> None:
    """Run and session are read from what the broker gives back."""
    message = config.with_session(config.reported("testing", revision=7, run=RUN), SESSION)
    assert config.parse_reported(encode(message)) == Reported("testing", 7, RUN, SESSION)
    assert config.parse_reported(encode(config.reported("rejected"))) == Reported("rejected", None, None, None)


@pytest.mark.parametrize(
    "change",
    [
        {"state": "Testing"},
        {"state": None},
        {"state": ["testing"]},
        {"revision": 0},
        {"revision": True},
        {"revision": "7"},
        {"run": 7},
        {"run": "x"},
        {"session": SESSION + "0"},
        {"session": {}},
    ],
)
def test_a_message_that_is_not_ours_is_refused(change: dict[str, object]) -> None:
    """Nothing that another could have put there is taken for the own message."""
    with pytest.raises(Malformed):
        config.parse_reported(encode(config.reported("testing", revision=7, run=RUN, session=SESSION) | change))


@given(
    st.binary(max_size=200)
    | st.dictionaries(st.sampled_from(["state", "run", "session", "revision"]), st.none() | st.text() | st.integers() | st.lists(st.integers())).map(
        lambda value: json.dumps(value).encode()
    )
)
def test_any_bytes_are_read_or_malformed(payload: bytes) -> None:
    """No bytes raise anything but Malformed."""
    try:
        config.parse_reported(payload)
    except Malformed as error:
        assert str(error)
