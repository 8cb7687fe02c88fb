"""Who must not run beside whom: one rwagent-apply at a time, by a lock that the kernel takes back from whoever dies, and within it one that changes the box."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def locked(apply_dir: str, wait_s: float) -> Iterator[bool]:
    """Hold apply_dir's lock while entered; False when somebody else keeps it for `wait_s` seconds."""
    with flocked(os.open(os.path.join(apply_dir, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), wait_s) as is_ours:
        yield is_ours


@contextmanager
def flocked(fd: int, wait_s: float) -> Iterator[bool]:
    """Hold the lock of an open file while entered, and close it then; False when somebody else keeps it for `wait_s` seconds."""
    until = time.monotonic() + wait_s
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= until:
                    yield False
                    return
                time.sleep(0.1)
        yield True
    finally:
        os.close(fd)


@contextmanager
def held(lock: threading.Lock, wait_s: float) -> Iterator[bool]:
    """Hold a lock between threads while entered; False when another keeps it for `wait_s` seconds."""
    is_ours = lock.acquire(timeout=wait_s)
    try:
        yield is_ours
    finally:
        if is_ours:
            lock.release()
