"""rpcd, which LuCI needs and the agent does not: no image has it by default, and it does not come back to a restarted ubusd by itself."""

from __future__ import annotations

import os

from agent.checks import openwrt
from agent.errors import Unavailable
from agent.finding import Case, Finding

NAME = "rpcd"
OBJECT = "session"  # rpcd's own; seen by root alone
RESTART = "/etc/init.d/rpcd enable; /etc/init.d/rpcd restart (after a restart of ubusd it never comes back by itself)"


def check(case: Case, root: str = openwrt.ROOT, uid: int | None = None) -> list[Finding]:
    """Look for the program and, as root, for its objects. `uid`: as whom we ask (None: as we are)."""
    if not openwrt.has_program("rpcd", root):
        what = "rpcd is not installed: LuCI, ubus call uci and iwinfo at ubus are missing; the agent does without"
        return [Finding(NAME, "warn", what, f"for LuCI or ubus call uci: {openwrt.install('rpcd rpcd-mod-iwinfo', root)}")]
    bus = openwrt.connect(case)
    try:
        is_seen = bool(bus.lookup(OBJECT))
    except Unavailable:
        return [Finding(NAME, "skipped", "rpcd is installed; without ubusd it can do nothing")]
    finally:
        bus.close()
    if not is_seen and not (os.geteuid() if uid is None else uid):
        return [Finding(NAME, "warn", f'rpcd is installed, but ubus has no object "{OBJECT}" of it: LuCI and ubus call uci do not work', RESTART)]
    return [Finding(NAME, "ok", "rpcd is installed" + (" and at ubus" if is_seen else ""))]
