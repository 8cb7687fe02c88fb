"""Root's half of pushes: a few children at a time, the others wait."""

from __future__ import annotations

import select
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fleet.simulate.appliers import Appliers


def point(folder: Path, name: str) -> Any:
    """Something with the settings of a point: the appliers look at no more."""
    (folder / name / "state").mkdir(parents=True)
    return SimpleNamespace(settings=SimpleNamespace(paths=SimpleNamespace(state_dir=str(folder / name / "state"))))


class _Hashable(SimpleNamespace):
    __hash__ = object.__hash__


def points(folder: Path, count: int) -> list[Any]:
    made = []
    for number in range(count):
        one = point(folder, str(number))
        made.append(_Hashable(**vars(one)))
    return made


def test_no_more_than_asked_for_run_at_once(tmp_path: Path) -> None:
    """Of five, two run; the next begins when one has ended, in order; each is told its settings' file."""
    script = f'echo run >> "$(dirname "$0")/count"; sleep 0.2; test -d "$(dirname "$0")" && echo "$0" >> {tmp_path}/told'
    appliers, all_of_them, ended, most = Appliers(2, ["/bin/sh", "-c", script]), points(tmp_path, 5), [], 0
    for one in all_of_them:
        appliers.ask(one)
        appliers.ask(one)
    until = time.monotonic() + 30
    while appliers.is_busy:
        assert time.monotonic() < until
        ended += appliers.advance()
        most = max(most, len(appliers._running))
        select.select([], [], [], 0.01)
    assert (most, len(ended)) == (2, 5)
    assert sorted((tmp_path / "told").read_text().split()) == sorted(f"{tmp_path}/{number}/state/../agent.toml" for number in range(5))


def test_none_run_where_none_are_wanted(tmp_path: Path) -> None:
    """With 0 nothing ever starts."""
    appliers = Appliers(0, ["/bin/false"])
    appliers.ask(points(tmp_path, 1)[0])
    assert (appliers.advance(), appliers.is_busy) == ([], False)


def test_the_end_ends_them(tmp_path: Path) -> None:
    """What runs is ended, what waits never begins."""
    appliers = Appliers(1, ["/bin/sh", "-c", "sleep 60"])
    for one in points(tmp_path, 2):
        appliers.ask(one)
    appliers.advance()
    (process,) = appliers._running.values()
    appliers.close()
    assert (process.returncode is not None, appliers.is_busy) == (True, False)
