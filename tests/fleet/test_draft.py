"""What a push would mean, before it is one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fleet import draft
from fleet.changes import Revision
from fleet.city import City
from fleet.draft import Draft, Wish
from fleet.errors import BadInput
from fleet.layers import Document, Layer, Origin
from fleet.secrets import Secrets
from fleet.selector import Node, Point

CITY, TAG = Node("city", ""), Node("tag", "market")
POINTS = [Point(f"rw-050{number}", number, "05", "Jatimulyo", "Lowokwaru", 50.0, ("market",) if number == 1 else ()) for number in (1, 2, 3, 4, 5)]
NETWORK: dict[str, Any] = {"ssid": "Malang", "security": "open", "bands": ["2g"]}


def layers(*of: tuple[Node, Document]) -> dict[Node, Layer]:
    return {node: Layer(*node, number, document) for number, (node, document) in enumerate(of, 1)}


def told(number: int, document: Document, is_below_contract: bool = False) -> dict[int, Revision]:
    """What that access point was told last."""
    return {number: Revision(number, 7, 1, 0, "siti", "", document, 180, is_below_contract)}


def made(layer: Document | None, node: Node = CITY, there: dict[Node, Layer] | None = None, last: dict[int, Revision] | None = None, **more: Any) -> Draft:
    return draft.make(Wish(node, layer, **more), POINTS if node == CITY else POINTS[:1], there or {}, last or {})


def test_each_access_point_gets_its_whole_document_with_origins() -> None:
    found = made({"ssids": {"public": {"hidden": True}}}, TAG, layers((CITY, {"ssids": {"public": NETWORK}})))
    (target,) = found.targets
    assert target.document == {"ssids": {"public": NETWORK | {"hidden": True}}}
    assert target.origins[("ssids", "public", "hidden")] == Origin("tag", "market", draft.COMING)
    assert target.origins[("ssids", "public", "ssid")] == Origin("city", "", 1)


def test_who_was_told_the_same_is_not_due_unless_all_are_asked_for() -> None:
    layer = {"agent": {"report_interval_s": 60}}
    assert [target.point.number for target in made(layer, last=told(2, layer)).due] == [1, 3, 4, 5]
    assert len(made(layer, last=told(2, layer), is_all=True).due) == 5


def test_who_was_never_told_anything_and_is_told_nothing_is_not_due() -> None:
    assert made({}).due == []


def test_without_a_layer_the_one_in_force_stays() -> None:
    found = made(None, there=layers((CITY, {"agent": {"report_interval_s": 60}})))
    assert (found.is_new, len(found.due)) == (False, 5)
    assert not made(None).is_new


def test_the_same_layer_is_no_new_one() -> None:
    there = layers((CITY, {"agent": {"report_interval_s": 60}}))
    assert not made({"agent": {"report_interval_s": 60}}, there=there).is_new
    assert made({"agent": {"report_interval_s": 61}}, there=there).is_new


def test_each_fault_is_told_once_with_its_origin_and_whom_it_concerns() -> None:
    with pytest.raises(BadInput) as refused:
        made({"ssids": {"public": NETWORK | {"security": "psk2"}}, "agent": {"sample_interval_s": 9}})
    assert str(refused.value).splitlines() == [
        "city: ssids.public.key is missing, expected a key of 8 to 63 printable ASCII characters, or key_ref, with security psk2; "
        "set by city (this one) (rw-0501, rw-0502, rw-0503 and 2 more)",
        "city: agent.sample_interval_s is 9, expected at most agent.report_interval_s, which is not set; set by city (this one) "
        "(rw-0501, rw-0502, rw-0503 and 2 more)",
    ]


def test_a_fault_of_another_layer_names_that_one() -> None:
    with pytest.raises(BadInput, match=r"ssids\.public\.ssid is missing.*; set by tag market \(change 1\) \(rw-0501\)$"):
        made({"agent": {"report_interval_s": 60}}, there=layers((TAG, {"ssids": {"public": {"security": "open", "bands": ["2g"]}}})))


def test_a_name_where_a_key_was_passes() -> None:
    assert made({"ssids": {"kantor": NETWORK | {"security": "psk2", "key": "secret:0123456789abcdef"}}}).due


def test_tags_that_disagree_name_the_access_point() -> None:
    points = [POINTS[0]._replace(tags=("market", "school"))]
    there = layers((Node("tag", "school"), {"agent": {"report_interval_s": 30}}))
    with pytest.raises(BadInput, match=r"^rw-0501: agent\.report_interval_s is set differently by tag market"):
        draft.make(Wish(TAG, {"agent": {"report_interval_s": 60}}), points, there, {})


CAP: Document = {"uplink": {"cap": {"down_mbps": 45, "up_mbps": 60}}}


def test_a_cap_below_the_contract_must_be_meant() -> None:
    with pytest.raises(BadInput, match=r"uplink\.cap\.down_mbps is 45 Mbps, below the contract of 50 Mbps; if that is meant, say --below-contract"):
        made(CAP)
    assert all(target.is_below_contract for target in made(CAP, is_below_contract=True).due)


def test_a_cap_at_the_contract_is_not_below_it() -> None:
    assert not made({"uplink": {"cap": {"down_mbps": 50}}}).due[0].is_below_contract


def test_the_contract_speaks_of_downloads_only() -> None:
    """A contract of 50 Mbps is kept with 10 of them upwards; a cap on uploads alone says nothing of it."""
    assert not made({"uplink": {"cap": {"down_mbps": 50, "up_mbps": 10}}}).due[0].is_below_contract
    assert not made({"uplink": {"cap": {"up_mbps": 10}}}).due[0].is_below_contract


def test_a_cap_that_was_meant_need_not_be_said_again() -> None:
    """Another layer's push signs it again, and says again that it is meant."""
    last = {number: revision for one in POINTS for number, revision in told(one.number, CAP, True).items()}
    found = made(CAP | {"agent": {"report_interval_s": 60}}, last=last)
    assert all(target.is_below_contract for target in found.due)
    assert all(target.is_below_contract for target in made({"uplink": {"cap": {"down_mbps": 45, "up_mbps": 5}}}, last=last).due)
    with pytest.raises(BadInput, match="below the contract"):
        made({"uplink": {"cap": {"down_mbps": 44}}}, last=last)


