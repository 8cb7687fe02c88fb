"""OpenWrt's two package formats, byte for byte as its build system makes them (include/package-pack.mk, scripts/ipkg-build): pure, but for the files of a tree.

`ipk` gives the file that opkg installs. `apk_parts` gives what `apk mkpkg` makes one of: the files under /lib/apk/packages, the scripts, the arguments.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

# Every opkg and every apk takes packages of these two for any processor. The SDK says the target's own instead, as for all that holds Python's bytecode.
IPK_ANY, APK_ANY = "all", "noarch"
SECRET_DIRECTORY = "etc/config"
NO_FUNCTIONS = "[ -s ${IPKG_INSTROOT}/lib/functions.sh ] || exit 0"
FUNCTIONS = ". ${IPKG_INSTROOT}/lib/functions.sh"


class Package(NamedTuple):
    """What a package is, as its Makefile says; `depends` without the Makefile's marks, `bound` with versions ("name (>=1)"); texts end without a line break."""

    name: str
    version: str
    source: str
    source_name: str
    depends: tuple[str, ...]
    bound: tuple[str, ...]
    users: str
    section: str
    license: str
    license_files: str
    maintainer: str
    url: str
    description: str
    conffiles: tuple[str, ...]
    preinst: str
    postinst: str
    prerm: str
    postrm: str
    tree: Path


class Member(NamedTuple):
    """One file, directory or symlink of a package; `name` begins with "./"."""

    name: str
    mode: int
    content: bytes = b""
    target: str = ""
    is_directory: bool = False


def members(tree: Path) -> list[Member]:
    """Read a tree, sorted; modes are OpenWrt's, whatever the clone's were: 0755 for what may be run and for directories, 0600 in /etc/config, else 0644."""
    found = [Member("./", 0o755, is_directory=True)]
    for path in sorted(tree.rglob("*"), key=lambda one: one.relative_to(tree).as_posix()):
        name = path.relative_to(tree).as_posix()
        if path.is_symlink():
            found.append(Member(f"./{name}", 0o777, target=os.readlink(path)))
        elif path.is_dir():
            found.append(Member(f"./{name}/", 0o755, is_directory=True))
        else:
            found.append(Member(f"./{name}", mode_of(name, path.stat().st_mode), path.read_bytes()))
    return found


def mode_of(name: str, mode: int) -> int:
    """Give the mode that a file is installed with."""
    if mode & 0o100:
        return 0o755
    return 0o600 if name.startswith(f"{SECRET_DIRECTORY}/") else 0o644


def ipk(package: Package, at: int) -> bytes:
    """Make the .ipk; `at` is the time of all that is in it, Unix seconds."""
    data = _tar(members(package.tree), at)
    control = _tar(list(_control_members(package, len(data), at)), at)
    outer = [Member("./debian-binary", 0o644, b"2.0\n"), Member("./data.tar.gz", 0o644, _gzip(data)), Member("./control.tar.gz", 0o644, _gzip(control))]
    return _gzip(_tar(outer, at))


def _control_members(package: Package, installed_size: int, at: int) -> Iterator[Member]:
    yield Member("./", 0o755, is_directory=True)
    if package.conffiles:
        yield Member("./conffiles", 0o644, _lines(sorted(package.conffiles)))
    yield Member("./control", 0o644, control(package, installed_size, at).encode())
    install = ['[ "${IPKG_NO_SCRIPT}" = "1" ] && exit 0', NO_FUNCTIONS, FUNCTIONS, "default_postinst $0 $@"]
    yield Member("./postinst", 0o755, _lines(["#!/bin/sh", *install]))
    if package.postinst:
        yield Member("./postinst-pkg", 0o755, f"{package.postinst}\n".encode())
    if package.postrm:
        yield Member("./postrm", 0o755, f"{package.postrm}\n".encode())
    if package.preinst:
        yield Member("./preinst", 0o755, f"{package.preinst}\n".encode())
    yield Member("./prerm", 0o755, _lines(["#!/bin/sh", NO_FUNCTIONS, FUNCTIONS, "default_prerm $0 $@"]))
    if package.prerm:
        yield Member("./prerm-pkg", 0o755, f"{package.prerm}\n".encode())


def control(package: Package, installed_size: int, at: int) -> str:
    """Give the control file. A field without a value is left out: opkg crashes on an empty Depends line."""
    fields = {
        "Package": package.name,
        "Version": package.version,
        "Depends": ", ".join([*package.bound, *package.depends]),
        "Source": package.source,
        "SourceName": package.source_name,
        "License": package.license,
        "LicenseFiles": package.license_files,
        "Section": package.section,
        "Require-User": package.users,
        "SourceDateEpoch": str(at),
        "URL": package.url,
        "Maintainer": package.maintainer,
        "Architecture": IPK_ANY,
        "Installed-Size": str(installed_size),
    }
    # Each line of it begins with a space; the first stands behind the field's own.
    description = "\n".join(f" {line.strip()}" for line in package.description.splitlines())
    return "".join(f"{name}: {value}\n" for name, value in fields.items() if value) + f"Description: {description}\n"


