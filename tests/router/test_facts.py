"""What root wrote down for the daemon, as the daemon reads it."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.router.facts import EMPTY, FILE_BYTES, MOST_NETWORKS, MOST_RADIOS, Facts, Network, RadioFacts, is_wanted, parse, read

WHOLE = {
    "v": 1,
    "radios": {
        "radio0": {
            "phy": "phy1",
            "band": "5g",
            "channel": "36",
            "htmode": "HE80",
            "country": "ID",
            "up": True,
            "pending": False,
            "disabled": False,
            "retry_setup_failed": False,
            "networks": [
                {
                    "section": "default_radio0",
                    "ifname": "phy1-ap0",
                    "ssid": "Malang RW 05",
                    "mode": "ap",
                    "encryption": "owe",
                    "disabled": False,
                    "hidden": True,
                    "network": ["lan"],
                    "pair": "Malang",
                }
            ],
        }
    },
    "dhcp": {"lan": {"limit": 150}, "guest": {}},
    "lease_file": "/tmp/dhcp.leases",
    "offload": {"software": True, "hardware": False},
    "networks": ["lan", "guest", "wan"],
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["radio0", "lan", "networks", "ifname", "ssid", "limit", "up", ""]), inner, max_size=4)
    ),
    max_leaves=12,
)


def facts(**changed: Any) -> Facts:
    return parse(json.dumps({"v": 1} | changed))


def network(**changed: Any) -> Network:
    (radio,) = facts(radios={"radio0": {"networks": [changed]}}).radios
    (one,) = radio.networks
    return one


def test_all_fields_are_read() -> None:
    """Every field of the file has its place."""
    assert parse(json.dumps(WHOLE)) == Facts(
        radios=(
            RadioFacts(
                "radio0", "phy1", "5g", "36", "HE80", "ID", True, False, False, False,
                (Network("default_radio0", "phy1-ap0", "Malang RW 05", "ap", "owe", False, True, ("lan",), "Malang"),),
            ),
        ),
        pools={"lan": 150, "guest": None},
        lease_file="/tmp/dhcp.leases",
        is_software_offload=True,
        is_hardware_offload=False,
        networks=("lan", "guest", "wan"),
    )  # fmt: skip


def test_nothing_is_known_of_what_is_not_there() -> None:
    """Each field may be missing."""
    assert facts() == EMPTY
    assert facts(radios={"radio0": {}}).radios == (RadioFacts("radio0"),)
    assert network() == Network()


def test_none_is_not_unknown() -> None:
    """A box that serves no addresses and has no networks says so."""
    told = facts(dhcp={}, networks=[])
    assert told.pools == {} and told.networks == ()


@pytest.mark.parametrize("version", [2, 0, "1", True, 1.0, None])
def test_another_version_says_nothing(version: object) -> None:
    """What another version means is not known."""
    assert facts(v=version, networks=["lan"]) == EMPTY


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 30000, '{"v":1', "nan", '{"v":1,"dhcp":{"lan":{"limit":' + "9" * 5000 + "}}}"])
def test_damage_says_nothing(text: str) -> None:
    """What is no JSON, no table or nested for ever is as an empty file."""
    assert parse(text) == EMPTY


@pytest.mark.parametrize("name", ["../phy0", "phy0/ap", "-h", "..", "phy 0", "", "a\nb", "x" * 65, 7, None, ["phy0"]])
def test_a_name_that_is_no_devices_is_left_out(name: object) -> None:
    """No name leads out of a directory, or is an option of a program."""
    assert network(ifname=name).ifname is None
    assert facts(radios={"radio0": {"phy": name}}).radios[0].phy is None


@pytest.mark.parametrize("ssid", ["a\nb", "\x1b[2J", "\u202e", "\ud800", "", "x" * 257, 5, {}])
def test_text_that_does_not_print_is_left_out(ssid: object) -> None:
    """Root spells such out; who did not is not copied on."""
    assert network(ssid=ssid, section="kept") == Network(section="kept")


@pytest.mark.parametrize("limit", [0, -1, 1 << 24 | 1, True, 1.5, "150", None])
def test_a_size_that_is_none_is_not_known(limit: object) -> None:
    """The pool stays, its size is unknown."""
    assert facts(dhcp={"lan": {"limit": limit}}).pools == {"lan": None}


@pytest.mark.parametrize("claim", [0, 1, "true", "0", "", [], {"up": True}])
def test_a_claim_that_is_neither_true_nor_false_is_unknown(claim: object) -> None:
    """No text and no number is taken for yes or no."""
    (radio,) = facts(radios={"radio0": {"up": claim, "disabled": claim}}).radios
    told = facts(offload={"software": claim, "hardware": claim})
    assert (radio.is_up, radio.is_disabled, network(hidden=claim).is_hidden, told.is_software_offload, told.is_hardware_offload) == (None,) * 5


@pytest.mark.parametrize("path", ["dhcp.leases", "", "/tmp/a\nb", 5])
def test_a_path_that_is_none_is_left_out(path: object) -> None:
    """Only a whole path that prints."""
    assert facts(lease_file=path).lease_file is None


def test_radios_and_networks_are_bounded() -> None:
    """A file of thousands costs no more than a large router."""
    told = facts(radios={f"radio{number}": {"networks": [{}] * 20} for number in range(40)}, networks=["n"] * 500, dhcp={f"n{n}": {} for n in range(500)})
    assert len(told.radios) == MOST_RADIOS
    assert sum(len(radio.networks) for radio in told.radios) == MOST_NETWORKS
    assert len(told.networks or ()) == MOST_NETWORKS
    assert len(told.pools or ()) == MOST_NETWORKS


@given(st.fixed_dictionaries({"v": st.just(1)}, optional={key: JSON for key in WHOLE if key != "v"}))
def test_no_json_breaks_it(raw: dict[str, Any]) -> None:
    """Whatever stands in the fields, only what has the right type is taken."""
    told = parse(json.dumps(raw))
    for radio in told.radios:
        assert isinstance(radio.name, str) and radio.is_up in (None, True, False)
        for one in radio.networks:
            assert all(value is None or value.isprintable() for value in (one.ssid, one.ifname, one.section, one.pair))


@given(st.binary(max_size=200))
def test_no_bytes_break_it(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Any file is read."""
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)
    assert isinstance(read(str(path)), Facts)


