"""hostapd's control socket: what it wants on air, and who it let in. Only asks (STATUS, STA-FIRST, STA-NEXT), never commands.

A socket is opened for each question, so a hostapd that restarted is found again by itself. One that hangs costs little: all
sockets are asked at once, and one that gave no answer is left alone for a while.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import NamedTuple

from agent.errors import Unavailable
from agent.records import Station
from agent.router.text import dbm, mac, printable, unescape, whole

REPLY_BYTES = 16384
TIMEOUT_S = 0.3  # for all answers to STATUS together, and for each answer of a walk
WALK_S = 1.0
LEFT_ALONE_S = 30.0
MOST_SOCKETS = 64
MOST_STATIONS = 2048  # 802.11 numbers associations from 1 to 2007


class Network(NamedTuple):
    """One BSS hostapd was told to run; `ifname` as the system names it."""

    ifname: str
    bssid: str | None
    ssid: str | None


class Status(NamedTuple):
    """One radio as hostapd runs it; `is_enabled` False while it fails, scans or waits for radar.

    `is_radar_check`: it listens for radar, for 1 to 10 minutes, before it may send. Not said of the half hour after a radar was heard.
    `state`: hostapd's own word.
    """

    is_enabled: bool
    phy: str | None
    frequency_mhz: int | None
    channel: int | None
    networks: tuple[Network, ...]
    is_radar_check: bool = False
    state: str = ""


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
        phy=printable(facts.get("phy", "")) or None,
        frequency_mhz=whole(facts.get("freq", "")) or None,
        channel=whole(facts.get("channel", "")) or None,
        networks=tuple(networks),
        # Without seconds left, hostapd waits in this state for a channel that is free of radar: then nothing is on its way.
        is_radar_check=facts.get("state") == "DFS" and bool(whole(facts.get("cac_time_left_seconds", ""))),
        state=printable(facts.get("state", "")),
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


class _Silence(NamedTuple):
    """A socket that gave no answer, as the file it was, and until when it is left alone."""

    file: tuple[int, int]
    until: float


class Hostapd:
    """The directory in which hostapd keeps one socket for each BSS; `monotonic` is the clock of what is remembered."""

    def __init__(self, directory: str, timeout_s: float = TIMEOUT_S, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._timeout_s = timeout_s
        self._monotonic = monotonic
        self._silent: dict[str, _Silence] = {}
        self._told_by_others: set[str] = set()

    def statuses(self) -> dict[str, Status | None]:
        """Ask each radio: its answer by the interface asked; None where the socket is there and nobody behind it.

        Who gave no answer in time, or may not be asked, is left out: iw's word is all there is.
        """
        names = self._sockets()
        self._silent = {name: silence for name, silence in self._silent.items() if name in names}
        told = self._ask_all([name for name in names if name not in self._told_by_others and not self._is_left_alone(name)])
        answers: dict[str, Status | None] = {}
        named: set[str] = set()
        for ifname in sorted(told):
            if ifname not in named:
                status = answers[ifname] = told[ifname]
                named.update(network.ifname for network in (status.networks if status else ()))
        # One socket for each radio will do next time, as long as it answers.
        self._told_by_others = named - answers.keys()
        return answers

    def stations(self, ifname: str) -> list[Station]:
        """Give every station hostapd keeps for one BSS, lingering ones too; Unavailable when it does not answer."""
        shown = printable(ifname)
        if self._is_left_alone(ifname):
            raise Unavailable(f"hostapd of {shown}: no answer")
        until = time.monotonic() + WALK_S
        try:
            for _ in range(3):
                if (found := self._walk(ifname, until)) is not None:
                    return found
        except OSError as error:
            if isinstance(error, TimeoutError):
                self._leave_alone(ifname)
            raise Unavailable(f"hostapd of {shown}: {error.strerror or 'no answer'}") from None
        raise Unavailable(f"hostapd of {shown}: its stations change faster than they can be read")

    def _ask_all(self, names: list[str]) -> dict[str, Status | None]:
        """Send every STATUS before reading the first answer: with one deadline for all, those that hang do not add up."""
        answers: dict[str, Status | None] = {}
        waiting: dict[int, tuple[str, socket.socket]] = {}
        with ExitStack() as links:
            for name in names:
                try:
                    link = links.enter_context(self._open(name, 0.0))
                    link.send(b"STATUS")
                except ConnectionRefusedError:
                    answers[name] = None
                except BlockingIOError:
                    self._leave_alone(name)  # it hangs so long that its queue is full
                except OSError:
                    continue  # not allowed, or gone meanwhile
                else:
                    waiting[link.fileno()] = name, link
            self._collect(waiting, answers)
        for name, _ in waiting.values():
            self._leave_alone(name)
        return answers

    def _collect(self, waiting: dict[int, tuple[str, socket.socket]], answers: dict[str, Status | None]) -> None:
        """Move what answers from `waiting` to `answers`, until the deadline."""
        until = time.monotonic() + self._timeout_s
        poll = select.poll()
        for descriptor in waiting:
            poll.register(descriptor, select.POLLIN)
        while waiting and (ready := poll.poll(max(0.0, (until - time.monotonic()) * 1000))):
            for descriptor, _ in ready:
                poll.unregister(descriptor)
                name, link = waiting.pop(descriptor)
                with suppress(OSError):  # it ended while we waited
                    answers[name] = parse_status(os.fsdecode(link.recv(REPLY_BYTES)))

    def _leave_alone(self, name: str) -> None:
        file = self._file(name)
        if file:
            self._silent[name] = _Silence(file, self._monotonic() + LEFT_ALONE_S)

    def _is_left_alone(self, name: str) -> bool:
        """Say whether it was silent a short while ago; a socket made anew is another hostapd's."""
        silence = self._silent.get(name)
        return silence is not None and self._monotonic() < silence.until and silence.file == self._file(name)

    def _sockets(self) -> list[str]:
        try:
            names = sorted(os.listdir(self._directory))[:MOST_SOCKETS]
        except OSError:
            return []
        return [name for name in names if self._file(name)]

    def _file(self, name: str) -> tuple[int, int] | None:
        """Tell one socket file from the next of the same name; None when it is no socket."""
        try:
            found = os.lstat(os.path.join(self._directory, name))
        except OSError:
            return None
        return (found.st_ino, found.st_ctime_ns) if stat.S_ISSOCK(found.st_mode) else None

    def _open(self, ifname: str, timeout_s: float) -> socket.socket:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            # An abstract address chosen by the kernel: hostapd can answer it, and no file is left behind whatever interrupts us.
            link.bind("")
            link.settimeout(timeout_s)
            link.connect(os.path.join(self._directory, ifname))
        except BaseException:
            link.close()
            raise
        return link

    @staticmethod
    def _exchange(link: socket.socket, question: str) -> str:
        link.send(question.encode())
        return os.fsdecode(link.recv(REPLY_BYTES))

    def _walk(self, ifname: str, until: float) -> list[Station] | None:
        """Go from station to station; None when the one we stood on left meanwhile."""
        found: dict[str, Station] = {}
        shown = printable(ifname)
        with self._open(ifname, self._timeout_s) as link:
            answer = self._exchange(link, "STA-FIRST")
            while (station := parse_station(answer, shown)) and station.mac not in found and len(found) < MOST_STATIONS:
                found[station.mac] = station
                if time.monotonic() >= until:
                    raise Unavailable(f"hostapd of {shown}: its stations take longer than {WALK_S:g} s to read")
                answer = self._exchange(link, f"STA-NEXT {station.mac}")
        return None if answer.startswith("FAIL") and found else list(found.values())
