"""What the daemon may call at ubus is what it calls: the package's access list against the code, both ways."""

from __future__ import annotations

import ast
import functools
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.router.hostapd_ubus import HostapdObjects
from agent.router.ubus import CALLS, Call, Ubus, is_listed
from tests.fakes.openwrt.board import Board
from tests.fakes.openwrt.ubusd import Ubusd

ROOT = Path(__file__).parents[2]
AGENT = ROOT / "agent"
LIST = ROOT / "openwrt_package/rwagent/files/usr/share/acl.d/rwagent.json"
# Where the daemon begins, and safe mode; what a shelf's loader takes by its name is found there.
BEGINNINGS = ("daemon.py", "safe.py", "collectors/*.py", "commands/*.py")
# What a command does with the box, as root: only its types are anything to the daemon.
ROOTS = ("router/hands_openwrt.py", "router/hands_linux.py", "router/hands_simulated.py")
# The one file whose calls go by a list of objects that is made while it runs.
BY_PATTERN = "router/hostapd_ubus.py"


def granted() -> set[tuple[str, str]]:
    """Give each object and method of the access list."""
    rules = json.loads(LIST.read_text())
    return {(name, method) for name, rule in rules["access"].items() for method in rule["methods"]}


def place(module: str) -> Path | None:
    """Give the file of a module of the agent's."""
    path = AGENT.joinpath(*module.split(".")[1:])
    return next((one for one in (path.with_suffix(".py"), path / "__init__.py") if one.is_file()), None)


@functools.cache
def parsed(source: str) -> ast.Module:
    return ast.parse(source)


