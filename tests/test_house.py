"""The house stands: who imports whom, each package in its door, sizes, docstrings, mirrored tests, a lean daemon.

Every check takes a tree and gives its faults as sentences; each is proven here on a small tree with that fault planted.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent

SHELVES = ("agent.collectors", "agent.sections", "agent.commands")
SHELF_LINES, CORE_LINES = 150, 400
BOUNDARY_MARK, BOUNDARIES = "# boundary:", 2
BROAD = {"Exception", "BaseException"}

# Third-party packages, and the one module of the agent that may import each.
DOORS = {
    "paho": "agent.session",
    "psutil": "agent.router.host",
    "netifaces": "agent.router.addresses",
    "tomllib": "agent.settings",
    "tomli": "agent.settings",
    "requests": "agent.probe",
    "cryptography": "agent.signature",
}
# What would cost every router memory for as long as the daemon lives.
HEAVY = (
    *("requests", "asyncio", "sqlite3", "tomllib", "tomli", "argparse", "http.client", "urllib.request"),
    *("agent.redact", "agent.router.wanted", "agent.router.uci", "agent.change", "agent.plan", "agent.apply", "agent.router.store", "agent.signature"),
    *("agent.enroll", "agent.bundle", "agent.wire.bundle", "agent.caps", "agent.derived", "agent.guard", "agent.wall", "agent.router.carried"),
    *("agent.render", "agent.settled", "agent.folder", "agent.uci_file", "agent.uci_settings", "agent.where"),
    *("agent.safe", "agent.starts", "agent.wire.safe_mode"),
)


class Wall(NamedTuple):
    """What the modules behind a wall may import of ours, at run time and only for typing; a name means it and all below it."""

    allowed: tuple[str, ...]
    typing: tuple[str, ...] = ()
    but_not: tuple[str, ...] = ()


NOUNS = ("agent.records", "agent.errors", "agent.rates", "agent.change")
BACKENDS = ("agent.router.linux", "agent.router.simulated", "agent.router.openwrt")
STORES = ("agent.router.store_linux", "agent.router.store_simulated", "agent.router.store_openwrt")
SHELF_WALL = Wall(NOUNS, typing=("agent.router.contract",))
ROUTER_WALL = Wall(("agent.records", "agent.errors", "agent.change", "agent.dns", "agent.lean", "agent.reach", "agent.router"), typing=("agent.settings",))

# The longest name that fits a module is its wall (DESIGN.md, section 4).
WALLS = {
    "agent.wire": Wall(("agent.wire",)),
    "agent.records": Wall(()),
    "agent.errors": Wall(()),
    "agent.rates": Wall(()),
    "agent.change": Wall(()),
    **dict.fromkeys(SHELVES, SHELF_WALL),
    "agent.checked": Wall(("agent.change",)),
    "agent.owned": Wall(("agent.change",)),
    "agent.band": Wall(("agent.change", "agent.checked")),
    "agent.arguments": Wall(("agent.change", "agent.checked")),
    "agent.dns": Wall(("agent.change",)),
    "agent.bss": Wall(("agent.change", "agent.checked", "agent.owned")),
    "agent.caps": Wall(("agent.change", "agent.checked", "agent.owned", "agent.bss")),
    "agent.bss_changes": Wall(("agent.change", "agent.owned", "agent.bss", "agent.caps")),
    "agent.wifi_key": Wall(("agent.change", "agent.checked", "agent.bss")),
    "agent.derived": Wall(("agent.change", "agent.owned", "agent.caps", "agent.dns")),
    # Pure as the nouns are: what the sections would else have to say twice, since siblings never import each other.
    "agent.sections": SHELF_WALL._replace(
        allowed=(*NOUNS, *(f"agent.{name}" for name in ("checked", "owned", "band", "bss", "bss_changes", "caps", "wifi_key")))
    ),
    "agent.commands": SHELF_WALL._replace(allowed=(*NOUNS, "agent.arguments", "agent.checked"), typing=("agent.router.hands",)),
    "agent.router": ROUTER_WALL,
    # Root's half of the box makes and carries out the derived files; what it tells the daemon of them goes through the wall.
    **dict.fromkeys(STORES, ROUTER_WALL._replace(allowed=(*ROUTER_WALL.allowed, "agent.caps", "agent.derived"))),
    "agent.router.carried": ROUTER_WALL._replace(allowed=(*ROUTER_WALL.allowed, "agent.caps", "agent.wall")),
    "agent.daemon": Wall(("agent",), but_not=("agent.__main__", *BACKENDS)),
    "agent.__main__": Wall(("agent",)),
    "agent": Wall(("agent",), but_not=("agent.daemon", "agent.__main__", *BACKENDS)),
    "fleet": Wall(("agent.wire", "fleet")),
    "fleet.simulate": Wall(("agent", "fleet")),
}


class Import(NamedTuple):
    """One imported module, in full; `is_typing` when it stands under `if TYPE_CHECKING`."""

    line: int
    module: str
    is_typing: bool


def modules(root: Path, *packages: str) -> dict[str, Path]:
    """Every Python file of the packages by its module name; a package's own name is its __init__.py."""
    found = {}
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def below(module: str, names: tuple[str, ...]) -> bool:
    """Say whether the module is one of the names or stands below one."""
    return any(module == name or module.startswith(name + ".") for name in names)


