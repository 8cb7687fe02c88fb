"""hostapd as OpenWrt shows it on ubus: one object for each BSS, found anew in each round, so that one made anew is followed.

Only asks (get_status, get_clients). netifd's word that a radio is up is worth nothing here: it says so of a radio hostapd could not start.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from agent.errors import Unavailable
from agent.records import Station
from agent.router.text import dbm, mac, printable
from agent.router.ubus import Call, Refused, Ubus
from agent.router.ubus_message import NOT_FOUND, PERMISSION_DENIED

PREFIX = "hostapd."
MOST_NETWORKS = 64
MOST_STATIONS = 2048  # 802.11 numbers associations from 1 to 2007
# After ubusd was restarted its clients come back within seconds, each at its own time (rig/ubusd-killed.txt).
SETTLE_S = 10.0
# Of a station's answer nine tenths are of no use here, and its signature tells what device it is.
_UNREAD = frozenset(
    ("rrm", "wnm", "airtime", "extended_capabilities", "signature", "bytes", "packets", "rate", "capabilities", "preauth", "wds", "wmm", "ht", "vht", "he")
)
_METHODS = ("get_status", "get_clients")
# IEEE 802.11-2020, table E-4: the width of what is no 20 MHz class. 130 and 135 are 80+80.
_WIDTHS = (
    dict.fromkeys((83, 84, 116, 117, 119, 120, 122, 123, 126, 127, 132), 40)
    | dict.fromkeys((128, 133), 80)
    | dict.fromkeys((129, 130, 134, 135), 160)
    | {137: 320}
)
_WIDTH_20 = (81, 82, 115, 118, 121, 124, 125, 131, 136)


class Network(NamedTuple):
    """One BSS as hostapd runs it. `is_radar_check`: it listens for radar, for 1 to 10 minutes, before it may send.

    `stations` are all its entries, half-open and lingering ones too; None where it did not tell.
    """

    ifname: str
    phy: str | None
    ssid: str | None
    bssid: str | None
    is_enabled: bool
    is_radar_check: bool
    frequency_mhz: int | None
    channel: int | None
    width_mhz: int | None
    stations: tuple[Station, ...] | None


def parse_status(ifname: str, status: Mapping[str, object], stations: tuple[Station, ...] | None = None) -> Network:
    """Read the answer to get_status; whatever is missing or of the wrong type is None."""
    dfs = status.get("dfs")
    left = _whole(dfs.get("cac_seconds_left")) if isinstance(dfs, Mapping) and dfs.get("cac_active") in (True, 1) else None
    ssid = _text(status.get("ssid"))
    op_class = _whole(status.get("op_class"))
    return Network(
        ifname=ifname,
        phy=printable(_text(status.get("phy")) or "") or None,
        ssid=printable(ssid) if ssid else None,
        bssid=mac(_text(status.get("bssid")) or ""),
        is_enabled=status.get("status") == "ENABLED",
        # Without seconds left, hostapd waits in this state for a channel that is free of radar: then nothing is on its way.
        is_radar_check=status.get("status") == "DFS" and bool(left),
        frequency_mhz=_whole(status.get("freq")) or None,
        channel=_whole(status.get("channel")) or None,
        width_mhz=20 if op_class in _WIDTH_20 else _WIDTHS.get(op_class or 0),
        stations=stations,
    )


def parse_clients(ifname: str, answer: Mapping[str, object]) -> tuple[Station, ...] | None:
    """Read the answer to get_clients; None when it holds no list.

    `rate` is not read: since 2022-12 it is 100 times too large. A station that was sent away stays listed with all three claims false.
    """
    clients = answer.get("clients")
    if not isinstance(clients, Mapping):
        return None
    shown = printable(ifname)
    found: dict[str, Station] = {}
    for name, client in clients.items():
        address = mac(name) if isinstance(name, str) else None
        if address and isinstance(client, Mapping) and len(found) < MOST_STATIONS:
            found[address] = Station(address, shown, client.get("authorized") in (True, 1), _dbm(client.get("signal")), None, None)
    return tuple(found.values())


class HostapdObjects:
    """Every `hostapd.<ifname>` of one ubus; `monotonic` is the clock of what is remembered.

    `beside`: a call whose answer is fetched in the same exchange, for whoever needs it in the same sample (`told_beside`).
    """

    def __init__(self, ubus: Ubus, monotonic: Callable[[], float], beside: Call | None = None) -> None:
        self._ubus = ubus
        self._monotonic = monotonic
        self._beside = beside
        self._told_beside: tuple[float, dict[str, object]] | None = None
        self._names: frozenset[str] = frozenset()
        self._life: int | None = None
        self._settled_at = 0.0

    def read(self, expected: Iterable[str] = ()) -> dict[str, Network]:
        """Ask every BSS for its state and its stations, in one exchange; Unavailable when ubus is away, or hides hostapd from this user.

        `expected`: interfaces that should be there, to tell by whether none is there or none is shown.
        """
        asked = [Call(name, method, None, _UNREAD) for name in sorted(self._names) for method in _METHODS]
        there, answers = self._ubus.lookup_and_call(PREFIX + "*", asked if self._beside is None else [*asked, self._beside])
        self._keep_beside(answers[len(asked) :])
        told = {(call.name, call.method): answer for call, answer in zip(asked, answers, strict=False) if answer is not None}
        names = sorted(name for name in there if len(name) > len(PREFIX))[:MOST_NETWORKS]
        self._believe(frozenset(names), expected)
        # What is new since the last time, or was made anew under its old name.
        again = [Call(name, method, None, _UNREAD) for name in names for method in _METHODS if (name, method) not in told]
        told |= {(call.name, call.method): answer for call, answer in zip(again, self._ubus.call_all(again) if again else [], strict=True)}
        found: dict[str, Network] = {}
        for name in names:
            ifname, status, clients = name[len(PREFIX) :], told[name, "get_status"], told[name, "get_clients"]
            if isinstance(status, Refused):
                if status.status == NOT_FOUND:
                    continue  # it went away between the two questions
                raise status
            if status.get("driver") == "wired":
                continue  # 802.1X on a port is no BSS
            stations = None if isinstance(clients, Refused) else parse_clients(ifname, clients)
            found[ifname] = parse_status(ifname, status, stations)
        return found

    def told_beside(self, within_s: float) -> dict[str, object] | None:
        """Give the answer to `beside`, if it was fetched no longer than so many seconds ago."""
        told = self._told_beside
        return told[1] if told is not None and self._monotonic() - told[0] < within_s else None

    def _keep_beside(self, answers: Sequence[dict[str, object] | Refused | None]) -> None:
        answer = next(iter(answers), None)
        self._told_beside = (self._monotonic(), answer) if isinstance(answer, dict) else None

    def _believe(self, names: frozenset[str], expected: Iterable[str]) -> None:
        """Raise Unavailable where a name that is not there does not mean that hostapd is not there."""
        now = self._monotonic()
        if self._life is not None and self._ubus.lives != self._life:
            self._settled_at = now + SETTLE_S
        self._life = self._ubus.lives
        if now < self._settled_at and self._names - names:
            raise Unavailable("ubus: ubusd was restarted, and hostapd has not come back to it yet")
        self._names = names
        if not names and os.geteuid() != 0:
            # ubusd lists nothing that this user may not call; asked for one by its name it denies what is hidden, and does not find what is not there.
            (answer,) = self._ubus.call_all([Call(PREFIX + next(iter(expected), "none"), "get_status", None, _UNREAD)])
            if (isinstance(answer, Refused) and answer.status == PERMISSION_DENIED) or not self._ubus.lookup("system"):
                raise Unavailable("ubus shows this user no hostapd: /usr/share/acl.d/rwagent.json lacks it or is missing, or ubusd has not read it")


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _dbm(value: object) -> int | None:
    """Give a level in dBm: ubus carries 32 bits without a sign."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return dbm(str(value - (1 << 32) if value >= 1 << 31 else value))
