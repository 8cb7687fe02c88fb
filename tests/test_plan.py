"""agent/plan.py: whole documents, right, wrong and hostile ones, on trees of real boards and on drawn ones."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import plan
from agent.bss import ENCRYPTIONS, FLAGS
from agent.change import Change, Edit, OnAir, Section, Tree, edited
from agent.owned import informed, named
from agent.router.uci import parse
from tests.documents import BOARDS, KEY, WITH_RADIOS, documents, example, facts_of, filled, mutated, nested, tree_of, trees, with_option, with_section
from tests.replayed import counted

RIG = tree_of("rig-x86")
FACTS = facts_of(RIG)
HOSTILE, SHARDS = 100_000, 4
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def pushed(document: Mapping[str, object], tree: Tree, **known: object) -> dict[str, dict[str, Section]]:
    """Give the tree as a push leaves it, with what a store would tell of it now."""
    facts = facts_of(tree, **known)
    assert plan.check(document, facts, tree) == []
    return edited(tree, plan.make(document, tree, facts).edits)


def meant(tree: Tree) -> dict[str, dict[str, object]]:
    """Give the tree by what it means: of our sections an option's words for yes and no are one."""
    found: dict[str, dict[str, object]] = {}
    for package, sections in filled(tree).items():
        for name, section in sections.items():
            options: dict[str, object] = dict(section.options)
            if named(name) is not None:
                options = {option: section.is_on(option) if option in FLAGS else values for option, values in options.items()}
                options = {option: value for option, value in options.items() if value is not False}
            found.setdefault(package, {})[name] = (section.type, options)
    return found


# Properties.


@settings(deadline=None)
@given(st.data())
def test_a_plan_carried_out_leaves_nothing_to_plan(data: st.DataObject) -> None:
    """Whatever was there: plan, edit, and the next plan is empty; nothing of others is another, but for what may be taken over."""
    tree = data.draw(trees())
    document = data.draw(documents(tree))
    adopt = tuple(data.draw(st.lists(st.sampled_from(sorted(tree["wireless"])), max_size=3)))
    after = pushed(document, tree, adopt=adopt)
    assert plan.make(document, after, facts_of(after, adopt=adopt))[:4] == ((), (), (), None)
    assert plan.check(document, facts_of(after, adopt=adopt), after) == []
    ours = ("disabled", "channel", "htmode", "txpower", "country", "hostname", "timezone", "zonename")
    for package, sections in tree.items():
        for name, section in sections.items():
            if named(name) is not None or name in adopt:
                continue
            is_set = section.type in ("wifi-device", "system")
            kept, was = (
                {option: values for option, values in one.options.items() if not is_set or option not in ours} for one in (after[package][name], section)
            )
            assert kept == was


@settings(deadline=None)
@given(st.data())
def test_the_last_document_alone_decides(data: st.DataObject) -> None:
    """An access point that missed any of the revisions before ends as one that saw them all."""
    tree = data.draw(trees())
    adopt = tuple(data.draw(st.lists(st.sampled_from(sorted(tree["wireless"])), max_size=3)))
    sequence = data.draw(st.lists(documents(tree), min_size=2, max_size=5))
    saw_all: Tree = tree
    for document in sequence:
        saw_all = pushed(document, saw_all, adopt=adopt)
    missed: Tree = tree
    for document in [document for document in sequence[:-1] if data.draw(st.booleans())] + sequence[-1:]:
        missed = pushed(document, missed, adopt=adopt)
    assert meant(saw_all) == meant(missed) == meant(pushed(sequence[-1], tree, adopt=adopt))


@settings(deadline=None)
@given(st.data())
def test_the_empty_document_leaves_what_was_there_before_us(data: st.DataObject) -> None:
    """After any pushes the empty document returns every option of others, to the letter, and leaves nothing of ours."""
    tree = data.draw(trees())
    adopt = tuple(data.draw(st.lists(st.sampled_from(sorted(tree["wireless"])), max_size=3)))
    after: Tree = tree
    for document in data.draw(st.lists(documents(tree), min_size=1, max_size=4)):
        after = pushed(document, after, adopt=adopt)
    before_us = {**tree, "wireless": {name: section for name, section in tree["wireless"].items() if named(name) is None}}
    assert filled(pushed({}, after, adopt=adopt)) == filled(before_us)