def imports(path: Path, module: str, known: dict[str, Path]) -> Iterator[Import]:
    """Every import of a file, also those inside functions; `from package import name` means the module of that name if there is one."""

    def visit(node: ast.AST, is_typing: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (Import(child.lineno, alias.name, is_typing) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
                    base = ".".join([*package[: len(package) - child.level + 1], *([base] if base else [])])
                for alias in child.names:
                    full = f"{base}.{alias.name}"
                    yield Import(child.lineno, full if full in known else base, is_typing)
            elif isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
                yield from visit(ast.Module(child.body, []), True)
                yield from visit(ast.Module(child.orelse, []), is_typing)
            else:
                yield from visit(child, is_typing)

    yield from visit(ast.parse(path.read_text(encoding="utf-8")), False)


# The checks.


def broken_walls(root: Path) -> list[str]:
    """Name every import that goes through a wall."""
    known, faults = modules(root, "agent", "fleet"), []
    for module, path in known.items():
        name = max((name for name in WALLS if below(module, (name,))), key=len)
        wall = WALLS[name]
        # A shelf's loader is its table: it may import all that stands on it.
        allowed = (*wall.allowed, module) if module in SHELVES else wall.allowed
        for found in imports(path, module, known):
            if found.module.split(".")[0] not in ("agent", "fleet") or found.module == module:
                continue
            may = allowed + wall.typing if found.is_typing else allowed
            if not below(found.module, may) or (not found.is_typing and below(found.module, wall.but_not)):
                kind = "for typing " if found.is_typing else ""
                only = ", ".join(may) or "nothing of ours"
                refused = f" but not {', '.join(wall.but_not)}" if wall.but_not else ""
                faults.append(f"{path.relative_to(root)}:{found.line} imports {found.module}; {name} may {kind}import only: {only}{refused}")
    return faults


def packages_outside_their_door(root: Path) -> list[str]:
    """Name every import in agent/ that is neither the standard library nor ours and not in its door."""
    known, faults = modules(root, "agent"), []
    for module, path in known.items():
        for found in imports(path, module, known):
            package = found.module.split(".")[0]
            if package in ("agent", "fleet") or (package in sys.stdlib_module_names and package not in DOORS):
                continue
            where = f"{path.relative_to(root)}:{found.line} imports {package}"
            if package not in DOORS:
                faults.append(f"{where}, which no router carries; expected one of {', '.join(DOORS)} or the standard library")
            elif DOORS[package] != module:
                faults.append(f"{where}; its only door is {DOORS[package].replace('.', '/')}.py")
    return faults


def without_docstring(root: Path) -> list[str]:
    """Name every module that does not open with a sentence."""
    return [
        f"{path.relative_to(root)} has no docstring; open the module with what it is for and what it promises not to do"
        for path in modules(root, "agent", "fleet", "tests").values()
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]


def too_long(root: Path) -> list[str]:
    """Name every file of agent/ and fleet/ that has more lines than its place allows."""
    faults = []
    for module, path in modules(root, "agent", "fleet").items():
        lines, most = len(path.read_text(encoding="utf-8").splitlines()), SHELF_LINES if below(module, SHELVES) else CORE_LINES
        if lines > most:
            faults.append(f"{path.relative_to(root)} has {lines} lines, expected at most {most}; split it by noun or verb")
    return faults


# Modules whose one test file is another's: the doctor's short checks, and pieces split off a file that is tested as a whole.
TOGETHER = {
    "agent.checks": Path("tests/checks/test_checks.py"),
    "agent.commands": Path("tests/commands/test_commands.py"),
    "agent.checks.broker": Path("tests/checks/test_broker.py"),
    "agent.band": Path("tests/sections/test_radios.py"),
    "agent.bss": Path("tests/sections/test_ssids.py"),
    "agent.bss_changes": Path("tests/sections/test_ssids.py"),
    "agent.wifi_key": Path("tests/sections/test_ssids.py"),
    "agent.folder": Path("tests/test_enroll.py"),
    "agent.link": Path("tests/test_broker.py"),
    "agent.notices": Path("tests/test_session.py"),
    "agent.settled": Path("tests/test_render.py"),
    "agent.uci_file": Path("tests/test_render.py"),
    "agent.wire.asyncapi": Path("tests/wire/test_schemas.py"),
    "agent.wire.schemas_config": Path("tests/wire/test_schemas.py"),
    "agent.wire.shapes": Path("tests/wire/test_schemas.py"),
}


def without_mirrored_test(root: Path) -> list[str]:
    """Name every module of agent/ whose test file is missing; one that only names things (no function at all) needs none."""
    faults = []
    for module, path in modules(root, "agent").items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        has_function = any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) for node in ast.walk(tree))
        if path.name in ("__init__.py", "contract.py", "store.py") or not has_function:
            continue
        *folders, name = module.split(".")[1:]
        test = TOGETHER.get(module) or TOGETHER.get(module.rpartition(".")[0]) or Path("tests", *folders, f"test_{name.strip('_')}.py")
        if not (root / test).exists():
            faults.append(f"{path.relative_to(root)} has no {test}; the tests mirror the tree file for file")
    return faults


