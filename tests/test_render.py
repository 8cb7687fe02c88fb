"""agent.toml made of /etc/config/rwagent: what it says, what is refused and how, when it is written, and that an enrolment is never half taken."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import alone, caps, dns, enroll, flash, folder, owned, render, settings, uci_settings, wall
from agent.change import Section
from agent.errors import Rejected
from agent.flash import Flash
from agent.uci_file import Places, UciFile
from tests import bundles
from tests.bundles import AP, members, write
from tests.fakes.openwrt.userland.box import Box

# Each `uci` is a Python here, and what differs between Pythons shows in test_uci_settings.py.
pytestmark = pytest.mark.once

SHIPPED = Path(__file__).parents[1] / "openwrt_package/rwagent/files/etc/config/rwagent"


class Router:
    """An OpenWrt box with the package on it; `etc` stands for /etc/rwagent."""

    def __init__(self, path: Path) -> None:
        self.box = Box(path / "box")
        self.path, self.etc = path, path / "etc"
        self.config = self.etc / "agent.toml"
        self.file = self.box.config / "rwagent"
        self.places = Places(str(self.box.config), str(self.box.override), str(path / "ram"), self.box.path, 0.2)
        self.clear()
        self.enroll()
        assert self.render() == 0
        self._enrolled = self.file.read_bytes(), self.path / "enrolled"
        shutil.copytree(self.etc, self._enrolled[1])

    def clear(self) -> None:
        """Let it be a box on which the package was just installed."""
        for path in (self.etc, self.path / "ram", self.box.override, self.box.save):
            shutil.rmtree(path, ignore_errors=True)
        self.file.unlink(missing_ok=True)
        self.file.write_bytes(SHIPPED.read_bytes())
        (self.path / "ram").mkdir()
        self.box.faults.lost_commit = False

    def make_enrolled(self) -> None:
        """Let it be a box that was enrolled, and started since."""
        self.clear()
        self.file.write_bytes(self._enrolled[0])
        shutil.copytree(self._enrolled[1], self.etc)

    def render(self, is_first: bool = False) -> int:
        return render.render(render.Options(str(self.config), self.places, is_first), lambda _: None)

    def enroll(self, force: bool = False, **content: Any) -> enroll.Enrolled:
        file = write(self.path, members(**content))
        return enroll.enroll(file, str(self.config), force, lambda _: None, self.places, is_told=False)

    def set(self, *lines: str) -> None:
        """Do as a technician does over ssh."""
        self.box.stage(*lines, "commit rwagent")

    def sections(self) -> dict[str, Section]:
        return UciFile(self.places).sections()

    def option(self, name: str) -> str | None:
        return self.box.value(f"rwagent.{name}")

    def chosen(self) -> settings.Settings:
        return settings.load(str(self.config))


@pytest.fixture(scope="module")
def one_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Router]:
    """The one box of all tests here: each `uci` that is run costs a Python."""
    found = Router(tmp_path_factory.mktemp("router"))
    with found.box:
        yield found


@pytest.fixture
def router(one_box: Router) -> Router:
    one_box.clear()
    return one_box


@pytest.fixture
def enrolled(one_box: Router) -> Router:
    one_box.make_enrolled()
    return one_box


# An enrolled box


def test_settings_of_uci_become_the_daemons(enrolled: Router, capsys: pytest.CaptureFixture[str]) -> None:
    """Texts, numbers, flags in every spelling of UCI's, and lists; nothing is said."""
    enrolled.set(
        "set rwagent.report.interval_s=120", "set rwagent.report.sample_s=2.5", "set rwagent.report.peaks=on", "set rwagent.router.public_network=guest",
        "add_list rwagent.router.adopt=default_radio0", "add_list rwagent.probe.internet=[2001:db8::1]:443", "add_list rwagent.probe.internet=1.2.3.4:80",
    )  # fmt: skip
    assert enrolled.render() == 0
    chosen = enrolled.chosen()
    assert chosen.report == settings.ReportSettings(120.0, 2.5, "json", True)
    assert (chosen.router.public_network, chosen.router.adopt, chosen.router.backend) == ("guest", ("default_radio0",), "openwrt")
    assert chosen.probe.internet == (("2001:db8::1", 443), ("1.2.3.4", 80))
    assert capsys.readouterr().err == ""


