"""Installs, upgrades and removes our packages in a root directory as opkg and apk do, after their sources and the recordings of both; nothing else of either.

Scripts run under BusyBox' ash, with IPKG_INSTROOT as the image builder gives it, or in that root itself (`is_live`, by chroot; `enter`: by these words).
A package of apk's is the directory that scripts/build_package makes an .apk from.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from scripts.package_formats import Member

WITHIN_S = 60
SEARCH = "/usr/sbin:/usr/bin:/sbin:/bin"
NEW_IN_OPKG, NEW_IN_APK = "-opkg", ".apk-new"
# apk looks at what is there already only below it (its default, "+etc").
PROTECTED = "etc/"


class Refused(Exception):
    """The package manager would not; as it says it."""


class Installed(NamedTuple):
    """One installed package: its version, its files without directories, and the sums of its conffiles (apk: of all protected files) as they came."""

    version: str
    files: tuple[str, ...]
    sums: dict[str, str]


class Ran(NamedTuple):
    """One script that was run, and what it said."""

    name: str
    text: str


class Manager:
    """What both have: a root, who is installed, and the scripts that were run, in order."""

    def __init__(self, root: Path, *, is_live: bool = False, enter: Sequence[str] = ()) -> None:
        self.root, self.is_live = root, is_live or bool(enter)
        self.enter = enter or ("chroot", str(root))
        self.installed: dict[str, Installed] = {}
        self.ran: list[Ran] = []

    def run(self, script: Path, words: Sequence[str] = (), **environment: str) -> None:
        """Run a script of a package; Refused when it fails."""
        if self.is_live:
            command = [*self.enter, "/bin/ash", f"/{script.relative_to(self.root)}", *words]
        else:
            command = ["busybox", "ash", str(script), *words]
            environment["IPKG_INSTROOT"] = str(self.root)
        environment["PATH"] = SEARCH
        done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, timeout=WITHIN_S, check=False)
        self.ran.append(Ran(script.name, done.stdout + done.stderr))
        if done.returncode != 0:
            raise Refused(f"{script.name} ended with {done.returncode}: {done.stdout}{done.stderr}")

    def put(self, member: Member) -> Path:
        """Put one member into the root."""
        path = self.root / member.name
        if member.is_directory:
            path.mkdir(exist_ok=True, parents=True)
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if member.target:
            path.symlink_to(member.target)
        else:
            path.write_bytes(member.content)
            path.chmod(member.mode)
        return path

    def sum_of(self, name: str) -> str | None:
        """Give the sum of a file as it is now; None when there is none."""
        path = self.root / name
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def read_tar(packed: bytes) -> list[tuple[Member, tarfile.TarInfo]]:
    """Read a gzip'd tar: each member, and all that its header says."""
    found = []
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed))) as tar:
        for info in tar:
            file = tar.extractfile(info) if info.isreg() else None
            found.append((Member(info.name, info.mode, file.read() if file else b"", info.linkname, info.isdir()), info))
    return found


@functools.cache
def read_ipk(file: Path) -> dict[str, list[tuple[Member, tarfile.TarInfo]]]:
    """Read an .ipk's two archives, by their names."""
    outer = {member.name: member.content for member, _ in read_tar(file.read_bytes())}
    assert outer.pop("./debian-binary") == b"2.0\n"
    return {name: read_tar(content) for name, content in outer.items()}


def fields_of(control: str) -> dict[str, str]:
    """Read a control file; AssertionError on a line that crashes the real opkg, one without a value."""
    found: dict[str, str] = {}
    for line in control.splitlines():
        if line.startswith(" "):
            continue
        name, colon, value = line.partition(":")
        assert colon and value.strip(), f"the real opkg does not survive this line: {line!r}"
        found[name] = value.strip()
    return found


