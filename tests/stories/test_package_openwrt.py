"""The package on a router, by the README's steps: from a blank one to one that reports and takes a push, through kills, upgrades, power cuts, and gone again.

The packages are those of scripts/build_package; opkg, procd, netifd and ubusd are stand-ins (tests/fakes/openwrt), all that is run in the box is what is
installed there. The city is a real one: rwctl with its mosquitto, over TLS.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agent.wire import topics
from fleet import city as cities
from fleet.mqtt import Client, Heard
from tests.fakes.openwrt.userland.box import Box, LiveBoard
from tests.fakes.openwrt.world import netns_world
from tests.openwrt_package import conftest as packages
from tests.openwrt_package.unpack import Apk, Manager, Opkg
from tests.stories.rwctl_city import NAME, RealCity
from tests.stories.test_city_five_commands import block
from tests.stories.world import Wire, until

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
pytestmark = [
    pytest.mark.skipif(VERSION not in packages.RELEASES.values(), reason=f"no release of OpenWrt has this Python, {VERSION}"),
    pytest.mark.story,
    pytest.mark.once,
    pytest.mark.needs("netns", "busybox", "mosquitto", "tc", "nft", "flock", "unshare", "nsenter", "setpriv", "signify-openbsd", "make"),
]

built = packages.built  # once for all tests of a run
AP = "rw-0501"
# Which release's bytecode the Python of this run takes.
RELEASES = {version: name for name, version in packages.RELEASES.items()}
PATIENCE_S = 60.0
CONFIRM_S = "30"  # the shortest that a push may ask for
OWN = "/etc/rwagent"
GOOD = """[ssids.warga]
ssid = "Warga 'RW' 05"
security = "open"
bands = ["2g"]
cap = { down_mbps = 30, up_mbps = 10, per_station = { down_mbps = 5, up_mbps = 2 } }
"""
NEXT = GOOD.replace("05", "06")
ENDS = ("confirmed", "rolled_back", "rejected", "failed", "unchanged")
PACE = 0.2


class City:
    """The city, and what it heard of the one access point."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.rwctl = RealCity(folder, stack)
        self.rwctl.enroll(AP)
        self.rwctl.broker()
        self.bundle = self.rwctl.folder / "bundles" / f"{AP}.tar.gz"
        at = cities.load(self.rwctl.folder)
        self._client = Client(at, cities.INGEST)
        self._client.subscribe([topics.subscription(name, NAME) for name in (topics.PRESENCE, topics.REPORT, topics.CONFIG_REPORTED)])
        self._client.start(PATIENCE_S)
        stack.callback(self._client.close)
        self._heard: list[Heard] = []
        self._files = 0
        self._folder = folder

    def heard(self, topic: str) -> list[dict[str, Any]]:
        """Give what came on one topic so far."""
        self._heard += self._client.messages(10_000, 0.0)
        return [json.loads(one.payload) for one in self._heard if one.topic.endswith(f"/{topic}") and one.payload]

    def next_report(self, why: str, router: Router) -> dict[str, Any]:
        """Wait for one more report."""
        before = len(self.heard(topics.REPORT))
        return until(lambda: self.heard(topics.REPORT)[before:], lambda: f"a report {why}:\n{router.said()}", PATIENCE_S)[0]

    def verdict(self, revision: int, router: Router) -> dict[str, Any]:
        """Wait for what the access point says of a revision."""

        def found() -> list[dict[str, Any]]:
            return [one for one in self.heard(topics.CONFIG_REPORTED) if one.get("revision") == revision and one["state"] in ENDS]

        return until(found, lambda: f"a verdict of revision {revision}:\n{self.heard(topics.CONFIG_REPORTED)}\n{router.said()}", PATIENCE_S)[0]

    def push(self, text: str, *more: str) -> dict[str, Any]:
        """Push a file's text as an operator does, and give the summary of what came of it."""
        self._files += 1
        file = self._folder / f"push-{self._files}.toml"
        file.write_text(text)
        fails = "--fails" in more
        words = [word for word in more if word != "--fails"]
        said = self.rwctl.rwctl("push", "--to", AP, str(file), "--json", "--confirm-within", CONFIRM_S, *words, fails=fails, within_s=150)
        summary: dict[str, Any] = [json.loads(line) for line in said.splitlines() if line.startswith("{")][-1]
        return summary


