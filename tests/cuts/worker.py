"""The processes of a crash test, each a real one: an applier, what settles after it, and a series of boots.

worker.py push CONFIG BOOT [CLOCK]  one run of rwagent-apply, with short waits and BusyBox's ash
worker.py settle CONFIG BOOT        the same with --settle
worker.py watch CONFIG [CLOCK]      the same as push; leaves in ram/asked what it changed, and which Python file asked for that
worker.py boots                     for each line of standard input (a box's base): recover and settle
worker.py kills AT_ONCE             for each line of standard input ([base, number]): a push, killed before its so many-th change of a file
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from agent import apply, settings, wall  # noqa: E402
from agent.confirm import Clock  # noqa: E402
from agent.guard import Scripts  # noqa: E402
from agent.router import hands_simulated  # noqa: E402
from agent.router.hands import Hands  # noqa: E402
from agent.router.store_simulated import SimulatedStore, initial_tree  # noqa: E402
from agent.settings import Settings  # noqa: E402
from tests.cuts.boxes import BOOT, LATER, Box  # noqa: E402

BUSYBOX = shutil.which("busybox") or "/bin/busybox"
ASH = ROOT / "agent/ash"
# Whoever waits for the deadline waits for the real one; everything else need not take long.
LIMITS = apply.Limits(verify_every_s=0.0, quiet_every_s=0.0, live_gap_s=0.05, poll_s=0.02)
MOMENT = 1790000000.0  # wall clock of all boxes: their verdicts are compared
_OPENED: list[Hands] = []


def clock(boot: str) -> Clock:
    """Give the true uptime in a boot of that name."""
    return Clock(lambda: time.clock_gettime(time.CLOCK_BOOTTIME), lambda: MOMENT, time.sleep, boot)


def scripts(config: str, boot: str, settle: tuple[str, ...] = ()) -> Scripts:
    """Run the scripts as OpenWrt does: by BusyBox's ash, and with its commands."""
    return Scripts(settle or (sys.executable, str(Path(__file__).resolve()), "settle", config, boot), (BUSYBOX, "ash"), os.environ.get("PATH", ""), str(ASH))


def store(chosen: Settings) -> SimulatedStore:
    """Open a simulated box's configuration, without playing its whole day first to learn what it came with."""
    came_with = initial_tree(("Malang RW 05", "Kantor RW 05", "Malang RW 05"), {"2g": 6, "5g": 36}, chosen.id)
    return SimulatedStore(f"{chosen.paths.state_dir}/simulated", came_with, "public", (), 50, chosen.push.secrets_dir)


def hands(config: str) -> Hands:
    """Open what carries out commands; once for this process and all that it forks, for none comes here and each opening plays a simulated box's whole day."""
    if not _OPENED:
        _OPENED.append(hands_simulated.open_hands(settings.load(config), str))
    return _OPENED[0]


def run(config: str, boot: str, mode: apply.Mode, found: Scripts | None = None, at: Clock | None = None) -> int:
    """Do what agent.apply's main does, with these limits, this clock and these scripts."""
    chosen = settings.load(config)
    wall.prepare(chosen)
    faults = wall.faults(chosen, config)
    assert not faults, faults
    return apply.run(chosen, store(chosen), LIMITS, found or scripts(config, boot), at or clock(boot), mode, lambda: hands(config))


def recover(base: str) -> int:
    """Run agent/ash/recover as the boot does."""
    return subprocess.run([BUSYBOX, "ash", str(ASH / "recover"), f"{base}/flash/state", f"{base}/ram/apply"], stderr=subprocess.DEVNULL, check=False).returncode


# The ways by which Python changes files. A file opened for writing is changed by what comes after.
CHANGES = frozenset({"write", "fsync", "rename", "replace", "unlink", "remove", "mkdir", "rmdir", "fchmod", "chmod", "truncate", "ftruncate", "link"})


def watched(act: Callable[[str, str], None]) -> None:
    """Have `act` called before each change of a file by this process, with the change's name and the Python file that asks for it."""

    def seen(frame: FrameType, event: str, called: object) -> None:
        if event == "c_call" and getattr(called, "__module__", "") == "posix" and (name := getattr(called, "__name__", "")) in CHANGES:
            act(name, frame.f_code.co_filename)

    sys.setprofile(seen)


