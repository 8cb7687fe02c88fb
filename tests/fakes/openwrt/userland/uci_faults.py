"""What may go wrong with `uci`, as a test says in faults.json: only read when that is there."""

from __future__ import annotations

import json
import os
import subprocess
import time

import uci


def arm(folder: str) -> None:
    """Let this run of the program meet the faults."""
    with open(f"{folder}/faults.json", encoding="utf-8") as file:
        faults = json.load(file)
    if faults["uci_slow_s"]:
        time.sleep(faults["uci_slow_s"])
    plain = uci.Program.run

    def run(program: uci.Program, argv: list[str]) -> int:
        command = argv[0].lower()
        if command in faults["uci_fails"] or (command == "commit" and faults["read_only"]):
            return program._complain(uci.IO)
        if command == "commit":
            _before_commit(folder)
            if faults["commit_lies"]:
                return 0
            if faults["lost_commit"] and len(argv) > 1:
                return _lost(program, argv, plain)
        if faults["disk_full"]:
            program.context.writes = _no_room
        return int(plain(program, argv))

    uci.Program.run = run  # type: ignore[method-assign]


def _no_room(fd: int, data: bytes) -> object:
    raise OSError(28, "No space left on device")


def _lost(program: uci.Program, argv: list[str], plain: object) -> int:
    """Let another writer, that read before us, write after us."""
    path = program.context.path_of(argv[1])[0]
    with open(path, "rb") as file:
        before = file.read()
    status = int(plain(program, argv))  # type: ignore[operator]
    with open(f"{path}.other", "wb") as file:
        file.write(before)
    os.chmod(f"{path}.other", os.stat(path).st_mode & 0o7777)
    os.rename(f"{path}.other", path)
    return status


def _before_commit(folder: str) -> None:
    """Let a technician be quicker, once."""
    script = f"{folder}/before-commit"
    try:
        os.rename(script, f"{script}.now")
    except OSError:
        return
    with open(f"{script}.now", "rb") as file:
        subprocess.run([f"{folder}/bin/uci", "batch"], stdin=file, check=False, env={"BOX_HAS_NO_FAULTS": "1"})
