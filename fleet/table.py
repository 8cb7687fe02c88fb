"""The table of access points for a terminal, worst first, in as many columns as there is room for.

Only draws what it is given. Text from the air (SSIDs, words of reports) is shown with every control byte
spelled out and never as markup.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from rich.console import Console, Group, RenderableType
from rich.text import Text

from fleet.status import BYPASSED, MISSING, STANDING, STATES, TREND, Row

SHAPES = {
    "online": ("●", "green"),
    "late": ("▲", "yellow"),
    "lost": ("✖", "bold red"),
    "safe-mode": ("◐", "bold yellow"),
    "offline": ("■", "bright_black"),
    "unknown": ("?", "magenta"),
    "never": ("○", "magenta"),
    "pending": ("◆", "cyan"),
}
CONFIGS = {
    **dict.fromkeys(("received", "applying", "testing"), ("▶", "cyan")),
    **dict.fromkeys(("confirmed", "unchanged"), ("●", "green")),
    **dict.fromkeys(("rejected", "rolled_back"), ("▲", "yellow")),
    "failed": ("✖", "bold red"),
    "waiting": ("○", "bright_black"),
}
CAPS = {STANDING: ("●", "green"), MISSING: ("✖", "bold red"), BYPASSED: ("▲", "yellow")}
BARS = "▁▂▃▄▅▆▇█"
LEAST_TREND_BPS = 1e6
MEGA = 1e6
GAP = 2
LINES_AROUND = 6  # title, header with its rule, and two of the footer
DIM = "bright_black"

# rich's own SVG page, without its web fonts: a picture in a README must fetch nothing.
SVG = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" xml:space="preserve">
<style>
.{unique_id}-matrix, .{unique_id}-title {{ font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: {char_height}px; white-space: pre; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" /></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


class View(NamedTuple):
    """What there is to draw at one moment; `footer` is ours, at most two lines, `warnings` are lines that need attention.

    `messages_per_s` is None where nobody counts them.
    """

    city: str
    rows: Sequence[Row]
    messages_per_s: float | None
    ignored: int
    footer: str = ""
    warnings: Sequence[str] = ()


class Column(NamedTuple):
    """One column: its head, when it goes (the highest `rank` first; 0 stays), how it is set, its cell, and how wide at least and,
    while others wait for room, at most. A `least` keeps columns from coming and going with each new value."""

    head: str
    rank: int
    justify: Literal["left", "right"]
    cell: Callable[[Row, float], Text]
    least: int = 0
    most: int = 20


def printable(text: str) -> str:
    """Spell out what a terminal or reader would not show as it is: control bytes, direction marks, lone surrogates."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def render(view: View, width: int, height: int | None = None, most: int | None = None) -> RenderableType:
    """Draw the table for `width` columns; with `height` as many rows as fit, the worst, and how many more there are; with `most` the first so many.

    The title counts all rows. Without `height` what is said besides takes as many lines as it needs.
    """
    rows = list(view.rows)[:most]
    room = len(rows) if height is None else max(1, height - LINES_AROUND - len(view.warnings))
    more = len(rows) - room
    shown = rows[: room - 1] if more > 0 else rows
    parts: list[RenderableType] = [_title(view, width), *(_table(shown, width) if shown else ())]
    if more > 0:
        parts.append(Text(f"… and {len(rows) - len(shown)} more, none of them worse", DIM, no_wrap=True))
    is_screen = height is not None
    parts += [Text(printable(line), "yellow", no_wrap=is_screen, overflow="ellipsis" if is_screen else "fold") for line in view.warnings]
    if view.footer:
        parts.append(Text(view.footer, DIM, no_wrap=is_screen, overflow="ellipsis" if is_screen else "fold"))
    return Group(*parts)


def picture(view: View, width: int, title: str, height: int | None = None) -> str:
    """Draw the table as an SVG picture; with `height` as many rows as fit."""
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(render(view, width, height))
    return console.export_svg(title=title, code_format=SVG)


