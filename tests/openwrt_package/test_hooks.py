"""What the box tells of itself: devices, networks, the clock, an upgrade, the package's coming and going; and what comes of each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.openwrt.userland.box import Box
from tests.openwrt_package.packaged import PENDING, UID, enrol, instances, logged, packaged, try_push, wireless

pytestmark = [pytest.mark.needs("root", "busybox", "unshare", "nsenter", "setpriv", "ip"), pytest.mark.once]

LIBEXEC = "/usr/libexec/rwagent"
HOSTILE = ("", ".", "..", "../../etc/passwd", "$(touch /tmp/hit)", "`touch /tmp/hit`", "; touch /tmp/hit", "a b", "*", "-h", "rwd-public", "\u00e9")


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    with packaged(tmp_path / "box", has_agent=False) as box:
        (box.folder / "etc/rwagent").mkdir(mode=0o750, exist_ok=True)
        yield box


def run_dir(box: Box) -> Path:
    assert box.root.run(f"{LIBEXEC}/run-dir").returncode == 0
    return box.folder / "var/run/rwagent"


def want_caps(box: Box, *devices: str) -> None:
    (box.folder / "etc/rwagent/caps").write_text(f"v 1\nssid public 30000 10000 - - {' '.join(devices)}\n")


def replace(box: Box, name: str) -> Path:
    """Let a script of root's only write down its words, and what it is told besides."""
    path, said = box.folder / f"usr/libexec/rwagent/{name}", box.folder / f"tmp/{name}.said"
    path.write_text(f'echo "$* STATUS=${{STATUS-}}" >>/tmp/{name}.said\n')
    return said


# A network device.


@pytest.mark.parametrize("action", ["add", "move"])
def test_a_device_with_caps_gets_them(action: str, box: Box) -> None:
    """Beside the hook, which others wait for; a device is also new under the name that it is given later."""
    want_caps(box, "phy0-ap0", "phy1-ap0")
    said = replace(box, "caps")
    assert box.hotplug("net", ACTION=action, INTERFACE="phy1-ap0").returncode == 0
    box.wait_for(lambda: said.exists() and said.read_text().endswith("\n"))
    assert said.read_text() == "hotplug /etc/rwagent/caps /var/run/rwagent-apply/caps phy1-ap0 STATUS=/var/run/rwagent/status\n"


def test_any_other_device_starts_nothing(box: Box) -> None:
    """Not one process besides the shell that reads the hook; nor does the number of a rate or the name of a cap count, nor a beginning."""
    want_caps(box, "phy0-ap0")
    replace(box, "caps")
    (box.folder / "usr/libexec/rwagent/run-dir").write_text("touch /tmp/hit\n")
    for name in (*HOSTILE, "eth0", "phy0", "phy0-ap", "phy0-ap01", "rwu-public", "rw-able", "v"):
        assert box.hotplug("net", ACTION="add", INTERFACE=name).stderr == ""
    for action in ("remove", "change", "", "$(touch /tmp/hit)"):
        box.hotplug("net", ACTION=action, INTERFACE="phy0-ap0")
    (box.folder / "etc/rwagent/caps").unlink()
    box.hotplug("net", ACTION="add", INTERFACE="phy0-ap0")
    assert sorted(path.name for path in (box.folder / "tmp").iterdir() if path.name in ("hit", "caps.said")) == []


# A network.


def test_a_network_that_comes_up_has_what_stands_looked_at(box: Box) -> None:
    """By a run of root's that only settles; which network it is, is nobody's word of command."""
    enrol(box)
    (box.folder / "etc/rwagent/agent.toml").touch()
    state = box.folder / "etc/rwagent/state"
    state.mkdir(mode=0o700, exist_ok=True)
    (state / "revisions.json").write_text("{}")
    box.init("rwagent-apply", "enable")
    assert box.hotplug("iface", ACTION="ifup", INTERFACE="$(touch /tmp/hit)").returncode == 0
    assert [*instances(box, "rwagent-apply")] == ["settle"] and not (box.folder / "tmp/hit").exists()


