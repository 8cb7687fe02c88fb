"""`scripts/simulate_fleet`: runs simulated access points against a real broker and ends with one line of JSON. See --help."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from fleet.errors import BadInput, Refused
from fleet.simulate import parent, part, world
from fleet.simulate.orders import FAMILY, POINTS_A_PROCESS, SMALL_FLEET, Orders

EPILOG = """\
examples:
  scripts/simulate_fleet malang                                        the enrolled access points of a city, until Ctrl-C
  scripts/simulate_fleet malang --speed 300 --until-virtual 24 --sent sent.jsonl
  scripts/simulate_fleet --plain 1883 --points 10000 --interval 30 --for 120"""
LIMITS = (("points", 1, 100_000), ("processes", 1, 64), ("interval", 1, 3600), ("speed", 0.1, 10_000), ("shared", 1, 1000), ("dials", 1, 1000))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 1 it failed, 2 wrong arguments."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        orders = _orders(options)
        if options.part is not None:
            return part.run(orders, options.part)
        return parent.run(orders)
    except BadInput as error:
        parser.exit(2, f"simulate_fleet: {error}\n")
    except Refused as error:
        print(f"simulate_fleet: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/simulate_fleet", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("city", nargs="?", type=Path, metavar="CITY", help="a city's directory: its bundles are the access points")
    parser.add_argument("--plain", type=int, metavar="PORT", help="instead: made-up access points at a plain broker on loopback")
    parser.add_argument("--but", default="", metavar="A,B", help="of a city's access points leave these out: they are real")
    parser.add_argument("--points", type=int, metavar="N", help="how many (default: all that are enrolled)")
    parser.add_argument("--processes", type=int, metavar="N", help=f"in how many processes (default: one for {POINTS_A_PROCESS})")
    parser.add_argument("--interval", type=float, metavar="S", help="seconds between reports, of the city's time (default: as enrolled)")
    parser.add_argument("--speed", type=float, default=1.0, metavar="X", help="how fast the city's time runs (default: 1)")
    parser.add_argument("--start", type=float, metavar="UNIX", help="when the city's time begins (default: now)")
    parser.add_argument("--for", type=float, dest="seconds", metavar="S", help="end after so many seconds of the world")
    parser.add_argument("--until-virtual", type=float, dest="hours", metavar="H", help="end after so many hours of the city's time, when all is acknowledged")
    parser.add_argument("--drain", type=float, default=60.0, metavar="S", help="wait so long for the last acknowledgements (default: 60)")
    parser.add_argument("--moods", default="ordinary", metavar="A,B", help=f"what happens: ordinary (default), all, calm, or some of {', '.join(world.MOODS)}")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="another seed, another day")
    parser.add_argument("--shared", type=int, metavar="N", help=f"read one simulated box for so many (default: 1, of more than {SMALL_FLEET} points {FAMILY})")
    parser.add_argument("--appliers", type=int, default=4, metavar="N", help="how many pushes are applied at once; 0: none ever (default: 4)")
    parser.add_argument("--dials", type=int, default=32, metavar="N", help="how many connect at once in each process (default: 32)")
    parser.add_argument("--sent", type=Path, metavar="FILE", help="write what was sent: a line of JSON for each boot")
    parser.add_argument("--status", type=Path, metavar="FILE", help="keep a line of JSON with the counts so far in this file")
    parser.add_argument("--receipts", type=Path, metavar="FILE", help="add a line for each push that arrives: monotonic seconds, access point, topic")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where the working files go, in RAM; they are removed (default: a new one)")
    parser.add_argument("--began", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--part", type=int, help=argparse.SUPPRESS)
    return parser


def _orders(options: argparse.Namespace) -> Orders:
    """Check the options; BadInput for what they may not be."""
    if (options.city is None) == (options.plain is None):
        raise BadInput("name a city's directory, or --plain PORT: one of the two")
    if options.plain is not None and not options.points:
        raise BadInput("--plain needs --points N")
    for name, low, high in LIMITS:
        value = getattr(options, name)
        if value is not None and not low <= value <= high:
            raise BadInput(f"--{name} is {value:g}, expected {low:g} to {high:g}")
    moods = {"ordinary": world.ORDINARY, "all": world.MOODS, "calm": ()}.get(options.moods)
    if moods is None:
        moods = tuple(options.moods.split(","))
        if unknown := world.unknown(moods):
            raise BadInput(f"--moods has {', '.join(unknown)}, expected ordinary, all, calm or some of {', '.join(world.MOODS)}")
    return Orders(
        city=options.city.absolute() if options.city else None,
        but=tuple(name for name in options.but.split(",") if name),
        port=options.plain or 0,
        points=options.points,
        processes=options.processes or 0,
        interval_s=options.interval,
        speed=options.speed,
        start=options.start if options.start is not None else time.time(),
        began=options.began or 0.0,
        seconds=options.seconds,
        hours=options.hours,
        drain_s=options.drain,
        moods=moods,
        seed=options.seed,
        shared=options.shared or 0,
        appliers=options.appliers,
        dials=options.dials,
        sent=options.sent,
        status=options.status,
        receipts=options.receipts,
        folder=options.folder.absolute() if options.folder else None,
    )


if __name__ == "__main__":
    os.environ.setdefault("MALLOC_ARENA_MAX", "2")  # for the appliers; and the threads that connect live for moments
    sys.exit(main())
