"""What `./scripts/run` shows: a broker on loopback, this machine's own agent and 12 simulated access points, in a live table; and pushes to three.

Everything it starts lives in one temporary folder and is ended with it. Nothing leaves loopback unless --probe is given.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from fleet import watch
from fleet.demo_push import Pushes, make_key
from fleet.table import picture, render

CITY = "demo"
SIMULATED = 12
FIRST = 501
BROKER_WITHIN_S = 15.0
AGENTS_WITHIN_S = 6.0
KILLED_WITHIN_S = 3.0
LAST_LINES = 12
MOST_DEAD = 3
PUSHES_WITHIN_S = 240.0
PICTURE_COLUMNS = 116
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)

BROKERS = {
    "mosquitto": """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
max_queued_messages 10000
log_dest stderr
""",
    "amqtt": """\
listeners:
  default:
    type: tcp
    bind: 127.0.0.1:{port}
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin:
    allow_anonymous: true
""",
}
HINTS = {
    "mosquitto": "mosquitto_sub -p {port} -v -t 'wifi/v1/{city}/#'",
    "amqtt": "amqtt on port {port} speaks MQTT 3.1.1 only: the agents find that out within half a minute",
}

SETTINGS = """\
[agent]
id = "{ap}"
city = "{city}"
[broker]
host = "127.0.0.1"
port = {port}
tls = false
[report]
interval_s = 5
sample_s = 2
[probe]
interval_s = {probe_s}
[router]
backend = "{backend}"
adopt = ["public_radio0", "public_radio1"]
[push]
keys_dir = "{folder}/keys"
secrets_dir = "{folder}/{ap}/secrets"
[paths]
state_dir = "{folder}/{ap}/state"
run_dir = "{folder}/{ap}/run"
"""
SEEDED = """\
[simulated]
seed = {seed}
"""


class CannotStart(Exception):
    """The demo cannot be shown; the text says why."""


class Child(NamedTuple):
    """One process of ours and its log."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


