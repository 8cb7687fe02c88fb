"""Our stand-ins of opkg and apk do as the real ones were recorded to do (tests/captures/packages)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from scripts.package_formats import Package, apk_parts, ipk
from tests.openwrt_package.conftest import ROOT
from tests.openwrt_package.unpack import Apk, Manager, Opkg, Refused

pytestmark = [pytest.mark.once, pytest.mark.needs("busybox", "chroot", "root")]

CAPTURES = ROOT / "tests/captures/packages"
# What the recorded package had: its postinst notes the root and whether it is told of an upgrade. The sizes are 61 B together.
CONFFILE = "config rigpkg 'main'\n\toption v '1'\n"
PROGRAM = "#!/bin/sh\necho rigpkg 1.0\n"
NOTES = '#!/bin/sh\necho "postinst ran root=$IPKG_INSTROOT pkg=$PKG_UPGRADE" >>/tmp/postinst.log\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root in which BusyBox runs scripts."""
    root = tmp_path / "root"
    for name in ("bin", "lib", "tmp", "etc"):
        (root / name).mkdir(parents=True)
    busybox = shutil.which("busybox")
    assert busybox is not None
    shutil.copy(busybox, root / "bin/busybox")
    for name in ("sh", "ash"):
        (root / "bin" / name).symlink_to("busybox")
    return root


def rigpkg(folder: Path, version: str = "1.0-r1", conffile: str = CONFFILE) -> Package:
    """The recorded package, or another version of it."""
    tree = folder / f"tree-{version}"
    for name, text, mode in (("usr/bin/rigpkg", PROGRAM, 0o755), ("etc/config/rigpkg", conffile, 0o600)):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
        (tree / name).chmod(mode)
    return Package("rigpkg", version, "x", "rigpkg", (), (), "", "net", "", "", "", "", "One.", ("/etc/config/rigpkg",), "", "", "", "", tree)


def as_ipk(folder: Path, package: Package) -> Path:
    path = folder / f"{package.version}.ipk"
    path.write_bytes(ipk(package, 1))
    return path


def as_apk(folder: Path, package: Package) -> Path:
    """What scripts/build_package would write, with the recorded package's own post-install."""
    place, parts = folder / f"apk-{package.version}", apk_parts(package)
    shutil.copytree(package.tree, place / "tree")
    (place / "mkpkg.args").write_text("".join(f"{one}\n" for one in parts.arguments))
    (place / "post-install").write_text(NOTES)
    (place / "post-install").chmod(0o755)
    return place


def recorded(name: str) -> list[str]:
    return (CAPTURES / f"{name}.txt").read_text().splitlines()


def noted(root: Path) -> str:
    return (root / "tmp/postinst.log").read_text().strip()


@pytest.fixture
def functions(root: Path) -> None:
    """A default_postinst that only notes: what the recorded package's script did by itself."""
    (root / "lib/functions.sh").write_text("default_postinst() {\n" + NOTES.partition("\n")[2] + "}\ndefault_prerm() { :; }\n")


def test_opkg_installs_as_recorded(root: Path, tmp_path: Path, functions: None) -> None:
    """What it prints, and what the script sees: no root, PKG_UPGRADE=0."""
    said = Opkg(root, is_live=True).install(as_ipk(tmp_path, rigpkg(tmp_path)))
    assert [*said.splitlines(), "rc=0", "rigpkg 1.0", noted(root)] == recorded("opkg-install")


def test_opkg_does_not_install_the_same_again(root: Path, tmp_path: Path, functions: None) -> None:
    """It says so, and runs nothing."""
    opkg = Opkg(root, is_live=True)
    opkg.install(as_ipk(tmp_path, rigpkg(tmp_path)))
    ran = len(opkg.ran)
    assert [*opkg.install(as_ipk(tmp_path, rigpkg(tmp_path))).splitlines(), "rc=0"] == recorded("opkg-install-again")
    assert len(opkg.ran) == ran


def test_opkg_removes_as_recorded(root: Path, tmp_path: Path, functions: None) -> None:
    """A changed conffile stays; a second removal finds nothing."""
    opkg = Opkg(root, is_live=True)
    opkg.install(as_ipk(tmp_path, rigpkg(tmp_path)))
    with (root / "etc/config/rigpkg").open("a") as file:
        file.write("# changed\n")
    first = opkg.remove("rigpkg").splitlines()
    there = [f"/{path.relative_to(root)}" for path in (root / "etc/config").glob("rigpkg*")]
    assert [*first, "rc=0", *there, *opkg.remove("rigpkg").splitlines(), "rc=0"] == recorded("opkg-remove")


def test_apk_installs_as_recorded(root: Path, tmp_path: Path) -> None:
    """What it prints, and what the script sees: no PKG_UPGRADE at all."""
    said = Apk(root, is_live=True).install(as_apk(tmp_path, rigpkg(tmp_path)))
    assert [*said.splitlines(), "rc=0", "rigpkg 1.0", noted(root)] == recorded("apk-add-allow-untrusted")


def test_apk_removes_as_recorded(root: Path, tmp_path: Path) -> None:
    """An unchanged conffile goes too; a package that is not there is an error."""
    apk = Apk(root, is_live=True)
    apk.install(as_apk(tmp_path, rigpkg(tmp_path)))
    said = apk.remove("rigpkg").splitlines()
    assert not (root / "etc/config/rigpkg").exists()
    with pytest.raises(Refused, match="No such package"):
        apk.remove("rigpkg")
    assert [*said, "rc=0", "rc=1"] == recorded("apk-del")


@pytest.mark.parametrize(("kind", "suffix"), [(Opkg, "-opkg"), (Apk, ".apk-new")])
def test_a_changed_conffile_outlives_an_upgrade(root: Path, tmp_path: Path, functions: None, kind: type[Opkg] | type[Apk], suffix: str) -> None:
    """The new one is put beside it (opkg_install.c, resolve_conffiles; apk's database.c, protected paths)."""
    manager: Manager = kind(root, is_live=True)
    form = as_ipk if kind is Opkg else as_apk
    manager.install(form(tmp_path, rigpkg(tmp_path)))  # type: ignore[attr-defined]  # both have it
    (root / "etc/config/rigpkg").write_text("mine\n")
    manager.install(form(tmp_path, rigpkg(tmp_path, "1.1-r1", "new\n")))  # type: ignore[attr-defined]
    assert (root / "etc/config/rigpkg").read_text() == "mine\n"
    assert (root / f"etc/config/rigpkg{suffix}").read_text() == "new\n"
