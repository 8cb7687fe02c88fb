"""agent/caps.py: the file that is made of a tree, and read as the script reads it."""

from __future__ import annotations

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import caps, derived, plan
from agent.change import Tree, edited
from agent.sections import ssids
from agent.wire import schemas_config
from tests.documents import documents, facts_of, tree_of, with_option, with_section

TREE = tree_of("rig-x86")
FACTS = facts_of(TREE)
OPEN = {"ssid": "Malang RW 05", "security": "open", "bands": ["2g", "5g"]}
CAP = {"down_mbps": 30, "up_mbps": 10, "per_station": {"down_mbps": 5, "up_mbps": 2}}


def pushed(document: dict[str, object], tree: Tree = TREE) -> Tree:
    return edited(tree, plan.make(document, tree, facts_of(tree)).edits)


def test_the_file_of_a_tree() -> None:
    """A line for each SSID with the devices of all its networks, the hidden halves of pairs too, and one for the way out; as the issue's contract has it."""
    document = {
        "ssids": {"public": OPEN | {"security": "owe-transition", "cap": CAP}, "kantor": OPEN | {"cap": {"per_station": {"up_mbps": 0.5}}}, "free": OPEN},
        "uplink": {"cap": {"down_mbps": 45}},
    }
    assert caps.text(pushed(document), "wan").decode().splitlines() == [
        "v 1",
        "ssid kantor - - - 500 rw-kantor-2g rw-kantor-5g",
        "ssid public 30000 10000 5000 2000 rw-public-2go rw-public-5go rw-public-2g rw-public-5g",
        "uplink 45000 - wan",
    ]


def test_no_cap_is_no_line() -> None:
    """So that a box without caps, and one that has lost them all, have the same file as before the first."""
    assert caps.text(TREE, "wan") == b"" == caps.text(pushed({"ssids": {"public": OPEN}}, pushed({"ssids": {"public": OPEN | {"cap": CAP}}})), "wan")
    assert caps.read(b"") == [] == caps.wanted(b"")


def test_a_network_that_is_off_is_capped_when_it_comes() -> None:
    """Its devices stand in the file before they are there."""
    assert b" rw-public-2g " in caps.text(pushed({"ssids": {"public": OPEN | {"enabled": False, "cap": CAP}}}), "wan")


@pytest.mark.parametrize("uplink", ["", "wan eth1", "wan\neth1", "x" * 16, "..", "rwd-uplink"])
def test_a_way_out_without_a_sound_name_is_none(uplink: str) -> None:
    """No line is made with it."""
    assert caps.text(pushed({"uplink": {"cap": {"down_mbps": 50}}}), uplink) == b""


def test_what_is_no_rate_or_no_name_is_not_written() -> None:
    """Whatever somebody put into our section or a network's."""
    tree = pushed({"ssids": {"public": OPEN | {"cap": CAP}}})
    for value in ("0", "-1", "1;reboot", "1\nssid x", "123456789", "٣"):
        line = caps.text(with_option(tree, "rwagent", "cap_public", "down_kbit", value), "wan").splitlines()[1]
        assert line == b"ssid public - 10000 5000 2000 rw-public-2g rw-public-5g"
    spoilt = with_option(tree, "wireless", "rw_public_2g", "ifname", "rw public")
    assert caps.text(spoilt, "wan").splitlines()[1].endswith(b" 2000 rw-public-5g")


def test_a_network_called_uplink_is_never_the_way_out() -> None:
    """Not even in a tree that no document of ours made."""
    tree = pushed({"ssids": {"uplink": OPEN}, "uplink": {"cap": {"down_mbps": 50}}})
    assert caps.text(tree, "wan") == b"v 1\nuplink 50000 - wan\n" and caps.owners(tree) == []


def test_what_must_stand_is_told_as_the_daemon_reads_it() -> None:
    """Only what is set, in the shape of status/caps.json."""
    wanted = caps.wanted(b"v 1\nssid public 30000 - - 2000 a b\nuplink - 20000 wan\n")
    assert wanted == [{"ssid": "public", "down_kbit": 30000, "station_up_kbit": 2000, "ifnames": ["a", "b"]}, {"uplink": "wan", "up_kbit": 20000}]
    jsonschema.validate({"v": 1, "wanted": wanted}, schemas_config.FILES["caps.json"])


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"v 2\n", 1),
        (b"\n", 1),
        (b"v 1\nssid public 1 1 1 1 a", 2),
        (b"v 1\nssid public 1 1 1 1\n", 2),
        (b"v 1\nssid Public 1 1 1 1 a\n", 2),
        (b"v 1\nssid public 01 1 1 1 a\n", 2),
        (b"v 1\nssid public 1 1 1 1 a/b\n", 2),
        (b"v 1\nssid public 1 1 1 1 a  b\n", 2),
        (b"v 1\nuplink 1 1 wan\nuplink 1 wan\n", 3),
        (b"v 1\nuplink 1 x wan\n", 2),
        (b"v 1\nuplink 1 1 w\xff\n", 2),
        (b"v 1\nnote\n", 2),
    ],
)
def test_a_file_that_is_none_of_ours_is_refused_at_its_line(content: bytes, line: int) -> None:
    """As the script does."""
    with pytest.raises(ValueError, match=f"^line {line} of the caps"):
        caps.read(content)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_is_pushed_is_read_back_as_it_was_said(data: st.DataObject) -> None:
    """Every cap of a document that passes the check stands in the file, in kbit/s, and in what the access point says of itself."""
    document = data.draw(documents(TREE))
    after = pushed(document)
    (name, content), *_ = derived.made(after, FACTS)
    found = {cap.name if isinstance(cap, caps.SsidCap) else caps.UPLINK: cap.rates for cap in caps.read(content)}
    networks, way_out = document.get("ssids", {}), document.get("uplink", {})
    said = {name: entry["cap"] for name, entry in networks.items() if "cap" in entry}  # type: ignore[attr-defined]  # tables
    said |= {"uplink": way_out["cap"]} if way_out else {}  # type: ignore[index]  # a table
    assert name == "caps" and found.keys() == said.keys()
    for owner, cap in said.items():
        stations = cap.get("per_station", {})
        told = {"down_kbit": cap, "up_kbit": cap, "station_down_kbit": stations, "station_up_kbit": stations}
        rates = {option: round(table[f"{way}_mbps"] * 1000) for option, table in told.items() if f"{(way := option.split('_')[-2])}_mbps" in table}
        assert found[owner] == rates
    current = ssids.current(after, FACTS)
    assert {name: entry.get("cap") is not None for name, entry in current.items()} == {name: "cap" in entry for name, entry in networks.items()}  # type: ignore[attr-defined]  # tables


def test_a_cap_for_nobody_is_no_line() -> None:
    """A section of ours without a network of that name."""
    assert caps.text(with_section(TREE, "rwagent", "cap_old", "cap", down_kbit="1000"), "wan") == b""
