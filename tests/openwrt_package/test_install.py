"""Installed, upgraded, removed and installed again, as opkg and apk do it in an image builder's root: what is there then, whose it is, and what stays."""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from scripts.package_formats import Member, _tar
from tests.fakes.openwrt.userland.chroot import RC
from tests.openwrt_package.conftest import RELEASES, ROOT, Built
from tests.openwrt_package.unpack import Apk, Opkg, read_ipk

pytestmark = [pytest.mark.once, pytest.mark.needs("make", "busybox", "chroot", "root")]

UID = 551
LINKS = {"S05rwagent-recover", "S95rwagent"}
# What apk keeps of itself; opkg its info.
BOOKS = ("lib/apk", "usr/lib/opkg", "tmp")
# Of this machine, where a script that forgot IPKG_INSTROOT would have written.
ELSEWHERE = (
    "/etc",
    "/etc/config",
    "/etc/init.d",
    "/etc/rc.d",
    "/usr/libexec",
    "/var/run",
    "/lib/upgrade",
    "/etc/passwd",
    "/etc/group",
    "/etc/shadow",
    "/etc/rwagent",
)


FUNCTIONS = "add_group_and_user() { :; }\ndefault_postinst() { :; }\n"


class Box(NamedTuple):
    """A root, its package manager, and what that takes for each of our packages, and for the next version of the agent."""

    root: Path
    manager: Opkg | Apk
    agent: Path
    probe: Path
    luci: Path

    def install(self, *packages: Path) -> None:
        for package in packages:
            self.manager.install(package)

    def files(self) -> dict[str, os.stat_result]:
        """All that is in the root but the package manager's own books."""
        found = {path.relative_to(self.root).as_posix(): path.lstat() for path in self.root.rglob("*")}
        return {name: seen for name, seen in found.items() if not name.startswith(BOOKS)}


@pytest.fixture
def box(release: str, built: Built, tmp_path: Path) -> Box:
    """A blank root as an image builder has it before our packages: base-files' scripts and users, and nothing of ours."""
    return blank(tmp_path / "root", built.out / release)


@pytest.fixture(scope="module")
def installed(release: str, built: Built, tmp_path_factory: pytest.TempPathFactory) -> Box:
    """A root in which all three packages were installed; to be looked at only."""
    box = blank(tmp_path_factory.mktemp("installed") / "root", built.out / release)
    box.install(box.agent, box.probe, box.luci)
    return box


def blank(root: Path, place: Path) -> Box:
    """Make a root without our packages, for those of `place`."""
    for name in ("etc/rc.d", "etc/config", "etc/init.d", "lib/functions", "usr/lib", "usr/bin", "www", "tmp"):
        (root / name).mkdir(parents=True)
    for name, where in (("rc.common", "etc"), ("functions.sh", "lib"), ("functions/procd.sh", "lib/functions")):
        shutil.copy(RC / name, root / where)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/ash\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/shadow").write_text("root:::0:99999:7:::\n")
    names = ("rwagent", "rwagent-probe", "luci-app-rwagent")
    if place.name == "24.10":
        return Box(root, Opkg(root), *(place / f"{name}_0.1.0-r1_all.ipk" for name in names))
    return Box(root, Apk(root), *(place / name for name in names))


def next_version(box: Box, folder: Path, configuration: str = "") -> Path:
    """Make 0.2.0-r1 of the built agent: without one module, with another, and with another default configuration if one is given."""
    if isinstance(box.manager, Apk):
        place = folder / "next"
        shutil.copytree(box.agent, place, symlinks=True)
        args = place / "mkpkg.args"
        args.write_text(args.read_text().replace("version:0.1.0-r1", "version:0.2.0-r1"))
        modules = next((place / "tree").glob("usr/lib/python*/site-packages/agent"))
        (modules / "backoff.pyc").rename(modules / "patience.pyc")
        if configuration:
            (place / "tree/etc/config/rwagent").write_text(configuration)
        return place
    archives = read_ipk(box.agent)
    control = [m._replace(content=m.content.replace(b"Version: 0.1.0-r1", b"Version: 0.2.0-r1")) for m, _ in archives["./control.tar.gz"]]
    data = [m._replace(name=m.name.replace("agent/backoff.pyc", "agent/patience.pyc")) for m, _ in archives["./data.tar.gz"]]
    if configuration:
        data = [m._replace(content=configuration.encode()) if m.name == "./etc/config/rwagent" else m for m in data]
    packed = [Member(f"./{name}.tar.gz", 0o644, gzip.compress(_tar(members, 1), 1)) for name, members in (("data", data), ("control", control))]
    file = folder / "rwagent_0.2.0-r1_all.ipk"
    file.write_bytes(gzip.compress(_tar([Member("./debian-binary", 0o644, b"2.0\n"), *packed], 1), 1))
    return file


