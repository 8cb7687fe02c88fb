"""Root's facts: what only root may read of the configuration, written down for the agent without keys by agent/redact.py."""

from __future__ import annotations

import os
import time

from agent.checks import openwrt
from agent.finding import Case, Finding
from agent.status import duration

NAME = "facts"
LOST = "which networks are wanted, the DHCP pool's size and the firewall's offload are not known"


def check(case: Case) -> list[Finding]:
    """Look whether there is a file, and whether anything in it is understood."""
    path = openwrt.facts_file(case)
    if openwrt.facts(case) is None:
        state = "says nothing this version understands" if os.path.exists(path) else "is missing: root's hook did not run"
        return [Finding(NAME, "warn", f"{path} {state}; {LOST}", openwrt.refresh_facts(case))]
    age_s = max(0.0, time.time() - os.stat(path).st_mtime)
    return [Finding(NAME, "ok", f"{path} was written {duration(age_s)} ago")]
