"""Root's part of the readings: writes down what is wanted of this router, without any key, for the daemon, which is not root.

It reads and writes one file in RAM, and changes nothing of the router. The package runs `python3 -I -m agent.redact` as root at boot and when
one of the configurations changes (-I: root imports nothing from the directory it stands in); in the init script, whose reload and boot call it:

    service_triggers() { procd_add_reload_trigger wireless dhcp firewall network; }

netifd hears of the change in the same moment, so both are asked again, each second for a minute, until netifd has what UCI has and both answered.

Exit status 0: the file says what is so. 1: it could not be written, or somebody did not answer; the sentence is on stderr, and what an older
file says of that stays.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Protocol

from agent.errors import Rejected, Unavailable
from agent.router.facts import FILE as OUT
from agent.router.facts import FILE_BYTES, VERSION
from agent.router.ubus import SOCKET, Ubus
from agent.router.uci import Absent, Section, Uci
from agent.router.wanted import Told, compose

SETTLE_S = 60
MOST_SETTLE_S = 600
USAGE = "usage: python3 -I -m agent.redact [--out FILE] [--socket PATH] [--settle SECONDS]"
# The configurations, and the members of the file that each is read for.
CONFIGS = {"wireless": ("radios",), "dhcp": ("dhcp", "lease_file"), "firewall": ("offload",), "network": ("networks",)}
NETIFD_S = 10.0  # it answers nobody while it works on something else, and nothing waits for us
_MODE = 0o644
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
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
        except Absent as error:
            told[config] = None
            reasons.append(str(error))
        except Unavailable as error:
            reasons.append(str(error))
    if status is None and not any(sections is not None for sections in told.values()):
        raise Unavailable("; ".join(reasons))
    return Told(status, told)


def encode(facts: Mapping[str, object]) -> bytes:
    """Give the file's content."""
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def write(path: str, content: bytes) -> None:
    """Put the content there as a whole, if it is another one; Rejected when the directory is not one that only we can write to."""
    with _directory(path) as directory:
        _put(directory, path, content)


def record(path: str, told: Told, sys_class: str) -> None:
    """Write the facts down; what nobody told stays as the older file has it. Rejected as by `write`."""
    with _directory(path) as directory:
        raw, _ = _read(directory, os.path.basename(path))
        _put(directory, path, encode(with_older(compose(told, sys_class), told, _decode(raw))))


def with_older(facts: dict[str, object], told: Told, older: dict[str, object]) -> dict[str, object]:
    """Add to the facts what nobody told this time and the older ones have."""
    untold = [member for config, members in CONFIGS.items() if config not in told.configs for member in members]
    kept = {member: older[member] for member in untold if member in older and member not in facts}
    if told.status is None:
        for name, radio in _table(facts.get("radios")).items():
            _add_interfaces(_table(radio), _table(_table(older.get("radios")).get(name)))
    return facts | kept


def _add_interfaces(radio: dict[str, object], older: dict[str, object]) -> None:
    """Add what only netifd knows, where the same networks are configured as when it told."""
    if _outline(radio) != _outline(older):
        return
    known = {one.get("section"): one["ifname"] for one in _networks(older) if "ifname" in one}
    for one in _networks(radio):
        if one.get("section") in known:
            one.setdefault("ifname", known[one.get("section")])
    if "phy" in older:
        radio.setdefault("phy", older["phy"])


@contextmanager
def _directory(path: str) -> Iterator[int]:
    """Open the directory that a file is to lie in, made when it is missing; Rejected when it is not one that only we can write to."""
    directory = os.path.dirname(path) or "."
    try:
        # All that follows goes by this descriptor: whoever owns a directory above may put another one in its place at any time.
        fd = _opened(directory)
    except OSError as error:
        raise Rejected(f"{directory}: {error.strerror}; make it a directory of root, mode 0755, and no link{_above(directory)}") from None
    try:
        seen = os.fstat(fd)
        if seen.st_uid != os.geteuid() or seen.st_mode & 0o022:
            raise Rejected(f"{directory}: owner {seen.st_uid}, mode {stat.filemode(seen.st_mode)}; make it a directory of root that nobody else may write to")
        yield fd
    except OSError as error:
        raise Rejected(f"{path} cannot be written: {error.strerror}") from None
    finally:
        os.close(fd)


def _opened(directory: str) -> int:
    try:
        return os.open(directory, _DIRECTORY)
    except FileNotFoundError:
        pass
    above = os.open(os.path.dirname(directory) or ".", _DIRECTORY)
    try:
        name = os.path.basename(directory)
        # A strict umask must not keep it from the daemon.
        mask = os.umask(0o022)
        try:
            os.mkdir(name, 0o755, dir_fd=above)
        finally:
            os.umask(mask)
        # Whoever owns the one above may have put another in its place: it is looked at like any other.
        return os.open(name, _DIRECTORY, dir_fd=above)
    finally:
        os.close(above)


