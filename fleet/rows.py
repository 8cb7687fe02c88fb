"""What one batch of heard messages changes in the store: the records that ingest makes and the keeper writes.

Pure nouns. Nothing here ever holds a station's MAC address, a Wi-Fi key or a password.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

# What a presence says: one in safe mode is online, but nothing is sensed there.
Present = Literal["online", "safe-mode", "lost", "offline"]
SAFE_MODE: Literal["safe-mode"] = "safe-mode"
Part = Literal["presence", "report", "info", "reported", "plan"]


class RawRow(NamedTuple):
    """One report, in the order of the columns of `raw`; None for a value the access point did not give.

    `ts` is the report's own `at` when it is trusted (clock ntp, within a day of the city's time); None has the keeper stamp it from
    `uptime_s`, now and again when the boot's base gets sure. `boot` is the 16 hex digits, `ap` inventory.number, `alerts` codes with one blank between.
    """

    ts: int | None
    ap: int
    boot: str
    seq: int
    from_seq: int | None
    span_s: float
    uptime_s: float
    clock: str
    late: int
    up: int | None
    stations: int | None = None
    stations_max: int | None = None
    weak_ratio: float | None = None
    rx_bps: float | None = None
    tx_bps: float | None = None
    rx_peak_bps: float | None = None
    tx_peak_bps: float | None = None
    latency_ms: float | None = None
    loss_ratio: float | None = None
    airtime_ratio: float | None = None
    cpu_ratio: float | None = None
    memory_ratio: float | None = None
    alerts: str | None = None


class EventRow(NamedTuple):
    """One event, in the order of the columns of `events`; `ts` as in RawRow, `data` JSON."""

    ts: int | None
    ap: int
    boot: str
    seq: int
    kind: str
    data: str
    uptime_s: float
    clock: str | None


class StateChange(NamedTuple):
    """What of an access point's `state` row one message changes: `values` are PARTS[part]'s columns.

    The keeper leaves out what is not newer than what it has: a report of an earlier (boot, seq), a presence that says the same of the same session.
    """

    ap: int
    part: Part
    values: tuple[str | int | float | None, ...]


PARTS: dict[Part, tuple[str, ...]] = {
    "presence": ("presence", "session", "presence_at"),
    "report": ("boot", "seq", "report_at", "span_s", "report"),
    "info": ("info",),
    "reported": ("reported", "reported_at"),
    "plan": ("plan", "plan_at"),
}


class AlertChange(NamedTuple):
    """What one `alert/<code>` says; `data` is JSON, None when it is cleared.

    By the list in each newest report the keeper itself clears what that lacks and adds what it has besides.
    """

    ap: int
    code: str
    since: int | None
    data: str | None


class PendingSeen(NamedTuple):
    """So many messages of a valid certificate without a row in the inventory."""

    ap: str
    at: int
    messages: int


class Quarantined(NamedTuple):
    """One message that could not be understood; `beginning` is at most 256 characters, starred."""

    at: int
    topic: str
    reason: str
    bytes: int
    sha256: str
    beginning: str


class Batch(NamedTuple):
    """What is committed together. `now` is the city's time (Unix seconds) at which the batch was heard.

    `oldest`: agent.oldest_seq by (ap, boot), as the newest report said. `listening_since`: since when (city's time) without a break this end hears everything;
    None while it is not connected. A batch that has nothing else still extends `listening`.
    """

    now: float
    raw: list[RawRow]
    events: list[EventRow]
    states: list[StateChange]
    alerts: list[AlertChange]
    pending: list[PendingSeen]
    quarantined: list[Quarantined]
    oldest: dict[tuple[int, str], int]
    listening_since: float | None = None

    @classmethod
    def empty(cls, now: float, listening_since: float | None = None) -> Batch:
        """Begin a batch with nothing in it."""
        return cls(now, [], [], [], [], [], [], {}, listening_since)


class Stored(NamedTuple):
    """What a commit wrote: messages that were new, those that were there before (by received sets alone), rows stamped anew, those of one boot too many."""

    reports: int
    events: int
    duplicates: int
    restamped: int
    refused: int = 0
