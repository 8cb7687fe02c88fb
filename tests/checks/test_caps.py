"""The doctor on caps: what is wanted, what the kernel has not, and how root sets it again."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.checks import caps, offload
from agent.finding import Case, Finding
from agent.records import Caps
from agent.status import Status
from tests.fakes.router import FakeRouter
from tests.settings_of import settings

WANTED = """{"v":1,"wanted":[
    {"ssid":"public","down_kbit":30000,"station_down_kbit":5000,"station_up_kbit":250,"ifnames":["a"]},
    {"uplink":"wan","down_kbit":45000,"up_kbit":20000}]}"""


def case(tmp_path: Path, found: Caps, backend: str = "linux") -> Case:
    (tmp_path / "run/status").mkdir(parents=True, exist_ok=True)
    chosen = settings(router={"backend": backend}, paths={"run_dir": str(tmp_path / "run"), "state_dir": str(tmp_path / "state")})
    return Case("/nowhere", chosen, FakeRouter(caps=found), Status(False, "", None, {}))


def box(tmp_path: Path, *programs: str) -> str:
    """A box with these programs."""
    for name in programs:
        (tmp_path / "sbin").mkdir(exist_ok=True)
        (tmp_path / "sbin" / name).touch(0o755)
    return str(tmp_path)


def test_without_caps_nothing_is_looked_at(tmp_path: Path) -> None:
    """No tc is missed where none is needed."""
    assert caps.check(case(tmp_path, Caps()), str(tmp_path)) == [Finding("caps", "skipped", "no bandwidth cap is wanted")]


def test_caps_that_stand_are_told_with_their_rates(tmp_path: Path) -> None:
    """In Mbit/s, down and up, and each station's."""
    at = case(tmp_path, Caps(True))
    (tmp_path / "run/status/caps.json").write_text(WANTED)
    (finding,) = caps.check(at)
    assert finding[:3] == ("caps", "ok", "the kernel has what is wanted: public 30/any Mbit/s, each station 5/0.25, the way out 45/20 Mbit/s")


def test_caps_that_do_not_stand_are_bad_with_the_command(tmp_path: Path) -> None:
    """What is not as wanted, and how root sets them again by hand."""
    (finding,) = caps.check(case(tmp_path, Caps(True, ("rwd-public is missing", "b0 does not lead to rwu-public"))), box(tmp_path, "tc", "ip"))
    assert finding[:3] == ("caps", "bad", "not as wanted: rwd-public is missing; b0 does not lead to rwu-public")
    script = Path(caps.SCRIPTS) / "caps"
    assert script.is_file()
    assert finding.remedy.startswith(f"STATUS={tmp_path}/run/status sh {script} apply {tmp_path}/caps {tmp_path}/run-apply/caps as root ")


@pytest.mark.parametrize(("there", "lacks"), [((), ["tc", "ip"]), (("ip",), ["tc"]), (("tc", "ip"), [])])
def test_a_missing_program_is_named(tmp_path: Path, there: tuple[str, ...], lacks: list[str]) -> None:
    """Without tc or ip no cap can be set: which is missing, and what installs it."""
    findings = caps.check(case(tmp_path, Caps(True, ("x is missing",))), box(tmp_path, *there))
    assert [finding.what.split()[3] for finding in findings[:-1]] == lacks


def test_a_bypass_is_bad_although_all_stands(tmp_path: Path) -> None:
    """Caps in a kernel that the packets do not pass."""
    findings = caps.check(case(tmp_path, Caps(True, is_bypassed=True)))
    assert [(finding.verdict, finding.remedy) for finding in findings] == [("bad", offload.SWITCH_OFF), ("ok", "")]


def test_a_simulated_box_needs_no_programs(tmp_path: Path) -> None:
    """It shapes nothing."""
    assert [finding.verdict for finding in caps.check(case(tmp_path, Caps(True, ("x",)), "simulated"), str(tmp_path))] == ["bad"]
