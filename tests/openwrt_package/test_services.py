"""The init scripts, run as they lie in the package: what procd is told, when, and what they do before it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.openwrt.userland.box import Box
from tests.openwrt_package.packaged import ENROLLED, FILES, PENDING, SERVICES, UID, enrol, instances, logged, packaged, set_main, try_push, wireless

pytestmark = [pytest.mark.needs("root", "busybox", "unshare", "nsenter", "setpriv", "ip"), pytest.mark.once]

PING = "proc/sys/net/ipv4/ping_group_range"
APPLY = {"command": ["/usr/bin/rwagent-apply"], "stderr": True}


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    with packaged(tmp_path / "box") as box:
        yield box


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Box]:
    """A box without Python's half, for what needs none."""
    with packaged(tmp_path / "box", has_agent=False) as box:
        yield box


@pytest.fixture
def enrolled(box: Box) -> Box:
    enrol(box)
    return box


def ping_range(box: Box) -> str:
    return box.root.run("cat", f"/{PING}").stdout.strip()


def test_every_script_is_one_for_busybox() -> None:
    """Each file of the package that begins as a shell script."""
    scripts = [path for path in FILES.rglob("*") if path.is_file() and path.read_bytes().startswith(b"#!/bin/sh")]
    assert len(scripts) >= 15
    for path in scripts:
        found = subprocess.run(["busybox", "ash", "-n", path], capture_output=True, text=True, check=False)
        assert found.returncode == 0, f"{path}: {found.stderr}"


# The daemon.


