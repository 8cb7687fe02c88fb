"""The agent as a router carries it: every module that it can come to, compiled, without what only other boxes need; and it works."""

from __future__ import annotations

import json
import marshal
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from scripts import package_code
from tests.fakes.openwrt.board import Board
from tests.fakes.openwrt.ubusd import Ubusd
from tests.openwrt_package.conftest import ROOT, Router

pytestmark = [pytest.mark.once, pytest.mark.needs("make", "busybox")]

SETTINGS = """
[agent]
id = "rw-0501"
city = "malang"
[broker]
host = "127.0.0.1"
port = 1
tls = false
[router]
backend = "{backend}"
ubus_socket = "{folder}/ubus.sock"
[paths]
run_dir = "{folder}/run"
state_dir = "{folder}/state"
"""
IMPORT_ALL = """
import importlib, pathlib, sys
import agent
root = pathlib.Path(agent.__file__).parent
for path in sorted(root.rglob("*.pyc")):
    parts = path.relative_to(root.parent).with_suffix("").parts
    importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    print(*parts)
"""


def settings_file(folder: Path, backend: str = "openwrt") -> Path:
    for name in ("run", "state"):
        (folder / name).mkdir(exist_ok=True)
    file = folder / "agent.toml"
    file.write_text(SETTINGS.format(backend=backend, folder=folder))
    return file


@pytest.mark.parametrize("name", ["agent.router.linux", "agent.router.simulated_day", "agent.router.store_simulated", "agent.wire.schemas_config"])
def test_other_boxes_files_are_left_out(name: str) -> None:
    """Neither another backend nor the contract's documents lie on a router."""
    assert name in package_code.modules(ROOT)
    assert name not in package_code.carried(ROOT)


def test_what_only_other_boxes_files_import_is_left_out() -> None:
    """hostapd's files are the linux backend's, and nobody says so here."""
    left = package_code.modules(ROOT).keys() - package_code.carried(ROOT).keys()
    assert {"agent.router.hostapd_conf", "agent.router.simulated_clock"} <= left


def test_what_is_imported_by_name_is_carried() -> None:
    """Commands are loaded by their names, and what scripts begin with -m stands in no import."""
    known, carried = package_code.modules(ROOT), package_code.carried(ROOT)
    assert {name for name in known if name.startswith("agent.commands.")} <= carried.keys()
    assert {"agent.render", "agent.redact"} <= carried.keys()


def test_every_program_is_carried() -> None:
    """A module that can be begun is begun by somebody: the daemon, its safe mode, root's half, and what the services run."""
    begun = {name for name, path in package_code.modules(ROOT).items() if 'if __name__ == "__main__":' in path.read_text()}
    assert begun - package_code.carried(ROOT).keys() == set()


def test_a_lazy_import_is_followed(tmp_path: Path) -> None:
    """What a function imports when it is called is carried too, and what is named in quotes; what only types need is not."""
    for name in (*package_code.PROGRAMS.values(), *package_code.BY_NAME):
        path = tmp_path / name.replace(".", "/")
        if name in package_code.BY_NAME:
            path = path / "__init__"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".py").write_text("")
    (tmp_path / "agent/__init__.py").write_text("")
    (tmp_path / "agent/apply.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from agent import typed\ndef f() -> None:\n    from agent.late import x\n"
    )
    (tmp_path / "agent/__main__.py").write_text('OTHER = "agent.begun"\n')
    for name in ("late", "typed", "begun"):
        (tmp_path / f"agent/{name}.py").write_text("x = 1\n")
    carried = package_code.carried(tmp_path)
    assert {"agent.late", "agent.begun"} <= carried.keys()
    assert "agent.typed" not in carried


def test_fields_of_records_stay(tmp_path: Path) -> None:
    """A NamedTuple is made of its annotations; a function's, a local's and a module's are gone, and the value stays."""
    source = (
        "from typing import NamedTuple\nlimit: int = 3\nclass A(NamedTuple):\n    x: int = 1\ndef f(a: int) -> int:\n    b: int = a\n    return b + limit\n"
    )
    (tmp_path / "a.py").write_text(source)
    found: dict[str, Any] = {}
    exec(compile(package_code.stripped(tmp_path / "a.py"), "a", "exec"), found)
    assert found["A"]._fields == ("x",)
    assert found["f"].__annotations__ == {}
    assert found["f"](2) == 5


def test_compiled_is_without_words_and_with_lines(tmp_path: Path) -> None:
    """No docstring, no assert; each line is still known, under the path that it has on the router."""
    (tmp_path / "a.py").write_text('"""Says."""\nassert 0\ndef f():\n    """Says more."""\n    return 1 / 0\n')
    code = marshal.loads(package_code.compiled(tmp_path / "a.py", "/usr/lib/agent/a.py")[16:])
    found: dict[str, Any] = {}
    exec(code, found)
    assert (found.get("__doc__"), found["f"].__doc__) == (None, None)
    with pytest.raises(ZeroDivisionError) as raised:
        found["f"]()
    assert (raised.traceback[-1].frame.code.raw.co_filename, raised.traceback[-1].lineno + 1) == ("/usr/lib/agent/a.py", 5)


