"""reload_linux with a stand-in hostapd process; what a real one does with it is shown in the Wi-Fi guest."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "agent" / "ash" / "reload_linux"
SHELLS = (["sh"], ["busybox", "sh"])
# The kernel names a process by its script, and a subshell keeps name and command line: that is all the script looks at.
HOSTAPD = """#!/bin/sh
cd {here}
echo "$@" >>starts
for file; do :; done
! grep -q refuse "$file" || exit 1
(echo "$file" >running; while :; do sleep 1; done) </dev/null >/dev/null 2>&1 &
echo $! >>pids
"""

pytestmark = pytest.mark.needs("busybox")


class Box:
    """A hostapd started with one file, as -B does it."""

    def __init__(self, here: Path) -> None:
        self.here = here
        self.program = here / "hostapd"
        self.program.write_text(HOSTAPD.format(here=here))
        self.program.chmod(0o755)
        self.file = here / "wlan0.conf"
        self.file.write_text("interface=wlan0\nctrl_interface=/nowhere\nchannel=6\n")
        self.was = here / "was"
        self.was.write_text("interface=wlan0\nctrl_interface=/nowhere\nchannel=1\n")
        self.apply = here / "apply"
        self.apply.mkdir()

    def start(self, *arguments: str) -> int:
        subprocess.run([str(self.program), *arguments], check=True, timeout=20, cwd=self.here)
        return self.pids()[-1]

    def pids(self) -> list[int]:
        return [int(line) for line in (self.here / "pids").read_text().split()] if (self.here / "pids").exists() else []

    def starts(self) -> list[str]:
        return (self.here / "starts").read_text().splitlines()

    def reload(self, shell: list[str]) -> subprocess.CompletedProcess[str]:
        command = [*shell, str(SCRIPT), str(self.apply), str(self.was), str(self.file)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    made = Box(tmp_path)
    yield made
    # By where they are: one in the foreground has a child that wrote no number down.
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.readlink(process / "cwd") == str(made.here):
                os.kill(int(process.name), signal.SIGKILL)


@pytest.mark.parametrize("shell", SHELLS)
def test_another_channel_is_a_restart_as_it_was_started(box: Box, shell: list[str]) -> None:
    """The one that ran is ended, and a new one has the same arguments, also one with a space, from the same directory."""
    first = box.start("-B", "-f", "a log", "wlan0.conf")
    done = box.reload(shell)
    assert done.returncode == 0, done.stderr
    assert not is_alive(first)
    assert box.starts() == ["-B -f a log wlan0.conf"] * 2
    assert is_alive(box.pids()[-1])


@pytest.mark.parametrize("shell", SHELLS)
def test_a_file_that_is_refused_is_said_and_put_back(box: Box, shell: list[str]) -> None:
    """The new one does not start: exit 1. With the old file back it does, though nobody runs any more who could be asked how."""
    good = box.file.read_text()
    box.start("-B", str(box.file))
    box.file.write_text(good + "# refuse\nwpa_passphrase=geheim-geheim\n")
    done = box.reload(shell)
    assert (done.returncode, done.stdout) == (1, "")
    assert "does not start" in done.stderr and "geheim" not in done.stderr
    assert not any(is_alive(pid) for pid in box.pids())
    box.was, box.file = box.file, box.file
    box.file.write_text(good)
    assert box.reload(shell).returncode == 0
    assert is_alive(box.pids()[-1])


def test_another_radios_hostapd_is_left_alone(box: Box) -> None:
    """A process is told by its file, whatever the file's name is elsewhere."""
    (box.here / "other").mkdir()
    other = box.here / "other" / "wlan0.conf"
    other.write_text("interface=wlan1\n")
    stranger = box.start("-B", str(other))
    ours = box.start("-B", str(box.file))
    assert box.reload(["sh"]).returncode == 0
    assert is_alive(stranger)
    assert not is_alive(ours)


def test_without_a_hostapd_it_says_so(box: Box) -> None:
    """There is nobody to tell, and nothing is known of how one is started."""
    done = box.reload(["sh"])
    assert done.returncode == 1
    assert "no hostapd runs" in done.stderr
    assert not (box.here / "starts").exists()


def test_one_in_the_foreground_stays_there(box: Box) -> None:
    """Without -B it does not return: it is not waited for."""
    box.program.write_text(
        HOSTAPD.format(here=box.here)
        .replace("</dev/null >/dev/null 2>&1 &", "")
        .replace("echo $! >>pids", "")
        .replace("(echo", "echo $$ >>pids; (exec 2>&1; echo")
    )
    child = subprocess.Popen([str(box.program), str(box.file)], stdout=subprocess.DEVNULL, cwd=box.here)
    ends = time.monotonic() + 10
    while not box.pids() and time.monotonic() < ends:
        time.sleep(0.05)
    assert box.reload(["sh"]).returncode == 0
    child.wait(10)
    ends = time.monotonic() + 10
    while len(box.pids()) < 2 and time.monotonic() < ends:
        time.sleep(0.05)
    assert is_alive(box.pids()[1])