def test_nothing_is_started_where_nothing_can_have_changed(box: Box) -> None:
    """Nor where no push ever was."""
    enrol(box)
    (box.folder / "etc/rwagent/agent.toml").touch()
    box.init("rwagent-apply", "enable")
    box.hotplug("iface", ACTION="ifup", INTERFACE="wan")
    (box.folder / "etc/rwagent/state").mkdir(exist_ok=True)
    (box.folder / "etc/rwagent/state/revisions.json").write_text("{}")
    for action, interface in (("ifdown", "wan"), ("ifupdate", "wan"), ("ifup", "loopback")):
        box.hotplug("iface", ACTION=action, INTERFACE=interface)
    assert instances(box, "rwagent-apply") == {}


# The clock.


@pytest.mark.parametrize(("action", "stratum"), [("step", "16"), ("stratum", "3"), ("periodic", "15")])
def test_the_clock_is_believed_once_ntp_has_set_it(action: str, stratum: str, box: Box) -> None:
    """A step comes before busybox knows how good the time is; also before the agent ever ran."""
    assert box.hotplug("ntp", ACTION=action, stratum=stratum).stderr == ""
    assert (box.folder / "var/run/rwagent/status/clock").read_text() == "ntp\n"


def test_a_clock_that_nobody_set_is_not_believed(box: Box) -> None:
    """Whatever else is told of it, by whomever."""
    told = [
        ("stratum", "16"),
        ("periodic", "16"),
        ("unsync", "16"),
        ("stratum", "$(touch /tmp/hit)"),
        ("stratum", ""),
        ("", "3"),
        ("step; touch /tmp/hit", "3"),
    ]
    for action, stratum in told:
        assert box.hotplug("ntp", ACTION=action, stratum=stratum).stderr == ""
    assert not (box.folder / "var/run/rwagent/status/clock").exists() and not (box.folder / "tmp/hit").exists()


def test_a_clock_that_was_set_stays_believed_without_its_servers(box: Box) -> None:
    """It drifts by seconds a day; and what is said already is not written again."""
    box.hotplug("ntp", ACTION="stratum", stratum="3")
    marker = box.folder / "var/run/rwagent/status/clock"
    before = marker.stat().st_ino
    box.hotplug("ntp", ACTION="unsync", stratum="16")
    box.hotplug("ntp", ACTION="periodic", stratum="3")
    assert marker.read_text() == "ntp\n" and marker.stat().st_ino == before and marker.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("trap", ["link", "writable", "its own", "a fifo"])
def test_root_writes_nowhere_that_the_daemon_can_lead_it(trap: str, box: Box) -> None:
    """The directory above is the daemon's: it may put anything in the place of root's. Nothing is followed, and nobody waits."""
    above = run_dir(box)
    elsewhere, status = box.folder / "root/elsewhere", above / "status"
    elsewhere.mkdir()
    status.rmdir()
    if trap == "link":
        status.symlink_to("/root/elsewhere")
    elif trap == "a fifo":
        os.mkfifo(status)
    else:
        status.mkdir()
        status.chmod(0o777 if trap == "writable" else 0o755)
        if trap == "its own":
            os.chown(status, UID, UID)
            os.mkfifo(status / "clock")
    assert box.root.run(f"{LIBEXEC}/tell", "clock", "ntp", seconds=20).returncode == 1
    assert list(elsewhere.iterdir()) == [] and (not status.is_dir() or [one.name for one in status.iterdir()] in ([], ["clock"]))


# An upgrade of the system.


@pytest.fixture
def with_state(box: Box) -> Box:
    """An enrolled box with a push on trial, secrets, a ballast and a bundle half put in place."""
    box.root.install_agent()
    enrol(box)
    box.init("rwagent", "start")
    own = box.folder / "etc/rwagent"
    for name in ("keys", "secrets", "enroll.new"):
        (own / name).mkdir(exist_ok=True)
        (own / name / "one").write_text("x")
    try_push(box)
    for name in ("revisions.json", "floor", "ballast"):
        (own / "state" / name).write_text("{}")
    return box


