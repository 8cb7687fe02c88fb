"""agent/sections/ssids.py with agent/bss.py and agent/bss_changes.py: add, change, remove, no change, ours and taken over; and what a network may be."""

from __future__ import annotations

import itertools

import pytest

from agent.bss import ENCRYPTIONS, is_same
from agent.change import Change, Edit, Facts, RadioFact, Section, Tree, edited
from agent.owned import informed
from agent.sections import ssids
from tests.documents import KEY, WITH_RADIOS, facts_of, filled, tree_of, with_option, with_section

RIG = tree_of("rig-x86")
FACTS = facts_of(RIG)
ADOPT = FACTS._replace(adopt=("guest_radio0", "default_radio1"))
OPEN = {"ssid": "Malang RW 05", "security": "open", "bands": ["2g"]}
PAIR = OPEN | {"security": "owe-transition"}
KEYED = OPEN | {"security": "psk2", "key": KEY}


def planned(part: object, tree: Tree = RIG, facts: Facts = FACTS) -> list[Change]:
    return ssids.changes(part, tree, facts)


def after(part: object, tree: Tree = RIG, facts: Facts = FACTS) -> dict[str, dict[str, Section]]:
    return edited(tree, [edit for change in planned(part, tree, facts) for edit in change.edits])


def options(tree: Tree, name: str) -> dict[str, str | None]:
    return {option: tree["wireless"][name].value(option) for option in tree["wireless"][name].options}


def heads(changes: list[Change]) -> list[tuple[object, ...]]:
    return [change[:4] for change in changes]


# Ours, four ways.


def test_add() -> None:
    """A new network is one change: a section that bears its name, with an explicit interface, on the public network."""
    (change,) = planned({"public": OPEN})
    said = {"ssid": "Malang RW 05", "security": "open", "bands": ["2g"], "enabled": True, "hidden": False, "isolate": True}
    assert change[:4] == ("ssids.public", None, said, "bss")
    assert change.edits[0] == Edit("wireless", "rw_public_2g", type="wifi-iface")
    assert options(after({"public": OPEN}), "rw_public_2g") == {
        "device": "radio0",
        "mode": "ap",
        "network": "guest",
        "ifname": "rw-public-2g",
        "ssid": "Malang RW 05",
        "encryption": "none",
        "isolate": "1",
    }


def test_change() -> None:
    """Each member that differs is a change of its own, and nothing else is edited."""
    tree = after({"public": OPEN | {"max_stations": 64}})
    other = OPEN | {"ssid": "Malang RW 06", "hidden": True, "isolate": False, "max_stations": 32, "enabled": False}
    assert heads(planned({"public": other}, tree)) == [
        ("ssids.public.ssid", "Malang RW 05", "Malang RW 06", "bss"),
        ("ssids.public.hidden", False, True, "bss"),
        ("ssids.public.isolate", True, False, "bss"),
        ("ssids.public.max_stations", 64, 32, "bss"),
        ("ssids.public.enabled", True, False, "bss"),
    ]
    assert all(len(change.edits) == 1 for change in planned({"public": other}, tree))


def test_remove() -> None:
    """A network that is no longer named is deleted, in one change that says what it was."""
    tree = after({"public": KEYED, "other": OPEN})
    (change,) = planned({"other": OPEN}, tree)
    said = {"ssid": "Malang RW 05", "security": "psk2", "enabled": True, "hidden": False, "isolate": True, "key": "***"} | {"bands": ["2g"]}
    assert change == Change("ssids.public", said, None, "bss", (Edit("wireless", "rw_public_2g"),))
    assert after(None, tree)["wireless"] == RIG["wireless"]


@pytest.mark.parametrize("board", WITH_RADIOS)
def test_no_change(board: str) -> None:
    """What is so changes nothing, on every board."""
    tree = tree_of(board)
    facts = facts_of(tree)
    part = {"public": PAIR, "kantor": KEYED | {"security": "sae", "bands": ["2g", "5g"]}}
    settled = after(part, tree, facts)
    assert planned(part, settled, facts) == []
    assert set(ssids.current(settled, facts)) == {"public", "kantor"}


def test_what_is_not_ours_stays() -> None:
    """Neither another's section nor an option that no ssid sets, also in a section of ours, is touched."""
    tree = with_option(after({"public": OPEN}), "wireless", "rw_public_2g", "dtim_period", "3")
    changed = after({"public": KEYED}, tree)
    assert changed["wireless"]["rw_public_2g"].value("dtim_period") == "3"
    assert {name: section for name, section in changed["wireless"].items() if name != "rw_public_2g"} == RIG["wireless"]


