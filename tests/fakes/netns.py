"""A network namespace of a test's own, in which our code and `ip` look at the same devices."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_NUMBERS = itertools.count()


class Netns:
    """One namespace; gone with the `with`."""

    def __init__(self) -> None:
        self.name = f"rw-linux-{os.getpid()}-{next(_NUMBERS)}"

    def __enter__(self) -> Netns:
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["ip", "netns", "del", self.name], check=True)

    def ip(self, *arguments: str | bytes) -> str:
        """Run ip in it."""
        done = subprocess.run(["ip", "-n", self.name, *arguments], check=True, capture_output=True)
        return done.stdout.decode("utf-8", "surrogateescape")

    def ip_json(self, *arguments: str) -> Any:
        """Run ip in it and read its JSON."""
        # ip does not escape control characters in a name: strictly, that is no JSON.
        return json.loads(self.ip("-j", *arguments) or "[]", strict=False)

    def python(self, source: str) -> Any:
        """Run Python with our code in it, and read the JSON it prints."""
        argv = ["ip", "netns", "exec", self.name, sys.executable, "-c", source]
        done = subprocess.run(argv, check=False, capture_output=True, text=True, cwd=ROOT, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
