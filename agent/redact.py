"""Root's part of the readings: writes down what is wanted of this router, without any key, for the daemon, which is not root.

It reads and writes one file in RAM, and changes nothing of the router. The package runs `python3 -m agent.redact` as root at boot and when
one of the configurations changes; in the init script, whose reload and boot call it:

    service_triggers() { procd_add_reload_trigger wireless dhcp firewall network; }

netifd hears of the change in the same moment, so it is asked again, each second and thirty times at most, until it has what UCI has.

Exit status 0: the file says what is so. 1: it could not be written, or nobody told anything; the sentence is on stderr, an older file stays.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol

from agent.errors import Rejected, Unavailable
from agent.router.facts import FILE_BYTES
from agent.router.ubus import Ubus
from agent.router.uci import Section, Uci
from agent.router.wanted import Told, compose

OUT = "/var/run/rwagent/status/wireless.json"
SOCKET = "/var/run/ubus/ubus.sock"
SETTLE_S = 30
MOST_SETTLE_S = 600
USAGE = "usage: python3 -m agent.redact [--out FILE] [--socket PATH] [--settle SECONDS]"
CONFIGS = ("wireless", "dhcp", "firewall", "network")
NETIFD_S = 10.0  # it answers nobody while it works on something else, and nothing waits for us
_MODE = 0o644
_AS_CONFIGURED = ("section", "ssid", "mode", "encryption", "disabled", "hidden", "network")


class Bus(Protocol):
    """Who can ask netifd."""

    def call(self, name: str, method: str, arguments: Mapping[str, object] | None = None, timeout_s: float | None = None) -> Mapping[str, object]:
        """Give the reply to a method."""


class Configs(Protocol):
    """Who can show UCI's configurations."""

    def show(self, config: str) -> dict[str, Section]:
        """Give the sections of one configuration."""


def ask(bus: Bus, uci: Configs) -> Told:
    """Ask netifd and UCI; Unavailable when neither tells anything."""
    told: dict[str, dict[str, Section] | None] = {}
    status: Mapping[str, object] | None = None
    reasons: list[str] = []
    try:
        status = bus.call("network.wireless", "status", timeout_s=NETIFD_S)
    except Unavailable as error:
        reasons.append(str(error))
    for config in CONFIGS:
        try:
            told[config] = uci.show(config)
        except Unavailable as error:
            # A box without Wi-Fi has no such file; what is not known is left out.
            told[config] = None
            reasons.append(str(error))
    if status is None and not any(sections is not None for sections in told.values()):
        raise Unavailable("; ".join(reasons))
    return Told(status, told)


def encode(facts: Mapping[str, object]) -> bytes:
    """Give the file's content."""
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def write(path: str, content: bytes) -> None:
    """Put the content there as a whole, if it is another one; Rejected when the directory is not one that only we can write to."""
    if len(content) > FILE_BYTES:
        raise Rejected(f"{path} would have {len(content)} bytes, expected at most {FILE_BYTES}")
    directory, name = os.path.split(path)
    try:
        # All that follows goes by this descriptor: whoever owns a directory above may put another one in its place at any time.
        fd = os.open(directory or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise Rejected(f"{directory}: {error.strerror}; make it a directory of root, mode 0755, and no link") from None
    try:
        seen = os.fstat(fd)
        if seen.st_uid != os.geteuid() or seen.st_mode & 0o022:
            raise Rejected(f"{directory}: owner {seen.st_uid}, mode {stat.filemode(seen.st_mode)}; make it a directory of root that nobody else may write to")
        if not _has(fd, name, content):
            _sweep(fd, name)
            _replace(fd, name, content)
    except OSError as error:
        raise Rejected(f"{path} cannot be written: {error.strerror}") from None
    finally:
        os.close(fd)


def _has(directory: int, name: str, content: bytes) -> bool:
    """Say whether the file is already there, with this content and open to all readers."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return False
    with open(fd, "rb") as file:
        seen = os.fstat(fd)
        return stat.S_ISREG(seen.st_mode) and stat.S_IMODE(seen.st_mode) == _MODE and file.read(FILE_BYTES + 1) == content


def _sweep(directory: int, name: str) -> None:
    """Remove what a run that was killed left of its own file: memory is scarce here."""
    for other in os.listdir(directory):
        pid = other.removeprefix(f"{name}.")
        if pid == other or not pid.isdecimal() or os.path.exists(f"/proc/{pid}"):
            continue
        with suppress(OSError):
            os.unlink(other, dir_fd=directory)


def _replace(directory: int, name: str, content: bytes) -> None:
    new = f"{name}.{os.getpid()}"
    with suppress(FileNotFoundError):
        os.unlink(new, dir_fd=directory)
    try:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE, dir_fd=directory), "wb") as file:
            # A strict umask must not keep it from the daemon.
            os.fchmod(file.fileno(), _MODE)
            file.write(content)
        os.rename(new, name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError:
        with suppress(FileNotFoundError):
            os.unlink(new, dir_fd=directory)
        raise


def is_settled(told: Told, sys_class: str) -> bool:
    """Say whether netifd is done with the configuration that UCI has: it runs the same networks, and each has its interface."""
    if told.configs.get("wireless") is None:
        return True
    if told.status is None:
        return False
    running, configured = (_table(compose(one, sys_class).get("radios")) for one in (told, told._replace(status=None)))
    for name, radio in running.items():
        if not isinstance(radio, dict) or radio.get("pending"):
            return False
        if _outline(radio) != _outline(_table(configured.get(name))):
            return False
        if radio.get("up") and any("ifname" not in one for one in radio["networks"] if not one["disabled"]):
            return False
    return True


def _table(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _outline(radio: dict[str, object]) -> list[list[object]]:
    networks = radio.get("networks")
    return sorted(([one.get(field) for field in _AS_CONFIGURED] for one in (networks if isinstance(networks, list) else ())), key=str)


def main(arguments: list[str], uci: Configs | None = None, sys_class: str = "/sys/class", sleep: Callable[[float], None] = time.sleep) -> int:
    """Write the facts; give the exit status."""
    given = {"--out": OUT, "--socket": SOCKET, "--settle": str(SETTLE_S)}
    options = dict(zip(arguments[::2], arguments[1::2], strict=False))
    if len(arguments) % 2 or not options.keys() <= given.keys() or not options.get("--settle", "0").isdecimal():
        sys.stderr.write(f"{USAGE}\n")
        return 1
    given |= options
    bus, configs = Ubus(given["--socket"]), uci or Uci()
    try:
        for seconds_left in range(min(int(given["--settle"]), MOST_SETTLE_S), -1, -1):
            told = ask(bus, configs)
            write(given["--out"], encode(compose(told, sys_class)))
            if not seconds_left or is_settled(told, sys_class):
                break
            sleep(1.0)
    except (Unavailable, Rejected) as error:
        sys.stderr.write(f"rwagent redact: {error}\n")
        return 1
    finally:
        bus.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