def enrolled(root: Path) -> None:
    """What an enrolment and a life leave in the state directory."""
    (root / "etc/rwagent/state").mkdir(parents=True)
    (root / "etc/rwagent/agent.toml").write_text("[agent]\n")


def test_services_are_enabled(installed: Box) -> None:
    """By their START, and that of the rollback before everything else."""
    links = {path.name: os.readlink(path) for path in (installed.root / "etc/rc.d").iterdir()}
    assert links.keys() >= LINKS
    assert all((installed.root / "etc/rc.d" / target).exists() for target in links.values())
    scripts = {path.name for path in (installed.root / "etc/init.d").iterdir()}
    assert {name.lstrip("SK0123456789") for name in links} == scripts


def test_the_user_and_its_group_are_made(box: Box) -> None:
    """With the numbers of the Makefile, no shell, and once: also after an upgrade."""
    box.install(box.agent)
    box.install(next_version(box, box.root.parent))
    users = [line.split(":") for line in (box.root / "etc/passwd").read_text().splitlines() if line.startswith("rwagent:")]
    assert [(one[2], one[3], one[6]) for one in users] == [(str(UID), str(UID), "/bin/false")]
    assert [line for line in (box.root / "etc/group").read_text().splitlines() if line.startswith("rwagent:")] == [f"rwagent:x:{UID}:rwagent"]


def test_nothing_is_the_daemons_users(installed: Box) -> None:
    """A build host gives it nothing; what it may write to is made on the router, in RAM."""
    for name, seen in installed.files().items():
        assert (seen.st_uid, seen.st_gid) == (0, 0), name
        assert stat.S_ISLNK(seen.st_mode) or not seen.st_mode & 0o022, name


def test_the_first_boot_has_its_uci_defaults(installed: Box) -> None:
    """Under an image builder they are not run: the image does that."""
    assert (installed.root / "etc/uci-defaults/60_rwagent").exists()


def test_the_build_host_is_left_alone(box: Box) -> None:
    """IPKG_INSTROOT is respected by every script: install, upgrade, remove."""
    before = {name: os.stat(name).st_mtime_ns if os.path.exists(name) else None for name in ELSEWHERE}
    listed = {name: sorted(os.listdir(name)) for name in ELSEWHERE if os.path.isdir(name)}
    box.install(box.agent, box.probe, box.luci)
    box.install(next_version(box, box.root.parent))
    for name in ("luci-app-rwagent", "rwagent-probe", "rwagent"):
        box.manager.remove(name)
    assert {one.text for one in box.manager.ran} == {""}, "where nothing is wrong, no script says anything"
    assert {name: os.stat(name).st_mtime_ns if os.path.exists(name) else None for name in ELSEWHERE if not name.endswith("run")} == {
        name: seen for name, seen in before.items() if not name.endswith("run")
    }
    assert not [one for name, was in listed.items() for one in os.listdir(name) if one not in was and "rwagent" in one]


def test_a_removal_leaves_the_state_and_nothing_else(box: Box) -> None:
    """No file, no directory, no link of ours but /etc/rwagent; the user stays, as every package's does."""
    before = set(box.files())
    box.install(box.agent, box.probe, box.luci)
    enrolled(box.root)
    for name in ("luci-app-rwagent", "rwagent-probe", "rwagent"):
        box.manager.remove(name)
    left = {name for name in set(box.files()) - before if "rwagent" in name or "python" in name or "agent" in name}
    assert {name for name in left if not name.startswith("etc/rwagent")} <= {
        f"usr/lib/python{RELEASES['24.10']}",
        f"usr/lib/python{RELEASES['24.10']}/site-packages",
    }
    assert (box.root / "etc/rwagent/agent.toml").read_text() == "[agent]\n"


