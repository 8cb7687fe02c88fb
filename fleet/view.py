"""What the store says of each access point now: its row of the inventory, its newest figures, and the state that follows.

Reads only. What this end did not listen to is unknown: neither down nor fine.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any, Generic, NamedTuple, TypeVar

from fleet import schema, where
from fleet.rows import SAFE_MODE
from fleet.status import (
    LATE_GRACE_S,
    LATE_SPANS,
    LONGEST_SPAN_S,
    LONGEST_WORD,
    NOTHING,
    REPORT_INTERVAL,
    STATES,
    USUAL_SPAN_S,
    Config,
    Figures,
    Row,
    State,
    figures_of,
)

PLACES = ("kelurahan", "kecamatan")
DEAF_AFTER_S = 15.0  # serve says at least every 5 s that it listens
MEGA = 1e6
WAITING = "waiting"  # beside the states that access points report of a config
T = TypeVar("T")

POINTS = """
SELECT i.id, i.number, i.rw, i.kelurahan, i.kecamatan, i.provider, i.contract_mbps, i.rupiah_month, i.tags,
  s.presence, s.presence_at, s.boot, s.seq, s.report_at, s.span_s, s.report, s.info, s.reported,
  (SELECT max(r.revision) FROM city.revisions r WHERE r.ap = i.number)
