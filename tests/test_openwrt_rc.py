"""The stand-in of OpenWrt's shell half (rc.common, procd.sh, functions.sh, sysupgrade) against recordings of the real one, where there is none its sources."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.openwrt.userland.box import Box
from tests.fakes.openwrt.userland.chroot import HARMLESS, PATH
from tests.test_openwrt_userland import CASES, NOT_STARTED, normal, sentences

pytestmark = [pytest.mark.once, pytest.mark.needs("root", "busybox", "unshare", "nsenter", "setpriv", "ip")]

# The rig's own, with the start script that it really was, where the other test tells procd itself.
AGENT = """import os, signal, sys, time
def log(text):
    with open("/log", "a") as log:
        log.write(f"Sat Nov 21 22:05:20 2026 daemon.info python3[{os.getpid()}]: agent {text}\\n")
def heard(s, _):
    log(f"got signal {s}")
    if s==signal.SIGTERM: sys.exit(0)
signal.signal(signal.SIGTERM, heard)
signal.signal(signal.SIGHUP, heard)
log(f"start pid {os.getpid()}")
while True:
    time.sleep(60)
"""
SCRIPT = """#!/bin/sh /etc/rc.common
START=95
STOP=10
USE_PROCD=1
start_service() {
	procd_open_instance main
	procd_set_param command /usr/bin/python3 /opt/agent/agent.py --level "$(uci get rigagent.main.level)"
	procd_set_param env PYTHONUNBUFFERED=1
	procd_set_param respawn 3600 1 3
	procd_set_param pidfile /var/run/rigagent.pid
	procd_close_instance
}
service_triggers() { procd_add_reload_trigger rigagent; }
"""
# What more is recorded of procd itself the other test replays.
REPLAYED = ("svc-enabled-before", "svc-enable", "svc-disable", "svc-start", "svc-start-again-noop", "svc-info", "svc-status", "svc-reload-unchanged")
REPLAYED += ("svc-config-change-event", "svc-signal-hup", "svc-stop", "svc-stop-when-stopped", "svc-missing-binary")
_DAY = re.compile(r"\s+\d+ \w{3} +\d+ \d\d:\d\d ")
PROBE = """#!/bin/sh /etc/rc.common
START=20
USE_PROCD=1
start_service() {
	procd_open_instance
	procd_set_param command /bin/sh -c 'id -u; echo "$TEXT"; grep NoNewPrivs /proc/self/status; sleep 100'
	procd_append_param command one 'two three'
	procd_set_param env TEXT='a "quoted" \\ thing' EMPTY=
	procd_append_param env 'MORE=1 2'
	procd_set_param user nobody
	procd_set_param no_new_privs 1
	procd_set_param stdout 1
	procd_set_param file /etc/config/system
	procd_set_param respawn
	procd_add_jail probe ubus log
	procd_add_jail_mount /etc/a /etc/b
	procd_add_jail_mount_rw /tmp/c
	procd_close_instance
}
service_triggers() {
	procd_add_raw_trigger probe.ring 100 /etc/init.d/probe restart
	procd_add_reload_interface_trigger wan
	procd_add_config_trigger config.change firewall /etc/init.d/probe reload
}
"""


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    with Box(tmp_path / "box", "rig-x86") as made:
        assert made.root
        yield made


def install_agent(box: Box, name: str) -> None:
    """Install the rig's service with its own start script, started where it was."""
    (box.folder / "opt/agent").mkdir(parents=True)
    (box.folder / "opt/agent/agent.py").write_text(AGENT)
    (box.config / "rigagent").write_text("config agent 'main'\n\toption level 'info'\n")
    put(box, "rigagent", SCRIPT)
    box.quiet_when.append(lambda: box.procd.pid("rigagent") is None or f"start pid {box.procd.pid('rigagent')}" in "".join(box.log()))
    if name not in NOT_STARTED:
        box.init("rigagent", "start")
        box.wait_for(lambda: any("agent start" in line for line in box.log()))
    if name == "svc-signal-hup":
        (box.folder / "log").write_text("")
        box.quiet_when[:] = [lambda: any("got signal" in line for line in box.log())]


def put(box: Box, name: str, text: str) -> None:
    """Put a start script into the box."""
    (box.init_d / name).write_text(text)
    (box.init_d / name).chmod(0o755)


