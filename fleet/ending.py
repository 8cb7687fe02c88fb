"""Being told to end: Ctrl-C and the other signals that end a program become an event, so that a verb ends in order."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def asked_to_end() -> Iterator[threading.Event]:
    """Set the event when one of SIGNALS comes, for the while; only in the main thread, elsewhere it is never set."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    former = {number: signal.signal(number, lambda *_: asked.set()) for number in SIGNALS}
    try:
        yield asked
    finally:
        for number, was in former.items():
            signal.signal(number, was)
