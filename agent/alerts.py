"""The open problems: one table of what raises an alert and what clears it, and the memory that keeps it from flapping.

Pure: sees only the report and the daemon's few facts, touches nothing. A figure that is missing neither
raises nor clears; between the two thresholds an alert stays as it is.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import NamedTuple

Parts = Mapping[str, object]
Facts = Mapping[str, float]
Compare = Callable[[float, float], bool]

HOUR_S = 3600
# Reports come a few milliseconds early or late: a hold of one interval must not wait for the next.
TOLERANCE_S = 1.0
NO_FACTS: Facts = {}


class Figure(NamedTuple):
    """What a rule compares, and what the alert tells about it."""

    value: float
    data: dict[str, object]


class Rule(NamedTuple):
    """One line of the table; the figure must keep beyond a threshold for that many seconds of uptime."""

    code: str
    figure: Callable[[Parts, Facts], Figure | None]
    is_bad: Compare
    raise_at: float
    raise_after_s: float
    is_good: Compare
    clear_at: float
    clear_after_s: float


class Change(NamedTuple):
    """An alert raised or cleared; `since` is when the problem began, in Unix seconds, None while the clock is unknown."""

    code: str
    raised: bool
    since: float | None
    data: dict[str, object]


def _dead_radios(parts: Parts, _facts: Facts) -> Figure | None:
    return _down(parts, "radios", ("radio", "band"))


def _bss_not_on_air(parts: Parts, _facts: Facts) -> Figure | None:
    # Each BSS by itself: the same SSID on a living sibling radio must not hide this one.
    return _down(parts, "bss", ("ifname", "radio", "ssid"))


def _down(parts: Parts, part: str, names: tuple[str, ...]) -> Figure | None:
    """Make the figure of the rows that are down; a radio that is not meant to be on air now is not missed, nor are its networks."""
    rows, radios = parts.get(part), parts.get("radios")
    if not isinstance(rows, list):
        return None
    silent = [row.get("radio") for row in radios if isinstance(row, dict) and row.get("wanted") is False] if isinstance(radios, list) else []
    down = [row for row in rows if isinstance(row, dict) and row.get("up") is False]
    missed = [row for row in down if row.get("radio") not in silent]
    return Figure(len(missed), {part: [{name: row[name] for name in names if name in row} for row in missed]})


def _uplink(parts: Parts, _facts: Facts) -> Figure | None:
    uplink = parts.get("uplink")
    state = uplink.get("state") if isinstance(uplink, dict) else None
    return Figure(float(state != "ok"), {"state": state}) if isinstance(state, str) else None


def _clock(parts: Parts, _facts: Facts) -> Figure | None:
    clock = parts.get("clock")
    return Figure(float(clock != "ntp"), {"clock": clock}) if isinstance(clock, str) else None


def _certificate(parts: Parts, facts: Facts) -> Figure | None:
    days = facts.get("certificate_days")
    # Days are counted with the wall clock: only one that is trusted counts.
    return None if days is None or parts.get("clock", "ntp") != "ntp" else Figure(days, {"certificate_days": round(days, 1)})


def _taken(_parts: Parts, facts: Facts) -> Figure | None:
    at = facts.get("identity_taken_at")
    ago_s = None if at is None else max(0.0, facts["uptime_s"] - at)
    return None if ago_s is None else Figure(ago_s, {"ago_s": round(ago_s, 1)})


def _fact(name: str) -> Callable[[Parts, Facts], Figure | None]:
    """Make the figure that is one of the daemon's facts."""
    return lambda _parts, facts: Figure(facts[name], {name: round(facts[name])}) if name in facts else None


def _ratio(part: str, of: str, to: str) -> Callable[[Parts, Facts], Figure | None]:
    """Make the figure that is one number of a part over another of the same part."""

    def figure(parts: Parts, _facts: Facts) -> Figure | None:
        row = parts.get(part)
        have, whole = (row.get(of), row.get(to)) if isinstance(row, dict) else (None, None)
        if not isinstance(have, (int, float)) or not isinstance(whole, (int, float)) or whole <= 0:
            return None
        return Figure(have / whole, {of: have, to: whole})

    return figure


def _caps(parts: Parts, _facts: Facts) -> Figure | None:
    caps = parts.get("caps")
    if isinstance(caps, dict):
        return Figure(float(caps.get("standing") is not True), {"missing": caps.get("missing", [])})
    return _no_caps(parts)


def _bypass(parts: Parts, _facts: Facts) -> Figure | None:
    caps = parts.get("caps")
    return Figure(float(caps.get("bypassed") is True), {}) if isinstance(caps, dict) else _no_caps(parts)


def _no_caps(parts: Parts) -> Figure | None:
    """Tell a box on which no cap is wanted from one that could not be read: only there no problem is known."""
    agent = parts.get("agent")
    collectors = agent.get("collectors") if isinstance(agent, dict) else None
    row = collectors.get("caps") if isinstance(collectors, dict) else None
    return Figure(0.0, {}) if isinstance(row, dict) and "error" not in row else None


