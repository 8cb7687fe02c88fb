"""The loop: due jobs, one inbox, one thread. The only file that knows all the parts.

Sampling never waits for the broker: everything that could block is a file descriptor in one poll, a
due time, or a short-lived thread of the broker's. Starts no process, opens no listening socket.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Mapping
from types import FrameType, ModuleType

import agent.lean  # first, for it brings logging
from agent import __version__, run_dir

if __name__ == "__main__":
    # Before the other imports: what fails there is told too, and what annotates them costs nothing.
    run_dir.tell_crashes(sys.argv)
    agent.lean.leave_hints_unread()

from agent import settings as settings_door
from agent.alerts import Alerts
from agent.broker import Broker, Status
from agent.cap_errands import CapErrands
from agent.collectors import COLLECTORS
from agent.command import Commands
from agent.errors import Rejected, Unavailable
from agent.outbox import Outbox
from agent.own_hands import OwnHands
from agent.post import Post
from agent.probing import Probing
from agent.pseudonyms import Pseudonyms
from agent.push import Push
from agent.records import Knobs, Path
from agent.report import Moment, Part, Reporter, moment_of, own_figures
from agent.router import backends
from agent.router.contract import Router
from agent.run_dir import SAVE_CALMLY_S, SAVE_EVERY_S, StateFile
from agent.sensing import Overrun, Sample, Sensing, attempt
from agent.settings import Settings
from agent.telling import Telling
from agent.watchdog import Watchdog
from agent.wire import messages, topics

logging = agent.lean.logging
LOG = logging.getLogger("agent.daemon")

COLLECTOR_BUDGET_S = 3.0
COLLECTOR_BUDGET_RATIO = 0.5
STANDSTILL_S = 180.0
THIN_EVERY_S = 60.0
LONGEST_WAIT_S = 60.0
STOP_WITHIN_S = 3.0
SECOND = 1.0
DAY_S = 86400
SUBSCRIPTIONS = (topics.ACK, topics.CONFIG_DESIRED, topics.CONFIG_PLAN, topics.CONFIG_REPORTED, topics.COMMANDS)


class Daemon:
    """One run of the agent, from start to stop."""

    def __init__(self, settings: Settings, router: Router, collectors: Mapping[str, ModuleType] = COLLECTORS) -> None:
        self.settings = settings
        self.router = router
        self.clock = router.clock
        self.boot = router.boot()
        self.outbox = Outbox(os.path.join(settings.paths.run_dir, "outbox"), self.boot, settings.outbox.max_bytes)
        presence = messages.OwnPresence(self.boot, __version__, lambda: moment_of(self.clock).wall)
        self.broker = Broker(settings.broker, topics.root(settings.city, settings.id), settings.id, presence, SUBSCRIPTIONS, self._is_clock_good)
        self.post = Post(self.broker, self.outbox, self.clock, settings.report.interval_s, settings.report.encoding)
        self.telling = Telling(settings, router, self.outbox, self.post, list(collectors))
        self.push = Push(settings, router, self.post, self.broker, self.telling.event)
        self.sensing = Sensing(collectors, _budget_s(settings))
        names = Pseudonyms(settings.paths.run_dir, self.boot, self.clock.uptime)
        hands = OwnHands(router, names, self.report_now, lambda run: self.sensing.guard(lambda _router: run(), router))
        self.commands = Commands(settings, router, self.post, hands, lambda: self.push.said.keys, self._begin_anew, uptime=self.clock.uptime)
        self._state = StateFile(settings.paths.run_dir)
        self.reporter = Reporter(collectors, Knobs(settings.router.contract_mbps, settings.report.peaks, settings.probe.interval_s), self.clock.monotonic())
        self.alerts = Alerts()
        self._inherited = set(Alerts.codes())
        self._errands = CapErrands()
        self._path: Path | None = None
        self._probing = Probing(router, settings.probe)
        self._report = b"{}"
        self._lag = 0.0
        self._is_whole = False
        self._poller, self._polled = select.poll(), dict[int, int]()
        self._watchdog = Watchdog(STANDSTILL_S, last_word=lambda: run_dir.note_crash(settings.paths.run_dir, "the loop stood still"))
        self._is_stopping = False
        self._is_reloading = False
        now = self.clock.monotonic()
        self._due = {"sample": now, "probe": now, "report": now + settings.report.sample_s, "thin": now + THIN_EVERY_S}
        if not settings.probe.interval_s:
            del self._due["probe"]
        self._own_pace, self._said = settings.report, self.push.said
        self._take_pace()
        self._jobs = {"sample": self._sample, "peak": self._peak, "probe": self._start_probe, "report": self._send_report, "thin": self._thin}

    def run(self) -> bool:
        """Turn until a signal ends it; say whether it ended in order to read its settings again."""
        read, write = os.pipe()
        os.set_blocking(read, False)
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGHUP, self._reload)
        # Held back since this run was marked as begun: who ends it while it starts does not make it crash.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))
        broker = self.settings.broker
        LOG.info("started: version=%s ap=%s backend=%s broker=%s:%d", __version__, self.settings.id, self.settings.router.backend, broker.host, broker.port)
        self.telling.greet(self.push.said.keys, self.push.said.sections, self.commands.possible)
        self._watchdog.start()
        while not self._is_stopping:
            self.turn(read)
        run_dir.take_mark(self.settings.paths.run_dir)
        self._watchdog.stop()
        self.broker.stop(0.0 if self._is_reloading else STOP_WITHIN_S)
        self.post.take_events()
        self._save_state()
        return self._is_reloading

    def turn(self, wakeup: int | None = None) -> None:
        """Wait until something is due or readable, and do it."""
        self._wait(wakeup)
        self._watchdog.pet()
        self.broker.advance()
        if self.post.take_events():
            self._save_state()
        for event in self.post.drain():
            self.commands.take(event)
            self.push.take(event)
        self.push.advance()
        self.commands.advance()
        if self.push.said is not self._said:
            self._said = self.push.said
            self._take_pace()
            self._save_state()
        # One moment for all: of a sample and a report that are due together the report must not come first.
        now = self.clock.monotonic()
        for name, job in self._jobs.items():
            if name in self._due and self._due[name] <= now:
                job()
        if (reach := self._probing.advance(self.clock.monotonic())) is not None:
            self.reporter.reach(self.clock.monotonic(), reach)
        self.post.hand_over()

    def _wait(self, wakeup: int | None) -> None:
        fds = self.broker.fds() | self._probing.fds()
        if wakeup is not None:
            fds[wakeup] = select.POLLIN
        if fds != self._polled:
            self._poller, self._polled = select.poll(), fds
            for fd, mask in fds.items():
                self._poller.register(fd, mask)
        seconds = min(self._until_due(), self.broker.due(), self.push.due(), self.commands.due(), LONGEST_WAIT_S)
        # Rounded up: a poll that ends a moment too early would turn the loop twice.
        for fd, _ in self._poller.poll(int(max(0.0, seconds) * 1000 + 0.999)):
            if fd == wakeup:
                os.read(fd, 512)

    def _until_due(self) -> float:
        """Seconds of the world until the next job, probe step or message to send."""
        now = self.clock.monotonic()
        moments = [*self._due.values(), *self._probing.deadlines()]
        wait = self.post.wait()
        if wait is not None:
            moments.append(now + wait)
        return self.clock.real_seconds(max(0.0, min(moments) - now))

    def _again(self, name: str, interval_s: float) -> None:
        """Set a job's next time on its own grid; times missed while the box slept are left out, not made up for."""
        now = self.clock.monotonic()
        due = self._due[name] + interval_s
        self._due[name] = due if due > now else now + interval_s

    # The jobs.

    def _sample(self, is_last: bool = False) -> None:
        now = self.clock.monotonic()
        self._lag = max(self._lag, now - self._due["sample"])
        if now >= self._due["sample"]:
            self._again("sample", self.settings.report.sample_s)
        self.push.look()
        self.commands.look()
        # Of the samples before a report the last one: where both are due now, that is this one.
        is_last = is_last or self._due["report"] < self._due["sample"]
        sample = self.sensing.sample(self.router, is_last)
        self.reporter.add(sample)
        self._tell_root(sample)
        self._is_whole = is_last
        if not self.broker.is_connected and self._state.is_due():
            self._save_state()
        path = sample.readings.get("uplink")
        self._path = path if isinstance(path, Path) else None
        if self._path is not None and self._probing.is_another(self._path) and "probe" in self._due:
            self._due["probe"] = now
        if "traffic" in sample.readings and getattr(self.reporter.spans.get("traffic"), "is_peaking", False):
            self._due.setdefault("peak", now + SECOND)
        else:
            self._due.pop("peak", None)

    def _tell_root(self, sample: Sample) -> None:
        """Have root give stations that came a queue of their own, where they are capped one by one, and set again the caps that do not stand."""
        errand = attempt("caps", {}, self._errands.next, self.clock.monotonic(), sample.readings.get("caps"), sample.readings.get("stations"))
        if errand is None:
            return
        try:
            self.router.ring(errand)
        except Unavailable as error:
            LOG.debug("root cannot be told of the caps (%s): %s", errand, error)
            self._errands.ask_again(errand)

    def _peak(self) -> None:
        self._again("peak", SECOND)
        errors: dict[str, str] = {}
        try:
            interfaces = attempt("traffic", errors, self.sensing.guard, lambda router: router.interfaces(), self.router)
        except Overrun:
            self._due.pop("peak", None)  # the next sample says what is wrong, and whether to go on
            return
        if interfaces is not None:
            attempt("traffic", errors, self.reporter.spans["traffic"].peak, self.clock.monotonic(), interfaces)  # type: ignore[attr-defined]  # only traffic's span has it

    def _send_report(self) -> None:
        self._again("report", self.settings.report.interval_s)
        self.report_now()

    def report_now(self) -> int:
        """Make the report of the span that ends now, on time or out of turn; give its seq."""
        # After a stall the two grids may lie so that a whole span had none; and one out of turn says what is so now, also what is read once a report.
        if not self._is_whole:
            self._sample(is_last=True)
        self._is_whole = False
        moment = moment_of(self.clock)
        self.telling.clock(moment)
        broker = self.broker.status()
        seq = self.outbox.next_seq()
        report = self.reporter.build(self.settings.id, self.boot, seq, moment, self._agent_part(broker))
        for change in self.alerts.step(moment.uptime_s, report, self._facts(broker, moment)):
            LOG.warning("alert %s: code=%s", "raised" if change.raised else "cleared", change.code)
            alert = messages.encode(messages.alert(change.code, change.since, change.data)) if change.raised else b""
            self.post.announce(topics.alert(change.code), alert)
        # A former run may have left alerts retained; each is cleared once it is judged not to be one.
        for code in self.alerts.calm & self._inherited:
            self.post.announce(topics.alert(code), b"")
        self._inherited -= self.alerts.calm | self.alerts.open.keys()
        report["alerts"] = sorted(self.alerts.open)
        self._report = self.reporter.encode(report)
        self.outbox.put("report", report, self._report)
        self._lag = 0.0
        self.telling.changes(report, moment.uptime_s, self._path and self._path.device, self.push.said.keys, self.push.said.sections, self.commands.possible)
        if self._state.is_due(SAVE_CALMLY_S if self.broker.is_connected else SAVE_EVERY_S):
            self._save_state()
        return seq

    def _thin(self) -> None:
        self._again("thin", THIN_EVERY_S)
        self.outbox.thin(self.clock.uptime())

    def _start_probe(self) -> None:
        self._again("probe", self.settings.probe.interval_s)
        self._probing.begin(self._path, self.clock.monotonic())

    def _take_pace(self) -> None:
        """Report and sample as often as the push in force says, else as agent.toml does; from now on, without a restart."""
        own, pushed = self._own_pace, self.push.said.pace
        interval_s = own.interval_s if pushed.report_interval_s is None else pushed.report_interval_s
        sample_s = own.sample_s if pushed.sample_interval_s is None else pushed.sample_interval_s
        report = own._replace(interval_s=interval_s, sample_s=min(sample_s, interval_s))
        if report == self.settings.report:
            return
        LOG.info("pace: report_s=%g sample_s=%g", report.interval_s, report.sample_s)
        self.settings = self.settings._replace(report=report)
        self.post.interval_s = report.interval_s
        self.sensing.budget_s = _budget_s(self.settings)
        self.router.pace(report.interval_s, report.sample_s)
        now = self.clock.monotonic()
        for name, seconds in (("sample", report.sample_s), ("report", report.interval_s)):
            self._due[name] = min(self._due[name], now + seconds)

    # What reports and alerts need besides the samples.

    def _agent_part(self, broker: Status) -> Part:
        outbox = self.outbox.figures()
        part = own_figures() | {
            "loop_lag_ms": round(self._lag * 1000),
            "outbox": outbox.count,
            "outbox_bytes": outbox.bytes,
            "oldest_seq": outbox.oldest_seq,
            "dropped": outbox.dropped,
            "thinned": outbox.thinned,
            "reconnects": broker.reconnects,
            "flash_writes": self.outbox.flash_writes + self._state.flash_writes,
            "ignored": self.post.ignored + self.outbox.ignored_acks + broker.ignored + self.push.figures().refused + self.commands.figures().refused,
        }
        latency = self.post.latency_p95_ms()
        return part if latency is None else part | {"ack_p95_ms": latency}

    def _facts(self, broker: Status, moment: Moment) -> dict[str, float]:
        """What alerts need beyond the report: pushes, how long the certificate is still valid, and when another took our name."""
        facts = self.push.facts()
        facts["bad_signatures"] = max(facts["bad_signatures"], float(self.commands.refusals))
        if self.settings.broker.certificate_ends is not None and moment.clock == "ntp" and moment.wall is not None:
            facts["certificate_days"] = (self.settings.broker.certificate_ends - moment.wall) / DAY_S
        if broker.identity_taken_s is not None:
            facts["identity_taken_at"] = moment.uptime_s - broker.identity_taken_s
        return facts

    def _is_clock_good(self) -> bool:
        return self.clock.state() == "ntp"

    # Signals, state, and the end.

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        # Whatever came before: who wants it ended must not find it reading its settings again.
        self._is_stopping, self._is_reloading = True, False
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _reload(self, _number: int, _frame: FrameType | None) -> None:
        self._begin_anew()

    def _begin_anew(self) -> None:
        if not self._is_stopping:
            self._is_stopping = self._is_reloading = True

    def _save_state(self) -> None:
        """Write what `rwagent status` shows."""
        broker, moment = self.broker.status(), moment_of(self.clock)
        state = {
            "v": 1,
            "pid": os.getpid(),
            "at": moment.wall,
            "uptime_s": moment.uptime_s,
            "who": {"ap": self.settings.id, "city": self.settings.city, "agent": __version__, "certificate_ends": self.settings.broker.certificate_ends},
            "broker": broker._asdict() | {"host": self.settings.broker.host, "port": self.settings.broker.port},
            "outbox": self.outbox.figures()._asdict(),
            "alerts": sorted(self.alerts.open),
            "push": self.push.summary(),
            "commands": self.commands.figures()._asdict(),
        }
        # The report is text already: put in as the last member.
        self._state.write(messages.encode(state)[:-1] + b',"report":' + self._report + b"}")


