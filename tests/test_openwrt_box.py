"""The stand-in box by itself: what netifd and hostapd make of a configuration, who else changes it, what goes wrong, and a trigger that starts a service."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.router.ubus import Ubus
from tests.fakes.openwrt.board import BOARDS
from tests.fakes.openwrt.userland.box import Box

PUSH = '{"type":"rwagent.push","data":{}}'
NEW = ("set wireless.rw_x_2g=wifi-iface", "set wireless.rw_x_2g.device=radio0", "set wireless.rw_x_2g.ifname=rw-x-2g", "set wireless.rw_x_2g.ssid=RW")


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    """The rig: radio0 with two networks, radio1 with one."""
    with Box(tmp_path / "box", "rig-x86", pace=0.02) as made:
        yield made


def board_of(release: str) -> str:
    """Name a board of a release."""
    return {"24.10": "wndr3800-24.10", "25.12": "ipq50xx-25.12.2"}[release]


@pytest.mark.parametrize("name", BOARDS)
def test_the_files_show_as_recorded(name: str, tmp_path: Path) -> None:
    """Each of a board's configurations, as a file, shows byte for byte what was recorded of it."""
    with Box(tmp_path / "box", name) as box:
        for path in sorted((box.board.directory / "uci").glob("*.txt")):
            assert box.show(path.stem) == path.read_text()


@pytest.mark.parametrize(
    ("package", "name"),
    [("system", "cfg01e48a"), ("dhcp", "cfg01411c"), ("network", "cfg030f15"), ("firewall", "cfg02dc81")],
)
def test_sections_without_a_name_have_the_real_ones(box: Box, package: str, name: str) -> None:
    """`uci -X show` calls them as a real box does: names from recordings and from OpenWrt's own default files."""
    assert f"{package}.{name}=" in box.uci("-X", "show", package).stdout


def test_a_changed_network_of_several_is_made_anew(box: Box) -> None:
    """It has a new number and another object; its siblings keep theirs."""
    before = box.on_air()
    box.technician("set wireless.guest_radio0.ssid=Neu")
    box.settle()
    after = box.on_air()
    assert after["phy0-ap1"].ssid == "Neu"
    assert after["phy0-ap1"].ifindex != before["phy0-ap1"].ifindex
    assert after["phy0-ap1"].object_id != before["phy0-ap1"].object_id
    assert (after["phy0-ap0"], after["phy1-ap0"]) == (before["phy0-ap0"], before["phy1-ap0"])


def test_it_is_gone_between(box: Box) -> None:
    """A network made anew is off the air for a moment (wifi-reload-ssid-change)."""
    box.faults.absent_s = 0.3
    box.technician("set wireless.guest_radio0.ssid=Neu")
    box.wait_for(lambda: "phy0-ap1" not in box.on_air())
    box.wait_for(lambda: "phy0-ap1" in box.on_air())


def test_the_only_network_of_a_radio_is_kept(box: Box) -> None:
    """It changes in its place."""
    before = box.on_air()["phy1-ap0"]
    box.technician("set wireless.default_radio1.ssid=Neu")
    box.settle()
    assert box.on_air()["phy1-ap0"] == before._replace(ssid="Neu")


def test_a_new_network_is_on_air(box: Box) -> None:
    """A named section with an interface of its own: an object, a device, hostapd's word; nobody else is touched."""
    before = box.on_air()
    box.technician(*NEW)
    box.settle()
    after = box.on_air()
    assert after.keys() - before.keys() == {"rw-x-2g"}
    assert {name: after[name] for name in before} == before
    link = Ubus(str(box.socket))
    told = link.call("hostapd.rw-x-2g", "get_status")
    link.close()
    assert (told["ssid"], told["status"], told["channel"]) == ("RW", "ENABLED", 1)
    assert (box.world.sys_class / "net" / "rw-x-2g" / "phy80211" / "name").read_text() == "phy0\n"


