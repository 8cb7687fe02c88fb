"""Root's errands that outlive the process which began them: the scripts `locate` and `reboot` of agent/ash, in a session of their own."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import time
from collections.abc import Sequence
from typing import NamedTuple

from agent.errors import Unavailable
from agent.router.child import SEARCH
from agent.router.iw_scan import Scanner
from agent.router.text import listed

LOG = logging.getLogger(__name__)

DIRECTORY = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "ash")
START_S = 8.0
MOST_LEDS = 32
_LED = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._@+-]{0,63}")
# What lights a keyboard or a screen shows nobody which box is meant.
_NO_LAMP = re.compile(r"::(?:capslock|numlock|scrolllock|kana|compose|kbd_backlight|micmute|mute)$|backlight")


class Errands(NamedTuple):
    """How they are begun: root's own directory in RAM, where the LEDs are, which shell, and where it looks for programs."""

    state_dir: str
    apply_dir: str
    leds: str = "/sys/class/leds"
    shell: tuple[str, ...] = ("/bin/sh",)
    search: str = SEARCH
    directory: str = DIRECTORY


def lamps(leds: str) -> list[str]:
    """Name the LEDs that can be made to blink."""
    names = [name for name in listed(leds) if _LED.fullmatch(name) and not _NO_LAMP.search(name)]
    return [name for name in names if os.path.exists(os.path.join(leds, name, "trigger"))][:MOST_LEDS]


def lacks(errands: Errands, scanner: Scanner, command: str) -> str:
    """Say what a command would need that this box has not; "" when it has all."""
    if command == "locate" and not lamps(errands.leds):
        return f"{errands.leds} names no LED to blink with"
    if command == "scan" and not scanner.is_there():
        return "there is no program iw; install it (OpenWrt: iw or iw-full)"
    return ""


def locate(errands: Errands, seconds: int) -> list[str]:
    """Begin to blink with all LEDs, and give their names; Unavailable when there is none, or it did not begin."""
    names = lamps(errands.leds)
    if not names:
        raise Unavailable(f"this access point has no LED to blink with: {errands.leds} names none")
    ram = os.path.join(errands.apply_dir, "locate")
    former = _holder(ram)
    _begin(errands, "locate", ram, errands.leds, str(seconds), *names)
    until = time.monotonic() + START_S
    while _holder(ram) in (None, former):
        if time.monotonic() >= until:
            raise Unavailable(f"the LEDs did not begin to blink within {START_S:g} s; try again, `logs` may tell why")
        time.sleep(0.05)
    return names


def reboot(errands: Errands, delay_s: int) -> None:
    """Begin a reboot in `delay_s` seconds."""
    _begin(errands, "reboot", errands.state_dir, str(delay_s))


def _begin(errands: Errands, script: str, *words: str) -> None:
    """Start a script as nobody's child; Unavailable when it cannot be."""
    command: Sequence[str] = (os.path.join(errands.directory, script), *words)
    LOG.info("%s &", " ".join(command))
    apart = [*errands.shell, "-c", '"$@" </dev/null >/dev/null 2>&1 &', "sh", *errands.shell, *command]
    try:
        environment = {"PATH": errands.search, "LC_ALL": "C"}
        subprocess.run(apart, stdin=subprocess.DEVNULL, start_new_session=True, env=environment, timeout=START_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"{script} cannot be started: {type(error).__name__}; the box may be out of memory or processes") from None


def _holder(ram: str) -> str | None:
    """Give what the script wrote down of itself once it blinks."""
    try:
        with open(os.path.join(ram, "holder"), encoding="ascii", errors="replace") as file:
            return file.read(64) or None
    except OSError:
        return None