@settings(deadline=None)
@given(st.data())
def test_no_edit_breaks_out_of_its_line(data: st.DataObject) -> None:
    """Every value that is written is one line of UCI, which reads back as that value; an encryption is one of the closed list."""
    tree = data.draw(trees())
    document = data.draw(documents(tree))
    adopt = tuple(data.draw(st.lists(st.sampled_from(sorted(tree["wireless"])), max_size=3)))
    assert_harmless(plan.make(document, tree, facts_of(tree, adopt=adopt)).edits)


def assert_harmless(edits: Iterable[Edit]) -> None:
    """Look at every value as `uci show` would print it."""
    for edit in edits:
        if edit.value is None:
            continue
        assert not _CONTROL.search(edit.value)
        line = f"{edit.package}.{edit.section}.{edit.option}='" + edit.value.replace("'", "'\\''") + "'\n"
        assert parse(f"{edit.package}.{edit.section}=x\n{line}")[edit.section].options == {edit.option: (edit.value,)}
        assert edit.option != "encryption" or edit.value in ENCRYPTIONS


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@settings(deadline=None)
@given(JSON)
def test_any_value_is_checked(value: object) -> None:
    """Whatever JSON can say, as a document or as any part of one, is answered with faults that the wire can carry."""
    for document in (value, *({name: value} for name in plan.KNOWN), {"ssids": {"public": value}}, {"radios": {"2g": value}}):
        assert_sayable(plan.check(document, FACTS, RIG))


def assert_sayable(faults: Sequence[object]) -> None:
    """Look for what a report could not carry: too many, too long, more than a line, no UTF-8."""
    assert len(faults) <= plan.MOST_FAULTS + 1
    for path, code, message in faults:  # type: ignore[misc]  # a fault is three texts
        assert len(path) < 500 and len(message) < 1200 and code.isascii() and not _CONTROL.search(path + message)
        json.dumps([path, message], ensure_ascii=False).encode()


def wrapped(name: str) -> Callable[[object], object]:
    """Make what puts a value in a document's member."""
    return lambda value: {name: value}


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.once
def test_hostile_documents(shard: int, record_property: Callable[[str, object], None]) -> None:
    """A hundred thousand documents with something wrong: none raises, none is answered at length, and what passes does no harm."""
    chance = random.Random(shard)
    deep = [nested(chance.randrange(2000), chance) for _ in range(100)]
    facts = informed(FACTS, RIG)
    passed, planned = 0, set[str]()
    harmless: set[Edit] = set()
    # All of them once; where the profile is the quick one (the other Pythons), a few.
    count = HOSTILE // SHARDS if settings.default.max_examples >= 100 else 1000
    for _ in range(count):
        document: object = example()
        for _ in range(chance.randrange(1, 5)):
            document = mutated(document, chance, deep)
        faults = plan.check(document, facts)
        assert_sayable(faults)
        if not faults:
            passed += 1
            assert isinstance(document, dict)
            # A plan is made of nothing else: the same document's is looked at once, and so is each of their edits.
            if (said := repr(document)) not in planned:
                planned.add(said)
                edits = set(plan.make(document, RIG, FACTS).edits)
                assert_harmless(edits - harmless)
                harmless |= edits
    assert passed > 10  # what only left something out, or renamed it
    record_property(counted("hostile documents checked"), count)


@pytest.mark.parametrize(
    "wrap", [lambda value: value, *map(wrapped, plan.KNOWN), lambda value: {"ssids": {"public": {"bands": value}}}, lambda value: {"radios": {"5g": value}}]
)
@pytest.mark.once
def test_enormous_documents(wrap: Callable[[object], object]) -> None:
    """A megabyte of text, tables of a hundred thousand members and values a hundred thousand deep are answered as briefly."""
    chance = random.Random(4)
    many = {f"n{number}": {"ssid": 1, "bands": ["2g"]} for number in range(100_000)}
    deep: object = "x"
    for _ in range(100_000):
        deep = [deep]
    for value in ("x" * 1_000_000, "\n" * 1_000_000, many, list(many), ["2g"] * 100_000, deep, nested(1000, chance), 10**5000, {"x" * 1_000_000: 1}):
        assert_sayable(plan.check(wrap(value), FACTS, RIG))


