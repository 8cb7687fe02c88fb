"""The commands that need no root: done by the daemon, within the time of a collector, once root has verified them and passed them on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from agent.errors import Unavailable
from agent.pseudonyms import Pseudonyms
from agent.sensing import Overrun, attempt
from agent.wire import command
from agent.wire.messages import Payload

if TYPE_CHECKING:
    from types import ModuleType

    from agent.router.contract import Router
    from agent.router.hands import Client

LOG = logging.getLogger(__name__)

# Runs something of the daemon's own within its time, or raises Overrun.
Guard = Callable[[Callable[[], object]], object]


class OwnHands:
    """What the daemon does of itself (agent/router/hands.py): `report` makes a report and gives its seq, `guard` keeps the loop from hanging."""

    def __init__(self, router: Router, names: Pseudonyms, report: Callable[[], int], guard: Guard) -> None:
        self.names = names
        self.is_restart_wanted = False
        self._router = router
        self._report = report
        self._guard = guard

    def report(self) -> int:
        """Make a report now, out of its turn; give its seq."""
        return self._report()

    def stations(self) -> list[Client]:
        """Give every authorised station, each once, by pseudonym."""
        from agent.router import clients  # carried only once somebody asks

        return clients.read(self._router, self.names.name)

    def restart(self) -> None:
        """Note that the daemon is to begin anew, once what it said of it has been sent."""
        self.is_restart_wanted = True

    def run(self, own_id: str, module: ModuleType, args: Mapping[str, object]) -> Payload:
        """Do one command of the daemon's; give how it ended."""
        began = time.monotonic()
        name, errors = module.NAME, dict[str, str]()

        def run() -> object:
            try:
                return module.run(args, self)
            except Unavailable as error:
                return error

        try:
            output = attempt(name, errors, self._guard, run)
        except Overrun:
            return command.result("timed_out", own_id, "timed_out", f"{name} gave no answer in time", took_ms=_ms_since(began))
        if name in errors:
            LOG.warning("command %s failed by a bug of its own: %s", name, errors[name])
            return command.result("failed", own_id, "internal", f"{name} failed by a bug of its own; the log says which", took_ms=_ms_since(began))
        if isinstance(output, Unavailable):
            return command.result("failed", own_id, "unavailable", str(command.starred(str(output))), took_ms=_ms_since(began))
        return command.ended(own_id, output, _ms_since(began))


def _ms_since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
