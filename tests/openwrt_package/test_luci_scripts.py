"""The two scripts of luci-app-rwagent that rpcd runs as root, under busybox ash: what of the daemon's files they read, and that no bundle stays."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from agent.wire import bundle as form
from tests.bundles import AP, members, write

SCRIPTS = Path(__file__).resolve().parents[2] / "openwrt_package/luci-app-rwagent/root/usr/libexec/rwagent"
ROOT = Path(__file__).resolve().parents[2]
DAEMON, CONFIG, CAPS = '{"v":1,"pid":7}', '{"v":1,"reported":{"state":"confirmed"}}', '{"v":1,"wanted":[]}'
NOBODY = 65534
pytestmark = [pytest.mark.needs("busybox", "root"), pytest.mark.once]


def ash(script: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script as OpenWrt's shell would."""
    busybox = shutil.which("busybox") or "busybox"
    command = [busybox, "ash", str(SCRIPTS / script), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env={"PATH": os.environ["PATH"]} | environment)


# luci-status: the directory is the daemon's, `nobody` here.


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The daemon's directory in RAM with all that is read of it; and a PATH on which start-stop-daemon is busybox's."""
    # The user must be able to pass, as through /var/run.
    for folder in (tmp_path, *list(tmp_path.parents)[:3]):
        folder.chmod(folder.stat().st_mode | 0o011)
    run = tmp_path / "run"
    (run / "status").mkdir(parents=True)
    (run / "daemon.json").write_text(DAEMON)
    (run / "status/config.json").write_text(CONFIG)
    (run / "status/caps.json").write_text(CAPS + "\n")
    for path in (run, run / "daemon.json"):
        os.chown(path, NOBODY, NOBODY)
    run.chmod(0o750)
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "start-stop-daemon").symlink_to(shutil.which("busybox") or "busybox")
    return run


def told(run: Path, **environment: str) -> Mapping[str, str]:
    """Give what luci-status says, by name."""
    path = f"{run.parent}/bin:{os.environ['PATH']}"
    done = ash("luci-status", **({"RWAGENT_RUN_DIR": str(run), "RWAGENT_USER": "nobody", "PATH": path} | environment))
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if line)


def test_it_says_what_root_and_the_daemon_say(run: Path) -> None:
    found = dict(told(run))
    assert float(found.pop("uptime")) > 0
    assert found == {"config": CONFIG, "caps": CAPS, "daemon": DAEMON}


def test_what_the_daemon_says_comes_last(run: Path) -> None:
    """The page takes all that follows for the daemon's own."""
    assert list(told(run)) == ["uptime", "config", "caps", "daemon"]


def test_without_a_daemon_there_is_only_the_uptime(run: Path) -> None:
    shutil.rmtree(run)
    assert list(told(run)) == ["uptime"]


