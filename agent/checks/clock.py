"""The clock: a wrong one costs trust in timestamps, and nothing else."""

from __future__ import annotations

import os
import time

from agent.checks import openwrt
from agent.finding import Case, Finding

NAME = "clock"
MEANWHILE = "reports go out meanwhile, the city stamps them"
SETTING_IT = f"let NTP set it: /etc/init.d/sysntpd restart, or timedatectl set-ntp true; {MEANWHILE}"
HOOKS = "/etc/hotplug.d/ntp"


def check(case: Case, root: str = openwrt.ROOT) -> list[Finding]:
    """Ask whether the wall clock is trusted."""
    clock = case.router.clock
    state = clock.state()
    now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(clock.wall()))
    if state == "ntp":
        return [Finding(NAME, "ok", f"{now}, set by NTP")]
    what = "not set since this box started" if state == "none" else f"{now}, but nobody vouches for it"
    return [Finding(NAME, "warn", what, _of_openwrt(case, root) if openwrt.is_openwrt(case) else SETTING_IT)]


def _of_openwrt(case: Case, root: str) -> str:
    """Name OpenWrt's NTP, and the hook by which alone the agent hears of it."""
    marker = os.path.join(case.settings.paths.run_dir, "status", "clock")
    hooks = openwrt.below(root, HOOKS)
    has_hook = os.path.isdir(hooks) and any("rwagent" in name for name in os.listdir(hooks))
    if not has_hook:
        return f"the agent's script in {HOOKS} is missing, so that it never hears of NTP: {openwrt.reinstall('rwagent', root)}; {MEANWHILE}"
    restart = "/etc/init.d/sysntpd enable; /etc/init.d/sysntpd restart; are the servers of uci show system.ntp reachable?"
    return f"{restart} Once it is set, {HOOKS} writes {marker}; {MEANWHILE}"
