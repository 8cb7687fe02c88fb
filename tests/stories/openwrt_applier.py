"""rwagent-apply as a process of its own on the stand-in OpenWrt box of a test: `python -m tests.stories.openwrt_applier FOLDER once|settle`.

What the program takes for granted on a real box (where UCI lies, where programs are) stands in FOLDER/box.json.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from agent import apply
from agent.confirm import system_clock
from agent.guard import Scripts
from agent.limits import Limits
from agent.router.clock import boot
from agent.router.store_openwrt import OpenwrtStore, Places
from agent.settings import Settings, load
from tests.pushes import busybox

ROOT = Path(__file__).resolve().parents[2]
QUICK = Limits(verify_every_s=0.0, quiet_every_s=0.0, live_gap_s=0.2, poll_s=0.02, lock_s=20.0)


def store(folder: Path, settings: Settings, timeout_s: float = 2.0) -> OpenwrtStore:
    """Open the box as root does."""
    places = Places(**json.loads((folder / "box.json").read_text()))
    return OpenwrtStore(settings.router, settings.push.secrets_dir, settings.paths.apply_dir, places, timeout_s)


def command(folder: Path, mode: str) -> tuple[str, ...]:
    """Give the command line."""
    return ("env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "tests.stories.openwrt_applier", str(folder), mode)


def scripts(folder: Path) -> Scripts:
    """Run the scripts by BusyBox's ash, with the box's own programs before OpenWrt's applets."""
    here = json.loads((folder / "box.json").read_text())["search"].split(":")[0]
    search = os.pathsep.join((here, busybox(folder), os.path.dirname(sys.executable)))
    return Scripts(command(folder, "settle"), (f"{busybox(folder)}/sh",), search)


def main(folder: Path, mode: str) -> int:
    """Do one run."""
    settings = load(str(folder / "agent.toml"))
    return apply.run(settings, store(folder, settings), QUICK, scripts(folder), system_clock(boot()), "settle" if mode == "settle" else "once")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