@pytest.mark.parametrize("words", [[], ["-OO"]])
def test_code_with_columns_is_not_laid(tmp_path: Path, words: list[str]) -> None:
    """-OO takes docstrings and leaves the columns: only -X no_debug_ranges will do, and nothing is written without it."""
    command = [sys.executable, *words, str(ROOT / "scripts/package_code.py"), str(tmp_path / "root")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "-X no_debug_ranges" in done.stderr
    assert not (tmp_path / "root").exists()


def test_only_bytecode_is_carried(router: Router) -> None:
    """OpenWrt's Python writes none, so a .py would be compiled at every start."""
    suffixes = {path.suffix for path in router.tree.glob("usr/lib/**/*") if path.is_file() and not path.is_relative_to(router.tree / "usr/libexec")}
    assert suffixes == {".pyc"}


def test_every_module_imports(router: Router) -> None:
    """None of them misses what was left out."""
    done = router.run("-c", IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(list(router.tree.rglob("*.pyc")))


def test_tracebacks_have_lines(router: Router) -> None:
    """Docstrings are gone; a fault in the field still says where it happened."""
    done = router.run("-c", "import agent.backoff, agent.errors; print(agent.backoff.__doc__); agent.errors.Rejected(1, 2, 3, x=4)")
    assert done.stdout == "None\n"
    done = router.run("-c", "from agent import settings; settings.restore('{')")
    assert re.search(r'File "/usr/lib/python3\.\d+/site-packages/agent/settings\.py", line [1-9]\d+, in restore', done.stderr), done.stderr


def test_the_programs_speak(router: Router) -> None:
    """`rwagent version` and both programs' --help."""
    from agent import __version__

    assert router.program("rwagent", "version").stdout.startswith(f"rwagent {__version__}, Python 3.")
    for program in ("rwagent", "rwagent-apply"):
        done = router.program(program, "--help")
        assert (done.returncode, done.stderr) == (0, ""), program


@pytest.mark.parametrize("backend", ["linux", "simulated"])
@pytest.mark.parametrize("command", ["once", "doctor", "run"])
def test_another_box_is_refused_in_words(router: Router, tmp_path: Path, backend: str, command: str) -> None:
    """Settings for a box of another kind are a fault of the settings, never a traceback."""
    done = router.program("rwagent", command, "--config", str(settings_file(tmp_path, backend)))
    assert done.returncode in (1, 2)
    assert f'router.backend is "{backend}", expected "auto" or "openwrt"' in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_report_is_made(router: Router, tmp_path: Path) -> None:
    """`rwagent once` asks ubus and prints one report."""
    with Ubusd(Board(ROOT / "tests/devices/rig-x86"), tmp_path / "ubus.sock"):
        done = router.program("rwagent", "once", "--config", str(settings_file(tmp_path)))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ap"] == "rw-0501"


def test_the_doctor_examines(router: Router, tmp_path: Path) -> None:
    """Every check runs; that this is no router, it says."""
    with Ubusd(Board(ROOT / "tests/devices/rig-x86"), tmp_path / "ubus.sock"):
        done = router.program("rwagent", "doctor", "--json", "--config", str(settings_file(tmp_path)))
    assert done.returncode == 1, done.stderr
    assert len(json.loads(done.stdout)["findings"]) > 10


def test_root_writes_down_the_facts(router: Router, tmp_path: Path) -> None:
    """agent.redact runs from the package and says what it could not ask."""
    with Ubusd(Board(ROOT / "tests/devices/rig-x86"), tmp_path / "ubus.sock"):
        done = router.run("-m", "agent.redact", "--out", str(tmp_path / "wireless.json"), "--socket", str(tmp_path / "ubus.sock"), "--settle", "0")
    assert "Traceback" not in done.stderr, done.stderr
    assert json.loads((tmp_path / "wireless.json").read_text())["radios"], done.stderr


def test_settings_are_rendered(router: Router) -> None:
    """agent.render runs from the package: here, where nobody is enrolled, it says so or that there is no UCI."""
    done = router.run("-m", "agent.render")
    assert done.returncode in (2, 3), done.stderr
    assert "Traceback" not in done.stderr, done.stderr


def test_the_applier_starts(router: Router, tmp_path: Path) -> None:
    """It reads its settings and ends in words; what it may do to this machine is nothing."""
    done = router.program("rwagent-apply", "--settle", "--config", str(settings_file(tmp_path)))
    assert "Traceback" not in done.stderr, done.stderr


def test_the_daemon_runs_until_told(router: Router, tmp_path: Path) -> None:
    """It becomes its lean image, works without its broker, and ends with 0 when told to."""
    with Ubusd(Board(ROOT / "tests/devices/rig-x86"), tmp_path / "ubus.sock"):
        command = [str(router.python), "-I", str(router.tree / "usr/bin/rwagent"), "run", "--config", str(settings_file(tmp_path))]
        daemon = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        until = time.monotonic() + 60
        while not list((tmp_path / "run").rglob("daemon.json")) and time.monotonic() < until and daemon.poll() is None:
            time.sleep(0.05)
        daemon.send_signal(signal.SIGTERM)
        _, said = daemon.communicate(timeout=60)
    assert daemon.returncode == 0, said
    assert "Traceback" not in said
