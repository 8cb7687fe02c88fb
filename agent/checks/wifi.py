"""Wi-Fi: iw and hostapd's control sockets, without which stations are not counted in full."""

from __future__ import annotations

import os
import stat

from agent.checks import openwrt
from agent.finding import Case, Finding
from agent.router.text import listed, printable

NAME = "wifi"
PHYS = "/sys/class/ieee80211"


def check(case: Case, root: str = openwrt.ROOT) -> list[Finding]:
    """Look at the radios, and at the two ways to hear of stations."""
    if case.settings.router.backend == "simulated":
        return [Finding(NAME, "skipped", "the router is simulated")]
    if not listed(openwrt.below(root, PHYS)):
        return [Finding(NAME, "skipped", "this box has no Wi-Fi radio")]
    if openwrt.is_openwrt(case):
        # There hostapd is asked by ubus, and radios.py knows what is wanted.
        return [_iw(root)]
    return [*_radios(case), _iw(root), hostapd(case.settings.router.hostapd_dir)]


def _radios(case: Case) -> list[Finding]:
    radios = case.router.radios()
    down = [radio.name for radio in radios if not radio.up]
    if down:
        return [Finding(NAME, "warn", f"not on air: {', '.join(down)}", "switch it on, or look in hostapd's log for the reason (channels, radar)")]
    return [Finding(NAME, "ok", f"on air: {', '.join(f'{radio.name} ({radio.band}, channel {radio.channel})' for radio in radios)}")]


def _iw(root: str) -> Finding:
    if openwrt.has_program("iw", root):
        return Finding("iw", "ok", "iw is there")
    return Finding("iw", "bad", "iw is missing: channel, noise, airtime and retries cannot be read", openwrt.install("iw", root))


def hostapd(folder: str) -> Finding:
    """Look for control sockets that this user may write to, which is how one asks hostapd."""
    sockets = [name for name in listed(folder) if _is_socket(os.path.join(folder, name))]
    if not sockets:
        return Finding("hostapd", "warn", f"no control socket in {folder}", "start hostapd with ctrl_interface=DIR, and name that in router.hostapd_dir")
    closed = [name for name in sockets if not os.access(os.path.join(folder, name), os.W_OK)]
    if closed:
        what = f"this user may not ask hostapd of {', '.join(map(printable, closed))}"
        return Finding("hostapd", "bad", what, "set ctrl_interface_group to the agent's group in hostapd's configuration")
    return Finding("hostapd", "ok", f"control sockets: {', '.join(map(printable, sockets))}")


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False