class Opkg(Manager):
    """opkg, as 24.10 has it (libopkg/opkg_install.c, opkg_remove.c)."""

    @property
    def info(self) -> Path:
        """Where a package's scripts and lists are kept."""
        return self.root / "usr/lib/opkg/info"

    def install(self, file: Path) -> str:
        """Install or upgrade from an .ipk; give what is printed."""
        archives = read_ipk(file)
        control = {member.name.removeprefix("./"): member for member, _ in archives["./control.tar.gz"]}
        data = [member for member, _ in archives["./data.tar.gz"]]
        fields = fields_of(control["control"].content.decode())
        name, version = fields["Package"], fields["Version"]
        old = self.installed.get(name)
        if old and old.version == version:
            return f"Package {name} ({version}) installed in root is up to date.\n"
        conffiles = [line.lstrip("/") for line in control["conffiles"].content.decode().split()] if "conffiles" in control else []
        is_upgrade = "1" if old else "0"
        if old:
            self._script(name, "prerm", "upgrade", version, PKG_UPGRADE=is_upgrade)
        if "preinst" in control:
            path = self.put(control["preinst"]._replace(name="tmp/preinst"))
            self.run(path, ["upgrade", old.version] if old else ["install"], PKG_ROOT="/", PKG_UPGRADE=is_upgrade)
            path.unlink()
        self._back_up(old, conffiles)
        self._refuse_clashes(old, data)
        if old:
            self._script(name, "postrm", "upgrade", version, PKG_UPGRADE=is_upgrade)
            self._unlink_gone(name, old, data)
        self.info.mkdir(parents=True, exist_ok=True)
        for script, member in control.items():
            if not member.is_directory:
                self.put(member._replace(name=f"usr/lib/opkg/info/{name}.{script}"))
        for member in data:
            self.put(member)
        files = tuple(member.name.removeprefix("./") for member in data if not member.is_directory)
        (self.info / f"{name}.list").write_text("".join(f"/{one}\n" for one in files))
        sums = {one: str(self.sum_of(one)) for one in conffiles}
        said = self._resolve(sums)
        self.installed[name] = Installed(version, files, sums)
        self._script(name, "postinst", "configure", PKG_UPGRADE=is_upgrade)
        first = f"Upgrading {name} on root from {old.version} to {version}..." if old else f"Installing {name} ({version}) to root..."
        return f"{first}\n{said}Configuring {name}.\n"

    def remove(self, name: str) -> str:
        """Remove a package; give what is printed. Directories stay, and changed conffiles."""
        found = self.installed.get(name)
        if found is None:
            return "No packages removed.\n"
        self._script(name, "prerm", "remove", PKG_UPGRADE="0")
        said = f"Removing package {name} from root...\n"
        for one in found.files:
            if one in found.sums and self.sum_of(one) not in (found.sums[one], None):
                said += f"Not deleting modified conffile /{one}.\n"
            else:
                (self.root / one).unlink(missing_ok=True)
        (self.info / f"{name}.list").unlink()
        self._script(name, "postrm", "remove", PKG_UPGRADE="0")
        for path in self.info.glob(f"{name}.*"):
            path.unlink()
        del self.installed[name]
        return said

    def _script(self, name: str, script: str, *words: str, **environment: str) -> None:
        path = self.info / f"{name}.{script}"
        if path.exists():
            self.run(path, words, PKG_ROOT="/", **environment)

    def _back_up(self, old: Installed | None, conffiles: list[str]) -> None:
        known = old.sums if old else {}
        changed = [one for one, was in known.items() if self.sum_of(one) not in (was, None)]
        for one in [*changed, *(one for one in conffiles if one not in known)]:
            if (self.root / one).is_file():
                shutil.copy2(self.root / one, self.root / f"{one}.opkg-backup")

    def _refuse_clashes(self, old: Installed | None, data: list[Member]) -> None:
        owners = {one: name for name, found in self.installed.items() for one in found.files}
        for member in data:
            name = member.name.removeprefix("./")
            if member.is_directory or not os.path.lexists(self.root / name) or (self.root / f"{name}.opkg-backup").exists():
                continue
            if not (old and name in old.files):
                raise Refused(f"wants to install file /{name}, which is provided by {owners.get(name, '<no package>')}")

    def _unlink_gone(self, name: str, old: Installed, data: list[Member]) -> None:
        kept = {member.name.removeprefix("./") for member in data}
        for one in old.files:
            if one not in kept:
                (self.root / one).unlink(missing_ok=True)
        for path in self.info.glob(f"{name}.*"):
            path.unlink()

    def _resolve(self, sums: dict[str, str]) -> str:
        said = ""
        for one, new in sums.items():
            path, backup = self.root / one, self.root / f"{one}.opkg-backup"
            if not backup.exists():
                continue
            if hashlib.sha256(backup.read_bytes()).hexdigest() != new:
                said += f"Existing conffile /{one} is different from the conffile in the new package. The new conffile will be placed at /{one}{NEW_IN_OPKG}.\n"
                path.rename(f"{path}{NEW_IN_OPKG}")
                backup.rename(path)
            backup.unlink(missing_ok=True)
        return said


