"""What outlives a demo is found by the demo's folder: in its command line, or as the place where it works."""

from __future__ import annotations

import subprocess
from pathlib import Path

from fleet import demo_end


def test_who_names_the_folder_or_works_in_it_is_ended_and_nobody_else(tmp_path: Path) -> None:
    """A mosquitto names only a file beside it; another folder with a longer name is none of ours."""
    ours, other = tmp_path / "demo", tmp_path / "demo2"
    for folder in (ours / "broker", other):
        folder.mkdir(parents=True)
    named = subprocess.Popen(["/bin/sh", "-c", f"sleep 60; : {ours}/x"])
    working = subprocess.Popen(["/bin/sleep", "60"], cwd=ours / "broker")
    stranger = subprocess.Popen(["/bin/sleep", "60"], cwd=other)
    try:
        assert {named.pid, working.pid} <= set(demo_end.working_in(str(ours)))
        demo_end.end_all(str(ours))
        assert (named.wait(5) < 0, working.wait(5) < 0, stranger.poll()) == (True, True, None)
    finally:
        for process in (named, working, stranger):
            process.kill()
            process.wait()
