"""The box's log as it may leave the box: no address, no station's name, no key, and nothing of what anybody looked up. Pure.

What is not certain to be harmless is starred: a log that is a little less telling costs a second look, an address costs a promise.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable, Mapping

from agent.router.hands import Log
from agent.router.text import printable

STARS = "***"
MOST_CHARACTERS = 400  # of a line that leaves
MOST_READ = 1024  # of a line that is looked at; logd keeps no more either
MOST_READ_IN_ALL = 1 << 18  # whoever may write to the log must not keep root's half busy
_TORN = 256  # of a line that was cut: what stood across the cut is no longer recognised by its end
_LEVELS = ("emerg", "alert", "crit", "err", "warn", "notice", "info", "debug")
_FACILITIES = ("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp")
_LOCAL = 16

# Who answers stations' questions says of whom and for what: such a line is nobody's to see.
_LOOKED_UP = re.compile(
    r"dnsmasq\[[0-9]+\]: (?:[0-9]+ \S+ )?(?:query|reply|cached|forwarded|config|dnssec|validation|possible DNS-rebind|auth|DHCP|ipset|nftset|/)"
)
_CUTS: tuple[tuple[re.Pattern[str], str], ...] = (
    # "DHCPACK(br-guest) 192.168.3.208 02:00:00:00:04:00 Phone-of-Budi"
    (re.compile(r"((?:DHCP[A-Z]+|SLAAC-CONFIRM)\([^)]*\)).*"), rf"\1 {STARS}"),
    # ISC's: "DHCPACK on 192.168.3.208 to 02:00:00:00:04:00 (Phone-of-Budi) via br-guest"
    (re.compile(r"(DHCP[A-Z]+) (?:on|for|from|of|to) .*"), rf"\1 {STARS}"),
    (re.compile(r"((?:not giving name|client provides name:?|(?:vendor|user) class:?|hostname:?|host name:?|identity)[\s:='\"]).*", re.I), rf"\1{STARS}"),
    # A key ends where its line does: it may hold blanks and quotes.
    (re.compile(r"((?:psk|pass|passw(?:or)?d|passphrase|secret|token|key[0-9]?|pin)['\"]?\s*[=:]).*", re.I), rf"\1{STARS}"),
)
_ADDRESSES: tuple[re.Pattern[str], ...] = (
    # IPv6's reverse names, then IPv6 (eight groups, or the mark of left-out ones), before the spellings of which it could have pieces.
    re.compile(r"(?:[0-9a-f]\.){8,}(?:ip6\.arpa)?", re.I),
    re.compile(r"(?<![0-9a-z:])(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}(?![0-9a-z:])", re.I),
    re.compile(r"(?<![0-9a-z:])(?!::1?(?![0-9a-z:]))(?=[0-9a-f:]*::)[0-9a-f:]+(?:\.[0-9.]+)?(?:%\w+)?(?![0-9a-z:])", re.I),
    # MAC addresses, client identifiers and dumps: two digits each, the same between all of them, and what sticks to either end; also without
    # the leading zeros, as escapes, in fours. "2026-11-22 12:58:13" is none.
    re.compile(r"[0-9a-f]{2,16}([:_. -])(?:[0-9a-f]{2}\1){4,}[0-9a-f]{2,16}", re.I),
    re.compile(r"(?<![0-9a-z:])(?:[0-9a-f]{1,2}:){5,}[0-9a-f]{1,2}(?![0-9a-z:])", re.I),
    # (From a row's first backslash only: looked for from each of a thousand, it would take a thousand times as long.)
    re.compile(r"(?:(?<!\\)\\+x[0-9a-f]{2}|%[0-9a-f]{2}){6,}", re.I),
    re.compile(r"(?<![0-9a-z])[0-9a-f]{4}[.-][0-9a-f]{4}[.-][0-9a-f]{4}(?![0-9a-z])", re.I),
    re.compile(r"(?:0x)?[0-9a-f]{12,}", re.I),
    re.compile(r"(?<![0-9.])(?!127\.|0\.0\.0\.0(?![0-9.]))[0-9]{1,3}(?:[.-][0-9]{1,3}){3}(?![0-9]|\.[0-9])"),
)


def starred(text: str, keys: Collection[str]) -> str | None:
    """Give a line as it may leave; None for one that may not. `keys`: what must not be seen wherever it stands."""
    is_cut, text = len(text) > MOST_READ, text[:MOST_READ]
    if _LOOKED_UP.search(text):
        return None
    # The longest first: one may be a piece of another.
    for key in sorted(keys, key=len, reverse=True):
        for spelling in (key, printable(key)):
            text = text.replace(spelling, STARS)
    text = without_addresses(text)
    for pattern, left in _CUTS:
        text = pattern.sub(left, text)
    shown = printable(text[:-_TORN] if is_cut else text)
    return shown if len(shown) <= MOST_CHARACTERS else shown[: MOST_CHARACTERS - 1] + "…"


def without_addresses(text: str) -> str:
    """Star every address, in any spelling, of a text that somebody else chose."""
    for pattern in _ADDRESSES:
        text = pattern.sub(STARS, text)
    return text


def chosen(found: Iterable[str], keys: Collection[str], most: int, match: str) -> Log:
    """Give the newest `most` lines that hold `match` once they are starred: nobody finds out by asking what the stars hide."""
    shown: list[str] = []
    withheld, room = 0, MOST_READ_IN_ALL
    wanted = frozenset(key for key in keys if key)
    for text in reversed(list(found)):
        room -= min(len(text), MOST_READ)
        line = starred(text, wanted) if room >= 0 else None
        if line is None:
            withheld += not match
        elif match in line:
            shown.append(line)
    return Log(tuple(shown[:most][::-1]), max(0, len(shown) - most) + withheld)


def of_logd(answer: Mapping[str, object]) -> list[str]:
    """Read the answer to logd's `log read`, oldest first: each entry as one line, its time in UTC."""
    entries = answer.get("log")
    rows = [entry for entry in entries if isinstance(entry, Mapping)] if isinstance(entries, list) else []
    return [_line(entry) for entry in rows]


def _line(entry: Mapping[str, object]) -> str:
    message, priority, at_ms = entry.get("msg"), entry.get("priority"), entry.get("time")
    moment = _moment(at_ms / 1000) if isinstance(at_ms, int) and 0 <= at_ms < 1 << 45 else "-"
    level = _word(priority) if isinstance(priority, int) and 0 <= priority < 1 << 16 else "-"
    return f"{moment} {level} {message if isinstance(message, str) else ''}".rstrip()


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _word(priority: int) -> str:
    facility, level = priority >> 3, _LEVELS[priority & 7]
    name = _FACILITIES[facility] if facility < len(_FACILITIES) else f"local{facility - _LOCAL}" if facility >= _LOCAL else str(facility)
    return f"{name}.{level}"