PLANTED: dict[str, Callable[[dict[str, dict[str, dict[str, object]]]], object]] = {
    "ssids.public.ssid": lambda document: document["ssids"]["public"].update(ssid="a\nb"),
    "ssids.public.hidden": lambda document: document["ssids"]["public"].update(hidden=1),
    "ssids.public.max_stations": lambda document: document["ssids"]["public"].update(max_stations=0),
    "ssids.public.cap.per_station.up_mbps": lambda document: document["ssids"]["public"].update(cap={"up_mbps": 10, "per_station": {"up_mbps": 11}}),
    "ssids.public.bands[1]": lambda document: document["ssids"]["public"].update(bands=["2g", "6g"]),
    "ssids.kantor.security": lambda document: document["ssids"]["kantor"].update(security="pks2"),
    "ssids.kantor.key": lambda document: document["ssids"]["kantor"].update(key="planted"),
    "ssids.kantor.pasword": lambda document: document["ssids"]["kantor"].update(pasword="x"),
    "radios.2g.channel": lambda document: document["radios"]["2g"].update(channel=36),
    "radios.2g.width_mhz": lambda document: document["radios"]["2g"].update(width_mhz=80),
    "radios.5g.tx_power_dbm": lambda document: document["radios"]["5g"].update(tx_power_dbm=True),
    "radios.5g.country": lambda document: document["radios"]["5g"].update(country="Indonesia"),
    "radios.6g": lambda document: document["radios"].update({"6g": {}}),
    "agent.report_interval_s": lambda document: document["agent"].update(report_interval_s=0),  # type: ignore[arg-type]
    "agent.sample": lambda document: document["agent"].update(sample=1),  # type: ignore[arg-type]
    "system.hostname": lambda document: document["system"].update(hostname="-"),  # type: ignore[arg-type]
    "system.timezone": lambda document: document["system"].update(timezone="Asia/Jakarta"),  # type: ignore[arg-type]
    "uplink.cap": lambda document: document.update(uplink={"cap": {}}),
    "below_contract": lambda document: document.update(below_contract=True),  # type: ignore[call-overload]
    "sytem": lambda document: document.update(sytem={}),
}


@settings(deadline=None)
@given(st.sets(st.sampled_from(sorted(PLANTED))))
def test_all_faults_of_a_document_are_listed_at_once(planted: set[str]) -> None:
    """Whatever is planted, each is found at its path beside all the others."""
    document = example()
    for path in sorted(planted):
        PLANTED[path](document)  # type: ignore[arg-type]
    faults = plan.check(document, FACTS, RIG)
    assert {fault.path for fault in faults} == planted


# The whole document.


def test_the_designs_own_example() -> None:
    """What the design shows passes; its cap of 45 Mbps is below the contract's 50, which the push must say it means."""
    cap = {"down_mbps": 30, "up_mbps": 10, "per_station": {"down_mbps": 5, "up_mbps": 2}}
    ssids = example()["ssids"]
    assert isinstance(ssids, dict)
    document = {
        "ssids": {"public": ssids["public"] | {"cap": cap}},
        "radios": {"2g": {"enabled": True, "channel": "auto", "width_mhz": 20, "tx_power_dbm": 20, "country": "ID"}},
        "uplink": {"cap": {"down_mbps": 45, "up_mbps": 20}},
        "agent": {"report_interval_s": 60, "sample_interval_s": 10},
        "system": {"hostname": "rw-0501", "timezone": "WIB-7"},
    }
    faults = plan.check(document, FACTS, RIG)
    assert [(fault.path, fault.code) for fault in faults] == [("uplink.cap.down_mbps", "below_contract")]
    assert plan.check(document, FACTS._replace(is_below_meant=True), RIG) == []


