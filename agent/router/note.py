"""A note in the inbox for root's half where that looks by itself: on plain Linux nobody can be rung for. Writes one small file, as agent/inbox.py does."""

from __future__ import annotations

import os

from agent.errors import Unavailable


def leave(inbox: str, name: str) -> None:
    """Put a file of new content into the inbox, which is made when it is not there; Unavailable when it cannot be written."""
    new = os.path.join(inbox, f".new-{name}")
    try:
        try:
            os.mkdir(inbox, 0o700)
        except FileExistsError:
            os.chmod(inbox, 0o700)
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, os.urandom(8).hex().encode())
        finally:
            os.close(fd)
        os.replace(new, os.path.join(inbox, name))
    except OSError as error:
        raise Unavailable(f"{os.path.join(inbox, name)}: cannot be written: {error.strerror}") from None
