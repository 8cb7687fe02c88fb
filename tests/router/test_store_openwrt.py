"""What the applier needs of an OpenWrt box, on the stand-in's userland: files made and read back, who is busy, what is told, what is on air."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.change import Edit, OnAir, Section, edited
from agent.derived import DERIVED
from agent.errors import Unavailable
from agent.router.store import Store
from agent.router.store_openwrt import SECTIONS, UNDO, OpenwrtStore, Places, open_store
from agent.router.uci import parse
from tests.fakes.openwrt.board import BOARDS
from tests.fakes.openwrt.userland.box import Box
from tests.settings_of import of_openwrt

HOSTILE = (
    "it's",
    "''",
    "'; reboot; '",
    'say "no"',
    "\\",
    "back\\slash\\",
    "\\'",
    "$(reboot)",
    "`reboot`",
    "#comment",
    "; commit network",
    "-rf",
    "--help",
    " leading and trailing ",
    "a=b.c=d",
    "é日本\U0001f6dc",
    "\udcff\udc80",
    "%s%n",
    "\u2028\u202e",
    "x" * 4096,
)


class Stored:
    """A box, its store, and the directory in RAM of the applier."""

    def __init__(self, folder: Path, board: str, **router: Any) -> None:
        self.box = Box(folder / "box", board)
        self.ram = folder / "apply"
        self.ram.mkdir(0o700)
        self.secrets = folder / "secrets"
        self.secrets.mkdir(0o700)
        self.settings = of_openwrt(folder / "run", ubus_socket=str(self.box.socket), **router)
        self.store: Store = self.made()

    def made(self, timeout_s: float = 5.0) -> OpenwrtStore:
        box = self.box
        scripts = self.box.config.parent / "ash"
        scripts.mkdir(exist_ok=True)
        (scripts / "caps").write_text("echo there is no tc on this box >&2; exit 1\n")
        derived = {"derived": str(self.ram), "scripts": str(scripts)}
        places = Places(str(box.config), str(box.override), str(box.rpcd), box.path, **derived)
        return OpenwrtStore(self.settings.router, str(self.secrets), str(self.ram), places, timeout_s)

    def stage(self, *edits: Edit) -> dict[str, bytes]:
        directory = self.ram / "stage"
        subprocess.run(["rm", "-rf", str(directory)], check=True)
        directory.mkdir(0o700)
        return self.store.stage(edits, str(directory))

    def put(self, files: dict[str, bytes]) -> None:
        for package, content in files.items():
            Path(self.store.paths()[package]).write_bytes(content)

    def option(self, path: str) -> tuple[str, ...] | None:
        package, section, option = path.split(".")
        return self.store.tree()[package][section].options.get(option)


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Stored]:
    """The rig's board: two radios, three networks on air."""
    stored = Stored(tmp_path, "rig-x86", public_network="guest", adopt=["default_radio0"], contract_mbps=50)
    with stored.box:
        yield stored


def flash(box: Box) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(box.config.iterdir())}


# The tree


@pytest.mark.parametrize("board", BOARDS)
def test_the_tree_is_what_the_board_has(tmp_path: Path, board: str) -> None:
    """Every package as its owner's `uci show` printed it; what is not there is empty or left out."""
    stored = Stored(tmp_path, board)
    with stored.box:
        tree = stored.store.tree()
    for package in ("wireless", "system", "network", "firewall"):
        captured = stored.box.board.text(f"uci/{package}.txt")
        told = list(parse(captured).values()) if captured else []
        found = list(tree.get(package, {}).values())
        assert [(one.type, one.options) for one in found] == [(one.type, one.options) for one in told]
    assert tree.get("rwagent", {}) == {}


def test_the_tree_is_the_flash_whatever_is_staged_or_tried(on: Stored) -> None:
    """uci merges what anybody staged in /tmp/.uci, and reads a trial in /var/run/uci instead: neither is what a push changes."""
    before = on.store.tree()
    on.box.stage("set wireless.radio0.channel=9", "set system.@system[0].hostname=staged")
    on.box.override.mkdir()
    (on.box.override / "wireless").write_text("config wifi-device 'trial'\n")
    assert on.store.tree() == before


