"""The README's first command, run for real in a terminal: a city of 552 access points in the table, and nothing left after Ctrl-C."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FIRST_WITHIN_S, SHOWN_WITHIN_S = 60.0, 240.0
GONE_WITHIN_S = 45.0
MARK = "RWAGENT_TEST_MARK"

pytestmark = [pytest.mark.story, pytest.mark.needs("setsid")]
needs_mosquitto = pytest.mark.needs("mosquitto")


class Terminal:
    """A command in a pseudo-terminal of its own, as a person has one; every process it starts carries a mark."""

    def __init__(self, *command: str) -> None:
        self.mark = uuid.uuid4().hex
        self.text = ""
        self._own, other = pty.openpty()
        environment = os.environ | {MARK: self.mark, "RWAGENT_SETUP": "skip", "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *command], cwd=ROOT, env=environment, stdin=other, stdout=other, stderr=other, start_new_session=False
        )
        os.close(other)

    def read_until(self, pattern: str, seconds: float) -> None:
        """Read what it shows until `pattern` was shown; fail with the last of it after `seconds`."""
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            if not self._read(deadline - time.monotonic()):
                pytest.fail(f"{pattern!r} was not shown within {seconds:.0f} s (exit status {self.process.poll()}); the last was:\n{self.text[-3000:]}")

    def type(self, keys: bytes) -> None:
        """Type keys."""
        os.write(self._own, keys)

    def wait(self, seconds: float) -> int:
        """Wait for its end, reading on, and give its exit status."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < deadline:
            self._read(0.2)
        return self.process.wait(1)

    def processes(self) -> dict[int, str]:
        """Every process on this machine that carries the mark, with its command line."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if f"{MARK}={self.mark}".encode() in (folder / "environ").read_bytes():
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue  # it ended meanwhile, or is not ours to look at
        return found

    def close(self) -> None:
        """End what is left, by number."""
        for number in self.processes():
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(5)
        os.close(self._own)

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._own], [], [], max(0.0, seconds))
        try:
            data = os.read(self._own, 65536) if ready else b""
        except OSError:
            data = b""  # the other end is closed
        self.text += re.sub(r"\x1b[\[(][0-9;?]*[A-Za-z]", "", data.decode(errors="replace"))
        return bool(data)


@pytest.fixture
def terminal(request: pytest.FixtureRequest) -> Iterator[Terminal]:
    """`./scripts/run` just typed, with the test's own options."""
    running = Terminal("./scripts/run", *getattr(request, "param", ()))
    yield running
    running.close()


def folder_of(commands: dict[int, str]) -> Path:
    """The demo's temporary folder, as its processes' command lines name it."""
    found = {name for command in commands.values() for name in re.findall(r"\S*/rwagent-demo-[^/\s]+", command)}
    assert len(found) == 1, commands
    return Path(found.pop())


def working_in(folder: Path) -> dict[int, str]:
    """Every process whose command line names something in the folder: guards keep no environment of ours."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended meanwhile
        if f"{folder}/" in line:
            found[int(process.name)] = line
    return found


@needs_mosquitto
def test_a_city_is_shown_and_ctrl_c_leaves_nothing_running(terminal: Terminal) -> None:
    """551 simulated access points and this machine are online, the commands are told; Ctrl-C ends with status 0, every process and the folder gone."""
    terminal.read_until(r"rwctl init .*--name malang", FIRST_WITHIN_S)
    terminal.read_until("● 552 online", SHOWN_WITHIN_S)
    assert "rwctl enroll --csv" in terminal.text and "rwctl broker run" in terminal.text and "rwctl serve" in terminal.text
    assert re.search(r"second terminal:  \S*rwctl --dir /\S+/city status --where", terminal.text)
    running = terminal.processes()
    folder = folder_of(running)
    for part in ("mosquitto -c", "/city serve", "-m fleet.simulate", "agent.daemon"):
        assert any(part in command for command in running.values()), running
    terminal.type(b"\x03")
    assert (terminal.wait(GONE_WITHIN_S), terminal.processes(), folder.exists()) == (0, {}, False), terminal.text[-3000:]


@pytest.mark.parametrize("terminal", [("--broker", "amqtt", "--no-pushes")], indirect=True)
def test_without_mosquitto_the_broker_from_pypi_serves(terminal: Terminal) -> None:
    """amqtt knows no MQTT 5: the agents fall back to 3.1.1 and all of the smaller city are online, over TLS; what it lacks is said."""
    terminal.read_until("● 37 online", SHOWN_WITHIN_S)
    terminal.read_until("keeps nobody from another's topics", FIRST_WITHIN_S)
    terminal.type(b"\x03")
    assert (terminal.wait(GONE_WITHIN_S), terminal.processes()) == (0, {}), terminal.text[-3000:]


@needs_mosquitto
@pytest.mark.parametrize("terminal", [("--points", "57")], indirect=True)
def test_even_a_demo_that_is_killed_outright_leaves_nothing_running(terminal: Terminal) -> None:
    """SIGKILL in the midst of a push gives no chance to clean up: broker, appliers and guards are ended, the rest ends by itself."""
    terminal.read_until("(applying|testing) [0-9]", 2 * SHOWN_WITHIN_S)
    running = terminal.processes()
    folder = folder_of(running)
    (number,) = [number for number, command in running.items() if "-m fleet.demo " in command and "setsid" not in command]
    os.kill(number, signal.SIGKILL)
    terminal.wait(GONE_WITHIN_S)
    deadline = time.monotonic() + GONE_WITHIN_S
    while (left := terminal.processes() | working_in(folder)) and time.monotonic() < deadline:
        select.select([], [], [], 0.1)
    shutil.rmtree(folder)
    assert left == {}


@needs_mosquitto
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_the_plain_output_names_who_did_not_report(umask: int) -> None:
    """Without a terminal and with too little time: exit status 1 and the names; it starts also where files are private by default."""
    environment = os.environ | {"RWAGENT_SETUP": "skip"}
    command = ["./scripts/run", "--for", "0", "--points", "57"]
    done = subprocess.run(command, cwd=ROOT, env=environment, umask=umask, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, "no report from" in done.stderr) == (1, True), done


@needs_mosquitto
@pytest.mark.long
def test_a_push_is_shown_from_plan_to_confirm_and_a_bad_one_rolls_back(tmp_path: Path) -> None:
    """The output ends only when the last push has ended: planned, confirmed by a kelurahan, rolled back where hostapd refused; and the picture is there."""
    done = subprocess.run(
        ["./scripts/run", "--for", "60", "--points", "114", "--picture", str(tmp_path / "table.svg")],
        cwd=ROOT,
        env=os.environ | {"RWAGENT_SETUP": "skip", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    last = done.stdout[done.stdout.rindex("Access point") :]
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert re.search(r"▶ rwctl plan --to rw-\d+ warga\.toml\n● planned \(bss\): ssids\.public", last)
    assert re.search(r"▶ rwctl push --to kelurahan=\S+ .*\n● confirmed by 2 of 2\b", last)
    assert "▲ rolled back (not_on_air)" in last
    picture = (tmp_path / "table.svg").read_text()
    assert "115&#160;online" in picture and "rolled&#160;back" in picture and len(picture) < 250_000
