"""The doctor on an OpenWrt box: each of its checks, well, not well, and what to do; and the whole of it as a technician sees it."""

from __future__ import annotations

import functools
import os
import pwd
import re
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import doctor, redact
from agent.checks import CHECKS, ONLY_OPENWRT, acl, checks_for, clock, facts, offload, openwrt, public_network, radios, rpcd, storage, ubus, wifi
from agent.errors import Unavailable
from agent.finding import Case, Finding
from agent.records import Host
from agent.router.ubus import CALLS
from agent.router.uci import Absent, Section, parse
from agent.status import Status
from tests.checks.openwrt_box import AGENT, NOT_RUNNING, OWNER, Box, SmallUbusd, hostapd, network, objects, radio
from tests.fakes.openwrt.board import Board
from tests.fakes.openwrt.ubusd import Ubusd
from tests.fakes.router import FakeClock, FakeRouter
from tests.settings_of import of_openwrt

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    made = Box(tmp_path)
    yield made
    made.ubusd.stop()


def host(**values: int) -> FakeRouter:
    return FakeRouter(host=Host(*[None] * len(Host._fields))._replace(**values))


def only(findings: list[Finding]) -> tuple[str, str, str]:
    """Give the one finding's verdict, what and remedy."""
    (finding,) = findings
    return finding.verdict, finding.what, finding.remedy


# Elsewhere


@pytest.mark.parametrize("backend", ["linux", "simulated", ""])
def test_no_other_box_hears_of_openwrt(backend: str) -> None:
    """On Linux, on a simulated router and with faulty settings the doctor has no line more."""
    assert list(checks_for(backend)) == ["files", "run_dir", "storage", "clock", "uplink", "wifi", "caps", "dns", "certificate", "broker", "daemon", "push"]


def test_an_openwrt_box_has_every_check() -> None:
    """All of the shelf."""
    assert checks_for("openwrt") == CHECKS


# ubus


def test_an_ubusd_that_answers_is_told_with_what_it_shows(box: Box) -> None:
    """Well: the objects the agent reads, and none of those it does not."""
    assert only(ubus.check(box.case()))[:2] == (
        "ok",
        "ubusd answers: system, network.interface, network.device, hostapd.phy0-ap0, dhcp",
    )


def test_no_socket_is_bad(tmp_path: Path, box: Box) -> None:
    """Neither ubusd nor OpenWrt: what to look at, and which backend else."""
    verdict, what, remedy = only(ubus.check(box.case(ubus_socket=str(tmp_path / "none"))))
    assert (verdict, what) == ("bad", f"there is no {tmp_path}/none: ubusd does not run, or this box is no OpenWrt")
    assert 'router.backend = "linux"' in remedy


def test_a_socket_nobody_serves_is_bad(box: Box) -> None:
    """ubusd died and left its socket."""
    box.ubusd.stop()
    verdict, what, remedy = only(ubus.check(box.case()))
    assert (verdict, remedy) == ("bad", ubus.NO_ANSWER)
    assert "ubusd does not answer" in what


@pytest.mark.parametrize(("name", "daemon"), [("system", "procd"), ("network.interface", "netifd"), ("network.device", "netifd")])
def test_an_object_that_is_not_there_is_named_with_its_daemon(box: Box, name: str, daemon: str) -> None:
    """Without netifd or procd at ubus: which object, and whose it is."""
    del box.ubusd.answers[name]
    assert ubus.check(box.case()) == [Finding("ubus", "bad", f'ubusd answers, but has no object "{name}"', ubus.REMEDIES[name])]
    assert daemon in ubus.REMEDIES[name]


def test_an_object_that_is_hidden_is_not_called_missing(box: Box) -> None:
    """What ubusd keeps from this user is the access list's matter."""
    box.ubusd.hidden = {"network.interface"}
    assert only(ubus.check(box.case()))[0] == "ok"


@pytest.mark.parametrize("name", ["network.interface", "network.device", "hostapd.phy0-ap0", "dhcp", "system"])
def test_a_daemon_that_does_not_answer_is_bad(box: Box, name: str) -> None:
    """It hangs, and its object is still there: whose it is, and what to do."""
    box.ubusd.held = {name}
    verdict, what, remedy = only(ubus.check(box.case()))
    assert (verdict, remedy) == ("bad", ubus.REMEDIES["hostapd.*" if name.startswith("hostapd") else name])
    assert what.startswith(f'ubusd answers, but who has the object "{name}" does not: ') and what.endswith(": request timed out")