class Stage:
    """Everything that runs for the demo, and the temporary folder it lives in."""

    def __init__(self) -> None:
        # Others may look into the folder: the broker gives up being root before it reads its settings. No secret lies in it.
        self.folder = Path(tempfile.mkdtemp(prefix="rwagent-demo-", dir=_place()))
        self.folder.chmod(0o755)
        self.children: list[Child] = []
        # Ends what is left should this process be killed outright: its standard input ends with us.
        command = [sys.executable, "-m", "fleet.demo_end", str(self.folder)]
        self._heir = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)

    def start(self, name: str, command: Sequence[str], user: str | None = None) -> Child:
        """Start a process in a session of its own, so that Ctrl-C reaches only us; its output goes to a log."""
        log = self.folder / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_die_with_parent,
                user=user,
                group=None if user is None else pwd.getpwnam(user).pw_gid,
                extra_groups=None if user is None else [],
            )
        child = Child(name, process, log)
        self.children.append(child)
        return child

    def stop(self) -> None:
        """End all: the agents first, so that they can say goodbye, then the broker; by force what does not go."""
        for children, seconds in ((self.children[1:], AGENTS_WITHIN_S), (self.children[:1], KILLED_WITHIN_S)):
            for child in children:
                child.process.terminate()
            deadline = time.monotonic() + seconds
            for child in children:
                try:
                    child.process.wait(max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    child.process.kill()
                    child.process.wait()
        self.children = []
        self._heir.communicate()

    def dead(self) -> list[Child]:
        """Every process that ended without being asked."""
        return [child for child in self.children if child.process.poll() is not None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 0 when it went well, 1 with what is wrong, 2 wrong arguments."""
    options = _parser().parse_args(arguments)
    stop, console = watch.Stop(), Console()
    stage = Stage()
    try:
        key = make_key(stage.folder / "keys", stage.folder / "signing")
        with console.status("starting the broker and 13 agents"):
            kind = options.broker if options.broker != "auto" else "mosquitto" if shutil.which("mosquitto") else "amqtt"
            port = _start_broker(stage, kind, lambda: stop.is_asked)
            names = _start_agents(stage, port, options.probe)
        hint = f"{HINTS[kind].format(port=port, city=CITY)}\npushes by hand: the key is {stage.folder}/signing/demo.sec"
        footer = f"{names[0]} is this machine, the others are simulated. Ctrl-C stops everything.\n{hint}"
        pushes = None if options.no_pushes else Pushes(port, CITY, names[1:], key)
        try:
            return _watch(stage, port, names, options, console, stop, footer, pushes)
        finally:
            if pushes is not None:
                pushes.close()
    except CannotStart as error:
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
    parser.add_argument("--keep", action="store_true", help="keep the temporary folder with settings and logs")
    parser.add_argument("--probe", action="store_true", help="let this machine's agent probe its gateway, resolver and way out")
    parser.add_argument("--broker", choices=[*BROKERS, "auto"], default="auto", help="which broker to start (default: mosquitto where it is)")
    parser.add_argument("--no-pushes", action="store_true", help="show the table only, push nothing")
    parser.add_argument("--picture", metavar="FILE", help="write the last table as an SVG picture")
    return parser


def _watch(
    stage: Stage,
    port: int,
    names: Sequence[str],
    options: argparse.Namespace,
    console: Console,
    stop: watch.Stop,
    footer: str,
    pushes: Pushes | None,
) -> int:
    began = time.monotonic()
    listener = watch.Listener("127.0.0.1", port, CITY)
    broker = stage.children[0]

    def is_over() -> bool:
        if stop.is_asked or broker.process.poll() is not None:
            return True
        ran_s = time.monotonic() - began
        is_showing = pushes is not None and pushes.has_begun and not pushes.is_over and ran_s < PUSHES_WITHIN_S
        return options.seconds is not None and ran_s > options.seconds and not is_showing

    def warnings() -> list[str]:
        if pushes is not None and (pushes.has_begun or _are_online(listener, names)):
            pushes.advance()
        ended = [" ".join([f"{child.name} ended by itself, status {child.process.returncode}:", *_last_lines(child, 1)]) for child in stage.dead()[:MOST_DEAD]]
        return ended + ([] if pushes is None else pushes.lines)

    try:
        if watch.wait_for(listener, is_over):
            watch.show(console, listener, is_over, warnings, footer)
        view = watch.view_of(listener)
    finally:
        listener.close()
    console.print(render(view._replace(warnings=() if pushes is None else pushes.lines), console.width))
    if options.picture:
        Path(options.picture).write_text(picture(view, PICTURE_COLUMNS, "./scripts/run"), encoding="utf-8")
    dead = stage.dead()
    for child in dead[:MOST_DEAD]:
        lines = [f"\n{child.name} ended by itself, exit status {child.process.returncode}. Its last lines:", *_last_lines(child, LAST_LINES)]
        print(*lines, sep="\n  ", file=sys.stderr)
    if len(dead) > MOST_DEAD:
        print(f"\n{len(dead) - MOST_DEAD} more ended by themselves: {', '.join(child.name for child in dead[MOST_DEAD:])}", file=sys.stderr)
    silent = sorted(set(names) - {row.ap for row in view.rows if row.age_s is not None})
    if options.seconds is not None and silent:
        print(f"\nno report from: {', '.join(silent)}", file=sys.stderr)
    has_failed = pushes is not None and pushes.has_failed
    return int(bool(dead) or has_failed or (options.seconds is not None and bool(silent)))


def _are_online(listener: watch.Listener, names: Sequence[str]) -> bool:
    rows = listener.city.rows(time.monotonic())
    return {row.ap for row in rows if row.state == "online" and row.age_s is not None} >= set(names)


def _start_broker(stage: Stage, kind: str, is_over: Callable[[], bool]) -> int:
    port = _free_port()
    program = shutil.which(kind) or shutil.which(kind, path=str(Path(sys.executable).parent))
    if program is None:
        raise CannotStart(f"no {kind} on this machine. On Debian or Ubuntu:  sudo apt install mosquitto")
    settings = stage.folder / "broker.conf"
    settings.write_text(BROKERS[kind].format(port=port), encoding="utf-8")
    settings.chmod(0o644)  # whatever the umask: it is read by another user
    # As root mosquitto would change its user itself, and with that forget to die with its parent.
    broker = stage.start("broker", [program, "-c", str(settings)], "nobody" if kind == "mosquitto" and os.geteuid() == 0 else None)
    deadline = time.monotonic() + BROKER_WITHIN_S
    while not is_over():
        if broker.process.poll() is not None or time.monotonic() > deadline:
            raise CannotStart("\n  ".join([f"{kind} does not start. Its last lines:", *_last_lines(broker, LAST_LINES)]))
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                break
        except OSError:
            time.sleep(0.05)
    return port


def _start_agents(stage: Stage, port: int, is_probing: bool) -> list[str]:
    simulated = [f"rw-{FIRST + number:04d}" for number in range(SIMULATED)]
    names = [own_name(socket.gethostname(), simulated), *simulated]
    for number, ap in enumerate(names):
        is_own = number == 0
        (stage.folder / ap).mkdir()
        (stage.folder / ap / "state").mkdir(0o700)  # the applier's alone, or it refuses to run
        text = SETTINGS.format(
            ap=ap,
            city=CITY,
            port=port,
            folder=stage.folder,
            backend="linux" if is_own else "simulated",
            probe_s=0 if is_own and not is_probing else 10,
        )
        settings = stage.folder / f"{ap}.toml"
        settings.write_text(text if is_own else text + SEEDED.format(seed=FIRST + number), encoding="utf-8")
        stage.start(ap, [sys.executable, "-m", "agent", "run", "--config", str(settings)])
    return names


def own_name(hostname: str, taken: Sequence[str]) -> str:
    """Make a host's name an access point's: 1 to 48 of a-z, 0-9 and -, and none of `taken`."""
    letters = (c if c.isascii() and c.isalnum() else "-" for c in hostname.split(".")[0].lower())
    name = "".join(letters).strip("-")[:40].strip("-") or "this-machine"
    return f"{name}-linux" if name in taken else name


def _last_lines(child: Child, count: int) -> list[str]:
    return child.log.read_text(encoding="utf-8", errors="backslashreplace").splitlines()[-count:]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _place() -> str | None:
    """RAM where there is some to write to: an agent's run_dir is no place for a disk."""
    return next((place for place in ("/dev/shm", "/run") if os.access(place, os.W_OK | os.X_OK)), None)


def _die_with_parent() -> None:
    """Runs in the child: even a demo that is killed outright leaves nothing running."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