@pytest.mark.parametrize("document", [None, [], "x", 5, True])
def test_no_document(document: object) -> None:
    """What is no table is one fault."""
    assert [fault.code for fault in plan.check(document, FACTS)] == ["type"]


def test_parts_of_a_document() -> None:
    """A part that is not known is told the nearest, one that this backend lacks is not supported, null is not the same as left out."""
    few = FACTS._replace(sections=("ssids", "radios"))
    faults = plan.check({"radio": {}, "system": {}, "ssids": None}, few)
    assert [fault.code for fault in faults] == ["unknown", "unsupported", "type"]
    assert faults[0].message == "radio is not known, did you mean radios?"
    assert faults[1].message == "system is not supported by this access point, expected one of ssids, radios"


def test_one_part_speaks_of_anothers_radios() -> None:
    """A network on a band that the same document switches off, or leaves off, is refused; one that it switches on passes."""
    network = {"public": {"ssid": "x", "security": "open", "bands": ["5g"]}}
    off = with_option(RIG, "wireless", "radio1", "disabled", "1")
    assert [fault.path for fault in plan.check({"ssids": network}, facts_of(off), off)] == ["ssids.public.bands[0]"]
    assert plan.check({"ssids": network, "radios": {"5g": {"enabled": True}}}, facts_of(off), off) == []
    assert [fault.code for fault in plan.check({"ssids": network, "radios": {"5g": {"enabled": False}}}, FACTS, RIG)] == ["off"]


def test_a_radio_that_an_earlier_push_switched_on() -> None:
    """It returns to off when the document no longer names it, so a network on it is refused: what counts is the box before us."""
    off = with_option(RIG, "wireless", "radio1", "disabled", "1")
    network = {"public": {"ssid": "x", "security": "open", "bands": ["5g"]}}
    on = pushed({"ssids": network, "radios": {"5g": {"enabled": True}}}, off)
    assert facts_of(on).radios[1].is_enabled
    assert [fault.code for fault in plan.check({"ssids": network}, facts_of(on), on)] == ["off"]


def test_so_many_faults_are_counted() -> None:
    """Of thousands of faults a hundred are listed, and their number."""
    document = {f"part{number}": 1 for number in range(250)}
    faults = plan.check(document, FACTS)
    assert len(faults) == 101 and faults[-1] == ("", "more", "150 more faults are not listed")


# The plan.


def test_the_parts_in_a_fixed_order() -> None:
    """Networks, radios, the way out, names, agent, system, in whatever order the document has them, with the worst impact and the packages of all."""
    found = plan.make(dict(reversed(example().items())), RIG, FACTS)
    parts = [change.path.split(".")[0] for change in found.changes]
    order = ("ssids", "radios", "uplink", "dns", "agent", "system")
    assert parts == sorted(parts, key=order.index) and set(parts) == set(order)
    assert found == plan.make(example(), RIG, FACTS)
    assert found.impact == "radio" and found.packages == ("wireless", "rwagent", "system")
    assert [edit for change in found.changes for edit in change.edits] == list(found.edits)


def test_what_a_backend_lacks_is_not_planned() -> None:
    """Parts that the store cannot carry out are left alone, also those of an earlier push."""
    few = FACTS._replace(sections=("ssids", "radios"))
    assert not plan.make({}, pushed({"agent": {"report_interval_s": 5}}, RIG), few).changes


def test_what_must_be_on_air() -> None:
    """On the radios touched: ours, and what else is set up and on; those without a name of their own apart."""
    tree = with_option(RIG, "wireless", "guest_radio0", "ifname", "guest0")
    tree = with_section(tree, "wireless", "off", "wifi-iface", device="radio0", mode="ap", ssid="x", ifname="off0", disabled="1")
    tree = with_section(tree, "wireless", "up", "wifi-iface", device="radio0", mode="sta", ssid="y", ifname="sta0")
    document = {"ssids": {"a": {"ssid": "A", "security": "open", "bands": ["2g"]}, "b": {"ssid": "B", "security": "open", "bands": ["2g"], "enabled": False}}}
    found = plan.make(document, tree, facts_of(tree))
    assert sorted(found.expect) == [OnAir("guest0", "OpenWrt-Guest", 1, "enabled"), OnAir("rw-a-2g", "A", 1, "enabled")]
    assert found.somewhere == (OnAir("", "OpenWrt", 1, "enabled"),) and found.gone == ()