def test_an_upgrade_takes_the_push_back_and_keeps_all_but_its_journal(with_state: Box) -> None:
    """Before the list of files to keep is made: the new system begins with what was confirmed."""
    after = wireless(with_state)
    kept = [name for name in with_state.sysupgrade() if name.startswith("/etc/rwagent/")]
    assert wireless(with_state) != after and (with_state.folder / PENDING / "undone").exists()
    own = ["agent.toml", "ca.pem", "client.key", "client.pem", "enroll.new/one", "keys/one", "secrets/one", "state/floor", "state/revisions.json"]
    assert kept == [f"/etc/rwagent/{name}" for name in own]


def test_a_list_or_a_backup_or_a_trial_leaves_the_push_alone(with_state: Box) -> None:
    """None of them is an upgrade."""
    after = wireless(with_state)
    for words in (("-l",), ("-b", "/tmp/backup.tgz"), ("-T", "/tmp/image.bin")):
        with_state.sysupgrade(*words)
    assert wireless(with_state) == after and not (with_state.folder / "var/run/rwagent-apply/withdrawn").exists()


def test_an_upgrade_does_not_begin_over_a_push_that_cannot_be_taken_back(with_state: Box) -> None:
    """But for somebody who insists; what to do is said."""
    (with_state.folder / "usr/libexec/rwagent/withdraw").write_text("exit 1\n")
    refused = with_state.root.run("/sbin/sysupgrade", "/tmp/image.bin")
    assert refused.returncode == 1 and "rwagent doctor" in refused.stderr
    assert with_state.root.run("/sbin/sysupgrade", "/tmp/image.bin", FORCE="1").returncode == 0


# The package goes, or another version comes.


def test_removal_takes_back_and_out_all_that_stands(with_state: Box) -> None:
    """The daemon stops first; then the push, the caps, the names and the right to ping."""
    caps, names = replace(with_state, "caps"), replace(with_state, "dns")
    after = wireless(with_state)
    gone = with_state.root.run(f"{LIBEXEC}/package-prerm", "remove")
    assert gone.returncode == 0, gone.stderr
    assert instances(with_state, "rwagent") == {} and wireless(with_state) != after
    assert caps.read_text() == "remove /etc/rwagent/caps /var/run/rwagent-apply/caps STATUS=\n"
    assert names.read_text() == "remove /etc/rwagent/dns /var/run/rwagent-apply/dns STATUS=\n"
    assert with_state.root.run("cat", "/proc/sys/net/ipv4/ping_group_range").stdout.split() == ["1", "0"]


def test_an_upgrade_of_the_package_keeps_what_stands_and_lets_pushes_go_on_after_it(with_state: Box) -> None:
    """The mark that no push begins is there while files are replaced, and goes with the new ones."""
    caps = replace(with_state, "caps")
    mark = with_state.folder / "var/run/rwagent-apply/withdrawn"
    assert with_state.root.run(f"{LIBEXEC}/package-prerm", "upgrade").returncode == 0
    assert mark.exists() and not caps.exists() and (with_state.folder / PENDING / "undone").exists()
    assert [*instances(with_state, "rwagent")] == ["agent"]
    assert with_state.root.run(f"{LIBEXEC}/package-postinst", "upgrade").returncode == 0
    assert not mark.exists()


def test_a_push_that_cannot_be_taken_back_keeps_the_package(with_state: Box) -> None:
    """Nothing else could do it later; and how its services, which OpenWrt turns off all the same, are turned on again is said."""
    (with_state.folder / "usr/libexec/rwagent/withdraw").write_text("exit 1\n")
    refused = with_state.root.run(f"{LIBEXEC}/package-prerm", "remove")
    assert refused.returncode == 1 and "rwagent doctor" in logged(with_state)
    assert "for one in /etc/init.d/rwagent*; do $one enable; $one start; done" in logged(with_state)


def test_on_a_build_host_the_package_touches_nothing(with_state: Box) -> None:
    """ImageBuilder runs both with IPKG_INSTROOT; and a word that is none is refused."""
    after = wireless(with_state)
    for name in ("package-prerm", "package-postinst"):
        for word in ("remove", "upgrade", "install"):
            assert with_state.root.run(f"{LIBEXEC}/{name}", word, IPKG_INSTROOT="/tmp/root").returncode == 0
        assert with_state.root.run(f"{LIBEXEC}/{name}", "reinstall").returncode == 2
    assert wireless(with_state) == after and [*instances(with_state, "rwagent")] == ["agent"]
