"""The first start of a box that has the package, by the box's own boot: with a bundle, without one, with a bad one, and after an enrolment by hand."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bundles import AP, members, write
from tests.fakes.openwrt.userland.box import Box
from tests.openwrt_package.packaged import UID, logged, packaged

pytestmark = [pytest.mark.needs("root", "busybox", "unshare", "nsenter", "setpriv", "ip"), pytest.mark.once]

BUNDLE, TOML = "etc/rwagent/bundle.tar.gz", "etc/rwagent/agent.toml"
SCRIPT = "etc/uci-defaults/60_rwagent"


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    with packaged(tmp_path / "box") as box:
        (box.folder / "etc/openwrt_release").touch()
        yield box


def first_boot(box: Box) -> None:
    """Run the defaults as /etc/init.d/boot does."""
    done = box.init("boot", "boot")
    assert done.returncode == 0, done.stderr


def own(box: Box) -> dict[str, tuple[int, int, int]]:
    """Give owner, group and mode of what lies in /etc/rwagent."""
    folder = box.folder / "etc/rwagent"
    return {path.name: (path.stat().st_uid, path.stat().st_gid, stat.S_IMODE(path.stat().st_mode)) for path in (folder, *folder.iterdir())}


def test_without_a_bundle_the_directory_is_made_and_the_script_goes(box: Box) -> None:
    """As the daemon's group and the applier's wall want it; what is missing is said, and the file of UCI is as it came."""
    before = (box.folder / "etc/config/rwagent").read_bytes()
    first_boot(box)
    assert own(box) == {"rwagent": (0, UID, 0o750), "keys": (0, UID, 0o750), "state": (0, 0, 0o700), "secrets": (0, 0, 0o700)}
    assert "rwagent: not enrolled: /etc/rwagent/ca.pem, client.pem and client.key are missing" in logged(box)
    assert not (box.folder / SCRIPT).exists() and (box.folder / "etc/config/rwagent").read_bytes() == before


def test_a_bundle_in_the_image_is_enrolled_with_and_goes(box: Box) -> None:
    """Its private key is in place then; the settings are in UCI, with comments gone and all else there."""
    (box.folder / "etc/rwagent").mkdir()
    write(box.folder / "etc/rwagent", members())
    first_boot(box)
    assert not (box.folder / BUNDLE).exists() and not (box.folder / SCRIPT).exists()
    assert (box.value("rwagent.agent.id"), box.value("rwagent.main.jail")) == (AP, "1")
    assert own(box)["client.key"] == (0, UID, 0o640) and own(box)["agent.toml"] == (0, UID, 0o640)
    assert (box.folder / TOML).read_text().startswith("# Made from /etc/config/rwagent") and f"this is {AP} of malang" in logged(box)
    read = box.root.run("python3", "-I", "-c", f"from agent import settings; print(settings.load('/{TOML}').id)", user="rwagent")
    assert read.stdout.strip() == AP, read.stderr


def test_a_bad_bundle_is_kept_and_said_and_not_tried_for_ever(box: Box) -> None:
    """The script ends well and goes; the service says it again at each start."""
    (box.folder / "etc/rwagent").mkdir()
    (box.folder / BUNDLE).write_bytes(b"half a bun")
    first_boot(box)
    assert (box.folder / BUNDLE).exists() and not (box.folder / SCRIPT).exists()
    assert "is not gzip" in logged(box) and "is kept" in logged(box) and "not enrolled" in logged(box)


def test_a_box_that_was_enrolled_before_the_package_goes_on(box: Box) -> None:
    """Also one whose package was removed and is there again: the directory stayed, the file of UCI is new."""
    shipped = (box.folder / "etc/config/rwagent").read_bytes()
    (box.folder / "etc/rwagent").mkdir()
    write(box.folder / "etc/rwagent", members())
    script = (box.folder / SCRIPT).read_bytes()
    first_boot(box)
    (box.folder / "etc/config/rwagent").write_bytes(shipped)
    before = (box.folder / TOML).read_bytes()
    (box.folder / SCRIPT).write_bytes(script)
    first_boot(box)
    assert box.value("rwagent.agent.id") == AP and (box.folder / TOML).read_bytes() == before


def test_in_an_image_builder_it_touches_nothing(box: Box) -> None:
    """IPKG_INSTROOT is another machine's root."""
    done = box.root.run("sh", f"/{SCRIPT}", IPKG_INSTROOT="/nowhere")
    assert done.returncode == 0 and not (box.folder / "etc/rwagent").exists() and logged(box) == ""


def test_enrolled_by_command_the_service_is_told(box: Box) -> None:
    """The settings are in UCI, and procd has the change of package rwagent; a power cut in between is finished by the next start."""
    first_boot(box)
    write(box.folder / "tmp", members())
    done: subprocess.CompletedProcess[str] = box.root.run("python3", "-I", "-m", "agent", "enroll", "/tmp/bundle.tar.gz")
    assert done.returncode == 0 and "the service starts anew with it" in done.stdout, done.stderr
    assert ("config.change", {"package": "rwagent"}) in box.events
    assert (box.value("rwagent.broker.host"), box.value("rwagent.agent.city")) == ("mqtt.malang.example", "malang")
    before = (box.folder / TOML).read_bytes()
    assert box.root.run("python3", "-I", "-m", "agent.render").returncode == 0 and (box.folder / TOML).read_bytes() == before