def test_words_that_mean_the_same() -> None:
    """A flag in another of OpenWrt's words is no difference, in a section of ours either."""
    tree = with_option(after({"public": OPEN}), "wireless", "rw_public_2g", "isolate", "yes")
    assert planned({"public": OPEN}, with_option(tree, "wireless", "rw_public_2g", "hidden", "0")) == []
    assert is_same("hidden", None, "0") and not is_same("hidden", None, "1") and not is_same("ssid", None, "")


@pytest.mark.parametrize(
    ("security", "encryption", "protected"),
    [("open", "none", None), ("owe", "owe", "2"), ("psk2", "psk2", None), ("psk2-sae", "sae-mixed", "1"), ("sae", "sae", "2")],
)
def test_what_a_security_is_in_uci(security: str, encryption: str, protected: str | None) -> None:
    """Each word of the closed list is one encryption, with frames protected as it needs."""
    found = options(after({"x": OPEN | {"security": security} | ({"key": KEY} if encryption not in ("none", "owe") else {})}), "rw_x_2g")
    assert (found["encryption"], found.get("ieee80211w")) == (encryption, protected)
    assert found.get("key") == (KEY if security in ("psk2", "psk2-sae", "sae") else None)


def test_a_new_security_takes_its_key_along() -> None:
    """From keyed to open the key goes, and both are said, the key as stars."""
    changes = planned({"public": OPEN}, after({"public": KEYED}))
    assert sorted(heads(changes), key=str) == [("ssids.public.key", "***", None, "bss"), ("ssids.public.security", "psk2", "open", "bss")]
    assert "key" not in options(after({"public": OPEN}, after({"public": KEYED})), "rw_public_2g")


def test_a_new_key() -> None:
    """A key that differs is a change between stars; one of the access point's own is named by its reference."""
    (change,) = planned({"public": KEYED | {"key": "planted-other"}}, after({"public": KEYED}))
    assert change[:4] == ("ssids.public.key", "***", "***", "bss")
    part = {"public": OPEN | {"security": "psk2", "key_ref": "kantor"}}
    (change,) = planned(part, after({"public": KEYED}))
    assert change[:4] == ("ssids.public.key_ref", "***", "kantor", "bss")
    assert options(after(part), "rw_public_2g")["key"] == "planted-secret-key"


def test_no_key_is_ever_said() -> None:
    """In no change that people see stands a key, whichever way it goes."""
    tree = after({"a": KEYED, "b": KEYED})
    part = {"a": KEYED | {"key": "planted-other"}, "c": KEYED, "d": OPEN | {"security": "sae", "key_ref": "kantor"}}
    said = repr([change[:4] for change in (*planned(part, tree), *planned(None, tree))]) + repr(ssids.current(tree, FACTS))
    assert "planted" not in said


# Pairs.


def test_no_key_of_a_section_that_is_given_back_is_said() -> None:
    """Neither a pushed key nor one that stood there before is in a change, whatever documents follow each other.

    Also when a section may not be taken over any more.
    """
    tree = with_option(with_option(RIG, "wireless", "guest_radio0", "key", "semula-rahasia-0"), "wireless", "default_radio1", "key", "semula-rahasia-1")
    parts = [
        {"a": {"ssid": "A", "security": "psk2", "key": "didorong-rahasia", "bands": ["2g", "5g"]}},
        {"a": {"ssid": "A", "security": "psk2", "key": "didorong-rahasia", "bands": ["2g"]}},
        {"b": {"ssid": "B", "security": "sae", "key": "didorong-rahasia", "bands": ["5g"]}},
        {"a": {"ssid": "A", "security": "open", "bands": ["2g", "5g"]}},
        {},
    ]
    for first, second in itertools.permutations(parts, 2):
        before = after(first, tree, ADOPT)
        for facts in (ADOPT, FACTS):
            said = repr([(change.path, change.before, change.after) for change in planned(second, before, facts)])
            assert "rahasia" not in said, (first, second, said)


def test_a_pair_is_two_networks() -> None:
    """owe-transition is an open network and a hidden one with OWE, each naming the other's interface."""
    tree = after({"public": PAIR | {"max_stations": 9, "hidden": False}})
    main, half = options(tree, "rw_public_2g"), options(tree, "rw_public_2g_owe")
    assert (main["encryption"], main["ifname"], main["owe_transition_ifname"], "hidden" in main) == ("none", "rw-public-2g", "rw-public-2go", False)
    assert half == {
        **{"device": "radio0", "mode": "ap", "network": "guest", "ifname": "rw-public-2go", "ssid": "Malang RW 05OWE", "encryption": "owe"},
        **{"ieee80211w": "2", "hidden": "1", "isolate": "1", "maxassoc": "9", "owe_transition_ifname": "rw-public-2g"},
    }


