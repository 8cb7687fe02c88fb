"""A network namespace of a test's own with caps in its kernel, and an unprivileged process in it that reads them back."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from agent.router.caps import Cap

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "agent/ash/caps"
NOBODY = 65534
_NUMBERS = itertools.count()
_READER = f"""
import json, os, sys
from agent.errors import Unavailable
from agent.router.caps import Cap
from agent.router.traffic_control import standing
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
for line in sys.stdin:
    try:
        said = standing([Cap(*row[:5], tuple(row[5])) for row in json.loads(line)])
    except Unavailable as error:
        said = str(error)
    print(json.dumps(said), flush=True)
"""


class Shaped:
    """The namespace, with cables `b0`, `b1` (two BSSs of an SSID) and `w0` (the way out); gone with the `with`."""

    def __init__(self, folder: Path) -> None:
        self.name = f"rw-shaped-{os.getpid()}-{next(_NUMBERS)}"
        self.file, self.ram, self.status = folder / "caps", folder / "ram", folder / "status"
        self.status.mkdir()

    def __enter__(self) -> Shaped:
        _run("ip", "netns", "add", self.name)
        try:
            for device in ("b0", "b1", "w0"):
                self.add(device)
            command = ["ip", "netns", "exec", self.name, sys.executable, "-c", _READER]
            self._reader = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        except BaseException:
            _run("ip", "netns", "del", self.name)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._reader.stdin is not None and self._reader.stdout is not None
        self._reader.stdin.close()
        self._reader.wait(10)
        self._reader.stdout.close()
        _run("ip", "netns", "del", self.name)

    def add(self, device: str) -> None:
        """Make a device anew."""
        _run("ip", "-n", self.name, "link", "add", device, "type", "veth", "peer", "name", f"p{device}")
        _run("ip", "-n", self.name, "link", "set", device, "up")

    def ip(self, *words: str) -> None:
        """Run ip in it."""
        _run("ip", "-n", self.name, *words)

    def tc(self, *lines: str) -> None:
        """Run lines of tc in it, all at once."""
        # Not `tc -n`: it makes a mount namespace each time.
        _run("ip", "netns", "exec", self.name, "tc", "-batch", "-", text="".join(f"{line}\n" for line in lines))

    def apply(self, text: str) -> None:
        """Have root's script make the kernel as a file of caps says."""
        self.file.write_text(text)
        environment = {"STATUS": str(self.status)} | {name: os.environ[name] for name in ("PATH",)}
        shell = shutil.which("busybox")
        command = ["ip", "netns", "exec", self.name, *([shell, "ash"] if shell else ["sh"]), str(SCRIPT), "apply", str(self.file), str(self.ram)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr

    def standing(self, wanted: Sequence[Cap]) -> Any:
        """Give what an unprivileged process says of the kernel; a text where it could not ask."""
        assert self._reader.stdin is not None and self._reader.stdout is not None
        print(json.dumps(wanted), file=self._reader.stdin, flush=True)
        return json.loads(self._reader.stdout.readline())


def _run(*command: str, text: str | None = None) -> None:
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, (command, text, done.stderr)