def test_a_hung_netifd_is_told_of_by_one_ubusd(tmp_path: Path, box: Box) -> None:
    """Over the larger stand-in: netifd and hostapd stopped at once, each with its finding, and nothing is called well."""
    with Ubusd(Board("mt7986-kwrt-25.12"), tmp_path / "board.sock") as ubusd:
        ubusd.hold("network.interface")
        ubusd.hold("hostapd.*")
        case = box.case(ubus_socket=str(tmp_path / "board.sock"))
        findings = ubus.check(case)
        assert [finding.verdict for finding in findings] == ["bad", "bad"]
        assert findings[0].remedy == ubus.REMEDIES["network.interface"] and findings[1].remedy == openwrt.HOSTAPD_REMEDY
        (finding,) = radios.check(case, str(box.root))
        assert (finding.verdict, finding.remedy) == ("bad", openwrt.HOSTAPD_REMEDY) and finding.what.startswith("hostapd does not answer: ")
        assert only(acl.check(case, str(box.root), AGENT, OWNER))[0] == "skipped"


@pytest.mark.parametrize("name", ["dhcp", "hostapd.phy0-ap0"])
def test_objects_that_come_and_go_are_not_missed(box: Box, name: str) -> None:
    """A box without odhcpd or without networks is no sick one."""
    del box.ubusd.answers[name]
    assert only(ubus.check(box.case()))[0] == "ok"


# The access list


def access(box: Box) -> tuple[str, str, str]:
    return only(acl.check(box.case(), str(box.root), AGENT, OWNER))


def test_an_access_list_that_ubusd_has_read_is_well(box: Box) -> None:
    """Every call was made once, and none refused."""
    assert access(box)[:2] == ("ok", "user rwagent may make every call the agent makes")


def test_every_call_is_tried(box: Box) -> None:
    """The agent's own calls, no others."""
    access(box)
    expected = {f"{'hostapd.phy0-ap0' if name == 'hostapd.*' else name} {method}" for name, methods in CALLS.items() for method in methods}
    assert set(box.ubusd.called) == expected


def test_a_missing_access_list_is_bad(box: Box) -> None:
    """Without it everything is "Not found": said so, with the way to get it back."""
    (box.root / "usr/share/acl.d/rwagent.json").unlink()
    verdict, what, remedy = access(box)
    assert (verdict, what) == ("bad", f'ubusd says "Not found" of everything to user rwagent: {box.root}/usr/share/acl.d/rwagent.json is missing')
    assert remedy.startswith(f"apk fix rwagent, or without the package write into {box.root}/usr/share/acl.d/rwagent.json as root, mode 644: ")
    assert remedy.endswith("; then kill -HUP $(pidof ubusd)")


def test_what_belongs_in_the_access_list_is_told(box: Box) -> None:
    """Written as the remedy says, it is well."""
    file = box.root / "usr/share/acl.d/rwagent.json"
    file.unlink()
    file.write_text(access(box)[2].partition("mode 644: ")[2].rpartition("; then")[0])
    assert access(box)[0] == "ok"


@pytest.mark.parametrize("text", ["{", "[]", "[" * 60000, '{"user":"rwagent","access":7}', '{"user":"rwagent","access":{"system":[]}}', '{"user":"other"}'])
def test_an_access_list_that_says_nothing_is_bad(box: Box, text: str) -> None:
    """Broken, or for somebody else: whatever lies there, a finding."""
    box.write("usr/share/acl.d/rwagent.json", text)
    assert access(box)[0] == "bad"


def test_calls_that_are_not_allowed_are_named(box: Box) -> None:
    """An access list of an older version: which calls it lacks."""
    box.allow({"system": {"methods": ["board", "info"]}, "network.*": {"methods": ["*"]}, "hostapd.*": {"methods": ["get_status"]}})
    verdict, what, _ = access(box)
    assert verdict == "bad"
    assert what.endswith("does not let user rwagent call hostapd.* get_clients, dhcp ipv4leases, service event")


def test_other_files_count_too(box: Box) -> None:
    """ubusd adds up what all files give a user."""
    box.allow({"system": {"methods": ["*"]}})
    box.write("usr/share/acl.d/more.json", '{"user":"rwagent","access":{"*":{"methods":["*"]}}}')
    assert access(box)[0] == "ok"


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o645])
def test_an_access_list_that_ubusd_ignores_is_bad(box: Box, mode: int) -> None:
    """ubusd takes no file that others may change or execute."""
    file = box.root / "usr/share/acl.d/rwagent.json"
    file.chmod(mode)
    verdict, what, remedy = access(box)
    assert (verdict, what) == ("bad", f"ubusd ignores {file}: it is not root's, or others may change or execute it")
    assert remedy == f"chown root:root {file}; chmod 644 {file}; kill -HUP $(pidof ubusd)"


