"""One access point in full, for a terminal. Only draws; what an access point says is shown with every control byte spelled out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Literal

from rich import box
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fleet.card import Availability, Card, Document
from fleet.status import BYPASSED, MISSING, STANDING
from fleet.table import CAPS, CONFIGS, DIM, GAP, SHAPES, printable
from fleet.words import DAY_S, Clock, mbps, mib, number, percent, rupiah, several, span, whole

MOST_ROWS = 16
LONGEST = 120
MOST_MISSING = 3
CAPS_TOLD = {STANDING: "standing", MISSING: "not standing", BYPASSED: "standing, and hardware offload goes past them"}
SOON_S = 60 * DAY_S
Cell = Callable[[Document], "str | None"]
Columns = tuple[tuple[int, str, Literal["left", "right"], Cell], ...]  # the highest rank goes first where there is no room; 0 stays


def drawn(card: Card, zone: str, now: float, width: int) -> RenderableType:
    """Draw the card for `width` columns; times in the city's zone (`now`: the city's time, Unix seconds)."""
    clock = Clock(zone, now)
    parts: list[RenderableType] = [_head(card, clock), _sheet(list(_lines(card, clock, now)))]
    for member, columns in (("bss", BSS), ("radios", RADIOS)):
        rows = _tables(card.report.get(member))[:MOST_ROWS]
        if rows:
            parts += [Text(), _rows(rows, columns, width)]
    return Group(*parts)


def _head(card: Card, clock: Clock) -> Text:
    point = card.point
    shape, colour = SHAPES[point.state]
    text = Text(printable(point.id), "bold").append(f"  {shape} {point.state}", f"not bold {colour}")
    if point.was is not None:
        text.append(f" (was {point.was})", "not bold")
    if point.since_at is not None and (point.was or point.state) in ("lost", "offline", "safe-mode"):
        text.append(f" since {clock.ago(point.since_at)}", "not bold")
    if card.revoked_at is not None:
        text.append(f"  revoked {clock.ago(card.revoked_at)}", "bold red")
    return text


def _lines(card: Card, clock: Clock, now: float) -> Iterator[tuple[str, Text | str]]:
    point = card.point
    if point.state == "pending":
        yield "Certificate", "valid, but there is no such access point in the inventory: nothing of it is stored, and nothing is sent to it"
        yield "Heard", f"{several(card.messages, 'message')}, the first {clock.ago(point.since_at or now)}, the last {clock.ago(point.report_at or now)}"
        yield "Remedy", f"rwctl enroll {point.id} …"
        return
    yield "Place", _joined(f"RW {point.rw}", f"kelurahan {point.kelurahan}", f"kecamatan {point.kecamatan}")
    yield "Contract", _joined(point.provider, _contract(card), " ".join(point.tags) and f"tags {' '.join(point.tags)}")
    yield from _report_lines(card, clock)
    for alert in card.alerts:
        since = "" if alert.since is None else f" since {clock.ago(alert.since)}"
        yield "Alert", Text(f"{printable(alert.code)}{since}{_told(alert.data)}", "bold red")
    yield "Config", _config(card, clock)
    for one in _tables(card.reported.get("drift"))[:MOST_ROWS]:
        words = f"{one.get('path')} is {json.dumps(one.get('found'))}, expected {json.dumps(one.get('expected'))}"
        yield "Changed there", Text(printable(words[:LONGEST]), "yellow")
    yield "Certificate", _certificate(card, clock, now)
    yield "Available", _joined(f"today {_availability(card.today)}", f"7 days {_availability(card.week)}")
    yield "Messages", _joined(several(card.boots, "boot"), f"{card.lost} lost for good" if card.lost else "none lost")
    for event in card.events:
        yield "Event", Text(f"{clock.at(event.at)}  {printable(event.kind)}{_told(event.data)}")


def _report_lines(card: Card, clock: Clock) -> Iterator[tuple[str, Text | str]]:
    point, report = card.point, card.report
    if point.report_at is None:
        yield "Report", "none was ever heard"
        return
    uptime, stations = number(report.get("uptime_s")), _table(report.get("stations"))
    box_up = uptime is not None and f"box up {span(uptime)}"
    over, trusted = _of("over", whole(report.get("span_s"), "s")), _of("clock", _word(report.get("clock")))
    yield "Report", _joined(clock.ago(point.report_at), over, trusted, box_up, f"number {point.seq} of boot {(point.boot or '')[:8]}")
    moves = (_of(word, whole(stations.get(name))) for name, word in (("max", "at most"), ("joins", "joined"), ("leaves", "left")))
    yield "Clients", _joined(whole(stations.get("now")), *moves, _of("weak", percent(stations.get("weak_ratio"))))
    yield from _uplink_lines(report)
    if card.point.figures.caps is not None:
        yield "Caps", _caps(card.point.figures.caps, _table(report.get("caps")))
    yield from _box_lines(card)


def _uplink_lines(report: Document) -> Iterator[tuple[str, str]]:
    uplink, dhcp = _table(report.get("uplink")), _table(report.get("dhcp"))
    wan = next((row for row in _tables(report.get("interfaces")) if row.get("role") == "uplink"), {})
    layers = (_of(word, whole(uplink.get(name), "ms")) for name, word in (("gateway_ms", "gateway"), ("dns_ms", "DNS"), ("internet_ms", "internet")))
    yield "Uplink", _joined(_word(uplink.get("state")), *layers, _of("loss", percent(uplink.get("loss_ratio"))), _of("address", _word(uplink.get("address"))))
    ways = (_way(word, wan, name) for word, name in (("down", "rx"), ("up", "tx")))
    yield "Throughput", _joined(*ways, _of("port", _word(wan.get("name"))), _of("link", whole(wan.get("link_mbps"), "Mbit/s")))
    yield "DHCP", _joined(_part(whole(dhcp.get("leases")), whole(dhcp.get("pool")), "leases"))


def _box_lines(card: Card) -> Iterator[tuple[str, str]]:
    host, agent = _table(card.report.get("host")), _table(card.report.get("agent"))
    memory = _part(mib(host.get("memory_available_bytes")), mib(host.get("memory_total_bytes")), "memory free")
    flash = _part(mib(host.get("flash_free_bytes")), mib(host.get("flash_total_bytes")), "flash free")
    tracked = _part(whole(host.get("conntrack")), whole(host.get("conntrack_max")), "connections")
    yield "Box", _joined(card.point.model, _word(card.info.get("os")), _of("CPU", percent(host.get("cpu_ratio"))), whole(host.get("temperature_c"), "°C"))
    yield "Room", _joined(memory, flash, tracked)
    kept = (_of(name, whole(agent.get(name))) for name in ("outbox", "dropped", "reconnects"))
    yield "Agent", _joined(card.point.agent, *kept, _of("memory", mib(agent.get("rss_bytes"))), *card.point.figures.notes)


def _caps(state: str, part: Document) -> Text:
    """Say whether the caps stand, and what of them does not."""
    missing = part.get("missing")
    words = [one for one in missing if isinstance(one, str)] if isinstance(missing, list) else []
    more = f" and {len(words) - MOST_MISSING} more" if len(words) > MOST_MISSING else ""
    told = "" if state == STANDING or not words else f": {'; '.join(word[:LONGEST] for word in words[:MOST_MISSING])}{more}"
    shape, colour = CAPS[state]
    return Text(printable(f"{shape} {CAPS_TOLD[state]}{told}"), colour)


def _way(word: str, wan: Document, name: str) -> str | None:
    rate, peak = mbps(wan.get(f"{name}_bps")), mbps(wan.get(f"{name}_peak_bps"))
    return rate and f"{word} {rate} Mbit/s" + (f" (peak {peak})" if peak else "")


def _contract(card: Card) -> str:
    point = card.point
    return f"{point.contract_mbps:g} Mbit/s for {rupiah(point.rupiah_month or 0)} a month" if point.contract_mbps is not None else ""


def _config(card: Card, clock: Clock) -> Text:
    point, config = card.point, card.point.said.config
    if config is None:
        return Text("nothing was pushed yet" if point.told is None else f"revision {point.told} is waiting for it")
    shape, colour = CONFIGS.get(config.state, ("?", "magenta"))
    number = "" if config.revision is None else f"revision {config.revision} "
    text = Text(printable(f"{shape} {number}{config.state.replace('_', ' ')}"), colour)
    text.append(printable(f": {config.reason}") if config.reason else "")
    text.append("" if card.reported_at is None else f", told {clock.ago(card.reported_at)}", "default")
    if point.said.current is not None and point.said.current != config.revision:
        text.append(f"; revision {point.said.current} is in force", "default")
    if point.told is not None and point.told > (config.revision or 0):
        text.append(f"; revision {point.told} is waiting for it", "yellow")
    if point.said.drift:
        text.append(f"; {several(point.said.drift, 'value')} changed there since", "yellow")
    return text


def _certificate(card: Card, clock: Clock, now: float) -> Text:
    if card.certificate_ends_at is None:
        return Text("none that is valid", "bold red") if card.revoked_at is None else Text("revoked")
    left = card.certificate_ends_at - now
    if left <= 0:
        return Text(f"ended {clock.day(card.certificate_ends_at)}", "bold red")
    return Text(f"valid until {clock.day(card.certificate_ends_at)} ({span(left)})", "yellow" if left < SOON_S else "")


def _availability(found: Availability) -> str:
    share = percent(found.ratio, 2)
    parts = [f"{word} {span(seconds)}" for word, seconds in (("down", found.down_s), ("unknown", found.unknown_s)) if seconds]
    return (share or "not known") + (f" ({', '.join(parts)})" if parts else "")


BSS: Columns = (
    (0, "Network", "left", lambda row: _word(row.get("ssid"))),
    (1, "Band", "left", lambda row: _word(row.get("band"))),
    (9, "Interface", "left", lambda row: _word(row.get("ifname"))),
    (3, "On air", "left", lambda row: {True: "yes", False: "no"}.get(row.get("up") is True) if "up" in row else None),
    (2, "Clients", "right", lambda row: whole(row.get("stations"))),
    (4, "Down\nMbit/s", "right", lambda row: mbps(row.get("tx_bps"))),  # what this interface sends goes down to the clients
    (5, "Up\nMbit/s", "right", lambda row: mbps(row.get("rx_bps"))),
    (6, "Signal\nmedian", "right", lambda row: whole(row.get("signal_p50_dbm"), "dBm")),
    (8, "Signal\nweakest", "right", lambda row: whole(row.get("signal_p10_dbm"), "dBm")),
    (7, "Retries", "right", lambda row: percent(row.get("tx_retry_ratio"))),
)
RADIOS: Columns = (
    (0, "Radio", "left", lambda row: _word(row.get("radio"))),
    (1, "Band", "left", lambda row: _word(row.get("band"))),
    (3, "On air", "left", lambda row: {True: "yes", False: "no"}.get(row.get("up") is True) if "up" in row else None),
    (2, "Channel", "right", lambda row: whole(row.get("channel"))),
    (5, "Width", "right", lambda row: whole(row.get("width_mhz"), "MHz")),
    (7, "Power", "right", lambda row: whole(row.get("tx_power_dbm"), "dBm")),
    (6, "Noise", "right", lambda row: whole(row.get("noise_dbm"), "dBm")),
    (4, "Air busy", "right", lambda row: percent(row.get("airtime_busy_ratio"))),
    (8, "Air own", "right", lambda row: percent(row.get("airtime_tx_ratio"))),
)


def _sheet(lines: list[tuple[str, Text | str]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style=DIM, no_wrap=True)
    table.add_column(overflow="fold")
    before = None
    for label, value in lines:
        if value:
            table.add_row("" if label == before else label, value if isinstance(value, Text) else Text(printable(value)))
            before = label
    return table


def _rows(rows: list[Document], columns: Columns, width: int) -> Table:
    """Draw rows, without the columns that nobody has a value for or that there is no room for."""
    filled = [(rank, head, justify, [printable(cell(row) or "–") for row in rows]) for rank, head, justify, cell in columns]
    shown = [column for column in filled if any(cell != "–" for cell in column[3])]

    def needed() -> int:
        return sum(max(map(cell_len, [*head.split("\n"), *cells])) + GAP for _, head, _, cells in shown) - GAP

    while needed() > width and max(rank for rank, *_ in shown) > 0:
        shown.remove(max(shown, key=lambda column: column[0]))
    table = Table(box=box.SIMPLE_HEAD, padding=(0, GAP - 1, 0, 0), pad_edge=False, header_style="bold", show_edge=False)
    for _, head, justify, _ in shown:
        table.add_column(Text(head), justify=justify, no_wrap=True, overflow="ellipsis", vertical="bottom")
    for place in range(len(rows)):
        table.add_row(*(Text(cells[place], DIM if cells[place] == "–" else "") for *_, cells in shown))
    return table


def _joined(*parts: str | Literal[False] | None) -> str:
    return " · ".join(part for part in parts if part)


def _of(word: str, value: str | None) -> str | None:
    return None if value is None else f"{word} {value}"


def _part(some: str | None, all_of_it: str | None, noun: str) -> str | None:
    if some is None:
        return None
    return f"{some} of {all_of_it} {noun}" if all_of_it else f"{some} {noun}"


def _told(data: Document) -> str:
    words = ", ".join(f"{name} {value if isinstance(value, (str, int, float)) else json.dumps(value)}" for name, value in data.items())
    return printable(f": {words}"[:LONGEST]) if words else ""


def _word(value: object) -> str | None:
    return value[:LONGEST] if isinstance(value, str) and value else None


def _table(value: object) -> Document:
    return value if isinstance(value, dict) else {}


def _tables(value: object) -> list[Document]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
