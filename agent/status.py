"""What the running daemon last said of itself, for `rwagent status` and the doctor.

Reads the one file that the daemon writes into run_dir, and asks the kernel whether it still lives; never the
broker.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from typing import NamedTuple

from agent.run_dir import is_held

STATE_FILE = "daemon.json"
MAX_BYTES = 1 << 20
COMMANDS = (b"agent.daemon", b"agent.safe")
JAILED = 1
TRY_NOW = "look at its log for why it crashed; to have it tried normally now: /etc/init.d/rwagent restart, or systemctl restart rwagent"

IN_WORDS = {
    "received": "root has it",
    "applying": "being put in place",
    "testing": "being tried: it stays only if the broker is reached through it",
    "confirmed": "in force",
    "unchanged": "in force, and nothing had to be changed for it",
    "rejected": "not taken",
    "rolled_back": "tried and taken back",
    "failed": "neither it nor what was before could be established: somebody has to look",
}


class Status(NamedTuple):
    """Whether the daemon runs, and if not why we think so; how many seconds ago it wrote (None: never); what it wrote."""

    is_running: bool
    why: str
    age_s: float | None
    state: dict[str, object]


def read(run_dir: str, proc: str = "/proc") -> Status:
    """Read the daemon's state; never raises, for not being able to is an answer too."""
    path = os.path.join(run_dir, STATE_FILE)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return Status(False, f"there is no {path}", None, {})
    except OSError as error:
        return Status(False, f"{path} cannot be read ({error.strerror}): run as root or as the agent's user", None, {})
    try:
        age = max(0.0, time.time() - os.fstat(fd).st_mtime)
        state = json.loads(os.read(fd, MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return Status(False, f"{path} is damaged", None, {})
    finally:
        os.close(fd)
    if not isinstance(state, dict):
        return Status(False, f"{path} is damaged", None, {})
    pid = state.get("pid")
    # In a jail it is the first of its own: a number that says nothing here. Its lock holds through the wall.
    if type(pid) is not int or not (is_held(run_dir) if pid == JAILED else _lives(pid, proc)):
        return Status(False, f"process {pid} is gone" if type(pid) is int else f"{path} is damaged", age, state)
    return Status(True, "", age, state)


def is_connected(seen: Status) -> bool:
    """Say whether the daemon runs and has a session with the broker."""
    return seen.is_running and part(seen, "broker").get("state") == "connected"


def is_safe(seen: Status) -> bool:
    """Say whether the daemon runs in safe mode."""
    return seen.is_running and bool(part(seen, "safe_mode"))


def safe_mode(seen: Status) -> str:
    """Say in a sentence since when it is in safe mode, why, and until when."""
    found = part(seen, "safe_mode")
    last = f", the last one {found['last_crash']}" if isinstance(found.get("last_crash"), str) and found["last_crash"] else ""
    times = f"for {duration(found.get('since_s'))}, tries to run normally again in {duration(found.get('tries_again_in_s'))}"
    return f"only presence, pushes and the command logs, after {found.get('crashes', '?')} crashes{last}; {times}"


def part(seen: Status, name: str) -> dict[str, object]:
    """Give one table of the state, empty when it is not there."""
    value = seen.state.get(name)
    return value if isinstance(value, dict) else {}


def to_json(seen: Status) -> str:
    """Give the state for machines: what the daemon wrote, and whether it runs."""
    own: dict[str, object] = {"v": 1, "running": seen.is_running, "connected": is_connected(seen)}
    if seen.why:
        own["why"] = seen.why
    if seen.age_s is not None:
        own["age_s"] = round(seen.age_s, 1)
    return json.dumps(seen.state | own, indent=2)


def render(seen: Status) -> str:
    """Give the state as a short table for people, and what to do when it is not as it should be."""
    rows = [("agent", _agent(seen))]
    if is_safe(seen):
        rows += [("safe mode", safe_mode(seen)), ("broker", _broker(seen)), ("outbox", "left as it lies until it runs normally"), ("config", _config(seen))]
    elif seen.state:
        rows += [("broker", _broker(seen)), ("outbox", _outbox(seen)), ("report", _report(seen)), ("clients", _clients(seen)), ("config", _config(seen))]
        rows += [("alerts", _alerts(seen))]
    width = max(8, *(len(name) for name, _ in rows))
    lines = [f"{name:<{width}} {printable(text)}" for name, text in rows]
    return "\n".join([*lines, *(f"{'':<{width}} -> {remedy}" for remedy in _remedies(seen))])


def duration(seconds: object) -> str:
    """Say a time span as people do, by its two largest units."""
    if not isinstance(seconds, (int, float)) or not 0 <= seconds < 1e10:
        return "?"
    whole = int(seconds)
    for size, name, less, lesser in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {name} {whole % size // less} {lesser}"
    return f"{whole} s"


def ended(push: Mapping[str, object], when: str = "") -> str:
    """Say how a push stands, by its revision, state and reason; no revision where nothing vouches for what it says of itself."""
    revision, state = push.get("revision"), str(push.get("state"))
    name = "a push without a revision" if revision is None else f"revision {revision}"
    reason = f" ({push['reason']})" if isinstance(push.get("reason"), str) else ""
    return f"{name} {state}{reason}{when}: {IN_WORDS.get(state, 'unknown to this version')}"


def printable(text: str) -> str:
    """Keep a line a line: what could move a terminal's cursor becomes a question mark."""
    return "".join(character if character.isprintable() else "?" for character in text)


def process(seen: Status) -> str:
    """Say which process it is, as far as that can be known from outside a jail."""
    pid = seen.state.get("pid")
    return "in its jail" if pid == JAILED else f"process {pid}"


def _agent(seen: Status) -> str:
    if not seen.is_running:
        return f"not running: {seen.why}"
    return f"running, {process(seen)}, wrote this {duration(seen.age_s)} ago"


def _broker(seen: Status) -> str:
    broker = part(seen, "broker")
    where = f"{broker.get('host', '?')}:{broker.get('port', '?')}"
    reason = broker.get("last_reason") or broker.get("reason")
    if not seen.is_running:
        return f"{where}, when it last ran {broker.get('state', 'unknown')}" + (f" ({reason})" if reason else "")
    since = duration(broker.get("since_s"))
    if is_connected(seen):
        return f"connected to {where}, MQTT {broker.get('protocol', '?')}, for {since}; {broker.get('reconnects', 0)} reconnects"
    text = f"not connected to {where} for {since} ({broker.get('state', 'unknown')}): {reason or 'no attempt has ended yet'}"
    next_attempt = broker.get("next_attempt_in_s")
    return f"{text}; attempt {broker.get('attempts', '?')}" + (f", next one within {duration(next_attempt)}" if next_attempt is not None else "")


def _outbox(seen: Status) -> str:
    outbox = part(seen, "outbox")
    text = f"{outbox.get('count', '?')} messages, {outbox.get('bytes', '?')} bytes"
    if outbox.get("count"):
        text += f", oldest seq {outbox.get('oldest_seq', '?')}"
    return text + (f", {outbox['dropped']} lost for want of room" if outbox.get("dropped") else "")


def _report(seen: Status) -> str:
    report = part(seen, "report")
    if not report:
        return "none yet"
    at = report.get("at")
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at)) if isinstance(at, (int, float)) and 0 <= at < 1e10 else "at an unknown time"
    return f"seq {report.get('seq', '?')}, {when}, clock {report.get('clock', '?')}"


def _clients(seen: Status) -> str:
    stations = part(seen, "report").get("stations")
    now = stations.get("now") if isinstance(stations, dict) else None
    return str(now) if now is not None else "not known (no Wi-Fi here, or none that answers)"


def _config(seen: Status) -> str:
    push = part(seen, "push")
    if "state" not in push:
        text = "no push yet"
    else:
        text = ended(push)
        if push.get("current") not in (None, push.get("revision")):
            text += f"; revision {push['current']} is in force"
    text += "; held back, push a higher revision" if push.get("held") is True else ""
    return text + (f"; {push['refused']} refused as malformed or foreign" if push.get("refused") else "")


def _alerts(seen: Status) -> str:
    alerts = seen.state.get("alerts")
    return ", ".join(map(str, alerts)) if isinstance(alerts, list) and alerts else "none"


def _remedies(seen: Status) -> list[str]:
    if not seen.is_running:
        return ["start it: /etc/init.d/rwagent start, or systemctl start rwagent, or rwagent run; then look at its log"]
    if is_safe(seen):
        return [TRY_NOW]
    if not is_connected(seen):
        return ["`rwagent doctor` looks for the cause layer by layer; reports are kept meanwhile"]
    return []


def _lives(pid: int, proc: str) -> bool:
    """Say whether the process is there and is the agent: numbers are used again."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    try:
        with open(os.path.join(proc, str(pid), "cmdline"), "rb") as file:
            line = file.read(4096)
            return any(command in line for command in COMMANDS)
    except OSError:
        return True