def _is_broad(kind: ast.expr | None) -> bool:
    names = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(name is None or (isinstance(name, ast.Name) and name.id in BROAD) for name in names)


def broad_excepts(root: Path) -> list[str]:
    """Name every handler in agent/ that catches everything, beyond the marked boundaries; one that ends in `raise` swallows nothing."""
    faults, marked = [], []
    for path in modules(root, "agent").values():
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and any(isinstance(arg, ast.Name) and arg.id in BROAD for arg in node.args) and "suppress" in ast.dump(node.func):
                faults.append(f"{path.relative_to(root)}:{node.lineno} suppresses everything; name the narrowest exception")
            if not isinstance(node, ast.ExceptHandler) or not _is_broad(node.type):
                continue
            last = node.body[-1]
            if isinstance(last, ast.Raise) and last.exc is None:
                continue
            where = f"{path.relative_to(root)}:{node.lineno}"
            if BOUNDARY_MARK in lines[node.lineno - 1]:
                marked.append(where)
            else:
                faults.append(f"{where} catches everything; catch the narrowest exception (only {BOUNDARIES} boundaries, marked `{BOUNDARY_MARK} why`, may)")
    if len(marked) > BOUNDARIES:
        faults.append(f"agent/ has {len(marked)} marked boundaries ({', '.join(marked)}), expected at most {BOUNDARIES}")
    return faults


def heavy_modules(root: Path, *imported: str) -> list[str]:
    """Name what importing these modules loads that the daemon must not carry."""
    code = f"import sys; before = set(sys.modules); import {', '.join(imported)}; print(*sorted(set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-B", "-c", code], cwd=root, capture_output=True, text=True, timeout=60, check=False)
    if run.returncode:
        return [f"importing {', '.join(imported)} fails: {run.stderr.strip().splitlines()[-1]}"]
    loaded = run.stdout.split()
    return [f"importing {', '.join(imported)} loads {name}; `python -X importtime -c 'import …'` shows who brings it" for name in HEAVY if name in loaded]


