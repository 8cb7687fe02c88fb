"""A push on OpenWrt, from the inbox to what hostapd sends, on three boards' userland: confirmed, refused before the first change, or taken back in time.

The applier is agent.apply in this process, rollback and guard are the real scripts under BusyBox's ash; the daemon is played by the tests.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import wall
from agent.limits import Limits
from agent.router.store_openwrt import OpenwrtStore
from agent.router.store_openwrt import Places as BoxPlaces
from agent.settings import load
from agent.wire import keyfile
from tests.fakes.openwrt.userland.box import Box
from tests.pushes import KEY, Jump, Place
from tests.ram import tmpfs
from tests.stories import openwrt_applier

pytestmark = pytest.mark.needs("busybox")

FILE = """
[agent]
id = "rw-0501"
city = "malang"
[broker]
host = "127.0.0.1"
port = 1
tls = false
[router]
backend = "openwrt"
public_network = "warga"
ubus_socket = "{socket}"
[push]
keys_dir = "{folder}/keys"
secrets_dir = "{folder}/secrets"
[paths]
run_dir = "{folder}/run"
state_dir = "{folder}/box/etc/rwagent/state"
apply_dir = "{folder}/apply"
"""
# A box for public use: a network for strangers with a zone of its own, as OpenWrt's guide for guests makes it.
PUBLIC = {
    "network": "\nconfig interface 'warga'\n\toption proto 'static'\n\toption device 'br-warga'\n\toption ipaddr '10.5.0.1/22'\n",
    "firewall": """
config zone 'warga'
	option name 'warga'
	option network 'warga'
	option input 'REJECT'
	option output 'ACCEPT'
	option forward 'REJECT'

config forwarding 'warga_wan'
	option src 'warga'
	option dest 'wan'
""",
}
BOARDS = ("wndr3800-24.10", "ipq50xx-25.12.2", "rig-x86")
WARGA = {"ssid": 'Warga "RW 05" d\'Malang', "security": "open", "bands": ["2g"], "isolate": True}
LIMITS = Limits(verify_every_s=0.0, quiet_every_s=0.0, live_gap_s=5.0, poll_s=0.5, lock_s=20.0)


class City:
    """One access point with its box, and whoever meddles with it."""

    def __init__(self, folder: Path, board: str) -> None:
        for name, mode in (("keys", 0o750), ("secrets", 0o700), ("run", 0o750), ("run/inbox", 0o700)):
            (folder / name).mkdir(mode=mode)
        (folder / "keys/city").write_bytes(keyfile.public_key(KEY.public, "the city"))
        self.box = Box(folder / "box", board)
        for package, more in PUBLIC.items():
            with (self.box.config / package).open("a") as file:
                file.write(more)
        (folder / "agent.toml").write_text(FILE.format(folder=folder, socket=self.box.socket))
        settings = load(str(folder / "agent.toml"))
        wall.prepare(settings)
        box = self.box
        for name in ("derived", "ash"):
            (folder / name).mkdir()
        known = BoxPlaces(str(box.config), str(box.override), str(box.rpcd), box.path, f"{folder}/derived", scripts=f"{folder}/ash")
        (folder / "box.json").write_text(json.dumps(known._asdict()))
        self.place = Place(folder, settings, openwrt_applier.scripts(folder))
        self.jump = Jump()
        self.confirms = True
        self.meanwhile: list[tuple[Callable[[], object], Callable[[], object]]] = []
        self._slept_s = 0.0
        self.jump.then = self._pass
        self.before: dict[str, bytes] = {}

    def store(self, timeout_s: float = 2.0) -> OpenwrtStore:
        """Open the box as root does."""
        return openwrt_applier.store(self.place.folder, self.place.settings, timeout_s)

    def push(self, config: dict[str, Any], revision: int = 1, confirm_within_s: int = 60, timeout_s: float = 2.0, settles: bool = True) -> dict[str, Any]:
        """Push a config, let the applier run to its end, and give the verdict. `settles`: wait until the box has nothing under way."""
        self.before = self.flash()
        self.place.push(revision, config, confirm_within_s=confirm_within_s)
        ended = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(ended,))
        watcher.start()
        try:
            self.place.run(self.jump.clock, self.store(timeout_s), limits=LIMITS)
        finally:
            ended.set()
            watcher.join()
        if settles:
            self.box.settle()
        return self.place.reported()

    def when(self, condition: Callable[[], object], action: Callable[[], object]) -> None:
        """Do something once something is so, beside the applier."""
        self.meanwhile.append((condition, action))

    def step(self) -> str:
        """Say what the applier is at."""
        try:
            return (self.place.folder / "apply/step").read_text().split(" ")[0]
        except OSError:
            return ""

    def flash(self) -> dict[str, bytes]:
        """Read all configurations as they lie there."""
        return {path.name: path.read_bytes() for path in sorted(self.box.config.iterdir())}

    def ssids(self) -> set[str]:
        """Give what is on air and lets stations in."""
        return {one.ssid for one in self.box.on_air().values() if one.status == "ENABLED"}

    @property
    def pending(self) -> Path:
        """The journal."""
        return self.place.folder / "box/etc/rwagent/state/pending"

    def is_as_before(self) -> bool:
        """Say whether every configuration is what it was before the push, byte for byte, and nothing is left beside it or staged."""
        return self.flash() == self.before and self.box.staged() == [] and not self.pending.exists()

    def _pass(self) -> None:
        """Let the applier's waiting take the box's own pace, and confirm as the daemon does."""
        slept_s, self._slept_s = self.jump.slept_s - self._slept_s, self.jump.slept_s
        time.sleep(slept_s * self.box.pace)
        if self.confirms:
            self.place.confirm()

    def _watch(self, ended: threading.Event) -> None:
        while not ended.wait(0.003):
            for entry in [one for one in self.meanwhile if one[0]()]:
                self.meanwhile.remove(entry)
                entry[1]()


@pytest.fixture(params=BOARDS)
def every(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[City]:
    """Each of the boards: 24.10's shell, 25.12's ucode with three radios, and the rig."""
    city = City(tmp_path, request.param)
    with city.box:
        yield city


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    """The rig's board."""
    city = City(tmp_path, "rig-x86")
    with city.box:
        yield city


