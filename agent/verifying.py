"""From the bytes in the inbox to claims that a trusted key vouches for; how often a signature is checked is bounded, whoever asks how often."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import NamedTuple

from agent import signature
from agent.confirm import Clock
from agent.errors import Unavailable
from agent.guard import write_plain
from agent.wire import jws
from agent.wire.jws import Jws, Refused

REFUSALS_UNTIL_QUIET = 3


class Spacing(NamedTuple):
    """How far apart checks are, in seconds: usually, and while `quiet_s` have not passed since the last of three bad signatures in a row.

    `burst`: how many may come one right after the other when there was none for a while.
    """

    verify_every_s: float
    quiet_every_s: float
    quiet_s: float
    burst: int = 1


class Gate:
    """When the next signature may be checked; remembered in a directory of root's in RAM, so that being started again and again buys nothing."""

    def __init__(self, directory: str, clock: Clock, spacing: Spacing) -> None:
        self._directory = directory
        self._clock = clock
        self._spacing = spacing
        # `owed`: how many checks had been made faster than one in `verify_every_s`, right after the last one.
        self._last_s, self.checks_total, self.refusals, self._owed = self._read()

    def wait_s(self) -> float:
        """Say how long to wait still; 0 when a signature may be checked now."""
        since = self._clock.uptime() - self._last_s
        if self._last_s < 0 or since < 0:
            return 0.0
        if self.refusals >= REFUSALS_UNTIL_QUIET and since < self._spacing.quiet_s:
            return max(0.0, self._spacing.quiet_every_s - since)
        return max(0.0, (self._owed - self._spacing.burst + 1) * self._spacing.verify_every_s - since)

    def begin(self) -> None:
        """Count a check, before it is made; OSError when that cannot be remembered, for then none may be made."""
        now, every = self._clock.uptime(), self._spacing.verify_every_s
        paid = (now - self._last_s) / every if every > 0 and 0 <= self._last_s <= now else self._owed
        self._owed = min(max(0.0, self._owed - paid) + 1, float(self._spacing.burst))
        self._last_s = now
        self.checks_total += 1
        self._write()

    def end(self, is_good: bool) -> None:
        """Count bad ones in a row."""
        self.refusals = 0 if is_good else self.refusals + 1
        with suppress(OSError):  # when the check was is remembered, and keeps the next one waiting
            self._write()

    def _read(self) -> tuple[float, int, int, float]:
        try:
            with open(os.path.join(self._directory, "verified"), encoding="utf-8") as file:
                last_s, checks, refusals, owed = json.loads(file.read())
            return float(last_s), int(checks), int(refusals), float(owed)
        except (OSError, ValueError, TypeError):
            return -1.0, 0, 0, 0.0

    def _write(self) -> None:
        write_plain(self._directory, "verified", json.dumps([self._last_s, self.checks_total, self.refusals, self._owed]))


def read(raw: bytes, keys: signature.Keys) -> Jws:
    """Take a push or a command apart as far as no signature is needed; Refused with the reason."""
    found = jws.parse(raw)
    if found.kid not in keys.by_kid:
        raise Refused("unknown_key", f"key {found.kid} is not one of those trusted here: {', '.join(sorted(keys.by_kid)) or 'there are none'}")
    return found


def check(found: Jws, keys: signature.Keys, gate: Gate, directory: str) -> None:
    """Check the signature; Refused when it is not this key's, or when nothing here can tell."""
    try:
        gate.begin()
    except OSError as error:
        raise Refused("busy", f"no signature can be checked now: {directory}: {error.strerror}") from None
    try:
        is_good = signature.verify(found, keys.by_kid[found.kid], directory)
    except Unavailable as error:
        raise Refused("unsupported", str(error)) from None
    gate.end(is_good)
    if not is_good:
        raise Refused("bad_signature", f"the signature is not one of key {found.kid}")