def test_a_pair_comes_and_goes_as_a_security() -> None:
    """Made a pair or no longer one, that is a change of the security; the link goes before the half that it names."""
    (change,) = planned({"public": PAIR}, after({"public": OPEN}))
    assert change[:4] == ("ssids.public.security", "open", "owe-transition", "bss")
    (back,) = planned({"public": OPEN}, after({"public": PAIR}))
    assert back == Change(
        "ssids.public.security",
        "owe-transition",
        "open",
        "bss",
        (Edit("wireless", "rw_public_2g", "owe_transition_ifname"), Edit("wireless", "rw_public_2g_owe")),
    )


def test_a_pair_is_renamed_as_one() -> None:
    """Both networks of a pair get the new name, in one change."""
    (change,) = planned({"public": PAIR | {"ssid": "X"}}, after({"public": PAIR}))
    assert change[:3] == ("ssids.public.ssid", "Malang RW 05", "X")
    assert [edit.value for edit in change.edits] == ["X", "XOWE"]


def test_a_pair_is_deleted_half_first() -> None:
    """The hidden half goes before the network that it belongs to."""
    (change,) = planned(None, after({"public": PAIR}))
    assert [edit.section for edit in change.edits] == ["rw_public_2g_owe", "rw_public_2g"] and change.before["security"] == "owe-transition"  # type: ignore[index]


# Radios and bands.


def test_a_band_more_and_less() -> None:
    """A section for each band; one more or less is a change of the bands."""
    both = OPEN | {"bands": ["5g", "2g"]}
    (change,) = planned({"public": both}, after({"public": OPEN}))
    assert change[:3] == ("ssids.public.bands", ["2g"], ["5g", "2g"])
    (change,) = planned({"public": OPEN}, after({"public": both}))
    assert change == Change("ssids.public.bands", ["2g", "5g"], ["2g"], "bss", (Edit("wireless", "rw_public_5g"),))


def test_every_radio_of_a_band() -> None:
    """A band's second radio has sections and interfaces of its own, whose names fit the kernel's 15 characters."""
    tree = tree_of("ipq50xx-25.12.2")
    found = after({"abcdefgh": PAIR | {"bands": ["5g"]}}, tree, facts_of(tree))["wireless"]
    ours = {
        name: (section.value("device"), section.value("ifname"), section.value("owe_transition_ifname")) for name, section in found.items() if name[:3] == "rw_"
    }
    assert ours == {
        "rw_abcdefgh_5g": ("radio1", "rw-abcdefgh-5g", "rw-abcdefgh-5go"),
        "rw_abcdefgh_5g_owe": ("radio1", "rw-abcdefgh-5go", "rw-abcdefgh-5g"),
        "rw_abcdefgh_5g_2": ("radio2", "rw-abcdefgh-5g2", "rw-abcdefgh-5o2"),
        "rw_abcdefgh_5g_2_owe": ("radio2", "rw-abcdefgh-5o2", "rw-abcdefgh-5g2"),
    }


@pytest.mark.parametrize(("option", "value"), [("network", "lan"), ("device", "radio1"), ("mode", "sta"), ("ifname", "phy0-ap9")])
def test_what_somebody_moved_moves_back(option: str, value: str) -> None:
    """A section of ours that somebody attached elsewhere is attached where it belongs."""
    tree = with_option(after({"public": OPEN}), "wireless", "rw_public_2g", option, value)
    (change,) = planned({"public": OPEN}, tree)
    assert change.path == f"ssids.public.{option}" and change.before == value and len(change.edits) == 1


def test_a_section_of_another_type_is_made_anew() -> None:
    """What bears one of our names and is no network is deleted first."""
    tree = with_section(RIG, "wireless", "rw_public_2g", "wifi-station", device="radio0")
    assert [edit.type for edit in planned({"public": OPEN}, tree)[0].edits[:2]] == [None, "wifi-iface"]
    assert planned({"public": OPEN}, after({"public": OPEN}, tree)) == []


def test_a_network_that_somebody_changed_in_a_way_no_document_says() -> None:
    """Such an option is said as UCI has it."""
    tree = with_option(after({"public": OPEN | {"security": "owe"}}), "wireless", "rw_public_2g", "ieee80211w", "0")
    assert heads(planned({"public": OPEN | {"security": "owe"}}, tree)) == [("ssids.public.ieee80211w", "0", "2", "bss")]


def test_an_encryption_that_no_document_says() -> None:
    """It is said as UCI has it, and made what the document wants."""
    tree = with_option(after({"public": KEYED}), "wireless", "rw_public_2g", "encryption", "pks2")
    assert heads(planned({"public": KEYED}, tree)) == [("ssids.public.security", "pks2", "psk2", "bss")]


# Taken over.


