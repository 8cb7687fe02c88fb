"""What the daemon has told of commands, and how those that it did itself ended: bounded, and written down in RAM for the daemon that comes after it.

Judges nothing. What the broker has not acknowledged is not written down as told, so that the next daemon tells it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable

from agent.said import read_object
from agent.wire import command, messages

FILE = "commands.json"
MOST_TOLD, MOST_OWN = 128, 8


class Endings:
    """Those of one boot. `told`: the last state told of each id; `own`: the endings of what was done here."""

    def __init__(self, run_dir: str, boot: str) -> None:
        self._path = os.path.join(run_dir, FILE)
        self._boot = boot
        self.told: dict[str, str] = {}
        self.own: dict[str, messages.Payload] = {}
        self._unsure: dict[str, str] = {}  # ids whose ending has not been acknowledged yet, with their topics
        found = read_object(self._path) or {}
        told, own = found.get("told"), found.get("own")
        if found.get("boot") == boot and isinstance(told, dict) and isinstance(own, dict):
            self.told = {own_id: str(state) for own_id, state in told.items()}
            self.own = {own_id: one for own_id, one in own.items() if isinstance(one, dict) and one.get("state") in command.ENDINGS}

    def is_news(self, own_id: str, state: object) -> bool:
        """Say whether this state of an id was not told yet, and no ending was."""
        told = self.told.get(own_id)
        return told != state and told not in command.ENDINGS

    def standing(self, own_id: str, entry: messages.Payload) -> messages.Payload:
        """Give what is to be told of an id of which root says `entry`: of what was done here root never learns how it ended."""
        entry = self.own.get(own_id, entry)
        ending = self.told.get(own_id)
        if entry["state"] in command.ON_THE_WAY and ending in command.ENDINGS:
            return command.result(str(ending), own_id, message="it was done before; what it found is no longer kept")
        return entry

    def tell(self, own_id: str, state: str, topic: str) -> None:
        """Take note that a state was handed over to the broker."""
        self.told.pop(own_id, None)
        self.told[own_id] = state
        if state in command.ENDINGS:
            self._unsure[own_id] = topic
        while len(self.told) > MOST_TOLD:
            del self.told[next(iter(self.told))]

    def finish(self, own_id: str, ending: messages.Payload) -> str:
        """Write down how something done here ended; give "", or why that cannot be."""
        self.own[own_id] = ending
        while len(self.own) > MOST_OWN:
            del self.own[next(iter(self.own))]
        return self.save()

    def hear(self, is_under_way: Callable[[str, str], bool]) -> str:
        """Write down what the broker has acknowledged since, if anything; give "", or why that cannot be."""
        sure = [own_id for own_id, topic in self._unsure.items() if not is_under_way(topic, own_id)]
        for own_id in sure:
            del self._unsure[own_id]
        return self.save() if sure else ""

    def save(self) -> str:
        """Write down, in RAM, of which ids the ending was heard by the broker, and what was done here; give "", or why that cannot be."""
        told = {own_id: state for own_id, state in self.told.items() if state in command.ENDINGS and own_id not in self._unsure}
        try:
            with open(f"{self._path}.new", "w", encoding="utf-8") as file:
                file.write(json.dumps({"v": 1, "boot": self._boot, "told": told, "own": self.own}))
            os.replace(f"{self._path}.new", self._path)
        except OSError as error:
            return error.strerror or "it cannot be written"
        return ""