def document(**parts: Any) -> dict[str, Any]:
    return {"ssids": {"warga": WARGA}} | parts


# The good push


def test_a_push_is_on_air_and_confirmed(every: City) -> None:
    """A new SSID with quotes in its name; its siblings stay, and the box's own sections are untouched."""
    siblings = every.ssids()
    verdict = every.push(document(system={"hostname": "rw-0501"}))
    assert (verdict["state"], verdict.get("reason")) == ("confirmed", None), verdict
    assert every.ssids() == siblings | {WARGA["ssid"]}
    section = "wireless.rw_warga_2g"
    assert [every.box.value(f"{section}.{option}") for option in ("ssid", "network", "encryption", "ifname")] == [WARGA["ssid"], "warga", "none", "rw-warga-2g"]
    assert all(every.flash()[name] == content for name, content in every.before.items() if name not in ("wireless", "system", "rwagent"))
    assert b"option hostname 'rw-0501'" in every.flash()["system"]


def test_the_same_push_again_changes_nothing(every: City) -> None:
    """Its verdict is repeated, and a new revision with the same content is `unchanged`."""
    every.push(document())
    flash, events = every.flash(), len(every.box.events)
    assert every.push(document(), revision=2)["state"] == "unchanged"
    assert every.flash() == flash and len(every.box.events) == events


def test_what_is_not_named_any_more_goes(every: City) -> None:
    """The last revision is the whole truth: what the first one made is gone from the air, and the rest stands as it did before."""
    siblings, wireless = every.ssids(), every.flash()["wireless"]
    every.push(document())
    assert every.push({}, revision=2)["state"] == "confirmed"
    assert every.ssids() == siblings
    assert every.flash()["wireless"] == wireless


def test_a_push_without_the_brokers_word_is_taken_back(every: City) -> None:
    """The way to the broker broke, or the daemon was killed: byte for byte as it was, on air too, before the deadline's end."""
    siblings = every.ssids()
    every.confirms = False
    began = every.jump.uptime
    verdict = every.push(document(system={"hostname": "rw-0501"}), confirm_within_s=30)
    assert (verdict["state"], verdict["reason"]) == ("rolled_back", "broker_unreachable")
    assert every.is_as_before() and every.ssids() == siblings
    assert every.jump.uptime - began < 33


# Taken back with the true reason


def test_an_ssid_that_does_not_come_on_air(city: City) -> None:
    """hostapd never shows it."""
    city.box.faults.never_on_air = {WARGA["ssid"]}
    verdict = city.push(document(), confirm_within_s=30)
    assert (verdict["state"], verdict["reason"]) == ("rolled_back", "not_on_air") and city.is_as_before()