def test_changed_settings_outlive_a_removal_and_come_back(box: Box) -> None:
    """Installed again, the technician's settings are in force and the package's lie beside them."""
    box.install(box.agent)
    file = box.root / "etc/config/rwagent"
    file.write_text("config rwagent 'main'\n\toption enabled '0'\n")
    box.manager.remove("rwagent")
    assert "enabled '0'" in file.read_text()
    box.install(box.agent)
    assert "enabled '0'" in file.read_text()
    suffix = ".apk-new" if isinstance(box.manager, Apk) else "-opkg"
    assert file.with_name(f"rwagent{suffix}").read_text() == (ROOT / "openwrt_package/rwagent/files/etc/config/rwagent").read_text()


@pytest.mark.parametrize("news", ["", "config rwagent 'main'\n\toption enabled '1'\n\toption new '1'\n"])
def test_changed_settings_outlive_an_upgrade(box: Box, tmp_path: Path, news: str) -> None:
    """Whether the new version has another default or not."""
    box.install(box.agent)
    file = box.root / "etc/config/rwagent"
    file.write_text("config rwagent 'main'\n\toption enabled '0'\n")
    box.install(next_version(box, tmp_path, news))
    assert file.read_text() == "config rwagent 'main'\n\toption enabled '0'\n"


def test_unchanged_settings_become_the_new_ones(box: Box, tmp_path: Path) -> None:
    """And nothing lies beside them."""
    box.install(box.agent)
    box.install(next_version(box, tmp_path, "config rwagent 'main'\n"))
    assert (box.root / "etc/config/rwagent").read_text() == "config rwagent 'main'\n"
    assert [path.name for path in (box.root / "etc/config").iterdir()] == ["rwagent"]


def test_an_upgrade_replaces_the_modules(box: Box, tmp_path: Path) -> None:
    """A module that the new version has not is gone, and the services are still enabled."""
    box.install(box.agent)
    links = sorted(os.listdir(box.root / "etc/rc.d"))
    box.install(next_version(box, tmp_path))
    modules = next(box.root.glob("usr/lib/python*/site-packages/agent"))
    assert (modules / "patience.pyc").exists()
    assert not (modules / "backoff.pyc").exists()
    assert sorted(os.listdir(box.root / "etc/rc.d")) == links


def test_installed_again_is_as_installed(box: Box) -> None:
    """Removal and installation come back to the same files, modes and owners."""
    box.install(box.agent)
    first = {name: (seen.st_mode, seen.st_uid, seen.st_gid) for name, seen in box.files().items()}
    box.manager.remove("rwagent")
    assert not (box.root / "usr/bin/rwagent").exists()
    box.install(box.agent)
    assert {name: (seen.st_mode, seen.st_uid, seen.st_gid) for name, seen in box.files().items()} == first


def test_no_two_packages_have_the_same_file(installed: Box) -> None:
    """Both package managers refuse that."""
    files = [name for one in installed.manager.installed.values() for name in one.files]
    assert len(files) == len(set(files))


@pytest.mark.parametrize(("upgrade", "expected"), [("1", ["package-postinst upgrade", "rwagent restart"]), ("0", ["package-postinst install"])])
def test_an_upgrade_begins_the_daemon_anew(release: str, built: Built, tmp_path: Path, upgrade: str, expected: list[str]) -> None:
    """procd sees no difference between two versions' services, so apk's upgrade would leave the old code running over the new files."""
    noting = '#!/bin/sh\necho "${0##*/} $1" >>/noted\n'
    for name, text in (("usr/libexec/rwagent/package-postinst", noting), ("etc/init.d/rwagent", noting), ("lib/functions.sh", FUNCTIONS)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "bin").mkdir()
    busybox = shutil.which("busybox")
    assert busybox is not None
    shutil.copy(busybox, tmp_path / "bin/busybox")
    (tmp_path / "bin/sh").symlink_to("busybox")
    if release == "24.10":
        control = {member.name: member.content for member, _ in read_ipk(built.out / release / "rwagent_0.1.0-r1_all.ipk")["./control.tar.gz"]}
        script = control["./postinst-pkg"]
    else:
        script = (built.out / release / "rwagent" / ("post-upgrade" if upgrade == "1" else "post-install")).read_bytes()
    (tmp_path / "script").write_bytes(script)
    environment = {"PATH": "/usr/sbin:/usr/bin:/bin"} | ({"PKG_UPGRADE": upgrade} if release == "24.10" else {})
    subprocess.run(["chroot", str(tmp_path), "/bin/busybox", "ash", "/script"], env=environment, timeout=60, check=True)
    assert (tmp_path / "noted").read_text().splitlines() == expected
