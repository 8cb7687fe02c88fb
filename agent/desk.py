"""What root says to the daemon (status/config.json, plan.json, history.json), and what it remembers of it in RAM of its own.

The daemon's copy is never believed: which file was judged last, and with which verdict, is read from apply_dir.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
from collections.abc import Mapping, Sequence

from agent import signature, verdicts, wall
from agent.confirm import Clock
from agent.errors import Rejected
from agent.guard import write_plain
from agent.settings import Settings
from agent.wire.messages import Payload

LOG = logging.getLogger(__name__)

FILE = "judged"


class Desk:
    """The last word on each kind of push in this boot: `handled` names the desired file's bytes, `retry_at` is an uptime.

    `known` names the verdict on flash at that time; `refused_at` is the uptime of the last refusal that no signature check held up.
    """

    def __init__(self, chosen: Settings, sections: Sequence[str], clock: Clock) -> None:
        self._apply_dir = chosen.paths.apply_dir
        self._keys_dir = chosen.push.keys_dir
        self._sections = list(sections)
        self._clock = clock
        self._status = wall.StatusFolder(chosen.paths.run_dir)
        self._said: dict[str, bytes] = {}
        saved = self._read()
        self.handled = _text(saved.get("handled"))
        self.plan_handled = _text(saved.get("plan_handled"))
        retry_at, reported = saved.get("retry_at"), saved.get("reported")
        self.retry_at = float(retry_at) if isinstance(retry_at, (int, float)) else None
        self.reported: Payload = reported if isinstance(reported, dict) else {}
        self.known = _text(saved.get("known"))
        refused_at = saved.get("refused_at")
        self.refused_at = float(refused_at) if isinstance(refused_at, (int, float)) else None
        self.drift: Payload = {}
        self.knobs: Mapping[str, int] = {}
        self.history: Sequence[Mapping[str, object]] = ()
        self.refusals = 0
        # Of the highest revision, whatever else was refused since: whether it waits for another try, or for a higher one.
        self.memory_retry_at: float | None = None
        self.is_held = False
        marks = saved.get("marks")
        self._marks: dict[str, str] = {name: _text(mark) for name, mark in marks.items()} if isinstance(marks, dict) else {}

    def is_new(self, raw: bytes, mark: bytes | None = None) -> bool:
        """Say whether a desired file is to be judged: another than the last one, or one whose time for a retry has come, or a rejected one asked for again.

        `mark` is what lies beside it: another one than before asks, for what it was rejected for may be mended.
        """
        is_again = self._is_asked("desired", mark) and self.reported.get("state") == "rejected"
        return is_again or sha256(raw) != self.handled or (self.retry_at is not None and self._clock.uptime() >= self.retry_at)

    def is_new_plan(self, raw: bytes, mark: bytes | None = None) -> bool:
        """Say whether a file is to be planned: another than the last one, or the same asked for again, for the box may be another."""
        return self._is_asked("plan", mark) or sha256(raw) != self.plan_handled

    def _is_asked(self, name: str, mark: bytes | None) -> bool:
        seen = "" if mark is None else sha256(mark)
        was, self._marks[name] = self._marks.get(name, ""), seen
        return bool(seen) and seen != was

    def on_the_way(self, raw: bytes, reported: Payload, test: Mapping[str, object] | None = None) -> None:
        """Say how far a push is; not remembered, for it is no verdict."""
        self._put("config.json", self._document(sha256(raw), reported) | ({"test": dict(test)} if test else {}))

    def publish(self) -> None:
        """Say how things stand, and remember it."""
        self._save()
        document = self._document(self.handled, {**self.reported, **self.drift})
        retry_at = self.memory_retry_at if self.retry_at is None else self.retry_at
        if retry_at is not None:
            document["retry_in_s"] = math.ceil(max(0.0, retry_at - self._clock.uptime()))
        self._put("config.json", document)
        self._put("history.json", {"v": 1, "entries": list(self.history)})

    def put_plan(self, raw: bytes, result: Payload) -> None:
        """Answer a file to be planned."""
        self.plan_handled = sha256(raw)
        self._save()
        self._said.pop("plan.json", None)  # the same answer to who asked again is news, too
        self._put("plan.json", {"v": 1, "handled": self.plan_handled, "result": result})

    def _document(self, handled: str, reported: Payload) -> dict[str, object]:
        keys = sorted(signature.load(self._keys_dir).by_kid)
        known = {"at_uptime_s": round(self._clock.uptime(), 1), "agent": dict(self.knobs), "refusals": self.refusals, "keys": keys}
        held = {"held": True} if self.is_held else {}
        return {"v": 1, "handled": handled, "reported": reported, **known, **held, "sections": self._sections}

    def _put(self, name: str, document: Mapping[str, object]) -> None:
        content = verdicts.encode(document)
        if self._said.get(name) == content:
            return
        try:
            self._status.put(name, content)
        except Rejected as error:
            # In the middle of a push nothing depends on being heard: who is not heard gets no confirm, and the push is taken back.
            LOG.error("not said: %s", error)
        else:
            self._said[name] = content

    def _save(self) -> None:
        saved = {"handled": self.handled, "plan_handled": self.plan_handled, "retry_at": self.retry_at, "reported": self.reported, "known": self.known}
        try:
            write_plain(self._apply_dir, FILE, json.dumps(saved | {"refused_at": self.refused_at, "marks": self._marks}))
        except OSError as error:
            # RAM is full: this process knows it all the same, the flash knows what was applied, and what was refused is refused again.
            LOG.warning("what was judged cannot be remembered: %s", error.strerror)

    def _read(self) -> dict[str, object]:
        try:
            with open(os.path.join(self._apply_dir, FILE), encoding="utf-8") as file:
                saved = json.loads(file.read())
        except (OSError, ValueError):
            return {}
        return saved if isinstance(saved, dict) else {}


def sha256(raw: bytes) -> str:
    """Name a file's bytes."""
    return hashlib.sha256(raw).hexdigest()


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
