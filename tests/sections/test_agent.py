"""agent/sections/agent.py: add, change, remove, no change; and what the knobs may be."""

from __future__ import annotations

import pytest

from agent.change import Edit, edited
from agent.sections import agent
from tests.documents import facts_of, tree_of

TREE = tree_of("rig-x86")
FACTS = facts_of(TREE)
BOTH = {"report_interval_s": 60, "sample_interval_s": 10}


def test_add() -> None:
    """The knobs are written to a section of ours, which is made."""
    changes = agent.changes(BOTH, TREE, FACTS)
    assert [change[:4] for change in changes] == [("agent.report_interval_s", None, 60, "live"), ("agent.sample_interval_s", None, 10, "live")]
    assert changes[0].edits == (Edit("rwagent", "pushed", type="pushed"), Edit("rwagent", "pushed", "report_interval_s", "60"))


def test_change() -> None:
    """Only the knob that differs is written."""
    tree = edited(TREE, [edit for change in agent.changes(BOTH, TREE, FACTS) for edit in change.edits])
    (change,) = agent.changes(BOTH | {"report_interval_s": 300}, tree, FACTS)
    assert change[:4] == ("agent.report_interval_s", 60, 300, "live")


def test_remove() -> None:
    """Knobs that are no longer named are deleted."""
    tree = edited(TREE, [edit for change in agent.changes(BOTH, TREE, FACTS) for edit in change.edits])
    changes = agent.changes(None, tree, FACTS)
    assert [change[:3] for change in changes] == [("agent.report_interval_s", 60, None), ("agent.sample_interval_s", 10, None)]
    assert edited(tree, [edit for change in changes for edit in change.edits])["rwagent"]["pushed"].options == {}


def test_no_change() -> None:
    """What is so changes nothing, also when it is written as 60.0."""
    tree = edited(TREE, [edit for change in agent.changes(BOTH, TREE, FACTS) for edit in change.edits])
    assert agent.current(tree, FACTS) == BOTH
    assert agent.changes(BOTH, tree, FACTS) == [] == agent.changes({"report_interval_s": 60.0, "sample_interval_s": 10.0}, tree, FACTS)
    assert agent.changes(None, TREE, FACTS) == []


@pytest.mark.parametrize("value", [1, 60, 3600, 60.0])
def test_an_interval(value: object) -> None:
    """Whole seconds from 1 to 3600 pass."""
    assert agent.check({"report_interval_s": value}, FACTS) == []


@pytest.mark.parametrize("value", [0, -1, 3601, 0.5, 60.5, True, False, None, "60", [], {}, float("nan"), float("inf"), pytest.param(10**5000, id="huge")])
def test_no_interval(value: object) -> None:
    """Anything else is refused; true is no number, and a number too long to print is said in words."""
    (fault,) = agent.check({"report_interval_s": value}, FACTS)
    assert fault.path == "agent.report_interval_s" and "1 to 3600" in fault.message and len(fault.message) < 200


def test_no_sample_is_longer_than_its_report() -> None:
    """More seconds between samples than between reports are refused, and so is a sample interval whose report interval is not known."""
    assert agent.check({"report_interval_s": 60, "sample_interval_s": 60}, FACTS) == []
    (fault,) = agent.check({"report_interval_s": 60, "sample_interval_s": 61}, FACTS)
    assert fault.path == "agent.sample_interval_s" and "1 to agent.report_interval_s (60)" in fault.message
    (fault,) = agent.check({"sample_interval_s": 10}, FACTS)
    assert fault.code == "conflict"


def test_all_faults_at_once() -> None:
    """Each member has its fault, in the document's order."""
    faults = agent.check({"sample_interval_s": "x", "report_interval": 1, "report_interval_s": 0}, FACTS)
    assert [(fault.path, fault.code) for fault in faults] == [
        ("agent.sample_interval_s", "type"),
        ("agent.report_interval", "unknown"),
        ("agent.report_interval_s", "range"),
    ]
    assert agent.check(None, FACTS) == [] and [fault.code for fault in agent.check("x", FACTS)] == ["type"]
