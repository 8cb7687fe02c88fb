"""The bandwidth caps root wants, as agent/ash/caps last wrote them down in run_dir/status, held against what the kernel has.

Only reads; what is hostile, of the wrong type or too much is a cap that does not stand, never an exception of its own.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from agent.errors import Unavailable
from agent.records import Caps
from agent.router.text import printable

UPLINK = "uplink"
FILE = "caps.json"  # in run_dir/status
VERSION = 1
FILE_BYTES = 65536
MOST_CAPS, MOST_DEVICES = 64, 64
LONGEST_ERROR = 160
NOT_YET = "root has set none of them since the start"
NOT_UNDERSTOOD = "what root wrote about them is not understood"
_NAME = re.compile(r"[a-z0-9]{1,8}", re.ASCII)
_DEVICE = re.compile(r"[A-Za-z0-9_.-]{1,15}", re.ASCII)
_MOST_KBIT = 99_999_999


class Cap(NamedTuple):
    """One wanted cap in kbit/s: of an SSID by its name in the config, of the uplink with the name UPLINK. None: not capped that way.

    `devices` are the network devices of its BSSs on all radios, or the uplink's one.
    """

    name: str
    down_kbit: int | None
    up_kbit: int | None
    station_down_kbit: int | None
    station_up_kbit: int | None
    devices: tuple[str, ...]


Lacking = Callable[[Sequence[Cap]], list[str]]  # says what of some caps the kernel has not


class Wanted(NamedTuple):
    """What root wants; `error` is why it could not be set, "" when it could; `made_at` is when it wrote that down, nanoseconds."""

    caps: tuple[Cap, ...] = ()
    error: str = ""
    made_at: int = 0


def place(backend: str, state_dir: str) -> str:
    """Say where the file lies that root's script works off, by the settings' router.backend and paths.state_dir."""
    if backend == "openwrt":
        return "/etc/rwagent/caps"
    return os.path.join(state_dir, "simulated", "caps") if backend == "simulated" else os.path.join(os.path.dirname(state_dir.rstrip("/")), "caps")


def look(status_dir: str, file: str, is_bypassed: bool | None = None, lacking: Lacking | None = None) -> Caps:
    """Give the caps wanted and what of them the kernel lacks; Unavailable when the kernel cannot be asked. `file` is what root's script works off."""
    wanted = read(status_dir, file)
    if not wanted.caps and not wanted.error:
        return Caps()
    missing = ([wanted.error] if wanted.error else []) + _missing(wanted, lacking)
    per_station = [device for cap in wanted.caps if cap.station_down_kbit or cap.station_up_kbit for device in cap.devices]
    return Caps(True, tuple(missing), tuple(per_station), is_bypassed, wanted.made_at)


def _missing(wanted: Wanted, lacking: Lacking | None) -> list[str]:
    # What stands of caps that could not be read is nobody's to judge.
    if not wanted.caps:
        return []
    from agent.router.traffic_control import standing  # 100 KiB, carried only where a cap is wanted

    try:
        return (lacking or standing)(wanted.caps)
    except Unavailable:
        # A kernel without traffic control cannot be asked for it either; that root could not set them is certain all the same.
        if wanted.error:
            return []
        raise


def read(status_dir: str, file: str) -> Wanted:
    """Read what root wants: nothing when neither its word nor a file of caps is there."""
    found = _read(os.path.join(status_dir, FILE))
    if found is not None:
        return parse(found[0])._replace(made_at=found[1])
    try:
        # Whether its script ran at all cannot be told by what it writes.
        return Wanted(error=NOT_YET) if os.stat(file).st_size else Wanted()
    except OSError:
        return Wanted()


def parse(raw: bytes) -> Wanted:
    """Read the file's content."""
    try:
        found = json.loads(raw)
        if type(found["v"]) is not int or found["v"] != VERSION:
            return Wanted(error=NOT_UNDERSTOOD)
        error = found.get("error", "")
        caps = tuple(parse_rows(found["wanted"]))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Wanted(error=NOT_UNDERSTOOD)
    return Wanted(caps, printable(error)[:LONGEST_ERROR] if isinstance(error, str) else NOT_UNDERSTOOD)


def parse_rows(rows: object) -> list[Cap]:
    """Read the file's member `wanted`; ValueError for what is none."""
    if not isinstance(rows, list) or len(rows) > MOST_CAPS or not all(isinstance(row, Mapping) for row in rows):
        raise ValueError(f"the wanted caps are no list of at most {MOST_CAPS} tables")
    return [_cap(row) for row in rows]


def _cap(row: Mapping[str, object]) -> Cap:
    uplink = row.get("uplink")
    name, devices = (row.get("ssid"), row.get("ifnames")) if uplink is None else (UPLINK, [uplink])
    if not isinstance(name, str) or not _NAME.fullmatch(name) or (name == UPLINK and uplink is None):
        raise ValueError(f"a cap is of no ssid with a name of {_NAME.pattern}")
    if not isinstance(devices, list) or len(devices) > MOST_DEVICES or not all(isinstance(one, str) and _DEVICE.fullmatch(one) for one in devices):
        raise ValueError(f"{name}: its devices are no list of at most {MOST_DEVICES} names of {_DEVICE.pattern}")
    rates = [_rate(name, row.get(option)) for option in ("down_kbit", "up_kbit", "station_down_kbit", "station_up_kbit")]
    down, up, station_down, station_up = rates
    return Cap(name, down, up, station_down, station_up, tuple(devices))


def _rate(name: str, value: object) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not 0 < value <= _MOST_KBIT:
        raise ValueError(f"{name}: a rate is not 1 to {_MOST_KBIT} kbit/s")
    return value


def _read(path: str) -> tuple[bytes, int] | None:
    """Read a regular file, and give when it was written; None when there is none, b"" for one that is too long or cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError:
        return b"", 0
    try:
        seen = os.fstat(fd)
        raw = os.read(fd, FILE_BYTES + 1) if stat.S_ISREG(seen.st_mode) else b""
    except OSError:
        return b"", 0
    finally:
        os.close(fd)
    return raw if len(raw) <= FILE_BYTES else b"", seen.st_mtime_ns
