"""agent/sections/radios.py and agent/band.py: add, change, remove, no change on real boards; and what a radio can be set to."""

from __future__ import annotations

import pytest

from agent import band
from agent.change import Change, Edit, Facts, RadioFact, Section, Tree, edited
from agent.owned import informed
from agent.sections import radios
from tests.documents import BOARDS, facts_of, filled, tree_of, with_option

RIG = tree_of("rig-x86")
FACTS = facts_of(RIG)


def after(tree: Tree, part: object, facts: Facts | None = None) -> dict[str, dict[str, Section]]:
    """Give the tree as this part leaves it."""
    facts = informed(facts or facts_of(tree), tree)
    return edited(tree, [edit for change in radios.changes(part, tree, facts) for edit in change.edits])


def options(tree: Tree, name: str) -> dict[str, str | None]:
    section = tree["wireless"][name]
    return {option: section.value(option) for option in ("disabled", "channel", "htmode", "txpower", "country")}


def heads(changes: list[Change]) -> list[tuple[object, ...]]:
    return [change[:4] for change in changes]


def test_add() -> None:
    """What was not set is set, and remembered as such; of the radio's other options none is touched."""
    (change,) = radios.changes({"2g": {"tx_power_dbm": 20}}, RIG, FACTS)
    assert change[:4] == ("radios.2g.tx_power_dbm", None, 20, "live")
    assert change.edits[1:] == (Edit("rwagent", "originals", "wireless__radio0__txpower", "-"), Edit("wireless", "radio0", "txpower", "20"))


def test_change() -> None:
    """Channel, width, country and the switch cost the radio's stations their connection, the power nobody."""
    part = {"5g": {"channel": 149, "width_mhz": 40, "country": "ID", "enabled": False, "tx_power_dbm": 10}}
    changes = radios.changes(part, RIG, FACTS)
    assert heads(changes) == [
        ("radios.5g.enabled", True, False, "radio"),
        ("radios.5g.channel", 36, 149, "radio"),
        ("radios.5g.width_mhz", 80, 40, "radio"),
        ("radios.5g.tx_power_dbm", None, 10, "live"),
        ("radios.5g.country", "US", "ID", "radio"),
    ]
    assert options(after(RIG, part), "radio1") == {"disabled": "1", "channel": "149", "htmode": "HE40", "txpower": "10", "country": "ID"}
    assert options(after(RIG, part), "radio0") == options(RIG, "radio0")


def test_remove() -> None:
    """What is no longer named returns to what it was, bit for bit, and is forgotten."""
    tree = after(RIG, {"5g": {"channel": "auto", "width_mhz": 20, "enabled": False, "country": "ID", "tx_power_dbm": 3}})
    assert heads(radios.changes({"5g": {"width_mhz": 20}}, tree, FACTS))[1] == ("radios.5g.channel", "auto", 36, "radio")
    back = after(tree, None)
    assert back["wireless"] == RIG["wireless"] and back["rwagent"]["originals"].options == {}


@pytest.mark.parametrize("board", BOARDS)
def test_no_change(board: str) -> None:
    """A document that says what is so changes nothing, nor does one that names no radio."""
    tree = tree_of(board)
    facts = informed(facts_of(tree), tree)
    assert radios.changes(None, tree, facts) == []
    said = radios.current(tree, facts)
    # Of a band's radios a document names only what holds for all.
    several = {name for name in said if sum(radio.band == name for radio in facts.radios) > 1}
    assert radios.changes({name: values for name, values in said.items() if name not in several}, tree, facts) == []


def test_all_radios_of_a_band() -> None:
    """A band's part is for each of its radios, in one change."""
    tree = tree_of("ipq50xx-25.12.2")
    (change,) = radios.changes({"5g": {"width_mhz": 40}}, tree, informed(facts_of(tree), tree))
    assert change[:3] == ("radios.5g.width_mhz", 80, 40)
    found = edited(tree, change.edits)
    assert [found["wireless"][name].value("htmode") for name in ("radio1", "radio2")] == ["HE40", "VHT40"]


