"""What `rwagent status` says of a daemon that runs, waits, died, or never was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent import run_dir, status

STATE = {
    "v": 1,
    "at": 1790000000.0,
    "uptime_s": 5123.4,
    "broker": {
        "state": "connected", "host": "mqtt.example", "port": 8883, "since_s": 7500.0, "last_reason": "",
        "protocol": "5", "attempts": 0, "reconnects": 2, "next_attempt_in_s": None,
    },
    "outbox": {"count": 3, "bytes": 900, "oldest_seq": 39, "dropped": 0},
    "report": {"seq": 41, "at": 1790000000, "clock": "ntp", "stations": {"now": 14}},
    "alerts": ["uplink-down"],
}  # fmt: skip


@pytest.fixture
def agent() -> Iterator[int]:
    """A living process that looks like the agent by its command line."""
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()", "agent.daemon"], stdin=subprocess.PIPE)
    deadline = time.monotonic() + 10
    while b"agent.daemon" not in Path(f"/proc/{process.pid}/cmdline").read_bytes() and time.monotonic() < deadline:
        os.sched_yield()
    yield process.pid
    process.communicate(timeout=10)


def write(folder: Path, pid: object, **changes: object) -> status.Status:
    (folder / "daemon.json").write_text(json.dumps(STATE | {"pid": pid} | changes))
    return status.read(str(folder))


def broker(**changes: object) -> dict[str, object]:
    return STATE["broker"] | changes  # type: ignore[operator]


def test_a_connected_agent_is_connected(tmp_path: Path, agent: int) -> None:
    """A living process whose last word is connected."""
    assert status.is_connected(write(tmp_path, agent))


def test_a_jailed_agent_is_known_by_its_lock(tmp_path: Path) -> None:
    """In a jail its number is 1, which is somebody else's out here."""
    assert write(tmp_path, 1).why == "process 1 is gone"
    lock = run_dir.hold(str(tmp_path))
    try:
        seen = write(tmp_path, 1)
        assert seen.is_running and "running, in its jail, wrote" in status.render(seen)
    finally:
        os.close(lock)
    assert not write(tmp_path, 1).is_running


def test_the_table_of_a_connected_agent(tmp_path: Path, agent: int) -> None:
    """Broker, protocol, outbox, last report, clients and alerts stand in it, and no remedy."""
    text = status.render(write(tmp_path, agent))
    assert f"running, process {agent}" in text
    assert "connected to mqtt.example:8883, MQTT 5, for 2 h 5 min; 2 reconnects" in text
    assert "3 messages, 900 bytes, oldest seq 39" in text
    assert "seq 41, " in text
    assert "clients  14" in text
    assert "alerts   uplink-down" in text
    assert "->" not in text


@pytest.mark.parametrize(
    ("push", "shown"),
    [
        ({}, "no push yet"),
        ({"revision": 7, "state": "confirmed", "current": 7, "held": False, "refused": 0}, "revision 7 confirmed: in force"),
        (
            {"revision": 8, "state": "rolled_back", "reason": "not_on_air", "current": 7},
            "revision 8 rolled_back (not_on_air): tried and taken back; revision 7 is in force",
        ),
        ({"state": "rejected", "reason": "bad_signature"}, "a push without a revision rejected (bad_signature): not taken"),
        ({"revision": 8, "state": "rolled_back", "held": True}, "revision 8 rolled_back: tried and taken back; held back, push a higher revision"),
        ({"refused": 3}, "no push yet; 3 refused as malformed or foreign"),
    ],
)
def test_how_the_last_push_stands(tmp_path: Path, agent: int, push: dict[str, object], shown: str) -> None:
    """Revision, state and reason, what is in force where that is another one, and what was refused."""
    assert f"config   {shown}\n" in status.render(write(tmp_path, agent, push=push)) + "\n"


def test_an_agent_without_connection_says_why_and_when_next(tmp_path: Path, agent: int) -> None:
    """Not connected: the last reason, the attempt, when the next one comes, and what to do."""
    waiting = broker(state="waiting", last_reason="tcp: 192.0.2.1 port 8883: refused", attempts=4, next_attempt_in_s=8.0, since_s=61.0)
    seen = write(tmp_path, agent, broker=waiting)
    text = status.render(seen)
    assert not status.is_connected(seen)
    assert "not connected to mqtt.example:8883 for 1 min 1 s (waiting): tcp: 192.0.2.1 port 8883: refused; attempt 4, next one within 8 s" in text
    assert "-> `rwagent doctor`" in text


