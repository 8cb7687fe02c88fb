"""README's five commands, run as they are written there: enrol, status, plan, push, confirmed; and then those of docs/commands.md."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet import city as cities
from tests.mosquitto import free_port
from tests.stories.rwctl_city import HOST, PATH, Program
from tests.stories.world import ROOT, until

pytestmark = [pytest.mark.story, pytest.mark.needs("mosquitto")]
ENROL, STATUS, PLAN, PUSH, CONFIRMED = range(5)


def block(mark: str, file: str = "README.md") -> str:
    """Give the block that stands in a file right after its comment."""
    found = re.search(rf"<!-- {mark} -->\s*```\w+\n(.*?)```", (ROOT / file).read_text(encoding="utf-8"), re.DOTALL)
    assert found, f"{file} has no block right after <!-- {mark} -->"
    return found[1]


def commands(mark: str, file: str = "README.md") -> list[str]:
    """Give a block's commands, without what is said about them."""
    return [line.partition(" #")[0].strip() for line in block(mark, file).splitlines() if line.strip()]


class Desk:
    """Somebody's shell, in a folder of its own with a `rwctl` on its PATH."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.folder, self._stack = folder, stack
        (folder / "bin").mkdir()
        program = folder / "bin/rwctl"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m fleet.cli "$@"\n')
        program.chmod(0o755)
        self.environment = {**os.environ, "PATH": f"{folder}/bin{os.pathsep}{PATH}", "PYTHONPATH": str(ROOT), "COLUMNS": "200", "HOME": str(folder)}

    def run(self, line: str) -> str:
        """Type one line; give what it prints. It has to end well."""
        done = subprocess.run(["bash", "-c", line], cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=150, check=False)
        print(f"$ {line}\n{done.stdout}{done.stderr}")
        assert done.returncode == 0, f"{line}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def start(self, line: str) -> Program:
        """Type one line that stays."""
        os.environ.setdefault("PATH", PATH)
        program = Program(["bash", "-c", f"cd {self.folder} && exec {line}"], self.folder / f"{line.split()[1]}.log", self.environment)
        self._stack.callback(program.kill)
        return program


@pytest.fixture
def desk() -> Iterator[Desk]:
    folder = Path(tempfile.mkdtemp(prefix="rw-desk-", dir="/dev/shm"))
    folder.chmod(0o755)
    try:
        with contextlib.ExitStack() as stack:
            yield Desk(folder, stack)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def set_up(desk: Desk) -> list[Program]:
    """Run README's first block: `init` and `export` as they stand there, then broker and ingester; only host and ports are a test's own."""
    init, export, *staying = commands("city-setup")
    assert re.fullmatch(r"rwctl init \w+ --name \w+ --host [\w.]+", init)
    desk.run(init)
    name, _, value = export.removeprefix("export ").partition("=")
    desk.environment[name] = value
    file = desk.folder / value / cities.FILE
    text = file.read_text()
    for key, given in (("host", f'"{HOST}"'), ("listen", f'"{HOST}"'), ("port", free_port()), ("city_port", free_port()), ("interval_s", 1), ("sample_s", 1)):
        text, times = re.subn(rf"^{key} = [^#\n]*", f"{key} = {given} ", text, flags=re.MULTILINE)
        assert times == 1, key
    file.write_text(text)
    desk.run(f"rwctl init {value} --quiet")
    assert [line.rpartition(" ")[2] for line in staying] == ["&", "&"]
    return [desk.start(line.removesuffix("&").strip()) for line in staying]


def test_the_five_commands_run_as_they_are_written(desk: Desk) -> None:
    """Against simulated access points with the agent's own code, each command of README ends well and says what it should."""
    (desk.folder / "points.csv").write_text(block("city-points"))
    (desk.folder / "jatimulyo.toml").write_text(block("city-config"))
    broker, serve = set_up(desk)
    five = commands("city-commands")
    assert len(five) == 5
    names = [line.partition(",")[0] for line in block("city-points").splitlines()[1:]]
    inside = [line.partition(",")[0] for line in block("city-points").splitlines() if ",Jatimulyo," in line]
    assert f"{len(names)} new" in desk.run(five[ENROL])
    simulate = [sys.executable, "-m", "fleet.simulate", str(desk.folder / "kota"), "--moods", "calm"]
    fleet = Program(simulate, desk.folder / "fleet.log", desk.environment)
    desk._stack.callback(fleet.kill)
    until(lambda: desk.run(five[STATUS]).count("● online") == len(names), lambda: serve.log() + fleet.log(), 40, 0.5)
    planned = desk.run(five[PLAN])
    assert all(name in planned for name in inside)
    pushed = desk.run(five[PUSH])
    assert f"confirmed {len(inside)}" in pushed
    confirmed = desk.run(five[CONFIRMED])
    assert sorted(re.findall(r"^rw-\d+", confirmed, re.MULTILINE)) == inside
    acts = commands("city-acts", "docs/commands.md")
    assert [act.split()[2] for act in acts] == ["locate", "stations", "scan", "reboot"]
    assert all(" ● succeeded " in desk.run(act) for act in acts)
    assert fleet.stop() == 0
    assert serve.stop() == 0
    assert broker.stop() == 0
