"""Safe mode: what is left of the daemon after it crashed again and again, so that the city sees it, and can push what may help.

Presence, `config/desired` and the command `logs`; beside `agent.daemon`, and without any of what that does besides: it reads nothing of the
router, and leaves the outbox as it lies, for either may be what crashed. Starts no process, opens no listening socket.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import NamedTuple

import agent.lean  # first, for it brings logging
from agent import __version__, run_dir

if __name__ == "__main__":
    run_dir.tell_crashes(sys.argv)
    agent.lean.leave_hints_unread()

from agent import settings as settings_door
from agent import starts
from agent.broker import Broker
from agent.command import Commands
from agent.errors import Rejected, Unavailable
from agent.post import Post
from agent.push import Push
from agent.router import clock
from agent.router.doorbell import Doorbell, open_doorbell
from agent.settings import Settings
from agent.watchdog import Watchdog
from agent.wire import messages, safe_mode, topics

logging = agent.lean.logging
LOG = logging.getLogger("agent.safe")

SUBSCRIPTIONS = (topics.CONFIG_DESIRED, topics.CONFIG_PLAN, topics.CONFIG_REPORTED, topics.COMMANDS)
ALLOWED = ("logs",)
TRY_NOW = "restart the service (/etc/init.d/rwagent restart, or systemctl restart rwagent)"


class Pace(NamedTuple):
    """How often the state is written at least, how long a stop may take, after how long a loop that stands still is ended; seconds."""

    save_every_s: float = 15.0
    stop_within_s: float = 3.0
    standstill_s: float = 180.0


class Untouched:
    """Stands where the outbox would: nothing is in it, and nothing comes to it."""

    def due(self, _now: float) -> None:
        """Give nothing to publish."""

    def wait(self, _now: float) -> None:
        """Wait for nothing."""

    def render(self, *_arguments: object, **_named: object) -> bytes:
        """Never asked for: nothing is due."""
        raise RuntimeError("there is no outbox in safe mode")

    def sent(self, *_arguments: object) -> None:
        """Never told: nothing is due."""

    published = refused = disconnected = ack = sent


class Safe:
    """One run in safe mode. `record`: what led to it; moments of it are seconds of uptime, which `uptime` gives."""

    def __init__(
        self,
        settings: Settings,
        box: Doorbell,
        record: starts.Record,
        pace: Pace = Pace(),  # noqa: B008  # immutable
        uptime: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        self.settings = settings
        self.record = record
        self._pace = pace
        self._box = box
        self._uptime = uptime
        self._until = uptime() + starts.RULES.stay_s if record.safe_until is None else record.safe_until
        presence = messages.OwnPresence(box.boot(), __version__, self._wall, self._told)
        root, ap = topics.root(settings.city, settings.id), settings.id
        self.broker = Broker(settings.broker, root, ap, presence, SUBSCRIPTIONS, lambda: box.clock.state() == "ntp")
        self.post = Post(self.broker, Untouched(), box.clock, settings.report.interval_s, settings.report.encoding)
        self.push = Push(settings, box, self.post, self.broker, lambda _kind, _data: None)
        self.commands = Commands(settings, box, self.post, None, lambda: self.push.said.keys, self._leave, uptime=box.clock.uptime, why_not=self._why_not)
        self._said = self.push.said
        self._is_fixed = False
        self._state = run_dir.StateFile(settings.paths.run_dir)
        self._watchdog = Watchdog(pace.standstill_s, last_word=lambda: run_dir.note_crash(settings.paths.run_dir, "the loop of safe mode stood still"))
        self._is_stopping = self._is_leaving = False

    def run(self) -> bool:
        """Turn until a signal ends it or the normal agent is to be tried again; say whether it is the latter."""
        read, write = os.pipe()
        os.set_blocking(read, False)
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGHUP, lambda _number, _frame: self._leave())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))
        again_s = max(0.0, self._until - self._uptime())
        LOG.warning("safe mode: only presence, config/desired and logs; to have the normal agent tried now, %s", TRY_NOW)
        LOG.warning("safe mode: crashes=%d last_crash=%s tries_again_in_s=%.0f", self.record.crashes, self.record.last_crash or "unknown", again_s)
        self._watchdog.start()
        while not self._is_stopping:
            self.turn(read)
        run_dir.take_mark(self.settings.paths.run_dir)
        self._watchdog.stop()
        self.broker.stop(0.0 if self._is_leaving else self._pace.stop_within_s)
        self.post.take_events()
        self._save()
        return self._is_leaving

    def turn(self, wakeup: int | None = None) -> None:
        """Wait until something is due or readable, and do it."""
        self._wait(wakeup)
        self._watchdog.pet()
        self.broker.advance()
        has_changed = self.post.take_events()
        for event in self.post.drain():
            self.commands.take(event)
            self.push.take(event)
        self.push.advance()
        self.commands.advance()
        has_changed = self._heed() or has_changed
        self.post.hand_over()
        if has_changed or self._state.is_due(self._pace.save_every_s):
            self._save()
        # What was confirmed is told before: the normal agent may crash once more.
        if self._uptime() >= self._until or (self._is_fixed and not self.post.is_under_way(topics.CONFIG_REPORTED)):
            self._leave()

    def _wait(self, wakeup: int | None) -> None:
        poller = select.poll()
        for fd, mask in (self.broker.fds() | ({} if wakeup is None else {wakeup: select.POLLIN})).items():
            poller.register(fd, mask)
        seconds = min(self.broker.due(), self.push.due(), self.commands.due(), self._pace.save_every_s, max(0.0, self._until - self._uptime()))
        # Rounded up: a poll that ends a moment too early would turn the loop twice.
        for fd, _ in poller.poll(int(max(0.0, seconds) * 1000 + 0.999)):
            if fd == wakeup:
                os.read(fd, 512)

    def _heed(self) -> bool:
        """Note what root says anew; a push that stays may be what was missing. What linux and simulated boxes do between samples is due here, too."""
        self.push.look()
        self.commands.look()
        if self.push.said is self._said:
            return False
        former, self._said = self._said, self.push.said
        self._is_fixed = self._is_fixed or (self._said.state == "confirmed" and (former.state, former.revision) != ("confirmed", self._said.revision))
        return True

    def _why_not(self, name: str) -> str:
        if name in ALLOWED:
            return ""
        again_s = max(0.0, self._until - self._uptime())
        why = f"the agent is in safe mode after {self.record.crashes} crashes and takes only {', '.join(ALLOWED)}"
        return f"{why}; it tries to run normally again in {again_s:.0f} s"

    def _wall(self) -> float | None:
        return None if self._box.clock.state() == "none" else self._box.clock.wall()

    def _told(self) -> messages.Payload:
        """Give what presence says of safe mode."""
        since, wall = self.record.safe_since, self._wall()
        at = None if since is None or wall is None else int(wall - (self._uptime() - since))
        return safe_mode.members(at, self.record.crashes, self.record.last_crash)

    def _save(self) -> None:
        """Write what `rwagent status` shows."""
        now, since = self._uptime(), self.record.safe_since
        mode = {"crashes": self.record.crashes, "last_crash": self.record.last_crash, "tries_again_in_s": max(0.0, self._until - now)}
        state = {
            "v": 1,
            "pid": os.getpid(),
            "at": self._wall(),
            "uptime_s": self._box.clock.uptime(),
            "who": {"ap": self.settings.id, "city": self.settings.city, "agent": __version__, "certificate_ends": self.settings.broker.certificate_ends},
            "broker": self.broker.status()._asdict() | {"host": self.settings.broker.host, "port": self.settings.broker.port},
            "push": self.push.summary(),
            "commands": self.commands.figures()._asdict(),
            "safe_mode": mode | ({} if since is None else {"since_s": max(0.0, now - since)}),
        }
        self._state.write(messages.encode(state))

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        # Whatever came before: who wants it ended must not find it starting anew.
        self._is_stopping, self._is_leaving = True, False
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _leave(self) -> None:
        """Have the normal agent tried again."""
        if not self._is_stopping:
            self._is_stopping = self._is_leaving = True


def main(arguments: list[str]) -> int:
    """Run safe mode on the settings handed over by `rwagent run`; see `agent.__main__`."""
    handed = dict(zip(arguments[::2], arguments[1::2], strict=True))
    file, fd = handed["--config"], int(handed["--settings-fd"])
    settings = settings_door.restore(settings_door.read_fd(fd))
    os.set_inheritable(fd, False)  # kept for the next image, no business of the programs we start
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        run_dir.hold(settings.paths.run_dir, handed.get("--lock-fd", ""))
        box = open_doorbell(settings, [*settings_door.interpreter(), "-m", "agent.apply", "--config", file])
        safe = Safe(settings, box, starts.read(settings.paths.run_dir, clock.boot(), time.clock_gettime(time.CLOCK_BOOTTIME)))
    except (Rejected, Unavailable) as error:
        LOG.error("not started: %s", error)
        return 1
    if not safe.run():
        LOG.info("stopped: ap=%s", settings.id)
        return 0
    LOG.info("safe mode is over, trying the normal agent: file=%s", file)
    return settings_door.begin_anew(file, fd)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
