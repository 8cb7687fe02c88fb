"""The lines of hostapd's file that are the radio's: channel, country, generation and width, to and from UCI's words. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from agent.errors import Unavailable
from agent.router.hostapd_lines import last, put

GENERATIONS = {"HE": "ieee80211ax", "VHT": "ieee80211ac", "HT": "ieee80211n"}
# Each generation brings the ones before it; HE on 2.4 GHz has no VHT below it.
BELOW = {"NOHT": (), "HT": ("HT",), "VHT": ("HT", "VHT"), "HE": ("HT", "VHT", "HE")}
WORDS = (
    *("hw_mode", "channel", "country_code", "op_class", "ht_capab", *GENERATIONS.values()),
    *(f"{prefix}_oper_{rest}" for prefix in ("vht", "he") for rest in ("chwidth", "centr_freq_seg0_idx")),
)
WIDE = {"80": "1", "160": "2"}
BANDS = {"a": "5g", "b": "2g", "g": "2g"}
_HTMODE = re.compile(r"(HT|VHT|HE)(20|40|80|160)|NOHT", re.ASCII)
_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)
_HT40 = re.compile(r"\[HT40[+-]\]")
_6G_CLASSES = range(131, 138)


def options(lines: Sequence[str]) -> dict[str, str]:
    """Give the radio in UCI's words; what the file does not say is absent."""
    found = {"type": "mac80211"}
    mode, channel, country = last(lines, "hw_mode"), last(lines, "channel"), last(lines, "country_code")
    op_class = last(lines, "op_class") or ""
    if op_class.isascii() and op_class.isdigit() and int(op_class[:4]) in _6G_CLASSES:
        found["band"] = "6g"
    elif mode in BANDS:
        found["band"] = BANDS[mode]
    if channel is not None:
        found["channel"] = "auto" if channel in ("0", "acs_survey") else channel
    if country is not None:
        found["country"] = country
    found["htmode"] = _htmode(lines)
    return found


def put_options(lines: tuple[str, ...], differing: Mapping[str, str | None]) -> tuple[str, ...]:
    """Make the lines say what differs; Unavailable for what hostapd's file cannot say of a radio."""
    for option, value in differing.items():
        if option == "country":
            if value is not None and not _COUNTRY.fullmatch(value):
                raise Unavailable("a country that is not two letters")
            lines = put(lines, ("country_code",), () if value is None else (f"country_code={value}",))
        elif option == "channel":
            lines = _put_channel(lines, value)
        elif option != "htmode":
            raise Unavailable(f"hostapd's file has no line for {option} of a radio")
    if "htmode" in differing or ("channel" in differing and _width(_htmode(lines)) != "20"):
        lines = _put_htmode(lines, differing.get("htmode") or _htmode(lines))
    return lines


def _put_channel(lines: tuple[str, ...], value: str | None) -> tuple[str, ...]:
    if value is None or value == "auto":
        return put(lines, ("channel",), () if value is None else ("channel=0",))
    if not (value.isascii() and value.isdigit() and len(value) <= 3):
        raise Unavailable("a channel that is no number")
    return put(lines, ("channel",), (f"channel={int(value)}",))


def _width(htmode: str) -> str:
    return htmode.lstrip("VHTEO") if htmode != "NOHT" else "20"


def _htmode(lines: Sequence[str]) -> str:
    family = next((name for name, word in GENERATIONS.items() if last(lines, word) == "1"), None)
    if family is None:
        return "NOHT"
    words = {"HE": ("he_oper_chwidth", "vht_oper_chwidth"), "VHT": ("vht_oper_chwidth",), "HT": ()}[family]
    wide = next((value for word in words if (value := last(lines, word)) is not None), "0")
    for width, code in WIDE.items():
        if wide == code:
            return family + width
    return family + ("40" if _HT40.search(last(lines, "ht_capab") or "") else "20")


def _put_htmode(lines: tuple[str, ...], htmode: str) -> tuple[str, ...]:
    found = _HTMODE.fullmatch(htmode)
    if found is None or (found[1] == "HT" and found[2] in WIDE):
        raise Unavailable("a width or generation that hostapd's file has no lines for")
    family, width = found[1] or "NOHT", found[2] or "20"
    channel = last(lines, "channel") or "0"
    is_5g = last(lines, "hw_mode") == "a"
    if width in WIDE and not is_5g:
        raise Unavailable(f"{width} MHz on a band that has no room for it")
    for name, word in GENERATIONS.items():
        is_on = name in BELOW[family] and (name != "VHT" or is_5g)
        lines = put(lines, (word,), (f"{word}=1",) if is_on else ())  # off is what hostapd takes for granted
    other = _HT40.sub("", last(lines, "ht_capab") or "")
    capab = other if width == "20" else f"[HT40{_side(channel, is_5g)}]{other}"
    lines = put(lines, ("ht_capab",), (f"ht_capab={capab}",) if capab else ())
    for prefix, of in (("vht", "VHT"), ("he", "HE")):
        words = (f"{prefix}_oper_chwidth", f"{prefix}_oper_centr_freq_seg0_idx")
        is_said = width in WIDE and of in BELOW[family]
        lines = put(lines, words, (f"{words[0]}={WIDE[width]}", f"{words[1]}={_centre(channel, width)}") if is_said else ())
    return lines


def _side(channel: str, is_5g: bool) -> str:
    """Say on which side of its first 20 MHz a 40 MHz channel has the second: pairs are fixed on 5 GHz, on 2.4 GHz there must be room."""
    number = int(channel)
    if is_5g:
        lower = (number - (149 if number >= 149 else 36)) // 4 % 2 == 0
        return "+" if lower else "-"
    return "+" if number <= 7 else "-"


def _centre(channel: str, width: str) -> int:
    number, steps = int(channel), int(width) // 20
    if number == 0:
        return 0  # hostapd chooses both
    first = 149 if number >= 149 else 36
    first = 100 if 100 <= number < 149 else first
    return first + (number - first) // (4 * steps) * 4 * steps + 2 * (steps - 1)
