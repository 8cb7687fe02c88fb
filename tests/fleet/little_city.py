"""A city's directory with certificates and a mosquitto, without `rwctl init`: what the tests of the city's connection and ingest stand on.

The broker has the city's listener (TLS, certificates) and a plain one beside it, by which the tests play the access points.
"""

from __future__ import annotations

import select
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt

from fleet.city import INGEST, OPERATOR, Broker, City
from tests.mosquitto import Mosquitto, free_port
from tests.pki import Authority

ACCESS_POINTS = ("rw-0501", "rw-0502", "rw-0503")


class LittleCity:
    """One city `malang` with its broker, started; `agents` is a plain client of it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        broker = folder / "broker"
        for name in ("ca", "clients", "store", "broker"):
            (folder / name).mkdir()
        authority = Authority(folder / "ca", "ca")
        Path(authority.file).rename(folder / "ca/ca.pem")
        operators = Authority(folder / "ca", "operators")
        Path(operators.file).rename(folder / "ca/operators.pem")
        for name in (INGEST, OPERATOR):
            pair = operators.client(name)
            shutil.move(pair.cert, folder / "clients" / f"{name}.pem")
            shutil.move(pair.key, folder / "clients" / f"{name}.key")
        self.plain_port = free_port()
        extra = [
            *("require_certificate true", "use_identity_as_username true", "max_inflight_messages 1000", "max_queued_messages 100000"),
            *("persistence true", f"persistence_location {broker}/", "autosave_interval 1", f"listener {self.plain_port} 127.0.0.1"),
        ]
        self.server = authority.server()
        self.broker = Mosquitto(broker, server=self.server, ca_file=str(folder / "ca/operators.pem"), extra="\n".join(extra))
        self.city = City(folder, "malang", broker=Broker(city_host="127.0.0.1", city_port=self.broker.port))

    def agents(self, client_id: str = "agents") -> mqtt.Client:
        """Connect a plain client that publishes in the access points' name."""
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=True)
        client.max_inflight_messages_set(500)
        until(lambda: _answers(self.plain_port), what="the plain listener")
        client.connect("127.0.0.1", self.plain_port)
        client.loop_start()
        return client

    def __enter__(self) -> LittleCity:
        self.broker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.broker.kill()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def leave(client: mqtt.Client) -> None:
    """Disconnect a plain client."""
    client.disconnect()
    client.loop_stop()


def until(is_so: Callable[[], Any], seconds: float = 15.0, what: str = "it") -> Any:
    """Wait until something is so; give what it gave."""
    deadline = time.monotonic() + seconds
    while not (given := is_so()):
        assert time.monotonic() < deadline, f"{what} did not come to be within {seconds} s"
        select.select([], [], [], 0.01)
    return given
