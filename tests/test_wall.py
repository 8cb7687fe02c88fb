"""The wall: root acts only where everything is as it must be, and the daemon's directory cannot lead it anywhere else."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from types import FrameType

import pytest

from agent import wall
from agent.errors import Rejected
from tests.pushes import Place, place
from tests.settings_of import settings


@pytest.fixture
def there(tmp_path: Path) -> Place:
    """A simulated access point as it must be."""
    return place(tmp_path)


def faults(there: Place) -> list[str]:
    """Name what is wrong with it."""
    return wall.faults(there.settings, str(there.folder / "agent.toml"))


def test_what_is_as_it_must_be_has_no_faults(there: Place) -> None:
    """The fixture itself passes."""
    assert faults(there) == []


@pytest.mark.parametrize(
    ("path", "mode", "command"),
    [
        ("agent.toml", 0o660, "chmod 640"),
        ("agent.toml", 0o646, "chmod 640"),
        ("keys", 0o770, "chmod 750"),
        ("keys/city", 0o622, "chmod 640"),
        ("secrets", 0o750, "chmod 700"),
        ("secrets/door", 0o640, "chmod 600"),
        ("state", 0o750, "chmod 700"),
        ("apply", 0o701, "chmod 700"),
    ],
)
def test_a_mode_too_wide_is_named_with_its_chmod(path: str, mode: int, command: str, there: Place) -> None:
    """Each path of the table, with the command that mends it."""
    (there.folder / "secrets/door").write_text("rahasia123\n")
    (there.folder / "secrets/door").chmod(0o600)
    assert faults(there) == []
    (there.folder / path).chmod(mode)
    (fault,) = faults(there)
    assert fault == f"{there.folder / path} has mode {mode:03o}; {command} {there.folder / path}"


@pytest.mark.needs("root")
@pytest.mark.parametrize("path", ["agent.toml", "keys", "keys/city", "secrets", "state", "apply"])
def test_another_owner_is_named_with_its_chown(path: str, there: Place) -> None:
    """Nothing that root believes may be another user's."""
    os.chown(there.folder / path, 1234, -1)
    assert f"{there.folder / path} belongs to user 1234; chown 0 {there.folder / path}" in faults(there)


@pytest.mark.needs("root")
def test_a_directory_above_of_another_user_is_named(there: Place, tmp_path: Path) -> None:
    """He could put another one in its place."""
    os.chown(tmp_path, 1234, -1)
    assert any(fault.startswith(f"{tmp_path} (user 1234") and "chown 0" in fault for fault in faults(there))


def test_a_directory_above_that_all_may_write_to_is_named(there: Place) -> None:
    """Unless it is one like /tmp, where nobody moves what is another's."""
    there.folder.chmod(0o777)
    assert any(fault.startswith(str(there.folder)) for fault in faults(there))
    there.folder.chmod(0o1777)
    assert faults(there) == []


@pytest.mark.parametrize("path", ["keys", "state", "agent.toml"])
def test_a_link_is_none_of_them(path: str, there: Place) -> None:
    """Whoever made the link says where it leads."""
    (there.folder / path).rename(there.folder / "elsewhere")
    (there.folder / path).symlink_to(there.folder / "elsewhere")
    assert any(str(there.folder / path) in fault and "a link" in fault for fault in faults(there))


def test_all_faults_are_told_at_once(there: Place) -> None:
    """One run, one list."""
    for path in ("agent.toml", "keys", "state"):
        (there.folder / path).chmod(0o777)
    assert len(faults(there)) == 3


def test_missing_directories_are_made_for_root_alone(there: Place) -> None:
    """State and RAM; what enrolment puts there (keys, secrets) may be missing."""
    for path in ("keys/city", "keys", "secrets", "state", "apply"):
        target = there.folder / path
        target.rmdir() if target.is_dir() else target.unlink()
    wall.prepare(there.settings)
    assert faults(there) == [] and all(stat.S_IMODE((there.folder / path).stat().st_mode) == 0o700 for path in ("state", "apply"))


