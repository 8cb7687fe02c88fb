"""Starts root's half of a push for simulated access points: real `rwagent-apply` processes, only a few at a time."""

from __future__ import annotations

import subprocess
from collections import deque
from collections.abc import Sequence

from agent.settings import interpreter
from fleet.simulate.point import Point

ENDED_WITHIN_S = 5.0


class Appliers:
    """At most `most` children at once (0: none ever), the others wait in order; one point's never twice at a time."""

    def __init__(self, most: int, command: Sequence[str] = ()) -> None:
        """`command` stands for the applier; the settings file's path is put behind it."""
        self._most = most
        self._command = list(command) or [*interpreter(), "-m", "agent.apply", "--config"]
        self._waiting: deque[Point] = deque()
        self._running: dict[Point, subprocess.Popen[bytes]] = {}

    @property
    def is_busy(self) -> bool:
        """Say whether some run or wait."""
        return bool(self._running or self._waiting)

    def ask(self, point: Point) -> None:
        """Want the applier for a point; what is wanted or runs already is not wanted twice."""
        if self._most and point not in self._waiting and point not in self._running:
            self._waiting.append(point)

    def advance(self) -> list[Point]:
        """Start what may start; give the points whose applier has ended."""
        ended = [point for point, process in self._running.items() if process.poll() is not None]
        for point in ended:
            del self._running[point]
        while self._waiting and len(self._running) < self._most:
            point = self._waiting.popleft()
            file = f"{point.settings.paths.state_dir}/../agent.toml"
            self._running[point] = subprocess.Popen(
                [*self._command, file], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
            )
        return ended

    def close(self) -> None:
        """Start no more, and end those that run."""
        self._waiting.clear()
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(ENDED_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()
