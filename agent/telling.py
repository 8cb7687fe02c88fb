"""What is told besides the samples: who this access point is and can do, and what happened between two reports.

Tells `info` only when it is new and each change once. Decides nothing: what to tell comes from the report and from root's word.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from agent import __version__
from agent.events import Watch
from agent.outbox import Outbox
from agent.post import Post
from agent.report import Moment, Part, moment_of
from agent.router.contract import Router
from agent.sensing import attempt
from agent.settings import Settings
from agent.wire import messages, topics

LOG = logging.getLogger(__name__)

Radios = list[tuple[str, str | None]]


class Telling:
    """What was told so far, for the daemon's life. `collectors` are the names of those that run."""

    def __init__(self, settings: Settings, router: Router, outbox: Outbox, post: Post, collectors: Sequence[str]) -> None:
        self._settings = settings
        self._router = router
        self._outbox = outbox
        self._post = post
        self._collectors = list(collectors)
        self._boot = router.boot()
        self._watch = Watch()
        self._radios: Radios = []
        self._uplink = settings.router.uplink
        self._keys: tuple[str, ...] = ()
        self._sections: tuple[str, ...] = ()
        self._commands: tuple[str, ...] = ()
        self.safe_mode: tuple[float, int] | None = None  # that this start follows: how many seconds, after how many crashes

    def greet(self, keys: tuple[str, ...], sections: tuple[str, ...], commands: tuple[str, ...] = ()) -> None:
        """Tell that the agent started: a boot when it is this boot's first start, else a restart of the agent; that safe mode is over; and who it is."""
        if self._outbox.next_seq() == 1:
            self.event("boot", {"agent": __version__})
        else:
            self.event("agent", {"state": "restart", "agent": __version__})
        if self.safe_mode is not None:
            self.event("agent", {"state": "safe-mode", "safe_mode_for_s": self.safe_mode[0], "crashes": self.safe_mode[1]})
        radios = attempt("radios", {}, self._router.radios) or []
        self._announce_info([(radio.name, radio.band) for radio in radios], self._uplink, keys, sections, commands)

    def event(self, kind: str, data: Part) -> None:
        """Tell that something happened."""
        moment = moment_of(self._router.clock)
        at = None if moment.wall is None else int(moment.wall)
        LOG.info("event: kind=%s data=%s", kind, data)
        ap, seq = self._settings.id, self._outbox.next_seq()
        self._outbox.put("event", messages.event(ap, self._boot, seq, at, moment.uptime_s, kind, data, clock=moment.clock))

    def clock(self, moment: Moment) -> None:
        """Tell of the clock, when it was set."""
        for event in self._watch.clock(moment.clock, self._router.clock.wall(), moment.uptime_s):
            self.event(event.kind, event.data)

    def changes(self, report: Part, uptime_s: float, uplink: object, keys: tuple[str, ...], sections: tuple[str, ...], commands: tuple[str, ...] = ()) -> None:
        """Tell what differs from the report before, and who this is when that is new: radios may come up long after the agent.

        `uplink` is the device of the way out as the collector has it: one that cannot be found now keeps the name it was told by.
        """
        reach, radios = report.get("uplink"), report.get("radios")
        named, events = self._radios, []
        if isinstance(reach, dict) and "state" in reach:
            events += self._watch.uplink(reach["state"], uptime_s)
        if isinstance(radios, list):
            events += self._watch.radios([(radio["radio"], radio["up"]) for radio in radios])
            # A radio that is down may not know its band: what was known stays.
            known = dict(self._radios) | {radio["radio"]: radio["band"] for radio in radios if "band" in radio}
            named = [(radio["radio"], known.get(radio["radio"])) for radio in radios]
        name = uplink if isinstance(uplink, str) and uplink else self._uplink  # a collector may have said anything
        if (named, name, keys, sections, commands) != (self._radios, self._uplink, self._keys, self._sections, self._commands):
            self._announce_info(named, name, keys, sections, commands)
        for event in events:
            self.event(event.kind, event.data)

    def _announce_info(self, radios: Radios, uplink: str, keys: tuple[str, ...], sections: tuple[str, ...], commands: tuple[str, ...]) -> None:
        self._radios, self._uplink, self._keys, self._sections, self._commands = radios, uplink, keys, sections, commands
        board, settings = attempt("board", {}, self._router.board), self._settings
        info = messages.info(
            ap=settings.id,
            model=board.model if board else None,
            board=board.board if board else None,
            os=board.os if board else None,
            kernel=board.kernel if board else None,
            agent=__version__,
            python=".".join(map(str, sys.version_info[:3])),
            backend=settings.router.backend,
            collectors=self._collectors,
            radios=radios,
            commands=commands,
            sections=sections,
            uplink=uplink,
            certificate_expires_at=settings.broker.certificate_ends,
            keys=keys,
        )
        self._post.announce(topics.INFO, messages.encode(info))