def test_a_deleted_network_is_gone(box: Box) -> None:
    """With its object and its device."""
    box.technician("delete wireless.guest_radio0")
    box.settle()
    assert "phy0-ap1" not in box.on_air()
    assert "hostapd.phy0-ap1" not in box.ubusd.names()
    assert not (box.world.sys_class / "net" / "phy0-ap1").exists()


def test_a_channel_takes_the_whole_radio(box: Box) -> None:
    """Every network of that radio is made anew, on the channel; the other radio stays."""
    before = box.on_air()
    box.technician("set wireless.radio0.channel=6")
    box.settle()
    after = box.on_air()
    assert {after[name].channel for name in ("phy0-ap0", "phy0-ap1")} == {6}
    assert all(after[name].object_id != before[name].object_id for name in ("phy0-ap0", "phy0-ap1"))
    assert after["phy1-ap0"] == before["phy1-ap0"]


def test_transmit_power_moves_nobody(box: Box) -> None:
    """`txpower` is set while everybody stays."""
    before = box.on_air()
    box.technician("set wireless.radio0.txpower=10")
    box.settle()
    assert (box.reloads, box.on_air()) == (1, before)


@pytest.mark.parametrize("lines", [("set wireless.radio0.channel=77",), ("set wireless.guest_radio0.ssid=" + "x" * 33,)], ids=["channel", "ssid"])
def test_what_hostapd_refuses_takes_the_radio_down(box: Box, lines: tuple[str, ...]) -> None:
    """Its objects are gone, and netifd says "up" all the same."""
    box.technician(*lines)
    box.settle()
    assert list(box.on_air()) == ["phy1-ap0"]
    told = radios_of(box)["radio0"]
    assert (told["up"], told["retry_setup_failed"]) == (True, False)


def radios_of(box: Box) -> dict[str, dict[str, object]]:
    """Give what netifd says of the radios."""
    link = Ubus(str(box.socket))
    told = link.call("network.wireless", "status")
    link.close()
    return told  # type: ignore[return-value]


def test_a_refused_radio_comes_back(box: Box) -> None:
    """Once its file is taken again."""
    box.technician("set wireless.radio0.channel=77")
    box.settle()
    box.technician("set wireless.radio0.channel=1")
    box.settle()
    assert sorted(box.on_air()) == ["phy0-ap0", "phy0-ap1", "phy1-ap0"]


def test_a_mistyped_encryption_is_an_open_network(box: Box) -> None:
    """With a key, and without an error anywhere."""
    box.technician(*NEW, "set wireless.rw_x_2g.encryption=pks2", "set wireless.rw_x_2g.key=12345678")
    box.settle()
    assert box.on_air()["rw-x-2g"].is_open


@pytest.mark.parametrize(("release", "ssid", "is_open"), [("24.10", "RW", True), ("25.12", "RW\nwpa=0", False)])
def test_a_line_break_is_a_line(release: str, ssid: str, is_open: bool, tmp_path: Path) -> None:
    """24.10 writes an SSID as it is: what follows its line break is a line of hostapd's file; 25.12 escapes it."""
    with Box(tmp_path / "box", board_of(release), pace=0.02) as box:
        box.uci("set", "wireless.default_radio0.ssid=RW\nwpa=0")
        box.stage("set wireless.default_radio0.encryption=psk2", "set wireless.default_radio0.key=12345678")
        box.uci("commit", "wireless")
        box.run("reload_config")
        box.settle()
        found = next(one for one in box.on_air().values() if one.section == "default_radio0")
    assert (found.ssid, found.is_open) == (ssid, is_open)


def test_a_line_break_in_a_key_is_a_line_everywhere(tmp_path: Path) -> None:
    """No release escapes a key."""
    with Box(tmp_path / "box", board_of("25.12"), pace=0.02) as box:
        box.uci("set", "wireless.default_radio0.key=12345678\nwpa=0")
        box.uci("commit", "wireless")
        box.run("reload_config")
        box.settle()
        assert next(one for one in box.on_air().values() if one.section == "default_radio0").is_open


