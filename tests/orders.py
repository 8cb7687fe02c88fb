"""Signed commands for the access point of tests/pushes.py, and a box that the test plays."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping
from typing import Any

from agent.errors import Unavailable
from agent.router.clock import boot as this_boot
from agent.wire.claims import CommandClaims
from agent.wire.messages import Payload
from fleet import sign
from tests.pushes import KEY

_IDS = itertools.count(1)


def new_id() -> str:
    """Give an id that no other command of this run has."""
    return f"00000000-0000-4000-8000-{next(_IDS):012d}"


def ordered(name: str, args: Mapping[str, Any] | None = None, *, until: float = 0, key: sign.SecretKey = KEY, **more: Any) -> bytes:
    """Sign a command for rw-0501 of malang in this boot."""
    known: dict[str, Any] = {"city": "malang", "ap": "rw-0501", "id": new_id(), "boot": this_boot(), "issued_at": 1_790_000_000}
    return sign.command(key, CommandClaims(**(known | {"until_uptime_s": int(until), "name": name, "args": dict(args or {})} | more)))


class FakeHands:
    """A box that does what the test says; `done` is what was asked of it. `hold` keeps `scan` and `reload_wifi` from their end."""

    def __init__(self) -> None:
        self.done: list[tuple[object, ...]] = []
        self.missing: dict[str, str] = {}
        self.hold = threading.Event()
        self.hold.set()
        self.begun = threading.Event()
        self.fault: Callable[[], object] = lambda: None

    def lacks(self, command: str) -> str:
        return self.missing.get(command, "")

    def _do(self, *what: object) -> None:
        self.done.append(what)
        self.begun.set()
        self.fault()
        assert self.hold.wait(20)

    def kick(self, station: str, ban_s: int) -> list[str]:
        if station == "0" * 12:
            raise Unavailable(f"no station {station} at de:ad:be:ef:00:01")
        self._do("kick", station, ban_s)
        return ["Malang RW 05"]

    def blink(self, seconds: int) -> list[str]:
        self._do("locate", seconds)
        return ["green:status"]

    def scan(self, band: str | None) -> Any:
        from agent.router.hands import Heard, Scan

        self._do("scan", band)
        return Scan((Heard("0123456789ab", "Warung", 6, -70),), 0, {})

    def log(self, lines: int, match: str) -> Any:
        from agent.router.hands import Log

        self._do("logs", lines, match)
        return Log(("one line",), 0)

    def reload_wifi(self) -> list[str]:
        self._do("reload-wifi")
        return ["Malang RW 05"]

    def reboot(self, delay_s: int) -> None:
        self._do("reboot", delay_s)


def without(told: Payload, *names: str) -> Payload:
    """Give a result without these members, which a test does not claim."""
    return {name: value for name, value in told.items() if name not in ("v", *names)}
