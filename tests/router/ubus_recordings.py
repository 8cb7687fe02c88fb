"""The recorded conversations of tests/captures/ubus-wire, as tests need them."""

from __future__ import annotations

import json
import pathlib
from typing import NamedTuple

_DIRECTORY = pathlib.Path(__file__).parent.parent / "captures" / "ubus-wire"
NAMES = sorted(path.stem for path in _DIRECTORY.glob("*.json"))


class Recording(NamedTuple):
    """One conversation: the command, how it ended, what it printed, and its bytes in order, each with who sent them."""

    name: str
    command: list[str]
    exit: int
    stdout: str
    steps: list[tuple[str, bytes]]

    def sent(self, by: str) -> bytes:
        """Give everything that one side sent."""
        return b"".join(raw for sender, raw in self.steps if sender == by)

    @property
    def status(self) -> int:
        """Give ubus's status: the command exits with it, or with 256 less it when nobody looks on."""
        return 256 - self.exit if self.exit > 128 else self.exit


def recording(name: str) -> Recording:
    """Read one by its file's name."""
    read = json.loads((_DIRECTORY / f"{name}.json").read_text())
    steps = [(step["from"], bytes.fromhex(step["hex"])) for step in read["bytes"]]
    return Recording(name, read["command"], read["exit"], read["stdout"], steps)
