"""The broker of `./scripts/run`: the city's own mosquitto, or where there is none the one from PyPI with the city's certificates."""

from __future__ import annotations

import shutil
import socket
import sys
import time
from pathlib import Path
from typing import NamedTuple

from fleet.demo_city import POINTS
from fleet.demo_stage import CannotStart, Stage

WITHIN_S = 15.0
LAST_LINES = 12

# A certificate of the city's is asked for, but amqtt knows nobody's name from it and has no access list: it keeps nobody from another's topics.
AMQTT = """\
listeners:
  default:
    type: tcp
    bind: 127.0.0.1:{city}
    ssl: true
    cafile: {folder}/ca/operators.pem
    certfile: {folder}/broker/server.pem
    keyfile: {folder}/broker/server.key
  access-points:
    bind: 127.0.0.1:{points}
    cafile: {folder}/ca/ca.pem
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin:
    allow_anonymous: true
"""


class Kind(NamedTuple):
    """A broker: how many access points it bears here, in how many processes, how many connect at once, what happens to them, what is to be said of it."""

    points: int
    processes: int
    dials: int
    moods: str
    note: str = ""


KINDS = {
    "mosquitto": Kind(POINTS, 2, 32, "outages,returns,reboots,clocks"),
    "amqtt": Kind(36, 1, 36, "calm", "amqtt speaks MQTT 3.1.1 only, which the agents find out, and keeps nobody from another's topics."),
}


class Ports(NamedTuple):
    """Where the broker listens: for access points, and for the city's own programs."""

    points: int
    city: int

    @classmethod
    def free(cls) -> Ports:
        """Give two ports that are free now."""
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            other.bind(("127.0.0.1", 0))
            return cls(one.getsockname()[1], other.getsockname()[1])


def kind_of(wanted: str) -> str:
    """Choose the broker: the one that is wanted, else mosquitto where it is; CannotStart where there is none."""
    kind = wanted if wanted != "auto" else "mosquitto" if shutil.which("mosquitto") else "amqtt"
    if _program(kind) is None:
        raise CannotStart(f"no {kind} on this machine. On Debian or Ubuntu:  sudo apt install mosquitto")
    return kind


def start_broker(stage: Stage, kind: str, ports: Ports) -> None:
    """Start it and wait until it listens."""
    if kind == "mosquitto":
        broker = stage.rwctl("broker", "broker", "run")
    else:
        settings = stage.folder / "broker.yaml"
        settings.write_text(AMQTT.format(folder=stage.city, **ports._asdict()), encoding="utf-8")
        broker = stage.start("broker", [_program(kind) or kind, "-c", str(settings)])
    deadline = time.monotonic() + WITHIN_S
    waiting = list(ports)
    while waiting:
        if broker.process.poll() is not None or time.monotonic() > deadline:
            raise CannotStart("\n  ".join([f"{kind} does not start. Its last lines:", *broker.last(LAST_LINES)]))
        try:
            socket.create_connection(("127.0.0.1", waiting[0]), timeout=1).close()
            del waiting[0]
        except OSError:
            time.sleep(0.05)


def _program(kind: str) -> str | None:
    return shutil.which(kind) or shutil.which(kind, path=str(Path(sys.executable).parent))