def test_reading_leaves_no_copy_behind(on: Stored) -> None:
    """The copies hold every Wi-Fi key; also those of a run that was killed go."""
    (on.ram / "tree").mkdir()
    (on.ram / "tree/rwcopy_wireless").write_text("left behind")
    on.store.tree()
    assert list(on.ram.iterdir()) == []


def test_a_file_that_cannot_be_parsed_is_unavailable(on: Stored) -> None:
    """Never half a tree."""
    (on.box.config / "wireless").write_text("config wifi-device 'radio0\n\toption channel '1'\n")
    with pytest.raises(Unavailable, match="show rwcopy_wireless"):
        on.store.tree()


def test_what_is_no_file_is_unavailable(on: Stored) -> None:
    """A directory or a FIFO in a package's place is not followed or waited for."""
    (on.box.config / "rwagent").mkdir()
    with pytest.raises(Unavailable, match="rwagent"):
        on.store.tree()
    (on.box.config / "rwagent").rmdir()
    os.mkfifo(on.box.config / "rwagent")
    with pytest.raises(Unavailable, match="rwagent is no file"):
        on.store.tree()


def test_without_its_directory_in_ram_nothing_is_read(on: Stored) -> None:
    """The copies go nowhere else."""
    on.ram.rmdir()
    with pytest.raises(Unavailable, match="apply/tree"):
        on.store.tree()


# The facts


def test_facts_name_radios_network_and_settings(on: Stored) -> None:
    """What the check must know, in the tree's names."""
    (on.secrets / "staff").write_text("correct horse\n")
    (on.secrets / "staff").chmod(0o600)
    facts = on.store.facts(on.store.tree())
    assert [(one.name, one.band, one.is_enabled) for one in facts.radios] == [("radio0", "2g", True), ("radio1", "5g", True)]
    assert (facts.backend, facts.public_network, facts.adopt, facts.contract_mbps) == ("openwrt", "guest", ("default_radio0",), 50)
    assert facts.sections == SECTIONS and "uplink" in SECTIONS and facts.caps_problem == "there is no tc on this box"
    assert dict(facts.secrets) == {"staff": "correct horse"}


def test_an_unsafe_public_network_is_a_fact(on: Stored) -> None:
    """The rig's guest network is in no zone."""
    assert on.store.facts(on.store.tree()).public_problem == 'network "guest" is in no zone of the firewall'


def test_a_radio_of_old_has_its_band_by_hwmode(on: Stored) -> None:
    """Before 21.02; and one that is switched off is told so."""
    old = {"radio5": Section("wifi-device", "radio5", {"hwmode": ("11a",), "disabled": ("1",)}), "x": Section("wifi-device", "x", {"channel": ("1",)})}
    radios = on.store.facts({"wireless": old}).radios
    assert [(one.name, one.band, one.is_enabled) for one in radios] == [("radio5", "5g", False), ("x", None, True)]


# Who is busy


def test_a_quiet_box_is_not_busy(on: Stored) -> None:
    """Nothing staged, tried, applied or set up."""
    assert on.store.busy() is None


@pytest.mark.parametrize("line", ["set wireless.radio0.channel=9", "delete wireless.radio0.country", "set system.@system[0].notes='a b'"])
def test_somebodys_staged_edits_are_busy(on: Stored, line: str) -> None:
    """A commit of ours would take them along, and ours would stay behind them."""
    on.box.stage(line)
    assert "staged edits in" in (on.store.busy() or "")


def test_staged_edits_of_what_no_push_touches_are_nobodys_business(on: Stored) -> None:
    """Somebody works at the firewall."""
    on.box.stage("set firewall.@defaults[0].syn_flood=0")
    assert on.store.busy() is None


def test_a_trial_in_ram_is_busy(on: Stored) -> None:
    """24.10's override: what runs is not what lies on flash."""
    on.box.override.mkdir()
    (on.box.override / "wireless").write_text("")
    assert "var/run/uci/wireless lies over the flash" in (on.store.busy() or "")
    os.rename(on.box.override / "wireless", on.box.override / "dhcp")
    assert on.store.busy() is None


