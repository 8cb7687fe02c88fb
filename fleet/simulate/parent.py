"""The parent of a simulated fleet's processes: starts them, lets the city's time begin once all are there, and adds up what they say."""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import IO

from agent.settings import environment, interpreter
from fleet.errors import Refused
from fleet.simulate import origins
from fleet.simulate.orders import SMALL_FLEET, Orders, arguments, chosen
from fleet.simulate.part import Word
from fleet.simulate.tally import Tally

READY_WITHIN_S = 120.0
CONNECT_S = 0.02  # of CPU for each: its files, its keys, a handshake
ENDED_WITHIN_S = 30.0
LOOK_S = 0.2
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)
PLACES = ("/dev/shm", "/run")


class Parent:
    """The processes of one run."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._words: dict[int, Word] = {}
        self._children: list[subprocess.Popen[bytes]] = []
        self._selector = selectors.DefaultSelector()
        self._rest: dict[int, bytes] = {}
        self._began = time.monotonic()
        self._ready_s: float | None = None
        self._has_begun = bool(orders.began)
        self._is_ending = False

    def run(self) -> int:
        """Run all to their end; 0 when each of them ended as it should."""
        for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(ending, self._end)
        for number in range(self._orders.processes):
            self._start(number)
        while self._selector.get_map():
            self._turn()
        return int(sum(child.wait(ENDED_WITHIN_S) != 0 for child in self._children) > 0)

    def sums(self) -> dict[str, object]:
        """Add up what the processes said last."""
        words, lags = list(self._words.values()), Tally()
        for word in words:
            lags.merge(word.lags, word.most_late_ms)
        made, held, lost = (sum(getattr(word, name) for word in words) for name in ("sent", "held", "lost"))
        return {
            "points": self._orders.points,
            "connected": sum(word.connected for word in words),
            "all_connected_s": self._ready_s,
            "reports": sum(word.reports for word in words),
            "sent": made,
            "acked": made - held - lost,
            "held": held,
            "lost": lost,
            "reconnects": sum(word.reconnects for word in words),
            "late_ms": {"p50": lags.percentile_ms(0.5), "p99": lags.percentile_ms(0.99), "most": lags.most_ms},
            "processes": len(words),
            "cpu_s": round(sum(word.cpu_s for word in words), 1),
            "rss_bytes": sum(word.rss_bytes for word in words),
            "real_s": round(time.monotonic() - self._began, 1),
            "city_time": min([word.now for word in words], default=self._orders.start),
        }

    def _start(self, number: int) -> None:
        command = [*interpreter(), "-m", "fleet.simulate", *arguments(self._orders, number)]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(), start_new_session=True, preexec_fn=_die_with_parent)
        self._children.append(child)
        assert child.stdout is not None
        self._rest[number] = b""
        self._selector.register(child.stdout, selectors.EVENT_READ, number)

    def _turn(self) -> None:
        for key, _ in self._selector.select(LOOK_S):
            said = os.read(key.fd, 65536)
            if not said:
                self._selector.unregister(key.fileobj)
                continue
            *lines, self._rest[key.data] = (self._rest[key.data] + said).split(b"\n")
            if lines:
                self._words[key.data] = Word(**json.loads(lines[-1]))
                self._heed()

    def _heed(self) -> None:
        """Note that all are connected, begin the city's time, tell the status."""
        is_ready = len(self._words) == self._orders.processes and all(word.is_ready for word in self._words.values())
        if is_ready and self._ready_s is None:
            self._ready_s = round(time.monotonic() - self._began, 2)
        if not self._has_begun and (is_ready or time.monotonic() > self._began + READY_WITHIN_S):
            self._has_begun = True
            at = time.monotonic() + LOOK_S
            for child in self._children:
                _write(child.stdin, f"{at!r}\n".encode())
        if self._orders.status is not None:
            new = self._orders.status.with_name(self._orders.status.name + ".new")
            new.write_text(json.dumps(self.sums()) + "\n", encoding="utf-8")
            new.replace(self._orders.status)

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        if not self._is_ending:
            self._is_ending = True
            for child in self._children:
                child.terminate()


def run(orders: Orders) -> int:
    """Run the fleet in a folder of its own, which goes with it; print the sums as the last line."""
    points = orders.points
    if orders.city is not None:
        points = len(origins.of_city(orders.city, orders.points, orders.but))
    folder = orders.folder if orders.folder is not None else Path(tempfile.mkdtemp(prefix="rw-fleet-", dir=_place()))
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        parent = Parent(_timed(chosen(orders, points or 0, folder, 0.0)))
        status = parent.run()
        if orders.sent is not None:
            _gather(orders.sent, folder)
        print(json.dumps(parent.sums()), flush=True)
    except OSError as error:
        raise Refused(f"{error.filename or folder}: {error.strerror}") from None
    finally:
        if orders.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    return status


def _timed(orders: Orders) -> Orders:
    """Say when the city's time begins: a fast day's once all are connected, a live one's at once, or of many after what it takes to connect them."""
    if orders.speed != 1 or orders.hours is not None:
        return orders
    lead_s = 0.0 if (orders.points or 0) <= SMALL_FLEET else (orders.points or 0) * CONNECT_S
    return orders._replace(began=time.monotonic() + lead_s, start=orders.start + lead_s)


def _gather(file: Path, folder: Path) -> None:
    """Put what the processes wrote into one file."""
    with file.open("wb") as whole:
        for part in sorted(folder.glob("sent.*")):
            whole.write(part.read_bytes())
            part.unlink()


def _place() -> str | None:
    """RAM where there is some to write to: an outbox is no place for a disk."""
    return next((place for place in PLACES if os.access(place, os.W_OK | os.X_OK)), None)


def _write(pipe: IO[bytes] | None, text: bytes) -> None:
    if pipe is None:
        return
    try:
        pipe.write(text)
        pipe.flush()
    except BrokenPipeError:
        print("simulate_fleet: a process ended before the city's time began", file=sys.stderr)


def _die_with_parent() -> None:
    """Runs in the child: whatever ends the parent ends it in order."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
