"""The words for the city: every verdict is one the contract's builder makes, and no key is in any."""

from __future__ import annotations

import json

from agent import verdicts
from agent.change import Change, Fault, Plan, Section
from agent.wire.claims import ConfigClaims
from agent.wire.jws import Refused

CLAIMS = ConfigClaims("malang", "rw-0501", 7, 1_790_000_000, "siti", {"ssids": {"a": {"key": "rahasia123"}}})
CHANGE = Change("ssids.a.ssid", "A", "B", "bss", ())


def test_a_refusal_says_whether_somebody_vouched_for_it() -> None:
    """What no signature covers is marked so."""
    said = verdicts.refused(Refused("bad_signature", "no"), None, False, 6)
    assert said == {
        "v": 1,
        "state": "rejected",
        "current": 6,
        "reason": "bad_signature",
        "errors": [{"path": "", "code": "bad_signature", "message": "no"}],
        "verified": False,
    }
    assert "verified" not in verdicts.refused(Refused("wrong_ap", "no"), 7, True, 6)


def test_a_push_on_its_way_is_named_without_its_key() -> None:
    """Revision, what came before, and a hash that is no oracle for keys."""
    said = verdicts.of_push("applying", CLAIMS, 6, changes=verdicts.rows([CHANGE]))
    assert said["revision"] == 7 and said["previous"] == said["current"] == 6 and said["changes"] == [
        {"path": "ssids.a.ssid", "from": "A", "to": "B", "impact": "bss"}
    ]
    other = CLAIMS._replace(config={"ssids": {"a": {"key": "another123"}}})
    assert said["hash"] == verdicts.of_push("applying", other, 6)["hash"] and "rahasia" not in json.dumps(said)


def test_an_end_replaces_what_was_said_on_the_way() -> None:
    """State, reason and the rest are the verdict's; run and session belong to the trial."""
    way = verdicts.of_push("testing", CLAIMS, 6, run="0" * 16)
    end = verdicts.ended(way, "rolled_back", reason="reboot", current=6, is_foreign=True, is_held=False, took_ms=12, at=34)
    assert end == {
        **{"v": 1, "state": "rolled_back", "revision": 7, "previous": 6, "hash": way["hash"], "reason": "reboot", "current": 6},
        **{"foreign_edit": True, "took_ms": 12, "at": 34},
    }


def test_a_confirmed_one_has_no_reason() -> None:
    """Nothing absent stands as null."""
    end = verdicts.ended({}, "confirmed", reason=None, current=7, is_foreign=False, is_held=False, took_ms=None, at=None)
    assert end == {"v": 1, "state": "confirmed", "current": 7}


def test_drift_says_what_is_expected_and_what_is_found() -> None:
    """Turned around against a plan: what it would change to is what should be."""
    plan = Plan((CHANGE,), (), (), "bss", (), ())
    assert verdicts.drift(plan) == {"drift": [{"path": "ssids.a.ssid", "expected": "B", "found": "A"}]}
    assert verdicts.drift(plan._replace(changes=())) == {}


def test_the_history_counts_changes() -> None:
    """Also those that had no room in the message."""
    entry = verdicts.entry({"revision": 7, "state": "confirmed", "changes": [1, 2], "changes_left_out": 3, "at": 5, "hash": "h"}, "siti", 4)
    assert entry == {"revision": 7, "state": "confirmed", "at": 5, "hash": "h", "author": "siti", "issued_at": 4, "changes": 5}


def test_a_clock_that_was_never_set_is_not_shown() -> None:
    """1970 is no moment for people."""
    assert verdicts.at(12.0) is None and verdicts.at(1_790_000_000.7) == 1_790_000_000


def test_the_knobs_in_force_are_those_pushed() -> None:
    """Only whole numbers; nothing pushed, nothing said."""
    pushed = Section("pushed", "pushed", {"report_interval_s": ("60",), "sample_interval_s": ("x",)})
    assert verdicts.knobs({"rwagent": {"pushed": pushed}}) == {"report_interval_s": 60} and verdicts.knobs({}) == {}


def test_a_plan_is_answered_with_its_faults_or_its_changes() -> None:
    """Both by the contract's builder."""
    faults = verdicts.errors([Fault("ssids.a", "type", "is a list")])
    assert verdicts.planned(7, "invalid", faults)["errors"] == [{"path": "ssids.a", "code": "type", "message": "is a list"}]
    assert verdicts.planned(7, made=Plan((CHANGE,), (), (), "bss", (), ()))["impact"] == "bss"


def test_what_is_no_utf8_does_not_stop_a_status_file() -> None:
    """A lone surrogate from a file of the box is escaped."""
    assert json.loads(verdicts.encode({"found": "\udce4"})) == {"found": "\udce4"}