def test_an_access_list_of_another_owner_is_bad(box: Box) -> None:
    """ubusd takes root's files only."""
    (finding,) = acl.check(box.case(), str(box.root), AGENT, (OWNER[0] + 1, OWNER[1]))
    assert finding.what.startswith("ubusd ignores ")


def test_an_access_list_that_ubusd_has_not_read_is_bad(box: Box) -> None:
    """The file is right and ubusd still hides everything: SIGHUP."""
    box.ubusd.hidden = set(box.ubusd.answers)
    verdict, what, remedy = access(box)
    assert verdict == "bad"
    assert "keeps system board, system info, network.interface dump, network.device status, dhcp ipv4leases, service event from user rwagent" in what
    assert remedy == "kill -HUP $(pidof ubusd) makes it read its files again"


def test_a_method_that_is_refused_is_named(box: Box) -> None:
    """Seen, and still not allowed (6): ubusd knows an older file."""
    box.ubusd.denied = {"hostapd.phy0-ap0 get_clients"}
    assert "keeps hostapd.phy0-ap0 get_clients from user rwagent" in access(box)[1]


def test_an_object_that_is_not_there_is_not_called_hidden(box: Box) -> None:
    """No odhcpd: nothing is kept from anybody."""
    del box.ubusd.answers["dhcp"]
    assert access(box)[0] == "ok"


def test_an_ubusd_that_answers_nobody_is_not_judged(box: Box) -> None:
    """It is down: that says nothing of the user, and has its own finding."""
    box.ubusd.stop()
    assert access(box) == ("skipped", acl.NOBODY, "")


def test_a_call_without_answer_is_not_called_allowed(box: Box) -> None:
    """Nobody refused it, but nobody did it either."""
    box.ubusd.held = {"dhcp"}
    assert access(box)[:2] == ("skipped", "whether user rwagent may call dhcp ipv4leases is not known: no answer; see ubus")


@pytest.mark.needs("root")
def test_an_ubusd_that_turns_the_user_away_is_bad() -> None:
    """It answers us, and not the agent's user, though the files are right."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o711)
        box = Box(Path(name))
        box.socket.chmod(0o666)
        box.ubusd.turned_away = {65534}
        try:
            box.allow({"*": {"methods": ["*"]}}, "nobody")
            (finding,) = acl.check(box.case(), str(box.root), acl.Caller("nobody", 65534, 65534), OWNER)
        finally:
            box.ubusd.stop()
    assert (finding.verdict, finding.remedy) == ("bad", acl.NO_PASSWD)


@pytest.mark.needs("root")
def test_root_asks_as_the_agents_user() -> None:
    """ubusd judges by the user of the connection: root puts on the agent's for it, and takes it off again."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o711)
        box = Box(Path(name))
        box.socket.chmod(0o666)
        try:
            box.allow({"*": {"methods": ["*"]}}, "nobody")
            (finding,) = acl.check(box.case(), str(box.root), acl.Caller("nobody", 65534, 65534), OWNER)
        finally:
            box.ubusd.stop()
    assert (finding.verdict, box.ubusd.called_by, os.geteuid(), os.getegid()) == ("ok", {65534}, 0, 0)


@pytest.mark.needs("root")
def test_an_agent_that_runs_as_root_needs_no_access_list(box: Box) -> None:
    """The running daemon's user is what counts."""
    status = Status(True, "", 1.0, {"pid": os.getpid()})
    assert only(acl.check(box.case(status=status), str(box.root)))[:2] == ("ok", "the agent runs as root, from whom ubusd hides nothing")


@pytest.mark.needs("root")
@pytest.mark.parametrize("is_link", [False, True])
def test_a_jailed_agents_user_is_who_holds_its_lock(box: Box, is_link: bool) -> None:
    """The number that it writes down is its jail's, and 1 out here is root's; so would be what it may let a link lead to."""
    lock = Path(box.run_dir, "lock")
    if is_link:
        lock.symlink_to("/etc/passwd")
    else:
        lock.touch()
    os.chown(lock, 65534, 65534, follow_symlinks=False)
    case = box.case(status=Status(True, "", 1.0, {"pid": 1}))
    assert acl.agent_user(case) == acl.Caller("nobody", 65534, pwd.getpwuid(65534).pw_gid)


@pytest.mark.needs("root")
def test_a_box_without_the_user_is_warned(box: Box) -> None:
    """No package yet, no user: the command that makes it, and not a word of root."""
    if any(entry.pw_name == acl.PACKAGE_USER for entry in pwd.getpwall()):
        pytest.skip(f"this machine has a user {acl.PACKAGE_USER}")
    verdict, what, remedy = only(acl.check(box.case(), str(box.root)))
    assert (verdict, what) == ("warn", "there is no user rwagent for the agent to run as")
    assert "user_add rwagent" in remedy