class Router(NamedTuple):
    """One router: its box, its package manager, and the wire to the city's broker."""

    box: Box
    manager: Manager
    wire: Wire
    package: Path

    def install(self) -> str:
        """Install the package as the README says."""
        assert isinstance(self.manager, (Opkg, Apk))
        return self.manager.install(self.package)

    def remove(self) -> str:
        """Remove it again."""
        assert isinstance(self.manager, (Opkg, Apk))
        return self.manager.remove("rwagent")

    def shell(self, line: str) -> str:
        """Type a line as a technician does over ssh; it has to end well."""
        done = self.box.root.run("sh", "-c", line)
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
        return done.stdout

    def said(self) -> str:
        """Give the end of the log."""
        last = [f"{kind} {data}" for kind, data in self.box.events[-5:]]
        return "\n".join([*self.box.log()[-40:], *last, *(" ".join(words) for words in self.box.procd.scripts[-10:])])

    def has_said(self, text: str) -> bool:
        """Say whether something stands in the log."""
        return any(text in line for line in self.box.log())

    def daemon(self) -> int:
        """Wait until the daemon runs; give its process's number."""
        return until(lambda: self.box.procd.pid("rwagent"), lambda: f"the daemon:\n{self.said()}", PATIENCE_S)

    def step(self) -> str:
        """Say what root's half is at."""
        try:
            return (self.box.folder / "run/rwagent-apply/step").read_text().split(" ")[0]
        except OSError:
            return ""

    def wait_for_window(self) -> int:
        """Wait until a push is in force, and cut the way to the broker so that nobody confirms it; give the applier's process number."""
        until(lambda: (self.box.folder / "etc/rwagent/state/pending/ready").exists(), lambda: f"a push:\n{self.said()}", PATIENCE_S, 0.005)
        self.wire.is_open = False
        self.wire.cut()
        until(lambda: self.step() == "testing", lambda: f"a push on trial, only {self.step()!r}:\n{self.said()}", PATIENCE_S, 0.005)
        pid, _ = (self.box.folder / "run/rwagent-apply/applier").read_text().split()
        return int(pid)

    def flash(self) -> dict[str, bytes]:
        """Read the configurations that a push of this story changes."""
        return {name: (self.box.config / name).read_bytes() for name in ("wireless", "network", "dhcp", "firewall")}

    def caps(self) -> list[str]:
        """Name the network devices that the caps made."""
        return [word for word in self.box.root.run("/usr/sbin/ip", "-br", "link").stdout.split() if word.startswith(("rwd-", "rwu-"))]

    def pending(self) -> bool:
        """Say whether a push waits for its end."""
        return (self.box.folder / "etc/rwagent/state/pending").exists()


