"""The simulated access point's configuration: what is staged is what comes, and its hostapd sends what the files say."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.change import Edit, Section
from agent.errors import Unavailable
from agent.router import backends, simulated_air
from agent.router.simulated_air import Row
from agent.router.store_simulated import SimulatedStore, initial_tree
from tests.pushes import place


@pytest.fixture
def store(tmp_path: Path) -> SimulatedStore:
    """Open one that has no file yet."""
    return place(tmp_path).store()


def put(store: SimulatedStore, *edits: Edit) -> None:
    """Do what the applier does with staged files."""
    stage = Path(store.paths()["wireless"]).parent.parent / "stage"
    stage.mkdir(exist_ok=True)
    for package, content in store.stage(edits, str(stage)).items():
        path = Path(store.paths()[package])
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)


def test_without_a_file_it_is_what_the_simulated_router_reports(tmp_path: Path) -> None:
    """The same SSIDs, channels and interfaces, so that the first plan compares with what people see."""
    there = place(tmp_path)
    store, router = there.store(), backends.open_router(there.settings)
    channels = {radio.name: radio.channel for radio in router.radios()}
    assert [(one.ifname, one.ssid, one.channel, one.state) for one in store.on_air()] == [
        (bss.ifname, bss.ssid, channels[bss.radio], "enabled") for bss in sorted(router.bss(), key=lambda bss: bss.ifname)
    ]


def test_facts_name_both_radios_and_the_channels_they_can_be_tuned_to(store: SimulatedStore) -> None:
    """More than the country allows: what it does not, only the trial shows."""
    facts = store.facts(store.tree())
    assert [(radio.name, radio.band, radio.is_enabled) for radio in facts.radios] == [("radio0", "2g", True), ("radio1", "5g", True)]
    assert 13 in facts.radios[0].channels and 14 not in facts.radios[0].channels and 144 in facts.radios[1].channels


def test_staged_files_hold_the_edits_and_nothing_is_in_place(store: SimulatedStore) -> None:
    """Only the packages edited; the tree stays as it is until somebody puts them there."""
    before = store.tree()
    edits = (Edit("wireless", "radio0", "channel", "11"), Edit("rwagent", "pushed", type="pushed"), Edit("rwagent", "pushed", "report_interval_s", "30"))
    put(store, edits[0])
    assert store.tree()["wireless"]["radio0"].value("channel") == "11" and store.tree()["system"] == before["system"]
    put(store, *edits[1:])
    assert store.tree()["rwagent"] == {"pushed": Section("pushed", "pushed", {"report_interval_s": ("30",)})}


def test_an_edit_without_its_section_is_unavailable_or_a_bug(store: SimulatedStore, tmp_path: Path) -> None:
    """Never a file that says something else."""
    (tmp_path / "stage").mkdir()
    with pytest.raises((Unavailable, KeyError)):
        store.stage([Edit("wireless", "nowhere", "channel", "11")], str(tmp_path / "stage"))


@pytest.mark.parametrize("channel", ["14", "144", "0", "1000000", "x", ""])
def test_a_channel_the_country_forbids_keeps_the_radio_down(channel: str, store: SimulatedStore) -> None:
    """As hostapd does: no network of that radio is sent."""
    put(store, Edit("wireless", "radio0", "channel", channel))
    states = {one.ifname: one.state for one in store.on_air()}
    expected = "enabled" if channel == "" else "down"  # not set means auto
    assert states == {"phy0-ap0": expected, "phy0-ap1": expected, "phy1-ap0": "enabled"}


def test_a_new_file_takes_a_moment_to_be_on_air(store: SimulatedStore) -> None:
    """The live test has something to wait for."""
    store.starting_s = 3600.0
    put(store, Edit("wireless", "radio0", "channel", "11"))
    assert {one.state for one in store.on_air()} == {"starting"}


def test_what_is_switched_off_is_not_sent(store: SimulatedStore) -> None:
    """A disabled network, and all of a disabled radio."""
    put(store, Edit("wireless", "radio1", "disabled", "1"), Edit("wireless", "office_radio0", "disabled", "1"))
    assert [one.ifname for one in store.on_air()] == ["phy0-ap0"]


def test_staged_edits_of_somebody_else_make_it_busy(store: SimulatedStore) -> None:
    """Played by a file."""
    assert store.busy() is None
    folder = Path(store.paths()["wireless"]).parent
    folder.mkdir()
    (folder / "busy").write_bytes(b"")
    assert "staged" in str(store.busy())


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"sections":[{}]}', b'{"sections":[{"name":"a","type":"b","options":[]}]}', b"\xff"])
def test_a_file_that_is_none_of_ours_is_unavailable(content: bytes, store: SimulatedStore) -> None:
    """Somebody's edit by hand is not guessed at."""
    path = Path(store.paths()["wireless"])
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(Unavailable):
        store.tree()


def test_secrets_come_from_their_directory(tmp_path: Path) -> None:
    """What `key_ref` may name."""
    there = place(tmp_path)
    (tmp_path / "secrets/door").write_text("rahasia123\n")
    (tmp_path / "secrets/door").chmod(0o600)
    store = there.store()
    assert store.facts(store.tree()).secrets == {"door": "rahasia123"}


def test_there_is_nothing_to_undo_and_nobody_to_tell(store: SimulatedStore) -> None:
    """A file has one author here, and is read again at the next question."""
    store.reload(["wireless"])
    assert store.undo("wireless", store.tree(), store.tree()) == b""


def test_the_first_tree_is_a_believable_one() -> None:
    """Two radios, three networks, a host name."""
    tree = initial_tree(["A", "B", "C"], {"2g": 1, "5g": 36}, "rw-1")
    rows = [Row(*section) for section in tree["wireless"].values()]
    sent = [(one.ifname, one.ssid, one.channel) for one in simulated_air.air(rows).networks]
    assert sent == [("phy0-ap0", "A", 1), ("phy0-ap1", "B", 1), ("phy1-ap0", "C", 36)]
    assert tree["system"]["system"].value("hostname") == "rw-1"
