"""Several reports to one that stands for all of them: sums, means and maxima, so that a day without a broker fits in RAM.

Pure. Takes reports as they go on the wire, merged ones too; a part or value that some of them lack is made of the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

Report = dict[str, Any]
# What stood in each report that had it, with the seconds it stands for.
Spread = list[tuple[float, Any]]

KEYS = {"bss": "ifname", "radios": "radio", "interfaces": "name"}
# What describes the end of the span comes from the last report alone: an older `at` beside a newer uptime would be a lie.
OF_THE_LAST = ("v", "ap", "boot", "seq", "at", "uptime_s", "clock", "late")
OWN_RULE = (*OF_THE_LAST, "from_seq", "span_s", "alerts", "agent", "max")
SUMS = frozenset(("joins", "leaves"))
# Numbers that are set, not measured: half-way between channel 1 and channel 11 is no channel.
SETTINGS = frozenset(("channel", "width_mhz", "tx_power_dbm", "link_mbps", "pool", "conntrack_max", "memory_total_bytes", "flash_total_bytes"))
LAYERS = ("link", "address", "gateway", "dns", "internet", "ok")
DECIMALS = {"ms": 1, "c": 1, "dbm": 1, "load1": 2, "bps": 0, "bytes": 0}
# No router counts that far; beyond it a sum would leave the range of a float.
ENDLESS = 1e100


def merge(reports: list[Report]) -> Report:
    """Merge reports of one boot whose seqs follow each other, oldest first; ValueError for any other list.

    The result stands for `from_seq`..`seq`: `span_s`, joins and leaves are summed, counters, settings and states are the last ones,
    other numbers means weighted by `span_s`, with the highest value in `max` by its path where that is above the mean.
    """
    _check(reports)
    last = reports[-1]
    merged: Report = {name: last[name] for name in OF_THE_LAST if name in last}
    merged["from_seq"] = first_seq(reports[0])
    merged["span_s"] = _tidy(sum(_span(report) for report in reports), 3)
    highest: dict[str, float] = {}
    for report in reports:
        for path, value in _dict(report.get("max")).items():
            if _is_number(value):
                highest[path] = max(value, highest.get(path, value))
    for name in _names(reports):
        if name not in OWN_RULE:
            merged[name] = _value(name, name, _spread(name, [(_span(report), report) for report in reports]), highest)
    alerts = [code for report in reports for code in _list(report.get("alerts"))]
    if any("alerts" in report for report in reports):
        merged["alerts"] = [code for place, code in enumerate(alerts) if code not in alerts[:place]]
    agents = [report["agent"] for report in reports if isinstance(report.get("agent"), dict)]
    if agents:
        merged["agent"] = agents[-1] | ({"collectors": _collectors(agents)} if "collectors" in agents[-1] else {})
    if highest:
        merged["max"] = highest
    return merged


def first_seq(report: Report) -> int:
    """The first seq a report stands for."""
    seq: int = report["from_seq"] if "from_seq" in report else report["seq"]
    return seq


def _check(reports: list[Report]) -> None:
    if not reports:
        raise ValueError("nothing to merge, expected at least one report")
    for before, after in pairwise(reports):
        if first_seq(after) != before["seq"] + 1 or before.get("boot") != after.get("boot"):
            raise ValueError(f"seq {first_seq(after)} does not follow {before['seq']} of the same boot")


def _value(name: str, path: str, spread: Spread, highest: dict[str, float]) -> Any:
    """Merge one value by what it is; a value of another type than the last one is left aside."""
    last = spread[-1][1]
    if isinstance(last, bool):
        return any(value is True for _, value in spread) if name == "reset" else last
    if _is_number(last):
        return _number(name, path, [(span, value) for span, value in spread if _is_number(value)], highest)
    if isinstance(last, dict):
        return _object(path, [(span, value) for span, value in spread if isinstance(value, dict)], highest)
    if isinstance(last, list):
        return _items(name, path, [(span, value) for span, value in spread if isinstance(value, list)], highest)
    if path == "uplink.state":
        return min((value for _, value in spread if value in LAYERS), key=LAYERS.index, default=last)
    return last


def _number(name: str, path: str, spread: Spread, highest: dict[str, float]) -> float:
    values: list[float] = [value for _, value in spread]
    if name in SUMS:
        return sum(values)
    if name.endswith("_total") or name in SETTINGS:
        return values[-1]
    if name == "max" or name.endswith(("_max", "_peak_bps")):
        return max(values)
    weight = sum(span for span, _ in spread)
    mean = sum(span * value for span, value in spread) / weight if weight > 0 else sum(values) / len(values)
    mean = _tidy(min(max(mean, min(values)), max(values)), DECIMALS.get(name.rpartition("_")[2], 1 if _are_whole(values) else 4))
    most = max(*values, highest.get(path, mean))
    highest.pop(path, None)
    if most > mean:
        highest[path] = most
    return mean


def _object(path: str, spread: Spread, highest: dict[str, float]) -> Report:
    names = _names(value for _, value in spread)
    return {name: _value(name, f"{path}.{name}", _spread(name, spread), highest) for name in names}


def _items(name: str, path: str, spread: Spread, highest: dict[str, float]) -> list[Any]:
    """Merge lists item by item; an item that the last report lacks keeps what it last was."""
    key = KEYS.get(name)
    if key is None:
        return list(spread[-1][1])
    by_key: dict[str, Spread] = {}
    for span, items in spread:
        for item in items:
            if isinstance(item, dict) and key in item:
                by_key.setdefault(str(item[key]), []).append((span, item))
    return [_object(f"{path}.{value}", of_item, highest) for value, of_item in by_key.items()]


def _collectors(agents: list[Report]) -> Report:
    """For each collector its longest time and its last error."""
    rows: Report = {}
    for agent in agents:
        for name, row in _dict(agent.get("collectors")).items():
            former = rows.get(name, {})
            rows[name] = former | _dict(row)
            if _is_number(former.get("ms")) and _is_number(rows[name].get("ms")):
                rows[name]["ms"] = max(former["ms"], rows[name]["ms"])
    return rows


def _names(parts: Iterable[Report]) -> list[str]:
    return list(dict.fromkeys(name for part in parts for name in part))


def _spread(name: str, parts: list[tuple[float, Report]]) -> Spread:
    return [(span, part[name]) for span, part in parts if name in part]


def _span(report: Report) -> float:
    span = report.get("span_s", 0)
    return span if _is_number(span) else 0


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -ENDLESS < value < ENDLESS


def _are_whole(values: list[float]) -> bool:
    return all(isinstance(value, int) for value in values)


def _tidy(value: float, decimals: int) -> float:
    """Round, and give a whole number as such: every byte of the outbox counts."""
    rounded = round(value, decimals)
    return int(rounded) if rounded == int(rounded) else rounded


def _dict(value: object) -> Report:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
