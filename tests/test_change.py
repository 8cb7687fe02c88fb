"""agent/change.py: edits on a tree, one by one."""

from __future__ import annotations

import pytest

from agent.change import Edit, Section, edited

TREE = {"wireless": {"radio0": Section("wifi-device", "radio0", {"channel": ("6",), "list": ("a", "b")})}}


def test_an_option_is_set() -> None:
    """An edit with a value sets the option and leaves the others."""
    after = edited(TREE, [Edit("wireless", "radio0", "channel", "11")])
    assert after["wireless"]["radio0"].options == {"channel": ("11",), "list": ("a", "b")}


def test_an_option_is_deleted() -> None:
    """An edit without a value deletes the option."""
    assert edited(TREE, [Edit("wireless", "radio0", "channel")])["wireless"]["radio0"].options == {"list": ("a", "b")}


def test_deleting_what_is_not_set_is_nothing() -> None:
    """An option that is not there can be deleted, which changes nothing."""
    assert edited(TREE, [Edit("wireless", "radio0", "country")]) == TREE


def test_a_section_is_made() -> None:
    """An edit with a type makes the section, also in a package that is not there."""
    assert edited(TREE, [Edit("rwagent", "pushed", type="pushed")])["rwagent"] == {"pushed": Section("pushed", "pushed", {})}


def test_a_section_that_is_there_stays() -> None:
    """To make a section that is there changes nothing of it."""
    assert edited(TREE, [Edit("wireless", "radio0", type="wifi-iface")]) == TREE


def test_a_section_is_deleted() -> None:
    """An edit that names neither option nor type deletes the section."""
    assert edited(TREE, [Edit("wireless", "radio0")]) == {"wireless": {}}


def test_an_option_of_no_section_is_an_error() -> None:
    """Nobody sets an option in a section that is not there."""
    with pytest.raises(KeyError):
        edited(TREE, [Edit("wireless", "radio9", "channel", "1")])


def test_the_tree_given_stays_as_it_is() -> None:
    """The edits are applied to a copy."""
    edited(TREE, [Edit("wireless", "radio0", "channel", "11"), Edit("wireless", "radio0")])
    assert TREE["wireless"]["radio0"].options["channel"] == ("6",)


@pytest.mark.parametrize(
    ("value", "is_on"), [("1", True), ("on", True), ("true", True), ("yes", True), ("enabled", True), ("0", False), ("", False), ("no", False)]
)
def test_what_openwrt_takes_for_yes(value: str, is_on: bool) -> None:
    """A flag is on for the five words of OpenWrt and no other."""
    assert Section("t", "n", {"flag": (value,)}).is_on("flag") is is_on