def test_a_channel_is_for_the_radios_that_have_it() -> None:
    """Of two radios of a band the one that cannot send there keeps its channel."""
    tree = tree_of("ipq50xx-25.12.2")
    facts = facts_of(tree)
    low, high = frozenset({36, 40, 44, 48}), frozenset({149, 153})
    facts = facts._replace(radios=(facts.radios[0], facts.radios[1]._replace(channels=low), facts.radios[2]._replace(channels=high)))
    assert radios.check({"5g": {"channel": 149}}, facts) == []
    found = after(tree, {"5g": {"channel": 149}}, facts)
    assert [found["wireless"][name].value("channel") for name in ("radio1", "radio2")] == ["auto", "149"]


@pytest.mark.parametrize(
    ("was", "width", "htmode"), [("HT40-", 40, "HT40-"), ("HT40-", 20, "HT20"), ("EHT80", 160, "EHT160"), ("NOHT", 20, "NOHT"), ("NOHT", 40, "HT40")]
)
def test_the_generation_stays(was: str, width: int, htmode: str) -> None:
    """A width keeps the generation that is set, and the very word where it is that width already."""
    tree = with_option(RIG, "wireless", "radio1", "htmode", was)
    assert options(after(tree, {"5g": {"width_mhz": width}}), "radio1")["htmode"] == htmode


def test_a_width_returns_to_the_very_word() -> None:
    """HT40- is what it was before a push made it 20 MHz, whatever came between."""
    tree = with_option(RIG, "wireless", "radio1", "htmode", "HT40-")
    assert options(after(after(tree, {"5g": {"width_mhz": 20}}), {"5g": {"width_mhz": 40}}), "radio1")["htmode"] == "HT40-"


def test_the_switch_keeps_the_word_that_was() -> None:
    """A radio that is on by '0' stays so; switched off and on again it is '0' again."""
    tree = with_option(RIG, "wireless", "radio1", "disabled", "0")
    assert radios.changes({"5g": {"enabled": True}}, tree, FACTS) == []
    assert options(after(after(tree, {"5g": {"enabled": False}}), {"5g": {"enabled": True}}), "radio1")["disabled"] == "0"


def test_a_radio_that_went_away() -> None:
    """What was remembered of a radio that is gone is no reason to touch anything."""
    tree = after(RIG, {"5g": {"channel": 44}})
    del tree["wireless"]["radio1"]
    assert radios.changes({"5g": {"channel": 44}}, tree, facts_of(RIG)) == []


def paths(part: object, facts: Facts = FACTS) -> list[tuple[str, str]]:
    return [(fault.path, fault.code) for fault in radios.check(part, informed(facts, RIG))]


GOOD = [
    {"channel": "auto"},
    {"channel": 36},
    {"channel": 64},
    {"channel": 36.0},
    {"width_mhz": 160},
    {"tx_power_dbm": 0},
    {"tx_power_dbm": 30},
    {"country": "ID"},
    {},
]


@pytest.mark.parametrize("part", GOOD)
def test_what_a_radio_can_be_set_to(part: dict[str, object]) -> None:
    """Values of the band pass."""
    assert paths({"5g": part}) == []


BAD: list[tuple[str, object, str]] = [
    ("channel", 6, "range"),
    ("channel", 38, "range"),
    ("channel", "36", "type"),
    ("channel", True, "type"),
    ("channel", 36.5, "type"),
    ("channel", "acs", "type"),
    ("width_mhz", 320, "range"),
    ("width_mhz", 30, "range"),
    ("width_mhz", "80", "type"),
    ("tx_power_dbm", 31, "range"),
    ("tx_power_dbm", -1, "range"),
    ("tx_power_dbm", 1.5, "type"),
    ("country", "XX", "choice"),
    ("country", "id", "choice"),
    ("country", "IDN", "choice"),
    ("country", "00", "choice"),
    ("country", 62, "type"),
    ("enabled", 1, "type"),
    ("enabled", "yes", "type"),
    ("htmode", "HE80", "unknown"),
]


@pytest.mark.parametrize(("member", "value", "code"), BAD)
def test_what_a_radio_cannot_be_set_to(member: str, value: object, code: str) -> None:
    """Anything else is refused at its path."""
    assert paths({"5g": {member: value}}) == [(f"radios.5g.{member}", code)]