CHECKS: list[Callable[[Path], list[str]]] = [
    broken_walls,
    packages_outside_their_door,
    without_docstring,
    too_long,
    without_mirrored_test,
    broad_excepts,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_house_stands(check: Callable[[Path], list[str]]) -> None:
    """No file of the project breaks this rule of the house."""
    faults = check(ROOT)
    assert not faults, "\n" + "\n".join(faults)


@pytest.mark.parametrize("backend", ["openwrt", "linux", "simulated"])
def test_the_daemon_is_lean(backend: str) -> None:
    """Nothing heavy is loaded by the daemon with any backend."""
    faults = heavy_modules(ROOT, "agent.daemon", f"agent.router.{backend}")
    assert not faults, "\n" + "\n".join(faults)


# The checks themselves, each on a planted fault.

GOOD = {
    "agent/__init__.py": '"""An agent."""\n__version__ = "0"\n',
    "agent/records.py": '"""Nouns."""\n',
    "agent/errors.py": '"""Ways to say no."""\n',
    "agent/daemon.py": '"""The loop."""\nfrom agent import __version__, sensing\nfrom agent.collectors import TABLE\n',
    "agent/sensing.py": '"""Sensing."""\nfrom agent.records import X\n',
    "agent/collectors/__init__.py": '"""A shelf."""\nfrom agent.collectors import air\nTABLE = (air,)\n',
    "agent/collectors/air.py": (
        '"""The air."""\nfrom typing import TYPE_CHECKING\nfrom agent.records import X\n'
        "if TYPE_CHECKING:\n    from agent.router.contract import Router\ndef f(): ...\n"
    ),
    "agent/router/__init__.py": '"""The box."""\n',
    "agent/router/contract.py": '"""A contract."""\nfrom agent.records import X\n',
    "agent/router/host.py": '"""Health."""\nimport os\nimport psutil\n',
    "agent/router/linux.py": '"""Linux."""\nfrom . import host\nfrom .contract import Router\n',
    "agent/wire/__init__.py": '"""The wire."""\n',
    "fleet/__init__.py": '"""The city."""\nfrom agent import wire\n',
    "tests/collectors/test_air.py": '"""Of the air."""\n',
}


def place(name: str) -> str:
    """Give the file for a keyword: agent/x.py for `agent__x`, agent/__main__.py for `agent____main__`."""
    return name.replace("____main__", "/main-").replace("__", "/").replace("main-", "__main__") + ".py"


def tree(root: Path, **changed: str) -> Path:
    """Build the good tree with some files changed, named as `place` says."""
    for name, text in (GOOD | {place(key): text for key, text in changed.items()}).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_good_tree_has_no_faults(check: Callable[[Path], list[str]], tmp_path: Path) -> None:
    """A small house in order passes every check."""
    assert check(tree(tmp_path)) == []


@pytest.mark.parametrize(
    ("name", "line", "named"),
    [
        ("agent__wire__topics", "from agent.records import X", "agent.records"),
        ("agent__records", "import agent.errors", "agent.errors"),
        ("agent__collectors__air", "from agent.sensing import X", "agent.sensing"),
        ("agent__collectors__air", "from agent.collectors import noise", "agent.collectors"),
        ("agent__collectors__air", "from agent.router.contract import Router", "agent.router.contract"),
        ("agent__collectors__air", "if not TYPE_CHECKING:\n    from agent.router.contract import Router", "agent.router.contract"),
        ("agent__collectors__air", "if TYPE_CHECKING:\n    pass\nelse:\n    from agent.router.contract import Router", "agent.router.contract"),
        ("agent__collectors__air", "def f():\n    from agent.router import linux", "agent.router.linux"),
        ("agent__collectors__air", "from . import noise", "agent.collectors"),
        ("agent__collectors__air", "from ..daemon import Daemon", "agent.daemon"),
        ("agent__router__host", "from agent.sensing import X", "agent.sensing"),
        ("agent__router__host", "if TYPE_CHECKING:\n    from agent.daemon import Daemon", "agent.daemon"),
        ("agent__sensing", "try:\n    from agent import daemon\nexcept ImportError:\n    daemon = None", "agent.daemon"),
        ("agent__sensing", "from agent.router.linux import LinuxRouter", "agent.router.linux"),
        ("agent__daemon", "import fleet", "fleet"),
        ("fleet__status", "from agent.records import X", "agent.records"),
    ],
)
def test_a_broken_wall_is_named(name: str, line: str, named: str, tmp_path: Path) -> None:
    """An import through a wall is reported with file, line and what is allowed, wherever in the file it hides."""
    (fault,) = broken_walls(tree(tmp_path, **{name: f'"""A module."""\n{line}\n'}))
    assert fault.startswith(place(name) + ":") and f"imports {named};" in fault and "may" in fault


def test_siblings_on_a_shelf_are_strangers(tmp_path: Path) -> None:
    """One collector importing another is a broken wall."""
    (fault,) = broken_walls(tree(tmp_path, agent__collectors__noise='"""Noise."""\nfrom agent.collectors.air import f\n'))
    assert "agent/collectors/noise.py:2 imports agent.collectors.air;" in fault


def test_the_simulator_may_use_the_daemons_parts(tmp_path: Path) -> None:
    """fleet/simulate.py is the one part of the city that may import the agent."""
    assert broken_walls(tree(tmp_path, fleet__simulate='"""Many."""\nfrom agent.daemon import Daemon\n')) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("import psutil", "agent/router/host.py"),
        ("from paho.mqtt import client", "agent/session.py"),
        ("def f():\n    import tomllib", "agent/settings.py"),
        ("import numpy.linalg", "no router carries"),
        ("if TYPE_CHECKING:\n    import requests", "agent/probe.py"),
    ],
)
def test_a_package_outside_its_door_is_named(line: str, message: str, tmp_path: Path) -> None:
    """A third-party import elsewhere than in its door is reported with the door."""
    (fault,) = packages_outside_their_door(tree(tmp_path, agent__sensing=f'"""Sensing."""\n{line}\n'))
    assert fault.startswith("agent/sensing.py:") and message in fault