@pytest.mark.parametrize(("release", "is_there"), [("24.10", False), ("25.12", True)])
def test_a_short_key(release: str, is_there: bool, tmp_path: Path) -> None:
    """24.10 leaves the network out; 25.12 sends one that nobody can join."""
    with Box(tmp_path / "box", board_of(release), pace=0.02) as box:
        box.technician("set wireless.default_radio0.encryption=psk2", "set wireless.default_radio0.key=short")
        box.settle()
        found = [(one.is_open, one.key) for one in box.on_air().values() if one.section == "default_radio0"]
    assert found == ([(False, None)] if is_there else [])


@pytest.mark.parametrize(("release", "is_there"), [("24.10", True), ("25.12", False)])
def test_a_word_that_the_schema_does_not_have(release: str, is_there: bool, tmp_path: Path) -> None:
    """25.12 ends the whole radio's setup, and says that it gave up."""
    with Box(tmp_path / "box", board_of(release), pace=0.02) as box:
        box.technician("set wireless.default_radio0.macfilter=perhaps")
        box.settle()
        assert any(one.radio == "radio0" for one in box.on_air().values()) is is_there
        assert radios_of(box)["radio0"]["retry_setup_failed"] is not is_there


def test_radar_is_listened_for(box: Box) -> None:
    """A setup waits in status DFS, the seconds go down, and then it is on air."""
    box.faults.dfs_s["radio1"] = 3.0
    box.technician("set wireless.radio1.channel=52")
    box.wait_for(lambda: "phy1-ap0" in box.on_air() and box.on_air()["phy1-ap0"].status == "DFS")
    box.wait_for(lambda: box.on_air()["phy1-ap0"].status == "ENABLED")


def test_a_network_that_never_comes(box: Box) -> None:
    """Everything else does."""
    box.faults.never_on_air.add("RW")
    box.technician(*NEW)
    box.settle()
    assert sorted(box.on_air()) == ["phy0-ap0", "phy0-ap1", "phy1-ap0"]


def test_another_channel_than_the_configured_one(box: Box) -> None:
    """hostapd says which."""
    box.faults.channel_is["radio0"] = 11
    box.technician("set wireless.radio0.channel=6")
    box.settle()
    assert box.on_air()["phy0-ap0"].channel == 11


def test_netifd_may_be_deaf(box: Box) -> None:
    """Nothing changes on air."""
    box.faults.netifd_deaf = True
    box.technician("set wireless.radio0.channel=6")
    box.settle()
    assert (box.reloads, box.on_air()["phy0-ap0"].channel) == (0, 1)


def test_a_reload_may_hang(box: Box) -> None:
    """The call is not answered, and nothing happens."""
    box.faults.reload_hangs = True
    done = box.run("ubus", "-S", "-t", "1", "call", "service", "event", PUSH)
    assert (done.returncode, box.events) == (7, [])


def test_netifd_sees_what_is_only_staged(box: Box) -> None:
    """Like all who use libuci: somebody's staged edit is on air with the next reload of another."""
    box.stage("set wireless.guest_radio0.ssid=Staged")
    box.run("ubus", "call", "service", "event", '{"type":"config.change","data":{"package":"wireless"}}')
    box.wait_for(lambda: box.reloads == 1)
    box.settle()
    assert box.on_air()["phy0-ap1"].ssid == "Staged"
    assert box.value("wireless.guest_radio0.ssid") == "OpenWrt-Guest"
    assert box.staged("wireless") == ["wireless.guest_radio0.ssid='Staged'"]


def test_the_files_in_ram_come_first(box: Box) -> None:
    """24.10's override: read, committed to, and seen on air; the flash stays as it was."""
    flash = (box.config / "wireless").read_text()
    box.override.mkdir()
    (box.override / "wireless").write_text(flash)
    box.technician("set wireless.guest_radio0.ssid=Trial")
    box.settle()
    assert box.on_air()["phy0-ap1"].ssid == "Trial"
    assert (box.config / "wireless").read_text() == flash