def test_a_hostapd_that_refuses(city: City) -> None:
    """All the radio's networks vanish, netifd says up; with the old file they are back."""
    siblings = city.ssids()
    city.box.faults.hostapd_refuses = {"radio0"}
    city.when(lambda: city.step() == "rolling_back", lambda: setattr(city.box.faults, "hostapd_refuses", set()))
    verdict = city.push(document(), confirm_within_s=30)
    assert (verdict["state"], verdict["reason"]) == ("rolled_back", "not_on_air")
    assert city.is_as_before() and city.ssids() == siblings


def test_a_wrong_channel(city: City) -> None:
    """It came up, but not where it was told to."""
    city.box.faults.channel_is = {"radio0": 1}
    verdict = city.push(document(radios={"2g": {"channel": 11}}), confirm_within_s=30)
    assert (verdict["state"], verdict["reason"]) == ("rolled_back", "wrong_channel") and city.is_as_before()


@pytest.mark.parametrize(("wait_s", "end"), [(20.0, ("confirmed", None)), (3000.0, ("rolled_back", "not_on_air"))])
def test_a_wait_for_radar(city: City, wait_s: float, end: tuple[str, str | None]) -> None:
    """A channel with radar: the wait counts within the deadline, and a longer one does not pass for being on air."""
    city.box.faults.dfs_s = {"radio1": wait_s * city.box.pace}
    verdict = city.push({"radios": {"5g": {"channel": 100}}}, confirm_within_s=90, settles=False)
    assert (verdict["state"], verdict.get("reason")) == end, verdict
    if end[0] == "rolled_back":
        assert city.is_as_before()


def test_a_reload_that_hangs(city: City) -> None:
    """procd does not answer; the rollback tells it once it does."""
    city.box.faults.reload_hangs = True
    city.when(lambda: city.step() == "rolling_back", lambda: setattr(city.box.faults, "reload_hangs", False))
    verdict = city.push(document(), confirm_within_s=30, timeout_s=0.3)
    assert (verdict["state"], verdict["reason"]) == ("rolled_back", "reload_failed") and city.is_as_before()


def test_a_netifd_that_does_nothing(city: City) -> None:
    """It is told, and nothing changes on air."""
    city.box.faults.netifd_deaf = True
    verdict = city.push(document(), confirm_within_s=30)
    assert (verdict["state"], verdict["reason"]) == ("rolled_back", "not_on_air") and city.is_as_before()


@pytest.mark.parametrize("step_s", [-400_000_000.0, 400_000_000.0])
def test_a_clock_that_jumps_in_the_window(city: City, step_s: float) -> None:
    """NTP came: neither is a bad push kept for it nor a good one taken back."""
    city.when(lambda: city.step() == "testing", lambda: setattr(city.jump, "wall_s", city.jump.wall_s + step_s))
    assert city.push(document())["state"] == "confirmed"
    city.confirms = False
    city.when(lambda: city.step() == "testing", lambda: setattr(city.jump, "wall_s", city.jump.wall_s - step_s))
    verdict = city.push({}, revision=2, confirm_within_s=30)
    assert (verdict["state"], verdict["reason"]) == ("rolled_back", "broker_unreachable")


def test_a_technicians_edit_in_the_window(city: City) -> None:
    """Ours is taken back, his stays: his section, and his option in a section that we changed too; also what he left staged."""
    city.confirms = False
    his = ("set wireless.his=wifi-iface", "set wireless.his.ssid='it'\\''s his'", "set wireless.his.device=radio1", "set wireless.radio0.country=ID")

    def edit() -> None:
        city.box.technician(*his)
        city.box.stage("set wireless.radio1.country=SG")

    city.when(lambda: city.step() == "confirming", edit)
    verdict = city.push(document(radios={"2g": {"channel": 11}}), confirm_within_s=30)
    assert (verdict["state"], verdict["reason"], verdict.get("foreign_edit")) == ("rolled_back", "broker_unreachable", True), verdict
    assert city.box.value("wireless.his.ssid") == "it's his" and city.box.value("wireless.radio0.country") == "ID"
    assert city.box.value("wireless.rw_warga_2g") is None and city.box.value("wireless.radio0.channel") == "1"
    assert city.box.staged("wireless") == ["wireless.radio1.country='SG'"] and city.box.value("wireless.radio1.country") == "US"
    assert WARGA["ssid"] not in city.ssids() and "it's his" in city.ssids()


# The flash


