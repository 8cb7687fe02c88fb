"""One push on a plain Linux router with a public network: rwagent-apply as it is but for a quicker clock, and a daemon that confirms. Prints the verdict.

`python -m tests.stories.dns_push FOLDER REVISION CONFIG`; FOLDER keeps the router's files from one push to the next.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from agent.confirm import Clock
from agent.guard import Scripts
from agent.router.child import SEARCH
from agent.router.clock import boot
from agent.router.stores import open_store
from agent.settings import load
from tests import pushes

CHANGED = {'backend = "simulated"': 'backend = "linux"\nhostapd_config = "{folder}/hostapd"\nhostapd_dir = "{folder}/sockets"', '"public"': '"br-pub"'}

TIMES = 6.0


def _clock(place: pushes.Place) -> Clock:
    """Give a clock that goes TIMES as fast as the real one, and plays the daemon while anybody waits."""
    began = time.clock_gettime(time.CLOCK_BOOTTIME)

    def sleep(seconds: float) -> None:
        time.sleep(seconds / TIMES)
        place.confirm()

    return Clock(lambda: began + (time.clock_gettime(time.CLOCK_BOOTTIME) - began) * TIMES, time.time, sleep, boot())


def main(folder: Path, revision: int, config: str) -> None:
    """Judge one push."""
    file = folder / "agent.toml"
    if not file.exists():
        pushes.place(folder)
        for was, will in CHANGED.items():
            file.write_text(file.read_text().replace(was, will.format(folder=folder)))
        (folder / "hostapd").mkdir()
    settle = (sys.executable, "-m", "agent.apply", "--config", str(file), "--settle")
    place = pushes.Place(folder, load(str(file)), Scripts(settle, search=SEARCH))
    place.push(revision, json.loads(config), confirm_within_s=120)
    place.run(_clock(place), open_store(place.settings))
    print(json.dumps(place.reported()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
