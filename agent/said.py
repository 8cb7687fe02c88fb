"""What root says of pushes, in the files of run_dir/status: what is under way, how the last one ended, what is in force.

Only reads; what is hostile, of the wrong type or too much is left out, never an exception.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import NamedTuple

from agent.wire import messages

CONFIG, PLAN, HISTORY = "config.json", "plan.json", "history.json"
FILE_BYTES = 262_144
# What is said must be heard again: less than the most that is taken from a broker, with room for the run and the session of a test.
REPORTED_BYTES = messages.MAX_DOWN_BYTES - 256
MOST_ENTRIES = 20
MOST_NAMES = 64
LONGEST_INTERVAL_S = 3600.0
_HEX = frozenset("0123456789abcdef")


class Trial(NamedTuple):
    """The live test that a push waits in: which run of the applier, what confirms it, and until when (seconds of uptime)."""

    run: str
    nonce: str
    until_uptime_s: float


class Pace(NamedTuple):
    """The agent's own knobs as a push set them, seconds; None: as agent.toml says."""

    report_interval_s: float | None = None
    sample_interval_s: float | None = None


class Said(NamedTuple):
    """Everything in status/config.json. `handled`: the SHA-256 of the desired file last judged, "" for none; `reported`: the payload of config/reported.

    `retry_at_uptime_s`: when root will take the same push again; None: it will not.
    """

    handled: str = ""
    reported: Mapping[str, object] | None = None
    test: Trial | None = None
    retry_at_uptime_s: float | None = None
    pace: Pace = Pace()
    refusals: int = 0
    is_held: bool = False
    keys: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """Give the last push's state, "" when there was none."""
        return str((self.reported or {}).get("state", ""))

    @property
    def revision(self) -> int | None:
        """Give the revision that the state speaks of."""
        revision = (self.reported or {}).get("revision")
        return revision if type(revision) is int else None


NOTHING = Said()


class Planned(NamedTuple):
    """What status/plan.json says: of which file (its SHA-256), and the payload of config/plan/result."""

    handled: str
    result: Mapping[str, object]


class Word:
    """One file of status/, read again only when it may have changed."""

    def __init__(self, run_dir: str, name: str) -> None:
        self.path = os.path.join(run_dir, "status", name)
        self._seen: tuple[int, ...] | None = None

    def news(self) -> dict[str, object] | None:
        """Give its content when the file is another one than at the last call; None when not, or when there is nothing that can be read."""
        try:
            found = os.lstat(self.path)
        except OSError:
            self._seen = None
            return None
        seen = (found.st_ino, found.st_dev, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        if seen == self._seen:
            return None
        self._seen = seen
        return read_object(self.path)


def read(run_dir: str) -> Said | None:
    """Read what root says now; None when it says nothing."""
    found = Word(run_dir, CONFIG).news()
    return None if found is None else parse(found)


def history(run_dir: str) -> list[dict[str, object]]:
    """Read how the last pushes ended, the newest first."""
    entries = (read_object(os.path.join(run_dir, "status", HISTORY)) or {}).get("entries")
    return [entry for entry in entries if isinstance(entry, dict)][:MOST_ENTRIES] if isinstance(entries, list) else []


def parse(found: Mapping[str, object]) -> Said:
    """Make sense of status/config.json."""
    at, after = _number(found.get("at_uptime_s")), _number(found.get("retry_in_s"))
    reported = _payload(found.get("reported"))
    return Said(
        handled=_hexadecimal(found.get("handled"), 64),
        reported=reported,
        test=_test(found.get("test")) if (reported or {}).get("state") == "testing" else None,
        retry_at_uptime_s=None if at is None or after is None else at + after,
        pace=_pace(found.get("agent")),
        refusals=_count(found.get("refusals")),
        is_held=found.get("held") is True or (reported or {}).get("held") is True,
        keys=tuple(key for key in _names(found.get("keys")) if _hexadecimal(key.lower(), 16)),
        sections=_names(found.get("sections")),
    )


def parse_plan(found: Mapping[str, object]) -> Planned | None:
    """Make sense of status/plan.json; None when it tells nothing."""
    handled, result = _hexadecimal(found.get("handled"), 64), _payload(found.get("result"))
    return Planned(handled, result) if handled and result is not None else None


def read_bytes(path: str, most: int) -> bytes | None:
    """Read a regular file of root's or our own, whole; None for anything else, and for one of more than `most` bytes."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_uid not in (0, os.geteuid()) or found.st_size > most:
            return None
        text = os.read(fd, most + 1)
    except OSError:
        return None
    finally:
        os.close(fd)
    return text if len(text) <= most else None


def read_object(path: str) -> dict[str, object] | None:
    """Read a JSON object out of such a file."""
    text = read_bytes(path, FILE_BYTES)
    try:
        return None if text is None else messages.decode_strict(text, FILE_BYTES)
    except messages.Malformed:
        return None


def _payload(value: object) -> Mapping[str, object] | None:
    """Take what is to be published: an object with a state, not too large, that can be written as JSON again."""
    if not isinstance(value, dict) or not isinstance(value.get("state"), str):
        return None
    try:
        return value if len(messages.encode(value)) <= REPORTED_BYTES else None
    except ValueError:
        return None


def _test(value: object) -> Trial | None:
    if not isinstance(value, dict):
        return None
    run, nonce, until = _hexadecimal(value.get("run"), 16), _hexadecimal(value.get("nonce"), 32), _number(value.get("until_uptime_s"))
    return Trial(run, nonce, until) if run and nonce and until is not None else None


def _pace(value: object) -> Pace:
    """Take the knobs in force; a sample less often than a report is none."""
    knobs = value if isinstance(value, dict) else {}
    report, sample = (_interval(knobs.get(name)) for name in Pace._fields)
    return Pace(report, sample)


def _interval(value: object) -> float | None:
    seconds = _number(value)
    return seconds if seconds is not None and 1 <= seconds <= LONGEST_INTERVAL_S else None


def _number(value: object) -> float | None:
    return float(value) if type(value) in (int, float) and 0 <= value <= messages.MAX_INTEGER else None  # type: ignore[operator, arg-type]  # a number


def _count(value: object) -> int:
    return value if type(value) is int and 0 <= value <= messages.MAX_INTEGER else 0


def _hexadecimal(value: object, length: int) -> str:
    return value if isinstance(value, str) and len(value) == length and _HEX.issuperset(value) else ""


def _names(value: object) -> tuple[str, ...]:
    names = value if isinstance(value, list) else []
    return tuple(name for name in names if isinstance(name, str) and 0 < len(name) <= 48 and name.isprintable())[:MOST_NAMES]