@pytest.fixture
def small(tmp_path: Path) -> Iterator[City]:
    """The rig's board on a flash of its own, 256 KiB: /etc of a real box."""
    city = City(tmp_path, "rig-x86")
    etc = tmp_path / "box/etc"
    etc.rename(tmp_path / "etc")
    with tmpfs(etc, 256):
        subprocess.run(["cp", "-a", f"{tmp_path}/etc/.", str(etc)], check=True)
        with city.box:
            yield city
        subprocess.run(["mount", "-o", "remount,rw", str(etc)], check=True)


def fill(city: City) -> None:
    """Leave no room on flash."""
    filler = city.place.folder / "box/etc/filler"
    subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=1k"], check=False, capture_output=True)


def make_read_only(city: City) -> None:
    """Let the flash take nothing any more, as a worn one does."""
    subprocess.run(["mount", "-o", "remount,ro", str(city.place.folder / "box/etc")], check=True)


@pytest.mark.needs("root", "mount")
@pytest.mark.parametrize("spoil", [fill, make_read_only])
def test_a_flash_that_takes_nothing(small: City, spoil: Callable[[City], None]) -> None:
    """Full or read-only before the push: nothing is changed, and it is said."""
    spoil(small)
    before = {name: content for name, content in small.flash().items() if name != "filler"}
    refused(small, small.push(document()), "rejected", "busy")
    assert small.flash() == before


@pytest.mark.needs("root", "mount")
def test_a_flash_that_fills_up_in_the_window(small: City) -> None:
    """Not one free block: the rollback needs none."""
    small.confirms = False
    small.when(lambda: small.step() == "confirming", lambda: fill(small))
    verdict = small.push(document(), confirm_within_s=30)
    assert (verdict["state"], verdict["reason"]) == ("rolled_back", "broker_unreachable")
    assert small.flash() == small.before and WARGA["ssid"] not in small.ssids()


@pytest.mark.needs("root", "mount")
def test_a_flash_that_becomes_read_only_in_the_window(small: City) -> None:
    """What stands cannot be taken back any more: `failed`, which calls for a person, and never `confirmed`."""
    small.confirms = False
    small.when(lambda: small.step() == "confirming", lambda: make_read_only(small))
    verdict = small.push(document(), confirm_within_s=30)
    assert verdict["state"] == "failed", verdict


# Nobody is there any more


@pytest.mark.parametrize("at", ["reloading", "testing", "confirming"])
def test_an_applier_that_dies(city: City, at: str) -> None:
    """Killed at any step, it is gone: the guard takes the push back without Python, tells the daemons, and has the verdict written down."""
    siblings = city.ssids()
    city.before = city.flash()
    city.box.faults.reload_hangs = at == "reloading"
    city.place.push(1, document())
    with subprocess.Popen(openwrt_applier.command(city.place.folder, "once"), stderr=subprocess.DEVNULL) as applier:
        city.box.wait_for(lambda: city.step() == at)
        applier.kill()
    city.box.faults.reload_hangs = False
    city.box.wait_for(lambda: city.place.reported().get("state") == "rolled_back", 30)
    assert city.place.reported()["reason"] == "applier_died"
    city.box.wait_for(lambda: city.ssids() == siblings)
    assert city.is_as_before()


@pytest.mark.parametrize("is_pushing", [True, False])
def test_a_sysupgrade_in_the_window(city: City, is_pushing: bool) -> None:
    """What was never confirmed is not what the next system boots with; the applier cannot keep it any more. Without a push nothing is done."""
    city.before = city.flash()
    city.place.push(1, document())
    scripts, paths = city.place.scripts, city.place.settings.paths
    withdraw = [*scripts.shell, f"{scripts.directory}/withdraw", paths.state_dir, paths.apply_dir]
    if not is_pushing:
        subprocess.run(withdraw, env={"PATH": scripts.search}, check=True, timeout=30)
        assert city.is_as_before() and city.box.events == []
        return
    with subprocess.Popen(openwrt_applier.command(city.place.folder, "once"), stderr=subprocess.DEVNULL) as applier:
        city.box.wait_for(lambda: city.step() == "confirming")
        subprocess.run(withdraw, env={"PATH": scripts.search}, check=True, timeout=30, capture_output=True)
        assert city.flash() == city.before
        city.place.confirm()
        assert applier.wait(10) != 0
    Path(paths.apply_dir, "withdrawn").unlink()  # the next system boots: RAM is empty
    city.place.run(city.jump.clock, city.store(), mode="settle")
    assert (city.place.reported()["state"], city.place.reported()["reason"]) == ("rolled_back", "superseded")
    city.box.wait_for(city.is_as_before)


