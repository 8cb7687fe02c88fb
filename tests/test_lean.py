"""A package imported without what it never needs here is complete for us, and nobody else notices."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agent.lean import Without


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout


def test_a_stand_in_is_there_only_while_entered() -> None:
    """Inside, the import gives an empty module; afterwards the real one comes."""
    said = run(
        "from agent.lean import Without\n"
        "with Without(colorsys={'hue': 1}):\n    import colorsys\n    print(colorsys.hue, hasattr(colorsys, 'rgb_to_hsv'))\n"
        "import colorsys\nprint(colorsys.rgb_to_hsv(0, 0, 1)[2])"
    )
    assert said.split() == ["1", "False", "1"]


def test_a_module_that_is_loaded_stays_itself() -> None:
    """What somebody already uses is never replaced."""
    before = sys.modules["subprocess"]
    with Without(subprocess={}):
        assert sys.modules["subprocess"] is before
    assert sys.modules["subprocess"] is before


def test_the_real_module_comes_back_after_an_error() -> None:
    """A package that fails to import leaves no stand-in behind."""
    with pytest.raises(ImportError), Without(colorsys={}):
        raise ImportError
    assert "colorsys" not in sys.modules or hasattr(sys.modules["colorsys"], "rgb_to_hsv")


def test_a_late_stand_in_is_the_real_module_once_it_is_used() -> None:
    """What was imported inside keeps working: nothing is loaded until something of it is asked for."""
    said = run(
        "import sys\n"
        "from agent.lean import Without\n"
        "with Without(colorsys=None):\n    import colorsys\n"
        "print('colorsys' in sys.modules, colorsys.rgb_to_hsv(0, 0, 1)[2], 'colorsys' in sys.modules)"
    )
    assert said.split() == ["False", "1", "True"]


def test_what_is_not_to_be_found_is_so_only_while_entered() -> None:
    """An optional import fails inside as where the module is not installed; afterwards it is there."""
    said = run(
        "from agent.lean import Without\n"
        "with Without(colorsys=False):\n"
        "    try:\n        import colorsys\n    except ImportError:\n        print('absent')\n"
        "import colorsys\nprint(colorsys.rgb_to_hsv(0, 0, 1)[2])"
    )
    assert said.split() == ["absent", "1"]


def test_paho_takes_pysocks_for_absent(tmp_path: Path) -> None:
    """Where it is installed, too: who uses paho beside the agent's door, such as the simulated fleet, gets one that asks for no proxy."""
    (tmp_path / "socks.py").write_text("")
    (tmp_path / "dns").mkdir()
    (tmp_path / "dns/resolver.py").write_text("")
    code = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nimport agent.session\nimport paho.mqtt.client as mqtt\n"
    assert run(code + "print(mqtt.socks, getattr(mqtt, 'HAVE_DNS', False))").split() == ["None", "False"]


def test_a_late_tuple_is_a_named_tuple_once_it_is_used() -> None:
    """Its fields are known at once; called, asked or inherited from it is the real thing; afterwards everybody makes real ones again."""
    said = run(
        "import collections\n"
        "from agent.lean import LateTuples\n"
        "with LateTuples():\n"
        "    from collections import namedtuple\n"
        "    Memory = namedtuple('Memory', 'rss vms')\n"
        "    More = namedtuple('More', Memory._fields + ('uss',), defaults=(9,))\n"
        "    class Own(namedtuple('Own', ['one', 'two'])):\n        pass\n"
        "print(type(Memory) is type, Memory._fields, More._fields)\n"
        "print(Memory(1, vms=2), More(1, 2), Own(3, 4).two, Memory._make([5, 6]).rss, type(Memory(0, 0)) is type(Memory(0, 0)))\n"
        "print(isinstance(collections.namedtuple('After', 'x'), type))\n"
        "import typing\n"
        "with LateTuples():\n"
        "    class Typed(typing.NamedTuple):\n        one: int\n        two: int = 2\n"
        "print(Typed(1), isinstance(Typed, type))\n"
    )
    assert said.splitlines() == [
        "False ('rss', 'vms') ('rss', 'vms', 'uss')",
        "Memory(rss=1, vms=2) More(rss=1, vms=2, uss=9) 4 5 True",
        "True",
        "Typed(one=1, two=2) True",
    ]


def test_hints_that_nobody_reads_are_not_compiled() -> None:
    """A named tuple is complete without: its fields, their defaults, and the names of their types."""
    said = run(
        "from __future__ import annotations\n"
        "import agent.lean\n"
        "agent.lean.leave_hints_unread()\n"
        "from typing import NamedTuple\n"
        "class Reading(NamedTuple):\n    at: float\n    value: int | None = None\n"
        "hint = Reading.__annotations__['value']\n"
        "print(Reading(1.5), hint.__forward_arg__, hint.__forward_code__)\n"
    )
    assert said.strip() == "Reading(at=1.5, value=None) int | None None"


def test_hints_stay_readable_where_the_daemon_is_a_guest() -> None:
    """Who imports the daemon's parts into a process of its own keeps typing as it is."""
    assert run("import typing\nimport agent.daemon\nprint('compile' in vars(typing))").strip() == "False"


def test_logging_prints_an_exception_though_it_came_without_traceback() -> None:
    """The daemon's logging loads traceback only for an exception, and then prints it whole."""
    said = run(
        "import sys\n"
        "import agent.daemon\n"
        "print('traceback' in sys.modules)\n"
        "import logging\n"
        "logging.basicConfig(stream=sys.stdout)\n"
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    logging.exception('bad')\n"
    )
    assert said.splitlines()[0] == "False"
    assert said.splitlines()[-1] == "ZeroDivisionError: division by zero"


def test_the_doors_leave_no_stand_in_behind() -> None:
    """With paho and psutil loaded through their doors, everybody else gets the real modules, and the heavy ones are not loaded."""
    said = run(
        "import sys\n"
        "before = set(sys.modules)\n"
        "import agent.lean, agent.tls, agent.session, agent.router.host\n"
        "heavy = {'urllib.request', 'urllib.parse', 'uuid', 'platform', 'subprocess', 'datetime', 'glob', 'socks', 'dns.resolver', 'selectors', 'base64'}\n"
        "print(sorted(heavy & (set(sys.modules) - before)))\n"
        "import psutil\n"
        "tuples = [one for module in (psutil, psutil._common, psutil._pslinux) for one in vars(module).values() if type(one).__name__ == '_LateTuple']\n"
        "print(psutil.version_info >= (8,) or bool(tuples))\n"
        "import uuid, platform, subprocess, urllib.parse, hashlib\n"
        "print(len(str(uuid.uuid4())), platform.system(), subprocess.run(['true']).returncode, urllib.parse.quote(' '), len(hashlib.sha256().digest()))\n"
    )
    assert said.splitlines() == ["[]", "True", "36 Linux 0 %20 32"]
