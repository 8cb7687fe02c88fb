"""ubus, by which nearly everything of an OpenWrt box is read: does ubusd answer, and are the daemons there that the agent asks?"""

from __future__ import annotations

import os

from agent.checks import openwrt
from agent.errors import Unavailable
from agent.finding import Case, Finding
from agent.router.text import printable
from agent.router.ubus import CALLS, Call, Refused
from agent.router.ubus_message import NOT_FOUND, PERMISSION_DENIED

NAME = "ubus"
# What to do when an object is missing or does not answer, by its name. No OpenWrt box is without the objects in ALWAYS;
# hostapd.* come and go with the networks, dhcp with odhcpd.
ALWAYS = ("system", "network.interface", "network.device")
REMEDIES = {
    "system": "procd gives it, as process 1: logread -e procd, then reboot",
    "network.interface": "netifd gives it: logread -e netifd, then /etc/init.d/network restart",
    "network.device": "netifd gives it: logread -e netifd, then /etc/init.d/network restart",
    "hostapd.*": openwrt.HOSTAPD_REMEDY,
    "dhcp": "odhcpd gives it: logread -e odhcpd, then /etc/init.d/odhcpd restart",
}
NO_SOCKET = 'procd starts ubusd again within seconds: look with pgrep ubusd and logread -e ubusd, then reboot; no OpenWrt? Set router.backend = "linux"'
NO_ANSWER = "is it alive? pgrep ubusd; kill -9 $(pidof ubusd) makes procd start another, after which /etc/init.d/rpcd restart; if that does not help, reboot"


def check(case: Case) -> list[Finding]:
    """Ask ubusd which objects there are, and each daemon behind it for one thing."""
    path = case.settings.router.ubus_socket
    if not os.path.exists(path):
        return [Finding(NAME, "bad", f"there is no {path}: ubusd does not run, or this box is no OpenWrt", NO_SOCKET)]
    bus = openwrt.connect(case)
    try:
        # Only who answers a question: procd's `service event` is none.
        shown = {pattern: sorted(bus.lookup(pattern)) for pattern in CALLS if pattern in REMEDIES}
        # One process has all the networks of a box, so one of them is enough.
        asked = {pattern: pattern if pattern in ALWAYS else (shown[pattern] or [""])[0] for pattern in shown}
        calls = {pattern: Call(name, CALLS[pattern][-1]) for pattern, name in asked.items() if name}
        answers = dict(zip(calls, bus.call_all(list(calls.values())), strict=True))
    except Unavailable as error:
        return [Finding(NAME, "bad", f"ubusd does not answer: {error}", NO_ANSWER)]
    finally:
        bus.close()
    findings = [_fault(calls[pattern].name, answer, REMEDIES[pattern]) for pattern, answer in answers.items() if isinstance(answer, Refused)]
    names = [printable(name) for found in shown.values() for name in found]
    well = Finding(NAME, "ok", f"ubusd answers: {', '.join(names) or 'it shows this user nothing'}")
    return [finding for finding in findings if finding] or [well]


def _fault(name: str, answer: Refused, remedy: str) -> Finding | None:
    """Say what is wrong with an object; nothing when ubusd keeps it from this user, which is the next check's, or it has just gone."""
    if answer.status == PERMISSION_DENIED or (answer.status == NOT_FOUND and name not in ALWAYS):
        return None
    if answer.status == NOT_FOUND:
        return Finding(NAME, "bad", f'ubusd answers, but has no object "{name}"', remedy)
    return Finding(NAME, "bad", f'ubusd answers, but who has the object "{printable(name)}" does not: {answer}', remedy)
