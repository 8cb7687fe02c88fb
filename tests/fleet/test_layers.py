"""How the levels of a city's config become one document."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.errors import BadInput
from fleet.layers import LEVELS, REMOVE, Difference, Layer, Origin, content, differences, effective, leaves

NAMES = st.sampled_from(("a", "b", "c"))
VALUES = st.one_of(st.integers(0, 2), st.booleans(), st.lists(st.integers(0, 1), max_size=2))
DOCUMENTS = st.dictionaries(NAMES, st.recursive(VALUES, lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=6), max_size=3)
REMOVALS = st.lists(st.lists(NAMES, min_size=1, max_size=3).map(".".join), max_size=2)
LAYERED = st.builds(lambda document, removed: document | ({REMOVE: removed} if removed else {}), DOCUMENTS, REMOVALS)


@st.composite
def stacks(draw: st.DrawFn, tags: int = 2) -> list[Layer]:
    """Draw the layers of one access point: at most one of each level, and some tags."""
    names = [(level, "x") for level in LEVELS if level != "tag"] + [("tag", f"t{number}") for number in range(tags)]
    chosen = draw(st.lists(st.sampled_from(names), unique=True))
    return [Layer(level, name, number, draw(LAYERED)) for number, (level, name) in enumerate(chosen, 1)]


def merged(*documents: dict[str, Any]) -> dict[str, object]:
    """Merge documents from the outermost level inwards."""
    return effective([Layer(level, "", 1, document) for level, document in zip(LEVELS, documents, strict=False)])[0]


def test_an_inner_level_replaces_a_value_and_leaves_its_neighbours() -> None:
    outer = {"ssids": {"public": {"ssid": "Malang", "isolate": True}}, "agent": {"report_interval_s": 60}}
    assert merged(outer, {"ssids": {"public": {"ssid": "Lowokwaru"}}}) == {
        "ssids": {"public": {"ssid": "Lowokwaru", "isolate": True}},
        "agent": {"report_interval_s": 60},
    }


def test_lists_are_replaced_and_not_joined() -> None:
    assert merged({"ssids": {"a": {"bands": ["2g", "5g"]}}}, {"ssids": {"a": {"bands": ["5g"]}}}) == {"ssids": {"a": {"bands": ["5g"]}}}


def test_remove_takes_out_what_outer_levels_set_and_the_tables_left_empty() -> None:
    outer = {"ssids": {"kantor": {"ssid": "Kantor"}}, "system": {"hostname": "x"}}
    assert merged(outer, {REMOVE: ["ssids.kantor"]}) == {"system": {"hostname": "x"}}


def test_what_a_level_removes_it_may_set_anew() -> None:
    """So that nothing of the outer table stays in it."""
    outer = {"ssids": {"kantor": {"ssid": "Kantor", "hidden": True}}}
    assert merged(outer, {REMOVE: ["ssids.kantor"], "ssids": {"kantor": {"ssid": "Baru"}}}) == {"ssids": {"kantor": {"ssid": "Baru"}}}


def test_an_inner_level_may_set_what_a_middle_one_removed() -> None:
    assert merged({"a": {"b": 1}}, {REMOVE: ["a.b"]}, {"a": {"b": 2}}) == {"a": {"b": 2}}


def test_each_value_knows_its_level_its_name_and_its_change() -> None:
    layers = [Layer("city", "", 1, {"a": {"x": 1, "y": 1}}), Layer("kelurahan", "Jatimulyo", 7, {"a": {"y": 2}})]
    assert effective(layers)[1] == {("a", "x"): Origin("city", "", 1), ("a", "y"): Origin("kelurahan", "Jatimulyo", 7)}


def test_levels_count_from_the_city_inwards_whatever_their_order() -> None:
    layers = [Layer(level, "x", number, {"a": level}) for number, level in enumerate(LEVELS)]
    for last in range(1, len(LEVELS) + 1):
        assert effective(reversed(layers[:last]))[0] == {"a": LEVELS[last - 1]}


@pytest.mark.parametrize(
    ("first", "second", "path"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "a.b"),
        ({"a": 1}, {"a": True}, "a"),
        ({"a": {"b": 1}}, {"a": 5}, "a"),
        ({"a": {}}, {"a": 5}, "a"),
        ({"a": {"b": 1}}, {REMOVE: ["a"]}, "a.b"),
        ({"a": 1}, {REMOVE: ["a.b"]}, "a"),
    ],
)
@pytest.mark.parametrize("is_swapped", [False, True])
def test_two_tags_that_disagree_are_refused_by_name(first: dict[str, Any], second: dict[str, Any], path: str, is_swapped: bool) -> None:
    """In either order; the text names the path, both tags and their changes."""
    one, other = (second, first) if is_swapped else (first, second)
    with pytest.raises(BadInput, match=rf"^{path} is set differently by tag market \(change 3\) and tag school \(change 4\)"):
        effective([Layer("tag", "school", 4, other), Layer("tag", "market", 3, one)])


@pytest.mark.parametrize(
    ("first", "second"),
    [({"a": {"b": 1}}, {"a": {"c": 2}}), ({"a": {"b": 1}}, {"a": {"b": 1}}), ({"a": {}}, {"a": {"b": 1}}), ({REMOVE: ["a"]}, {REMOVE: ["a.b"]})],
)
def test_two_tags_that_agree_merge(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert effective([Layer("tag", "x", 1, first), Layer("tag", "y", 2, second)]) is not None


def _outcome(layers: list[Layer]) -> object:
    try:
        return effective(layers)
    except BadInput as error:
        return str(error)


@given(stacks(tags=3), st.randoms(use_true_random=False))
def test_no_order_of_layers_counts(layers: list[Layer], chance: Any) -> None:
    """The same document, the same origins, or the same refusal."""
    shuffled = list(layers)
    chance.shuffle(shuffled)
    assert _outcome(shuffled) == _outcome(layers)


@given(stacks())
def test_origins_cover_exactly_the_leaves(layers: list[Layer]) -> None:
    try:
        document, origins = effective(layers)
    except BadInput:
        return
    assert origins.keys() == leaves(document).keys()


@given(stacks())
def test_each_leaf_stands_so_in_the_layer_that_it_comes_from(layers: list[Layer]) -> None:
    try:
        document, origins = effective(layers)
    except BadInput:
        return
    by_change = {layer.change: content(layer.document) for layer in layers}
    assert all(leaves(by_change[origins[path].change])[path] == value for path, value in leaves(document).items())


@given(stacks())
def test_merging_what_was_merged_changes_nothing(layers: list[Layer]) -> None:
    try:
        document, _ = effective(layers)
    except BadInput:
        return
    assert effective([Layer("city", "", 1, document)])[0] == document
    assert effective([Layer("city", "", 1, document), Layer("ap", "x", 2, document)])[0] == document


@given(stacks())
def test_merging_leaves_the_layers_as_they_were(layers: list[Layer]) -> None:
    before = copy.deepcopy(layers)
    _outcome(layers)
    assert layers == before


@given(DOCUMENTS, DOCUMENTS)
def test_differences_are_none_exactly_between_equals(one: dict[str, Any], other: dict[str, Any]) -> None:
    """1, 1.0 and true are three values."""
    assert differences(one, one) == []
    assert bool(differences(one, other)) == (repr(sorted(leaves(one).items(), key=repr)) != repr(sorted(leaves(other).items(), key=repr)))


def test_a_difference_has_its_path_and_both_values() -> None:
    assert differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}, "d": True}) == [
        Difference(("a", "b"), 1, 3),
        Difference(("a", "c"), 2, None),
        Difference(("d",), None, True),
    ]


def test_of_tags_that_disagree_the_one_that_is_being_pushed_is_called_so() -> None:
    """And what it says to do is enough: taken out of both, the access point's own value is no quarrel of theirs."""
    tags = [Layer("tag", name, number, {"agent": {"report_interval_s": 10 + number}}) for number, name in enumerate(("school", "market"))]
    with pytest.raises(BadInput, match=r"by tag market \(change 1\) and tag school \(this one\).*out of both and set it for the access point itself"):
        effective(tags)