@pytest.mark.parametrize(("channel", "expected"), [("auto", None), ("0", None), (None, None), ("11", 11), ("acs_survey", None)])
def test_the_channel_that_is_expected(channel: str | None, expected: int | None) -> None:
    """The one that is set; none where the radio chooses."""
    tree = with_option(RIG, "wireless", "radio0", "channel", channel)
    found = plan.make({"ssids": {"a": {"ssid": "A", "security": "open", "bands": ["2g"]}}}, tree, facts_of(tree))
    assert found.expect == (OnAir("rw-a-2g", "A", expected, "enabled"),)


def test_what_must_be_gone() -> None:
    """What is deleted, switched off or renamed, and everything on a radio that is switched off."""
    two = {"a": {"ssid": "A", "security": "owe-transition", "bands": ["2g"]}, "b": {"ssid": "B", "security": "open", "bands": ["5g"]}}
    tree = pushed({"ssids": two}, RIG)
    facts = facts_of(tree)
    assert plan.make({"ssids": {"b": two["b"]}}, tree, facts).gone == ("rw-a-2g", "rw-a-2go")
    assert plan.make({"ssids": {"a": two["a"] | {"security": "open"}, "b": two["b"]}}, tree, facts).gone == ("rw-a-2go",)
    assert plan.make({"ssids": {"a": two["a"], "b": two["b"] | {"enabled": False}}}, tree, facts).gone == ("rw-b-5g",)
    off = plan.make({"ssids": {"a": two["a"], "b": two["b"] | {"enabled": False}}, "radios": {"5g": {"enabled": False}}}, tree, facts)
    assert off.gone == ("rw-b-5g",) and off.expect == () == off.somewhere
    moved = with_option(tree, "wireless", "rw_b_5g", "ifname", "phy1-ap7")
    assert plan.make({"ssids": two}, moved, facts).gone == ("phy1-ap7",)


def test_what_touches_no_radio_expects_nothing_of_one() -> None:
    """A host name is pushed to an access point whose radio is dead, too."""
    tree = pushed({"ssids": {"a": {"ssid": "A", "security": "open", "bands": ["2g"]}}}, RIG)
    document = {"ssids": {"a": {"ssid": "A", "security": "open", "bands": ["2g"]}}, "system": {"hostname": "x"}}
    found = plan.make(document, tree, facts_of(tree))
    assert found.expect == found.gone == found.somewhere == () and found.impact == "live" and "wireless" not in found.packages


def test_a_dead_sibling_does_not_count() -> None:
    """What touches one radio expects nothing of another."""
    found = plan.make({"radios": {"2g": {"channel": 6}}}, RIG, FACTS)
    assert {network.ssid for network in found.somewhere} == {"OpenWrt", "OpenWrt-Guest"} and {network.channel for network in found.somewhere} == {6}


def test_what_is_empty_goes() -> None:
    """Sections in which we remembered things are deleted with the last of them, and not before."""
    tree = pushed({"system": {"hostname": "x"}, "agent": {"report_interval_s": 5}, "radios": {"2g": {"channel": 6}}}, RIG)
    assert set(tree["rwagent"]) == {"originals", "pushed"}
    assert set(pushed({"system": {"hostname": "x"}}, tree)["rwagent"]) == {"originals"}
    assert pushed({}, tree)["rwagent"] == {}
    assert plan.make({}, tree, facts_of(tree)).edits[-2:] == (Edit("rwagent", "originals"), Edit("rwagent", "pushed"))


@pytest.mark.parametrize("board", BOARDS)
def test_the_empty_document_of_a_board_nobody_pushed_to(board: str) -> None:
    """Nothing of others is ours."""
    tree = tree_of(board)
    assert {edit.section for edit in plan.make({}, tree, facts_of(tree)).edits} <= {"rw_public_2g"}