# rpcd


def test_a_missing_rpcd_is_told_with_what_is_lost(box: Box) -> None:
    """The agent does without; LuCI does not."""
    (box.root / "sbin/rpcd").unlink()
    verdict, what, remedy = only(rpcd.check(box.case(), str(box.root)))
    assert (verdict, remedy) == ("warn", "for LuCI or ubus call uci: apk update && apk add rpcd rpcd-mod-iwinfo")
    assert "the agent does without" in what


def test_an_rpcd_without_objects_is_to_be_restarted(box: Box) -> None:
    """After ubusd was restarted rpcd lives on without them (rig/ubusd-killed.txt)."""
    del box.ubusd.answers["session"]
    assert only(rpcd.check(box.case(), str(box.root), uid=0))[::2] == ("warn", rpcd.RESTART)


def test_an_rpcd_that_is_hidden_is_not_called_lost(box: Box) -> None:
    """Its objects are root's to see."""
    box.ubusd.hidden = {"session"}
    assert only(rpcd.check(box.case(), str(box.root), uid=1000))[:2] == ("ok", "rpcd is installed")


def test_an_rpcd_with_its_objects_is_well(box: Box) -> None:
    """Installed and at ubus."""
    assert only(rpcd.check(box.case(), str(box.root)))[:2] == ("ok", "rpcd is installed and at ubus")


# Programs and packages


@pytest.mark.parametrize(
    ("program", "remedy"),
    [
        ("usr/bin/apk", "apk update && apk add iw"),
        ("bin/opkg", "opkg update && opkg install iw"),
        ("usr/bin/apt-get", "apt-get install iw"),
        (None, "apk update && apk add iw or opkg update && opkg install iw or apt-get install iw"),
    ],
)
def test_a_missing_iw_is_installed_by_the_boxs_own_packager(box: Box, program: str | None, remedy: str) -> None:
    """apk on 25.12, opkg on 24.10, and all of them where there is none."""
    (box.root / "usr/bin/apk").unlink()
    (box.root / "usr/sbin/iw").unlink()
    if program:
        box.write(program, "", 0o755)
    assert only(wifi.check(box.case(), str(box.root)))[::2] == ("bad", remedy)


def test_no_control_socket_is_asked_for(box: Box) -> None:
    """hostapd is asked by ubus: its sockets are not the agent's there."""
    assert [finding.name for finding in wifi.check(box.case(), str(box.root))] == ["iw"]


def test_a_box_without_radio_is_not_asked_for_iw(box: Box) -> None:
    """A wired OpenWrt box."""
    (box.root / "sys/class/ieee80211/phy0").rmdir()
    assert only(wifi.check(box.case(), str(box.root)))[:2] == ("skipped", "this box has no Wi-Fi radio")


# Root's facts


def test_facts_that_are_missing_are_a_warning_with_the_command(box: Box) -> None:
    """The hook did not run: what is not known, and how to run it."""
    (box.run_dir / "status/wireless.json").unlink()
    verdict, what, remedy = only(facts.check(box.case()))
    assert verdict == "warn"
    assert what.startswith(f"{box.run_dir}/status/wireless.json is missing: root's hook did not run; ")
    given = f" --out {box.run_dir}/status/wireless.json --socket {box.socket}"
    assert remedy == f"as root run python3 -I -m agent.redact{given}, also at each start and after each change (the package does both)"


def test_the_command_for_the_usual_places_is_short() -> None:
    """Nothing to be typed that is so anyway."""
    case = Case("/etc/rwagent/agent.toml", of_openwrt(Path("/var/run/rwagent")), FakeRouter(), NOT_RUNNING)
    assert openwrt.refresh_facts(case).startswith("as root run python3 -I -m agent.redact, also ")
    assert openwrt.facts_file(case) == openwrt.FACTS_FILE == redact.OUT


def test_facts_that_are_a_pipe_hold_nobody(box: Box) -> None:
    """The daemon's user may put one there, and root's doctor looks."""
    (box.run_dir / "status/wireless.json").unlink()
    os.mkfifo(box.run_dir / "status/wireless.json")
    assert only(facts.check(box.case()))[0] == "warn"


@pytest.mark.parametrize("text", ["", "{}", "null", '{"v":2,"radios":{}}', "\xff"])
def test_facts_that_say_nothing_are_a_warning(box: Box, text: str) -> None:
    """Cut short, or of another version."""
    (box.run_dir / "status/wireless.json").write_text(text)
    verdict, what, _ = only(facts.check(box.case()))
    assert (verdict, "says nothing this version understands" in what) == ("warn", True)


