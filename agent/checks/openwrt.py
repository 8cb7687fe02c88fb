"""What the checks share about an OpenWrt box: whether this is one, its programs and packages, its ubus, and root's facts. No check itself.

Every path is taken below `root`, so that a test can lay out a box of its own.
"""

from __future__ import annotations

import json
import os
import shlex

from agent.finding import Case
from agent.router import facts as facts_door
from agent.router.facts import FILE as FACTS_FILE
from agent.router.facts import Facts
from agent.router.ubus import CALLS, SOCKET, Refused, Ubus

ROOT = "/"
ACL_FILE = "/usr/share/acl.d/rwagent.json"
RELOAD_ACL = "kill -HUP $(pidof ubusd)"
REDACT = "python3 -I -m agent.redact"
SEE_FACTS = "not known without root's facts: see there"
HOSTAPD_REMEDY = "hostapd gives it: logread -e hostapd, then wifi; if that does not help, /etc/init.d/wpad restart; wifi"
TIMEOUT_S = 2.0
_FOLDERS = ("usr/sbin", "sbin", "usr/bin", "bin")
_INSTALL = (("apk", "apk update && apk add {}"), ("opkg", "opkg update && opkg install {}"), ("apt-get", "apt-get install {}"))
_REMOVE = (("apk", "apk del {}"), ("opkg", "opkg remove {}"), ("apt-get", "apt-get remove {}"))
_REINSTALL = (("apk", "apk fix {}"), ("opkg", "opkg install --force-reinstall {}"))


def is_openwrt(case: Case) -> bool:
    """Say whether the agent reads this box as OpenWrt."""
    return case.settings.router.backend == "openwrt"


def below(root: str, path: str) -> str:
    """Give an absolute path as it is on the box at `root`."""
    return os.path.join(root, path.lstrip("/"))


def has_program(name: str, root: str = ROOT) -> bool:
    """Look for a program where the box keeps them, and in our own PATH when it is this one."""
    folders = [below(root, folder) for folder in _FOLDERS] + (os.environ.get("PATH", "").split(":") if root == ROOT else [])
    return any(os.access(os.path.join(folder, name), os.X_OK) for folder in folders if folder)


def install(package: str, root: str = ROOT) -> str:
    """Give the command that installs a package here: apk from OpenWrt 25.12 on, opkg before it."""
    return _command(_INSTALL, package, root)


def remove(package: str, root: str = ROOT) -> str:
    """Give the command that removes a package."""
    return _command(_REMOVE, package, root)


def reinstall(package: str, root: str = ROOT) -> str:
    """Give the command that brings a package's files back."""
    return _command(_REINSTALL, package, root)


def refresh_facts(case: Case) -> str:
    """Give the command that writes root's facts down, as this box's settings have it."""
    options = [("--out", facts_file(case), FACTS_FILE), ("--socket", case.settings.router.ubus_socket, SOCKET)]
    given = "".join(f" {option} {shlex.quote(value)}" for option, value, default in options if value != default)
    return f"as root run {REDACT}{given}, also at each start and after each change (the package does both)"


def access_list(user: str) -> str:
    """Give what belongs in the access list's file."""
    return json.dumps({"user": user, "access": {name: {"methods": list(methods)} for name, methods in CALLS.items()}})


def _command(table: tuple[tuple[str, str], ...], package: str, root: str) -> str:
    here = [command for program, command in table if has_program(program, root)]
    return " or ".join(command.format(package) for command in here[:1] or [command for _, command in table])


def connect(case: Case) -> Ubus:
    """Make a connection to the box's ubusd; it is opened by the first question."""
    return Ubus(case.settings.router.ubus_socket, TIMEOUT_S)


def status_of(bus: Ubus, name: str, method: str) -> int:
    """Call a method that only reads, and give ubus's status of it: 0 done, 4 not there, 6 kept from this user, 7 no answer in time."""
    try:
        bus.call(name, method)
    except Refused as error:
        return error.status
    return 0


def facts_file(case: Case) -> str:
    """Name the file in which root writes down what is wanted of this box."""
    return os.path.join(case.settings.paths.run_dir, "status", "wireless.json")


def facts(case: Case) -> Facts | None:
    """Read root's facts; None when there are none, or none that can be understood."""
    found = facts_door.read(facts_file(case))
    return found if found != facts_door.EMPTY else None
