"""The box's programs but `uci`: ubus, reload_config, wifi, jsonfilter, logread and the start scripts. Each knows its box by where it lies."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[4]
SENTENCES = {
    1: "Invalid command", 2: "Invalid argument", 3: "Method not found", 4: "Not found", 5: "No response", 6: "Permission denied",
    7: "Request timed out", 8: "Operation not supported", 9: "Unknown error", 10: "Connection failed", 12: "Parsing message data failed",
}  # fmt: skip
USAGE = """Usage: ubus [<options>] <command> [arguments...]
Options:
 -s <socket>:		Set the unix domain socket to connect to
 -t <timeout>:		Set the timeout (in seconds) for a command to complete
 -S:			Use simplified output (for scripts)
 -v:			More verbose output
 -m <type>:		(for monitor): include a specific message type
			(can be used more than once)
 -M <r|t>		(for monitor): only capture received or transmitted traffic

Commands:
 - list [<path>]			List objects
 - call <path> <method> [<message>]	Call an object method
 - subscribe <path> [<path>...]	Subscribe to object(s) notifications
 - listen [<path>...]			Listen for events
 - send <type> [<message>]		Send an event
 - wait_for <object> [<object>...]	Wait for multiple objects to appear on ubus
 - monitor				Monitor ubus traffic

"""
NO_CONNECTION, NOT_JSON = 255, 12


def formatted(value: Any, depth: int = 0) -> str:
    """Write JSON as libubox does for people: tabs, and a line for the nothing in an empty table."""
    if not isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    inner, outer = "\t" * (depth + 1), "\t" * depth
    rows = [f"{json.dumps(name, ensure_ascii=False)}: {formatted(one, depth + 1)}" for name, one in value.items()] if isinstance(value, dict) else []
    rows = rows or [formatted(one, depth + 1) for one in (value if isinstance(value, list) else ())]
    left, right = "{}" if isinstance(value, dict) else "[]"
    return f"{left}\n{inner}" + f",\n{inner}".join(rows) + f"\n{outer}{right}"


def printed(text: str) -> None:
    """Write to standard output, bytes that are no UTF-8 too."""
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()


def ubus(folder: str) -> int:
    """Be the program `ubus`: list, call, send, wait_for."""
    sys.path.insert(0, str(ROOT))
    from agent.errors import Unavailable
    from agent.router.ubus import Call, Refused, Ubus, _invoke

    path, timeout_s, is_simple, words = f"{folder}/run/ubus/ubus.sock", 30.0, False, sys.argv[1:]
    while words and words[0].startswith("-") and len(words[0]) > 1:
        option, words = words[0], words[1:]
        if option in ("-s", "-t") and words:
            path, timeout_s, words = (words[0], timeout_s, words[1:]) if option == "-s" else (path, float(words[0]), words[1:])
        is_simple |= option == "-S"
    if not words:
        sys.stderr.write(USAGE)
        return 1
    command, words = words[0], words[1:]
    least = {"list": 0, "call": 2, "send": 1, "wait_for": 1}
    if command not in least or len(words) < least[command]:
        sys.stderr.write(USAGE)
        return 254
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(path)
    except OSError:
        sys.stderr.write("Failed to connect to ubus\n")
        return NO_CONNECTION
    link = Ubus(path, timeout_s)
    whole = f"ubus {command} {' '.join(words)}"
    try:
        return _ubus(link, command, words, is_simple, whole, lambda name, method, data: _call(link, Call(name, method, data), _invoke, Refused))
    except Refused as error:
        status = error.status
    except Unavailable:
        # Asked, and not answered in time.
        status = 7
    if not is_simple:
        sys.stderr.write(f"Command failed: {whole} ({SENTENCES.get(status, 'Unknown error')})\n" + (USAGE if status == 2 else ""))
    return status if is_simple or os.isatty(2) else 256 - status


def _call(link: Any, call: Any, invoke: Callable[..., Any], refused: type[Any]) -> dict[str, Any] | None:
    """Call, and tell an answer with nothing in it from none."""
    answer = link._exchange([invoke(link._ids[call.name], call.method, call.arguments)], link._until(None), "ubus call")[0]
    if answer.status is None or answer.status:
        raise refused("", 7 if answer.status is None else answer.status)
    return link._merge(answer, call) if any(body.data is not None for body in answer.bodies) else None


def _ubus(link: Any, command: str, words: list[str], is_simple: bool, whole: str, calls: Callable[..., dict[str, Any] | None]) -> int:
    if command == "list":
        found = link.lookup(words[0] if words else "*")
        if words and not found:
            sys.stderr.write("Command failed: Not found\n")
            return 4
        printed("".join(f"{name}\n" for name in sorted(found)))
        return 0
    data: Any = {}
    if len(words) > (2 if command == "call" else 1):
        try:
            data = json.loads(words[-1])
        except ValueError:
            data = None
        if not isinstance(data, dict):
            sys.stderr.write(f"Command failed: {whole} ({SENTENCES[NOT_JSON]})\n")
            return NOT_JSON if is_simple else 256 - NOT_JSON
    if command == "send":
        raise NotImplementedError
    if command == "wait_for":
        return 0 if all(link.lookup(one) for one in words) else 7
    if not link.lookup(words[0]):
        if not is_simple:
            sys.stderr.write("Command failed: Not found\n")
        return 4
    reply = calls(words[0], words[1], data)
    if reply is not None:
        printed((json.dumps(reply, separators=(",", ":"), ensure_ascii=False) if is_simple else formatted(reply)) + "\n")
    return 0


def reload_config(folder: str) -> int:
    """Be the script: say `config.change` of what is not as it was at the last run; a configuration that was not there then is only noted."""
    sys.path.insert(0, str(Path(__file__).parent))
    import uci

    for name in noted_anew(folder, uci):
        ask(folder, "event", "config.change", {"package": name})
    return 0


def noted_anew(folder: str, uci: Any) -> list[str]:
    """Note how every configuration shows now; name those that showed otherwise when they were noted before."""
    note = Path(folder, "var/run/config.md5")
    before = dict(line.split("  ") for line in note.read_text().splitlines()) if note.exists() else {}
    now = {}
    for name in sorted({one.name for place in ("etc/config", "var/run/uci") for one in Path(folder, place).glob("*")}):
        out: list[str] = []
        program, words = uci.open_program(folder, ["uci", "show", name], out.append, lambda _: None)
        program.run(words)
        now[name] = hashlib.md5("".join(out).encode("latin-1"), usedforsecurity=False).hexdigest()
    note.write_text("".join(f"{name}  {digest}\n" for name, digest in now.items()))
    return [name for name, digest in before.items() if now.get(name) != digest]


def wifi(folder: str) -> int:
    """Be the script `wifi`."""
    action = sys.argv[1] if len(sys.argv) > 1 else "up"
    ask(folder, "wifi", action)
    return 0


def init(folder: str) -> int:
    """Be a start script of /etc/init.d."""
    told = ask(folder, "init", Path(sys.argv[0]).name, sys.argv[1] if len(sys.argv) > 1 else "")
    printed(told["out"])
    sys.stderr.write(told["err"])
    return int(told["code"])


def logread(folder: str) -> int:
    """Be the program that reads the log."""
    words, most, pattern = sys.argv[1:], 1 << 30, ""
    while len(words) > 1:
        if words[0] == "-l":
            most = int(words[1])
        elif words[0] == "-e":
            pattern = words[1]
        words = words[2:]
    log = Path(folder, "log")
    lines = log.read_text().splitlines() if log.exists() else []
    printed("".join(f"{line}\n" for line in lines[-most:] if re.search(pattern, line)))
    return 0


def reread_acl(folder: str) -> int:
    """Be ubusd's ear for SIGHUP."""
    ask(folder, "read acl")
    return 0


