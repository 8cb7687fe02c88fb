"""One message of an access point becomes rows of the store, or Poison with the reason.

Pure: it is told the time. Every byte is hostile: what says whose a message is and which (ap, boot, seq, uptime_s, span_s) must be right,
every other value is read leniently and left out when it is not what the contract says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from agent.wire import config, messages, schemas, topics
from agent.wire.claims import STARS
from agent.wire.shapes import YEAR_2100
from fleet import pruning, quarantine, quick_json
from fleet.figures import Figures, is_word
from fleet.rows import SAFE_MODE, AlertChange, EventRow, Present, RawRow, StateChange

MOST = messages.MAX_INTEGER
MOST_MERGED = 100_000  # seq of one merged report: a day of one-second reports
LONGEST_SPAN_S = 86_400.0
LONGEST_UPTIME_S = 100 * 366 * 86_400.0
TRUSTED_WITHIN_S = 86_400  # an `at` further from the city's time is wrong, whatever its clock says
LONGEST_KIND = 32
LONGEST_DATA = 8_192  # characters of an event's or alert's data
LONGEST_KEPT = 65_536  # of a report, an info, a verdict
CLOCKS = frozenset(schemas.CLOCKS)
PLAN_STATES = ("planned", "rejected")
ALERT = "alert/"
SUBSCRIPTIONS = (
    *(topics.PRESENCE, topics.INFO, topics.REPORT, topics.EVENT, "alert/<code>"),
    *(topics.CONFIG_REPORTED, topics.CONFIG_PLAN_RESULT),
)

Payload = messages.Payload


class Who(NamedTuple):
    """Whose message it is, by its topic: the access point's id and its number in the inventory."""

    ap: str
    number: int


class Poison(NamedTuple):
    """A message that is not what its topic promises; the reason quotes nothing of it."""

    reason: str


class Report(NamedTuple):
    """One report: its row, the oldest seq still held, its own time by a clock that is set, how many values were not as promised, and all it said.

    `said_at` may be far from the city's time, which then may be what is wrong; `row.ts` is only there when it is near.
    """

    row: RawRow
    oldest: int | None
    said_at: float | None
    odd: int
    message: Payload


class Event(NamedTuple):
    """One event."""

    row: EventRow


class Presence(NamedTuple):
    """What a presence says; whether it counts is for whoever knows the last birth."""

    state: Present
    session: str


Understood = Report | Event | Presence | StateChange | AlertChange | Poison | None


def understand(who: Who, below: str, payload: bytes, is_retained: bool, now: float) -> Understood:
    """Read one message (`below`: its topic below the access point's root; `now`: the city's time). None: nothing to keep."""
    reader = _READERS.get(below)
    try:
        if reader is not None:
            return reader(who, payload, is_retained, now)
        if below.startswith(ALERT):
            return _alert(who, below[len(ALERT) :], payload)
    except messages.Malformed as error:
        return Poison(str(error))
    return Poison("no topic of the contract")


def kept_report(report: Report) -> str | None:
    """Give a report as `state` keeps it: what the contract names, no address of a station, no key; None when that is too long."""
    text = quick_json.written(_REPORT(report.message))
    return text if len(text) <= LONGEST_KEPT else None


# Reports: the hot path.


def _report(who: Who, payload: bytes, is_retained: bool, now: float) -> Understood:
    if is_retained:
        raise messages.Malformed("retained, which a report never is")
    message = quick_json.read_report(payload)
    boot, seq, uptime_s = _identity(who, message)
    from_seq = _from_seq(message, seq)
    span_s = _seconds(message, "span_s", LONGEST_SPAN_S)
    figures = Figures()
    clock, said_at = _clock(message, figures)
    ts = _near(said_at, now)
    late = 1 if message.get("late") is True else 0
    up, (now_on, most_on, weak) = figures.reach(message.get("uplink")), figures.stations(message.get("stations"))
    row = RawRow(
        *(ts, who.number, boot, seq, from_seq, span_s, uptime_s, clock, late, up, now_on, most_on, weak),
        *figures.rates(message.get("interfaces")),
        *figures.way_out(message.get("uplink")),
        figures.airtime(message.get("radios")),
        *figures.host(message.get("host")),
        figures.alerts(message.get("alerts")),
    )
    return Report(row, figures.oldest(message.get("agent"), seq), said_at, figures.odd, message)


def _identity(who: Who, message: Payload) -> tuple[str, int, float]:
    boot, seq = message.get("boot"), message.get("seq")
    if message.get("ap") != who.ap:
        raise messages.Malformed("ap is not the access point of the topic")
    if type(boot) is not str or len(boot) != 16 or not _HEX.issuperset(boot):
        raise messages.Malformed("boot is not 16 hex digits")
    if type(seq) is not int or not 1 <= seq <= MOST:
        raise messages.Malformed(f"seq is not a whole number from 1 to {MOST}")
    return boot, seq, _seconds(message, "uptime_s", LONGEST_UPTIME_S)


def _from_seq(message: Payload, seq: int) -> int | None:
    first = message.get("from_seq")
    if first is None or (type(first) is int and max(0, seq - MOST_MERGED) < first <= seq):
        return first
    raise messages.Malformed(f"from_seq is not a whole number from 1 to seq, less than {MOST_MERGED} before it")


