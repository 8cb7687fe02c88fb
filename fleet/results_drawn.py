"""How a command goes, on a screen or as JSON lines: who was told, who said what, what they found, and the sum of it.

Only draws what it is given. Text from access points is shown without anything that does not print.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agent.wire.command import ON_THE_WAY
from agent.wire.messages import Payload
from fleet.commands import Order
from fleet.decoded import safe_json
from fleet.results import BAD, GOOD, NOT_SENT, OFFLINE, SENT, SILENT, UNHEARD, UNSUPPORTED, Row
from fleet.results_found import GAP, LEFT_OUT, found, lists, said
from fleet.verdicts import MOST_ROWS, plain

# Rows of what one access point found, beside others and alone, when it is all that it may say; of more the newest lines, the first of all else.
MOST_FOUND, MOST_OF_ONE = 100, 500
LONGEST_DETAIL = 200
PIPED_WIDTH = 240  # where nobody looks on, a row is a line for the next program
SHAPES = {
    **dict.fromkeys((SENT, *ON_THE_WAY), ("▶", "cyan")),
    **dict.fromkeys(GOOD, ("●", "green")),
    **dict.fromkeys(("rejected", "expired", "timed_out", SILENT, NOT_SENT, UNHEARD, UNSUPPORTED), ("▲", "yellow")),
    "failed": ("✖", "bold red"),
    OFFLINE: ("○", "bright_black"),
}
ORDER = (*BAD, NOT_SENT, SILENT, UNHEARD, UNSUPPORTED, OFFLINE, SENT, *ON_THE_WAY, *GOOD)
TOLD = {
    OFFLINE: "not there now, and a command never waits for anybody",
    UNHEARD: "rwctl serve has no report of its present boot, without which none can be signed; try again after its next one",
    UNSUPPORTED: "it says that it does not take this command",
    SILENT: "no result: whether it was done is not known",
    NOT_SENT: "the broker did not take it",
    "expired": "it came there too late, and was not done",
    SENT: "on its way",
}


def counted(rows: Iterable[Row]) -> dict[str, int]:
    """Count the states, the worst first."""
    states = Counter(row.state for row in rows)
    return {state: states[state] for state in sorted(states, key=ORDER.index)}


def row_as_json(row: Row) -> Payload:
    """Give a row for programs."""
    told: Payload = {"ap": row.ap, "state": row.state, "code": row.code, "message": row.said, "output": row.output, "took_ms": row.took_ms}
    return {name: value for name, value in told.items() if value not in ("", {}, None)}


class Screen:
    """Where a command tells how it goes: a table that lives on a terminal, one at the end elsewhere, or JSON lines."""

    def __init__(self, is_json: bool, console: Console | None = None) -> None:
        self.is_json = is_json
        self._console = console or _console()
        self._live: Live | None = None
        self._told: dict[str, str] = {}

    def sent(self, order: Order, taken: int, of: int) -> None:
        """Say to how many of all it went."""
        if self.is_json:
            self._say({"event": "sent", "name": order.name, "args": order.args, "taken": taken, "access_points": of})
        else:
            self._console.print(Text(f"{order}: sent to {taken}" + (f" of {of}" if taken < of else "")))

    def progress(self, rows: Sequence[Row]) -> None:
        """Show how it stands, as far as that is news."""
        news = [row for row in rows if self._told.get(row.ap) != row.state]
        if self.is_json:
            self._tell([row for row in news if row.state != SENT])
        elif self._console.is_terminal and (news or self._live is None):
            if self._live is None:
                self._live = Live(console=self._console, auto_refresh=False, transient=True)
                self._live.start()
            self._live.update(table(rows), refresh=True)
            self._told |= {row.ap: row.state for row in news}

    def interrupted(self) -> None:
        """Say that nobody waits any more."""
        self.close()
        if self.is_json:
            self._say({"event": "interrupted"})
        else:
            self._console.print(Text("no longer waited for; what was sent goes on"))

    def close(self) -> None:
        """Give the terminal back."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def ending(self, rows: Sequence[Row]) -> None:
        """Show how it ended, and what was found."""
        self.close()
        states = counted(rows)
        if self.is_json:
            self._tell([row for row in rows if self._told.get(row.ap) != row.state])
            self._say({"event": "summary", "states": states})
            return
        self._console.print(table(rows))
        finders = [row for row in rows if any(lists(row.output))]
        most = MOST_OF_ONE if len(finders) == 1 else MOST_FOUND
        for row in finders[:MOST_ROWS]:
            self._console.print(Text(f"\n{row.ap}", "bold"))
            for part in found(row.output, self._console.width, most):
                self._console.print(part)
        if len(finders) > MOST_ROWS:
            self._console.print(Text(f"\nand of {len(finders) - MOST_ROWS} more (--json tells all)"))
        if len(rows) > 1:
            self._console.print(Text(("\n" if finders else "") + ", ".join(f"{state} {count}" for state, count in states.items())))

    def _tell(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._told[row.ap] = row.state
            self._say({"event": "result"} | row_as_json(row))

    def _say(self, event: Payload) -> None:
        print(safe_json(event), flush=True)


def table(rows: Sequence[Row]) -> RenderableType:
    """Draw a row for each access point; of many, a line for each state and a row for each that went wrong."""
    if len(rows) <= MOST_ROWS:
        return _rows(rows)
    sums = Table.grid("", "", "", padding=(0, GAP, 0, 0))
    sums.columns[1].justify = "right"
    for state, count in counted(rows).items():
        shape, style = SHAPES[state]
        sums.add_row(Text(f"{shape} {state}", style, no_wrap=True), Text(str(count)), Text(TOLD.get(state, "")))
    lines: list[RenderableType] = [sums]
    wrong = sorted((row for row in rows if row.state in (*BAD, NOT_SENT, SILENT)), key=lambda row: ORDER.index(row.state))
    if wrong:
        lines += [Text(), _rows(wrong[:MOST_ROWS])]
        if len(wrong) > MOST_ROWS:
            lines.append(Text(f"and {len(wrong) - MOST_ROWS} more (--json tells all)"))
    return Group(*lines)


def _console() -> Console:
    is_seen = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, markup=False, soft_wrap=not sys.stdout.isatty(), width=None if is_seen else PIPED_WIDTH)


def _rows(rows: Sequence[Row]) -> Table:
    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in ("access point", "state", "took", ""):
        drawn.add_column(name, justify="right" if name == "took" else "left", overflow="fold")
    for row in rows:
        shape, style = SHAPES[row.state]
        took = "" if row.took_ms is None else f"{row.took_ms / 1000:.1f} s"
        drawn.add_row(Text(row.ap), Text(f"{shape} {row.state}", style), Text(took), Text(_detail(row)))
    return drawn


def _detail(row: Row) -> str:
    """Say in a line why it is so, or what was found as far as it takes no lines of its own."""
    words = [row.code, row.said, *(said(name, value) for name, value in row.output.items() if name != LEFT_OUT)]
    words += [TOLD.get(row.state, "") if not row.code and not row.said else ""]
    return "; ".join(plain(word) for word in words if word)[:LONGEST_DETAIL]
