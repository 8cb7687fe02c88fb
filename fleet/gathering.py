"""Messages as they are heard become the next batch, and what is to be said of them afterwards.

Touches neither network nor store. Whatever a message holds, it ends as rows, as poison with its reason, or as nothing; it never stops the next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from agent.wire import topics
from fleet import quarantine
from fleet.city import THROWN_AWAY
from fleet.mqtt import Heard
from fleet.roster import Roster, Stranger
from fleet.rows import SAFE_MODE, AlertChange, Batch, PendingSeen, StateChange
from fleet.server_clock import ServerClock
from fleet.understand import Event, Presence, Report, Understood, Who, kept_report, understand

MOST_QUARANTINED = 100  # of one batch, and MOST_OF_ONE of one access point: a flood is counted, not kept
MOST_OF_ONE = 10
MOST_STRANGERS = 1_000
MOST_ALERTS = 64  # open at once of one access point, until its next report says which are true
NOBODY = "?"


class Gathering:
    """The batch at hand. `heard` are its messages, `owed` the boots (id, number, boot) that an `ack` is due for once it is committed."""

    def __init__(self, roster: Roster, clock: ServerClock, stored: Iterable[tuple[int, str | None, str | None, str | None, str | None]]) -> None:
        """`stored`: number, presence, session, info and reported of each access point's state."""
        self._roster, self._clock = roster, clock
        self._presence: dict[int, tuple[str | None, str | None]] = {}
        self._said: dict[tuple[int, str], int] = {}  # hashes of what is retained, and so comes again after each reconnect
        for ap, state, session, info, reported in stored:
            self._presence[ap] = (state, session)
            self._said[ap, "info"], self._said[ap, "reported"] = hash(info), hash(reported)
        self._alerts: dict[int, set[str]] = {}
        self.heard: list[Heard] = []
        self.bytes = 0
        self.counts: Counter[str] = Counter()
        self.vouched = float("-inf")  # when the last report came whose own time agrees with the city's to a day (monotonic seconds)
        self.begin()

    def begin(self) -> None:
        """Begin the next batch."""
        self.heard, self.bytes = [], 0
        self.owed: dict[tuple[str, int, str], None] = {}
        self._batch = Batch.empty(0.0)
        self._reports: dict[tuple[int, str], tuple[Report, int]] = {}
        self._states: dict[tuple[int, str], StateChange] = {}
        self._strangers: dict[str, tuple[int, int]] = {}
        self._poisoned: Counter[str] = Counter()

    def take(self, heard: Heard, now: float) -> None:
        """Take one message (`now`: the city's time)."""
        self.heard.append(heard)
        self.bytes += len(heard.payload)
        self.counts["messages"] += 1
        found = self._roster.whose(heard.topic)
        if found is None:
            self._poison(NOBODY, heard, now, "no topic of this city's access points")
            return
        who, below = found
        if isinstance(who, Stranger):
            self._stranger(who, now)
            return
        try:
            self._put(who, heard, understand(who, below, heard.payload, heard.is_retained, now), now)
        except Exception as error:  # noqa: BLE001  # boundary: whatever a message finds wrong in us must not come again for ever
            self._poison(who.ap, heard, now, f"could not be understood ({type(error).__name__})")

    def batch(self, now: float, listening_since: float | None) -> Batch:
        """Give the batch as it is to be committed; it stays the one at hand until `begin`."""
        states = [*self._states.values()]
        for (ap, boot), (report, at) in self._reports.items():
            states.append(StateChange(ap, "report", (boot, report.row.seq, at, report.row.span_s, kept_report(report))))
        pending = [PendingSeen(ap, at, many) for ap, (at, many) in self._strangers.items()]
        return self._batch._replace(now=now, states=states, pending=pending, listening_since=listening_since)

    def _put(self, who: Who, heard: Heard, understood: Understood, now: float) -> None:
        if isinstance(understood, Report):
            self._report(who, heard, understood, now)
        elif isinstance(understood, Event):
            self._batch.events.append(understood.row)
            self.owed[who.ap, who.number, understood.row.boot] = None
        elif isinstance(understood, Presence):
            self._hear_presence(who.number, understood, now)
        elif isinstance(understood, StateChange):
            self._change(understood)
        elif isinstance(understood, AlertChange):
            self._alert(who, heard, understood, now)
        elif understood is not None:
            self._poison(who.ap, heard, now, understood.reason)

    def _change(self, change: StateChange) -> None:
        key, said = (change.ap, change.part), hash(change.values[0])
        if self._said.get(key) != said or change.part == "plan":
            self._said[key] = said
            self._states[key] = change

    def _report(self, who: Who, heard: Heard, report: Report, now: float) -> None:
        row, number = report.row, who.number
        self._batch.raw.append(row)
        self.owed[who.ap, number, row.boot] = None
        self.counts["odd"] += report.odd
        key = (number, row.boot)
        if report.oldest is not None:
            self._batch.oldest[key] = max(report.oldest, self._batch.oldest.get(key, 0))
        if report.said_at is not None and row.from_seq is None and not row.late:
            self._clock.note(number, report.said_at, heard.at)
        if row.ts is not None and row.from_seq is None:
            self.vouched = heard.at
        newest = self._reports.get(key)
        if newest is None or newest[0].row.seq < row.seq:
            self._reports[key] = (report, int(now))
            self._alerts.pop(number, None)
        state, session = self._presence.get(number, (None, None))
        # Whoever reports is there, whatever a will says that came late; only a birth ends safe mode.
        if state not in ("online", SAFE_MODE) and not row.late:
            self._say_presence(number, "online", session, now)

    def _hear_presence(self, number: int, presence: Presence, now: float) -> None:
        born = self._presence.get(number, (None, None))[1]
        if presence.state not in ("online", SAFE_MODE) and born is not None and born != presence.session:
            return  # the end of a session before the last birth
        self._say_presence(number, presence.state, presence.session, now)

    def _say_presence(self, number: int, state: str, session: str | None, now: float) -> None:
        if self._presence.get(number) != (state, session):
            self._presence[number] = (state, session)
            self._states[number, "presence"] = StateChange(number, "presence", (state, session, int(now)))

    def _alert(self, who: Who, heard: Heard, change: AlertChange, now: float) -> None:
        codes = self._alerts.setdefault(who.number, set())
        if change.code not in codes and len(codes) >= MOST_ALERTS:
            self._poison(who.ap, heard, now, f"more than {MOST_ALERTS} alerts at once")
            return
        codes.add(change.code)
        self._batch.alerts.append(change)

    def _stranger(self, ap: str, now: float) -> None:
        if ap.startswith(THROWN_AWAY):  # the city itself, which tries the broker or ends a connection
            return
        self.counts["pending"] += 1
        seen = self._strangers.get(ap)
        if seen is not None or len(self._strangers) < MOST_STRANGERS:
            self._strangers[ap] = (int(now), 1 + (seen[1] if seen else 0))

    def _poison(self, ap: str, heard: Heard, now: float, reason: str) -> None:
        self.counts["poison"] += 1
        self._poisoned[ap] += 1
        if self._poisoned[ap] <= MOST_OF_ONE and len(self._batch.quarantined) < MOST_QUARANTINED:
            self._batch.quarantined.append(quarantine.row(int(now), heard.topic, heard.payload, reason))


def ack_topic(city: str, ap: str) -> str:
    """Give where an access point hears what was committed."""
    return f"{topics.root(city, ap)}/{topics.ACK}"
