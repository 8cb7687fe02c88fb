"""The LEDs blink, and then show again what they showed: at the end, when it is ended, killed, or begun anew; names are never words of a shell."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.guard import DIRECTORY, started
from tests.pushes import busybox

pytestmark = pytest.mark.needs("busybox")
TIMER = "[none] timer netdev default-on"
SHELLS = [("busybox", "ash"), ("dash",)]


class Lamps:
    """LEDs as files: what is written there stays, where sysfs would put brackets around one word; `delay_on` lies there from the beginning."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "leds"
        self.ram = folder / "apply" / "locate"
        self.ram.parent.mkdir(mode=0o700)
        self.folder.mkdir()
        self.began: list[subprocess.Popen[bytes]] = []

    def add(self, name: str, trigger: str, **told: str) -> None:
        led = self.folder / name
        led.mkdir()
        (led / "trigger").write_text(f"{trigger}\n")
        (led / "brightness").write_text("0\n")
        for what, value in told.items():
            (led / what).write_text(f"{value}\n")

    def shows(self, name: str) -> dict[str, str]:
        return {path.name: path.read_text().strip() for path in (self.folder / name).iterdir()}

    def begin(self, seconds: int, *names: str, shell: tuple[str, ...] = ("busybox", "ash")) -> int:
        """Start it and wait until it blinks; give its number."""
        former = self.holder()
        command = [*shell, os.path.join(DIRECTORY, "locate"), str(self.ram), str(self.folder), str(seconds), *(names or sorted(os.listdir(self.folder)))]
        self.began.append(subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL, env={"PATH": "/usr/bin:/bin"}))
        until(lambda: self.holder() not in (None, former), "it blinks")
        return self.began[-1].pid

    def holder(self) -> str | None:
        file = self.ram / "holder"
        return file.read_text() if file.exists() else None

    def left(self) -> list[str]:
        return sorted(path.name for path in self.ram.iterdir() if path.name != "holder")