# Who else writes.


def test_a_technician_is_quicker_than_a_commit(box: Box) -> None:
    """His edit is in the file when ours is committed."""
    box.technician_at("commit", "set wireless.radio1.channel=40")
    box.technician("set wireless.radio0.channel=6", reload=False)
    assert (box.value("wireless.radio1.channel"), box.value("wireless.radio0.channel")) == ("40", "6")


def test_a_technician_comes_when_it_is_on_air(box: Box) -> None:
    """At the moment that was named, once."""
    box.technician_at("rendered", "set wireless.radio1.channel=40")
    box.technician("set wireless.guest_radio0.ssid=Neu")
    box.settle()
    assert box.value("wireless.radio1.channel") == "40"


def test_an_apply_of_lucis_waits(box: Box) -> None:
    """Its snapshot is in /var/run/rpcd, another's confirmation is refused, and it takes itself back."""
    pending = box.luci_apply("system", "set system.@system[0].description=D1", timeout_s=50)
    assert (box.rpcd / "snapshot-files" / "system").exists()
    assert box.run("ubus", "-S", "call", "uci", "confirm", '{"ubus_rpc_session":"rwagent"}').returncode == 6
    assert (box.value("system.cfg01e48a.description"), pending.is_over) == ("D1", False)
    box.wait_for(lambda: pending.is_over)
    assert box.value("system.cfg01e48a.description") is None
    assert box.run("ubus", "-S", "call", "uci", "confirm", '{"ubus_rpc_session":"rwagent"}').returncode == 5


# Faults of uci.


def test_a_commit_may_lie(box: Box) -> None:
    """Exit 0, and the old file."""
    box.faults.commit_lies = True
    box.stage("set system.@system[0].notes=x")
    assert box.uci("commit", "system").returncode == 0
    assert box.value("system.cfg01e48a.notes") is None


def test_a_commit_on_a_full_disk_leaves_less_than_it_had(box: Box) -> None:
    """As libuci's source has it: nobody looks whether the new file could be written, and it takes the old one's place."""
    box.faults.disk_full = True
    box.stage("set system.@system[0].notes=x")
    assert box.uci("commit", "system").returncode == 0
    assert (box.config / "system").read_bytes() == b""


def test_a_read_only_file(box: Box) -> None:
    """The commit fails, and says so."""
    box.faults.read_only = True
    box.stage("set system.@system[0].notes=x")
    done = box.uci("commit", "system")
    assert (done.returncode, done.stderr) == (1, "uci: I/O error\n")


def test_a_commit_may_be_lost_to_another(box: Box) -> None:
    """Exit 0, and then the file as another writer had read it."""
    box.faults.lost_commit = True
    box.stage("set system.@system[0].notes=x")
    assert box.uci("commit", "system").returncode == 0
    assert box.value("system.cfg01e48a.notes") is None


def test_faults_end(box: Box) -> None:
    """What was set can be taken back."""
    box.faults.uci_fails = {"set"}
    assert box.uci("set", "system.ntp.enabled=0").returncode == 1
    box.faults.uci_fails = set()
    assert box.uci("set", "system.ntp.enabled=0").returncode == 0


def test_an_unknown_fault_is_a_mistake(box: Box) -> None:
    """A test that misspells one fails."""
    with pytest.raises(AttributeError):
        box.faults.comit_lies = True


# Services.


def agent_of(box: Box) -> str:
    """Write a program that lives until a file is there."""
    program = box.folder / "applier"
    program.write_text(f"#!/bin/sh\necho once >>{box.folder}/runs\nwhile [ ! -e {box.folder}/end ]; do /bin/sleep 0.02; done\n")
    program.chmod(0o755)
    return str(program)