@pytest.mark.parametrize("name", REPLAYED)
def test_it_does_what_the_real_one_did(box: Box, name: str) -> None:
    """Each recorded command line, typed in the box: the same output, the same exit code, the same sentence on standard error."""
    case = CASES[name]
    # As the box's daemons have it, whose second is short; whole seconds are its own `sleep`'s.
    box.use_slow_clock()
    install_agent(box, name)
    ran = box.root.run("sh", "-c", case["command"].replace("time /etc", "/etc"), seconds=120)
    assert not box.timers.broken, box.timers.broken[0]
    # A Python that is not where it says it is: this machine's.
    out = ran.stdout.replace("/python/bin/python3", "/usr/bin/python3")
    assert normal(name, _DAY.sub(" 1 00:00 ", out)) == normal(name, _DAY.sub(" 1 00:00 ", case["stdout"]))
    assert (ran.returncode, sentences(ran.stderr)) == (case["exit"], sentences(case["stderr"]))


def test_what_a_start_script_says_reaches_procd(box: Box) -> None:
    """Each word of it, quotes and blanks whole."""
    put(box, "probe", PROBE)
    assert box.init("probe", "start").stderr == ""
    config = box.procd.config("probe")
    assert config["command"][2:] == ['id -u; echo "$TEXT"; grep NoNewPrivs /proc/self/status; sleep 100', "one", "two three"]
    assert config["env"] == {"TEXT": 'a "quoted" \\ thing', "EMPTY": "", "MORE": "1 2"}
    assert config["respawn"] == ["3600", "5", "5"]
    assert config["jail"] == {"name": "probe", "ubus": True, "log": True, "mount": {"/etc/a": "0", "/etc/b": "0", "/tmp/c": "1"}}
    assert box.procd.triggers("probe") == [
        ["probe.ring", [["run_script", "/etc/init.d/probe", "restart"]], 100],
        ["interface.*", ["if", ["eq", "interface", "wan"], ["run_script", "/etc/init.d/probe", "reload"]], 1000],
        ["config.change", ["if", ["eq", "package", "firewall"], ["run_script", "/etc/init.d/probe", "reload"]], 1000],
    ]


@pytest.mark.parametrize("is_jailed", [True, False])
def test_an_instance_runs_as_told(box: Box, is_jailed: bool) -> None:
    """As its user, with its environment, without new rights where it is jailed, for that is ujail's; what it prints is in the log."""
    put(box, "probe", PROBE if is_jailed else re.sub(r"\tprocd_add_jail .*\n", "", PROBE))
    box.init("probe", "start")
    box.wait_for(lambda: len(box.log()) >= 3, 60)
    assert [line.partition("]: ")[2] for line in box.log()] == ["65534", 'a "quoted" \\ thing', f"NoNewPrivs:\t{is_jailed:d}"]


def test_only_what_changed_restarts(box: Box) -> None:
    """A reload with the same parameters leaves the process; another content of a file that is watched does not."""
    put(box, "probe", PROBE)
    box.init("probe", "start")
    pid = box.procd.pid("probe")
    box.init("probe", "reload")
    assert box.procd.pid("probe") == pid
    box.technician("set system.@system[0].hostname=other", reload=False)
    box.init("probe", "reload")
    box.wait_for(lambda: box.procd.pid("probe") not in (None, pid), 60)


def test_a_trigger_runs_for_its_event_alone(box: Box) -> None:
    """Three such events before its time: one run. The name of an event up to its `.*`, the condition, and nothing else."""
    put(box, "probe", PROBE)
    box.init("probe", "start")
    restarts, reloads = ("/etc/init.d/probe", "restart"), ("/etc/init.d/probe", "reload")
    for kind, data, scripts in (
        ("probe.ring", {}, [restarts]),
        ("probe.ringing", {}, []),
        ("interface.update", {"interface": "wan"}, [reloads]),
        ("interface.update", {"interface": "lan"}, []),
        ("config.change", {"package": "firewall"}, [reloads]),
        ("config.change", {"package": "dhcp"}, []),
    ):
        box.procd.scripts.clear()
        for _ in range(3):
            box.procd.event(kind, data)
        box.settle_triggers(60)
        assert box.procd.scripts == scripts, (kind, data)


def test_triggers_go_with_the_service(box: Box) -> None:
    """Whom procd does not know any more nothing triggers."""
    put(box, "probe", PROBE)
    box.init("probe", "start")
    box.init("probe", "stop")
    box.procd.event("probe.ring", {})
    box.settle_triggers(60)
    assert (box.procd.scripts, box.init("probe", "status").stdout) == ([], "inactive\n")