def until(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@pytest.fixture
def lamps(tmp_path: Path) -> Iterator[Lamps]:
    """One that the agent finds off, and one that a network card drives."""
    made = Lamps(tmp_path)
    made.add("green:status", TIMER, delay_on="0", delay_off="0")
    made.add("blue:lan-1", "none timer [netdev] default-on", delay_on="0", delay_off="0", device_name="br-lan", link="1", tx="0")
    yield made
    for one in made.began:
        if one.poll() is None:
            os.killpg(one.pid, signal.SIGKILL)
        one.wait()


def is_as_before(lamps: Lamps) -> bool:
    green, blue = lamps.shows("green:status"), lamps.shows("blue:lan-1")
    return green["trigger"] == "none" and green["brightness"] == "0" and (blue["trigger"], blue["device_name"], blue["link"]) == ("netdev", "br-lan", "1")


@pytest.mark.parametrize("shell", SHELLS)
def test_they_blink_and_show_again_what_they_showed(lamps: Lamps, shell: tuple[str, ...]) -> None:
    """The kernel blinks; after the time each trigger is back with what it was told, and nothing is left in RAM."""
    lamps.begin(1, shell=shell)
    assert {lamps.shows(name)["trigger"] for name in ("green:status", "blue:lan-1")} == {"timer"}
    assert lamps.shows("green:status")["delay_on"] == "200"
    lamps.began[0].wait(10)
    assert is_as_before(lamps)
    until(lambda: lamps.left() == [], "nothing is left")


@pytest.mark.parametrize("signal_", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_whatever_ends_it_they_show_again_what_they_showed(lamps: Lamps, signal_: signal.Signals) -> None:
    """Also SIGKILL: the second process notices the end of the first."""
    pid = lamps.begin(600)
    os.kill(pid, signal_)
    until(lambda: is_as_before(lamps) and lamps.left() == [], "they are back", 5.0)


def test_after_both_were_killed_the_next_one_knows_what_they_showed(lamps: Lamps) -> None:
    """What was written down before the first LED was touched is what counts, not the blinking that is found."""
    os.killpg(lamps.begin(600), signal.SIGKILL)
    lamps.began[0].wait()
    assert lamps.shows("blue:lan-1")["trigger"] == "timer"
    (lamps.folder / "blue:lan-1" / "device_name").write_text("\n")
    lamps.begin(1)
    lamps.began[1].wait(10)
    assert is_as_before(lamps)


def test_one_that_begins_anew_ends_the_one_before(lamps: Lamps) -> None:
    """The later one's time counts, and the end of the first does not put out the second's light."""
    first = lamps.begin(600)
    lamps.begin(600)
    lamps.began[0].wait(10)
    assert started(first) is None
    assert len(lamps.left()) == 1
    assert lamps.shows("green:status")["trigger"] == "timer"
    os.kill(lamps.began[1].pid, signal.SIGTERM)
    until(lambda: is_as_before(lamps), "they are back")


def test_who_watched_over_the_one_before_does_not_work_beside_the_next(lamps: Lamps) -> None:
    """It could put back what the next has begun to write down: ended first, however late it wakes."""
    first = lamps.begin(600)
    watcher, began = (int(word) for word in (lamps.ram / str(first) / ".watcher").read_text().split())
    os.kill(watcher, signal.SIGSTOP)
    os.kill(first, signal.SIGKILL)
    lamps.began[0].wait()
    lamps.begin(600)
    until(lambda: started(watcher) != str(began), "it is gone")
    assert lamps.shows("blue:lan-1")["trigger"] == "timer"
    os.kill(lamps.began[1].pid, signal.SIGTERM)
    until(lambda: is_as_before(lamps) and lamps.left() == [], "they are back")


def test_a_light_for_ports_shows_the_same_ports_again(lamps: Lamps) -> None:
    """Choosing another trigger makes the kernel forget which of them it was told to show."""
    lamps.add("green:usb", "none timer [usbport]")
    ports = lamps.folder / "green:usb" / "ports"
    ports.mkdir()
    for name, value in (("usb1-port1", "1"), ("usb2-port1", "0")):
        (ports / name).write_text(f"{value}\n")
    lamps.begin(600, "green:usb")
    (ports / "usb1-port1").write_text("0\n")
    os.kill(lamps.began[0].pid, signal.SIGTERM)
    until(lambda: lamps.left() == [], "they are back")
    assert (ports / "usb1-port1").read_text() == "1\n" and (lamps.folder / "green:usb" / "trigger").read_text() == "usbport\n"


def test_where_the_kernel_cannot_blink_the_script_does(lamps: Lamps) -> None:
    """Light and dark by turns, and in the end the brightness that was there."""
    lamps.add("old", "[none] default-on")
    (lamps.folder / "old" / "brightness").write_text("7\n")
    lamps.begin(600, "old")
    seen: set[str] = set()
    until(lambda: bool(seen.add(lamps.shows("old")["brightness"]) or {"255", "0"} <= seen), "light and dark")
    os.kill(lamps.began[0].pid, signal.SIGTERM)
    until(lambda: lamps.shows("old") == {"trigger": "none", "brightness": "7"}, "as before")


def test_a_number_that_is_another_process_now_is_not_killed(lamps: Lamps) -> None:
    """The holder is that process only which began at that moment."""
    bystander = subprocess.Popen(["sleep", "600"])
    lamps.ram.mkdir()
    (lamps.ram / "holder").write_text(f"{bystander.pid} 1\n")
    lamps.begin(1)
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_a_name_that_is_none_is_not_touched(lamps: Lamps, tmp_path: Path) -> None:
    """Neither a path out of the directory nor a word of a shell; the others blink all the same."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "trigger").write_text(TIMER)
    lamps.begin(1, "../victim", "$(touch hurt)", "; touch hurt", "-n", "a b", ".hidden", "*", "gréen", "", "green:status")
    assert lamps.shows("green:status")["trigger"] == "timer"
    lamps.began[0].wait(10)
    assert (victim / "trigger").read_text() == TIMER
    assert not list(tmp_path.rglob("hurt"))


def test_it_needs_only_what_busybox_has(lamps: Lamps, tmp_path: Path) -> None:
    """On a PATH with nothing but BusyBox's own programs."""
    path = busybox(tmp_path)
    command = [f"{path}/sh", os.path.join(DIRECTORY, "locate"), str(lamps.ram), str(lamps.folder), "1", "green:status"]
    done = subprocess.run(command, env={"PATH": path}, capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert lamps.shows("green:status")["trigger"] == "none"
