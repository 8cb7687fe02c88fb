"""The city's listening end: messages -> understanding -> one batch -> committed -> acknowledged, to the broker and to the access points.

One thread. What is not committed is not acknowledged: whatever dies, the broker sends it again, and the received sets know what was there.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from agent.wire import messages, topics
from fleet.city import City
from fleet.gathering import Gathering, ack_topic
from fleet.keeper import Keeper
from fleet.meter import Lags
from fleet.mqtt import Heard
from fleet.roster import Roster
from fleet.rows import Batch
from fleet.server_clock import ServerClock
from fleet.understand import SUBSCRIPTIONS

LOG = logging.getLogger(__name__)

MOST_IN_BATCH, MOST_BYTES = 2_000, 16 << 20
CALM_S, LONGEST_S = 0.05, 1.0  # a batch ends when nothing waits any more, and in any case
APART_S = 0.25  # between two commits: each waits for the disk
AT_ONCE = 500  # messages taken from the connection
LISTENING_EVERY_S = 5.0
ACK_EVERY_S = 1.0  # for each access point
RETRY_S = 1.0
WAIT_S = 0.25
HEAR_AGAIN_S = 5.0
DROP_EVERY_S = 3600.0
REPUBLISH_EVERY_S = 30.0
ROLL_UP_EVERY_S = 1.0
SAY_EVERY_S = 60.0

WAITING = "SELECT EXISTS (SELECT 1 FROM city.revisions WHERE published_at IS NULL AND jws IS NOT NULL)"


class Line(Protocol):
    """What ingest needs of the city's MQTT client."""

    is_connected: bool
    connects: int

    def subscribe(self, filters: Iterable[str]) -> None:
        """Hear these topics, after every reconnect too."""

    def messages(self, most: int, within_s: float) -> list[Heard]:
        """Give what waits; without any wait for the first."""

    def waiting(self) -> int:
        """Say how many wait."""

    def acknowledge(self, heard: Iterable[Heard]) -> None:
        """Tell the broker that these are safe."""

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, qos: int = 1) -> int:
        """Send a message."""


class Clocks(NamedTuple):
    """The server's clock (Unix seconds), the monotonic one, and how to wait."""

    wall: Callable[[], float] = time.time
    mono: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep


class Chores(NamedTuple):
    """What is done between two commits; `roll_up` may take so many seconds, and says whether there is more."""

    roll_up: Callable[[float, float], bool]  # the city's time, the budget in seconds
    republish: Callable[[], None]