def test_a_trigger_starts_one_at_a_time(box: Box) -> None:
    """A second event while the service runs does nothing; after its end it starts anew."""
    box.service("rwagent-apply", [agent_of(box)], trigger="rwagent.push")
    for _ in range(2):
        assert box.run("ubus", "call", "service", "event", PUSH).returncode == 0
        box.wait_for(lambda: box.procd.is_running("rwagent-apply"))
        box.settle_triggers()
    assert box.procd.starts == {"rwagent-apply": 1}
    (box.folder / "end").touch()
    box.wait_for(lambda: not box.procd.is_running("rwagent-apply"))
    box.run("ubus", "call", "service", "event", PUSH)
    box.wait_for(lambda: box.procd.starts == {"rwagent-apply": 2})


def test_a_service_that_reloads_does_not_block_it(box: Box) -> None:
    """Started by a trigger, it changes an SSID, says so, and sees it on the air while it still runs."""
    program = box.folder / "applier"
    lines = ("uci set wireless.guest_radio0.ssid=Mine", "uci commit wireless")
    event = """ubus call service event '{"type":"config.change","data":{"package":"wireless"}}'"""
    program.write_text("#!/bin/sh\n" + "\n".join((*lines, event, f"while [ ! -e {box.folder}/end ]; do /bin/sleep 0.02; done")) + "\n")
    program.chmod(0o755)
    box.service("rwagent-apply", [str(program)], trigger="rwagent.push")
    box.run("ubus", "call", "service", "event", PUSH)
    box.wait_for(lambda: "phy0-ap1" in box.on_air() and box.on_air()["phy0-ap1"].ssid == "Mine")
    assert box.procd.is_running("rwagent-apply")


def test_a_missing_program(box: Box) -> None:
    """Its start gives 0; procd tries, gives up, and says so (svc-missing-binary)."""
    box.service("rigmiss", ["/nosuch/bin"], respawn=(3600, 1, 2))
    script = str(box.init_d / "rigmiss")
    assert box.run(script, "start").returncode == 0
    box.wait_for(lambda: box.procd.status("rigmiss") == ("not running", 5))
    assert box.procd.listed()["rigmiss"]["instances"] == {
        "instance1": {"running": False, "command": ["/nosuch/bin"], "term_timeout": 5, "exit_code": 127},
    }
    done = box.run(script, "status")
    assert (done.stdout, done.returncode) == ("not running\n", 5)
    assert "rigmiss::instance1 s in a crash loop 3 crashes" in "".join(box.log())


def test_procd_may_be_gone(box: Box) -> None:
    """Then there is no object `service`."""
    box.kill_procd()
    assert box.run("ubus", "call", "service", "event", PUSH).returncode == 4
    box.start_procd()
    assert box.run("ubus", "call", "service", "event", PUSH).returncode == 0


def test_ubusd_starts_anew_with_what_is_on_air(box: Box) -> None:
    """hostapd's objects come back as they are by then."""
    box.technician("delete wireless.guest_radio0")
    box.settle()
    box.ubusd.restart()
    assert [name for name in box.ubusd.names() if name.startswith("hostapd.")] == ["hostapd.phy0-ap0", "hostapd.phy1-ap0"]


def test_the_first_change_of_a_new_configuration_is_missed(box: Box) -> None:
    """reload_config knows only what was there at its run before."""
    (box.config / "neu").write_text("config a 'b'\n")
    box.technician("set neu.b.x=1")
    assert box.events == []
    box.technician("set neu.b.x=2")
    assert box.events == [("config.change", {"package": "neu"})]


def test_every_uci_is_counted(box: Box) -> None:
    """With its arguments: a test may say how often it may be run."""
    box.uci("-X", "show", "system")
    assert box.calls()[-1] == "uci -X show system"


def test_the_command_lines_differ_in_nothing(tmp_path: Path) -> None:
    """The programs know their box by where they lie: no option and no variable."""
    with Box(tmp_path / "a") as one, Box(tmp_path / "b") as other:
        one.stage("set system.@system[0].notes=one")
        done = subprocess.run([str(other.bin / "uci"), "changes"], check=True, capture_output=True, text=True, env={})
        assert (one.staged(), done.stdout) == (["system.cfg01e48a.notes='one'"], "")