class Apk(Manager):
    """apk-tools 3, as 25.12 has it (src/database.c, src/commit.c)."""

    @property
    def scripts(self) -> Path:
        """Where a package's scripts lie while it is installed."""
        return self.root / "lib/apk/db/scripts"

    def install(self, directory: Path) -> str:
        """Install or upgrade from what scripts/build_package wrote; give what is printed."""
        said = self.arguments_of(directory)
        name, version = said["name"], said["version"]
        old = self.installed.get(name)
        data = self.members(directory / "tree")
        files = tuple(member.name for member in data if not member.is_directory)
        self._refuse_clashes(name, files)
        kind = "upgrade" if old else "install"
        before = self._run(directory, name, version, f"pre-{kind}")
        sums = {}
        for member in data:
            if member.name.startswith(PROTECTED) and not member.is_directory and not member.target:
                sums[member.name] = hashlib.sha256(member.content).hexdigest()
                member = self._aside(member, old, sums[member.name])
            self.put(member)
        for one in set(old.files if old else ()) - set(files):
            self._purge(one, old)
        self.installed[name] = Installed(version, files, sums)
        self._keep(directory, name)
        after = self._run(directory, name, version, f"post-{kind}")
        first = f"Upgrading {name} ({old.version} -> {version})" if old else f"Installing {name} ({version})"
        return f"(1/1) {first}\n{before}{after}{self._total()}"

    def remove(self, name: str) -> str:
        """Remove a package; give what is printed. Empty directories go too, changed files below /etc stay."""
        found = self.installed.get(name)
        if found is None:
            raise Refused(f"No such package: {name}")
        kept = self.scripts / name
        before = self._run(kept, name, found.version, "pre-deinstall")
        for one in found.files:
            self._purge(one, found)
        for directory in sorted({parent for one in found.files for parent in Path(one).parents}, key=lambda path: -len(path.parts)):
            path = self.root / directory
            if directory.parts and path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
                path.rmdir()
        after = self._run(kept, name, found.version, "post-deinstall")
        shutil.rmtree(kept)
        del self.installed[name]
        return f"(1/1) Purging {name} ({found.version})\n{before}{after}{self._total()}"

    @staticmethod
    def arguments_of(directory: Path) -> dict[str, str]:
        """Read the metadata that `apk mkpkg` is given."""
        words = (directory / "mkpkg.args").read_text().splitlines()
        said = [words[at + 1] for at, word in enumerate(words) if word == "--info"]
        return {one.partition(":")[0]: one.partition(":")[2] for one in said}

    @staticmethod
    def members(tree: Path) -> list[Member]:
        """Read a tree as it lies on the disk."""
        found = []
        for path in sorted(tree.rglob("*")):
            name = path.relative_to(tree).as_posix()
            if path.is_symlink():
                found.append(Member(name, 0o777, target=os.readlink(path)))
            elif path.is_dir():
                found.append(Member(name, 0o755, is_directory=True))
            else:
                found.append(Member(name, path.stat().st_mode & 0o7777, path.read_bytes()))
        return found

    def _refuse_clashes(self, name: str, files: Sequence[str]) -> None:
        for other, found in self.installed.items():
            both = sorted(set(files) & set(found.files)) if other != name else []
            if both:
                raise Refused(f"trying to overwrite {both[0]} owned by {other}")

    def _aside(self, member: Member, old: Installed | None, new: str) -> Member:
        """Put a protected file beside the one that is there, when that one was changed by hand and the new one is news."""
        now = self.sum_of(member.name)
        was = old.sums.get(member.name) if old else None
        if now is None or now in (was, new):
            return member
        if was == new:
            return member._replace(content=(self.root / member.name).read_bytes())
        return member._replace(name=member.name + NEW_IN_APK)

    def _purge(self, name: str, found: Installed | None) -> None:
        if found and name in found.sums:
            (self.root / f"{name}{NEW_IN_APK}").unlink(missing_ok=True)
            if self.sum_of(name) != found.sums[name]:
                return
        (self.root / name).unlink(missing_ok=True)

    def _keep(self, directory: Path, name: str) -> None:
        shutil.rmtree(self.scripts / name, ignore_errors=True)
        (self.scripts / name).mkdir(parents=True)
        for path in directory.iterdir():
            if path.is_file():
                shutil.copy2(path, self.scripts / name / path.name)

    def _run(self, directory: Path, name: str, version: str, script: str) -> str:
        if not (directory / script).exists():
            return ""
        # apk runs a copy of its own, in its root.
        place = self.scripts / f"{name}-{version}.{script}"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(directory / script, place)
        self.run(place)
        place.unlink()
        return f"  Executing {place.name}\n"

    def _total(self) -> str:
        size = sum((self.root / one).lstat().st_size for found in self.installed.values() for one in found.files if (self.root / one).is_file())
        return f"OK: {size} B in {len(self.installed)} packages\n"