def test_the_file_says_where_it_is_edited(enrolled: Router) -> None:
    """In its first line, which is how others know it too."""
    first = enrolled.config.read_text().splitlines()[0]
    assert first.startswith("# Made from /etc/config/rwagent") and uci_settings.is_made(enrolled.config.read_bytes())


def test_the_same_settings_are_not_written_again(enrolled: Router) -> None:
    """No flash write at a start that changes nothing."""
    before = enrolled.config.stat()
    assert enrolled.render() == 0
    assert (enrolled.config.stat().st_ino, enrolled.config.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_modes_that_were_wrong_are_mended(enrolled: Router) -> None:
    """What the wall wants, also where the file's bytes need not change."""
    for path, mode in ((enrolled.config, 0o666), (enrolled.etc / "keys", 0o777), (enrolled.etc / "state", 0o755), (enrolled.etc / "secrets", 0o755)):
        path.chmod(mode)
    assert enrolled.render() == 0
    modes = {name: stat.S_IMODE((enrolled.etc / name).stat().st_mode) for name in ("agent.toml", "keys", "state", "secrets")}
    assert modes == {"agent.toml": 0o640, "keys": 0o750, "state": 0o700, "secrets": 0o700}


@pytest.mark.needs("root")
def test_the_wall_accepts_a_box_that_was_only_installed(router: Router) -> None:
    """Directories for keys, secrets and state are there with the group of the daemon, before anybody enrolled."""
    assert render.render(render.Options(str(router.config), router.places), lambda _: 12345) == 3
    seen = {path.name: (path.stat().st_uid, path.stat().st_gid, stat.S_IMODE(path.stat().st_mode)) for path in (router.etc, *router.etc.iterdir())}
    assert seen == {"etc": (0, 12345, 0o750), "keys": (0, 12345, 0o750), "state": (0, 0, 0o700), "secrets": (0, 0, 0o700)}
    router.enroll()
    chosen = router.chosen()
    wall.prepare(chosen)
    assert wall.faults(chosen, str(router.config)) == []


# What is refused

FAULTS = {
    "set rwagent.report.interval_s=0x3c": 'rwagent.report.interval_s is "0x3c", expected a number from 1 to 3600',
    "set rwagent.report.interval_s=1e3": 'rwagent.report.interval_s is "1e3", expected a number from 1 to 3600',
    "set rwagent.report.interval_s=0": "rwagent.report.interval_s is 0, expected a number from 1 to 3600",
    "set rwagent.report.sample_s=61": "rwagent.report.sample_s is 61, expected at most report.interval_s, which is 60",
    "set rwagent.broker.port=08883": 'rwagent.broker.port is "08883", expected a whole number from 1 to 65535',
    "set rwagent.broker.port=-1": "rwagent.broker.port is -1, expected a whole number from 1 to 65535",
    "set rwagent.report.peaks=yep": 'rwagent.report.peaks is "yep", expected 1 or 0 (on or off, true or false, yes or no, enabled or disabled)',
    "add_list rwagent.broker.host=other": "rwagent.broker.host is a list of 2, expected one value (option host, not list host); expected a host name",
    "set rwagent.router.adopt='a b'": 'rwagent.router.adopt is ["a b"], expected a list of at most 64 section names',
    "set rwagent.report.intervall_s=1": "rwagent.report.intervall_s is no key of this version, did you mean report.interval_s?",
    "set rwagent.router.backend=linux": "rwagent.router.backend is set, but the package decides it; run: uci delete rwagent.router.backend",
    "set rwagent.paths=paths": "rwagent.paths is a section paths, but the package decides what is in it; run: uci delete rwagent.paths",
    "set rwagent.repotr=repotr": "rwagent.repotr is a section of type repotr, expected the line: config report 'report'",
    "set rwagent.radio=zzz": "rwagent.radio is a section of type zzz, expected one of agent, broker, report, probe, router, push, outbox, main",
    "add rwagent report": "is a section of type report, expected the line: config report 'report'",
    "set rwagent.main.enabled=2": "rwagent.main.enabled is neither, expected 1 or 0",
    "set rwagent.main.jial=1": "rwagent.main.jial is no key of this version, expected one of enabled, jail",
    "set rwagent.broker.password=rahasia": "rwagent.broker.password is no key of this version, did you mean broker.password_file?",
    "set rwagent.broker.username='\udcff'": "rwagent.broker.username is not UTF-8, expected 1 to 256 characters",
    "set rwagent.broker.tls=0": "rwagent.broker.tls is false, expected true: mqtt.malang.example is not a loopback address",
    "set rwagent.broker.key_file=/nowhere\nset rwagent.report.interval_s=x": "rwagent.broker.key_file is ",
}


@pytest.mark.parametrize("line", FAULTS)
def test_a_fault_is_told_with_its_uci_path_and_nothing_is_taken(line: str, enrolled: Router, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, what is allowed, and agent.toml as it was: a daemon that runs goes on."""
    before = enrolled.config.read_bytes()
    enrolled.set(*line.split("\n"))
    assert enrolled.render() == 2
    said = capsys.readouterr().err
    assert FAULTS[line] in said and "rahasia" not in said, said
    assert all(text.startswith("rwagent: ") for text in said.splitlines()) and enrolled.config.read_bytes() == before


def test_all_faults_are_told_at_once(enrolled: Router, capsys: pytest.CaptureFixture[str]) -> None:
    """Of every section."""
    enrolled.set("set rwagent.report.interval_s=0", "set rwagent.outbox.max_bytes=1", "set rwagent.foo=bar", "delete rwagent.agent.city")
    assert enrolled.render() == 2
    said = capsys.readouterr().err
    assert all(f"rwagent: rwagent.{name} is" in said for name in ("report.interval_s", "outbox.max_bytes", "foo", "agent.city"))


def test_a_file_uci_cannot_read_changes_nothing(enrolled: Router, capsys: pytest.CaptureFixture[str]) -> None:
    """Unterminated, too large, or no file at all."""
    before = enrolled.config.read_bytes()
    for content in (b"config agent 'agent\n", b"# " + b"x" * (1 << 20)):
        enrolled.file.write_bytes(content)
        assert enrolled.render() == 2 and f"{enrolled.config} is as it was" in capsys.readouterr().err
    enrolled.file.unlink()
    os.mkfifo(enrolled.file)
    assert enrolled.render() == 2 and enrolled.config.read_bytes() == before


def test_settings_that_no_daemon_would_read_are_refused(enrolled: Router, capsys: pytest.CaptureFixture[str]) -> None:
    """Each value is allowed, but all together are more than agent.toml may have."""
    before = enrolled.config.read_bytes()
    names = ("hostapd_dir", "ubus_socket", "lease_file", "hostapd_config")
    text = "".join(f"\toption {name} '/{'日' * 4090}'\n" for name in names)
    keys = "".join(f"\toption {name} '/{'日' * 4090}'\n" for name in ("keys_dir", "secrets_dir"))
    enrolled.file.write_text(enrolled.file.read_text() + f"\nconfig router 'router'\n{text}\nconfig push 'push'\n{keys}")
    assert enrolled.render() == 2
    assert "more than 65536 bytes" in capsys.readouterr().err and enrolled.config.read_bytes() == before


@pytest.mark.needs("root", "mount")
def test_a_full_disk_leaves_what_was(enrolled: Router, capsys: pytest.CaptureFixture[str]) -> None:
    """It is said; the daemon starts with the old settings."""
    before = enrolled.config.read_bytes()
    enrolled.set("set rwagent.report.interval_s=77")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(enrolled.etc)], check=True)
    try:
        shutil.copytree(enrolled.path / "enrolled", enrolled.etc, dirs_exist_ok=True)
        with pytest.raises(OSError, match="No space left"), (enrolled.etc / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))
        assert enrolled.render() == 2 and f"No space left on device; {enrolled.config} is as it was" in capsys.readouterr().err
        assert enrolled.config.read_bytes() == before and not any(flash.is_temporary(path.name) for path in enrolled.etc.iterdir())
    finally:
        subprocess.run(["umount", str(enrolled.etc)], check=True)


# What is in the package besides


def test_what_pushes_keep_is_never_touched(enrolled: Router) -> None:
    """Sections that root remembers in, by their types; an enrolment leaves them too."""
    assert set(uci_settings.MEMORY) == {owned.ORIGINALS, owned.CLAIMS, owned.PUSHED, caps.SECTION, dns.SECTION}
    lines = [f"set rwagent.{kind}={kind}" for kind in uci_settings.MEMORY] + ["set rwagent.originals.wireless__radio0__channel='=36'"]
    enrolled.set(*lines)
    before = {name: one for name, one in enrolled.sections().items() if one.type in uci_settings.MEMORY}
    assert enrolled.render() == 0
    enrolled.enroll(turn=1)
    assert {name: one for name, one in enrolled.sections().items() if one.type in uci_settings.MEMORY} == before and len(before) == 5


def test_what_is_only_staged_is_not_taken(enrolled: Router) -> None:
    """Committed is what counts."""
    enrolled.box.stage("set rwagent.report.interval_s=99")
    assert enrolled.render() == 0 and enrolled.chosen().report.interval_s == 60.0
    assert "99" in "".join(enrolled.box.staged("rwagent"))


def test_what_lies_over_the_flash_counts(enrolled: Router) -> None:
    """As for every program that reads UCI on 25.12; an enrolment waits for its end."""
    enrolled.box.override.mkdir(exist_ok=True)
    text = enrolled.file.read_text() + "\nconfig report 'report'\n\toption interval_s '90'\n"
    (enrolled.box.override / "rwagent").write_text(text)
    assert enrolled.render() == 0 and enrolled.chosen().report.interval_s == 90.0
    with pytest.raises(Exception, match="lies over the flash"):
        enrolled.enroll(turn=1)


def test_no_copy_is_left_in_ram(enrolled: Router) -> None:
    """Also that of a run that was killed goes."""
    left = enrolled.path / "ram/rwagent-apply/settings.4194305/delta"  # no process has such a number
    left.mkdir(parents=True)
    (left / "rwcopy_rwagent").write_text("left behind")
    assert enrolled.render() == 0
    assert [path.name for path in (enrolled.path / "ram/rwagent-apply").iterdir() if path.name != "lock"] == []


# Not enrolled


def test_what_is_missing_is_said_with_what_to_do(router: Router, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 3, in one line, for somebody who has only just installed the package."""
    assert router.render() == 3
    line = capsys.readouterr().err
    assert line.startswith("rwagent: not enrolled: /etc/rwagent/ca.pem, client.pem and client.key are missing, and /etc/config/rwagent does not say agent.city")
    assert "rwctl enroll" in line and f"copy the bundle to {router.etc}/bundle.tar.gz and run /etc/init.d/rwagent restart" in line and line.count("\n") == 1
    assert not router.config.exists()


def test_a_certificate_that_went_is_said(enrolled: Router, capsys: pytest.CaptureFixture[str]) -> None:
    """The settings are whole, a file is not there."""
    (enrolled.etc / "client.key").unlink()
    assert enrolled.render() == 3
    assert f"not enrolled: {enrolled.etc}/client.key is missing. In the city: rwctl enroll {AP};" in capsys.readouterr().err


def test_a_bundle_beside_it_is_enrolled_with_and_removed(router: Router, capsys: pytest.CaptureFixture[str]) -> None:
    """Baked into an image or copied there: its private key does not stay twice."""
    router.etc.mkdir()
    write(router.etc, members())
    assert router.render() == 0
    assert (router.chosen().id, router.option("agent.city"), (router.etc / "bundle.tar.gz").exists()) == (AP, "malang", False)
    assert f"this is {AP} of malang" in capsys.readouterr().err


def test_a_bad_bundle_is_kept_and_said(enrolled: Router, capsys: pytest.CaptureFixture[str]) -> None:
    """An enrolled box goes on with what it has; one that is not says what it lacks besides."""
    before = enrolled.config.read_bytes()
    (enrolled.etc / "bundle.tar.gz").write_bytes(b"no bundle")
    assert enrolled.render() == 0
    said = capsys.readouterr().err
    assert "is not gzip" in said and "is kept" in said and (enrolled.etc / "bundle.tar.gz").exists() and enrolled.config.read_bytes() == before


def test_the_bundle_of_an_old_image_takes_no_newer_enrolment_back(enrolled: Router, capsys: pytest.CaptureFixture[str]) -> None:
    """After a system upgrade the image's own bundle is there again, of the day on which it was made; its private key does not stay."""
    enrolled.enroll(turn=1)
    before = (enrolled.etc / "client.pem").read_bytes(), (enrolled.etc / "client.key").read_bytes(), enrolled.config.read_bytes()
    for turn in (0, 1):
        write(enrolled.etc, members(turn=turn))
        assert enrolled.render() == 0
        assert ((enrolled.etc / "client.pem").read_bytes(), (enrolled.etc / "client.key").read_bytes(), enrolled.config.read_bytes()) == before
        assert "rwagent enroll FILE" in capsys.readouterr().err and not (enrolled.etc / "bundle.tar.gz").exists()


def test_a_newer_bundle_is_enrolled_with(enrolled: Router) -> None:
    """Copied beside the settings it renews the certificate; so does one where the enrolment is not whole."""
    for turn, lost in ((1, ""), (1, "client.key")):
        if lost:
            (enrolled.etc / lost).unlink()
        write(enrolled.etc, members(turn=turn))
        assert enrolled.render() == 0
        assert (enrolled.etc / "client.key").read_bytes() == members(turn=turn)["client.key"]


def test_another_boxs_bundle_is_not_taken(enrolled: Router) -> None:
    """A wrong file makes no other access point of this one."""
    write(enrolled.etc, members(ap="rw-0502"))
    assert enrolled.render() == 0 and enrolled.chosen().id == AP


# A box that was enrolled before

OLD = (
    '[agent]\nid = "{ap}"\ncity = "malang"\n[broker]\nhost = "mqtt.malang.example"\n'
    'ca_file = "{etc}/ca.pem"\ncert_file = "{etc}/client.pem"\nkey_file = "{etc}/client.key"\n'
)


def by_hand(router: Router, more: str = "") -> None:
    router.enroll()
    router.file.write_bytes(SHIPPED.read_bytes())
    router.config.write_text(OLD.format(ap=AP, etc=router.etc) + more)


def test_settings_made_by_hand_are_taken_over_once(router: Router) -> None:
    """At the installation, which asks for it: UCI says then what agent.toml said."""
    by_hand(router, '[router]\nbackend = "openwrt"\npublic_network = "guest"\nadopt = ["default_radio0"]\n')
    assert router.render() == 3
    assert router.render(is_first=True) == 0
    assert (router.option("agent.id"), router.option("router.public_network"), router.option("router.adopt")) == (AP, "guest", "default_radio0")
    assert router.chosen().router.adopt == ("default_radio0",)


def test_settings_with_places_of_their_own_are_not(router: Router, capsys: pytest.CaptureFixture[str]) -> None:
    """The package could not find what was remembered of pushes."""
    by_hand(router, '[paths]\nstate_dir = "/mnt/flash"\n')
    assert router.render(is_first=True) == 2 and "names state_dir of its own" in capsys.readouterr().err


def test_settings_of_uci_are_not_overruled_by_an_older_file(enrolled: Router) -> None:
    """Whoever upgrades keeps what UCI says."""
    enrolled.config.write_text(OLD.format(ap=AP, etc=enrolled.etc).replace("mqtt.malang", "older"))
    assert enrolled.render(is_first=True) == 0 and enrolled.chosen().broker.host == "mqtt.malang.example"


# An enrolment on OpenWrt


def test_a_bundles_settings_are_in_uci(router: Router) -> None:
    """All that agent.toml says then, but for what the package decides; and rendering changes nothing of it."""
    router.enroll(mbps=100.0)
    assert {name: router.option(name) for name in ("agent.id", "broker.host", "broker.tls", "router.contract_mbps", "router.backend", "paths")} == {
        "agent.id": AP, "broker.host": "mqtt.malang.example", "broker.tls": "1", "router.contract_mbps": "100", "router.backend": None, "paths": None,
    }  # fmt: skip
    before = router.config.read_bytes()
    chosen = router.chosen()
    assert router.render() == 0 and router.config.read_bytes() == before and router.chosen() == chosen


def test_what_a_technician_set_in_uci_stays(router: Router) -> None:
    """Before the box was ever enrolled, and of what the city does not decide; the switches of the service too."""
    router.set("set rwagent.router.public_network=guest", "set rwagent.report.interval_s=5", "set rwagent.broker.username=x", "set rwagent.main.jail=0")
    done = router.enroll()
    assert {name: router.option(name) for name in ("router.public_network", "report.interval_s", "broker.username", "main.jail")} == {
        "router.public_network": "guest", "report.interval_s": "60", "broker.username": None, "main.jail": "0",
    }  # fmt: skip
    assert done.kept == ("router.public_network",) and router.chosen().router.public_network == "guest"


def test_what_was_taken_out_of_uci_does_not_come_back(enrolled: Router) -> None:
    """agent.toml still has it, for nobody rendered since; UCI is the truth."""
    enrolled.set("set rwagent.router.public_network=guest")
    assert enrolled.render() == 0
    enrolled.set("delete rwagent.router.public_network")
    enrolled.enroll(turn=1)
    assert enrolled.option("router.public_network") is None and enrolled.chosen().router.public_network == ""


def test_faults_in_uci_refuse_an_enrolment(enrolled: Router) -> None:
    """What the technician meant is not thrown away; nothing has changed."""
    enrolled.set("set rwagent.router.adpt=x")
    before = enrolled.file.read_bytes(), enrolled.config.read_bytes()
    with pytest.raises(settings.Faults, match=r"rwagent\.router\.adpt is no key of this version"):
        enrolled.enroll(turn=1)
    assert (enrolled.file.read_bytes(), enrolled.config.read_bytes()) == before and not (enrolled.etc / folder.NEW).exists()


def test_where_procd_does_not_answer_it_says_what_to_do(router: Router) -> None:
    """The enrolment counts all the same."""
    router.set(f"set rwagent.router.ubus_socket={router.path}/nobody")
    done = enroll.enroll(write(router.path, members()), str(router.config), group_of=lambda _: None, places=router.places)
    assert "procd could not be told" in done.text and done.text.endswith("/etc/init.d/rwagent restart, then: rwagent doctor")
    assert router.chosen().id == AP


def test_an_enrolment_waits_for_no_push(enrolled: Router) -> None:
    """What is tried lies in the same file: refused with what to do, nothing has changed."""
    before = enrolled.config.read_bytes()
    os.makedirs(enrolled.places.apply_dir)
    with alone.locked(enrolled.places.apply_dir, 0.0) as is_ours, pytest.raises(Rejected, match="a push is being tried"):
        assert is_ours
        enrolled.enroll(turn=1)
    assert enrolled.config.read_bytes() == before


def test_a_second_enrolment_is_waited_for(enrolled: Router, capsys: pytest.CaptureFixture[str]) -> None:
    """Two at once never mix; one that does not end is told."""
    with folder.Folder(str(enrolled.config), None).locked():
        assert enrolled.render() == 2 and "another rwagent enroll is at work" in capsys.readouterr().err
    assert enrolled.render() == 0


def test_who_may_only_read_keeps_nobody_out(enrolled: Router) -> None:
    """The daemon's user may lock what its group may read, and hold that for ever."""
    with contextlib.ExitStack() as held:
        readable = [path for path in (enrolled.etc, *enrolled.etc.rglob("*")) if path.stat().st_mode & stat.S_IRGRP]
        assert enrolled.etc in readable and enrolled.config in readable
        for path in readable:
            fd = os.open(path, os.O_RDONLY)
            held.callback(os.close, fd)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        enrolled.enroll(turn=1)
        assert enrolled.render() == 0


def test_an_enrolment_cut_short_is_finished_before_rendering(enrolled: Router) -> None:
    """After the step that counts UCI still says the old; rendering it would undo the enrolment."""
    city = bundles.CITY._replace(broker=bundles.CITY.broker._replace(host="new.example"))
    old = enrolled.file.read_bytes()
    enrolled.enroll(turn=1, city=city)
    wanted = enrolled.sections()
    enrolled.file.write_bytes(old)
    cut_short(enrolled, enrolled.config.read_text())
    assert enrolled.render() == 0
    assert enrolled.sections() == wanted and not (enrolled.etc / folder.NEW).exists()
    assert enrolled.chosen().broker.host == "new.example" and f'"{enrolled.etc}/client.pem"' in enrolled.config.read_text()


def cut_short(router: Router, text: str) -> None:
    """Leave the box as a cut right after the step that counts leaves it."""
    aside = router.etc / folder.NEW
    (aside / "keys").mkdir(parents=True)
    for name in ("ca.pem", "client.pem", "client.key", "keys/malang.pub"):
        (aside / name).write_bytes((router.etc / name).read_bytes())
        (aside / name).chmod(0o640)
        text = text.replace(f'"{router.etc}/{name}"', f'"{aside}/{name}"')
    router.config.write_text(text.replace(f'"{router.etc}/keys"', f'"{aside}/keys"'))


def test_an_enrolment_cut_short_before_it_counted_goes(enrolled: Router) -> None:
    """Half a bundle aside, and the old settings in force."""
    (enrolled.etc / folder.NEW / "keys").mkdir(parents=True)
    (enrolled.etc / folder.NEW / "client.pem").write_bytes(b"half")
    before = enrolled.config.read_bytes()
    assert enrolled.render() == 0 and enrolled.config.read_bytes() == before and not (enrolled.etc / folder.NEW).exists()


# Any values


def test_the_real_uci_keeps_hostile_values_of_an_enrolment(router: Router) -> None:
    """Quotes and all, through `uci batch` and back."""
    document = {"agent": {"id": "rw-1", "city": "x"}, "push": {"keys_dir": '/it\'s "$(id)" `x` \\ # é日本;'}, "router": {"adopt": ["a", "b"]}}
    assert UciFile(router.places).adopt(document)
    found, faults = uci_settings.read(router.sections())
    assert (found, faults) == (document, []) and not UciFile(router.places).adopt(document)


@pytest.mark.parametrize("adopt", [["b"], ["a", "b"], [], ["a"]])
@pytest.mark.parametrize("there", ["list adopt 'a'", "option adopt 'a'", "list adopt 'a'\n\tlist adopt 'c'"])
def test_a_list_becomes_what_it_should_be(there: str, adopt: list[str], router: Router) -> None:
    """However it was written, and however long it was."""
    router.file.write_text(f"config router 'router'\n\t{there}\n")
    UciFile(router.places).adopt({"router": {"adopt": adopt}})
    assert uci_settings.read(router.sections()) == ({"router": {"adopt": adopt}} if adopt else {}, [])


def test_what_uci_did_not_write_is_noticed(router: Router) -> None:
    """A commit that lies leaves the file as it was."""
    before = router.file.read_bytes()
    router.box.faults.lost_commit = True
    with pytest.raises(Exception, match="uci"):
        UciFile(router.places).adopt({"agent": {"city": "x"}})
    assert router.file.read_bytes() == before


# The command line


@pytest.mark.parametrize("words", [["x"], ["--config"], ["--nope", "x"], ["--uci"], ["--uci", "a", "b", "c"], ["--adopt", "x"]])
def test_what_is_no_command_line_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """With how it is used."""
    assert render.main(words) == 2 and "usage:" in capsys.readouterr().err


def test_the_command_line_names_places() -> None:
    """Two directories of UCI: the flash's, and what lies over it."""
    options = render.parsed(["--uci", "/a", "/b", "--config", "/c/agent.toml", "--ram", "/r"])
    assert options is not None and (options.config, options.places[:3], options.is_first) == ("/c/agent.toml", ("/a", "/b", "/r"), False)
    assert render.parsed(["--adopt"]) == render.Options(is_first=True)


def test_the_shipped_file_is_only_not_enrolled(router: Router) -> None:
    """It sets nothing but the two switches, names every section, and explains every option that there is."""
    sections = router.sections()
    assert {name: one.options for name, one in sections.items() if one.options} == {"main": {"enabled": ("1",), "jail": ("1",)}}
    assert list(sections) == ["main", *uci_settings.SETTABLE]
    text = SHIPPED.read_text()
    for table, rules in uci_settings.SETTABLE.items():
        part = text.partition(f"config {table} '{table}'")[2].partition("\nconfig ")[0]
        for key, rule in rules.items():
            word = "list" if rule.kind == "list" else "option"
            assert f"#\t{word} {key} '" in part, f"{table}.{key}"
    assert flash.read(str(SHIPPED)) is not None and Flash().writes_total == 0
