"""UCI as `uci show` prints it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Unavailable
from agent.router.child import Program
from agent.router.uci import Absent, Section, Uci, parse, parse_whole

CAPTURES = Path(__file__).parents[1] / "captures" / "openwrt"
VALUES = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=30)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789_", min_size=1, max_size=8)


def captured(name: str) -> dict[str, Section]:
    return parse((CAPTURES / f"{name}.txt").read_bytes().decode("utf-8", "surrogateescape"))


def quoted(value: str) -> str:
    """A value as uci writes it."""
    return "'" + value.replace("'", "'\\''") + "'"


def fake_uci(directory: Path, body: str, timeout_s: float = 10.0) -> Uci:
    (directory / "uci").write_text(f"#!/bin/sh\n{body}\n")
    (directory / "uci").chmod(0o755)
    return Uci(Program("uci", f"{directory}:/usr/bin:/bin", timeout_s=timeout_s), (str(directory / "flash"), str(directory / "over")))


def test_awkward_values_are_the_true_ones() -> None:
    """Quotes, line breaks, back-slashes, shell syntax and lists of a real device are what `uci get` gave there."""
    expected = json.loads((CAPTURES / "uci-show-awkward.expected.json").read_text())["options"]
    found = {f"{name}.{option}": section.value(option) for name, section in captured("uci-show-awkward").items() for option in section.options}
    assert found.pop("listy.frequency") == "2412 has space has'quote"
    # What the recording says of the true values leaves these two out.
    assert found == expected | {"awkward2.device": "radio0", "awkward2.mode": "sta"}


def test_a_list_keeps_its_values_apart() -> None:
    """A list's values are told from the spaces in them."""
    assert captured("uci-show-awkward")["listy"].options["frequency"] == ("2412", "has space", "has'quote")


def test_sections_of_a_router() -> None:
    """The rig's wireless configuration: sections in their order, with type and options."""
    sections = captured("rig-uci-show-wireless")
    assert [(section.name, section.type) for section in sections.values()] == [
        ("radio0", "wifi-device"),
        ("default_radio0", "wifi-iface"),
        ("radio1", "wifi-device"),
        ("default_radio1", "wifi-iface"),
        ("guest_radio0", "wifi-iface"),
    ]
    assert sections["radio0"].options["path"] == ("virtual/mac80211_hwsim/hwsim0",)


def test_the_vendors_options_are_data_like_others() -> None:
    """Options OpenWrt does not know are kept (kwrt 25.12)."""
    assert captured("kwrt-25.12-uci-show-wireless")["jxnu_sta_radio1"].value("smart_srun_ap_selection") == "auto"


def test_sections_without_a_name() -> None:
    """The place among the others is the name where uci shows that (rig)."""
    sections = captured("rig-uci-show-dhcp")
    assert sections["@dnsmasq[0]"].type == "dnsmasq"
    assert sections["@dnsmasq[0]"].value("leasefile") == "/tmp/dhcp.leases"
    assert captured("rig-uci-show-network")["@device[0]"].value("name") == "br-lan"


@pytest.mark.parametrize("word", ["1", "on", "true", "yes", "enabled"])
def test_words_for_yes(word: str) -> None:
    """What OpenWrt's scripts take for yes is yes; anything else, and nothing, is no."""
    section = parse(f"dhcp.wan=dhcp\ndhcp.wan.ignore={quoted(word)}\ndhcp.wan.other='{word}x'\n")["wan"]
    assert section.is_on("ignore")
    assert not section.is_on("other")
    assert not section.is_on("missing")


@given(st.dictionaries(NAMES, st.dictionaries(NAMES, st.lists(VALUES, min_size=1, max_size=3), max_size=4), max_size=4))
def test_every_value_comes_through(tree: dict[str, dict[str, list[str]]]) -> None:
    """Whatever stands in a value, quotes and line breaks included, it is read as it was written and makes nothing else."""
    lines = []
    for name, options in tree.items():
        lines.append(f"wireless.{name}=wifi-iface\n")
        lines += [f"wireless.{name}.{option}={' '.join(map(quoted, values))}\n" for option, values in options.items()]
    found = {name: {option: list(values) for option, values in section.options.items()} for name, section in parse("".join(lines)).items()}
    assert found == tree


@given(st.text("wireles.=' \\\n@[0]a", max_size=60))
def test_no_text_breaks_it(text: str) -> None:
    """Any text is read to its end without an exception."""
    for section in parse(text).values():
        assert all(isinstance(value, str) for values in section.options.values() for value in values)


@given(st.integers(0, 700))
def test_cut_off_output_gives_nothing_false(length: int) -> None:
    """What was cut off anywhere has no section or value that the whole does not have."""
    text = (CAPTURES / "uci-show-awkward.txt").read_text()
    whole = parse(text)
    for name, section in parse(text[:length]).items():
        assert name in whole
        for option, values in section.options.items():
            assert values == whole[name].options[option][: len(values)]


def test_what_follows_nonsense_is_not_believed() -> None:
    """A line inside a value whose beginning was not understood is not taken for an option."""
    text = "wireless.a=wifi-iface\nwireless.a.ssid='x'y\nwireless.a.encryption='none'\n"
    assert parse(text)["a"].options == {}


def test_uci_is_asked_for_true_names(tmp_path: Path) -> None:
    """The program is run with the names ubus uses, as arguments and not by a shell."""
    uci = fake_uci(tmp_path, 'printf "wireless.cfg033579=wifi-iface\\nwireless.cfg033579.ssid=\'%s\'\\n" "$*"')
    assert uci.show("wireless; reboot")["cfg033579"].value("ssid") == "-X show wireless; reboot"


def test_missing_configuration_is_absent(tmp_path: Path) -> None:
    """No such file, as uci says it: exit status 1."""
    with pytest.raises(Absent, match="uci -X show wireless: exit status 1"):
        fake_uci(tmp_path, "exit 1").show("wireless")


@pytest.mark.parametrize("folder", ["flash", "over"])
@pytest.mark.parametrize(("body", "timeout_s", "reason"), [("exit 1", 10.0, "exit status 1"), ("exec sleep 60", 0.2, "no answer within 0.2 s")])
def test_a_configuration_that_uci_cannot_show_is_not_absent(body: str, timeout_s: float, reason: str, folder: str, tmp_path: Path) -> None:
    """A file that uci does not understand or whose lock somebody holds, on the flash or laid over it, is there."""
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "wireless").touch()
    with pytest.raises(Unavailable, match=f"uci -X show wireless: {reason}") as raised:
        fake_uci(tmp_path, body, timeout_s).show("wireless")
    assert not isinstance(raised.value, Absent)


def test_bytes_that_are_no_text_come_through(tmp_path: Path) -> None:
    """An SSID of foreign bytes keeps them for whoever prints it."""
    uci = fake_uci(tmp_path, r"printf 'wireless.a=wifi-iface\nwireless.a.ssid='\''\377\376'\''\n'")
    assert (uci.show("wireless")["a"].value("ssid") or "").encode("utf-8", "surrogateescape") == b"\xff\xfe"


def test_what_cannot_be_read_to_its_end_is_unavailable() -> None:
    """Whoever changes the router must not take half a configuration for the whole."""
    whole = "wireless.radio0=wifi-device\nwireless.radio0.channel='6'\n"
    assert parse_whole(whole) == parse(whole) and parse_whole("") == {}
    for cut in ("wireless.radio0.ssid='", "wireless.radio0.ssid='a'", "garbage\n", "\n", "wireless.radio0=wifi-device"):
        with pytest.raises(Unavailable, match=f"from character {len(whole)} on"):
            parse_whole(whole + cut)
