"""The command line, run for real: its words, its exit codes, and the two process images of `run`."""

from __future__ import annotations

import json
import os
import platform
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.__main__ import Options, _parser, _plain_run
from tests.settings_of import simulated_file

ROOT = Path(__file__).parent.parent
WITHIN_S = 60.0


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Settings of a simulated access point whose broker is not there."""
    return simulated_file(tmp_path)


def rwagent(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "agent", *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=WITHIN_S)


class Running:
    """`rwagent run` in the background, and what it says on stderr."""

    def __init__(self, config: Path) -> None:
        self.process = subprocess.Popen([sys.executable, "-m", "agent", "run", "--config", str(config)], cwd=ROOT, stderr=subprocess.PIPE)
        self.said = b""

    def until(self, pattern: str) -> None:
        """Read stderr until the pattern is said."""
        assert self.process.stderr is not None
        deadline = time.monotonic() + WITHIN_S
        while not re.search(pattern.encode(), self.said):
            assert select.select([self.process.stderr], [], [], max(0.0, deadline - time.monotonic()))[0], self.said.decode()
            more = os.read(self.process.stderr.fileno(), 65536)
            assert more, self.said.decode()
            self.said += more

    def command_line(self) -> list[str]:
        return Path(f"/proc/{self.process.pid}/cmdline").read_bytes().decode().split("\0")[:-1]


@pytest.fixture
def running(config: Path) -> Iterator[Running]:
    """A running agent, ended with the test."""
    agent = Running(config)
    try:
        # By now it listens for signals.
        agent.until("no connection: ")
        yield agent
    finally:
        agent.process.kill()
        agent.process.communicate()


def test_help_shows_every_command_with_an_example() -> None:
    """`--help` names each command there is, an example of each, and the exit codes."""
    said = rwagent("--help").stdout
    for command in ("run", "once", "status", "doctor", "version"):
        assert re.search(rf"^    {command} ", said, re.MULTILINE)
        assert re.search(rf"^  rwagent {command}\b", said, re.MULTILINE)
    assert "exit codes: 0 done, 1 it failed or something is wrong, 2 bad usage or settings" in said


@pytest.mark.parametrize("command", ["run", "once", "status", "doctor", "version"])
def test_each_command_has_its_own_help(command: str) -> None:
    """`COMMAND --help` says what it does, with an example and where the settings lie."""
    done = rwagent(command, "--help")
    assert done.returncode == 0
    assert "--config FILE" in done.stdout
    assert "/etc/rwagent/agent.toml" in done.stdout
    assert f"example:\n  rwagent {command}" in done.stdout


@pytest.mark.parametrize(
    "arguments", [[], ["enroll"], ["config"], ["config", "plan"], ["config", "show", "x"], ["config", "edit"], ["run", "--fast"], ["status", "--config"]]
)
def test_bad_usage_is_exit_2(arguments: list[str]) -> None:
    """A command that does not exist, or none, is bad usage."""
    done = rwagent(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: rwagent" in done.stderr


def test_version_names_the_agent_python_and_the_packages() -> None:
    """One line with all versions that a bug report needs."""
    pattern = rf"rwagent \d+\.\d+\.\d+, Python {re.escape(platform.python_version())}, paho-mqtt \S+, psutil \S+, netifaces(-plus)? \S+, requests \S+"
    assert re.match(pattern, rwagent("version").stdout)


def test_version_needs_no_settings() -> None:
    """It works on a box that is not set up yet."""
    assert rwagent("version", "--config", "/nowhere").returncode == 0


@pytest.mark.parametrize("command", ["run", "once", "status"])
def test_faulty_settings_are_exit_2_with_every_fault(config: Path, command: str) -> None:
    """All faults stand on stderr, one a line, stdout stays empty, and nothing was started."""
    config.write_text('[agent]\ncity = "M"\n[broker]\nhost = "localhost"\ntls = false\nport = 0\n')
    done = rwagent(command, "--config", config)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"{config}: agent.id is missing, expected 1 to 48 of a-z, 0-9 and -, or broker.cert_file with a certificate whose CN is that",
        f'{config}: agent.city is "M", expected 1 to 48 of a-z, 0-9 and -',
        f"{config}: broker.port is 0, expected a whole number from 1 to 65535",
    ]


def test_once_prints_one_report_without_a_broker(config: Path) -> None:
    """One indented JSON report of this access point, with rates, though no broker is there."""
    done = rwagent("once", "--config", config)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["v"], report["ap"]) == (1, "rw-0501")
    assert any("rx_bps" in interface for interface in report["interfaces"])
    assert done.stdout.startswith('{\n  "v": 1,')


def test_a_reader_that_leaves_is_no_traceback(config: Path) -> None:
    """`rwagent once | true` ends quietly."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", "agent", "version"], cwd=ROOT, stdout=write, stderr=subprocess.PIPE, text=True, timeout=WITHIN_S)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def test_status_of_no_agent_is_exit_1_with_what_to_do(config: Path) -> None:
    """Not running: exit 1, why, and how to start it."""
    done = rwagent("status", "--config", config)
    assert done.returncode == 1
    assert "not running: there is no " in done.stdout
    assert "-> start it: " in done.stdout


def test_status_of_an_agent_without_broker_says_why(config: Path, running: Running) -> None:
    """A running agent that is not connected: exit 1 and the reason of the last attempt."""
    deadline = time.monotonic() + WITHIN_S
    while (done := rwagent("status", "--json", "--config", config)).returncode == 1 and time.monotonic() < deadline:
        told = json.loads(done.stdout)
        if "refused" in json.dumps(told.get("broker", {})):
            break
    assert told["running"] is True
    assert told["connected"] is False
    assert told["broker"]["last_reason"] == "tcp: 127.0.0.1 port 1: refused"


