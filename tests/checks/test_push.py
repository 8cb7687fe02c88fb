"""The doctor on pushes: keys, who owns what, and how the last push ended; each with what to do."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from agent.checks import push
from agent.finding import Case, Finding
from agent.inbox import DESIRED, Inbox, sha256
from agent.settings import load
from agent.status import Status
from agent.wire import keyfile
from agent.wire.keyfile import PublicKey
from tests.fakes.router import FakeRouter
from tests.settings_of import simulated_file
from tests.unsigned import KID, unsigned

MORE = 'state_dir = "{folder}/state"\napply_dir = "{folder}/apply"\n[push]\nkeys_dir = "{folder}/keys"\nsecrets_dir = "{folder}/secrets"\n'


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """A simulated access point with one key, on which all is well."""
    file = simulated_file(tmp_path)
    file.write_text(file.read_text() + MORE.format(folder=tmp_path))
    file.chmod(0o640)
    (tmp_path / "keys").mkdir(0o750)
    (tmp_path / "keys/city.pub").write_bytes(keyfile.public_key(PublicKey(KID, bytes(range(32))), "city"))
    (tmp_path / "keys/city.pub").chmod(0o640)
    (tmp_path / "run").mkdir(0o750)
    return Case(str(file), load(str(file)), FakeRouter(), Status(False, "none", None, {}))


def root_says(case: Case, **members: Any) -> None:
    status = Path(case.settings.paths.run_dir, "status")
    status.mkdir(0o755, exist_ok=True)
    (status / "config.json").write_text(json.dumps({"v": 1} | members))


def words(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.verdict, finding.what) for finding in findings]


def test_all_is_well_before_the_first_push(case: Case) -> None:
    """A key, root's own directories not made yet, and no push: nothing is wrong."""
    assert words(push.check(case)) == [("ok", f"trusts {KID}"), ("ok", "what root believes only root can change"), ("ok", "none has come yet")]


def test_without_a_key_no_push_is_expected(case: Case, tmp_path: Path) -> None:
    """An access point without keys takes no pushes: said, and not held against it."""
    (tmp_path / "keys/city.pub").unlink()
    for is_there in (True, False):
        (finding,) = push.check(case)
        assert (finding.verdict, str(tmp_path / "keys") in finding.what) == ("skipped", True)
        if is_there:
            (tmp_path / "keys").rmdir()


def test_a_file_that_is_no_key_is_bad(case: Case, tmp_path: Path) -> None:
    """It is named, and hinders no key beside it."""
    (tmp_path / "keys/README").write_text("not a key")
    findings = push.check(case)
    assert (findings[0].verdict, str(tmp_path / "keys/README") in findings[0].what) == ("bad", True)
    assert ("ok", f"trusts {KID}") in words(findings)


@pytest.mark.parametrize(
    ("name", "mode", "remedy"),
    [("keys/city.pub", 0o666, "chmod 640"), ("agent.toml", 0o646, "chmod 640"), ("state", 0o755, "chmod 700"), ("secrets", 0o750, "chmod 700")],
)
def test_what_others_may_change_is_bad(case: Case, tmp_path: Path, name: str, mode: int, remedy: str) -> None:
    """The same demands that the applier makes before it runs, each with the command."""
    place = tmp_path / name
    if not place.exists():
        place.mkdir()
    place.chmod(mode)
    (bad,) = [finding for finding in push.check(case) if finding.verdict == "bad"]
    assert bad.what.startswith(f"rwagent-apply refuses to run: {place} has mode ")
    assert bad.remedy == f"run {remedy} {place}"


@pytest.mark.parametrize(("name", "mode"), [("inbox", 0o755), ("status", 0o777)])
def test_an_inbox_or_a_status_of_others_is_bad(case: Case, tmp_path: Path, name: str, mode: int) -> None:
    """The inbox is the daemon's alone, status is root's alone; a link is neither."""
    place = tmp_path / "run" / name
    place.mkdir()
    place.chmod(mode)
    assert [finding.remedy for finding in push.check(case) if finding.verdict == "bad"] == [f"run rm -r {place}"]
    place.rmdir()
    place.symlink_to(tmp_path)
    assert [finding.remedy for finding in push.check(case) if finding.verdict == "bad"] == [f"run rm -r {place}"]


def test_a_push_nobody_looks_at_is_bad(case: Case, tmp_path: Path) -> None:
    """A minute in the inbox: root's part does not run. A fresh one, or one that was handled, is well."""
    Inbox(case.settings.paths.run_dir).put(DESIRED, unsigned())
    assert not [finding for finding in push.check(case) if finding.verdict == "bad"]
    os.utime(tmp_path / "run/inbox/desired", (0, time.time() - 300))
    (bad,) = [finding for finding in push.check(case) if finding.verdict == "bad"]
    assert "root has not looked at it" in bad.what and "rwagent-apply" in bad.remedy
    root_says(case, handled=sha256(unsigned()), reported={"state": "confirmed", "revision": 7})
    assert not [finding for finding in push.check(case) if finding.verdict == "bad"]


@pytest.mark.parametrize(
    ("reported", "verdict", "part"),
    [
        ({"state": "confirmed", "revision": 7}, "ok", "the last one (revision 7) ended confirmed"),
        ({"state": "rejected", "reason": "malformed"}, "warn", "the last one ended rejected: malformed"),
        ({"state": "rolled_back", "revision": 7, "reason": "not_on_air"}, "warn", "(revision 7) ended rolled_back: not_on_air"),
        ({"state": "rolled_back", "revision": 7, "held": True}, "warn", "and it is not tried again"),
        ({"state": "failed", "revision": 7, "reason": "could_not_restore"}, "bad", "ended failed: could_not_restore"),
        ({"state": "confirmed", "revision": 7, "drift": [{"path": "x"}]}, "warn", "but the box is no longer so in 1 place"),
    ],
)
def test_how_the_last_push_ended(case: Case, reported: dict[str, Any], verdict: str, part: str) -> None:
    """What stays off the wanted state is a warning, what needs a person is bad; each says what to do."""
    root_says(case, reported=reported)
    last = push.check(case)[-1]
    assert (last.verdict, part in last.what) == (verdict, True), last
    assert bool(last.remedy) == (verdict != "ok")