class ApkParts(NamedTuple):
    """What is put into the tree besides, by its path there; the scripts by apk's names for them; the arguments of `apk`, with paths below the directory."""

    files: Mapping[str, bytes]
    scripts: Mapping[str, bytes]
    arguments: tuple[str, ...]


def apk_parts(package: Package) -> ApkParts:
    """Give what package-pack.mk makes of a package for apk; `files` and the scripts' names stand below the directory that holds tree/."""
    lists = f"lib/apk/packages/{package.name}"
    users = {f"{lists}.rusers": f"{package.users}\n".encode()} if package.users else {}
    own = [f"/{one.name[2:]}" for one in members(package.tree) if not one.is_directory]
    files = {**users, f"{lists}.list": _lines(sorted([*own, *(f"/{name}" for name in users)]))}
    if package.conffiles:
        files[f"{lists}.conffiles"] = _lines(package.conffiles)
        sums = [f"{name} {hashlib.sha256((package.tree / name[1:]).read_bytes()).hexdigest()}" for name in package.conffiles]
        files[f"{lists}.conffiles_static"] = _lines(sums)
    scripts = _apk_scripts(package)
    return ApkParts(files, scripts, _mkpkg(package, scripts))


def _apk_scripts(package: Package) -> dict[str, bytes]:
    names = ['export root="${IPKG_INSTROOT}"', f'export pkgname="{package.name}"']
    install = ['[ "${IPKG_NO_SCRIPT}" = "1" ] && exit 0', NO_FUNCTIONS, FUNCTIONS, *names, "add_group_and_user", "default_postinst", *_plain(package.postinst)]
    remove = [NO_FUNCTIONS, FUNCTIONS, *names, "default_prerm", *_plain(package.prerm)]
    before = {
        "pre-install": f"{package.preinst}\n".encode(),
        "pre-upgrade": _lines(["#!/bin/sh", "export PKG_UPGRADE=1", *_plain(package.preinst)]),
    }
    return {
        **(before if package.preinst else {}),
        "post-install": _lines(["#!/bin/sh", *install]),
        "post-upgrade": _lines(["#!/bin/sh", "export PKG_UPGRADE=1", *install]),
        "pre-deinstall": _lines(["#!/bin/sh", *remove]),
        **({"post-deinstall": f"{package.postrm}\n".encode()} if package.postrm else {}),
    }


def _plain(script: str) -> list[str]:
    return [line for line in script.splitlines() if not re.match(r"\s*#!", line)]


def _mkpkg(package: Package, scripts: Mapping[str, bytes]) -> tuple[str, ...]:
    depends = " ".join(re.sub(r"[ ()]", "", one) for one in (*package.bound, *package.depends))
    said = {
        "name": package.name,
        "version": package.version,
        "description": " ".join(package.description.split()),
        "arch": APK_ANY,
        "license": package.license,
        "origin": package.source,
        "url": package.url,
        "maintainer": package.maintainer,
    }
    words = ["mkpkg"]
    for name, value in said.items():
        words += ["--info", f"{name}:{value}"]
    for name in scripts:
        words += ["--script", f"{name}:{name}"]
    return (*words, "--info", f"depends:{depends}", "--files", "tree", "--output", apk_name(package))


def ipk_name(package: Package) -> str:
    """Give the .ipk's file name."""
    return f"{package.name}_{package.version}_{IPK_ANY}.ipk"


def apk_name(package: Package) -> str:
    """Give the .apk's file name."""
    return f"{package.name}-{package.version}.apk"


def _lines(lines: list[str] | tuple[str, ...]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _gzip(content: bytes) -> bytes:
    return gzip.compress(content, 9, mtime=0)


def _tar(content: list[Member], at: int) -> bytes:
    """Make a tar of GNU's format in which all is root's and as old as `at`."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for one in content:
            info = tarfile.TarInfo(one.name.rstrip("/") if one.is_directory else one.name)
            info.mode, info.mtime, info.size = one.mode, at, len(one.content)
            if one.is_directory:
                info.type = tarfile.DIRTYPE
            elif one.target:
                info.type, info.linkname = tarfile.SYMTYPE, one.target
            tar.addfile(info, io.BytesIO(one.content))
    return made.getvalue()