def test_an_ssid_takes_over_the_first_section_of_its_radio() -> None:
    """A section of settings.adopt keeps its place and what no ssid sets; what was there is remembered."""
    (change,) = planned({"public": KEYED | {"isolate": False}}, RIG, ADOPT)
    assert change.path == "ssids.public" and not [edit for edit in change.edits if edit.type == "wifi-iface"]
    tree = after({"public": KEYED | {"isolate": False}}, RIG, ADOPT)
    assert options(tree, "guest_radio0") == {
        **{"device": "radio0", "network": "guest", "mode": "ap"},
        **{"ssid": "Malang RW 05", "encryption": "psk2", "key": KEY},
    }
    assert options({"wireless": tree["rwagent"]}, "claims") == {"public_2g": "guest_radio0"}
    assert options({"wireless": tree["rwagent"]}, "originals") == {
        "wireless__guest_radio0__ssid": "=OpenWrt-Guest",
        "wireless__guest_radio0__encryption": "=none",
        "wireless__guest_radio0__key": "-",
        "wireless__guest_radio0__isolate": "=1",
    }
    assert planned({"public": KEYED | {"isolate": False}}, tree, ADOPT) == []


def test_what_was_taken_over_returns() -> None:
    """An ssid that is no longer named leaves the section as it was."""
    tree = after({"public": KEYED}, RIG, ADOPT)
    (change,) = planned({}, tree, ADOPT)
    assert change.path == "ssids.public" and change.after is None and change.impact == "bss"
    back = edited(tree, change.edits)
    assert back["wireless"] == RIG["wireless"] and not back["rwagent"]["claims"].options and not back["rwagent"]["originals"].options


def test_what_was_taken_over_changes_by_members() -> None:
    """Once taken over, each member is a change, also back to the very value that was there."""
    tree = after({"public": KEYED}, RIG, ADOPT)
    (change,) = planned({"public": KEYED | {"ssid": "OpenWrt-Guest"}}, tree, ADOPT)
    assert change[:3] == ("ssids.public.ssid", "Malang RW 05", "OpenWrt-Guest")
    assert "wireless__guest_radio0__ssid" not in edited(tree, change.edits)["rwagent"]["originals"].options


def test_what_is_so_already_is_only_written_down() -> None:
    """An ssid that is what the section says is claimed, and nobody notices."""
    part = {"public": {"ssid": "OpenWrt-Guest", "security": "open", "bands": ["2g"], "isolate": True}}
    (change,) = planned(part, RIG, ADOPT)
    assert change.impact == "live" and {edit.package for edit in change.edits} == {"rwagent"}


def test_who_gets_what_does_not_depend_on_what_was_before() -> None:
    """With one section for two ssids the first by name has it, also when the other was there before."""
    both = {"b": OPEN, "a": KEYED}
    one_by_one = after(both, after({"b": OPEN}, RIG, ADOPT), ADOPT)
    assert one_by_one == after(both, RIG, ADOPT) and options({"wireless": one_by_one["rwagent"]}, "claims") == {"a_2g": "guest_radio0"}


def test_a_pair_in_a_section_taken_over() -> None:
    """It gets an interface's name, for its half to name, and the half stands on its network; the others of its radio are renumbered."""
    tree = with_option(RIG, "wireless", "guest_radio0", "network", "warga")
    (change,) = planned({"public": PAIR}, tree, ADOPT)
    assert change.impact == "radio"
    found = edited(tree, change.edits)
    assert options(found, "guest_radio0")["ifname"] == "rw-public-2g" and options(found, "rw_public_2g_owe")["network"] == "warga"
    assert after({"public": OPEN}, found, ADOPT)["wireless"]["guest_radio0"].value("ifname") is None
    assert after({}, found, ADOPT)["wireless"] == tree["wireless"]


def test_a_pair_in_a_section_with_a_name() -> None:
    """An interface that has a name keeps it, and nobody is renumbered."""
    tree = with_option(RIG, "wireless", "guest_radio0", "ifname", "guest0")
    (change,) = planned({"public": PAIR}, tree, ADOPT)
    assert change.impact == "bss"
    assert options(edited(tree, change.edits), "rw_public_2g_owe")["owe_transition_ifname"] == "guest0"


def test_switching_off_renumbers_the_others() -> None:
    """A section without a name of its own, switched off, costs the whole radio: OpenWrt counts interfaces."""
    tree = after({"public": OPEN}, RIG, ADOPT)
    assert heads(planned({"public": OPEN | {"enabled": False}}, tree, ADOPT)) == [("ssids.public.enabled", True, False, "radio")]


