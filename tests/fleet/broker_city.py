"""A founded city with its mosquitto, for tests: made by `fleet.found`, run by `rwctl broker run`. Ends only the process it started."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from fleet import authority, city, doors, found, mosquitto
from fleet.authority import Issued
from fleet.city import City
from fleet.guests import Guests
from fleet.mqtt import Client
from tests.mosquitto import PATH, READY_WITHIN_S, free_port

ROOT = Path(__file__).resolve().parent.parent.parent
HOST = "127.0.0.1"


def founded(folder: Path, **wishes: object) -> City:
    """Found a city on free ports, for few access points."""
    asked = {"name": "malang", "host": HOST, "port": free_port(), "listen": HOST, "city_port": free_port(), "access_points": 20} | wishes
    for _ in found.found(folder, found.Wishes(**asked)):  # type: ignore[arg-type]  # what a test wishes for
        pass
    return city.load(folder)


class BrokerCity:
    """A city and its broker."""

    def __init__(self, at: City) -> None:
        self.city = at
        self._log = at.folder.parent / f"{at.folder.name}-broker.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, configuration: str | None = None) -> BrokerCity:
        """Run the broker until it listens; `configuration`: as a foreign one's, instead of `rwctl broker run`."""
        words = [sys.executable, "-m", "fleet.cli", "--dir", str(self.city.folder), "broker", "run"]
        folder = ROOT
        if configuration is not None:
            folder = self.city.broker_folder
            (folder / "foreign.conf").write_text(configuration)
            words = [mosquitto.program(), "-c", "foreign.conf"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(words, cwd=folder, stdout=log, stderr=log, env=os.environ | {"PATH": PATH})
        until = time.monotonic() + READY_WITHIN_S
        while not self._answers():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < until, self.log()
            select.select([], [], [], 0.01)
        return self

    def _answers(self) -> bool:
        # An answer, not only a connection: a signal that comes before mosquitto's loop begins is lost.
        pair = str(self.city.clients / "_rwctl.pem"), str(self.city.clients / "_rwctl.key")
        is_there = doors.is_there(HOST, self.city.broker.port)
        return is_there and doors.opens(HOST, self.city.broker.city_port, str(self.city.ca / "ca.pem"), pair=pair)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it; give its exit status."""
        assert self._process is not None
        self._process.send_signal(number)
        status, self._process = self._process.wait(10), None
        return status

    def pid(self) -> int:
        """Give the process's number."""
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        """Give what it logged so far."""
        return self._log.read_text(errors="replace")

    def guests(self) -> Guests:
        """Give a way to connect as access points."""
        return Guests(self.city)

    def __enter__(self) -> BrokerCity:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process is not None:
            self.stop(signal.SIGKILL)


def keep(guests: Guests, name: str, issued: Issued) -> None:
    """Let a guest have a lasting certificate."""
    (guests.city.clients / f"{name}.pem").write_bytes(issued.certificate)
    (guests.city.clients / f"{name}.key").write_bytes(issued.key)


def enrolled(guests: Guests, at: City, name: str) -> tuple[Client, str]:
    """Give an access point's connection, not yet begun, and the serial of its certificate."""
    issued = authority.issue_client(at, name)
    keep(guests, name, issued)
    return guests.client(name), issued.serial
