"""agent/sections/uplink.py: add, change, remove, no change; and what a cap of the way out may be."""

from __future__ import annotations

import pytest

from agent.change import Change, Edit, Tree, edited
from agent.sections import uplink
from tests.documents import facts_of, tree_of

TREE = tree_of("rig-x86")
FACTS = facts_of(TREE)
CAP = {"down_mbps": 50, "up_mbps": 20}


def capped(cap: object) -> Tree:
    return edited(TREE, [edit for change in uplink.changes({"cap": cap}, TREE, FACTS) for edit in change.edits])


def test_add() -> None:
    """A section of our own package, and nobody notices."""
    (change,) = uplink.changes({"cap": CAP}, TREE, FACTS)
    assert change[:4] == ("uplink.cap", None, CAP, "live")
    made = [Edit("rwagent", "cap_uplink", type="cap"), Edit("rwagent", "cap_uplink", "down_kbit", "50000"), Edit("rwagent", "cap_uplink", "up_kbit", "20000")]
    assert list(change.edits) == made


def test_change() -> None:
    """Only what differs is edited."""
    tree = capped(CAP)
    (change,) = uplink.changes({"cap": {"down_mbps": 60.5}}, tree, FACTS)
    assert change[:4] == ("uplink.cap", CAP, {"down_mbps": 60.5}, "live")
    assert change.edits == (Edit("rwagent", "cap_uplink", "down_kbit", "60500"), Edit("rwagent", "cap_uplink", "up_kbit", None))


@pytest.mark.parametrize("part", [None, {}])
def test_remove(part: object) -> None:
    """A document that does not name it takes it away."""
    tree = capped(CAP)
    assert uplink.changes(part, tree, FACTS) == [Change("uplink.cap", CAP, None, "live", (Edit("rwagent", "cap_uplink"),))]


def test_no_change() -> None:
    """The same cap again is nothing, and none where there is none."""
    tree = capped(CAP)
    assert uplink.changes({"cap": CAP}, tree, FACTS) == [] == uplink.changes(None, TREE, FACTS)
    assert (uplink.current(tree, FACTS), uplink.current(TREE, FACTS)) == ({"cap": CAP}, {})


@pytest.mark.parametrize(
    ("part", "path", "code"),
    [
        ([], "uplink", "type"),
        ({"address": "192.0.2.1"}, "uplink.address", "unknown"),
        ({"cap": {}}, "uplink.cap", "required"),
        ({"cap": {"per_station": {"down_mbps": 1}}}, "uplink.cap.per_station", "unknown"),
        ({"cap": {"up_mbps": 0}}, "uplink.cap.up_mbps", "range"),
        ({"cap": {"down_mbps": 49.9}}, "uplink.cap.down_mbps", "below_contract"),
    ],
)
def test_what_is_wrong(part: object, path: str, code: str) -> None:
    """Each at its path; its addresses are not for a push to say."""
    assert [fault[:2] for fault in uplink.check(part, FACTS)] == [(path, code)]


def test_below_the_contract_must_be_meant() -> None:
    """Its one figure speaks of downloads: what goes up may always be less."""
    low = {"cap": {"down_mbps": 45, "up_mbps": 5}}
    (fault,) = uplink.check(low, FACTS)
    assert fault.message == 'uplink.cap.down_mbps is 45, expected at least the contract\'s 50, or "below_contract": true in the push'
    assert uplink.check(low, FACTS._replace(is_below_meant=True)) == [] == uplink.check({"cap": {"up_mbps": 5}}, FACTS)


def test_a_box_that_cannot_shape_or_does_not_know_its_way_out_says_so() -> None:
    """What there is to do is in the sentence."""
    (unable,) = uplink.check({"cap": CAP}, FACTS._replace(caps_problem="the kernel makes no IFB, install kmod-ifb"))
    assert unable.code == "unsupported" and unable.message.endswith("install kmod-ifb")
    (lost,) = uplink.check({"cap": CAP}, FACTS._replace(uplink=""))
    assert lost.code == "unsupported" and "router.uplink" in lost.message