@pytest.mark.parametrize("options_of", [{"mode": "sta"}, {"device": "radio1"}, {"ssid": "a\nb"}, {"key": "a\x1bb"}])
def test_what_cannot_be_taken_over(options_of: dict[str, str]) -> None:
    """No station, nothing of another radio, nothing that could not be put back as a line."""
    tree = RIG
    for option, value in options_of.items():
        tree = with_option(tree, "wireless", "guest_radio0", option, value)
    facts = FACTS._replace(adopt=("guest_radio0", "nowhere", "radio0", "rw_public_2g"))
    assert planned({"public": OPEN}, tree, facts)[0].edits[0] == Edit("wireless", "rw_public_2g", type="wifi-iface")


def test_a_section_taken_over_that_somebody_deleted() -> None:
    """Its claim and what was remembered of it go; the ssid gets a section of its own."""
    tree = after({"public": KEYED}, RIG, ADOPT)
    del tree["wireless"]["guest_radio0"]
    found = after({"public": KEYED}, tree, ADOPT)
    assert "rw_public_2g" in found["wireless"] and not found["rwagent"]["claims"].options and not found["rwagent"]["originals"].options
    gone = after({}, tree, ADOPT)
    assert not gone["rwagent"]["claims"].options and not gone["rwagent"]["originals"].options


def test_a_section_that_may_no_longer_be_taken_over() -> None:
    """Out of settings.adopt it gets its own back, and the ssid a section of ours."""
    tree = after({"public": OPEN}, RIG, ADOPT)
    found = after({"public": OPEN}, tree, FACTS)
    assert found["wireless"]["guest_radio0"] == RIG["wireless"]["guest_radio0"] and "rw_public_2g" in found["wireless"]


# What a network may be.


def paths(entry: object, facts: Facts = FACTS, name: str = "public") -> list[tuple[str, str]]:
    prefix = f"ssids.{name}."
    return [(fault.path.removeprefix(prefix), fault.code) for fault in ssids.check({name: entry}, facts)]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"ssid": "x" * 32},
        {"ssid": "é" * 16},
        {"ssid": 'Warung "Bu Sri" d\'Malang ☕'},
        {"ssid": "👨\u200d👩\u200d👧"},
        {"ssid": " "},
        {"max_stations": 1},
        {"max_stations": 2007.0},
        {"bands": ["5g", "2g"]},
        {"security": "owe-transition", "ssid": "x" * 29},
        {"security": "sae", "key": "x" * 63},
        {"security": "psk2", "key": " ~ ~ ~ ~"},
        {"security": "psk2-sae", "key_ref": "kantor"},
    ],
)
def test_a_network(more: dict[str, object]) -> None:
    """What the design allows passes."""
    assert paths(OPEN | more) == []


WRONG: list[tuple[dict[str, object], list[tuple[str, str]]]] = [
    ({"ssid": ""}, [("ssid", "length")]),
    ({"ssid": "x" * 33}, [("ssid", "length")]),
    ({"ssid": "é" * 17}, [("ssid", "length")]),
    ({"ssid": 5}, [("ssid", "type")]),
    ({"ssid": None}, [("ssid", "type")]),
    ({"security": "owe-transition", "ssid": "x" * 30}, [("ssid", "length")]),
    *(
        ({"ssid": f"a{bad}b"}, [("ssid", "characters")])
        for bad in "\n\r\0\t\x1b\x7f\x80\x85\x9f\u2028\u2029\u202a\u202e\u2066\u2069\u200e\u200f\u061c\ud800\udfff"
    ),
    ({"security": "pks2"}, [("security", "choice")]),
    ({"security": "none"}, [("security", "choice")]),
    ({"security": "PSK2", "key": KEY}, [("security", "choice")]),
    ({"security": ["open"]}, [("security", "type")]),
    ({"security": "psk2"}, [("key", "required")]),
    ({"security": "sae"}, [("key", "required")]),
    ({"security": "psk2-sae"}, [("key", "required")]),
    ({"security": "psk2", "key": "x" * 7}, [("key", "length")]),
    ({"security": "psk2", "key": "x" * 64}, [("key", "length")]),
    ({"security": "psk2", "key": "a" * 7 + "é"}, [("key", "characters")]),
    ({"security": "psk2", "key": "a" * 8 + "\n"}, [("key", "characters")]),
    ({"security": "psk2", "key": "a" * 8 + "\x7f"}, [("key", "characters")]),
    ({"security": "psk2", "key": 12345678}, [("key", "type")]),
    ({"key": KEY}, [("key", "conflict")]),
    ({"security": "owe", "key": KEY}, [("key", "conflict")]),
    ({"security": "owe-transition", "key_ref": "kantor"}, [("key_ref", "conflict")]),
    ({"security": "psk2", "key": KEY, "key_ref": "kantor"}, [("key_ref", "conflict")]),
    ({"security": "psk2", "key_ref": "nobody"}, [("key_ref", "secret")]),
    ({"security": "psk2", "key_ref": "short"}, [("key_ref", "secret")]),
    ({"security": "psk2", "key_ref": ["kantor"]}, [("key_ref", "secret")]),
    ({"bands": []}, [("bands", "type")]),
    ({"bands": "2g"}, [("bands", "type")]),
    ({"bands": ["2g", "2g"]}, [("bands[1]", "duplicate")]),
    ({"bands": ["2g", "6g", "2.4g", 5, ["2g"]]}, [("bands[1]", "choice"), ("bands[2]", "choice"), ("bands[3]", "choice"), ("bands[4]", "choice")]),
    (
        {"bands": ["2g"] * 3 + ["x"] * 9},
        [*((f"bands[{at}]", "duplicate") for at in (1, 2)), *((f"bands[{at}]", "choice") for at in range(3, 8)), ("bands", "length")],
    ),
    *(({flag: value}, [(flag, "type")]) for flag in ("enabled", "hidden", "isolate") for value in (0, 1, "true", None)),
    *(({"max_stations": value}, [("max_stations", code)]) for value, code in ((0, "range"), (2008, "range"), (1.5, "type"), (True, "type"), ("64", "type"))),
    *(
        ({"cap": value}, [(f"cap{path}", code)])
        for value, path, code in (
            ({}, "", "required"),
            (30, "", "type"),
            (None, "", "type"),
            ({"per_station": {}}, ".per_station", "required"),
            ({"per_station": []}, ".per_station", "type"),
            ({"down": 30}, ".down", "unknown"),
            ({"per_station": {"per_station": {}}}, ".per_station.per_station", "unknown"),
            ({"down_mbps": 0.249}, ".down_mbps", "range"),
            ({"up_mbps": 10_000.1}, ".up_mbps", "range"),
            ({"up_mbps": float("nan")}, ".up_mbps", "range"),
            ({"up_mbps": True}, ".up_mbps", "type"),
            ({"up_mbps": "30"}, ".up_mbps", "type"),
            ({"up_mbps": 30, "per_station": {"up_mbps": 30.1, "down_mbps": 100}}, ".per_station.up_mbps", "conflict"),
        )
    ),
    ({"encryption": "none", "Ssid": "x"}, [("encryption", "unknown"), ("Ssid", "unknown")]),
]


