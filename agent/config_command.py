"""`rwagent config show|plan FILE|history`: what is desired, what is so, what a document would do here, and how the last pushes ended.

Reads what root wrote down, and for a plan the box's configuration; changes nothing.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from agent import said, settings
from agent.errors import Rejected
from agent.inbox import DESIRED, sha256
from agent.said import Said
from agent.settings import Faults, Settings
from agent.status import duration, ended, printable
from agent.wire import claims, config, jws
from agent.wire.messages import MAX_DOWN_BYTES, Malformed, decode_strict

if TYPE_CHECKING:
    from agent.change import Fault, Plan

NOBODY = "root has said nothing yet: no push has come, or rwagent-apply has never run here"
DOCUMENT = "expected a file that this user may read: a config as TOML or JSON, or a signed push (a JWS)"
COLUMNS = ("revision", "state", "reason", "changes", "author", "issued", "ended")


class Answer(NamedTuple):
    """What a command says, and whether it is well: not when nothing can be said, or a document could not be carried out."""

    text: str
    is_well: bool


class _Document(NamedTuple):
    """A document, and of the push that it came in the revision and what there is to say of it."""

    content: Mapping[str, object]
    revision: int | None = None
    push: str = ""


def show(chosen: Settings, as_json: bool = False) -> Answer:
    """Say in words what is desired, how the last push ended and where the box differs; as JSON root's word, without the nonce that confirms a test."""
    word, why = said.read(chosen.paths.run_dir), _why_not(chosen, said.CONFIG)
    is_well = word is not None and word.reported is not None
    if as_json:
        found = said.read_object(_status_file(chosen, said.CONFIG)) or {"v": 1}
        found = {name: value for name, value in found.items() if name != "test"} | ({"why": why} if why else {})
        return Answer(json.dumps(found, indent=2), is_well)
    rows = [("desired", _desired(chosen, word))]
    if word is None or word.reported is None:
        return Answer(_table([*rows, ("reported", why or NOBODY)]), False)
    return Answer(_table([*rows, *_reported(word), *_in_force(word)]), True)


