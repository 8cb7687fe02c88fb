"""The packages, built once for all tests of a run by scripts/build_package itself, and a Python that has what a router has."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from scripts.package_code import found_python
from tests.openwrt_package.unpack import Apk, Manager, read_ipk

ROOT = Path(__file__).resolve().parents[2]
RELEASES = {"24.10": "3.11", "25.12": "3.13"}
WITHIN_S = 300


class Built(NamedTuple):
    """What one run of scripts/build_package made: its directory, its exit status, and what it said."""

    out: Path
    status: int
    said: str


class Router(NamedTuple):
    """A package's files, unpacked, and an interpreter of its release whose site-packages has that agent, and this machine's third-party packages."""

    tree: Path
    python: Path

    def run(self, *words: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run Python as the package's programs do."""
        return subprocess.run([str(self.python), "-I", *words], cwd="/", capture_output=True, text=True, timeout=seconds, check=False)

    def program(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a program of /usr/bin."""
        return self.run(str(self.tree / "usr/bin" / name), *words)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Both releases' packages, shared by all workers."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    done = shared / "packages.done"
    with (shared / "packages.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            command = [sys.executable, str(ROOT / "scripts/build_package"), "--out", str(shared / "packages")]
            ran = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False)
            done.write_text(f"{ran.returncode}\n{ran.stdout}{ran.stderr}")
        status, _, said = done.read_text().partition("\n")
    return Built(shared / "packages", int(status), said)


@pytest.fixture(scope="session", params=sorted(RELEASES))
def release(request: pytest.FixtureRequest, built: Built) -> str:
    """Each release that was built here; one whose Python is missing is skipped, as the script leaves it out."""
    name = str(request.param)
    if not (built.out / name).is_dir():
        assert built.status == 3, built.said
        pytest.skip(f"no Python {RELEASES[name]} on this machine")
    return name


@pytest.fixture(scope="session")
def router(release: str, built: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Router]:
    """What a router of this release has of the agent, with the Python that it has."""
    folder = tmp_path_factory.mktemp("router")
    tree = folder / "tree"
    if release == "24.10":
        packed = read_ipk(next((built.out / release).glob("rwagent_*.ipk")))["./data.tar.gz"]
        members = [member for member, _ in packed]
    else:
        members = Apk.members(built.out / release / "rwagent/tree")
    for member in members:
        Manager(tree).put(member)
    python = found_python(RELEASES[release])
    assert python is not None
    subprocess.run([python, "-m", "venv", "--without-pip", str(folder / "venv")], check=True, timeout=WITHIN_S)
    site = next((folder / "venv").glob("lib/python*/site-packages"))
    packaged = next(tree.glob("usr/lib/python*/site-packages/agent"))
    # On the router it is a link from / on.
    (packaged / "ash").unlink()
    (packaged / "ash").symlink_to(tree / "usr/libexec/rwagent")
    (site / "agent").symlink_to(packaged)
    (site / "third.pth").write_text(sysconfig.get_path("purelib") + "\n")
    yield Router(tree, folder / "venv/bin/python")
