"""agent/sections/system.py: add, change, remove, no change; and what a host name and a time zone may be."""

from __future__ import annotations

import pytest

from agent.change import Change, Edit, edited
from agent.sections import system
from tests.documents import BOARDS, facts_of, filled, tree_of, with_option

TREE = tree_of("rig-x86")
NAME = next(name for name, section in TREE["system"].items() if section.type == "system")
FACTS = facts_of(TREE)


def paths(changes: list[Change]) -> list[str]:
    return [change.path for change in changes]


def test_add() -> None:
    """A host name is set on the section that is there, and what it was is remembered."""
    (change,) = system.changes({"hostname": "rw-0501"}, TREE, FACTS)
    assert change[:4] == ("system.hostname", "OpenWrt", "rw-0501", "live")
    memory = "system__first__hostname"
    assert change.edits == (
        Edit("rwagent", "originals", type="originals"),
        Edit("rwagent", "originals", memory, "=OpenWrt"),
        Edit("system", NAME, "hostname", "rw-0501"),
    )


def test_what_was_there_is_found_again_behind_another_section() -> None:
    """A section without a name is called by its place, and that moves: what was there before us is remembered all the same."""
    tree = edited(TREE, system.changes({"hostname": "rw-0501"}, TREE, FACTS)[0].edits)
    section = tree["system"].pop(NAME)
    tree["system"]["cfg0fffff"] = section._replace(name="cfg0fffff")
    (change,) = system.changes(None, tree, FACTS)
    assert (change.before, change.after) == ("rw-0501", "OpenWrt")
    assert edited(tree, change.edits)["system"]["cfg0fffff"].value("hostname") == "OpenWrt"


def test_change() -> None:
    """A second host name is set, and what is remembered stays the first that was there."""
    tree = edited(TREE, system.changes({"hostname": "one"}, TREE, FACTS)[0].edits)
    (change,) = system.changes({"hostname": "two"}, tree, FACTS)
    assert change[:4] == ("system.hostname", "one", "two", "live")
    assert change.edits == (Edit("system", NAME, "hostname", "two"),)


def test_remove() -> None:
    """What is no longer named returns to what it was, and is forgotten."""
    tree = edited(TREE, [edit for change in system.changes({"hostname": "one", "timezone": "WIB-7"}, TREE, FACTS) for edit in change.edits])
    back = system.changes(None, tree, FACTS)
    assert [change[:3] for change in back] == [("system.hostname", "one", "OpenWrt"), ("system.timezone", "WIB-7", "GMT0")]
    after = edited(tree, [edit for change in back for edit in change.edits])
    assert after["system"] == TREE["system"] and after["rwagent"]["originals"].options == {}


@pytest.mark.parametrize("board", BOARDS)
def test_no_change(board: str) -> None:
    """A document that says what is so changes nothing, nor does one that does not name the system."""
    tree = tree_of(board)
    assert system.changes(system.current(tree, facts_of(tree)), tree, facts_of(tree)) == []
    assert system.changes(None, tree, facts_of(tree)) == []


def test_the_zone_by_name_gives_way() -> None:
    """A pushed time zone takes away zonename, which would win where its file is installed; it returns with the old one."""
    (change,) = system.changes({"timezone": "WIB-7"}, TREE, FACTS)
    tree = edited(TREE, change.edits)
    assert tree["system"][NAME].value("zonename") is None
    (back,) = system.changes({}, tree, FACTS)
    assert edited(tree, back.edits)["system"][NAME].value("zonename") == "UTC"


def test_the_zone_that_is_there_keeps_its_name() -> None:
    """A document that names the time zone that is there leaves zonename alone."""
    assert system.changes({"timezone": "GMT0"}, TREE, FACTS) == []


def test_an_original_that_is_no_line_is_not_put_back() -> None:
    """A host name with a line break is not remembered: it would be written back as a line of its own."""
    tree = with_option(TREE, "system", NAME, "hostname", "a\nb")
    after = edited(tree, system.changes({"hostname": "c"}, tree, FACTS)[0].edits)
    assert after["rwagent"]["originals"].options == {"system__first__hostname": ("-",)}