def test_file_is_read(tmp_path: Path) -> None:
    """The file's text is what is parsed."""
    (tmp_path / "wireless.json").write_text(json.dumps(WHOLE))
    assert read(str(tmp_path / "wireless.json")) == parse(json.dumps(WHOLE))


def test_no_file_is_none(tmp_path: Path) -> None:
    """Root has not written yet: that is not the same as having nothing to say."""
    assert read(str(tmp_path / "wireless.json")) is None
    assert read(str(tmp_path)) is None


def test_a_pipe_in_its_place_does_not_hold(tmp_path: Path) -> None:
    """What is no file is not read, also when somebody writes to it."""
    os.mkfifo(tmp_path / "wireless.json")
    assert read(str(tmp_path / "wireless.json")) is None
    writer = os.open(tmp_path / "wireless.json", os.O_RDWR)
    assert read(str(tmp_path / "wireless.json")) is None
    os.close(writer)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Root's doctor reads nothing but the file: whoever owns a directory above may point elsewhere."""
    (tmp_path / "elsewhere").write_text(json.dumps(WHOLE))
    (tmp_path / "wireless.json").symlink_to(tmp_path / "elsewhere")
    assert read(str(tmp_path / "wireless.json")) is None


def test_a_file_that_is_exchanged_for_a_pipe_holds_nobody(tmp_path: Path) -> None:
    """Between looking and opening, too."""
    (tmp_path / "real").write_text('{"v":1}')
    os.mkfifo(tmp_path / "pipe")
    is_over = threading.Event()

    def exchange() -> None:
        while not is_over.is_set():
            for target in ("real", "pipe"):
                os.link(tmp_path / target, tmp_path / "draft")
                os.rename(tmp_path / "draft", tmp_path / "wireless.json")
                (tmp_path / "draft").unlink(missing_ok=True)

    thread = threading.Thread(target=exchange)
    thread.start()
    try:
        assert {read(str(tmp_path / "wireless.json")) for _ in range(3000)} <= {None, EMPTY}
    finally:
        is_over.set()
        thread.join()


def test_a_file_too_large_says_nothing(tmp_path: Path) -> None:
    """Half of a file is not believed."""
    (tmp_path / "wireless.json").write_text(json.dumps(WHOLE) + " " * FILE_BYTES)
    assert read(str(tmp_path / "wireless.json")) == EMPTY


@pytest.mark.parametrize(
    ("radio", "network", "expected"),
    [
        ({}, {}, True),
        ({"disabled": False}, {"mode": "ap", "disabled": False}, True),
        ({"disabled": True}, {"mode": "ap"}, False),
        ({}, {"mode": "ap", "disabled": True}, False),
        ({}, {"mode": "sta"}, False),
        ({}, {"mode": "mesh"}, False),
    ],
)
def test_who_is_wanted_on_air(radio: dict[str, Any], network: dict[str, Any], expected: bool) -> None:
    """Access points, which a network without `mode` is too, unless they or their radio are switched off."""
    (told,) = facts(radios={"radio0": radio | {"networks": [network]}}).radios
    assert is_wanted(told, told.networks[0]) is expected