def _title(view: View, width: int) -> Text:
    """What there is by state; then as much of the sums as there is room for."""
    counts = Counter(row.state for row in view.rows) or {"online": 0}
    name = Text(printable(view.city), "bold", overflow="ellipsis", no_wrap=True)
    for is_spelled in (True, False):
        text = name.copy()
        for state in (state for state in STATES if state in counts):
            shape, colour = SHAPES[state]
            text.append("  ").append(f"{shape} {counts[state]}" + (f" {state}" if is_spelled else ""), f"not bold {colour}")
        if text.cell_len <= width:
            break  # else the shapes must do: each stands beside its word below
    if view.ignored:
        text.append(f"  {view.ignored} ignored", "not bold yellow")
    for words in _sums(view):
        if text.cell_len + len(words) + 3 > width:
            break
        text.append(f"   {words}", "not bold")
    return text


def _sums(view: View) -> list[str]:
    online = [row.figures for row in view.rows if row.state == "online"]
    words = []
    if online:
        down, up = (sum(bps or 0 for bps in column) / MEGA for column in ([f.down_bps for f in online], [f.up_bps for f in online]))
        words = [f"{sum(figures.stations or 0 for figures in online)} clients", f"↓ {down:.1f} ↑ {up:.1f} Mbit/s"]
    return words if view.messages_per_s is None else [*words, f"{view.messages_per_s:.1f} messages/s"]


def _table(rows: Sequence[Row], width: int) -> list[RenderableType]:
    """Draw head and rows. A line is put together here: rich's own table takes a second for 551 of them."""
    top = max([LEAST_TREND_BPS, *(bps for row in rows for bps in row.trend)])
    cells = {column: [column.cell(row, top) for row in rows] for column in COLUMNS}
    wide = _widths(cells, width)
    heads = {column: column.head.split("\n") for column in wide}
    tall = max(map(len, heads.values()))
    lines = []
    for number in range(tall):
        of_line = {column: ["", *words][number - tall] if len(words) < tall else words[number] for column, words in heads.items()}
        lines.append(_line([(column, Text(of_line[column], "bold"), wide[column]) for column in wide]))
    lines.append(Text("─" * (sum(wide.values()) + GAP * (len(wide) - 1)), no_wrap=True))
    for number, row in enumerate(rows):
        line = _line([(column, cells[column][number], wide[column]) for column in wide])
        # What an access point said before it fell silent is old.
        line.style = "" if row.state == "online" else DIM
        lines.append(line)
    return list(lines)


def _widths(cells: Mapping[Column, Sequence[Text]], width: int) -> dict[Column, int]:
    """Drop the columns that matter least until the rest fits, then let long words have the room that is left."""
    full = {column: max([column.least, *map(len, column.head.split("\n")), *(cell.cell_len for cell in cells[column])]) for column in COLUMNS}
    wide = {column: min(full[column], column.most) for column in COLUMNS if column.rank == 0 or any(cell.plain.strip("–") for cell in cells[column])}

    def left() -> int:
        return width - GAP * (len(wide) - 1) - sum(wide.values())

    while left() < 0:
        last = max(wide, key=lambda column: column.rank)
        if last.rank == 0:
            last = list(wide)[-1]
            wide[last] = max(1, wide[last] + left())
            break
        del wide[last]
    for column in sorted(wide, key=lambda column: column.rank):
        wide[column] = min(full[column], wide[column] + max(0, left()))
    return wide


def _line(cells: Sequence[tuple[Column, Text, int]]) -> Text:
    line = Text(no_wrap=True, overflow="crop", end="\n")
    for place, (column, cell, columns) in enumerate(cells):
        shown = cell
        if cell.cell_len > columns:
            shown = cell.copy()
            shown.truncate(columns, overflow="ellipsis")
        blanks = " " * (columns - shown.cell_len)
        line.append(blanks if column.justify == "right" else "").append_text(shown)
        if place < len(cells) - 1:
            line.append((blanks if column.justify == "left" else "") + " " * GAP)
    return line


def _text(value: str | None, style: str = "") -> Text:
    return Text("–", DIM) if value is None else Text(printable(value), style)


def _name(row: Row, _top: float) -> Text:
    return Text(printable(row.ap), "bold default")


