"""The Wi-Fi guest's stations and its access point, as wifi-scenario.sh made them: what both stories ask of them and tell them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path

WIFI = Path(os.environ.get("WIFI_DIR", "/nowhere"))
STATIONS = int(os.environ.get("WIFI_STATIONS", "0"))
# The one access point of desk.py's city, and its bundle in the directory that guest and host share.
AP, BUNDLE = "rw-0501", "bundle.tar.gz"


def in_namespace(name: str, *command: str) -> str:
    done = subprocess.run(["nsenter", f"--net=/run/netns/{name}", *command], check=True, capture_output=True, text=True, timeout=120)
    return done.stdout


def wpa(station: int, *command: str) -> str:
    return in_namespace(f"sta{station}", "wpa_cli", "-p", f"{WIFI}/sta{station}", "-i", "wlan0", *command)


def ap_cli(ifname: str, *command: str) -> str:
    question = ["hostapd_cli", "-p", f"{WIFI}/hostapd", "-i", ifname, *command]
    return subprocess.run(question, capture_output=True, text=True, timeout=60, check=False).stdout


def address(station: int) -> str:
    return next(line.split("=")[1] for line in wpa(station, "status").splitlines() if line.startswith("address="))


def ip(station: int) -> str:
    """The address that it got."""
    shown = json.loads(in_namespace(f"sta{station}", "ip", "-j", "-4", "addr", "show", "dev", "wlan0"))
    return str(shown[0]["addr_info"][0]["local"])


def authorized(ifname: str, station: int) -> bool:
    """Hostapd has the last word: a station may show 4WAY_HANDSHAKE for ever, see wifi-scenario.sh."""
    return "[AUTHORIZED]" in ap_cli(ifname, "sta", address(station))


def connected_s(ifname: str, station: int) -> int:
    """Seconds since it associated there; -1 when it is not there."""
    found = re.search(r"^connected_time=(\d+)$", ap_cli(ifname, "sta", address(station)), re.MULTILINE)
    return int(found[1]) if found else -1


def begin_anew(station: int, ifname: str) -> None:
    """A handshake that went wrong because the guest was too slow for its timers does not heal by itself: both sides forget the other."""
    wpa(station, "disconnect")
    ap_cli(ifname, "deauthenticate", address(station))
    ends = time.monotonic() + 10
    while "flags=" in ap_cli(ifname, "sta", address(station)) and time.monotonic() < ends:
        time.sleep(0.2)
    wpa(station, "reconnect")


def ask_for_address(station: int) -> None:
    """By DHCP, several times if need be; it gets the one that it had."""
    command = ["busybox", "udhcpc", "-i", "wlan0", "-q", "-n", "-t", "10", "-T", "2", "-x", f"hostname:sta{station}", "-s", f"{WIFI}/udhcpc.sh"]
    in_namespace(f"sta{station}", *command)
