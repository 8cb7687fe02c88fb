"""How a push or a plan goes, on a screen or as JSON lines: what changes for whom, who said what, and the sum of it.

Only draws what it is given. Keys are stars, and text from access points is shown without anything that does not print.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agent.wire.claims import STARS
from agent.wire.messages import Payload
from fleet.decoded import safe_json
from fleet.document import shown
from fleet.following import BAD, GOOD, OFFLINE, SENT, SILENT, WAITING, Following, Row
from fleet.layers import Difference, dotted
from fleet.words import named, number

if TYPE_CHECKING:
    from fleet.draft import Target

MOST_ROWS = 30  # of a table; beyond it a sum
MOST_NAMED = 8
MOST_CHANGES = 24  # of one group: a network with caps, the uplink's and DNS have room
NOT_SENT = "not sent"
SHAPES = {
    **dict.fromkeys(("received", "applying", "testing", SENT), ("▶", "cyan")),
    **dict.fromkeys(GOOD, ("●", "green")),
    **dict.fromkeys(("rejected", "rolled_back", SILENT, NOT_SENT), ("▲", "yellow")),
    "failed": ("✖", "bold red"),
    **dict.fromkeys((WAITING, OFFLINE), ("○", "bright_black")),
}
ORDER = (*BAD, NOT_SENT, SILENT, SENT, "received", "applying", "testing", WAITING, OFFLINE, *GOOD)
TOLD = {
    WAITING: "offline, gets it on its return",
    SILENT: "no verdict in time; look later with rwctl history ID",
    SENT: "on its way",
    NOT_SENT: "the broker did not take it; the next push or rwctl serve sends it",
    "superseded": "a later push took its place",
}


class Alike(NamedTuple):
    """Access points for which the same changes."""

    ids: list[str]
    differences: list[Difference]


def groups(targets: Iterable[Target]) -> list[Alike]:
    """Put together the access points that are told the same, the largest group first."""
    found: dict[str, Alike] = {}
    for target in targets:
        differences = [each._replace(before=starred(each.path, each.before), after=starred(each.path, each.after)) for each in target.differences()]
        key = repr(target.differences())
        found.setdefault(key, Alike([], differences)).ids.append(target.point.id)
    return sorted(found.values(), key=lambda group: -len(group.ids))


def names(ids: Sequence[str]) -> str:
    """Name some access points."""
    more = f" and {len(ids) - MOST_NAMED} more" if len(ids) > MOST_NAMED else ""
    return f"{', '.join(ids[:MOST_NAMED])}{more}"


def starred(path: Sequence[str], value: object) -> object:
    """Give a value, of a key stars."""
    return STARS if value is not None and path[-1] == "key" else value


def said(value: object) -> str:
    """Say a value in a line; None: it is not set."""
    return "not set" if value is None else shown((), value)


def changed(path: object, before: object, after: object) -> str:
    """Say a change in a line, with the unit that its path names; of a key no more than that it is another one."""
    if before == after == STARS:
        return f"{plain(path)}: another {said(after)}"
    unit = named(str(path))[1] if number(before) is not None or number(after) is not None else ""
    return f"{plain(path)}: {said(before)} → {said(after)}" + (f" {unit}" if unit and after is not None else "")


def plain(text: object) -> str:
    """Say a word of an access point's without anything that does not print."""
    return "".join(character if character.isprintable() else "?" for character in str(text))


def counted(rows: Iterable[Row]) -> dict[str, int]:
    """Count the states, the worst first."""
    states = Counter(row.state for row in rows)
    return {state: states[state] for state in sorted(states, key=lambda state: ORDER.index(state) if state in ORDER else 0)}


