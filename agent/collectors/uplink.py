"""The way out: how far it carries, how long each layer takes, and its address. Reads the path; the probe is the daemon's.

`state` is the first layer that fails; it and `gateway_ms`, `dns_ms`, `internet_ms` come from the last probe of this
path while it is fresh, `loss_ratio` from the tries of the last 20 probes.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from agent.records import Knobs, Layer, Path, Reach

if TYPE_CHECKING:
    from agent.router.contract import Router

NAME = "uplink"
FRESH_S = 200.0
FRESH_PROBES = 2.5
LOSS_PROBES = 20


def collect(router: Router) -> Path:
    """Read the way out as it is configured now."""
    return router.path()


class _Probed(NamedTuple):
    at: float
    reach: Reach


class Span:
    """The path now, and what the probes of it said."""

    def __init__(self, knobs: Knobs) -> None:
        self._fresh_s = max(FRESH_S, FRESH_PROBES * knobs.probe_s)
        self._at = 0.0
        self._path: Path | None = None
        self._is_sampled = False
        self._last: _Probed | None = None
        self._tries: deque[tuple[int, int]] = deque(maxlen=LOSS_PROBES)

    @property
    def state(self) -> Layer | None:
        """Say which layer fails first, as of the last sample or probe; None while nobody knows."""
        return None if self._path is None else self._state(self._path, self._at)

    def add(self, at: float, path: Path) -> None:
        """Take one sample; what was probed on another path says nothing about this one."""
        # Kept before it is looked at: one reading that was nonsense must not make every later one fail.
        former, self._path = self._path, path
        if former is not None and (former.device, former.up, former.address, former.gateway) != (path.device, path.up, path.address, path.gateway):
            self._last = None
            self._tries.clear()
        self._at, self._is_sampled = at, True

    def reach(self, at: float, reach: Reach) -> None:
        """Take the outcome of a probe that ended now."""
        self._at = at
        self._last = _Probed(at, reach)
        self._tries.append((reach.lost, reach.sent))

    def part(self, at: float) -> dict[str, object]:
        """Give `uplink`, or nothing when the span had no sample."""
        path = self._path
        if path is None or not self._is_sampled:
            return {}
        self._is_sampled = False
        reach = self._fresh(at)
        lost, sent = (sum(column) for column in zip((0, 0), *self._tries, strict=True))
        part: dict[str, object] = {"state": self._state(path, at)}
        if reach is not None:
            part |= {name: _rounded(getattr(reach, name)) for name in ("gateway_ms", "dns_ms", "internet_ms")}
            part["loss_ratio"] = round(lost / sent, 3) if sent else None
        part |= {"address": path.address, "gateway": path.gateway}
        return {"uplink": {name: value for name, value in part.items() if value is not None}}

    def _fresh(self, at: float) -> Reach | None:
        return self._last.reach if self._last is not None and at - self._last.at <= self._fresh_s else None

    def _state(self, path: Path, at: float) -> Layer | None:
        if path.device is None or not path.up:
            return "link"
        if path.address is None:
            return "address"
        reach = self._fresh(at)
        if reach is not None:
            return reach.state
        # A point-to-point uplink has no gateway and works all the same: a probe of it may say so.
        return "gateway" if path.gateway is None else None


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 1)
