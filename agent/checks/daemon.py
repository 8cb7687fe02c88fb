"""The daemon: it runs, and it writes as often as it should."""

from __future__ import annotations

from agent import said
from agent.finding import Case, Finding
from agent.status import TRY_NOW, duration, is_safe, process, safe_mode

NAME = "daemon"
LATE_FACTOR = 3
LATE_S = 60.0
START = "start it: /etc/init.d/rwagent start, or systemctl start rwagent, or rwagent run"
RESTART = "restart it: /etc/init.d/rwagent restart, or systemctl restart rwagent"


def check(case: Case) -> list[Finding]:
    """Ask what the daemon last wrote."""
    status = case.status
    if not status.is_running:
        return [Finding(NAME, "bad", f"not running: {status.why}", START)]
    if status.age_s is not None and status.age_s > LATE_FACTOR * _interval_s(case) + LATE_S:
        return [Finding(NAME, "bad", f"it runs, but wrote nothing for {duration(status.age_s)}", RESTART)]
    if is_safe(status):
        return [Finding(NAME, "bad", f"in safe mode: {safe_mode(status)}", TRY_NOW)]
    return [Finding(NAME, "ok", f"runs ({process(status)}), wrote {duration(status.age_s)} ago")]


def _interval_s(case: Case) -> float:
    """Give the seconds between two reports: as the push in force says, else as agent.toml does."""
    pushed = (said.read(case.settings.paths.run_dir) or said.NOTHING).pace.report_interval_s
    return case.settings.report.interval_s if pushed is None else pushed