def test_an_apply_of_luci_that_waits_is_busy(on: Stored) -> None:
    """Until it is confirmed; asking confirms nothing."""
    pending = on.box.luci_apply("wireless", "set wireless.radio0.channel=6", timeout_s=600)
    assert "waits for its confirmation" in (on.store.busy() or "")
    assert not pending.is_over
    pending.confirm()
    on.box.settle()
    assert on.store.busy() is None


def test_an_apply_that_ended_without_a_trace_being_removed_is_not_busy(on: Stored) -> None:
    """`apply rollback=false` and a killed rpcd leave their copies."""
    folder = on.box.rpcd / "snapshot-files"
    folder.mkdir(parents=True)
    (folder / "wireless").write_text("")
    assert on.store.busy() is None


def test_an_rpcd_that_cannot_be_asked_counts_as_waiting(on: Stored) -> None:
    """It stays away from a new ubusd, and its timer runs on."""
    on.box.luci_apply("wireless", "set wireless.radio0.channel=6", timeout_s=600)
    on.box.hide_object("uci")
    assert "waits for its confirmation" in (on.store.busy() or "")


def test_a_radio_being_set_up_is_busy(on: Stored) -> None:
    """Two reloads at once are one too many; the one that waits is named."""
    status = on.box.board.get("network.wireless", "status")
    status["radio1"]["pending"] = True
    on.box.board.set("network.wireless", "status", status)
    assert on.store.busy() == "netifd is still setting up radio1"


def test_a_netifd_that_does_not_answer_is_busy(on: Stored) -> None:
    """It would not hear of the change either."""
    on.box.ubusd.hold("network.wireless")
    assert "network.wireless" in (on.made(0.3).busy() or "")


def test_a_box_without_wireless_at_ubus_is_not_busy(on: Stored) -> None:
    """A wired box may be given a name."""
    on.box.hide_object("network.wireless")
    assert on.store.busy() is None


def test_a_uci_that_cannot_tell_is_busy(on: Stored) -> None:
    """Whether somebody staged anything is not known then."""
    on.box.faults.uci_fails = {"changes"}
    assert "uci changes wireless" in (on.store.busy() or "")


# New files


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_value_ends_as_data(on: Stored, value: str) -> None:
    """No quote, word or line breaks out of the batch: the option has the value, and nothing else changed."""
    before = on.store.tree()
    edits = [
        Edit("wireless", "rw_public_2g", type="wifi-iface"),
        Edit("wireless", "rw_public_2g", "ssid", value),
        Edit("wireless", "rw_public_2g", "device", "radio0"),
    ]
    on.put(on.stage(*edits))
    assert on.store.tree() == edited(before, edits)


def test_staging_changes_nothing_but_the_directory_given(on: Stored) -> None:
    """The flash is as it was, nothing is staged, nobody is told."""
    before = flash(on.box)
    files = on.stage(Edit("wireless", "radio0", "channel", "6"), Edit("rwagent", "pushed", type="pushed"), Edit("rwagent", "pushed", "report_interval_s", "30"))
    assert flash(on.box) == before and on.box.staged() == [] and on.box.events == []
    assert files.keys() == {"wireless", "rwagent"} and b"option channel '6'" in files["wireless"]


def test_a_package_that_is_not_there_begins_empty(on: Stored) -> None:
    """rwagent's first."""
    files = on.stage(Edit("rwagent", "pushed", type="pushed"), Edit("rwagent", "pushed", "report_interval_s", "30"))
    assert files == {"rwagent": b"\nconfig pushed 'pushed'\n\toption report_interval_s '30'\n\n"}


def test_sections_without_a_name_are_changed_by_their_place(on: Stored) -> None:
    """The hostname's section has none anywhere."""
    name = next(one.name for one in on.store.tree()["system"].values() if one.type == "system")
    on.put(on.stage(Edit("system", name, "hostname", "rw-0501")))
    assert on.option(f"system.{name}.hostname") == ("rw-0501",)


def test_places_move_when_a_section_before_them_goes(on: Stored) -> None:
    """uci calls a nameless section by its place, anew after a commit; nothing else may be taken for a lost edit."""
    on.box.technician("set wireless.rw_gone_2g=wifi-iface", "add wireless wifi-iface", "set wireless.@wifi-iface[-1].ssid=nameless", reload=False)
    on.put(on.stage(Edit("wireless", "rw_gone_2g"), Edit("wireless", "radio0", "channel", "6")))
    last = list(on.store.tree()["wireless"].values())[-1]
    assert last.options["ssid"] == ("nameless",) and last.name.startswith("cfg") and on.box.value("wireless.rw_gone_2g") is None


