"""The clock: a wrong one costs trust in timestamps, and nothing else."""

from __future__ import annotations

import time

from agent.finding import Case, Finding

NAME = "clock"
SETTING_IT = "let NTP set it: /etc/init.d/sysntpd restart, or timedatectl set-ntp true; reports go out meanwhile, the city stamps them"


def check(case: Case) -> list[Finding]:
    """Ask whether the wall clock is trusted."""
    clock = case.router.clock
    state = clock.state()
    if state == "none":
        return [Finding(NAME, "warn", "not set since this box started", SETTING_IT)]
    now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(clock.wall()))
    if state == "floor":
        return [Finding(NAME, "warn", f"{now}, but nobody vouches for it", SETTING_IT)]
    return [Finding(NAME, "ok", f"{now}, set by NTP")]
