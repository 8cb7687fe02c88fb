"""What an access point says about pushes, on `config/reported` and `config/plan/result`: builders of both, and the reader of its own words.

Touches no network. Whatever a push wrote into its paths and values, a message stays below the size that every reader of ours takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from agent.wire.messages import MAX_DOWN_BYTES, MAX_INTEGER, Malformed, Payload, decode_strict, encode

# On the way, then the verdicts.
ON_THE_WAY = ("received", "applying", "testing")
VERDICTS = ("confirmed", "unchanged", "rejected", "rolled_back", "failed")
STATES = (*ON_THE_WAY, *VERDICTS)
# Why a push was rejected; the first four before any signature vouched for it.
REJECTED = (
    *("oversize", "malformed", "unknown_key", "bad_signature", "wrong_city", "wrong_ap", "wrong_kind"),
    *("stale", "conflict", "jump", "invalid", "busy", "too_soon", "unsupported"),
)
ROLLED_BACK = (
    *("broker_unreachable", "not_on_air", "wrong_channel", "reload_failed", "write_failed", "read_back"),
    *("applier_died", "reboot", "superseded", "busy", "caps_not_standing", "not_resolving"),
)
FAILED = ("could_not_restore", "state_lost")
REASONS = tuple(dict.fromkeys((*REJECTED, *ROLLED_BACK, *FAILED)))
IMPACTS = ("live", "bss", "radio", "network")

LISTED_BYTES = 16_384  # of each list; three of them and the rest stay below MAX_DOWN_BYTES
LONGEST_PATH, LONGEST_MESSAGE, LONGEST_VALUE = 160, 400, 400

Fault = tuple[str, str, str]  # path, code, message
Change = tuple[str, object, object, str]  # path, from, to, impact; None: not set
Drift = tuple[str, object, object]  # path, expected, found; None: not set


class Reported(NamedTuple):
    """What the access point reads in its own `config/reported`: what it was about, and which test of which MQTT session it belongs to."""

    state: str
    revision: int | None
    run: str | None
    session: str | None


def reported(
    state: str,
    *,
    revision: int | None = None,
    previous: int | None = None,
    current: int | None = None,
    hash: str | None = None,
    reason: str | None = None,
    errors: Iterable[Fault] = (),
    changes: Iterable[Change] = (),
    drift: Iterable[Drift] = (),
    verified: bool = True,
    foreign_edit: bool = False,
    held: bool = False,
    run: str | None = None,
    session: str | None = None,
    took_ms: int | None = None,
    at: int | None = None,
) -> Payload:
    """Make a `config/reported`; what is not known, empty or as usual is left out, and of a list what would make it longer than LISTED_BYTES.

    `previous`: the revision in force before this one; `current`: the one in force now; `at`: Unix seconds.
    """
    named = {"revision": revision, "previous": previous, "current": current, "hash": hash, "reason": reason}
    message: Payload = {"v": 1, "state": state} | {name: value for name, value in named.items() if value is not None}
    lists = {"errors": map(_fault, errors), "changes": map(_change, changes), "drift": map(_drift, drift)}
    for name, rows in lists.items():
        message |= {member: value for member, value in _listed(name, rows).items() if value}
    message |= {} if verified else {"verified": False}
    message |= {name: True for name, is_so in (("foreign_edit", foreign_edit), ("held", held)) if is_so}
    rest = {"run": run, "session": session, "took_ms": took_ms, "at": at}
    return message | {name: value for name, value in rest.items() if value is not None}


def plan_result(
    revision: int | None,
    *,
    reason: str | None = None,
    errors: Iterable[Fault] = (),
    changes: Sequence[Change] = (),
    hash: str | None = None,
) -> Payload:
    """Make a `config/plan/result`: rejected when there is a `reason`, else planned, with the worst impact of the changes."""
    message: Payload = {"v": 1, "state": "planned" if reason is None else "rejected"}
    worst = max((IMPACTS.index(impact) for _, _, _, impact in changes), default=None)
    named = {"revision": revision, "reason": reason, "impact": None if worst is None else IMPACTS[worst], "hash": hash}
    message |= {name: value for name, value in named.items() if value is not None}
    return message | _listed("errors", map(_fault, errors)) | _listed("changes", map(_change, changes))


def with_session(message: Payload, session: str) -> Payload:
    """Give a `config/reported` as this MQTT session publishes it."""
    return message | {"session": session}


def parse_reported(payload: bytes) -> Reported:
    """Read the access point's own `config/reported` as the broker gives it back, or raise Malformed."""
    message = decode_strict(payload, MAX_DOWN_BYTES)
    state, revision = message.get("state"), message.get("revision")
    if not isinstance(state, str) or state not in STATES:
        raise Malformed("state is not one of a push")
    if revision is not None and (not isinstance(revision, int) or isinstance(revision, bool) or not 0 < revision <= MAX_INTEGER):
        raise Malformed("revision is not a whole number above 0")
    return Reported(state, revision, _token(message, "run"), _token(message, "session"))


def _token(message: Payload, name: str) -> str | None:
    value = message.get(name)
    if value is not None and (not isinstance(value, str) or len(value) != 16):
        raise Malformed(f"{name} is not 16 hex digits")
    return value


def _fault(fault: Fault) -> Payload:
    path, code, message = fault
    return {"path": _cut(path, LONGEST_PATH), "code": code, "message": _cut(message, LONGEST_MESSAGE)}


def _change(change: Change) -> Payload:
    path, before, after, impact = change
    return {"path": _cut(path, LONGEST_PATH), **_values(("from", before), ("to", after)), "impact": impact}


def _drift(drift: Drift) -> Payload:
    path, expected, found = drift
    return {"path": _cut(path, LONGEST_PATH), **_values(("expected", expected), ("found", found))}


def _values(*pairs: tuple[str, object]) -> Payload:
    """What is not set is absent; what is long becomes a text that shows its beginning."""
    found: Payload = {}
    for name, value in pairs:
        if isinstance(value, str):
            value = _cut(value, LONGEST_VALUE)
        elif value is not None and len(text := encode({"": value}).decode()[4:-1]) > LONGEST_VALUE:
            value = _cut(text, LONGEST_VALUE)
        if value is not None:
            found[name] = value
    return found


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _listed(name: str, rows: Iterable[Payload]) -> Payload:
    """As many rows as LISTED_BYTES take, and how many more there are."""
    kept: list[Payload] = []
    left_out = room = 0
    for row in rows:
        room += len(encode(row)) + 1
        if room > LISTED_BYTES:
            left_out += 1
        else:
            kept.append(row)
    return {name: kept} | ({f"{name}_left_out": left_out} if left_out else {})
