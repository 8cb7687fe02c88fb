"""One simulated access point: the agent's own reporter, outbox, post, broker and push code over a simulated box, turned by a loop of many.

What `agent.daemon` does for one, without a poll, a process and signals of its own. It waits for nothing.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from agent import __version__
from agent.alerts import Alerts
from agent.broker import Broker, Event, Message
from agent.collectors import COLLECTORS
from agent.outbox import Outbox
from agent.post import Post
from agent.push import Push
from agent.records import ClockState, Knobs
from agent.report import Moment, Part, Reporter, moment_of
from agent.sensing import Sample
from agent.settings import Settings
from agent.telling import Telling
from agent.wire import messages, topics
from fleet.simulate import sent
from fleet.simulate.commanded import Commanded
from fleet.simulate.readings import BOX_PING_MS, CUT, UPLINK, Box, Figures, Source, make_router
from fleet.simulate.tally import Tally
from fleet.simulate.world import DAY, FLOOD_MESSAGES, Happening, Time

SUBSCRIPTIONS = (topics.ACK, topics.CONFIG_DESIRED, topics.CONFIG_PLAN, topics.CONFIG_REPORTED, topics.COMMANDS)
NEVER = float("inf")
# Of an interval: a reboot ends before the next report is due, so that it takes none away.
BOOTING_RATIO, ROOM_RATIO = 0.4, 0.6
GOODBYE_S = 0.2
MISBEHAVING_RATIO = 0.1
THIN_ABOVE = 20
TINY_S = 1e-6
YEAR = 365 * DAY
MILLISECONDS = dict.fromkeys(COLLECTORS, BOX_PING_MS)
NOT_REPORTS = (b"\xff\xfe\x00{", b"[" * 5000, b'{"v":1,"ap":"rw-other","boot":"0","seq":1}', b'{"v":2}', b"NaN", b'{"v":1,"seq":-1}' + b" " * 20_000)
# What the box believes and what the hour really is: (trust, the wall clock's error in seconds, or None for the year 1970).
WRONG: Mapping[str, tuple[ClockState, float | None]] = {
    "none": ("none", 0.0),
    "floor": ("floor", -200 * DAY),
    "1970": ("floor", None),
    "future": ("floor", 5 * YEAR),
    "ntp-1970": ("ntp", None),
    "ntp-future": ("ntp", 5 * YEAR),
}


class Life(NamedTuple):
    """What a point lives through: the city's time, its first report (Unix seconds), the end of reports, and what happens to it."""

    time: Time
    first_at: float
    until: float
    happenings: Sequence[Happening] = ()


class Common(NamedTuple):
    """What all points of a process share: its own figures, how late reports were made, and who is told of each push that arrives (access point, topic)."""

    figures: Figures
    lags: Tally
    heard: Callable[[str, str], None] | None = None


