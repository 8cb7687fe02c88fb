"""The commands of one simulated access point's boot: the agent's own code over the simulated box, and what the box does when it is told to.

Waits for nothing. Whoever is started as root's half learns here what time it is in the simulated city.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress

from agent.broker import Event, Message
from agent.command import Commands
from agent.own_hands import OwnHands
from agent.post import Post
from agent.pseudonyms import Pseudonyms
from agent.router import hands_simulated, simulated_time
from agent.router.simulated import SimulatedRouter
from agent.settings import Settings
from agent.wire import topics

# All that a boot takes with it besides the outbox, as far as commands go: below run_dir, and below root's directory.
IN_RAM = ("commands.json", "pseudonyms", "status/command.json")
IN_ROOTS_RAM = ("commands.json", "commands/verified")


class Commanded:
    """What becomes of commands; `report` makes a report and gives its seq, `restart` lets the access point look as if its agent began anew.

    `speed`: how many of the city's seconds go by in one of the world's.
    """

    def __init__(
        self,
        settings: Settings,
        router: SimulatedRouter,
        post: Post,
        keys: Callable[[], tuple[str, ...]],
        report: Callable[[], int],
        restart: Callable[[], None],
        speed: float,
    ) -> None:
        self._settings, self._router, self._post, self._keys = settings, router, post, keys
        self._report, self._restart, self._speed = report, restart, speed
        self._folder = os.path.join(settings.paths.state_dir, "simulated")
        self._rings = 0
        self._commands = self._make()

    @property
    def possible(self) -> tuple[str, ...]:
        """Give the commands that root's half can do here."""
        return self._commands.possible

    def due(self) -> float:
        """Seconds of the world until `advance` must be called at the latest."""
        return self._commands.due()

    def take(self, event: Event) -> bool:
        """Take what the broker's session brought, if it is a command; say whether it is."""
        if not isinstance(event, Message) or topics.command_of(event.topic) is None:
            return False
        self._commands.take(event)
        return True

    def advance(self) -> None:
        """Do what is due, and leave a note of the time for whoever is to be started for a push or a command."""
        self._commands.advance()
        if self._rings != self._router.rings_total:
            self._rings = self._router.rings_total
            simulated_time.leave(self._folder, self._router.boot(), self._router.clock.uptime(), self._speed, self._router.clock.booted())

    def look(self) -> float | None:
        """Read what root's half says; give in how many of the city's seconds the box is to boot anew, None when it is not."""
        self._commands.look()
        path = os.path.join(self._folder, hands_simulated.REBOOT)
        try:
            with open(path, encoding="ascii") as file:
                at = float(file.read())
            os.unlink(path)
        except (OSError, ValueError):
            return None
        # The clock of the box as root's half has it is this machine's.
        return max(0.0, at - time.time()) * self._speed

    def forget(self) -> None:
        """Lose what lay in RAM."""
        paths = self._settings.paths
        for file in (*(os.path.join(paths.run_dir, name) for name in IN_RAM), *(os.path.join(paths.apply_dir, name) for name in IN_ROOTS_RAM)):
            with suppress(FileNotFoundError):
                os.unlink(file)

    def _make(self) -> Commands:
        clock = self._router.clock
        names = Pseudonyms(self._settings.paths.run_dir, self._router.boot(), clock.uptime)
        hands = OwnHands(self._router, names, self._report, lambda asked: asked())
        return Commands(self._settings, self._router, self._post, hands, self._keys, self._begin_anew, uptime=clock.uptime)

    def _begin_anew(self) -> None:
        self._commands = self._make()
        self._restart()
        self._commands.look()  # tells how the restart ended, which its predecessor wrote down