@pytest.mark.needs("root")
def test_without_root_only_a_simulated_one_may_be_changed(tmp_path: Path) -> None:
    """The reason and the ways out are said."""
    chosen = settings(router={"backend": "linux"})
    os.seteuid(65534)
    try:
        (fault,) = wall.faults(chosen, "/etc/rwagent/agent.toml")
    finally:
        os.seteuid(0)
    assert "only root may change" in fault and "run rwagent-apply as root" in fault


# The inbox: the daemon may do anything in it.


def test_a_file_is_read_and_left_there(there: Place) -> None:
    """Root never deletes in the daemon's directory."""
    there.put("desired", b"push")
    assert wall.Inbox(str(there.folder / "run")).read("desired") == b"push" and (there.inbox / "desired").exists()


def test_no_file_is_read_further_than_is_allowed(there: Place) -> None:
    """One byte more than the most, so that too much can be told from enough."""
    there.put("desired", b"x" * 1_000_000)
    assert len(wall.Inbox(str(there.folder / "run")).read("desired") or b"") == 60_001


@pytest.mark.parametrize("kind", ["missing", "fifo", "link", "directory", "socket-like", "dangling"])
def test_only_a_regular_file_is_read(kind: str, there: Place) -> None:
    """Links are not followed, FIFOs not waited for."""
    file = there.inbox / "desired"
    secret = there.folder / "agent.toml"
    if kind == "fifo":
        os.mkfifo(file)
    elif kind == "link":
        file.symlink_to(secret)
    elif kind == "dangling":
        file.symlink_to("nowhere")
    elif kind == "directory":
        file.mkdir()
    elif kind == "socket-like":
        os.mknod(file, stat.S_IFSOCK | 0o600)
    assert wall.Inbox(str(there.folder / "run")).read("desired") is None


@pytest.mark.parametrize("swapped", ["run/inbox", "run"])
def test_a_link_on_the_way_is_not_followed(swapped: str, there: Place) -> None:
    """Neither the inbox nor run_dir may be a link."""
    there.put("desired", b"push")
    (there.folder / swapped).rename(there.folder / "moved")
    (there.folder / swapped).symlink_to(there.folder / "moved")
    assert wall.Inbox(str(there.folder / "run")).read("desired") is None


@pytest.mark.needs("root")
def test_a_hard_link_to_roots_file_is_not_read(there: Place) -> None:
    """What is not the inbox's own user's was not written by him."""
    os.chown(there.inbox, 1234, -1)
    os.link(there.folder / "agent.toml", there.inbox / "desired")
    assert wall.Inbox(str(there.folder / "run")).read("desired") is None
    os.unlink(there.inbox / "desired")
    (there.inbox / "desired").write_bytes(b"his")
    os.chown(there.inbox / "desired", 1234, -1)
    assert wall.Inbox(str(there.folder / "run")).read("desired") == b"his"


def test_an_inbox_that_others_may_write_to_is_not_read(there: Place) -> None:
    """A third user must not confirm."""
    there.put("confirm", b"nonce")
    there.inbox.chmod(0o722)
    assert wall.Inbox(str(there.folder / "run")).read("confirm") is None


# status/: root's own directory within the daemon's.


def test_a_status_file_is_whole_and_for_everybody(there: Place) -> None:
    """Replaced under a strict umask too; nothing else is left."""
    folder = wall.StatusFolder(str(there.folder / "run"))
    mask = os.umask(0o077)
    try:
        folder.put("config.json", b"one")
        folder.put("config.json", b"two")
    finally:
        os.umask(mask)
    status = there.folder / "run/status"
    assert os.listdir(status) == ["config.json"] and (status / "config.json").read_bytes() == b"two"
    assert [stat.S_IMODE(one.stat().st_mode) for one in (status, status / "config.json")] == [0o755, 0o644]


