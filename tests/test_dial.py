"""One attempt to connect: its thread, its outcome, its end."""

from __future__ import annotations

import os
import select
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from agent.dial import Dial, Outcome, Way, connect
from agent.errors import Unavailable


@pytest.fixture
def wake() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    yield read, write
    os.close(read)
    os.close(write)


def way(port: int, host: str = "127.0.0.1") -> Way:
    return Way(host, port, None, False, None, 5.0)


def wait(dial: Dial, read: int) -> Outcome:
    assert select.select([read], [], [], 10)[0], "no wake-up"
    outcome = dial.take()
    assert outcome is not None
    return outcome


def test_a_socket_is_handed_over_and_the_loop_is_woken(wake: tuple[int, int]) -> None:
    """Once; a second take gives nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dial = Dial(way(listener.getsockname()[1]), wake[1])
        outcome = wait(dial, wake[0])
        assert outcome.sock is not None
        outcome.sock.close()
        assert dial.take() is None


def test_an_abandoned_attempt_closes_what_it_gets_and_wakes_nobody(wake: tuple[int, int]) -> None:
    """A resolver that answers late: the thread ends, the pipe stays empty, the peer sees the end."""
    is_asked, may_answer = threading.Event(), threading.Event()

    def slow() -> ssl.SSLContext:
        is_asked.set()
        may_answer.wait(10)
        raise Unavailable("late")

    dial = Dial(Way("127.0.0.1", 1, slow, False, None, 5.0), wake[1])
    assert is_asked.wait(10)
    dial.abandon()
    assert dial.is_alive()
    may_answer.set()
    until = time.monotonic() + 10
    while dial.is_alive() and time.monotonic() < until:
        select.select([], [], [], 0.01)
    assert not dial.is_alive()
    assert dial.take() is None
    assert not select.select([wake[0]], [], [], 0)[0]


def test_an_outcome_nobody_took_is_closed(wake: tuple[int, int]) -> None:
    """Abandoned after success: the socket is closed, the peer reads the end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dial = Dial(way(listener.getsockname()[1]), wake[1])
        peer, _ = listener.accept()
        assert select.select([wake[0]], [], [], 10)[0]
        dial.abandon()
        peer.settimeout(10)
        assert peer.recv(1) == b""
        peer.close()


def test_plain_text_to_localhost_uses_its_loopback_addresses() -> None:
    """A name is judged by what it resolves to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connect(way(listener.getsockname()[1], "localhost")).close()


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "..", "exa mple\x00", "bücher.example"])
def test_a_name_that_is_none_is_a_reason_not_a_crash(host: str) -> None:
    """Whatever stands in the settings."""
    with pytest.raises(Unavailable, match="resolver: "):
        connect(way(1, host))


def test_a_name_brings_no_tables_for_international_ones() -> None:
    """They would stay in memory for the daemon's whole life; the settings let no such name through."""
    code = (
        "import ssl, sys\n"
        "from agent.dial import Way, connect\n"
        "from agent.errors import Unavailable\n"
        "context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)\n"
        "try:\n    connect(Way('localhost', 1, lambda: context, False, None, 5.0))\n"
        "except Unavailable as error:\n    print('refused' in str(error), 'encodings.idna' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout.split() == ["True", "False"]


def test_the_thread_stack_size_is_left_as_it_was(wake: tuple[int, int]) -> None:
    """It is the process's, not ours."""
    before = threading.stack_size()
    dial = Dial(way(1), wake[1])
    assert threading.stack_size() == before
    assert "refused" in wait(dial, wake[0]).reason
