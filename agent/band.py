"""What the radios of a band can be set to: channels, widths, countries; and how UCI says it. Pure tables and checks.

Where the platform knows better for one radio (its channels, its generation), that rules.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.change import Fault, RadioFact, Section
from agent.checked import Check, fault, number, shown, whole, yes_no

WIDTHS = {"2g": (20, 40), "5g": (20, 40, 80, 160), "6g": (20, 40, 80, 160, 320)}
CHANNELS = {"2g": (*range(1, 14),), "5g": (*range(36, 65, 4), *range(100, 145, 4), *range(149, 178, 4)), "6g": (*range(1, 234, 4),)}
# What each generation of the standard can do; a radio keeps the one that is set, the first of its band where none is.
FAMILIES = {"HT": 40, "VHT": 160, "HE": 160, "EHT": 320}
FIRST_FAMILY = {"2g": "HT", "5g": "HT", "6g": "HE"}
# The highest channel of 5 GHz that is inside a block of this width.
HIGHEST_5G = {20: 177, 40: 161, 80: 161, 160: 128}
MOST_DBM = 30
# ISO 3166-1. Of what is no country cfg80211 makes the world's rules, without a word.
COUNTRIES = frozenset(
    re.findall(
        "[A-Z]{2}",
        "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR "
        "CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU "
        "ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ "
        "MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI "
        "SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW",
    )
)
_HTMODE = re.compile(r"(HT|VHT|HE|EHT)([0-9]{2,3})(?![0-9])", re.ASCII)


def family_of(htmode: str | None, band: str) -> str:
    """Give the generation that an htmode names (HT of HT40-), the first of the band where it names none."""
    found = _HTMODE.match(htmode or "")
    return found[1] if found else FIRST_FAMILY[band]


def width_of(htmode: str | None) -> int | None:
    """Give the width of an htmode in MHz; None when it says none."""
    found = _HTMODE.match(htmode or "")
    if found is None:
        return 20 if htmode == "NOHT" else None
    return int(found[2])


def widths(radio: RadioFact, band: str) -> tuple[int, ...]:
    """Give the widths that a radio can be set to."""
    return tuple(width for width in WIDTHS[band] if width <= FAMILIES[family_of(radio.htmode, band)])


def channels(radios: Sequence[RadioFact], band: str) -> tuple[int, ...]:
    """Give the channels that some radio of the band can be set to."""
    known = [radio.channels for radio in radios if radio.channels]
    return tuple(one for one in CHANNELS[band] if len(known) < len(radios) or any(one in of_radio for of_radio in known))


def checks(band: str, radios: Sequence[RadioFact], part: object) -> dict[str, Check]:
    """Give the check of each member of a band's part; `part` itself is there for what one member means to another."""
    named = part if isinstance(part, dict) else {}

    def width(path: str, value: object) -> list[Fault]:
        able = [width for width in WIDTHS[band] if all(width in widths(radio, band) for radio in radios)]
        found = number(value)
        if found in able:
            return []
        code = "type" if found is None else "unsupported" if found in WIDTHS[band] else "range"
        return [fault(path, code, shown(value), f"{_either(able)}, what every {band} radio of this access point can do")]

    def channel(path: str, value: object) -> list[Fault]:
        if value == "auto":
            return []
        found, allowed = number(value), channels(radios, band)
        if found is None or found not in allowed:
            code = "type" if found is None else "unsupported" if found in CHANNELS[band] else "range"
            return [fault(path, code, shown(value), f'"auto" or one of {", ".join(map(str, allowed))}')]
        # Where none is named the radio keeps the width that it has.
        wide = [number(named["width_mhz"])] if "width_mhz" in named else [width_of(radio.htmode) for radio in radios]
        highest = min((HIGHEST_5G[one] for one in wide if band == "5g" and one in HIGHEST_5G), default=found)
        return [] if found <= highest else [fault(path, "conflict", shown(value), f"{highest} at most with {max(one or 0 for one in wide)} MHz")]

    return {"enabled": yes_no, "channel": channel, "width_mhz": width, "tx_power_dbm": whole(0, MOST_DBM), "country": country}


def country(path: str, value: object) -> list[Fault]:
    """Check for a country's two capital letters."""
    if isinstance(value, str) and value in COUNTRIES:
        return []
    return [fault(path, "choice" if isinstance(value, str) else "type", shown(value), "a country's two capital letters (ISO 3166-1), such as ID")]


def seen(radio: Section) -> dict[str, object]:
    """Give a radio in a document's words; UCI's own where the document has none."""
    channel, power = radio.value("channel"), radio.value("txpower")
    values: dict[str, object] = {
        "enabled": not radio.is_on("disabled"),
        "channel": _figure(channel),
        "width_mhz": width_of(radio.value("htmode")) or radio.value("htmode"),
        "tx_power_dbm": _figure(power),
        "country": radio.value("country"),
    }
    return {member: value for member, value in values.items() if value is not None}


def uci_of(member: str, value: object, was: str | None, band: str) -> str | None:
    """Give a member's value as UCI says it; what was there before, where that means the same."""
    if member == "enabled":
        is_off = Section("", "", {"disabled": (was or "",)}).is_on("disabled")
        return was if is_off is not value else None if value else "1"
    if member == "width_mhz":
        width = number(value)
        return was if width_of(was) == width else f"{family_of(was, band)}{width}"
    return str(value) if isinstance(value, str) else str(number(value))


def _figure(text: str | None) -> object:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 9 else text


def _either(values: Sequence[int]) -> str:
    return " or ".join(map(str, values)) if values else "nothing"
