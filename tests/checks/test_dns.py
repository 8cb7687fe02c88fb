"""The doctor on family DNS: whether the kernel has the rules, whether the resolvers answer, and what root does about it; the script is played."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.checks import dns
from agent.finding import Case, Finding
from agent.router.stores import open_store
from agent.status import Status
from tests.fakes.router import FakeRouter
from tests.settings_of import settings


def case(tmp_path: Path, backend: str = "linux") -> Case:
    chosen = settings(router={"backend": backend}, paths={"run_dir": str(tmp_path / "run"), "state_dir": str(tmp_path / "state")})
    return Case("/nowhere", chosen, FakeRouter(), Status(False, "", None, {}))


def found(tmp_path: Path, *works: str, is_root: bool = True) -> Finding:
    """Give the finding on a box with resolvers wanted, where these verbs of the script end well."""
    (tmp_path / "dns").write_text("v 1\nnetwork br-pub\nserver 1.1.1.3\n")
    (tmp_path / "ash").mkdir()
    (tmp_path / "ash/dns").write_text(f'case " {" ".join(works)} $2" in *" $1 "*"{tmp_path}/dns") exit 0 ;; esac\nexit 1\n')
    (finding,) = dns.check(case(tmp_path), str(tmp_path / "ash"), is_root)
    return finding


@pytest.mark.parametrize("backend", ["linux", "simulated"])
def test_where_no_resolver_is_wanted_nothing_is_looked_at(tmp_path: Path, backend: str) -> None:
    """Neither without the file nor with an empty one."""
    skipped = [Finding("dns", "skipped", "no resolvers are wanted for the public network")]
    assert dns.check(case(tmp_path, backend), "/nowhere", True) == skipped
    (tmp_path / "dns").touch()
    assert dns.check(case(tmp_path, backend), "/nowhere", True) == skipped


def test_all_is_well(tmp_path: Path) -> None:
    """The rules stand and each resolver answers."""
    assert found(tmp_path, "standing", "test")[:2] == ("dns", "ok")


def test_lost_rules_are_bad_with_the_command(tmp_path: Path) -> None:
    """Somebody flushed them: how root sets them again."""
    finding = found(tmp_path)
    assert finding.verdict == "bad" and "does not have the rules" in finding.what
    assert finding.remedy.startswith(f"sh {tmp_path}/ash/dns apply {tmp_path}/dns {tmp_path}/run-apply/dns as root ")


def test_a_resolver_that_does_not_answer_is_bad(tmp_path: Path) -> None:
    """The rules stand, but lead to somebody who is not there."""
    finding = found(tmp_path, "standing")
    assert finding.verdict == "bad" and "does not answer" in finding.what and f"sh {tmp_path}/ash/dns test {tmp_path}/dns" in finding.remedy


def test_only_root_sees_the_rules(tmp_path: Path) -> None:
    """The agent's own user is told so, and no script is run."""
    finding = found(tmp_path, is_root=False)
    assert finding.verdict == "skipped" and "only be seen by root" in finding.what


@pytest.mark.parametrize("backend", ["linux", "openwrt"])
def test_it_is_the_file_that_root_writes(tmp_path: Path, backend: str) -> None:
    """The doctor looks where the store puts it."""
    chosen = case(tmp_path, backend).settings
    assert dns.place(backend, chosen.paths.state_dir) == open_store(chosen).paths()["dns"]
