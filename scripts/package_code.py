#!/usr/bin/env python3
"""What a router carries of the agent: finds the modules, byte-compiles them with this interpreter, and lays all of it under ROOT as it lies on the router.

    python3.13 -X no_debug_ranges scripts/package_code.py build/root     /usr/lib/python3.13/site-packages/agent, /usr/bin, /usr/libexec/rwagent

OpenWrt's SDK runs it through openwrt_package/rwagent/Makefile with the release's own interpreter; scripts/build_package does the same. It needs the
standard library only. A traceback keeps its lines; docstrings, asserts, columns and the annotations of functions are not carried.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import marshal
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

CLONE = Path(__file__).resolve().parent.parent
LIBEXEC = "usr/libexec/rwagent"

# Begun by what is in /usr/bin. What these begin they name in quotes, and what scripts of the package begin is found in them.
PROGRAMS = {"rwagent": "agent.__main__", "rwagent-apply": "agent.apply"}
# The other backends, and the contract's own documents. What only these import is not carried either.
LEFT_OUT = re.compile(r"agent\.router\.((\w+_)?(linux|simulated)|simulated_\w+)|agent\.wire\.(schemas\w*|asyncapi)")
SCRIPTS_LEFT_OUT = ("reload_linux",)
START_S = 60
# It loads its files by the name that was asked for.
BY_NAME = ("agent.commands",)

PROGRAM = """#!/usr/bin/python3 -I
import sys

from {module} import main

sys.exit(main())
"""


@functools.cache
def stripped(path: Path) -> ast.Module:
    """Parse a file and take from it what nothing reads on a router: annotations but those of classes (a NamedTuple's fields), imports for typing."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    _strip(tree.body, is_class=False)
    return tree


def _strip(block: list[ast.stmt], *, is_class: bool) -> None:
    for at, node in enumerate(block):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            given = node.args
            for one in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg):
                if one is not None:
                    one.annotation = None
            node.returns = None
        elif isinstance(node, ast.AnnAssign) and node.value and not is_class:
            block[at] = ast.copy_location(ast.Assign([node.target], node.value), node)
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" and not node.orelse:
            block[at] = ast.copy_location(ast.Pass(), node)
            continue
        is_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for inner in _blocks(node):
            _strip(inner, is_class=isinstance(node, ast.ClassDef) or (is_class and not is_function))


def _blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """The blocks of statements that a statement has."""
    for name in ("body", "orelse", "finalbody"):
        yield from [inner] if isinstance(inner := getattr(node, name, None), list) else []
    for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
        yield part.body


def modules(clone: Path) -> dict[str, Path]:
    """Give every module of the agent by its name; a package's own name is its __init__.py."""
    found = {}
    for path in sorted((clone / "agent").rglob("*.py")):
        parts = path.relative_to(clone).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def carried(clone: Path) -> dict[str, Path]:
    """Give the modules that a router can come to: from what is begun by name along every import, the lazy ones too, but not into what is left out."""
    known = modules(clone)
    missing = [name for name in (*PROGRAMS.values(), *BY_NAME) if name not in known]
    if missing:
        raise SystemExit(f"package_code: {clone} has no {', '.join(missing)}")
    waiting, found = [*PROGRAMS.values(), *_begun_by_scripts(clone, known)], dict[str, Path]()
    while waiting:
        name = waiting.pop()
        if name in found or LEFT_OUT.fullmatch(name):
            continue
        found[name] = known[name]
        if name in BY_NAME:
            waiting += [one for one in known if one.startswith(f"{name}.")]
        waiting += _imports(known[name], known)
    return dict(sorted(found.items()))


def _begun_by_scripts(clone: Path, known: dict[str, Path]) -> Iterator[str]:
    """Every `-m agent.NAME` in the scripts of both packages and of the agent."""
    for directory in ("agent/ash", "openwrt_package/rwagent/files", "openwrt_package/luci-app-rwagent/root"):
        for path in sorted((clone / directory).rglob("*")):
            if path.is_file():
                text = path.read_text(encoding="utf-8", errors="replace")
                yield from (name for name in re.findall(r"-m\s+(agent(?:\.\w+)+)", text) if name in known)


def _imports(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """The modules of ours that a file imports anywhere but for typing, and the packages they stand in; and those it names in quotes, to begin them."""
    yield from (name for name in re.findall(r"[\"'](agent(?:\.\w+)+)[\"']", path.read_text(encoding="utf-8")) if name in known)
    waiting: list[ast.AST] = [stripped(path)]
    while waiting:
        node = waiting.pop()
        waiting += [inner for block in _blocks(node) for inner in block]
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            yield from (package for end in range(1, len(parts) + 1) if (package := ".".join(parts[:end])) in known)


def compiled(path: Path, shown: str) -> bytes:
    """Compile a file to a .pyc of this interpreter's; `shown` is the path in its tracebacks. The bytes depend on the source and the interpreter only."""
    code = compile(stripped(path), shown, "exec", dont_inherit=True, optimize=2)
    # Unchecked (PEP 552): there is no source to be checked against.
    return importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + importlib.util.source_hash(path.read_bytes()) + marshal.dumps(code)


def found_python(version: str) -> str | None:
    """Find an interpreter of this version that really runs (a pyenv shim may not); None: there is none."""
    places = [f"python{version}", *(str(one) for one in sorted(Path.home().glob(f".pyenv/versions/*/bin/python{version}")))]
    return next((one for one in places if version_of(one) == version), None)


def version_of(python: str) -> str | None:
    """Give an interpreter's version, like 3.13; None when it does not run."""
    try:
        done = subprocess.run([python, "-c", 'import sys; print("%d.%d" % sys.version_info[:2])'], capture_output=True, text=True, timeout=START_S, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def lay(clone: Path, root: Path) -> None:
    """Lay the agent's modules, programs and scripts under `root`, which may be there; fails where a script would hide another."""
    if not sys._xoptions.get("no_debug_ranges"):
        raise SystemExit("package_code: start it with -X no_debug_ranges, else every module carries the columns of its lines")
    site = f"usr/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    for path in carried(clone).values():
        place = root / site / path.relative_to(clone).with_suffix(".pyc")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(compiled(path, f"/{site}/{path.relative_to(clone)}"))
    for name, module in PROGRAMS.items():
        _write(root / "usr/bin" / name, PROGRAM.format(module=module).encode())
    for path in sorted((clone / "agent/ash").iterdir()):
        if path.name not in SCRIPTS_LEFT_OUT:
            _write(root / LIBEXEC / path.name, path.read_bytes(), path.stat().st_mode & 0o111)
    (root / site / "agent/ash").symlink_to(f"/{LIBEXEC}")


def _write(place: Path, content: bytes, executable: int = 0o111) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("xb") as file:
        file.write(content)
    place.chmod(0o755 if executable else 0o644)


def main(words: list[str]) -> int:
    if len(words) != 1 or words[0].startswith("-"):
        print(__doc__, file=sys.stderr if words != ["--help"] else sys.stdout)
        return 0 if words == ["--help"] else 2
    root = Path(words[0])
    shutil.rmtree(root, ignore_errors=True)
    lay(CLONE, root)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
