"""A board as `tests/devices/<board>/` has it: what lies there, and the replies of its ubus objects, which a test may change."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from agent.router.blobmsg import Int16, Int64

DEVICES = Path(__file__).parents[2] / "devices"
BOARDS = sorted(each.name for each in DEVICES.iterdir() if (each / "board.json").exists())
# As the real objects announce themselves, from the recording of `ubus list`; `dhcp` and luci's from their sources.
SIGNATURES: Mapping[str, dict[str, dict[str, int]]] = json.loads(Path(__file__).with_name("signatures.json").read_text())
OK, INVALID_ARGUMENT, METHOD_NOT_FOUND, NOT_FOUND = 0, 2, 3, 4

# Which numbers the real daemons send as 64 or 16 bits, however small: those directly in these tables, and these by themselves.
_TABLES_OF_64 = {"statistics", "bytes", "airtime", "memory", "root", "tmp", "swap", "rrm", "wnm"}
_NUMBERS_OF_64 = {"expires", "time"}
_NUMBERS_OF_16 = {"utilization"}
_NAMED = {"network.device": "name", "network.interface": "interface"}


def typed(value: Any, name: str = "", within: str = "") -> Any:
    """Give a reply as `ubus call` printed it the widths in which it was sent."""
    if isinstance(value, dict):
        return {key: typed(one, key, name) for key, one in value.items()}
    if isinstance(value, list):
        return [typed(one) for one in value]
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    if name in _NUMBERS_OF_16:
        return Int16(value)
    return Int64(value) if within in _TABLES_OF_64 or name in _NUMBERS_OF_64 else value


def signature(name: str) -> dict[str, dict[str, int]]:
    """Give the methods of an object, each with its arguments' types; {} for one that has none or is not known."""
    if name in SIGNATURES:
        return SIGNATURES[name]
    return next((methods for pattern, methods in SIGNATURES.items() if "*" in pattern and fnmatchcase(name, pattern)), {})


class Refusal(int):
    """A status instead of a reply."""


class Board:
    """One board: its files at `directory`, and `set`, `fail`, `start_cac` for what its objects say from now on."""

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory) if Path(directory).is_absolute() else DEVICES / directory
        self.name = self.directory.name
        about = json.loads((self.directory / "board.json").read_text())
        self.release: str = about["release"]
        self.source: dict[str, str] = about["source"]
        self.devices: dict[str, dict[str, Any]] = about["devices"]
        self.phys: dict[str, dict[str, Any]] = about["phys"]
        self.wlans: dict[str, str] = about["wlans"]
        self._replies: dict[tuple[str, str, str | None], Any] = {}
        for path in sorted((self.directory / "ubus").glob("*.json")):
            target, _, argument = path.stem.partition("@")
            name, _, method = target.rpartition(".")
            self._replies[name, method, argument or None] = json.loads(path.read_text())
        self._objects = {name for name, _, _ in self._replies} | set(about["objects"]) | {f"network.interface.{each['interface']}" for each in self._logical()}

    def text(self, path: str) -> str | None:
        """Give a file of the board; None when it has none such."""
        file = self.directory / path
        return file.read_text() if file.exists() else None

    def json(self, path: str) -> Any:
        """Give a JSON file of the board."""
        return json.loads((self.directory / path).read_text())

    def objects(self) -> list[str]:
        """Name the ubus objects of a board that is up."""
        return sorted(self._objects)

    def bss_objects(self, phy: str | None = None) -> list[str]:
        """Name the hostapd objects, of one phy where it is named."""
        names = [name for name in self.objects() if name.startswith("hostapd.")]
        return [name for name in names if phy is None or self.wlans.get(name.partition(".")[2]) == phy]

    def methods(self, name: str) -> dict[str, dict[str, int]]:
        """Give the methods of one object: the real object's, and any that a reply was set for."""
        real = signature(name)
        return real | {method: {} for of, method, _ in self._replies if of == name and method not in real}

    def set(self, name: str, method: str, reply: Mapping[str, Any], argument: str | None = None) -> None:
        """Set a reply (of the object, which is there from now on for who starts); `argument`: of the calls with this `name` or `interface`."""
        self._objects.add(name)
        self._replies[name, method, argument] = dict(reply)

    def fail(self, name: str, method: str, status: int, argument: str | None = None) -> None:
        """Refuse a call with a status from now on."""
        self._replies[name, method, argument] = Refusal(status)

    def get(self, name: str, method: str) -> Any:
        """Give a copy of a reply, to be changed and set."""
        return copy.deepcopy(self._replies[name, method, None])

    def start_cac(self, ifname: str, seconds_left: int = 55) -> None:
        """Let the radio of a BSS listen for radar: hostapd's object is there, nothing is on air, nobody is associated."""
        status = self.get(f"hostapd.{ifname}", "get_status")
        status |= {"status": "DFS", "dfs": {"cac_seconds": 60, "cac_active": True, "cac_seconds_left": seconds_left}}
        self.set(f"hostapd.{ifname}", "get_status", status)
        self.set(f"hostapd.{ifname}", "get_clients", {"freq": status["freq"], "clients": {}})

    def end_cac(self, ifname: str) -> None:
        """Let it be on air again, without stations."""
        status = self.get(f"hostapd.{ifname}", "get_status")
        status |= {"status": "ENABLED", "dfs": {"cac_seconds": 60, "cac_active": False, "cac_seconds_left": 0}}
        self.set(f"hostapd.{ifname}", "get_status", status)

    def answer(self, name: str, method: str, arguments: Mapping[str, Any]) -> tuple[int, dict[str, Any] | None]:
        """Say what a call of an object that is there gives: the status, and the reply where there is one."""
        argument = next((arguments[key] for key in ("name", "interface") if isinstance(arguments.get(key), str)), None)
        for key in ((name, method, argument), (name, method, None)):
            if key in self._replies and (argument is None or key[2] is not None or name not in _NAMED):
                found = self._replies[key]
                return (int(found), None) if isinstance(found, Refusal) else (OK, typed(found))
        part = self._part(name, method, argument)
        if part is not None:
            return part
        return (OK, None) if method in self.methods(name) else (METHOD_NOT_FOUND, None)

    def _part(self, name: str, method: str, argument: str | None) -> tuple[int, dict[str, Any] | None] | None:
        """Answer for one device or interface out of the reply for all, as netifd does."""
        if name == "network.device" and method == "status" and argument is not None:
            devices = self._replies.get((name, method, None), {})
            return (OK, typed(devices[argument])) if argument in devices else (INVALID_ARGUMENT, None)
        if name.startswith("network.interface.") and method == "status":
            argument = name.removeprefix("network.interface.")
        elif name != "network.interface" or method != "status":
            return None
        for one in self._logical():
            if one["interface"] == argument:
                return OK, typed({key: value for key, value in one.items() if key != "interface"})
        return NOT_FOUND, None

    def _logical(self) -> Iterator[dict[str, Any]]:
        dump = self._replies.get(("network.interface", "dump", None), {})
        return iter(dump["interface"] if isinstance(dump, dict) and "interface" in dump else [])
