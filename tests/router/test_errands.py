"""What outlives the process that began it: the LEDs of a box, and its reboot, by scripts that are nobody's child."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from agent.errors import Unavailable
from agent.router import errands
from agent.router.errands import Errands
from agent.router.iw_scan import Scanner


@pytest.fixture
def box(tmp_path: Path) -> Errands:
    """Two LEDs, a keyboard's, and a PATH on which `reboot` only writes down that it was asked."""
    for name in ("green:status", "wan", "input3::capslock", "lcd-backlight", "no-trigger"):
        led = tmp_path / "leds" / name
        led.mkdir(parents=True)
        (led / "brightness").write_text("0\n")
        if name != "no-trigger":
            (led / "trigger").write_text("[none] timer\n")
    for folder in ("apply", "state", "bin"):
        (tmp_path / folder).mkdir(mode=0o700)
    for name in ("reboot", "sleep", "sync", "logger"):
        (tmp_path / "bin" / name).write_text(f'#!/bin/sh\necho "{name} $*" >>"{tmp_path}/calls"\n')
        (tmp_path / "bin" / name).chmod(0o755)
    return Errands(str(tmp_path / "state"), str(tmp_path / "apply"), str(tmp_path / "leds"), ("/bin/dash",), f"{tmp_path / 'bin'}")


def test_what_shows_nobody_which_box_is_meant_does_not_blink(box: Errands) -> None:
    """Keyboards and screens; and what has no trigger."""
    assert errands.lamps(box.leds) == ["green:status", "wan"]


def test_locate_begins_and_returns(box: Errands) -> None:
    """The names of what blinks, once it does; the process is in a session of its own."""
    real = box._replace(search="/usr/bin:/bin")
    assert errands.locate(real, 600) == ["green:status", "wan"]
    assert Path(box.leds, "wan", "trigger").read_text() != "[none] timer\n"
    pid = int(Path(box.apply_dir, "locate", "holder").read_text().split()[0])
    assert os.getsid(pid) not in (os.getsid(0), pid)
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: Path(box.leds, "wan", "trigger").read_text() == "none\n")
    assert Path(box.leds, "input3::capslock", "trigger").read_text() == "[none] timer\n"


def test_a_box_without_a_lamp_says_so(box: Errands) -> None:
    """With where it looked."""
    with pytest.raises(Unavailable, match="has no LED to blink with"):
        errands.locate(box._replace(leds="/nowhere"), 1)
    assert errands.lacks(box._replace(leds="/nowhere"), Scanner("/nowhere"), "locate") == "/nowhere names no LED to blink with"
    assert errands.lacks(box, Scanner("/nowhere"), "scan").startswith("there is no program iw")
    assert [errands.lacks(box, Scanner("/nowhere"), name) for name in ("locate", "kick", "reboot")] == ["", "", ""]


def test_a_script_that_does_not_begin_is_said(box: Errands, tmp_path: Path) -> None:
    """No shell, no memory, no process."""
    with pytest.raises(Unavailable, match="reboot cannot be started"):
        errands.reboot(box._replace(shell=(str(tmp_path / "gone"),)), 1)


def test_reboot_is_begun_and_outlives_who_began_it(box: Errands, tmp_path: Path) -> None:
    """After the seconds that were asked for."""
    errands.reboot(box, 7)
    # As a line of its own: the log is told of it a moment before.
    wait_for(lambda: (tmp_path / "calls").exists() and "reboot -f" in map(str.strip, (tmp_path / "calls").read_text().splitlines()))
    called = [line.strip() for line in (tmp_path / "calls").read_text().splitlines()]
    assert [line for line in called if line.split()[0] in ("sleep", "reboot")] == ["sleep 7", "sleep 2", "reboot", "sleep 60", "reboot -f"]


def test_the_scripts_are_there() -> None:
    """Where the package installs them, runnable and sound."""
    for name in ("locate", "reboot"):
        assert os.access(os.path.join(errands.DIRECTORY, name), os.X_OK)
        assert subprocess.run(["/bin/sh", "-n", os.path.join(errands.DIRECTORY, name)], check=False, timeout=10).returncode == 0


def wait_for(condition: object) -> None:
    end = time.monotonic() + 60
    while not condition():  # type: ignore[operator]  # a lambda
        assert time.monotonic() < end
        time.sleep(0.02)