def test_what_others_staged_is_not_taken_along(on: Stored) -> None:
    """It was staged after we looked whether anybody is busy: uci would commit it with ours."""
    on.box.stage("set wireless.radio0.country=XY", "set wireless.radio1.channel=144")
    files = on.stage(Edit("wireless", "radio0", "channel", "6"))
    assert b"XY" not in files["wireless"] and b"144" not in files["wireless"]
    assert len(on.box.staged("wireless")) == 2


def test_a_trial_in_ram_is_not_what_is_changed(on: Stored) -> None:
    """It came after we looked: uci -c would read and commit there."""
    on.box.override.mkdir()
    (on.box.override / "wireless").write_text("config wifi-device 'trial'\n")
    assert b"trial" not in on.stage(Edit("wireless", "radio0", "channel", "6"))["wireless"]
    assert (on.box.override / "wireless").read_text() == "config wifi-device 'trial'\n"


@pytest.mark.parametrize("fault", [{"commit_lies": True}, {"lost_commit": True}, {"uci_fails": {"set"}}, {"uci_fails": {"commit"}}, {"disk_full": True}])
def test_what_uci_did_not_write_is_noticed(on: Stored, fault: dict[str, Any]) -> None:
    """batch ends with 0 after any error, and commit after none: every option is read back, and named."""
    for name, value in fault.items():
        setattr(on.box.faults, name, value)
    with pytest.raises(Unavailable):
        on.stage(Edit("wireless", "radio0", "channel", "6"), Edit("wireless", "radio0", "country", "ID"))


@pytest.mark.parametrize("lost", ["set", "delete"])
def test_a_batch_that_loses_one_line_is_noticed(on: Stored, lost: str) -> None:
    """One option of many; no value is told, for it may be a key."""
    program = on.box.bin / "uci"
    program.rename(on.box.bin / "uci.all")
    program.write_text(
        "#!/bin/sh\n"
        'last=; for word in "$@"; do [ "$last" = -f ] && sed -i "/^' + lost + '.*radio0.channel/d" "$word"; last=$word; done\n'
        f'exec {on.box.bin}/uci.all "$@"\n'
    )
    program.chmod(0o755)
    edit = Edit("wireless", "radio0", "channel", "secret1234" if lost == "set" else None)
    with pytest.raises(Unavailable, match=r"uci did not write what it was told: wireless\.radio0\.channel$"):
        on.stage(Edit("wireless", "radio0", "country", "ID"), edit)


def test_an_option_that_came_from_nowhere_is_noticed(on: Stored) -> None:
    """What was not told to be there may not be there."""
    program = on.box.bin / "uci"
    program.rename(on.box.bin / "uci.all")
    more = "set rwcopy_wireless.radio0.more=1"
    program.write_text(
        f'#!/bin/sh\nlast=; for word in "$@"; do [ "$last" = -f ] && sed -i "1i {more}" "$word"; last=$word; done\nexec {on.box.bin}/uci.all "$@"\n'
    )
    program.chmod(0o755)
    with pytest.raises(Unavailable, match=r"wireless\.radio0\.more$"):
        on.stage(Edit("wireless", "radio0", "channel", "6"))


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (Edit("wireless", "radio0", "ssid", "a\nb"), "control characters"),
        (Edit("wireless", "radio0", "ssid", "a\x00"), "control characters"),
        (Edit("wireless", "radio0", "ssid", "a\x7f"), "control characters"),
        (Edit("wireless", "radio0", "ssid", "\t"), "control characters"),
        (Edit("wireless", "radio0", "ssid", ""), "empty"),
        (Edit("wireless", "radio0", "ssid=x", "y"), "a name that UCI does not take"),
        (Edit("wireless", "radio0'", "ssid", "y"), "a name that UCI does not take"),
        (Edit("wireless", "@wifi-iface[0]", "ssid", "y"), "a name that UCI does not take"),
        (Edit("wireless", "a b", type="wifi-iface"), "a name that UCI does not take"),
        (Edit("wireless", "a", type="wifi-iface\ncommit"), "a name that UCI does not take"),
        (Edit("network", "lan", "ipaddr", "192.168.1.1"), "not for pushes to change"),
        (Edit("../passwd", "lan", "ipaddr", "192.168.1.1"), "not for pushes to change"),
    ],
)
def test_what_may_be_no_line_never_becomes_one(on: Stored, edit: Edit, reason: str) -> None:
    """Refused here again, whoever let it come so far; the value is not told."""
    calls = len(on.box.calls())
    with pytest.raises(Unavailable, match=reason) as caught:
        on.stage(Edit("wireless", "radio0", "channel", "6"), edit)
    assert len(on.box.calls()) == calls and "192.168" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_section_that_went_meanwhile_is_said(on: Stored) -> None:
    """Somebody removed the radio between the plan and now."""
    with pytest.raises(Unavailable, match="section radio9 is not there any more"):
        on.stage(Edit("wireless", "radio9", "channel", "6"))


