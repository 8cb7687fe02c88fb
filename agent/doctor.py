"""`rwagent doctor`: every check of the shelf, what it found, and what to do.

Looks and connects, changes nothing: not the router, not the settings, not the running daemon's session.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from agent import settings, status, where
from agent.checks import checks_for
from agent.errors import Rejected, Unavailable
from agent.finding import Case, Check, Finding, Verdict
from agent.router import backends
from agent.settings import Faults

MARKS: dict[Verdict, str] = {"ok": "OK", "warn": "WARN", "bad": "BAD", "skipped": "-"}


def examine(config: str) -> list[Finding]:
    """Load the settings and run all checks, and say what is found in the words of where this box's settings are edited."""
    found = _examined(config)
    if not where.is_in_uci(config):
        return found
    return [finding._replace(what=where.in_uci(finding.what), remedy=where.in_uci(finding.remedy)) for finding in found]


def _examined(config: str) -> list[Finding]:
    """Faulty settings are findings too, but then nothing else can be looked at."""
    try:
        loaded = settings.load(config)
    except Faults as error:
        faults = [Finding("settings", "bad", f"{error.file}: {fault.sentence()}", where.CORRECT) for fault in error.faults]
        return faults + [Finding(name, "skipped", "the settings come first") for name in checks_for("")]
    known = Finding("settings", "ok", f"{config}: {loaded.id} in {loaded.city}, backend {loaded.router.backend}")
    try:
        router = backends.open_router(loaded)
    except (Unavailable, Rejected) as error:
        return [known, Finding("router", "bad", str(error), "set router.backend to what this box is")]
    return [known, *run(checks_for(loaded.router.backend), Case(config, loaded, router, status.read(loaded.paths.run_dir)))]


def run(checks: Mapping[str, Check], case: Case) -> list[Finding]:
    """Run checks one after the other; one that cannot look says so and hinders no other."""
    findings: list[Finding] = []
    for name, check in checks.items():
        try:
            findings += check(case)
        except (Unavailable, Rejected, OSError) as error:
            findings.append(Finding(name, "bad", f"cannot be looked at: {error}", "run as root, or as the agent's user"))
    return findings


def is_ill(findings: list[Finding]) -> bool:
    """Say whether something is wrong; a warning is not."""
    return any(finding.verdict == "bad" for finding in findings)


def render(findings: list[Finding]) -> str:
    """Give the findings as aligned lines, each with its remedy below."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{MARKS[finding.verdict]:<5}{finding.name:<{width}}  {status.printable(finding.what)}")
        if finding.remedy:
            lines.append(f"{'':<5}{'':<{width}}  -> {status.printable(finding.remedy)}")
    bad, warnings = (sum(finding.verdict == verdict for finding in findings) for verdict in ("bad", "warn"))
    return "\n".join([*lines, f"{bad} bad, {warnings} warnings"])


def to_json(findings: list[Finding]) -> str:
    """Give the findings for machines."""
    return json.dumps({"v": 1, "ok": not is_ill(findings), "findings": [finding._asdict() for finding in findings]}, indent=2)