class Screen:
    """Where a push tells how it goes: a table that lives on a terminal, one at the end elsewhere, or JSON lines."""

    def __init__(self, is_json: bool, console: Console | None = None) -> None:
        self.is_json = is_json
        self.console = console or Console(highlight=False, markup=False, soft_wrap=not sys.stdout.isatty())
        self._live: Live | None = None
        self._told: dict[str, Row] = {}

    def line(self, text: str, **event: object) -> None:
        """Say one thing: the text to people, the event to programs."""
        if self.is_json:
            print(safe_json(event), flush=True)
        else:
            self.console.print(Text(text))

    def draft(self, targets: Sequence[Target]) -> None:
        """Show what would change for whom, once for all that are told the same."""
        for group in groups([target for target in targets if target.is_due]):
            rows: list[Payload] = [_as_json(each) for each in group.differences]
            if self.is_json:
                print(safe_json({"event": "change", "access_points": group.ids, "changes": rows}), flush=True)
                continue
            self.console.print(Text(f"{len(group.ids)} × {names(group.ids)}", "bold"))
            for each in group.differences[:MOST_CHANGES]:
                self.console.print(Text(f"  {changed(dotted(each.path), each.before, each.after)}"))
            if not group.differences:
                self.console.print(Text("  nothing; it is signed anew"))
            if len(group.differences) > MOST_CHANGES:
                self.console.print(Text(f"  and {len(group.differences) - MOST_CHANGES} more (--json tells all)"))

    def progress(self, following: Following) -> None:
        """Show how it stands, if it stands otherwise than before."""
        rows = following.rows
        news = [row for row in rows if self._told.get(row.ap, row._replace(state=SENT)).state != row.state]
        self._told = {row.ap: row for row in rows}
        if self.is_json:
            for row in news:
                print(safe_json({"event": "state"} | row_as_json(row)), flush=True)
        elif self.console.is_terminal:
            is_first = self._live is None
            if self._live is None:
                self._live = Live(console=self.console, auto_refresh=False, transient=True)
                self._live.start()
            if news or is_first:
                self._live.update(table(rows), refresh=True)

    def close(self) -> None:
        """Give the terminal back."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def standing(self, rows: Sequence[Row]) -> None:
        """Show whose last verdict on a document that is not told again was a bad one."""
        if self.is_json:
            for row in rows:
                print(safe_json({"event": "standing"} | row_as_json(row)), flush=True)
            return
        self.console.print(Text("not told again, though it went wrong there before (--all signs it anew):"))
        self.console.print(_rows(rows[:MOST_ROWS]))
        if len(rows) > MOST_ROWS:
            self.console.print(Text(f"and {len(rows) - MOST_ROWS} more; rwctl history ID shows each"))

    def ending(self, rows: Sequence[Row], **event: object) -> None:
        """Show how it ended."""
        self.close()
        states = counted(rows)
        if self.is_json:
            for row in rows:
                # What no access point said itself: that it is silent, or was not told; all of them when nobody waited.
                if row.ap not in self._told or self._told[row.ap].state != row.state:
                    print(safe_json({"event": "state"} | row_as_json(row)), flush=True)
            print(safe_json({"event": "summary", "states": states, **event}), flush=True)
            return
        if rows:
            self.console.print(table(rows))
            self.console.print(Text(", ".join(f"{state} {count}" for state, count in states.items())))


def table(rows: Sequence[Row]) -> RenderableType:
    """Draw a row for each access point; of many, a line for each state and a row for each that went wrong."""
    if len(rows) <= MOST_ROWS:
        return _rows(rows)
    lines: list[RenderableType] = []
    for state, count in counted(rows).items():
        lines.append(Text.assemble((f"{SHAPES.get(state, ('?', ''))[0]} {state:<12}", SHAPES.get(state, ("?", ""))[1]), f" {count:>6}  {TOLD.get(state, '')}"))
    wrong = sorted((row for row in rows if row.state in (*BAD, NOT_SENT, SILENT)), key=lambda row: ORDER.index(row.state))
    if wrong:
        lines.append(_rows(wrong[:MOST_ROWS]))
        if len(wrong) > MOST_ROWS:
            lines.append(Text(f"and {len(wrong) - MOST_ROWS} more; rwctl history ID shows each"))
    return Group(*lines)


def row_as_json(row: Row) -> Payload:
    """Give a row for programs."""
    found: Payload = {"ap": row.ap, "revision": row.revision, "state": row.state, "reason": row.reason, "errors": row.errors}
    return {name: value for name, value in found.items() if value not in ("", [])}


def _rows(rows: Sequence[Row]) -> Table:
    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in ("access point", "revision", "state", ""):
        drawn.add_column(heading, justify="right" if heading == "revision" else "left", overflow="fold")
    for row in rows:
        mark, style = SHAPES.get(row.state, ("?", ""))
        detail = "; ".join(one for one in (row.reason, *row.errors[:3], TOLD.get(row.state, "")) if one)
        drawn.add_row(Text(row.ap), Text(str(row.revision)), Text(f"{mark} {row.state}", style), Text(detail))
    return drawn


def _as_json(each: Difference) -> Payload:
    found: Payload = {"path": dotted(each.path), "from": each.before, "to": each.after}
    return {name: value for name, value in found.items() if value is not None}
