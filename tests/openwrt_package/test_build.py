"""What scripts/build_package makes, member by member: names, modes, owners, fields, scripts; and that it is the same each time."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from scripts import package_formats as formats
from scripts.package_formats import Package
from tests.openwrt_package.conftest import RELEASES, ROOT, Built
from tests.openwrt_package.unpack import Apk, fields_of, read_ipk, read_tar

pytestmark = [pytest.mark.once, pytest.mark.needs("make")]

NAMES = ("luci-app-rwagent", "rwagent", "rwagent-probe")
# The issue's own list, and what the caps' and the resolvers' rules need of the kernel.
DEPENDS = {
    *("python3-light", "python3-logging", "python3-urllib", "python3-uuid", "python3-openssl", "python3-paho-mqtt", "python3-psutil"),
    *("usign", "iw", "tc", "kmod-ifb", "kmod-sched-core", "nftables", "kmod-nft-nat", "kmod-nft-fib"),
}
SCRIPT = os.fspath(ROOT / "scripts/build_package")
BUDGET_BYTES = 450_000


def package(**changes: object) -> Package:
    """A small package, of which `changes` say what is different."""
    empty = Package("one", "1.0-r1", "feeds/x/one", "one", (), (), "", "net", "", "", "", "", "One.", (), "", "", "", "", Path("/nowhere"))
    return empty._replace(**changes)  # type: ignore[arg-type]  # each by its name


@pytest.fixture
def ipks(built: Built) -> dict[str, Path]:
    """24.10's packages by name."""
    if not (built.out / "24.10").is_dir():
        pytest.skip("no Python 3.11 on this machine")
    return {path.name.partition("_")[0]: path for path in (built.out / "24.10").glob("*.ipk")}


def control_of(ipk: Path) -> dict[str, str]:
    return {member.name: member.content.decode() for member, _ in read_ipk(ipk)["./control.tar.gz"]}


def words(value: str) -> list[str]:
    return [re.sub(r"[ (~<>=].*", "", one.strip()) for one in value.split(",")]


# The .ipk


