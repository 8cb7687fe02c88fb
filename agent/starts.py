"""Whether the agent crashed again and again of late, and so whether its next run is one in safe mode.

Counted at each start, in RAM, by the uptime: costs nothing while the agent runs, and neither a wrong clock nor a damaged file can do
more than have fewer crashes counted.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from agent.run_dir import MARK
from agent.said import read_bytes, read_object
from agent.wire import messages
from agent.wire.safe_mode import crash_text

FILE = "starts.json"
MARK_BYTES = 4096


class Rules(NamedTuple):
    """How many crashes within how many seconds are too many, how long safe mode lasts (at first, at most), and after how long all is forgotten."""

    crashes: int = 5
    within_s: float = 600.0
    stay_s: float = 1800.0
    longest_stay_s: float = 6 * 3600.0
    forget_s: float = 3600.0


RULES = Rules()


class Record(NamedTuple):
    """What is remembered of a boot; moments are seconds of uptime, None for what is not so.

    `moments`: when each of the last crashes was found, by the start after it; `crashes`: how many led to safe mode and came after it;
    `safe_since`, `safe_until`: of the safe mode that is; `next_stay_s`: how long the next one lasts, 0 while it takes several crashes
    to get there; `normal_since`: when the normal agent was tried again; `last_crash`: type and place of the last one.
    """

    boot: str = ""
    moments: tuple[float, ...] = ()
    crashes: int = 0
    safe_since: float | None = None
    safe_until: float | None = None
    next_stay_s: float = 0.0
    normal_since: float | None = None
    last_crash: str = ""

    @property
    def is_safe(self) -> bool:
        """Say whether the run that begins now is one in safe mode."""
        return self.safe_since is not None


class Start(NamedTuple):
    """How the next run is to be; `safe_mode_for_s`: how long the safe mode lasted that it follows, None when it follows none.

    `unnoted`: why this could not be noted, None when it was: a crash of this run is not going to be counted.
    """

    record: Record
    safe_mode_for_s: float | None = None
    unnoted: Exception | None = None


def begin(run_dir: str, boot: str, now: float, rules: Rules = RULES) -> Start:
    """Note that a run begins (`now`: uptime, seconds), and say how it is to be, also where there is no room to note it; `run_dir` is held by the caller."""
    last = read(run_dir, boot, now)
    mark = os.path.join(run_dir, MARK)
    left = (read_bytes(mark, MARK_BYTES) or b"").decode("ascii", "replace")
    # What another boot left of a run was a power cut's.
    start = decide(last, now, crash_text(left.removeprefix(boot)) if left.startswith(boot) else None, rules)
    try:
        if start.record != last:
            said = {name: value for name, value in start.record._asdict().items() if value is not None}
            _write(os.path.join(run_dir, FILE), messages.encode({"v": 1} | said))
        _write(mark, boot.encode())
    except OSError as error:
        return start._replace(unnoted=error)
    return start


def decide(last: Record, now: float, word: str | None, rules: Rules = RULES) -> Start:
    """Say how the run that begins at `now` is to be. `word`: what the last run left of its crash, "" when it left none; None: it ended in order."""
    if word is None:
        return _leave(last, now) if last.is_safe else Start(_forget(last, now, rules))
    if not last.is_safe:
        return Start(_crashed(_forget(last, now, rules), now, word, rules))
    # What safe mode itself crashes by must neither end it nor make it longer.
    return Start(last) if now < (last.safe_until or now) else _leave(last, now)


def read(run_dir: str, boot: str, now: float) -> Record:
    """Read what is remembered of this boot; what is damaged, or of another boot, counts for nothing."""
    found = read_object(os.path.join(run_dir, FILE)) or {}
    listed = found.get("moments")
    if found.get("boot") != boot or not isinstance(listed, list):
        return Record(boot)
    moments = tuple(each for each in (_moment(one, now) for one in listed[-RULES.crashes :]) if each is not None)
    since, until = _moment(found.get("safe_since"), now), _moment(found.get("safe_until"), now + RULES.longest_stay_s)
    stay, crashes, last_crash = (found.get(name) for name in ("next_stay_s", "crashes", "last_crash"))
    return Record(
        boot=boot,
        moments=moments if moments == tuple(sorted(moments)) else (),
        crashes=crashes if type(crashes) is int and 0 <= crashes <= messages.MAX_INTEGER else 0,
        safe_since=since if until is not None else None,
        safe_until=until if since is not None else None,
        next_stay_s=_moment(stay, RULES.longest_stay_s) or 0.0,
        normal_since=_moment(found.get("normal_since"), now),
        last_crash=crash_text(last_crash) if isinstance(last_crash, str) else "",
    )


def handed(start: Start) -> list[str]:
    """Give the arguments that tell the process image of the normal agent which safe mode it follows."""
    if start.safe_mode_for_s is None:
        return []
    return ["--safe-mode-for", f"{start.safe_mode_for_s:.0f}", "--crashes", str(start.record.crashes)]


def _crashed(last: Record, now: float, word: str, rules: Rules) -> Record:
    """Count a crash; after a safe mode that is not forgotten one is enough."""
    moments, is_again = (*last.moments, now)[-rules.crashes :], last.next_stay_s > 0
    if not is_again and (len(moments) < rules.crashes or now - moments[0] > rules.within_s):
        return last._replace(moments=moments, last_crash=word)
    stay_s = last.next_stay_s or rules.stay_s
    return last._replace(
        moments=(),
        crashes=last.crashes + 1 if is_again else rules.crashes,
        safe_since=now,
        safe_until=now + stay_s,
        next_stay_s=min(2 * stay_s, rules.longest_stay_s),
        normal_since=None,
        last_crash=word,
    )


def _leave(last: Record, now: float) -> Start:
    lasted = None if last.safe_since is None else now - last.safe_since
    return Start(last._replace(safe_since=None, safe_until=None, normal_since=now), lasted)


def _forget(last: Record, now: float, rules: Rules) -> Record:
    """Take a safe mode for over once the normal agent has stood so long."""
    if last.normal_since is None or now - last.normal_since < rules.forget_s:
        return last
    return Record(last.boot)


def _write(path: str, text: bytes) -> None:
    fd = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o640)
    with open(fd, "wb") as file:
        file.write(text)
    os.replace(f"{path}.new", path)


def _moment(value: object, latest: float) -> float | None:
    return float(value) if type(value) in (int, float) and 0 <= value <= latest else None  # type: ignore[operator, arg-type]  # a number