def test_channels_that_the_radio_lacks() -> None:
    """A channel of the band that no radio of this access point has is refused, with those that there are."""
    facts = FACTS._replace(radios=tuple(radio._replace(channels=frozenset({36, 40})) for radio in FACTS.radios))
    (fault,) = radios.check({"5g": {"channel": 149}}, facts)
    assert fault.code == "unsupported" and fault.message.endswith('expected "auto" or one of 36, 40')


def test_widths_that_the_generation_lacks() -> None:
    """No 80 MHz where one of the band's radios is of the first generation."""
    tree = tree_of("wndr3800-24.10")
    (fault,) = radios.check({"5g": {"width_mhz": 80}}, informed(facts_of(tree), tree))
    assert fault.code == "unsupported" and "20 or 40" in fault.message


@pytest.mark.parametrize(
    ("channel", "width", "fits"), [(165, 20, True), (165, 40, False), (161, 80, True), (132, 160, False), (128, 160, True), (177, 20, True), (100, 160, True)]
)
def test_a_channel_inside_a_block(channel: int, width: int, fits: bool) -> None:
    """A channel at the band's end takes no width that has no block there."""
    assert (paths({"5g": {"channel": channel, "width_mhz": width}}) == []) is fits


def test_a_channel_beside_the_width_that_is_set() -> None:
    """Without a width in the document the one that the radio has counts."""
    assert paths({"5g": {"channel": 165}}) == [("radios.5g.channel", "conflict")]


def test_one_country_for_the_box() -> None:
    """Two countries in one document are refused: the kernel has one."""
    assert paths({"2g": {"country": "ID"}, "5g": {"country": "ID"}}) == []
    assert paths({"2g": {"country": "ID"}, "5g": {"country": "MY"}}) == [("radios.5g.country", "conflict")]


def test_a_band_that_is_not_there() -> None:
    """A band without a radio is refused, with those that there are; another name with the nearest."""
    (fault,) = radios.check({"6g": {"channel": 5}}, FACTS)
    assert fault.code == "unsupported" and "(2g, 5g)" in fault.message
    (fault,) = radios.check({"5ghz": {}}, FACTS)
    assert fault.code == "unknown" and "did you mean 5g?" in fault.message


def test_a_third_band() -> None:
    """6 GHz has its own channels and widths, and 320 MHz only of the latest generation."""
    facts = FACTS._replace(radios=(RadioFact("radio2", "6g", frozenset(), True, "EHT160"),))
    assert radios.check({"6g": {"channel": 37, "width_mhz": 320}}, facts) == []
    assert [fault.path for fault in radios.check({"6g": {"channel": 36, "width_mhz": 25}}, facts)] == ["radios.6g.channel", "radios.6g.width_mhz"]
    older = facts._replace(radios=(facts.radios[0]._replace(htmode="HE160"),))
    assert [fault.code for fault in radios.check({"6g": {"width_mhz": 320}}, older)] == ["unsupported"]


def test_switched() -> None:
    """The radios as the document would have them, whatever else it holds."""
    assert [radio.is_enabled for radio in radios.switched({"2g": {"enabled": False}, "5g": {"enabled": 0}}, FACTS).radios] == [False, True]
    for part in (None, [], "x", {"2g": 5}, {"2g": {"enabled": "no"}}):
        assert radios.switched(part, FACTS) == FACTS


def test_in_a_documents_words() -> None:
    """What is set is said as a document would; a word that no document has stays as it is."""
    tree = with_option(with_option(RIG, "wireless", "radio0", "channel", "acs_survey"), "wireless", "radio0", "htmode", "WEIRD")
    assert radios.current(tree, FACTS)["2g"] == {"enabled": True, "channel": "acs_survey", "width_mhz": "WEIRD", "country": "US"}
    assert band.width_of("NOHT") == 20 and band.width_of(None) is None and band.width_of("HT4000") is None


def test_the_empty_document_is_the_original() -> None:
    """From any of the boards: whatever was set, nothing is left of it."""
    for board in BOARDS:
        tree = tree_of(board)
        part = {
            name: {"enabled": False, "channel": "auto", "width_mhz": 20, "tx_power_dbm": 1, "country": "ID"} for name in radios.current(tree, facts_of(tree))
        }
        assert filled({"w": after(after(tree, part), {}).get("wireless", {})}) == filled({"w": tree.get("wireless", {})})