def test_all_three_are_built(ipks: dict[str, Path]) -> None:
    """And named as opkg names them."""
    assert sorted(path.name for path in ipks.values()) == sorted(f"{name}_0.1.0-r1_all.ipk" for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_ipk_is_three_members(ipks: dict[str, Path], name: str) -> None:
    """A gzip'd tar, as ipkg-build makes it, not an ar archive."""
    assert [member.name for member, _ in read_tar(ipks[name].read_bytes())] == ["./debian-binary", "./data.tar.gz", "./control.tar.gz"]


@pytest.mark.parametrize("name", NAMES)
def test_all_is_roots_and_as_old(ipks: dict[str, Path], name: str) -> None:
    """Owner, group, kind and time of every member of both archives."""
    headers = [info for archive in read_ipk(ipks[name]).values() for _, info in archive]
    assert {(info.uid, info.gid, info.uname, info.gname) for info in headers} == {(0, 0, "", "")}
    assert len({info.mtime for info in headers}) == 1
    assert {info.type for info in headers} <= {tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE}


@pytest.mark.parametrize("name", NAMES)
def test_members_are_sorted_and_whole(ipks: dict[str, Path], name: str) -> None:
    """Each directory stands before what it holds, once."""
    names = [member.name for member, _ in read_ipk(ipks[name])["./data.tar.gz"]]
    assert len(names) == len(set(names))
    assert all(str(Path(one).parent) in {".", *(str(Path(other)) for other in names[:at])} for at, one in enumerate(names))


@pytest.mark.parametrize("name", NAMES)
def test_no_mode_but_four(ipks: dict[str, Path], name: str) -> None:
    """Nothing may be written by anybody but root, and only /etc/config is root's alone."""
    modes = {member.name: info.mode for member, info in read_ipk(ipks[name])["./data.tar.gz"] if not info.issym()}
    assert set(modes.values()) <= {0o755, 0o644, 0o600}
    assert {one for one, mode in modes.items() if mode == 0o600} == ({"./etc/config/rwagent"} if name == "rwagent" else set())


@pytest.mark.parametrize("name", NAMES)
def test_no_field_is_empty(ipks: dict[str, Path], name: str) -> None:
    """An empty Depends line crashes the real opkg."""
    assert {"Package", "Version", "Architecture", "Installed-Size", "Maintainer", "License", "Section", "Source"} <= fields_of(
        control_of(ipks[name])["./control"]
    ).keys()


def test_a_package_without_dependencies_has_no_such_line() -> None:
    """What has no value has no line."""
    assert "Depends" not in formats.control(package(), 0, 1)
    with pytest.raises(AssertionError, match="does not survive"):
        fields_of("Package: x\nDepends: \n")


def test_the_agents_control_file(ipks: dict[str, Path]) -> None:
    """What opkg is told: the user with its number, the dependencies, the one Python that the bytecode is for."""
    fields = fields_of(control_of(ipks["rwagent"])["./control"])
    assert fields["Require-User"] == "rwagent=551:rwagent=551"
    assert set(words(fields["Depends"])) == DEPENDS | {"python3-netifaces"}
    assert fields["Depends"].startswith("python3-light (>=3.11), python3-light (<<3.12), ")
    assert (fields["Architecture"], fields["Version"]) == ("all", "0.1.0-r1")


def test_the_installed_size_is_that_of_the_data(ipks: dict[str, Path]) -> None:
    """As ipkg-build counts it: the unpacked archive."""
    import gzip

    outer = {member.name: member.content for member, _ in read_tar(ipks["rwagent"].read_bytes())}
    assert fields_of(control_of(ipks["rwagent"])["./control"])["Installed-Size"] == str(len(gzip.decompress(outer["./data.tar.gz"])))


@pytest.mark.parametrize(("name", "depends"), [("rwagent-probe", ["rwagent", "python3-requests"]), ("luci-app-rwagent", ["luci-base", "rwagent"])])
def test_the_other_two_need_the_agent(ipks: dict[str, Path], name: str, depends: list[str]) -> None:
    """The probe's package has no file; it brings requests."""
    assert words(fields_of(control_of(ipks[name])["./control"])["Depends"]) == depends
    assert (len(read_ipk(ipks[name])["./data.tar.gz"]) == 1) is (name == "rwagent-probe")


def test_the_configuration_is_a_conffile(ipks: dict[str, Path]) -> None:
    """And only it: /etc/rwagent is nobody's package's."""
    assert control_of(ipks["rwagent"])["./conffiles"] == "/etc/config/rwagent\n"
    assert not [member for member, _ in read_ipk(ipks["rwagent"])["./data.tar.gz"] if member.name.startswith("./etc/rwagent")]


def test_opkgs_scripts_are_openwrts(ipks: dict[str, Path]) -> None:
    """They call default_postinst and default_prerm, which run the package's own parts."""
    found = control_of(ipks["rwagent"])
    assert found["./postinst"].splitlines()[-1] == "default_postinst $0 $@"
    assert found["./prerm"].splitlines()[-1] == "default_prerm $0 $@"
    for name, program in (("./postinst-pkg", "package-postinst"), ("./prerm-pkg", "package-prerm"), ("./preinst", "package-prerm")):
        assert f'"${{IPKG_INSTROOT}}/usr/libexec/rwagent/{program}"' in found[name], name


# The tree


def test_every_file_of_the_feed_is_in_the_package(ipks: dict[str, Path]) -> None:
    """files/ as it stands, and the scripts beside Python but the one for plain Linux."""
    names = {member.name for member, _ in read_ipk(ipks["rwagent"])["./data.tar.gz"]}
    files = ROOT / "openwrt_package/rwagent/files"
    assert {f"./{path.relative_to(files)}" for path in files.rglob("*") if path.is_file()} <= names
    beside = {path.name for path in (ROOT / "agent/ash").iterdir()} - {"reload_linux"}
    assert {f"./usr/libexec/rwagent/{name}" for name in beside} <= names
    assert "./usr/libexec/rwagent/reload_linux" not in names


def test_no_file_hides_another() -> None:
    """What the feed, the agent and LuCI's application put into /usr/libexec/rwagent has different names."""
    places = ("agent/ash", "openwrt_package/rwagent/files/usr/libexec/rwagent", "openwrt_package/luci-app-rwagent/root/usr/libexec/rwagent")
    names = [path.name for place in places for path in (ROOT / place).iterdir()]
    assert len(names) == len(set(names))


def test_the_agents_scripts_are_where_python_looks(release: str, built: Built) -> None:
    """site-packages/agent/ash is a link to /usr/libexec/rwagent."""
    if release == "24.10":
        members = [member for member, _ in read_ipk(built.out / release / "rwagent_0.1.0-r1_all.ipk")["./data.tar.gz"]]
    else:
        members = Apk.members(built.out / release / "rwagent/tree")
    links = {member.name.removeprefix("./"): member.target for member in members if member.target}
    assert links == {f"usr/lib/python{RELEASES[release]}/site-packages/agent/ash": "/usr/libexec/rwagent"}


@pytest.mark.parametrize("name", ["rwagent", "rwagent-apply"])
def test_programs_are_isolated(ipks: dict[str, Path], name: str) -> None:
    """-I: neither the working directory nor the environment says what root imports."""
    files = {member.name: member.content for member, _ in read_ipk(ipks["rwagent"])["./data.tar.gz"]}
    assert files[f"./usr/bin/{name}"].startswith(b"#!/usr/bin/python3 -I\n")


# What apk mkpkg is given


@pytest.fixture
def apk(built: Built) -> Path:
    """The directory that 25.12's agent is made an .apk from."""
    if not (built.out / "25.12").is_dir():
        pytest.skip("no Python 3.13 on this machine")
    return built.out / "25.12/rwagent"


def test_apk_is_told_the_same(apk: Path) -> None:
    """noarch, for apk does not install "all"; the Python with apk's own operator; no netifaces, which 25.12 does not have."""
    said = Apk.arguments_of(apk)
    assert (said["name"], said["version"], said["arch"], said["license"]) == ("rwagent", "0.1.0-r1", "noarch", "Apache-2.0")
    assert said["depends"].split()[0] == "python3-light~3.13"
    assert {re.sub("[~<>=].*", "", one) for one in said["depends"].split()} == DEPENDS


def test_apks_arguments_name_what_is_there(apk: Path) -> None:
    """Each script and the tree lie beside the list; the .apk comes there too."""
    words = (apk / "mkpkg.args").read_text().splitlines()
    scripts = [words[at + 1].partition(":") for at, word in enumerate(words) if word == "--script"]
    assert [name for name, _, _ in scripts] == ["pre-install", "pre-upgrade", "post-install", "post-upgrade", "pre-deinstall", "post-deinstall"]
    assert all(os.access(apk / file, os.X_OK) for _, _, file in scripts)
    assert words[-4:] == ["--files", "tree", "--output", "rwagent-0.1.0-r1.apk"]


def test_apk_upgrades_say_so(apk: Path) -> None:
    """apk sets nothing, so its post-upgrade does what opkg's environment does."""
    assert (apk / "post-upgrade").read_text() == (apk / "post-install").read_text().replace("#!/bin/sh\n", "#!/bin/sh\nexport PKG_UPGRADE=1\n", 1)


def test_apks_lists(apk: Path) -> None:
    """The files as default_postinst and sysupgrade read them: all but the list and the conffiles' own; the user; the conffile with its sum."""
    lists = apk / "tree/lib/apk/packages"
    tree = {f"/{path.relative_to(apk / 'tree')}" for path in (apk / "tree").rglob("*") if path.is_symlink() or path.is_file()}
    own = {f"/lib/apk/packages/rwagent.{name}" for name in ("list", "conffiles", "conffiles_static")}
    listed = (lists / "rwagent.list").read_text().splitlines()
    assert (set(listed), listed) == (tree - own, sorted(listed))
    assert (lists / "rwagent.rusers").read_text() == "rwagent=551:rwagent=551\n"
    assert (lists / "rwagent.conffiles").read_text() == "/etc/config/rwagent\n"
    digest = hashlib.sha256((apk / "tree/etc/config/rwagent").read_bytes()).hexdigest()
    assert (lists / "rwagent.conffiles_static").read_text() == f"/etc/config/rwagent {digest}\n"


def test_apks_tree_has_openwrts_modes(apk: Path) -> None:
    """apk takes them from the disk."""
    found = [path for path in (apk / "tree").rglob("*") if not path.is_symlink()]
    assert {path.stat().st_mode & 0o7777 for path in found} <= {0o755, 0o644, 0o600}
    assert [path.name for path in found if path.stat().st_mode & 0o7777 == 0o600] == ["rwagent"]


def test_the_lists_of_an_empty_package(tmp_path: Path) -> None:
    """The probe's: a list without a line, no users, no conffiles."""
    assert formats.apk_parts(package(tree=tmp_path)).files == {"lib/apk/packages/one.list": b""}


# One small package, by itself


@pytest.fixture
def small(tmp_path: Path) -> Package:
    """With a program, a secret, a link, a script for each moment, and a mode that a clone may have and a router must not."""
    for name, mode in (("usr/bin/one", 0o775), ("etc/config/one", 0o664), ("usr/share/one", 0o666)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x\n")
        (tmp_path / name).chmod(mode)
    (tmp_path / "usr/bin").chmod(0o777)
    (tmp_path / "usr/bin/two").symlink_to("/usr/bin/one")
    scripts = {name: f"#!/bin/sh\necho {name}" for name in ("preinst", "postinst", "prerm", "postrm")}
    return package(tree=tmp_path, conffiles=("/etc/config/one",), users="one=5:one=5", bound=("two (>=1)", "two (<<3)"), depends=("three",), **scripts)


def test_a_clones_modes_are_not_a_routers(small: Package) -> None:
    """0755 what is run, 0600 what is configured, else 0644; a link is a link."""
    modes = {member.name: member.mode for member in formats.members(small.tree)}
    assert modes["./usr/bin/"] == modes["./usr/bin/one"] == 0o755
    assert (modes["./etc/config/one"], modes["./usr/share/one"]) == (0o600, 0o644)
    assert [member.target for member in formats.members(small.tree) if member.name == "./usr/bin/two"] == ["/usr/bin/one"]


def test_an_ipk_is_the_same_each_time(small: Package) -> None:
    """Its only time is the one that it is given."""
    first = formats.ipk(small, 86400)
    os.utime(small.tree / "usr/bin/one", (1, 1))
    assert formats.ipk(small, 86400) == first
    assert {info.mtime for _, info in read_tar(first)} == {86400}


def test_versions_of_dependencies_are_said_in_both_tongues(small: Package) -> None:
    """opkg's with parentheses, before the plain ones; apk's without, nor spaces."""
    assert fields_of(formats.control(small, 0, 1))["Depends"] == "two (>=1), two (<<3), three"
    assert "depends:two>=1 two<<3 three" in formats.apk_parts(small).arguments


def test_apks_scripts_carry_the_packages_own(small: Package) -> None:
    """Behind default_postinst and default_prerm, with no second #!; who removes knows no upgrade."""
    scripts = {name: text.decode().splitlines() for name, text in formats.apk_parts(small).scripts.items()}
    assert scripts["post-install"][-3:] == ["add_group_and_user", "default_postinst", "echo postinst"]
    assert scripts["post-upgrade"][:2] == ["#!/bin/sh", "export PKG_UPGRADE=1"]
    assert scripts["pre-upgrade"] == ["#!/bin/sh", "export PKG_UPGRADE=1", "echo preinst"]
    assert scripts["pre-deinstall"][-2:] == ["default_prerm", "echo prerm"]
    assert scripts["post-deinstall"] == ["#!/bin/sh", "echo postrm"]
    assert all(sum(line.startswith("#!") for line in lines) == 1 for lines in scripts.values())


def test_the_list_of_files_has_the_users_file_and_not_itself(small: Package) -> None:
    """As package-pack.mk's order of things has it."""
    assert formats.apk_parts(small).files["lib/apk/packages/one.list"].decode().splitlines() == [
        "/etc/config/one",
        "/lib/apk/packages/one.rusers",
        "/usr/bin/one",
        "/usr/bin/two",
        "/usr/share/one",
    ]


# The feed


def test_the_sdk_finds_both_packages() -> None:
    """scripts/feeds looks for these words in Makefiles at most five directories deep."""
    found = [path.relative_to(ROOT) for depth in range(1, 6) for path in ROOT.glob("/".join(["*"] * (depth - 1) + ["Makefile"]))]
    called = [path for path in found if re.search("call (Build/DefaultTargets|BuildPackage|KernelPackage)", (ROOT / path).read_text())]
    assert sorted(map(str, called)) == ["openwrt_package/luci-app-rwagent/Makefile", "openwrt_package/rwagent/Makefile"]


def test_the_clone_is_found_through_the_feeds_link(tmp_path: Path) -> None:
    """`scripts/feeds install` links package/feeds/rwagent/rwagent to the package's directory; the agent lies two above that, not above the link."""
    (tmp_path / "package/feeds/rwagent").mkdir(parents=True)
    link = tmp_path / "package/feeds/rwagent/rwagent"
    link.symlink_to(ROOT / "openwrt_package/rwagent")
    said = tmp_path / "version.txt"
    (tmp_path / "print.mk").write_text(f"include ../version.mk\nall:\n\t@echo $(RWAGENT_CLONE) >{said}\n")
    subprocess.run(["make", "-C", os.fspath(link), "-f", os.fspath(tmp_path / "print.mk")], capture_output=True, timeout=60, check=True)
    assert said.read_text() == f"{ROOT}\n"


@pytest.mark.needs("shellcheck", "busybox")
@pytest.mark.parametrize("name", ["rwagent", "luci-app-rwagent"])
def test_the_packages_scripts_are_shell(ipks: dict[str, Path], tmp_path: Path, name: str) -> None:
    """BusyBox' ash reads them, and shellcheck has nothing to say of our own parts."""
    for part, text in control_of(ipks[name]).items():
        if text.startswith("#!/bin/sh"):
            (tmp_path / part).write_text(text)
            subprocess.run(["busybox", "ash", "-n", os.fspath(tmp_path / part)], timeout=60, check=True)
    own = [os.fspath(path) for path in tmp_path.iterdir() if path.name in ("preinst", "postinst-pkg", "prerm-pkg", "postrm")]
    done = subprocess.run(["shellcheck", "--shell=dash", *own], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


# The script


def test_the_same_again(built: Built, tmp_path: Path) -> None:
    """Same clone, same Python: the same bytes, whatever the hash seed, the umask and the time."""
    if not (built.out / "25.12").is_dir():
        pytest.skip("no Python 3.13 on this machine")
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    command = [sys.executable, SCRIPT, "--out", os.fspath(tmp_path), "--release", "25.12"]
    done = subprocess.run(command, env=environment, umask=0o077, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    first, again = (tarred(place / "25.12") for place in (built.out, tmp_path))
    assert first == again


def tarred(place: Path) -> dict[str, tuple[int, float, str]]:
    """What lies in a directory: mode, time and content, of links their target."""
    found = {}
    for path in sorted(place.rglob("*")):
        content = os.readlink(path) if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        is_packed = "tree" in path.parts
        found[path.relative_to(place).as_posix()] = (path.lstat().st_mode if is_packed else 0, path.lstat().st_mtime if is_packed else 0, content)
    return found


def test_the_table_names_what_was_built(built: Built) -> None:
    """File, size, installed size, and what an image holds of it."""
    if built.status == 0:
        assert re.search(r"rwagent_0\.1\.0-r1_all\.ipk +[\d,]+ +[\d,]+ +[\d,]+\n", built.said)
        assert "in squashfs: as an image holds them" in built.said


def test_an_image_holds_no_more_of_the_agent_than_the_budget(release: str, built: Built) -> None:
    """DESIGN.md, section 7: of the built package, as the table says it."""
    suffix = r"_all\.ipk" if release == "24.10" else r"\.apk"
    (found,) = re.findall(rf"^(?:{re.escape(release)}/)?rwagent[_-]0\.1\.0-r1{suffix}.* ([\d,]+)$", built.said, re.MULTILINE)
    assert 100_000 < int(found.replace(",", "")) <= BUDGET_BYTES


def test_a_release_without_its_python_is_left_out_and_said(tmp_path: Path) -> None:
    """Exit status 3, the release and the Python by name, and nothing of it below --out."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python3").symlink_to(sys.executable)
    environment = {"PATH": os.fspath(programs), "HOME": os.fspath(tmp_path)}
    done = subprocess.run(
        [sys.executable, SCRIPT, "--out", os.fspath(tmp_path / "out"), "--release", "25.12"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3
    assert "25.12 is left out: no Python 3.13 on this machine" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--help"], 0, "scripts/build_package --out build/openwrt"),
        ([], 2, "--out"),
        (["--out", "x", "--python", "python3"], 2, "needs --release"),
        (["--out", "x", "--release", "23.05"], 2, "invalid choice"),
        (["--out", "/proc/nowhere", "--release", "25.12", "--python", "/bin/sh"], 1, "expected 3.13, which OpenWrt 25.12 has"),
    ],
)
def test_what_it_is_told(arguments: list[str], status: int, said: str) -> None:
    """Help with an example; what it cannot use it names."""
    done = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == status
    assert said in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("version", "is_taken"), [("1.2.3", True), ("1.2.3_rc1", True), ("1.2.3rc1", False), ("0.1.0.dev1", False), ("1.2-3", False), ("v1", False)]
)
def test_versions_that_apk_would_refuse_are_refused(tmp_path: Path, version: str, is_taken: bool) -> None:
    """By both Makefiles, before anything is built, saying what is expected."""
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent/__init__.py").write_text(f'__version__ = "{version}"\n')
    directory = tmp_path / "openwrt_package/one"
    directory.mkdir(parents=True)
    shutil.copy(ROOT / "openwrt_package/version.mk", directory.parent)
    (directory / "Makefile").write_text("include ../version.mk\nall:\n\t@echo $(RWAGENT_VERSION)\n")
    done = subprocess.run(["make", "-C", os.fspath(directory), "--no-print-directory"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode == 0) is is_taken
    assert done.stdout == f"{version}\n" if is_taken else f'the version is "{version}", expected numbers like 1.2.3' in done.stderr


def test_tars_hold_long_names() -> None:
    """GNU's format: a path of more than 100 characters comes back whole."""
    name = "./" + "/".join(["directory"] * 14) + "/file"
    packed = formats._tar([formats.Member(name, 0o644, b"x")], 1)
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        assert tar.getnames() == [name]


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="24.10 has Python 3.11")
def test_it_needs_no_git(tmp_path: Path) -> None:
    """A machine that got the folder otherwise has none; the files are then of the same day each time."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for directory in [Path(sys.executable).parent, *(Path(one) for one in os.environ["PATH"].split(":"))]:
        for program in sorted(directory.iterdir()) if directory.is_dir() else ():
            if program.name != "git" and not (programs / program.name).is_symlink():
                (programs / program.name).symlink_to(program)
    command = [sys.executable, str(ROOT / "scripts/build_package"), "--out", str(tmp_path / "out"), "--release", "24.10", "--python", sys.executable]
    environment = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"} | {"PATH": str(programs)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    with tarfile.open(next((tmp_path / "out/24.10").glob("rwagent_*.ipk"))) as archive:
        assert {member.mtime for member in archive} == {1_767_225_600}