def test_facts_are_told_with_their_age(box: Box) -> None:
    """Old facts are how a change gets lost."""
    os.utime(box.run_dir / "status/wireless.json", (0, 0))
    assert only(facts.check(box.case()))[0] == "ok"
    assert " d" in only(facts.check(box.case()))[1]


# Offloading


@pytest.mark.parametrize(
    ("software", "hardware", "verdict"),
    [(False, False, "ok"), (True, False, "ok"), (True, True, "warn"), (False, True, "ok"), (None, True, "warn"), (None, None, "skipped")],
)
def test_offloading(box: Box, software: bool | None, hardware: bool | None, verdict: str) -> None:
    """Only the hardware's bypasses the caps, and it only with flow_offloading itself."""
    box.facts(offload={key: value for key, value in (("software", software), ("hardware", hardware)) if value is not None})
    assert only(offload.check(box.case()))[0] == verdict


def test_hardware_offloading_is_told_with_the_commands(box: Box) -> None:
    """The caps do not hold, and the way to make them."""
    box.facts(offload={"software": True, "hardware": True})
    _, what, remedy = only(offload.check(box.case()))
    assert "caps are bypassed" in what
    assert remedy == "uci set firewall.@defaults[0].flow_offloading_hw=0 && uci commit firewall && /etc/init.d/firewall restart"


def test_offloading_that_is_not_known_is_skipped(box: Box) -> None:
    """Without facts nothing is claimed."""
    (box.run_dir / "status/wireless.json").unlink()
    assert only(offload.check(box.case()))[:2] == ("skipped", openwrt.SEE_FACTS)


# Room and time


def test_a_full_overlay_is_told_with_what_it_breaks(box: Box) -> None:
    """Where, what to remove, and that a commit fails without a word."""
    finding = storage.check(box.case(host(flash_free_bytes=0, flash_total_bytes=6_000_000)), str(box.root))[0]
    assert finding == Finding(
        "flash",
        "bad",
        "0 of 6 MB free on /overlay",
        "apk del PACKAGE; du -sk /overlay/upper/* shows what fills it. While it is full, uci commit keeps the old file and exits 0 all the same",
    )


def test_an_image_without_overlay_has_its_root_named(box: Box) -> None:
    """x86's ext4 images write to / itself."""
    (box.root / "overlay/upper").rmdir()
    finding = storage.check(box.case(host(flash_free_bytes=90, flash_total_bytes=100)), str(box.root))[0]
    assert (finding.what, finding.remedy) == ("0 of 0 MB free on /", "")


def test_flash_that_is_not_known_has_no_place(box: Box) -> None:
    """Skipped stays skipped."""
    assert storage.check(box.case(), str(box.root))[0] == Finding("flash", "skipped", "the router does not tell")


@pytest.mark.parametrize("state", ["floor", "none"])
def test_a_clock_nobody_set_names_openwrts_ntp(box: Box, state: Any) -> None:
    """sysntpd, its servers, and the file by which the agent would hear of it."""
    verdict, _, remedy = only(clock.check(box.case(FakeRouter(FakeClock(trust=state))), str(box.root)))
    assert verdict == "warn"
    assert remedy.startswith("/etc/init.d/sysntpd enable; /etc/init.d/sysntpd restart; ")
    assert f"Once it is set, /etc/hotplug.d/ntp writes {box.run_dir}/status/clock;" in remedy


def test_a_missing_ntp_hook_is_told(box: Box) -> None:
    """Without it the clock stays untrusted however right it is."""
    (box.root / "etc/hotplug.d/ntp/30-rwagent").unlink()
    remedy = only(clock.check(box.case(FakeRouter(FakeClock(trust="floor"))), str(box.root)))[2]
    assert remedy.startswith("the agent's script in /etc/hotplug.d/ntp is missing, so that it never hears of NTP: apk fix rwagent;")


# The public network


def test_a_public_network_that_exists_is_well(box: Box) -> None:
    """As UCI names it."""
    assert only(public_network.check(box.case(public_network="guest")))[:2] == ("ok", 'pushed SSIDs are attached to network "guest"')


def test_no_public_network_is_said(box: Box) -> None:
    """Not set is a choice, with its consequence."""
    assert only(public_network.check(box.case()))[:2] == ("ok", "router.public_network is not set: no push may add an SSID")


def test_an_unknown_public_network_is_bad_with_the_closest(box: Box) -> None:
    """A slip of the finger: what there is, and what was meant."""
    verdict, what, remedy = only(public_network.check(box.case(public_network="gest")))
    assert verdict == "bad"
    assert what == 'this box has no network "gest", only guest, lan, wan: every push that adds an SSID will be refused'
    assert remedy.startswith('set router.public_network = "guest" in agent.toml, or make the network: ')


