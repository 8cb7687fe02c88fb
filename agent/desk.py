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

    `known` names the verdict on flash at that time.
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
        self.drift: Payload = {}
        self.knobs: Mapping[str, int] = {}
        self.history: Sequence[Mapping[str, object]] = ()
        self.refusals = 0

    def is_new(self, raw: bytes) -> bool:
        """Say whether a desired file is to be judged: it is another than the last one, or the time for its retry has come."""
        return sha256(raw) != self.handled or (self.retry_at is not None and self._clock.uptime() >= self.retry_at)

    def is_new_plan(self, raw: bytes) -> bool:
        """Say whether a file to be planned is another than the last one."""
        return sha256(raw) != self.plan_handled

    def on_the_way(self, raw: bytes, reported: Payload, test: Mapping[str, object] | None = None) -> None:
        """Say how far a push is; not remembered, for it is no verdict."""
        self._put("config.json", self._document(sha256(raw), reported) | ({"test": dict(test)} if test else {}))

    def publish(self) -> None:
        """Say how things stand, and remember it."""
        self._save()
        document = self._document(self.handled, {**self.reported, **self.drift})
        if self.retry_at is not None:
            document["retry_in_s"] = math.ceil(max(0.0, self.retry_at - self._clock.uptime()))
        self._put("config.json", document)
        self._put("history.json", {"v": 1, "entries": list(self.history)})

    def put_plan(self, raw: bytes, result: Payload) -> None:
        """Answer a file to be planned."""
        self.plan_handled = sha256(raw)
        self._save()
        self._put("plan.json", {"v": 1, "handled": self.plan_handled, "result": result})

    def _document(self, handled: str, reported: Payload) -> dict[str, object]:
        keys = sorted(signature.load(self._keys_dir).by_kid)
        known = {"at_uptime_s": round(self._clock.uptime(), 1), "agent": dict(self.knobs), "refusals": self.refusals, "keys": keys}
        return {"v": 1, "handled": handled, "reported": reported, **known, "sections": self._sections}

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
        write_plain(self._apply_dir, FILE, json.dumps(saved))

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