def test_the_daemon_runs_as_its_own_user_jailed_and_for_ever(enrolled: Box) -> None:
    """What procd is told, word by word."""
    for name in ("usr/sbin/iw", "etc/openwrt_release", "tmp/dhcp.leases"):
        (enrolled.folder / name).touch()
    lib = "usr/lib/python3.99"
    modules = [f"{lib}/lib-dynload/_ssl.cpython-399.so", f"{lib}/site-packages/psutil/_psutil_linux.abi3.so"]
    for name in (*modules, f"{lib}/lib-dynload/_json.cpython-399.so"):
        (enrolled.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (enrolled.folder / name).touch()
    enrolled.init("rwagent", "start")
    (config,) = instances(enrolled, "rwagent").values()
    jail = config.pop("jail")
    own = ["/etc/rwagent/agent.toml", "/etc/rwagent/ca.pem", "/etc/rwagent/client.pem", "/etc/rwagent/client.key", "/etc/resolv.conf"]
    assert config == {
        "command": ["/usr/bin/python3", "-I", "-m", "agent", "run"],
        "user": "rwagent",
        "group": "rwagent",
        "no_new_privs": True,
        "respawn": ["3600", "30", "0"],
        "term_timeout": 15,
        "stderr": True,
        "file": own,
    }
    mounts = jail.pop("mount")
    assert jail == {"name": "rwagent", "ubus": True, "procfs": True, "sysfs": True, "ronly": True}
    assert [path for path, mode in mounts.items() if mode == "1"] == ["/var/run/rwagent"]
    pythons = {path for path in mounts if path.startswith("/usr/lib/python3.")}
    assert {path for path in pythons if path.startswith(f"/{lib}")} == {f"/{lib}", *(f"/{name}" for name in modules)}
    rest = {"/etc/rwagent", "/etc/hosts", "/var/run/ubus", "/etc/openwrt_release", "/usr/sbin/iw", "/tmp/dhcp.leases", "/var/run/rwagent"}
    assert mounts.keys() - pythons == rest


def test_without_an_enrolment_it_waits_and_says_for_what(box: Box) -> None:
    """Nothing is started, the service is known, and a person reads which files and which command are missing."""
    ended = box.init("rwagent", "start")
    assert ended.returncode == 0 and instances(box, "rwagent") == {}
    said = logged(box)
    assert "not enrolled" in said and "client.key" in said and "rwagent enroll" in said and "waits" in said
    assert box.procd.triggers("rwagent")


def test_it_starts_as_soon_as_it_is_enrolled(box: Box) -> None:
    """`rwagent enroll` tells procd of a change of package rwagent."""
    box.init("rwagent", "start")
    enrol(box)
    box.procd.event("config.change", {"package": "rwagent"})
    box.wait_for(lambda: [*instances(box, "rwagent")] == ["agent"], 60)


FAULTY = ENROLLED.replace("option host", "option port 'seven'\n\toption host")


def test_faulty_settings_leave_the_old_ones_in_force(enrolled: Box) -> None:
    """The daemon goes on, and the log names the option, its value and what is allowed."""
    enrolled.init("rwagent", "start")
    before = (enrolled.folder / "etc/rwagent/agent.toml").read_bytes()
    enrol(enrolled, FAULTY)
    enrolled.init("rwagent", "reload")
    assert [*instances(enrolled, "rwagent")] == ["agent"]
    said = logged(enrolled)
    assert "broker.port" in said and "seven" in said and "goes on" in said
    assert (enrolled.folder / "etc/rwagent/agent.toml").read_bytes() == before


@pytest.mark.parametrize("old", [None, "[agent]\nid = "])
def test_faulty_settings_without_old_ones_that_are_whole_wait(old: str | None, box: Box) -> None:
    """A daemon that can only end again is not started every 30 s."""
    enrol(box, FAULTY)
    if old is not None:
        (box.folder / "etc/rwagent/agent.toml").write_text(old)
    box.init("rwagent", "start")
    assert instances(box, "rwagent") == {} and "broker.port" in logged(box) and "waits" in logged(box)


def test_a_renderer_that_cannot_run_is_said(enrolled: Box) -> None:
    """As with half a package after a full flash."""
    for path in enrolled.root.site_packages.glob("agent/render.*"):
        path.unlink()
    enrolled.init("rwagent", "start")
    assert instances(enrolled, "rwagent") == {} and "agent.render" in logged(enrolled)


def test_switched_off_it_does_not_run_and_ends(enrolled: Box) -> None:
    """Also one that runs; the triggers stay, so that it comes back."""
    enrolled.init("rwagent", "start")
    set_main(enrolled, enabled="0")
    enrolled.init("rwagent", "reload")
    assert instances(enrolled, "rwagent") == {} and enrolled.procd.triggers("rwagent") and "enabled is 0" in logged(enrolled)


def test_without_a_jail_all_else_is_as_it_was(enrolled: Box) -> None:
    """Where one is in the way of finding a fault: still its own user; that it is to get no new privileges procd is told, and leaves to ujail."""
    set_main(enrolled, jail="0")
    enrolled.init("rwagent", "start")
    config = instances(enrolled, "rwagent")["agent"]
    assert "jail" not in config and config["user"] == "rwagent" and config["no_new_privs"]


@pytest.mark.parametrize("value", ["$(touch /tmp/hit)`touch /tmp/hit`", '"; touch /tmp/hit; "\n1', "-n * ja\u00e9"])
def test_a_hostile_value_is_text(value: str, enrolled: Box) -> None:
    """What is neither yes nor no is yes, of both switches; a lease file of such a name is none."""
    enrolled.init("rwagent", "start")
    set_main(enrolled, enabled=value, jail=value)
    path = enrolled.folder / "etc/config/rwagent"
    path.write_text(path.read_text() + f"\nconfig router 'router'\n\toption lease_file '/tmp/{value}'\n")
    enrolled.init("rwagent", "reload", "around")
    assert not (enrolled.folder / "tmp/hit").exists()
    assert "/etc/rwagent" in instances(enrolled, "rwagent")["agent"]["jail"]["mount"]


def test_a_lease_file_that_ujail_would_take_apart_is_left_out(enrolled: Box) -> None:
    """It gets words and colons; and nothing above what was meant."""
    enrolled.init("rwagent", "start")
    expected = instances(enrolled, "rwagent")
    for name in ("/tmp/a b", "/tmp/a:/etc/shadow", "/tmp/../etc/shadow", "tmp/leases", "/tmp/*"):
        (enrolled.folder / "tmp/a b").touch()
        enrolled.uci("set", f"dhcp.@dnsmasq[0].leasefile={name}")
        enrolled.uci("commit", "dhcp")
        enrolled.init("rwagent", "reload", "around")
        assert instances(enrolled, "rwagent") == expected


def test_a_lease_file_of_another_name_is_seen(enrolled: Box) -> None:
    """As the DHCP server's configuration has it."""
    (enrolled.folder / "tmp/given").touch()
    enrolled.uci("set", "dhcp.@dnsmasq[0].leasefile=/tmp/given")
    enrolled.uci("commit", "dhcp")
    enrolled.init("rwagent", "start")
    assert instances(enrolled, "rwagent")["agent"]["jail"]["mount"]["/tmp/given"] == "0"


def test_what_is_not_there_is_not_mounted_and_holds_nothing_up(enrolled: Box) -> None:
    """No lease file on a flat access point."""
    enrolled.init("rwagent", "start")
    assert "/tmp/dhcp.leases" not in instances(enrolled, "rwagent")["agent"]["jail"]["mount"]


def test_leases_that_appear_later_come_into_the_jail(enrolled: Box) -> None:
    """A change of DHCP tells procd again, without Python; another mount is another instance."""
    enrolled.init("rwagent", "start")
    (enrolled.folder / "tmp/dhcp.leases").touch()
    (enrolled.root.site_packages / "agent/render.pyc").unlink()
    enrolled.procd.event("config.change", {"package": "dhcp"})
    enrolled.wait_for(lambda: "/tmp/dhcp.leases" in instances(enrolled, "rwagent")["agent"]["jail"]["mount"], 60)


@pytest.mark.parametrize("kind", ["wireless", "network", "interface.up"])
def test_a_change_around_the_daemon_leaves_it_alone(kind: str, enrolled: Box) -> None:
    """Root's facts tell it of all that; nothing of it is another for procd."""
    enrolled.init("rwagent", "start")
    before = instances(enrolled, "rwagent"), enrolled.procd.starts["rwagent"]
    enrolled.procd.event(kind, {}) if "." in kind else enrolled.procd.event("config.change", {"package": kind})
    enrolled.wait_for(lambda: enrolled.procd.scripts, 60)
    enrolled.settle_triggers(60)
    assert enrolled.procd.scripts == [("/etc/init.d/rwagent", "reload", "around")]
    assert (instances(enrolled, "rwagent"), enrolled.procd.starts["rwagent"]) == before


def test_another_resolv_conf_starts_it_anew(enrolled: Box) -> None:
    """The jail has the one that there was when it was made; one without a name server, with the uplink down, is not worth it."""
    enrolled.init("rwagent", "start")
    before = enrolled.procd.starts["rwagent"]
    resolv = enrolled.folder / "etc/resolv.conf"
    resolv.write_text("search lan\n")
    enrolled.init("rwagent", "reload", "around")
    assert enrolled.procd.starts["rwagent"] == before
    resolv.write_text("nameserver 192.0.2.53\n")
    enrolled.init("rwagent", "reload", "around")
    enrolled.wait_for(lambda: enrolled.procd.starts["rwagent"] > before, 60)


def test_a_change_around_starts_nobody_who_waits(box: Box) -> None:
    """Whether it may run was not found out by it."""
    box.init("rwagent", "start")
    enrol(box)
    box.init("rwagent", "reload", "around")
    assert instances(box, "rwagent") == {}


@pytest.mark.parametrize(("before", "after"), [("1 0", f"{UID} {UID}"), ("0 2147483647", "0 2147483647"), ("100 200", "100 200")])
def test_ping_is_allowed_to_the_daemons_group_where_it_was_nobodys(before: str, after: str, enrolled: Box) -> None:
    """What somebody set stays."""
    enrolled.root.run("sh", "-c", f"echo {before} >/{PING}")
    enrolled.init("rwagent", "start")
    assert ping_range(enrolled).split() == after.split()
    assert ("does without ping" in logged(enrolled)) == (before == "100 200")


def test_without_the_group_ping_is_allowed_to_nobody(enrolled: Box) -> None:
    """An empty number would be everybody's or root's."""
    enrolled.root.run("sh", "-c", f"/usr/libexec/rwagent/run-dir; echo 1 0 >/{PING}")
    (enrolled.folder / "etc/group").write_text("root:x:0:\nrwagents:x:7:\n")
    enrolled.init("rwagent", "start")
    assert ping_range(enrolled).split() == ["1", "0"] and "no group rwagent" in logged(enrolled)


# The directories in RAM.


def test_the_daemons_directory_is_its_own_with_roots_in_it(enrolled: Box) -> None:
    """Whichever service is the first."""
    enrolled.init("rwagent-facts", "start")
    found = {name: os.stat(enrolled.folder / "var/run" / name) for name in ("rwagent", "rwagent/status", "rwagent-apply")}
    assert [(seen.st_uid, seen.st_mode & 0o777) for seen in found.values()] == [(UID, 0o750), (0, 0o755), (0, 0o700)]


def test_without_the_user_no_directory_is_left_that_nobody_owns(bare: Box) -> None:
    """And what is missing is said."""
    (bare.folder / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/ash\n")
    assert bare.root.run("/usr/libexec/rwagent/run-dir").returncode == 1
    assert not (bare.folder / "var/run/rwagent").exists() and "user rwagent" in logged(bare)


def test_who_comes_in_between_at_boot_takes_nothing_away(bare: Box) -> None:
    """A hook that finds the directory just made tells its word at once, and makes `status` for it: both are kept, and the daemon gets its directory."""
    between = 'mkdir() { command mkdir "$@" || return 1; case "$*" in *0750*) /usr/libexec/rwagent/tell clock ntp ;; esac; }'
    done = bare.root.run("/bin/sh", "-c", f"{between}; . /usr/libexec/rwagent/run-dir")
    seen = os.stat(bare.folder / "var/run/rwagent")
    assert (done.returncode, done.stderr, seen.st_uid) == (0, "", UID)
    assert (bare.folder / "var/run/rwagent/status/clock").read_text() == "ntp\n"


def test_a_link_in_the_place_of_a_directory_is_not_followed(bare: Box) -> None:
    """Nothing is made or given away where it leads."""
    elsewhere = bare.folder / "elsewhere"
    elsewhere.mkdir()
    for name in ("rwagent-apply", "rwagent"):
        link = bare.folder / "var/run" / name
        link.symlink_to("/elsewhere")
        assert bare.root.run("/usr/libexec/rwagent/run-dir").returncode == 1
        assert list(elsewhere.iterdir()) == [] and elsewhere.stat().st_uid == 0
        link.unlink()


# Root's own services.


def script(name: str, *words: str) -> list[str]:
    return ["run_script", f"/etc/init.d/{name}", *words]


def changed(package: str, *run: str) -> list[object]:
    return ["config.change", ["if", ["eq", "package", package], script(*run)], 1000]


TRIGGERS = {
    "rwagent": [
        changed("rwagent", "rwagent", "reload"),
        *(changed(package, "rwagent", "reload", "around") for package in ("wireless", "network", "dhcp")),
        ["interface.*", [script("rwagent", "reload", "around")], 2000],
    ],
    "rwagent-apply": [["rwagent.push", [script("rwagent-apply", "start", "push")], 100]],
    "rwagent-guard": [["rwagent.push", [script("rwagent-guard", "start")], 100]],
    "rwagent-facts": [changed(package, "rwagent-facts", "reload") for package in ("wireless", "dhcp", "firewall", "network")],
    "rwagent-caps": [
        changed("caps", "rwagent-caps", "start", "caps"),
        changed("dns", "rwagent-caps", "start", "names"),
        changed("firewall", "rwagent-caps", "start", "names"),
        ["rwagent.caps", [script("rwagent-caps", "start", "caps")], 1000],
        ["rwagent.stations", [script("rwagent-caps", "start", "stations")], 1000],
    ],
}


def test_a_trigger_only_starts_a_service(bare: Box) -> None:
    """procd runs one at a time: none of them waits for anything, and all are known before an enrolment."""
    for name in TRIGGERS:
        bare.init(name, "start")
    assert {name: bare.procd.triggers(name) for name in TRIGGERS} == TRIGGERS


def test_no_service_but_the_daemons_is_kept_running() -> None:
    """The others end by themselves; and procd's watchdog, which crashes procd before 25.12, is nobody's."""
    texts = {name: (FILES / "etc/init.d" / name).read_text() for name in SERVICES}
    assert [name for name, text in texts.items() if "respawn" in text] == ["rwagent"]
    assert not any("watchdog" in text for text in texts.values())


def test_a_ring_of_the_daemons_starts_the_applier(enrolled: Box) -> None:
    """As its user, by ubus, without an argument of its own."""
    enrolled.init("rwagent", "start")
    enrolled.init("rwagent-apply", "boot")
    enrolled.procd.event("rwagent.push", {"name": "$(reboot)"})
    enrolled.wait_for(lambda: enrolled.procd.scripts == [("/etc/init.d/rwagent-apply", "start", "push")], 60)
    enrolled.settle_triggers(60)
    assert instances(enrolled, "rwagent-apply") == {"push": APPLY}


def test_a_settling_run_stands_beside_a_push(enrolled: Box) -> None:
    """Neither ends the other."""
    enrolled.init("rwagent", "start")
    enrolled.init("rwagent-apply", "start", "push")
    enrolled.init("rwagent-apply", "start", "settle")
    assert instances(enrolled, "rwagent-apply") == {"push": APPLY, "settle": {**APPLY, "command": ["/usr/bin/rwagent-apply", "--settle"]}}


def test_without_an_enrolment_there_is_no_applier(bare: Box) -> None:
    """It could only say that there are no settings."""
    bare.init("rwagent-apply", "start")
    assert instances(bare, "rwagent-apply") == {}


def test_facts_are_written_without_the_daemon(bare: Box) -> None:
    """By root, isolated."""
    bare.init("rwagent-facts", "start")
    assert [one["command"] for one in instances(bare, "rwagent-facts").values()] == [["/usr/bin/python3", "-I", "-m", "agent.redact"]]


def caps(verb: str, name: str = "caps") -> dict[str, object]:
    command = ["/bin/sh", f"/usr/libexec/rwagent/{name}", verb, f"/etc/rwagent/{name}", f"/var/run/rwagent-apply/{name}"]
    return {"command": command, "env": {"STATUS": "/var/run/rwagent/status"}, "stderr": True}


EVENTS: list[tuple[str, dict[str, str], dict[str, object]]] = [
    ("config.change", {"package": "caps"}, {"caps": caps("apply")}),
    ("rwagent.caps", {}, {"caps": caps("apply")}),
    ("config.change", {"package": "dns"}, {"names": caps("apply", "dns")}),
    ("config.change", {"package": "firewall"}, {"names": caps("apply", "dns")}),
    ("rwagent.stations", {}, {"stations": caps("stations")}),
]


def test_each_event_has_its_script(bare: Box) -> None:
    """And no other one; where nothing was ever wanted, none."""
    bare.init("rwagent-caps", "start")
    assert instances(bare, "rwagent-caps") == {}
    for name in ("caps", "dns"):
        (bare.folder / "var/run/rwagent-apply" / name).mkdir()
    for kind, data, expected in EVENTS:
        bare.procd.event(kind, data)
        bare.wait_for(lambda expected=expected: instances(bare, "rwagent-caps") == expected, 60)
        bare.settle_triggers(60)
        for name in expected:
            bare.procd.stop("rwagent-caps", name)


def test_at_boot_caps_and_names_are_set_where_they_are_wanted(bare: Box) -> None:
    """Where nothing ever was, nothing is started."""
    (bare.folder / "etc/rwagent").mkdir()
    (bare.folder / "etc/rwagent/caps").write_text("v 1\nuplink 45000 20000 wan\n")
    bare.init("rwagent-caps", "boot")
    assert instances(bare, "rwagent-caps") == {"caps": caps("apply")}


# A push that was left.


def test_at_boot_a_push_without_a_verdict_is_taken_back_before_all_else(box: Box) -> None:
    """Before the network and before S10boot, whose defaults read /etc/config; without Python, and without a directory of others' shut by it."""
    before = try_push(box)
    for name in SERVICES:
        assert box.init(name, "enable").returncode == 0
    for path in box.root.site_packages.glob("agent/*.pyc"):
        path.unlink()
    order = [name for name, _ in box.boot()]
    assert order[0] == "S05rwagent-recover" and wireless(box) == before
    assert (box.folder / PENDING / "undone").read_text() == "reboot\n\n" and (box.folder / "var/run").stat().st_mode & 0o777 == 0o755


def test_the_services_come_after_what_they_need() -> None:
    """recover before S10boot, the network and hostapd (19, 20); the daemon's facts before it; caps when the network is there."""
    starts = {name: int((FILES / "etc/init.d" / name).read_text().partition("\nSTART=")[2][:2]) for name in SERVICES}
    assert starts == {"rwagent": 95, "rwagent-apply": 95, "rwagent-caps": 96, "rwagent-facts": 94, "rwagent-guard": 96, "rwagent-recover": 5}


@pytest.mark.parametrize("is_python_there", [True, False])
def test_a_push_whose_guard_and_applier_are_gone_is_taken_back(is_python_there: bool, enrolled: Box) -> None:
    """By the next ring; what takes it back is ash alone."""
    enrolled.init("rwagent", "start")
    before = try_push(enrolled)
    if not is_python_there:
        for path in enrolled.root.site_packages.glob("agent/*.pyc"):
            path.unlink()
    enrolled.init("rwagent-guard", "start")
    enrolled.wait_for(lambda: (enrolled.folder / PENDING / "undone").exists() or not (enrolled.folder / PENDING).exists(), 60)
    assert wireless(enrolled) == before and "no guard any more" in logged(enrolled)


def test_a_second_guard_leaves_the_first_alone(enrolled: Box) -> None:
    """One that lives, by its number and its beginning, has the push."""
    enrolled.init("rwagent", "start")
    try_push(enrolled)
    sleeper = subprocess.Popen(["sleep", "600"])
    try:
        began = Path(f"/proc/{sleeper.pid}/stat").read_text().rpartition(") ")[2].split()[19]
        (enrolled.folder / "var/run/rwagent-apply/guard").write_text(f"{sleeper.pid} {began}\n")
        assert enrolled.root.run("sh", "/usr/libexec/rwagent/second-guard").returncode == 0
        assert not (enrolled.folder / PENDING / "undone").exists() and "no guard" not in logged(enrolled)
    finally:
        sleeper.kill()
        sleeper.wait()


def test_without_a_push_a_second_guard_ends_at_once(bare: Box) -> None:
    """Whatever lies there."""
    bare.root.run("/usr/libexec/rwagent/run-dir")
    for text in ("", "x y", "1", "99999999 1"):
        (bare.folder / "var/run/rwagent-apply/guard").write_text(text)
        ended = bare.root.run("sh", "/usr/libexec/rwagent/second-guard")
        assert (ended.returncode, ended.stderr) == (0, "")