def _state(row: Row, _top: float) -> Text:
    shape, colour = SHAPES[row.state]
    return Text(f"{shape} {row.state}", colour)


def _health(row: Row, _top: float) -> Text:
    if row.was not in (None, "online") or (row.state == "pending"):
        return Text("not enrolled" if row.state == "pending" else f"was {row.was}")
    if row.age_s is None:
        return _text(None)
    if row.state != "online":
        return Text(printable(", ".join(row.figures.problems) or "was ok"))
    if row.figures.problems:
        return Text(printable(", ".join(row.figures.problems)), "bold red")
    return Text(printable(", ".join(row.figures.notes)), "yellow") if row.figures.notes else Text("ok", "green")


def _config(row: Row, _top: float) -> Text:
    if row.config is None:
        return _text(None)
    shape, colour = CONFIGS.get(row.config.state, ("?", "magenta"))
    number = "" if row.config.revision is None else f" {row.config.revision}"
    return Text(printable(f"{shape}{number} {row.config.state.replace('_', ' ')}"), colour)


def _caps(row: Row, _top: float) -> Text:
    if row.figures.caps is None:
        return _text(None)
    shape, colour = CAPS[row.figures.caps]
    return Text(f"{shape} {row.figures.caps}", colour)


def _uplink(row: Row, _top: float) -> Text:
    figures = row.figures
    if figures.uplink is None:
        return _text(None)
    latency = "" if figures.uplink_ms is None else f" {figures.uplink_ms:.0f} ms"
    return Text(printable(figures.uplink) + latency, "" if figures.uplink == "ok" else "bold red")


def _mbps(bps: float | None) -> Text:
    return _text(None if bps is None else f"{bps / MEGA:.1f}" if bps < 1e9 else f"{bps / MEGA:.0f}")


def _trend(row: Row, top: float) -> Text:
    return Text("".join(BARS[min(len(BARS) - 1, int(bps / top * len(BARS)))] for bps in row.trend), "cyan")


def _percent(ratio: float | None) -> Text:
    return _text(None if ratio is None else f"{ratio * 100:.0f} %")


def _age(row: Row, _top: float) -> Text:
    age = row.age_s
    if age is None:
        return _text(None)
    if age < 100:
        return Text(f"{age:.0f} s")
    return Text(f"{age / 60:.0f} min" if age < 6000 else f"{age / 3600:.0f} h")


def _count(value: int | None, style: str = "") -> Text:
    return _text(None if value is None else str(value), style)


# The last of rank 0 is what gets cut short where even these do not fit.
COLUMNS = (
    Column("Access point", 0, "left", _name, 0, 18),
    Column("Kelurahan", 3, "left", lambda row, _: _text(row.kelurahan or None), 0, 16),
    Column("State", 0, "left", _state, 9),
    Column("Clients", 2, "right", lambda row, _: _count(row.figures.stations)),
    Column("Down\nMbit/s", 4, "right", lambda row, _: _mbps(row.figures.down_bps)),
    Column("Trend", 11, "left", _trend, TREND),
    Column("Up\nMbit/s", 6, "right", lambda row, _: _mbps(row.figures.up_bps)),
    Column("Uplink", 1, "left", _uplink, 9, 9),
    Column("Health", 0, "left", _health, 11, 11),
    Column("Config", 4, "left", _config, 13, 16),
    Column("Caps", 5, "left", _caps, 0, 10),
    Column("Outbox", 9, "right", lambda row, _: _count(row.figures.outbox, "yellow" if (row.figures.outbox or 0) > 2 else "")),
    Column("Report", 7, "right", _age),
    Column("Provider", 8, "left", lambda row, _: _text(row.provider or None), 0, 16),
    Column("Clock", 10, "left", lambda row, _: _text(row.figures.clock, "" if row.figures.clock == "ntp" else "yellow"), 0, 8),
    Column("CPU", 12, "right", lambda row, _: _percent(row.figures.cpu_ratio)),
    Column("Memory\nfree", 13, "right", lambda row, _: _percent(row.figures.memory_free_ratio)),
    Column("Networks", 14, "left", lambda row, _: _text(", ".join(row.figures.ssids) or None)),
)