def _seconds(message: Payload, name: str, longest: float) -> float:
    value = message.get(name)
    if (type(value) is float or type(value) is int) and 0 <= value <= longest:
        return float(value)
    raise messages.Malformed(f"{name} is not a number from 0 to {longest:.0f}")


def _clock(message: Payload, figures: Figures) -> tuple[str, float | None]:
    """Give the clock's word, and `at` where it is set."""
    clock, at = message.get("clock"), message.get("at")
    if type(clock) is not str or clock not in CLOCKS:
        figures.odd += 1
        return "none", None
    if clock != "ntp" or at is None:
        return clock, None
    if (type(at) is int or type(at) is float) and 0 <= at <= YEAR_2100:
        return clock, float(at)
    figures.odd += 1
    return clock, None


def _near(at: float | None, now: float) -> int | None:
    return None if at is None or abs(at - now) > TRUSTED_WITHIN_S else int(at)


# What comes seldom: all by the strict decoder.


def _event(who: Who, payload: bytes, is_retained: bool, now: float) -> Understood:
    if is_retained:
        raise messages.Malformed("retained, which an event never is")
    message = messages.decode_strict(payload, messages.MAX_DOWN_BYTES)
    boot, seq, uptime_s = _identity(who, message)
    kind, data = message.get("kind"), message.get("data", {})
    if type(kind) is not str or len(kind) > LONGEST_KIND or not is_word(kind):
        raise messages.Malformed(f"kind is not a word of at most {LONGEST_KIND} characters, or looks like an address")
    clock, at = _clock({"clock": "none", **message}, Figures())
    return Event(EventRow(_near(at, now), who.number, boot, seq, kind, _data(data), uptime_s, clock))


def _presence(_who: Who, payload: bytes, _is_retained: bool, _now: float) -> Understood:
    if not payload:
        return None
    presence = messages.parse_presence(payload)
    return Presence(SAFE_MODE if presence.is_safe else presence.state, presence.session)


def _info(who: Who, payload: bytes, _is_retained: bool, _now: float) -> Understood:
    if not payload:
        return None
    message = messages.decode_strict(payload, messages.MAX_DOWN_BYTES)
    if message.get("ap") != who.ap:
        raise messages.Malformed("ap is not the access point of the topic")
    return StateChange(who.number, "info", (_kept(message, _INFO),))


def _reported(who: Who, payload: bytes, _is_retained: bool, now: float) -> Understood:
    if not payload:
        return None
    config.parse_reported(payload)
    message = messages.decode_strict(payload, messages.MAX_DOWN_BYTES)
    return StateChange(who.number, "reported", (_kept(message, _REPORTED), int(now)))


def _plan(who: Who, payload: bytes, is_retained: bool, now: float) -> Understood:
    if is_retained:
        raise messages.Malformed("retained, which a plan never is")
    message = messages.decode_strict(payload, messages.MAX_DOWN_BYTES)
    if message.get("state") not in PLAN_STATES:
        raise messages.Malformed("state is not one of a plan")
    return StateChange(who.number, "plan", (_kept(message, _PLAN), int(now)))


def _alert(who: Who, code: str, payload: bytes) -> Understood:
    if not is_word(code):
        raise messages.Malformed("the alert's code is no name, or looks like an address")
    if not payload:
        return AlertChange(who.number, code, None, None)
    message = messages.decode_strict(payload, messages.MAX_DOWN_BYTES)
    if message.get("code") != code:
        raise messages.Malformed("code is not that of the topic")
    since = message.get("since")
    is_moment = (type(since) is int or type(since) is float) and 0 <= since <= MOST
    return AlertChange(who.number, code, int(since) if is_moment else None, _data(message.get("data", {})))  # type: ignore[call-overload]  # is_moment


def _kept(message: Payload, prune: pruning.Prune) -> str:
    pruned = prune(message)
    for name in ("changes", "drift"):
        # An agent stars the keys of what a push changed itself, and is not believed.
        for row in pruned.get(name, ()):
            if quarantine.is_secret(row.get("path", "").rpartition(".")[2]):
                row.update((member, STARS) for member in ("from", "to", "expected", "found") if member in row)
    text = quick_json.written(pruned)
    if len(text) > LONGEST_KEPT:
        raise messages.Malformed(f"more than {LONGEST_KEPT} characters to keep")
    return text


def _data(value: object) -> str:
    """Give the free part of a message as the JSON that may be kept: cut to nothing when it is too long."""
    if type(value) is not dict:
        raise messages.Malformed("data is not an object")
    text = messages.encode(quarantine.starred(value)).decode()  # type: ignore[arg-type]  # an object stays one
    return text if len(text) <= LONGEST_DATA else "{}"


_HEX = frozenset("0123456789abcdef")
_REPORT, _INFO, _REPORTED, _PLAN = (pruning.pruner(schemas.PAYLOADS[name]) for name in ("report", "info", "config-reported", "config-plan-result"))
_READERS: dict[str, Callable[[Who, bytes, bool, float], Understood]] = {
    topics.PRESENCE: _presence,
    topics.INFO: _info,
    topics.REPORT: _report,
    topics.EVENT: _event,
    topics.CONFIG_REPORTED: _reported,
    topics.CONFIG_PLAN_RESULT: _plan,
}
