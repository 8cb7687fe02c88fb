"""Every authorised station of the box for a person to look at, by pseudonym: what the sample knows of it, and what is only asked for here."""

from __future__ import annotations

from agent.errors import Unavailable
from agent.records import Association
from agent.router.contract import Router
from agent.router.hands import Client, Name

_UNKNOWN = Association(None, None, None)


def read(router: Router, name: Name) -> list[Client]:
    """Read each once, however many networks keep an entry of it; Unavailable when one of them cannot be asked."""
    found: dict[str, Client] = {}
    for bss in router.bss():
        if not bss.up:
            continue
        stations = [station for station in router.stations(bss.ifname) if station.authorized]
        try:
            associations = router.associations(bss.ifname) if stations else {}
        except Unavailable:
            associations = {}  # who is there is known all the same
        for station in stations:
            found[station.mac] = Client(name(station.mac), bss.ssid, bss.band, station.signal_dbm, *associations.get(station.mac, _UNKNOWN))
    return list(found.values())