def _budget_s(settings: Settings) -> float:
    return min(COLLECTOR_BUDGET_S, settings.report.sample_s * COLLECTOR_BUDGET_RATIO)


def main(arguments: list[str]) -> int:
    """Run the daemon on the settings handed over by `rwagent run`; see `agent.__main__`."""
    handed = dict(zip(arguments[::2], arguments[1::2], strict=True))
    file, fd = handed["--config"], int(handed["--settings-fd"])
    settings = settings_door.restore(settings_door.read_fd(fd))
    os.set_inheritable(fd, False)  # kept for SIGHUP, no business of the programs we start
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        run_dir.hold(settings.paths.run_dir, handed.get("--lock-fd", ""))
        daemon = Daemon(settings, backends.open_router(settings, [*settings_door.interpreter(), "-m", "agent.apply", "--config", file]))
    except (Rejected, Unavailable) as error:
        LOG.error("not started: %s", error)
        run_dir.note_crash(handed.get("--run-dir", ""), run_dir.crash_of(error, error.__traceback__))
        return 1
    if "--safe-mode-for" in handed:
        daemon.telling.safe_mode = float(handed["--safe-mode-for"]), int(handed["--crashes"])
    if not daemon.run():
        LOG.info("stopped: ap=%s", settings.id)
        return 0
    LOG.info("reading the settings again: file=%s", file)
    return settings_door.begin_anew(file, fd)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
