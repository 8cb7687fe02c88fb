"""A real mosquitto for tests, on a port of its own, and an observer that is not our code.

Ends only the processes it started.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.pki import Pair

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
READY_WITHIN_S = 60.0


def free_port(host: str = "127.0.0.1") -> int:
    """Give a TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def program(name: str) -> str:
    """Give a program's path; the tests that need it are marked so."""
    found = shutil.which(name, path=PATH)
    assert found is not None, name
    return found


class Mosquitto:
    """One broker with one listener. `server` makes it speak TLS, `mutual` asks clients for a certificate whose CN becomes the user name."""

    def __init__(
        self,
        folder: Path,
        *,
        server: Pair | None = None,
        ca_file: str | None = None,
        mutual: bool = False,
        acl: str | None = None,
        passwords: dict[str, str] | None = None,
        extra: str = "",
        host: str = "127.0.0.1",
        prefix: tuple[str, ...] = (),
    ) -> None:
        self.host = host
        self.port = free_port() if not prefix else 18830
        self.folder = folder
        self._prefix = prefix
        self._process: subprocess.Popen[bytes] | None = None
        lines = [f"listener {self.port} {host}", "persistence false", "log_type all", "connection_messages true", "user root"]
        lines.append(f"allow_anonymous {'false' if passwords or mutual else 'true'}")
        if server is not None:
            lines += [f"certfile {server.cert}", f"keyfile {server.key}"]
        if ca_file is not None:
            lines.append(f"cafile {ca_file}")
        if mutual:
            lines += ["require_certificate true", "use_identity_as_username true"]
        if acl is not None:
            (folder / "acl").write_text(acl)
            lines.append(f"acl_file {folder / 'acl'}")
        if passwords:
            self._write_passwords(passwords)
            lines.append(f"password_file {folder / 'passwords'}")
        self._config = folder / f"mosquitto-{self.port}.conf"
        self._config.write_text("\n".join([*lines, extra, ""]))
        self._log = folder / f"mosquitto-{self.port}.log"

    def start(self) -> Mosquitto:
        """Start and wait until it accepts connections."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([*self._prefix, program("mosquitto"), "-c", str(self._config)], stdout=log, stderr=log)
        until = time.monotonic() + READY_WITHIN_S
        while True:
            try:
                socket.create_connection((self.host, self.port), timeout=1).close()
                return self
            except OSError:
                assert self._process.poll() is None, self.log()
                assert time.monotonic() < until, self.log()
                select.select([], [], [], 0.01)

    def stop(self) -> None:
        """End it in order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut does."""
        self._end(signal.SIGKILL)

    def log(self) -> str:
        """Give what it logged so far."""
        return self._log.read_text(errors="replace")

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, qos: int = 1, more: tuple[str, ...] = ()) -> None:
        """Publish with mosquitto_pub and wait for its end."""
        arguments = [program("mosquitto_pub"), "-h", self.host, "-p", str(self.port), "-t", topic, "-q", str(qos), "-s", *more]
        subprocess.run(arguments + (["-r"] if retain else []), input=payload, check=True, timeout=10)

    def __enter__(self) -> Mosquitto:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(10)
            self._process = None

    def _write_passwords(self, passwords: dict[str, str]) -> None:
        file = self.folder / "passwords"
        file.touch()
        for name, password in passwords.items():
            subprocess.run([program("mosquitto_passwd"), "-b", str(file), name, password], check=True, timeout=10, capture_output=True)


class Observer:
    """mosquitto_sub on `#`: what anybody would see. Each message is a dict with topic, payload, retain and qos."""

    def __init__(self, broker: Mosquitto, topic: str = "#", more: tuple[str, ...] = ()) -> None:
        self.messages: list[dict[str, Any]] = []
        self._rest = b""
        arguments = [program("mosquitto_sub"), "-h", broker.host, "-p", str(broker.port), "-t", topic, "-t", "observer/ready", "-q", "1", "-V", "5", "-F", "%j"]
        self._process = subprocess.Popen([*arguments, *more], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        until = time.monotonic() + READY_WITHIN_S
        while not any(message["topic"] == "observer/ready" for message in self.messages):
            assert time.monotonic() < until, "the observer does not get ready"
            broker.publish("observer/ready", b"yes", more=more)
            self.read(0.05)

    def read(self, seconds: float = 0.0) -> list[dict[str, Any]]:
        """Read what has come, waiting up to `seconds` for the first of it; give everything since the start."""
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        while select.select([fd], [], [], seconds)[0]:
            chunk = os.read(fd, 65536)
            if not chunk:
                break
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            self.messages += [json.loads(line) for line in lines]
            seconds = 0.0
        return self.messages

    def seen(self, topic: str) -> list[dict[str, Any]]:
        """Give the messages on one topic so far."""
        return [message for message in self.read() if message["topic"] == topic]

    def wait(self, is_there: Callable[[dict[str, Any]], bool], seconds: float = 10.0) -> dict[str, Any]:
        """Wait for a message; give it."""
        until = time.monotonic() + seconds
        while True:
            for message in self.read(0.02):
                if is_there(message):
                    return message
            assert time.monotonic() < until, self.messages

    def __enter__(self) -> Observer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait(10)
        if self._process.stdout is not None:
            self._process.stdout.close()