def test_run_becomes_the_lean_daemon(running: Running) -> None:
    """The process image is the daemon's own: no parser of command lines or settings is in it."""
    line = running.command_line()
    module = line.index("-m")
    assert line[module : module + 3] == ["-m", "agent.daemon", "--settings-fd"]


@pytest.mark.parametrize("words", [["run"], ["run", "--config", "/etc/x.toml"]])
def test_a_service_is_started_without_argparse(words: list[str]) -> None:
    """What is understood by itself is what argparse would say of the same words."""
    plain = _plain_run(words)
    assert plain == Options(**vars(_parser().parse_args(words)))


@pytest.mark.parametrize("words", [[], ["once"], ["run", "--config"], ["run", "--config", "--help"], ["run", "--help"], ["run", "--last-good-fd", "3"]])
def test_everything_else_is_argparses(words: list[str]) -> None:
    """Usage, faults and the reload go the long way."""
    assert _plain_run(words) is None


def test_run_ends_on_sigterm_with_exit_0(running: Running) -> None:
    """A stop is a success."""
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(WITHIN_S) == 0


@pytest.mark.needs("strace")
def test_run_listens_for_sigterm_before_it_reads_anything(tmp_path: Path) -> None:
    """Process 1 of a jail is not told of a signal that it has no handler for: a stop would come to nothing while the settings are read."""
    file = tmp_path / "there-is-none.toml"
    command = ["strace", "-e", "trace=rt_sigaction,open,openat", sys.executable, "-m", "agent", "run", "--config", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    seen = [at for at, line in enumerate(done.stderr.splitlines()) if "rt_sigaction(SIGTERM, {sa_handler=0x" in line or f'"{file}"' in line]
    lines = done.stderr.splitlines()
    assert done.returncode == 2 and "sa_handler=0x" in lines[seen[0]] and str(file) in lines[seen[1]]


def test_a_reload_takes_the_new_settings(config: Path, running: Running) -> None:
    """SIGHUP: the same process reads its file again."""
    config.write_text(config.read_text().replace("rw-0501", "rw-0502"))
    running.process.send_signal(signal.SIGHUP)
    running.until("started: .* ap=rw-0502 ")
    assert running.process.poll() is None


def test_a_reload_with_faults_keeps_the_last_good_settings(config: Path, running: Running) -> None:
    """SIGHUP with a faulty file: each fault is said, and the agent goes on as it was; corrected, the next SIGHUP is taken."""
    good = config.read_text()
    config.write_text(good.replace("port = 1", "port = 0\nprot = 1"))
    running.said = b""
    running.process.send_signal(signal.SIGHUP)
    running.until("started: .* ap=rw-0501 (.|\n)*no connection: ")
    said = running.said.decode()
    assert f"{config}: broker.port is 0, expected a whole number from 1 to 65535\n{config}: broker.prot is no key of this version" in said
    assert f"{config}: not taken, going on with the settings as they were" in said
    config.write_text(good.replace("rw-0501", "rw-0503"))
    running.process.send_signal(signal.SIGHUP)
    running.until("started: .* ap=rw-0503 ")
    assert running.process.poll() is None


def test_a_reload_leaks_no_descriptor(running: Running) -> None:
    """Each reload hands over one memory file; the former one is closed."""
    counts = []
    for _ in range(3):
        running.said = b""
        running.process.send_signal(signal.SIGHUP)
        running.until("no connection: ")
        links = [os.readlink(f"/proc/{running.process.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{running.process.pid}/fd")]
        counts.append(sum("rwagent-settings" in link for link in links))
    assert counts == [1, 1, 1]


def test_a_descriptor_that_holds_no_settings_is_exit_1(config: Path) -> None:
    """A hand-over that is broken is said in words."""
    done = rwagent("run", "--config", config, "--last-good-fd", "987")
    assert done.returncode == 1
    assert "rwagent run: file descriptor 987 holds no settings" in done.stderr


def test_a_folder_named_agent_in_the_working_directory_is_not_run(config: Path, tmp_path: Path) -> None:
    """Started by its console script anywhere, the second image is our daemon and not what lies around there."""
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "__init__.py").write_text("raise SystemExit('somebody else')")
    start = "import sys; sys.path[:] = [entry for entry in sys.path if entry]; from agent.__main__ import main; sys.exit(main())"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", start, "run", "--config", str(config)]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert "started: " in process.stderr.readline()
        assert Path(f"/proc/{process.pid}/cwd").readlink() == Path("/")
    finally:
        process.kill()
        process.communicate()


def test_doctor_of_a_sick_agent_is_exit_1(config: Path) -> None:
    """No broker and no daemon: both are named, with what to do."""
    done = rwagent("doctor", "--config", config)
    assert done.returncode == 1
    assert re.search(r"^BAD  broker +tcp: 127\.0\.0\.1 port 1: refused\n +-> is the broker running", done.stdout, re.MULTILINE)
    assert re.search(r"^BAD  daemon +not running: ", done.stdout, re.MULTILINE)


def test_doctor_json_is_for_machines(config: Path) -> None:
    """`--json`: one object with every finding."""
    told = json.loads(rwagent("doctor", "--json", "--config", config).stdout)
    assert told["ok"] is False
    assert {"name", "verdict", "what", "remedy"} == set(told["findings"][0])


def test_doctor_of_faulty_settings_is_exit_1_with_every_fault(config: Path) -> None:
    """Faulty settings are findings like others."""
    config.write_text("[brokr]\n")
    done = rwagent("doctor", "--config", config)
    assert done.returncode == 1
    assert f"BAD  settings     {config}: agent.city is missing" in done.stdout
    assert "did you mean [broker]?" in done.stdout