def test_no_value_is_on_a_command_line(on: Stored) -> None:
    """Whoever may see processes sees no key."""
    on.stage(Edit("wireless", "radio0", "key", "correct horse battery"))
    assert not [call for call in on.box.calls() if "correct" in call]
    assert not (on.ram / "stage/batch").exists()


@pytest.mark.once
def test_random_edits_come_out_as_they_must(on: Stored) -> None:
    """Sections made, changed, emptied and removed in any order, over several files in turn."""
    rng = random.Random(4)
    for _ in range(12):
        before = now = on.store.tree()
        edits: list[Edit] = []
        for _ in range(rng.randint(1, 9)):
            package = rng.choice(["wireless", "wireless", "system", "rwagent"])
            names = list(now.get(package, {})) or ["pushed"]
            own = [name for name in names if name.startswith("rw_")]
            edit = rng.choice(
                [
                    Edit(package, f"rw_{rng.choice('abc')}_5g", type="wifi-iface"),
                    Edit(package, rng.choice(own or ["rw_none"])),
                    Edit(package, rng.choice(names), rng.choice(["ssid", "key", "channel"])),
                    Edit(package, rng.choice(names), rng.choice(["ssid", "key", "hostname"]), rng.choice(HOSTILE)),
                ]
            )
            if edit.option is None or edit.section in now.get(package, {}):
                now = edited(now, [edit])
                edits.append(edit)
        on.put(on.stage(*edits))
        after = on.store.tree()
        for package in ("wireless", "system", "rwagent"):
            assert [(one.type, one.options) for one in after.get(package, {}).values()] == [(one.type, one.options) for one in now.get(package, {}).values()]
        assert after["network"] == before["network"]


# Taking back


def taken_back(on: Stored, content: bytes, script: bytes, times: int = 1) -> dict[str, Section]:
    """Run an undo script as the rollback does: over a copy called rwundo."""
    folder = on.ram / "undo"
    subprocess.run(["rm", "-rf", str(folder)], check=True)
    folder.mkdir()
    (folder / UNDO).write_bytes(content)
    for _ in range(times):
        assert on.box.run(str(on.box.bin / "uci"), "-c", str(folder), "-t", str(folder / "delta"), "batch", text=os.fsdecode(script)).returncode == 0
    return parse(on.box.uci("-c", str(folder), "-X", "show", UNDO).stdout)


def shape(sections: Any) -> list[Any]:
    return sorted((one.type, "" if one.name.startswith("cfg") else one.name, sorted(one.options.items())) for one in sections.values())