@pytest.mark.parametrize("shell", SHELLS)
def test_a_later_one_ends_the_one_before_it(box: Box, shell: list[str]) -> None:
    """With whom it started: its caller was killed, the file is another by now, and it would work against whoever put that there."""
    box.program.write_text(HOSTAPD.format(here=box.here).replace("! grep", "grep -q slow $file && { echo $$ >slow; sleep 30; echo late >>starts; }\n! grep"))
    good = box.file.read_text()
    box.start("-B", str(box.file))
    box.file.write_text(good + "# slow\n")
    first = subprocess.Popen([*shell, str(SCRIPT), str(box.apply), str(box.was), str(box.file)], stderr=subprocess.DEVNULL)
    ends = time.monotonic() + 20
    while not (box.here / "slow").exists() and time.monotonic() < ends:
        time.sleep(0.05)
    slow = int((box.here / "slow").read_text())
    box.file.write_text(good)
    done = box.reload(shell)
    assert done.returncode == 0, done.stderr
    assert first.wait(10) == -9 and not is_alive(slow)
    assert is_alive(box.pids()[-1]) and len(box.starts()) == 3


def test_a_turn_of_another_process_is_nobodys(box: Box) -> None:
    """The number of a dead one may be anybody's by now."""
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        (box.apply / "hostapd").mkdir()
        (box.apply / "hostapd/.turn").write_text(f"{bystander.pid} 1\n")
        box.start("-B", str(box.file))
        assert box.reload(["sh"]).returncode == 0 and bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


HEAD = "interface=wlan0\nctrl_interface=DIR={here} GROUP=wheel\ndriver=nl80211\nhw_mode=g\nchannel=6\nssid=private\n"
FIRST, SECOND = "bss=rw-a-2g\nssid=a\nwpa_passphrase=one-one-one\n", "bss=rw-b-2g\nssid=b\n"
STATUS = "state=ENABLED\nphy=phy7\nbss[0]=wlan0\nbssid[0]=02:00:00:00:00:0e\nbss[1]=rw-a-2g\nbssid[1]=02:00:00:00:00:0f\n"


class Sockets:
    """hostapd's global socket and that of its first network; keeps what it was told, and what stood in the files it was told of."""

    def __init__(self, here: Path, status: str = STATUS, answer: str = "OK\n") -> None:
        self.told: list[str] = []
        self.files: list[str] = []
        self._answers = {here / "wlan0": status, here / "global": answer}
        for path in self._answers:
            link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            link.bind(str(path))
            threading.Thread(target=self._serve, args=(link, path), daemon=True).start()

    def _serve(self, link: socket.socket, path: Path) -> None:
        while True:
            question, sender = link.recvfrom(4096)
            words = question.decode()
            if words.startswith(("ADD", "REMOVE")):
                self.told.append(words)
            if found := re.match("ADD bss_config=phy7:(.*)", words):
                self.files.append(Path(found[1]).read_text())
            link.sendto(self._answers[path].encode(), sender)


def lay_out(box: Box, was: str, will: str) -> int:
    head = HEAD.format(here=box.here)
    box.was.write_text(head + was)
    box.file.write_text(head + will)
    return box.start("-B", "-g", str(box.here / "global"), str(box.file))


@pytest.mark.needs("hostapd_cli")
@pytest.mark.parametrize("shell", SHELLS)
def test_only_what_changed_is_taken_away_and_added(box: Box, shell: list[str]) -> None:
    """By the global socket, with the radio's own lines and an address that nobody has; nobody is restarted, and no copy with a key stays."""
    sockets = Sockets(box.here)
    running = lay_out(box, FIRST + SECOND + "# a comment\n", FIRST.replace("one", "two") + SECOND)
    done = box.reload(shell)
    assert done.returncode == 0, done.stderr
    assert [word.partition(":")[0] for word in sockets.told] == ["REMOVE rw-a-2g", "ADD bss_config=phy7"]
    radio = "driver=nl80211\nhw_mode=g\nchannel=6\n"
    assert sockets.files == [radio + "interface=rw-a-2g\nbssid=02:00:00:00:00:00\nssid=a\nwpa_passphrase=two-two-two\n"]
    assert is_alive(running)
    assert sorted(path.name for path in (box.apply / "hostapd").iterdir()) == ["wlan0.conf"]


@pytest.mark.needs("hostapd_cli")
def test_what_does_not_run_need_not_go(box: Box) -> None:
    """The applier died before hostapd was told: the file is back as it runs, and nobody is sent away."""
    sockets = Sockets(box.here)
    running = lay_out(box, FIRST + SECOND, FIRST)
    assert box.reload(["sh"]).returncode == 0
    assert sockets.told == []
    assert is_alive(running)


@pytest.mark.needs("hostapd_cli")
@pytest.mark.parametrize(("status", "answer"), [(STATUS, "FAIL\n"), (STATUS.replace("ENABLED", "DISABLED"), "OK\n")])
def test_what_the_socket_cannot_do_is_done_by_a_restart(box: Box, status: str, answer: str) -> None:
    """hostapd says no, or its radio is down already."""
    Sockets(box.here, status, answer)
    running = lay_out(box, FIRST, FIRST.replace("one", "two"))
    assert box.reload(["sh"]).returncode == 0
    assert not is_alive(running)
    assert len(box.starts()) == 2


@pytest.mark.needs("hostapd_cli")
def test_another_line_of_the_radio_is_a_restart(box: Box) -> None:
    """A channel is not taken over by adding a network."""
    sockets = Sockets(box.here)
    running = lay_out(box, FIRST, FIRST)
    box.file.write_text(box.file.read_text().replace("channel=6", "channel=11"))
    assert box.reload(["sh"]).returncode == 0
    assert (sockets.told, is_alive(running)) == ([], False)
