"""What root remembers of the commands of this boot: which ids it has seen, how each ended, and when each command was last begun.

Lies in RAM of root's own. An id whose time has not come to its end is never forgotten: nothing signed is done twice.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from agent.guard import write_plain
from agent.wire.claims import CommandClaims
from agent.wire.command import LONGEST_AHEAD_S, result
from agent.wire.messages import Payload, encode

LOG = logging.getLogger(__name__)

FILE = "commands.json"
MOST_RESULTS = 64
MOST_IDS = 512
MOST_TODO = 8
MOST_REFUSALS = 8
MOST_TOLD = 16
KEPT_BYTES = 160_000  # of all outputs together; what is older is remembered without


class Seen(NamedTuple):
    """One id: until when it could be sent again (seconds of uptime), and how it stands."""

    until_uptime_s: float
    state: str


class Results:
    """The commands of one boot; one thread's object. `handled`: the SHA-256 of each class's file that was judged last."""

    def __init__(self, apply_dir: str, boot: str, uptime_s: float) -> None:
        self._apply_dir = apply_dir
        self._boot = boot
        self._refusals: list[Payload] = []
        self.handled: dict[str, str] = {}
        self.begun: dict[str, float] = {}
        self.todo: list[Payload] = []
        self.refused_at = self._blind_until = -1.0
        self._results: dict[str, Payload] = {}
        self._seen: dict[str, Seen] = {}
        try:
            self._load()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            # What was done is not known any more: by then every command that may have been is dead.
            self._blind_until = uptime_s + LONGEST_AHEAD_S
            LOG.error("%s/%s cannot be read, no command is taken for an hour: %s", apply_dir, FILE, type(error).__name__)
        for name in [name for name, one in self._results.items() if one["state"] == "running"]:
            message = "the program that ran it ended before it did; what became of it is not known"
            self.end(name, result("failed", name, "interrupted", message))

    def first(self, id: str) -> Payload | None:
        """Give what was said first of an id that was seen in this boot, as far as it is still kept; None: it was not seen."""
        seen = self._seen.get(id)
        if seen is None:
            return None
        kept = self._results.get(id)
        return kept if kept is not None else result(seen.state, id, message="it was done before; what it found is no longer kept")

    def is_full(self, uptime_s: float) -> bool:
        """Say whether no other id can be remembered now."""
        for name in [name for name, seen in self._seen.items() if seen.until_uptime_s < uptime_s and name not in self._results]:
            del self._seen[name]
        return len(self._seen) >= MOST_IDS or uptime_s < self._blind_until

    def begin(self, claims: CommandClaims, of: str, told: Payload) -> None:
        """Remember an id, and what is said of it first."""
        self._results[claims.id] = {**told, "name": claims.name, "of": of}
        self._seen[claims.id] = Seen(claims.until_uptime_s, str(told["state"]))
        while len(self._results) > MOST_RESULTS:
            oldest = next((name for name, one in self._results.items() if one["state"] != "running"), next(iter(self._results)))
            del self._results[oldest]

    def again(self, id: str, of: str, told: Payload, name: str) -> None:
        """Answer another file by what was said first."""
        if id in self._results:
            self._results[id] = self._results.pop(id) | {"of": of}  # the newest word
        else:
            self.refuse(of, told, name)

    def end(self, id: str, told: Payload) -> None:
        """Remember how it ended."""
        before = self._results.pop(id, {})
        if before:
            # The newest word: many others may have come since it was begun, and it would not be told.
            self._results[id] = {**told, "name": before["name"], "of": before["of"]}
        if id in self._seen:
            self._seen[id] = self._seen[id]._replace(state=str(told["state"]))

    def refuse(self, of: str, told: Payload, name: str | None) -> None:
        """Say of a file that it is not taken; the newest are kept for the next process too, which may speak before the daemon has read what this one said."""
        self._refusals = [*self._refusals, {**told, "of": of} | ({"name": name} if name else {})][-MOST_REFUSALS:]

    def pass_on(self, claims: CommandClaims, uptime_s: float) -> None:
        """Give a command to the daemon to do."""
        fresh = {"id": claims.id, "name": claims.name, "args": claims.args, "until_uptime_s": claims.until_uptime_s}
        good = [one for one in self.todo if _number(one["until_uptime_s"]) >= uptime_s]
        self.todo = [*good[1 - MOST_TODO :], fresh]

    def told(self) -> list[Payload]:
        """Give the newest words, the newest last."""
        return [*self._refusals, *_light(list(self._results.values())[-MOST_TOLD:])]

    def save(self) -> None:
        """Write it down; OSError when RAM is full."""
        seen = {name: list(one) for name, one in self._seen.items()}
        saved: Payload = {"boot": self._boot, "handled": self.handled, "begun": self.begun, "todo": self.todo, "seen": seen}
        saved |= {"refused_at": self.refused_at, "blind_until": self._blind_until, "results": _light(self._results.values()), "refusals": self._refusals}
        write_plain(self._apply_dir, FILE, json.dumps(saved))

    def _load(self) -> None:
        try:
            with open(os.path.join(self._apply_dir, FILE), encoding="utf-8") as file:
                saved: dict[str, Any] = json.loads(file.read())
        except FileNotFoundError:
            return
        if saved["boot"] != self._boot:
            return
        self._refusals = list(saved["refusals"])
        self._results = {one["id"]: one for one in saved["results"]}
        self._seen = {name: Seen(float(until), str(state)) for name, (until, state) in saved["seen"].items()}
        self.handled, self.begun, self.todo = dict(saved["handled"]), dict(saved["begun"]), list(saved["todo"])
        self.refused_at, self._blind_until = float(saved["refused_at"]), float(saved["blind_until"])


def _light(results: Iterable[Payload]) -> list[Payload]:
    """Leave out the outputs of the older ones, so that those of the newest take at most KEPT_BYTES."""
    kept: list[Payload] = []
    room = KEPT_BYTES
    for one in reversed(list(results)):
        output = one.get("output")
        room -= len(encode(output)) if isinstance(output, dict) else 0
        kept.append(one if room >= 0 else {name: value for name, value in one.items() if name != "output"})
    return kept[::-1]


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0