class Point:
    """One access point from its first boot to the end of the run."""

    def __init__(self, settings: Settings, box: Box, source: Source, common: Common, life: Life) -> None:
        self.settings = settings
        self.boots: list[sent.Boot] = []
        self.rings = 0
        self.reconnects = 0
        self._box, self._source, self._common = box, source, common
        self._lag_s = 0.0
        self._gone = 0
        self._time = life.time
        self._until = life.until
        self._happenings = list(life.happenings)[::-1]
        self._dice = random.Random(f"{box.seed}/{settings.id}/misbehaving")  # a story's dice, no secret
        self._report_at = life.first_at
        self._interval_s = settings.report.interval_s
        self._cut_until = self._wrong_until = self._down_until = -NEVER
        self._is_booted = False
        self._must_reboot: Happening | None = None
        self._misbehaves: set[str] = set()
        self._flood_left = 0
        self._inherited: set[str] = set()
        self._rings = 0  # of the boots before
        now = self._time.now()
        self._boot(now, now - 60.0 - self._dice.random() * 3000)

    # What the loop asks.

    @property
    def is_connected(self) -> bool:
        """Say whether the broker has us."""
        return self._is_booted and self.broker.is_connected

    @property
    def is_finished(self) -> bool:
        """Say whether all reports were made and the outbox is empty."""
        return self._is_booted and self._report_at == NEVER and not self.outbox.figures().count

    @property
    def wants_to_dial(self) -> bool:
        """Say whether the next turn would begin an attempt to connect."""
        if not self._is_booted or self._cut_until > -NEVER or self.broker.is_connected:
            return False
        return self.broker.status().state == "waiting" and self.broker.due() <= 0

    @property
    def is_dialing(self) -> bool:
        """Say whether an attempt to connect is under way."""
        return self._is_booted and not self.broker.is_connected and self.broker.status().state == "connecting"

    def fds(self) -> dict[int, int]:
        """File descriptors to poll, each with its poll(2) event mask."""
        return self.broker.fds() if self._is_booted else {}

    def due_at(self) -> float:
        """The monotonic second by which `turn` must be called."""
        if not self._is_booted:
            return self._time.real(self._down_until)
        now = time.monotonic()
        moments = [now + self.push.due(), now + self.commanded.due(), self._time.real(self._report_at)]
        if self._happenings:
            moments.append(self._time.real(self._happenings[-1].at))
        moments += [self._time.real(until) for until in (self._cut_until, self._wrong_until) if until > -NEVER]
        if self._cut_until == -NEVER and not self.wants_to_dial:
            moments.append(now + self.broker.due())
        wait = self.post.wait()
        if wait is not None:
            moments.append(now + wait / self._time.speed)
        if self._flood_left and self.broker.room():
            moments.append(now)
        return min(moments)

    # What the loop wants done.

    def turn(self, may_dial: bool) -> None:
        """Do all that can be done without waiting; at most one report is made."""
        now = self._time.now()
        if not self._is_booted:
            if now >= self._down_until:
                self._boot(self._down_until, self._down_until)
            return
        self._move(min(now, self._report_at))
        self._live()
        if not self._is_booted:
            return
        if self._cut_until == -NEVER and (may_dial or not self.wants_to_dial):
            self.broker.advance()
        self.post.take_events()
        for event in self.post.drain():
            self._take(event)
        self._push()
        if now >= self._report_at:
            self._lag_s = (now - self._report_at) / self._time.speed
            self._common.lags.add(self._lag_s)
            self._report()
        self._misbehave()
        self.post.hand_over()
        self._reboot_when_empty()

    def stop(self, within_s: float) -> None:
        """Say goodbye within so many seconds, and close everything."""
        if self._is_booted:
            self._end_boot(within_s)

    def look(self) -> None:
        """Read what root says, after the applier ran; from now on the box reads what pushes configured."""
        if self._is_booted:
            self.push.look()
            reboot_in_s = self.commanded.look()
            if reboot_in_s is not None:
                at = self._clock.now() + reboot_in_s
                self._happenings = sorted([*self._happenings, Happening(at, at, "reboot")], reverse=True)
        if not self._box.wireless_file:
            file = os.path.join(self.settings.paths.state_dir, "simulated", "wireless")
            self._box = self._box._replace(wireless_file=file)
            self._source = Source(self._box, self._clock.now())
            self.reporter = self._make_reporter()

    # A boot's beginning and end.

    def _boot(self, at: float, booted: float) -> None:
        settings = self.settings
        self._router = router = make_router(self._box._replace(ap=settings.id), at, booted)
        self._clock, self._boot_id, self._booted = router.clock, router.boot(), booted
        self.outbox = Outbox(os.path.join(settings.paths.run_dir, "outbox"), self._boot_id, settings.outbox.max_bytes)
        presence = messages.OwnPresence(self._boot_id, __version__, lambda: moment_of(self._clock).wall)
        self.broker = Broker(settings.broker, topics.root(settings.city, settings.id), settings.id, presence, SUBSCRIPTIONS, self._is_clock_good)
        self.post = Post(self.broker, self.outbox, self._clock, self._interval_s, settings.report.encoding)
        self.telling = Telling(settings, router, self.outbox, self.post, list(COLLECTORS))
        self.push = Push(settings, router, self.post, self.broker, self.telling.event)
        self._said = self.push.said
        what = (self._report_out_of_turn, self._restart_agent, self._time.speed)
        self.commanded = Commanded(settings, router, self.post, lambda: self.push.said.keys, *what)
        self.reporter = self._make_reporter()
        self.alerts = Alerts()
        self._reports = 0
        self._is_booted, self._down_until = True, -NEVER
        self.telling.greet(self.push.said.keys, self.push.said.sections, self.commanded.possible)

    def _make_reporter(self) -> Reporter:
        knobs = Knobs(self.settings.router.contract_mbps, False, self.settings.probe.interval_s)
        return Reporter(self._source.shelf(), knobs, self._clock.monotonic())

    def _end_boot(self, within_s: float) -> None:
        self.broker.stop(within_s)
        self.post.take_events()
        self.reconnects += self.broker.status().reconnects
        self.boots.append(self._record())
        self._gone += self.boots[-1].dropped
        self._inherited = set(self.alerts.open)
        self._rings += self._router.rings_total
        self.outbox.close()
        self._is_booted = False

    def tally(self) -> tuple[int, int, int, int, int]:
        """Count over all boots: reports made, messages made, held in the outbox now, known to be lost, reconnections."""
        reports, made, lost = sum(boot.reports for boot in self.boots), sum(boot.through for boot in self.boots), self._gone
        if not self._is_booted:
            return reports, made, 0, lost, self.reconnects
        figures = self.outbox.figures()
        return (
            reports + self._reports,
            made + self.outbox.next_seq() - 1,
            figures.count,
            lost + figures.dropped,
            self.reconnects + self.broker.status().reconnects,
        )

    def _record(self) -> sent.Boot:
        held = sent.ranges(seq for entry in self.outbox.held() for seq in range(entry.from_seq, entry.seq + 1))
        dropped = self.outbox.figures().dropped
        return sent.Boot(self.settings.id, self._boot_id, self._booted, self.outbox.next_seq() - 1, self._reports, held, dropped)

    def _go_down(self, within_s: float) -> None:
        self._end_boot(within_s)
        shutil.rmtree(os.path.join(self.settings.paths.run_dir, "outbox"), ignore_errors=True)  # it was in RAM
        self.commanded.forget()
        self._down_until = self._clock.now() + BOOTING_RATIO * self._interval_s
        self._must_reboot = None
        self._wrong_until = self._cut_until = -NEVER

    def _reboot_when_empty(self) -> None:
        """Reboot in order once nothing is left to lose; a power cut does not wait for that."""
        wanted = self._must_reboot
        if wanted is None or self._report_at - self._clock.now() < ROOM_RATIO * self._interval_s:
            return
        if wanted.kind == "power-cut" or (self.broker.is_connected and not self.outbox.figures().count):
            self._go_down(0.0 if wanted.kind == "power-cut" else GOODBYE_S)

    # What happens to it.

    def _move(self, at: float) -> None:
        ahead = at - self._clock.now()
        if ahead > 0:
            self._clock.real_seconds(ahead)

    def _live(self) -> None:
        now = self._clock.now()
        if self._cut_until <= now:
            self._cut_until = -NEVER
        if -NEVER < self._wrong_until <= now:
            self._wrong_until = -NEVER
            self._clock.trust = "ntp"
            self._clock.step(now - self._clock.wall())
        while self._happenings and self._happenings[-1].at <= now:
            self._begin(self._happenings.pop(), now)

    def _begin(self, happening: Happening, now: float) -> None:
        if happening.kind == "cut" and happening.until > now:
            self.broker.drop()
            self._cut_until = happening.until
        elif happening.kind in ("reboot", "power-cut"):
            self._must_reboot = happening
        elif happening.kind == "clock":
            self._clock.trust, error_s = WRONG[happening.word]
            self._clock.step(-now if error_s is None else error_s)
            self._wrong_until = happening.until
        elif happening.kind == "flood":
            self._flood_left = FLOOD_MESSAGES
        else:
            self._misbehaves.add(happening.kind)

    def _take(self, event: Event) -> None:
        if self._common.heard is not None and isinstance(event, Message):
            self._common.heard(self.settings.id, event.topic)
        if not self.commanded.take(event):
            self.push.take(event)

    def _restart_agent(self) -> None:
        """Begin anew, as far as anybody can tell from outside: it says so, over another connection."""
        self.broker.drop()
        self.telling.greet(self.push.said.keys, self.push.said.sections, self.commanded.possible)

    def _push(self) -> None:
        self.push.advance()
        self.commanded.advance()
        self.rings = self._rings + self._router.rings_total
        if self.push.said is not self._said:
            self._said = self.push.said
            pace = self._said.pace.report_interval_s
            wanted = self.settings.report.interval_s if pace is None else pace
            if wanted != self._interval_s and self._report_at != NEVER:
                self._interval_s = self.post.interval_s = wanted
                self._report_at = min(self._report_at, self._clock.now() + wanted)

    # Reports.

    def _report(self) -> None:
        at = self._report_at
        self._report_at = at + self._interval_s if at + self._interval_s <= self._until + TINY_S else NEVER
        self._make_report(at)

    def _report_out_of_turn(self) -> int:
        """Make one that a command asks for; give its seq."""
        seq = self.outbox.next_seq()
        self._make_report(self._clock.now())
        return seq

    def _make_report(self, at: float) -> None:
        source, moment = self._source, moment_of(self._clock)
        source.read(at)
        self.reporter.add(Sample({UPLINK: source.path}, {UPLINK: moment.monotonic}, MILLISECONDS, {}))
        self.reporter.reach(moment.monotonic, CUT if self._cut_until > -NEVER else source.reach)
        self.telling.clock(moment)
        report = self.reporter.build(self.settings.id, self._boot_id, self.outbox.next_seq(), moment, self._agent_part())
        self._announce_alerts(report, moment)
        encoded = self.reporter.encode(report)
        self.outbox.put("report", report, encoded)
        self._reports += 1
        self.telling.changes(report, moment.uptime_s, source.path and source.path.device, self.push.said.keys, self.push.said.sections, self.commanded.possible)
        if self.outbox.figures().count > THIN_ABOVE:
            self.outbox.thin(self._clock.uptime())
        self._repeat(encoded)

    def _announce_alerts(self, report: Part, moment: Moment) -> None:
        facts = self.push.facts()
        ends = self.settings.broker.certificate_ends
        if ends is not None and moment.clock == "ntp" and moment.wall is not None:
            facts["certificate_days"] = (ends - moment.wall) / DAY
        for change in self.alerts.step(moment.uptime_s, report, facts):
            alert = messages.encode(messages.alert(change.code, change.since, change.data)) if change.raised else b""
            self.post.announce(topics.alert(change.code), alert)
        for code in self.alerts.calm & self._inherited:
            self.post.announce(topics.alert(code), b"")
        self._inherited -= self.alerts.calm | self.alerts.open.keys()
        report["alerts"] = sorted(self.alerts.open)

    def _agent_part(self) -> Part:
        outbox = self.outbox.figures()
        part = self._common.figures.now() | {
            "loop_lag_ms": round(self._lag_s * 1000),
            "outbox": outbox.count,
            "outbox_bytes": outbox.bytes,
            "oldest_seq": outbox.oldest_seq,
            "dropped": outbox.dropped,
            "thinned": outbox.thinned,
            "reconnects": self.broker.status().reconnects,
            "flash_writes": 0,
        }
        latency = self.post.latency_p95_ms()
        return part if latency is None else part | {"ack_p95_ms": latency}

    def _is_clock_good(self) -> bool:
        return self._clock.state() == "ntp"

    # Misbehaviour: what no agent of ours does, over its connection.

    def _repeat(self, encoded: bytes) -> None:
        if "duplicates" in self._misbehaves and self._dice.random() < MISBEHAVING_RATIO:
            self.broker.publish(topics.REPORT, encoded)
        if "garbage" in self._misbehaves and self._dice.random() < MISBEHAVING_RATIO:
            self.broker.publish(self._dice.choice((topics.REPORT, topics.EVENT)), self._dice.choice(NOT_REPORTS))

    def _misbehave(self) -> None:
        while self._flood_left and self.broker.room():
            self._flood_left -= 1
            self.broker.publish(topics.REPORT, b'{"v":1,"flood":%d}' % self._flood_left)