def history(chosen: Settings, as_json: bool = False) -> Answer:
    """Give how the last pushes ended as a table, the newest first."""
    entries, why = said.history(chosen.paths.run_dir), _why_not(chosen, said.HISTORY)
    if as_json:
        return Answer(json.dumps({"v": 1, "entries": entries} | ({"why": why} if why else {}), indent=2), not why)
    if not entries:
        return Answer(printable(why) or "no push has ended here yet", not why)
    rows = [COLUMNS, *(_entry(entry) for entry in entries)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    return Answer("\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows), True)


def plan(chosen: Settings, file: str, as_json: bool = False) -> Answer:
    """Say what a document would change on this box, or everything that is wrong with it. Rejected without root, whose the configuration is."""
    if os.geteuid() and chosen.router.backend != "simulated":
        raise Rejected("only root may read the configuration, which holds keys; run it as root")
    # Root's parts, which no other command needs.
    from agent import plan as planning
    from agent.router.stores import open_store

    document = _document(chosen, file)
    store = open_store(chosen)
    if why := next(filter(None, map(_why_unreadable, store.paths().values())), ""):
        raise Rejected(why)
    tree = store.tree()
    facts = store.facts(tree)
    faults = planning.check(document.content, facts, tree)
    made = None if faults else planning.make(document.content, tree, facts)
    if as_json:
        return Answer(_planned_json(document, faults, made), made is not None)
    lines = [document.push] if document.push else []
    if made is not None:
        return Answer("\n".join([*lines, planning.rendered(made)]), True)
    told = [f"{printable(fault.path) or 'document'}: {printable(fault.message)}" for fault in faults]
    return Answer("\n".join([*lines, *told, f"{len(told)} {'fault' if len(told) == 1 else 'faults'}: nothing would be changed"]), False)


def _planned_json(document: _Document, faults: Sequence[Fault], made: Plan | None) -> str:
    from agent.plan import as_json

    found: dict[str, object] = {"v": 1, "state": "rejected" if made is None else "planned"}
    found |= {} if document.revision is None else {"revision": document.revision, "signature": "not checked here"}
    if made is None:
        return json.dumps(found | {"errors": [fault._asdict() for fault in faults]}, indent=2)
    changes = [as_json(change) for change in made.changes]
    return json.dumps(found | {"changes": changes} | ({"impact": made.impact} if made.impact else {}), indent=2)


def _document(chosen: Settings, file: str) -> _Document:
    """Read a document, alone (JSON or TOML) or within a push."""
    try:
        text = settings.read_file(file)
        if text.startswith("eyJ"):  # base64url of {"
            push = claims.parse(jws.parse(text.rstrip("\r\n").encode()).payload, chosen.city, chosen.id, claims.KINDS)
            whose = f"revision {push.revision} by {printable(push.author)}, issued {_moment(push.issued_at)}; its signature is not checked here"
            return _Document(push.config, push.revision, whose)
        if text.lstrip().startswith("{"):
            return _Document(decode_strict(text.encode(), MAX_DOWN_BYTES))
        return _Document(settings.parse_toml(file, text))
    except (jws.Refused, Malformed) as error:
        raise Rejected(f"{file}: {error}") from None
    except Faults as error:
        # What the settings' door advises is about agent.toml.
        raise Faults(file, [fault._replace(allowed=DOCUMENT) for fault in error.faults]) from None


def _status_file(chosen: Settings, name: str) -> str:
    return os.path.join(chosen.paths.run_dir, "status", name)


def _why_not(chosen: Settings, name: str) -> str:
    """Say why this user may not know what root says; "" when nothing is in the way."""
    path = _status_file(chosen, name)
    if why := _why_unreadable(path):
        return why
    try:
        owner = os.lstat(path).st_uid
    except OSError:
        return ""
    return "" if owner in (0, os.geteuid()) else f"{path} is neither root's nor this user's: run as its owner"


def _why_unreadable(path: str) -> str:
    """Say that this user may not read a file; "" also when there is none."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC))
    except PermissionError as error:
        return f"{path} cannot be read ({error.strerror}): run as root or as the agent's user"
    except OSError:
        return ""
    return ""


def _desired(chosen: Settings, word: Said | None) -> str:
    content = said.read_bytes(os.path.join(chosen.paths.run_dir, "inbox", DESIRED), jws.MAX_BYTES)
    if content is None:
        return "no push lies in the inbox (or this user may not look: run it as root)"
    try:
        push = claims.parse(jws.parse(content).payload, chosen.city, chosen.id)
    except jws.Refused as error:
        return f"what lies in the inbox is no push for this access point: {error}"
    seen = "root has looked at it" if word is not None and word.handled == sha256(content) else "root has not looked at it yet"
    return f"revision {push.revision} by {push.author}, issued {_moment(push.issued_at)}; {seen}"


def _reported(word: Said) -> list[tuple[str, str]]:
    reported = word.reported or {}
    at = f", {_moment(reported['at'])}" if isinstance(reported.get("at"), (int, float)) else ""
    rows = [("reported", ended(dict(reported) | {"revision": word.revision}, at))]
    if reported.get("foreign_edit") is True:
        rows.append(("", "somebody else had edited the same file meanwhile; that edit was kept"))
    if reported.get("verified") is False:
        rows.append(("", "no trusted signature vouches for it"))
    rows += [("", f"{fault.get('path') or 'push'}: {fault.get('message')}") for fault in _rows(reported.get("errors"))]
    rows += [("", _change(change, "from", "to")) for change in _rows(reported.get("changes"))]
    if word.retry_at_uptime_s is not None:
        wait_s = max(0.0, word.retry_at_uptime_s - time.clock_gettime(time.CLOCK_BOOTTIME))
        rows.append(("", f"tried again in {duration(wait_s)}"))
    if word.is_held:
        rows.append(("", "not tried again: push a higher revision"))
    return rows


def _in_force(word: Said) -> list[tuple[str, str]]:
    reported, pace = word.reported or {}, word.pace
    current = reported.get("current")
    knobs = [f"{name.removesuffix('_interval_s')} every {seconds:g} s" for name, seconds in pace._asdict().items() if seconds is not None]
    drift = _rows(reported.get("drift"))
    rows = [
        ("in force", f"revision {current}" if isinstance(current, int) else "no push: the box is as it was set up by hand"),
        ("agent", ", ".join(knobs) or "as agent.toml says"),
        ("keys", ", ".join(word.keys) or "none is trusted: every push is rejected"),
        ("drift", f"{len(drift)} of the box's settings are not as that revision says" if drift else "none"),
    ]
    return rows + [("", _change(row, "expected", "found")) for row in drift]


def _rows(value: object) -> list[Mapping[str, object]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _change(row: Mapping[str, object], before: str, after: str) -> str:
    impact = f" ({row['impact']})" if row.get("impact") in config.IMPACTS else ""
    return f"{row.get('path')}: {before} {_value(row.get(before))}, {after} {_value(row.get(after))}{impact}"


def _value(value: object) -> str:
    return "not set" if value is None else json.dumps(value, ensure_ascii=False)


def _entry(entry: Mapping[str, object]) -> tuple[str, ...]:
    cells = [entry.get("revision"), entry.get("state"), entry.get("reason"), entry.get("changes"), entry.get("author")]
    return (*(printable("-" if cell is None else str(cell)) for cell in cells), _moment(entry.get("issued_at")), _moment(entry.get("at")))


def _moment(at: object) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at)) if isinstance(at, (int, float)) and 0 <= at < 1e10 else "-"


def _table(rows: list[tuple[str, str]]) -> str:
    return "\n".join(f"{name:<8} {printable(text)}" for name, text in rows)
