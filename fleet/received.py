"""A set of seq as ranges: what was committed of one boot, and so the only test for what came before.

Pure. Almost every number comes right behind the last, so that is the short way. Its text is "1-41,43,50-52".
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

MOST_RANGES = 16_384


class Received:
    """Numbers from 1, kept as ranges that neither touch nor overlap; at most MOST_RANGES of them.

    Beyond that the lowest hole is given up: it counts as received. No honest boot comes near: it would have lost every second message of a week.
    """

    __slots__ = ("_ends", "_starts", "given_up")

    def __init__(self, text: str = "") -> None:
        """Read the text of a set; ValueError when it is none."""
        self._starts: list[int] = []
        self._ends: list[int] = []
        self.given_up = 0
        for piece in text.split(",") if text else ():
            first, _, last = piece.partition("-")
            begin, end = int(first), int(last or first)
            if not (self._ends[-1] + 1 if self._ends else 0) < begin <= end:
                raise ValueError(f"received is {text[:80]!r}, expected rising ranges that do not touch, as in 1-41,43")
            self._starts.append(begin)
            self._ends.append(end)

    def __str__(self) -> str:
        return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in self.ranges())

    def __repr__(self) -> str:
        return f"Received({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Received) and self._starts == other._starts and self._ends == other._ends

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __contains__(self, seq: int) -> bool:
        return self.covers(seq, seq)

    def __len__(self) -> int:
        return sum(self._ends) - sum(self._starts) + len(self._starts)

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Give first and last of each range, rising."""
        return zip(self._starts, self._ends, strict=True)

    def copy(self) -> Received:
        """Give a set of its own with the same numbers."""
        made = Received()
        made._starts, made._ends, made.given_up = self._starts[:], self._ends[:], self.given_up
        return made

    @property
    def through(self) -> int:
        """The highest number; 0 when there is none."""
        return self._ends[-1] if self._ends else 0

    def covers(self, first: int, last: int) -> bool:
        """Say whether all of first..last are in it."""
        place = bisect_right(self._starts, first) - 1
        return place >= 0 and last <= self._ends[place]

    def new_of(self, first: int, last: int) -> tuple[int, int] | None:
        """Give the lowest and the highest of first..last that are not in it; None when all are."""
        place = bisect_right(self._starts, first) - 1
        if place >= 0 and first <= self._ends[place]:
            first = self._ends[place] + 1
        place = bisect_left(self._ends, last)
        if place < len(self._ends) and self._starts[place] <= last:
            last = self._starts[place] - 1
        return (first, last) if first <= last else None

    def add(self, first: int, last: int) -> None:
        """Put first..last in; numbers that are in it stay."""
        starts, ends = self._starts, self._ends
        if ends and first == ends[-1] + 1:
            ends[-1] = last
            return
        left = bisect_left(ends, first - 1)  # the ranges from here up to `right` touch first..last and become one with it
        right = bisect_right(starts, last + 1)
        if left < right:
            first, last = min(first, starts[left]), max(last, ends[right - 1])
        starts[left:right] = [first]
        ends[left:right] = [last]
        while len(starts) > MOST_RANGES:
            self.given_up += starts[1] - ends[0] - 1
            del starts[1], ends[0]

    def missing(self, gone_below: int, most: int) -> tuple[int, list[tuple[int, int]]]:
        """Give `through` and `missing` of an ack: the holes from `gone_below` up, at most the lowest `most` of them; `through` then ends before the next."""
        holes: list[tuple[int, int]] = []
        place = bisect_left(self._ends, gone_below - 1)
        before = self._ends[place - 1] if place else 0
        for first, last in zip(self._starts[place:], self._ends[place:], strict=True):
            hole = (max(before + 1, gone_below), first - 1)
            before = last
            if hole[0] > hole[1]:
                continue
            if len(holes) == most:
                return hole[0] - 1, holes
            holes.append(hole)
        return self.through, holes
