"""What each access point's state is, from its messages alone.

Pure: it is told the time and every message, and touches neither network nor screen. Every byte heard is
hostile: what is not the message its topic promises is counted and otherwise ignored.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from typing import Literal, NamedTuple

from agent.wire import config, messages, topics
from fleet.rows import SAFE_MODE, Present

# safe-mode: there, but crashed again and again, and reports nothing. never: enrolled and not heard of yet; pending: heard of and not enrolled.
# The last two only the store knows (fleet/view.py).
State = Literal["lost", "late", "safe-mode", "offline", "unknown", "never", "online", "pending"]
STATES: tuple[State, ...] = ("lost", "late", "safe-mode", "offline", "unknown", "never", "online", "pending")  # worst first; pending ones stand apart

MOST_POINTS = 10_000
MOST_BOOTS = 4
MOST_WORDS = 8
LONGEST_WORD = 48
TREND = 16
CAPS = STANDING, MISSING, BYPASSED = "standing", "missing", "bypassed"  # of bandwidth caps that are to be there
LATE_SPANS = 2.5
LATE_GRACE_S = 1.0
USUAL_SPAN_S, LONGEST_SPAN_S = 60.0, 3600.0
SHOWN_RATIO = 0.9  # of a pushed interval: a report of that long goes by it
MEMORY_LOW_RATIO = 0.1
RATE_OVER_S = 10
REPORT_INTERVAL = "agent.report_interval_s"  # its path in a config
BOOT = re.compile("[0-9a-f]{16}")


class Figures(NamedTuple):
    """What one report says, as far as the table shows it; None for a value the access point cannot give."""

    stations: int | None
    down_bps: float | None
    up_bps: float | None
    uplink: str | None
    uplink_ms: float | None
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    outbox: int | None
    clock: str | None
    cpu_ratio: float | None
    memory_free_ratio: float | None
    ssids: tuple[str, ...]
    caps: str | None = None  # one of CAPS; None: there are to be none


NOTHING = Figures(None, None, None, None, None, (), (), None, None, None, None, ())


class Config(NamedTuple):
    """How the last push stands: its revision, its state, and why it did not stay."""

    revision: int | None
    state: str
    reason: str | None


class Row(NamedTuple):
    """One access point at one moment; `age_s` is seconds since its newest report, `trend` the down throughput of the last ones.

    `config` is None while no push was heard of; `was` is what an unknown one was when it was last known; the rest is of the inventory.
    """

    ap: str
    state: State
    age_s: float | None
    figures: Figures
    trend: tuple[float, ...]
    config: Config | None = None
    was: State | None = None
    rw: str = ""
    kelurahan: str = ""
    provider: str = ""


class _Point:
    """What is remembered of one access point."""

    __slots__ = ("boots", "config", "figures", "heard_at", "presence", "pushed_s", "reported_at", "seq", "session", "span_s", "trend")

    def __init__(self, at: float) -> None:
        self.heard_at = at
        self.presence: Present | None = None
        self.session: str | None = None
        self.boots: deque[str] = deque(maxlen=MOST_BOOTS)
        self.seq = 0
        self.reported_at: float | None = None
        self.span_s = USUAL_SPAN_S
        self.pushed_s: float | None = None  # a report interval that no report has shown yet
        self.figures = NOTHING
        self.config: Config | None = None
        self.trend: deque[float] = deque(maxlen=TREND)


class City:
    """All access points of one city, from the first message heard on; at most `most` of them."""

    def __init__(self, name: str, most: int = MOST_POINTS) -> None:
        self.name = name
        self._most = most
        self.ignored = 0
        self._points: dict[str, _Point] = {}
        self._heard: Counter[int] = Counter()

    def hear(self, at: float, topic: str, payload: bytes, is_retained: bool) -> None:
        """Take one message (`at`: monotonic seconds)."""
        self._heard[int(at)] += 1
        for second in [second for second in self._heard if second < at - RATE_OVER_S - 1]:
            del self._heard[second]
        if not self._understand(at, topic, payload, is_retained):
            self.ignored += 1

    def rate(self, at: float) -> float:
        """Messages a second over the last ten whole seconds."""
        now = int(at)
        return sum(count for second, count in self._heard.items() if now - RATE_OVER_S <= second < now) / RATE_OVER_S

    def rows(self, at: float) -> list[Row]:
        """Every access point, worst first, then by name (`at`: monotonic seconds)."""
        rows = [_row(ap, point, at) for ap, point in self._points.items()]
        return sorted(rows, key=lambda row: (STATES.index(row.state), -len(row.figures.problems), -len(row.figures.notes), row.ap))

    def _understand(self, at: float, topic: str, payload: bytes, is_retained: bool) -> bool:
        parts = topics.parse(topic)
        if parts is None or parts[0] != self.name:
            return False
        ap, below = parts[1:]
        point = self._points.get(ap)
        if point is None:
            if len(self._points) >= self._most:
                return False
            point = _Point(at)
        try:
            if below == topics.PRESENCE:
                _take_presence(point, payload)
            elif below == topics.REPORT and not is_retained:
                _take_report(point, at, ap, payload)
            elif below == topics.CONFIG_REPORTED:
                _take_reported(point, payload)
            else:
                return False
        except messages.Malformed:
            return False
        self._points[ap] = point
        return True


def _take_presence(point: _Point, payload: bytes) -> None:
    presence = messages.parse_presence(payload)
    if presence.state == "online":
        point.session = presence.session
    elif point.session not in (None, presence.session):
        return  # the end of a session before the last birth: a late will
    point.presence = SAFE_MODE if presence.is_safe else presence.state


def _take_report(point: _Point, at: float, ap: str, payload: bytes) -> None:
    report = messages.decode_report(payload)
    boot, seq, span = report.get("boot"), report.get("seq"), _number(report.get("span_s"))
    if report.get("ap") != ap or not isinstance(boot, str) or not BOOT.fullmatch(boot) or not isinstance(seq, int):
        raise messages.Malformed("not this access point's report")
    is_newest_boot = bool(point.boots) and point.boots[-1] == boot
    if (is_newest_boot and seq <= point.seq) or (not is_newest_boot and boot in point.boots):
        return  # backlog of an outage, or sent twice: neither news nor a sign of life
    if not is_newest_boot:
        point.boots.append(boot)
    point.seq, point.reported_at = seq, at
    if point.presence != SAFE_MODE:  # only a birth ends it: what comes late was made before it
        point.presence = "online"
    point.span_s = min(max(span or USUAL_SPAN_S, 1.0), LONGEST_SPAN_S)
    if point.pushed_s is not None and point.span_s >= SHOWN_RATIO * point.pushed_s:
        point.pushed_s = None
    point.figures = figures_of(report)
    if point.figures.down_bps is not None:
        point.trend.append(point.figures.down_bps)


def _take_reported(point: _Point, payload: bytes) -> None:
    message = messages.decode_strict(payload, messages.MAX_DOWN_BYTES)
    heard = config.parse_reported(payload)
    point.config = Config(heard.revision, heard.state, _word(message.get("reason")))
    # The reports that are still on the way are of the former interval: until a long one came, only this says how long it may take.
    for change in _tables(message.get("changes")) if heard.state == "confirmed" else []:
        if change.get("path") == REPORT_INTERVAL:
            pushed_s = _number(change.get("to"))
            point.pushed_s = None if pushed_s is None else min(pushed_s, LONGEST_SPAN_S)


def _row(ap: str, point: _Point, at: float) -> Row:
    age = None if point.reported_at is None else max(0.0, at - point.reported_at)
    return Row(ap, _state(point, at), age, point.figures, tuple(point.trend), point.config)


def _state(point: _Point, at: float) -> State:
    if point.presence is None:
        return "unknown"
    if point.presence != "online":
        return point.presence
    since = point.heard_at if point.reported_at is None else point.reported_at
    interval_s = max(point.span_s, point.pushed_s or 0.0)
    return "late" if at - since > LATE_SPANS * interval_s + LATE_GRACE_S else "online"


def figures_of(report: dict[str, object]) -> Figures:
    """Read what the table shows out of a decoded report, whose every value may be missing or of any type."""
    uplink, host, agent = _table(report.get("uplink")), _table(report.get("host")), _table(report.get("agent"))
    wan = next((row for row in _tables(report.get("interfaces")) if row.get("role") == "uplink"), {})
    reach = _word(uplink.get("state"))
    total, free = _number(host.get("memory_total_bytes")), _number(host.get("memory_available_bytes"))
    free_ratio = free / total if total and free is not None else None
    return Figures(
        stations=_whole(_table(report.get("stations")).get("now")),
        down_bps=_number(wan.get("rx_bps")),
        up_bps=_number(wan.get("tx_bps")),
        uplink=reach,
        uplink_ms=next((ms for name in ("internet_ms", "dns_ms", "gateway_ms") if (ms := _number(uplink.get(name))) is not None), None),
        problems=_problems(report, reach, free_ratio),
        notes=_notes(agent),
        outbox=_whole(agent.get("outbox")),
        clock=_word(report.get("clock")),
        cpu_ratio=_number(host.get("cpu_ratio")),
        memory_free_ratio=free_ratio,
        ssids=tuple(dict.fromkeys(ssid for row in _tables(report.get("bss")) if (ssid := _word(row.get("ssid")))))[:MOST_WORDS],
        caps=_caps(_table(report.get("caps"))),
    )


def _caps(caps: dict[str, object]) -> str | None:
    """Say of the caps that are to be there whether the kernel has them, and whether traffic goes past it."""
    if caps.get("standing") is not True:
        return MISSING if caps.get("standing") is False else None
    return BYPASSED if caps.get("bypassed") is True else STANDING


def _problems(report: dict[str, object], reach: str | None, free_ratio: float | None) -> tuple[str, ...]:
    alerts = report.get("alerts")
    words = [word for alert in (alerts if isinstance(alerts, list) else []) if (word := _word(alert))]
    if reach not in (None, "ok"):
        words.append("uplink-down")
    if free_ratio is not None and free_ratio < MEMORY_LOW_RATIO:
        words.append("memory-low")
    return tuple(dict.fromkeys(words))[:MOST_WORDS]


def _notes(agent: dict[str, object]) -> tuple[str, ...]:
    """What was not measured, and why is in the report: "no dhcp"."""
    collectors = _table(agent.get("collectors"))
    return tuple(f"no {name[:LONGEST_WORD]}" for name, row in collectors.items() if _table(row).get("error"))[:MOST_WORDS]


def _table(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _tables(value: object) -> list[dict[str, object]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _number(value: object) -> float | None:
    """A number that can be shown: bool is none, nor is a negative or one beyond what a float holds exactly."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= messages.MAX_INTEGER else None


def _whole(value: object) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _word(value: object) -> str | None:
    return value[:LONGEST_WORD] if isinstance(value, str) else None
