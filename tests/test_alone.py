"""Who waits for whom: between processes by the file's lock, between threads by one in memory."""

from __future__ import annotations

import threading
from pathlib import Path

from agent.alone import held, locked


def test_a_second_one_is_told(tmp_path: Path) -> None:
    """At once, or after as long as it would wait; afterwards it is free."""
    with locked(str(tmp_path), 0) as first, locked(str(tmp_path), 0.15) as second:
        assert (first, second) == (True, False)
    with locked(str(tmp_path), 0) as third:
        assert third


def test_a_thread_that_holds_it_is_waited_for() -> None:
    """As long as that; who did not get it gives nothing back."""
    lock = threading.Lock()
    with held(lock, 0) as first:
        with held(lock, 0.01) as second:
            assert (first, second) == (True, False)
        assert lock.locked()
    assert not lock.locked()
