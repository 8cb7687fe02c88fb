"""ubus, by which nearly everything of an OpenWrt box is read: does ubusd answer, and are the daemons there that the agent asks?"""

from __future__ import annotations

import os

from agent.checks import openwrt
from agent.errors import Unavailable
from agent.finding import Case, Finding
from agent.router.text import printable
from agent.router.ubus import CALLS
from agent.router.ubus_message import NOT_FOUND

NAME = "ubus"
# Objects no OpenWrt box is without, and what to do when one is. hostapd.* come and go with the networks, dhcp with odhcpd.
REMEDIES = {
    "system": "procd gives it, as process 1: logread -e procd, then reboot",
    "network.interface": "netifd gives it: logread -e netifd, then /etc/init.d/network restart",
    "network.device": "netifd gives it: logread -e netifd, then /etc/init.d/network restart",
}
NO_SOCKET = 'procd starts ubusd again within seconds: look with pgrep ubusd and logread -e ubusd, then reboot; no OpenWrt? Set router.backend = "linux"'
NO_ANSWER = "is it alive? pgrep ubusd; kill -9 $(pidof ubusd) makes procd start another, after which /etc/init.d/rpcd restart; if that does not help, reboot"


def check(case: Case) -> list[Finding]:
    """Ask ubusd which objects there are."""
    path = case.settings.router.ubus_socket
    if not os.path.exists(path):
        return [Finding(NAME, "bad", f"there is no {path}: ubusd does not run, or this box is no OpenWrt", NO_SOCKET)]
    bus = openwrt.connect(case)
    try:
        shown = [printable(name) for pattern in CALLS for name in sorted(bus.lookup(pattern))]
        # Of an object that it keeps from this user ubusd says "permission denied" instead; that is the next check's.
        missing = [name for name in REMEDIES if name not in shown and openwrt.status_of(bus, name, CALLS[name][0]) == NOT_FOUND]
    except Unavailable as error:
        return [Finding(NAME, "bad", f"ubusd does not answer: {error}", NO_ANSWER)]
    finally:
        bus.close()
    if missing:
        return [Finding(NAME, "bad", f'ubusd answers, but has no object "{name}"', REMEDIES[name]) for name in missing]
    return [Finding(NAME, "ok", f"ubusd answers: {', '.join(shown) or 'it shows this user nothing'}")]
