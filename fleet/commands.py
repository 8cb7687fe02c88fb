"""The closed table of commands, as the command line takes them: what each is for, whom it costs something, and what may be given with it.

Pure. The access point checks everything again by its own table (agent/commands); a test holds the two together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from fleet.errors import BadInput

LONGEST_SSID = 128  # as a report writes it: what does not print stands there as an escape of four characters
PATIENCE_S = 30
PSEUDONYM = re.compile("[0-9a-f]{12}")
ADDRESS = re.compile(r"(?:[0-9A-Fa-f]{2}[:._-]){5}[0-9A-Fa-f]{2}")
SHOWN_BY_STATIONS = "the 12 hex digits by which  rwctl command stations  names it today"


class Whole(NamedTuple):
    """A whole number from `low` to `high`; without it the access point takes `usual` (None: none)."""

    low: int
    high: int
    usual: int | None = None

    def fault(self, value: object) -> str:
        """Say what is wrong with a value; "" for nothing."""
        is_good = isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high
        return "" if is_good else f"a whole number from {self.low} to {self.high}"


class Word(NamedTuple):
    """One of some words."""

    words: tuple[str, ...]

    def fault(self, value: object) -> str:
        """Say what is wrong with a value; "" for nothing."""
        return "" if value in self.words else f"one of {', '.join(self.words)}"


class Line(NamedTuple):
    """A printable text of at most so many bytes of UTF-8."""

    most: int

    def fault(self, value: object) -> str:
        """Say what is wrong with a value; "" for nothing."""
        is_good = isinstance(value, str) and value.isprintable() and 0 < len(value.encode(errors="replace")) <= self.most
        return "" if is_good else f"1 to {self.most} bytes of printable text on one line"


class Pseudonym(NamedTuple):
    """A station, by the name that an access point gives it for a day."""

    def fault(self, value: object) -> str:
        """Say what is wrong with a value; "" for nothing."""
        if isinstance(value, str) and ADDRESS.fullmatch(value):
            return f"{SHOWN_BY_STATIONS} (addresses never leave the access point)"
        return "" if isinstance(value, str) and PSEUDONYM.fullmatch(value) else SHOWN_BY_STATIONS


class Argument(NamedTuple):
    """What may be given with a command: `--name` on the command line, with dashes for what has underscores on the wire."""

    name: str
    kind: Whole | Word | Line | Pseudonym
    metavar: str
    meaning: str
    is_required: bool = False

    @property
    def option(self) -> str:
        """Give how it is typed."""
        return f"--{self.name.replace('_', '-')}"


class Command(NamedTuple):
    """One command: what it does in one sentence, what it costs those who are there ("": nothing), its arguments, an example's words.

    `patience_s`: how long its result is usually waited for, longer than it may take there.
    """

    text: str
    costs: str = ""
    arguments: tuple[Argument, ...] = ()
    example: str = ""
    patience_s: int = PATIENCE_S


_BANDS = Word(("2g", "5g", "6g"))
_SECONDS = Argument("seconds", Whole(1, 600, 30), "S", "Blink so long.")
_LINES = Argument("lines", Whole(1, 500, 100), "N", "At most so many, the newest.")
_MATCH = Argument("match", Line(64), "TEXT", "Only lines that have this text in them, as it is.")
_STATION = Argument("station", Pseudonym(), "STATION", f"Whom: {SHOWN_BY_STATIONS}.", is_required=True)
_BAN = Argument("ban_s", Whole(0, 3600), "S", "Keep it out so long; 0: it may come back at once.")
_SSID = Argument("ssid", Line(LONGEST_SSID), "SSID", "Only those of this network, as a report writes its name.")

COMMANDS: Mapping[str, Command] = {
    "locate": Command("Blink the access point's LED, so that a technician finds it.", "", (_SECONDS,), "--to rw-0501 --seconds 60"),
    "stations": Command("List the stations that are there, by pseudonyms that change each day.", "", (_SSID,), "--to rw-0501"),
    "kick": Command("Send one station away.", "the station is sent away", (_STATION, _BAN), "--to rw-0501 --station 3fa94c01b7e2 --ban-s 600"),
    "scan": Command(
        "Look for the networks around it; its own stations wait for some seconds meanwhile.",
        "",
        (Argument("band", _BANDS, "BAND", "Only this band: 2g, 5g or 6g."),),
        "--to kelurahan=Jatimulyo --band 2g",
        60,
    ),
    "logs": Command("Read the newest lines of its log, without addresses and secrets.", "", (_LINES, _MATCH), "--to rw-0501 --lines 50 --match hostapd"),
    "report": Command("Have it report at once.", "", (), "--to kelurahan=Jatimulyo"),
    "reload-wifi": Command("Start its Wi-Fi anew.", "all of its stations reconnect", (), "--to rw-0501", 90),
    "restart-agent": Command("Start the agent anew; the Wi-Fi stays as it is.", "", (), "--to rw-0501"),
    "reboot": Command(
        "Boot the access point anew.",
        "it is off the air for a minute or two",
        (Argument("delay_s", Whole(0, 300, 5), "S", "Wait so long before."),),
        "--to rw-0501 --delay-s 60",
    ),
}


class Order(NamedTuple):
    """A command with what is given with it."""

    name: str
    args: dict[str, object]

    def __str__(self) -> str:
        return " ".join([self.name, *(f"{name}={value}" for name, value in self.args.items())])


def order(name: str, given: Mapping[str, object]) -> Order:
    """Check what was typed, None standing for what was not; BadInput with every fault."""
    args = {argument.name: given[argument.name] for argument in COMMANDS[name].arguments if given.get(argument.name) is not None}
    faults = [
        f"{argument.option} is {args[argument.name]!r}, expected {fault}"
        for argument in COMMANDS[name].arguments
        if argument.name in args and (fault := argument.kind.fault(args[argument.name]))
    ]
    faults += [
        f"{argument.option} is missing, expected {argument.kind.fault(None)}"
        for argument in COMMANDS[name].arguments
        if argument.is_required and argument.name not in args
    ]
    if faults:
        raise BadInput("\n".join(faults))
    return Order(name, args)
