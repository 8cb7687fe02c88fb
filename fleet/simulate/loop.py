"""Turns many simulated access points in one thread: one epoll over all their descriptors, one heap of their due times.

Bounds how many connect at once; never scans all points.
"""

from __future__ import annotations

import heapq
import select
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from fleet.simulate.point import Point

MOST_EVENTS = 512
MOST_DUE = 256
LONGEST_WAIT_S = 0.5
SOON_S = 0.0005


class _Slot:
    """What the loop knows of one point: its descriptors as registered, when it is due, the moment its entry in the heap stands for."""

    __slots__ = ("due_at", "fds", "has_permit", "is_queued", "number", "planned_at", "point", "rings")

    def __init__(self, point: Point, number: int) -> None:
        self.point, self.number = point, number
        self.fds: dict[int, int] = {}
        self.due_at = 0.0
        self.planned_at = float("inf")
        self.has_permit = self.is_queued = False
        self.rings = 0


class Counts(NamedTuple):
    """How many points there are, are connected, and are connecting now."""

    points: int
    connected: int
    dialing: int


class Loop:
    """The points of one process; at most `most_dialing` of them connect at once."""

    def __init__(self, most_dialing: int, rung: Callable[[Point], None]) -> None:
        """`rung` is told of each point that rings for root."""
        self._rung = rung
        self._epoll = select.epoll()
        self._slots: list[_Slot] = []
        self._slot_of: dict[Point, _Slot] = {}
        self._of_fd: dict[int, _Slot] = {}
        self._heap: list[tuple[float, int]] = []
        self._permits = most_dialing
        self._waiting: deque[_Slot] = deque()

    def add(self, point: Point) -> None:
        """Take one point more."""
        slot = _Slot(point, len(self._slots))
        self._slots.append(slot)
        self._slot_of[point] = slot
        self._turn(slot)
        self._permit()

    def counts(self) -> Counts:
        """Count the points; walks through all of them."""
        return Counts(len(self._slots), sum(slot.point.is_connected for slot in self._slots), sum(slot.has_permit for slot in self._slots))

    def turn(self, within_s: float = LONGEST_WAIT_S) -> None:
        """Wait until something is readable or due, at most `within_s`, and do it."""
        wait = self._heap[0][0] - time.monotonic() if self._heap else within_s
        for fd, _ in self._epoll.poll(max(0.0, min(wait, within_s)), MOST_EVENTS):
            slot = self._of_fd.get(fd)
            if slot is not None:
                self._turn(slot)
        now = time.monotonic() + SOON_S
        for _ in range(MOST_DUE):
            if not self._heap or self._heap[0][0] > now:
                break
            planned_at, number = heapq.heappop(self._heap)
            slot = self._slots[number]
            if planned_at != slot.planned_at:
                continue  # an earlier one took its place
            slot.planned_at = float("inf")
            if slot.due_at <= now:
                self._turn(slot)
            else:
                self._plan(slot)
        self._permit()

    def wake(self, point: Point) -> None:
        """Turn a point at the next turn: somebody else has changed something of it."""
        slot = self._slot_of[point]
        slot.due_at = time.monotonic()
        self._plan(slot)

    def behind_s(self) -> float:
        """Say for how long somebody has been due."""
        return max(0.0, time.monotonic() - self._heap[0][0]) if self._heap else 0.0

    def close(self) -> None:
        """Close the epoll; the points are the caller's."""
        self._epoll.close()

    def _turn(self, slot: _Slot) -> None:
        slot.point.turn(may_dial=slot.has_permit)
        if slot.has_permit and not slot.point.is_dialing:
            slot.has_permit = False
            self._permits += 1
        elif not slot.has_permit and not slot.is_queued and slot.point.wants_to_dial:
            slot.is_queued = True
            self._waiting.append(slot)
        self._register(slot)
        slot.due_at = slot.point.due_at()
        self._plan(slot)
        rings, slot.rings = slot.rings, slot.point.rings
        if slot.rings > rings:
            self._rung(slot.point)

    def _permit(self) -> None:
        """Let those connect whose turn it is."""
        while self._permits and self._waiting:
            slot = self._waiting.popleft()
            slot.is_queued = False
            if slot.point.wants_to_dial:
                self._permits -= 1
                slot.has_permit = True
                self._turn(slot)

    def _plan(self, slot: _Slot) -> None:
        """Keep one entry in the heap that is not later than the point is due; an infinite moment needs none."""
        if slot.due_at < slot.planned_at:
            slot.planned_at = slot.due_at
            heapq.heappush(self._heap, (slot.due_at, slot.number))

    def _register(self, slot: _Slot) -> None:
        fds = slot.point.fds()
        if fds == slot.fds:
            return
        for fd in slot.fds.keys() - fds.keys():
            # Closed meanwhile, the kernel has let it go by itself, and another may have its number.
            if self._of_fd.get(fd) is slot:
                del self._of_fd[fd]
                try:
                    self._epoll.unregister(fd)
                except OSError:
                    pass
        for fd, mask in fds.items():
            if self._of_fd.get(fd) is slot:
                self._epoll.modify(fd, mask)
            else:
                self._of_fd[fd] = slot
                self._epoll.register(fd, mask)
        slot.fds = fds