def hurried(boot: str) -> Clock:
    """A clock that runs ahead while its owner waits, so that a deadline comes soon for it (and for nobody else)."""
    ahead = [0.0]

    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        ahead[0] += 60 * seconds

    return Clock(lambda: time.clock_gettime(time.CLOCK_BOOTTIME) + ahead[0], lambda: MOMENT, sleep, boot)


def behind(boot: str) -> Clock:
    """A clock that is half a minute behind: a push's deadline is nearly over for everybody else."""
    return clock(boot)._replace(uptime=lambda: time.clock_gettime(time.CLOCK_BOOTTIME) - 58)


def standing(boot: str) -> Clock:
    """A clock that stands: what is written at any time of a boot is the same."""
    return Clock(lambda: 60.0, lambda: MOMENT, time.sleep, boot)


def unsynced(boot: str) -> Clock:
    """The true clock, for an applier that dies between making `keep` and making it durable."""
    pending = f"{settings.load(sys.argv[2]).paths.state_dir}/pending"

    def act(name: str, _: str) -> None:
        if name == "fsync" and os.path.exists(f"{pending}/keep"):
            os.kill(os.getpid(), signal.SIGKILL)

    watched(act)
    return clock(boot)


CLOCKS = {"": clock, "unsynced": unsynced, "hurried": hurried, "behind": behind, "standing": standing}


def _boots() -> None:
    """Boot each box, each in a process of its own; print who did it, and how it ended."""
    for line in sys.stdin:
        base = line.strip()
        hands(f"{base}/etc/agent.toml")
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                code = recover(base) or run(f"{base}/etc/agent.toml", LATER, "settle", at=standing(LATER))
            finally:
                os._exit(code)
        print(json.dumps([base, pid, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])]), flush=True)


def _kills() -> None:
    """Begin the push in each box's inbox and kill it, as told, before its so many-th change of a file; print how many it made, and how it ended."""
    at_once, waiting, running = int(sys.argv[2]), [json.loads(line) for line in sys.stdin], {}
    while waiting or running:
        while waiting and len(running) < at_once:
            base, at = waiting.pop()
            hands(f"{base}/etc/agent.toml")
            pid = os.fork()
            if pid == 0:
                code = 99
                try:
                    code = _killed(base, at)
                finally:
                    os._exit(code)
            running[pid] = (base, at)
        for pid, (base, at) in list(running.items()):
            Box(base).confirm()
            if os.waitpid(pid, os.WNOHANG)[0]:
                del running[pid]
                print(json.dumps([base, at]), flush=True)
        time.sleep(0.02)


def _killed(base: str, at: int) -> int:
    count = [0]

    def act(name: str, file: str) -> None:
        count[0] += 1
        if count[0] == at:
            os.kill(os.getpid(), signal.SIGKILL)

    config = f"{base}/etc/agent.toml"
    found = scripts(config, BOOT, settle=(BUSYBOX, "true"))
    watched(act)
    code = run(config, BOOT, "once", found)
    sys.setprofile(None)
    Path(base, "ram/count").write_text(str(count[0]))
    return code


def _watched_run() -> int:
    """Run a push, and write down each change of a file that this process makes, with who asked for it."""
    asked: list[tuple[str, str]] = []
    watched(lambda name, file: asked.append((name, file)))
    code = run(sys.argv[2], BOOT, "once", at=CLOCKS[sys.argv[3] if len(sys.argv) > 3 else ""](BOOT))
    sys.setprofile(None)
    Path(sys.argv[2]).parents[1].joinpath("ram/asked").write_text(json.dumps(asked))
    return code


def main() -> int:
    """Run as a program."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    word = sys.argv[1]
    if word == "boots":
        _boots()
    elif word == "kills":
        _kills()
    elif word == "watch":
        return _watched_run()
    else:
        made = CLOCKS[sys.argv[4] if len(sys.argv) > 4 else ""]
        return run(sys.argv[2], sys.argv[3], "settle" if word == "settle" else "once", at=made(sys.argv[3]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