@pytest.mark.parametrize("times", [1, 2])
def test_undo_takes_back_ours_and_leaves_the_others(on: Stored, times: int) -> None:
    """A technician edited the same file in the window: his section and his option stay; each line may be run again."""
    on.box.technician("set wireless.rw_old_2g=wifi-iface", "set wireless.rw_old_2g.ssid='it'\\''s \"old\" \\'", "add_list wireless.radio0.list=a", reload=False)
    on.box.technician("add_list wireless.radio0.list='b c'", reload=False)
    before = on.store.tree()
    edits = [
        Edit("wireless", "rw_old_2g"),
        Edit("wireless", "rw_new_2g", type="wifi-iface"),
        Edit("wireless", "rw_new_2g", "ssid", "new"),
        Edit("wireless", "radio0", "channel", "11"),
        Edit("wireless", "radio0", "list", "one"),
        Edit("wireless", "radio1", "added", "x"),
    ]
    files = on.stage(*edits)
    script = on.store.undo("wireless", before, edited(before, edits))
    foreign = files["wireless"] + b"\nconfig wifi-iface 'his'\n\toption ssid 'his'\n"
    found = taken_back(on, foreign, script, times)
    assert found.pop("his").options == {"ssid": ("his",)}
    assert shape(found) == shape(before["wireless"])


def test_undo_of_the_hostname_finds_its_section(on: Stored) -> None:
    """The only section of its type is found wherever it stands by now."""
    before = on.store.tree()
    name = next(one.name for one in before["system"].values() if one.type == "system")
    edits = [Edit("system", name, "hostname", "pushed")]
    files = on.stage(*edits)
    moved = b"\nconfig led 'his'\n" + files["system"]
    found = taken_back(on, moved, on.store.undo("system", before, edited(before, edits)))
    assert [one.options["hostname"] for one in found.values() if one.type == "system"] == [before["system"][name].options["hostname"]]


def test_undo_never_guesses_among_nameless_sections(on: Stored) -> None:
    """By their place, another's could be hit once somebody removed one: the whole file is restored then."""
    on.box.technician("add wireless wifi-iface", "set wireless.@wifi-iface[-1].ssid=a", "add wireless wifi-iface", reload=False)
    before = on.store.tree()
    name = next(one.name for one in before["wireless"].values() if one.options.get("ssid") == ("a",))
    assert on.store.undo("wireless", before, edited(before, [Edit("wireless", name, "ssid", "b")])) == b""


def test_undo_of_nothing_does_nothing(on: Stored) -> None:
    """A package that is as it was."""
    tree = on.store.tree()
    assert on.store.undo("wireless", tree, tree) == f"commit {UNDO}\n".encode()


def test_undo_takes_a_new_package_apart(on: Stored) -> None:
    """rwagent was not there before."""
    edits = [Edit("rwagent", "pushed", type="pushed"), Edit("rwagent", "pushed", "report_interval_s", "30")]
    before = on.store.tree()
    files = on.stage(*edits)
    assert taken_back(on, files["rwagent"], on.store.undo("rwagent", before, edited(before, edits))) == {}


# Telling


def test_each_package_is_one_event(on: Stored) -> None:
    """procd starts what waits for `config.change`."""
    on.store.reload(["wireless", "system", "rwagent"])
    assert on.box.events == [("config.change", {"package": package}) for package in ("wireless", "system", "rwagent")]


def test_a_change_that_is_told_comes_on_air(on: Stored) -> None:
    """The whole way without the applier: file, event, hostapd."""
    on.put(on.stage(Edit("wireless", "default_radio0", "ssid", "Malang RW 05")))
    on.store.reload(["wireless"])
    on.box.wait_for(lambda: "Malang RW 05" in [one.ssid for one in on.store.on_air()])


def test_a_procd_that_does_not_answer_is_unavailable_in_time(on: Stored) -> None:
    """Bounded, for all packages together."""
    on.box.faults.reload_hangs = True
    started = time.monotonic()
    with pytest.raises(Unavailable, match="service event"):
        on.made(0.3).reload(["wireless", "system"])
    assert time.monotonic() - started < 5


def test_a_procd_that_is_gone_is_unavailable(on: Stored) -> None:
    """Its object is not there."""
    on.box.kill_procd()
    with pytest.raises(Unavailable, match="service event"):
        on.store.reload(["wireless"])


# On air


def test_what_hostapd_sends_is_on_air(on: Stored) -> None:
    """Every BSS by its interface, as the truth has it."""
    truth = [OnAir(one.ifname, one.ssid, one.channel, "enabled") for one in on.box.on_air().values()]
    assert sorted(on.store.on_air()) == sorted(truth) and truth


