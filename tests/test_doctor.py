"""The doctor as a whole: running the checks, and showing what they found."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import doctor
from agent.checks import checks_for
from agent.errors import Unavailable
from agent.finding import Case, Finding
from agent.status import Status
from tests.fakes.router import FakeRouter
from tests.settings_of import settings, simulated_file


@pytest.fixture
def case() -> Case:
    return Case("/nowhere/agent.toml", settings(), FakeRouter(), Status(False, "none", None, {}))


def test_a_check_that_cannot_look_hinders_no_other(case: Case) -> None:
    """What one check cannot read is a finding of its own, and the next check runs."""

    def fails(_case: Case) -> list[Finding]:
        raise Unavailable("no such thing here")

    findings = doctor.run({"first": fails, "second": lambda _case: [Finding("second", "ok", "well")]}, case)
    assert [(finding.name, finding.verdict) for finding in findings] == [("first", "bad"), ("second", "ok")]
    assert findings[0].what == "cannot be looked at: no such thing here"


def test_a_missing_file_is_a_finding_too(case: Case) -> None:
    """An OSError of a check is told, not raised."""

    def fails(_case: Case) -> list[Finding]:
        raise PermissionError(13, "Permission denied")

    assert doctor.run({"first": fails}, case)[0].verdict == "bad"


@pytest.mark.parametrize(("verdicts", "is_ill"), [(["ok", "skipped"], False), (["ok", "warn"], False), (["warn", "bad"], True), ([], False)])
def test_only_what_is_bad_makes_ill(verdicts: list[str], is_ill: bool) -> None:
    """Warnings and skipped checks are no failure."""
    assert doctor.is_ill([Finding("x", verdict, "") for verdict in verdicts]) is is_ill  # type: ignore[arg-type]


def test_the_lines_are_aligned_with_the_remedy_below() -> None:
    """Mark, name, what is so; and below what to do."""
    text = doctor.render([Finding("tls", "ok", "fine"), Finding("certificate", "bad", "expired", "enrol anew"), Finding("wifi", "skipped", "none here")])
    assert text.splitlines() == [
        "OK   tls          fine",
        "BAD  certificate  expired",
        "                  -> enrol anew",
        "-    wifi         none here",
        "1 bad, 0 warnings",
    ]


def test_no_control_character_reaches_the_terminal() -> None:
    """What a broker or a file name says stays in its line."""
    text = doctor.render([Finding("broker", "bad", "\x1b[2J\nOK   all well", "a\rb")])
    assert len(text.splitlines()) == 3
    assert "\x1b" not in text


def test_json_has_every_finding() -> None:
    """For machines: each finding, and whether all is well."""
    told = json.loads(doctor.to_json([Finding("a", "warn", "x", "y")]))
    assert told == {"v": 1, "ok": True, "findings": [{"name": "a", "verdict": "warn", "what": "x", "remedy": "y"}]}


def test_faulty_settings_are_findings_and_nothing_else_is_looked_at(tmp_path: Path) -> None:
    """Each fault is bad, and each check is skipped with the reason."""
    file = tmp_path / "agent.toml"
    file.write_text("[brokr]\n")
    findings = doctor.examine(str(file))
    assert {finding.name for finding in findings if finding.verdict == "bad"} == {"settings"}
    assert [finding.name for finding in findings if finding.verdict == "skipped"] == list(checks_for(""))


@pytest.fixture
def ill(tmp_path: Path) -> Iterator[list[Finding]]:
    yield doctor.examine(str(simulated_file(tmp_path)))


def test_what_is_bad_or_a_warning_has_a_remedy(ill: list[Finding]) -> None:
    """Nobody is told that something is wrong without being told what to do."""
    assert all(finding.remedy for finding in ill if finding.verdict in ("bad", "warn"))


def test_every_check_says_something(ill: list[Finding]) -> None:
    """No check is silent: what was not looked at is said to be skipped."""
    names = {finding.name for finding in ill}
    assert {"settings", "files", "run_dir", "flash", "memory", "clock", "uplink", "wifi", "certificate", "broker", "mqtt", "daemon"} <= names


def test_the_doctor_writes_nothing(ill: list[Finding], tmp_path: Path) -> None:
    """Not even the directory that the daemon will make."""
    assert [file.name for file in tmp_path.iterdir()] == ["agent.toml"]


def test_the_daemon_carries_no_check() -> None:
    """The shelf is the doctor's alone."""
    code = "import sys, agent.daemon; print([m for m in sys.modules if m.startswith(('agent.checks', 'agent.doctor'))])"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