class Ingest:
    """One run of `rwctl serve`, turn by turn."""

    def __init__(self, city: City, line: Line, keeper: Keeper, chores: Chores, clocks: Clocks = Clocks()) -> None:  # noqa: B008  # it has no state
        self.city, self.keeper = city, keeper
        self.clock = ServerClock()
        self.roster = Roster(keeper.live, city.name)
        self.gathering = Gathering(self.roster, self.clock, keeper.live.execute("SELECT ap, presence, session, info, reported FROM state"))
        self.lags = Lags()
        self.trouble = ""
        self.listening_since: float | None = None
        self._line, self._chores, self._clocks = line, chores, clocks
        self._connects = 0
        self._was_connected = False
        self._stuck: Batch | None = None
        self._began = self._committed = self._dropped = self._republished = self._rolled = clocks.mono()
        self._heard_again = float("-inf")
        self._owed: dict[tuple[str, int, str], None] = {}  # id, number and boot of the acks that are due
        self._acked: dict[int, float] = {}
        self._jumped = clocks.mono()
        self._rosters = 0
        self._strangers = 0
        self._said_at: dict[str, float] = {}
        self._counts_then: dict[str, int] = {}
        self.now = clocks.wall()
        line.subscribe(topics.subscription(name, city.name) for name in SUBSCRIPTIONS)

    @property
    def is_whole(self) -> bool:
        """Say whether all that was heard is committed."""
        return self._stuck is None and not self.gathering.heard

    def turn(self) -> None:
        """Hear, commit what is due, and do a bit of what else is to be done; takes about a quarter of a second at most."""
        mono = self._look()
        if self._stuck is not None:
            if mono - self._committed >= RETRY_S:
                self._commit(self._stuck)
            else:
                self._clocks.pause(0.1)
            return
        self._hear(mono)
        mono = self._clocks.mono()
        if self._is_due(mono):
            self._commit(self.gathering.batch(self.now, self.listening_since))
        self._send_acks(mono)
        if not self.gathering.heard and self._line.waiting() < AT_ONCE:
            self._do_chores(mono)

    def finish(self) -> bool:
        """Commit and acknowledge what was heard; False when the disk would not have it, so that the broker keeps it."""
        self._look()
        if not self.is_whole or self.listening_since is not None:
            self._commit(self._stuck or self.gathering.batch(self.now, self.listening_since))
        self._acked.clear()
        self._send_acks(self._clocks.mono())
        return self.is_whole

    # Hearing.

    def _look(self) -> float:
        """Look at the clocks, the connection and the inventory; give the monotonic time."""
        mono = self._clocks.mono()
        was_wrong = self.clock.is_wrong
        look = self.clock.look(self._clocks.wall(), mono)
        self.now = look.now
        if look.server_jumped_s:
            LOG.warning("server clock jumped: seconds=%+.0f", look.server_jumped_s)
        if self.clock.is_wrong and not was_wrong:
            off_s = self.clock.off_s(self._clocks.wall(), mono) or 0.0
            LOG.warning("server clock is wrong, going by the access points' clocks; set this machine's clock: behind_s=%.0f", off_s)
        elif was_wrong and not self.clock.is_wrong:
            LOG.info("server clock is right again")
        if look.jumped_s:
            self._jumped = mono
            self.listening_since = None if self.listening_since is None else self.now
        self._look_at_line(mono)
        if self.roster.changes:
            self._tried(lambda: self.roster.refresh(mono), "the inventory could not be read again")
        else:  # without any, all would be strangers
            self.roster.refresh(mono)
        self._look_at_roster(mono)
        return mono

    def _look_at_line(self, mono: float) -> None:
        is_connected, connects = self._line.is_connected, self._line.connects
        if is_connected and connects != self._connects:
            LOG.info("connected to the broker: address=%s:%d", self.city.broker.city_host, self.city.broker.city_port)
            self.listening_since = self.now
            self._republished = float("-inf")
            self._heard_again = mono
        elif self._was_connected and not is_connected:
            LOG.warning("broker away, connecting again: address=%s:%d", self.city.broker.city_host, self.city.broker.city_port)
            self.listening_since = None
        self._was_connected, self._connects = is_connected, connects

    def _look_at_roster(self, mono: float) -> None:
        """After an enrolment hear again what is retained of those that were strangers until now."""
        if self.roster.changes == self._rosters:
            return
        if self._rosters and self.gathering.counts["pending"] != self._strangers:
            if mono - self._heard_again < HEAR_AGAIN_S:
                return
            self._heard_again = mono
            self._strangers = self.gathering.counts["pending"]
            self._line.subscribe(topics.subscription(name, self.city.name) for name in SUBSCRIPTIONS)
        self._rosters = self.roster.changes
        self.clock.forget(set(self.roster.numbers.values()))
        LOG.info("inventory read: access_points=%d", len(self.roster.numbers))

    def _hear(self, mono: float) -> None:
        gathered = self.gathering
        room = MOST_IN_BATCH - len(gathered.heard)
        heard = self._line.messages(min(room, AT_ONCE), CALM_S if gathered.heard else WAIT_S)
        if heard and not gathered.heard:
            self._began = mono
        for one in heard:
            gathered.take(one, self.now)

    # Committing.

    def _is_due(self, mono: float) -> bool:
        many = len(self.gathering.heard)
        if not many:
            return self.listening_since is not None and mono - self._committed >= LISTENING_EVERY_S
        if many >= MOST_IN_BATCH or self.gathering.bytes >= MOST_BYTES or mono - self._began >= LONGEST_S:
            return True
        return mono - self._began >= CALM_S and mono - self._committed >= APART_S and not self._line.waiting()

    def _commit(self, batch: Batch) -> None:
        self._committed = self._clocks.mono()
        try:
            stored = self.keeper.commit(batch)
        except sqlite3.OperationalError as error:
            self._stuck = batch
            if str(error) != self.trouble:
                self.trouble = str(error)
                LOG.error("store cannot be written, trying again each second, the broker keeps what comes: path=%s reason=%s", self.city.store, error)
            return
        if self.trouble:
            LOG.info("store is written again: messages=%d", len(self.gathering.heard))
            self.trouble = ""
        self._stuck = None
        self._line.acknowledge(self.gathering.heard)
        mono = self._clocks.mono()
        for one in self.gathering.heard:
            self.lags.add(mono, mono - one.at)
        counts = self.gathering.counts
        counts.update({"reports": stored.reports, "events": stored.events, "duplicates": stored.duplicates, "restamped": stored.restamped})
        counts["refused"] += stored.refused
        self._owed |= self.gathering.owed
        self.gathering.begin()
        self._say(mono)

    def _send_acks(self, mono: float) -> None:
        """Tell each access point what is on the disk, at most once in ACK_EVERY_S."""
        if not self._line.is_connected or not self._owed:
            return
        sent = []
        for key in self._owed:
            ap, number, boot = key
            if mono - self._acked.get(number, float("-inf")) < ACK_EVERY_S:
                continue
            sent.append(key)
            found = self.keeper.ack(number, boot)
            if found is not None:
                self._acked[number] = mono
                self._line.publish(ack_topic(self.city.name, ap), messages.encode({"boot": boot, "through": found[0], "missing": found[1]}))
        for key in sent:
            del self._owed[key]

    # What else is to be done.

    def _do_chores(self, mono: float) -> None:
        if mono - self._rolled >= ROLL_UP_EVERY_S:
            has_more = self._tried(lambda: self._chores.roll_up(self.now, WAIT_S), "hours could not be rolled up")
            self._rolled = self._clocks.mono() - (ROLL_UP_EVERY_S if has_more else 0.0)
        if mono - self._republished >= REPUBLISH_EVERY_S and self._line.is_connected:
            self._republished = mono
            self._tried(self._republish_waiting, "configs that wait could not be looked for")
        # Only with a time that an access point has vouched for just now: a clock that is a year ahead must not drop a year.
        is_vouched = self.gathering.vouched > max(self._jumped, mono - DROP_EVERY_S)
        if is_vouched and mono - self._dropped >= DROP_EVERY_S:
            self._dropped = mono
            self._tried(self._drop_old, "old months could not be dropped")

    def _republish_waiting(self) -> bool:
        is_waiting = bool(self.keeper.live.execute(WAITING).fetchone()[0])
        if is_waiting:
            self._chores.republish()
        return is_waiting

    def _drop_old(self) -> bool:
        for name in self.keeper.drop_old(self.now):
            LOG.info("dropped, older than city.toml keeps: file=%s", name)
        return False

    def _tried(self, chore: Callable[[], bool], failure: str) -> bool:
        """Whatever the disk or a lock refuses now can wait: what is heard goes on."""
        try:
            return chore()
        except sqlite3.OperationalError as error:
            self._warn(failure, f"{failure}, later again: reason=%s", error)
            return False

    def _say(self, mono: float) -> None:
        """Say what somebody should look after, not more than once a minute each."""
        counts = self.gathering.counts
        for name, text in (
            ("poison", "messages not understood, see rwctl status --quarantine: number=%d"),
            ("refused", "reports refused, too many boots of an access point in a day: number=%d"),
            ("pending", "messages of access points that are not enrolled: number=%d"),
        ):
            more = counts[name] - self._counts_then.get(name, 0)
            if more and self._warn(name, text, more):
                self._counts_then[name] = counts[name]

    def _warn(self, name: str, text: str, value: object) -> bool:
        mono = self._clocks.mono()
        if mono - self._said_at.get(name, float("-inf")) < SAY_EVERY_S:
            return False
        self._said_at[name] = mono
        LOG.warning(text, value)
        return True
