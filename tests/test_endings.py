"""What the daemon remembers of what it told: bounded, of this boot, and only what the broker has heard."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.endings import FILE, MOST_OWN, MOST_TOLD, Endings
from agent.wire.command import result

BOOT = "b1946ac92492d234"
TOPIC = "command/locate/result"


def test_an_ending_that_was_heard_is_no_news_to_the_next_daemon(tmp_path: Path) -> None:
    """One that was not is; in another boot both are."""
    first = Endings(str(tmp_path), BOOT)
    for name in ("heard", "unheard"):
        first.tell(name, "succeeded", TOPIC)
    assert first.hear(lambda topic, own_id: own_id == "unheard") == ""
    found = Endings(str(tmp_path), BOOT)
    assert [found.is_news(name, "succeeded") for name in ("heard", "unheard")] == [False, True]
    assert Endings(str(tmp_path), "0" * 16).is_news("heard", "succeeded")


def test_each_state_is_told_once_and_nothing_after_an_ending(tmp_path: Path) -> None:
    """Root says the same whenever it says anything."""
    found = Endings(str(tmp_path), BOOT)
    seen = []
    for state in ("running", "running", "succeeded", "succeeded", "running"):
        seen.append(found.is_news("a", state))
        found.tell("a", state, TOPIC)
        if state == "succeeded":
            assert not found.is_news("a", "running")
    assert seen == [True, False, True, False, False]


def test_of_what_was_done_here_the_ending_stands_for_roots_word(tmp_path: Path) -> None:
    """All of it while it is kept, then that it ended; what root does itself stands as root says."""
    found = Endings(str(tmp_path), BOOT)
    accepted = result("accepted", "id-0")
    for number in range(MOST_OWN + 1):
        assert found.finish(f"id-{number}", result("succeeded", f"id-{number}", output={"seq": number})) == ""
        found.tell(f"id-{number}", "succeeded", TOPIC)
    assert found.standing("id-1", accepted)["output"] == {"seq": 1}
    assert (found.standing("id-0", accepted)["state"], "output" in found.standing("id-0", accepted)) == ("succeeded", False)
    assert found.standing("other", accepted) is accepted


def test_nothing_grows(tmp_path: Path) -> None:
    """However many commands came: what the next daemon reads is small."""
    found = Endings(str(tmp_path), BOOT)
    for number in range(1000):
        found.tell(f"id-{number}", "succeeded", TOPIC)
        found.hear(lambda topic, own_id: False)
    found.finish("a", result("succeeded", "a"))
    assert len(found.told) == MOST_TOLD and found.told["id-999"] == "succeeded" and (tmp_path / FILE).stat().st_size < 20_000


def test_that_it_cannot_be_written_is_said(tmp_path: Path) -> None:
    """With the system's word for it."""
    (tmp_path / f"{FILE}.new").mkdir()
    assert Endings(str(tmp_path), BOOT).finish("a", result("succeeded", "a")) == "Is a directory"


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"boot":"b1946ac92492d234","told":[],"own":{}}', '{"boot":"b1946ac92492d234","told":{"a":7},"own":{"a":7}}']
)
def test_a_memory_that_is_none_is_an_empty_one(tmp_path: Path, content: str) -> None:
    """What is told twice costs nothing."""
    (tmp_path / FILE).write_text(content)
    found = Endings(str(tmp_path), BOOT)
    assert found.own == {} and found.is_news("b", "succeeded")


def test_what_is_written_down_are_endings(tmp_path: Path) -> None:
    """What is still on its way is for the next daemon to tell."""
    found = Endings(str(tmp_path), BOOT)
    found.tell("a", "running", TOPIC)
    found.finish("b", result("failed", "b", "internal"))
    saved = json.loads((tmp_path / FILE).read_text())
    assert saved["told"] == {} and list(saved["own"]) == ["b"]
