"""What ubusd lets the agent's user call: all that is not in /usr/share/acl.d is "Not found" to everybody but root, as if it were not there.

Looks at the files, then asks ubusd as that user, for it reads them only when it starts and on SIGHUP.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import pwd
import shlex
import stat
from collections.abc import Iterator
from typing import NamedTuple

from agent.checks import openwrt
from agent.errors import Unavailable
from agent.finding import Case, Finding
from agent.router.text import printable, read_bytes
from agent.router.ubus import CALLS, Ubus
from agent.router.ubus_message import PERMISSION_DENIED, TIMEOUT
from agent.status import JAILED

NAME = "acl"
PACKAGE_USER = "rwagent"
NO_USER = f'the package makes it; without the package, as root: . /lib/functions.sh; user_add {PACKAGE_USER} "" "$(group_add_next {PACKAGE_USER})"'
MOST_BYTES = 65536
UNREAD = f"{openwrt.RELOAD_ACL} makes it read its files again"
NOBODY = "ubusd answers nobody: see ubus"
NO_PASSWD = "ubusd turns away whom /etc/passwd and /etc/group do not name: are the agent's user and group there?"


class Caller(NamedTuple):
    """A user of this box, not root."""

    name: str
    uid: int
    gid: int


ROOT = Caller("root", 0, 0)


def check(case: Case, root: str = openwrt.ROOT, who: Caller | None = None, owner: tuple[int, int] = (0, 0)) -> list[Finding]:
    """Compare what the agent calls with what its user may call. `who`: that user, else it is found out; `owner`: whose files ubusd takes (uid, gid)."""
    if who is None and (who := agent_user(case)) is None:
        return [Finding(NAME, "warn", f"there is no user {PACKAGE_USER} for the agent to run as", NO_USER)]
    if who == ROOT:
        return [Finding(NAME, "ok", "the agent runs as root, from whom ubusd hides nothing")]
    granted, faults = _read(openwrt.below(root, os.path.dirname(openwrt.ACL_FILE)), who.name, owner)
    file = openwrt.below(root, openwrt.ACL_FILE)
    put = f"write into {file} as root, mode 644: {openwrt.access_list(who.name)}"
    restore = f"{openwrt.reinstall('rwagent', root)}, or without the package {put}; then {openwrt.RELOAD_ACL}"
    lacking = [f"{name} {method}" for name, methods in CALLS.items() for method in methods if not _covers(granted, name, method)]
    if faults:
        return faults
    if not granted:
        reason = "lets it call nothing" if os.path.exists(file) else "is missing"
        return [Finding(NAME, "bad", f'ubusd says "Not found" of everything to user {who.name}: {file} {reason}', restore)]
    if lacking:
        return [Finding(NAME, "bad", f"{file} does not let user {who.name} call {', '.join(lacking)}", restore)]
    return _ask(case, who, file)


def agent_user(case: Case) -> Caller | None:
    """Find out whom the agent runs as: we ourselves, the running daemon's user, or the package's; None when there is no such user."""
    uid = os.geteuid()
    is_known = uid != 0
    if not is_known and case.status.is_running:
        with contextlib.suppress(OSError):
            # Of a jailed one the number is its jail's: whose it is, its lock tells.
            pid = case.status.state.get("pid")
            uid, is_known = os.lstat(os.path.join(case.settings.paths.run_dir, "lock") if pid == JAILED else f"/proc/{pid}").st_uid, True
    try:
        known = pwd.getpwuid(uid) if is_known else pwd.getpwnam(PACKAGE_USER)
    except KeyError:
        return Caller(str(uid), uid, os.getegid()) if is_known else None
    return Caller(known.pw_name, known.pw_uid, known.pw_gid) if known.pw_uid else ROOT


def _read(folder: str, user: str, owner: tuple[int, int]) -> tuple[dict[str, list[object]], list[Finding]]:
    """Give the methods a user may call by object, and the files that would say so if ubusd did not ignore them (ubusd_acl.c)."""
    granted: dict[str, list[object]] = {}
    faults = []
    for path in sorted(glob.glob(os.path.join(glob.escape(folder), "*.json"))):
        try:
            found, rules = os.stat(path), json.loads(read_bytes(path, MOST_BYTES))
        except (OSError, ValueError, RecursionError):
            continue  # nor does ubusd learn anything from it
        if not isinstance(rules, dict) or rules.get("user") != user:
            continue
        if (found.st_uid, found.st_gid) != owner or found.st_mode & (stat.S_IWOTH | stat.S_IWGRP | stat.S_IXOTH):
            what = f"ubusd ignores {printable(path)}: it is not root's, or others may change or execute it"
            faults.append(Finding(NAME, "bad", what, f"chown root:root {shlex.quote(path)}; chmod 644 {shlex.quote(path)}; {openwrt.RELOAD_ACL}"))
        access = rules.get("access")
        for name, rule in access.items() if isinstance(access, dict) else ():
            methods = rule.get("methods") if isinstance(rule, dict) else None
            granted.setdefault(name, []).extend(methods if isinstance(methods, list) else [])
    return granted, faults


def _covers(granted: dict[str, list[object]], name: str, method: str) -> bool:
    fitting = [methods for key, methods in granted.items() if key == name or (key.endswith("*") and name.startswith(key[:-1]))]
    return any(method in methods or "*" in methods for methods in fitting)


def _ask(case: Case, who: Caller, file: str) -> list[Finding]:
    ours, bus = openwrt.connect(case), openwrt.connect(case)
    try:
        ours.lookup("system")
    except Unavailable:
        return [Finding(NAME, "skipped", NOBODY)]
    finally:
        ours.close()
    try:
        with _as(who):
            refused, silent = _refused(bus)
    except Unavailable as error:
        return [Finding(NAME, "bad", f"{file} lets user {who.name} make every call, but ubusd does not answer it: {error}", NO_PASSWD)]
    finally:
        bus.close()
    if refused:
        what = f"ubusd keeps {', '.join(refused)} from user {who.name}, though {file} allows it: it has not read that"
        return [Finding(NAME, "bad", what, UNREAD)]
    if silent:
        return [Finding(NAME, "skipped", f"whether user {who.name} may call {', '.join(silent)} is not known: no answer; see ubus")]
    return [Finding(NAME, "ok", f"user {who.name} may make every call the agent makes")]


def _refused(bus: Ubus) -> tuple[list[str], list[str]]:
    """Make each call once, which only reads, and give those that ubusd refuses and those without an answer."""
    found: dict[int, list[str]] = {PERMISSION_DENIED: [], TIMEOUT: []}
    for pattern, methods in CALLS.items():
        # What is hidden is not found by its beginning; by its whole name it is refused.
        for name in sorted(bus.lookup(pattern))[:1] if pattern.endswith("*") else [pattern]:
            for method in methods:
                found.setdefault(openwrt.status_of(bus, name, method), []).append(f"{printable(name)} {method}")
    return found[PERMISSION_DENIED], found[TIMEOUT]


@contextlib.contextmanager
def _as(who: Caller) -> Iterator[None]:
    """Be that user for ubusd, which asks the kernel when a connection is made; only root can."""
    if os.geteuid() != 0 or not who.uid:
        yield
        return
    gid = os.getegid()
    os.setegid(who.gid)
    os.seteuid(who.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)