def test_a_fractional_sleep_is_refused(box: Box) -> None:
    """As OpenWrt's BusyBox does; and what it has no applet for is not found."""
    done = box.root.run("sh", "-c", "sleep 0.5; install x y")
    assert done.returncode == 127 and "sleep: invalid number '0.5'" in done.stderr and "install: not found" in done.stderr


def test_nothing_in_the_box_ends_this_machine(box: Box) -> None:
    """A reboot, or one by mistake out of a hostile value, is said in the box's log and nothing else; asked with what BusyBox' own would only explain."""
    done = box.root.run("sh", "-c", "".join(f"{name} --help; " for name in HARMLESS))
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.partition("daemon.crit ")[2] for line in box.log()] == [f"{name}: not here: --help" for name in HARMLESS]


def test_the_boxes_processes_are_known_without_who_holds_it(box: Box) -> None:
    """Else what cannot be looked into, somebody else's, would be taken for the box's, and ended with it."""
    holder = box.root._holder
    ears = box.root._ubusd.pid
    assert ears in box.root.processes()
    holder.kill()
    holder.wait()
    found = box.root.processes()
    assert ears in found and os.getpid() not in found and os.getppid() not in found


def test_uci_is_read_as_it_is(box: Box) -> None:
    """Values with quotes, blanks and line breaks are data to a script."""
    (box.config / "probe").write_text(
        "config t 'a'\n\toption x 'it'\\''s $(reboot) `x` \"q\"'\n\tlist l 'one'\n\tlist l 'two three'\n\nconfig t\n\toption on 'yes'\n"
    )
    lines = 'config_load probe; config_get v a x; echo "$v"; config_list_foreach a l echo; '
    lines += 'each() { config_get_bool b "$1" on 0; echo "$1 $b"; }; config_foreach each t'
    done = box.root.run("sh", "-c", f". /lib/functions.sh; {lines}")
    first, *rest = done.stdout.splitlines()
    assert first == 'it\'s $(reboot) `x` "q"', done.stderr
    assert rest[:3] == ["one", "two three", "a 0"] and rest[3].endswith(" 1")


@pytest.mark.parametrize(("apk", "offline"), [(False, False), (True, False), (False, True), (True, True)])
def test_what_a_package_runs_when_it_is_installed(box: Box, apk: bool, offline: bool) -> None:
    """Its user is made; on the box itself the defaults are run and removed, and services enabled and started; in a root elsewhere only enabled."""
    root = box.folder / "other" if offline else box.folder
    where = "/other" if offline else ""
    for name in ("etc/init.d", "etc/rc.d", "etc/uci-defaults", "lib/functions", "lib/apk/packages", "usr/lib/opkg/info"):
        (root / name).mkdir(parents=True, exist_ok=True)
    if offline:
        for name in ("etc/passwd", "etc/group", "etc/shadow", "etc/rc.common", "lib/functions.sh", "lib/functions/procd.sh"):
            (root / name).write_text((box.folder / name).read_text())
    (root / "etc/init.d/probe").write_text(PROBE)
    (root / "etc/init.d/probe").chmod(0o755)
    (root / "etc/uci-defaults/60_probe").write_text("touch /ran\n")
    lists = root / ("lib/apk/packages" if apk else "usr/lib/opkg/info")
    (lists / "probe.list").write_text("/etc/init.d/probe\n/etc/uci-defaults/60_probe\n")
    (lists / ("probe.rusers" if apk else "probe.control")).write_text(("" if apk else "Require-User: ") + "probe=551:probe=551\n")
    script = "default_postinst" if apk else "default_postinst /usr/lib/opkg/info/probe.postinst"
    done = box.root.run("sh", "-c", f". {where}/lib/functions.sh; {script}", IPKG_INSTROOT=where, **({"pkgname": "probe"} if apk else {}))
    assert (done.returncode, done.stderr) == (0, "")
    assert "probe:x:551:551:" in (root / "etc/passwd").read_text() and "probe:x:551:probe" in (root / "etc/group").read_text()
    assert (root / "etc/rc.d/S20probe").is_symlink()
    assert ((box.folder / "ran").exists(), (root / "etc/uci-defaults/60_probe").exists(), box.procd.is_running("probe")) == (not offline, offline, not offline)
    if not offline:
        box.root.run("sh", "-c", f". /lib/functions.sh; {script.replace('postinst', 'prerm', 1)}", **({"pkgname": "probe"} if apk else {}))
        assert not (root / "etc/rc.d/S20probe").is_symlink() and box.init("probe", "status").returncode == 3


