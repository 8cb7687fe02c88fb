"""`rwagent config show|plan FILE|history`: what is desired, what is so, what a document would do here, and how the last pushes ended.

Reads what root wrote down, and for a plan the box's configuration; changes nothing.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from typing import NamedTuple

from agent import said, settings
from agent.errors import Rejected
from agent.inbox import DESIRED, sha256
from agent.said import Said
from agent.settings import Settings
from agent.status import duration, printable
from agent.wire import claims, config, jws
from agent.wire.messages import MAX_DOWN_BYTES, Malformed, decode_strict

NOBODY = "root has said nothing yet: no push has come, or rwagent-apply has never run here"
IN_WORDS = {
    "received": "root has it",
    "applying": "being put in place",
    "testing": "being tried: it stays only if the broker is reached through it",
    "confirmed": "in force",
    "unchanged": "in force, and nothing had to be changed for it",
    "rejected": "not taken",
    "rolled_back": "tried and taken back",
    "failed": "neither it nor what was before could be established: somebody has to look",
}
COLUMNS = ("revision", "state", "reason", "changes", "author", "issued", "ended")


class Planned(NamedTuple):
    """A plan for people, and whether the document could be carried out."""

    text: str
    is_well: bool


def show(chosen: Settings) -> tuple[str, bool]:
    """Say in words what is desired, how the last push ended and where the box differs; and whether root has said anything at all."""
    word = said.read(chosen.paths.run_dir)
    rows = [("desired", _desired(chosen, word))]
    if word is None or word.reported is None:
        return _table([*rows, ("reported", NOBODY)]), False
    return _table([*rows, *_reported(word), *_in_force(word)]), True


def to_json(chosen: Settings) -> str:
    """Give root's word for machines; without the nonce that confirms a test."""
    found = said.read_object(os.path.join(chosen.paths.run_dir, "status", said.CONFIG)) or {"v": 1}
    return json.dumps({name: value for name, value in found.items() if name != "test"}, indent=2)


def history(chosen: Settings) -> str:
    """Give how the last pushes ended as a table, the newest first."""
    entries = said.history(chosen.paths.run_dir)
    if not entries:
        return "no push has ended here yet"
    rows = [COLUMNS, *(_entry(entry) for entry in entries)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def history_json(chosen: Settings) -> str:
    """Give the same for machines."""
    return json.dumps({"v": 1, "entries": said.history(chosen.paths.run_dir)}, indent=2)


def plan(chosen: Settings, file: str) -> Planned:
    """Say what a document would change on this box, or everything that is wrong with it. Rejected without root, whose the configuration is."""
    if os.geteuid() and chosen.router.backend != "simulated":
        raise Rejected("only root may read the configuration, which holds keys; run it as root")
    # Root's parts, which no other command needs.
    from agent import plan as planning
    from agent.router.stores import open_store

    document, lines = _document(chosen, file)
    store = open_store(chosen)
    tree = store.tree()
    facts = store.facts(tree)
    if faults := planning.check(document, facts, tree):
        told = [f"{printable(fault.path) or 'document'}: {printable(fault.message)}" for fault in faults]
        return Planned("\n".join([*lines, *told, f"{len(told)} {'fault' if len(told) == 1 else 'faults'}: nothing would be changed"]), False)
    return Planned("\n".join([*lines, planning.rendered(planning.make(document, tree, facts))]), True)


def _document(chosen: Settings, file: str) -> tuple[Mapping[str, object], list[str]]:
    """Read a document, alone (JSON or TOML) or within a push; and what there is to say of the push."""
    text = settings.read_file(file)
    if text.startswith("eyJ"):  # base64url of {"
        try:
            push = claims.parse(jws.parse(text.rstrip("\r\n").encode()).payload, chosen.city, chosen.id, claims.KINDS)
        except jws.Refused as error:
            raise Rejected(f"{file}: {error}") from None
        return push.config, [f"revision {push.revision} by {printable(push.author)}, issued {_moment(push.issued_at)}; its signature is not checked here"]
    if text.lstrip().startswith("{"):
        try:
            return decode_strict(text.encode(), MAX_DOWN_BYTES), []
        except Malformed as error:
            raise Rejected(f"{file}: {error}") from None
    return settings.parse_toml(file, text), []


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
    revision = "a push without a revision" if word.revision is None else f"revision {word.revision}"
    reason = f" ({reported['reason']})" if isinstance(reported.get("reason"), str) else ""
    at = f", {_moment(reported['at'])}" if isinstance(reported.get("at"), (int, float)) else ""
    rows = [("reported", f"{revision} {word.state}{reason}{at}: {IN_WORDS.get(word.state, 'unknown to this version')}")]
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