def sleep(folder: str) -> int:
    """Be the program, on the box's clock."""
    ask(folder, "slept", sys.argv[1])
    return 0


def jsonfilter(_: str) -> int:
    """Be the program, for paths of names and places."""
    try:
        value = json.loads(sys.stdin.buffer.read().decode("utf-8", "surrogateescape"))
    except ValueError:
        sys.stderr.write("Failed to parse json data: unexpected end of data\n")
        return 126
    found = 0
    for option, path in zip(sys.argv[1:], sys.argv[2:], strict=False):
        if option != "-e":
            continue
        one = value
        for name, quoted_name, place in re.findall(r"\.([\w-]+)|\[['\"](.+?)['\"]\]|\[(\d+)\]", path):
            try:
                one = one[int(place)] if place else one[name or quoted_name]
            except (KeyError, IndexError, TypeError):
                one = None
        if one is not None:
            found += 1
            printed((one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)) + "\n")
    return 0 if found else 1


def ask(folder: str, *words: object) -> Any:
    """Ask the box, which lives in the test's process, to do something of a daemon's."""
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(f"{folder}/run/box.sock")
        link.sendall(json.dumps(words).encode() + b"\n")
        parts = []
        while piece := link.recv(65536):
            parts.append(piece)
    return json.loads(b"".join(parts) or b"null")


def main(name: str, folder: str) -> int:
    """Run as one of them."""
    programs: dict[str, Callable[[str], int]] = {
        "ubus": ubus, "reload_config": reload_config, "wifi": wifi, "init": init, "logread": logread, "sleep": sleep,
        "jsonfilter": jsonfilter, "reread_acl": reread_acl,
    }  # fmt: skip
    return programs[name](folder)