@pytest.mark.needs("root")
def test_a_status_directory_of_the_daemon_is_refused(there: Place) -> None:
    """It could show itself whatever it likes; it says what to remove."""
    status = there.folder / "run/status"
    status.mkdir()
    os.chown(status, 1234, -1)
    with pytest.raises(Rejected, match=f"rm -r {status}"):
        wall.StatusFolder(str(there.folder / "run")).check()


def test_a_status_directory_others_may_write_to_is_refused(there: Place) -> None:
    """Then anybody could speak for root."""
    (there.folder / "run/status").mkdir()
    (there.folder / "run/status").chmod(0o775)
    with pytest.raises(Rejected):
        wall.StatusFolder(str(there.folder / "run")).check()


def test_a_link_in_the_status_directorys_place_is_refused(there: Place) -> None:
    """Root would write wherever it leads."""
    (there.folder / "run/status").symlink_to(there.folder / "state")
    with pytest.raises(Rejected):
        wall.StatusFolder(str(there.folder / "run")).put("config.json", b"x")
    assert os.listdir(there.folder / "state") == []


def test_a_link_planted_in_it_is_replaced_and_not_followed(there: Place) -> None:
    """Also under the temporary name."""
    folder, status = wall.StatusFolder(str(there.folder / "run")), there.folder / "run/status"
    folder.check()
    for name in ("config.json", ".config.json.new"):
        (status / name).symlink_to(there.folder / "agent.toml")
    before = (there.folder / "agent.toml").read_bytes()
    folder.put("config.json", b"x")
    assert (there.folder / "agent.toml").read_bytes() == before and (status / "config.json").read_bytes() == b"x"


def test_a_status_directory_swapped_while_root_writes_leads_it_nowhere(there: Place) -> None:
    """What was looked at is written to, at whichever step another directory takes its place."""
    run_dir, outside = there.folder / "run", there.folder / "outside"
    outside.mkdir()
    for step in (os.unlink, os.open, os.fchmod, os.rename):
        folder, steps = wall.StatusFolder(str(run_dir)), [step]
        folder.check()

        def swap(_frame: FrameType, event: str, called: object, steps: list[object] = steps) -> None:
            # The directories above are opened before anything is looked at.
            if event == "c_call" and steps and called is steps[0] and (run_dir / "status").is_dir() and _frame.f_code.co_name == "put":
                steps.clear()
                (run_dir / "status").rename(run_dir / "swapped")
                (run_dir / "status").symlink_to(outside)

        sys.setprofile(swap)
        try:
            folder.put("config.json", b"x")
        finally:
            sys.setprofile(None)
        assert not steps and os.listdir(outside) == [] and (run_dir / "swapped/config.json").read_bytes() == b"x", step
        (run_dir / "status").unlink()
        (run_dir / "swapped").rename(run_dir / "status")


def test_no_run_dir_is_told_with_what_to_do(there: Place) -> None:
    """The daemon makes it."""
    with pytest.raises(Rejected, match="must be a directory of rwagent's user"):
        wall.StatusFolder(str(there.folder / "nowhere")).check()


def test_settings_of_others_are_refused_before_anything_they_name_is_touched(there: Place) -> None:
    """And theirs alone: what else is wrong is told later."""
    config = str(there.folder / "agent.toml")
    wall.check_settings(config)
    (there.folder / "state").chmod(0o777)
    wall.check_settings(config)
    os.chmod(config, 0o666)
    with pytest.raises(Rejected, match=f"chmod 640 {config}"):
        wall.check_settings(config)


@pytest.mark.needs("root")
def test_a_directory_above_where_a_link_leads_is_named(there: Place, tmp_path: Path) -> None:
    """A link of root's own is worth what lies above its target."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (there.folder / "secrets").rename(theirs / "secrets")
    (there.folder / "etc").symlink_to(theirs)
    chosen = there.settings._replace(push=there.settings.push._replace(secrets_dir=str(there.folder / "etc/secrets")))
    assert wall.faults(chosen, str(there.folder / "agent.toml")) == []
    os.chown(theirs, 1234, -1)
    assert any(fault.startswith(f"{theirs} (user 1234") for fault in wall.faults(chosen, str(there.folder / "agent.toml")))