@pytest.mark.parametrize(("more", "found"), WRONG)
def test_no_network(more: dict[str, object], found: list[tuple[str, str]]) -> None:
    """Whatever is wrong is refused at its path, all of it at once."""
    assert paths(OPEN | more) == found


def test_what_must_be_there() -> None:
    """An SSID, a security and bands are named by every network."""
    assert paths({}) == [("ssid", "required"), ("security", "required"), ("bands", "required")]
    assert [fault.code for fault in ssids.check({"public": "open"}, FACTS)] == ["type"] == [fault.code for fault in ssids.check(["public"], FACTS)]
    assert ssids.check(None, FACTS) == [] == ssids.check({}, FACTS)


@pytest.mark.parametrize("name", ["", "Public", "a" * 9, "a_b", "a-b", "a b", "a\n", "ä", "../x", "٣"])
def test_no_name_of_a_network(name: str) -> None:
    """A name becomes part of a section and an interface: 1 to 8 of a-z and 0-9."""
    (fault,) = ssids.check({name: OPEN}, FACTS)
    assert fault.code == "name" and "\n" not in fault.path + fault.message


def test_no_fault_says_a_key() -> None:
    """Neither a key that is wrong nor one in the wrong place is said."""
    parts = [{"key": "planted"}, {"key": "planted" * 20}, {"key_ref": "planted-in-the-wrong-place"}, {"passphrase": "planted-key"}, {"key": ["planted-key"]}]
    faults = [fault for more in parts for fault in ssids.check({"x": OPEN | {"security": "psk2"} | more}, FACTS)]
    assert faults and "planted" not in repr(faults)
    assert "planted" not in repr(ssids.check({"x": "planted-key"}, FACTS) + ssids.check({"x": OPEN | {"key": "planted-key"}}, FACTS))


def test_six_gigahertz_is_protected() -> None:
    """On 6 GHz only OWE and SAE are allowed."""
    facts = FACTS._replace(radios=(*FACTS.radios, RadioFact("radio2", "6g", frozenset(), True)))
    assert paths(OPEN | {"bands": ["6g"], "security": "owe"}, facts) == [] == paths(OPEN | {"bands": ["6g"], "security": "sae", "key": KEY}, facts)
    for security in ("open", "owe-transition", "psk2", "psk2-sae"):
        assert ("bands[0]", "conflict") in paths(OPEN | {"bands": ["6g"], "security": security}, facts)