FROM city.inventory i LEFT JOIN state s ON s.ap = i.number"""


class Said(NamedTuple):
    """What a `config/reported` says: how the last push stands, the revision in force, how much was changed by hand, the report interval it brought."""

    config: Config | None = None
    current: int | None = None
    drift: int = 0
    interval_s: float = 0.0


class Info(NamedTuple):
    """What an `info` says of the box."""

    agent: str | None = None
    model: str | None = None


class Point(NamedTuple):
    """One access point at one moment; None for what is not known.

    `was`: the state of an unknown one when this end last listened; `since_at`: since when the broker says so; `report_at`, `age_s`: of its newest
    report, by the city's clock; `told`: the newest revision that was made for it.
    """

    id: str
    number: int | None
    rw: str
    kelurahan: str
    kecamatan: str
    provider: str
    contract_mbps: float | None
    rupiah_month: int | None
    tags: tuple[str, ...]
    state: State
    was: State | None = None
    since_at: int | None = None
    report_at: int | None = None
    age_s: float | None = None
    figures: Figures = NOTHING
    said: Said = Said()
    told: int | None = None
    agent: str | None = None
    model: str | None = None
    boot: str | None = None
    seq: int | None = None

    def row(self, trend: Sequence[float] = ()) -> Row:
        """Give what the table draws."""
        return Row(self.id, self.state, self.age_s, self.figures, tuple(trend), self.config, self.was, self.rw, self.kelurahan, self.provider)

    @property
    def config(self) -> Config | None:
        """Give how the newest push stands: waiting while it was not heard of there; None when there was none."""
        said = self.said.config
        if self.told is not None and (said is None or (said.revision is not None and said.revision < self.told)):
            return Config(self.told, WAITING, None)
        return said

    def values(self) -> dict[str, object]:
        """Give what `--where` asks for."""
        figures = self.figures
        return {
            **{name: getattr(self, name) for name in ("id", "rw", "kelurahan", "kecamatan", "provider", "contract_mbps", "rupiah_month", "tags", "state")},
            "clients": figures.stations,
            "down_mbps": None if figures.down_bps is None else figures.down_bps / MEGA,
            "up_mbps": None if figures.up_bps is None else figures.up_bps / MEGA,
            "uplink": figures.uplink,
            "alerts": figures.problems,
            "config": None if self.config is None else self.config.state,
            "caps": figures.caps,
            "revision": self.said.current,
            **{name: getattr(self, name) for name in ("age_s", "agent", "model")},
        }


class Ear(NamedTuple):
    """Whether this end hears the access points: since when without a break, and until when; None: never yet.

    `interval_s`: how often it expects a report of them, 0 when it never said so.
    """

    is_listening: bool
    began_at: int | None = None
    ended_at: int | None = None
    interval_s: float = 0.0


class Overview(NamedTuple):
    """A city at one moment (`now`: the city's time); the pending ones come last among the points."""

    now: float
    points: list[Point]
    ear: Ear
    quarantined: int

    def pending(self) -> list[Point]:
        """Give the valid certificates without a row in the inventory."""
        return [point for point in self.points if point.state == "pending"]

    def enrolled(self) -> list[Point]:
        """Give the access points of the inventory."""
        return [point for point in self.points if point.state != "pending"]

    def counts(self) -> dict[State, int]:
        """Count by state, worst first, the pending ones last."""
        found = Counter(point.state for point in self.points)
        return {state: found[state] for state in STATES}


class _Known(Generic[T]):
    """Stored JSON, understood once for as long as it stays the same."""

    def __init__(self, understand: Callable[[dict[str, object]], T], nothing: T) -> None:
        self._understand, self._nothing = understand, nothing
        self._found: dict[int, tuple[str, T]] = {}

    def of(self, number: int, text: str | None) -> T:
        if text is None:
            return self._nothing
        known = self._found.get(number)
        if known is None or known[0] != text:
            known = self._found[number] = (text, self._understand(document(text)))
        return known[1]


class Documents:
    """What was understood of the stored JSON; the live table reads all of it each second."""

    def __init__(self) -> None:
        self.figures = _Known(figures_of, NOTHING)
        self.said = _Known(_said, Said())
        self.info = _Known(_info, Info())


def overview(live: sqlite3.Connection, now: float, documents: Documents | None = None) -> Overview:
    """Look at the whole city (`now`: the city's time, Unix seconds); `documents` makes looking again cheaper."""
    (quarantined,) = live.execute("SELECT count(*) FROM quarantine").fetchone()
    return Overview(now, rows_of(live, now, documents) + pending_of(live, now), ear_of(live, now), quarantined)


def rows_of(live: sqlite3.Connection, now: float, documents: Documents | None = None) -> list[Point]:
    """Give every access point of the inventory that is not revoked, worst first, then by name (`now`: the city's time, Unix seconds)."""
    documents = documents or Documents()
    ear = ear_of(live, now)
    return sorted((_point(row, ear, now, documents) for row in live.execute(f"{POINTS} WHERE i.revoked_at IS NULL")), key=_order)


def point_of(live: sqlite3.Connection, ap: str, now: float) -> Point | None:
    """Give one access point of the inventory, also a revoked one; None when it has no row."""
    row = live.execute(f"{POINTS} WHERE i.id = ?", (ap,)).fetchone()
    return None if row is None else _point(row, ear_of(live, now), now, Documents())


def pending_of(live: sqlite3.Connection, now: float) -> list[Point]:
    """Give the valid certificates without a row in the inventory, by name; one that was revoked, when it was heard later than its end takes."""
    found = live.execute(f"SELECT ap, first_at, last_at FROM pending WHERE {schema.IS_PENDING} ORDER BY ap")
    return [
        Point(ap, None, "", "", "", "", None, None, (), "pending", since_at=first_at, report_at=last_at, age_s=max(0.0, now - last_at))
        for ap, first_at, last_at in found
    ]


def ear_of(live: sqlite3.Connection, now: float) -> Ear:
    """Say whether this end listens."""
    row = live.execute("SELECT began_at, ended_at FROM listening ORDER BY began_at DESC LIMIT 1").fetchone()
    said = live.execute("SELECT value FROM meta WHERE name = 'interval_s'").fetchone()
    interval_s = 0.0 if said is None else float(said[0])
    return Ear(False, interval_s=interval_s) if row is None else Ear(now - row[1] <= DEAF_AFTER_S, row[0], row[1], interval_s)


class Poison(NamedTuple):
    """One message that could not be understood; `beginning` has no secret in it."""

    at: int
    topic: str
    bytes: int
    reason: str
    beginning: str


def poison_of(live: sqlite3.Connection, most: int) -> list[Poison]:
    """Give what could not be understood, the newest first."""
    return [Poison(*row) for row in live.execute("SELECT at, topic, bytes, reason, beginning FROM quarantine ORDER BY number DESC LIMIT ?", (most,))]


def chosen(points: Iterable[Point], expression: str | None) -> list[Point]:
    """Keep what `--where` means; BadInput when the expression is wrong or a name in it is a slip for one that is there."""
    points = list(points)
    if expression is None:
        return points
    matches = where.compile(expression)
    found = [point for point in points if matches(point.values())]
    for asked in () if found else where.comparisons(where.parse(expression)):
        if _is_strange(points, asked) and (close := get_close_matches(asked.value.casefold(), spelled := _spelled(points, asked.field), 3)):
            meant = " or ".join(spelled[name] for name in close)
            raise where.fault(expression, asked.at, f"no access point has {asked.field} {asked.value!r}; did you mean {meant}?")
    return found


def strange(points: Iterable[Point], expression: str) -> list[str]:
    """Say which names of an expression that found nothing nobody has, and where they may belong: an empty answer may be meant."""
    points, lines = list(points), []
    for asked in where.comparisons(where.parse(expression)):
        if _is_strange(points, asked):
            # Places of two levels may have the same name.
            fields = [field for field in PLACES if asked.value.casefold() in _spelled(points, field)]
            meant = f"; did you mean {' or '.join(f'{field}={asked.value}' for field in fields)}?" if fields else ""
            lines.append(f"no access point has {asked.field} {asked.value!r}{meant}")
    return lines


def _is_strange(points: list[Point], asked: where.Comparison) -> bool:
    """Say whether a comparison names what none has; only names can be slips."""
    if asked.field not in ("id", "rw", "kelurahan", "kecamatan", "provider", "tags") or asked.operator != "=" or not asked.value or not points:
        return False
    return asked.value.casefold() not in _spelled(points, asked.field)


def _spelled(points: list[Point], field: str) -> dict[str, str]:
    """Give every name in a field as it is written, by its folded form."""
    names = {name for point in points for name in (point.tags if field == "tags" else (getattr(point, field),)) if name}
    return {name.casefold(): name for name in names}


def document(text: str | None) -> dict[str, object]:
    """Read stored JSON; what is none is empty."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def limit_s(span_s: float | None, said: Said, interval_s: float = 0.0) -> float:
    """Say how long an access point may be silent before it is late: by its own interval, or the one that was pushed last, or else all have.

    The span of its newest report alone would not do: the first one after a start is short.
    """
    span = min(max(span_s or USUAL_SPAN_S, 1.0), LONGEST_SPAN_S)
    return LATE_SPANS * max(span, said.interval_s or interval_s) + LATE_GRACE_S


def _point(row: tuple[Any, ...], ear: Ear, now: float, documents: Documents) -> Point:
    ap, number, rw, kelurahan, kecamatan, provider, mbps, rupiah, tags, presence, presence_at, boot, seq, report_at, span_s, report, info, reported, told = row
    said, box = documents.said.of(number, reported), documents.info.of(number, info)
    state, was = state_of(Heard(presence, presence_at, report_at, limit_s(span_s, said, ear.interval_s)), ear, now)
    return Point(
        *(ap, number, rw, kelurahan, kecamatan, provider, mbps, rupiah, tuple(tags.split())),
        state=state,
        was=was,
        since_at=presence_at if presence == (was or state) else None,
        report_at=report_at,
        age_s=None if report_at is None else max(0.0, now - report_at),
        figures=documents.figures.of(number, report),
        said=said,
        told=told,
        agent=box.agent,
        model=box.model,
        boot=boot,
        seq=seq,
    )


class Heard(NamedTuple):
    """What was heard of one access point; `limit_s`: how long it may be silent."""

    presence: str | None
    presence_at: int | None
    report_at: int | None
    limit_s: float


def state_of(heard: Heard, ear: Ear, now: float) -> tuple[State, State | None]:
    """Derive the state, and of an unknown one what it was when this end last listened."""
    if heard.presence is None and heard.report_at is None:
        return "never", None
    if not ear.is_listening:
        then = now if ear.ended_at is None else min(now, ear.ended_at)
        return "unknown", _state(heard, ear.began_at, then)
    return _state(heard, ear.began_at, now), None


def _state(heard: Heard, began_at: int | None, now: float) -> State:
    report_at, presence_at = heard.report_at or 0, heard.presence_at or 0
    if heard.presence in ("lost", "offline") and report_at <= presence_at:  # any newer report means online
        return "lost" if heard.presence == "lost" else "offline"
    if heard.presence == SAFE_MODE:  # only a birth ends it
        return SAFE_MODE
    if now - max(report_at, presence_at) <= heard.limit_s:
        return "online"
    # It may have reported while nobody listened, and has not had the time to do so again.
    return "unknown" if began_at is not None and now - began_at <= heard.limit_s else "late"


def _order(point: Point) -> tuple[int, int, int, int, str]:
    figures = point.figures
    return STATES.index(point.state), STATES.index(point.was or point.state), -len(figures.problems), -len(figures.notes), point.id


def _said(reported: dict[str, object]) -> Said:
    state, reason, changes, drift = (reported.get(name) for name in ("state", "reason", "changes", "drift"))
    if not isinstance(state, str):
        return Said()
    revision, current = _whole(reported.get("revision")), _whole(reported.get("current"))
    in_force = revision if state in ("confirmed", "unchanged") and current is None else current
    interval_s = 0.0
    for change in changes if isinstance(changes, list) and state == "confirmed" else ():
        if isinstance(change, dict) and change.get("path") == REPORT_INTERVAL:
            to = change.get("to")
            interval_s = min(float(to), LONGEST_SPAN_S) if isinstance(to, (int, float)) and not isinstance(to, bool) and to > 0 else 0.0
    config = Config(revision, state[:LONGEST_WORD], reason[:LONGEST_WORD] if isinstance(reason, str) else None)
    return Said(config, in_force, len(drift) if isinstance(drift, list) else 0, interval_s)


def _info(info: dict[str, object]) -> Info:
    return Info(*(value[:LONGEST_WORD] if isinstance(value := info.get(name), str) else None for name in Info._fields))


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