@pytest.mark.parametrize(
    ("word", "state"),
    [
        *[("ENABLED", "enabled"), ("DFS", "starting"), ("ACS", "starting"), ("HT_SCAN", "starting"), ("COUNTRY_UPDATE", "starting")],
        *[("DISABLED", "down"), ("UNINITIALIZED", "down"), ("NO_IR", "down"), ("", "down"), (None, "down"), (7, "down")],
    ],
)
def test_hostapds_word_is_one_of_three(on: Stored, word: object, state: str) -> None:
    """ENABLED is on air; what waits for radar or scans is starting; every other word is down."""
    status = on.box.board.get("hostapd.phy0-ap0", "get_status") | {"status": word}
    on.box.board.set("hostapd.phy0-ap0", "get_status", {key: value for key, value in status.items() if value is not None})
    assert {one.ifname: one.state for one in on.store.on_air()}["phy0-ap0"] == state


def test_netifds_up_is_not_believed(on: Stored) -> None:
    """It says so also of a radio that hostapd could not start (rig/wifi-bad-channel)."""
    on.box.faults.hostapd_refuses = {"radio0"}
    on.put(on.stage(Edit("wireless", "radio0", "channel", "6")))
    on.store.reload(["wireless"])
    on.box.settle()
    assert {one.ifname for one in on.store.on_air()} == {"phy1-ap0"}
    assert on.box.board.get("network.wireless", "status")["radio0"]["up"] is True


def test_an_odd_answer_is_no_crash(on: Stored) -> None:
    """Hostile bytes in an SSID stay as they are, to be compared; a channel that is none is not known."""
    on.box.board.set("hostapd.phy0-ap0", "get_status", {"status": "ENABLED", "ssid": "it's \x1b$(x) é", "channel": -1})
    on.box.board.set("hostapd.phy0-ap1", "get_status", {"status": "ENABLED", "channel": True})
    found = {one.ifname: one for one in on.store.on_air()}
    assert found["phy0-ap0"] == OnAir("phy0-ap0", "it's \x1b$(x) é", None, "enabled")
    assert found["phy0-ap1"] == OnAir("phy0-ap1", "", None, "enabled")


def test_8021x_on_a_port_is_no_network(on: Stored) -> None:
    """hostapd serves wired ports too."""
    status = on.box.board.get("hostapd.phy0-ap0", "get_status") | {"driver": "wired"}
    on.box.board.set("hostapd.phy0-ap0", "get_status", status)
    assert "phy0-ap0" not in [one.ifname for one in on.store.on_air()]


def test_without_ubusd_what_is_on_air_is_unavailable(on: Stored) -> None:
    """Not "nothing"."""
    on.box.ubusd.kill()
    with pytest.raises(Unavailable):
        on.store.on_air()


def test_after_a_restart_of_ubusd_what_is_missing_is_not_gone(on: Stored) -> None:
    """Its clients come back one after the other: for 10 s nothing is claimed."""
    on.store.on_air()
    on.box.ubusd.restart(without=[name for name in on.box.board.objects() if name.startswith("hostapd.")])
    with pytest.raises(Unavailable, match="coming back"):
        on.store.on_air()


def test_a_hostapd_that_does_not_answer_is_unavailable(on: Stored) -> None:
    """Its object is there, and nobody is behind it."""
    on.box.ubusd.hold("hostapd.phy0-ap0")
    with pytest.raises(Unavailable, match="hostapd"):
        on.made(0.3).on_air()


# As the applier opens it


def test_the_store_is_opened_by_the_settings(tmp_path: Path) -> None:
    """The box's own places, and the applier's directory."""
    store = open_store(of_openwrt(tmp_path))
    assert store.backend == "openwrt" and store.sections == SECTIONS
    derived = {name: f"/etc/rwagent/{name}" for name in DERIVED}
    assert store.paths() == {package: f"/etc/config/{package}" for package in ("wireless", "system", "rwagent")} | derived


def test_a_link_is_replaced_where_it_leads(on: Stored) -> None:
    """A rename over the link would leave the file behind it, and the link gone."""
    real = on.box.folder / "elsewhere"
    os.rename(on.box.config / "wireless", real)
    (on.box.config / "wireless").symlink_to(real)
    assert on.store.paths()["wireless"] == str(real)
    assert on.store.tree()["wireless"]
