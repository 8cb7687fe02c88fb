"""Numbers and moments as people read them: spans of time, moments in the city's zone, Mbit/s, shares, sizes."""

from __future__ import annotations

import datetime
import zoneinfo

DAY_S, HOUR_S, MINUTE_S = 86_400, 3_600, 60
MEGA = 1e6
MIB = 1 << 20
UNITS = (("_dbm", "dBm"), ("_mbps", "Mbit/s"), ("_mhz", "MHz"), ("_ms", "ms"), ("_s", "s"))


class Clock:
    """Words for moments, in a city's zone and seen from one moment (`now`: the city's time, Unix seconds)."""

    def __init__(self, zone: str, now: float) -> None:
        self._zone, self._now = zoneinfo.ZoneInfo(zone), now

    def at(self, moment: float) -> str:
        """Give a moment: of today its time, else with its date."""
        try:
            then, today = (datetime.datetime.fromtimestamp(at, self._zone) for at in (moment, self._now))
        except (ValueError, OverflowError, OSError):
            return "?"
        return f"{then:%H:%M:%S}" if then.date() == today.date() else f"{then:%Y-%m-%d %H:%M}"

    def day(self, moment: float) -> str:
        """Give a moment's date."""
        try:
            return f"{datetime.datetime.fromtimestamp(moment, self._zone):%Y-%m-%d}"
        except (ValueError, OverflowError, OSError):
            return "?"

    def ago(self, moment: float) -> str:
        """Give a moment and how long ago it was."""
        return f"{self.at(moment)}, {span(self._now - moment)} ago"


def named(name: str) -> tuple[str, str]:
    """Take a member's name apart into its words and its unit, "" for none: tx_rate_mbps is a tx rate in Mbit/s."""
    stem, unit = next(((name.removesuffix(ending), unit) for ending, unit in UNITS if name.endswith(ending) and name != ending), (name, ""))
    return stem.replace("_", " "), unit


def span(seconds: float) -> str:
    """Write a span of time in its two largest units."""
    left = max(0, int(seconds))
    if left < 100:
        return f"{left} s"
    days, hours, minutes = left // DAY_S, left % DAY_S // HOUR_S, left % HOUR_S // MINUTE_S
    if days >= 100:
        return f"{days} d"
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min"


def number(value: object) -> float | None:
    """Read a number that somebody else wrote; None for what is none."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e18 and value == value else None


def mbps(value: object) -> str | None:
    """Write bits per second as Mbit/s, without the unit."""
    bps = number(value)
    return None if bps is None else f"{bps / MEGA:.1f}"


def percent(value: object, digits: int = 0) -> str | None:
    """Write a ratio as a percentage; never 100 for what is a little less."""
    ratio = number(value)
    if ratio is None:
        return None
    text = f"{ratio * 100:.{digits}f}"
    return f"< {text} %" if float(text) == 100 and ratio < 1 else f"{text} %"


def mib(value: object) -> str | None:
    """Write bytes as MiB."""
    found = number(value)
    return None if found is None else f"{found / MIB:.1f} MiB" if found < 100 * MIB else f"{found / MIB:.0f} MiB"


def whole(value: object, unit: str = "") -> str | None:
    """Write a number without decimals, with its unit behind a blank."""
    found = number(value)
    return None if found is None else f"{found:.0f}" + (f" {unit}" if unit else "")


def rupiah(amount: int) -> str:
    """Write an amount as it is written in Indonesia: Rp 500.000."""
    return "Rp " + f"{amount:,}".replace(",", ".")


def several(count: int, one: str, many: str = "") -> str:
    """Write a count with its noun: 1 report, 2 reports."""
    return f"{count} {one if count == 1 else many or one + 's'}"
