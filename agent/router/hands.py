"""What a command may do with the box: one contract for root's half, and one for what the daemon does of itself.

A file for each backend (hands_openwrt.py, hands_linux.py, hands_simulated.py). Everything that leaves these methods speaks of stations and
neighbours by pseudonym: a MAC address never crosses this line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from agent.settings import Settings

MOST_NETWORKS = 64  # of one scan
MOST_LINES = 500
# From an address (lower case, with colons) to its pseudonym; Unavailable where none was ever given out.
Name = Callable[[str], str]


class Heard(NamedTuple):
    """One network in the air; `bssid` a pseudonym, `ssid` None where it hides its name."""

    bssid: str
    ssid: str | None
    channel: int | None
    signal_dbm: int | None


class Scan(NamedTuple):
    """What one scan heard, the strongest first; `left_out`: how many more; `silent`: why a radio could not listen, by its band."""

    networks: tuple[Heard, ...]
    left_out: int
    silent: Mapping[str, str]


class Log(NamedTuple):
    """The newest lines of the box's log, oldest first, starred; `left_out`: how many more matched, or are nobody's to see."""

    lines: tuple[str, ...]
    left_out: int


class Hands(Protocol):
    """Root's: each method does one thing, within the time its command has, or raises Unavailable with a sentence; two may run at once."""

    def lacks(self, command: str) -> str:
        """Say why this box cannot do a command of this name, ever; "" when it can."""

    def kick(self, station: str, ban_s: int) -> list[str]:
        """Send the station of this pseudonym away, and keep it from the same networks for `ban_s` seconds; give the SSIDs it was on."""

    def scan(self, band: str | None) -> Scan:
        """Listen once, on one band or on all."""

    def blink(self, seconds: int) -> list[str]:
        """Begin to blink and return; give the names of the LEDs, which go back to what they showed by themselves."""

    def log(self, lines: int, match: str) -> Log:
        """Give the newest lines that hold `match` (after starring) as plain text, "" for all."""

    def reload_wifi(self) -> list[str]:
        """Have the radios set up anew as they are configured; give the SSIDs that are on air then."""

    def reboot(self, delay_s: int) -> None:
        """Begin a reboot that happens in `delay_s` seconds, whatever becomes of this process, and after a push that is under way."""


class Client(NamedTuple):
    """One authorised station, by pseudonym; what the box cannot tell is None."""

    station: str
    ssid: str | None
    band: str | None
    signal_dbm: int | None
    rx_rate_mbps: float | None
    tx_rate_mbps: float | None
    connected_s: int | None


class OwnHands(Protocol):
    """The daemon's: what needs no root (agent/command.py)."""

    def report(self) -> int:
        """Make a report now, out of its turn, and hand it over to the broker as any other; give its seq."""

    def stations(self) -> list[Client]:
        """Give every authorised station, each once (agent/router/clients.py)."""

    def restart(self) -> None:
        """Begin the daemon anew, once what it said of it has been sent."""


def open_hands(settings: Settings, name: Name) -> Hands:
    """Open the hands of the box that `settings` name; only that backend is loaded."""
    backend = settings.router.backend
    if backend == "simulated":
        from agent.router import hands_simulated

        return hands_simulated.open_hands(settings, name)
    if backend == "openwrt":
        from agent.router import hands_openwrt

        return hands_openwrt.open_hands(settings, name)
    from agent.router import hands_linux

    return hands_linux.open_hands(settings, name)