def test_a_public_network_nothing_is_like_is_bad_with_the_list(box: Box) -> None:
    """No guess where there is none."""
    assert only(public_network.check(box.case(public_network="hotspot")))[2].startswith("name one of them in agent.toml")


@pytest.mark.parametrize("source", ["facts", "netifd"])
def test_one_source_is_enough(box: Box, source: str) -> None:
    """UCI's word without ubus, or netifd's without facts."""
    box.facts(networks=None) if source == "netifd" else box.ubusd.stop()
    assert only(public_network.check(box.case(public_network="guest")))[0] == "ok"
    assert only(public_network.check(box.case(public_network="gest")))[0] == "bad"


class Shown:
    """What `uci show` gives root: None for a configuration that is not there, an exception for one that it cannot tell."""

    def __init__(self, **packages: str | Unavailable | None) -> None:
        self.packages = packages

    def show(self, config: str) -> dict[str, Section]:
        found = self.packages.get(config)
        if found is None:
            raise Absent(config)
        if isinstance(found, Unavailable):
            raise found
        return parse(found)


GUEST = "network.guest=interface\nnetwork.guest.device='br-guest'\n"
OPEN_ZONE = "firewall.guest=zone\nfirewall.guest.name='guest'\nfirewall.guest.network='guest'\nfirewall.guest.input='ACCEPT'\n"


def test_a_public_network_that_is_open_is_bad_as_the_applier_has_it(box: Box) -> None:
    """One rule for both: what the doctor calls well is not refused later."""
    opened = Shown(network=GUEST, firewall=OPEN_ZONE)
    verdict, what, remedy = only(public_network.check(box.case(public_network="guest"), opened))
    assert verdict == "bad" and remedy.startswith("give it a zone of its own: input REJECT")
    assert what == 'the firewall\'s zone "guest" accepts all input to the router: every push that adds an SSID will be refused'
    closed = Shown(network=GUEST, firewall=OPEN_ZONE.replace("ACCEPT", "REJECT"))
    assert only(public_network.check(box.case(public_network="guest"), closed))[0] == "ok"
    assert "no firewall" in only(public_network.check(box.case(public_network="guest"), Shown(network=GUEST)))[1]


@pytest.mark.parametrize("shown", [Shown(), Shown(network=Unavailable("not root")), Shown(network=GUEST, firewall=Unavailable("not root"))])
def test_who_may_not_read_the_firewall_does_not_judge_it(box: Box, shown: Shown) -> None:
    """Only root can: then the network's being there is all that is said."""
    assert only(public_network.check(box.case(public_network="guest"), shown))[0] == "ok"


def test_without_any_source_nothing_is_claimed(box: Box) -> None:
    """Neither facts nor ubus."""
    box.facts(networks=None)
    box.ubusd.stop()
    assert only(public_network.check(box.case(public_network="guest")))[0] == "skipped"


# The radios


def air(box: Box) -> list[Finding]:
    return radios.check(box.case(), str(box.root))


def test_networks_on_air_are_named(box: Box) -> None:
    """Interface, SSID and channel as hostapd has them."""
    assert air(box) == [Finding("radios", "ok", 'on air: phy0-ap0 "Malang RW 05" on channel 6')]


def test_a_network_without_object_is_bad_though_netifd_says_up(box: Box) -> None:
    """netifd's word is not believed (rig/wifi-bad-channel.txt)."""
    box.facts(radios={"radio0": radio([network("phy0-ap0", "Malang RW 05"), network("phy0-ap1", "Staf")])})
    finding = air(box)[0]
    assert finding.verdict == "bad"
    assert finding.what == 'not on air: phy0-ap1 "Staf"; radio0 (2g, channel 6, HE20, country ID): hostapd does not run it, though netifd may say up'
    assert finding.remedy.startswith("logread -e hostapd says why; ")


def test_a_radio_netifd_gave_up_is_bad_with_channel_and_country(box: Box) -> None:
    """retry_setup_failed: what it is set to, and what most often is wrong with that."""
    del box.ubusd.answers["hostapd.phy0-ap0"]
    box.facts(radios={"radio0": radio([network(None, "Malang RW 05")], channel="77", country=None, retry_setup_failed=True)})
    verdict, what, remedy = only(air(box))
    assert verdict == "bad"
    assert what == ('not on air: default_radio0 "Malang RW 05"; radio0 (2g, channel 77, HE20, country not set): netifd gave up after 3 attempts to start it')
    assert "uci set wireless.radio0.country=XX; uci set wireless.radio0.channel=auto; uci commit wireless; wifi up radio0" in remedy
    assert "with your country's two letters for XX: uci " in remedy