@contextmanager
def blank_router(folder: Path, built: packages.Built, city: City, stack: ExitStack) -> Iterator[Router]:
    """Make a router that has the README's network for strangers, and nothing of ours; it sees the city's broker."""
    release = RELEASES[VERSION]
    inside = stack.enter_context(netns_world(LiveBoard("rig-x86")))
    inside.world.folder.parent.chmod(0o755)
    with Box(inside.world.folder, inside=inside, pace=PACE) as box:
        (box.folder / "etc/openwrt_release").write_text(f"DISTRIB_ID='OpenWrt'\nDISTRIB_RELEASE='{release}.0'\n")
        (box.folder / "etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
        enter = box.root.command()
        box.root.show_links("rwd-warga", "rwu-warga")
        done = box.root.run("sh", "-c", block("router-guest").partition("<< 'EOF'\n")[2].rpartition("EOF")[0])
        assert (done.returncode, done.stderr) == (0, ""), done
        box.settle_triggers(PATIENCE_S)
        is_apk = release != "24.10"
        manager: Manager = Apk(box.folder, enter=enter) if is_apk else Opkg(box.folder, enter=enter)
        package = built.out / release / "rwagent" if is_apk else next((built.out / release).glob("rwagent_*.ipk"))
        wire = Wire(city.rwctl.port, listener=inside.listen(city.rwctl.port))
        try:
            yield Router(box, manager, wire, package)
        finally:
            wire.close()


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    with ExitStack() as stack:
        yield City(tmp_path, stack)


@pytest.fixture
def router(tmp_path: Path, built: packages.Built, city: City) -> Iterator[Router]:
    with ExitStack() as stack, blank_router(tmp_path, built, city, stack) as router:
        yield router


def enrol(router: Router, city: City) -> None:
    """Do what the README says after the installation: the bundle, and where new networks attach."""
    shutil.copy(city.bundle, router.box.folder / "tmp")
    router.shell(f"rwagent enroll /tmp/{AP}.tar.gz && rm /tmp/{AP}.tar.gz")
    router.shell("uci set rwagent.router.public_network=guest; uci commit rwagent; /etc/init.d/rwagent reload")


def restarted(router: Router, before: int) -> int:
    """Wait until another daemon runs; give its process's number."""
    return until(lambda: router.box.procd.pid("rwagent") not in (None, before) and router.box.procd.pid("rwagent"), lambda: router.said(), PATIENCE_S) or 0


def test_from_a_blank_router_to_a_push_and_back(router: Router, city: City) -> None:
    """Installed, waiting, enrolled, reporting; a push through, a bad one taken back; settings taken over, a faulty one not; removed, and nothing is left."""
    box = router.box
    before = router.flash()
    router.install()
    assert_it_waits(router)
    enrol(router, city)
    assert_it_reports(router, city)
    assert_settings_are_taken_over(router, city)
    summary = city.push(GOOD)
    assert summary["states"] == {"confirmed": 1}, router.said()
    assert "Warga 'RW' 05" in {one.ssid for one in box.on_air().values()}
    until(router.caps, lambda: f"caps:\n{router.said()}", PATIENCE_S)
    pushed = router.flash()
    box.faults.never_on_air = {"Warga 'RW' 06"}
    summary = city.push(NEXT, "--fails")
    assert summary["states"] == {"rolled_back": 1}, router.said()
    assert router.flash() == pushed != before and not router.pending()
    router.remove()
    assert_nothing_is_left(router)


def assert_it_waits(router: Router) -> None:
    """Claim that without an enrolment nothing runs, and that the log says what to do."""
    assert router.box.procd.pid("rwagent") is None
    assert router.has_said("rwctl enroll") and router.has_said("the daemon waits"), router.said()
    links = sorted(path.name for path in (router.box.folder / "etc/rc.d").iterdir() if path.name.startswith("S"))
    assert links[0] == "S05rwagent-recover" and len(links) >= 6, links


def assert_it_reports(router: Router, city: City) -> None:
    """Claim that the daemon is the packaged one, another user's without any right of root's, and that the city hears it over TLS."""
    pid = router.daemon()
    city.next_report("of the enrolled box", router)
    assert city.heard(topics.PRESENCE)[-1]["state"] == "online"
    facts = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    number = str(router.box.root.user("rwagent")[0])
    assert (facts["Uid"].split(), facts["CapEff"].strip("0"), facts["NoNewPrivs"].strip()) == ([number] * 4, "", "1")
    assert not list(router.box.root.site_packages.rglob("agent/**/*.py"))


def assert_settings_are_taken_over(router: Router, city: City) -> None:
    """Claim that what is set with uci becomes the daemon's, and that of something faulty nothing does: the daemon goes on, the log names the fault."""
    # What reload_config sees for the first time it only notes.
    router.shell("reload_config")
    pid = restarted(router, -1)
    router.shell("uci set rwagent.report=report; uci set rwagent.report.interval_s=2; uci set rwagent.report.sample_s=1; uci commit rwagent; reload_config")
    pid = restarted(router, pid)
    text = (router.box.folder / "etc/rwagent/agent.toml").read_text()
    assert "interval_s = 2" in text, text
    router.shell("uci set rwagent.report.interval_s='2\"; $(reboot)'; uci commit rwagent; reload_config")
    until(lambda: router.has_said("rwagent.report.interval_s"), lambda: f"the fault:\n{router.said()}", PATIENCE_S)
    router.box.settle_triggers(PATIENCE_S)
    assert (router.box.procd.pid("rwagent"), (router.box.folder / "etc/rwagent/agent.toml").read_text()) == (pid, text)
    router.shell("uci set rwagent.report.interval_s=2; uci commit rwagent; reload_config")
    router.box.settle_triggers(PATIENCE_S)
    city.next_report("after the fault was mended", router)


def assert_nothing_is_left(router: Router) -> None:
    """Claim that no process, rule, link or file of the package's is there, but the state directory and the conffile that was changed."""
    box = router.box
    until(lambda: not [line for line in box.root.processes().values() if "agent" in line], lambda: str(box.root.processes()), PATIENCE_S)
    assert router.caps() == [], f"{router.manager.ran}\n{router.said()}"
    assert "rwagent" not in router.shell("nft list ruleset")
    kept = ("etc/rwagent", "etc/config", "run", "var", "log", "calls", "usr/lib/opkg", "lib/apk", "proc", "host", "kernel", "python", "tmp", "dev", "uci")
    found = [str(path.relative_to(box.folder)) for path in walked(box.folder, kept) if "rwagent" in path.name]
    assert found == ["etc/rwagent"], found
    assert (box.folder / "etc/rwagent/client.key").exists() and (box.config / "rwagent").exists()


def walked(folder: Path, without: tuple[str, ...]) -> Iterator[Path]:
    """Give all that lies in a folder, but not below some of its directories."""
    for path in sorted(folder.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            below = tuple(name.partition("/")[2] for name in without if name.startswith(f"{path.name}/"))
            if path.name not in without:
                yield from walked(path, below)


def test_a_push_does_not_survive_what_kills_it(router: Router, city: City) -> None:
    """An image's first boot enrols; the applier killed, an upgrade and a power cut within the window each take the push back before anybody lives by it."""
    box = router.box
    (box.folder / "etc/rwagent").mkdir()
    shutil.copy(city.bundle, box.folder / "etc/rwagent/bundle.tar.gz")
    router.install()
    assert not (box.folder / "etc/rwagent/bundle.tar.gz").exists(), router.said()
    router.shell("uci set rwagent.router.public_network=guest; uci commit rwagent; /etc/init.d/rwagent reload")
    router.daemon()
    city.next_report("of the box that had its bundle with it", router)
    before = router.flash()
    for revision, (what, end) in enumerate((("killed", kill_applier), ("upgraded", upgrade), ("power cut", cut_power)), 1):
        city.push(GOOD.replace("05", f"05 {revision}"), "--no-wait")
        applier = router.wait_for_window()
        assert router.flash() != before and router.pending()
        end(router, applier)
        assert router.flash() == before, f"{what}:\n{router.said()}"
        if what == "upgraded":
            # Until the next system runs no push begins, and nobody writes a verdict down.
            box.boot()
            router.daemon()
        router.wire.is_open = True
        verdict = city.verdict(revision, router)
        assert (verdict["state"], verdict.get("reason")) == ("rolled_back", REASONS[what]), f"{what}: {verdict}\n{router.said()}"


REASONS = {"killed": "applier_died", "upgraded": "superseded", "power cut": "reboot"}


def kill_applier(router: Router, applier: int) -> None:
    """Kill root's half, and wait until the guard has taken the push back."""
    os.kill(applier, 9)
    until(lambda: not router.pending(), lambda: f"the guard:\n{router.said()}", PATIENCE_S)


def upgrade(router: Router, _: int) -> None:
    """Upgrade the firmware: the push is gone before the settings are saved, and they are all there."""
    kept = router.box.sysupgrade()
    wanted = {f"{OWN}/{name}" for name in ("agent.toml", "ca.pem", "client.pem", "client.key", "state/revisions.json")} | {"/etc/config/rwagent"}
    assert wanted <= set(kept), wanted - set(kept)
    assert [name for name in kept if name.startswith(f"{OWN}/keys/")] and not [name for name in kept if "pending" in name or "ballast" in name], kept


def cut_power(router: Router, _: int) -> None:
    """Boot after a power cut: what was on trial is gone before anybody reads it."""
    ended = router.box.boot()
    assert ended[0][0] == "S05rwagent-recover", ended
    router.daemon()