def test_a_radio_that_is_off() -> None:
    """A network on a band whose radios are all off is refused, unless it is itself not to be on air."""
    facts = FACTS._replace(radios=tuple(radio._replace(is_enabled=False) for radio in FACTS.radios))
    assert paths(OPEN, facts) == [("bands[0]", "off")] and paths(OPEN | {"enabled": False}, facts) == []
    (fault,) = ssids.check({"public": OPEN}, facts)
    assert "radio0 is switched off" in fault.message and 'radios.2g with "enabled": true' in fault.message


def test_so_many_networks() -> None:
    """At most eight, and at most eight on a band, where a pair is two."""
    names = "abcdefghi"
    assert ssids.check(dict.fromkeys(names[:8], OPEN), FACTS) == []
    assert [(fault.path, fault.code) for fault in ssids.check(dict.fromkeys(names, OPEN), FACTS)] == [("ssids", "range"), ("ssids", "range")]
    assert ssids.check(dict.fromkeys(names[:4], PAIR), FACTS) == []
    assert [fault.message for fault in ssids.check(dict.fromkeys(names[:5], PAIR), FACTS)] == [
        "ssids is 10 networks on 2g (a pair is two), expected at most 8"
    ]


@pytest.mark.parametrize(
    ("network", "problem", "said"), [("", "", "router.public_network is not set"), ("guest", "its zone forwards to lan", "its zone forwards to lan")]
)
def test_where_no_network_may_be_made(network: str, problem: str, said: str) -> None:
    """Without a network to attach to none is made; one that is there already stays, and a section may be taken over."""
    facts = FACTS._replace(public_network=network, public_problem=problem)
    (fault,) = ssids.check({"public": OPEN}, informed(facts, RIG))
    assert fault == ("ssids.public", "public_network", f"ssids.public cannot be made: {said}")
    assert ssids.check({"public": OPEN}, informed(facts, after({"public": OPEN}))) == []
    assert ssids.check({"public": OPEN}, informed(facts._replace(adopt=ADOPT.adopt), RIG)) == []
    assert [fault.path for fault in ssids.check({"public": OPEN, "a": OPEN}, informed(facts._replace(adopt=ADOPT.adopt), RIG))] == ["ssids.public"]


def test_all_faults_at_once() -> None:
    """Every network's faults are there, in the document's order."""
    part = {"b": OPEN | {"ssid": "", "hidden": 1}, "a": {"security": "wep"}, "Z": OPEN}
    assert [fault.path for fault in ssids.check(part, FACTS)] == [
        "ssids.b.ssid",
        "ssids.b.hidden",
        "ssids.a.security",
        "ssids.a.ssid",
        "ssids.a.bands",
        "ssids.Z",
    ]


@pytest.mark.parametrize("board", WITH_RADIOS)
def test_what_is_on_air_is_said_in_a_documents_words(board: str) -> None:
    """What a push made is read back as the document that made it, its key as stars."""
    tree = tree_of(board)
    facts = facts_of(tree)
    part = {"public": PAIR | {"max_stations": 64, "hidden": True, "enabled": False}, "kantor": KEYED | {"security": "psk2-sae", "isolate": False}}
    said = ssids.current(after(part, tree, facts), facts)
    assert said["public"] == part["public"] | {"isolate": True} and said["kantor"] == part["kantor"] | {"enabled": True, "hidden": False, "key": "***"}
    assert {"none", "owe", "psk2", "sae-mixed", "sae"} == ENCRYPTIONS


# Caps: ours, four ways, and of a network that is taken over.

CAP = {"down_mbps": 30, "up_mbps": 10.5, "per_station": {"down_mbps": 5, "up_mbps": 0.25}}


def test_add_a_cap() -> None:
    """To a network that is on air it comes without anybody's notice: a section of our own package, and nothing of the wireless."""
    tree = after({"public": PAIR})
    (change,) = planned({"public": PAIR | {"cap": CAP}}, tree)
    assert change[:4] == ("ssids.public.cap", None, CAP, "live")
    assert change.edits[0] == Edit("rwagent", "cap_public", type="cap") and {edit.package for edit in change.edits} == {"rwagent"}
    assert after({"public": PAIR | {"cap": CAP}}, tree)["rwagent"]["cap_public"].options == {
        "down_kbit": ("30000",),
        "up_kbit": ("10500",),
        "station_down_kbit": ("5000",),
        "station_up_kbit": ("250",),
    }


def test_change_a_cap() -> None:
    """Only the rate that differs is edited, and one that is no longer named goes."""
    tree = after({"public": OPEN | {"cap": CAP}})
    other = {"down_mbps": 20, "up_mbps": 10.5, "per_station": {"down_mbps": 5}}
    (change,) = planned({"public": OPEN | {"cap": other}}, tree)
    assert change[:4] == ("ssids.public.cap", CAP, other, "live")
    assert change.edits == (Edit("rwagent", "cap_public", "down_kbit", "20000"), Edit("rwagent", "cap_public", "station_up_kbit", None))