def test_a_radio_that_is_starting_is_a_warning(box: Box) -> None:
    """Pending: patience is the remedy."""
    del box.ubusd.answers["hostapd.phy0-ap0"]
    box.facts(radios={"radio0": radio([network("phy0-ap0", "Malang RW 05")], pending=True)})
    assert only(air(box))[::2] == ("warn", "ask again in a minute")


def test_a_radio_that_is_down_is_to_be_brought_up(box: Box) -> None:
    """Somebody said wifi down."""
    del box.ubusd.answers["hostapd.phy0-ap0"]
    box.facts(radios={"radio0": radio([network("phy0-ap0", "Malang RW 05")], up=False)})
    verdict, _, remedy = only(air(box))
    assert (verdict, remedy.startswith("wifi up radio0;")) == ("bad", True)


def test_a_network_that_listens_for_radar_is_a_warning(box: Box) -> None:
    """Not on air yet, and nothing to be done."""
    box.ubusd.answers["hostapd.phy0-ap0"] = hostapd("Malang RW 05", 100, "DFS", dfs={"cac_seconds": 60, "cac_active": True, "cac_seconds_left": 41})
    verdict, what, remedy = only(air(box))
    assert (verdict, remedy) == ("warn", "wait: 1 minute, for weather radar 10")
    assert "listens for radar before it may send" in what


def test_a_network_that_hostapd_disabled_is_bad(box: Box) -> None:
    """An object alone is no signal."""
    box.ubusd.answers["hostapd.phy0-ap0"] = hostapd("Malang RW 05", 6, "DISABLED")
    assert only(air(box))[1].startswith('hostapd has phy0-ap0 "Malang RW 05", but not on air')


def test_facts_from_while_it_was_starting_are_understood(box: Box) -> None:
    """They lack the interface's name: radio and SSID tell."""
    box.facts(radios={"radio0": radio([network(None, "Malang RW 05")], pending=True)})
    assert only(air(box))[0] == "ok"


def test_a_network_without_mode_is_an_access_point(box: Box) -> None:
    """As netifd and the report have it."""
    box.facts(radios={"radio0": radio([network("phy0-ap1", "Staf", mode=None)])})
    assert air(box)[0].verdict == "bad" and 'not on air: phy0-ap1 "Staf"' in air(box)[0].what


def test_a_hostapd_that_does_not_answer_is_bad(box: Box) -> None:
    """Its object is there, and nobody is behind it."""
    box.ubusd.held = {"hostapd.phy0-ap0"}
    verdict, what, remedy = only(air(box))
    assert (verdict, remedy) == ("bad", openwrt.HOSTAPD_REMEDY) and what.startswith("hostapd does not answer: ")


def test_a_hostapd_that_may_not_be_asked_is_not_judged(box: Box) -> None:
    """The access list's matter."""
    box.ubusd.denied = {"hostapd.phy0-ap0 get_status"}
    assert only(air(box))[0] == "skipped"


def test_what_is_switched_off_is_not_missed(box: Box) -> None:
    """A disabled radio is told, a disabled network and a station's side are not asked for."""
    box.facts(
        radios={
            "radio0": radio([network("phy0-ap0", "Malang RW 05"), network(None, "Off", disabled=True), network(None, "Uplink", mode="sta")]),
            "radio1": radio([network(None, "Five")], disabled=True),
        }
    )
    assert [(finding.verdict, finding.what.partition(":")[0]) for finding in air(box)] == [("skipped", "radio1 is switched off in UCI"), ("ok", "on air")]


def test_a_box_on_which_nothing_is_wanted_is_skipped(box: Box) -> None:
    """A fresh image: every network is disabled."""
    del box.ubusd.answers["hostapd.phy0-ap0"]
    box.facts(radios={"radio0": radio([network(None, "OpenWrt", disabled=True)])})
    assert air(box) == [Finding("radios", "skipped", "no network is wanted on air")]


def test_a_missing_hostapd_is_bad_with_its_package(box: Box) -> None:
    """Without the program there is no reason in the log."""
    del box.ubusd.answers["hostapd.phy0-ap0"]
    (box.root / "usr/sbin/hostapd").unlink()
    assert only(air(box)) == ("bad", radios.NO_PROGRAM, "apk update && apk add wpad-basic-mbedtls")


def test_objects_that_are_hidden_are_no_networks_off_air(box: Box) -> None:
    """Who may not see may not judge."""
    box.ubusd.hidden = set(box.ubusd.answers)
    assert only(air(box))[0] == "skipped"


def test_a_wired_box_has_no_line(box: Box) -> None:
    """Neither radios nor wishes."""
    (box.root / "sys/class/ieee80211/phy0").rmdir()
    (box.root / "sys/class/ieee80211").rmdir()
    box.facts(radios={})
    assert air(box) == []


