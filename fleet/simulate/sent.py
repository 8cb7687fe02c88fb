"""What a simulated fleet sent, written down so that it can be compared with what was stored: one line of JSON for each boot of each access point."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

Ranges = list[list[int]]


class Boot(NamedTuple):
    """One boot of one access point: it made every seq from 1 through `through`, so many of them reports.

    `held`: what was in its outbox when the boot or the run ended, which may have arrived or not; `dropped`: how many seqs it gave up for
    want of room; `booted` is in Unix seconds of the city's time.
    """

    ap: str
    boot: str
    booted: float
    through: int
    reports: int
    held: Ranges
    dropped: int


def ranges(seqs: Iterable[int]) -> Ranges:
    """Give numbers as rising ranges [first, last]."""
    found: Ranges = []
    for seq in sorted(set(seqs)):
        if found and found[-1][1] == seq - 1:
            found[-1][1] = seq
        else:
            found.append([seq, seq])
    return found


def write(path: Path, boots: Iterable[Boot]) -> None:
    """Add lines to a file."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(boot._asdict(), separators=(",", ":")) + "\n" for boot in boots)


def read(path: Path) -> Iterator[Boot]:
    """Give what `write` wrote."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield Boot(**json.loads(line))
