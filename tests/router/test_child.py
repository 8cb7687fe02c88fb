"""Running one program: bounded, and nothing left behind."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from agent.errors import Unavailable
from agent.router import child
from agent.router.child import Failed, Program


class Alarm(BaseException):
    """What the interval timer raises, as the collectors' guard does."""


def make(directory: Path, body: str, **bounds: float) -> Program:
    """Make a program `tool` of a shell script."""
    tool = directory / "tool"
    tool.write_text(f"#!/bin/sh\n{body}\n")
    tool.chmod(0o755)
    return Program("tool", f"{directory}:/usr/bin:/bin", **bounds)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the kernel have its time to end what was killed: behind everybody else, at the lowest priority, 0.2 s are not enough."""
    monkeypatch.setattr(child, "KILL_WAIT_S", 60.0)


def own_children() -> list[str]:
    """Name the children this process has now, zombies too."""
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


def test_output_is_given(tmp_path: Path) -> None:
    """What the program prints is returned, foreign bytes included."""
    assert os.fsencode(make(tmp_path, r"printf 'a\377b\n'").run()) == b"a\xffb\n"


def test_arguments_are_never_a_shells(tmp_path: Path) -> None:
    """An argument with shell characters arrives as it is."""
    hostile = "$(id); `id` | \"x' \n*"
    assert make(tmp_path, 'printf "%s" "$1"').run(hostile) == hostile


def test_missing_program_is_unavailable(tmp_path: Path) -> None:
    """A program that is not installed is said to be missing."""
    with pytest.raises(Unavailable, match="no such program"):
        Program("tool", str(tmp_path)).run()


def test_failure_is_unavailable_with_the_status(tmp_path: Path) -> None:
    """A failing program gives its exit status, not its output."""
    with pytest.raises(Unavailable, match="tool dev x: exit status 237"):
        make(tmp_path, "echo half; exit 237").run("dev", "x")


def test_file_that_is_no_program_is_unavailable(tmp_path: Path) -> None:
    """What the kernel cannot start (another CPU's program, a torn file) is said to be so."""
    (tmp_path / "tool").write_bytes(b"\x7fELF torn")
    (tmp_path / "tool").chmod(0o755)
    with pytest.raises(Unavailable, match="tool dev: cannot be run: Exec format error"):
        Program("tool", str(tmp_path)).run("dev")


def test_no_descriptor_left_is_unavailable(tmp_path: Path) -> None:
    """A process that is out of file descriptors cannot run a program now; the next time it can."""
    program = make(tmp_path, "echo x")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        with pytest.raises(Unavailable, match="tool: cannot be run: Too many open files"):
            program.run()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert program.run() == "x\n"


@pytest.mark.parametrize("body", ["sleep 60", "exec >&-; sleep 60", "trap '' TERM; while :; do :; done"])
def test_slow_program_is_killed_and_reaped(tmp_path: Path, body: str) -> None:
    """A program over its time is ended, also one that closed its output or ignores signals."""
    with pytest.raises(Unavailable, match=r"within 0\.2 s"):
        make(tmp_path, "exec " + body if body.startswith("sleep") else body, timeout_s=0.2).run()
    assert own_children() == []


def test_endless_output_is_bounded(tmp_path: Path) -> None:
    """A program that never stops talking is cut off."""
    with pytest.raises(Unavailable, match="more than 100000 bytes"):
        make(tmp_path, "exec yes", output_bytes=100000).run()
    assert own_children() == []


@pytest.fixture
def alarm() -> Iterator[None]:
    """Let the interval timer raise."""

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, ring)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("alarm")
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_interrupted_at_any_moment_leaves_nothing(tmp_path: Path) -> None:
    """A handler that raises at whatever instruction leaves no zombie and no child once the next run ends, and the descriptors do not add up."""
    program = make(tmp_path, "exec sleep 0.02")
    program.run()
    before = len(os.listdir("/proc/self/fd"))
    interruptions = 0
    for step in range(150):
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.0001 + step * 0.0002)
            program.run()
            signal.setitimer(signal.ITIMER_REAL, 0)
        except Alarm:
            interruptions += 1
    program.run()
    assert interruptions > 20
    assert own_children() == []
    # One is the interpreter's own: between two instructions inside socket.socketpair nobody owns the descriptor.
    assert len(os.listdir("/proc/self/fd")) <= before + 1


@pytest.mark.usefixtures("alarm")
def test_interruption_ends_the_child_at_once(tmp_path: Path) -> None:
    """An interrupted call does not wait for its child."""
    program = make(tmp_path, "exec sleep 60", timeout_s=60)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    started = time.monotonic()
    with pytest.raises(Alarm):
        program.run()
    assert time.monotonic() - started < 30
    assert own_children() == []


def test_how_a_program_ended_can_be_asked(tmp_path: Path) -> None:
    """A refusal (exit status 1) can be told from a program that died, and both are still Unavailable."""
    for body, code in (("exit 1", 1), ("exit 237", 237), ("kill -9 $$", -9)):
        with pytest.raises(Failed) as caught:
            make(tmp_path, body).run()
        assert caught.value.code == code and isinstance(caught.value, Unavailable)


def test_a_program_is_there_or_not(tmp_path: Path) -> None:
    """Looked for without being run; a file that may not be run is none."""
    assert make(tmp_path, "exit 1").is_there()
    assert not Program("tool", f"{tmp_path}/nowhere").is_there()
    (tmp_path / "tool").chmod(0o644)
    assert not Program("tool", str(tmp_path)).is_there()