def test_a_hostile_ssid_stays_in_its_line(box: Box) -> None:
    """Whatever is in the air, the doctor's text is one line a finding."""
    box.ubusd.answers["hostapd.phy0-ap0"] = hostapd("a\nOK   all well\x1b[2J", 6)
    assert len(doctor.render([finding for finding in air(box) if finding.verdict == "ok"]).splitlines()) == 2


# The whole


def spoilt(folder: Path) -> tuple[Box, Case]:
    """A box on which everything that the doctor knows of OpenWrt is wrong at once."""
    box = Box(folder)
    for program in ("usr/sbin/iw", "sbin/rpcd", "etc/hotplug.d/ntp/30-rwagent"):
        (box.root / program).unlink()
    box.ubusd.answers = objects(phy0_ap0=hostapd("Malang RW 05", 6), phy1_ap1=hostapd("Staf", 100, "DFS", dfs={"cac_active": True, "cac_seconds_left": 41}))
    box.ubusd.hidden = {"dhcp"}
    box.facts(
        radios={
            "radio0": radio([network("phy0-ap0", "Malang RW 05"), network("phy0-ap1", 'Kopi "RW"')]),
            "radio1": radio([network("phy1-ap1", "Staf")], phy="phy1", band="5g", channel="100", htmode="HE80", country="ID"),
            "radio2": radio([network(None, "Malang RW 05")], phy="phy2", band="5g", channel="77", htmode="HE80", country=None, retry_setup_failed=True),
            "radio3": radio([], phy="phy3", disabled=True),
        },
        offload={"software": True, "hardware": True},
    )
    figures = {"flash_free_bytes": 65_536, "flash_total_bytes": 6_400_000, "memory_available_bytes": 4_000_000, "memory_total_bytes": 121_000_000}
    router = host(**figures, tmp_free_bytes=4096)
    router.clock.trust = "floor"
    return box, box.case(router, public_network="gest")


def examined(box: Box, case: Case) -> str:
    """Give the doctor's text, with the test's own places as they would be on the router."""
    root = str(box.root)
    checks = {name: CHECKS[name] for name in ("clock", *ONLY_OPENWRT)} | {
        "storage": functools.partial(storage.check, root=root),
        "clock": functools.partial(clock.check, root=root),
        "acl": functools.partial(acl.check, root=root, who=AGENT, owner=OWNER),
        "rpcd": functools.partial(rpcd.check, root=root),
        "wifi": functools.partial(wifi.check, root=root),
        "radios": functools.partial(radios.check, root=root),
    }
    findings = doctor.run({name: checks[name] for name in CHECKS if name in checks}, case)
    text = doctor.render(findings) + "\n"
    text = text.replace(f" --out {openwrt.facts_file(case)} --socket {box.socket}", "")
    return text.replace(root, "").replace(str(box.run_dir), "/var/run/rwagent").replace(str(box.socket), "/var/run/ubus/ubus.sock")


def test_what_a_technician_sees_of_a_box_on_which_everything_is_wrong(tmp_path: Path) -> None:
    """Each trouble in one line with its value, and below it what to do."""
    box, case = spoilt(tmp_path)
    try:
        text = examined(box, case)
    finally:
        box.ubusd.stop()
    assert re.sub("written .* ago", "written 5 s ago", text) == (GOLDEN / "doctor_openwrt.txt").read_text()


def test_what_a_technician_sees_of_a_box_that_tells_nothing(box: Box) -> None:
    """Neither ubusd nor facts nor access list: each once with what to do, and nothing claimed that follows from it."""
    box.ubusd.stop()
    box.socket.unlink()
    (box.run_dir / "status/wireless.json").unlink()
    (box.root / "usr/share/acl.d/rwagent.json").unlink()
    assert examined(box, box.case(public_network="guest")) == (GOLDEN / "doctor_openwrt_mute.txt").read_text()


def test_a_box_in_order_has_nothing_to_do(box: Box) -> None:
    """No warning and no remedy where all is well."""
    assert examined(box, box.case(host(flash_free_bytes=9, flash_total_bytes=10), public_network="guest")).endswith("\n0 bad, 0 warnings\n")


def test_the_small_ubusd_listens_where_the_doctor_asks(tmp_path: Path) -> None:
    """The stand-in greets as ubusd does, so that the claims above are made over a real socket."""
    ubusd = SmallUbusd(tmp_path / "sock", objects())
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.connect(str(tmp_path / "sock"))
        assert link.recv(12) == bytes.fromhex("000000000000000100000004")
    ubusd.stop()
