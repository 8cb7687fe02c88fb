"""What the scripts promise: `scripts/test` ends when told and misses no lane, `scripts/setup` mends what it finds and names every package.

They run on a small tree of their own, where every program they call is a stub.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WITHIN_S = 60.0

# What `.venv/bin/python` and `scripts/mutants` are in the small tree. Who is SLOW writes a file and stays until the signal it promises to heed.
STUB = """#!/bin/bash
case "$0 $*" in
    *mutants*) name=mutants says='mutants killed: 5/5' heeds=TERM ;;
    *'pytest'*' -n '*) name=tests says=${TESTS_SAY:-'7 passed in 1.00s'} heeds=INT ;;
    *test_city_day*) name=day says=${DAY_SAYS:-'2 passed, 1 skipped in 1.00s'} heeds=INT ;;
    *--last-failed*) name=alone says=${ALONE_SAYS:-'1 passed in 1.00s'} heeds=INT ;;
    *pytest*) name=vm says=${VM_SAYS:-'3 passed in 1.00s'} heeds=INT ;;
    *'bench city'*) name=city says='| query | budget |' heeds=INT ;;
    *bench*) name=bench says='| what | budget |' heeds=INT ;;
    *' -c '*) echo 3.11; exit ;;
    *) exit 0 ;;
esac
if [[ $name == "$SLOW" ]]; then
    trap 'touch heeded; kill $!; exit 2' "$heeds"
    touch slow
    sleep 1000 &
    wait