def test_a_link_leads_nowhere_that_the_daemon_cannot_read(run: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the Wi-Fi key\n")
    secret.chmod(0o600)
    (run / "daemon.json").unlink()
    (run / "daemon.json").symlink_to(secret)
    assert told(run)["daemon"] == ""


def test_a_fifo_does_not_stop_it(run: Path) -> None:
    (run / "daemon.json").unlink()
    os.mkfifo(run / "daemon.json")
    assert "daemon" not in told(run)


@pytest.mark.parametrize("kind", ["link", "directory"])
def test_root_reads_in_no_directory_of_the_daemons(kind: str, run: Path, tmp_path: Path) -> None:
    """Another one in the place of status/, with a link in it to what only root can read."""
    shutil.rmtree(run / "status")
    place = run / "status" if kind == "directory" else tmp_path / "elsewhere"
    place.mkdir()
    (place / "config.json").write_text("the Wi-Fi key")
    if kind == "link":
        (run / "status").symlink_to(place)
    else:
        os.chown(place, NOBODY, NOBODY)
    assert set(told(run)) == {"uptime", "daemon"}


def test_what_is_too_long_is_cut(run: Path) -> None:
    """rpcd takes 256 KiB from a program; more, and there is no answer at all."""
    for path in (run / "daemon.json", run / "status/config.json", run / "status/caps.json"):
        path.write_text("x" * 1_000_000)
    assert {name: len(text) for name, text in told(run).items() if name != "uptime"} == {"config": 65536, "caps": 32768, "daemon": 131072}


def test_a_daemon_without_a_user_says_nothing(run: Path) -> None:
    assert "daemon" not in {name for name, text in told(run, RWAGENT_USER="no-such-user").items() if text}


# luci-enroll.


class Enrolling:
    """A box whose `rwagent` is this one, with its settings in `folder`; `bundle` is where LuCI puts the upload."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bundle, self.config = folder, folder / "upload/bundle.tar.gz", folder / "etc/agent.toml"
        self.bundle.parent.mkdir()
        (folder / "bin").mkdir()
        rwagent = folder / "bin/rwagent"
        rwagent.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m agent "$@" --config {self.config}\n')
        rwagent.chmod(0o755)

    def settle(self, ap: str) -> None:
        """Give the box settings, of a simulated access point."""
        self.config.parent.mkdir()
        tables = {
            "agent": {"id": ap, "city": "malang"},
            "broker": {"host": "h"},
            "router": {"backend": "simulated"},
            "paths": {"run_dir": f"{self.folder}/run"},
        }
        self.config.write_text(form.toml(tables))

    def upload(self) -> None:
        """Put a bundle there as cgi-io does."""
        write(self.bundle.parent, members(), self.bundle.name)
        self.bundle.chmod(0o600)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Enrol."""
        return ash("luci-enroll", *words, RWAGENT_BUNDLE=str(self.bundle), PATH=f"{self.folder}/bin:{os.environ['PATH']}")


@pytest.fixture
def box(tmp_path: Path) -> Enrolling:
    return Enrolling(tmp_path)


def test_it_enrols_and_nothing_of_the_upload_stays(box: Enrolling) -> None:
    box.settle(AP)
    box.upload()
    done = box.run()
    assert (done.returncode, json.loads(done.stdout)["ap"]) == (0, AP), done.stderr
    assert os.listdir(box.bundle.parent) == []


def test_refused_or_forced_nothing_of_the_upload_stays(box: Enrolling) -> None:
    box.settle("rw-0777")
    box.upload()
    done = box.run()
    assert done.returncode == 1 and "rwagent enroll --force" in done.stderr
    assert os.listdir(box.bundle.parent) == []
    box.upload()
    assert json.loads(box.run("--force").stdout)["ap"] == AP
    assert os.listdir(box.bundle.parent) == []


@pytest.mark.parametrize("words", [("--config", "/etc/shadow"), ("",), ("--force", "--force"), ("/etc/shadow",)])
def test_it_takes_no_other_words(words: tuple[str, ...], box: Enrolling) -> None:
    """rpcd lets through any arguments of a program that may be run."""
    box.upload()
    done = box.run(*words)
    assert (done.returncode, done.stderr) == (2, "usage: luci-enroll [--force]\n")
    assert not box.bundle.exists()


def test_without_an_upload_it_says_so(box: Enrolling) -> None:
    done = box.run()
    assert done.returncode == 2 and f"there is no uploaded bundle at {box.bundle}" in done.stderr


@pytest.mark.parametrize("kind", ["link", "another's"])
def test_a_file_of_somebody_else_is_not_enrolled_with(kind: str, box: Enrolling) -> None:
    box.upload()
    if kind == "link":
        kept = box.bundle.rename(box.folder / "kept")
        box.bundle.symlink_to(kept)
    else:
        os.chown(box.bundle, NOBODY, NOBODY)
    assert box.run().returncode == 2
    assert not os.path.lexists(box.bundle) and not box.config.exists()