def test_a_dead_agent_is_not_connected(tmp_path: Path) -> None:
    """A process that is gone left its last word behind: it is not believed."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    seen = write(tmp_path, gone.pid)
    assert not status.is_connected(seen)
    assert f"not running: process {gone.pid} is gone" in status.render(seen)


def test_a_number_used_again_is_not_the_agent(tmp_path: Path) -> None:
    """Another process with the dead agent's number is not taken for it."""
    other = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        assert not write(tmp_path, other.pid).is_running
    finally:
        other.communicate(timeout=10)


def test_no_file_says_so_and_what_to_do(tmp_path: Path) -> None:
    """An agent that never ran is not running, and how to start it is said."""
    text = status.render(status.read(str(tmp_path)))
    assert f"not running: there is no {tmp_path}/daemon.json" in text
    assert "-> start it: " in text


def test_a_fifo_in_its_place_does_not_hang(tmp_path: Path) -> None:
    """Reading never waits."""
    os.mkfifo(tmp_path / "daemon.json")
    assert status.read(str(tmp_path)).why == f"{tmp_path}/daemon.json is damaged"


def test_json_has_what_the_daemon_wrote_and_whether_it_runs(tmp_path: Path, agent: int) -> None:
    """For machines: the state file and our judgement of it in one object."""
    told = json.loads(status.to_json(write(tmp_path, agent)))
    assert (told["running"], told["connected"], told["outbox"]["count"], told["broker"]["protocol"]) == (True, True, 3, "5")


def test_json_of_no_agent_says_why(tmp_path: Path) -> None:
    """For machines: not running, and the reason."""
    told = json.loads(status.to_json(status.read(str(tmp_path))))
    assert (told["running"], told["connected"]) == (False, False)
    assert "there is no" in told["why"]


def test_no_control_character_reaches_the_terminal(tmp_path: Path, agent: int) -> None:
    """A reason that a hostile broker chose cannot move the cursor or begin a line."""
    text = status.render(write(tmp_path, agent, broker=broker(state="waiting", last_reason="\x1b[2J\nOK   all well")))
    assert "\x1b" not in text
    assert "\nOK" not in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min 0 s"), (7500, "2 h 5 min"), (90_000, "1 d 1 h"), (None, "?"), (-1, "?"), (float("nan"), "?"), ("x", "?")],
)
def test_durations(seconds: object, text: str) -> None:
    """Time spans are said by their two largest units; nonsense is a question mark."""
    assert status.duration(seconds) == text


JSON = st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3), max_leaves=5)
NAMES = ["state", "since_s", "next_attempt_in_s", "last_reason", "count", "dropped", "at", "seq", "stations"]
PARTS = st.fixed_dictionaries({}, optional={name: JSON | st.dictionaries(st.sampled_from(NAMES), JSON) for name in STATE})


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=50) | JSON.map(lambda value: json.dumps(value).encode()) | PARTS.map(lambda value: json.dumps(value | {"pid": os.getpid()}).encode()))
@pytest.mark.once
def test_any_state_file_is_shown_or_called_damaged(tmp_path: Path, content: bytes) -> None:
    """Whatever stands in the file, status says something and does not fall."""
    (tmp_path / "daemon.json").write_bytes(content)
    seen = status.read(str(tmp_path))
    for one in (seen, seen._replace(is_running=True)):
        assert status.render(one)
        assert json.loads(status.to_json(one))["v"] == 1


def test_safe_mode_is_said_with_what_to_do(tmp_path: Path, agent: int) -> None:
    """Since when, after how many crashes, why, until when, and how to have it tried now; the outbox is left as it lies."""
    told = {"since_s": 720.0, "crashes": 5, "last_crash": "ValueError at agent.report:41", "tries_again_in_s": 1080.0}
    seen = write(tmp_path, agent, safe_mode=told)
    text = status.render(seen)
    assert "safe mode only presence, pushes and the command logs, after 5 crashes, the last one ValueError at agent.report:41; for 12 min 0 s" in text
    assert "tries to run normally again in 18 min 0 s" in text and "/etc/init.d/rwagent restart" in text and "left as it lies" in text
    assert json.loads(status.to_json(seen))["safe_mode"] == told


def test_a_safe_mode_that_is_gone_is_not_running(tmp_path: Path) -> None:
    """What it last said of safe mode is past."""
    assert not status.is_safe(write(tmp_path, 2**22 + 1, safe_mode={"crashes": 5}))


def test_safe_mode_is_the_agent_by_its_command_line(tmp_path: Path) -> None:
    """It is another module than the daemon."""
    pid = os.getpid()
    (tmp_path / str(pid)).mkdir()
    for module, lives in ((b"agent.safe", True), (b"agent.other", False)):
        (tmp_path / str(pid) / "cmdline").write_bytes(b"python3\0-m\0" + module)
        (tmp_path / "daemon.json").write_text(json.dumps(STATE | {"pid": pid}))
        assert status.read(str(tmp_path), str(tmp_path)).is_running is lives