fi
[[ $name != day || ! ${RWAGENT_FULL-} ]] || echo 'the whole day'
echo "$says"
[[ " $BROKEN " != *" $name "* ]]
"""
ABSENT, THERE = ("python3.10", "python3.12", "python3.13"), ("shellcheck", "mosquitto")
PROGRAMS = {"id": "echo ${USER_ID:-0}", **dict.fromkeys(ABSENT, "exit 1"), **dict.fromkeys(THERE, "exit 0")}


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if text.startswith("#!") else f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


class Tree:
    """A tree with the real `scripts/test` and stubs around it; what runs in it carries the folder's name in its environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for path in (".venv/bin/python", "scripts/mutants"):
            program(folder / path, STUB)
        program(folder / "scripts/setup", "exit 0")
        for name, text in PROGRAMS.items():
            program(folder / "bin" / name, text)
        (folder / "tests").mkdir()
        (folder / "tests/counts.toml").touch()
        shutil.copy(ROOT / "scripts/test", folder / "scripts/test")

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        """Start `scripts/test` as a terminal does: a process group of its own in which Ctrl-C is not ignored."""
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        return subprocess.Popen(
            ["scripts/test", *words],
            cwd=self.folder,
            env={**os.environ, "RWAGENT_REQUIRE_COMPONENTS": "", "TREE": str(self.folder), "PATH": path, "HOME": str(self.folder), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, *words: str, **environment: str) -> tuple[int, str]:
        """Run `scripts/test` to its end; its exit status and what it said."""
        running = self.start(*words, **environment)
        said, _ = running.communicate(timeout=WITHIN_S)
        return running.returncode, said

    def running(self) -> list[int]:
        """Every process that was started in this tree."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if f"TREE={self.folder}\0".encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue  # it ended meanwhile, or is not ours to look at
        return found


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    made = Tree(tmp_path)
    yield made
    for number in made.running():
        os.kill(number, signal.SIGKILL)


@pytest.mark.parametrize("slow", ["tests", "vm", "mutants", "day", "bench", "city"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_told_to_end_leaves_nothing_running(tree: Tree, slow: str, number: signal.Signals, status: int) -> None:
    """Ctrl-C and SIGTERM end the tests, every lane and the bench, each in the way that lets it clean up."""
    running = tree.start(SLOW=slow)
    deadline = time.monotonic() + WITHIN_S
    while not (tree.folder / "slow").exists() and time.monotonic() < deadline:
        select.select([], [], [], 0.02)
    os.kill(running.pid, number) if number == signal.SIGTERM else os.killpg(running.pid, number)
    said, _ = running.communicate(timeout=WITHIN_S)
    assert (running.returncode, tree.running(), (tree.folder / "heeded").exists()) == (status, [], True), said


def test_everything_runs_and_the_bench_comes_last(tree: Tree) -> None:
    """With all there: status 0, the sums, and the bench's table after every lane's result."""
    status, said = tree.run(RWAGENT_REQUIRE_COMPONENTS="1")
    assert (status, said.splitlines()[-1]) == (0, "17 passed, 0 failed"), said
    assert said.index("| what | budget |") > max(said.index(f"-- {lane}: ", said.index("-- tests: ")) for lane in ("vm", "mutants", "pythons", "city"))


def test_fast_has_neither_lanes_nor_bench(tree: Tree) -> None:
    """--fast is the checks and the tests."""
    status, said = tree.run("--fast", RWAGENT_REQUIRE_COMPONENTS="1")
    assert (status, said.splitlines()[-1], "bench" in said) == (0, "7 passed, 0 failed", False), said


def test_full_has_the_whole_day_when_nothing_else_runs(tree: Tree) -> None:
    """--full: what is claimed of a quiet machine is run on one, and the lanes have ended."""
    status, said = tree.run("--full", RWAGENT_REQUIRE_COMPONENTS="1")
    assert (status, said.splitlines()[-1]) == (0, "17 passed, 0 failed"), said
    assert max(said.index(f"-- {lane}: ", said.index("-- tests: ")) for lane in ("vm", "mutants", "pythons")) < said.index("the whole day\n")


@pytest.mark.parametrize(
    ("environment", "missing", "fault"),
    [
        ({"USER_ID": "1000"}, "", "vm: did not run"),
        ({"VM_SAYS": "3 skipped in 1.00s"}, "", "vm: did not run"),
        ({}, "scripts/mutants", "mutants: did not run"),
        ({"DAY_SAYS": "3 skipped in 1.00s"}, "", "city: did not run"),
        ({"BROKEN": "bench"}, "", "bench agent"),
        ({"BROKEN": "city"}, "", "bench city"),
        ({"BROKEN": "tests"}, "", "tests"),
    ],
)
def test_where_all_is_required_what_did_not_run_is_a_fault(tree: Tree, environment: dict[str, str], missing: str, fault: str) -> None:
    """A lane that is left out, or of which nothing passed, fails the run in CI, as does a bench that does not run."""
    if missing:
        (tree.folder / missing).unlink()
    status, said = tree.run(RWAGENT_REQUIRE_COMPONENTS="1", **environment)
    assert (status, f"FAILED: {fault}" in said.splitlines()) == (1, True), said


ONE_FAILED = "FAILED tests/test_x.py::test_y[sleep 60-1] - assert 0 - 1\n1 failed, 6 passed in 1.00s"


def test_a_story_that_failed_in_the_crowd_is_run_once_more_alone(tree: Tree) -> None:
    """It passes then: all is well, all are counted, and its name stands at the end."""
    status, said = tree.run(RWAGENT_REQUIRE_COMPONENTS="1", BROKEN="tests", TESTS_SAY=ONE_FAILED)
    assert (status, said.splitlines()[-1]) == (0, "17 passed, 0 failed"), said
    assert "passed only alone: tests/test_x.py::test_y[sleep 60-1]" in said.splitlines()
    assert max(said.index(f"-- {lane}: ") for lane in ("vm", "mutants", "pythons", "city")) < said.index("-- alone-tests\n") < said.index("| what | budget |")


OTHER_PYTHON = r"""#!/bin/bash
case "$*" in
    *-m\ venv*) mkdir -p "${@: -1}/bin" && cp "$0" "${@: -1}/bin/python" ;;
    *--last-failed*) echo "${ALONE_SAYS:-1 passed in 1.00s}"; [[ ! ${ALONE_SAYS-} ]] ;;
    *'-m pytest'*) printf 'FAILED tests/test_z.py::test_slow - late\n1 failed, 4 passed in 1.00s\n'; exit "${OTHER_ENDS:-1}" ;;
    *version_info*) echo 3.13 ;;