@pytest.mark.parametrize("board", WITH_RADIOS)
def test_a_whole_document_on_a_board(board: str) -> None:
    """The same document on every board: checked, planned, and then so."""
    tree = tree_of(board)
    after = pushed(example(), tree)
    assert not plan.make(example(), after, facts_of(after)).changes
    assert plan.drift(example(), after, facts_of(after)) == []


def test_drift() -> None:
    """What somebody changed is told as what is expected and what was found."""
    tree = with_option(pushed(example(), RIG), "wireless", "rw_public_2g", "ssid", "Gratis")
    assert plan.drift(example(), tree, facts_of(tree)) == [{"path": "ssids.public.ssid", "expected": "Malang RW 05", "found": "Gratis"}]


def test_what_is_so_now() -> None:
    """The access point in a document's words, keys as stars."""
    tree = pushed(example(), RIG)
    now = plan.current(tree, facts_of(tree))
    assert list(now) == ["ssids", "radios", "uplink", "dns", "agent", "system"] and KEY not in repr(now)
    assert now["agent"] == example()["agent"] and now["system"] == example()["system"]


# In words.


def test_a_change_on_the_wire() -> None:
    """Path, from, to, impact."""
    assert plan.as_json(Change("a.b", None, 5, "bss", ())) == {"path": "a.b", "from": None, "to": 5, "impact": "bss"}


def test_text_that_is_no_utf8_is_escaped() -> None:
    """What somebody else left in the file can be said."""
    tree = with_option(pushed(example(), RIG), "wireless", "rw_public_2g", "ssid", "a\udcffb")
    (change,) = plan.make(example(), tree, facts_of(tree)).changes
    assert change.before == "a\\udcffb" and json.dumps(plan.as_json(change), ensure_ascii=False).encode()


def test_no_key_in_a_plans_words() -> None:
    """Neither the table nor what goes out holds a key, whichever way it goes."""
    tree = pushed(example(), RIG)
    other = copy.deepcopy(example())
    other["ssids"]["kantor"]["key"] = "planted-another-key"  # type: ignore[index]
    for document, at in ((example(), RIG), (other, tree), ({}, tree)):
        found = plan.make(document, at, facts_of(at))
        assert "planted" in repr(found.edits) or document == {}
        assert "planted" not in plan.rendered(found) + json.dumps([plan.as_json(change) for change in found.changes])


def test_the_plan_for_people() -> None:
    """A line for each change, in words who notices, then the worst and what goes off the air."""
    tree = pushed({"ssids": {"b": {"ssid": "B", "security": "open", "bands": ["2g"]}}, "system": {"hostname": "rw-1"}}, RIG)
    document = {"radios": {"5g": {"channel": 149}}, "system": {"hostname": "rw-2"}}
    gone = "ssid B, security open, bands 2g, enabled true, hidden false…"
    assert plan.rendered(plan.make(document, tree, facts_of(tree))).splitlines() == [
        f"ssids.b            {gone} -> -     the stations of this network reconnect",
        f"radios.5g.channel  {'36':>60} -> 149   all stations of the radio reconnect",
        f"system.hostname    {'rw-1':>60} -> rw-2  nobody notices",
        "3 changes; at worst all stations of the radio reconnect",
        "no longer on air: rw-b-2g",
    ]
    assert plan.rendered(plan.make({}, RIG, FACTS)) == "nothing would change"
    assert plan.rendered(plan.make({"system": {"hostname": "x"}}, RIG, FACTS)).splitlines()[-1] == "1 change; at worst nobody notices"


def test_the_plan_prints_on_its_lines() -> None:
    """Nothing that somebody left in the file reaches a terminal as more than text."""
    tree = with_option(pushed(example(), RIG), "wireless", "rw_public_2g", "ssid", "a\x1b[2J\nb" + "x" * 200)
    lines = plan.rendered(plan.make(example(), tree, facts_of(tree))).splitlines()
    assert len(lines) == 2 and all(line.isprintable() and len(line) < 250 for line in lines)