def test_a_power_cut_in_the_window(city: City) -> None:
    """At boot, before the network and without any daemon: recover puts the files back, and the next run says why."""
    city.before = city.flash()
    stopped = threading.Event()
    city.when(lambda: city.step() == "confirming", lambda: (_copy(city, "cut"), stopped.set()))
    city.confirms = False
    city.push(document(), confirm_within_s=30)
    assert stopped.is_set()
    _put_back(city, "cut")
    assert city.flash() != city.before
    scripts, paths = city.place.scripts, city.place.settings.paths
    environment = {"PATH": scripts.search}
    recover = [*scripts.shell, f"{scripts.directory}/recover", paths.state_dir, paths.apply_dir]
    city.box.ubusd.kill()
    subprocess.run(recover, env=environment, check=True, timeout=30, capture_output=True)
    assert city.flash() == city.before
    city.box.ubusd.start()
    city.place.run(city.jump.clock, city.store(), mode="settle")
    assert (city.place.reported()["state"], city.place.reported()["reason"]) == ("rolled_back", "reboot")


def _copy(city: City, name: str) -> None:
    """Keep what is on flash at this moment."""
    subprocess.run(["cp", "-a", str(city.place.folder / "box/etc"), str(city.place.folder / name)], check=True)


def _put_back(city: City, name: str) -> None:
    """Let the flash be as it was at that moment; what lay in RAM is gone."""
    folder = city.place.folder
    subprocess.run(["rm", "-rf", str(folder / "box/etc"), str(folder / "apply")], check=True)
    (folder / name).rename(folder / "box/etc")
    (folder / "apply").mkdir(0o700)


# Refused before the first change


def refused(city: City, verdict: dict[str, Any], state: str, reason: str) -> None:
    """Require that nothing was changed, nobody was told, and the reason is the true one."""
    assert (verdict["state"], verdict["reason"]) == (state, reason), verdict
    assert not city.pending.exists() and not [event for event in city.box.events if event[0] == "config.change"]


def test_staged_edits(city: City) -> None:
    """Somebody is at work: they stay staged, and ours waits."""
    city.box.stage("set wireless.radio0.country=ID")
    refused(city, city.push(document()), "rejected", "busy")
    assert city.box.staged() == ["wireless.radio0.country='ID'"] and city.flash() == city.before


def test_an_apply_of_luci_that_waits(city: City) -> None:
    """Its rollback would overwrite ours."""
    city.box.luci_apply("wireless", "set wireless.radio0.country=ID", timeout_s=6000)
    known = len(city.box.events)
    verdict = city.push(document(), settles=False)
    assert (verdict["state"], verdict["reason"]) == ("rejected", "busy")
    assert city.is_as_before() and len(city.box.events) == known


def test_a_trial_over_the_flash(city: City) -> None:
    """What runs is not what lies on flash."""
    city.box.override.mkdir()
    (city.box.override / "wireless").write_bytes((city.box.config / "wireless").read_bytes())
    refused(city, city.push(document()), "rejected", "busy")


def test_an_edit_between_plan_and_journal(city: City) -> None:
    """A technician commits while our files are being made: his edit is not overwritten."""
    city.box.technician_at("commit", "set wireless.radio0.country=ID")
    refused(city, city.push(document()), "rejected", "busy")
    assert city.box.value("wireless.radio0.country") == "ID" and city.box.value("wireless.rw_warga_2g") is None


@pytest.mark.parametrize("fault", [{"commit_lies": True}, {"lost_commit": True}, {"uci_fails": {"set"}}, {"disk_full": True}])
def test_a_uci_that_does_not_write(city: City, fault: dict[str, Any]) -> None:
    """It gives 0 all the same: read back before anything is journaled."""
    for name, value in fault.items():
        setattr(city.box.faults, name, value)
    refused(city, city.push(document()), "rolled_back", "read_back")
    assert city.flash() == city.before


def test_a_public_network_that_is_open(city: City) -> None:
    """The zone accepts all: no SSID for strangers is attached to it."""
    city.box.technician("set firewall.warga.input=ACCEPT")
    known = len(city.box.events)
    verdict = city.push(document())
    assert (verdict["state"], verdict["reason"]) == ("rejected", "invalid") and city.is_as_before()
    assert len(city.box.events) == known and "accepts all input" in str(verdict["errors"])