esac
"""


def test_what_failed_under_another_python_is_run_once_more_alone_too(tree: Tree) -> None:
    """Those run behind everybody else, where a deadline can pass for no fault of the code."""
    program(tree.folder / "bin/python3.13", OTHER_PYTHON)
    status, said = tree.run(RWAGENT_REQUIRE_COMPONENTS="1")
    assert (status, said.splitlines()[-1]) == (0, "22 passed, 0 failed"), said
    assert "passed only alone: tests/test_z.py::test_slow" in said.splitlines()


@pytest.mark.parametrize("how", [{"ALONE_SAYS": "1 failed in 1.00s"}, {"OTHER_ENDS": "2"}])
def test_what_fails_alone_or_breaks_off_under_another_python_is_a_fault(tree: Tree, how: dict[str, str]) -> None:
    """And its name stands at the end."""
    program(tree.folder / "bin/python3.13", OTHER_PYTHON)
    status, said = tree.run(RWAGENT_REQUIRE_COMPONENTS="1", **how)
    assert (status, "passed only alone" in said) == (1, False), said
    at = said.splitlines().index("FAILED: pythons")
    assert said.splitlines()[at + 1] == "tests/test_z.py::test_slow"


@pytest.mark.parametrize(
    ("words", "environment"),
    [
        ((), {"BROKEN": "tests alone", "ALONE_SAYS": "1 failed in 1.00s"}),
        ((), {"TESTS_SAY": "FAILED tests/test_x.py::test_y\n11 failed, 6 passed in 1.00s"}),
        ((), {"TESTS_SAY": "6 passed in 1.00s"}),
        (("--fast",), {}),
    ],
)
def test_what_fails_alone_too_or_among_many_is_a_fault(tree: Tree, words: Sequence[str], environment: dict[str, str]) -> None:
    """So does a run that broke off, and one without the lanes, which had the machine for itself."""
    status, said = tree.run(*words, **{"RWAGENT_REQUIRE_COMPONENTS": "1", "BROKEN": "tests", "TESTS_SAY": ONE_FAILED} | environment)
    assert (status, "FAILED: tests" in said.splitlines(), "passed only alone" in said) == (1, True, False), said


def test_on_a_laptop_a_lane_that_cannot_run_is_left_out(tree: Tree) -> None:
    """Without root and without RWAGENT_REQUIRE_COMPONENTS the VM lane does not fail the run."""
    status, said = tree.run(USER_ID="1000")
    assert (status, said.splitlines()[-1]) == (0, "14 passed, 0 failed"), said


def test_a_virtual_environment_without_pip_is_made_anew(tmp_path: Path) -> None:
    """A .venv with a good Python and a pip that does not run is not kept."""
    program(tmp_path / ".venv/bin/python", '[[ "$*" != *pip* ]]')
    program(tmp_path / ".venv/bin/pip", "exit 1")
    program(tmp_path / "python", '[[ "$*" != "-m venv .venv" ]] || { touch made; exit 7; }')
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/setup", tmp_path / "scripts")
    environment = os.environ | {"PYTHON": str(tmp_path / "python"), "RWAGENT_SETUP": ""}
    done = subprocess.run(["scripts/setup", "run"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    assert (done.returncode, (tmp_path / "made").exists()) == (7, True), done


def needed() -> dict[str, set[str]]:
    """Every program that a needs(...) mark names in a test file, by the group of packages that must bring it."""
    found: dict[str, set[str]] = {"test": set(), "vm": set()}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        marks = re.findall(r"(?:mark\.needs|^NEEDED = )\(([^)]*)\)", path.read_text(encoding="utf-8"), re.MULTILINE)
        found["vm" if path.parent.name == "vm" else "test"] |= {word for mark in marks for word in re.findall(r'"([^"]+)"', mark)}
    return found


@pytest.mark.parametrize("group", ["test", "vm"])
def test_every_program_a_test_needs_is_in_its_group_of_packages(group: str) -> None:
    """scripts/apt-packages brings whatever a needs(...) mark asks for; "root" and "netns" are no programs."""
    listed = (ROOT / "scripts/apt-packages").read_text(encoding="utf-8").split(f"[{group}]")[1].split("[")[0]
    brought = {word.removesuffix("-static") for line in listed.splitlines() if not line.startswith("#") for word in line.split()}
    assert needed()[group] - brought - {"root", "netns"} == set()