def test_the_example_of_the_design_is_a_push_that_is_meant() -> None:
    """DESIGN.md 3.2: as it stands it is refused for its 45 Mbps of 50 alone, and goes when that is said."""
    text = (Path(__file__).parents[2] / "DESIGN.md").read_text().partition("### 3.2")[2].partition("```json")[2].partition("```")[0]
    example: Document = json.loads(text)
    with pytest.raises(BadInput) as refused:
        made(example)
    assert len(str(refused.value).splitlines()) == 1 and "uplink.cap.down_mbps is 45 Mbps" in str(refused.value)
    assert all(target.is_below_contract for target in made(example, is_below_contract=True).due)


def test_a_removal_that_takes_out_nothing_is_told() -> None:
    there = layers((CITY, {"ssids": {"kantor": NETWORK}}))
    draft.check_removals(made({"remove": ["ssids.kantor"]}, TAG, there), there)
    with pytest.raises(BadInput, match=r"tag=market: remove has ssids\.kantr, which no level outside of this one sets"):
        draft.check_removals(made({"remove": ["ssids.kantr"]}, TAG, there), there)


def test_what_is_too_long_once_signed_is_told_before(tmp_path: Path) -> None:
    """Names of any length are refused by the schema, so only a cap's digits can make it so long."""
    target = made({"agent": {"report_interval_s": 60}}).targets[0]
    draft.check_sizes(Draft(CITY, {}, True, [target]), Secrets(City(tmp_path, "malang")))
    long = target._replace(document={"system": {"hostname": "x" * 45_000}})
    with pytest.raises(BadInput, match=r"rw-0501: its whole document is 6\d{4} bytes once it is signed, expected at most 60000"):
        draft.check_sizes(Draft(CITY, {}, True, [long]), Secrets(City(tmp_path, "malang")))
