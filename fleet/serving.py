"""One run of `rwctl serve`: the store, the connection and ingest, from start to an end in order, and what it says of itself.

`store/serve.json` is for whoever looks (`rwctl status`); nothing is ever read back from it.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable

from fleet import pushing, schema
from fleet.city import INGEST, OPERATOR, City
from fleet.errors import Refused
from fleet.ingest import Chores, Ingest
from fleet.keeper import Keeper
from fleet.mqtt import Away, Client, Dropped
from fleet.rollup import Rollup

LOG = logging.getLogger(__name__)

STATUS = "serve.json"
STATUS_EVERY_S = 2.0
RATE_OVER_S = 10.0
TRY_EVERY_S = 2.0
CONNECT_WITHIN_S = 10.0
DROPS = 5  # in a row, until it is no broker of ours: one that is just ending, or starting anew, does so as well
PENDING = f"SELECT count(*) FROM pending WHERE {schema.IS_PENDING}"


def calm_collector() -> None:
    """Let Python look for garbage less often: what a batch leaves has no cycles, and looking through it all took a tenth of the time."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


class Serving:
    """A `serve` that holds the store."""

    def __init__(self, city: City, is_over: Callable[[], bool]) -> None:
        """Refused when another one holds it, or a file it needs is not there."""
        self._city, self._is_over = city, is_over
        self.client = Client(city, INGEST, client_id=INGEST, is_persistent=True, is_manual_ack=True)
        self.keeper = Keeper(city)
        self._since = int(time.time())
        self._said_at = float("-inf")
        self._rates: deque[tuple[float, int]] = deque()
        self._republishing: threading.Thread | None = None
        for line in self.keeper.repaired:
            LOG.warning("store repaired at the start: %s", line)
        self.ingest = Ingest(city, self.client, self.keeper, Chores(Rollup(self.keeper).step, self._republish))

    def run(self) -> bool:
        """Serve until it is over; False when something that was heard could not be stored (the broker keeps it)."""
        LOG.info("started: city=%s store=%s pid=%d", self._city.name, self._city.store, os.getpid())
        try:
            self._connect()
            while not self._is_over():
                self.ingest.turn()
                self._write_status()
            is_whole = self.ingest.finish()
        except sqlite3.DatabaseError as error:
            raise Refused(f"{self._city.store}: a file of the store cannot be used ({error}); copy the directory and start again, which tells more") from None
        finally:
            self.client.close()
            self._write_status(is_last=True)
            self.keeper.close()
        LOG.log(logging.INFO if is_whole else logging.ERROR, "stopped: messages=%d stored=%d", *self._totals())
        return is_whole

    def _connect(self) -> None:
        """Wait for the broker, however long it takes; what would never work ends it."""
        said, drops = "", 0
        while not self._is_over():
            try:
                self.client.start(CONNECT_WITHIN_S)
                return
            except (Away, Dropped) as error:
                drops = drops + 1 if isinstance(error, Dropped) else 0
                if drops == DROPS:
                    raise
                if str(error) != said:
                    LOG.warning("waiting for the broker: %s", error)
                said = str(error)
            until = time.monotonic() + TRY_EVERY_S
            while time.monotonic() < until and not self._is_over():
                self._write_status()
                time.sleep(0.1)

    def _totals(self) -> tuple[int, int]:
        counts = self.ingest.gathering.counts
        return counts["messages"], counts["reports"] + counts["events"]

    # What a push left behind is sent by a line of its own: only operators may say what is desired, and the broker may take its time.

    def _republish(self) -> None:
        if self._republishing is None or not self._republishing.is_alive():
            self._republishing = threading.Thread(target=self._send_waiting, name="republish", daemon=True)
            self._republishing.start()

    def _send_waiting(self) -> None:
        try:
            line = Client(self._city, OPERATOR)
            line.start(CONNECT_WITHIN_S)
        except Refused as error:
            LOG.warning("configs of an earlier push wait, and cannot be sent: %s", error)
            return
        try:
            sent = pushing.republish(self._city, line)
        except (Refused, sqlite3.Error, OSError) as error:
            LOG.warning("configs of an earlier push wait, and cannot be sent: %s", error)
            return
        finally:
            line.close()
        if sent.taken or sent.missing:
            LOG.info("configs of an earlier push sent: access_points=%d not_taken=%d", len(sent.taken), len(sent.missing))

    # What it says of itself.

    def status(self) -> dict[str, object]:
        """Give what serve.json says: Unix seconds, milliseconds over the last minute; `clock_off_s` is what the city's time is ahead of the server's clock."""
        ingest, mono, wall = self.ingest, time.monotonic(), time.time()
        counts = ingest.gathering.counts
        off_s = ingest.clock.off_s(wall, mono)
        messages, stored = self._totals()
        return {
            **{"pid": os.getpid(), "since": self._since, "at": int(wall), "connected": self.client.is_connected, "connects": self.client.connects},
            **{"messages": messages, "stored": stored, "duplicates": counts["duplicates"], "poison": counts["poison"]},
            **{"refused": counts["refused"], "odd_values": counts["odd"], "waiting": self.client.waiting(), "overflowed": self.client.overflowed},
            **{"pending": self._pending(), "trouble": ingest.trouble},
            "lag_p50_ms": ingest.lags.percentile_ms(0.5, mono),
            "lag_p99_ms": ingest.lags.percentile_ms(0.99, mono),
            "messages_per_s": self._rate(mono, messages),
            "clock_off_s": round(off_s, 1) if ingest.clock.is_wrong and off_s is not None else 0.0,
        }

    def _rate(self, mono: float, messages: int) -> float | None:
        """Messages a second over the last RATE_OVER_S."""
        self._rates.append((mono, messages))
        while len(self._rates) > 2 and mono - self._rates[0][0] > RATE_OVER_S:
            self._rates.popleft()
        began, then = self._rates[0]
        return round((messages - then) / (mono - began), 1) if mono > began else None

    def _pending(self) -> int:
        return int(self.keeper.live.execute(PENDING).fetchone()[0])

    def _write_status(self, is_last: bool = False) -> None:
        mono = time.monotonic()
        if mono - self._said_at < STATUS_EVERY_S and not is_last:
            return
        self._said_at = mono
        path = self._city.store / STATUS
        temporary = path.with_name(f".{STATUS}.new")
        try:
            temporary.write_text(json.dumps(self.status() | ({"pid": None} if is_last else {})) + "\n", encoding="utf-8")
            temporary.replace(path)
        except (OSError, sqlite3.Error):
            pass  # of a full disk ingest itself tells
