"""Many points in one thread: woken when due or readable, and only so many connecting at once. Over points that only pretend."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from fleet.simulate.loop import Loop


class Pretender:
    """What the loop sees of a point; a dial lasts until `answer`."""

    def __init__(self) -> None:
        self.read, self.write = os.pipe()
        os.set_blocking(self.read, False)
        self.turns, self.rings = 0, 0
        self.at = float("inf")
        self.state = "quiet"

    is_connected = property(lambda self: self.state == "connected")
    wants_to_dial = property(lambda self: self.state == "wants")
    is_dialing = property(lambda self: self.state == "dialing")

    def fds(self) -> dict[int, int]:
        return {self.read: 1}

    def due_at(self) -> float:
        return self.at

    def turn(self, may_dial: bool) -> None:
        self.turns += 1
        if self.state == "wants" and may_dial:
            self.state = "dialing"
        try:
            os.read(self.read, 64)
        except BlockingIOError:
            pass
        if self.at <= time.monotonic() + 0.001:
            self.at = float("inf")

    def close(self) -> None:
        os.close(self.read)
        os.close(self.write)


def loop_of(count: int, most_dialing: int = 8, rung: Callable[..., None] = lambda _point: None) -> tuple[Loop, list[Pretender]]:
    loop, points = Loop(most_dialing, rung), [Pretender() for _ in range(count)]
    for point in points:
        loop.add(point)  # type: ignore[arg-type]  # it pretends
    return loop, points


def end(loop: Loop, points: list[Pretender]) -> None:
    loop.close()
    for point in points:
        point.close()


def test_only_who_is_readable_is_turned() -> None:
    """One of a hundred is written to: it alone has another turn."""
    loop, points = loop_of(100)
    os.write(points[42].write, b"x")
    loop.turn(5.0)
    assert [number for number, point in enumerate(points) if point.turns == 2] == [42]
    end(loop, points)


def test_who_is_due_is_turned_in_time_and_once() -> None:
    """A due time ends the wait; an earlier one replaces a later one."""
    loop, points = loop_of(3)
    points[1].at = time.monotonic() + 0.05
    loop.wake(points[1])  # type: ignore[arg-type]  # it pretends
    loop.turn(5.0)
    began = time.monotonic()
    while points[1].at != float("inf"):
        loop.turn(5.0)
    assert time.monotonic() - began < 2.0
    assert [points[0].turns, points[2].turns] == [1, 1]
    end(loop, points)


def test_only_so_many_connect_at_once() -> None:
    """Of ten that want to, three may; each that has ended lets the next begin."""
    loop, points = loop_of(0, most_dialing=3)
    points = [Pretender() for _ in range(10)]
    for point in points:
        point.state = "wants"
        loop.add(point)  # type: ignore[arg-type]  # it pretends
    seen = []
    for _ in range(30):
        dialing = [point for point in points if point.state == "dialing"]
        seen.append(len(dialing))
        if dialing:
            dialing[0].state = "connected"
            os.write(dialing[0].write, b"x")
        loop.turn(0.05)
    assert (max(seen), {point.state for point in points}) == (3, {"connected"})
    assert loop.counts().connected == 10
    end(loop, points)


def test_a_ring_is_told_once() -> None:
    """Who rings for root is told of, and not again for the same ring."""
    told: list[object] = []
    loop, points = loop_of(2, rung=told.append)
    points[0].rings = 1
    for _ in range(2):
        loop.wake(points[0])  # type: ignore[arg-type]  # it pretends
        loop.turn(0.01)
    assert told == [points[0]]
    end(loop, points)
