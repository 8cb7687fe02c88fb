"""paths.run_dir: writable, and in RAM, because the agent writes there all the time and flash wears out."""

from __future__ import annotations

import os

from agent.finding import Case, Finding

NAME = "run_dir"
RAM = frozenset({"tmpfs", "ramfs", "zram"})


def check(case: Case) -> list[Finding]:
    """Look at the directory, or at the one it will be made in."""
    run_dir = case.settings.paths.run_dir
    there = run_dir
    while not os.path.exists(there):
        there = os.path.dirname(there)
    if not os.path.isdir(there) or not os.access(there, os.W_OK | os.X_OK):
        return [Finding(NAME, "bad", f"{there} is not a directory this user may write to", "run as the agent's user, or set paths.run_dir elsewhere")]
    with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as file:
        kind = filesystem(file.read(), os.path.realpath(there))
    if kind not in RAM:
        what = f"{run_dir} lies on {kind}, not in RAM: each report is written to it"
        return [Finding(NAME, "warn", what, "set paths.run_dir to a directory on tmpfs, such as /run/rwagent")]
    return [Finding(NAME, "ok", f"{run_dir} is writable and in RAM ({kind})")]


def filesystem(mounts: str, path: str) -> str:
    """Name the kind of file system `path` lies on, by the text of /proc/mounts; the last mount of a place covers the others."""
    best, kind = -1, "an unknown file system"
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        place = fields[1].replace("\\040", " ").rstrip("/")
        if (path + "/").startswith(place + "/") and len(place) >= best:
            best, kind = len(place), fields[2]
    return kind
