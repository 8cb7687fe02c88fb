"""`stations`: who is associated, by pseudonym: signal, rates and since when. The city never learns an address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.change import Fault
    from agent.router.hands import Client, OwnHands

NAME, BY, CLASS = "stations", "agent", "ask"
EVERY_S, LIMIT_S, ALONE = 2.0, 10.0, False
MOST = 128  # rows of at most 310 bytes each: what is told of a command has 40,000


def check(args: Mapping[str, object]) -> list[Fault]:
    """Name what is wrong: `ssid` limits the answer to one network."""
    # Only root checks: the daemon, which runs it, never carries the rules.
    from agent import arguments

    # As `report` writes an SSID: what does not print stands there as an escape of four characters.
    return arguments.some(args, {"ssid": arguments.text(128, "an SSID as it stands in `report`")})


def run(args: Mapping[str, object], hands: OwnHands) -> dict[str, object]:
    """Give the stations, the strongest first; `left_out`: how many more there are."""
    wanted = args.get("ssid")
    found = [client for client in hands.stations() if wanted is None or client.ssid == wanted]
    found.sort(key=lambda client: (client.signal_dbm is None, -(client.signal_dbm or 0), client.station))
    return {"stations": [_row(client) for client in found[:MOST]], "left_out": max(0, len(found) - MOST)}


def _row(client: Client) -> dict[str, object]:
    return {name: value for name, value in client._asdict().items() if value is not None}
