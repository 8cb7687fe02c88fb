"""Show the access points of a broker on this machine in a live table: `python -m fleet.watch --port N --city demo`.

Only listens: it publishes nothing. paho's callbacks only enqueue; everything else is done by the caller's thread.
"""

from __future__ import annotations

import argparse
import ipaddress
import queue
import signal
import sys
import time
from collections.abc import Callable, Sequence
from types import FrameType

import paho.mqtt.client as mqtt
from rich.console import Console
from rich.live import Live

from agent.wire import topics
from fleet.status import City
from fleet.table import View, render

MOST_WAITING = 50_000
LOOK_EVERY_S = 0.25
PLAIN_EVERY_S = 5.0
CONNECT_WITHIN_S = 5.0
SETTLE_S = 1.5


class Listener:
    """The subscription to one city: connects again by itself, keeps what was heard until it is drained."""

    def __init__(self, host: str, port: int, city: str) -> None:
        self.city = City(city)
        self.is_connected = False
        self._waiting: queue.Queue[tuple[float, str, bytes, bool]] = queue.Queue(MOST_WAITING)
        self._overflow = 0
        # paho 1.6.1 has no such argument; MQTT 3.1.1 is what every broker speaks.
        version = {"callback_api_version": mqtt.CallbackAPIVersion.VERSION2} if hasattr(mqtt, "CallbackAPIVersion") else {}
        self._client = mqtt.Client(client_id="", protocol=mqtt.MQTTv311, clean_session=True, **version)
        self._client.on_connect = self._connected
        self._client.on_disconnect = self._disconnected
        self._client.on_message = self._heard
        self._client.reconnect_delay_set(1, 10)
        self._client.connect_async(host, port, keepalive=30)
        self._client.loop_start()

    def drain(self) -> City:
        """Take in what was heard so far and give the city as known now; it ends, however fast more is heard."""
        self.city.ignored += self._overflow
        self._overflow = 0
        for _ in range(MOST_WAITING):
            try:
                at, topic, payload, is_retained = self._waiting.get_nowait()
            except queue.Empty:
                break
            self.city.hear(at, topic, payload, is_retained)
        return self.city

    def close(self) -> None:
        """Disconnect and end the thread."""
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, client: mqtt.Client, _userdata: object, _flags: object, reason: object, *_: object) -> None:
        if reason == 0:
            self.is_connected = True
            client.subscribe([(topics.subscription(name, self.city.name), 1) for name in (topics.PRESENCE, topics.REPORT, topics.CONFIG_REPORTED)])

    def _disconnected(self, *_: object) -> None:
        self.is_connected = False

    def _heard(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        try:
            self._waiting.put_nowait((time.monotonic(), topic, bytes(message.payload), bool(message.retain)))
        except queue.Full:
            self._overflow += 1


class Stop:
    """Turns SIGINT, SIGTERM and SIGHUP into a flag, so that whatever runs is ended in order."""

    def __init__(self) -> None:
        self.is_asked = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.is_asked = True


def view_of(listener: Listener, footer: str = "", warnings: Sequence[str] = ()) -> View:
    """Give what there is to draw now."""
    city, now = listener.drain(), time.monotonic()
    if not listener.is_connected:
        warnings = ["not connected to the broker, trying again", *warnings]
    return View(city.name, city.rows(now), city.rate(now), city.ignored, footer, warnings)


def show(console: Console, listener: Listener, is_over: Callable[[], bool], warnings: Callable[[], Sequence[str]], footer: str) -> None:
    """Show the table until `is_over`: live on a terminal, else one table every few seconds."""
    if not console.is_terminal:
        _show_plain(console, listener, is_over, warnings)
        return
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while not is_over():
            live.update(render(view_of(listener, footer, warnings()), *console.size), refresh=True)
            time.sleep(LOOK_EVERY_S)


def _show_plain(console: Console, listener: Listener, is_over: Callable[[], bool], warnings: Callable[[], Sequence[str]]) -> None:
    due = time.monotonic() + PLAIN_EVERY_S
    while not is_over():
        time.sleep(LOOK_EVERY_S)
        view = view_of(listener, warnings=warnings())
        if time.monotonic() >= due:
            due += PLAIN_EVERY_S
            console.print(render(view, console.width))
            console.print()


def wait_for(listener: Listener, is_over: Callable[[], bool]) -> bool:
    """Wait until the broker answered and what it retains is heard; False when it did not in time."""
    deadline = time.monotonic() + CONNECT_WITHIN_S
    while not listener.is_connected:
        if is_over() or time.monotonic() > deadline:
            return False
        time.sleep(LOOK_EVERY_S)
    settled = time.monotonic() + SETTLE_S
    while time.monotonic() < settled and not is_over():
        time.sleep(LOOK_EVERY_S)
    return True


def is_loopback(host: str) -> bool:
    """Say whether `host` is this machine: plain text goes nowhere else."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 1 no broker answered, 2 wrong arguments."""
    parser = argparse.ArgumentParser(prog="python -m fleet.watch", description="Show the access points of a broker on this machine in a live table.")
    parser.add_argument("--host", default="127.0.0.1", help="the broker, on loopback (plain text goes nowhere else)")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--city", default="demo")
    parser.add_argument("--once", action="store_true", help="print one table and end")
    parser.add_argument("--for", type=float, dest="seconds", metavar="SECONDS", help="end after this time with a last table")
    options = parser.parse_args(arguments)
    if not is_loopback(options.host):
        parser.error(f"--host is {options.host}, expected a loopback address such as 127.0.0.1")
    if not topics.is_name(options.city):
        parser.error(f"--city is {options.city!r}, expected 1 to {topics.LONGEST_NAME} of a-z, 0-9 and -")
    stop, console = Stop(), Console()
    listener = Listener(options.host, options.port, options.city)
    ends = float("inf") if options.seconds is None else time.monotonic() + options.seconds
    try:
        if not wait_for(listener, lambda: stop.is_asked):
            print(f"no broker answered on {options.host} port {options.port} within {CONNECT_WITHIN_S:.0f} s", file=sys.stderr)
            return 1
        if not options.once:
            show(console, listener, lambda: stop.is_asked or time.monotonic() > ends, lambda: (), "Ctrl-C ends")
        console.print(render(view_of(listener), console.width))
    finally:
        listener.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
