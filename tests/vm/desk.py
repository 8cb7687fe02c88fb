"""The city of a story in the guest: its broker, its `rwctl serve` and whoever types `rwctl`, on this side of the emulator, where they cost little.

The guest reaches the broker through one forwarded port, and has `rwctl` typed by a file in a directory that both see.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.stories.rwctl_city import RealCity, make_city
from tests.vm.stations import AP, BUNDLE

# What vmrun's guests call this machine.
HOST = "10.0.2.100"
LONGEST_S = 400.0


@contextlib.contextmanager
def open_desk(share: Path) -> Iterator[int]:
    """Make a city with one access point, lay its bundle into `share` and type what the guest asks for there; give the broker's port."""
    with make_city(AP, more=("--host", HOST, "--interval", "10")) as city:
        share.chmod(0o755)
        shutil.copy(city.folder / "bundles" / f"{AP}.tar.gz", share / BUNDLE)
        city.broker()
        city.serve()
        ended = threading.Event()
        typist = threading.Thread(target=_type, args=(city, share, ended), daemon=True)
        typist.start()
        try:
            yield city.port
        finally:
            ended.set()
            typist.join(20)
            logs = [f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}" for log in sorted(city.logs.iterdir())]
            (share / "city.log").write_text("\n".join(logs))


def _type(city: RealCity, share: Path, ended: threading.Event) -> None:
    """One after the other, as they come: a question is a file of words, and what they need to find beside them."""
    while not ended.wait(0.1):
        for question in sorted(share.glob("ask-*.json")):
            answer = share / question.name.replace("ask", "answer")
            if answer.exists():
                continue
            asked = json.loads(question.read_text())
            for name, text in asked["files"].items():
                (city.folder.parent / name).write_text(text)
            began = time.monotonic()
            command = [sys.executable, "-m", "fleet.cli", "--dir", str(city.folder), *asked["words"]]
            how = {"env": city.environment, "cwd": city.folder.parent, "stdin": subprocess.DEVNULL, "timeout": LONGEST_S}
            done = subprocess.run(command, capture_output=True, text=True, check=False, **how)  # type: ignore[call-overload]
            said = {"code": done.returncode, "out": done.stdout, "err": done.stderr, "took_s": round(time.monotonic() - began, 1)}
            new = share / f".{answer.name}"
            new.write_text(json.dumps(said))
            os.rename(new, answer)
            with (city.logs / "typed.log").open("a") as log:
                log.write(f"$ rwctl {' '.join(asked['words'])}\n{done.stdout}{done.stderr}")
