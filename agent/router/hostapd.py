"""hostapd's control socket: what it wants on air, and who it let in. Only asks (STATUS, STA-FIRST, STA-NEXT), never commands.

A socket is opened for each question, so a hostapd that restarted is found again by itself.
"""

from __future__ import annotations

import os
import socket
import stat
import time
from typing import NamedTuple

from agent.errors import Unavailable
from agent.records import Station
from agent.router.text import dbm, mac, printable, unescape, whole

REPLY_BYTES = 16384
TIMEOUT_S = 1.0
MOST_SOCKETS = 64
MOST_STATIONS = 2048  # 802.11 numbers associations from 1 to 2007


class Network(NamedTuple):
    """One BSS hostapd was told to run; `ifname` as the system names it."""

    ifname: str
    bssid: str | None
    ssid: str | None


class Status(NamedTuple):
    """One radio as hostapd runs it; `is_enabled` False while it fails, scans or waits for radar."""

    is_enabled: bool
    phy: str | None
    frequency_mhz: int | None
    channel: int | None
    networks: tuple[Network, ...]


def _facts(text: str) -> dict[str, str]:
    # A reply cut off at the end of hostapd's buffer ends without a line break; half a value is none.
    lines = (line.partition("=") for line in text.split("\n")[:-1])
    return {key: value for key, equals, value in lines if equals}


def parse_status(text: str) -> Status:
    """Read the answer to STATUS."""
    facts = _facts(text)
    networks = []
    for number in range(MOST_SOCKETS):
        ifname = facts.get(f"bss[{number}]")
        if not ifname:
            break
        ssid = facts.get(f"ssid[{number}]")
        networks.append(Network(ifname, mac(facts.get(f"bssid[{number}]", "")), unescape(ssid) if ssid else None))
    return Status(
        is_enabled=facts.get("state") == "ENABLED",
        phy=facts.get("phy") or None,
        frequency_mhz=whole(facts.get("freq", "")) or None,
        channel=whole(facts.get("channel", "")) or None,
        networks=tuple(networks),
    )


def parse_station(text: str, ifname: str) -> Station | None:
    """Read one answer to STA-FIRST or STA-NEXT; None when it names no station. Retries are not in it."""
    address = mac(text.partition("\n")[0])
    if address is None:
        return None
    facts = _facts(text)
    return Station(
        mac=address,
        ifname=ifname,
        authorized="[AUTHORIZED]" in facts.get("flags", ""),
        signal_dbm=dbm(facts.get("signal", "")),
        tx_packets_total=whole(facts.get("tx_packets", "")),
        tx_retries_total=None,
    )


class Hostapd:
    """The directory in which hostapd keeps one socket for each BSS."""

    def __init__(self, directory: str, timeout_s: float = TIMEOUT_S) -> None:
        self._directory = directory
        self._timeout_s = timeout_s

    def statuses(self) -> dict[str, Status | None]:
        """Ask each radio once: its answer by the interface asked; None where the socket is there and nobody behind it."""
        answers: dict[str, Status | None] = {}
        named: set[str] = set()
        for ifname in self._sockets():
            if ifname in named:
                continue
            try:
                status = parse_status(self._ask(ifname, "STATUS"))
            except ConnectionRefusedError:
                answers[ifname] = None
            except OSError:
                continue  # not allowed, gone meanwhile or not answering: iw's word is all there is
            else:
                answers[ifname] = status
                named.update(network.ifname for network in status.networks)
        return answers

    def stations(self, ifname: str) -> list[Station]:
        """Give every station hostapd keeps for one BSS, lingering ones too; Unavailable when it does not answer."""
        try:
            for _ in range(3):
                if (found := self._walk(ifname)) is not None:
                    return found
        except OSError as error:
            raise Unavailable(f"hostapd of {printable(ifname)}: {error.strerror or 'no answer'}") from None
        raise Unavailable(f"hostapd of {printable(ifname)}: its stations change faster than they can be read")

    def _sockets(self) -> list[str]:
        try:
            names = sorted(os.listdir(self._directory))[:MOST_SOCKETS]
        except OSError:
            return []
        return [name for name in names if self._is_socket(name)]

    def _is_socket(self, name: str) -> bool:
        try:
            return stat.S_ISSOCK(os.lstat(os.path.join(self._directory, name)).st_mode)
        except OSError:
            return False

    def _open(self, ifname: str) -> socket.socket:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            # An abstract address chosen by the kernel: hostapd can answer it, and no file is left behind whatever interrupts us.
            link.bind("")
            link.settimeout(self._timeout_s)
            link.connect(os.path.join(self._directory, ifname))
        except BaseException:
            link.close()
            raise
        return link

    def _ask(self, ifname: str, question: str) -> str:
        with self._open(ifname) as link:
            return self._exchange(link, question)

    @staticmethod
    def _exchange(link: socket.socket, question: str) -> str:
        link.send(question.encode())
        return os.fsdecode(link.recv(REPLY_BYTES))

    def _walk(self, ifname: str) -> list[Station] | None:
        """Go from station to station; None when the one we stood on left meanwhile."""
        found: dict[str, Station] = {}
        until = time.monotonic() + self._timeout_s
        shown = printable(ifname)
        with self._open(ifname) as link:
            answer = self._exchange(link, "STA-FIRST")
            while (station := parse_station(answer, shown)) and station.mac not in found and len(found) < MOST_STATIONS:
                found[station.mac] = station
                if time.monotonic() >= until:
                    raise TimeoutError
                answer = self._exchange(link, f"STA-NEXT {station.mac}")
        return None if answer.startswith("FAIL") and found else list(found.values())
