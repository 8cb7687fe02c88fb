"""What `./scripts/run` shows: a city of 551 access points made, enrolled and run with `rwctl`, this machine's own agent in it, live in a table; and pushes.

Everything it starts lives in one temporary folder and is ended with it. Nothing leaves loopback unless --probe is given.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.live import Live

from fleet import city, demo_city, store, watch
from fleet.demo_broker import KINDS, Ports, kind_of, start_broker
from fleet.demo_push import Pushes
from fleet.demo_stage import CannotStart, Child, Stage
from fleet.errors import Refused
from fleet.inventory import Row
from fleet.table import View, picture, render
from fleet.verbs.watch import Screen

CITY = "malang"
INTERVAL_S = 10
LAST_LINES = 12
MOST_DEAD = 3
MOST_NAMED = 8
LOOK_EVERY_S = 0.5
PLAIN_EVERY_S, PLAIN_ROWS = 5.0, 20
PICTURE_COLUMNS, PICTURE_LINES = 130, 34
OWN_RW = "99"

BOX = """\
[router]
backend = "simulated"
[probe]
interval_s = {probe_s}
[paths]
state_dir = "{folder}/state"
run_dir = "{folder}/run"
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 0 when it went well, 1 with what is wrong, 2 wrong arguments."""
    options = _parser().parse_args(arguments)
    stop, console = watch.Stop(), Console(highlight=False)
    stage = Stage()
    try:
        kind = kind_of(options.broker)
        inventory, own = _inventory(min(options.points, KINDS[kind].points))
        _make_city(stage, kind, inventory, own, options.probe, console)
        pushes = None if options.no_pushes else Pushes(stage, inventory)
        try:
            return _watch(stage, [row.id for row in inventory], options, console, stop, _footer(stage, inventory, own), KINDS[kind].note, pushes)
        finally:
            if pushes is not None:
                pushes.close()
    except (CannotStart, Refused) as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read our output left (| head); Python must not find out again while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    finally:
        stage.stop()
        if options.keep:
            print(f"kept: {stage.folder}")
        else:
            shutil.rmtree(stage.folder, ignore_errors=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./scripts/run", description=__doc__)
    parser.add_argument("--for", type=float, dest="seconds", metavar="SECONDS", help="end after this time; exit status 0 when all access points reported")
    parser.add_argument("--keep", action="store_true", help="keep the temporary folder with the city, settings and logs")
    parser.add_argument("--probe", action="store_true", help="let this machine's agent probe its gateway, resolver and way out")
    parser.add_argument("--broker", choices=[*KINDS, "auto"], default="auto", help="which broker to start (default: mosquitto where it is)")
    parser.add_argument("--no-pushes", action="store_true", help="show the table only, push nothing")
    most = max(kind.points for kind in KINDS.values())
    parser.add_argument("--points", type=int, choices=range(57, most + 1), default=most, metavar="N", help="simulate so many, 57 to %(default)s (default)")
    parser.add_argument("--picture", metavar="FILE", help="write the last table as an SVG picture")
    return parser


def _inventory(points: int) -> tuple[list[Row], str]:
    """Give the made-up access points with this machine behind them, and its name."""
    rows = demo_city.rows(points)
    own = own_name(socket.gethostname(), [row.id for row in rows])
    return [*rows, rows[0]._replace(id=own, rw=OWN_RW, tags=("linux",))], own


def own_name(hostname: str, taken: Sequence[str]) -> str:
    """Make a host's name an access point's: 1 to 48 of a-z, 0-9 and -, and none of `taken`."""
    letters = (c if c.isascii() and c.isalnum() else "-" for c in hostname.split(".")[0].lower())
    name = "".join(letters).strip("-")[:40].strip("-") or "this-machine"
    return f"{name}-linux" if name in taken else name


def _make_city(stage: Stage, kind: str, inventory: Sequence[Row], own: str, is_probing: bool, console: Console) -> None:
    """Do what an operator does, by the same commands, and tell each as it is typed."""
    ports, csv = Ports.free(), stage.folder / "points.csv"

    def say(text: str) -> None:
        console.print(text, style="bright_black", soft_wrap=True)

    say(f"$ rwctl init {stage.city} --name {CITY} …")
    words = ["--port", str(ports.points), "--city-port", str(ports.city), "--listen", "127.0.0.1", "--access-points", "600", "--interval", str(INTERVAL_S)]
    stage.call("init", str(stage.city), "--name", CITY, *words)
    csv.write_text(demo_city.csv_text(inventory), encoding="utf-8")
    say(f"$ rwctl enroll --csv {csv}")
    say(stage.call("enroll", "--csv", str(csv)).strip())
    say("$ rwctl broker run" if kind == "mosquitto" else f"$ {kind} -c broker.yaml")
    start_broker(stage, kind, ports)
    say("$ rwctl serve")
    stage.rwctl("serve", "serve")
    say(f"$ scripts/simulate_fleet {stage.city}   ({len(inventory) - 1} access points, and {own}, which is this machine)")
    extra = ["--but", own, "--processes", str(KINDS[kind].processes), "--dials", str(KINDS[kind].dials), "--moods", KINDS[kind].moods]
    stage.start("fleet", [sys.executable, "-m", "fleet.simulate", str(stage.city), "--folder", str(stage.folder / "fleet"), *extra])
    _start_own(stage, own, is_probing)


def _start_own(stage: Stage, own: str, is_probing: bool) -> None:
    """Enrol this machine as a technician does, and start its agent."""
    box = stage.folder / own
    box.mkdir()
    settings = box / "agent.toml"
    settings.write_text(BOX.format(folder=box, probe_s=INTERVAL_S if is_probing else 0), encoding="utf-8")
    agent = [sys.executable, "-m", "agent"]
    stage.check([*agent, "enroll", str(stage.city / f"bundles/{own}.tar.gz"), "--config", str(settings)])
    # Named only now: on a real Linux box enrolment gives the files to the group that the package makes, and this machine need not have it.
    settings.write_text(settings.read_text(encoding="utf-8").replace('backend = "simulated"', 'backend = "linux"'), encoding="utf-8")
    stage.start(own, [*agent, "run", "--config", str(settings)])


def _footer(stage: Stage, inventory: Sequence[Row], own: str) -> str:
    kelurahan = next(row.kelurahan for row in reversed(inventory) if " " not in row.kelurahan)
    return (
        f"{own} is this machine, the others are simulated. Ctrl-C stops everything.\n"
        f"second terminal:  {_program('rwctl')} --dir {stage.city} status --where kelurahan={kelurahan}"
    )


def _program(name: str) -> str:
    own = Path(sys.executable).parent / name
    return os.path.relpath(own) if own.exists() else name


def _watch(
    stage: Stage, names: Sequence[str], options: argparse.Namespace, console: Console, stop: watch.Stop, footer: str, note: str, pushes: Pushes | None
) -> int:
    began = time.monotonic()

    def is_over() -> bool:
        if stop.is_asked or stage.children[0].process.poll() is not None:
            return True
        return options.seconds is not None and time.monotonic() - began > options.seconds and not (pushes is not None and pushes.is_showing)

    with contextlib.closing(store.open_live(city.load(stage.city))) as live:
        screen = Screen(city.load(stage.city), live, None)

        def look(text: str = "") -> View:
            view = screen.look(text)
            if pushes is not None and (pushes.has_begun or _are_online(view)):
                pushes.advance()
            ended = [" ".join([f"{child.name} ended by itself, status {child.process.returncode}:", *child.last(1)]) for child in stage.dead()[:MOST_DEAD]]
            return view._replace(warnings=[*ended, *([note] if note else []), *([] if pushes is None else pushes.lines), *view.warnings])

        _show(console, look, is_over, footer)
        view = look()
    console.print(render(view, console.width, most=PLAIN_ROWS))
    if options.picture:
        Path(options.picture).write_text(picture(view, PICTURE_COLUMNS, "./scripts/run", PICTURE_LINES), encoding="utf-8")
    return _judge(stage, names, options.seconds is not None, view, pushes)


def _show(console: Console, look: Callable[[str], View], is_over: Callable[[], bool], footer: str) -> None:
    """Show the table until it is over: live on a terminal, else the worst of it every few seconds."""
    if console.is_terminal:
        with Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as drawn:
            while not is_over():
                drawn.update(render(look(footer), *console.size), refresh=True)
                time.sleep(LOOK_EVERY_S)
        return
    due = time.monotonic() + PLAIN_EVERY_S
    while not is_over():
        time.sleep(LOOK_EVERY_S)
        view = look("")
        if time.monotonic() >= due:
            due += PLAIN_EVERY_S
            console.print(render(view, console.width, most=PLAIN_ROWS))
            console.print()


def _are_online(view: View) -> bool:
    return bool(view.rows) and all(row.state == "online" and row.age_s is not None for row in view.rows)


def _judge(stage: Stage, names: Sequence[str], is_timed: bool, view: View, pushes: Pushes | None) -> int:
    """Say what went wrong, and give the exit status."""
    dead: list[Child] = stage.dead()
    for child in dead[:MOST_DEAD]:
        lines = [f"\n{child.name} ended by itself, exit status {child.process.returncode}. Its last lines:", *child.last(LAST_LINES)]
        print(*lines, sep="\n  ", file=sys.stderr)
    silent = sorted(set(names) - {row.ap for row in view.rows if row.age_s is not None}) if is_timed else []
    if silent:
        more = f" and {len(silent) - MOST_NAMED} more" if len(silent) > MOST_NAMED else ""
        print(f"\nno report from: {', '.join(silent[:MOST_NAMED])}{more}", file=sys.stderr)
    return int(bool(dead) or bool(silent) or (pushes is not None and pushes.has_failed))


if __name__ == "__main__":
    sys.exit(main())
