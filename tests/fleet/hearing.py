"""A line without a broker, and clocks that only tests move: ingest is driven turn by turn."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from agent.wire import messages
from fleet.city import City
from fleet.ingest import Chores, Clocks, Ingest
from fleet.keeper import Keeper
from fleet.mqtt import Heard
from tests.reports import BOOT, report

NOW = 1_790_000_000.0


class FakeLine:
    """What the broker keeps for us, and what we told it."""

    def __init__(self) -> None:
        self.is_connected, self.connects = True, 1
        self.filters: list[str] = []
        self.queue: list[Heard] = []
        self.acknowledged: list[Heard] = []
        self.published: list[tuple[str, bytes]] = []
        self.asked: list[int] = []
        self._mid = 0

    def subscribe(self, filters: Iterable[str]) -> None:
        self.filters += filters

    def messages(self, most: int, within_s: float) -> list[Heard]:
        self.asked.append(most)
        taken, self.queue = self.queue[:most], self.queue[most:]
        return taken

    def waiting(self) -> int:
        return len(self.queue)

    def acknowledge(self, heard: Iterable[Heard]) -> None:
        self.acknowledged += heard

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, qos: int = 1) -> int:
        assert not retain and qos == 1
        self.published.append((topic, payload))
        return len(self.published)

    def tell(self, at: float, below: str, message: object, ap: str = "rw-0501", is_retained: bool = False) -> None:
        """Let an access point say something."""
        self._mid += 1
        payload = message if isinstance(message, bytes) else messages.encode(message)  # type: ignore[arg-type]
        self.queue.append(Heard(at, f"wifi/v1/malang/{ap}/{below}", payload, is_retained, self._mid, 1, self.connects))

    def acks(self, ap: str = "rw-0501") -> list[dict[str, Any]]:
        """The acks that an access point got."""
        return [json.loads(payload) for topic, payload in self.published if topic == f"wifi/v1/malang/{ap}/ack"]


class World:
    """Ingest with a real store, a fake line, and clocks of our own."""

    def __init__(self, city: City) -> None:
        self.city, self.line, self.keeper = city, FakeLine(), Keeper(city)
        self.wall, self.mono = NOW, 1000.0
        self.rolled: list[float] = []
        self.republished = 0
        self.ingest = self._ingest()

    def _ingest(self) -> Ingest:
        def roll_up(now: float, _budget_s: float) -> bool:
            self.rolled.append(now)
            return False

        def republish() -> None:
            self.republished += 1

        clocks = Clocks(lambda: self.wall, lambda: self.mono, self.pass_time)
        return Ingest(self.city, self.line, self.keeper, Chores(roll_up, republish), clocks)

    def pass_time(self, seconds: float, jump_s: float = 0.0) -> None:
        """Let time go by; `jump_s` is what the server's clock jumps besides."""
        self.mono += seconds
        self.wall += seconds + jump_s

    def turns(self, many: int = 8, seconds: float = 0.3) -> None:
        """Let so many turns go by."""
        for _ in range(many):
            self.ingest.turn()
            self.pass_time(seconds)

    def report(self, seq: int, ap: str = "rw-0501", boot: str = BOOT, **changes: Any) -> None:
        """Let an access point report."""
        self.line.tell(self.mono, "report", report(seq, 60.0 * seq, boot=boot, at=int(self.wall)) | {"ap": ap} | changes, ap)

    def restart(self) -> None:
        """End this run without a word and begin another on the same store."""
        self.keeper.close()
        self.keeper = Keeper(self.city)
        self.ingest = self._ingest()

    def rows(self, question: str) -> list[tuple[Any, ...]]:
        """Ask the store."""
        return [tuple(row) for row in self.keeper.live.execute(question)]

    def stored(self) -> list[tuple[int, str, int]]:
        """Every report in the months' files as (ap, boot, seq), not as a set: each once."""
        found = []
        for path in self.keeper.months.files():
            db = self.keeper.months.at(path)
            found += [(ap, self._boot(number), seq) for ap, number, seq in db.execute("SELECT ap, boot, seq FROM raw")]
        return sorted(found)

    def _boot(self, number: int) -> str:
        return str(self.rows(f"SELECT boot FROM boots WHERE number = {number}")[0][0])