def test_remove_a_cap() -> None:
    """Its section goes, with whatever else stands in it."""
    tree = with_option(after({"public": OPEN | {"cap": CAP}}), "rwagent", "cap_public", "note", "x")
    assert planned({"public": OPEN}, tree) == [Change("ssids.public.cap", CAP, None, "live", (Edit("rwagent", "cap_public"),))]


def test_a_network_goes_with_its_cap() -> None:
    """In one change that says what it was."""
    (change,) = planned(None, after({"public": OPEN | {"cap": CAP}}))
    assert change.path == "ssids.public" and isinstance(change.before, dict) and change.before["cap"] == CAP
    assert filled(after(None, after({"public": OPEN | {"cap": CAP}})))["wireless"] == RIG["wireless"]
    assert "cap_public" not in after(None, after({"public": OPEN | {"cap": CAP}}))["rwagent"]


def test_no_change_of_a_cap() -> None:
    """The same rates, however they are written; and they are read back as they were said."""
    tree = after({"public": OPEN | {"cap": CAP}})
    assert planned({"public": OPEN | {"cap": CAP | {"down_mbps": 30.0, "up_mbps": 10.50001}}}, tree) == []
    assert ssids.current(tree, FACTS)["public"] == ssids.current(after({"public": OPEN}), FACTS)["public"] | {"cap": CAP}  # type: ignore[operator]  # a table


def test_somebody_elses_hand_in_a_cap_is_mended() -> None:
    """A rate that is no number, an option that is none, a section of another type."""
    for broken in (("down_kbit", "30000; reboot"), ("ifnames", "eth0"), ("up_kbit", None)):
        tree = with_option(after({"public": OPEN | {"cap": CAP}}), "rwagent", "cap_public", *broken)
        assert [change.path for change in planned({"public": OPEN | {"cap": CAP}}, tree)] == ["ssids.public.cap"]
        assert after({"public": OPEN | {"cap": CAP}}, tree) == after({"public": OPEN | {"cap": CAP}})
    other = with_section(after({"public": OPEN}), "rwagent", "cap_public", "note", down_kbit="30000")
    assert after({"public": OPEN | {"cap": CAP}}, other)["rwagent"]["cap_public"].type == "cap"


def test_a_cap_of_nobodys_goes() -> None:
    """So that a network that gets the name later has none that nobody asked for."""
    tree = with_section(RIG, "rwagent", "cap_old", "cap", down_kbit="1000")
    assert "cap_old" not in after({"public": OPEN}, tree)["rwagent"]


def test_a_capped_network_that_is_taken_over_gets_a_name_of_its_own() -> None:
    """Without an `ifname` only the box knows what it is called; with the cap the name goes again."""
    tree = after({"public": OPEN}, facts=ADOPT)
    assert "ifname" not in tree["wireless"]["guest_radio0"].options
    capped = after({"public": OPEN | {"cap": CAP}}, tree, ADOPT)
    assert capped["wireless"]["guest_radio0"].value("ifname") == "rw-public-2g"
    assert "ssids.public.ifname" in [change.path for change in planned({"public": OPEN | {"cap": CAP}}, tree, ADOPT)]
    assert after({"public": OPEN}, capped, ADOPT)["wireless"] == tree["wireless"]


@pytest.mark.parametrize(("own", "name"), [("wlan0-guest", "wlan0-guest"), ("rwd-x", "rw-public-2g"), ("a b", "rw-public-2g"), ("x" * 16, "rw-public-2g")])
def test_a_name_that_it_has_is_kept_if_a_cap_can_be_for_it(own: str, name: str) -> None:
    """What cannot stand in the file of caps is not capped under that name."""
    tree = with_option(RIG, "wireless", "guest_radio0", "ifname", own)
    assert after({"public": OPEN | {"cap": CAP}}, tree, ADOPT)["wireless"]["guest_radio0"].value("ifname") == name


def test_a_network_called_uplink_has_no_cap() -> None:
    """Its devices would be those of the way out."""
    (fault,) = ssids.check({"uplink": OPEN | {"cap": CAP}}, FACTS)
    assert (fault.path, fault.code) == ("ssids.uplink.cap", "conflict") and "another name" in fault.message
    assert ssids.check({"uplink": OPEN}, FACTS) == []


def test_a_box_that_cannot_shape_says_why() -> None:
    """And what would help, whatever stands in the cap."""
    (fault,) = ssids.check({"public": OPEN | {"cap": CAP}}, FACTS._replace(caps_problem="there is no tc on this box: install tc-tiny"))
    assert (fault.path, fault.code) == ("ssids.public.cap", "unsupported") and fault.message.endswith("install tc-tiny")
    assert ssids.check({"public": OPEN}, FACTS._replace(caps_problem="x")) == []
