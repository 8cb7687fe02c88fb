"""Being told to end."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from fleet.ending import SIGNALS, asked_to_end


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_becomes_an_event(number: signal.Signals) -> None:
    """Each of them, for the while; then what was before is so again."""
    before = signal.getsignal(number)
    with asked_to_end() as is_asked:
        assert not is_asked.is_set()
        os.kill(os.getpid(), number)
        assert is_asked.wait(5)
    assert signal.getsignal(number) is before


def test_another_thread_may_ask_too() -> None:
    """Only the main thread hears signals: elsewhere it is never asked to end."""
    found: list[bool] = []

    def run() -> None:
        with asked_to_end() as is_asked:
            found.append(is_asked.is_set())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(5)
    assert found == [False]