def test_a_missing_docstring_is_named(tmp_path: Path) -> None:
    """A module that opens with code is reported."""
    (fault,) = without_docstring(tree(tmp_path, agent__sensing="import os\n"))
    assert fault.startswith("agent/sensing.py has no docstring")


@pytest.mark.parametrize(("name", "most"), [("agent__collectors__air", SHELF_LINES), ("agent__sensing", CORE_LINES), ("fleet__status", CORE_LINES)])
def test_a_long_file_is_named(name: str, most: int, tmp_path: Path) -> None:
    """One line more than the place allows is reported; exactly as many is not."""
    assert too_long(tree(tmp_path, **{name: "#\n" * most})) == []
    (fault,) = too_long(tree(tmp_path, **{name: "#\n" * (most + 1)}))
    assert f"has {most + 1} lines, expected at most {most}" in fault


@pytest.mark.parametrize(
    ("name", "test"),
    [
        ("agent__sensing", "tests/test_sensing.py"),
        ("agent__collectors__noise", "tests/collectors/test_noise.py"),
        ("agent____main__", "tests/test_main.py"),
    ],
)
def test_a_missing_test_file_is_named(name: str, test: str, tmp_path: Path) -> None:
    """A module with a function and no mirrored test is reported with the file that is missing."""
    (fault,) = without_mirrored_test(tree(tmp_path, **{name: '"""A module."""\ndef f():\n    return 1\n'}))
    assert f"has no {test};" in fault


@pytest.mark.parametrize("handler", ["except Exception:", "except:", "except (ValueError, BaseException):", "except Exception as error:  # noqa"])
def test_a_broad_except_is_named(handler: str, tmp_path: Path) -> None:
    """A handler that swallows everything without being a marked boundary is reported."""
    (fault,) = broad_excepts(tree(tmp_path, agent__sensing=f'"""Sensing."""\ntry:\n    x = 1\n{handler}\n    x = 2\n'))
    assert fault.startswith("agent/sensing.py:4 catches everything")


def test_suppressing_everything_is_named(tmp_path: Path) -> None:
    """`suppress(Exception)` is a broad except by another name."""
    (fault,) = broad_excepts(tree(tmp_path, agent__sensing='"""Sensing."""\nimport contextlib\nwith contextlib.suppress(Exception):\n    x = 1\n'))
    assert fault.startswith("agent/sensing.py:3 suppresses everything")


def test_cleaning_up_and_raising_again_is_allowed(tmp_path: Path) -> None:
    """A broad handler that ends in a bare raise swallows nothing."""
    assert broad_excepts(tree(tmp_path, agent__sensing='"""Sensing."""\ntry:\n    x = 1\nexcept BaseException:\n    x = 2\n    raise\n')) == []


def test_there_are_two_boundaries_and_no_third(tmp_path: Path) -> None:
    """Two marked boundaries pass; the third is reported with all their places."""
    one = f"try:\n    x = 1\nexcept Exception:  {BOUNDARY_MARK} because\n    x = 2\n"
    assert broad_excepts(tree(tmp_path, agent__sensing='"""Sensing."""\n' + one * 2)) == []
    (fault,) = broad_excepts(tree(tmp_path, agent__sensing='"""Sensing."""\n' + one * 3))
    assert "3 marked boundaries" in fault and "agent/sensing.py:12" in fault


def test_a_heavy_import_is_named(tmp_path: Path) -> None:
    """What comes in through a module of the agent is reported by name, however deep it hides."""
    planted = tree(tmp_path, agent__daemon='"""The loop."""\nfrom agent import deep\n', agent__deep='"""Deep."""\nimport sqlite3\n')
    (fault,) = heavy_modules(planted, "agent.daemon")
    assert "loads sqlite3" in fault


def test_a_tree_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    """A daemon that does not even import is a fault, not a pass."""
    (fault,) = heavy_modules(tree(tmp_path, agent__daemon='"""The loop."""\nimport agent.nowhere\n'), "agent.daemon")
    assert "nowhere" in fault
