"""agent/owned.py: names of what is ours, and what stood where we changed another's."""

from __future__ import annotations

import pytest

from agent.change import Edit, RadioFact, Section, edited
from agent.owned import BANDS, MOST_RADIOS, Name, Place, band_of, claimed, claims, informed, named, original, pushed, put, remembered
from tests.documents import facts_of, tree_of, with_option, with_section

RIG = tree_of("rig-x86")
CHANNEL = Place("wireless", "radio0", "channel")


def test_every_name_is_its_own() -> None:
    """No two of our networks share a section or an interface; interfaces have at most 15 characters, sections UCI's letters; names are read back."""
    names = [Name(ssid, band, nth, is_half) for ssid in ("a", "abcdefgh") for band in BANDS for nth in range(1, MOST_RADIOS + 1) for is_half in (False, True)]
    assert len({name.section for name in names}) == len({name.ifname for name in names}) == len(names)
    assert max(len(name.ifname) for name in names) == 15 and all(name.section.replace("_", "").isalnum() for name in names)
    assert [named(name.section) for name in names] == names
    assert all(claimed(name.claim) == name for name in names if not name.is_half)


def test_the_names_of_the_contract() -> None:
    """The first radio's names are as the design has them."""
    assert (
        Name("public", "2g", 1, False)[:]
        and Name("public", "2g", 1, False).section == "rw_public_2g"
        and Name("public", "2g", 1, False).ifname == "rw-public-2g"
    )
    assert Name("public", "2g", 1, True).section == "rw_public_2g_owe" and Name("public", "2g", 1, True).ifname == "rw-public-2go"


@pytest.mark.parametrize(
    "section",
    ["default_radio0", "rw_public", "rw_public_4g", "rw_public_2g_1", "rw_public_2g_10", "rw_public_owe_2g", "rw_toolongname_2g", "xrw_a_2g", "rw_a_2g\n"],
)
def test_what_is_not_ours(section: str) -> None:
    """Any other name is somebody else's."""
    assert named(section) is None


def test_put_remembers_and_returns() -> None:
    """The first value put is preceded by what was there; the original, put again, is forgotten."""
    tree = edited(RIG, put(RIG, CHANNEL, "6"))
    assert remembered(tree) == {CHANNEL: "1"} and original(tree, CHANNEL) == "1"
    again = edited(tree, put(tree, CHANNEL, "11"))
    assert remembered(again) == {CHANNEL: "1"} and again["wireless"]["radio0"].value("channel") == "11"
    back = edited(again, put(again, CHANNEL, "1"))
    assert remembered(back) == {} and back["wireless"] == RIG["wireless"]


def test_put_what_is_there_is_nothing() -> None:
    """No edit, and nothing to remember."""
    assert put(RIG, CHANNEL, "1") == () == put(RIG, CHANNEL._replace(option="txpower"), None)


def test_what_was_not_set_is_remembered_as_such() -> None:
    """An option that was not set is deleted on its way back, also beside one whose text is a dash or begins with the mark."""
    tree = with_option(with_option(RIG, "wireless", "radio0", "country", "-"), "wireless", "radio0", "channel", "=x")
    for option, was in (("txpower", None), ("country", "-"), ("channel", "=x")):
        place = CHANNEL._replace(option=option)
        changed = edited(tree, put(tree, place, "9"))
        assert original(changed, place) == was
        assert edited(changed, put(changed, place, was))["wireless"] == tree["wireless"]


def test_a_drift_is_put_right_and_the_memory_stays() -> None:
    """What somebody set over ours is set again; what is remembered stays the first."""
    tree = with_option(edited(RIG, put(RIG, CHANNEL, "6")), "wireless", "radio0", "channel", "3")
    assert put(tree, CHANNEL, "6") == (Edit(*CHANNEL, "6"),)


def test_what_is_gone_is_forgotten() -> None:
    """Of a section that is gone nothing is edited but our memory."""
    tree = edited(RIG, put(RIG, CHANNEL, "6"))
    del tree["wireless"]["radio0"]
    assert put(tree, CHANNEL, "6") == put(tree, CHANNEL, "1") == (Edit("rwagent", "originals", CHANNEL.memory),)
    assert put(RIG, Place("wireless", "nowhere", "channel"), None) == ()


@pytest.mark.parametrize("section", ["a__b", "_a", "a_", "__", "cfg033579"])
def test_names_with_underscores_are_told_apart(section: str) -> None:
    """A section's underscores do not confuse what is remembered."""
    place = Place("wireless", section, "owe_transition_ssid")
    tree = with_section(RIG, "rwagent", "originals", "originals", **{place.memory: "=x"})
    assert remembered(tree) == {place: "x"}


def test_claims_and_knobs() -> None:
    """What ssids took over and what the agent was told are read from sections of ours, and are empty without them."""
    tree = with_section(with_section(RIG, "rwagent", "claims", "claims", a_2g="x"), "rwagent", "pushed", "pushed", report_interval_s="60")
    assert claims(tree) == {"a_2g": "x"} and pushed(tree) == {"report_interval_s": "60"}
    assert claims(RIG) == {} == pushed(RIG) == remembered(RIG)
    assert claimed("nonsense") is None


def test_informed_of_the_radios_before_us() -> None:
    """A radio counts as it was before any push: on or off, and of which generation."""
    tree = RIG
    for option, value in (("disabled", "1"), ("htmode", "HE20")):
        tree = edited(tree, put(tree, Place("wireless", "radio1", option), value))
    radio = informed(facts_of(tree), tree).radios[1]
    assert not facts_of(tree).radios[1].is_enabled and radio.is_enabled and radio.htmode == "HE80"


def test_informed_of_what_lies_on_a_radio() -> None:
    """What may be taken over stands in the settings' order, without doubles; what is ours by its name."""
    tree = with_section(RIG, "wireless", "rw_a_2g", "wifi-iface", device="radio0", mode="ap")
    facts = facts_of(tree, adopt=("guest_radio0", "default_radio1", "default_radio0", "guest_radio0", "rw_a_2g", "radio0", "none"))
    radio = informed(facts, tree).radios[0]
    assert radio.adopt == ("guest_radio0", "default_radio0") and radio.owned == ("rw_a_2g",)


def test_informed_keeps_what_the_tree_does_not_say() -> None:
    """A radio that is not in the tree stays as the store told."""
    strange = RadioFact("radio9", "6g", frozenset({5}), True)
    assert informed(facts_of(RIG, radios=(strange,)), RIG).radios == (strange,)


def test_without_a_system_section_there_is_no_system() -> None:
    """Where nothing could be set, it is not among the sections that this access point can carry out."""
    assert "system" in informed(facts_of(RIG), RIG).sections
    assert "system" not in informed(facts_of(RIG), {**RIG, "system": {}}).sections


@pytest.mark.parametrize(
    ("options", "band"), [({"band": "5g"}, "5g"), ({"hwmode": "11a"}, "5g"), ({"hwmode": "11g"}, "2g"), ({"band": "60g"}, None), ({}, None)]
)
def test_a_radios_band(options: dict[str, str], band: str | None) -> None:
    """By `band`, or by the older hwmode; none for what no document can name."""
    assert band_of(Section("wifi-device", "radio0", {option: (value,) for option, value in options.items()})) == band
