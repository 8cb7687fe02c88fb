"""A router made of settable readings, and a clock that a test moves; both follow `agent/router/contract.py`.

`FakeRouter(interfaces=[...])`, later `router.interfaces = Unavailable("no /sys")`: an exception is raised, a function is
called, all else is returned. `router.stations = {"wlan0": [...], "wlan1": Unavailable("no socket")}`.
"""

from __future__ import annotations

from agent.errors import Unavailable
from agent.records import Board, Caps, ClockState, Host, Path, Reach

READINGS: dict[str, object] = {
    "boot": "b1946ac92492d234",
    "board": Board("Fake AP", "fake,ap", "OpenWrt 25.12.1", "6.12.0", "rw-0501", "fake"),
    "radios": [],
    "bss": [],
    "stations": {},
    "interfaces": [],
    "host": Host(*[None] * len(Host._fields)),
    "path": Path("wan", True, "192.0.2.10", "192.0.2.1", ("192.0.2.53",), True),
    "dhcp": Unavailable("this box serves no DHCP"),
    "caps": Caps(),
    "reach": Reach("ok", 1.2, 8.0, 14.9, 0, 3),
}


class FakeClock:
    """Starts at `at` seconds of uptime and stands still; waiting for it moves it."""

    def __init__(self, at: float = 1000.0, wall: float = 1_790_000_000.0, trust: ClockState = "ntp") -> None:
        self.at = at
        self.wall_at_zero = wall - at
        self.trust: ClockState = trust

    def move(self, seconds: float) -> float:
        """Let time pass; give the new monotonic moment."""
        self.at += seconds
        return self.at

    def monotonic(self) -> float:
        return self.at

    def uptime(self) -> float:
        return self.at

    def wall(self) -> float:
        return self.wall_at_zero + self.at

    def state(self) -> ClockState:
        return self.trust

    def real_seconds(self, seconds: float) -> float:
        self.move(seconds)
        return 0.0


class FakeProbe:
    """Knows its outcome from the start."""

    def __init__(self, reach: Reach, now: float) -> None:
        self._reach = reach
        self._now = now
        self.is_closed = False

    def fds(self) -> dict[int, int]:
        return {}

    def advance(self, now: float) -> Reach | None:
        return self._reach

    def deadline(self) -> float:
        return self._now

    def close(self) -> None:
        self.is_closed = True


class FakeRouter:
    """Gives what was set; `reach` is the outcome of every probe, `probes` the arguments of those started, `rings` how often root was rung for,
    `told` for what, `is_deaf` that nobody hears it, `paces` what it was told of the pace (report_s, sample_s)."""

    def __init__(self, clock: FakeClock | None = None, **readings: object) -> None:
        self.clock = clock or FakeClock()
        self.probes: list[tuple[object, ...]] = []
        self.rings = 0
        self.told: list[str] = []
        self.is_deaf = False
        self.paces: list[tuple[float, float]] = []
        for name, value in (READINGS | readings).items():
            setattr(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        # The contract's methods and a test's attributes share their names: what is set becomes what the method gives.
        if name in READINGS:
            value = _reader(value)
        super().__setattr__(name, value)

    def ring(self, errand: str = "push") -> None:
        self.rings += 1
        self.told.append(errand)
        if self.is_deaf:
            raise Unavailable("nobody hears")

    def pace(self, report_s: float, sample_s: float) -> None:
        self.paces.append((report_s, sample_s))

    def probe(self, path: Path, dns_name: str, internet: tuple[tuple[str, int], ...], now: float) -> FakeProbe:
        self.probes.append((path, dns_name, internet, now))
        return FakeProbe(self.reach(), now)


def _reader(value: object) -> object:
    return lambda *arguments: _give(value, *arguments)


def _give(value: object, *arguments: object) -> object:
    if isinstance(value, dict):
        return _give(value.get(*arguments, []))
    if isinstance(value, Exception):
        raise value
    return value(*arguments) if callable(value) else value
