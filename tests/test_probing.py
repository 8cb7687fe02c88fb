"""One probe at a time, of the way that there is: begun, turned, put away, given up for another way."""

from __future__ import annotations

from agent.errors import Unavailable
from agent.probing import Probing
from agent.records import Path, Reach
from agent.settings import ProbeSettings

WAY = Path("wan", True, "192.0.2.7", "192.0.2.1", (), None)
ASKED = ProbeSettings(60, "example.org", (("192.0.2.9", 443),))


class Slow:
    """A probe that knows its outcome when the test says."""

    def __init__(self) -> None:
        self.outcome: Reach | None = None
        self.is_closed = False

    def fds(self) -> dict[int, int]:
        return {7: 1}

    def advance(self, now: float) -> Reach | None:
        return self.outcome

    def deadline(self) -> float:
        return 12.0

    def close(self) -> None:
        self.is_closed = True


class Box:
    """A router that only probes."""

    def __init__(self) -> None:
        self.probes: list[Slow] = []
        self.fault: Unavailable | None = None

    def probe(self, path: Path, dns_name: str, internet: tuple[tuple[str, int], ...], now: float) -> Slow:
        if self.fault:
            raise self.fault
        self.probes.append(Slow())
        return self.probes[-1]


def made() -> tuple[Probing, Box]:
    box = Box()
    return Probing(box, ASKED), box  # type: ignore[arg-type]  # a fake


def test_one_at_a_time_until_it_knows() -> None:
    """Polled and waited for while it runs; put away with its outcome, and then the next may begin."""
    probing, box = made()
    assert (probing.fds(), probing.deadlines(), probing.advance(0)) == ({}, [], None)
    probing.begin(WAY, 0)
    probing.begin(WAY, 1)
    assert len(box.probes) == 1 and probing.fds() == {7: 1} and probing.deadlines() == [12.0] and probing.advance(1) is None
    box.probes[0].outcome = outcome = Reach("ok", 1.0, 2.0, 3.0, 0, 1)
    assert probing.advance(2) is outcome and box.probes[0].is_closed and probing.deadlines() == []
    probing.begin(WAY, 3)
    assert len(box.probes) == 2


def test_a_probe_of_a_way_that_is_gone_is_given_up() -> None:
    """The same way is no other one."""
    probing, box = made()
    assert probing.is_another(WAY)
    probing.begin(WAY, 0)
    assert not probing.is_another(WAY) and not box.probes[0].is_closed
    assert probing.is_another(WAY._replace(gateway="192.0.2.2")) and box.probes[0].is_closed and probing.fds() == {}


def test_where_there_is_no_way_nothing_is_asked() -> None:
    """Nor where the box cannot; both for now only."""
    probing, box = made()
    for path in (None, WAY._replace(device=None), WAY._replace(address="")):
        probing.begin(path, 0)
    box.fault = Unavailable("no socket")
    probing.begin(WAY, 0)
    assert box.probes == [] and probing.fds() == {}
    box.fault = None
    probing.begin(WAY, 0)
    assert len(box.probes) == 1