def imports(path: Path) -> Iterator[str]:
    """Give what a file imports, also where it does so only later; not what only its annotations need."""
    waiting: list[ast.AST] = [parsed(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        waiting += ast.iter_child_nodes(node)


@functools.cache
def daemons() -> frozenset[Path]:
    """Give every file that the daemon can ever load."""
    found: set[Path] = set()
    waiting = [path for pattern in BEGINNINGS for path in AGENT.glob(pattern)]
    while waiting:
        path = waiting.pop()
        if path not in found and str(path.relative_to(AGENT)) not in ROOTS:
            found.add(path)
            waiting += [there for module in imports(path) if module.split(".")[0] == "agent" and (there := place(module)) is not None]
    return frozenset(found)


def calls(source: str) -> Iterator[tuple[str | None, str | None]]:
    """Give the object and the method of each call of ubus in a source, None for what is no text there."""
    for node in ast.walk(parsed(source)):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""
        if name in ("call", "Call") and len(node.args) >= 2:
            first, second = (one.value if isinstance(one, ast.Constant) and isinstance(one.value, str) else None for one in node.args[:2])
            yield first, second


def called() -> dict[str, list[tuple[str | None, str | None]]]:
    """Give the calls of each of the daemon's files; of the connection's own, which passes on what it is told, none."""
    return {str(path.relative_to(AGENT)): list(calls(path.read_text())) for path in daemons() if path != AGENT / "router/ubus.py"}


def named() -> set[tuple[str, str]]:
    """Give the objects and methods that stand in the daemon's code by their words."""
    return {(name, method) for pairs in called().values() for name, method in pairs if name is not None and method is not None}


def listeners(source: str) -> list[int]:
    """Give the lines that ask ubus to be told of something, which an access list would have to grant too."""
    called = [node for node in ast.walk(parsed(source)) if isinstance(node, ast.Call)]
    return [node.lineno for node in called if ast.unparse(node.func).endswith(("ubus.listen", "ubus.subscribe"))]


def test_the_daemons_files_are_found() -> None:
    """And root's are not among them."""
    names = {str(path.relative_to(AGENT)) for path in daemons()}
    assert {"router/openwrt.py", "router/ubus.py", "router/hostapd_ubus.py", "collectors/stations.py"} <= names
    assert not names & {"apply.py", "redact.py", "router/store_openwrt.py", "checks/acl.py", *ROOTS}
    opened = [name for name in names if "open_hands(" in (AGENT / name).read_text()]
    assert opened == ["router/hands.py"]


def test_every_call_in_the_daemons_code_is_in_the_list() -> None:
    """By its words; those that have none are in one file, whose methods are its constant."""
    assert named() and named() <= granted()
    assert {name for name, pairs in called().items() for pair in pairs if None in pair} == {BY_PATTERN}


@pytest.mark.parametrize(
    ("source", "pair"),
    [('bus.call("uci", "get")', ("uci", "get")), ('Call("log", "read", None)', ("log", "read")), ("x.call(a, b)", (None, None))],
)
def test_a_call_in_a_source_is_seen(source: str, pair: tuple[str | None, str | None]) -> None:
    """Else a new one would pass."""
    assert list(calls(source)) == [pair]


def test_the_daemon_asks_for_no_events() -> None:
    """The list grants none: neither hearing nor sending, neither subscribing nor publishing."""
    assert json.loads(LIST.read_text()).keys() == {"user", "access"} and json.loads(LIST.read_text())["user"] == "rwagent"
    own = (AGENT / "router/ubus.py", AGENT / "router/ubus_link.py")
    assert [str(path) for path in daemons() if path not in own and listeners(path.read_text())] == []


def test_everything_in_the_list_is_called(tmp_path: Path) -> None:
    """By its words somewhere in the daemon's code; of hostapd's objects, by what really comes when they are read."""
    with Ubusd(Board("rig-x86"), tmp_path / "ubus.sock") as ubusd:
        ubus = Ubus(ubusd.path, allowed=CALLS)
        assert HostapdObjects(ubus, time.monotonic).read()
        ubus.close()
        heard = {("hostapd.*" if name.startswith("hostapd.") else name, method) for name, method in ubusd.calls}
    assert {name for name, _ in heard} == {"hostapd.*"}
    assert named() | heard == granted()


def test_the_daemons_connection_makes_no_other_call() -> None:
    """A mistake is an error here and not "not found" on the router: nothing is even sent, also not beside calls that are allowed."""
    ubus = Ubus("/nowhere", allowed=CALLS)
    others = ("uci", "get"), ("network.wireless", "status"), ("hostapd.phy0-ap0", "del_client"), ("hostapd", "get_status"), ("system", "reboot")
    for call in (Call(*other) for other in others):
        with pytest.raises(ValueError, match=call.method):
            ubus.call_all([Call("system", "info"), call])
        with pytest.raises(ValueError, match=call.method):
            ubus.lookup_and_call("hostapd.*", [call])


def test_both_of_the_daemons_connections_are_such() -> None:
    """The whole daemon's and safe mode's."""
    nodes = [node for path in daemons() for node in ast.walk(parsed(path.read_text())) if isinstance(node, ast.Call)]
    made = [node for node in nodes if isinstance(node.func, ast.Name) and node.func.id == "Ubus"]
    assert made and all("allowed=CALLS" in [ast.unparse(word) for word in node.keywords] for node in made)


def test_the_list_and_the_table_are_one() -> None:
    """The table is what the connection goes by, the list what ubusd does."""
    assert granted() == {(name, method) for name, methods in CALLS.items() for method in methods}
    assert all(is_listed(CALLS, name.replace("*", "phy0-ap0"), method) for name, method in granted())


def test_what_only_root_calls_is_not_in_the_list() -> None:
    """Its half needs no grant, as root; what tells keys, or changes something, is among it."""
    files = ("redact.py", "router/store_openwrt.py", "router/hands_openwrt.py")
    roots = {pair for name in files for pair in calls((AGENT / name).read_text())}
    assert {("network.wireless", "status"), ("uci", "confirm"), ("log", "read")} <= roots
    assert not {"uci", "log", "network.wireless", "file", "session"} & {name for name, _ in granted()}
    assert "del_client" not in {method for _, method in granted()}