_POOLS = _ratio("dhcp", "leases", "pool")


def _fullest_pool(parts: Parts, facts: Facts) -> Figure | None:
    # Of several pools the fullest counts: an empty one beside it must not hide that nobody gets an address there.
    row = parts.get("dhcp")
    fullest = row.get("fullest_ratio") if isinstance(row, dict) else None
    if not isinstance(row, dict) or not isinstance(fullest, (int, float)):
        return _POOLS(parts, facts)
    return Figure(fullest, {name: row[name] for name in ("leases", "pool", "fullest_ratio") if name in row})


_GE, _GT, _LE, _LT = operator.ge, operator.gt, operator.le, operator.lt

RULES = (  # code, figure, raise when beyond and for how many seconds, clear when beyond and for how many seconds
    # A restart of hostapd and a radar check of 60 s pass unseen. One of 600 s (a weather channel) is known by `wanted`, where hostapd tells of it.
    Rule("radio-down", _dead_radios, _GE, 1, 90, _LT, 1, 60),
    Rule("ssid-not-on-air", _bss_not_on_air, _GE, 1, 90, _LT, 1, 60),
    Rule("uplink-down", _uplink, _GE, 1, 60, _LT, 1, 60),
    Rule("dhcp-pool-full", _fullest_pool, _GE, 0.95, 60, _LT, 0.85, 120),
    Rule("flash-full", _ratio("host", "flash_free_bytes", "flash_total_bytes"), _LT, 0.05, 300, _GT, 0.10, 300),
    Rule("memory-low", _ratio("host", "memory_available_bytes", "memory_total_bytes"), _LT, 0.08, 120, _GT, 0.15, 300),
    Rule("conntrack-full", _ratio("host", "conntrack", "conntrack_max"), _GE, 0.9, 60, _LT, 0.75, 120),
    Rule("offload-bypasses-caps", _bypass, _GE, 1, 0, _LT, 1, 0),
    # Two reports; where they come each second, longer than a network made anew may be without its caps.
    Rule("caps-not-standing", _caps, _GE, 1, 10, _LT, 1, 0),
    Rule("certificate-expiring", _certificate, _LT, 30, 0, _GT, 31, 0),
    Rule("clock-untrusted", _clock, _GE, 1, 600, _LT, 1, 60),
    Rule("push-refused", _fact("bad_signatures"), _GE, 3, 0, _LT, 3, 0),  # until a good one ends the row
    Rule("config-held", _fact("config_held"), _GE, 1, 0, _LT, 1, 0),
    Rule("identity-taken", _taken, _LT, HOUR_S, 0, _GE, HOUR_S, 0),
)


class Alerts:
    """Which alerts are open, which figures are on their way to change that, and which codes were last judged to be no problem (`calm`)."""

    def __init__(self) -> None:
        self.open: dict[str, Change] = {}
        self.calm: set[str] = set()
        self._since: dict[str, float] = {}

    @staticmethod
    def codes() -> tuple[str, ...]:
        """Name every code that can be raised."""
        return tuple(rule.code for rule in RULES)

    def step(self, at_uptime: float, report_parts: Parts, facts: Facts = NO_FACTS) -> list[Change]:
        """Judge one interval; give what changed.

        `at_uptime` is seconds of uptime, `report_parts` the report. `facts` may have `certificate_days` (until the
        certificate ends), `identity_taken_at` (uptime of the last take-over of our session), `bad_signatures` (of pushes, in a row) and
        `config_held` (1: a config that was rolled back is not tried again).
        """
        known = {**facts, "uptime_s": at_uptime}
        changes = []
        for rule in RULES:
            figure = rule.figure(report_parts, known)
            if figure is not None:
                self.calm.discard(rule.code)
                changes += self._judge(rule, figure, at_uptime, report_parts.get("at"))
        return changes

    def _judge(self, rule: Rule, figure: Figure, at_uptime: float, at: object) -> list[Change]:
        former = self.open.get(rule.code)
        if former is None:
            is_turning, hold_s = rule.is_bad(figure.value, rule.raise_at), rule.raise_after_s
        else:
            is_turning, hold_s = rule.is_good(figure.value, rule.clear_at), rule.clear_after_s
            self.open[rule.code] = former._replace(data=figure.data)
        if not is_turning:
            self._since.pop(rule.code, None)
            if former is None:
                self.calm.add(rule.code)
            return []
        since = self._since[rule.code] = min(at_uptime, self._since.get(rule.code, at_uptime))
        if at_uptime - since < hold_s - TOLERANCE_S:
            return []
        del self._since[rule.code]
        if former is not None:
            del self.open[rule.code]
            self.calm.add(rule.code)
            return [former._replace(raised=False, data=figure.data)]
        began = int(at - (at_uptime - since)) if isinstance(at, (int, float)) else None
        self.open[rule.code] = Change(rule.code, True, began, figure.data)
        return [self.open[rule.code]]
