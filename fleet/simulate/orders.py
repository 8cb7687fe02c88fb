"""What a run of the simulated fleet is told to do, as one value; and the same as the arguments of its processes."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

POINTS_A_PROCESS = 3000
SMALL_FLEET, FAMILY = 600, 16


class Orders(NamedTuple):
    """The options of `scripts/simulate_fleet`; 0 and None stand for what is chosen by the number of points, or for none."""

    city: Path | None
    but: tuple[str, ...]
    port: int
    points: int | None
    processes: int
    interval_s: float | None
    speed: float
    start: float
    began: float
    seconds: float | None
    hours: float | None
    drain_s: float
    moods: tuple[str, ...]
    seed: int
    shared: int
    appliers: int
    dials: int
    sent: Path | None
    status: Path | None
    receipts: Path | None
    folder: Path | None

    @property
    def until(self) -> float:
        """Unix seconds of the city's time at which the last report may be made."""
        return float("inf") if self.hours is None else self.start + self.hours * 3600

    @property
    def lasts_s(self) -> float:
        """Seconds of the city's time that happenings are spread over: a week where the run has no end."""
        if self.hours is not None:
            return self.hours * 3600
        return 7 * 86400.0 if self.seconds is None else self.seconds * self.speed


def chosen(orders: Orders, points: int, folder: Path, began: float) -> Orders:
    """Fill in what is chosen by the number of points."""
    return orders._replace(
        points=points,
        processes=min(points, orders.processes or -(-points // POINTS_A_PROCESS)),
        shared=orders.shared or (1 if points <= SMALL_FLEET and orders.speed == 1 else FAMILY),
        folder=folder,
        began=began,
    )


def arguments(orders: Orders, part: int) -> list[str]:
    """Give the command line of one process of the run."""
    named: dict[str, object] = {
        "--but": ",".join(orders.but) or None,
        "--plain": orders.port or None,
        "--points": orders.points,
        "--processes": orders.processes,
        "--interval": orders.interval_s,
        "--speed": orders.speed,
        "--start": orders.start,
        "--began": orders.began,
        "--for": orders.seconds,
        "--until-virtual": orders.hours,
        "--drain": orders.drain_s,
        "--moods": ",".join(orders.moods) or "calm",
        "--seed": orders.seed,
        "--shared": orders.shared,
        "--appliers": orders.appliers,
        "--dials": orders.dials,
        "--sent": f"{orders.folder}/sent.{part}" if orders.sent else None,
        "--receipts": orders.receipts,
        "--folder": orders.folder,
        "--part": part,
    }
    words = [str(orders.city)] if orders.city is not None else []
    for name, value in named.items():
        words += [] if value is None else [name, repr(value) if isinstance(value, float) else str(value)]
    return words
