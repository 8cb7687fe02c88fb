"""What root says to the daemon, and that it believes its own copy only."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from agent.desk import Desk, sha256
from tests.pushes import KEY, Jump, Place, place


@pytest.fixture
def there(tmp_path: Path) -> Place:
    """A simulated access point."""
    return place(tmp_path)


def desk(there: Place, jump: Jump) -> Desk:
    """Open root's desk."""
    return Desk(there.settings, ("ssids", "agent"), jump.clock)


def test_a_verdict_is_said_with_all_that_the_daemon_needs(there: Place) -> None:
    """Handled file, verdict with drift, knobs, refusals, keys, sections; the history beside it."""
    jump = Jump()
    one = desk(there, jump)
    one.handled, one.reported, one.drift = sha256(b"push"), {"v": 1, "state": "confirmed"}, {"drift": [{"path": "a"}]}
    one.knobs, one.refusals, one.history, one.retry_at = {"report_interval_s": 60}, 2, [{"revision": 7}], jump.uptime + 90
    one.publish()
    assert there.status() == {
        **{"v": 1, "handled": sha256(b"push"), "reported": {"v": 1, "state": "confirmed", "drift": [{"path": "a"}]}},
        **{"at_uptime_s": round(jump.uptime, 1), "agent": {"report_interval_s": 60}, "refusals": 2, "keys": [KEY.kid], "sections": ["ssids", "agent"]},
        "retry_in_s": 90,
    }
    assert there.status("history") == {"v": 1, "entries": [{"revision": 7}]}


def test_a_verdict_outlives_the_run(there: Place) -> None:
    """The next process knows what was judged, from a directory that is root's."""
    jump = Jump()
    one = desk(there, jump)
    one.handled, one.reported, one.retry_at = sha256(b"push"), {"state": "rolled_back"}, jump.uptime + 600
    one.publish()
    (there.folder / "run/status/config.json").write_text(json.dumps({"handled": sha256(b"other")}))
    again = desk(there, jump)
    assert again.reported == {"state": "rolled_back"} and not again.is_new(b"push") and again.is_new(b"other")
    jump.uptime += 600
    assert again.is_new(b"push")


def test_what_is_said_on_the_way_is_no_verdict(there: Place) -> None:
    """A process that dies then leaves the push to be judged again."""
    one = desk(there, Jump())
    one.on_the_way(b"push", {"state": "testing"}, {"nonce": "00"})
    assert there.status()["handled"] == sha256(b"push") and there.status()["test"] == {"nonce": "00"}
    assert desk(there, Jump()).is_new(b"push")


def test_a_planned_file_is_answered_once(there: Place) -> None:
    """By its bytes, across runs."""
    one = desk(there, Jump())
    assert one.is_new_plan(b"plan")
    one.put_plan(b"plan", {"v": 1, "state": "planned"})
    assert there.status("plan") == {"v": 1, "handled": sha256(b"plan"), "result": {"v": 1, "state": "planned"}}
    assert not desk(there, Jump()).is_new_plan(b"plan")


def test_the_same_is_not_written_twice(there: Place) -> None:
    """The daemon looks at the file's time."""
    one = desk(there, Jump())
    one.publish()
    before = os.stat(there.folder / "run/status/config.json").st_ino
    one.publish()
    assert os.stat(there.folder / "run/status/config.json").st_ino == before


def test_not_being_heard_does_not_stop_the_work(there: Place) -> None:
    """A status directory taken away in the middle of a push: no confirm will come, and that is all."""
    one = desk(there, Jump())
    one.publish()
    (there.folder / "run/status").rename(there.folder / "run/gone")
    (there.folder / "run/status").symlink_to(there.folder / "state")
    one.on_the_way(b"push", {"state": "testing"})
    assert os.listdir(there.folder / "state") == []


def test_a_rejected_file_is_judged_again_when_asked_for(there: Place) -> None:
    """By another mark beside it, once for each, across runs; a file with any other verdict is not."""
    one = desk(there, Jump())
    for state, is_new in (("rejected", True), ("confirmed", False)):
        one.handled, one.reported = sha256(b"push"), {"state": state}
        assert one.is_new(b"push", state.encode()) is is_new
        one.publish()
        assert not one.is_new(b"push", state.encode())
        assert not desk(there, Jump()).is_new(b"push", state.encode())
        assert not one.is_new(b"push")


def test_a_plan_is_made_again_when_asked_for_and_said_again(there: Place) -> None:
    """The box may be another; the daemon waits for a new file, though its words be the same."""
    one = desk(there, Jump())
    one.put_plan(b"plan", {"v": 1, "state": "planned"})
    before = os.stat(there.folder / "run/status/plan.json").st_ctime_ns
    assert one.is_new_plan(b"plan", b"mark") and not one.is_new_plan(b"plan", b"mark")
    one.put_plan(b"plan", {"v": 1, "state": "planned"})
    assert os.stat(there.folder / "run/status/plan.json").st_ctime_ns != before
    assert not desk(there, Jump()).is_new_plan(b"plan", b"mark")


def test_a_refusal_in_between_hides_neither_retry_nor_hold(there: Place) -> None:
    """Of the highest revision: said beside the verdict on another file, and no reason to judge that one again."""
    jump = Jump()
    one = desk(there, jump)
    one.handled, one.reported = sha256(b"lower"), {"state": "rejected"}
    one.memory_retry_at, one.is_held = jump.uptime + 90, True
    one.publish()
    assert (there.status()["retry_in_s"], there.status()["held"]) == (90, True)
    jump.uptime += 100
    assert not one.is_new(b"lower")


@pytest.mark.parametrize("garbage", [b"", b"[]", b"{", b'{"handled":1,"reported":[],"retry_at":"x"}', b"\xff"])
def test_a_memory_that_is_none_is_forgotten(garbage: bytes, there: Place) -> None:
    """It is RAM: the push is judged again."""
    (there.folder / "apply/judged").write_bytes(garbage)
    one = desk(there, Jump())
    assert (one.handled, one.reported, one.retry_at) == ("", {}, None)


def test_what_cannot_be_remembered_is_still_said(there: Place) -> None:
    """RAM is full: the verdict goes out, and nothing ends."""
    (there.folder / "apply/judged.new").mkdir()
    one = desk(there, Jump())
    one.handled, one.reported = sha256(b"push"), {"state": "confirmed"}
    one.publish()
    assert there.reported() == {"state": "confirmed"} and not one.is_new(b"push")
