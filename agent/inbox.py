"""The daemon's letter box for root: run_dir/inbox, where a push lies until root has looked at it, beside it a mark that asks for another look.

Whole files by rename, the newest wins. Root trusts nothing that lies here, and neither deletes nor writes in it.
"""

from __future__ import annotations

import importlib
import os

from agent.said import read_bytes
from agent.wire import jws

DESIRED, PLAN, CONFIRM = "desired", "plan", "confirm"
AGAIN = ".again"
# The one algorithm, where Python has it by itself: hashlib would bring all of OpenSSL's for 110 KiB of private memory.
_MODULES = ("_sha2", "_sha256", "hashlib")


class Inbox:
    """The directory, made when the first file is put."""

    def __init__(self, run_dir: str) -> None:
        self._folder = os.path.join(run_dir, "inbox")

    def read(self, name: str) -> bytes | None:
        """Give the file that lies there, None when there is none."""
        return read_bytes(os.path.join(self._folder, name), jws.MAX_BYTES)

    def lying(self, name: str) -> str:
        """Give the SHA-256 (hex) of the file that lies there, "" when there is none."""
        found = self.read(name)
        return "" if found is None else sha256(found)

    def ask_again(self, name: str) -> None:
        """Have root look once more at a file that it has judged; OSError when it cannot be asked."""
        self.put(name + AGAIN, os.urandom(8).hex().encode())

    def put(self, name: str, content: bytes) -> None:
        """Put a file there in the place of the former one; OSError when it cannot be written."""
        try:
            os.mkdir(self._folder, 0o700)
        except FileExistsError:
            os.chmod(self._folder, 0o700)
        new = os.path.join(self._folder, f".new-{name}")
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(content)
        os.replace(new, os.path.join(self._folder, name))


def sha256(content: bytes) -> str:
    """Give the SHA-256 as hex digits."""
    for name in _MODULES:
        try:
            made: str = importlib.import_module(name).sha256(content).hexdigest()
        except ImportError:
            continue
        return made
    raise RuntimeError("this Python has no SHA-256")
