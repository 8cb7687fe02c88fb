"""One access point in full: everything the store knows of it. Reads only."""

from __future__ import annotations

import datetime
import sqlite3
import zoneinfo
from collections.abc import Mapping
from difflib import SequenceMatcher, get_close_matches
from typing import NamedTuple

from fleet.errors import Refused
from fleet.received import Received
from fleet.view import Point, document, pending_of, point_of

HOUR_S, DAY_S = 3600, 86_400
LATEST_EVENTS = 5
Document = dict[str, object]


class Alert(NamedTuple):
    """One open problem; `since` is None when only a report named it."""

    code: str
    since: int | None
    data: Document


class Event(NamedTuple):
    """Something that happened."""

    at: int
    kind: str
    data: Document


class Availability(NamedTuple):
    """Seconds of a period, of the hours that are rolled up."""

    up_s: int
    down_s: int
    unknown_s: int

    @property
    def ratio(self) -> float | None:
        """Give the part of the known time that was up; None when nothing is known."""
        known = self.up_s + self.down_s
        return self.up_s / known if known else None


class Card(NamedTuple):
    """Everything known of one access point. `lost`: messages that are gone for good; `messages`: of a pending one."""

    point: Point
    report: Document
    info: Document
    reported: Document
    reported_at: int | None = None
    alerts: tuple[Alert, ...] = ()
    events: tuple[Event, ...] = ()
    certificate_ends_at: int | None = None
    enrolled_at: int | None = None
    revoked_at: int | None = None
    boots: int = 0
    lost: int = 0
    today: Availability = Availability(0, 0, 0)
    week: Availability = Availability(0, 0, 0)
    messages: int = 0


def card_of(live: sqlite3.Connection, ap: str, zone: str, now: float) -> Card:
    """Read all about one access point, also a revoked or a pending one; Refused when nobody knows it (`now`: the city's time, Unix seconds)."""
    point = point_of(live, ap, now)
    if point is None or point.number is None:
        return _pending(live, ap, now)
    number = point.number
    state = live.execute("SELECT report, info, reported, reported_at FROM state WHERE ap = ?", (number,)).fetchone() or (None, None, None, None)
    enrolled_at, revoked_at = live.execute("SELECT enrolled_at, revoked_at FROM city.inventory WHERE id = ?", (ap,)).fetchone()
    (ends_at,) = live.execute("SELECT max(expires_at) FROM city.certificates WHERE ap = ? AND revoked_at IS NULL", (ap,)).fetchone()
    boots = live.execute("SELECT received, gone_below FROM boots WHERE ap = ?", (number,)).fetchall()
    moment = datetime.datetime.fromtimestamp(now, zoneinfo.ZoneInfo(zone))
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    return Card(
        point,
        *(document(state[0]), document(state[1]), document(state[2])),
        reported_at=state[3],
        alerts=tuple(Alert(code, since, document(data)) for code, since, data in live.execute(ALERTS, (number,))),
        events=tuple(Event(at, kind, document(data)) for at, kind, data in live.execute(EVENTS, (number, LATEST_EVENTS))),
        certificate_ends_at=ends_at,
        enrolled_at=enrolled_at,
        revoked_at=revoked_at,
        boots=len(boots),
        lost=sum(lost_of(received, gone_below) for received, gone_below in boots),
        today=_availability(live, number, midnight),
        week=_availability(live, number, now - 7 * DAY_S),
    )


ALERTS = "SELECT code, since, data FROM alerts WHERE ap = ? ORDER BY coalesce(since, 0), code"
EVENTS = "SELECT ts, kind, data FROM events WHERE ap = ? ORDER BY ts DESC, seq DESC LIMIT ?"


def lost_of(received: str, gone_below: int) -> int:
    """Count the messages of one boot that will never come: below `gone_below` and not received."""
    below = sum(max(0, min(last, gone_below - 1) - first + 1) for first, last in Received(received).ranges())
    return max(0, gone_below - 1 - below)


def _availability(live: sqlite3.Connection, number: int, since: float) -> Availability:
    """Sum the hours that begin at `since` or later."""
    found = live.execute("SELECT sum(up_s), sum(down_s), sum(unknown_s) FROM hours WHERE ap = ? AND hr >= ?", (number, int(since)))
    return Availability(*(seconds or 0 for seconds in found.fetchone()))


def _pending(live: sqlite3.Connection, ap: str, now: float) -> Card:
    for point in pending_of(live, now):
        if point.id == ap:
            (messages,) = live.execute("SELECT messages FROM pending WHERE ap = ?", (ap,)).fetchone()
            return Card(point, {}, {}, {}, messages=messages)
    names = [name for (name,) in live.execute("SELECT id FROM city.inventory")]
    alike = sorted(get_close_matches(ap, names, 50, 0.8), key=lambda name: (-SequenceMatcher(None, name, ap).ratio(), name))
    close = alike[:3]
    raise Refused(f"there is no access point {ap!r}" + (f"; did you mean {' or '.join(close)}?" if close else "; see all:  rwctl status"))


def point_as_json(point: Point) -> Document:
    """Give an access point as `status --json` prints it; what is not known is absent."""
    figures, config = point.figures, point.config
    members = {
        **{name: getattr(point, name) for name in ("id", "rw", "kelurahan", "kecamatan", "provider", "contract_mbps", "rupiah_month", "tags", "state", "was")},
        **{name: getattr(point, name) for name in ("since_at", "report_at", "boot", "seq", "agent", "model")},
        "age_s": None if point.age_s is None else round(point.age_s, 1),
        **{"clients": figures.stations, "down_bps": figures.down_bps, "up_bps": figures.up_bps, "uplink": figures.uplink, "uplink_ms": figures.uplink_ms},
        **{"alerts": figures.problems, "not_measured": figures.notes, "clock": figures.clock, "outbox": figures.outbox, "ssids": figures.ssids},
        "caps": figures.caps,
        "cpu_ratio": figures.cpu_ratio,
        "memory_free_ratio": None if figures.memory_free_ratio is None else round(figures.memory_free_ratio, 4),
        "config": None if config is None else _known({"state": config.state, "revision": config.revision, "reason": config.reason}),
        **{"revision_in_force": point.said.current, "revision_told": point.told, "drift": point.said.drift},
    }
    if point.state == "pending":
        return _known({name: members[name] for name in ("id", "state", "since_at", "report_at", "age_s")})
    return _known(members)


def as_json(card: Card) -> Document:
    """Give one access point as `status ID --json` prints it."""
    if card.point.state == "pending":
        return point_as_json(card.point) | {"messages": card.messages}
    dates = {"enrolled_at": card.enrolled_at, "revoked_at": card.revoked_at, "certificate_ends_at": card.certificate_ends_at, "reported_at": card.reported_at}
    return {
        **point_as_json(card.point),
        **_known(dates),
        "open_alerts": [_known(alert._asdict()) for alert in card.alerts],
        "events": [event._asdict() for event in card.events],
        "boots": card.boots,
        "lost": card.lost,
        "availability": {"today": card.today._asdict(), "7_days": card.week._asdict()},
        "report": card.report,
        "info": card.info,
        "reported": card.reported,
    }


def _known(members: Mapping[str, object]) -> Document:
    return {name: value for name, value in members.items() if value is not None}
