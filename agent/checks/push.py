"""Pushes: whose signature is trusted and can be checked here, that root's files are root's alone, and how the last push ended."""

from __future__ import annotations

import importlib.util
import os
import time

from agent import said, signature, wall
from agent.finding import Case, Finding
from agent.inbox import DESIRED, sha256
from agent.router.child import Program
from agent.said import Said
from agent.wire import jws

NAME = "push"
WAITING_S = 60.0
SERVICE = "is root's part enabled? /etc/init.d/rwagent enabled, or systemctl status rwagent-apply; its log says why it refuses to run"
INSTALL = {
    "openwrt": "install the system's own tool again: usign",
    "linux": "apt install signify-openbsd, or pip install cryptography",
    "simulated": "apt install signify-openbsd, or pip install cryptography",
}


def check(case: Case) -> list[Finding]:
    """Look at keys, tools, owners and the last verdict; where no key is trusted no push is expected."""
    push = case.settings.push
    keys = signature.load(push.keys_dir) if os.path.isdir(push.keys_dir) else signature.Keys({}, ())
    broken = [Finding(NAME, "bad", error, "put a public key there (usign or signify format), or remove the file") for error in keys.errors]
    if not keys.by_kid:
        return broken or [Finding(NAME, "skipped", f"no key is trusted, so every push is rejected: put the city's public key into {push.keys_dir}")]
    trusted = Finding(NAME, "ok", f"trusts {', '.join(sorted(keys.by_kid))}")
    return [*broken, trusted, *_tool(case), *_owners(case), *_last(case, said.read(case.settings.paths.run_dir))]


def _tool(case: Case) -> list[Finding]:
    if any(Program(name).is_there() for name in signature.PROGRAMS) or importlib.util.find_spec("cryptography") is not None:
        return []
    what = f"nothing here can check a signature: neither {', '.join(signature.PROGRAMS)} nor Python's cryptography"
    return [Finding(NAME, "bad", what, INSTALL[case.settings.router.backend])]


def _owners(case: Case) -> list[Finding]:
    """Ask what the applier asks before it starts; it makes its own directories itself."""
    settings = case.settings
    if os.geteuid() and settings.router.backend != "simulated":
        return [Finding(NAME, "skipped", "who owns root's files only root can see", "run the doctor as root")]
    own = tuple(f"{path} is missing;" for path in (settings.paths.state_dir, settings.paths.apply_dir))
    faults = [fault for fault in wall.faults(settings, case.config) if not fault.startswith(own)]
    faults += _exchange(settings.paths.run_dir)
    if not faults:
        return [Finding(NAME, "ok", "what root believes only root can change")]
    # "<path> has mode 666; chmod 640 <path>"
    parts = (fault.partition("; ") for fault in faults)
    return [Finding(NAME, "bad", f"rwagent-apply refuses to run: {what}", f"run {remedy}" if remedy else SERVICE) for what, _, remedy in parts]


def _exchange(run_dir: str) -> list[str]:
    """The inbox is the daemon's alone, status/ is root's; either is made when it is first needed."""
    faults = []
    inbox, status = os.path.join(run_dir, "inbox"), os.path.join(run_dir, "status")
    if os.path.lexists(inbox):
        seen, owner = os.lstat(inbox), os.stat(run_dir).st_uid
        if not os.path.isdir(inbox) or os.path.islink(inbox) or seen.st_uid != owner or seen.st_mode & 0o077:
            faults.append(f"{inbox} is not the agent's alone; rm -r {inbox}")
    if os.path.lexists(status):
        seen = os.lstat(status)
        if not os.path.isdir(status) or os.path.islink(status) or seen.st_uid != os.geteuid() or seen.st_mode & 0o022:
            faults.append(f"{status} is not root's alone; rm -r {status}")
    return faults


def _last(case: Case, word: Said | None) -> list[Finding]:
    waiting = _waiting_s(case, word)
    if waiting > WAITING_S:
        return [Finding(NAME, "bad", f"a push lies in the inbox for {waiting:.0f} s and root has not looked at it", SERVICE)]
    if word is None or not word.state:
        return [Finding(NAME, "ok", "none has come yet")]
    what = f"the last one {'' if word.revision is None else f'(revision {word.revision}) '}ended {word.state}"
    reason = (word.reported or {}).get("reason")
    what += f": {reason}" if isinstance(reason, str) else ""
    if word.state == "failed":
        return [Finding(NAME, "bad", what, "look at the box (rwagent config show says what differs), then push a higher revision")]
    if word.is_held:
        return [Finding(NAME, "warn", f"{what}, and it is not tried again", "push a higher revision; rwagent config show says more")]
    if word.state in ("rejected", "rolled_back"):
        return [Finding(NAME, "warn", what, "rwagent config show says why")]
    drift = (word.reported or {}).get("drift")
    if isinstance(drift, list) and drift:
        what += f", but the box is no longer so in {len(drift)} {'place' if len(drift) == 1 else 'places'}"
        return [Finding(NAME, "warn", what, "rwagent config show lists them; the next push puts them right")]
    return [Finding(NAME, "ok", what)]


def _waiting_s(case: Case, word: Said | None) -> float:
    """Give how long a push lies in the inbox that root has not looked at; 0 when there is none, or this user may not look."""
    path = os.path.join(case.settings.paths.run_dir, "inbox", DESIRED)
    content = said.read_bytes(path, jws.MAX_BYTES)
    if content is None or (word is not None and word.handled == sha256(content)):
        return 0.0
    return max(0.0, time.time() - os.stat(path).st_mtime)