def test_a_box_without_a_system_section() -> None:
    """Where there is no section of that type nothing is made."""
    assert system.changes({"hostname": "c"}, {}, FACTS) == [] and system.current({}, FACTS) == {}


def test_forgetting_leaves_nothing() -> None:
    """Set and taken back by hand, a host name is still forgotten when it is no longer named."""
    tree = edited(TREE, system.changes({"hostname": "one"}, TREE, FACTS)[0].edits)
    tree = with_option(tree, "system", NAME, "hostname", "OpenWrt")
    (change,) = system.changes(None, tree, FACTS)
    assert change.before == change.after == "OpenWrt"
    assert filled({"o": {**edited(tree, change.edits)["rwagent"]}})["o"]["originals"].options == {}


@pytest.mark.parametrize("name", ["a", "rw-0501", "RW5", "a.b.c", "0", "x" * 63])
def test_a_host_name(name: str) -> None:
    """RFC 1123's names pass, up to 63 characters."""
    assert system.check({"hostname": name}, FACTS) == []


@pytest.mark.parametrize("name", ["", "-a", "a-", "a.-b", "a..b", ".a", "a.", "a_b", "a b", "a\n", "ä", "x" * 64, "a;reboot", "$(a)", None, 5, True, ["a"]])
def test_no_host_name(name: object) -> None:
    """Anything else is refused, the value shown and what is allowed said."""
    (fault,) = system.check({"hostname": name}, FACTS)
    assert fault.path == "system.hostname" and "RFC 1123" in fault.message and "\n" not in fault.message


ZONES = ["WIB-7", "UTC0", "GMT0", "<+07>-7", "<-03>+3", "<+0545>-5:45", "CET-1CEST,M3.5.0,M10.5.0/3", "EST5EDT,M3.2.0,M11.1.0", "IST-1GMT0,M10.5.0,M3.5.0/1"]
ZONES += ["<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "EET-2EEST,M4.5.5/0,M10.5.4/24", "XXX-24:59:59", "AAA3BBB,J1,J365/167", "AAA3BBB,0,365"]
NO_ZONES = [
    "",
    "UTC",
    "Asia/Jakarta",
    "WIB",
    "WIB7WIB8",
    "WI-7",
    "WIB-25",
    "WIB-7\n",
    "WIB-7 ",
    " WIB-7",
    "WIB-7:60",
    "CET-1CEST",
    "CET-1CEST,M3.5.0",
    "CET-1CEST,M13.5.0,M10.5.0",
]
NO_ZONES += [
    "CET-1CEST,M3.6.0,M10.5.0",
    "CET-1CEST,M3.5.7,M10.5.0",
    "AAA3BBB,J0,J365",
    "AAA3BBB,J366,J1",
    "AAA3BBB,366,1",
    "AAA3BBB,0,1/168",
    ":WIB-7",
    "<7>-7",
    "WIB-٧",
    "A" * 65,
]


@pytest.mark.parametrize("zone", ZONES)
def test_a_time_zone(zone: str) -> None:
    """POSIX's time zones pass."""
    assert system.check({"timezone": zone}, FACTS) == []


@pytest.mark.parametrize("zone", [*NO_ZONES, None, 7, ["WIB-7"]])
def test_no_time_zone(zone: object) -> None:
    """Anything else would silently be UTC, and is refused."""
    (fault,) = system.check({"timezone": zone}, FACTS)
    assert fault.path == "system.timezone" and "such as WIB-7" in fault.message


def test_nothing_and_everything() -> None:
    """What is not named is right; all faults come at once, also those of names."""
    assert system.check(None, FACTS) == []
    faults = system.check({"hostname": "-", "timezone": "WIB", "host_name": "x"}, FACTS)
    assert [fault.path for fault in faults] == ["system.hostname", "system.timezone", "system.host_name"]
    assert "did you mean hostname?" in faults[2].message
    assert [fault.code for fault in system.check([], FACTS)] == ["type"]