def test_an_upgrade_does_not_enable_again(box: Box) -> None:
    """Who disabled a service finds it so; it is started all the same."""
    put(box, "probe", PROBE)
    (box.folder / "usr/lib/opkg/info/probe.list").write_text("/etc/init.d/probe\n")
    box.root.run("sh", "-c", ". /lib/functions.sh; default_postinst /x/probe.postinst", PKG_UPGRADE="1")
    assert not (box.folder / "etc/rc.d/S20probe").exists() and box.procd.is_running("probe")


def test_a_boot_runs_each_link_in_its_order(box: Box) -> None:
    """With `boot`, where a script has one; RAM is empty by then, and another boot has begun."""
    for number, name in (("05", "early"), ("95", "late")):
        put(box, name, f"#!/bin/sh /etc/rc.common\nSTART={number}\nboot() {{ echo {name} >>/order; ls /tmp /var/run; }}\nstart() {{ echo wrong; }}\n")
        box.init(name, "enable")
    box.init("boot", "enable")
    (box.folder / "etc/uci-defaults/60_x").write_text("echo defaults >>/order\n")
    (box.folder / "tmp/lost").touch()
    before = (box.folder / "boot_id").read_text()
    assert [name for name, _ in box.boot()] == ["S05early", "S10boot", "S95late"]
    assert (box.folder / "order").read_text().split() == ["early", "defaults", "late"]
    assert not (box.folder / "tmp/lost").exists() and (box.folder / "boot_id").read_text() != before


def test_an_upgrade_of_the_firmware_keeps_what_is_listed(box: Box) -> None:
    """After the hooks of /lib/upgrade: a file that one of them takes away is not kept."""
    own = box.folder / "etc/own"
    own.mkdir()
    for name in ("kept", "taken", "other"):
        (own / name).write_text("x")
    (box.folder / "lib/upgrade/keep.d/own").write_text("/etc/own/[kt]*\n")
    (box.folder / "lib/upgrade/own.sh").write_text('take() { rm /etc/own/taken; }\nsysupgrade_init_conffiles="take $sysupgrade_init_conffiles"\n')
    kept = box.sysupgrade()
    assert [name for name in kept if "own" in name] == ["/etc/own/kept"] and "/etc/config/network" in kept


def test_an_event_of_the_kernel_reaches_each_script(box: Box) -> None:
    """In order, each in a shell of its own, with the event in the environment."""
    directory = box.folder / "etc/hotplug.d/net"
    directory.mkdir()
    (directory / "20-second").write_text('echo "$gone second $ACTION $INTERFACE" >>/order\n')
    (directory / "10-first").write_text('gone=1; echo "first $ACTION" >>/order; exit 3\n')
    box.hotplug("net", ACTION="add", INTERFACE="eth0")
    assert (box.folder / "order").read_text().splitlines() == ["first add", " second add eth0"]


def test_root_may_everything_at_ubus_and_another_what_the_list_says(box: Box) -> None:
    """ubusd reads the list when it is told by a signal, and not before."""
    rule = {"user": "nobody", "access": {"system": {"methods": ["board"]}}}
    (box.folder / "usr/share/acl.d/x.json").write_text(json.dumps(rule))
    call = ("ubus", "-S", "call", "system", "board")
    assert (box.root.run(*call).returncode, box.root.run(*call, user="nobody").returncode) == (0, 4)
    box.root.run("sh", "-c", "kill -HUP $(pidof ubusd)")
    box.wait_for(lambda: box.ubusd.allow is not None, 60)
    assert box.root.run(*call, user="nobody").returncode == 0
    assert box.root.run("ubus", "-S", "call", "service", "list", user="nobody").returncode == 4


def test_the_agent_is_there_as_bytecode_alone(box: Box) -> None:
    """And is the box's own, not this tree's."""
    box.root.install_agent()
    done = box.root.run("python3", "-I", "-c", "import agent.settings, paho, psutil; print(agent.settings.__file__)", user="nobody")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert done.stdout == f"/python/lib/python{version}/site-packages/agent/settings.pyc\n", done.stderr
    assert box.root.run("rwagent", "--help", user="nobody").returncode == 0 and PATH == "/usr/sbin:/usr/bin:/sbin:/bin"
