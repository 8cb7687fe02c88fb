"""What is told of a command: bounded, without hardware addresses, and nothing that is not known."""

from __future__ import annotations

import json

import pytest

from agent.wire import command


def test_what_is_not_known_is_absent() -> None:
    """Not null, not empty; that no signature vouches for it is said."""
    assert command.result("accepted", "x") == {"v": 1, "state": "accepted", "id": "x"}
    refused = {"v": 1, "state": "rejected", "code": "malformed", "message": "no", "verified": False}
    assert command.result("rejected", None, "malformed", "no", verified=False) == refused
    assert command.result("succeeded", "x", output={}, took_ms=0) == {"v": 1, "state": "succeeded", "id": "x", "output": {}, "took_ms": 0}


def test_a_sentence_is_bounded() -> None:
    """As the schema has it."""
    assert len(str(command.result("failed", "x", message="y" * 10_000)["message"])) == command.LONGEST_MESSAGE


def test_an_output_is_bounded() -> None:
    """What is too long is failed, and says what to do; one byte less is sent."""
    room = command.OUTPUT_BYTES - len('{"a":""}')
    assert command.ended("x", {"a": "y" * room}, 1)["state"] == "succeeded"
    told = command.ended("x", {"a": "y" * (room + 1)}, 1)
    assert (told["state"], told["code"]) == ("failed", "too_large") and "ask for less" in str(told["message"]) and "output" not in told


@pytest.mark.parametrize("output", [None, 7, [1], {"a": float("nan")}, {"a": object()}])
def test_what_is_no_object_is_a_bug(output: object) -> None:
    """And told as one."""
    assert command.ended("x", output, 1)["code"] == "internal"


@pytest.mark.parametrize("text", ["de:ad:be:ef:00:01", "DE-AD-BE-EF-00-01", "x de:ad:be:ef:00:01, y"])
def test_no_address_is_told(text: str) -> None:
    """Wherever it stands; a pseudonym stays."""
    told = command.ended("x", {text: [{"a": (text,)}], "station": "3fa94c01b7e2"}, 1)
    assert "ad" not in json.dumps(told).lower().replace("state", "") and "3fa94c01b7e2" in json.dumps(told)