def _above(directory: str) -> str:
    """Say what is missing when it is the daemon's own directory, which is not ours to give away."""
    above = os.path.dirname(directory)
    if not above or os.path.exists(above):
        return ""
    return f". First {above}, of the user that runs rwagent: mkdir -m 750 {above} && chown rwagent:rwagent {above}"


def _read(directory: int, name: str) -> tuple[bytes, int]:
    """Give a file's content up to what the daemon would read, and its mode; nothing when it is no file."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return b"", 0
    try:
        seen = os.fstat(fd)
        return (os.read(fd, FILE_BYTES + 1), stat.S_IMODE(seen.st_mode)) if stat.S_ISREG(seen.st_mode) else (b"", 0)
    finally:
        os.close(fd)


def _decode(raw: bytes) -> dict[str, object]:
    try:
        facts = _table(json.loads(raw))
    except (ValueError, RecursionError):
        return {}
    return facts if facts.get("v") == VERSION else {}


def _put(directory: int, path: str, content: bytes) -> None:
    if len(content) > FILE_BYTES:
        raise Rejected(f"{path} would have {len(content)} bytes, expected at most {FILE_BYTES}")
    name = os.path.basename(path)
    if _read(directory, name) != (content, _MODE):
        _sweep(directory, name)
        _replace(directory, name, content)


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
    """Say whether all is told, and netifd is done with the configuration that UCI has: it runs the same networks, and each has its interface."""
    if not CONFIGS.keys() <= told.configs.keys():
        return False
    if told.configs["wireless"] is None:
        return True
    if told.status is None:
        return False
    running, configured = (_table(compose(one, sys_class).get("radios")) for one in (told, told._replace(status=None)))
    for name, radio in running.items():
        if not isinstance(radio, dict) or radio.get("pending"):
            return False
        if _outline(radio) != _outline(_table(configured.get(name))):
            return False
        wanted = [one for one in radio["networks"] if not one["disabled"]]
        if wanted and not radio.get("up") and _is_to_come_up(_table(told.status.get(name)), radio):
            return False
        if radio.get("up") and any("ifname" not in one for one in wanted):
            return False
    return True


def _is_to_come_up(state: dict[str, object], radio: dict[str, object]) -> bool:
    """Say whether netifd will bring a radio up by itself: nobody said `wifi down`, and it has not given up."""
    return state.get("autostart") is True and not radio.get("disabled") and not radio.get("retry_setup_failed")


def _table(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _networks(radio: dict[str, object]) -> list[dict[str, object]]:
    networks = radio.get("networks")
    return [_table(one) for one in networks] if isinstance(networks, list) else []


def _outline(radio: dict[str, object]) -> list[list[object]]:
    return sorted(([one.get(field) for field in _AS_CONFIGURED] for one in _networks(radio)), key=str)


def main(arguments: list[str], uci: Configs | None = None, sys_class: str = "/sys/class", sleep: Callable[[float], None] = time.sleep) -> int:
    """Write the facts; give the exit status."""
    given = {"--out": OUT, "--socket": SOCKET, "--settle": str(SETTLE_S)}
    options = dict(zip(arguments[::2], arguments[1::2], strict=False))
    if len(arguments) % 2 or not options.keys() <= given.keys() or not options.get("--settle", "0").isdecimal():
        sys.stderr.write(f"{USAGE}\n")
        return 1
    given |= options
    bus = Ubus(given["--socket"])
    try:
        told = _settle(bus, uci or Uci(), given["--out"], min(int(given["--settle"]), MOST_SETTLE_S), sys_class, sleep)
    except (Unavailable, Rejected) as error:
        sys.stderr.write(f"rwagent redact: {error}\n")
        return 1
    finally:
        bus.close()
    if untold := [config for config in CONFIGS if config not in told.configs]:
        sys.stderr.write(f"rwagent redact: uci did not show {', '.join(untold)}; what the older file says of that stays\n")
    return 1 if untold else 0


def _settle(bus: Bus, uci: Configs, path: str, settle_s: int, sys_class: str, sleep: Callable[[float], None]) -> Told:
    """Ask and write until all is settled or the time is over; give what was told last."""
    until = time.monotonic() + settle_s
    for seconds_left in range(settle_s, -1, -1):
        told = ask(bus, uci)
        record(path, told, sys_class)
        if is_settled(told, sys_class) or not seconds_left or time.monotonic() >= until:
            break
        sleep(1.0)
    return told


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
