"""What root says of pushes, in the one place that words it: the documents for `config/reported` and the files below status/.

Touches nothing. No key passes here: changes come masked, the document only as its starred hash.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from agent.change import Change, Fault, Plan, Tree
from agent.plan import as_json
from agent.wire import claims as wire_claims
from agent.wire import config as wire
from agent.wire.claims import ConfigClaims
from agent.wire.jws import Refused
from agent.wire.messages import Payload

VERSION = 1
OLDEST_CLOCK = 1_767_225_600  # 2026-01-01: a wall clock before this was never set
KNOBS = ("report_interval_s", "sample_interval_s")


def refused(error: Refused, revision: int | None, is_verified: bool, current: int | None) -> Payload:
    """Say that a push was rejected before its document was looked at."""
    fault = ("", error.code, str(error))
    return wire.reported("rejected", revision=revision, current=current, reason=error.code, errors=[fault], verified=is_verified)


def of_push(state: str, claims: ConfigClaims, current: int | None, **more: object) -> Payload:
    """Say how far a verified push is, or how it ended."""
    named = {"revision": claims.revision, "previous": current, "current": current, "hash": wire_claims.public_hash(claims.config)}
    return wire.reported(state, **(named | more))  # type: ignore[arg-type]  # the builder's own names


def ended(
    base: Mapping[str, object],
    state: str,
    *,
    reason: str | None,
    current: int | None,
    is_foreign: bool,
    is_held: bool,
    took_ms: int | None,
    at: int | None,
) -> Payload:
    """Give the verdict on a push of which `base` was said on the way."""
    named = {"reason": reason, "current": current, "foreign_edit": is_foreign or None, "held": is_held or None, "took_ms": took_ms, "at": at}
    kept = {name: value for name, value in base.items() if name not in (*named, "v", "state", "run", "session")}
    return {"v": VERSION, "state": state, **kept, **{name: value for name, value in named.items() if value is not None}}


def rows(changes: Sequence[Change]) -> list[tuple[str, object, object, str]]:
    """Give the changes as `config/reported` lists them."""
    plain = map(as_json, changes)
    return [(str(change["path"]), change["from"], change["to"], str(change["impact"])) for change in plain]


def errors(faults: Sequence[Fault]) -> list[tuple[str, str, str]]:
    """Give a document's faults as `config/reported` lists them."""
    return [(fault.path, fault.code, fault.message) for fault in faults]


def drift(plan: Plan) -> Payload:
    """Give what the box has otherwise than the config in force says, as members of `config/reported`."""
    listed = wire.reported("confirmed", drift=[(path, after, before) for path, before, after, _ in rows(plan.changes)])
    return {name: value for name, value in listed.items() if name.startswith("drift")}


def planned(
    revision: int | None, reason: str | None = None, faults: Sequence[tuple[str, str, str]] = (), made: Plan | None = None, public: str | None = None
) -> Payload:
    """Answer a `config/plan`; `public`: the document's starred hash."""
    return wire.plan_result(revision, reason=reason, errors=faults, changes=rows(made.changes) if made else (), hash=public)


def entry(reported: Mapping[str, object], author: str, issued_at: int) -> dict[str, object]:
    """Give a verdict's line in the history."""
    changes = reported.get("changes")
    left_out = reported.get("changes_left_out")
    count = (len(changes) if isinstance(changes, list) else 0) + (left_out if isinstance(left_out, int) else 0)
    found = {name: reported.get(name) for name in ("revision", "state", "reason", "at", "hash")}
    return {name: value for name, value in found.items() if value is not None} | {"author": author, "issued_at": issued_at, "changes": count}


def at(wall: float) -> int | None:
    """Give the moment for people; None while the clock was never set."""
    return int(wall) if wall >= OLDEST_CLOCK else None


def knobs(tree: Tree) -> dict[str, int]:
    """Give the agent's own knobs that a push set."""
    section = tree.get("rwagent", {}).get("pushed")
    values = {} if section is None else {name: section.value(name) for name in KNOBS}
    return {name: int(value) for name, value in values.items() if value is not None and value.isdecimal()}


def encode(document: Mapping[str, object]) -> bytes:
    """Give a status file's bytes."""
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"
